//! Runs that are watched or interrupted while they run.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::place::{HEAD, Place, Run};

#[test]
fn a_run_is_followed_from_a_second_terminal() {
    let place = Place::new();
    let yes = "failed_when: false, changed_when: false";
    let text = format!(
        "{HEAD}    - {{command: echo begun, {yes}}}\n    - wait_for: {{path: gate, timeout: 60, sleep: 1}}\n    - include_tasks: more.yml\n"
    );
    place.write("site.yml", &text);
    place.write("more.yml", "- debug: msg=after-the-gate\n");
    let play = start(&place, &["play", "site.yml", "-i", "localhost,", "-c", "local"]);
    while !place.read_state().contains("wait_for") {
        std::thread::yield_now();
    }
    let mut follow = start(&place, &["show", "--follow"]);
    // It has told the first task before the gate is opened, so it does follow.
    let mut seen = String::new();
    let mut told = std::io::BufReader::new(follow.stdout.take().unwrap());
    while !seen.contains("[wait_for]") {
        assert_ne!(std::io::BufRead::read_line(&mut told, &mut seen).unwrap(), 0, "it ended early: {seen}");
    }
    assert!(!seen.contains("after-the-gate"));
    place.write("gate", "");
    let ran = Run(play.wait_with_output().unwrap()).code(0);
    std::io::Read::read_to_string(&mut told, &mut seen).unwrap();
    assert_eq!(follow.wait().unwrap().code(), Some(0));
    assert_eq!(seen, String::from_utf8_lossy(&ran.0.stdout));
    place.run(&["show"]).code(0).says("after-the-gate");
    // The live part counts what an include brings.
    let events = place.run(&["show", "--output", "json"]).code(0).text();
    let last = events.lines().rfind(|l| l.contains("task_started")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert!(last.to_string().contains("\"of\":4"), "{last}");
}

#[test]
fn what_is_not_to_be_logged_is_not_told_while_it_is_printed() {
    let place = Place::new();
    // What a command prints is told as it goes, after a quarter of a second at the earliest.
    let shell = |word: &str| format!("shell: 'for i in 1 2; do printf \"a-%s-line\\n\" {word}; sleep 0.4; done'");
    place.write(
        "site.yml",
        &format!(
            "{HEAD}    - {}\n    - {}\n      no_log: true\n\
        \x20   - include_tasks: more.yml\n      loop: [a-hidden-item]\n      no_log: true\n",
            shell("plain"),
            shell("hidden")
        ),
    );
    place.write("more.yml", "- meta: noop\n");
    let told = place.run(&["play", "site.yml", "-i", "localhost,", "-c", "local", "--output", "json"]).code(0);
    let told = told.says("\"line\":\"a-plain-line\"");
    told.hides("a-hidden-line").hides("a-hidden-item");
    let kept = place.read_state();
    assert!(!kept.contains("a-hidden-line") && !kept.contains("a-hidden-item"));
}

#[test]
fn a_signal_stops_a_run_where_it_can_go_on() {
    use nix::sys::signal::{Signal, kill};
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = Place::new();
        let wait = "shell: 'echo ran >>begun; while [ ! -e gate ]; do sleep 0.05; done'";
        place.write("site.yml", &format!("{HEAD}    - {wait}\n    - command: touch after\n"));
        let out = fs::File::create(place.dir.path().join("out")).unwrap();
        let mut play = place
            .command(&["play", "site.yml", "-i", "localhost,", "-c", "local"])
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let says = |play: &mut std::process::Child, file: &str, words: &str| {
            while !place.read(file).contains(words) {
                assert!(std::time::Instant::now() < end, "{signal}: {file} does not say `{words}`");
                assert_eq!(play.try_wait().unwrap(), None, "{signal}: {}", place.read("out"));
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        };
        says(&mut play, "begun", "ran");
        kill(nix::unistd::Pid::from_raw(play.id() as i32), signal).unwrap();
        says(&mut play, "out", "stopping after the steps under way");
        place.write("gate", "");
        assert_eq!(play.wait().unwrap().code(), Some(99), "{}", place.read("out"));
        assert!(!place.dir.path().join("after").exists());
        place.run(&["resume"]).code(0);
        assert!(place.dir.path().join("after").exists());
        assert_eq!(place.read("begun"), "ran\n", "the step under way was waited for, and not run again");
    }
}

#[test]
fn a_closed_pipe_ends_a_listing_in_peace() {
    let program = env!("CARGO_BIN_EXE_stx-upgrade");
    let line = format!("{program} doc --list | head -n 1; echo ${{PIPESTATUS[0]}}");
    let out = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert!(String::from_utf8_lossy(&out.stdout).trim_end().ends_with('0'), "{out:?}");
}

/// A command line of its own process, in this place.
fn start(place: &Place, args: &[&str]) -> Child {
    place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its exit code, within a minute.
fn ended(child: &mut Child) -> Option<i32> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::time::Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it hangs");
}

/// Who read the output has gone: the run goes on to its end.
#[test]
fn a_closed_pipe_ends_the_writing_and_not_the_run() {
    for format in ["plain", "json"] {
        let place = Place::new();
        let told = "    - debug: msg=told\n".repeat(50);
        let gate = "    - wait_for: {path: gate, sleep: 1}\n";
        place.write("site.yml", &format!("{HEAD}{gate}{told}    - command: touch after\n"));
        let mut play = start(&place, &["play", "site.yml", "-i", "localhost,", "-c", "local", "--output", format]);
        let mut line = String::new();
        let mut told = std::io::BufReader::new(play.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut told, &mut line).unwrap();
        drop((told, play.stderr.take()));
        place.write("gate", "");
        assert_eq!(ended(&mut play), Some(0), "{format}");
        assert!(place.dir.path().join("after").exists(), "{format}");
    }
}

/// Nothing can tell a call to end that waits for the other end of a fifo; the run does not wait with it.
#[test]
fn a_call_that_does_not_end_is_given_up() {
    let place = Place::new();
    let fifo = place.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.write("site.yml", &format!("{HEAD}    - slurp: {{src: {}}}\n      timeout: 1\n", fifo.display()));
    let mut play = start(&place, &["play", "site.yml", "-i", "localhost,", "-c", "local"]);
    assert_eq!(ended(&mut play), Some(2));
    let said = Run(play.wait_with_output().unwrap()).text();
    assert!(said.contains("timed out after 1.0s and did not end when told to"), "{said}");
}
