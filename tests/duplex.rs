//! The rolling upgrade of two controllers against the lab: to its end, again, in check mode, killed and cut off.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/client.rs"]
mod client;
#[path = "stx/lab.rs"]
mod lab;

use client::Client;
use lab::{Lab, text};

/// What a whole upgrade does once, whatever happens to the runner.
const ONCE: &[&str] = &[
    "load-importing",
    "upgrade-starting",
    "host-upgrade controller-1",
    "host-wiped controller-1",
    "upgrade-data-migration-complete",
    "host-upgrade controller-0",
    "host-wiped controller-0",
    "upgrade-activation-requested",
    "upgrade-completing",
];
/// Short waits: a second of the lab is most of an hour.
const SHORT: &[&str] = &["--yes", "-e", "drbd_stable=1", "-e", "alarm_hold=30"];

fn whole(lab: &Lab) {
    let client = Client::start(lab.commands());
    let out = lab.play(SHORT);
    assert!(out.status.success(), "{}", text(&out));
    let outages = client.outages();
    println!("without the service: {outages:?}");
    assert_eq!(outages.len(), 2, "a client lost the service: {outages:?}");
    lab.assert_upgraded();
    lab.assert_once(ONCE);
    let again = lab.play(SHORT);
    assert!(again.status.success(), "{}", text(&again));
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));
    lab.assert_once(ONCE);
}

#[test]
fn to_the_end_and_then_nothing_to_do() {
    // Slow enough that a swact is more than an instant.
    let words = ["duplex", "--rate", "1000"];
    let Some(lab) = Lab::up_as("to_the_end_and_then_nothing_to_do", &words) else { return };
    whole(&lab);
}

/// etcd's data are copied at the first swact there, and shared until the second one here.
#[test]
fn in_the_older_dialect() {
    let Some(lab) =
        Lab::up_as("in_the_older_dialect", &["duplex", "--from", "20.06", "--to", "21.05", "--rate", "1000"])
    else {
        return;
    };
    whole(&lab);
}

#[test]
fn a_check_goes_to_the_end_and_changes_nothing() {
    let Some(lab) = Lab::up_as("a_check_goes_to_the_end_and_changes_nothing", &["duplex"]) else { return };
    let out = lab.play(&[SHORT, &["--check"]].concat());
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).contains("21.12 is active on every host"), "{}", text(&out));
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());
}

/// Killed at each of the journal's records.
#[test]
fn killed_on_the_way() {
    let Some(lab) = Lab::up_as("killed_on_the_way", &["duplex"]) else { return };
    lab.killed(&[&["play", "upgrade.yml", "-i", "inventory/lab"], SHORT].concat());
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

#[test]
fn cut_off_at_every_call() {
    let Some(lab) = Lab::up_as("cut_off_at_every_call", &["duplex"]) else { return };
    lab.cut_off(&[&["play", "upgrade.yml", "-i", "inventory/lab"], SHORT].concat());
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

/// Plays without an answer to the gate: it stops where controller-1 has the new release and is active.
fn to_the_gate(lab: &Lab) {
    let out = lab.play(&SHORT[1..]);
    assert!(!out.status.success() && text(&out).contains("GATE [controller-0 gives up"), "{}", text(&out));
    assert!(lab.changes().iter().all(|(name, _)| name != "host-upgrade controller-0"));
}

/// What was asked of the platform; what it does by itself goes on meanwhile.
fn asked(lab: &Lab) -> Vec<(String, usize)> {
    let asked =
        ["host-locking", "host-unlocking", "host-upgrade", "host-downgrade", "swact-requested", "upgrade-abort"];
    lab.changes().into_iter().filter(|(name, _)| asked.iter().any(|a| name.starts_with(a))).collect()
}

fn abort(lab: &Lab) -> std::process::Output {
    lab.upgrade(&["play", "abort.yml", "-i", "inventory/lab", "--yes"]).output().unwrap()
}

/// The old release runs everywhere, nothing is locked, and no upgrade is on record.
fn assert_aborted(lab: &Lab) {
    let status = String::from_utf8(lab.lab(&["status", "--json"]).stdout).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["upgrade"].is_null() && status["software_version"] == "21.05", "{status}");
    assert_eq!(status["active"], "controller-0", "{status}");
    for host in status["hosts"].as_array().unwrap() {
        assert!(host["release"] == "21.05" && host["administrative"] == "unlocked", "{status}");
    }
}

#[test]
fn aborted_with_controller_1_upgraded_and_begun_anew() {
    let Some(lab) = Lab::up_as("aborted_with_controller_1_upgraded_and_begun_anew", &["duplex"]) else { return };
    to_the_gate(&lab);
    let out = abort(&lab);
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).contains("-> before controller-0 is reinstalled"), "{}", text(&out));
    assert_aborted(&lab);
    let again = abort(&lab);
    assert!(again.status.success() && text(&again).contains("changed=0 "), "{}", text(&again));
    let out = lab.play(SHORT);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_upgraded();
    // Nothing in service goes back from here.
    let out = abort(&lab);
    assert!(out.status.success() && text(&out).contains("no upgrade was in progress"), "{}", text(&out));
}

