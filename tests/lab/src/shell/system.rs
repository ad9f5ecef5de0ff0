//! The `system` client: authentication, dispatch, and the object tables.

use super::table::{self, Cell};
use super::usage::{self, Parsed, Stop};
use super::{Invocation, Reply};
use crate::system::health::Query;
use crate::system::{System, clock};
use serde_json::{Value, json};

/// Host and port the client is sent to.
const API: &str = "192.168.204.1:6385";
const KEYSTONE: &str = "192.168.204.1:5000";

/// Run one `system` command line.
pub fn run(system: &mut System, call: &Invocation, host: &str) -> Reply {
    let mut args = call.argv[1..].to_vec();
    // A command that came with release 22.12 is no choice before.
    if system.release_number() < 2212
        && let Some(name) = args.iter_mut().find(|arg| *arg == "kube-upgrade-failed")
    {
        *name = "kube-upgrade-failed ".into();
    }
    let parsed = match usage::parse(&args) {
        Ok(parsed) => parsed,
        Err(Stop::Print(text)) => return Reply::ok(text),
        Err(Stop::Usage(text)) => return Reply::fail(2, text),
    };
    if let Err(refusal) = reach(system, call, &parsed) {
        return Reply::fail(1, refusal);
    }
    let lies = system
        .standing_fault("command-lies")
        .is_some_and(|fault| fault.parameters.get("command").map_or("load-delete", String::as_str) == parsed.name);
    let mut reply = if lies {
        system.take_fault("command-lies");
        dispatch(&mut system.clone(), call, &parsed, host)
    } else {
        dispatch(system, call, &parsed, host)
    };
    if let Some(fault) = system.standing_fault("command-hangs")
        && fault.parameters.get("command").map_or("upgrade-show", String::as_str) == parsed.name
    {
        reply.hang_ms = (crate::system::upgrade::number(&fault.parameters, "seconds", 30.0) * 1000.0) as u64;
        system.take_fault("command-hangs");
    }
    reply
}

/// Credentials, Keystone, API: the refusals before any command is looked at.
fn reach(system: &System, call: &Invocation, parsed: &Parsed) -> Result<(), String> {
    let setting = |name: &str| -> Option<&str> {
        let given = parsed.os.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        given.or_else(|| call.env.get(name).map(String::as_str)).filter(|value| !value.is_empty())
    };
    for (name, option) in [
        ("OS_USERNAME", "a username via either --os-username or via env[OS_USERNAME]"),
        ("OS_PASSWORD", "a password via either --os-password or via env[OS_PASSWORD]"),
        ("OS_AUTH_URL", "an auth url via either --os-auth-url or via env[OS_AUTH_URL]"),
    ] {
        if setting(name).is_none() {
            return Err(format!("You must provide {option}"));
        }
    }
    let running = |unit: &str| call.local.active_units.iter().any(|u| u == unit);
    if !running("keystone") || !call.local.database {
        return Err(refused(KEYSTONE, "/v3/auth/tokens"));
    }
    let changed = system.unhealthy.contains_key("admin-password");
    if changed
        || setting("OS_USERNAME") != Some("admin")
        || setting("OS_PASSWORD") != Some(system.admin_password.as_str())
    {
        return Err("Invalid Identity credentials.".into());
    }
    if !running("sysinv-api") || system.clock.now() < system.api_away_until || !system.database_present {
        return Err(refused(API, &format!("/v1/{}", path_of(&parsed.name))));
    }
    Ok(())
}

/// The words of a refused connection.
fn refused(endpoint: &str, path: &str) -> String {
    let (host, port) = endpoint.split_once(':').unwrap_or((endpoint, ""));
    format!(
        "Unable to establish connection to http://{endpoint}{path}: HTTPConnectionPool(host='{host}', port={port}): Max \
         retries exceeded with url: {path} (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at \
         0x7f1d36941070>: Failed to establish a new connection: [Errno 111] Connection refused'))"
    )
}

