//! Kubernetes as the platform upgrades it: what `system kube-*` says, and one module per capability. The states and their order
//! are `state`'s; how a step is sent, waited for and tried again is `drive`'s.

pub mod capacity;
mod drive;
pub mod facts;
pub mod host;
mod kubectl;
pub mod pods;
pub mod state;
pub mod upgrade;

use crate::action::host::{Effect, Look};
use crate::dict;
use crate::model::value::Value;

use super::platform::{self, No, unreadable};
use super::tables::{List, Object, Unreadable};
use state::KubeState;

/// A Kubernetes upgrade on record; one that is completed and not deleted counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub from: String,
    pub to: String,
    pub state: KubeState,
}

/// What a check run supposes of the record, and of the version that is active after it.
const RECORD: &str = "stx/kube";
const ACTIVE: &str = "stx/kube-active";

impl Record {
    /// The effect that makes later steps of a check run see the upgrade in another state.
    pub fn supposed(&self, state: &str) -> Effect {
        let fields = dict! { "from" => self.from.as_str(), "to" => self.to.as_str(), "state" => state };
        Effect::Suppose(RECORD.into(), Value::dict(fields))
    }

    /// The effects of its deletion.
    pub fn supposed_gone(&self) -> Vec<Effect> {
        vec![Effect::Suppose(RECORD.into(), Value::Null), Effect::Suppose(ACTIVE.into(), self.to.as_str().into())]
    }
}

/// Asks for the upgrade on record; `None` if there is none.
pub fn record(host: &mut dyn Look) -> Result<Option<Record>, No> {
    if let Some(supposed) = host.supposed(RECORD) {
        platform::needs_openrc(host)?;
        let field = |name: &str| supposed.get(name).map(Value::to_string).unwrap_or_default();
        let record = Record { from: field("from"), to: field("to"), state: KubeState::of(&field("state")) };
        return Ok((!supposed.is_null()).then_some(record));
    }
    if platform::reinstalled(host) {
        platform::needs_openrc(host)?;
        return Ok(None);
    }
    let words = ["kube-upgrade-show"];
    let text = platform::ask(host, &words)?;
    if text.contains("A kubernetes upgrade is not in progress") {
        return Ok(None);
    }
    let object = Object::parse(&text).map_err(unreadable(&words))?;
    let need = |name| object.need(name).map_err(unreadable(&words));
    Ok(Some(Record { from: need("from_version")?, to: need("to_version")?, state: KubeState::of(&need("state")?) }))
}

/// A host that runs Kubernetes, as `kube-host-upgrade-list` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub personality: String,
    /// Set as soon as one of its parts was begun.
    pub target: Option<String>,
    /// None on hosts without a control plane.
    pub control_plane: Option<String>,
    pub kubelet: String,
    /// The platform's word: `upgrading-kubelet`.
    pub status: Option<String>,
}

impl Row {
    /// Whether its status begins so.
    pub fn is(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }

    /// Versions and status for people.
    pub fn said(&self) -> String {
        let status = self.status.as_deref().unwrap_or("no status");
        match &self.control_plane {
            Some(version) => format!("control plane {version}, kubelet {}, {status}", self.kubelet),
            None => format!("kubelet {}, {status}", self.kubelet),
        }
    }
}

/// A part of Kubernetes on one host, with the word that `kube-host-upgrade` takes.
pub const CONTROL_PLANE: &str = "control-plane";
pub const KUBELET: &str = "kubelet";

/// The effect that makes later steps of a check run see a host's part at a version.
pub fn supposed_part(host: &str, part: &str, version: &str) -> Effect {
    Effect::Suppose(format!("stx/kube-{part}/{host}"), version.into())
}

/// Asks for the hosts that run Kubernetes. Storage hosts, which old releases list too, are left out.
pub fn rows(host: &mut dyn Look) -> Result<Vec<Row>, No> {
    let words = ["kube-host-upgrade-list", "--nowrap"];
    let list = List::parse(&platform::ask(host, &words)?).map_err(unreadable(&words))?;
    let mut rows = Vec::new();
    for row in list.rows() {
        let version = |column: &str| row.get(column).filter(|v| v != "N/A");
        let Some(kubelet) = version("kubelet_version") else { continue };
        let name = row.need("hostname").map_err(unreadable(&words))?;
        let mut read = Row {
            personality: row.need("personality").map_err(unreadable(&words))?,
            target: version("target_version"),
            control_plane: version("control_plane_version"),
            kubelet,
            status: row.get("status"),
            name,
        };
        if let Some(supposed) = host.supposed(&format!("stx/kube-{CONTROL_PLANE}/{}", read.name)) {
            read.control_plane = Some(supposed.to_string());
            read.target = read.control_plane.clone();
            read.status = None;
        }
        if let Some(supposed) = host.supposed(&format!("stx/kube-{KUBELET}/{}", read.name)) {
            read.kubelet = supposed.to_string();
            read.status = None;
        }
        rows.push(read);
    }
    Ok(rows)
}

/// A version that the platform knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub version: String,
    /// `active`, `partial`, `available` or `unavailable`.
    pub state: String,
}

/// Asks for the versions.
pub fn versions(host: &mut dyn Look) -> Result<Vec<Version>, No> {
    let words = ["kube-version-list", "--nowrap"];
    let list = List::parse(&platform::ask(host, &words)?).map_err(unreadable(&words))?;
    let active = host.supposed(ACTIVE).map(|v| v.to_string());
    let read = list.rows().map(|row| {
        let (version, mut state) = (row.need("version")?, row.need("state")?);
        if let Some(active) = &active {
            state = if *active == version { "active" } else { "unavailable" }.into();
        }
        Ok(Version { version, state })
    });
    read.collect::<Result<Vec<Version>, Unreadable>>().map_err(unreadable(&words))
}

/// The patches that a version asks for: those to be applied before the upgrade, those to be uploaded only.
pub fn patches(host: &mut dyn Look, version: &str) -> Result<(Vec<String>, Vec<String>), No> {
    let words = ["kube-version-show", version];
    let object = Object::parse(&platform::ask(host, &words)?).map_err(unreadable(&words))?;
    let list = |name| -> Vec<String> {
        // Printed as Python prints a list of texts.
        let text: String = object.get(name).unwrap_or_default();
        let ids = text
            .trim_matches(['[', ']'])
            .split(',')
            .map(|id| id.trim().trim_start_matches('u').trim_matches(['\'', '"']));
        ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
    };
    Ok((list("applied_patches"), list("available_patches")))
}
