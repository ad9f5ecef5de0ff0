//! `stx_facts`: what system this is and where its upgrade stands.

use std::path::PathBuf;

use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};

use super::kube;
use super::platform::{self, CEPH_CONFIGURED, CONFIGURED, HostUpgradeRow, OPENRC, RESTORING};
use super::state::{Dialect, LoadState};

crate::arguments! {
    pub struct Args {
        /// Where new releases lie on the host, one directory a release with `bootimage.iso` and `bootimage.sig` in it.
        loads_dir []: PathBuf = "/home/sysadmin/loads",
    }
}

pub struct Facts;

impl Module for Facts {
    const NAMES: &'static [&'static str] = &["stx_facts"];
    const DOC: &'static str = "Tells what StarlingX system this is and where its upgrade stands, as the fact `stx`.\n\
        It answers on a host that was reinstalled and not restored yet too: `stx.platform` is `bare` there.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[(
        "ansible_facts.stx",
        "platform (up, bare, restoring), installed_release, boot_id, ceph (whether it is the backend), and from a platform that is up: name, uuid, type, mode, \
         software_version, dialect, hosts, controllers, storage, workers, active_controller, storage_rounds (lists of storage hosts that may be out at once), running and target (releases by host, not on simplex), loads, upgrade_state and kube_upgrade_state (`none` or the platform's word), from_release, \
         to_release (of the upgrade, else of an imported load, else of a new release in `loads_dir`), load_iso, load_sig, \
         old_loads",
    )];
    const EXAMPLE: &'static str = "- name: which system this is\n  stx_facts:";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let installed = platform::installed_release(host)?;
        let has = |host: &mut dyn Look, file: &str| host.stat(file.as_ref(), true).map(|s| s.is_some());
        // After a reinstall in a check run there is none to be read.
        let boot_id = host.read("/proc/sys/kernel/random/boot_id".as_ref()).unwrap_or_default();
        let mut stx = dict! {
            "installed_release" => installed.clone().unwrap_or_default(),
            "ceph" => has(host, CEPH_CONFIGURED)?,
            "boot_id" => String::from_utf8_lossy(&boot_id).trim(),
        };
        if has(host, OPENRC)? && (has(host, CONFIGURED)? || !has(host, RESTORING)?) {
            stx.insert("platform".into(), "up".into());
            stx.extend(ask(host, &args)?);
        } else {
            let restoring = has(host, RESTORING)?;
            stx.insert("platform".into(), if restoring { "restoring" } else { "bare" }.into());
            stx.extend(dict! { "to_release" => installed.clone().unwrap_or_default(), "upgrade_state" => "none" });
            // The kind of a bare host is known from its installation alone.
            for (fact, key) in [("type", "system_type"), ("mode", "system_mode")] {
                let value = platform::shell_value(host, "/etc/platform/platform.conf", key)?;
                stx.insert(fact.into(), value.unwrap_or_default().into());
            }
            if installed.is_none() {
                return Err(Failure::new(
                    "this is no StarlingX host: it has neither /etc/build.info nor /etc/platform/openrc",
                ));
            }
        }
        let msg = described(&stx);
        let mut outcome = Outcome::ok().msg(msg);
        outcome.facts = dict! { "stx" => Value::dict(stx) };
        Ok(outcome)
    }
}

