//! The lab as a whole: brings it up, upgrades it by plain ssh and shell, breaks it, and looks that nothing is left.
//!
//! Needs root and the packages of tools/packages; says so and stops where they are missing.

mod rig;

use rig::{FLOATING, Lab, PASSWORD, good, skipped, system, text};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// Runs a line on the host as sysadmin; the key of the host is the one known from `up`.
fn known(lab: &Lab, line: &str, input: &str) -> Output {
    rig::run(lab.ssh(FLOATING, true), line, input)
}

/// Waits until a line's output has the text.
#[track_caller]
fn until(lab: &Lab, line: &str, wanted: &str) {
    lab.wait(&format!("{line}: {wanted}"), || text(&lab.at(FLOATING, line, "").stdout).contains(wanted));
}

#[test]
fn a_whole_upgrade_by_hand() {
    if skipped("a_whole_upgrade_by_hand") {
        return;
    }
    let lab = Lab::up("all", &["simplex", "--rate", "3000"]);
    let uuid = lab.status()["system_uuid"].clone();
    let boot = good(&known(&lab, "cat /proc/sys/kernel/random/boot_id", ""));
    let (iso, sig) = ("loads/21.12/bootimage.iso", "loads/21.12/bootimage.sig");
    good(&known(&lab, &system(&format!("load-import {iso} {sig}")), ""));
    lab.until("load-list --nowrap", &["imported"]);
    assert!(!good(&known(&lab, &system("health-query-upgrade"), "")).contains("[Fail]"));
    good(&known(&lab, &system("upgrade-start"), ""));
    lab.until("upgrade-show", &["| started"]);
    let archives = good(&known(&lab, "ls /opt/platform-backup", ""));
    assert_eq!(archives.lines().count(), 2, "{archives}");

    // Refusals on the way, then the wipe.
    let early = known(&lab, &system("host-upgrade controller-0"), "yes\n");
    assert!(text(&early.stderr).contains("The host must be locked"), "{}", text(&early.stderr));
    good(&known(&lab, &system("host-lock controller-0"), ""));
    lab.until("host-list --nowrap", &[" locked ", " online "]);
    let unanswered = known(&lab, &system("host-upgrade controller-0"), "");
    assert!(text(&unanswered.stderr).contains("EOF when reading a line"));
    assert_eq!(lab.changes("host-upgrade"), 0);
    good(&known(&lab, &system("host-upgrade controller-0"), "yes\n"));
    lab.wait("host-down", || lab.changes("host-down") > 0);
    until(&lab, "cat /etc/build.info", "21.12");

    // Bare: another host key, nothing of the platform, the archives kept.
    let known = known(&lab, "true", "");
    assert!(text(&known.stderr).contains("HOST IDENTIFICATION HAS CHANGED"), "{}", text(&known.stderr));
    assert_ne!(good(&lab.at(FLOATING, "cat /proc/sys/kernel/random/boot_id", "")), boot);
    let bare = lab.at(
        FLOATING,
        "system upgrade-show; ls /etc/platform/openrc /opt/platform/puppet; ls /opt/platform-backup",
        "",
    );
    assert!(text(&bare.stderr).contains("You must provide a username"), "{}", text(&bare.stderr));
    assert_eq!(text(&bare.stdout), archives);

    // The platform does not come up on nothing.
    let hasty = "sudo -S -p '' /usr/local/bin/puppet-manifest-apply.sh /opt/platform/puppet/21.12/hieradata controller-0 \
                 controller ansible_bootstrap; sudo -S -p '' cat /var/log/puppet/latest/puppet.log";
    assert!(text(&lab.at(FLOATING, hasty, &format!("{PASSWORD}\n{PASSWORD}\n")).stdout).contains("Error: "));

    good(&lab.at(FLOATING, "cat > /tmp/restore.sh", include_str!("restore.sh")));
    good(&lab.at(FLOATING, "sudo -S -p '' bash /tmp/restore.sh 21.05 21.12", &format!("{PASSWORD}\n")));
    assert!(good(&lab.at(FLOATING, &system("upgrade-show"), "")).contains("upgrading-controllers"));
    good(&lab.at(FLOATING, &system("restore-start"), ""));
    lab.until("host-list --nowrap", &["online"]);
    let boot = good(&lab.at(FLOATING, "cat /proc/sys/kernel/random/boot_id", ""));
    good(&lab.at(FLOATING, &system("host-unlock controller-0"), ""));
    lab.until("upgrade-show", &["upgrading-hosts"]);
    lab.until("host-list --nowrap", &["available"]);
    assert_ne!(good(&lab.at(FLOATING, "cat /proc/sys/kernel/random/boot_id", "")), boot);
    good(&lab.at(FLOATING, &system("upgrade-activate"), ""));
    lab.until("upgrade-show", &["activation-complete"]);
    good(&lab.at(FLOATING, &system("upgrade-complete"), ""));
    lab.until("upgrade-show", &["No upgrade in progress"]);
    good(&lab.at(FLOATING, &system("load-delete 1"), ""));

    let status = lab.status();
    assert_eq!(status["software_version"], "21.12");
    assert_eq!(status["upgrade"], Value::Null);
    assert_eq!(status["system_uuid"], uuid);
    for (name, times) in
        [("host-wiped", 1), ("upgrade-starting", 1), ("database-restored", 1), ("upgrade-completed", 1)]
    {
        assert_eq!(lab.changes(name), times, "{name}");
    }
    let data = "sudo -S -p '' sh -c \"cd /; runuser -u postgres -- psql -d sysinv -At -c 'select count(*) from site_notes'; \
                ETCDCTL_API=3 etcdctl get --prefix --keys-only /registry | grep -c registry; \
                curl -s http://127.0.0.1:9001/v2/docker.io/site/frontend/tags/list; ls -A /etc/platform\"";
    let data = good(&lab.at(FLOATING, data, &format!("{PASSWORD}\n")));
    assert!(data.starts_with("200\n7\n{\"name\":\"docker.io/site/frontend\",\"tags\":[\"1.4.2\"]}"), "{data}");
    assert!(data.contains(".initial_config_complete") && !data.contains(".restore_in_progress"), "{data}");
}

