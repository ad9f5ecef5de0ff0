//! Applications, certificates and the external address.

use super::table::{self, Cell};
use super::usage::Parsed;
use super::{Invocation, Reply};
use crate::system::apps::Package;
use crate::system::{App, Certificate, Refusal, System};

/// Run one `application-*`, `helm-override-*` or `certificate-*` command.
pub fn run(system: &mut System, call: &Invocation, parsed: &Parsed, width: Option<usize>) -> Reply {
    let target = parsed.positional.first().map_or("", String::as_str);
    match parsed.name.as_str() {
        "application-list" => {
            let labels = ["application", "version", "manifest name", "manifest file", "status", "progress"];
            let rows: Vec<Vec<Cell>> = system
                .apps
                .iter()
                .map(|a| {
                    [&a.name, &a.version, &a.manifest_name, &a.manifest_file, &a.status, &a.progress]
                        .map(Cell::from)
                        .to_vec()
                })
                .collect();
            Reply::ok(table::list(&labels, &labels, &rows, width))
        }
        "application-show" => match system.apps.iter().find(|a| a.name == target) {
            None => Reply::fail(1, format!("application not found: {target}")),
            Some(app) => show(app, parsed),
        },
        "application-upload" | "application-update" => package(system, call, parsed),
        "application-apply" => answer(system, target, |s| s.app_apply(target)),
        "application-abort" => match system.app_abort(target) {
            Ok(()) => Reply::ok("Application abort request has been accepted.\n"),
            Err(refusal) => Reply::fail(1, refusal),
        },
        "application-remove" => answer(system, target, |s| s.app_remove(target)),
        "application-delete" => match system.app_delete(target) {
            Ok(()) => Reply::ok(format!("Application {target} deleted.\n")),
            Err(refusal) => Reply::fail(1, refusal),
        },
        "helm-override-show" | "helm-override-update" => overrides(system, parsed),
        "certificate-list" => {
            let labels = ["uuid", "certtype", "expiry_date"];
            let rows: Vec<Vec<Cell>> = system
                .certificates
                .iter()
                .map(|c| vec![(&c.uuid).into(), (&c.certtype).into(), (&c.expiry_date).into()])
                .collect();
            Reply::ok(table::list(&labels, &labels, &rows, width))
        }
        _ => match system.certificates.iter().find(|c| c.uuid == target) {
            None => Reply::fail(1, format!("Certificate not found: {target}")),
            Some(certificate) => Reply::ok(certificate_table(certificate)),
        },
    }
}

/// The application's table, once the request is accepted.
fn answer(system: &mut System, name: &str, act: impl FnOnce(&mut System) -> Result<(), Refusal>) -> Reply {
    match act(system) {
        Err(refusal) => Reply::fail(1, refusal),
        Ok(()) => {
            let table = system.apps.iter().find(|a| a.name == name).map(|app| table::properties(&rows(app), 72));
            Reply::ok(format!(
                "{}Please use 'system application-list' or 'system application-show {name}' to view the current \
                 progress.\n",
                table.unwrap_or_default()
            ))
        }
    }
}

fn package(system: &mut System, call: &Invocation, parsed: &Parsed) -> Reply {
    let path = parsed.positional.first().map_or("", String::as_str);
    let seen = call.local.files.get(path).cloned().unwrap_or_default();
    if !seen.exists {
        return Reply::fail(1, format!("Error: Tar file {path} does not exist"));
    }
    let Some(mut package) = Package::read(&seen.text) else {
        return Reply::fail(1, "Application-upload rejected: the package has no metadata");
    };
    for (option, value) in &parsed.values {
        match option.as_str() {
            "-n" | "--app-name" => package.name.clone_from(value),
            "-v" | "--app-version" => package.version.clone_from(value),
            _ => {}
        }
    }
    let reuse = parsed
        .values
        .iter()
        .any(|(option, value)| option == "--reuse-user-overrides" && value.eq_ignore_ascii_case("true"));
    let name = package.name.clone();
    if parsed.name == "application-upload" {
        answer(system, &name, |s| s.app_upload(&package))
    } else {
        answer(system, &name, |s| s.app_update(&package, reuse))
    }
}

fn overrides(system: &mut System, parsed: &Parsed) -> Reply {
    let word = |i: usize| parsed.positional.get(i).map_or("", String::as_str);
    let name = word(0);
    if parsed.name == "helm-override-update" {
        let values: Vec<String> =
            parsed.values.iter().filter(|(option, _)| option == "--set").map(|(_, value)| value.clone()).collect();
        if let Err(refusal) = system.app_override(name, &values) {
            return Reply::fail(1, refusal);
        }
    }
    match system.apps.iter().find(|a| a.name == name) {
        None => Reply::fail(1, format!("application not found: {name}")),
        Some(app) => {
            let values: String = app.user_overrides.iter().map(|v| v.replacen('=', ": ", 1) + "\n").collect();
            let user = if values.is_empty() { Cell(None) } else { values.trim_end().into() };
            Reply::ok(table::properties(
                &[("name", word(1).into()), ("namespace", word(2).into()), ("user_overrides", user)],
                0,
            ))
        }
    }
}

fn rows(app: &App) -> Vec<(&'static str, Cell)> {
    vec![
        ("active", "True".into()),
        ("app_version", (&app.version).into()),
        ("created_at", (&app.created_at).into()),
        ("manifest_file", (&app.manifest_file).into()),
        ("manifest_name", (&app.manifest_name).into()),
        ("name", (&app.name).into()),
        ("progress", (&app.progress).into()),
        ("status", (&app.status).into()),
        ("updated_at", Cell(app.updated_at.clone())),
    ]
}

fn show(app: &App, parsed: &Parsed) -> Reply {
    let chosen: Vec<(&str, Cell)> = rows(app)
        .into_iter()
        .filter(|(name, _)| parsed.columns.is_empty() || parsed.columns.iter().any(|c| c == name))
        .collect();
    Reply::ok(match parsed.format.as_deref() {
        Some("value") => chosen.iter().map(|(_, c)| c.text()).collect::<Vec<_>>().join(" ") + "\n",
        Some("yaml") => chosen.iter().map(|(n, c)| format!("{n}: {}\n", c.text())).collect::<String>() + "\n",
        _ => table::properties(&chosen, 72),
    })
}

fn certificate_table(c: &Certificate) -> String {
    table::properties(
        &[
            ("uuid", (&c.uuid).into()),
            ("certtype", (&c.certtype).into()),
            ("signature", (&c.signature).into()),
            ("start_date", (&c.start_date).into()),
            ("expiry_date", (&c.expiry_date).into()),
            ("details", "{}".into()),
        ],
        72,
    )
}

/// `oam-show`.
pub fn oam(system: &System) -> String {
    use crate::fabric::net;
    let mut rows: Vec<(&str, Cell)> = vec![
        ("created_at", (&system.info.created_at).into()),
        ("isystem_uuid", (&system.info.uuid).into()),
        ("oam_gateway_ip", "10.10.10.1".into()),
        ("oam_subnet", "10.10.10.0/24".into()),
        ("updated_at", Cell(None)),
        ("uuid", (&system.info.uuid).into()),
    ];
    if system.simplex() {
        rows.push(("oam_ip", net::OAM_FLOATING.into()));
    } else {
        rows.push(("oam_floating_ip", net::OAM_FLOATING.into()));
        for (i, name) in [(1, "oam_c0_ip"), (2, "oam_c1_ip")] {
            rows.push((name, net::addresses(&system.topology, i, "controller").reach().into()));
        }
    }
    rows.sort_by_key(|(name, _)| *name);
    table::properties(&rows, 0)
}
