//! What each fault does that acts on the rules and the words; those that act on machines are in `faults_on_machines`.

mod rehearsal;

use rehearsal::Rehearsal;
use stx_lab::system::fault_catalogue::CATALOGUE;
use stx_lab::system::seed::Wish;
use stx_lab::system::{Effect, Sync};

fn lab(topology: &str) -> Rehearsal {
    Rehearsal::of(&Wish { topology: topology.into(), from: "21.12".into(), to: "22.12".into(), ..Wish::default() })
}

/// A pair whose upgrade is started.
fn started() -> Rehearsal {
    let mut lab = lab("duplex");
    good(&mut lab, "system load-import new.iso bootimage-24.03.sig");
    lab.later(400.0);
    good(&mut lab, "system upgrade-start");
    lab.later(300.0);
    lab
}

/// Set a fault with these parameters and let it act.
fn set(lab: &mut Rehearsal, name: &str, parameters: &[(&str, &str)]) {
    lab.fault_with(name, parameters);
    lab.system.settle_faults(&[]);
    lab.obey();
}

#[track_caller]
fn good(lab: &mut Rehearsal, line: &str) -> String {
    let reply = lab.command(line, &["yes", "abort"]);
    assert_eq!(reply.rc, 0, "{line}: {}", reply.err);
    reply.out
}

#[track_caller]
fn bad(lab: &mut Rehearsal, line: &str, words: &str) {
    let reply = lab.command(line, &["yes", "abort"]);
    assert!(reply.rc == 1 && reply.err.contains(words), "{line}: rc {} {:?} {:?}", reply.rc, reply.out, reply.err);
}

fn state(lab: &Rehearsal) -> String {
    lab.system.upgrade.as_ref().map_or(String::new(), |u| u.state.clone())
}

#[test]
fn each_is_named_in_a_test() {
    let tests = [
        include_str!("faults.rs"),
        include_str!("faults_on_machines.rs"),
        include_str!("transcripts.rs"),
        include_str!("transcripts_larger.rs"),
        include_str!("sequence.rs"),
        include_str!("kube.rs"),
        include_str!("simplex.rs"),
    ];
    for kind in CATALOGUE {
        assert!(
            tests.iter().any(|text| text.contains(&format!("\"{}\"", kind.name))),
            "{} is tested nowhere",
            kind.name
        );
    }
}

#[test]
fn health_and_alarms() {
    for (name, parameters, line) in [
        ("licence-invalid", &[][..], "License valid for upgrade: [Fail]"),
        ("nodes-not-ready", &[("host", "controller-1")], "Kubernetes nodes not ready: controller-1"),
        ("patch-not-current", &[("host", "controller-1")], "Hosts not patch current: controller-1"),
        ("config-out-of-date", &[("host", "controller-1")], "Hosts with out of date configurations: controller-1"),
        ("app-bad", &[], "Kubernetes applications not in a valid state: platform-integ-apps"),
        ("instances-on-controller-1", &[("count", "3")], "Number of instances on controller-1: 3"),
        ("alarm-new", &[("id", "100.101")], "[1] alarms found, [1] of which are management affecting"),
    ] {
        let mut lab = lab("duplex");
        good(&mut lab, "system load-import new.iso bootimage-24.03.sig");
        lab.later(400.0);
        set(&mut lab, name, parameters);
        let text = good(&mut lab, "system health-query-upgrade");
        assert!(text.contains(line), "{name}: {text}");
        bad(&mut lab, "system upgrade-start", "not in a valid state");
        lab.system.clear_fault(name);
        assert!(!good(&mut lab, "system health-query-upgrade").contains("[Fail]"), "{name} cleared");
    }
    let mut lab = lab("duplex");
    set(&mut lab, "alarm-transient", &[("seconds", "60")]);
    assert!(good(&mut lab, "fm alarm-list --nowrap").contains("800.001"));
    lab.later(70.0);
    assert_eq!(good(&mut lab, "fm alarm-list --nowrap"), "\n");
    let before = good(&mut lab, "system certificate-list --nowrap");
    set(&mut lab, "cert-expires-soon", &[]);
    assert_ne!(good(&mut lab, "system certificate-list --nowrap"), before);
    set(&mut lab, "config-out-of-date", &[("host", "controller-1")]);
    bad(&mut lab, "system host-swact controller-0", "not yet applied. Apply target Config via Lock/Unlock");
    let mut lab = self::lab("storage");
    set(&mut lab, "ceph-degraded", &[]);
    assert!(good(&mut lab, "ceph health").starts_with("HEALTH_WARN"));
    assert!(good(&mut lab, "system health-query").contains("Ceph Storage Healthy: [Fail]"));
    lab.system.clear_fault("ceph-degraded");
    assert_eq!(good(&mut lab, "ceph health"), "HEALTH_OK\n");
}

