//! Delayed transitions: what becomes due, and what happens then.

use super::System;
use serde::{Deserialize, Serialize};

/// Something that happens at a product second.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Due {
    pub at: f64,
    pub what: Event,
}

/// The delayed transitions of the platform.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    LoadImported { id: u32 },
    LoadDeleted { id: u32 },
    BackupDue,
    UpgradeStarted,
    UpgradeStartFailed,
    Activating,
    Activated,
    ConfigApplied,
    UpgradeDeleted,
    LockServicesDisabled { host: String },
    LockDone { host: String },
    LockRejected { host: String, why: String },
    UnlockReboot { host: String },
    Booting { host: String },
    Testing { host: String },
    Enabling { host: String },
    Enabled { host: String },
    Reinstalled { host: String },
    InstallState { host: String, state: String },
    AgentOnline { host: String },
    ClearAlarm { id: String, entity: String },
    RaiseAlarm { id: String, entity: String, severity: String, reason: String },
    PatchInstalled { host: String },
    SwactBegins { to: String },
    SwactFailed { host: String },
    TakeOver { to: String },
    Isolated { host: String },
    Inventoried { host: String },
    CephRecovered,
    KubeStep { step: super::kube::Step },
    AppDone { name: String },
    SyncBegins,
    SyncEnds,
    Migrated { failed: bool },
}

impl System {
    /// Plan an event in that many product seconds, counted from the event that is happening, else from now.
    pub fn after(&mut self, seconds: f64, what: Event) {
        let at = self.happening.unwrap_or_else(|| self.clock.now()) + seconds;
        self.due.push(Due { at, what });
    }

    /// Let everything happen that is due by now, in order.
    pub fn tick(&mut self) {
        loop {
            let now = self.clock.now();
            let next = self
                .due
                .iter()
                .enumerate()
                .filter(|(_, due)| due.at <= now)
                .min_by(|a, b| a.1.at.total_cmp(&b.1.at))
                .map(|(i, _)| i);
            let Some(i) = next else { return };
            let due = self.due.remove(i);
            self.happening = Some(due.at);
            self.happen(due.what);
            self.happening = None;
        }
    }

    /// Forget what was planned for a host (it lost power).
    pub fn forget_host(&mut self, host: &str) {
        self.due.retain(|due| {
            !matches!(&due.what,
                Event::LockServicesDisabled { host: h } | Event::LockDone { host: h } | Event::LockRejected { host: h, .. }
                | Event::UnlockReboot { host: h } | Event::Booting { host: h } | Event::Testing { host: h }
                | Event::Enabling { host: h } | Event::Enabled { host: h } | Event::AgentOnline { host: h }
                    if h == host)
        });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::LoadImported { id } => self.load_imported(id),
            Event::LoadDeleted { id } => self.load_deleted(id),
            Event::BackupDue => self.prepare_start(),
            Event::UpgradeStarted => self.upgrade_started(),
            Event::UpgradeStartFailed => self.upgrade_start_failed(),
            Event::Activating => self.activating(),
            Event::Activated => self.activated(),
            Event::ConfigApplied => self.config_audit(),
            Event::UpgradeDeleted => self.upgrade_deleted(),
            Event::LockServicesDisabled { host } => self.lock_services_disabled(&host),
            Event::LockDone { host } => self.lock_done(&host),
            Event::LockRejected { host, why } => self.lock_rejected(&host, &why),
            Event::UnlockReboot { host } => self.unlock_reboot(&host),
            Event::Booting { host } => self.phase(&host, "offline", "Booting"),
            Event::Testing { host } => self.phase(&host, "intest", "Testing"),
            Event::Enabling { host } => self.phase(&host, "intest", "Enabling"),
            Event::Enabled { host } => self.enabled(&host),
            Event::Reinstalled { host } => self.reinstalled(&host),
            Event::InstallState { host, state } => self.install_state(&host, &state),
            Event::AgentOnline { host } => self.agent_online(&host),
            Event::ClearAlarm { id, entity } => self.clear(&id, &entity),
            Event::RaiseAlarm { id, entity, severity, reason } => self.raise(&id, &entity, &severity, &reason),
            Event::PatchInstalled { host } => self.patch_installed(&host),
            Event::SwactBegins { to } => self.swact_begins(&to),
            Event::SwactFailed { host } => self.swact_failed(&host),
            Event::TakeOver { to } => self.take_over(&to),
            Event::Isolated { host } => self.isolated(&host),
            Event::Inventoried { host } => self.inventoried(&host),
            Event::CephRecovered => self.ceph_recovered(),
            Event::KubeStep { step } => self.kube_step_done(step),
            Event::AppDone { name } => self.app_done(&name),
            Event::SyncBegins => self.sync_begins(),
            Event::SyncEnds => self.sync_ends(),
            Event::Migrated { failed } => self.migrated(failed),
        }
    }
}
