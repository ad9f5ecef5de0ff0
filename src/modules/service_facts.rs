//! `service_facts`: the host's services, as systemd or its `service` program lists them.

use indexmap::IndexMap;

use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};

arguments! { pub struct Args {} }

/// The module `service_facts`.
pub struct ServiceFacts;

/// Words of a listing that say more than whether a unit is active.
const BAD: &[&str] = &["not-found", "masked", "failed"];

struct Service {
    state: String,
    status: String,
    source: &'static str,
}

impl Module for ServiceFacts {
    const NAMES: &'static [&'static str] =
        &["service_facts", "ansible.builtin.service_facts", "ansible.legacy.service_facts"];
    const DOC: &'static str = "Lists the host's services as facts. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("ansible_facts", "`services`: each by its name with `name`, `state`, `status` and `source`")];
    const EXAMPLE: &'static str = "- service_facts:\n- debug:\n    var: ansible_facts.services\n";
    type Args = Args;

    fn run(_: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut services = IndexMap::new();
        sysv(host, &mut services)?;
        systemd(host, &mut services)?;
        if services.is_empty() {
            return Ok(Outcome::skipped(
                "Failed to find any services. This can be due to privileges or some other configuration issue.",
            ));
        }
        let facts: Dict = services
            .into_iter()
            .map(|(name, s): (String, Service)| {
                let entry =
                    dict! {"name" => name.as_str(), "state" => s.state, "status" => s.status, "source" => s.source};
                (Key::from(name), Value::dict(entry))
            })
            .collect();
        Ok(Outcome { facts: dict! {"services" => facts}, ..Outcome::ok() })
    }
}

/// What a program prints; none if the host does not have it, or it fails.
fn said(host: &mut dyn Act, argv: &[&str]) -> Result<Option<String>, HostError> {
    match host.query(&Command::new(argv.iter().copied()).env("LC_ALL", "C")) {
        Ok(output) => Ok(Some(output.text()).filter(|_| output.success())),
        Err(HostError::NoProgram(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Lines like ` [ + ]  ssh`.
fn sysv(host: &mut dyn Act, services: &mut IndexMap<String, Service>) -> Result<(), HostError> {
    let Some(text) = said(host, &["service", "--status-all"])? else { return Ok(()) };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["[", mark, "]", name, ..] = words.as_slice() {
            let state = if *mark == "+" { "running" } else { "stopped" };
            let status = "unknown".into();
            services.insert((*name).to_owned(), Service { state: state.into(), status, source: "sysv" });
        }
    }
    Ok(())
}

fn systemd(host: &mut dyn Act, services: &mut IndexMap<String, Service>) -> Result<(), HostError> {
    if host.stat("/run/systemd/system".as_ref(), true)?.is_none() {
        return Ok(());
    }
    let list = ["systemctl", "list-units", "--no-pager", "--no-legend", "--plain", "--type", "service", "--all"];
    for line in said(host, &list)?.unwrap_or_default().lines() {
        let words: Vec<&str> = line.trim_start_matches(['●', ' ', '*']).split_whitespace().collect();
        let [name, load, active, sub, ..] = words.as_slice() else { continue };
        let bad = BAD.iter().find(|b| [load, active, sub].contains(b));
        let state = if *sub == "running" { "running" } else { "stopped" };
        let status = (*bad.unwrap_or(active)).to_owned();
        services.insert((*name).to_owned(), Service { state: state.into(), status, source: "systemd" });
    }
    let files = ["systemctl", "list-unit-files", "--no-pager", "--no-legend", "--type", "service", "--all"];
    let mut unseen: Vec<(String, String)> = Vec::new();
    for line in said(host, &files)?.unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(status)) = (words.next(), words.next()) else { continue };
        match services.get_mut(name) {
            Some(s) if !BAD.contains(&s.status.as_str()) => s.status = status.into(),
            Some(_) => {}
            None => unseen.push((name.into(), status.into())),
        }
    }
    // Templates have no state: they are not units until they have an instance.
    let asked: Vec<&str> = unseen.iter().map(|(n, _)| n.as_str()).filter(|n| !n.contains("@.")).collect();
    let mut states: IndexMap<String, String> = IndexMap::new();
    for part in asked.chunks(200) {
        let mut argv = vec!["systemctl", "show", "--property=Id,ActiveState", "--"];
        argv.extend(part);
        let text = said(host, &argv)?.unwrap_or_default();
        for block in text.split("\n\n") {
            let get = |name: &str| block.lines().find_map(|l| l.strip_prefix(name));
            if let (Some(id), Some(state)) = (get("Id="), get("ActiveState=")) {
                states.insert(id.into(), state.into());
            }
        }
    }
    for (name, status) in unseen {
        let state = states.get(&name).cloned().unwrap_or_else(|| "unknown".into());
        services.insert(name, Service { state, status, source: "systemd" });
    }
    Ok(())
}
