//! `stx_kube_host_upgrade`: the control plane or the kubelet of one host upgraded.

use std::time::Duration;

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;
use crate::stx::advice::Advice;
use crate::stx::platform::{self, Host, No};
use crate::stx::state::{Administrative, Availability};

use super::drive::{Job, Stand, drive};
use super::state::{Order, Phase, Standing, Step};
use super::upgrade::{free, may, order, ours, refused};
use super::{CONTROL_PLANE, KUBELET, Record, Row};

crate::choices! {
    pub enum Part { ControlPlane = "control-plane", Kubelet = "kubelet" }
}

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name.
        host []: String,
        /// What of it is upgraded.
        part []: Part,
        /// The version to go to.
        version []: String,
        /// Seconds that the platform may take for it.
        timeout []: u64 = 1800u64,
        /// How often a step that failed is sent again.
        retries []: u64 = 2u64,
    }
}

pub struct KubeHostUpgrade;

impl Module for KubeHostUpgrade {
    const NAMES: &'static [&'static str] = &["stx_kube_host_upgrade"];
    const DOC: &'static str = "Upgrades the control plane or the kubelet of a host and waits until the platform agrees.\n\
        It reads the host's versions and status first, so a part that runs the version is ok, and one under way is waited for and \
        not sent again. A part that ends in `-failed` is sent again, on the same host. A control plane needs its host unlocked and \
        available, a kubelet needs it locked and online, except on simplex.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("control_plane", "its version"), ("kubelet", "its version"), ("status", "the platform's word, or none")];
    const EXAMPLE: &'static str = "- name: kubelet of worker-0\n  stx_kube_host_upgrade:\n    host: worker-0\n    part: kubelet\n    \
         version: v1.21.3";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let system = platform::patiently(host.as_look(), platform::show)?;
        let order = order(&system)?;
        let now = platform::patiently(host.as_look(), super::record)?;
        let record = ours(&args.version, now.as_ref())?;
        let row = row(&args, host.as_look())?;
        if settled(&args, record.as_ref(), &row) {
            return Ok(outcome(&args, &row, false));
        }
        let Some(record) = record else {
            let msg = format!("no Kubernetes upgrade to {} is in progress", args.version);
            return Err(refused(msg, None, "start it: `stx-upgrade play kube-upgrade.yml`"));
        };
        let changed = match args.part {
            Part::ControlPlane => control_plane(&args, order, &record, &row, host)?,
            Part::Kubelet => kubelet(&args, order, &record, &row, host)?,
        };
        let row = self::row(&args, host.as_look())?;
        Ok(outcome(&args, &row, changed))
    }
}

fn row(args: &Args, host: &mut dyn Look) -> Result<Row, Failure> {
    let rows = platform::patiently(host, super::rows)?;
    let names: Vec<String> = rows.iter().map(|r| r.name.clone()).collect();
    rows.into_iter().find(|r| r.name == args.host).ok_or_else(|| {
        refused(format!("{} runs no Kubernetes; these do: {}", args.host, names.join(", ")), None, "name one of them")
    })
}

/// Whether the part runs the version and nothing works on it any more.
fn settled(args: &Args, record: Option<&Record>, row: &Row) -> bool {
    match args.part {
        Part::Kubelet => row.kubelet == args.version && !at_work(row, KUBELET),
        Part::ControlPlane => {
            // The state of the whole follows the host's by a moment.
            let ends = record.is_some_and(|r| {
                matches!(r.state.step(), Some((Step::FirstControlPlane | Step::SecondControlPlane, Phase::Running)))
            });
            row.control_plane.as_ref() == Some(&args.version) && !at_work(row, CONTROL_PLANE) && !ends
        }
    }
}

fn at_work(row: &Row, part: &str) -> bool {
    row.is(&format!("upgrading-{part}")) || row.is(&format!("upgrading-{part}-failed"))
}

/// How a part stands by its host's status, before the state of the whole is asked.
fn by_status(row: &Row, part: &str) -> Option<Stand> {
    let seen = || format!("{}: {}", row.name, row.said());
    if row.is(&format!("upgrading-{part}")) {
        Some(Stand::Running(seen()))
    } else if row.is(&format!("upgrading-{part}-failed")) {
        Some(Stand::Failed(seen()))
    } else {
        None
    }
}

/// One look at the whole and at all hosts.
fn look(host: &mut dyn Look, name: &str) -> Result<(Option<Record>, Option<Row>), No> {
    let record = super::record(host)?;
    Ok((record, super::rows(host)?.into_iter().find(|r| r.name == name)))
}

