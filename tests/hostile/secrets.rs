//! The memory that has passwords in it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::place::Place;

/// Starts it where core dumps are on, ends it by what makes one, and says whether there is one.
fn dumps_core(command: &mut Command) -> bool {
    let limited = ["-c", "ulimit -c unlimited; exec \"$@\"", "sh"];
    let mut all = Command::new("sh");
    all.args(limited).arg(command.get_program()).args(command.get_args());
    all.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    if let Some(dir) = command.get_current_dir() {
        all.current_dir(dir);
    }
    let mut child = all.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "it has begun");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGABRT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6));
    status.core_dumped()
}

#[test]
fn no_core_dump_has_a_password_in_it() {
    let place = Place::new();
    let mut control = Command::new("sh");
    control.args(["-c", "echo begun; sleep 30"]).current_dir(place.0.path());
    if !dumps_core(&mut control) {
        eprintln!("SKIPPED: this machine writes no core dumps");
        return;
    }
    place.write(
        "site.yml",
        "- hosts: localhost\n  gather_facts: false\n  tasks: [{wait_for: {path: never, timeout: 30}}]\n",
    );
    let play = || place.command(&["play", "site.yml", "-i", "localhost,", "-c", "local"]);
    assert!(!dumps_core(&mut play()), "the runner");
}
