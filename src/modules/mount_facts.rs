//! `mount_facts`: what is mounted, or is to be, by the host's tables.

use std::path::Path;

use super::setup::{device_uuids, measured, table_fields};
use super::{paths, python_regex};
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};

arguments! {
    pub struct Args {
        /// Shell patterns of devices to take; all if none is given.
        devices []: Option<Vec<String>>,
        /// Shell patterns of filesystem types to take; all if none is given.
        fstypes []: Option<Vec<String>>,
        /// Where to look, the first goes before the later: `dynamic` (what is mounted), `static` (what is to be), `all`,
        /// `mount` (the program of that name), or files.
        sources ["source"]: Vec<String> = vec!["all".into()],
        /// The program that lists what is mounted, for the source `mount` and where there is no table.
        mount_binary []: Option<String> = Some("mount".into()),
        /// Give every mount found in `aggregate_mounts` too; without it, a warning names those that are left out.
        include_aggregate_mounts []: Option<bool>,
    }
}

/// Tables of what is mounted, and of what is to be.
const DYNAMIC: &[&str] = &["/etc/mtab", "/proc/mounts", "/etc/mnttab"];
const STATIC: &[&str] = &["/etc/fstab", "/etc/vfstab", "/etc/filesystems"];

/// The module `mount_facts`.
pub struct MountFacts;

impl Module for MountFacts {
    const NAMES: &'static [&'static str] =
        &["mount_facts", "ansible.builtin.mount_facts", "ansible.legacy.mount_facts"];
    const DOC: &'static str = "Lists what is mounted, or is to be, as facts. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("ansible_facts", "`mount_points`: by the directory; `aggregate_mounts`: all of them in a list")];
    const EXAMPLE: &'static str = "- mount_facts:\n    fstypes: [ext4, xfs]\n    sources: [dynamic]\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        for (name, list) in [("devices", &args.devices), ("fstypes", &args.fstypes)] {
            if list.as_ref().is_some_and(|l| l.iter().any(String::is_empty)) {
                return Err(Failure::new(format!("{name} contains an empty string")));
            }
        }
        let uuids = device_uuids(host.as_look())?;
        let wanted = |patterns: &Option<Vec<String>>, text: &str| {
            patterns.as_ref().is_none_or(|list| list.iter().any(|p| paths::matches(p, text)))
        };
        let mut points = Dict::new();
        let mut all = Vec::new();
        let mut twice: Vec<String> = Vec::new();
        for found in found(&args, host)? {
            if !wanted(&args.devices, &found.device) || !wanted(&args.fstypes, &found.fstype) {
                continue;
            }
            let real = paths::real_path(host.as_look(), Path::new(&found.device))
                .unwrap_or_else(|_| found.device.clone().into());
            let mut entry = dict! {
                "mount" => found.mount.as_str(),
                "device" => found.device.as_str(),
                "fstype" => found.fstype.as_str(),
                "options" => found.options.as_str(),
                "uuid" => uuids.iter().find(|(path, _)| *path == real).map_or("N/A", |(_, uuid)| uuid.as_str()),
                "ansible_context" => dict! {"source" => found.source.as_str(), "source_data" => found.line.as_str()},
            };
            if let Some((dump, pass)) = &found.order {
                entry.insert("dump".into(), (*dump).into());
                entry.insert("passno".into(), (*pass).into());
            }
            entry.extend(measured(&found.mount, &found.fstype));
            let entry = Value::dict(entry);
            all.push(entry.clone());
            let key = Key::from(found.mount.as_str());
            if points.contains_key(&key) {
                twice.push(found.mount);
            } else {
                points.insert(key, entry);
            }
        }
        let mut facts = dict! {"mount_points" => points};
        let mut outcome = Outcome::ok();
        match args.include_aggregate_mounts {
            Some(true) => {
                facts.insert("aggregate_mounts".into(), Value::list(all));
            }
            None if !twice.is_empty() => {
                facts.insert("aggregate_mounts".into(), Value::list(Vec::new()));
                outcome.warnings.push(format!(
                    "mount_facts: ignoring repeat mounts ({}). You can disable this warning by configuring the 'include_aggregate_mounts' option as True or False.",
                    twice.join(", ")
                ));
            }
            _ => {
                facts.insert("aggregate_mounts".into(), Value::list(Vec::new()));
            }
        }
        outcome.facts = facts;
        Ok(outcome)
    }
}

/// One line of a table.
struct Found {
    source: String,
    line: String,
    device: String,
    mount: String,
    fstype: String,
    options: String,
    order: Option<(i64, i64)>,
}

fn found(args: &Args, host: &mut dyn Act) -> Result<Vec<Found>, Failure> {
    let mut sources: Vec<&str> = Vec::new();
    for source in &args.sources {
        match source.as_str() {
            "" => return Err(Failure::new("sources contains an empty string")),
            "all" => sources.extend(DYNAMIC.iter().chain(STATIC).copied().chain(["mount"])),
            "dynamic" => sources.extend(DYNAMIC.iter().copied().chain(["mount"])),
            "static" => sources.extend(STATIC),
            other => sources.push(other),
        }
    }
    let named = |source: &str| args.sources.iter().any(|s| s == source);
    let mut all: Vec<Found> = Vec::new();
    let mut read: Vec<std::path::PathBuf> = Vec::new();
    let mut live = false;
    for source in sources {
        if source == "mount" || args.mount_binary.as_deref() == Some(source) {
            // The tables say the same, and more exactly.
            if named(source) || !live {
                all.extend(by_program(args, host)?);
            }
            continue;
        }
        let path = paths::real_path(host.as_look(), Path::new(source))?;
        if read.contains(&path) {
            continue;
        }
        let text = match host.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(HostError::NotFound(_)) => continue,
            Err(e) => return Err(e.into()),
        };
        read.push(path);
        let before = all.len();
        all.extend(text.lines().filter_map(|line| by_table(source, line)));
        live |= DYNAMIC.contains(&source) && all.len() > before;
    }
    Ok(all)
}

fn by_table(source: &str, line: &str) -> Option<Found> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let fields = table_fields(line);
    let [device, mount, fstype, options, rest @ ..] = fields.as_slice() else { return None };
    let number = |i: usize| rest.get(i).map_or(Some(0), |n| n.parse().ok());
    Some(Found {
        source: source.to_owned(),
        line: line.to_owned(),
        device: device.clone(),
        mount: mount.clone(),
        fstype: fstype.clone(),
        options: options.clone(),
        order: number(0).zip(number(1)),
    })
}

/// Lines like `/dev/sda1 on / type ext4 (rw,relatime)`.
fn by_program(args: &Args, host: &mut dyn Act) -> Result<Vec<Found>, Failure> {
    let Some(program) = args.mount_binary.as_deref().filter(|p| !p.is_empty()) else { return Ok(Vec::new()) };
    let output = match host.query(&Command::new([program]).env("LC_ALL", "C")) {
        Err(HostError::NoProgram(_)) => return Ok(Vec::new()),
        other => other?,
    };
    let form = python_regex::compile(r"^(.+) on (/.*) type (\S+) \((.*)\)", "").map_err(Failure::new)?;
    let one = |line: &str| {
        let c = form.captures(line).ok().flatten()?;
        let part = |i: usize| c.get(i).map_or_else(String::new, |m| m.as_str().to_owned());
        let source = program.to_owned();
        Some(Found {
            source,
            line: line.to_owned(),
            device: part(1),
            mount: part(2),
            fstype: part(3),
            options: part(4),
            order: None,
        })
    };
    Ok(output.text().lines().filter_map(one).collect())
}