fn path_of(command: &str) -> &'static str {
    match command {
        name if name.starts_with("kube-") => "kube_upgrade",
        name if name.starts_with("load-") => "loads/",
        name if name.starts_with("upgrade-") => "upgrade",
        "health-query" => "health",
        "health-query-upgrade" => "health/upgrade",
        "health-query-kube-upgrade" => "health/kube-upgrade",
        _ => "ihosts",
    }
}

fn dispatch(system: &mut System, call: &Invocation, parsed: &Parsed, host: &str) -> Reply {
    let width = width(system, call, parsed);
    match parsed.name.as_str() {
        "show" => Reply::ok(table::properties(&show(system), 0)),
        "oam-show" => Reply::ok(super::platform::oam(system)),
        "health-query" => Reply::ok(system.health(Query::Plain, false).text),
        "health-query-upgrade" => Reply::ok(system.health(Query::Upgrade, false).text),
        "health-query-kube-upgrade" => Reply::ok(system.health(Query::Kube, false).text),
        name if name.starts_with("host-") => super::host_commands::run(system, call, parsed, width, host),
        name if name.starts_with("load-") => super::load_commands::run(system, call, parsed, width),
        name if name.starts_with("upgrade-") => super::load_commands::upgrade(system, call, parsed),
        name if name.starts_with("kube-") => super::kube_commands::run(system, parsed, width),
        name if ["application-", "certificate-", "helm-"].iter().any(|kind| name.starts_with(kind)) => {
            super::platform::run(system, call, parsed, width)
        }
        "restore-start" => Reply::ok(format!("{}\n", system.restore_start())),
        "restore-show" if system.restore_in_progress => Reply::ok("Restore procedure is in progress\n"),
        "restore-show" => Reply::ok("Restore procedure is not in progress\n"),
        "restore-complete" => Reply::ok(format!("{}\n", system.restore_complete())),
        name => Reply::fail(1, format!("{name}: not part of this lab")),
    }
}

/// The width lists are laid out for; `None` for `--nowrap`.
fn width(system: &System, call: &Invocation, parsed: &Parsed) -> Option<usize> {
    if parsed.nowrap {
        return None;
    }
    let narrow = system.standing_fault("wrap").map(|f| crate::system::upgrade::number(&f.parameters, "columns", 60.0));
    Some(narrow.map_or(call.width, |columns| columns as usize))
}

fn show(system: &System) -> Vec<(&'static str, Cell)> {
    let info = &system.info;
    vec![
        ("contact", (&info.contact).into()),
        ("created_at", (&info.created_at).into()),
        ("description", (&info.description).into()),
        ("https_enabled", "False".into()),
        ("latitude", Cell(None)),
        ("location", (&info.location).into()),
        ("longitude", Cell(None)),
        ("name", (&info.name).into()),
        ("region_name", "RegionOne".into()),
        ("sdn_enabled", "False".into()),
        ("security_feature", Cell(None)),
        ("service_project_name", Cell(None)),
        ("software_version", (&info.software_version).into()),
        ("system_mode", (&info.system_mode).into()),
        ("system_type", (&info.system_type).into()),
        ("timezone", Cell(info.timezone.clone())),
        ("updated_at", Cell(info.updated_at.clone())),
        ("uuid", (&info.uuid).into()),
        ("vswitch_type", "none".into()),
    ]
}

