//! `stx-lab crash` against this program, and against one that resumes badly: the harness must be able to fail.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PLAYBOOK: &str = "- hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: first
      shell: echo first >> /srv/effects
      notify: told
    - name: second
      copy: { dest: /srv/second, content: \"2\\n\" }
  handlers:
    - name: told
      shell: echo told >> /srv/effects
";

/// Of a playbook, or of the suite.
fn crash(dir: &Path, playbook: Option<&str>, more: &[&str]) -> Option<Output> {
    if !nix::unistd::getuid().is_root() {
        eprintln!("SKIPPED: the lab needs root for namespaces and mounts");
        return None;
    }
    let own = PathBuf::from(env!("CARGO_BIN_EXE_stx-upgrade"));
    let lab = own.with_file_name("stx-lab");
    assert!(lab.exists(), "{} is not built: cargo build --workspace", lab.display());
    let mut command = Command::new(lab);
    command.args(["crash", "--logs", "logs"]).args(more).current_dir(dir);
    if let Some(text) = playbook {
        std::fs::write(dir.join("site.yml"), text).unwrap();
        command.arg("site.yml");
    }
    Some(command.output().unwrap())
}

fn text(out: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn faults_on_every_side() {
    let dir = tempfile::tempdir().unwrap();
    let Some(out) = crash(
        dir.path(),
        Some(PLAYBOOK),
        &[
            "--sample",
            "1",
            "--faults",
            "kill,kill-each,cut-sent,reboot,journal-full,journal-slow,clock-stepped,two-resumes",
        ],
    ) else {
        return;
    };
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("8 faults, 8 converged, 0 twice, 0 lost\n"), "{}", text(&out));
    assert!(!dir.path().join("logs").exists());
}

/// The constructs of the language, one playbook each: killed at every record in turn.
#[test]
fn the_suite_killed_at_each_record() {
    let dir = tempfile::tempdir().unwrap();
    let Some(out) = crash(dir.path(), None, &["--faults", "kill-each"]) else { return };
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("11 faults, 11 converged, 0 twice, 0 lost\n"), "{}", text(&out));
}

#[test]
fn a_runner_that_forgets_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    // It takes a resume for a second run of all, and so does everything twice.
    let forgets = dir.path().join("forgets");
    let script = "#!/bin/sh\ncase $1 in\nplay) printf '%s\\n' \"$@\" > \"$HOME.play\";;\n\
                  resume) rm -r \"$XDG_STATE_HOME\"/*; unset IFS; set -- $(cat \"$HOME.play\");;\nesac\n";
    std::fs::write(&forgets, format!("{script}exec {} \"$@\"\n", env!("CARGO_BIN_EXE_stx-upgrade"))).unwrap();
    std::fs::set_permissions(&forgets, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = forgets.display().to_string();
    let Some(out) = crash(dir.path(), Some(PLAYBOOK), &["--sample", "2", "--faults", "kill", "--program", &program])
    else {
        return;
    };
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    assert!(text(&out).contains("2 faults, 1 converged, 4 twice, 0 lost\n"), "{}", text(&out));
    assert!(text(&out).contains("effect \"host-1: first\" is 2, not 1"), "{}", text(&out));
    assert!(dir.path().join("logs/001/out-1").exists(), "its logs are kept");
}
