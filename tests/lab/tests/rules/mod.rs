//! The reference's rules as a table: which command is refused when, with which words, and which states may follow which.

mod seen;

pub use seen::{HostSeen, Seen};

/// A row: the command is refused with these words (`<h>`, `<from>`, `<to>`, `<m>` stand for the host, the releases, the
/// other controller), if none of the rows before it applies and this one does.
pub struct Rule {
    pub command: &'static str,
    /// Section of the reference.
    pub section: &'static str,
    pub refuses: fn(&Seen, &str) -> bool,
    pub says: &'static str,
}

const fn rule(
    command: &'static str,
    section: &'static str,
    refuses: fn(&Seen, &str) -> bool,
    says: &'static str,
) -> Rule {
    Rule { command, section, refuses, says }
}

/// Refusals, in the order of the checks.
pub const RULES: &[Rule] = &[
    rule("load-import", "2.1", |s, _| s.loads.len() >= 2, "Max number of loads (2) reached"),
    rule("load-import", "2.1", |s, _| s.active != "controller-0", "only be imported when controller-0 is active"),
    rule("load-import", "2.1", |s, _| s.software_version == s.new, "Active version and import version match"),
    rule("load-delete", "2.1", |s, _| !s.loads.iter().any(|l| l.0 == "2"), "could not be found"),
    rule(
        "load-delete",
        "2.1",
        |s, _| s.loads.iter().any(|l| l.0 == "2" && s.hosts.values().any(|h| h.running == l.2)),
        "load in use by host",
    ),
    rule("load-delete", "2.1", |s, _| !s.upgrade.is_empty(), "load in use by upgrade"),
    rule(
        "load-delete",
        "2.1",
        |s, _| s.loads.iter().any(|l| l.0 == "2" && !matches!(l.1.as_str(), "imported" | "error" | "deleting")),
        "Only a load in an imported or error state",
    ),
    // 2.2
    rule("upgrade-start", "2.2", |s, _| s.active != "controller-0", "only be started when controller-0 is active"),
    rule("upgrade-start", "2.2", |s, _| !s.kube.is_empty(), "while a kubernetes upgrade is in progress"),
    rule("upgrade-start", "2.2", |s, _| !s.upgrade.is_empty(), "An upgrade is already in progress"),
    rule(
        "upgrade-start",
        "2.2, 4.1",
        |s, _| s.software_version == s.new || !s.loads.iter().any(|l| l.1 == "imported"),
        "No imported load found",
    ),
    rule("upgrade-start", "2.2", |s, _| !s.healthy_for_upgrade, "System is not in a valid state for upgrades"),
    rule("upgrade-activate", "2.2", |s, _| s.upgrade.is_empty(), "An upgrade is not in progress"),
    rule(
        "upgrade-activate",
        "2.2",
        |s, _| matches!(s.upgrade.as_str(), "activating" | "activating-hosts" | "activation-complete"),
        "Upgrade already activating or activated",
    ),
    // Not in the reference: what the lab says while the record is on its way out.
    rule("upgrade-activate", "-", |s, _| s.upgrade == "completing", "Upgrade is completing"),
    rule(
        "upgrade-activate",
        "2.2",
        |s, _| !s.hosts.values().all(HostSeen::in_service),
        "All hosts must be unlocked and enabled",
    ),
    rule("upgrade-activate", "2.2", |s, _| !s.hosts.values().all(|h| h.on(&s.to)), "All hosts must be upgraded"),
    rule("upgrade-complete", "2.2", |s, _| s.upgrade.is_empty(), "An upgrade is not in progress"),
    rule("upgrade-complete", "2.2", |s, _| s.active != "controller-0", "only be completed when controller-0 is active"),
    rule(
        "upgrade-complete",
        "2.2, 4.7",
        |s, _| s.upgrade.starts_with("aborting") && !s.hosts.values().all(|h| h.on(&s.from)),
        "All hosts must be downgraded before",
    ),
    rule(
        "upgrade-complete",
        "2.2",
        |s, _| !matches!(s.upgrade.as_str(), "activation-complete" | "aborting" | "aborting-reinstall"),
        "when in the activation-complete or aborting state",
    ),
    rule("upgrade-abort", "2.2", |s, _| s.upgrade.is_empty(), "An upgrade is not in progress"),
    rule("upgrade-abort", "2.2", |s, _| s.aborting(), "Upgrade already aborted"),
    rule("upgrade-abort", "-", |s, _| s.upgrade == "completing", "Upgrade is completing"),
    // 2.3
    rule("host-upgrade", "2.3", |s, _| s.upgrade.is_empty(), "An upgrade is not in progress"),
    rule("host-upgrade", "2.3", |s, _| s.aborting(), "Aborting Upgrade"),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| h == "controller-0" && !s.host("controller-1").on(&s.to),
        "controller-1 must be using load <to>",
    ),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| !h.starts_with("controller") && !s.all_on("controller", &s.to, ""),
        "All controller hosts must be using load <to>",
    ),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| h.starts_with("storage-") && h != "storage-0" && !s.host("storage-0").on(&s.to),
        "storage-0 must be using load <to>",
    ),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| h.starts_with("worker") && !s.all_on("storage", &s.to, ""),
        "All storage hosts must be using load <to>",
    ),
    rule("host-upgrade", "2.3", |s, h| h == "controller-1" && s.upgrade != "started", "not in started state"),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| h == "controller-0" && s.upgrade != "upgrading-controllers",
        "not in upgrading-controllers state",
    ),
    rule(
        "host-upgrade",
        "2.3",
        |s, h| !h.starts_with("controller") && s.upgrade != "upgrading-hosts",
        "not in upgrading-hosts state",
    ),
    rule("host-upgrade", "2.3", |s, h| s.host(h).target == s.to, "already targeted to install load <to>"),
    rule("host-upgrade", "2.3", |s, h| !s.host(h).locked(), "The host must be locked"),
    rule("host-upgrade", "2.3", |s, h| !s.host(h).is("availability", "online"), "The host must be online"),
    // 4.7, 4.8
    rule("host-downgrade", "4.8", |s, _| s.upgrade.is_empty(), "An upgrade is not in progress"),
    rule(
        "host-downgrade",
        "4.8",
        |s, h| h.starts_with("controller") && !s.upgrade.starts_with("aborting"),
        "Upgrade not in aborting state",
    ),
    rule(
        "host-downgrade",
        "4.7",
        |s, h| {
            let out = |h: &HostSeen| h.locked() && h.is("availability", "offline");
            s.upgrade == "aborting-reinstall"
                && h == "controller-0"
                && !s.hosts.values().all(|h| h.is("personality", "controller") || out(h))
        },
        "must be locked and offline",
    ),
    rule(
        "host-downgrade",
        "4.7",
        |s, h| h == "controller-1" && !s.host("controller-0").on(&s.from),
        "controller-0 must be using load <from>",
    ),
    rule(
        "host-downgrade",
        "4.7",
        |s, h| {
            s.upgrade == "aborting-reinstall" && !h.starts_with("controller") && !s.all_on("controller", &s.from, "")
        },
        "All controller hosts must be using load <from>",
    ),
    rule(
        "host-downgrade",
        "4.8",
        |s, h| !h.starts_with("controller") && !matches!(s.upgrade.as_str(), "upgrading-hosts" | "aborting-reinstall"),
        "not in upgrading-hosts state",
    ),
    rule(
        "host-downgrade",
        "4.8",
        |s, h| s.upgrade == "upgrading-hosts" && h.starts_with("storage") && !s.all_on("worker", &s.from, ""),
        "All worker hosts must be using load <from>",
    ),
    rule(
        "host-downgrade",
        "4.8",
        |s, h| s.upgrade == "upgrading-hosts" && h == "storage-0" && !s.all_on("storage", &s.from, "storage-0"),
        "All storage hosts must be using load <from>",
    ),
    rule("host-downgrade", "4.8", |s, h| s.host(h).target == s.from, "already targeted to install load <from>"),
    rule("host-downgrade", "4.8", |s, h| !s.host(h).locked(), "The host must be locked"),
    rule("host-downgrade", "4.8", |s, h| !s.host(h).is("availability", "online"), "The host must be online"),
    // 2.6
    rule("host-lock", "2.6", |s, h| s.host(h).locked(), "Avoiding lock action on already 'locked' host <h>"),
    rule("host-lock", "2.6", |s, h| s.active == h, "<h> : Rejected: Can not lock an active controller"),
    rule(
        "host-lock",
        "2.6",
        |s, h| h == "controller-1" && s.upgrade == "starting",
        "not allowed during upgrade state 'starting'",
    ),
    rule(
        "host-lock",
        "2.6",
        |s, h| {
            let first = ["starting", "started", "data-migration", "data-migration-complete", "data-migration-failed"];
            s.all_in_one
                && ((first.contains(&s.upgrade.as_str()) && h != "controller-1")
                    || (s.upgrade == "upgrading-controllers" && h != "controller-0"))
        },
        "Can not lock <h> with worker function at this upgrade stage",
    ),
    rule(
        "host-lock",
        "2.6",
        |s, h| {
            let monitors = ["controller-0", "controller-1", "storage-0"];
            let up = monitors.iter().filter(|m| s.hosts.get(**m).is_some_and(HostSeen::in_service)).count();
            s.hosts.contains_key("storage-0") && monitors.contains(&h) && s.host(h).in_service() && up <= 2
        },
        "storage monitor available",
    ),
    rule(
        "host-lock",
        "2.6",
        |s, h| h.starts_with("storage") && s.kind("storage").any(|(name, other)| name != h && !other.in_service()),
        "replication is lost",
    ),
    rule(
        "host-lock",
        "2.6",
        |s, h| h.starts_with("storage") && s.ceph.contains("Degraded data redundancy") && !s.ceph.contains("osds down"),
        "placement groups are in recovery",
    ),
    rule("host-unlock", "14", |s, h| s.host(h).task().ends_with("Locking"), "in progress action lock"),
    rule(
        "host-unlock",
        "2.6",
        |s, h| !s.host(h).locked() || s.host(h).task().starts_with("Unlocking"),
        "Avoiding 'unlock' action on already 'unlocked' host <h>",
    ),
    rule("host-unlock", "2.6", |s, h| !s.host(h).is("inv_state", "inventoried"), "has not yet been inventoried"),
    rule("host-unlock", "2.6", |s, h| !s.host(h).is("availability", "online"), "Host <h> is not online"),
    rule("host-unlock", "2.6", |s, h| h == "controller-1" && s.upgrade == "data-migration", "while migrating data"),
    rule(
        "host-unlock",
        "2.6",
        |s, h| h == "controller-1" && s.upgrade == "data-migration-failed",
        "because data migration failed",
    ),
    rule(
        "host-unlock",
        "2.6",
        |s, h| {
            let migrated = h == "controller-1" && s.upgrade == "data-migration-complete";
            s.host(h).running != s.host(h).target && !migrated
        },
        "running the incorrect software load",
    ),
    rule("host-unlock", "2.6", |s, h| s.host(h).kube_status == "upgrading-kubelet", "while upgrading kubelet"),
    rule("host-swact", "2.6", |_, h| !h.starts_with("controller"), "is not a controller"),
    rule("host-swact", "2.6", |s, h| s.host(h).locked(), "Controller is Locked"),
    rule(
        "host-swact",
        "2.6",
        |s, h| !s.host(s.mate(h)).is("operational", "enabled"),
        "<m> is not enabled and has operational state",
    ),
    rule(
        "host-swact",
        "2.6",
        |s, _| matches!(s.upgrade.as_str(), "starting" | "started" | "data-migration"),
        "Upgrade state must be data-migration-complete",
    ),
    rule(
        "host-swact",
        "2.6",
        |s, _| matches!(s.upgrade.as_str(), "activation-requested" | "activating"),
        "Wait until the upgrade-activate command completes",
    ),
    rule(
        "host-swact",
        "2.6",
        |s, h| s.upgrade == "aborting" && s.host(s.mate(h)).running == s.to,
        "<m> must be using load <from>",
    ),
    rule(
        "host-swact",
        "2.6",
        |s, h| {
            s.all_in_one
                && matches!(s.upgrade.as_str(), "upgrading-controllers" | "upgrading-hosts")
                && s.host(s.mate(h)).running == s.from
                && s.host(h).running == s.to
        },
        "<m> must be using load <to>",
    ),
    // 2.7
    rule("kube-upgrade-start", "2.7", |s, _| !s.upgrade.is_empty(), "while a platform upgrade is in progress"),
    rule("kube-upgrade-start", "2.7", |s, _| !s.kube.is_empty(), "A kubernetes upgrade is already in progress"),
    rule(
        "kube-upgrade-start",
        "2.7",
        |s, _| !s.versions.iter().any(|v| v.1 == "available"),
        "cannot upgrade to version",
    ),
    rule("kube-upgrade-start", "2.7", |s, _| !s.healthy_for_kube, "System is not in a valid state for kubernetes"),
    rule("kube-upgrade-download-images", "2.7", |s, _| s.kube.is_empty(), "is not in progress"),
    rule(
        "kube-upgrade-download-images",
        "2.7",
        |s, _| !matches!(s.kube.as_str(), "upgrade-started" | "downloading-images-failed"),
        "must be in upgrade-started or downloading-images-failed state",
    ),
    rule("kube-upgrade-networking", "2.7", |s, _| s.kube.is_empty(), "is not in progress"),
    rule(
        "kube-upgrade-networking",
        "2.7",
        |s, _| {
            let before = if s.networking_first() { "downloaded-images" } else { "upgraded-first-master" };
            s.kube != before && s.kube != "upgrading-networking-failed"
        },
        "state to upgrade networking",
    ),
    rule("control-plane", "2.7", |s, _| s.kube.is_empty(), "is not in progress."),
    rule(
        "control-plane",
        "2.7",
        |s, h| !s.host(h).is("personality", "controller"),
        "does not have a kubernetes control",
    ),
    rule(
        "control-plane",
        "2.7",
        |s, h| first_master(s) && s.host(s.mate(h)).kube_target == s.kube_to,
        "The first control plane upgrade must be completed",
    ),
    rule(
        "control-plane",
        "2.7",
        |s, h| second_master(s) && s.host(h).control_plane == s.kube_to,
        "The first control plane was already upgraded",
    ),
    rule(
        "control-plane",
        "2.7",
        |s, _| !first_master(s) && !second_master(s),
        "not in a valid state to upgrade the control plane",
    ),
    rule(
        "control-plane",
        "2.7",
        |s, h| !s.host(h).in_service() || !s.host(h).is("availability", "available"),
        "must be unlocked and available to upgrade the control plane",
    ),
    rule("kubelet", "2.7", |s, _| s.kube.is_empty(), "is not in progress."),
    rule("kubelet", "2.7", |s, h| s.host(h).is("personality", "storage"), "does not have a kubelet"),
    rule(
        "kubelet",
        "2.7",
        |s, _| s.kube != "upgraded-second-master" && s.kube != "upgrading-kubelets",
        "must be in the upgraded-second-master or upgrading-kubelets state",
    ),
    rule(
        "kubelet",
        "2.7",
        |s, h| {
            let left = |c: &HostSeen| c.kubelet != s.kube_to || c.kube_status.starts_with("upgrading-");
            h.starts_with("worker") && s.kind("controller").any(|(_, c)| left(c))
        },
        "The kubelets on all controller hosts must be upgraded before",
    ),
    rule("kubelet", "2.7", |s, h| s.host(h).kube_status == "upgrading-kubelet", "already being upgraded"),
    rule(
        "kubelet",
        "2.7",
        |s, h| s.host(h).kubelet == s.kube_to && s.host(h).kube_status != "upgrading-kubelet-failed",
        "was already upgraded",
    ),
    rule(
        "kubelet",
        "2.7",
        |s, h| !s.host(h).locked() || !s.host(h).is("availability", "online"),
        "must be locked and online to upgrade the kubelet",
    ),
    rule("kube-upgrade-complete", "2.7", |s, _| s.kube.is_empty(), "is not in progress"),
    rule("kube-upgrade-complete", "2.7", |s, _| s.kube != "upgrading-kubelets", "must be in upgrading-kubelets state"),
    rule(
        "kube-upgrade-complete",
        "2.7",
        |s, _| {
            let done = if s.networking_first() { "upgraded-kubelet" } else { "None" };
            s.nodes().any(|h| h.kubelet != s.kube_to || h.kube_status != done)
        },
        "At least one host has not completed",
    ),
    rule("kube-upgrade-delete", "2.7", |s, _| s.kube.is_empty(), "is not in progress"),
    rule("kube-upgrade-delete", "2.7", |s, _| s.kube != "upgrade-complete", "must be in upgrade-complete state"),
];

