//! The restore of a simplex system: what the platform takes over from the restored database.

use super::time::Event;
use super::{Refusal, System, Upgrade, stamp};
use serde::{Deserialize, Serialize};

/// What the API read from the host's own database when it came up after a restore.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Restored {
    pub system_uuid: String,
    pub software_version: String,
    /// `uuid state from to` of the upgrade record, if there is one.
    pub upgrade: Option<(String, String, String, String)>,
    /// `id state version compatible` of the loads.
    pub loads: Vec<(u32, String, String, String)>,
    /// Schema version that `sysinv-dbsync` left.
    pub schema: String,
    /// Release whose tools ran the migration.
    pub installed_release: String,
}

impl System {
    /// The API came up on a restored database: its rows are the truth now. Refuses what the real API would die of.
    pub fn adopt_restored(&mut self, host: &str, restored: &Restored) -> Result<(), Refusal> {
        if self.database_present {
            return Ok(());
        }
        if restored.schema != restored.installed_release {
            return Err(format!(
                "sysinv database schema is of {}, expected {}: run sysinv-dbsync",
                if restored.schema.is_empty() { "an older release" } else { &restored.schema },
                restored.installed_release
            ));
        }
        let at = self.find(host)?;
        self.info.uuid.clone_from(&restored.system_uuid);
        self.info.software_version.clone_from(&restored.software_version);
        self.upgrade = restored.upgrade.as_ref().map(|(uuid, state, from, to)| Upgrade {
            uuid: uuid.clone(),
            state: state.clone(),
            from_release: from.clone(),
            to_release: to.clone(),
            created_at: stamp::now(),
            updated_at: Some(stamp::now()),
        });
        for load in &mut self.loads {
            if let Some((_, state, ..)) = restored.loads.iter().find(|(id, ..)| *id == load.id) {
                load.state.clone_from(state);
            }
        }
        self.loads.retain(|l| restored.loads.iter().any(|(id, ..)| *id == l.id));
        self.database_present = true;
        let host_record = &mut self.hosts[at];
        host_record.inv_state = "inventoried".into();
        host_record.invprovision = "provisioned".into();
        host_record.install_state = Some("completed".into());
        host_record.config_status = None;
        host_record.vim_progress_status = "services-disabled".into();
        host_record.target_release.clone_from(&restored.installed_release);
        self.states(at, "locked", "disabled", "offline");
        self.set_task(at, Some(""));
        self.raise("900.005", "host=controller", "minor", "System Upgrade in progress.");
        self.raise(
            "200.001",
            &format!("host={host}"),
            "warning",
            &format!("{host} was administratively locked to take it out-of-service."),
        );
        self.changed("database-restored");
        Ok(())
    }

    /// Plan the agent's report.
    pub fn agent_reports_soon(&mut self, host: &str) {
        self.after(60.0, Event::AgentOnline { host: host.into() });
    }

    /// `restore-start`.
    pub fn restore_start(&mut self) -> &'static str {
        if self.restore_in_progress {
            return "Restore procedure is already in progress";
        }
        self.restore_in_progress = true;
        self.changed("restore-started");
        "Restore procedure started"
    }

    /// `restore-complete`.
    pub fn restore_complete(&mut self) -> &'static str {
        if !self.restore_in_progress {
            return "Restore procedure already completed";
        }
        self.restore_in_progress = false;
        self.changed("restore-completed");
        "Restore procedure completed"
    }
}
