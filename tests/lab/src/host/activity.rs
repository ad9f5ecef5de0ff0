//! Taking over, and giving up, the activity of a pair of controllers: what the service manager does on one of them at a
//! swact. Runs inside the host as root.
//!
//! Which controller is active, and when, is decided in `crate::system`.

use super::credentials::release;
use crate::fabric::contents::own_files;
use crate::fabric::init::{self, ACTIVE_UNITS, Ask};
use crate::fabric::{REPLICATED, VOLUMES, net, put, run};
use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::Path;

/// Left by the conductor for the start of etcd on controller-1 (releases up to 20.06): copy the old release's data.
const COPY_AT_SWACT: &str = "/etc/platform/.upgrade_swact_controller_1";
/// The same for the swact back to controller-0 (from 21.05 on), which ends the sharing of one directory.
const COPY_AT_RETURN: &str = "/opt/etcd/.upgrade_etcd";

/// Get the files that a controller of a pair has once it is configured.
pub fn configure() -> Result<()> {
    for (path, mode, text) in own_files() {
        put(&Path::new("/").join(path), text, mode, (0, 0))?;
    }
    Ok(())
}

/// Become the active controller: volumes, addresses, services.
pub fn activate() -> Result<()> {
    for path in REPLICATED {
        let at = Path::new("/").join(path);
        std::fs::create_dir_all(&at)?;
        if !mounted(&at)? {
            let from = Path::new(VOLUMES).join(path);
            std::fs::create_dir_all(&from)?;
            mount(Some(&from), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .with_context(|| format!("cannot mount {}", at.display()))?;
        }
    }
    prepare_etcd(&release())?;
    for unit in ACTIVE_UNITS {
        let answer = init::ask(&Ask::Start((*unit).to_string()))?;
        if let Some(why) = answer.error {
            bail!("{unit}: {why}");
        }
    }
    net::float(true)
}

/// Stop being the active controller.
pub fn deactivate() -> Result<()> {
    net::float(false)?;
    for unit in ACTIVE_UNITS.iter().rev() {
        let _ = init::ask(&Ask::Stop((*unit).to_string()));
    }
    for path in REPLICATED {
        let at = Path::new("/").join(path);
        if mounted(&at)? {
            umount2(&at, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {}", at.display()))?;
        }
    }
    Ok(())
}

fn mounted(at: &Path) -> Result<bool> {
    let at = at.display().to_string();
    let mounts = std::fs::read_to_string("/proc/mounts").context("cannot read the mounts")?;
    Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(at.as_str())))
}

/// What etcd's start script does during an upgrade: gives the release that runs here a directory of its own.
fn prepare_etcd(release: &str) -> Result<()> {
    let own = Path::new("/opt/etcd").join(release);
    let marker = [COPY_AT_SWACT, COPY_AT_RETURN].into_iter().find(|path| Path::new(path).exists());
    let Some(marker) = marker else { return Ok(()) };
    let text = std::fs::read_to_string(marker)?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ").map(|v| v.trim_matches('\'')))
    };
    let (Some(from), Some(to)) = (value("from_release"), value("to_release")) else {
        bail!("{marker} names no releases");
    };
    if to != release || (marker == COPY_AT_RETURN && host_name() != "controller-0") {
        return Ok(());
    }
    let partial = Path::new("/opt/etcd").join(format!(".{to}.partial"));
    let _ = std::fs::remove_dir_all(&partial);
    run("cp", &["-a", &format!("/opt/etcd/{from}"), &partial.display().to_string()])?;
    match std::fs::symlink_metadata(&own) {
        Ok(data) if data.is_symlink() => std::fs::remove_file(&own)?,
        Ok(_) => std::fs::remove_dir_all(&own)?,
        Err(_) => {}
    }
    std::fs::rename(&partial, &own)?;
    std::fs::remove_file(marker).context("cannot remove the marker of the etcd copy")
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
