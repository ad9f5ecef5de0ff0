//! What can go wrong in a simplex upgrade, one after the other: each time the run ends as documented, with a message that says
//! what to do, nothing irreversible was done twice, and after the cause is gone that very command goes on to the end.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/lab.rs"]
mod lab;
#[path = "stx/ordeal.rs"]
mod ordeal;

use lab::{Lab, text};
use ordeal::{Ordeal, told};

#[test]
fn troubles_before_the_wipe() {
    let Some(lab) = Lab::up("troubles_before_the_wipe") else { return };
    let full = lab.dir.path().join("usb");
    std::fs::create_dir(&full).unwrap();
    let archives = format!("archives_dir={}", full.display());
    let mut ordeal = Ordeal::new(lab, &["alarm_hold=2", "load_timeout=4", &archives]);

    ordeal.set("admin-password-changed");
    ordeal.fails(&["Invalid Identity credentials", "that its keyring holds for `admin`", "then `stx-upgrade resume`"]);
    ordeal.clear();

    // Checks that fail are told together, and looked at again when the run goes on.
    ordeal.set("patch-not-current");
    ordeal.set("kube-record-stale");
    ordeal.set("cert-expires-soon");
    ordeal.fails(&[
        "3 of 10 checks failed: Kubernetes upgrade, patches, certificates",
        "system kube-upgrade-delete",
        "sudo sw-patch host-install controller-0",
        "system certificate-install",
        "`stx-upgrade resume`: it checks anew",
    ]);
    assert!(ordeal.lab.changes().iter().all(|(name, _)| name.starts_with("fault-")), "{:?}", ordeal.lab.changes());
    ordeal.clear();

    // Hieradata that the restore could not use is found while there is a system to mend it on.
    ordeal.host("cp -a /opt/platform/puppet/21.05/hieradata /root/kept");
    for (fault, says) in [
        ("hiera-missing", "hieradata/static.yaml does not exist"),
        ("hiera-partial", "lacks `platform::etcd::params::port`, which /etc/puppet/cache/hieradata/static.yaml has"),
    ] {
        ordeal.set(fault);
        ordeal.fails(&["1 of 10 checks failed: hieradata", says]);
        ordeal.clear();
        ordeal.host("cp -a /root/kept/. /opt/platform/puppet/21.05/hieradata/");
    }

    ordeal.set("disk-full mount=/opt/platform-backup");
    ordeal.fails(&["1 of 10 checks failed: disk space", "/opt/platform-backup has", "system controllerfs-modify"]);
    ordeal.clear();

    ordeal.set("load-signature-bad");
    ordeal.fails(&["could not be verified"]);
    ordeal.clear();
    ordeal.set("load-import-fails");
    ordeal.fails(&["error", "system load-delete"]);
    ordeal.host("source /etc/platform/openrc && system load-delete 2");
    ordeal.clear();
    ordeal.set("load-import-hangs");
    ordeal.fails(&["last seen: importing", "is not deleted by the platform", "`stx-upgrade resume`: it waits on"]);
    ordeal.clear();

    for fault in ["licence-invalid", "nodes-not-ready", "app-bad", "config-out-of-date"] {
        ordeal.set(fault);
        ordeal.fails(&["health-query-upgrade: ", "Next", "then `stx-upgrade resume`"]);
        ordeal.clear();
    }
    ordeal.set("app-apply-fails");
    ordeal.applies("platform-integ-apps", "apply-failed");
    ordeal.fails(&["not in a valid state: platform-integ-apps", "`system application-list`", "stx-upgrade resume"]);
    ordeal.applies("platform-integ-apps", "applied");
    assert_eq!(ordeal.done("upgrade-starting"), 0);
    ordeal.lab.assert_once(&["load-imported"]);

    ordeal.set("start-fails-silently");
    ordeal.fails(&["the upgrade record vanished", "/var/log/sysinv.log", "stx-upgrade resume"]);
    ordeal.set("disk-full mount=/opt/platform-backup --when upgrade-starting");
    ordeal.fails(&["the upgrade record vanished", "no space in", "stx-upgrade resume"]);
    ordeal.clear();

    ordeal.set("backup-second --when upgrade-started");
    ordeal.fails(&["_data_2020-01-01T000000", "stx-upgrade resume"]);
    ordeal.host("rm /opt/platform-backup/*_2020-01-01T*");

    // The stick that the archives go to is full.
    mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs", full.to_str().unwrap()]);
    ordeal.fails(&["No space left on device", "stx-upgrade resume"]);
    assert_eq!(ordeal.done("host-locking controller-0"), 0);
    mount(&["-o", "remount,size=64m", full.to_str().unwrap()]);

    ordeal.set("alarm-new");
    ordeal.fails(&["new or worse alarms", "100.101", "stx-upgrade resume"]);
    ordeal.clear();

    ordeal.set("lock-rejected-late");
    ordeal.fails(&["accepted and then refused", "yes: the host is still unlocked", "stx-upgrade resume"]);
    ordeal.clear();
    ordeal.set("host-upgrade-prompt");
    ordeal.fails(&["yes: the host was not wiped", "stx-upgrade resume"]);
    assert_eq!(ordeal.done("host-wiped controller-0"), 0);
    ordeal.clear();

    ordeal.ends();
    assert!(std::process::Command::new("umount").arg(&full).status().unwrap().success());
    ordeal.lab.assert_once(&["host-wiped controller-0", "database-restored", "upgrade-completed"]);
}

