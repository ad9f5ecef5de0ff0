//! `setup`: the facts of a host. Which groups of facts there are and which are asked for is here; finding them is in the
//! files beside.

mod distribution;
mod hardware;
pub mod local;
mod network;
mod python;
mod system;

pub use hardware::{device_uuids, measured, table_fields};

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::paths;
use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};

arguments! {
    pub struct Args {
        /// Groups of facts: `all`, `min`, `hardware`, `network`, `virtual`, or one by its name; `!` leaves one out.
        gather_subset []: Vec<String> = vec!["all".into()],
        /// Names or shell patterns of facts to give, with or without `ansible_`.
        filter []: Vec<String> = Vec::new(),
        /// Directory of `*.fact` files.
        fact_path []: PathBuf = "/etc/ansible/facts.d",
        /// Seconds that one program may take that is asked for facts; the task's own limit unless given.
        gather_timeout []: Option<u64>,
    }
}

impl Args {
    /// A program that is asked for facts, within the time that it may take.
    fn asking(&self, command: Command) -> Command {
        Command { timeout: self.gather_timeout.map(Duration::from_secs), ..command }
    }
}

/// The module `setup`, which `gather_facts` calls.
pub struct Setup;

/// Collects one group of facts, named without `ansible_`.
type Collect = fn(&mut dyn Look, &Args, &mut Facts) -> Result<(), HostError>;

/// Each group: its name, the larger groups that it is part of, how it is collected.
const GROUPS: &[(&str, &[&str], Collect)] = &[
    ("apparmor", &["min"], system::apparmor),
    ("cmdline", &["min"], system::cmdline),
    ("date_time", &["min"], system::date_time),
    ("distribution", &["min"], distribution::collect),
    ("dns", &["min"], system::dns),
    ("env", &["min"], system::env),
    ("fips", &["min"], system::fips),
    ("local", &["min"], local::collect),
    ("lsb", &["min"], distribution::lsb),
    ("pkg_mgr", &["min"], distribution::pkg_mgr),
    ("platform", &["min"], system::platform),
    ("python", &["min"], python::collect),
    ("selinux", &["min"], system::selinux),
    ("service_mgr", &["min"], system::service_mgr),
    ("ssh_pub_keys", &["min"], system::ssh_pub_keys),
    ("user", &["min"], system::user),
    ("chroot", &[], system::chroot),
    ("loadavg", &[], system::loadavg),
    ("processor", &["hardware"], hardware::processor),
    ("memory", &["hardware"], hardware::memory),
    ("uptime", &["hardware"], hardware::uptime),
    ("mounts", &["hardware"], hardware::mounts),
    ("dmi", &["hardware"], hardware::dmi),
    ("devices", &["hardware"], hardware::devices),
    ("interfaces", &["network"], network::interfaces),
    ("default_ipv4", &["network"], network::default_routes),
    ("virtualization_type", &["virtual"], system::virtualization),
];

/// Names of Ansible's groups that hold nothing here: what they are about needs other programs.
const EMPTY: &[&str] = &["facter", "ohai", "caps", "system_capabilities", "fibre_channel_wwn", "iscsi", "nvme"];

/// Facts by their short names, and what could not be found out.
#[derive(Default)]
pub(super) struct Facts {
    facts: Dict,
    warnings: Vec<String>,
}

impl Facts {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(Key::from(name), value.into());
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)
    }
}

