//! The rules of larger systems against what the real software of release 22.12 answered: the whole upgrade of a pair, its
//! abort, and the Kubernetes upgrade of a pair with a worker.

mod rehearsal;

use rehearsal::Rehearsal;

fn started() -> Rehearsal {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    lab.system.upgrade_start(false).expect("a start");
    lab.later(300.0);
    lab
}

fn locked(lab: &mut Rehearsal, host: &str) {
    lab.system.host_lock(host, false).expect("a lock");
    lab.later(90.0);
}

fn unlocked(lab: &mut Rehearsal, host: &str) {
    lab.system.host_unlock(host).expect("an unlock");
    lab.later(300.0);
}

fn swacted(lab: &mut Rehearsal, from: &str) {
    lab.system.host_swact(from, false).expect("a swact");
    lab.later(60.0);
    assert_ne!(lab.system.active, from);
}

fn controller_1_upgraded() -> Rehearsal {
    let mut lab = started();
    locked(&mut lab, "controller-1");
    lab.system.host_upgrade("controller-1", false).expect("an upgrade");
    lab.later(2000.0);
    unlocked(&mut lab, "controller-1");
    lab.later(1000.0);
    lab
}

#[test]
fn a_pair_is_upgraded_in_the_recorded_order() {
    let mut lab = started();
    lab.same(&["s8-dx-118-host-upgrade-controller-0", "s8-dx-120-host-swact-controller-0"]);
    locked(&mut lab, "controller-1");
    lab.same(&["s8-dx-131-host-swact-controller-0"]);
    lab.system.host_upgrade("controller-1", false).expect("an upgrade");
    lab.same(&["s8-dx-137-host-unlock-controller-1"]);
    lab.later(2000.0);
    lab.same(&["s8-dx-148-host-upgrade-controller-0", "s8-dx-149-host-swact-controller-0"]);
    lab.system.host_unlock("controller-1").expect("an unlock");
    lab.same(&["s8-dx-151-host-unlock-controller-1"]);
    lab.later(1000.0);
    lab.same(&["s8-dx-160-host-upgrade-controller-0", "s8-dx-161-host-lock-controller-0"]);
    lab.fault("swact-refused");
    lab.same(&["s8-dx-166-host-swact-controller-0"]);
    swacted(&mut lab, "controller-0");
    lab.same(&["s8-dx-177-upgrade-complete"]);
    locked(&mut lab, "controller-0");
    lab.system.host_upgrade("controller-0", false).expect("an upgrade");
    lab.later(2000.0);
    assert_eq!(lab.system.upgrade.as_ref().map(|u| u.state.as_str()), Some("upgrading-hosts"));
    unlocked(&mut lab, "controller-0");
    lab.later(1000.0);
    lab.same(&["s8-dx-198-upgrade-activate"]);
    lab.later(300.0);
    lab.same(&["s8-dx-207-upgrade-complete"]);
    swacted(&mut lab, "controller-1");
    lab.same(&["s8-dx-211-upgrade-complete"]);
    lab.later(60.0);
    lab.same(&["s8-dx-214-upgrade-show"]);
}

#[test]
fn aborted_before_any_host_was_upgraded() {
    let mut lab = started();
    lab.asked("s8-abort-001-upgrade-abort", &["yes"]);
    lab.same(&["s8-abort-002-upgrade-show", "s8-abort-003-load-list"]);
    lab.asked("s8-abort-004-upgrade-abort", &["yes"]);
    lab.same(&[
        "s8-abort-005-host-upgrade-controller-1",
        "s8-abort-006-upgrade-activate",
        "s8-abort-007-upgrade-complete",
        "s8-abort-008-upgrade-show",
    ]);
    lab.later(60.0);
    lab.same(&["s8-abort-009-upgrade-show"]);
}

#[test]
fn aborted_after_controller_1() {
    let mut lab = controller_1_upgraded();
    swacted(&mut lab, "controller-0");
    lab.asked("s8-abort-014-upgrade-abort", &["yes"]);
    lab.same(&["s8-abort-015-upgrade-show", "s8-abort-016-upgrade-complete"]);
    swacted(&mut lab, "controller-1");
    lab.same(&["s8-abort-018-upgrade-complete", "s8-abort-019-host-downgrade-controller-1"]);
    locked(&mut lab, "controller-1");
    lab.system.host_downgrade("controller-1", false).expect("a downgrade");
    lab.later(2000.0);
    unlocked(&mut lab, "controller-1");
    assert!(lab.system.upgrade_complete().is_ok());
    lab.later(60.0);
    lab.same(&["s8-abort-009-upgrade-show"]);
}

#[test]
fn an_abort_after_controller_0_asks_twice() {
    let mut lab = controller_1_upgraded();
    swacted(&mut lab, "controller-0");
    locked(&mut lab, "controller-0");
    lab.system.host_upgrade("controller-0", false).expect("an upgrade");
    lab.later(2000.0);
    lab.asked("s8-abort-029-upgrade-abort", &["yes"]);
    lab.asked("s8-abort-030-upgrade-abort", &["yes", "no"]);
    lab.asked("s8-abort-031-upgrade-abort", &["yes", "abort"]);
}

