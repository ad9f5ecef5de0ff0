//! `stx_health`: the platform's own health check, read line by line.

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

use super::advice::Advice;
use super::platform::{self, Alarm, No};
use super::tables::{self, Check, Health};

crate::choices! {
    pub enum Query { Platform = "platform", Upgrade = "upgrade", Kubernetes = "kubernetes" }
}

crate::arguments! {
    pub struct Args {
        /// Which query: `health-query`, `health-query-upgrade` or `health-query-kube-upgrade`.
        query []: Query = Query::Upgrade,
        /// Hosts that we locked ourselves: they and their alarm 200.001 do not count.
        own_locks []: Vec<String> = Vec::new(),
        /// Alarms that do not affect management do not count, as with `upgrade-start --force`.
        force []: bool = false,
        /// Failing checks to pass over: mappings of `check` (its text, or how it begins) and `reason`.
        ignore []: Vec<Dict> = Vec::new(),
    }
}

pub struct HealthQuery;

impl Module for HealthQuery {
    const NAMES: &'static [&'static str] = &["stx_health"];
    const DOC: &'static str = "Runs the platform's health query and fails with every failing check, its details and remedy.\n\
        The query exits 0 whatever it finds, and says nothing failed when no load is imported: both are seen here.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("checks", "name, ok and details of each check"), ("ignored", "failing checks passed over, with the reason")];
    const EXAMPLE: &'static str = "- name: fit for the upgrade\n  stx_health:\n    query: upgrade";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let command = match args.query {
            Query::Platform => "health-query",
            Query::Upgrade => "health-query-upgrade",
            Query::Kubernetes => "health-query-kube-upgrade",
        };
        let seen = platform::patiently(host, |host| {
            let text = platform::ask(host, &[command])?;
            tables::health(&text).map_err(|source| No::Unreadable { command: format!("system {command}"), source })
        })?;
        let alarms_fail = seen.checks.iter().any(|c| !c.ok && c.name == "No alarms");
        let alarms = if alarms_fail { platform::patiently(host, platform::alarms)? } else { Vec::new() };
        // What an earlier step of a check run would have imported is not in the real platform's answer.
        let supposed_load = matches!(host.supposed("stx/loads"), Some(Value::Dict(loads)) if loads.values().any(|s| s.to_string() == "imported"));
        let verdict = judge(&args, &seen, &alarms, supposed_load);
        report(command, &seen, verdict)
    }
}

/// What is wrong, and what was passed over and why.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    failing: Vec<Check>,
    remarks: Vec<String>,
    ignored: Vec<(String, String)>,
}

fn judge(args: &Args, seen: &Health, alarms: &[Alarm], supposed_load: bool) -> Verdict {
    let mut verdict = Verdict::default();
    for check in seen.checks.iter().filter(|c| !c.ok) {
        match reason(args, check, alarms) {
            Some(reason) => verdict.ignored.push((check.name.clone(), reason)),
            None => verdict.failing.push(check.clone()),
        }
    }
    for remark in &seen.remarks {
        if supposed_load && remark.starts_with("No imported load found") {
            verdict.ignored.push((remark.clone(), "an earlier step imports it".into()));
        } else {
            verdict.remarks.push(remark.clone());
        }
    }
    verdict
}

/// Why a failing check may be passed over; `None` if it may not.
fn reason(args: &Args, check: &Check, alarms: &[Alarm]) -> Option<String> {
    let text = |d: &Dict, key: &str| d.get(key).map(Value::to_string).filter(|t| !t.is_empty());
    let told = args.ignore.iter().find(|i| text(i, "check").is_some_and(|c| check.name.starts_with(&c)));
    if let Some(reason) = told.and_then(|i| text(i, "reason")) {
        return Some(reason);
    }
    let ours = |host: &str| args.own_locks.iter().any(|h| h == host);
    if check.name == "All hosts are unlocked/enabled" {
        let names = check.details.iter().filter_map(|d| d.strip_prefix("Locked or disabled hosts:"));
        let mut names = names.flat_map(|n| n.split(',')).map(str::trim).filter(|n| !n.is_empty()).peekable();
        return (names.peek().is_some() && names.all(ours)).then(|| "we locked it ourselves".into());
    }
    if check.name == "No alarms" && !alarms.is_empty() {
        let our_lock = |a: &Alarm| a.id == "200.001" && a.entity.strip_prefix("host=").is_some_and(ours);
        let mut others = alarms.iter().filter(|a| !our_lock(a)).peekable();
        if others.peek().is_none() {
            return Some("only the alarm of our own lock".into());
        }
        return (args.force && others.all(|a| !a.management)).then(|| "no alarm affects management".into());
    }
    None
}

