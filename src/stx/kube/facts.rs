//! `stx_kube_facts`: which Kubernetes runs, where its upgrade stands, and what is left to do.

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::stx::patch;
use crate::stx::platform;
use crate::stx::state::Administrative;

use super::upgrade::{order, ours, refused};
use super::{Record, Row, Version};

crate::arguments! {
    pub struct Args {
        /// The version to go to; by default that of the upgrade under way, else the only one available.
        version []: Option<String>,
    }
}

pub struct KubeFacts;

impl Module for KubeFacts {
    const NAMES: &'static [&'static str] = &["stx_kube_facts"];
    const DOC: &'static str = "Tells which Kubernetes runs and where its upgrade stands, as the fact `kube`.\n\
        It fails where the version asked for cannot be reached: it is unknown, not next in the chain, or another upgrade is on record.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[(
        "ansible_facts.kube",
        "order (a: networking after the first control plane; b: before), state (`none` or the platform's word), installed (the active \
         version), version (to go to), done, versions, control_planes (controllers in the order they are to be taken), \
         controllers_left and workers_left (kubelets to be upgraded, or hosts locked meanwhile), locked (hosts locked now), applied_patches and \
         available_patches (that the version asks for), patches_missing (what of these is not applied, or not uploaded)",
    )];
    const EXAMPLE: &'static str = "- name: which Kubernetes\n  stx_kube_facts:";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let system = platform::patiently(host, platform::show)?;
        let order = order(&system)?;
        let record = platform::patiently(host, super::record)?;
        let versions = platform::patiently(host, super::versions)?;
        let version = target(args.version.as_deref(), record.as_ref(), &versions)?;
        let rows = platform::patiently(host, super::rows)?;
        let installed = versions.iter().find(|v| v.state == "active").map(|v| v.version.clone());
        let done = record.is_none() && installed.as_ref() == Some(&version);
        let mut locked = Vec::new();
        for row in &rows {
            if platform::patiently(host, |h| platform::host(h, &row.name))?.administrative == Administrative::Locked {
                locked.push(row.name.as_str());
            }
        }
        let (applied, available) = platform::patiently(host, |h| super::patches(h, &version))?;
        let missing = if done { Vec::new() } else { missing(host, &applied, &available)? };
        let names = |list: &[String]| list.iter().map(String::as_str).collect::<Value>();
        let kubelets = |personality: &str| -> Value {
            let ours = rows.iter().filter(|r| r.personality == personality);
            // A host that an earlier run left locked is gone through again: it may be ours to unlock.
            let open = |r: &&Row| record.is_some() && !system.simplex() && locked.contains(&r.name.as_str());
            let left = ours.filter(|r| left(r, &version) || open(r));
            left.map(|r| r.name.as_str()).collect()
        };
        let facts = dict! {
            "order" => order.word(), "state" => record.as_ref().map_or("none", |r| r.state.word()),
            "installed" => installed, "version" => version.as_str(), "done" => done,
            "versions" => versions.iter().map(|v| Value::dict(dict! {
                "version" => v.version.as_str(), "state" => v.state.as_str(),
            })).collect::<Value>(),
            "control_planes" => control_planes(&rows, &version).into_iter().collect::<Value>(),
            "controllers_left" => kubelets("controller"), "workers_left" => kubelets("worker"),
            "locked" => locked.iter().copied().collect::<Value>(),
            "applied_patches" => names(&applied), "available_patches" => names(&available),
            "patches_missing" => names(&missing),
        };
        let msg = match &record {
            Some(record) => format!("Kubernetes upgrade {} -> {}: {}", record.from, record.to, record.state),
            None if done => format!("Kubernetes {version} is active"),
            None => format!("Kubernetes {version} is next"),
        };
        let mut outcome = Outcome::ok().msg(msg);
        outcome.facts = dict! { "kube" => Value::dict(facts) };
        Ok(outcome)
    }
}

/// The version to go to.
fn target(wanted: Option<&str>, record: Option<&Record>, versions: &[Version]) -> Result<String, Failure> {
    let listed = || versions.iter().map(|v| format!("{} {}", v.version, v.state)).collect::<Vec<_>>().join(", ");
    let Some(wanted) = wanted.map(str::trim).filter(|w| !w.is_empty()) else {
        if let Some(record) = record {
            return Ok(record.to.clone());
        }
        let available: Vec<&Version> = versions.iter().filter(|v| v.state == "available").collect();
        let active = versions.iter().find(|v| v.state == "active");
        return match (&available[..], active) {
            ([one], _) => Ok(one.version.clone()),
            ([], Some(active)) => Ok(active.version.clone()),
            ([], None) => Err(refused(
                format!("no Kubernetes version is active on all hosts: {}", listed()),
                None,
                "`system kube-host-upgrade-list` says which host runs which; bring them to one version",
            )),
            _ => Err(refused(
                format!("several Kubernetes versions could be next: {}", listed()),
                None,
                "name one: `-e kube_version=`",
            )),
        };
    };
    let wanted = if wanted.starts_with('v') { wanted.to_owned() } else { format!("v{wanted}") };
    if ours(&wanted, record)?.is_some() {
        return Ok(wanted);
    }
    match versions.iter().find(|v| v.version == wanted) {
        Some(v) if matches!(v.state.as_str(), "available" | "active") => Ok(wanted),
        Some(v) => Err(refused(
            format!("Kubernetes {wanted} is {}: {}", v.state, listed()),
            None,
            "versions are taken one after the other; name the one that is available",
        )),
        None => Err(refused(
            format!("this release does not know Kubernetes {wanted}: {}", listed()),
            None,
            "name one of them; newer ones come with patches or with the next release",
        )),
    }
}

/// Whether a kubelet is still to be upgraded.
fn left(row: &Row, version: &str) -> bool {
    row.kubelet != version || row.status.as_deref().is_some_and(|s| s.starts_with("upgrading-kubelet"))
}

/// Controllers in the order that their control planes are taken: one that was begun comes first, whichever it is.
fn control_planes<'r>(rows: &'r [Row], version: &str) -> Vec<&'r str> {
    let mut controllers: Vec<&Row> = rows.iter().filter(|r| r.control_plane.is_some()).collect();
    controllers.sort_by_key(|r| (r.target.as_deref() != Some(version), r.name.clone()));
    controllers.iter().map(|r| r.name.as_str()).collect()
}

/// Patches that are not where the version wants them, with what they lack.
fn missing(host: &mut dyn Look, applied: &[String], available: &[String]) -> Result<Vec<String>, Failure> {
    if applied.is_empty() && available.is_empty() {
        return Ok(Vec::new());
    }
    let list = patch::list(host)?;
    let state = |id: &String| list.iter().find(|p| p.id == *id).map(|p| p.state.clone());
    let mut missing: Vec<String> = Vec::new();
    missing.extend(
        applied.iter().filter(|id| state(id).as_deref() != Some("Applied")).map(|id| format!("{id} is not applied")),
    );
    missing.extend(available.iter().filter(|id| state(id).is_none()).map(|id| format!("{id} is not uploaded")));
    Ok(missing)
}