#[test]
fn a_failed_migration_and_a_failed_installation() {
    let mut lab = started();
    lab.fault("data-migration-failed");
    locked(&mut lab, "controller-1");
    lab.system.host_upgrade("controller-1", false).expect("an upgrade");
    lab.later(2000.0);
    lab.same(&[
        "s8-abort-034-upgrade-show",
        "s8-abort-035-host-unlock-controller-1",
        "s8-abort-036-host-upgrade-controller-1",
    ]);
    let mut lab = started();
    lab.fault("reinstall-fails");
    locked(&mut lab, "controller-1");
    lab.system.host_upgrade("controller-1", false).expect("an upgrade");
    lab.later(2000.0);
    lab.same(&["s8-abort-045-host-unlock-controller-1"]);
    let mut lab = started();
    lab.fault("lock-refused");
    lab.same(&["s8-abort-046-host-lock-controller-1"]);
}

#[test]
fn all_in_one_pairs_have_more_to_say() {
    let mut lab = started();
    lab.system.info.system_type = "All-in-one".into();
    lab.same(&["s8-aio-003-health-query-upgrade", "s8-aio-005-host-swact-controller-0"]);
    lab.asked("s8-aio-006-upgrade-abort", &["yes", "abort"]);
}

#[test]
fn a_simplex_kubernetes_upgrade() {
    let mut lab = Rehearsal::new("simplex");
    lab.same(&["s8-aio-018-kube-upgrade-start-v1.24.4", "s8-aio-019-kube-upgrade-download-images"]);
    lab.later(400.0);
    lab.same(&["s8-aio-022-kube-upgrade-networking"]);
    lab.later(200.0);
    lab.same(&["s8-aio-024-kube-host-upgrade-controller-0-control-plane"]);
    lab.later(200.0);
    lab.same(&["s8-aio-026-kube-host-upgrade-controller-0-kubelet"]);
    lab.later(100.0);
    lab.same(&["s8-aio-028-kube-host-upgrade-list", "s8-aio-029-kube-upgrade-complete"]);
    lab.same(&["s8-aio-030-kube-upgrade-delete"]);
}

#[test]
fn a_kubernetes_upgrade_from_the_first_refusal_to_the_last_step() {
    let mut lab = Rehearsal::new("worker");
    lab.same(&[
        "s8-kube-001-host-list",
        "s8-kube-002-kube-version-list",
        "s8-kube-003-kube-host-upgrade-list",
        "s8-kube-004-kube-upgrade-show",
        "s8-kube-005-health-query-kube-upgrade",
    ]);
    lab.system.apps[3].status = "apply-failed".into();
    lab.same(&["s8-kube-009-kube-upgrade-start-v1.24.4"]);
    lab.system.apps[3].status = "applied".into();
    lab.system.hosts[2].kube.kubelet = "v1.22.5".into();
    lab.same(&["s8-kube-010-kube-version-list", "s8-kube-011-kube-upgrade-start-v1.24.4"]);
    lab.system.hosts[2].kube.kubelet = "v1.23.1".into();
    lab.same(&[
        "s8-kube-012-kube-upgrade-start-1.24.4",
        "s8-kube-013-kube-upgrade-start-v1.23.1",
        "s8-kube-014-kube-upgrade-start-v1.24.4",
        "s8-kube-015-kube-upgrade-show",
        "s8-kube-016-kube-upgrade-start-v1.24.4",
        "s8-kube-017-health-query",
        "s8-kube-019-upgrade-start",
        "s8-kube-020-kube-version-list",
        "s8-kube-021-kube-host-upgrade-list",
        "s8-kube-022-kube-upgrade-networking",
        "s8-kube-023-kube-host-upgrade-controller-0-control-plane",
        "s8-kube-024-kube-host-upgrade-controller-1-kubelet",
        "s8-kube-025-kube-upgrade-complete",
        "s8-kube-026-kube-upgrade-delete",
        "s8-kube-027-kube-upgrade-failed",
    ]);
    lab.fault("kube-download-fails");
    lab.same(&[
        "s8-kube-028-kube-upgrade-download-images",
        "s8-kube-029-kube-upgrade-show",
        "s8-kube-030-kube-upgrade-download-images",
        "s8-kube-031-kube-upgrade-networking",
    ]);
    lab.later(400.0);
    lab.same(&[
        "s8-kube-032-kube-upgrade-show",
        "s8-kube-033-kube-upgrade-download-images",
        "s8-kube-034-kube-upgrade-failed",
        "s8-kube-035-kube-upgrade-show",
    ]);
    lab.later(400.0);
    lab.same(&[
        "s8-kube-037-kube-upgrade-show",
        "s8-kube-038-kube-host-upgrade-controller-0-control-plane",
        "s8-kube-039-kube-upgrade-complete",
    ]);
    lab.fault("kube-networking-fails");
    lab.same(&[
        "s8-kube-040-kube-upgrade-networking",
        "s8-kube-041-kube-upgrade-show",
        "s8-kube-042-kube-upgrade-networking",
    ]);
    lab.later(200.0);
    lab.same(&[
        "s8-kube-043-kube-upgrade-show",
        "s8-kube-044-kube-host-upgrade-controller-1-control-plane",
        "s8-kube-045-kube-upgrade-networking",
    ]);
    lab.later(200.0);
    lab.same(&[
        "s8-kube-046-kube-upgrade-show",
        "s8-kube-047-kube-host-upgrade-worker-0-control-plane",
        "s8-kube-048-kube-host-upgrade-controller-0-kubelet",
    ]);
    control_planes(&mut lab);
    kubelets(&mut lab);
}