fn control_plane(args: &Args, order: Order, record: &Record, row: &Row, host: &mut dyn Act) -> Result<bool, Failure> {
    if row.control_plane.is_none() {
        return Err(refused(format!("{} has no control plane", args.host), Some(record), "name a controller"));
    }
    let rows = platform::patiently(host.as_look(), super::rows)?;
    let others: Vec<&Row> = rows.iter().filter(|r| r.name != args.host && r.control_plane.is_some()).collect();
    let step = if others.iter().any(|o| o.control_plane.as_ref() == Some(&args.version) && !at_work(o, CONTROL_PLANE)) {
        Step::SecondControlPlane
    } else {
        Step::FirstControlPlane
    };
    if let (Step::FirstControlPlane, Some(other)) =
        (step, others.iter().find(|o| o.target.as_ref() == Some(&args.version)))
    {
        return Err(refused(
            format!("the control plane of {} was begun first, and must be completed first", other.name),
            Some(record),
            &format!("upgrade the control plane of {} again: the same command goes on", other.name),
        ));
    }
    may(order, record, step, &format!("kube-host-upgrade {} control-plane", args.host))?;
    if !matches!(by_status(row, CONTROL_PLANE), Some(Stand::Running(_))) {
        in_service(args, host.as_look())?;
    }
    let job = Job {
        reason: format!("control plane of {} at {}", args.host, args.version),
        words: vec!["kube-host-upgrade", &args.host, CONTROL_PLANE],
        effects: vec![super::supposed_part(&args.host, CONTROL_PLANE, &args.version), record.supposed(step.done())],
        budget: Duration::from_secs(args.timeout),
        usual: Duration::from_secs(300),
        retries: args.retries,
        safe: "yes: the cluster serves, if with control planes of two versions; nothing needs to be done tonight",
        free: free(host.as_look())?,
    };
    drive(host, &job, |host| {
        let (Some(record), Some(row)) = look(host, &args.host)? else {
            return Ok(Stand::Ready("no upgrade on record".into()));
        };
        if let Some(stand) = by_status(&row, CONTROL_PLANE) {
            return Ok(stand);
        }
        let seen = format!("{}, {}: {}", record.state, row.name, row.said());
        if settled(args, Some(&record), &row) {
            return Ok(Stand::Done);
        }
        Ok(match order.standing(&record.state, step) {
            Standing::Running => Stand::Running(seen),
            Standing::Failed => Stand::Failed(seen),
            _ => Stand::Ready(seen),
        })
    })
}

fn kubelet(args: &Args, order: Order, record: &Record, row: &Row, host: &mut dyn Act) -> Result<bool, Failure> {
    may(order, record, Step::Kubelets, &format!("kube-host-upgrade {} kubelet", args.host))?;
    if record.state.complete() {
        return Err(refused(
            format!("the Kubernetes upgrade is complete, and the kubelet of {} is {}", args.host, row.kubelet),
            Some(record),
            "`system kube-host-upgrade-list` shows what the platform thinks of it",
        ));
    }
    if !matches!(by_status(row, KUBELET), Some(Stand::Running(_))) {
        if order.simplex { in_service(args, host.as_look())? } else { out_of_service(args, host.as_look())? }
    }
    let job = Job {
        reason: format!("kubelet of {} at {}", args.host, args.version),
        words: vec!["kube-host-upgrade", &args.host, KUBELET],
        effects: vec![
            super::supposed_part(&args.host, KUBELET, &args.version),
            record.supposed(Step::Kubelets.done()),
        ],
        budget: Duration::from_secs(args.timeout),
        usual: Duration::from_secs(120),
        retries: args.retries,
        safe: if order.simplex {
            "the host is in service with its old kubelet; look at its pods"
        } else {
            "yes: the host is locked, the others serve"
        },
        free: "`sudo sm-restart service sysinv-conductor` on the active controller turns the host's status to its `-failed`"
            .into(),
    };
    drive(host, &job, |host| {
        let (Some(record), Some(row)) = look(host, &args.host)? else {
            return Ok(Stand::Ready("no upgrade on record".into()));
        };
        if let Some(stand) = by_status(&row, KUBELET) {
            return Ok(stand);
        }
        let seen = format!("{}: {}", row.name, row.said());
        Ok(if settled(args, Some(&record), &row) { Stand::Done } else { Stand::Ready(seen) })
    })
}

/// Waits until the host is unlocked and available: after its replication caught up, the platform refuses it no more.
fn in_service(args: &Args, host: &mut dyn Look) -> Result<(), Failure> {
    let wait = Wait::new(format!("{} available", args.host), Duration::from_secs(3600));
    let seen = wait.until(host, |host| {
        platform::sight(platform::host(host, &args.host), |now: Host| {
            if now.administrative == Administrative::Locked {
                Sight::Never(format!("it is {}", now.states()))
            } else if now.in_service() && now.availability == Availability::Available {
                Sight::Done(now)
            } else {
                Sight::NotYet(now.states())
            }
        })
    });
    seen.map(drop).map_err(|error| {
        Advice::after(error, |a| {
            a.cause("the platform upgrades this only on a host that is unlocked and available")
                .safe("yes: nothing was changed")
                .next(format!(
                    "`system host-unlock {}`, or wait until it is available; then `stx-upgrade resume`",
                    args.host
                ))
        })
    })
}

fn out_of_service(args: &Args, host: &mut dyn Look) -> Result<(), Failure> {
    let now = platform::patiently(host, |h| platform::host(h, &args.host))?;
    if now.administrative == Administrative::Locked && now.availability == Availability::Online {
        return Ok(());
    }
    Err(Advice::failed(format!("{} is {}, and its kubelet needs it locked and online", args.host, now.states()))
        .safe("yes: nothing was changed")
        .next(format!("`system host-lock {}` (`stx_host_lock`), then `stx-upgrade resume`", args.host))
        .into())
}

fn outcome(args: &Args, row: &Row, changed: bool) -> Outcome {
    let part = match args.part {
        Part::ControlPlane => CONTROL_PLANE,
        Part::Kubelet => KUBELET,
    };
    Outcome::changed(changed)
        .msg(format!("{}: {part} {}", args.host, args.version))
        .with("control_plane", row.control_plane.as_deref())
        .with("kubelet", row.kubelet.as_str())
        .with("status", row.status.as_deref())
}
