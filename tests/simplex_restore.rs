//! The restore half alone, as a user runs it: with archives of the control machine, on the host itself, with patches that
//! take a reboot, and what it refuses.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/lab.rs"]
mod lab;

use std::process::Output;

use lab::{Lab, text};

/// A controller that upgrade-start was run on and that was wiped then, with the new release installed, bare; the archives lie
/// in its backup partition and in `archives` on this machine.
fn wiped(test: &str, faults: &[&str]) -> Option<Lab> {
    let lab = Lab::up(test)?;
    for fault in faults.iter().chain(&["reinstall-fails"]) {
        let words: Vec<&str> = fault.split(' ').collect();
        assert!(lab.lab(&[&["fault", "add"], &words[..]].concat()).status.success(), "{fault}");
    }
    let archives = format!("archives_dir={}", lab.dir.path().join("archives").display());
    let out = lab.play(&["--yes", "-e", "reinstall_timeout=3", "-e", &archives]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    let out = lab.lab(&["wipe", "controller-0", "--release", "21.12"]);
    assert!(out.status.success(), "{}", text(&out));
    lab.forget_key();
    lab.wait_for_login();
    Some(lab)
}

const DONE_ONCE: &[&str] = &["host-upgrade controller-0", "database-restored", "manifest-applied ansible_bootstrap"];

fn restore(lab: &Lab, more: &[&str]) -> Output {
    let args = ["play", "restore.yml", "-i", "inventory/lab", "-e", "ansible_host_key_checking=false", "--yes"];
    lab.upgrade(&[&args[..], more].concat()).output().unwrap()
}

/// The rest of the upgrade, by upgrade.yml.
fn goes_on(lab: &Lab) {
    let out = lab.play(&["--yes", "-e", "ansible_host_key_checking=false"]);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(DONE_ONCE);
}

#[test]
fn archives_of_the_control_machine() {
    let Some(lab) = wiped("archives_of_the_control_machine", &[]) else { return };
    // The backup partition is lost too: only the copies are left.
    assert!(lab.lab(&["exec", "controller-0", "bash", "-c", "rm /opt/platform-backup/upgrade_*"]).status.success());
    let from = format!("initial_backup_dir={}", lab.dir.path().join("archives/controller-0").display());
    let out = restore(&lab, &["-e", "on_box_data=false", "-e", &from]);
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).contains("The next step is to unlock controller-0"), "{}", text(&out));
    let out = restore(&lab, &["-e", "on_box_data=false", "-e", &from]);
    assert!(out.status.success() && text(&out).contains("changed=0 "), "{}", text(&out));
    goes_on(&lab);
}

#[test]
fn on_the_host_itself() {
    let Some(lab) = wiped("on_the_host_itself", &[]) else { return };
    let tool = lab.dir.path().join("put.yml");
    let program = env!("CARGO_BIN_EXE_stx-upgrade");
    std::fs::write(
        &tool,
        format!("- hosts: all\n  gather_facts: false\n  tasks: [copy: {{src: {program}, dest: /home/sysadmin/stx-upgrade, mode: '0755'}}]\n"),
    )
    .unwrap();
    let args = ["play", tool.to_str().unwrap(), "-i", "inventory/lab", "-e", "ansible_host_key_checking=false"];
    let out = lab.upgrade(&args).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));

    let there = |line: &str| {
        let line = format!("cd && ./stx-upgrade {line}");
        lab.lab(&["exec", "controller-0", "runuser", "-u", "sysadmin", "--", "bash", "-lc", &line])
    };
    let words = "-i localhost, -c local --yes -e 'ansible_become_pass=Li69nux*St8' -e 'admin_password=Admin*Pass1&'";
    let out = there(&format!("play restore.yml {words}"));
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).contains("The next step is to unlock controller-0"), "{}", text(&out));
    // The unlock reboots the machine that this runs on.
    let out = there(&format!("play upgrade.yml {words}"));
    assert!(!out.status.success() && text(&out).contains("unlock controller-0"), "{}", text(&out));
    let mut out = out;
    for _ in 0..3 {
        lab.wait_for_login();
        out = there("resume --yes");
        // A login may still have come before the machine went down.
        if text(&out).contains("21.12 is active on controller-0") {
            break;
        }
    }
    assert!(out.status.success() && text(&out).contains("21.12 is active on controller-0"), "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(DONE_ONCE);
}

#[test]
fn patches_take_a_reboot() {
    let Some(lab) = wiped("patches_take_a_reboot", &["patch-in-archive reboot=Y"]) else { return };
    let out = restore(&lab, &[]);
    assert!(out.status.success(), "{}", text(&out));
    assert!(lab.changes().contains(&("reboot".to_owned(), 1)), "{:?}", lab.changes());
    let has = |path: &str| lab.lab(&["exec", "controller-0", "test", "-e", path]).status.success();
    assert!(has("/opt/patching/metadata/applied/STX_PATCH_0001-metadata.xml"));
    assert!(!has("/etc/platform/.restore_patching_complete") && !has("/var/run/node_is_patched"));
    goes_on(&lab);
}

/// Said before the wipe; an archive of such a system is refused too.
#[test]
fn a_ceph_backend_is_refused() {
    let Some(lab) = Lab::up("a_ceph_backend_is_refused") else { return };
    let touch = || {
        assert!(lab.lab(&["exec", "controller-0", "touch", "/etc/platform/.node_ceph_configured"]).status.success());
    };
    touch();
    let out = lab.play(&["--yes"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    assert!(text(&out).contains("1 of 10 checks failed: Ceph"), "{}", text(&out));
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());
}

#[test]
fn parameters_of_the_operator() {
    let Some(lab) = wiped("parameters_of_the_operator", &["patch-in-archive reboot=Y"]) else { return };
    let overrides = lab.dir.path().join("overrides");
    std::fs::create_dir(&overrides).unwrap();
    std::fs::write(overrides.join("site.yml"), "skip_patching: false\nwipe_ceph_osds: true\n").unwrap();
    let own = format!("override_files_dir={}", overrides.display());
    let out = restore(&lab, &["-e", &own]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    assert!(text(&out).contains("wipe_ceph_osds is not supported"), "{}", text(&out));
    let out = restore(&lab, &["-e", &own, "-e", "password_change=true"]);
    assert!(text(&out).contains("password_change is not supported"), "{}", text(&out));
    // The host's own file is read last.
    std::fs::write(overrides.join("controller-0.yml"), "skip_patching: true\nwipe_ceph_osds: false\n").unwrap();
    let out = restore(&lab, &["-e", &own]);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_once(&["database-restored"]);
    assert!(
        lab.changes().iter().all(|(name, _)| name != "reboot" && !name.starts_with("patch-installed")),
        "{:?}",
        lab.changes()
    );
}
