//! Locking, unlocking, upgrading hosts: refusals at once, phases later.

use super::time::Event;
use super::{Effect, Refusal, System, clock, stamp};

/// Product seconds of the phases of a lock.
const LOCK_SERVICES: f64 = 30.0;
const LOCK: f64 = 60.0;
/// Product seconds from an accepted unlock to the reboot, and of the phases after the boot.
const UNLOCK_TO_REBOOT: f64 = 20.0;
const TESTING: f64 = 60.0;
const ENABLING: f64 = 120.0;
/// Product seconds of a boot, and of an installation.
pub const BOOT: f64 = 180.0;
const INSTALL: f64 = 1500.0;
/// Product seconds between the acceptance of `host-upgrade` on simplex and the loss of the disk.
const WIPE_BEGINS: f64 = 15.0;

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
        if host == "controller-1" && self.upgrade.as_ref().is_some_and(|u| u.state == "starting") {
            return Err(
                "host-lock controller-1 is not allowed during upgrade state 'starting'. Upgrade state must be \
                        'started'."
                    .into(),
            );
        }
        self.set_task(at, Some("Locking"));
        self.changed(format!("host-locking {host}"));
        self.due.retain(|due| {
            !matches!(&due.what, Event::LockDone { host: h } | Event::LockServicesDisabled { host: h }
                | Event::LockRejected { host: h } if *h == host)
        });
        if !force && self.take_fault("lock-rejected-late").is_some() {
            self.after(LOCK_SERVICES, Event::LockRejected { host });
        } else {
            self.after(LOCK_SERVICES, Event::LockServicesDisabled { host: host.clone() });
            self.after(LOCK, Event::LockDone { host });
        }
        Ok(at)
    }

    pub(super) fn lock_rejected(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.set_task(at, Some("Lock Rejected: Incomplete Migration"));
            self.hosts[at].vim_progress_status = "services-disable-failed".into();
            self.changed(format!("host-lock-rejected {host}"));
        }
    }

    pub(super) fn lock_services_disabled(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.hosts[at].vim_progress_status = "services-disabled".into();
            self.touch(at);
        }
    }

    pub(super) fn lock_done(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.states(at, "locked", "disabled", "online");
        self.set_task(at, Some(""));
        self.changed(format!("host-locked {host}"));
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
        if h.task.as_deref() == Some("Locking") {
            return Err("Host unlock rejected due to in progress action lock".into());
        }
        if h.administrative == "unlocked" || h.task.as_deref().is_some_and(|t| t.starts_with("Unlocking")) {
            return Err(format!("Avoiding 'unlock' action on already 'unlocked' host {host}"));
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
        if h.running_release != h.target_release && !self.simplex() {
            return Err(
                "Can not Unlock a host running the incorrect software load. Reinstall the host to correct.".into()
            );
        }
        if !h.patch_current {
            return Err(format!(
                "host-unlock rejected: Not patch current. 'sw-patch host-install {host}' is required."
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
        // Only the active controller of a duplex system could see it; a simplex system is down with its host.
        if self.hosts[at].administrative == "unlocked" {
            self.states(at, "unlocked", "disabled", "offline");
        } else {
            self.hosts[at].availability = "offline".into();
        }
        self.changed(format!("host-down {host}"));
    }

    /// The machine is up again, on a release, configured (or bare after an installation).
    pub fn host_up(&mut self, host: &str, configured: bool) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].powered = true;
        self.hosts[at].booted_at = clock::real_now();
        self.changed(format!("host-up {host}"));
        if !configured || !self.database_present {
            return;
        }
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
        self.states(at, "unlocked", "enabled", "available");
        self.set_task(at, Some(""));
        self.hosts[at].vim_progress_status = "services-enabled".into();
        self.hosts[at].invprovision = "provisioned".into();
        self.hosts[at].config_applied = self.hosts[at].config_target.clone();
        self.changed(format!("host-enabled {host}"));
        self.clear("200.001", &format!("host={host}"));
        let to = self.upgrade.as_ref().map(|u| u.to_release.clone());
        if to.as_deref() == Some(self.hosts[at].running_release.as_str()) && self.simplex() {
            self.set_upgrade_state(&["upgrading-controllers"], "upgrading-hosts");
        }
    }

    /// `host-upgrade`.
    pub fn host_upgrade(&mut self, name: &str, force: bool) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let host = self.hosts[at].hostname.clone();
        let Some(upgrade) = &self.upgrade else {
            return Err("host-upgrade rejected: An upgrade is not in progress.".into());
        };
        if matches!(upgrade.state.as_str(), "aborting" | "aborting-reinstall" | "abort-completing") {
            return Err("host-upgrade rejected: Aborting Upgrade.".into());
        }
        let to = upgrade.to_release.clone();
        if self.hosts[at].target_release == to {
            return Err(format!("{host} already targeted to install load {to}"));
        }
        if upgrade.state != "started" {
            return Err("host-upgrade rejected: Upgrade not in started state.".into());
        }
        if self.hosts[at].administrative != "locked" {
            return Err("The host must be locked before performing this operation".into());
        }
        if self.hosts[at].availability != "online" && !force {
            return Err("The host must be online to perform this operation".into());
        }
        self.hosts[at].target_release = to.clone();
        self.hosts[at].inv_state = "reinstalling".into();
        self.set_task(at, Some("Reinstalling"));
        self.changed(format!("host-upgrade {host}"));
        self.after(WIPE_BEGINS, Event::Reinstalled { host });
        Ok(at)
    }

    /// The disk is emptied now; the machine installs and boots by itself.
    pub(super) fn reinstalled(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        let release = self.hosts[at].target_release.clone();
        self.wiped(host, &release);
        let fails = self.take_fault("reinstall-fails").is_some();
        let install_ms = if fails { u64::MAX } else { self.clock.real_ms(INSTALL) };
        self.effects.push(Effect::Reinstall { host: host.into(), release, install_ms });
    }

    /// A host's disk was emptied; on simplex the platform's database went with it.
    pub fn wiped(&mut self, host: &str, release: &str) {
        let Ok(at) = self.find(host) else { return };
        self.forget_host(host);
        self.hosts[at].running_release = release.into();
        self.hosts[at].availability = "offline".into();
        self.hosts[at].powered = false;
        if self.simplex() {
            self.database_present = false;
            self.alarms.clear();
            self.due.clear();
        }
        self.changed(format!("host-wiped {host}"));
    }

    pub(super) fn install_state(&mut self, host: &str, state: &str) {
        if let Ok(at) = self.find(host) {
            self.hosts[at].install_state = Some(state.into());
            self.touch(at);
        }
    }

    pub(super) fn patch_installed(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.hosts[at].patch_current = true;
            self.changed(format!("patch-installed {host}"));
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
