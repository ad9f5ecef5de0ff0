//! `system kube-*`.

use super::Reply;
use super::system::python;
use super::table::{self, Cell};
use super::usage::Parsed;
use crate::system::{Host, KubeUpgrade, System, release_number};
use serde_json::json;

const NONE: &str = "A kubernetes upgrade is not in progress";
const HOST_FIELDS: [&str; 7] =
    ["id", "hostname", "personality", "target_version", "control_plane_version", "kubelet_version", "status"];

/// Run one `kube-*` command.
pub fn run(system: &mut System, parsed: &Parsed, width: Option<usize>) -> Reply {
    let target = parsed.positional.first().map_or("", String::as_str);
    let updated_before = system.kube_upgrade.as_ref().and_then(|u| u.updated_at.clone());
    let done = match parsed.name.as_str() {
        "kube-version-list" => {
            let labels = ["version", "target", "state"];
            let rows: Vec<Vec<Cell>> = system
                .kube_versions
                .iter()
                .map(|v| {
                    let (state, target) = system.kube_version_state(&v.version);
                    vec![(&v.version).into(), python(&json!(target)).into(), state.into()]
                })
                .collect();
            return Reply::ok(table::list(&labels, &labels, &rows, width));
        }
        "kube-version-show" => return version_show(system, target),
        "kube-upgrade-show" => {
            return Reply::ok(system.kube_upgrade.as_ref().map_or(format!("{NONE}\n"), upgrade_table));
        }
        "kube-host-upgrade-list" => {
            let rows: Vec<Vec<Cell>> = listed(system).map(host_cells).collect();
            return Reply::ok(table::list(&HOST_FIELDS, &HOST_FIELDS, &rows, width));
        }
        "kube-upgrade-delete" => {
            return match system.kube_upgrade_delete() {
                Ok(()) => Reply::ok("Kubernetes upgrade deleted\n"),
                Err(refusal) => Reply::fail(1, refusal),
            };
        }
        "kube-host-upgrade" => return host_upgrade(system, target, parsed),
        "kube-upgrade-failed" => match system.kube_upgrade_failed() {
            Ok(()) => Ok(()),
            // The client prints what it cannot do, and ends well.
            Err(refusal) => return Reply::ok(format!("{refusal}\n")),
        },
        "kube-upgrade-start" => system.kube_upgrade_start(target, parsed.force),
        "kube-upgrade-download-images" => system.kube_download(),
        "kube-upgrade-networking" => system.kube_networking(),
        _ => system.kube_upgrade_complete(),
    };
    match done {
        // The answer has the new state beside the old stamp.
        Ok(()) => {
            let answered =
                system.kube_upgrade.clone().map(|upgrade| KubeUpgrade { updated_at: updated_before, ..upgrade });
            Reply::ok(answered.as_ref().map(upgrade_table).unwrap_or_default())
        }
        Err(refusal) => Reply::fail(1, refusal),
    }
}

/// Storage hosts have no Kubernetes; up to 21.05 they are listed all the same.
fn listed(system: &System) -> impl Iterator<Item = &Host> {
    let early = release_number(&system.info.software_version) <= 2105;
    system.hosts.iter().filter(move |h| early || h.is_node())
}

fn host_cells(h: &Host) -> Vec<Cell> {
    vec![
        h.id.into(),
        (&h.hostname).into(),
        (&h.personality).into(),
        if h.is_node() { Cell(h.kube.target.clone()) } else { "N/A".into() },
        Cell(Some(h.kube.control_plane.clone().unwrap_or("N/A".into()))),
        (&h.kube.kubelet).into(),
        Cell(h.kube.status.clone()),
    ]
}

fn host_upgrade(system: &mut System, name: &str, parsed: &Parsed) -> Reply {
    let done = match parsed.positional.get(1).map(String::as_str) {
        Some("control-plane") => system.kube_control_plane(name),
        _ => system.kube_kubelet(name, parsed.force),
    };
    match done {
        Ok(at) => {
            let mut rows: Vec<(&str, Cell)> = HOST_FIELDS.into_iter().zip(host_cells(&system.hosts[at])).collect();
            rows.sort_by_key(|(name, _)| *name);
            Reply::ok(table::properties(&rows, 72))
        }
        Err(refusal) => Reply::fail(1, refusal),
    }
}

fn version_show(system: &System, version: &str) -> Reply {
    let Some(record) = system.kube_versions.iter().find(|v| v.version == version) else {
        return Reply::fail(1, format!("Kubernetes version not found {version}"));
    };
    let (state, target) = system.kube_version_state(version);
    Reply::ok(table::properties(
        &[
            ("applied_patches", python(&json!(record.applied_patches)).into()),
            ("available_patches", python(&json!(record.available_patches)).into()),
            ("downgrade_to", "[]".into()),
            ("state", state.into()),
            ("target", python(&json!(target)).into()),
            ("upgrade_from", python(&json!(record.upgrade_from)).into()),
            ("version", version.into()),
        ],
        72,
    ))
}

fn upgrade_table(upgrade: &KubeUpgrade) -> String {
    table::properties(
        &[
            ("uuid", (&upgrade.uuid).into()),
            ("from_version", (&upgrade.from_version).into()),
            ("to_version", (&upgrade.to_version).into()),
            ("state", (&upgrade.state).into()),
            ("created_at", (&upgrade.created_at).into()),
            ("updated_at", Cell(upgrade.updated_at.clone())),
        ],
        0,
    )
}