fn first_master(s: &Seen) -> bool {
    let before = if s.networking_first() { "upgraded-networking" } else { "downloaded-images" };
    s.kube == before || s.kube == "upgrading-first-master-failed"
}

fn second_master(s: &Seen) -> bool {
    let before = if s.networking_first() { "upgraded-first-master" } else { "upgraded-networking" };
    s.kube == before || s.kube == "upgrading-second-master-failed"
}

/// Which state of the upgrade may follow which (2.2); the empty one is "no upgrade". An abort is possible from each but
/// the last rows'.
pub const FOLLOWS: &[(&str, &[&str])] = &[
    ("", &["starting"]),
    ("starting", &["started", "", "aborting"]),
    ("started", &["data-migration", "aborting"]),
    ("data-migration", &["data-migration-complete", "data-migration-failed", "aborting"]),
    ("data-migration-complete", &["upgrading-controllers", "aborting"]),
    ("data-migration-failed", &["aborting"]),
    ("upgrading-controllers", &["upgrading-hosts", "aborting", "aborting-reinstall"]),
    ("upgrading-hosts", &["activation-requested", "aborting-reinstall"]),
    ("activation-requested", &["activation-requested", "activating", "activation-failed", "aborting-reinstall"]),
    ("activating", &["activating-hosts", "activation-complete", "activation-failed", "aborting-reinstall"]),
    ("activating-hosts", &["activation-complete", "aborting-reinstall"]),
    ("activation-failed", &["activation-requested", "aborting-reinstall"]),
    ("activation-complete", &["completing", "aborting-reinstall"]),
    ("completing", &[""]),
    ("aborting", &["abort-completing"]),
    // Nothing but the hosts' states keeps from an activation (14).
    ("aborting-reinstall", &["abort-completing", "activation-requested"]),
    ("abort-completing", &[""]),
];

