//! `stx_patch`: whether every host has the patches that are applied.

use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::tables::{self, List, Unreadable};

crate::choices! {
    pub enum State { Current = "current" }
}

crate::arguments! {
    pub struct Args {
        /// `current`: every host has installed what is applied, and no patch is half applied or removed.
        state []: State = State::Current,
    }
}

pub struct Patch;

impl Module for Patch {
    const NAMES: &'static [&'static str] = &["stx_patch"];
    const DOC: &'static str = "Fails unless every host is patch current and no patch is partly applied or removed.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("patches", "id and state of each"), ("hosts", "name and whether current")];
    const EXAMPLE: &'static str = "- name: patch current\n  stx_patch:\n    state: current";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let State::Current = args.state;
        let patches = ask(host, "query")?;
        let hosts = ask(host, "query-hosts")?;
        let (problems, next) = judge(&patches, &hosts).map_err(|e| Failure::new(format!("sw-patch: {e}")))?;
        let rows = |list: &List, columns: [(&str, &str); 2]| -> Value {
            list.rows()
                .map(|row| {
                    let value = |c: &str| row.get(c).unwrap_or_default();
                    Value::dict(dict! { columns[0].0 => value(columns[0].1), columns[1].0 => value(columns[1].1) })
                })
                .collect()
        };
        let (patches, hosts) = (
            rows(&patches, [("id", "Patch ID"), ("state", "Patch State")]),
            rows(&hosts, [("hostname", "Hostname"), ("current", "Patch Current")]),
        );
        if problems.is_empty() {
            return Ok(Outcome::ok().msg("every host is patch current").with("patches", patches).with("hosts", hosts));
        }
        Err(Advice::failed(format!("not patch current: {}", problems.join("; ")))
            .safe("yes: nothing was changed")
            .next(next)
            .with("patches", patches)
            .with("hosts", hosts)
            .into())
    }
}

fn ask(host: &mut dyn Act, what: &str) -> Result<List, Failure> {
    let command = Command::new(["sw-patch", what]).timeout(Duration::from_secs(120));
    let output = host.query(&command)?;
    let text = output.text();
    if !output.success() {
        let complaint = [output.error_text(), text].concat();
        return Err(Failure::new(format!("sw-patch {what} failed: {}", complaint.trim())));
    }
    tables::ruled(&text).map_err(|e| Failure::new(format!("sw-patch {what}: {e}")))
}

/// What is not current, and what to do about it.
fn judge(patches: &List, hosts: &List) -> Result<(Vec<String>, String), Unreadable> {
    let (mut problems, mut next) = (Vec::new(), Vec::new());
    for patch in patches.rows() {
        let (id, state) = (patch.need("Patch ID")?, patch.need("Patch State")?);
        if state.starts_with("Partial") || state == "n/a" {
            problems.push(format!("patch {id} is {state}"));
            next.push("`sudo sw-patch host-install <host>` for the hosts not current".to_owned());
        }
    }
    for row in hosts.rows() {
        let (name, current) = (row.need("Hostname")?, row.need("Patch Current")?);
        let state = row.get("State").unwrap_or_default();
        if current != "Yes" {
            problems.push(format!("{name}: patch current is {current}, state {state}"));
            next.push(if row.get("Reboot Required").as_deref() == Some("Yes") {
                format!("`system host-lock {name}`, `sudo sw-patch host-install {name}`, `system host-unlock {name}`")
            } else {
                format!("`sudo sw-patch host-install {name}`")
            });
        } else if state != "idle" {
            problems.push(format!("{name}: {state}"));
        }
    }
    next.dedup();
    Ok((problems, next.join("; ")))
}