#[test]
fn a_failed_migration_is_aborted_in_service() {
    let Some(lab) = Lab::up_as("a_failed_migration_is_aborted_in_service", &["duplex"]) else { return };
    assert!(lab.lab(&["fault", "add", "data-migration-failed"]).status.success());
    let out = lab.play(SHORT);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    assert!(
        text(&out).contains("data-migration-failed") && text(&out).contains("stx-upgrade play abort.yml"),
        "{}",
        text(&out)
    );
    let out = abort(&lab);
    assert!(out.status.success(), "{}", text(&out));
    assert_aborted(&lab);
}

#[test]
fn after_controller_0_an_abort_says_what_it_costs() {
    let Some(lab) = Lab::up_as("after_controller_0_an_abort_says_what_it_costs", &["duplex"]) else { return };
    assert!(lab.lab(&["fault", "add", "activation-fails"]).status.success());
    let out = lab.play(&[SHORT, &["-e", "activate_retries=0"]].concat());
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    let before = asked(&lab);
    let out = abort(&lab);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    let told = text(&out);
    assert!(
        told.contains("a total outage of hours") && told.contains("5         `system upgrade-abort-complete`"),
        "{told}"
    );
    assert!(told.contains("abort.yml -e abort_by_reinstallation=true"), "{told}");
    assert_eq!(asked(&lab), before, "nothing was changed");
    assert!(lab.lab(&["fault", "clear", "all"]).status.success());
    let out = lab.upgrade(&["resume"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "the last run is the abort: {}", text(&out));
    let out = lab.play(SHORT);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_upgraded();
}

/// Nobody goes that way by chance: it takes a variable and the answer to a gate.
#[test]
fn after_controller_0_an_abort_reinstalls_both() {
    let Some(lab) = Lab::up_as("after_controller_0_an_abort_reinstalls_both", &["duplex"]) else { return };
    assert!(lab.lab(&["fault", "add", "activation-fails"]).status.success());
    let out = lab.play(&[SHORT, &["-e", "activate_retries=0"]].concat());
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    let by_reinstallation =
        ["play", "abort.yml", "-i", "inventory/lab", "-e", "abort_by_reinstallation=true", "-e", "drbd_stable=1"];
    let before = asked(&lab);
    let out = lab.upgrade(&by_reinstallation).output().unwrap();
    assert!(text(&out).contains("GATE [every host goes down, and comes back with 21.05]"), "{}", text(&out));
    assert_eq!(asked(&lab), before, "nothing was changed");
    let out = lab.upgrade(&["resume", "--yes"]).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert_aborted(&lab);
    lab.assert_once(&["host-downgrade controller-0", "host-downgrade controller-1"]);
    let out = lab.upgrade(&[&by_reinstallation[..], &["--yes"]].concat()).output().unwrap();
    assert!(out.status.success() && text(&out).contains("changed=0 "), "{}", text(&out));
}
