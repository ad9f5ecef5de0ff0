//! What every installation of a release has on its disk, as read-only layers below the host's own.
//!
//! From the bottom: the machine's `/`; `hide` (what a host must not see of the machine); `common` (accounts, ssh,
//! sudo, the simulated commands); one layer per release. They live on a tmpfs, because overlay layers must not contain
//! one another.
//!
//! In a user namespace the machine's `/` cannot be a layer, because of what is mounted below it. There the bottom is
//! `base`, a skeleton with a copy of /etc, and /usr is an overlay of its own above the machine's.

use super::{PROGRAM, Places, dir, put};
use crate::host::PROGRAMS;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// User and group of the operator's login.
pub const SYSADMIN: (u32, u32) = (42425, 345);
const ROOT: (u32, u32) = (0, 0);

/// Paths of the machine that no host sees, beside whatever lies unusually at the top of its tree.
const HIDDEN: &[&str] = &[
    "home",
    "root",
    "opt",
    "srv",
    "usr/local",
    "etc/ssh",
    "etc/pam.d",
    "etc/sudoers.d",
    "etc/profile.d",
    "etc/environment",
    "etc/postgresql",
    "etc/postgresql-common",
    "etc/cron.d",
    "etc/resolv.conf",
    "etc/kubernetes",
    "var/lib/postgresql",
    "var/lib/etcd",
    "var/log",
    "var/mail",
    "var/backups",
    "var/cache",
    "var/tmp",
    "var/spool",
];
/// What belongs at the top of a system's tree.
const TOP: &[&str] = &[
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root",
    "run", "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// The overlays of a host on a release, each with its place in the host's tree (`""` is the root) and its `lowerdir`.
pub fn overlays(places: &Places, release: &str) -> Vec<(&'static str, String)> {
    let layers = places.layers();
    let stack = |below: &str, bottom: &str| {
        let parts = [&format!("rel-{release}"), "common", "hide"].map(|name| layers.join(name).join(below));
        let parts: Vec<String> = parts.iter().map(|part| part.display().to_string()).collect();
        format!("{}:{bottom}", parts.join(":"))
    };
    if super::user::confined() {
        vec![("", stack("", &layers.join("base").display().to_string())), ("usr", stack("usr", "/usr"))]
    } else {
        vec![("", stack("", "/"))]
    }
}

/// Mount the tmpfs and fill the layers that all releases share.
pub fn build(places: &Places, releases: &[&str]) -> Result<()> {
    let at = places.layers();
    std::fs::create_dir_all(&at)?;
    mount(Some("stx-lab"), &at, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .context("cannot mount the layers")?;
    hide(&at.join("hide"))?;
    common(&at.join("common"))?;
    for release in releases {
        super::contents::release_layer(&at.join(format!("rel-{release}")), release, releases)?;
    }
    if super::user::confined() {
        base(&at.join("base"))?;
        owned_by_root(&at.join("common"))?;
        for layer in releases.iter().map(|release| format!("rel-{release}")).chain(["hide".into()]) {
            std::fs::create_dir_all(at.join(layer).join("usr"))?;
        }
    }
    Ok(())
}

/// The bottom of a host in a user namespace: the shape of the machine's tree, and those of its settings that are open.
fn base(layer: &Path) -> Result<()> {
    dir(layer, 0o755, ROOT)?;
    for name in TOP {
        let (machine, here) = (Path::new("/").join(name), layer.join(name));
        match std::fs::read_link(&machine) {
            Ok(to) => symlink(to, &here)?,
            Err(_) => dir(&here, if *name == "tmp" { 0o1777 } else { 0o755 }, ROOT)?,
        }
    }
    for name in ["lib", "log", "mail"] {
        dir(&layer.join("var").join(name), 0o755, ROOT)?;
    }
    symlink("/run", layer.join("var/run"))?;
    symlink("/run/lock", layer.join("var/lock"))?;
    // What only root may read stays behind, and is not missed: accounts, sudo and ssh are the hosts' own.
    let _ = std::process::Command::new("cp")
        .args(["-dR", "--preserve=mode,links,timestamps", "/etc/."])
        .arg(layer.join("etc"))
        .output()
        .context("cannot run cp")?;
    Ok(())
}

/// sudo and su do their work only as files of root, and the machine's root is nobody here: copies.
fn owned_by_root(layer: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for program in ["usr/bin/sudo", "usr/bin/su"] {
        let here = layer.join(program);
        std::fs::create_dir_all(here.parent().unwrap_or(layer))?;
        std::fs::copy(Path::new("/").join(program), &here).with_context(|| format!("cannot copy /{program}"))?;
        std::fs::set_permissions(&here, std::fs::Permissions::from_mode(0o4755))?;
    }
    for plugins in ["usr/libexec/sudo", "usr/lib/sudo"] {
        if !Path::new("/").join(plugins).is_dir() {
            continue;
        }
        let here = layer.join(plugins);
        std::fs::create_dir_all(here.parent().unwrap_or(layer))?;
        super::run("cp", &["-dR", "--preserve=mode", &format!("/{plugins}"), &here.display().to_string()])?;
    }
    Ok(())
}

fn hide(layer: &Path) -> Result<()> {
    let mut hidden: Vec<String> = HIDDEN.iter().map(|path| (*path).to_string()).collect();
    for entry in std::fs::read_dir("/")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !TOP.contains(&name.as_str()) {
            hidden.push(name);
        }
    }
    for path in &hidden {
        if !Path::new("/").join(path).exists() && std::fs::symlink_metadata(Path::new("/").join(path)).is_err() {
            continue;
        }
        let here = layer.join(path);
        if let Some(parent) = here.parent() {
            std::fs::create_dir_all(parent)?;
        }
        mknod(&here, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))
            .with_context(|| format!("cannot hide /{path} from the hosts"))?;
    }
    Ok(())
}

