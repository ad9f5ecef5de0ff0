//! The records of the simulated system, as they are kept on disk.

use super::Effect;
use super::clock::Clock;
use super::faults::Fault;
use super::time::Due;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything the platform knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct System {
    /// Format of this record on disk.
    pub format: u32,
    pub topology: String,
    pub from_release: String,
    pub to_release: String,
    pub clock: Clock,
    pub info: Info,
    pub hosts: Vec<Host>,
    pub loads: Vec<Load>,
    pub next_load_id: u32,
    pub upgrade: Option<Upgrade>,
    pub kube_versions: Vec<KubeVersion>,
    pub kube_upgrade: Option<KubeUpgrade>,
    pub alarms: Vec<Alarm>,
    pub apps: Vec<App>,
    pub patches: Vec<Patch>,
    pub certificates: Vec<Certificate>,
    /// Host name of the active controller.
    pub active: String,
    /// The API answers nothing before this virtual second.
    pub api_away_until: f64,
    pub due: Vec<Due>,
    pub faults: Vec<Fault>,
    pub restore_in_progress: bool,
    /// The platform's own database holds these records (false between the wipe and the restore).
    pub database_present: bool,
    pub admin_password: String,
    pub sysadmin_password: String,
    /// Digest of the genuine load, by release.
    pub load_digests: BTreeMap<String, String>,
    /// Conditions a health check reports, by check (`nodes`, `pods`, `license`, `patch-data`, `partition`, `space`).
    pub unhealthy: BTreeMap<String, String>,
    /// Space in MiB that the platform-backup partition reports.
    pub platform_backup_mib: u64,
    /// Product second of the event that is happening now.
    #[serde(skip)]
    pub happening: Option<f64>,
    #[serde(skip)]
    pub effects: Vec<Effect>,
    #[serde(skip)]
    pub changes: Vec<String>,
}

/// The system record (`system show`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    pub uuid: String,
    pub name: String,
    pub description: String,
    pub contact: String,
    pub location: String,
    pub system_type: String,
    pub system_mode: String,
    pub software_version: String,
    pub timezone: Option<String>,
    pub created_at: String,
    pub updated_at: Option<String>,
}

/// A host record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    pub id: u32,
    pub uuid: String,
    pub hostname: String,
    pub personality: String,
    pub subfunctions: String,
    pub administrative: String,
    pub operational: String,
    pub availability: String,
    pub task: Option<String>,
    pub vim_progress_status: String,
    pub inv_state: String,
    pub invprovision: String,
    pub config_status: Option<String>,
    pub config_applied: String,
    pub config_target: String,
    pub install_state: Option<String>,
    pub install_state_info: Option<String>,
    /// Release the host reported last.
    pub running_release: String,
    pub target_release: String,
    pub mgmt_ip: String,
    pub mgmt_mac: String,
    pub created_at: String,
    pub updated_at: Option<String>,
    pub stor_function: bool,
    pub kube: HostKube,
    pub patch_current: bool,
    pub reboot_needed: bool,
    /// Wall time of the last boot, Unix seconds.
    pub booted_at: f64,
    pub powered: bool,
}

/// Kubernetes on one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostKube {
    pub control_plane: Option<String>,
    pub kubelet: String,
    pub target: Option<String>,
    pub status: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    pub id: u32,
    pub state: String,
    pub version: String,
    pub compatible: String,
    pub required_patches: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upgrade {
    pub uuid: String,
    pub state: String,
    pub from_release: String,
    pub to_release: String,
    pub created_at: String,
    pub updated_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KubeVersion {
    pub version: String,
    pub upgrade_from: Vec<String>,
    pub applied_patches: Vec<String>,
    pub available_patches: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KubeUpgrade {
    pub uuid: String,
    pub from_version: String,
    pub to_version: String,
    pub state: String,
    pub created_at: String,
    pub updated_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alarm {
    pub uuid: String,
    pub id: String,
    pub reason: String,
    pub entity: String,
    pub severity: String,
    pub stamp: String,
    pub mgmt_affecting: bool,
    pub degrade_affecting: bool,
    pub suppressed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct App {
    pub name: String,
    pub version: String,
    pub manifest_name: String,
    pub manifest_file: String,
    pub status: String,
    pub progress: String,
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Patch {
    pub id: String,
    pub reboot_required: bool,
    pub release: String,
    pub state: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    pub uuid: String,
    pub certtype: String,
    pub signature: String,
    pub start_date: String,
    pub expiry_date: String,
}
