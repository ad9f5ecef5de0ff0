//! The `fm` client.

use super::table::{self, Cell};
use super::{Invocation, Reply};
use crate::system::{Alarm, System};

const USAGE: &str = "usage: fm [--version] [--debug] <subcommand> ...\n";

/// Run one `fm` command line.
pub fn run(system: &System, call: &Invocation) -> Reply {
    let args: Vec<&str> = call.argv[1..].iter().map(String::as_str).collect();
    match args.first() {
        Some(&"alarm-list") => {}
        Some(&"--version") => return Reply::ok("1.0.0\n"),
        None => return Reply::ok(USAGE),
        Some(other) => {
            return Reply::fail(
                2,
                format!(
                    "{USAGE}fm: error: argument <subcommand>: invalid choice: '{other}' (choose from 'alarm-list')"
                ),
            );
        }
    }
    let known = ["--nowrap", "--uuid", "--include_suppress", "--mgmt_affecting", "--degrade_affecting"];
    if let Some(bad) = args[1..].iter().find(|a| !known.contains(a)) {
        return Reply::fail(2, format!("{USAGE}fm: error: unrecognized arguments: {bad}"));
    }
    if call.env.get("OS_PASSWORD").is_none_or(String::is_empty) {
        return Reply::fail(1, "You must provide a password via either --os-password or via env[OS_PASSWORD]");
    }
    if !call.local.active_units.iter().any(|u| u == "fm-api") || system.clock.now() < system.api_away_until {
        return Reply::fail(1, "Unable to establish connection to http://192.168.204.1:18002/v1/alarms");
    }
    let with = |flag: &str| args.contains(&flag);
    let mut labels = vec!["Alarm ID", "Reason Text", "Entity ID", "Severity", "Time Stamp"];
    let mut fields = vec!["alarm_id", "reason_text", "entity_instance_id", "severity", "timestamp"];
    if with("--uuid") {
        labels.insert(0, "UUID");
        fields.insert(0, "uuid");
    }
    // The client inserts at fixed places, whatever stands before them.
    if with("--mgmt_affecting") {
        labels.insert(4, "Management Affecting");
        fields.insert(4, "mgmt_affecting");
    }
    if with("--degrade_affecting") {
        let at = if with("--mgmt_affecting") { 5 } else { 4 };
        labels.insert(at, "Degrade Affecting");
        fields.insert(at, "degrade_affecting");
    }
    let mut alarms: Vec<&Alarm> =
        system.alarms.iter().filter(|a| with("--include_suppress") || !a.suppressed).collect();
    alarms.sort_by(|a, b| b.stamp.cmp(&a.stamp));
    let rows: Vec<Vec<Cell>> =
        alarms.iter().map(|alarm| fields.iter().map(|field| cell(alarm, field)).collect()).collect();
    Reply::ok(table::list(&labels, &fields, &rows, if with("--nowrap") { None } else { Some(call.width) }))
}

fn cell(alarm: &Alarm, field: &str) -> Cell {
    let text = |b: bool| if b { "True" } else { "False" };
    match field {
        "uuid" => (&alarm.uuid).into(),
        "alarm_id" if alarm.suppressed => format!("S({})", alarm.id).into(),
        "alarm_id" => (&alarm.id).into(),
        "reason_text" => (&alarm.reason).into(),
        "entity_instance_id" => (&alarm.entity).into(),
        "severity" => (&alarm.severity).into(),
        "mgmt_affecting" => text(alarm.mgmt_affecting).into(),
        "degrade_affecting" => text(alarm.degrade_affecting).into(),
        _ => alarm.stamp.trim_end_matches("+00:00").into(),
    }
}
