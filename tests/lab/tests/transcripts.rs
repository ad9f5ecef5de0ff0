//! The lab's command lines against what the real software printed: text, error text and exit code.
//!
//! The recordings (`transcripts/`) were made with the platform's own client and API of release 22.12 and an invented
//! next release 24.03. Identifiers and time stamps are compared by their shape.

mod rehearsal;

use rehearsal::Rehearsal;
use std::path::Path;

#[test]
fn simplex_start_and_abort() {
    let mut lab = Rehearsal::new("simplex");
    lab.same(&["s8-aio-007-show", "s8-aio-008-host-list", "s8-aio-009-kube-host-upgrade-list"]);
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    lab.same(&["s8-aio-010-health-query-upgrade", "s8-aio-011-upgrade-start"]);
    lab.later(20.0);
    lab.later(300.0);
    lab.same(&["s8-aio-012-upgrade-show", "s8-aio-013-host-swact-controller-0"]);
    lab.asked("s8-aio-014-upgrade-abort", &["yes"]);
    lab.same(&["s8-aio-015-upgrade-show", "s8-aio-016-upgrade-complete"]);
    lab.later(60.0);
    lab.same(&["s8-aio-017-upgrade-show"]);
}

#[test]
fn reading_a_healthy_system() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-001-version",
        "s8-dx-002-show",
        "s8-dx-003-host-list",
        "s8-dx-004-host-show-controller-0",
        "s8-dx-006-load-list",
        "s8-dx-007-load-show-1",
        "s8-dx-008-upgrade-show",
        "s8-dx-009-host-upgrade-list",
        "s8-dx-010-health-query",
        "s8-dx-011-health-query-upgrade",
        "s8-dx-012-health-query-kube-upgrade",
        "s8-dx-013-kube-version-list",
        "s8-dx-014-kube-version-show-v1.24.4",
        "s8-dx-015-kube-upgrade-show",
        "s8-dx-016-kube-host-upgrade-list",
        "s8-dx-017-application-list",
        "s8-dx-018-application-show-platform-integ-apps",
        "s8-dx-065-host-show-controller-0-column-hostname-column-administrative",
        "s8-dx-066-host-show-controller-0-column-hostname-column-administrative",
        "s8-dx-067-host-show-controller-0-format-yaml",
        "s8-dx-068-host-show-controller-0-format-value-column-availability",
        "s8-dx-070-host-list-column-hostname-column-operational-format-yaml",
    ]);
}

#[test]
fn refusals_without_an_upgrade() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-019-upgrade-start",
        "s8-dx-020-upgrade-activate",
        "s8-dx-021-upgrade-complete",
        "s8-dx-022-host-upgrade-controller-1",
        "s8-dx-023-host-downgrade-controller-1",
        "s8-dx-024-kube-upgrade-download-images",
        "s8-dx-025-kube-upgrade-networking",
        "s8-dx-026-kube-upgrade-complete",
        "s8-dx-027-kube-upgrade-delete",
        "s8-dx-028-kube-upgrade-failed",
        "s8-dx-029-kube-host-upgrade-controller-0-control-plane",
        "s8-dx-030-kube-host-upgrade-controller-0-kubelet",
    ]);
    lab.asked("s8-dx-031-upgrade-abort", &["yes"]);
    lab.asked("s8-dx-032-upgrade-abort", &[]);
    lab.asked("s8-dx-033-upgrade-abort", &["no"]);
    lab.same(&[
        "s8-dx-034-host-lock-controller-0",
        "s8-dx-035-host-unlock-controller-1",
        "s8-dx-036-host-lock-nosuch",
        "s8-dx-037-host-show-nosuch",
        "s8-dx-038-host-show-99",
        "s8-dx-039-host-upgrade-nosuch",
        "s8-dx-040-kube-host-upgrade-controller-0-nothing",
        "s8-dx-041-kube-upgrade-start-v9.9.9",
        "s8-dx-042-kube-upgrade-start-v1.21.8",
        "s8-dx-043-kube-upgrade-start",
        "s8-dx-046-load-import-nofile.iso-nofile.sig",
        "s8-dx-047-load-show-7",
        "s8-dx-048-load-delete-1",
        "s8-dx-049-host-list-format-json",
        "s8-dx-051-host-list-f-json",
        "s8-dx-053-host-list-json",
        "s8-dx-054-upgrade-show-json",
    ]);
}

