//! Applications, certificates and the external address.

use super::Reply;
use super::table::{self, Cell};
use super::usage::Parsed;
use crate::system::{Certificate, System};

/// Run one `application-*` or `certificate-*` command.
pub fn run(system: &System, parsed: &Parsed, width: Option<usize>) -> Reply {
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
            Some(app) => {
                let rows: Vec<(&str, Cell)> = vec![
                    ("active", "True".into()),
                    ("app_version", (&app.version).into()),
                    ("created_at", (&app.created_at).into()),
                    ("manifest_file", (&app.manifest_file).into()),
                    ("manifest_name", (&app.manifest_name).into()),
                    ("name", (&app.name).into()),
                    ("progress", (&app.progress).into()),
                    ("status", (&app.status).into()),
                    ("updated_at", Cell(None)),
                ];
                let chosen: Vec<(&str, Cell)> = rows
                    .into_iter()
                    .filter(|(name, _)| parsed.columns.is_empty() || parsed.columns.iter().any(|c| c == name))
                    .collect();
                Reply::ok(match parsed.format.as_deref() {
                    Some("value") => chosen.iter().map(|(_, c)| c.text()).collect::<Vec<_>>().join(" ") + "\n",
                    Some("yaml") => {
                        chosen.iter().map(|(n, c)| format!("{n}: {}\n", c.text())).collect::<String>() + "\n"
                    }
                    _ => table::properties(&chosen, 72),
                })
            }
        },
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
