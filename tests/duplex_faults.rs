//! What can go wrong in the upgrade of two controllers, one after the other: each time the run ends as documented, with a message
//! that says what to do, and after the cause is gone that very command goes on to the end.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/lab.rs"]
mod lab;
#[path = "stx/ordeal.rs"]
mod ordeal;

use std::process::Stdio;
use std::time::{Duration, Instant};

use lab::{Lab, text};
use ordeal::Ordeal;

#[test]
fn troubles_of_the_pair() {
    let Some(lab) = Lab::up_as("troubles_of_the_pair", &["duplex"]) else { return };
    let mut ordeal = Ordeal::new(lab, &["drbd_stable=1", "drbd_apart=6", "alarm_hold=3"]);
    ordeal.set("instances-on-controller-1");
    ordeal.fails(&[
        "Number of instances on controller-1: 1",
        "migrate the virtual machines away",
        "stx-upgrade resume",
    ]);
    ordeal.clear();
    ordeal.set("lock-rejected-late host=controller-1");
    ordeal.fails(&["accepted and then refused", "yes: the host is still unlocked", "stx-upgrade resume"]);
    ordeal.clear();
    ordeal.set("unlock-fails host=controller-1");
    ordeal.fails(&["threshold reached", "`system host-lock controller-1`", "stx-upgrade resume"]);
    ordeal.clear();
    for state in ["lock", "unlock"] {
        ordeal.host(&format!(
            "source /etc/platform/openrc && until system host-{state} controller-1; do sleep 0.2; done"
        ));
    }
    ordeal.set("alarm-new id=100.104 entity=host=controller-0.filesystem=/");
    ordeal.fails(&["new or worse alarms", "100.104", "stx-upgrade resume"]);
    ordeal.clear();
    ordeal.set("host-dies");
    ordeal.fails(&[
        "no connection to controller-1",
        "`system host-show controller-1` and its console",
        "stx-upgrade resume",
    ]);
    assert!(ordeal.lab.lab(&["power-on", "controller-1"]).status.success());
    ordeal.host("until drbd-overview | grep -q 'Connected'; do sleep 0.2; done");
    ordeal.set("swact-refused");
    ordeal.fails(&["yes: controller-0 is active and serves", "stx-upgrade resume"]);
    ordeal.clear();
    ordeal.set("swact-fails --times 3");
    ordeal.fails(&["accepted and then failed", "controller-0 is active", "Known", "it moves to controller-1 again"]);
    ordeal.clear();
    // Here etcd's data are shared until controller-0 has the new release.
    ordeal.set("etcd-link-bad");
    let swacts = ordeal.done("swact-requested controller-0");
    ordeal.fails(&[
        "/opt/etcd/21.12 is a link to nothing",
        "controller-0 is active",
        "ln -sfn OLD_RELEASE /opt/etcd/21.12",
    ]);
    assert_eq!(ordeal.done("swact-requested controller-0"), swacts + 3);
    ordeal.host("ln -sfn 21.05 /opt/etcd/21.12");

    // The way back is gone: an abort is refused, and the upgrade goes on where somebody wants that.
    ordeal.set("rollback-data-lost host=controller-1 --when active");
    let lost = ["data of 21.05 are not there: /var/lib/postgresql/21.05/base", "-e way_back=false"];
    ordeal.fails(&lost);
    let before = ordeal.lab.changes();
    let out = ordeal.lab.upgrade(&["play", "abort.yml", "-i", "inventory/lab", "--yes"]).output().unwrap();
    ordeal::told(&out, &lost);
    assert_eq!(ordeal.lab.changes(), before);
    let out = ordeal.play(&["-e", "way_back=false"]);
    assert!(out.status.success() && text(&out).contains("Undo until here  none"), "{}", text(&out));
    ordeal.lab.assert_upgraded();
    ordeal.lab.assert_once(&["host-wiped controller-1", "host-wiped controller-0", "upgrade-completed"]);
}

/// What the platform does by itself, late or at the second try, stops nothing.
#[test]
fn troubles_that_pass() {
    let Some(lab) = Lab::up_as("troubles_that_pass", &["duplex"]) else { return };
    let mut ordeal = Ordeal::new(lab, &["drbd_stable=1", "alarm_hold=30"]);
    for fault in [
        "wrap",
        "start-slow seconds=900",
        "agent-late",
        "inventory-late",
        "data-migration-slow",
        "unlock-refused host=controller-1",
        "sync-late seconds=600",
        "sync-slow seconds=1800",
        "swact-fails",
        "swact-slow",
        "activation-fails-once",
    ] {
        ordeal.set(fault);
    }
    ordeal.ends();
    ordeal.lab.assert_once(&["host-wiped controller-1", "host-wiped controller-0", "upgrade-completed"]);
    assert_eq!(ordeal.done("upgrade-activation-failed"), 1);
}

/// Who comes second is told who is at work, another operator and the same one alike; a run that died is followed by the same one's next.
#[test]
fn one_operator_at_a_time() {
    let Some(lab) = Lab::up_as("one_operator_at_a_time", &["duplex"]) else { return };
    let mut ordeal = Ordeal::new(lab, &["drbd_stable=1", "alarm_hold=30"]);
    ordeal.set("load-import-hangs");
    let mut first = ordeal.lab.upgrade(&["play", "upgrade.yml", "-i", "inventory/lab"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while ordeal.done("load-importing") == 0 {
        assert!(
            Instant::now() < until && first.try_wait().unwrap().is_none(),
            "the first run does not come to the import"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let out = ordeal.play(&[]);
    ordeal::told(&out, &["is at work on this system", "min at most", "wait for it (`stx-upgrade show "]);
    first.kill().unwrap();
    first.wait().unwrap();
    ordeal.clear();
    ordeal.set("lock-rejected-late host=controller-1");
    ordeal.fails(&["accepted and then refused"]);
    ordeal.host("sed -i 's/^owner=.*/owner=eve@jump2/' /opt/platform/.stx-upgrade/lease");
    let out = ordeal.play(&[]);
    ordeal::told(&out, &["eve@jump2 is at work on this system", "take_over=true"]);
    let out = ordeal.play(&["-e", "take_over=true"]);
    assert!(out.status.success(), "{}", text(&out));
    ordeal.lab.assert_upgraded();
    ordeal.host("test ! -e /opt/platform/.stx-upgrade/lease");
}

/// The active controller dies, the other one takes over: the run follows the floating address to it, by a key that it knows, and
/// says what is not as it left it.
#[test]
fn a_failover_is_followed() {
    let Some(lab) = Lab::up_as("a_failover_is_followed", &["duplex"]) else { return };
    let mut ordeal = Ordeal::new(lab, &["drbd_stable=1", "alarm_hold=30"]);
    ordeal.set("host-reboots --when upgrade-started");
    ordeal.fails(&[
        "link: [oamcontroller] is back",
        "this run did not ask controller-1 to serve",
        "stx-upgrade play abort.yml",
    ]);
    ordeal.clear();
    let out = ordeal.lab.upgrade(&["play", "abort.yml", "-i", "inventory/lab", "--yes"]).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!((ordeal.done("upgrade-aborted"), ordeal.done("host-wiped controller-1")), (1, 0));
}
