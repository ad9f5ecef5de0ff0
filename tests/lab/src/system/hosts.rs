//! Locking, unlocking and booting hosts: refusals at once, phases later.

use super::time::Event;
use super::{Effect, Refusal, System, clock, stamp};

/// Product seconds of the phases of a lock.
const LOCK_SERVICES: f64 = 30.0;
const LOCK: f64 = 60.0;
/// Product seconds from an accepted unlock to the reboot, and of the phases after the boot.
const UNLOCK_TO_REBOOT: f64 = 20.0;
const TESTING: f64 = 60.0;
const ENABLING: f64 = 120.0;
/// Product seconds of a boot.
pub const BOOT: f64 = 180.0;

impl System {
    /// `host-lock`.
    pub fn host_lock(&mut self, name: &str, force: bool) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let host = self.hosts[at].hostname.clone();
        if self.hosts[at].administrative == "locked" {
            return Err(format!("Avoiding lock action on already 'locked' host {host}"));
        }
        if host == self.active && !self.simplex() {
            return Err(format!("{host} : Rejected: Can not lock an active controller."));
        }
        self.lock_during_upgrade(&host)?;
        if !force {
            self.lock_storage(at)?;
        }
        if self.take_host_fault("lock-refused", &host).is_some() {
            return Err(
                "VIM API Error or Timeout on action = lock Please retry and if problem persists then contact your \
                        system administrator."
                    .into(),
            );
        }
        self.set_task(at, Some(if force { "Force Locking" } else { "Locking" }));
        self.changed(format!("host-locking {host}"));
        self.due.retain(|due| {
            !matches!(&due.what, Event::LockDone { host: h } | Event::LockServicesDisabled { host: h }
                | Event::LockRejected { host: h, .. } if *h == host)
        });
        if !force && self.take_host_fault("lock-rejected-late", &host).is_some() {
            self.after(LOCK_SERVICES, Event::LockRejected { host, why: "Lock Rejected: Incomplete Migration".into() });
        } else if let (false, Err(why)) = (force, self.pods_fit_without(&host)) {
            self.after(LOCK_SERVICES, Event::LockRejected { host, why });
        } else {
            self.after(LOCK_SERVICES, Event::LockServicesDisabled { host: host.clone() });
            self.after(LOCK, Event::LockDone { host });
        }
        Ok(at)
    }

    fn lock_during_upgrade(&self, host: &str) -> Result<(), Refusal> {
        let Some(upgrade) = &self.upgrade else { return Ok(()) };
        let state = upgrade.state.as_str();
        if host == "controller-1" && state == "starting" {
            return Err(
                "host-lock controller-1 is not allowed during upgrade state 'starting'. Upgrade state must be \
                        'started'."
                    .into(),
            );
        }
        let allowed = match state {
            "starting" | "started" | "data-migration" | "data-migration-complete" | "data-migration-failed" => {
                "controller-1"
            }
            "upgrading-controllers" => "controller-0",
            _ => host,
        };
        if self.all_in_one() && !self.simplex() && host != allowed {
            return Err(format!("Rejected: Can not lock {host} with worker function at this upgrade stage '{state}'."));
        }
        Ok(())
    }

    pub(super) fn lock_rejected(&mut self, host: &str, why: &str) {
        if let Ok(at) = self.find(host) {
            self.set_task(at, Some(why));
            self.hosts[at].vim_progress_status = "services-disable-failed".into();
            self.changed(format!("host-lock-rejected {host}"));
        }
    }

    pub(super) fn lock_services_disabled(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.hosts[at].vim_progress_status = "services-disabled".into();
            self.touch(at);
            self.evict(host);
        }
    }

    pub(super) fn lock_done(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.states(at, "locked", "disabled", "online");
        self.set_task(at, Some(""));
        self.changed(format!("host-locked {host}"));
        self.controller_down(host);
        self.storage_changed(host);
        self.raise(
            "200.001",
            &format!("host={host}"),
            "warning",
            &format!("{host} was administratively locked to take it out-of-service."),
        );
    }

    /// `host-unlock`.
    pub fn host_unlock(&mut self, name: &str) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let h = &self.hosts[at];
        let host = h.hostname.clone();
        if h.task.as_deref().is_some_and(|task| task.ends_with("Locking")) {
            return Err("Host unlock rejected due to in progress action lock".into());
        }
        if h.administrative == "unlocked" || h.task.as_deref().is_some_and(|t| t.starts_with("Unlocking")) {
            return Err(format!("Avoiding 'unlock' action on already 'unlocked' host {host}"));
        }
        if h.install_state.as_deref() == Some("failed") {
            return Err(format!("Cannot unlock host {host} due to installation failure"));
        }
        if h.inv_state != "inventoried" {
            return Err(format!(
                "Can not unlock host {host} that has not yet been inventoried. Please wait for host to complete initial \
                 inventory prior to unlock."
            ));
        }
        if h.availability != "online" {
            return Err(format!("Host {host} is not online. Wait for 'online' availability status and then 'unlock'"));
        }
        let migration = self.upgrade.as_ref().map_or("", |u| u.state.as_str());
        if host == "controller-1" && migration == "data-migration" {
            return Err("Can not unlock controller-1 while migrating data. Wait for data migration to complete.".into());
        }
        if host == "controller-1" && migration == "data-migration-failed" {
            return Err(
                "Can not unlock controller-1 because data migration failed. Please abort upgrade and downgrade \
                        host."
                    .into(),
            );
        }
        if h.running_release != h.target_release && !self.simplex() && migration != "data-migration-complete" {
            return Err(
                "Can not Unlock a host running the incorrect software load. Reinstall the host to correct.".into()
            );
        }
        if !h.patch_current {
            return Err(format!(
                "host-unlock rejected: Not patch current. 'sw-patch host-install {host}' is required."
            ));
        }
        if h.kube.status.as_deref() == Some("upgrading-kubelet") {
            return Err(format!(
                "Can not unlock {host} while upgrading kubelet. Wait for kubelet upgrade to complete."
            ));
        }
        if self.apps.iter().any(|a| matches!(a.status.as_str(), "applying" | "updating" | "recovering")) {
            return Err(format!(
                "Rejected: Can not unlock host {host} while an application is being applied, updated or recovered. \
                 Please try again later."
            ));
        }
        let task = if self.simplex() || host == self.active {
            "Unlocking, please stand-by while the system gracefully reboots"
        } else {
            "Unlocking"
        };
        if self.take_host_fault("unlock-refused", &host).is_some() {
            return Err("Operation Rejected: Maintenance is busy with the host. Please try again later.".into());
        }
        self.set_task(at, Some(task));
        self.changed(format!("host-unlocking {host}"));
        self.effects.push(Effect::UnlockFlags { host: host.clone() });
        self.after(UNLOCK_TO_REBOOT, Event::UnlockReboot { host });
        Ok(at)
    }

    pub(super) fn unlock_reboot(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.states(at, "unlocked", "disabled", "offline");
        self.set_task(at, Some("Booting"));
        self.clear("200.001", &format!("host={host}"));
        self.changed(format!("host-unlock-reboot {host}"));
        self.effects.push(Effect::Reboot { host: host.into(), after_ms: 0 });
    }

    /// Real milliseconds that a boot takes now.
    pub fn boot_ms(&mut self) -> u64 {
        let slow = self.take_fault("reboot-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 900.0));
        self.clock.real_ms(BOOT + slow)
    }

    /// The machine lost power or restarted.
    pub fn host_down(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].powered = false;
        self.forget_host(host);
        self.controller_down(host);
        let expected = self.hosts[at].task.as_deref().is_some_and(|task| !task.is_empty());
        if !self.simplex() && !expected && self.hosts[at].administrative == "unlocked" {
            self.raise(
                "200.004",
                &format!("host={host}"),
                "critical",
                &format!("{host} experienced a service-affecting failure. Auto-recovery in progress."),
            );
        }
        // Only the active controller of a duplex system could see it; a simplex system is down with its host.
        if self.hosts[at].administrative == "unlocked" {
            self.states(at, "unlocked", "disabled", "offline");
        } else {
            self.hosts[at].availability = "offline".into();
        }
        self.storage_changed(host);
        self.evict(host);
        self.changed(format!("host-down {host}"));
    }

    /// The machine is up again, on a release, configured (or bare after an installation).
    pub fn host_up(&mut self, host: &str, configured: bool) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].powered = true;
        self.hosts[at].booted_at = clock::real_now();
        self.changed(format!("host-up {host}"));
        if !configured && !self.simplex() {
            self.bare_up(host);
        }
        if !configured || !self.database_present {
            return;
        }
        self.controller_up(host);
        if self.hosts[at].administrative == "unlocked" {
            self.phase(host, "intest", "Testing");
            self.after(TESTING, Event::Enabling { host: host.into() });
            self.after(TESTING + ENABLING, Event::Enabled { host: host.into() });
        } else {
            self.hosts[at].availability = "online".into();
            self.touch(at);
        }
    }

    pub(super) fn phase(&mut self, host: &str, availability: &str, task: &str) {
        let Ok(at) = self.find(host) else { return };
        self.states(at, "unlocked", "disabled", availability);
        self.set_task(at, Some(task));
    }

    pub(super) fn enabled(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        if self.take_host_fault("unlock-fails", host).is_some() {
            self.states(at, "unlocked", "disabled", "failed");
            self.set_task(at, Some("Configuration failure, threshold reached, Lock/Unlock to retry"));
            self.changed(format!("host-failed {host}"));
            return;
        }
        self.states(at, "unlocked", "enabled", "available");
        self.set_task(at, Some(""));
        self.hosts[at].vim_progress_status = "services-enabled".into();
        self.hosts[at].invprovision = "provisioned".into();
        self.hosts[at].config_applied = self.hosts[at].config_target.clone();
        self.changed(format!("host-enabled {host}"));
        self.clear("200.001", &format!("host={host}"));
        self.clear("200.004", &format!("host={host}"));
        self.controller_enabled(host);
        self.storage_changed(host);
        self.place_pending();
        let to = self.upgrade.as_ref().map(|u| u.to_release.clone());
        if to.as_deref() == Some(self.hosts[at].running_release.as_str()) && self.simplex() {
            self.set_upgrade_state(&["upgrading-controllers"], "upgrading-hosts");
        }
        if host == "controller-1" && self.upgrade.as_ref().is_some_and(|u| u.state == "data-migration-complete") {
            self.agent_reports(at);
            self.set_upgrade_state(&["data-migration-complete"], "upgrading-controllers");
        }
    }

    /// The agent of a larger system's host reports after an installation; a simplex host's after the restore.
    pub fn agent_online(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        if self.hosts[at].administrative != "locked" || !self.hosts[at].powered {
            return;
        }
        self.hosts[at].availability = "online".into();
        if self.simplex() {
            let installed = self.hosts[at].target_release.clone();
            self.hosts[at].running_release = installed;
            self.changed(format!("host-online {host}"));
            return;
        }
        match self.take_host_fault("inventory-late", host) {
            Some(p) => {
                let seconds = super::upgrade::number(&p, "seconds", 900.0);
                self.after(seconds, Event::Inventoried { host: host.into() });
            }
            None => self.hosts[at].inv_state = "inventoried".into(),
        }
        self.hosts[at].vim_progress_status = "services-disabled".into();
        self.set_task(at, Some(""));
        self.changed(format!("host-online {host}"));
        let state = self.upgrade.as_ref().map_or(String::new(), |u| u.state.clone());
        // controller-1 keeps its old release until it is unlocked; the others report at once.
        if host != "controller-1" || !state.starts_with("data-migration") {
            self.agent_reports(at);
        }
        if host == "controller-0" && self.set_upgrade_state(&["upgrading-controllers"], "upgrading-hosts") {
            self.effects.push(Effect::MoveEtcd);
        }
    }

    pub(super) fn inventoried(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.hosts[at].inv_state = "inventoried".into();
            self.changed(format!("host-inventoried {host}"));
        }
    }

    fn agent_reports(&mut self, at: usize) {
        let installed = self.hosts[at].installed_release.clone();
        if self.hosts[at].running_release != installed {
            self.hosts[at].running_release = installed;
            self.changed(format!("host-release {}", self.hosts[at].hostname));
        }
    }

    /// A host has the patches that are applied; with the last one the patching is over.
    pub fn patch_installed(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].patch_current = true;
        self.hosts[at].reboot_needed = false;
        self.changed(format!("patch-installed {host}"));
        if self.hosts.iter().all(|h| h.patch_current) {
            for patch in self.patches.iter_mut().filter(|p| p.state == "Partial-Apply") {
                patch.state = "Applied".into();
            }
            self.clear("900.001", "host=controller");
        }
    }

    pub(super) fn states(&mut self, at: usize, administrative: &str, operational: &str, availability: &str) {
        let host = &mut self.hosts[at];
        host.administrative = administrative.into();
        host.operational = operational.into();
        host.availability = availability.into();
        self.touch(at);
    }

    pub(super) fn set_task(&mut self, at: usize, task: Option<&str>) {
        self.hosts[at].task = task.map(str::to_string);
        self.touch(at);
    }

    fn touch(&mut self, at: usize) {
        self.hosts[at].updated_at = Some(stamp::now());
    }
}
