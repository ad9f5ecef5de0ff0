//! What an operator sees of a system through its command lines.

use crate::rehearsal::Rehearsal;
use std::collections::BTreeMap;

/// A host as the platform's lists and `host-show` print it.
#[derive(Debug, Clone, Default)]
pub struct HostSeen {
    pub fields: BTreeMap<String, String>,
    pub running: String,
    pub target: String,
    pub control_plane: String,
    pub kubelet: String,
    pub kube_target: String,
    pub kube_status: String,
}

impl HostSeen {
    pub fn is(&self, field: &str, value: &str) -> bool {
        self.fields.get(field).is_some_and(|v| v == value)
    }
    pub fn task(&self) -> &str {
        self.fields.get("task").map_or("", |task| if task == "None" { "" } else { task })
    }
    pub fn locked(&self) -> bool {
        self.is("administrative", "locked")
    }
    pub fn in_service(&self) -> bool {
        self.is("administrative", "unlocked") && self.is("operational", "enabled")
    }
    pub fn on(&self, release: &str) -> bool {
        self.running == release && self.target == release
    }
}

/// What the commands print.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub all_in_one: bool,
    pub software_version: String,
    /// The release at hand, to import.
    pub new: String,
    /// State; empty: no upgrade.
    pub upgrade: String,
    pub from: String,
    pub to: String,
    /// Id, state, version.
    pub loads: Vec<(String, String, String)>,
    pub active: String,
    pub hosts: BTreeMap<String, HostSeen>,
    /// State; empty: no Kubernetes upgrade.
    pub kube: String,
    pub kube_to: String,
    /// Version and state.
    pub versions: Vec<(String, String)>,
    pub healthy_for_upgrade: bool,
    pub healthy_for_kube: bool,
    pub synced: bool,
    pub ceph: String,
}

/// Rows of a table, cell by cell, without its head.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    lines.skip(1).map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()).collect()
}

fn properties(text: &str) -> BTreeMap<String, String> {
    rows(text).into_iter().filter(|row| !row[0].is_empty()).map(|row| (row[0].clone(), row[1].clone())).collect()
}

impl Seen {
    /// Look at a system through its command lines.
    pub fn look(lab: &mut Rehearsal) -> Seen {
        let lab_new = lab.system.to_release.clone();
        let mut say = |line: &str| lab.command(line, &[]).out;
        let shown = properties(&say("system show"));
        let upgrade = properties(&say("system upgrade-show"));
        let kube = properties(&say("system kube-upgrade-show"));
        let of = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        let mut seen = Seen {
            all_in_one: of(&shown, "system_type") == "All-in-one",
            new: lab_new,
            software_version: of(&shown, "software_version"),
            upgrade: of(&upgrade, "state"),
            from: of(&upgrade, "from_release"),
            to: of(&upgrade, "to_release"),
            kube: of(&kube, "state"),
            kube_to: of(&kube, "to_version"),
            healthy_for_upgrade: !say("system health-query-upgrade").contains("[Fail]"),
            healthy_for_kube: !say("system health-query-kube-upgrade").contains("[Fail]"),
            synced: !say("drbd-overview")
                .lines()
                .any(|line| line.contains("drbd-") && !line.contains("UpToDate/UpToDate")),
            ceph: say("ceph health"),
            ..Seen::default()
        };
        for row in rows(&say("system load-list --nowrap")) {
            seen.loads.push((row[0].clone(), row[1].clone(), row[2].clone()));
        }
        for row in rows(&say("system kube-version-list --nowrap")) {
            seen.versions.push((row[0].clone(), row[2].clone()));
        }
        for row in rows(&say("system host-upgrade-list --nowrap")) {
            let show = say(&format!("system host-show {}", row[1]));
            if show.contains("Controller-Active") {
                seen.active.clone_from(&row[1]);
            }
            let host = HostSeen {
                fields: properties(&show),
                running: row[3].clone(),
                target: row[4].clone(),
                ..HostSeen::default()
            };
            seen.hosts.insert(row[1].clone(), host);
        }
        for row in rows(&say("system kube-host-upgrade-list --nowrap")) {
            if let Some(host) = seen.hosts.get_mut(&row[1]) {
                host.kube_target.clone_from(&row[3]);
                host.control_plane.clone_from(&row[4]);
                host.kubelet.clone_from(&row[5]);
                host.kube_status.clone_from(&row[6]);
            }
        }
        seen
    }

    pub fn host(&self, name: &str) -> &HostSeen {
        &self.hosts[name]
    }

    pub fn mate(&self, name: &str) -> &'static str {
        if name == "controller-0" { "controller-1" } else { "controller-0" }
    }

    pub fn aborting(&self) -> bool {
        matches!(self.upgrade.as_str(), "aborting" | "aborting-reinstall" | "abort-completing")
    }

    pub fn kind<'a>(&'a self, personality: &'a str) -> impl Iterator<Item = (&'a String, &'a HostSeen)> {
        self.hosts.iter().filter(move |(_, h)| h.is("personality", personality))
    }

    pub fn all_on(&self, personality: &str, release: &str, except: &str) -> bool {
        self.kind(personality).all(|(name, h)| name == except || h.on(release))
    }

    pub fn networking_first(&self) -> bool {
        self.software_version.as_str() > "21.05"
    }

    pub fn nodes(&self) -> impl Iterator<Item = &HostSeen> {
        self.hosts.values().filter(|h| !h.is("personality", "storage"))
    }
}