#[test]
fn importing_a_load() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-071-load-import-noxml.iso-bootimage-24.03.sig",
        "s8-dx-072-load-import-same.iso-bootimage-24.03.sig",
        "s8-dx-073-load-import-nopath.iso-bootimage-24.03.sig",
    ]);
    lab.fault("load-signature-bad");
    lab.same(&["s8-dx-074-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.fault("load-import-fails");
    lab.same(&[
        "s8-dx-075-load-import-bootimage-24.03.iso-bootimage-24.03.sig",
        "s8-dx-076-load-list",
        "s8-dx-077-health-query-upgrade",
        "s8-dx-078-upgrade-start",
        "s8-dx-079-load-delete-2",
    ]);
    lab.later(400.0);
    lab.same(&["s8-dx-080-load-list", "s8-dx-081-upgrade-start", "s8-dx-082-load-delete-2"]);
    lab.later(60.0);
    lab.same(&["s8-dx-083-load-list"]);
    lab.system.next_load_id = 2; // the recorded system gave the number again
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig", "s8-dx-085-load-list"]);
    lab.later(400.0);
    lab.same(&[
        "s8-dx-086-load-list",
        "s8-dx-087-load-show-2",
        "s8-dx-088-load-import-bootimage-24.03.iso-bootimage-24.03.sig",
        "s8-dx-089-health-query-upgrade",
    ]);
}

fn imported() -> Rehearsal {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    lab
}

#[test]
fn health_that_fails() {
    let mut lab = imported();
    lab.system.raise("400.001", "service_domain=controller", "major", "Service group failure");
    lab.same(&[
        "s8-dx-090-health-query",
        "s8-dx-091-health-query-upgrade",
        "s8-dx-092-upgrade-start",
        "s8-dx-093-upgrade-start-force",
        "s8-dx-094-kube-upgrade-start-v1.24.4",
    ]);
    lab.system.alarms.clear();
    lab.system.raise("100.114", "host=controller-0", "minor", "NTP");
    lab.same(&["s8-dx-095-health-query-upgrade", "s8-dx-096-upgrade-start", "s8-dx-097-kube-upgrade-start-v1.24.4"]);
    lab.system.alarms.clear();
    lab.system.hosts[1].config_target = "another".into();
    lab.system.hosts[1].patch_current = false;
    lab.system.unhealthy.insert("nodes".into(), "controller-1".into());
    lab.system.unhealthy.insert("pods".into(), "kube-apiserver-controller-1".into());
    lab.system.unhealthy.insert("license".into(), String::new());
    lab.same(&["s8-dx-098-health-query", "s8-dx-099-health-query-upgrade", "s8-dx-100-health-query-kube-upgrade"]);

    let mut lab = imported();
    lab.system.apps[3].status = "apply-failed".into();
    lab.same(&["s8-dx-101-health-query-upgrade", "s8-dx-102-application-list"]);
    lab.system.apps[3].status = "applied".into();
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-103-upgrade-start", "s8-dx-104-health-query-upgrade"]);
}

#[test]
fn starting_and_locking() {
    let mut lab = imported();
    lab.fault("start-fails-silently");
    lab.same(&["s8-dx-105-upgrade-start"]);
    lab.later(300.0);
    lab.same(&["s8-dx-106-upgrade-show", "s8-dx-107-upgrade-start", "s8-dx-108-upgrade-show"]);
    lab.same(&[
        "s8-dx-109-host-lock-controller-1",
        "s8-dx-110-host-upgrade-controller-1",
        "s8-dx-111-upgrade-activate",
    ]);
    lab.later(20.0);
    lab.later(300.0);
    lab.same(&[
        "s8-dx-112-upgrade-show",
        "s8-dx-113-upgrade-start",
        "s8-dx-114-kube-upgrade-start-v1.24.4",
        "s8-dx-115-health-query",
        "s8-dx-116-upgrade-activate",
        "s8-dx-117-upgrade-complete",
        "s8-dx-119-host-upgrade-controller-1",
        "s8-dx-121-load-delete-2",
        "s8-dx-122-host-lock-controller-1",
        "s8-dx-123-host-list",
        "s8-dx-124-host-lock-controller-1",
        "s8-dx-125-host-upgrade-controller-1",
        "s8-dx-126-host-unlock-controller-1",
    ]);
    lab.later(35.0);
    lab.same(&["s8-dx-127-host-show-controller-1"]);
    lab.later(60.0);
    lab.same(&["s8-dx-128-host-list", "s8-dx-129-host-show-controller-1", "s8-dx-130-host-lock-controller-1"]);
    lab.system.hosts[1].availability = "offline".into();
    lab.same(&["s8-dx-133-host-upgrade-controller-1"]);
    lab.system.hosts[1].availability = "online".into();
    lab.same(&["s8-dx-134-host-upgrade-controller-1"]);
}

#[test]
fn activation_and_completion() {
    let mut lab = imported();
    assert_eq!(lab.system.upgrade_start(false), Ok(()));
    lab.later(20.0);
    lab.later(300.0);
    lab.system.upgrade.as_mut().expect("an upgrade").state = "upgrading-hosts".into();
    for host in &mut lab.system.hosts {
        host.running_release = "24.03".into();
        host.target_release = "24.03".into();
    }
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-194-upgrade-complete"]);
    lab.system.active = "controller-0".into();
    lab.fault("activation-fails-once");
    lab.same(&["s8-dx-195-upgrade-activate"]);
    lab.later(400.0);
    lab.same(&[
        "s8-dx-196-upgrade-show",
        "s8-dx-197-load-list",
        "s8-dx-198-upgrade-activate",
        "s8-dx-199-upgrade-activate",
    ]);
    lab.later(20.0);
    lab.same(&["s8-dx-201-upgrade-show", "s8-dx-202-upgrade-activate"]);
    lab.later(200.0);
    lab.later(100.0);
    lab.same(&["s8-dx-203-upgrade-show", "s8-dx-204-upgrade-activate", "s8-dx-205-load-list"]);
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-207-upgrade-complete"]);
    lab.system.active = "controller-0".into();
    lab.same(&["s8-dx-211-upgrade-complete", "s8-dx-212-upgrade-complete", "s8-dx-213-upgrade-show"]);
    lab.later(60.0);
    lab.same(&[
        "s8-dx-214-upgrade-show",
        "s8-dx-215-host-upgrade-list",
        "s8-dx-216-load-list",
        "s8-dx-217-upgrade-complete",
        "s8-dx-218-load-delete-1",
    ]);
    lab.later(60.0);
    lab.same(&["s8-dx-219-load-list", "s8-dx-220-health-query"]);
}

#[test]
fn wrapping_at_every_recorded_width() {
    let mut lab = Rehearsal::new("worker");
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut names: Vec<String> = std::fs::read_dir(recordings)
        .expect("the recordings")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".txt").to_string())
        .filter(|name| name.starts_with("s8-wrap-"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 38);
    for name in names {
        lab.width = match name[8..11].parse().expect("a number") {
            1..=7 => 200,
            8..=14 => 100,
            15..=21 => 80,
            22..=28 => 60,
            29..=35 => 40,
            _ => 80,
        };
        lab.same(&[&name]);
    }
}