fn mount(args: &[&str]) {
    assert!(std::process::Command::new("mount").args(args).status().unwrap().success(), "mount {args:?}");
}

#[test]
fn a_torn_archive_stops_before_the_wipe() {
    let Some(lab) = Lab::up("a_torn_archive_stops_before_the_wipe") else { return };
    let mut ordeal = Ordeal::new(lab, &[]);
    ordeal.set("backup-corrupt --when upgrade-started");
    ordeal.fails(&["upgrade_data_", "stx-upgrade play abort.yml"]);
    assert_eq!(ordeal.done("host-locking controller-0"), 0);
    // The archive is made by upgrade-start alone: aborted, and begun anew.
    let abort = |ordeal: &Ordeal| {
        let out = ordeal.lab.upgrade(&["play", "abort.yml", "-i", "inventory/lab", "--yes"]).output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
    };
    abort(&ordeal);
    // An image of which the registry has lost a part.
    ordeal.host("cp -a /var/lib/docker-distribution /root/kept");
    ordeal.set("image-missing");
    let out = ordeal.play(&[]);
    told(
        &out,
        &["does not hold all of its images: docker.io/site/", "yes: nothing was changed", "stx-upgrade play abort.yml"],
    );
    assert_eq!(ordeal.done("host-locking controller-0"), 0);
    ordeal.clear();
    ordeal.host("cp -a /root/kept/. /var/lib/docker-distribution/");
    abort(&ordeal);
    let out = ordeal.play(&[]);
    assert!(out.status.success(), "{}", text(&out));
    ordeal.lab.assert_upgraded();
}

#[test]
fn troubles_in_the_restore() {
    let Some(lab) = Lab::up("troubles_in_the_restore") else { return };
    let mut ordeal = Ordeal::new(lab, &["reinstall_timeout=4"]);
    ordeal.set("reinstall-fails");
    ordeal.fails(&["install of 21.12", "console", "stx-upgrade resume"]);
    let wiped = ordeal.lab.lab(&["wipe", "controller-0", "--release", "21.12"]);
    assert!(wiped.status.success(), "{}", text(&wiped));

    // Another restore's flag is only passed over knowingly.
    ordeal.lab.wait_for_login();
    ordeal.set("restore-flag-left");
    ordeal.fails(&["Restore is already in progress!", "-e restore_again=true"]);
    ordeal.set("disk-full mount=/scratch");
    let out = ordeal.play(&["-e", "restore_again=true"]);
    told(&out, &["too little space: /scratch", "stx-upgrade resume"]);
    ordeal.clear();

    ordeal.set("disk-full mount=/opt/platform");
    ordeal.fails(&[
        "unpacking the archive failed",
        "No space left on device",
        "its archive is untouched",
        "stx-upgrade resume",
    ]);
    ordeal.clear();

    ordeal.set("disk-full mount=/var/lib/docker-distribution");
    ordeal.fails(&["pushing sha256:", "its archive is untouched", "stx-upgrade resume"]);
    ordeal.clear();

    ordeal.ends();
    ordeal.lab.assert_once(&["host-upgrade controller-0", "database-restored", "manifest-applied ansible_bootstrap"]);
}

#[test]
fn troubles_of_the_activation() {
    let Some(lab) = Lab::up("troubles_of_the_activation") else { return };
    let mut ordeal = Ordeal::new(lab, &["activate_timeout=4", "activate_retries=1"]);
    ordeal.set("activation-fails");
    ordeal.fails(&["activation-failed, 2 times", "yes: services run", "stx-upgrade resume"]);
    assert_eq!(ordeal.done("upgrade-activation-failed"), 2);
    ordeal.clear();
    ordeal.set("activation-stuck");
    ordeal.fails(&["activating-hosts", "controller-0: Config out-of-date", "250.001", "stx-upgrade resume"]);
    ordeal.clear();
    ordeal.ends();
}

/// What the platform does by itself, late or in another shape, stops nothing.
#[test]
fn troubles_that_pass() {
    let Some(lab) = Lab::up("troubles_that_pass") else { return };
    let mut ordeal = Ordeal::new(lab, &[]);
    for fault in [
        "wrap",
        "start-slow seconds=900",
        "command-hangs command=load-list seconds=1",
        "api-away seconds=300 --when load-imported",
        "alarm-transient seconds=3000 --when upgrade-started",
        "host-reboots --when upgrade-started",
        "lock-refused",
        "reboot-slow seconds=900 --when host-locked",
        "activation-fails-once",
    ] {
        ordeal.set(fault);
    }
    ordeal.ends();
    ordeal.lab.assert_once(lab::ONCE);
    assert_eq!(ordeal.done("upgrade-activation-failed"), 1);
}
