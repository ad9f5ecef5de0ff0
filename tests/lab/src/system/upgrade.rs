//! The platform upgrade: start, activate, complete, abort, and what happens in between.

use super::time::Event;
use super::{Effect, Refusal, System, Upgrade, stamp};

/// Product seconds until the back-up of `upgrade-start` begins, and how long the export takes beside it.
const BACKUP_BEGINS: f64 = 10.0;
const EXPORT: f64 = 240.0;
/// Product seconds of the phases of an activation.
const ACTIVATION_BEGINS: f64 = 10.0;
const ACTIVATION: f64 = 180.0;
const CONFIG_AUDIT: f64 = 60.0;
/// Product seconds until a completed or aborted record is gone.
const COMPLETION: f64 = 30.0;

impl System {
    /// Start the upgrade to the imported load.
    pub fn upgrade_start(&mut self, force: bool) -> Result<(), Refusal> {
        if self.active != "controller-0" {
            return Err("upgrade-start rejected: An upgrade can only be started when controller-0 is active.".into());
        }
        if self.kube_upgrade.is_some() {
            return Err("upgrade-start rejected: A platform upgrade cannot be done while a kubernetes upgrade is in \
                        progress."
                .into());
        }
        if self.upgrade.is_some() {
            return Err("upgrade-start rejected: An upgrade is already in progress.".into());
        }
        let Some(to) = self.imported().map(|l| l.version.clone()) else {
            return Err("No imported load found".into());
        };
        if !self.healthy_for_upgrade(force) {
            return Err("upgrade-start rejected: System is not in a valid state for upgrades. Run system \
                        health-query-upgrade for more details."
                .into());
        }
        self.upgrade = Some(Upgrade {
            uuid: stamp::uuid(),
            state: "starting".into(),
            from_release: self.info.software_version.clone(),
            to_release: to,
            created_at: stamp::now(),
            updated_at: None,
        });
        self.changed("upgrade-starting");
        if self.take_fault("start-fails-silently").is_some() {
            self.after(EXPORT, Event::UpgradeStartFailed);
        } else {
            self.after(BACKUP_BEGINS, Event::BackupDue);
        }
        Ok(())
    }

    /// The lab was away: what it had its machines do is done again.
    pub fn resumed(&mut self) {
        let waiting = self.upgrade.as_ref().is_some_and(|u| u.state == "starting");
        let planned = |due: &super::time::Due| {
            matches!(due.what, Event::BackupDue | Event::UpgradeStarted | Event::UpgradeStartFailed)
        };
        if waiting && !self.due.iter().any(planned) {
            self.after(BACKUP_BEGINS, Event::BackupDue);
        }
    }

    pub(super) fn prepare_start(&mut self) {
        let (host, Some(upgrade)) = (self.active.clone(), &self.upgrade) else { return };
        let (from, to) = (upgrade.from_release.clone(), upgrade.to_release.clone());
        self.effects.push(if self.simplex() { Effect::Backup { host } } else { Effect::Export { host, from, to } });
    }

