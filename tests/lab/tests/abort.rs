//! The two ways back from an upgrade of a larger system.

mod rig;

use rig::{FLOATING, Lab, good, skipped};

const NOTES: &str = "cd /; runuser -u postgres -- psql -d sysinv -At -c 'select max(note) from site_notes'";

#[test]
fn in_service_before_controller_0() {
    if skipped("in_service_before_controller_0") {
        return;
    }
    let lab = Lab::up("abo", &["duplex", "--rate", "3000"]);
    let before = lab.root(FLOATING, NOTES);
    lab.start_upgrade();
    lab.upgrade_controller_1();
    lab.swact("controller-0", "controller-1");
    // What is written under the new release is lost with it.
    lab.root(
        FLOATING,
        "cd /; runuser -u postgres -- psql -q -d sysinv -c \"insert into site_notes(note) values ('zzz')\"",
    );
    assert!(lab.refused("host-downgrade controller-1").contains("Upgrade not in aborting state"));
    assert!(lab.system("upgrade-abort").contains("aborting "));
    assert!(lab.refused("host-upgrade controller-0").contains("Aborting Upgrade"));
    assert!(lab.refused("upgrade-abort-complete").contains("when controller-0 is active"));
    lab.swact("controller-1", "controller-0");
    assert_eq!(lab.root(FLOATING, NOTES), before);
    assert!(lab.refused("upgrade-abort-complete").contains("All hosts must be downgraded"));
    lab.lock("controller-1");
    lab.system("host-downgrade controller-1");
    lab.until("host-upgrade-list --nowrap", &["controller-1", "| 21.05           | 21.05"]);
    lab.until("host-list --nowrap", &["controller-1", " locked ", " online "]);
    lab.unlock("controller-1");
    lab.synced();
    lab.system("upgrade-abort-complete");
    lab.until("upgrade-show", &["No upgrade in progress"]);
    lab.wait("the new data to go", || !lab.root(FLOATING, "ls /opt/etcd /var/lib/postgresql").contains("21.12"));
    assert_eq!(lab.status()["software_version"], "21.05");
    // The pair is whole again: activity moves as before.
    lab.swact("controller-0", "controller-1");
    assert_eq!(lab.root(FLOATING, NOTES), before);
}

#[test]
fn after_a_failed_migration() {
    if skipped("after_a_failed_migration") {
        return;
    }
    let lab = Lab::up("mig", &["duplex", "--rate", "3000"]);
    assert!(lab.lab(&["fault", "add", "hiera-missing"]).status.success());
    lab.start_upgrade();
    lab.lock("controller-1");
    lab.system("host-upgrade controller-1");
    lab.until("upgrade-show", &["data-migration-failed"]);
    lab.until("host-list --nowrap", &["controller-1", " locked ", " online "]);
    assert!(lab.refused("host-unlock controller-1").contains("because data migration failed"));
    lab.system("upgrade-abort");
    lab.system("host-downgrade controller-1");
    lab.until("host-upgrade-list --nowrap", &["controller-1", "| 21.05           | 21.05"]);
    lab.until("host-list --nowrap", &["controller-1", " locked ", " online "]);
    lab.unlock("controller-1");
    lab.system("upgrade-abort-complete");
    lab.until("upgrade-show", &["No upgrade in progress"]);
}

#[test]
fn by_reinstallation_after_controller_0() {
    if skipped("by_reinstallation_after_controller_0") {
        return;
    }
    let lab = Lab::up("rei", &["standard", "--rate", "3000", "--workers", "1"]);
    let before = lab.root(FLOATING, NOTES);
    lab.start_upgrade();
    lab.upgrade_controller_1();
    lab.swact("controller-0", "controller-1");
    lab.lock("controller-0");
    lab.system("host-upgrade controller-0");
    lab.until("upgrade-show", &["upgrading-hosts"]);
    lab.until("host-list --nowrap", &["controller-0", " locked ", " online "]);
    let asked = lab.at(FLOATING, &rig::system("upgrade-abort"), "yes\nno\n");
    assert!(good(&asked).contains("COMPLETE SYSTEM OUTAGE") && good(&asked).contains("Operation cancelled."));
    assert!(lab.system("upgrade-abort").contains("aborting-reinstall"));
    assert!(lab.refused("host-downgrade controller-0").contains("must be locked and offline"));
    assert!(lab.system("host-lock --force worker-0").contains("Force Locking"));
    lab.until("host-list --nowrap", &["worker-0", " locked ", " online "]);
    assert!(lab.lab(&["power-cut", "worker-0"]).status.success());
    lab.until("host-list --nowrap", &["worker-0", " locked ", " offline "]);
    assert!(lab.refused("host-downgrade controller-1").contains("controller-0 must be using load 21.05"));
    lab.system("host-downgrade controller-0");
    lab.until("host-upgrade-list --nowrap", &["controller-0", "| 21.05           | 21.05"]);
    lab.until("host-list --nowrap", &["controller-0", " locked ", " online "]);
    lab.unlock("controller-0");
    lab.synced();
    lab.swact("controller-1", "controller-0");
    assert_eq!(lab.root(FLOATING, NOTES), before);
    lab.lock("controller-1");
    lab.system("host-downgrade controller-1");
    lab.until("host-upgrade-list --nowrap", &["controller-1", "| 21.05           | 21.05"]);
    lab.until("host-list --nowrap", &["controller-1", " locked ", " online "]);
    lab.unlock("controller-1");
    lab.system("upgrade-abort-complete");
    lab.until("upgrade-show", &["No upgrade in progress"]);
    assert!(lab.lab(&["power-on", "worker-0"]).status.success());
    lab.until("host-list --nowrap", &["worker-0", " locked ", " online "]);
    lab.unlock("worker-0");
}
