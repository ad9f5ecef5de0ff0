//! `stx_controller_keys`: the host keys of both controllers, for whoever follows the floating address to the other one.

use std::path::Path;
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::platform::{self, Host};

crate::arguments! {
    pub struct Args {
        /// Where this controller's own public keys lie.
        dir []: std::path::PathBuf = "/etc/ssh",
    }
}

pub struct ControllerKeys;

impl Module for ControllerKeys {
    const NAMES: &'static [&'static str] = &["stx_controller_keys"];
    const DOC: &'static str = "Reads the public host keys of the active controller and, over the management network, of the other one.\n\
        The floating address answers with another key after a swact; read here, on a link that is trusted already, it need not be \
        taken on sight.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("keys", "type and key of each, without a host's name")];
    const EXAMPLE: &'static str = "- name: keys of both controllers\n  stx_controller_keys:";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let mut keys = own(host, &args.dir)?;
        for (name, personality) in platform::patiently(host, platform::hosts)? {
            if personality != "controller" {
                continue;
            }
            let seen = platform::patiently(host, |h| platform::host(h, &name))?;
            if !seen.active && seen.availability != super::state::Availability::Offline {
                keys.extend(of_peer(host, &seen)?);
            }
        }
        keys.sort();
        keys.dedup();
        Ok(Outcome::ok()
            .msg(format!("{} keys", keys.len()))
            .with("keys", keys.iter().map(String::as_str).collect::<Value>()))
    }
}

/// `type key` of a line of a public key's file or of `ssh-keyscan`.
fn key(line: &str, at: usize) -> Option<String> {
    let mut words = line.split_whitespace().skip(at);
    let (kind, key) = (words.next()?, words.next()?);
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
    known.then(|| format!("{kind} {key}"))
}

fn own(host: &mut dyn Look, dir: &Path) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    for name in host.list(dir)? {
        if name.starts_with("ssh_host_") && name.ends_with("_key.pub") {
            let text = host.read(&dir.join(name))?;
            keys.extend(key(&String::from_utf8_lossy(&text), 0));
        }
    }
    Ok(keys)
}

fn of_peer(host: &mut dyn Look, peer: &Host) -> Result<Vec<String>, Failure> {
    let address = peer.address.clone().unwrap_or_else(|| peer.name.clone());
    let scan = Command::new(["ssh-keyscan", "-T", "10", &address]).timeout(Duration::from_secs(60));
    // A controller that has just come into service may not have its sshd up yet.
    let wait = Wait::new(format!("sshd of {} at {address}", peer.name), Duration::from_secs(120));
    let keys = wait.until(host, |host| {
        let keys: Vec<String> = host.query(&scan)?.text().lines().filter_map(|l| key(l, 1)).collect();
        Ok(if keys.is_empty() { Sight::NotYet("no answer".into()) } else { Sight::Done(keys) })
    });
    keys.map_err(|error| {
        Advice::after(error, |a| {
            a.cause("its sshd does not answer on the management network, and its host keys cannot be known")
                .safe("yes: nothing was changed")
                .next(format!(
                    "`ssh-keyscan {address}` on the active controller; once it answers, `stx-upgrade resume`"
                ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_without_their_hosts() {
        assert_eq!(key("192.168.204.3 ssh-ed25519 AAAA", 1).as_deref(), Some("ssh-ed25519 AAAA"));
        assert_eq!(key("ssh-rsa AAAA root@controller-1", 0).as_deref(), Some("ssh-rsa AAAA"));
        assert_eq!(key("# 192.168.204.3:22 SSH-2.0-OpenSSH_9.2p1", 1), None);
    }
}