/// What helps against a failing check.
fn remedy(check: &str) -> &'static str {
    match check {
        "All hosts are provisioned" => "finish `system host-add`/provisioning, or delete the host",
        "All hosts are unlocked/enabled" => "unlock the hosts and wait until they are enabled",
        "All hosts have current configurations" => "lock and unlock the hosts named (alarm 250.001)",
        "All hosts are patch current" => "`sudo sw-patch host-install <host>` for each of them",
        "Ceph Storage Healthy" => "`ceph -s`; wait until it is HEALTH_OK",
        "No alarms" => "`fm alarm-list --mgmt_affecting`; clear them, or `-e force=true` if none affects management",
        "Required patches are applied" => "upload, apply and install the patches named",
        "License valid for upgrade" => "`system license-install` a licence of the new release",
        "Valid platform-backup partition" => "the platform-backup partition must be ext4 and at least 10000 MiB",
        "All kubernetes applications are in a valid state" => "`system application-list`; apply, abort or remove them",
        "No instances running on controller-1" => {
            "migrate the virtual machines away or stop them: `openstack server list --all-projects --host controller-1`"
        }
        "Active controller is controller-0" => "`system host-swact controller-1`",
        "All kubernetes nodes are ready" | "All kubernetes control plane pods are ready" => {
            "`kubectl get nodes` and `kubectl get pods -n kube-system`"
        }
        _ => "see the platform's documentation of this check",
    }
}

fn report(command: &str, seen: &Health, verdict: Verdict) -> Result<Outcome, Failure> {
    let checks: Value = seen.checks.iter().map(|c| {
        Value::dict(dict! {
            "name" => c.name.as_str(), "ok" => c.ok, "details" => c.details.iter().map(String::as_str).collect::<Value>(),
        })
    }).collect();
    let ignored: Value = verdict
        .ignored
        .iter()
        .map(|(c, r)| Value::dict(dict! { "check" => c.as_str(), "reason" => r.as_str() }))
        .collect();
    if verdict.failing.is_empty() && verdict.remarks.is_empty() {
        let msg = match verdict.ignored.len() {
            0 => format!("all {} checks are OK", seen.checks.len()),
            n => format!(
                "{} of {} checks are OK, {n} passed over",
                seen.checks.len() - n.min(seen.checks.len()),
                seen.checks.len()
            ),
        };
        return Ok(Outcome::ok().msg(msg).with("checks", checks).with("ignored", ignored));
    }
    let names: Vec<&str> =
        verdict.failing.iter().map(|c| c.name.as_str()).chain(verdict.remarks.iter().map(String::as_str)).collect();
    let mut advice = Advice::failed(format!("{command}: {}", names.join("; ")));
    for check in &verdict.failing {
        let details = if check.details.is_empty() { String::new() } else { format!(" ({})", check.details.join("; ")) };
        advice = advice.cause(format!("{}{details}", check.name)).next(remedy(&check.name));
    }
    for remark in &verdict.remarks {
        advice = advice.cause(remark.clone());
        if remark.starts_with("No imported load found") {
            advice = advice
                .next("import the new release first (`stx_load`): without it the query tests nothing of the upgrade");
        }
    }
    let advice = advice.next("then `stx-upgrade resume`");
    Err(advice.safe("yes: nothing was changed").with("checks", checks).with("ignored", ignored).into())
}
