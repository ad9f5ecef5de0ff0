//! The health checks: one line each, in the platform's order.

use super::{System, release_number};

/// Which question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    Plain,
    Upgrade,
    Kube,
}

/// The text of a health query and whether it passes. `force`: alarms that do not affect management are forgiven.
pub struct Health {
    pub text: String,
    pub passes: bool,
}

impl System {
    /// The health check that `upgrade-start` runs.
    pub fn healthy_for_upgrade(&self, force: bool) -> bool {
        self.health(Query::Upgrade, force).passes
    }

    /// The health of the system, line by line.
    pub fn health(&self, query: Query, force: bool) -> Health {
        let mut h = Health { text: "System Health:\n".into(), passes: true };
        let unprovisioned = self.hosts.iter().filter(|x| x.invprovision != "provisioned").count();
        h.line("All hosts are provisioned", unprovisioned == 0, format!("{unprovisioned} Unprovisioned hosts"));
        let names = |bad: &dyn Fn(&super::Host) -> bool| -> String {
            self.hosts.iter().filter(|x| bad(x)).map(|x| x.hostname.clone()).collect::<Vec<_>>().join(", ")
        };
        let locked = names(&|x| x.administrative != "unlocked" || x.operational != "enabled");
        h.line("All hosts are unlocked/enabled", locked.is_empty(), format!("Locked or disabled hosts: {locked}"));
        let stale = names(&|x| x.config_target != x.config_applied);
        h.line(
            "All hosts have current configurations",
            stale.is_empty(),
            format!("Hosts with out of date configurations: {stale}"),
        );
        let unpatched = names(&|x| !x.patch_current);
        h.line("All hosts are patch current", unpatched.is_empty(), format!("Hosts not patch current: {unpatched}"));
        if let Some(ceph) = self.ceph() {
            h.line("Ceph Storage Healthy", ceph.health() == "HEALTH_OK", String::new());
        }
        let affecting = self.alarms.iter().filter(|a| a.mgmt_affecting).count();
        let counted = if force { affecting } else { self.alarms.len() };
        h.line(
            "No alarms",
            counted == 0,
            format!("[{}] alarms found, [{affecting}] of which are management affecting", self.alarms.len()),
        );
        let nodes: Vec<&str> = (0..self.hosts.len())
            .filter(|at| self.hosts[*at].is_node() && !self.node_ready(*at))
            .map(|at| self.hosts[at].hostname.as_str())
            .collect();
        h.line(
            "All kubernetes nodes are ready",
            nodes.is_empty(),
            format!("Kubernetes nodes not ready: {}", nodes.join(", ")),
        );
        let pods = self.unhealthy.get("pods");
        h.line(
            "All kubernetes control plane pods are ready",
            pods.is_none(),
            format!("Kubernetes control plane pods not ready: {}", pods.map_or("", String::as_str)),
        );
        if query == Query::Upgrade {
            self.upgrade_lines(&mut h);
        }
        if query == Query::Kube {
            self.app_line(&mut h);
        }
        h.text.push('\n');
        h
    }

    fn upgrade_lines(&self, h: &mut Health) {
        let Some(load) = self.imported() else {
            // The overall result stays what it was: the trap that a reader of `[Fail]` alone falls into.
            h.text.push_str("No imported load found. Unable to test further\n");
            return;
        };
        let missing: Vec<&str> = load
            .required_patches
            .iter()
            .filter(|id| !self.patches.iter().any(|p| p.id == **id && p.state == "Applied"))
            .map(String::as_str)
            .collect();
        h.line(
            "Required patches are applied",
            missing.is_empty(),
            format!("Patches not applied: {}", missing.join(", ")),
        );
        h.line("License valid for upgrade", !self.unhealthy.contains_key("license"), String::new());
        let early = release_number(&self.info.software_version) <= 2006;
        if early {
            return;
        }
        if self.all_in_one() && !self.simplex() {
            let instances = self.unhealthy.get("instances");
            h.line(
                "No instances running on controller-1",
                instances.is_none(),
                format!("Number of instances on controller-1: {}", instances.map_or("0", String::as_str)),
            );
        }
        if self.simplex() {
            h.line("Valid platform-backup partition", self.platform_backup_mib >= 10_000, String::new());
        }
        self.app_line(h);
        h.line("Active controller is controller-0", self.active == "controller-0", String::new());
    }

    fn app_line(&self, h: &mut Health) {
        let bad: Vec<&str> = self
            .apps
            .iter()
            .filter(|a| !matches!(a.status.as_str(), "uploaded" | "applied" | "inactive"))
            .map(|a| a.name.as_str())
            .collect();
        h.line(
            "All kubernetes applications are in a valid state",
            bad.is_empty(),
            format!("Kubernetes applications not in a valid state: {}", bad.join(", ")),
        );
    }
}

impl Health {
    fn line(&mut self, check: &str, good: bool, detail: String) {
        self.text.push_str(&format!("{check}: [{}]\n", if good { "OK" } else { "Fail" }));
        if !good {
            self.passes = false;
            if !detail.is_empty() {
                self.text.push_str(&format!("{detail}\n"));
            }
        }
    }
}
