//! The simplex upgrade against the lab: to its end, again, in check mode, and killed at every journal record.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/lab.rs"]
mod lab;

use lab::{Lab, ONCE, text};

#[test]
fn to_the_end_and_then_nothing_to_do() {
    let Some(lab) = Lab::up("to_the_end_and_then_nothing_to_do") else { return };
    let out = lab.play(&["--yes"]);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(ONCE);
    let again = lab.play(&["--yes"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));
}

#[test]
fn killed_at_every_record() {
    let Some(lab) = Lab::up("killed_at_every_record") else { return };
    lab.killed(&["play", "upgrade.yml", "-i", "inventory/lab", "--yes"]);
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

#[test]
fn cut_off_at_every_call() {
    let Some(lab) = Lab::up("cut_off_at_every_call") else { return };
    let mut play = lab.upgrade(&["play", "upgrade.yml", "-i", "inventory/lab", "--yes"]);
    let out = play.env("STX_UPGRADE_CUT_LINKS", "1").output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).matches("cut by a test").count() > 50, "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

#[test]
fn a_check_changes_nothing() {
    let Some(lab) = Lab::up("a_check_changes_nothing") else { return };
    let before = tree(&lab);
    assert!(before.contains("/hieradata/static.yaml "), "{before}");
    let out = lab.play(&["--check", "--diff"]);
    assert!(out.status.success(), "{}", text(&out));
    let said = text(&out);
    assert!(said.contains("+platform::params::software_version: '21.12'"), "{said}");
    assert!(said.contains("tasks decided"), "{said}");
    assert_eq!(tree(&lab), before);
    lab.assert_once(&[]);
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());
}

/// Every file of the host with its permissions, owner and digest, but for what a login itself writes.
fn tree(lab: &Lab) -> String {
    // The machine's own folders that change meanwhile, this one among them, shine through into the host.
    let passed = [
        "/proc",
        "/sys",
        "/dev",
        "/tmp",
        "/run",
        "/var/tmp",
        "/var/log",
        "/var/lib/postgresql",
        "/opt/etcd",
        "/var/lib/sudo",
    ];
    let homes = ["/home/sysadmin/.cache", "/root/.cache", "/root/.cargo", env!("CARGO_MANIFEST_DIR")];
    let prune: Vec<String> = passed.iter().chain(&homes).map(|p| format!("-path {p}")).collect();
    let prune = prune.join(" -o ");
    let line = format!(
        "find / -xdev \\( {prune} \\) -prune -o -newer /etc/build.info -type f -printf '%p %m %U %G ' -exec sha256sum {{}} \\; \
         2>/dev/null | sort"
    );
    String::from_utf8(lab.lab(&["exec", "controller-0", "bash", "-c", &line]).stdout).unwrap()
}