    /// The machines report how the back-up ended.
    pub fn backup_done(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => {
                let slow = self.take_fault("start-slow").map_or(0.0, |p| number(&p, "seconds", 1800.0));
                self.changed("backup-made");
                self.after(EXPORT + slow, Event::UpgradeStarted);
            }
            Err(why) => {
                self.changed(format!("backup-failed {why}"));
                self.upgrade_start_failed();
            }
        }
    }

    pub(super) fn upgrade_started(&mut self) {
        if self.set_upgrade_state(&["starting"], "started") {
            self.raise("900.005", "host=controller", "minor", "System Upgrade in progress.");
        }
    }

    pub(super) fn upgrade_start_failed(&mut self) {
        if self.upgrade.as_ref().is_some_and(|u| u.state == "starting") {
            self.upgrade = None;
            self.changed("upgrade-start-failed");
        }
    }

    /// Move the record to a state if it is in one of `from` (any, if empty).
    pub(super) fn set_upgrade_state(&mut self, from: &[&str], to: &str) -> bool {
        let Some(upgrade) = &mut self.upgrade else {
            return false;
        };
        if !from.is_empty() && !from.contains(&upgrade.state.as_str()) {
            return false;
        }
        upgrade.state = to.into();
        upgrade.updated_at = Some(stamp::now());
        self.changed(format!("upgrade-{to}"));
        self.effects.push(Effect::SyncDatabase { host: self.active.clone() });
        true
    }

    /// Ask for the activation.
    pub fn upgrade_activate(&mut self) -> Result<(), Refusal> {
        let Some(upgrade) = &self.upgrade else {
            return Err("operation rejected: An upgrade is not in progress.".into());
        };
        if matches!(upgrade.state.as_str(), "activating" | "activating-hosts" | "activation-complete") {
            return Err("upgrade-activate rejected: Upgrade already activating or activated.".into());
        }
        if upgrade.state == "completing" {
            return Err("upgrade-activate rejected: Upgrade is completing.".into());
        }
        if self.hosts.iter().any(|h| h.administrative != "unlocked" || h.operational != "enabled") {
            return Err("upgrade-activate rejected: All hosts must be unlocked and enabled before the upgrade can be \
                        activated."
                .into());
        }
        let to = upgrade.to_release.clone();
        if self.hosts.iter().any(|h| h.running_release != to || h.target_release != to) {
            return Err(
                "upgrade-activate rejected: All hosts must be upgraded before the upgrade can be activated.".into()
            );
        }
        self.set_upgrade_state(&[], "activation-requested");
        for load in &mut self.loads {
            load.state = if load.version == to { "active" } else { "imported" }.into();
        }
        self.info.software_version = to;
        self.info.updated_at = Some(stamp::now());
        self.due.retain(|due| !matches!(due.what, Event::Activating | Event::Activated | Event::ConfigApplied));
        self.after(ACTIVATION_BEGINS, Event::Activating);
        Ok(())
    }

    pub(super) fn activating(&mut self) {
        if self.set_upgrade_state(&["activation-requested"], "activating") {
            self.after(ACTIVATION, Event::Activated);
        }
    }

    pub(super) fn activated(&mut self) {
        if self.take_fault("activation-fails-once").is_some() || self.take_fault("activation-fails").is_some() {
            self.set_upgrade_state(&["activating"], "activation-failed");
        } else if self.release_number() >= 2112 {
            if self.set_upgrade_state(&["activating"], "activating-hosts") {
                if self.take_fault("activation-stuck").is_some() {
                    let at = self.hosts.len() - 1;
                    self.hosts[at].config_target = stamp::uuid();
                    self.hosts[at].config_status = Some("Config out-of-date".into());
                    let entity = format!("host={}", self.hosts[at].hostname);
                    let name = self.hosts[at].hostname.clone();
                    self.raise("250.001", &entity, "major", &format!("{name} Configuration is out-of-date."));
                }
                self.after(CONFIG_AUDIT, Event::ConfigApplied);
            }
        } else {
            self.set_upgrade_state(&["activating"], "activation-complete");
        }
    }

    /// The audit that ends an activation once every host has its configuration.
    pub(super) fn config_audit(&mut self) {
        if self.upgrade.as_ref().is_none_or(|u| u.state != "activating-hosts") {
            return;
        }
        if self.hosts.iter().all(|h| h.config_target == h.config_applied) {
            self.set_upgrade_state(&["activating-hosts"], "activation-complete");
        } else {
            self.after(CONFIG_AUDIT, Event::ConfigApplied);
        }
    }

    /// Complete the upgrade, or an abort.
    pub fn upgrade_complete(&mut self) -> Result<(), Refusal> {
        let Some(upgrade) = &self.upgrade else {
            return Err("upgrade-complete rejected: An upgrade is not in progress.".into());
        };
        if self.active != "controller-0" {
            return Err(
                "upgrade-complete rejected: An upgrade can only be completed when controller-0 is active.".into()
            );
        }
        let back =
            |h: &super::Host| h.running_release == upgrade.from_release && h.target_release == upgrade.from_release;
        if upgrade.state.starts_with("aborting") && !self.hosts.iter().all(back) {
            return Err(
                "upgrade-abort rejected: All hosts must be downgraded before the upgrade can be aborted.".into()
            );
        }
        let next = match upgrade.state.as_str() {
            "activation-complete" => "completing",
            "aborting" | "aborting-reinstall" => "abort-completing",
            _ => {
                return Err("upgrade-complete rejected: An upgrade can only be completed when in the \
                            activation-complete or aborting state."
                    .into());
            }
        };
        self.set_upgrade_state(&[], next);
        self.after(COMPLETION, Event::UpgradeDeleted);
        Ok(())
    }

    /// The record's time is over. A pair first gives up the data of the release that is left: a start meanwhile would have
    /// its export removed under its hands.
    pub(super) fn upgrade_deleted(&mut self) {
        let Some(upgrade) = &self.upgrade else { return };
        if self.simplex() {
            return self.given_up();
        }
        let (release, kept) = if upgrade.state == "completing" {
            (upgrade.from_release.clone(), upgrade.to_release.clone())
        } else {
            (upgrade.to_release.clone(), upgrade.from_release.clone())
        };
        self.effects.push(Effect::GiveUp { release, kept });
    }

    /// Nothing is left of the upgrade but its end.
    pub fn given_up(&mut self) {
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        self.clear("900.005", "host=controller");
        if upgrade.state == "completing" && self.restore_in_progress {
            self.restore_in_progress = false;
            self.changed("restore-completed");
        }
        // The old release has its own database, where the new one was never active.
        if upgrade.state != "completing" {
            for load in &mut self.loads {
                load.state = if load.version == upgrade.from_release { "active" } else { "imported" }.into();
            }
            self.info.software_version.clone_from(&upgrade.from_release);
        }
        self.changed(if upgrade.state == "completing" { "upgrade-completed" } else { "upgrade-aborted" });
        self.effects.push(Effect::SyncDatabase { host: self.active.clone() });
    }

    /// An abort is in service only until controller-0 is given to the new release.
    pub fn abort_needs_reinstall(&self) -> bool {
        let Some(upgrade) = &self.upgrade else { return false };
        self.hosts.iter().any(|h| h.hostname == "controller-0" && h.target_release == upgrade.to_release)
    }

    /// Abort. Simplex: harmless until the host was wiped.
    pub fn upgrade_abort(&mut self) -> Result<(), Refusal> {
        let Some(upgrade) = &self.upgrade else {
            return Err("operation rejected: An upgrade is not in progress.".into());
        };
        if matches!(upgrade.state.as_str(), "aborting" | "aborting-reinstall" | "abort-completing") {
            return Err("upgrade-abort rejected: Upgrade already aborted ".into());
        }
        if upgrade.state == "completing" {
            return Err("upgrade-abort rejected: Upgrade is completing.".into());
        }
        let reinstall = self.abort_needs_reinstall();
        self.set_upgrade_state(&[], if reinstall { "aborting-reinstall" } else { "aborting" });
        self.due.retain(|due| {
            !matches!(
                due.what,
                Event::UpgradeStarted
                    | Event::BackupDue
                    | Event::Activating
                    | Event::Activated
                    | Event::Migrated { .. }
            )
        });
        if self.simplex() {
            self.effects.push(Effect::RemoveBackup { host: self.active.clone() });
        }
        Ok(())
    }
}

/// A number among a fault's parameters.
pub fn number(parameters: &std::collections::BTreeMap<String, String>, key: &str, otherwise: f64) -> f64 {
    parameters.get(key).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