/// The same for the Kubernetes upgrade (2.7); networking stands on both its places.
pub const KUBE_FOLLOWS: &[(&str, &[&str])] = &[
    ("", &["upgrade-started"]),
    ("upgrade-started", &["downloading-images"]),
    ("downloading-images", &["downloaded-images", "downloading-images-failed"]),
    ("downloading-images-failed", &["downloading-images"]),
    ("downloaded-images", &["upgrading-networking", "upgrading-first-master"]),
    ("upgrading-networking", &["upgraded-networking", "upgrading-networking-failed"]),
    ("upgrading-networking-failed", &["upgrading-networking"]),
    ("upgraded-networking", &["upgrading-first-master", "upgrading-second-master"]),
    ("upgrading-first-master", &["upgraded-first-master", "upgrading-first-master-failed"]),
    ("upgrading-first-master-failed", &["upgrading-first-master"]),
    ("upgraded-first-master", &["upgrading-networking", "upgrading-second-master"]),
    ("upgrading-second-master", &["upgraded-second-master", "upgrading-second-master-failed"]),
    ("upgrading-second-master-failed", &["upgrading-second-master"]),
    ("upgraded-second-master", &["upgrading-kubelets"]),
    ("upgrading-kubelets", &["upgrade-complete"]),
    ("upgrade-complete", &[""]),
];
