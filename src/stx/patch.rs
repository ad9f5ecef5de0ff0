//! `stx_patch`: whether every host has the patches that are applied.

use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::tables::{self, List, Unreadable};

crate::choices! {
    pub enum State { Current = "current", Listed = "listed" }
}

crate::arguments! {
    pub struct Args {
        /// `current`: every host has installed what is applied, and no patch is half applied or removed; `listed`: only tells.
        state []: State = State::Current,
    }
}

pub struct Patch;

impl Module for Patch {
    const NAMES: &'static [&'static str] = &["stx_patch"];
    const DOC: &'static str =
        "Fails unless every host is patch current and no patch is partly applied or removed; `listed` only tells.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("patches", "id, state and reboot_required of each"),
        ("hosts", "hostname, current and reboot_required of each"),
        ("left", "hosts that are not current, and whether one of them needs a reboot for it: `hosts`, `reboot`"),
    ];
    const EXAMPLE: &'static str = "- name: patch current\n  stx_patch:\n    state: current";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let patches = list(host.as_look())?;
        let hosts = hosts(host.as_look())?;
        let (problems, next) = judge(&patches, &hosts);
        let listed: Value = patches
            .iter()
            .map(|p| {
                Value::dict(dict! {
                    "id" => p.id.as_str(), "state" => p.state.as_str(), "reboot_required" => p.reboot,
                })
            })
            .collect();
        let rows: Value = hosts
            .iter()
            .map(|h| {
                Value::dict(dict! {
                    "hostname" => h.name.as_str(), "current" => h.current.as_str(), "reboot_required" => h.reboot,
                })
            })
            .collect();
        let left: Vec<&HostRow> = hosts.iter().filter(|h| !h.is_current()).collect();
        let left = Value::dict(dict! {
            "hosts" => left.iter().map(|h| h.name.as_str()).collect::<Value>(), "reboot" => left.iter().any(|h| h.reboot),
        });
        if problems.is_empty() || args.state == State::Listed {
            let msg = if problems.is_empty() { "every host is patch current".into() } else { problems.join("; ") };
            return Ok(Outcome::ok().msg(msg).with("patches", listed).with("hosts", rows).with("left", left));
        }
        Err(Advice::failed(format!("not patch current: {}", problems.join("; ")))
            .safe("yes: nothing was changed")
            .next(next)
            .with("patches", listed)
            .with("hosts", rows)
            .with("left", left)
            .into())
    }
}

/// A patch in the patch repository.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchRow {
    pub id: String,
    /// The platform's word: `Available`, `Partial-Apply`, `Applied`, …
    pub state: String,
    pub reboot: bool,
}

/// What a host has installed of the applied patches.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    pub name: String,
    /// `Yes`, `No`, `Pending` or `Failed`.
    pub current: String,
    pub reboot: bool,
    /// `idle`, `installing`, `install-failed`, `install-rejected`.
    pub state: String,
}

impl HostRow {
    pub fn is_current(&self) -> bool {
        self.current == "Yes" && matches!(self.state.as_str(), "" | "idle")
    }
}

/// What a check run supposes of a patch, and of a host that installed all of them.
pub fn supposed_patch(id: &str, state: &str) -> Effect {
    Effect::Suppose(format!("stx/patch/{id}"), state.into())
}

/// The effect that makes later steps of a check run see every host in want of an installation, with or without a reboot; `None` where
/// that is in a patch which was not uploaded yet.
pub fn supposed_pending(reboot: Option<bool>) -> Effect {
    Effect::Suppose("stx/patch-pending".into(), reboot.into())
}

pub fn supposed_installed(host: &str) -> Effect {
    Effect::Suppose(format!("stx/patched/{host}"), true.into())
}

/// Asks for the patches.
pub fn list(host: &mut dyn Look) -> Result<Vec<PatchRow>, Failure> {
    let mut patches = Vec::new();
    for row in ask(host, "query")?.rows() {
        let id = row.need("Patch ID").map_err(unreadable)?;
        let supposed = host.supposed(&format!("stx/patch/{id}")).map(|s| s.to_string());
        patches.push(PatchRow {
            state: supposed.map_or_else(|| row.need("Patch State"), Ok).map_err(unreadable)?,
            reboot: row.get("RR").as_deref() == Some("Y"),
            id,
        });
    }
    Ok(patches)
}

/// Asks for the hosts.
pub fn hosts(host: &mut dyn Look) -> Result<Vec<HostRow>, Failure> {
    let mut hosts = Vec::new();
    let pending = host.supposed("stx/patch-pending");
    for row in ask(host, "query-hosts")?.rows() {
        let mut read = HostRow {
            name: row.need("Hostname").map_err(unreadable)?,
            current: row.need("Patch Current").map_err(unreadable)?,
            reboot: row.get("Reboot Required").as_deref() == Some("Yes"),
            state: row.get("State").unwrap_or_default(),
        };
        if pending == Some(Value::Null) {
            let what = "whether the hosts reboot for it is read from a patch once it is uploaded";
            return Err(HostError::NotKnowable(what.into()).into());
        }
        if let Some(reboot) = &pending {
            read = HostRow { current: "No".into(), reboot: *reboot == Value::Bool(true), ..read };
        }
        if host.supposed(&format!("stx/patched/{}", read.name)).is_some() {
            read = HostRow { current: "Yes".into(), reboot: false, state: "idle".into(), ..read };
        }
        hosts.push(read);
    }
    Ok(hosts)
}

fn unreadable(error: Unreadable) -> Failure {
    Failure::new(format!("sw-patch: {error}"))
}

fn ask(host: &mut dyn Look, what: &str) -> Result<List, Failure> {
    let command = Command::new(["sw-patch", what]).timeout(Duration::from_secs(120));
    let output = host.query(&command)?;
    let text = output.text();
    if !output.success() {
        let complaint = [output.error_text(), text].concat();
        return Err(Failure::new(format!("sw-patch {what} failed: {}", complaint.trim())));
    }
    tables::ruled(&text).map_err(unreadable)
}

/// What is not current, and what to do about it.
fn judge(patches: &[PatchRow], hosts: &[HostRow]) -> (Vec<String>, String) {
    let (mut problems, mut next) = (Vec::new(), Vec::new());
    for PatchRow { id, state, .. } in patches {
        if state.starts_with("Partial") || state == "n/a" {
            problems.push(format!("patch {id} is {state}"));
            next.push("`sudo sw-patch host-install <host>` for the hosts not current".to_owned());
        }
    }
    for HostRow { name, current, reboot, state } in hosts {
        if current != "Yes" {
            problems.push(format!("{name}: patch current is {current}, state {state}"));
            next.push(if *reboot {
                format!("`system host-lock {name}`, `sudo sw-patch host-install {name}`, `system host-unlock {name}`")
            } else {
                format!("`sudo sw-patch host-install {name}`")
            });
        } else if state != "idle" {
            problems.push(format!("{name}: {state}"));
        }
    }
    next.dedup();
    (problems, next.join("; "))
}