#[test]
fn answers_that_are_late_or_untrue() {
    let mut lab = lab("duplex");
    good(&mut lab, "system load-import new.iso bootimage-24.03.sig");
    lab.later(400.0);
    set(&mut lab, "command-lies", &[("command", "load-delete")]);
    assert!(good(&mut lab, "system load-delete 2").contains("Deleted load"));
    assert!(good(&mut lab, "system load-list").contains("imported"));
    good(&mut lab, "system load-delete 2");
    assert!(good(&mut lab, "system load-list").contains("deleting"));
    set(&mut lab, "command-hangs", &[("seconds", "7")]);
    assert_eq!(lab.command("system upgrade-show", &[]).hang_ms, 7000);
    assert_eq!(lab.command("system upgrade-show", &[]).hang_ms, 0);
    set(&mut lab, "api-away", &[("seconds", "50")]);
    bad(&mut lab, "system host-list", "Unable to establish connection");
    lab.later(60.0);
    good(&mut lab, "system host-list");
    set(&mut lab, "admin-password-changed", &[]);
    bad(&mut lab, "system host-list", "Invalid Identity credentials.");
    lab.system.clear_fault("all");
    set(&mut lab, "wrap", &[("columns", "80")]);
    let narrow = good(&mut lab, "system kube-host-upgrade-list");
    lab.system.clear_fault("wrap");
    assert_ne!(narrow, good(&mut lab, "system kube-host-upgrade-list"));
    let mut lab = self::lab("simplex");
    set(&mut lab, "host-upgrade-prompt", &[]);
    assert!(lab.command("system host-upgrade controller-0", &["yes"]).err.contains("EOF when reading a line"));
}

#[test]
fn loads_and_starts() {
    let mut lab = lab("duplex");
    set(&mut lab, "load-import-hangs", &[]);
    good(&mut lab, "system load-import new.iso bootimage-24.03.sig");
    lab.later(5000.0);
    assert!(good(&mut lab, "system load-list").contains("importing"));
    let mut lab = self::lab("duplex");
    good(&mut lab, "system load-import new.iso bootimage-24.03.sig");
    lab.later(400.0);
    set(&mut lab, "start-slow", &[("seconds", "1000")]);
    good(&mut lab, "system upgrade-start");
    lab.later(600.0);
    assert_eq!(state(&lab), "starting");
    lab.later(700.0);
    assert_eq!(state(&lab), "started");
    let mut lab = self::lab("duplex");
    set(&mut lab, "kube-record-stale", &[]);
    bad(&mut lab, "system upgrade-start", "while a kubernetes upgrade is in progress");
    good(&mut lab, "system kube-upgrade-delete");
}

#[test]
fn hosts_that_do_not_come_back_as_wanted() {
    let mut lab = started();
    set(&mut lab, "agent-late", &[("seconds", "2000")]);
    set(&mut lab, "data-migration-slow", &[("seconds", "1000")]);
    good(&mut lab, "system host-lock controller-1");
    lab.later(90.0);
    good(&mut lab, "system host-upgrade controller-1");
    lab.later(600.0);
    assert_eq!((state(&lab).as_str(), lab.system.hosts[1].availability.as_str()), ("data-migration", "offline"));
    lab.later(1000.0);
    assert_eq!(
        (state(&lab).as_str(), lab.system.hosts[1].availability.as_str()),
        ("data-migration-complete", "offline")
    );
    set(&mut lab, "inventory-late", &[("seconds", "500")]);
    lab.later(600.0);
    bad(&mut lab, "system host-unlock controller-1", "has not yet been inventoried");
    lab.later(500.0);
    set(&mut lab, "unlock-refused", &[]);
    bad(&mut lab, "system host-unlock controller-1", "Operation Rejected");
    set(&mut lab, "unlock-fails", &[("host", "controller-1")]);
    set(&mut lab, "reboot-slow", &[("seconds", "900")]);
    let slow = lab.system.clone().boot_ms();
    lab.system.clear_fault("reboot-slow");
    assert_eq!(slow, lab.system.boot_ms() + lab.system.clock.real_ms(900.0));
    good(&mut lab, "system host-unlock controller-1");
    lab.later(300.0);
    let show = good(&mut lab, "system host-show controller-1");
    assert!(show.contains("Configuration failure, threshold reached, Lock/Unlock to retry"), "{show}");
    assert_eq!(lab.system.hosts[1].availability, "failed");
    good(&mut lab, "system host-lock controller-1");
    lab.later(90.0);
    good(&mut lab, "system host-unlock controller-1");
    lab.later(300.0);
    assert_eq!(state(&lab), "upgrading-controllers");
}