fn common(layer: &Path) -> Result<()> {
    accounts(layer)?;
    logins(layer)?;
    let program = layer.join(PROGRAM.trim_start_matches('/'));
    std::fs::create_dir_all(program.parent().unwrap_or(layer))?;
    std::fs::copy("/proc/self/exe", &program).context("cannot copy the lab's program for the hosts")?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    for (path, _) in PROGRAMS {
        let link = layer.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(link.parent().unwrap_or(layer))?;
        symlink(PROGRAM, &link)?;
    }
    if let Some(bin) = postgres_bin() {
        let local = layer.join("usr/local/bin");
        std::fs::create_dir_all(&local)?;
        for entry in std::fs::read_dir(&bin)? {
            let name = entry?.file_name();
            symlink(bin.join(&name), local.join(&name))?;
        }
    }
    for (path, mode) in [
        ("home", 0o755),
        ("opt", 0o755),
        ("opt/platform", 0o755),
        ("opt/platform-backup", 0o755),
        ("opt/backups", 0o755),
        ("opt/patching", 0o755),
        ("opt/etcd", 0o755),
        ("opt/extension", 0o755),
        ("scratch", 0o755),
        ("media/usb", 0o777),
        ("srv", 0o755),
        ("var/log/puppet", 0o755),
        ("var/lib/docker-distribution", 0o755),
        ("var/tmp", 0o1777),
        ("var/cache", 0o755),
        ("var/spool", 0o755),
        ("www/pages/updates", 0o755),
        ("usr/local/sbin", 0o755),
        ("usr/local/bin", 0o755),
        ("root", 0o700),
        ("etc/platform", 0o755),
        ("etc/kubernetes", 0o755),
    ] {
        dir(&layer.join(path), mode, ROOT)?;
    }
    dir(&layer.join("var/lib/postgresql"), 0o755, user("postgres").unwrap_or(ROOT))?;
    Ok(())
}

