//! StarlingX: what its commands print, its states and moves, and one module per capability.

pub mod advice;
mod alarms;
mod app;
pub mod archive;
mod archive_check;
mod ceph;
mod certificates;
mod controller_keys;
mod credentials;
mod disk_space;
mod drbd;
mod facts;
mod health;
mod hiera_migrate;
mod host_lease;
mod host_lock;
mod host_power;
mod host_swact;
mod host_upgrade;
mod images;
pub mod known;
mod kube;
mod licence;
mod load;
mod patch;
mod patch_install;
mod patch_repo;
mod peer_upgrade;
pub mod platform;
mod release_data;
mod restore;
pub mod state;
pub mod tables;
mod upgrade;

use std::path::Path;

use crate::action::host::{Act, HostError};
use crate::action::module::Entry;

/// The modules of this room.
pub const ALL: &[Entry] = &[
    Entry::of::<alarms::Alarms>(),
    Entry::of::<app::Apps>(),
    Entry::of::<app::AppUpdate>(),
    Entry::of::<archive_check::ArchiveCheck>(),
    Entry::of::<ceph::Ceph>(),
    Entry::of::<certificates::Certificates>(),
    Entry::of::<controller_keys::ControllerKeys>(),
    Entry::of::<credentials::Credentials>(),
    Entry::of::<disk_space::DiskSpace>(),
    Entry::of::<drbd::Drbd>(),
    Entry::of::<facts::Facts>(),
    Entry::of::<health::HealthQuery>(),
    Entry::of::<hiera_migrate::HieraMigrate>(),
    Entry::of::<host_lease::HostLease>(),
    Entry::of::<host_lock::HostLock>(),
    Entry::of::<host_power::HostPower>(),
    Entry::of::<host_swact::HostSwact>(),
    Entry::of::<host_upgrade::HostUpgrade>(),
    Entry::of::<kube::capacity::WorkerCapacity>(),
    Entry::of::<kube::facts::KubeFacts>(),
    Entry::of::<kube::host::KubeHostUpgrade>(),
    Entry::of::<kube::pods::Pods>(),
    Entry::of::<kube::upgrade::KubeUpgrade>(),
    Entry::of::<licence::Licence>(),
    Entry::of::<load::LoadModule>(),
    Entry::of::<patch::Patch>(),
    Entry::of::<patch_install::PatchInstall>(),
    Entry::of::<patch_repo::PatchRepo>(),
    Entry::of::<peer_upgrade::PeerUpgrade>(),
    Entry::of::<release_data::ReleaseData>(),
    Entry::of::<restore::claim::Claim>(),
    Entry::of::<restore::database_sync::DatabaseSync>(),
    Entry::of::<restore::etcd::Etcd>(),
    Entry::of::<restore::images::Images>(),
    Entry::of::<restore::manifest::Manifest>(),
    Entry::of::<restore::patches::Patches>(),
    Entry::of::<restore::postgres::Postgres>(),
    Entry::of::<restore::procedure::Procedure>(),
    Entry::of::<restore::scripts::Scripts>(),
    Entry::of::<restore::trees::Trees>(),
    Entry::of::<upgrade::UpgradeModule>(),
];

/// Makes a directory with those above it, where they are not there yet; `mode` is the last one's.
fn ensure_dir(host: &mut dyn Act, path: &Path, mode: u32) -> Result<(), HostError> {
    if host.stat(path, true)?.is_some() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        ensure_dir(host, above, 0o755)?;
    }
    host.make_dir(path, Some(mode))
}
