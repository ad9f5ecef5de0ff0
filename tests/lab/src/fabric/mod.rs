//! The simulated machines: network, disks, power. Knows nothing of StarlingX's rules.
//!
//! The lab is one process (`serve`) that is pid 1 of its own PID namespace, with its own network and mount
//! namespaces: when it ends, everything ends with it, and nothing of it was ever visible on the machine.

pub mod boot;
pub mod contents;
pub mod data;
pub mod init;
pub mod layers;
pub mod machine;
pub mod net;
pub mod user;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the lab's own program lies inside every host.
pub const PROGRAM: &str = "/usr/lib/stx-lab/stx-lab";
/// The state server's socket inside every host.
pub const STATE_SOCKET: &str = "/run/stx-lab/state.sock";
/// The host's service manager.
pub const INIT_SOCKET: &str = "/run/stx-lab/init.sock";

/// The replicated volumes inside every controller of a pair; only the active one has them where they belong.
pub const VOLUMES: &str = "/run/stx-lab/volumes";
/// What is replicated between controllers, by its path on the active one.
pub const REPLICATED: &[&str] =
    &["var/lib/postgresql", "opt/platform", "opt/etcd", "opt/extension", "var/lib/docker-distribution"];

/// The places of one lab on the machine's disk.
#[derive(Debug, Clone)]
pub struct Places {
    pub dir: PathBuf,
}

impl Places {
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }
    pub fn audit(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }
    pub fn control(&self) -> PathBuf {
        self.dir.join("control.sock")
    }
    pub fn pid(&self) -> PathBuf {
        self.dir.join("lab.pid")
    }
    pub fn log(&self) -> PathBuf {
        self.dir.join("lab.log")
    }
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }
    pub fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }
    pub fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }
    pub fn socket(&self, host: &str) -> PathBuf {
        self.dir.join("s").join(host)
    }
    pub fn host(&self, host: &str) -> PathBuf {
        self.dir.join("h").join(host)
    }
    /// The controllers' replicated volumes.
    pub fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }
    /// Below which root the platform's data of a controller lie.
    pub fn data(&self, system: &crate::system::System, host: &str) -> PathBuf {
        if system.simplex() { self.upper(host) } else { self.volumes() }
    }
    pub fn upper(&self, host: &str) -> PathBuf {
        self.host(host).join("upper")
    }
}

/// Run a program to its end; its error text is part of the failure.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).output().with_context(|| format!("cannot run {program}"))?;
    if !out.status.success() {
        bail!("{program} {}: {} {}", args.join(" "), out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Write a file with its directories, its mode and its owner.
pub fn put(path: &Path, text: impl AsRef<[u8]>, mode: u32, owner: (u32, u32)) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    chown(path, Some(owner.0), Some(owner.1)).with_context(|| format!("cannot chown {}", path.display()))?;
    Ok(())
}

/// Create a directory with its mode and its owner.
pub fn dir(path: &Path, mode: u32, owner: (u32, u32)) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    chown(path, Some(owner.0), Some(owner.1)).with_context(|| format!("cannot chown {}", path.display()))?;
    Ok(())
}
