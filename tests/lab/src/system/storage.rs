//! The storage cluster of a system with storage hosts: one OSD each, replication within groups of two, monitors on
//! both controllers and storage-0.

use super::time::Event;
use super::{Host, Refusal, System};

/// Product seconds that the cluster copies after a storage host is back, and after a reinstallation.
const RECOVERY: f64 = 120.0;
const FULL_RECOVERY: f64 = 600.0;
/// Hosts per replication group.
pub const REPLICATION: usize = 2;

/// The cluster as `ceph -s` reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ceph {
    pub monitors: Vec<String>,
    pub quorum: Vec<String>,
    /// Host and whether its OSD is up.
    pub osds: Vec<(String, bool)>,
    /// Copies what was missing.
    pub recovering: bool,
}

impl Ceph {
    /// `HEALTH_OK`, `HEALTH_WARN`, or `HEALTH_ERR` where a whole group is gone.
    pub fn health(&self) -> &'static str {
        if self.osds.chunks(REPLICATION).any(|group| group.iter().all(|(_, up)| !up)) {
            "HEALTH_ERR"
        } else if self.quorum.len() < self.monitors.len() || self.recovering || self.osds.iter().any(|(_, up)| !up) {
            "HEALTH_WARN"
        } else {
            "HEALTH_OK"
        }
    }

    /// What is wrong, line by line.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let down = self.osds.iter().filter(|(_, up)| !up).count();
        if self.quorum.len() < self.monitors.len() {
            let missing = self.monitors.len() - self.quorum.len();
            reasons.push(format!("{missing}/{} mons down, quorum {}", self.monitors.len(), self.quorum.join(",")));
        }
        if down > 0 {
            reasons.push(format!("{down} osds down"));
            reasons.push(format!("{down} host ({down} osds) down"));
        }
        if down > 0 || self.recovering {
            let part = 64 * down.max(1) / self.osds.len().max(1);
            reasons.push(format!("Degraded data redundancy: {}/1024 objects degraded, {part} pgs degraded", part * 8));
        }
        reasons
    }
}

impl System {
    /// The storage cluster, if the system has storage hosts.
    pub fn ceph(&self) -> Option<Ceph> {
        let osds: Vec<(String, bool)> = self
            .hosts
            .iter()
            .filter(|h| h.personality == "storage")
            .map(|h| (h.hostname.clone(), h.in_service()))
            .collect();
        if osds.is_empty() {
            return None;
        }
        let monitors: Vec<&Host> = self.hosts.iter().filter(|h| h.stor_function).collect();
        Some(Ceph {
            quorum: monitors.iter().filter(|h| h.in_service()).map(|h| h.hostname.clone()).collect(),
            monitors: monitors.iter().map(|h| h.hostname.clone()).collect(),
            recovering: self.clock.now() < self.ceph_recovers_until || self.unhealthy.contains_key("ceph"),
            osds,
        })
    }

    /// The storage hosts of a host's replication group, itself included; its number.
    pub fn peers(&self, host: &str) -> Option<(usize, Vec<String>)> {
        let ceph = self.ceph()?;
        let at = ceph.osds.iter().position(|(name, _)| name == host)? / REPLICATION;
        Some((at, ceph.osds.chunks(REPLICATION).nth(at)?.iter().map(|(name, _)| name.clone()).collect()))
    }

    pub(super) fn lock_storage(&self, at: usize) -> Result<(), Refusal> {
        let (Some(ceph), host) = (self.ceph(), &self.hosts[at]) else { return Ok(()) };
        if host.stor_function && host.in_service() && ceph.quorum.len() <= 2 {
            return Err(format!(
                "Only {} storage monitor available. At least 2 unlocked and enabled hosts with monitors are required. \
                 Please ensure hosts with monitors are unlocked and enabled.",
                ceph.quorum.len() - 1
            ));
        }
        if host.personality != "storage" {
            return Ok(());
        }
        let (_, peers) = self.peers(&host.hostname).unwrap_or_default();
        let alone = ceph.osds.iter().any(|(name, up)| peers.contains(name) && *name != host.hostname && !up);
        if alone {
            return Err("Cannot lock a storage node when ceph pools are not empty and replication is lost. This may \
                        result in data loss."
                .into());
        }
        if ceph.recovering {
            return Err("Cannot lock a storage node while ceph placement groups are in recovery.".into());
        }
        Ok(())
    }

    /// A host with storage or a monitor changed: alarms follow.
    pub(super) fn storage_changed(&mut self, host: &str) {
        if self.ceph().is_none() {
            return;
        }
        let Ok(at) = self.find(host) else { return };
        if self.hosts[at].personality == "storage" && self.hosts[at].in_service() {
            let length = if self.hosts[at].fresh_disk { FULL_RECOVERY } else { RECOVERY };
            self.hosts[at].fresh_disk = false;
            let now = self.happening.unwrap_or_else(|| self.clock.now());
            let slow = self.take_fault("ceph-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 3600.0));
            self.ceph_recovers_until = self.ceph_recovers_until.max(now + length + slow);
            self.changed(format!("ceph-recovering {host}"));
            self.after(length + slow, Event::CephRecovered);
        }
        self.ceph_alarms();
    }

    pub(super) fn ceph_recovered(&mut self) {
        if self.clock.now() >= self.ceph_recovers_until
            && let Some(ceph) = self.ceph()
        {
            self.ceph_alarms();
            self.changed(format!("ceph-{}", ceph.health()));
        }
    }

    pub(super) fn ceph_alarms(&mut self) {
        let Some(ceph) = self.ceph() else { return };
        let entity = "cluster=ceph_cluster";
        match ceph.health() {
            "HEALTH_OK" => self.clear("800.001", entity),
            health => self.raise(
                "800.001",
                entity,
                if health == "HEALTH_ERR" { "critical" } else { "warning" },
                &format!("Storage Alarm Condition: {health}. Please check 'ceph -s' for more details."),
            ),
        }
        for (i, group) in ceph.osds.chunks(REPLICATION).enumerate() {
            let entity = format!("cluster=ceph_cluster.peergroup=group-{i}");
            if group.iter().all(|(_, up)| *up) {
                self.clear("800.011", &entity);
            } else {
                self.raise(
                    "800.011",
                    &entity,
                    "major",
                    &format!("Loss of replication in replication group group-{i}: OSDs are down"),
                );
            }
        }
    }
}
