//! A system with storage hosts and workers, upgraded by plain ssh; and the largest one of this lab.

mod rig;

use rig::{FLOATING, Lab, good, skipped, text};

fn ceph(lab: &Lab) -> String {
    good(&lab.at(FLOATING, "ceph health", ""))
}

fn upgraded(lab: &Lab, host: &str) {
    lab.lock(host);
    lab.system(&format!("host-upgrade {host}"));
    lab.until("host-upgrade-list --nowrap", &[host, "| 21.12           | 21.12"]);
    lab.until("host-list --nowrap", &[host, " locked ", " online "]);
    lab.unlock(host);
}

#[test]
fn storage_and_workers_after_the_controllers() {
    if skipped("storage_and_workers_after_the_controllers") {
        return;
    }
    let lab = Lab::up("sto", &["storage", "--rate", "3000", "--workers", "2", "--storage", "2"]);
    assert_eq!(ceph(&lab), "HEALTH_OK\n");
    let tree = good(&lab.at(FLOATING, "ceph osd tree", ""));
    assert!(tree.contains("chassis group-0") && tree.contains("host storage-1"), "{tree}");
    assert!(lab.system("host-show storage-0").contains("'name': 'group-0'"));
    // Every host is a machine of its own; only the controllers have the platform's commands.
    let worker = lab.at("worker-1", "hostname; cat /etc/platform/platform.conf; system host-list", "");
    assert!(text(&worker.stdout).starts_with("worker-1\nnodetype=worker\n"), "{}", text(&worker.stdout));
    assert_eq!(worker.status.code(), Some(127));

    lab.start_upgrade();
    lab.upgrade_controller_1();
    lab.wait("ceph", || ceph(&lab) == "HEALTH_OK\n");
    lab.swact("controller-0", "controller-1");
    assert!(lab.refused("host-upgrade storage-0").contains("All controller hosts must be using load 21.12"));
    upgraded(&lab, "controller-0");
    lab.until("upgrade-show", &["upgrading-hosts"]);
    lab.wait("ceph", || ceph(&lab) == "HEALTH_OK\n");

    assert!(lab.refused("host-upgrade storage-1").contains("storage-0 must be using load 21.12"));
    assert!(lab.refused("host-upgrade worker-0").contains("All storage hosts must be using load 21.12"));
    lab.system("host-lock storage-0");
    lab.until("host-list --nowrap", &["storage-0", " locked ", " online "]);
    assert!(ceph(&lab).starts_with("HEALTH_WARN"), "{}", ceph(&lab));
    assert!(lab.refused("host-lock storage-1").contains("replication is lost"));
    let status = good(&lab.at(FLOATING, "ceph -s", ""));
    assert!(status.contains("osd: 2 osds: 1 up, 2 in") && status.contains("1 osds down"), "{status}");
    lab.system("host-upgrade storage-0");
    lab.until("host-upgrade-list --nowrap", &["storage-0", "| 21.12           | 21.12"]);
    lab.until("host-list --nowrap", &["storage-0", " online "]);
    lab.unlock("storage-0");
    lab.wait("ceph", || ceph(&lab) == "HEALTH_OK\n");
    upgraded(&lab, "storage-1");
    lab.wait("ceph", || ceph(&lab) == "HEALTH_OK\n");

    assert!(lab.refused("upgrade-activate").contains("All hosts must be upgraded"));
    upgraded(&lab, "worker-0");
    upgraded(&lab, "worker-1");
    lab.system("upgrade-activate");
    lab.until("upgrade-show", &["activation-complete"]);
    lab.synced();
    lab.swact("controller-1", "controller-0");
    lab.system("upgrade-complete");
    lab.until("upgrade-show", &["No upgrade in progress"]);
    assert!(lab.changes("pod-moved") > 0);
    assert_eq!(lab.changes("pod-pending"), 0);
}

#[test]
fn workers_without_room_are_not_locked() {
    if skipped("workers_without_room_are_not_locked") {
        return;
    }
    let lab = Lab::up("cap", &["standard", "--rate", "3000", "--workers", "4"]);
    lab.lock("worker-0");
    lab.lock("worker-1");
    // Eight pods fill the two that are left.
    lab.system("host-lock worker-2");
    lab.until("host-show worker-2", &["Lock Rejected: Please Enable More Worker Resources"]);
    lab.unlock("worker-0");
    lab.lock("worker-2");
    assert_eq!(lab.changes("pod-pending"), 0);
    lab.unlock("worker-2");
    lab.unlock("worker-1");
}

#[test]
fn fifty_hosts() {
    if skipped("fifty_hosts") {
        return;
    }
    let lab = Lab::up("big", &["storage", "--rate", "3000", "--workers", "42", "--storage", "6"]);
    assert_eq!(lab.system("host-list --nowrap").matches(" available ").count(), 50);
    assert_eq!(good(&lab.at("worker-41", "hostname", "")), "worker-41\n");
}
