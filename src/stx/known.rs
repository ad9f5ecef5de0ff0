//! Known failures, as data: words that appear in an output, a state or an alarm, and what is behind them, how to prove it, and what to
//! do. A failure that matches shows its row.

/// A row of the table.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    /// Any of these, in the message or the advice of a failure; all lower case. `a & b`: both.
    pub patterns: &'static [&'static str],
    pub cause: &'static str,
    pub proof: &'static str,
    pub next: &'static str,
}

const fn known(
    name: &'static str,
    patterns: &'static [&'static str],
    cause: &'static str,
    proof: &'static str,
    next: &'static str,
) -> Known {
    Known { name, patterns, cause, proof, next }
}

/// The failures that upgrades of StarlingX are known to break on.
pub const KNOWN: &[Known] = &[
    known(
        "hieradata missing",
        &["static.yaml & no such file", "static.yaml & not found", "data-migration-failed"],
        "the target's hieradata file did not exist when the data were migrated",
        "`ls /opt/platform/puppet/*/hieradata/` on the host named, and its /var/log/platform.log",
        "abort, put the file named there back, and begin anew",
    ),
    known(
        "hieradata key renamed",
        &["keystone::database_connection", "could not find data item"],
        "a key of the old release has another name in the new one",
        "the line of /var/log/puppet/latest/puppet.log that names the key",
        "add a rule to `hiera_more_rules`, then resume",
    ),
    known(
        "hieradata value misread",
        &["puppet & expects a", "puppet & parameter & type"],
        "a value was written unquoted and read as a number (PCI addresses, release numbers)",
        "`grep -n` the key in the hieradata: the value must be in quotes",
        "quote it by a rule of `hiera_more_rules`, then resume",
    ),
    known(
        "hieradata of another release",
        &["incorrect software load", "path of another release"],
        "the hieradata or the archive belong to another release than the one installed",
        "`grep software_version` in the hieradata, and /etc/build.info",
        "use the archive that was made for this release",
    ),
    known(
        "activation interrupted",
        &["activation-failed & conductor", "activation-failed & swact", "activation-failed & restart"],
        "the conductor restarted (a swact, a reboot) while the activation scripts ran",
        "`uptime` of the controllers, and the restart in /var/log/sysinv.log",
        "resume: it activates again",
    ),
    known(
        "activation stuck",
        &["activating-hosts"],
        "a host's configuration is out of date, and the activation waits for it without end",
        "alarm 250.001 in `fm alarm-list`; `system host-show` has config_applied and config_target apart",
        "lock and unlock the host named, then resume",
    ),
    known(
        "Kubernetes state frozen",
        &[
            "upgrading-networking & not seen",
            "upgrading-first-master & not seen",
            "upgrading-second-master & not seen",
            "upgrading-kubelets & not seen",
        ],
        "the conductor lost the step; the state stays as it was",
        "`system kube-upgrade-show` does not change and /var/log/sysinv.log does not grow",
        "`system kube-upgrade-failed` (from 22.12 on), then resume: the same step is done again",
    ),
    known(
        "restart storm",
        &["webhook refused", "admission webhook", "apiserver & connection refused"],
        "the API server restarted under a script of the activation",
        "restarts in `kubectl get pods -n kube-system`, and the boot id of the controller",
        "wait until all pods of kube-system are ready, then resume",
    ),
    known(
        "transient alarm",
        &["800.001 & new or worse", "250.003 & new or worse", "750.006 & new or worse"],
        "this alarm is raised now and then and clears by itself",
        "`fm alarm-list` some minutes later",
        "resume; or give it longer with `-e alarm_hold=…`",
    ),
    known(
        "abort without a way back",
        &["data of & are not there"],
        "the old release's directories are there, and the files in them are not",
        "`du -s` of the directories named",
        "do not abort; the way back is a reinstallation and a restore",
    ),
    known(
        "standby asked",
        &["not the active one", "active controller."],
        "the question went to the controller that is not active, which knows nothing",
        "`system host-show` of both: Controller-Active",
        "use the floating address in the inventory",
    ),
    known(
        "volumes not whole",
        &["wfconnection", "syncsource", "drbd & inconsistent", "400.001"],
        "the other controller's copy of the volumes is not whole yet",
        "`sudo drbd-overview`: Connected and UpToDate/UpToDate on every line",
        "wait until it is; then resume",
    ),
    known(
        "swact failed",
        &["swact: failed", "swact: timeout"],
        "a service was not ready to go over; it often is at the second try",
        "`sudo sm-dump` on both controllers, and /var/log/sm.log",
        "resume: it is tried again",
    ),
    known(
        "images missing",
        &["imagepullbackoff", "errimagepull", "manifest unknown", "pushing sha256"],
        "an image is not in registry.local, or the registry has no room for it",
        "`df /var/lib/docker-distribution`; the image's digest in the registry",
        "make room or push the image again, then resume",
    ),
    known(
        "Kubernetes networking slow",
        &["upgrading-networking-failed"],
        "the networking step took longer than its budget, or an object was there or gone already",
        "pods of kube-system: calico, coredns, multus, sriov",
        "resume: the same step is done again",
    ),
    known(
        "disk full",
        &["no space left on device", "too little space", "210.001", "vanished"],
        "a filesystem is full; the platform's clean-up fails then too, and leaves its alarm",
        "`df -h` of /opt/platform-backup, /scratch, /var/lib/docker-distribution, /var/lib/postgresql",
        "make room, then resume",
    ),
    known(
        "success claimed",
        &["is active, not"],
        "the platform said that it was done, and it was not",
        "`system show` and `system upgrade-show`",
        "do not go on by hand; resume looks again",
    ),
    known(
        "several archives",
        &["more than one archive", "several archives", "archives in /"],
        "an archive of an earlier try lies beside the one that counts",
        "`ls -l` of the directory: the date and the uuid in the names",
        "move the stale ones away, or name the one that is meant",
    ),
    known(
        "backup of another kind of node",
        &["subfunction mismatch", "does not fit the install"],
        "the host was installed as another kind of node than the one backed up",
        "`subfunction` in /etc/platform/platform.conf and in the archive's",
        "install it anew with the right subfunctions",
    ),
    known(
        "restore flag left",
        &["restore is already in progress"],
        "an earlier restore failed and left its flag",
        "/etc/platform/.restore_in_progress, and no other restore runs (`ps`)",
        "run again with `-e restore_again=true`",
    ),
    known(
        "address lost in the restore",
        &["back, bare & not seen", "rebooted & not seen"],
        "patches made the host reboot, and its OAM address is not configured then",
        "the console: `ip address`",
        "set the address by hand at the console, then resume",
    ),
    known(
        "certificates",
        &["certificates run out", "certificate has expired", "certificate verify failed"],
        "a certificate runs out before the upgrade is over, and nothing renews it meanwhile",
        "`system certificate-list`, and the days that are left",
        "renew it before the upgrade",
    ),
    known(
        "passwords",
        &["does not take the", "invalid identity credentials", "http 401"],
        "a password is wrong, or was changed on one side alone",
        "log in and `source /etc/platform/openrc && system show`",
        "give the right one from a vault file",
    ),
    known(
        "host not ready",
        &["not yet been inventoried", "is not online", "while upgrading kubelet"],
        "the host was asked before its agent had reported",
        "`system host-show`: availability online and inv_state inventoried",
        "wait for it, then resume",
    ),
    known(
        "place lost",
        &["somebody aborts", "someone aborts", "another upgrade is in progress"],
        "somebody else, or another tool, acts on this system",
        "`stx-upgrade runs` on the machines of the operators; `sw-manager upgrade-strategy show`",
        "talk to each other; then resume",
    ),
];

/// The first row that a text matches.
pub fn find(text: &str) -> Option<&'static Known> {
    let text = text.to_lowercase();
    let holds = |pattern: &str| pattern.split(" & ").all(|part| text.contains(part));
    KNOWN.iter().find(|known| known.patterns.iter().any(|p| holds(p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_found_and_says_what_to_do() {
        assert_eq!(KNOWN.len(), 25);
        for row in KNOWN {
            for pattern in row.patterns {
                assert_eq!(pattern.to_lowercase(), *pattern, "patterns are lower case: {pattern}");
                let found = find(&format!("it said: {}", pattern.replace(" & ", " ")));
                assert!(found.is_some(), "{pattern} finds nothing");
            }
            assert!(!row.cause.is_empty() && !row.proof.is_empty() && !row.next.is_empty(), "{}", row.name);
        }
        assert_eq!(find("drbd-pgsql/0: WFConnection UpToDate/DUnknown").map(|k| k.name), Some("volumes not whole"));
        assert!(find("a host was renamed").is_none());
    }
}
