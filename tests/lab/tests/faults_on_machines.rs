//! Faults that act on the machines of a pair.

mod rig;

use rig::{FLOATING, Lab, skipped, text};

fn fault(lab: &Lab, args: &[&str]) {
    let out = lab.lab(&[&["fault", "add"], args].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn a_controller_that_dies_or_restarts() {
    if skipped("a_controller_that_dies_or_restarts") {
        return;
    }
    let lab = Lab::up("die", &["duplex", "--rate", "3000"]);
    fault(&lab, &["host-dies", "--host", "controller-1"]);
    lab.until("host-list --nowrap", &["controller-1", " disabled ", " offline "]);
    let alarms = lab.at(FLOATING, "source /etc/platform/openrc; fm alarm-list --nowrap", "");
    assert!(text(&alarms.stdout).contains("200.004") && text(&alarms.stdout).contains("400.002"));
    assert!(lab.refused("host-swact controller-0").contains("is not enabled"));
    assert!(lab.lab(&["power-on", "controller-1"]).status.success());
    lab.until("host-list --nowrap", &["controller-1", " enabled ", " available "]);
    lab.synced();
    // Without its cable it is as good as dead; with it, it comes back by itself.
    assert!(lab.lab(&["link", "controller-1", "down"]).status.success());
    lab.until("host-list --nowrap", &["controller-1", " disabled ", " offline "]);
    assert!(lab.lab(&["link", "controller-1", "up"]).status.success());
    lab.until("host-list --nowrap", &["controller-1", " enabled ", " available "]);
    lab.synced();
    // The operator's own way is another matter: the system does not notice.
    assert!(lab.lab(&["link", "operator", "down"]).status.success());
    assert!(!lab.at(FLOATING, "true", "").status.success());
    assert!(lab.lab(&["link", "operator", "up"]).status.success());
    lab.wait("the way to the site", || lab.at(FLOATING, "true", "").status.success());
    assert_eq!(lab.changes("take-over"), 0);
    // The active one restarts: the other takes over, with the data.
    fault(&lab, &["host-reboots", "--host", "controller-0"]);
    lab.wait("the other controller", || {
        let out = lab.at(FLOATING, &format!("hostname; {}", rig::system("host-list --nowrap")), "");
        text(&out.stdout).starts_with("controller-1\n") && out.status.success()
    });
    lab.until("host-list --nowrap", &["controller-0", " enabled ", " available "]);
    let notes = "cd /; runuser -u postgres -- psql -d sysinv -At -c 'select count(*) from site_notes'";
    assert_eq!(lab.root(FLOATING, notes), "200\n");
    assert_eq!(lab.changes("take-over"), 1);
}

#[test]
fn hieradata_that_is_not_what_it_was() {
    if skipped("hieradata_that_is_not_what_it_was") {
        return;
    }
    let lab = Lab::up("hie", &["duplex", "--rate", "3000"]);
    let file = "cat /opt/platform/puppet/21.05/hieradata/static.yaml";
    let key = "platform::params::software_version";
    let whole = lab.root(FLOATING, file);
    assert!(whole.contains(&format!("{key}: '21.05'")) || whole.contains(&format!("{key}: \"21.05\"")), "{whole}");
    fault(&lab, &["hiera-value-unquoted"]);
    lab.wait("the quotes to go", || lab.root(FLOATING, file).contains(&format!("{key}: 21.05\n")));
    fault(&lab, &["hiera-key-lost"]);
    lab.wait("the key to go", || !lab.root(FLOATING, file).contains(key));
    let size = lab.root(FLOATING, file).len();
    fault(&lab, &["hiera-partial"]);
    lab.wait("half of it to go", || lab.root(FLOATING, file).len() == size / 2);
    fault(&lab, &["hiera-missing", "--when", "upgrade-started"]);
    lab.start_upgrade();
    lab.lock("controller-1");
    lab.system("host-upgrade controller-1");
    lab.until("upgrade-show", &["data-migration-failed"]);
}

#[test]
fn activity_that_the_other_side_cannot_take() {
    if skipped("activity_that_the_other_side_cannot_take") {
        return;
    }
    let lab = Lab::up("act", &["duplex", "--rate", "3000"]);
    lab.start_upgrade();
    lab.upgrade_controller_1();
    fault(&lab, &["etcd-link-bad"]);
    lab.ask_swact("controller-0");
    lab.wait("the activity to come back", || lab.changes("active controller-0") == 1);
    lab.until("host-show controller-0", &["Swact: Failed"]);
    lab.root(FLOATING, "ln -sfn 21.05 /opt/etcd/21.12");
    lab.swact("controller-0", "controller-1");
    // An abort is promised in vain once the old data is gone: the way back fails, and ends where it began.
    fault(&lab, &["rollback-data-lost", "--host", "controller-1"]);
    lab.wait("the old data to go", || lab.root(FLOATING, "ls /var/lib/postgresql/21.05").lines().all(|l| l != "base"));
    lab.system("upgrade-abort");
    lab.ask_swact("controller-1");
    lab.wait("the activity to come back", || lab.changes("active controller-1") == 2);
    lab.until("host-show controller-1", &["Swact: Failed"]);
}

#[test]
fn files_of_a_simplex_system() {
    if skipped("files_of_a_simplex_system") {
        return;
    }
    let lab = Lab::up("sxf", &["simplex", "--rate", "3000"]);
    let there = |line: &str| !lab.root(FLOATING, &format!("{line} 2>/dev/null || true")).is_empty();
    fault(&lab, &["restore-flag-left"]);
    lab.wait("the flag", || there("ls /etc/platform/.restore_in_progress"));
    let blobs = || lab.root(FLOATING, "ls /var/lib/docker-distribution/blobs/sha256").lines().count();
    let before = blobs();
    fault(&lab, &["image-missing"]);
    lab.wait("a blob to go", || blobs() == before - 1);
    fault(&lab, &["patch-in-archive"]);
    lab.wait("the patch", || there("ls /opt/patching/metadata/applied"));
    fault(&lab, &["backup-second", "--when", "upgrade-started"]);
    lab.start_upgrade();
    lab.wait("the second pair", || lab.root(FLOATING, "ls /opt/platform-backup").lines().count() == 4);
    let archive = "f=$(ls /opt/platform-backup/upgrade_data_2*.tgz | tail -n 1); gzip -t $f && echo whole";
    assert!(there(archive));
    fault(&lab, &["backup-corrupt"]);
    lab.wait("the archive to be cut", || !there(archive));
}