#[test]
fn activity_and_replication() {
    let mut lab = lab("duplex");
    set(&mut lab, "sync-late", &[("seconds", "500")]);
    set(&mut lab, "sync-slow", &[("seconds", "700")]);
    good(&mut lab, "system host-lock controller-1");
    lab.later(90.0);
    good(&mut lab, "system host-unlock controller-1");
    lab.later(300.0);
    // Available, and nothing shows that the copy is old but the overview; a swact now fails late.
    assert_eq!(lab.system.hosts[1].availability, "available");
    assert!(!good(&mut lab, "fm alarm-list --nowrap").contains("400.001"));
    assert!(good(&mut lab, "drbd-overview").contains("WFConnection"));
    good(&mut lab, "system host-swact controller-0");
    lab.later(60.0);
    assert!(good(&mut lab, "system host-show controller-0").contains("Swact: Failed"));
    lab.later(400.0);
    assert!(good(&mut lab, "fm alarm-list --nowrap").contains("400.001"));
    assert!(good(&mut lab, "drbd-overview").contains("sync'ed"));
    lab.later(800.0);
    assert_eq!(lab.system.sync, Sync::Synced);
    set(&mut lab, "swact-slow", &[("seconds", "300")]);
    good(&mut lab, "system host-swact controller-0");
    lab.system.clock.push(10.0);
    lab.system.tick();
    let moved = lab.system.take_effects();
    let long = lab.system.clock.real_ms(300.0);
    assert!(moved.iter().any(|e| matches!(e, Effect::MoveActivity { down_ms, .. } if *down_ms > long)), "{moved:?}");
    let mut lab = self::lab("storage");
    set(&mut lab, "ceph-slow", &[("seconds", "2000")]);
    good(&mut lab, "system host-lock storage-1");
    lab.later(90.0);
    good(&mut lab, "system host-unlock storage-1");
    lab.later(1000.0);
    bad(&mut lab, "system host-lock storage-0", "in recovery");
    lab.later(1500.0);
    good(&mut lab, "system host-lock storage-0");
}

#[test]
fn activations() {
    let upgraded = || {
        let mut lab = started();
        if let Some(upgrade) = &mut lab.system.upgrade {
            upgrade.state = "upgrading-hosts".into();
        }
        for host in &mut lab.system.hosts {
            host.running_release = "22.12".into();
            host.target_release = "22.12".into();
        }
        lab
    };
    let mut lab = upgraded();
    set(&mut lab, "activation-stuck", &[]);
    good(&mut lab, "system upgrade-activate");
    lab.later(3000.0);
    assert_eq!(state(&lab), "activating-hosts");
    assert!(good(&mut lab, "fm alarm-list --nowrap").contains("250.001"));
    lab.system.clear_fault("activation-stuck");
    lab.later(100.0);
    assert_eq!(state(&lab), "activation-complete");
    let mut lab = upgraded();
    set(&mut lab, "activation-fails", &[]);
    for _ in 0..2 {
        good(&mut lab, "system upgrade-activate");
        lab.later(300.0);
        assert_eq!(state(&lab), "activation-failed");
    }
    let mut lab = upgraded();
    good(&mut lab, "system upgrade-activate");
    lab.later(50.0);
    set(&mut lab, "conductor-restart", &[]);
    assert_eq!(state(&lab), "activation-failed");
}

