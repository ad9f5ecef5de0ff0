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
    /// Host name of the active controller; the last one, while none is.
    pub active: String,
    /// The pods of the site's own applications; those of the platform follow from the hosts.
    pub pods: Vec<Pod>,
    /// The storage cluster copies what was missing until this product second.
    pub ceph_recovers_until: f64,
    /// The active controller's services run (not so during a swact and while no controller is up).
    pub services_up: bool,
    /// The other controller's copy of the data.
    pub sync: Sync,
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
    /// The activity is on its way to this controller.
    #[serde(skip)]
    pub moving_to: Option<String>,
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
    /// Release on the host's disk.
    pub installed_release: String,
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
    /// Its replicated volumes were lost with its disk: the next synchronization copies everything.
    pub fresh_disk: bool,
}

/// The replication of the controllers' volumes, seen from the active one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Both copies agree.
    #[default]
    Synced,
    /// The other controller is not there.
    Disconnected,
    /// Between these product seconds everything is copied.
    Syncing { from: f64, to: f64 },
}

impl Host {
    /// Workers, and controllers that are workers as well.
    pub fn runs_workloads(&self) -> bool {
        self.subfunctions.contains("worker")
    }

    /// Hosts with a kubelet.
    pub fn is_node(&self) -> bool {
        self.personality != "storage"
    }

    /// In service.
    pub fn in_service(&self) -> bool {
        self.administrative == "unlocked" && self.operational == "enabled"
    }
}

/// A pod of the site's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pod {
    pub namespace: String,
    /// Its deployment.
    pub app: String,
    pub name: String,
    pub uid: String,
    pub created_at: String,
    /// `None`: pending, there is no room for it.
    pub node: Option<String>,
    /// Ready from this product second on.
    pub ready_at: f64,
}

impl Pod {
    /// A replica of a deployment on a node, ready from the beginning.
    pub fn new(app: &str, node: Option<String>) -> Pod {
        let uid = super::stamp::uuid();
        let name = format!("{app}-6d8f9c7b5-{}", &uid[..5]);
        Pod {
            namespace: "site-app".into(),
            app: app.into(),
            name,
            uid,
            created_at: super::stamp::now(),
            node,
            ready_at: 0.0,
        }
    }
}

/// Kubernetes on one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostKube {
    pub control_plane: Option<String>,
    pub kubelet: String,
    pub target: Option<String>,
    pub status: Option<String>,
    /// The operator marked the node unschedulable.
    pub cordoned: bool,
    /// Taints that the operator set.
    pub taints: Vec<serde_json::Value>,
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
    /// A fault of the lab raised it.
    pub by_fault: bool,
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
    pub updated_at: Option<String>,
    /// The version that an update goes to.
    pub wanted: Option<String>,
    /// Values that the site set, as `key=value`; an update keeps them only if told to.
    pub user_overrides: Vec<String>,
    pub keeps_overrides: bool,
    /// Kubernetes version that this version of it does not run on.
    pub incompatible_kube: Option<String>,
}

impl App {
    pub fn new(name: &str, version: &str, manifest_file: &str, status: &str) -> App {
        App {
            name: name.into(),
            version: version.into(),
            manifest_name: format!("{name}-manifest"),
            manifest_file: manifest_file.into(),
            status: status.into(),
            progress: "completed".into(),
            created_at: super::stamp::now(),
            updated_at: None,
            wanted: None,
            user_overrides: Vec::new(),
            keeps_overrides: false,
            incompatible_kube: None,
        }
    }
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
