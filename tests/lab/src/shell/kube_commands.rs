//! `system kube-*`: what can be read, the undeleted record, and the refusals while no upgrade runs.

use super::Reply;
use super::system::python;
use super::table::{self, Cell};
use super::usage::Parsed;
use crate::system::{KubeUpgrade, System};
use serde_json::json;

const NONE: &str = "A kubernetes upgrade is not in progress";

/// Run one `kube-*` command.
pub fn run(system: &mut System, parsed: &Parsed, width: Option<usize>) -> Reply {
    let target = parsed.positional.first().map_or("", String::as_str);
    match parsed.name.as_str() {
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
            Reply::ok(table::list(&labels, &labels, &rows, width))
        }
        "kube-version-show" => version_show(system, target),
        "kube-upgrade-show" => Reply::ok(system.kube_upgrade.as_ref().map_or(format!("{NONE}\n"), upgrade_table)),
        "kube-upgrade-delete" => match system.kube_upgrade_delete() {
            Ok(()) => Reply::ok("Kubernetes upgrade deleted\n"),
            Err(refusal) => Reply::fail(1, refusal),
        },
        "kube-host-upgrade-list" => host_list(system, width),
        "kube-upgrade-failed" if system.kube_upgrade.is_none() => Reply::ok(format!("{NONE}\n")),
        "kube-host-upgrade" if system.kube_upgrade.is_none() => {
            Reply::fail(1, system.find(target).err().unwrap_or(format!("{NONE}.")))
        }
        "kube-upgrade-start" => start(system, target, parsed.force),
        _ if system.kube_upgrade.is_none() => Reply::fail(1, NONE),
        name => Reply::fail(1, format!("{name}: Kubernetes upgrades are not part of this lab yet")),
    }
}

fn start(system: &System, version: &str, force: bool) -> Reply {
    let Some(wanted) = system.kube_versions.iter().find(|v| v.version == version) else {
        return Reply::fail(1, format!("Kubernetes version {version} is not available"));
    };
    if system.upgrade.is_some() {
        return Reply::fail(1, "A kubernetes upgrade cannot be done while a platform upgrade is in progress");
    }
    if system.kube_upgrade.is_some() {
        return Reply::fail(1, "A kubernetes upgrade is already in progress");
    }
    let running = system.hosts.first().map_or("", |h| h.kube.kubelet.as_str());
    if !wanted.upgrade_from.iter().any(|v| v == running) {
        return Reply::fail(
            1,
            format!("The installed Kubernetes version {running} cannot upgrade to version {version}"),
        );
    }
    if !system.health(crate::system::health::Query::Kube, force).passes {
        return Reply::fail(
            1,
            "System is not in a valid state for kubernetes upgrade. Run system health-query-kube-upgrade for more details.",
        );
    }
    Reply::fail(1, "kube-upgrade-start: Kubernetes upgrades are not part of this lab yet")
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

fn host_list(system: &System, width: Option<usize>) -> Reply {
    let labels =
        ["id", "hostname", "personality", "target_version", "control_plane_version", "kubelet_version", "status"];
    let rows: Vec<Vec<Cell>> = system
        .hosts
        .iter()
        .map(|h| {
            vec![
                h.id.into(),
                (&h.hostname).into(),
                (&h.personality).into(),
                Cell(h.kube.target.clone()),
                Cell(Some(h.kube.control_plane.clone().unwrap_or("N/A".into()))),
                (&h.kube.kubelet).into(),
                Cell(h.kube.status.clone()),
            ]
        })
        .collect();
    Reply::ok(table::list(&labels, &labels, &rows, width))
}
