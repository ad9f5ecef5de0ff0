//! `hostname`: the name of the host, now and from the next start on.

use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

use super::file_args::BeforeAfter;

choices! {
    /// How the running system is told.
    pub enum Use { Systemd = "systemd", Debian = "debian", Generic = "generic" }
}

arguments! {
    pub struct Args {
        /// The name.
        name []: String,
        /// How the running system is told: by `hostnamectl`, or by `hostname` alone; found out if not given.
        r#use []: Option<Use>,
    }
}

/// The module `hostname`.
pub struct Hostname;

const FILE: &str = "/etc/hostname";
const RUNNING: &str = "/proc/sys/kernel/hostname";

impl Module for Hostname {
    const NAMES: &'static [&'static str] = &["hostname", "ansible.builtin.hostname", "ansible.legacy.hostname"];
    const DOC: &'static str = "Sets the host's name in `/etc/hostname` and in the running kernel.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("name", "The name"),
        ("ansible_facts", "`ansible_hostname`, `ansible_nodename`, `ansible_fqdn`, `ansible_domain`"),
    ];
    const EXAMPLE: &'static str = "- hostname:\n    name: web01\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let name = args.name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Failure::new(format!("`{name}` is no host name: at most 64 letters, digits, dots and dashes")));
        }
        let mut diff = BeforeAfter::default();
        let mut changed = false;
        let written = read(host.as_look(), FILE)?;
        if written.as_deref() != Some(name) {
            host.write(FILE.as_ref(), &mut format!("{name}\n").as_bytes(), None)?;
            diff.note("hostname", written.unwrap_or_default(), name);
            changed = true;
        }
        let running = read(host.as_look(), RUNNING)?;
        if running.as_deref() != Some(name) {
            let effect = Effect::File { path: RUNNING.into(), content: format!("{name}\n").into_bytes(), mode: 0o644 };
            let systemd = match args.r#use {
                Some(way) => way != Use::Generic,
                None => host.stat("/run/systemd/system".as_ref(), true)?.is_some(),
            };
            let argv = if systemd { vec!["hostnamectl", "set-hostname", name] } else { vec!["hostname", name] };
            let done = host.run_expecting(&Command::new(argv), &[effect])?;
            if !done.success() {
                return Err(Failure::new(format!(
                    "Command failed rc={}, out={}, err={}",
                    done.rc,
                    done.text(),
                    done.error_text()
                )));
            }
            diff.note("hostname", running.unwrap_or_default(), name);
            changed = true;
        }
        let domain = name.split_once('.').map_or("", |(_, d)| d);
        let mut outcome = Outcome::changed(changed).with("name", name);
        outcome.facts = dict! {
            "ansible_hostname" => name.split('.').next().unwrap_or_default(),
            "ansible_nodename" => name,
            "ansible_fqdn" => name,
            "ansible_domain" => domain,
        };
        outcome.diff.extend(diff.into_diff(""));
        Ok(outcome)
    }
}

fn read(host: &mut dyn Look, path: &str) -> Result<Option<String>, HostError> {
    match host.read(path.as_ref()) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(HostError::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}