#[test]
fn applications() {
    let package = "system application-update platform-integ-apps-1.0-50.tgz";
    let mut lab = lab("duplex");
    set(&mut lab, "app-update-fails", &[]);
    good(&mut lab, package);
    bad(&mut lab, "system host-swact controller-0", "while an application is being applied");
    lab.later(130.0);
    assert!(good(&mut lab, "system application-list --nowrap").contains("recovering"));
    lab.later(100.0);
    let show = good(&mut lab, "system application-show platform-integ-apps --format value --column progress");
    assert!(show.contains("from version 1.0-44 to version 1.0-50 aborted"), "{show}");
    set(&mut lab, "app-slow", &[("seconds", "500")]);
    good(&mut lab, package);
    lab.later(300.0);
    assert!(good(&mut lab, "system application-list --nowrap").contains("updating"));
    lab.later(400.0);
    let show = good(&mut lab, "system application-show platform-integ-apps --format value --column app_version");
    assert_eq!(show, "1.0-50\n");
    bad(&mut lab, package, "already active");
    set(&mut lab, "app-apply-fails", &[]);
    for status in ["apply-failed", "applied"] {
        good(&mut lab, "system application-apply platform-integ-apps");
        lab.later(200.0);
        let show = good(&mut lab, "system application-show platform-integ-apps --format value --column status");
        assert_eq!(show, format!("{status}\n"));
    }
    // The site's values are kept only on demand.
    let shown = "system helm-override-show nginx-ingress-controller ingress-nginx kube-system";
    for (reuse, kept) in [("true", true), ("false", false)] {
        let mut lab = self::lab("duplex");
        good(
            &mut lab,
            &format!("system application-update nginx-ingress-controller-1.1-24.tgz --reuse-user-overrides {reuse}"),
        );
        lab.later(200.0);
        assert_eq!(good(&mut lab, shown).contains("replicaCount: 2"), kept);
    }
    set(&mut lab, "app-incompatible", &[]);
    bad(&mut lab, "system kube-upgrade-start v1.21.3", "is incompatible with the new Kubernetes version");
}

#[test]
fn kubernetes() {
    let mut lab = lab("standard");
    good(&mut lab, "system kube-upgrade-start v1.21.3");
    set(&mut lab, "kube-slow", &[("seconds", "1000")]);
    good(&mut lab, "system kube-upgrade-download-images");
    lab.later(600.0);
    assert!(good(&mut lab, "system kube-upgrade-show").contains("downloading-images "));
    lab.later(800.0);
    assert!(good(&mut lab, "system kube-upgrade-show").contains("downloaded-images"));
    set(&mut lab, "kube-stuck", &[]);
    good(&mut lab, "system kube-upgrade-networking");
    lab.later(9000.0);
    assert!(good(&mut lab, "system kube-upgrade-show").contains("upgrading-networking "));
    set(&mut lab, "conductor-restart", &[]);
    assert!(good(&mut lab, "system kube-upgrade-show").contains("upgrading-networking-failed"));
    good(&mut lab, "system kube-upgrade-networking");
}

#[test]
fn patches() {
    let wish = Wish { topology: "duplex".into(), kube_patches: true, from: "21.12".into(), ..Wish::default() };
    let mut lab = Rehearsal::of(&Wish { to: "22.12".into(), ..wish });
    bad(
        &mut lab,
        "system kube-upgrade-start v1.21.3",
        "must be applied before doing the kubernetes upgrade: ['PLATFORM",
    );
    for patch in ["PLATFORM_KUBE.1.21.3", "KUBEADM.1.21.3"] {
        good(&mut lab, &format!("sw-patch upload {patch}.patch"));
        good(&mut lab, &format!("sw-patch apply {patch}"));
    }
    assert!(good(&mut lab, "fm alarm-list --nowrap").contains("900.001"));
    set(&mut lab, "patch-install-fails", &[("host", "controller-1")]);
    good(&mut lab, "sw-patch host-install controller-0");
    bad(&mut lab, "sw-patch host-install controller-1", "Installation failed");
    good(&mut lab, "sw-patch host-install controller-1");
    assert_eq!(good(&mut lab, "fm alarm-list --nowrap"), "\n");
    bad(
        &mut lab,
        "system kube-upgrade-start v1.21.3",
        "must be available before doing the kubernetes upgrade: ['KUBELET",
    );
    good(&mut lab, "sw-patch upload KUBELET.1.21.3.patch");
    good(&mut lab, "system kube-upgrade-start v1.21.3");
    set(&mut lab, "patch-drifts", &[("host", "controller-0")]);
    assert!(good(&mut lab, "sw-patch query").contains("Partial-Apply"));
    assert!(good(&mut lab, "system health-query").contains("Hosts not patch current: controller-0"));
    // A patch that needs a reboot wants a locked host.
    good(&mut lab, "sw-patch upload 21.12_PATCH_0002.patch");
    good(&mut lab, "sw-patch apply 21.12_PATCH_0002");
    bad(&mut lab, "sw-patch host-install controller-1", "Node must be locked");
}