#[test]
fn power_links_faults_and_what_is_left() {
    if skipped("power_links_faults_and_what_is_left") {
        return;
    }
    let lab = Lab::up("pwr", &["simplex", "--rate", "3000"]);
    let inventory: Value = serde_json::from_slice(&lab.lab(&["inventory", "--list"]).stdout).expect("JSON");
    assert_eq!(inventory["_meta"]["hostvars"]["controller-0"]["ansible_host"], "10.10.10.2");

    let boot = good(&known(&lab, "cat /proc/sys/kernel/random/boot_id; touch /tmp/volatile ~/kept", ""));
    let _ = known(&lab, "sudo -S -p '' reboot", &format!("{PASSWORD}\n"));
    lab.wait("host-enabled", || lab.changes("host-enabled") > 0);
    lab.until("host-list --nowrap", &["available"]);
    let after = good(&known(&lab, "cat /proc/sys/kernel/random/boot_id; ls /tmp; ls ~", ""));
    assert!(!after.contains(boot.trim()) && !after.contains("volatile") && after.contains("kept"), "{after}");

    assert!(lab.lab(&["power-cut", "controller-0"]).status.success());
    assert!(!known(&lab, "true", "").status.success());
    assert!(lab.lab(&["power-on", "controller-0"]).status.success());
    lab.until("host-list --nowrap", &["available"]);

    assert!(lab.lab(&["link", "controller-0", "down"]).status.success());
    assert!(!known(&lab, "true", "").status.success());
    assert!(lab.lab(&["link", "controller-0", "up"]).status.success());
    until(&lab, "hostname", "controller-0");

    assert!(lab.lab(&["fault", "add", "alarm-new", "id=100.101"]).status.success());
    until(&lab, "source /etc/platform/openrc; fm alarm-list --nowrap --mgmt_affecting", "100.101");
    assert!(lab.lab(&["fault", "clear", "all"]).status.success());
    assert_eq!(good(&known(&lab, "source /etc/platform/openrc; fm alarm-list", "")), "\n");
    assert!(lab.lab(&["fault", "add", "disk-full", "mount=/opt/platform-backup"]).status.success());
    until(&lab, "df --output=pcent /opt/platform-backup", "100%");
    let unknown = lab.lab(&["fault", "add", "no-such-fault"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("fault list"));

    let dir = lab.base.join("lab").display().to_string();
    assert!(lab.lab(&["down"]).status.success());
    assert!(!Path::new(&dir).exists());
    let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
    assert!(!mounts.contains(&dir), "{mounts}");
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!text(&line).contains(&dir), "{} is left", text(&line));
    }
}
