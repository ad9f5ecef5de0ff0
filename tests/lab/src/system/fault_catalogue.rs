//! Every fault of this lab: what it is called, where it acts, how often, and with which parameters.

/// Where a fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The rules ask for it when its moment comes.
    Waits,
    /// It changes the records as soon as it is armed.
    Records,
    /// It changes the machine as soon as it is armed.
    Machine,
    /// It changes what commands print or how they behave.
    Command,
}

/// An entry of the catalogue.
pub struct Kind {
    pub name: &'static str,
    pub place: Place,
    /// How often it strikes unless told (0: until cleared).
    pub times: u32,
    /// `key=default` of its parameters.
    pub parameters: &'static str,
    pub what: &'static str,
}

const fn kind(name: &'static str, place: Place, times: u32, parameters: &'static str, what: &'static str) -> Kind {
    Kind { name, place, times, parameters, what }
}

/// Every fault of this lab.
pub const CATALOGUE: &[Kind] = &[
    kind("activation-fails", Place::Waits, 0, "", "every activation ends in activation-failed"),
    kind("activation-fails-once", Place::Waits, 1, "", "the next activation ends in activation-failed; a retry passes"),
    kind(
        "activation-stuck",
        Place::Waits,
        1,
        "",
        "the activation stays in activating-hosts: one host's configuration is out of date (250.001); cleared, it goes on",
    ),
    kind(
        "admin-password-changed",
        Place::Records,
        1,
        "",
        "the platform's admin has another password than the keyring says",
    ),
    kind(
        "agent-late",
        Place::Waits,
        1,
        "host=controller-1 seconds=900",
        "a reinstalled host is online `seconds` product seconds later",
    ),
    kind(
        "alarm-new",
        Place::Records,
        1,
        "id=100.101 severity=major entity=host=controller-0 reason=…",
        "an alarm is raised and stays",
    ),
    kind(
        "alarm-transient",
        Place::Records,
        1,
        "id=800.001 severity=warning seconds=120 entity=…",
        "an alarm is raised and clears by itself after `seconds` product seconds",
    ),
    kind("api-away", Place::Records, 1, "seconds=60", "the API refuses connections for `seconds` product seconds"),
    kind("app-apply-fails", Place::Waits, 1, "app=platform-integ-apps", "the next apply ends in apply-failed"),
    kind(
        "app-bad",
        Place::Records,
        1,
        "app=platform-integ-apps status=apply-failed",
        "an application is in a bad state",
    ),
    kind(
        "app-incompatible",
        Place::Records,
        1,
        "app=platform-integ-apps",
        "an application does not run on the next Kubernetes version",
    ),
    kind("app-slow", Place::Waits, 1, "seconds=1800", "the next operation on an application takes `seconds` longer"),
    kind(
        "app-update-fails",
        Place::Waits,
        1,
        "app=platform-integ-apps",
        "the next update fails; the old version is recovered",
    ),
    kind(
        "backup-corrupt",
        Place::Machine,
        1,
        "",
        "the newest upgrade_data archive is cut in half (set it with when=upgrade-started)",
    ),
    kind("backup-second", Place::Machine, 1, "", "a second, older pair of archives lies beside the first"),
    kind("ceph-degraded", Place::Records, 1, "", "the storage cluster is not healthy (800.001), whatever the hosts do"),
    kind(
        "ceph-slow",
        Place::Waits,
        1,
        "seconds=3600",
        "the next recovery of the storage cluster takes `seconds` longer",
    ),
    kind("cert-expires-soon", Place::Records, 1, "days=2 certtype=ssl", "a certificate expires in `days` days"),
    kind(
        "command-hangs",
        Place::Command,
        1,
        "command=upgrade-show seconds=30",
        "the next such `system` command answers `seconds` real seconds late",
    ),
    kind(
        "command-lies",
        Place::Command,
        1,
        "command=load-delete",
        "the next such `system` command answers as if it were done; nothing is",
    ),
    kind("conductor-restart", Place::Records, 1, "", "sysinv-conductor restarts: what it was doing fails"),
    kind(
        "config-out-of-date",
        Place::Records,
        1,
        "host=controller-0",
        "a host's configuration is out of date (250.001)",
    ),
    kind("data-migration-failed", Place::Waits, 1, "host=controller-1", "the next migration on controller-1 fails"),
    kind(
        "data-migration-slow",
        Place::Waits,
        1,
        "seconds=1800",
        "the next migration takes `seconds` product seconds longer",
    ),
    kind(
        "disk-full",
        Place::Machine,
        1,
        "host=controller-0 mount=/opt/platform-backup",
        "the mount point becomes a small, full file system (kept until the host reboots)",
    ),
    kind(
        "etcd-link-bad",
        Place::Machine,
        1,
        "host=controller-0",
        "etcd's directory of the new release is a link to nothing: the swact fails",
    ),
    kind(
        "hiera-key-lost",
        Place::Machine,
        1,
        "host=controller-0 key=platform::params::software_version",
        "a key is gone from static.yaml",
    ),
    kind(
        "hiera-missing",
        Place::Machine,
        1,
        "host=controller-0",
        "static.yaml of the running release is gone: the migration fails",
    ),
    kind("hiera-partial", Place::Machine, 1, "host=controller-0", "static.yaml of the running release is cut in half"),
    kind(
        "hiera-value-unquoted",
        Place::Machine,
        1,
        "host=controller-0",
        "the release in static.yaml is a number, not a text",
    ),
    kind("host-dies", Place::Machine, 1, "host=controller-1", "the host loses its power (stx-lab power-on HOST)"),
    kind("host-reboots", Place::Machine, 1, "host=controller-0", "the host restarts by itself"),
    kind("host-upgrade-prompt", Place::Command, 0, "", "host-upgrade asks twice, with other words"),
    kind(
        "image-missing",
        Place::Machine,
        1,
        "",
        "one blob of a registry image is gone from /var/lib/docker-distribution",
    ),
    kind("instances-on-controller-1", Place::Records, 1, "count=1", "virtual machines run on controller-1 of a pair"),
    kind(
        "inventory-late",
        Place::Waits,
        1,
        "host=controller-1 seconds=900",
        "a reinstalled host is online, its inventory comes `seconds` later",
    ),
    kind(
        "kube-control-plane-fails",
        Place::Waits,
        1,
        "host=controller-0",
        "the next control plane upgrade fails; a retry passes",
    ),
    kind("kube-download-fails", Place::Waits, 1, "", "the next download of images fails; a retry passes"),
    kind("kube-kubelet-fails", Place::Waits, 1, "host=controller-0", "the next kubelet upgrade fails; a retry passes"),
    kind("kube-networking-fails", Place::Waits, 1, "", "the next upgrade of the networking fails; a retry passes"),
    kind("kube-record-stale", Place::Records, 1, "", "a completed Kubernetes upgrade was never deleted"),
    kind("kube-slow", Place::Waits, 1, "seconds=1800", "the next step of a Kubernetes upgrade takes `seconds` longer"),
    kind(
        "kube-stuck",
        Place::Waits,
        1,
        "",
        "the next step of a Kubernetes upgrade never ends (kube-upgrade-failed, or a swact, frees it)",
    ),
    kind("licence-invalid", Place::Records, 1, "", "the licence check for the new release fails"),
    kind("load-import-fails", Place::Waits, 1, "", "the next import is accepted and ends in state error"),
    kind(
        "load-import-hangs",
        Place::Waits,
        1,
        "",
        "the next import is accepted and stays in state importing; cleared, it goes on",
    ),
    kind("load-signature-bad", Place::Waits, 1, "", "the signature of the next import does not verify"),
    kind(
        "lock-refused",
        Place::Waits,
        1,
        "host=controller-0",
        "the orchestration does not answer the next host-lock; a retry passes",
    ),
    kind(
        "lock-rejected-late",
        Place::Waits,
        1,
        "host=controller-0",
        "the next host-lock is accepted (exit 0), then refused in the task text",
    ),
    kind("nodes-not-ready", Place::Records, 1, "host=controller-0", "a Kubernetes node is not ready"),
    kind("patch-drifts", Place::Records, 1, "host=controller-0", "an applied patch becomes Partial-Apply"),
    kind(
        "patch-in-archive",
        Place::Machine,
        1,
        "reboot=Y",
        "a patch of the new release lies in the patch repository, and so in the archive; installing it needs a reboot",
    ),
    kind(
        "patch-install-fails",
        Place::Waits,
        1,
        "host=controller-0",
        "the next installation of patches on a host fails; a retry passes",
    ),
    kind("patch-not-current", Place::Records, 1, "host=controller-0", "a host is not patch current"),
    kind("pdb-blocks", Place::Waits, 0, "", "evictions are refused by the disruption budget"),
    kind("reboot-slow", Place::Waits, 1, "seconds=900", "the next boot takes `seconds` product seconds longer"),
    kind(
        "reinstall-fails",
        Place::Waits,
        1,
        "host=controller-0",
        "the next installation never ends: the host stays off (stx-lab wipe HOST brings it back)",
    ),
    kind("restore-flag-left", Place::Machine, 1, "", "/etc/platform/.restore_in_progress is there already"),
    kind(
        "rollback-data-lost",
        Place::Machine,
        1,
        "host=controller-0",
        "the old release's database is gone: an abort cannot work",
    ),
    kind("start-fails-silently", Place::Waits, 1, "", "the next upgrade-start is accepted; the record vanishes later"),
    kind(
        "start-slow",
        Place::Waits,
        1,
        "seconds=1800",
        "the next upgrade-start takes `seconds` product seconds longer",
    ),
    kind("swact-fails", Place::Waits, 1, "", "the next swact is accepted and ends in `Swact: Failed`"),
    kind("swact-refused", Place::Waits, 1, "", "the next swact is refused: services are not enabled on the target"),
    kind("swact-slow", Place::Waits, 1, "seconds=300", "no controller is active for `seconds` product seconds more"),
    kind("sync-late", Place::Waits, 1, "seconds=300", "the next synchronization begins, and alarms, `seconds` later"),
    kind(
        "sync-slow",
        Place::Waits,
        1,
        "seconds=3600",
        "the next synchronization takes `seconds` product seconds longer",
    ),
    kind("unlock-fails", Place::Waits, 1, "host=controller-1", "the next unlock ends in availability failed"),
    kind("unlock-refused", Place::Waits, 1, "host=controller-1", "maintenance refuses the next unlock; a retry passes"),
    kind(
        "wrap",
        Place::Command,
        0,
        "columns=60",
        "lists without --nowrap are laid out for a terminal of `columns` columns",
    ),
];

/// The catalogue entry of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    CATALOGUE.iter().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::CATALOGUE;

    #[test]
    fn names_are_sorted_and_parameters_readable() {
        let names: Vec<&str> = CATALOGUE.iter().map(|k| k.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(CATALOGUE.iter().flat_map(|k| k.parameters.split_whitespace()).all(|p| p.contains('=')));
    }
}