/// A host's record as the API hands it out, sorted by property. The answer to an action lacks the computed role
/// (`asked` is false).
pub fn host_record(system: &System, at: usize, asked: bool) -> Vec<(String, Value)> {
    let host = &system.hosts[at];
    let late = system.release_number() >= 2212;
    let aio = host.subfunctions.contains(',');
    let mut capabilities = serde_json::Map::new();
    if host.stor_function {
        capabilities.insert("stor_function".into(), json!("monitor"));
    }
    if late {
        capabilities.insert("is_max_cpu_configurable".into(), json!("not-configurable"));
    }
    if asked && host.personality == "controller" {
        let role = if host.hostname == system.active { "Controller-Active" } else { "Controller-Standby" };
        capabilities.insert("Personality".into(), json!(role));
    }
    let mut record = vec![
        ("action", json!("none")),
        ("administrative", json!(host.administrative)),
        ("availability", json!(host.availability)),
        ("bm_ip", Value::Null),
        ("bm_type", json!("none")),
        ("bm_username", Value::Null),
        ("boot_device", json!("/dev/sda")),
        ("capabilities", Value::Object(capabilities)),
        ("clock_synchronization", json!("ntp")),
        ("config_applied", json!(host.config_applied)),
        ("config_status", json!(host.config_status)),
        ("config_target", json!(host.config_target)),
        ("console", json!("ttyS0,115200")),
        ("created_at", json!(host.created_at)),
        ("device_image_update", Value::Null),
        ("hostname", json!(host.hostname)),
        ("id", json!(host.id)),
        ("install_output", json!("text")),
        ("install_state", json!(host.install_state)),
        ("install_state_info", json!(host.install_state_info)),
        ("inv_state", json!(host.inv_state)),
        ("invprovision", json!(host.invprovision)),
        ("location", json!({})),
        ("mgmt_ip", json!(host.mgmt_ip)),
        ("mgmt_mac", json!(host.mgmt_mac)),
        ("operational", json!(host.operational)),
        ("personality", json!(host.personality)),
        ("reboot_needed", json!(host.reboot_needed)),
        ("reserved", json!(false)),
        ("rootfs_device", json!("/dev/sda")),
        ("serialid", json!("sysinv123456")),
        ("software_load", json!(host.running_release)),
        ("task", json!(host.task)),
        ("tboot", json!("")),
        ("ttys_dcd", json!(false)),
        ("updated_at", json!(host.updated_at)),
        ("uptime", json!(uptime(system, host.booted_at))),
        ("uuid", json!(host.uuid)),
        ("vim_progress_status", json!(host.vim_progress_status)),
    ];
    if late {
        record.push(("apparmor", json!("disabled")));
        record.push(("max_cpu_mhz_allowed", json!("")));
        record.push(("max_cpu_mhz_configured", json!("")));
    }
    if let Some((group, peers)) = system.peers(&host.hostname) {
        record.push(("peers", json!({ "name": format!("group-{group}"), "hosts": peers })));
    }
    if aio {
        record.push(("subfunction_avail", json!(host.availability)));
        record.push(("subfunction_oper", json!(host.operational)));
        record.push(("subfunctions", json!(host.subfunctions)));
    }
    record.sort_by(|a, b| a.0.cmp(b.0));
    record.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

fn uptime(system: &System, booted_at: f64) -> u64 {
    if booted_at == 0.0 { 0 } else { ((clock::real_now() - booted_at) * system.clock.rate) as u64 }
}

/// A value as Python prints it.
pub fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let inner: Vec<String> = map.iter().map(|(k, v)| format!("'{k}': {}", quoted(v))).collect();
            format!("{{{}}}", inner.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Value::Number(number) => number.to_string(),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        other => python(other),
    }
}

/// One object as block YAML, the way the client's dump writes it.
pub fn yaml(record: &[(String, Value)], indent: usize) -> String {
    let mut out = String::new();
    let mut sorted: Vec<&(String, Value)> = record.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, value) in sorted {
        let pad = " ".repeat(indent);
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push_str(&format!("{pad}{key}:\n"));
                let inner: Vec<(String, Value)> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                out.push_str(&yaml(&inner, indent + 2));
            }
            _ => out.push_str(&format!("{pad}{key}: {}\n", yaml_scalar(value))),
        }
    }
    out
}

fn yaml_scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        Value::String(text) => {
            let ambiguous = text.is_empty()
                || text.parse::<f64>().is_ok()
                || matches!(
                    text.to_lowercase().as_str(),
                    "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "~"
                )
                || text.contains(": ")
                || text.starts_with(['{', '[', '\'', '"', '&', '*', '!', '%', '@', '`', '#', '|', '>'])
                || looks_like_a_stamp(text);
            if ambiguous { format!("'{}'", text.replace('\'', "''")) } else { text.clone() }
        }
    }
}

fn looks_like_a_stamp(text: &str) -> bool {
    text.len() > 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[..4].iter().all(u8::is_ascii_digit)
}