/// Accounts: the machine's system users (their programs are used), and the operator.
fn accounts(layer: &Path) -> Result<()> {
    let machine = std::fs::read_to_string("/etc/passwd")?;
    let mut passwd = String::new();
    let mut shadow = String::new();
    for line in machine.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let system =
            fields.get(2).and_then(|uid| uid.parse::<u32>().ok()).is_some_and(|uid| !(1000..65000).contains(&uid));
        if fields.len() == 7 && system && fields[0] != "sysadmin" {
            passwd.push_str(&format!("{line}\n"));
            shadow.push_str(&format!("{}:*:19700:0:99999:7:::\n", fields[0]));
        }
    }
    passwd
        .push_str(&format!("sysadmin:x:{}:{}:System Administrator:/home/sysadmin:/bin/bash\n", SYSADMIN.0, SYSADMIN.1));
    shadow.push_str("sysadmin:!:19700:0:99999:7:::\n");
    let mut group = String::new();
    let mut shadow_group = 42;
    for line in std::fs::read_to_string("/etc/group")?.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() < 3 || fields[0] == "sys_protected" {
            continue;
        }
        if fields[0] == "shadow" {
            shadow_group = fields[2].parse().unwrap_or(42);
        }
        let members = if fields[0] == "root" { "sysadmin" } else { "" };
        group.push_str(&format!("{}:x:{}:{members}\n", fields[0], fields[2]));
    }
    group.push_str(&format!("sys_protected:x:{}:sysadmin\n", SYSADMIN.1));
    put(&layer.join("etc/passwd"), passwd, 0o644, ROOT)?;
    put(&layer.join("etc/group"), group, 0o644, ROOT)?;
    put(&layer.join("etc/gshadow"), "", 0o640, (0, shadow_group))?;
    put(&layer.join("etc/shadow"), shadow, 0o640, (0, shadow_group))
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// ssh, sudo, PAM, shells, names.
fn logins(layer: &Path) -> Result<()> {
    let unix = "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512\n\
                session required pam_unix.so\n";
    for service in ["other", "sshd", "sudo", "sudo-i", "login", "passwd"] {
        put(&layer.join("etc/pam.d").join(service), unix, 0o644, ROOT)?;
    }
    for service in ["su", "su-l", "runuser", "runuser-l", "chpasswd", "useradd", "usermod", "groupadd"] {
        put(&layer.join("etc/pam.d").join(service), format!("auth sufficient pam_rootok.so\n{unix}"), 0o644, ROOT)?;
    }
    put(
        &layer.join("etc/ssh/sshd_config"),
        format!(
            "Port 22\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin no\nPasswordAuthentication yes\n\
             KbdInteractiveAuthentication no\nUsePAM yes\nUseDNS no\nPrintMotd no\nX11Forwarding no\nMaxStartups 100\n\
             AcceptEnv LANG LC_*\nSetEnv PATH={PATH}\nSubsystem sftp internal-sftp\n"
        ),
        0o600,
        ROOT,
    )?;
    put(
        &layer.join("etc/sudoers"),
        format!(
            "Defaults env_reset\nDefaults secure_path=\"{PATH}\"\nroot ALL=(ALL:ALL) ALL\nsysadmin ALL=(ALL) ALL\n"
        ),
        0o440,
        ROOT,
    )?;
    put(
        &layer.join("etc/profile"),
        format!("PATH={PATH}\nexport PATH\n[ -n \"$PS1\" ] && PS1='\\h:\\w\\$ '\n"),
        0o644,
        ROOT,
    )?;
    put(&layer.join("etc/environment"), "", 0o644, ROOT)?;
    put(&layer.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644, ROOT)?;
    put(&layer.join("etc/resolv.conf"), "", 0o644, ROOT)?;
    put(&layer.join("etc/motd"), "", 0o644, ROOT)?;
    put(
        &layer.join("etc/hosts"),
        "127.0.0.1 localhost localhost.localdomain\n192.168.204.1 controller\n192.168.204.2 controller-0\n\
         192.168.204.3 controller-1\n192.168.204.1 registry.local\n10.10.10.2 oamcontroller\n",
        0o644,
        ROOT,
    )
}

/// Uid and gid of a user in /etc/passwd (read as a file: the program is static, and has no name service modules).
pub fn user(name: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Name of the user with that id in /etc/passwd.
pub fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(uid.to_string().as_str()))?;
    line.split(':').next().map(str::to_string)
}

/// Directory of the newest PostgreSQL server's programs.
pub fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("postgres").exists().then_some((version, bin))
        })
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}