fn ask(host: &mut dyn Look, args: &Args) -> Result<Dict, Failure> {
    let system = platform::patiently(host, platform::show)?;
    let upgrade = platform::patiently(host, platform::upgrade)?;
    let loads = platform::patiently(host, platform::loads)?;
    let all = platform::patiently(host, platform::hosts)?;
    let hosts: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    let rounds = storage_rounds(host, &all)?;
    let of = |personality: &str| -> Value {
        all.iter().filter(|(_, p)| p == personality).map(|(name, _)| name.as_str()).collect()
    };
    // A simplex system has one host, whose release is the system's.
    let releases = if system.simplex() { Vec::new() } else { platform::patiently(host, platform::host_upgrades)? };
    let mut active = None;
    for (name, _) in all.iter().filter(|(_, p)| p == "controller") {
        if platform::patiently(host, |h| platform::host(h, name))?.active {
            active = Some(name.clone());
        }
    }
    let newer = |version: &str| number(version) > number(&system.version);
    let imported = loads.iter().find(|l| l.state != LoadState::Active && newer(&l.version));
    let offered = offered(host, args)?;
    let offered = offered.iter().filter(|(release, ..)| newer(release)).collect::<Vec<_>>();
    let to = match (&upgrade, imported, &offered[..]) {
        (Some(upgrade), ..) => upgrade.to.clone(),
        (None, Some(load), _) => load.version.clone(),
        (None, None, [(release, ..)]) => release.clone(),
        (None, None, _) => system.version.clone(),
    };
    let from = match &upgrade {
        Some(upgrade) => upgrade.from.clone(),
        None if to != system.version => system.version.clone(),
        None => String::new(),
    };
    let offer = offered.iter().find(|(release, ..)| *release == to);
    let old = loads.iter().filter(|l| l.state != LoadState::Active && number(&l.version) < number(&system.version));
    Ok(dict! {
        "name" => system.name.as_str(), "uuid" => system.uuid.as_str(), "type" => system.kind.as_str(),
        "mode" => system.mode.as_str(), "software_version" => system.version.as_str(),
        "dialect" => Dialect::of(&system.version).map(Dialect::word),
        "hosts" => hosts.iter().map(|h| h.as_str()).collect::<Value>(),
        "controllers" => of("controller"), "storage" => of("storage"), "workers" => of("worker"),
        "active_controller" => active,
        "storage_rounds" => rounds.iter().map(|r| r.iter().map(String::as_str).collect::<Value>()).collect::<Value>(),
        "running" => by_host(&releases, |r| &r.running), "target" => by_host(&releases, |r| &r.target),
        "loads" => loads.iter().map(|l| Value::dict(dict! {
            "id" => l.id.as_str(), "state" => l.state.word(), "software_version" => l.version.as_str(),
        })).collect::<Value>(),
        "old_loads" => old.map(|l| l.version.as_str()).collect::<Value>(),
        "kube_upgrade_state" => platform::patiently(host, kube::record)?.map_or("none".to_owned(), |k| k.state.word().to_owned()),
        "upgrade_state" => upgrade.as_ref().map_or("none", |u| u.state.word()),
        "from_release" => from,
        "to_release" => to,
        "load_iso" => offer.map(|(_, iso, _)| iso.as_str()).unwrap_or_default(),
        "load_sig" => offer.map(|(.., sig)| sig.as_str()).unwrap_or_default(),
    })
}

/// Which storage hosts may be out at once: storage-0 alone and first, then one host of each group a round.
fn storage_rounds(host: &mut dyn Look, all: &[(String, String)]) -> Result<Vec<Vec<String>>, Failure> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for (name, _) in all.iter().filter(|(name, p)| p == "storage" && name != "storage-0") {
        let mut peers = platform::patiently(host, |h| platform::host(h, name))?.peers;
        peers.retain(|p| p != "storage-0");
        match groups.iter_mut().find(|g| peers.iter().any(|p| g.contains(p))) {
            Some(group) => group.push(name.clone()),
            None => groups.push(vec![name.clone()]),
        }
    }
    let first = all.iter().filter(|(name, _)| name == "storage-0").map(|(name, _)| vec![name.clone()]);
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    let rest = (0..most).map(|round| groups.iter().filter_map(|g| g.get(round).cloned()).collect());
    Ok(first.chain(rest).collect())
}

fn by_host(rows: &[(String, HostUpgradeRow)], release: impl Fn(&HostUpgradeRow) -> &String) -> Value {
    Value::dict(rows.iter().map(|(host, row)| (Key::from(host.as_str()), Value::from(release(row).as_str()))).collect())
}

/// Releases in the directory: name, ISO, signature.
fn offered(host: &mut dyn Look, args: &Args) -> Result<Vec<(String, String, String)>, HostError> {
    let names = match host.list(&args.loads_dir) {
        Ok(names) => names,
        Err(HostError::NotFound(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.into_iter().filter(|n| number(n).is_some()) {
        let (iso, sig) =
            (args.loads_dir.join(&name).join("bootimage.iso"), args.loads_dir.join(&name).join("bootimage.sig"));
        if host.stat(&iso, true)?.is_some() && host.stat(&sig, true)?.is_some() {
            found.push((name, iso.display().to_string(), sig.display().to_string()));
        }
    }
    Ok(found)
}

/// A release as numbers, to tell newer from older.
fn number(release: &str) -> Option<(u32, u32)> {
    let (year, month) = release.split_once('.')?;
    Some((year.parse().ok()?, month.parse().ok()?))
}

fn described(stx: &Dict) -> String {
    let text = |key: &str| stx.get(key).map(Value::to_string).unwrap_or_default();
    match text("platform").as_str() {
        "up" if text("upgrade_state") == "none" => {
            format!(
                "{} {}, {} {}, no upgrade in progress",
                text("type"),
                text("mode"),
                text("name"),
                text("software_version")
            )
        }
        "up" => format!(
            "{} {}, {}: upgrade {} -> {} is {}",
            text("type"),
            text("mode"),
            text("name"),
            text("from_release"),
            text("to_release"),
            text("upgrade_state")
        ),
        state => format!("{} is installed, the platform is {state}", text("installed_release")),
    }
}
