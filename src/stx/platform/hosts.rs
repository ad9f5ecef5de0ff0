//! What the platform says of its hosts: their states, their releases, which controller is active.

use crate::action::host::{Effect, Look};
use crate::dict;
use crate::model::value::Value;

use super::super::state::{Administrative, Availability, Operational, Task};
use super::super::tables::{List, Object, Unreadable};
use super::{No, ask, needs_openrc, reinstalled, unreadable};

/// A host as the platform sees it (`system host-show`).
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    pub name: String,
    pub personality: String,
    pub administrative: Administrative,
    pub operational: Operational,
    pub availability: Availability,
    pub task: Task,
    /// The text of the task, for people.
    pub task_text: String,
    /// What the orchestration says: `services-disabled`.
    pub vim: Option<String>,
    pub inventory: Option<String>,
    /// `Config out-of-date` and the like; none where it is current.
    pub config: Option<String>,
    pub load: Option<String>,
    /// Whether it is the active controller.
    pub active: bool,
    /// Its address on the management network.
    pub address: Option<String>,
    /// The storage hosts that hold the same data, itself among them.
    pub peers: Vec<String>,
}

impl Host {
    /// `locked/disabled/online`, with the task where there is one.
    pub fn states(&self) -> String {
        let states = format!("{}/{}/{}", self.administrative, self.operational, self.availability);
        if self.task_text.is_empty() { states } else { format!("{states}, task `{}`", self.task_text) }
    }

    /// Unlocked and in service; degraded counts, since replication catches up by itself.
    pub fn in_service(&self) -> bool {
        self.administrative == Administrative::Unlocked
            && self.operational == Operational::Enabled
            && matches!(self.availability, Availability::Available | Availability::Degraded)
    }
}

/// Asks for one host.
pub fn host(host: &mut dyn Look, name: &str) -> Result<Host, No> {
    let words = ["host-show", name];
    let supposed = host.supposed(&format!("stx/host/{name}"));
    let known = supposed.is_some() && reinstalled(host);
    let object = if known {
        needs_openrc(host)?;
        Object::default()
    } else {
        Object::parse(&ask(host, &words)?).map_err(unreadable(&words))?
    };
    let field = |property: &str| match supposed.as_ref().and_then(|s| s.get(property)) {
        Some(value) => Some(value.to_string()).filter(|t| !t.is_empty() && t != "None"),
        None => object.get(property),
    };
    // A property that is not printed at all is a shape we do not know; one that is empty is a state.
    for property in ["hostname", "administrative", "operational", "availability", "task"] {
        if !known {
            object.need(property).map_err(unreadable(&words))?;
        }
    }
    let task = field("task");
    Ok(Host {
        name: field("hostname").unwrap_or_else(|| name.to_owned()),
        personality: field("personality").unwrap_or_default(),
        administrative: Administrative::of(&field("administrative").unwrap_or_default()),
        operational: Operational::of(&field("operational").unwrap_or_default()),
        availability: Availability::of(&field("availability").unwrap_or_default()),
        task: Task::of(task.as_deref()),
        task_text: task.unwrap_or_default(),
        vim: field("vim_progress_status"),
        inventory: field("inv_state"),
        config: field("config_status"),
        load: field("software_load"),
        active: match host.supposed(ACTIVE) {
            Some(active) => active.to_string() == name,
            None => field("capabilities").is_some_and(|c| c.contains("Controller-Active")),
        },
        address: field("mgmt_ip"),
        peers: peers(&field("peers").unwrap_or_default()),
    })
}

/// The hosts in `{'name': 'group-0', 'hosts': ['storage-0', 'storage-1']}`.
fn peers(printed: &str) -> Vec<String> {
    let Some((_, hosts)) = printed.split_once("'hosts':") else { return Vec::new() };
    hosts.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The effect that makes later steps see a host in these states, without a task.
pub fn supposed_host(name: &str, administrative: &str, operational: &str, availability: &str) -> Effect {
    let fields = dict! {
        "administrative" => administrative, "operational" => operational, "availability" => availability, "task" => "",
        "vim_progress_status" => if administrative == "locked" { "services-disabled" } else { "services-enabled" },
    };
    Effect::Suppose(format!("stx/host/{name}"), Value::dict(fields))
}

/// Names of all hosts.
pub fn host_names(host: &mut dyn Look) -> Result<Vec<String>, No> {
    Ok(hosts(host)?.into_iter().map(|(name, _)| name).collect())
}

/// All hosts: name and personality.
pub fn hosts(host: &mut dyn Look) -> Result<Vec<(String, String)>, No> {
    if let Some(Value::List(supposed)) = host.supposed("stx/hosts") {
        needs_openrc(host)?;
        // Only the one controller of a simplex system is ever supposed.
        return Ok(supposed.iter().map(|name| (name.to_string(), "controller".to_owned())).collect());
    }
    let words = ["host-list", "--nowrap"];
    let list = List::parse(&ask(host, &words)?).map_err(unreadable(&words))?;
    let read = list.rows().map(|row| Ok((row.need("hostname")?, row.get("personality").unwrap_or_default())));
    read.collect::<Result<_, Unreadable>>().map_err(unreadable(&words))
}

/// Which controller is active, as later steps of a check run see it.
const ACTIVE: &str = "stx/active";

/// The effect of a swact for a check run.
pub fn supposed_active(name: &str) -> Effect {
    Effect::Suppose(ACTIVE.into(), name.into())
}

/// The releases that a host runs and is to run (`system host-upgrade-list`).
#[derive(Clone, Debug, PartialEq)]
pub struct HostUpgradeRow {
    pub running: String,
    pub target: String,
}

/// Asks for the rows of all hosts, by name; those of a check run's upgraded hosts are as supposed.
pub fn host_upgrades(host: &mut dyn Look) -> Result<Vec<(String, HostUpgradeRow)>, No> {
    let words = ["host-upgrade-list", "--nowrap"];
    let list = if reinstalled(host) {
        needs_openrc(host)?;
        List::default()
    } else {
        List::parse(&ask(host, &words)?).map_err(unreadable(&words))?
    };
    let read = list.rows().map(|row| {
        let name = row.need("hostname")?;
        let releases = match host.supposed(&format!("stx/running/{name}")) {
            Some(supposed) => HostUpgradeRow { running: supposed.to_string(), target: supposed.to_string() },
            None => HostUpgradeRow { running: row.need("running_release")?, target: row.need("target_release")? },
        };
        Ok((name, releases))
    });
    read.collect::<Result<_, Unreadable>>().map_err(unreadable(&words))
}

/// Asks for a host's row; none if the platform has none for it.
pub fn host_upgrade(host: &mut dyn Look, name: &str) -> Result<Option<HostUpgradeRow>, No> {
    Ok(host_upgrades(host)?.into_iter().find(|(host, _)| host == name).map(|(_, row)| row))
}

/// The effect of an upgraded host for a check run.
pub fn supposed_running(name: &str, release: &str) -> Effect {
    Effect::Suppose(format!("stx/running/{name}"), release.into())
}
