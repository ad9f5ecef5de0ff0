//! Upgrading and downgrading hosts: the order, the installation, the migration of a pair's data.

use super::time::Event;
use super::{Effect, Refusal, System};

/// Product seconds of an installation.
const INSTALL: f64 = 1500.0;
/// Product seconds between the acceptance of `host-upgrade` and the loss of the disk.
const WIPE_BEGINS: f64 = 15.0;
/// Product seconds of the migration on controller-1, and from a bare host's boot until its agent reports.
const MIGRATION: f64 = 300.0;
const AGENT: f64 = 60.0;

impl System {
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
        let (to, state) = (upgrade.to_release.clone(), upgrade.state.clone());
        if self.simplex() && self.hosts[at].target_release == to {
            return Err(format!("{host} already targeted to install load {to}"));
        }
        self.upgrade_order(at, &to)?;
        let wanted = match host.as_str() {
            "controller-0" if !self.simplex() => "upgrading-controllers",
            "controller-0" | "controller-1" => "started",
            _ => "upgrading-hosts",
        };
        if state != wanted {
            return Err(format!("host-upgrade rejected: Upgrade not in {wanted} state."));
        }
        if self.hosts[at].target_release == to {
            return Err(format!("{host} already targeted to install load {to}"));
        }
        self.ready_for_install(at, force)?;
        if host == "controller-1" {
            self.set_upgrade_state(&["started"], "data-migration");
        }
        self.changed(format!("host-upgrade {host}"));
        self.install(at, &to);
        Ok(at)
    }

    /// `host-downgrade`.
    pub fn host_downgrade(&mut self, name: &str, force: bool) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let host = self.hosts[at].hostname.clone();
        let Some(upgrade) = &self.upgrade else {
            return Err("host-downgrade rejected: An upgrade is not in progress.".into());
        };
        let (from, state) = (upgrade.from_release.clone(), upgrade.state.clone());
        if self.simplex() {
            return Err("host-downgrade rejected: The upgrade must be aborted before downgrading.".into());
        }
        self.downgrade_order(at, &from, &state)?;
        if self.hosts[at].target_release == from {
            return Err(format!("{host} already targeted to install load {from}"));
        }
        self.ready_for_install(at, force)?;
        self.changed(format!("host-downgrade {host}"));
        self.install(at, &from);
        Ok(at)
    }

    /// Hosts of a personality that do not both run and target a release.
    fn not_on(&self, personality: &str, release: &str, except: &str) -> bool {
        self.hosts.iter().any(|h| {
            h.personality == personality
                && h.hostname != except
                && (h.running_release != release || h.target_release != release)
        })
    }

    fn must_use(&self, host: &str, release: &str) -> Result<(), Refusal> {
        match self.hosts.iter().find(|h| h.hostname == host) {
            Some(h) if h.running_release != release || h.target_release != release => {
                Err(format!("{host} must be using load {release} before this operation can proceed"))
            }
            _ => Ok(()),
        }
    }

    fn all_must_use(&self, personality: &str, release: &str, except: &str) -> Result<(), Refusal> {
        if self.not_on(personality, release, except) {
            return Err(format!(
                "All {personality} hosts must be using load {release} before this operation can proceed"
            ));
        }
        Ok(())
    }

    fn upgrade_order(&self, at: usize, to: &str) -> Result<(), Refusal> {
        let host = &self.hosts[at];
        match host.personality.as_str() {
            "controller" if host.hostname == "controller-0" => self.must_use("controller-1", to),
            "controller" => Ok(()),
            "storage" => {
                self.all_must_use("controller", to, "")?;
                if host.hostname == "storage-0" { Ok(()) } else { self.must_use("storage-0", to) }
            }
            _ => {
                self.all_must_use("controller", to, "")?;
                self.all_must_use("storage", to, "")
            }
        }
    }

    fn downgrade_order(&self, at: usize, from: &str, state: &str) -> Result<(), Refusal> {
        let host = &self.hosts[at];
        let reinstall = state == "aborting-reinstall";
        if host.personality == "controller" {
            if !matches!(state, "aborting" | "aborting-reinstall") {
                return Err("host-downgrade rejected: Upgrade not in aborting state.".into());
            }
            let others_up = self.hosts.iter().any(|h| {
                h.personality != "controller" && (h.administrative != "locked" || h.availability != "offline")
            });
            if reinstall && host.hostname == "controller-0" && others_up {
                return Err(
                    "All worker and storage hosts must be locked and offline before this operation can proceed".into(),
                );
            }
            return if host.hostname == "controller-1" { self.must_use("controller-0", from) } else { Ok(()) };
        }
        if reinstall {
            self.all_must_use("controller", from, "")?;
            return if host.personality == "storage" && host.hostname != "storage-0" {
                self.must_use("storage-0", from)
            } else {
                Ok(())
            };
        }
        if state != "upgrading-hosts" {
            return Err("host-downgrade rejected: Upgrade not in upgrading-hosts state.".into());
        }
        match host.hostname.as_str() {
            "storage-0" => {
                self.all_must_use("worker", from, "")?;
                self.all_must_use("storage", from, "storage-0")
            }
            name if name.starts_with("storage-") => self.all_must_use("worker", from, ""),
            _ => Ok(()),
        }
    }

    fn ready_for_install(&self, at: usize, force: bool) -> Result<(), Refusal> {
        if self.hosts[at].administrative != "locked" {
            return Err("The host must be locked before performing this operation".into());
        }
        if self.hosts[at].availability != "online" && !force {
            return Err("The host must be online to perform this operation".into());
        }
        Ok(())
    }

    fn install(&mut self, at: usize, release: &str) {
        let host = self.hosts[at].hostname.clone();
        self.hosts[at].target_release = release.into();
        self.hosts[at].inv_state = "reinstalling".into();
        if !self.simplex() {
            self.hosts[at].install_state = Some("preinstall".into());
        }
        self.set_task(at, Some("Reinstalling"));
        self.after(WIPE_BEGINS, Event::Reinstalled { host });
    }

    /// The disk is emptied now; the machine installs and boots by itself.
    pub(super) fn reinstalled(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        let release = self.hosts[at].target_release.clone();
        self.wiped(host, &release);
        let fails = self.take_host_fault("reinstall-fails", host).is_some();
        let install_ms = if fails { u64::MAX } else { self.clock.real_ms(INSTALL) };
        if !self.simplex() {
            let steps: &[(f64, &str)] = if fails {
                &[(0.1, "installing"), (0.6, "failed")]
            } else {
                &[(0.1, "installing"), (0.7, "postinstall"), (0.85, "installed"), (0.9, "booting")]
            };
            for (part, state) in steps {
                self.after(INSTALL * part, Event::InstallState { host: host.into(), state: (*state).into() });
            }
        }
        self.effects.push(Effect::Reinstall { host: host.into(), release, install_ms });
    }

    /// A host's disk was emptied; on simplex the platform's database went with it.
    pub fn wiped(&mut self, host: &str, release: &str) {
        let Ok(at) = self.find(host) else { return };
        self.forget_host(host);
        self.hosts[at].installed_release = release.into();
        self.hosts[at].availability = "offline".into();
        self.hosts[at].powered = false;
        self.hosts[at].fresh_disk = true;
        if self.simplex() {
            self.hosts[at].running_release = release.into();
            self.database_present = false;
            self.alarms.clear();
            self.due.clear();
        }
        self.changed(format!("host-wiped {host}"));
    }

    pub(super) fn install_state(&mut self, host: &str, state: &str) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].install_state = Some(state.into());
        if state == "failed" {
            self.set_task(at, Some("Reinstall failed"));
            self.changed(format!("install-failed {host}"));
        }
    }

    /// A bare host of a larger system booted: what it does by itself until it is online.
    pub(super) fn bare_up(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.hosts[at].install_state = Some("completed".into());
        let migrates = host == "controller-1" && self.upgrade.as_ref().is_some_and(|u| u.state == "data-migration");
        if migrates {
            let (from, to) =
                self.upgrade.as_ref().map(|u| (u.from_release.clone(), u.to_release.clone())).unwrap_or_default();
            self.effects.push(Effect::Migrate { host: host.into(), from, to });
        }
        let late =
            self.take_host_fault("agent-late", host).map_or(0.0, |p| super::upgrade::number(&p, "seconds", 900.0));
        self.after(AGENT + late, Event::AgentOnline { host: host.into() });
    }

    /// The machines report how the migration on controller-1 ended.
    pub fn migration_done(&mut self, done: Result<(), String>) {
        let failed = match done {
            Ok(()) => self.take_fault("data-migration-failed").is_some(),
            Err(why) => {
                self.changed(format!("migration-error {why}"));
                true
            }
        };
        self.due.retain(|due| !matches!(due.what, Event::Migrated { .. }));
        let slow =
            self.take_fault("data-migration-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 1800.0));
        self.after(MIGRATION + slow, Event::Migrated { failed });
    }

    pub(super) fn migrated(&mut self, failed: bool) {
        let state = if failed { "data-migration-failed" } else { "data-migration-complete" };
        self.set_upgrade_state(&["data-migration"], state);
    }
}