fn control_planes(lab: &mut Rehearsal) {
    locked(lab, "controller-1");
    lab.same(&["s8-kube-049-kube-host-upgrade-controller-1-control-plane"]);
    unlocked(lab, "controller-1");
    lab.later(200.0);
    lab.fault("kube-control-plane-fails");
    lab.same(&[
        "s8-kube-050-kube-host-upgrade-controller-1-control-plane",
        "s8-kube-051-kube-upgrade-show",
        "s8-kube-052-kube-host-upgrade-controller-1-control-plane",
        "s8-kube-053-kube-host-upgrade-controller-0-control-plane",
        "s8-kube-054-kube-host-upgrade-list",
    ]);
    lab.later(200.0);
    lab.same(&[
        "s8-kube-056-kube-upgrade-show",
        "s8-kube-057-kube-host-upgrade-list",
        "s8-kube-058-kube-host-upgrade-controller-0-control-plane",
        "s8-kube-059-kube-host-upgrade-controller-1-control-plane",
    ]);
    lab.later(200.0);
    lab.same(&[
        "s8-kube-060-kube-upgrade-show",
        "s8-kube-061-kube-host-upgrade-list",
        "s8-kube-062-kube-version-list",
        "s8-kube-063-kube-host-upgrade-controller-1-control-plane",
        "s8-kube-064-kube-upgrade-networking",
        "s8-kube-065-kube-host-upgrade-controller-1-kubelet",
        "s8-kube-066-kube-host-upgrade-controller-0-control-plane",
        "s8-kube-067-kube-upgrade-show",
    ]);
    lab.later(200.0);
    lab.same(&[
        "s8-kube-068-kube-upgrade-show",
        "s8-kube-069-kube-host-upgrade-list",
        "s8-kube-070-kube-version-list",
        "s8-kube-071-kube-host-upgrade-controller-1-kubelet",
        "s8-kube-072-kube-host-upgrade-worker-0-kubelet",
        "s8-kube-073-kube-upgrade-complete",
    ]);
}

fn kubelets(lab: &mut Rehearsal) {
    locked(lab, "controller-1");
    lab.same(&[
        "s8-kube-076-kube-host-upgrade-controller-1-kubelet",
        "s8-kube-077-kube-upgrade-show",
        "s8-kube-078-kube-host-upgrade-controller-1-kubelet",
        "s8-kube-079-host-unlock-controller-1",
        "s8-kube-080-kube-host-upgrade-list",
    ]);
    lab.later(100.0);
    lab.same(&[
        "s8-kube-082-kube-host-upgrade-list",
        "s8-kube-083-kube-upgrade-show",
        "s8-kube-084-kube-upgrade-complete",
    ]);
    unlocked(lab, "controller-1");
    lab.later(200.0);
    swacted(lab, "controller-0");
    locked(lab, "controller-0");
    lab.fault("kube-kubelet-fails");
    lab.same(&["s8-kube-091-kube-host-upgrade-controller-0-kubelet"]);
    lab.later(100.0);
    assert_eq!(lab.system.hosts[0].kube.status.as_deref(), Some("upgrading-kubelet-failed"));
    lab.same(&["s8-kube-095-kube-host-upgrade-controller-0-kubelet"]);
    lab.later(100.0);
    lab.same(&["s8-kube-096-kube-host-upgrade-list"]);
    unlocked(lab, "controller-0");
    lab.same(&["s8-kube-099-kube-upgrade-complete"]);
    locked(lab, "worker-0");
    lab.same(&["s8-kube-103-kube-host-upgrade-worker-0-kubelet"]);
    lab.later(100.0);
    lab.same(&["s8-kube-104-kube-host-upgrade-list"]);
    unlocked(lab, "worker-0");
    lab.later(200.0);
    lab.same(&[
        "s8-kube-108-kube-upgrade-complete",
        "s8-kube-109-kube-upgrade-show",
        "s8-kube-110-kube-host-upgrade-list",
        "s8-kube-112-kube-upgrade-start-v1.24.4",
        "s8-kube-113-kube-upgrade-delete",
        "s8-kube-114-kube-upgrade-show",
        "s8-kube-115-kube-version-list",
    ]);
}
