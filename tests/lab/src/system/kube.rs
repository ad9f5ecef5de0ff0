//! Kubernetes records, as far as this lab has them: versions, host rows, and a finished upgrade left undeleted.
//!
//! Running a Kubernetes upgrade is left out: the commands that would start one are refused by name.

use super::{Refusal, System};

impl System {
    /// State of a version: `active`, `partial`, `available` or `unavailable`, and whether it is the target.
    pub fn kube_version_state(&self, version: &str) -> (&'static str, bool) {
        let mut running: Vec<&str> = Vec::new();
        for host in &self.hosts {
            running.extend(host.kube.control_plane.as_deref());
            running.push(&host.kube.kubelet);
        }
        running.sort_unstable();
        running.dedup();
        let target = match &self.kube_upgrade {
            Some(upgrade) => upgrade.to_version == version,
            None => running == [version],
        };
        let from = self.kube_versions.iter().find(|v| v.version == version).map(|v| &v.upgrade_from);
        let state = match running.as_slice() {
            [only] if *only == version => "active",
            all if all.contains(&version) => "partial",
            [only] if from.is_some_and(|list| list.iter().any(|v| v == only)) => "available",
            _ => "unavailable",
        };
        (state, target)
    }

    /// `kube-upgrade-delete`.
    pub fn kube_upgrade_delete(&mut self) -> Result<(), Refusal> {
        match &self.kube_upgrade {
            None => Err("A kubernetes upgrade is not in progress".into()),
            Some(upgrade) if upgrade.state == "upgrade-complete" => {
                self.kube_upgrade = None;
                self.clear("900.007", "host=controller");
                self.changed("kube-upgrade-deleted");
                Ok(())
            }
            Some(_) => Err("Kubernetes upgrade must be in upgrade-complete state to delete".into()),
        }
    }
}
