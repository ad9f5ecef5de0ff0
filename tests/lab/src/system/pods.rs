//! Where the site's pods run, and where there is room for them.

use super::{Pod, Refusal, System};

/// Pods of the site's own that fit on one node.
pub const CAPACITY: usize = 4;
/// Product seconds until a moved pod is ready.
const STARTS: f64 = 15.0;

impl System {
    /// Whether a host's node reports Ready: it has booted, with its configuration.
    pub fn node_ready(&self, at: usize) -> bool {
        let host = &self.hosts[at];
        host.powered
            && host.inv_state == "inventoried"
            && !matches!(host.availability.as_str(), "offline" | "failed")
            && self.unhealthy.get("nodes") != Some(&host.hostname)
    }

    /// Whether the scheduler puts pods on a node.
    pub fn schedulable(&self, at: usize) -> bool {
        self.hosts[at].runs_workloads()
            && self.hosts[at].in_service()
            && self.node_ready(at)
            && !self.hosts[at].kube.cordoned
            && self.hosts[at].kube.taints.iter().all(|t| t["effect"] == "PreferNoSchedule")
            && !self.hosts[at].task.as_deref().is_some_and(|task| task.ends_with("Locking"))
    }

    /// The site's pods on a host.
    pub fn pods_on(&self, host: &str) -> usize {
        self.pods.iter().filter(|p| p.node.as_deref() == Some(host)).count()
    }

    /// Free places on all nodes but one.
    fn room_without(&self, host: &str) -> usize {
        (0..self.hosts.len())
            .filter(|at| self.schedulable(*at) && self.hosts[*at].hostname != host)
            .map(|at| CAPACITY.saturating_sub(self.pods_on(&self.hosts[at].hostname)))
            .sum()
    }

    /// Whether the pods of a host find room elsewhere. A simplex system has no elsewhere.
    pub(super) fn pods_fit_without(&self, host: &str) -> Result<(), Refusal> {
        let workloads = self.find(host).is_ok_and(|at| self.hosts[at].runs_workloads());
        if self.simplex() || !workloads || self.pods_on(host) <= self.room_without(host) {
            return Ok(());
        }
        Err("Lock Rejected: Please Enable More Worker Resources".into())
    }

    /// Take the pods off a host: each is replaced where there is room, or waits.
    pub(super) fn evict(&mut self, host: &str) {
        if self.simplex() {
            return;
        }
        let leaving: Vec<String> =
            self.pods.iter().filter(|p| p.node.as_deref() == Some(host)).map(|p| p.name.clone()).collect();
        for name in leaving {
            self.replace(&name, host);
        }
        self.place_pending();
    }

    /// Delete one pod; its deployment makes another, not on `without`.
    pub fn replace(&mut self, name: &str, without: &str) {
        let Some(at) = self.pods.iter().position(|p| p.name == name) else { return };
        let old = self.pods.remove(at);
        let mut pod = Pod::new(&old.app, self.freest(without));
        pod.ready_at = self.happening.unwrap_or_else(|| self.clock.now()) + STARTS;
        self.changed(match &pod.node {
            Some(node) => format!("pod-moved {} {node}", old.app),
            None => format!("pod-pending {}", old.app),
        });
        self.pods.push(pod);
    }

    /// The node with the most room.
    fn freest(&self, without: &str) -> Option<String> {
        (0..self.hosts.len())
            .filter(|at| self.schedulable(*at) && self.hosts[*at].hostname != without)
            .map(|at| (self.pods_on(&self.hosts[at].hostname), &self.hosts[at].hostname))
            .filter(|(held, _)| *held < CAPACITY)
            .min_by_key(|(held, _)| *held)
            .map(|(_, name)| name.clone())
    }

    /// Pods that wait go where there is room now.
    pub fn place_pending(&mut self) {
        for at in 0..self.pods.len() {
            if self.pods[at].node.is_none()
                && let Some(node) = self.freest("")
            {
                self.changed(format!("pod-placed {} {node}", self.pods[at].app));
                self.pods[at].ready_at = self.clock.now() + STARTS;
                self.pods[at].node = Some(node);
            }
        }
    }

    /// Ask for a pod to go: `Err` where the disruption budget (one replica of an application at a time) forbids it.
    pub fn evict_pod(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(pod) = self.pods.iter().find(|p| p.name == name).cloned() else { return Ok(()) };
        let waiting = self.pods.iter().any(|p| p.app == pod.app && p.name != pod.name && !self.pod_ready(p));
        if waiting || self.standing_fault("pdb-blocks").is_some() {
            return Err("Cannot evict pod as it would violate the pod's disruption budget.".into());
        }
        self.replace(name, pod.node.as_deref().unwrap_or(""));
        Ok(())
    }

    /// Mark a node for the scheduler, or not.
    pub fn cordon(&mut self, at: usize, cordoned: bool) {
        if self.hosts[at].kube.cordoned != cordoned {
            self.hosts[at].kube.cordoned = cordoned;
            self.changed(format!(
                "node-{} {}",
                if cordoned { "cordoned" } else { "uncordoned" },
                self.hosts[at].hostname
            ));
            self.place_pending();
        }
    }

    /// Set the operator's taints of a node; one with effect NoExecute takes the pods off it.
    pub fn taint(&mut self, at: usize, taints: Vec<serde_json::Value>) {
        let host = self.hosts[at].hostname.clone();
        let executes = taints.iter().any(|t| t["effect"] == "NoExecute");
        self.hosts[at].kube.taints = taints;
        self.changed(format!("node-tainted {host}"));
        if executes {
            self.evict(&host);
        } else {
            self.place_pending();
        }
    }

    /// Whether a pod is ready.
    pub fn pod_ready(&self, pod: &Pod) -> bool {
        let node = pod.node.as_ref().and_then(|name| self.find(name).ok());
        node.is_some_and(|at| self.node_ready(at)) && self.clock.now() >= pod.ready_at
    }
}
