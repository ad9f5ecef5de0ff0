//! `system host-*`.

use super::system::{host_record, python, yaml};
use super::table::{self, Cell};
use super::usage::Parsed;
use super::{Invocation, Reply};
use crate::system::System;
use serde_json::Value;

const WIPE_WARNING: &str = "\nWARNING: THIS OPERATION WILL COMPLETELY ERASE ALL DATA FROM THE SYSTEM.\nOnly proceed once \
                            the system data has been copied to another system.\nAre you absolutely sure you want to \
                            continue?  [yes/N]: ";
const OTHER_WARNING: &str = "\nWARNING: all data on this host will be lost, and the system is out of service until it \
                             is restored.\nContinue [yes/N]: ";
const SECOND_QUESTION: &str = "Type 'yes' again to confirm: ";

/// Run one `host-*` command.
pub fn run(system: &mut System, call: &Invocation, parsed: &Parsed, width: Option<usize>, _on: &str) -> Reply {
    let target = parsed.positional.first().map_or("", String::as_str);
    let before = system.find(target).ok().map(|at| host_record(system, at, false));
    let done = match parsed.name.as_str() {
        "host-list" => return list(system, parsed, width),
        "host-upgrade-list" => return upgrade_list(system, width),
        "host-show" => system.find(target),
        "host-lock" => system.host_lock(target, parsed.force),
        "host-unlock" => system.host_unlock(target),
        "host-swact" => system.host_swact(target, parsed.force),
        "host-upgrade" => {
            if system.simplex()
                && let Some(reply) = confirm(system, call)
            {
                return reply;
            }
            system.host_upgrade(target, parsed.force)
        }
        "host-downgrade" => system.host_downgrade(target, parsed.force),
        name => Err(format!("{name}: not part of this lab")),
    };
    match done {
        // The answer is what the record was when the request was accepted.
        Ok(_) if matches!(parsed.name.as_str(), "host-upgrade" | "host-downgrade") => {
            show(before.unwrap_or_default(), parsed)
        }
        Ok(at) => show(host_record(system, at, parsed.name == "host-show"), parsed),
        Err(refusal) => Reply::fail(1, refusal),
    }
}

/// The question before a wipe: `Some` while it is not answered with `yes`.
fn confirm(system: &System, call: &Invocation) -> Option<Reply> {
    let changed = system.standing_fault("host-upgrade-prompt").is_some();
    let questions: &[&str] = if changed { &[OTHER_WARNING, SECOND_QUESTION] } else { &[WIPE_WARNING] };
    for (i, question) in questions.iter().enumerate() {
        match call.answers.get(i) {
            None if call.eof => return Some(Reply::fail(1, "EOF when reading a line")),
            None => return Some(Reply::ask(*question)),
            Some(answer) if answer != "yes" => return Some(Reply::ok("Operation cancelled.\n")),
            Some(_) => {}
        }
    }
    None
}

fn show(mut record: Vec<(String, Value)>, parsed: &Parsed) -> Reply {
    if !parsed.columns.is_empty() {
        record.retain(|(name, _)| parsed.columns.contains(name));
    }
    Reply::ok(match parsed.format.as_deref() {
        Some("yaml") => yaml(&record, 0) + "\n",
        Some("value") => {
            let order = |name: &str| parsed.columns.iter().position(|c| c == name).unwrap_or(0);
            record.sort_by_key(|(name, _)| order(name));
            record.iter().map(|(_, value)| python(value)).collect::<Vec<_>>().join(" ") + "\n"
        }
        _ => {
            let rows: Vec<(&str, Cell)> = record.iter().map(|(n, v)| (n.as_str(), Cell(Some(python(v))))).collect();
            table::properties(&rows, 72)
        }
    })
}

fn list(system: &System, parsed: &Parsed, width: Option<usize>) -> Reply {
    let all = ["id", "hostname", "personality", "administrative", "operational", "availability"];
    let fields: Vec<&str> =
        if parsed.columns.is_empty() { all.to_vec() } else { parsed.columns.iter().map(String::as_str).collect() };
    let records: Vec<Vec<(String, Value)>> = (0..system.hosts.len())
        .map(|at| {
            let record = host_record(system, at, true);
            fields
                .iter()
                .map(|f| {
                    let value =
                        record.iter().find(|(n, _)| n == f).map_or(Value::String(String::new()), |(_, v)| v.clone());
                    ((*f).to_string(), value)
                })
                .collect()
        })
        .collect();
    Reply::ok(match parsed.format.as_deref() {
        Some("yaml") => {
            let mut out = String::new();
            for record in &records {
                let block = yaml(record, 2);
                out.push_str("- ");
                out.push_str(block.trim_start());
            }
            out + "\n"
        }
        Some("value") => records
            .iter()
            .map(|record| record.iter().map(|(_, v)| python(v)).collect::<Vec<_>>().join(" ") + "\n")
            .collect(),
        _ => {
            let rows: Vec<Vec<Cell>> = records
                .iter()
                .map(|record| {
                    record.iter().map(|(_, v)| if v.is_null() { Cell(None) } else { python(v).into() }).collect()
                })
                .collect();
            table::list(&fields, &fields, &rows, width)
        }
    })
}

fn upgrade_list(system: &System, width: Option<usize>) -> Reply {
    let labels = ["id", "hostname", "personality", "running_release", "target_release"];
    let rows: Vec<Vec<Cell>> = system
        .hosts
        .iter()
        .map(|h| {
            vec![
                h.id.into(),
                (&h.hostname).into(),
                (&h.personality).into(),
                (&h.running_release).into(),
                (&h.target_release).into(),
            ]
        })
        .collect();
    Reply::ok(table::list(&labels, &labels, &rows, width))
}
