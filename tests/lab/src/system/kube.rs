//! The Kubernetes upgrade: its states, who may take which step when, and what a restart of the conductor does to it.
//!
//! Up to release 21.05 the networking follows the first control plane (order A); from 21.12 on it comes before (order B).

use super::time::Event;
use super::{KubeUpgrade, Refusal, System, stamp};

/// Product seconds of the steps.
const DOWNLOAD: f64 = 300.0;
const NETWORKING: f64 = 120.0;
const CONTROL_PLANE: f64 = 180.0;
const KUBELET: f64 = 60.0;
/// States that end in a failure when the conductor restarts.
const AT_WORK: &[&str] =
    &["downloading-images", "upgrading-networking", "upgrading-first-master", "upgrading-second-master"];
const NONE: &str = "A kubernetes upgrade is not in progress";

/// A step that runs by itself.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Download,
    Networking,
    ControlPlane { host: String, second: bool },
    Kubelet { host: String },
}

impl System {
    /// Whether the networking is upgraded before the control planes.
    pub fn networking_first(&self) -> bool {
        self.release_number() > 2105
    }

    /// State of a version: `active`, `partial`, `available` or `unavailable`, and whether it is the target.
    pub fn kube_version_state(&self, version: &str) -> (&'static str, bool) {
        let mut running: Vec<&str> = Vec::new();
        for host in self.hosts.iter().filter(|h| h.is_node()) {
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

    fn kube_state(&self) -> Result<&str, Refusal> {
        self.kube_upgrade.as_ref().map(|u| u.state.as_str()).ok_or_else(|| NONE.into())
    }

    fn set_kube_state(&mut self, to: &str) {
        if let Some(upgrade) = &mut self.kube_upgrade {
            upgrade.state = to.into();
            upgrade.updated_at = Some(stamp::now());
            self.changed(format!("kube-{to}"));
        }
    }

    /// Patches of a list that are not in one of the states.
    fn patches_not(&self, ids: &[String], states: &[&str]) -> Vec<String> {
        ids.iter()
            .filter(|id| !self.patches.iter().any(|p| p.id == **id && states.contains(&p.state.as_str())))
            .cloned()
            .collect()
    }

    /// `kube-upgrade-start`.
    pub fn kube_upgrade_start(&mut self, version: &str, force: bool) -> Result<(), Refusal> {
        let Some(wanted) = self.kube_versions.iter().find(|v| v.version == version).cloned() else {
            return Err(format!("Kubernetes version {version} is not available"));
        };
        if self.upgrade.is_some() {
            return Err("A kubernetes upgrade cannot be done while a platform upgrade is in progress".into());
        }
        if self.kube_upgrade.is_some() {
            return Err("A kubernetes upgrade is already in progress".into());
        }
        let running = self.hosts.first().map_or(String::new(), |h| h.kube.control_plane.clone().unwrap_or_default());
        if !wanted.upgrade_from.contains(&running) {
            return Err(format!("The installed Kubernetes version {running} cannot upgrade to version {version}"));
        }
        if self.kube_version_state(&running).0 != "active" {
            return Err(format!("The installed Kubernetes version {running} is not active on all hosts"));
        }
        for (missing, word) in [
            (self.patches_not(&wanted.applied_patches, &["Applied"]), "applied"),
            (self.patches_not(&wanted.available_patches, &["Available", "Partial-Apply", "Applied"]), "available"),
        ] {
            if !missing.is_empty() {
                return Err(format!(
                    "The following patches must be {word} before doing the kubernetes upgrade: {missing:?}"
                )
                .replace('"', "'"));
            }
        }
        if let Some(app) = self.apps.iter().find(|a| a.incompatible_kube.as_deref() == Some(version)) {
            return Err(format!(
                "The installed Application {} ({}) is incompatible with the new Kubernetes version {version}.",
                app.name, app.version
            ));
        }
        if !self.health(super::health::Query::Kube, force).passes {
            return Err(
                "System is not in a valid state for kubernetes upgrade. Run system health-query-kube-upgrade for \
                        more details."
                    .into(),
            );
        }
        for host in self.hosts.iter_mut().filter(|h| h.personality != "storage") {
            host.kube.target = Some(running.clone());
            host.kube.status = None;
        }
        self.kube_upgrade = Some(KubeUpgrade {
            uuid: stamp::uuid(),
            from_version: running,
            to_version: version.into(),
            state: "upgrade-started".into(),
            created_at: stamp::now(),
            updated_at: None,
        });
        self.changed("kube-upgrade-started");
        self.raise("900.007", "host=controller", "minor", "Kubernetes upgrade in progress.");
        Ok(())
    }

    /// `kube-upgrade-download-images`.
    pub fn kube_download(&mut self) -> Result<(), Refusal> {
        self.kube_step_from(["upgrade-started", "downloading-images-failed"], "download images")?;
        self.set_kube_state("downloading-images");
        self.kube_begin(Step::Download, DOWNLOAD);
        Ok(())
    }

    /// `kube-upgrade-networking`.
    pub fn kube_networking(&mut self) -> Result<(), Refusal> {
        let before = if self.networking_first() { "downloaded-images" } else { "upgraded-first-master" };
        self.kube_step_from([before, "upgrading-networking-failed"], "upgrade networking")?;
        self.set_kube_state("upgrading-networking");
        self.kube_begin(Step::Networking, NETWORKING);
        Ok(())
    }

    fn kube_step_from(&self, states: [&str; 2], what: &str) -> Result<(), Refusal> {
        if states.contains(&self.kube_state()?) {
            return Ok(());
        }
        Err(format!("Kubernetes upgrade must be in {} or {} state to {what}", states[0], states[1]))
    }

    fn kube_begin(&mut self, step: Step, seconds: f64) {
        let slow = self.take_fault("kube-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 1800.0));
        if self.take_fault("kube-stuck").is_none() {
            self.after(seconds + slow, Event::KubeStep { step });
        }
    }

    /// `kube-host-upgrade HOST control-plane`.
    pub fn kube_control_plane(&mut self, name: &str) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let state = self.kube_state().map_err(|none| format!("{none}."))?.to_string();
        if self.hosts[at].kube.control_plane.is_none() {
            return Err("This host does not have a kubernetes control plane.".into());
        }
        let to = self.kube_upgrade.as_ref().map(|u| u.to_version.clone()).unwrap_or_default();
        let (first, second) = if self.networking_first() {
            ("upgraded-networking", "upgraded-first-master")
        } else {
            ("downloaded-images", "upgraded-networking")
        };
        let begun = |h: &super::Host| h.kube.target.as_deref() == Some(to.as_str());
        let is_second = if state == first || state == "upgrading-first-master-failed" {
            if self.hosts.iter().any(|h| begun(h) && h.id != self.hosts[at].id) {
                return Err("The first control plane upgrade must be completed before upgrading the second control \
                            plane."
                    .into());
            }
            false
        } else if state == second || state == "upgrading-second-master-failed" {
            if self.hosts[at].kube.control_plane.as_deref() == Some(to.as_str()) {
                return Err("The first control plane was already upgraded.".into());
            }
            true
        } else {
            return Err("The kubernetes upgrade is not in a valid state to upgrade the control plane.".into());
        };
        if !self.hosts[at].in_service() || self.hosts[at].availability != "available" {
            return Err("The host must be unlocked and available to upgrade the control plane.".into());
        }
        if self.hosts[at].kube.status.as_deref() == Some("upgrading-control-plane") {
            return Err("The control plane on this host is already being upgraded.".into());
        }
        self.hosts[at].kube.target = Some(to);
        self.hosts[at].kube.status = Some("upgrading-control-plane".into());
        self.set_kube_state(if is_second { "upgrading-second-master" } else { "upgrading-first-master" });
        let host = self.hosts[at].hostname.clone();
        self.changed(format!("kube-control-plane {host}"));
        self.kube_begin(Step::ControlPlane { host, second: is_second }, CONTROL_PLANE);
        Ok(at)
    }

    /// `kube-host-upgrade HOST kubelet`.
    pub fn kube_kubelet(&mut self, name: &str, force: bool) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let state = self.kube_state().map_err(|none| format!("{none}."))?.to_string();
        if !self.hosts[at].is_node() {
            return Err("This host does not have a kubelet.".into());
        }
        let before = match (self.simplex(), self.networking_first()) {
            (true, true) => "upgraded-first-master",
            (true, false) => "upgraded-networking",
            _ => "upgraded-second-master",
        };
        if state != before && state != "upgrading-kubelets" {
            return Err(format!(
                "The kubernetes upgrade must be in the {before} or upgrading-kubelets state to upgrade the kubelet."
            ));
        }
        let upgrade = self.kube_upgrade.clone().ok_or(NONE)?;
        let to = upgrade.to_version.clone();
        let wanted = self.kube_versions.iter().find(|v| v.version == to).map(|v| v.available_patches.clone());
        let missing = self.patches_not(&wanted.unwrap_or_default(), &["Applied", "Partial-Apply"]);
        if !missing.is_empty() {
            return Err(format!(
                "The following patches must be applied before doing the kubelet upgrade: {}",
                format!("{missing:?}").replace('"', "'")
            ));
        }
        let controllers_left =
            self.hosts.iter().any(|h| h.personality == "controller" && (h.kube.kubelet != to || at_work(h)));
        if self.hosts[at].personality == "worker" && controllers_left {
            return Err("The kubelets on all controller hosts must be upgraded before upgrading kubelets on worker \
                        hosts."
                .into());
        }
        let host = &self.hosts[at];
        if host.kube.status.as_deref() == Some("upgrading-kubelet") {
            return Err("The kubelet on this host is already being upgraded.".into());
        }
        if host.kube.kubelet == to && host.kube.status.as_deref() != Some("upgrading-kubelet-failed") {
            return Err("The kubelet on this host was already upgraded.".into());
        }
        if self.simplex() {
            if !host.in_service() || host.availability != "available" {
                return Err("The host must be unlocked and available to upgrade the kubelet.".into());
            }
        } else if !force && (host.administrative != "locked" || host.availability != "online") {
            return Err("The host must be locked and online to upgrade the kubelet.".into());
        }
        self.hosts[at].kube.target = Some(to);
        self.hosts[at].kube.status = Some("upgrading-kubelet".into());
        if state != "upgrading-kubelets" {
            self.set_kube_state("upgrading-kubelets");
        }
        let host = self.hosts[at].hostname.clone();
        self.changed(format!("kube-kubelet {host}"));
        self.kube_begin(Step::Kubelet { host }, KUBELET);
        Ok(at)
    }

    /// A step came to its end.
    pub(super) fn kube_step_done(&mut self, step: Step) {
        let Some(upgrade) = &self.kube_upgrade else { return };
        let to = upgrade.to_version.clone();
        match step {
            Step::Download => {
                let failed = self.take_fault("kube-download-fails").is_some();
                self.set_kube_state(if failed { "downloading-images-failed" } else { "downloaded-images" });
            }
            Step::Networking => {
                let failed = self.take_fault("kube-networking-fails").is_some();
                self.set_kube_state(if failed { "upgrading-networking-failed" } else { "upgraded-networking" });
            }
            Step::ControlPlane { host, second } => {
                let Ok(at) = self.find(&host) else { return };
                let which = if second { "second" } else { "first" };
                if self.take_host_fault("kube-control-plane-fails", &host).is_some() || !self.hosts[at].powered {
                    self.hosts[at].kube.status = Some("upgrading-control-plane-failed".into());
                    self.set_kube_state(&format!("upgrading-{which}-master-failed"));
                } else {
                    self.hosts[at].kube.control_plane = Some(to);
                    self.hosts[at].kube.status = None;
                    self.set_kube_state(&format!("upgraded-{which}-master"));
                }
            }
            Step::Kubelet { host } => {
                let Ok(at) = self.find(&host) else { return };
                if self.take_host_fault("kube-kubelet-fails", &host).is_some() || !self.hosts[at].powered {
                    self.hosts[at].kube.status = Some("upgrading-kubelet-failed".into());
                    self.changed(format!("kube-kubelet-failed {host}"));
                } else {
                    self.hosts[at].kube.kubelet = to;
                    self.hosts[at].kube.status = self.networking_first().then(|| "upgraded-kubelet".into());
                    self.changed(format!("kube-kubelet-upgraded {host}"));
                }
            }
        }
    }

    /// `kube-upgrade-complete`.
    pub fn kube_upgrade_complete(&mut self) -> Result<(), Refusal> {
        if self.kube_state()? != "upgrading-kubelets" {
            return Err("Kubernetes upgrade must be in upgrading-kubelets state to complete".into());
        }
        let to = self.kube_upgrade.as_ref().map(|u| u.to_version.clone()).unwrap_or_default();
        let done = self.networking_first().then_some("upgraded-kubelet");
        if self.hosts.iter().any(|h| h.is_node() && (h.kube.kubelet != to || h.kube.status.as_deref() != done)) {
            return Err("At least one host has not completed the kubernetes upgrade".into());
        }
        if self.kube_version_state(&to).0 != "active" {
            return Err("Kubernetes to_version must be active to complete".into());
        }
        for host in &mut self.hosts {
            host.kube.status = None;
        }
        self.set_kube_state("upgrade-complete");
        Ok(())
    }

    /// `kube-upgrade-delete`.
    pub fn kube_upgrade_delete(&mut self) -> Result<(), Refusal> {
        if self.kube_state()? != "upgrade-complete" {
            return Err("Kubernetes upgrade must be in upgrade-complete state to delete".into());
        }
        self.kube_upgrade = None;
        for host in &mut self.hosts {
            host.kube.target = None;
        }
        self.clear("900.007", "host=controller");
        self.changed("kube-upgrade-deleted");
        Ok(())
    }

    /// `kube-upgrade-failed`: the operator's way out of a state that lasts. The work itself, if it still runs, goes on.
    pub fn kube_upgrade_failed(&mut self) -> Result<(), Refusal> {
        let state = self.kube_state()?.to_string();
        if !AT_WORK.contains(&state.as_str()) {
            return Err(format!("Kubernetes upgrade is in {state} state, cannot be set to failed"));
        }
        self.kube_gives_up(&state);
        Ok(())
    }

    /// What a restart of the conductor does to a step that runs.
    pub(super) fn kube_interrupted(&mut self) {
        let Some(upgrade) = &self.kube_upgrade else { return };
        let state = upgrade.state.clone();
        let kubelets = self.hosts.iter().any(at_work);
        if !AT_WORK.contains(&state.as_str()) && !kubelets {
            return;
        }
        self.due.retain(|due| !matches!(due.what, Event::KubeStep { .. }));
        if AT_WORK.contains(&state.as_str()) {
            self.kube_gives_up(&state);
        }
        for host in self.hosts.iter_mut().filter(|h| h.kube.status.as_deref() == Some("upgrading-kubelet")) {
            host.kube.status = Some("upgrading-kubelet-failed".into());
        }
    }

    fn kube_gives_up(&mut self, state: &str) {
        self.set_kube_state(&format!("{state}-failed"));
        for host in self.hosts.iter_mut().filter(|h| h.kube.status.as_deref() == Some("upgrading-control-plane")) {
            host.kube.status = Some("upgrading-control-plane-failed".into());
        }
    }
}

fn at_work(host: &super::Host) -> bool {
    host.kube.status.as_deref().is_some_and(|status| status.starts_with("upgrading-"))
}
