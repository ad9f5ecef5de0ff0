//! The lab without root: a user namespace in which the operator's own account is root.
//!
//! `unshare` and `newuidmap` map the account to user 0 and its subordinate ids (/etc/subuid) to the rest, so that sshd,
//! sudo and PostgreSQL find the users they need. What differs inside: the machine's files belong to nobody, so they can
//! be read but not changed in place, and its `/` as a whole cannot be the lowest layer (see [`super::layers`]).

use anyhow::{Context, Result, bail};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const ENTER: &[&str] = &["--user", "--map-root-user", "--map-auto"];

/// Whether this process is root only in a user namespace. Root of the machine sees every id mapped to itself.
pub fn confined() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !whole(&map))
}

fn whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Start this program again with the same arguments as root of a user namespace. Returns only if that cannot be done,
/// with the one thing to enable.
pub fn enter(base: &Path) -> Result<i32> {
    let probe = Command::new("unshare").args(ENTER).args(["--mount", "--net", "--pid", "--fork", "true"]).output();
    match probe {
        Ok(out) if out.status.success() => {}
        Ok(out) => bail!("{}", remedy(&String::from_utf8_lossy(&out.stderr))),
        Err(_) => bail!("{}", remedy("")),
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let why = Command::new("unshare")
        .args(ENTER)
        .arg("--")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env("STX_LAB_DIR", base)
        .exec();
    Err(why).context("cannot run unshare")
}

/// What to enable, from what `unshare` said.
fn remedy(said: &str) -> String {
    let uid = nix::unistd::getuid().as_raw();
    let user = super::layers::user_name(uid).unwrap_or_else(|| uid.to_string());
    let has_range = |file: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with(&format!("{user}:"))))
    };
    let without_root = "the lab runs as root, or else in a user namespace; to allow that here, as root: ";
    if !Path::new("/usr/bin/newuidmap").exists() {
        format!("{without_root}apt-get install uidmap")
    } else if !has_range("/etc/subuid") || !has_range("/etc/subgid") {
        format!("{without_root}usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")
    } else {
        format!(
            "{without_root}sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 \
             kernel.apparmor_restrict_unprivileged_userns=0 (those of them that this kernel has; unshare says: {})",
            said.trim().trim_start_matches("unshare: ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn only_the_whole_range_of_ids_is_the_machine_s_root() {
        assert!(whole("         0          0 4294967295\n"));
        assert!(!whole("         0       1000          1\n         1     100000      65535\n"));
        assert!(!whole(""));
    }
}