/// A small file as text; none where it is not there or may not be read.
fn text(host: &mut dyn Look, path: &str) -> Result<Option<String>, HostError> {
    match host.read(Path::new(path)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\0']).to_owned())),
        Err(HostError::NotFound(_) | HostError::Denied { .. } | HostError::Io { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

fn exists(host: &mut dyn Look, path: &str) -> Result<bool, HostError> {
    Ok(host.stat(Path::new(path), true)?.is_some())
}

impl Module for Setup {
    const NAMES: &'static [&'static str] = &[
        "setup",
        "ansible.builtin.setup",
        "ansible.legacy.setup",
        "gather_facts",
        "ansible.builtin.gather_facts",
        "ansible.legacy.gather_facts",
    ];
    const DOC: &'static str = "Gathers facts: system, distribution, processors, memory, mounts, network, time, user and local facts.\n\
        `ansible_python` tells of the Python that the host has, if any; no module needs it.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("ansible_facts", "The facts, named `ansible_…`")];
    const EXAMPLE: &'static str =
        "- setup:\n    gather_subset: ['!all', min, network]\n    filter: ansible_default_ipv4\n";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let wanted = wanted(&args.gather_subset)?;
        let mut facts = Facts::default();
        for (_, _, collect) in GROUPS.iter().filter(|(name, ..)| wanted.contains(name)) {
            collect(host.as_look(), &args, &mut facts)?;
        }
        let mut outcome = Outcome::ok();
        outcome.warnings = facts.warnings;
        let asked = |name: &str| {
            args.filter.is_empty()
                || args
                    .filter
                    .iter()
                    .any(|f| f.is_empty() || paths::matches(f, name) || paths::matches(&format!("ansible_{f}"), name))
        };
        for (name, value) in facts.facts {
            let name = format!("ansible_{name}");
            if asked(&name) {
                outcome.facts.insert(Key::from(name), value);
            }
        }
        outcome.facts.insert("gather_subset".into(), args.gather_subset.iter().map(String::as_str).collect());
        outcome.facts.insert("module_setup".into(), true.into());
        Ok(outcome)
    }
}

/// The names of the groups that a `gather_subset` asks for.
fn wanted(subsets: &[String]) -> Result<Vec<&'static str>, Failure> {
    let of = |name: &str| -> Option<Vec<&'static str>> {
        if name == "all" {
            return Some(GROUPS.iter().map(|g| g.0).collect());
        }
        let found: Vec<_> =
            GROUPS.iter().filter(|(n, parts, _)| *n == name || parts.contains(&name)).map(|g| g.0).collect();
        (!found.is_empty() || EMPTY.contains(&name)).then_some(found)
    };
    let known = |name: &str| {
        of(name).ok_or_else(|| {
            let mut names = vec!["all", "min", "hardware", "network", "virtual"];
            names.extend(GROUPS.iter().map(|g| g.0));
            names.extend(EMPTY);
            Failure::new(format!(
                "Bad subset '{name}' given to Ansible. gather_subset options allowed: {}",
                names.join(", ")
            ))
        })
    };
    let (mut add, mut drop) = (Vec::new(), Vec::new());
    let mut no_min = false;
    let mut positive = false;
    for subset in subsets.iter().map(|s| s.trim()) {
        match subset.strip_prefix('!') {
            Some("all") => drop.extend(
                of("all").unwrap_or_default().into_iter().filter(|n| !of("min").unwrap_or_default().contains(n)),
            ),
            Some("min") => no_min = true,
            Some(name) => drop.extend(known(name)?),
            None => {
                positive = true;
                add.extend(known(subset)?);
            }
        }
    }
    if !positive && !subsets.iter().any(|s| s.trim() == "!all") {
        add.extend(of("all").unwrap_or_default());
    }
    let named: Vec<&str> = subsets.iter().map(|s| s.trim()).collect();
    let min = of("min").unwrap_or_default();
    // What is asked for by its own name comes, whatever larger group is left out.
    let own = |n: &&'static str| {
        named.contains(n)
            || GROUPS.iter().any(|(g, parts, _)| g == n && parts.iter().any(|p| *p != "min" && named.contains(p)))
    };
    let mut wanted: Vec<&'static str> = add.into_iter().filter(|n| !drop.contains(n) || own(n)).collect();
    if no_min {
        wanted.retain(|n| !min.contains(n) || own(n));
    } else {
        wanted.extend(min.into_iter().filter(|n| !drop.contains(n)));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(subsets: &[&str]) -> Vec<&'static str> {
        wanted(&subsets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn subsets() {
        assert!(ask(&["all"]).contains(&"memory") && ask(&["all"]).contains(&"user"));
        assert!(!ask(&["!all"]).contains(&"memory") && ask(&["!all"]).contains(&"user"));
        assert!(ask(&["!all", "!min"]).is_empty());
        assert!(ask(&["!all", "!min", "network"]).iter().all(|n| ["interfaces", "default_ipv4"].contains(n)));
        assert!(ask(&["!network"]).contains(&"memory") && !ask(&["!network"]).contains(&"interfaces"));
        assert!(ask(&["min"]).contains(&"env") && !ask(&["min"]).contains(&"memory"));
        assert!(wanted(&["nonsense".into()]).is_err());
    }
}
