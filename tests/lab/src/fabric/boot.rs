//! One boot of a host: namespaces, disks, network, then its first process.
//!
//! Runs as its own process for each boot. It unshares, waits until the lab has plugged in the cable, builds the root
//! file system, starts `init` as pid 1 of the new PID namespace, and ends with how that ended.

use super::{INIT_SOCKET, PROGRAM, Places, STATE_SOCKET, VOLUMES, layers, net, user};
use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit codes of the boot process.
pub const RESTARTED: i32 = 10;
pub const POWERED_OFF: i32 = 11;
pub const KILLED: i32 = 12;

/// What a boot needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Spec {
    pub dir: PathBuf,
    pub host: String,
    /// `simplex`, or the host's personality.
    pub role: String,
    pub release: String,
    /// With prefix length.
    pub addresses: Vec<String>,
    pub first_password: String,
}

/// Be the boot process. Returns the exit code.
pub fn main(spec: &Spec) -> Result<i32> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("cannot create the host's namespaces")?;
    say("unshared")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the lab went away")?;
    nix::unistd::sethostname(&spec.host).context("cannot set the host name")?;
    net::configure(&spec.addresses)?;
    root(spec).context("cannot build the host's root file system")?;
    // Last of all: the next child is pid 1 of that namespace, and must be the host's first process.
    unshare(CloneFlags::CLONE_NEWPID).context("cannot create the host's PID namespace")?;
    let mut init = Command::new(PROGRAM)
        .args(["init", &spec.host, &spec.release, &spec.role])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("STX_LAB_FIRST_PASSWORD", &spec.first_password)
        .spawn()
        .context("cannot start the host's first process")?;
    say(&format!("init {}", init.id()))?;
    let status = init.wait()?;
    // The kernel ends the first process of a PID namespace with SIGHUP on reboot(2), with SIGINT on power off.
    Ok(match status.signal() {
        Some(nix::libc::SIGHUP) => RESTARTED,
        Some(nix::libc::SIGINT) => POWERED_OFF,
        _ => KILLED,
    })
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    std::fs::create_dir_all(at)?;
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID, Some(options))
        .with_context(|| format!("cannot mount {}", at.display()))
}

fn root(spec: &Spec) -> Result<()> {
    let places = Places { dir: spec.dir.clone() };
    let host = places.host(&spec.host);
    let root = host.join("root");
    std::fs::create_dir_all(&root)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    for (below, lower) in layers::overlays(&places, &spec.release) {
        overlay(&root.join(below), &lower, &host.join("upper").join(below), &host.join("work").join(below))?;
    }
    for (kept, at) in [("platform-backup", "opt/platform-backup"), ("usb", "media/usb")] {
        std::fs::create_dir_all(host.join(kept))?;
        bind(&host.join(kept), &root.join(at))?;
    }
    devices(&root)?;
    tmpfs(&root.join("run"), "mode=755")?;
    tmpfs(&root.join("tmp"), "mode=1777")?;
    if user::confined() {
        // In a user namespace /proc can be mounted only where one is already to be seen.
        mount(Some("/proc"), &root.join("proc"), None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
            .context("cannot bind /proc")?;
    }
    let _ = mount(Some("sysfs"), &root.join("sys"), Some("sysfs"), MsFlags::MS_RDONLY, None::<&str>);
    for dir in ["run/sshd", "run/lock", "run/stx-lab", "run/postgresql"] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    if spec.role == "controller" {
        let volumes = root.join(VOLUMES.trim_start_matches('/'));
        std::fs::create_dir_all(&volumes)?;
        bind(&places.volumes(), &volumes)?;
    }
    if let Some((uid, gid)) = layers::user("postgres") {
        std::os::unix::fs::chown(root.join("run/postgresql"), Some(uid), Some(gid))?;
    }
    let socket = root.join(STATE_SOCKET.trim_start_matches('/'));
    std::fs::write(&socket, "")?;
    bind(&places.socket(&spec.host), &socket)?;
    debug_assert!(INIT_SOCKET.starts_with("/run/stx-lab/"));
    std::env::set_current_dir(&root)?;
    nix::unistd::pivot_root(".", ".").context("cannot change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot let go of the old root")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Mount one overlay of the host, with its own writable layer.
fn overlay(at: &Path, lower: &str, upper: &Path, work: &Path) -> Result<()> {
    std::fs::create_dir_all(upper)?;
    // A work directory for each: one must not lie in the other.
    let work = work.join("here");
    // `volatile` spares every fsync and leaves a mark in the work directory that would forbid the next mount.
    if work.exists() {
        std::fs::remove_dir_all(&work).context("cannot clear the overlay's work directory")?;
    }
    std::fs::create_dir_all(&work)?;
    // Only root of the machine may use the kernel's own extended attributes.
    let attributes = if user::confined() { ",userxattr" } else { "" };
    let options = format!("lowerdir={lower},upperdir={},workdir={}{attributes}", upper.display(), work.display());
    mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(format!("{options},volatile").as_str()))
        .or_else(|_| mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str())))
        .with_context(|| format!("cannot mount the overlay ({options})"))
}

fn devices(root: &Path) -> Result<()> {
    let dev = root.join("dev");
    tmpfs(&dev, "mode=755")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        std::fs::write(dev.join(name), "")?;
        bind(&Path::new("/dev").join(name), &dev.join(name))?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, dev.join(name))?;
    }
    std::fs::create_dir_all(dev.join("pts"))?;
    mount(
        Some("devpts"),
        &dev.join("pts"),
        Some("devpts"),
        MsFlags::MS_NOSUID,
        Some("newinstance,ptmxmode=0666,mode=620,gid=5"),
    )
    .context("cannot mount /dev/pts")?;
    tmpfs(&dev.join("shm"), "mode=1777")
}
