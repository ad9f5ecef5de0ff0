//! `stx_kube_upgrade`: a Kubernetes upgrade started, its images downloaded, the networking upgraded, completed, deleted.

use std::time::Duration;

use crate::action::host::{Act, Effect, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;
use crate::stx::advice::Advice;
use crate::stx::platform::{self, No, System};

use super::drive::{Job, Stand, drive};
use super::state::{COMPLETE, Order, STARTED, Standing, Step};
use super::{Record, Row};

crate::choices! {
    pub enum State {
        Started = "started", Images = "images", Networking = "networking", Completed = "completed", Deleted = "deleted",
    }
}

crate::arguments! {
    pub struct Args {
        /// What is to be reached: `images` are downloaded, the `networking` is upgraded.
        state []: State,
        /// The version to go to.
        version []: String,
        /// Start although there are alarms, if none affects management.
        force []: bool = false,
        /// Seconds for a step that the platform takes by itself.
        timeout []: u64 = 1800u64,
        /// How often a step that failed is sent again.
        retries []: u64 = 2u64,
    }
}

pub struct KubeUpgrade;

impl Module for KubeUpgrade {
    const NAMES: &'static [&'static str] = &["stx_kube_upgrade"];
    const DOC: &'static str = "Brings the platform's Kubernetes upgrade to a state and waits until the platform agrees.\n\
        It reads the state first and sends a command only where that is missing; an upgrade already past it is ok. A step that \
        ends in `-failed` is sent again, as the platform means it. One that neither ends nor fails, as a restart of the conductor \
        may leave it, is told with the command that frees it. What the platform says it did is looked at afterwards.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("kube_state", "the platform's word, or `none`")];
    const EXAMPLE: &'static str =
        "- name: the images are there\n  stx_kube_upgrade:\n    state: images\n    version: v1.21.3";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let system = platform::patiently(host.as_look(), platform::show)?;
        let order = order(&system)?;
        let now = platform::patiently(host.as_look(), super::record)?;
        let changed = match args.state {
            State::Started => start(&args, now.as_ref(), host)?,
            State::Images => step(&args, order, Step::Images, host)?,
            State::Networking => step(&args, order, Step::Networking, host)?,
            State::Completed => complete(&args, order, now, host)?,
            State::Deleted => delete(&args, now, host)?,
        };
        let now = platform::patiently(host.as_look(), super::record)?;
        let word = now.as_ref().map_or("none", |r| r.state.word());
        let msg = match &now {
            Some(record) => format!("{} {} -> {}", record.state, record.from, record.to),
            None => format!("no Kubernetes upgrade in progress, {} is active", args.version),
        };
        Ok(Outcome::changed(changed).msg(msg).with("kube_state", word))
    }
}

/// The order of the steps on this system.
pub fn order(system: &System) -> Result<Order, Failure> {
    Order::of(&system.version, system.simplex()).ok_or_else(|| {
        Advice::failed(format!("{} upgrades Kubernetes in another way than releases up to 23.09", system.version))
            .safe("yes: nothing was changed")
            .next("upgrade it as its documentation says (`sw-manager kube-upgrade-strategy`)")
            .into()
    })
}

/// The record of the upgrade to this version; a failure if it is another's, or there is none though there must be.
pub fn ours(version: &str, now: Option<&Record>) -> Result<Option<Record>, Failure> {
    match now {
        Some(record) if record.to != version => {
            let next = if record.state.complete() {
                "`system kube-upgrade-delete`, then run again: a completed upgrade that was not deleted is in the way"
            } else {
                "finish that one first: run with `-e kube_version=` of it"
            };
            Err(refused(
                format!("another Kubernetes upgrade is on record: {} -> {}, {}", record.from, record.to, record.state),
                Some(record),
                next,
            ))
        }
        other => Ok(other.cloned()),
    }
}

pub fn refused(msg: String, now: Option<&Record>, next: &str) -> Failure {
    let state = now.map_or_else(
        || "no Kubernetes upgrade in progress".to_owned(),
        |r| format!("Kubernetes upgrade {} -> {}: {}", r.from, r.to, r.state),
    );
    Advice::failed(msg).state(state).safe("yes: nothing was changed").next(next).into()
}

const START_FIRST: &str = "start it: `stx-upgrade play kube-upgrade.yml`";

fn active(host: &mut dyn Look, version: &str) -> Result<bool, No> {
    Ok(super::versions(host)?.iter().any(|v| v.version == version && v.state == "active"))
}

fn start(args: &Args, now: Option<&Record>, host: &mut dyn Act) -> Result<bool, Failure> {
    if ours(&args.version, now)?.is_some() {
        return Ok(false);
    }
    let versions = platform::patiently(host.as_look(), super::versions)?;
    let running = versions.iter().find(|v| v.state == "active").map(|v| v.version.clone());
    if running.as_ref() == Some(&args.version) {
        return Ok(false);
    }
    let from = running.unwrap_or_default();
    let record = Record { from, to: args.version.clone(), state: super::state::KubeState::of(STARTED) };
    let mut words = vec!["kube-upgrade-start"];
    words.extend(args.force.then_some("--force"));
    words.push(&args.version);
    tell(host, &words, &[record.supposed(STARTED)])?;
    expect(host, &words, |now| now.is_some_and(|r| r.to == args.version))?;
    Ok(true)
}

fn step(args: &Args, order: Order, step: Step, host: &mut dyn Act) -> Result<bool, Failure> {
    let now = platform::patiently(host.as_look(), super::record)?;
    let Some(record) = ours(&args.version, now.as_ref())? else {
        if platform::patiently(host.as_look(), |h| active(h, &args.version))? {
            return Ok(false);
        }
        return Err(refused(format!("no Kubernetes upgrade to {} is in progress", args.version), None, START_FIRST));
    };
    let (word, what, usual) = match step {
        Step::Images => ("kube-upgrade-download-images", "images of", 600),
        _ => ("kube-upgrade-networking", "networking of", 180),
    };
    may(order, &record, step, word)?;
    let job = Job {
        reason: format!("{what} {}", args.version),
        words: vec![word],
        effects: vec![record.supposed(step.done())],
        budget: Duration::from_secs(args.timeout),
        usual: Duration::from_secs(usual),
        retries: args.retries,
        safe: "yes: the cluster serves; nothing needs to be done tonight",
        free: free(host.as_look())?,
    };
    drive(host, &job, |host| {
        let Some(record) = super::record(host)? else { return Ok(Stand::Ready("no upgrade on record".into())) };
        let seen = record.state.to_string();
        Ok(match order.standing(&record.state, step) {
            Standing::Done => Stand::Done,
            Standing::Running => Stand::Running(seen),
            Standing::Failed => Stand::Failed(seen),
            Standing::Ready | Standing::TooEarly | Standing::Unknown => Stand::Ready(seen),
        })
    })
}

/// Fails unless the steps before this one are done.
pub fn may(order: Order, record: &Record, step: Step, word: &str) -> Result<(), Failure> {
    match order.standing(&record.state, step) {
        Standing::TooEarly => Err(refused(
            format!("`system {word}` is too early while the Kubernetes upgrade is {}", record.state),
            Some(record),
            "the steps before it come first: `stx-upgrade play kube-upgrade.yml` takes them in their order",
        )),
        Standing::Unknown => Err(refused(
            format!("the Kubernetes upgrade is {}, which this tool does not know", record.state),
            Some(record),
            "go on as the documentation of the release says",
        )),
        Standing::Ready | Standing::Running | Standing::Failed | Standing::Done => Ok(()),
    }
}

/// The command that frees a step which neither ends nor fails.
pub fn free(host: &mut dyn Look) -> Result<String, Failure> {
    let system = platform::patiently(host, platform::show)?;
    // The command came with stx 8.
    Ok(if system.version.as_str() >= "22.12" {
        "`system kube-upgrade-failed` turns the state to its `-failed`".into()
    } else {
        "`sudo sm-restart service sysinv-conductor` on the active controller turns the state to its `-failed`".into()
    })
}

fn complete(args: &Args, order: Order, now: Option<Record>, host: &mut dyn Act) -> Result<bool, Failure> {
    let Some(record) = ours(&args.version, now.as_ref())? else {
        if platform::patiently(host.as_look(), |h| active(h, &args.version))? {
            return Ok(false);
        }
        return Err(refused(format!("no Kubernetes upgrade to {} is in progress", args.version), None, START_FIRST));
    };
    if record.state.complete() {
        return Ok(false);
    }
    may(order, &record, Step::Kubelets, "kube-upgrade-complete")?;
    let rows = platform::patiently(host.as_look(), super::rows)?;
    let part_done = |row: &Row| {
        row.kubelet == args.version
            && row.control_plane.as_ref().is_none_or(|c| *c == args.version)
            && row.status.as_deref().is_none_or(|s| !s.starts_with("upgrading-"))
    };
    let left: Vec<String> =
        rows.iter().filter(|r| !part_done(r)).map(|r| format!("{}: {}", r.name, r.said())).collect();
    if !left.is_empty() {
        return Err(refused(
            format!("not every host runs {}: {}", args.version, left.join("; ")),
            Some(&record),
            "`stx-upgrade play kube-upgrade.yml` upgrades what is left",
        ));
    }
    tell(host, &["kube-upgrade-complete"], &[record.supposed(COMPLETE)])?;
    expect(host, &["kube-upgrade-complete"], |now| now.is_none_or(|r| r.state.complete()))?;
    Ok(true)
}

fn delete(args: &Args, now: Option<Record>, host: &mut dyn Act) -> Result<bool, Failure> {
    let record = ours(&args.version, now.as_ref())?;
    if let Some(record) = &record {
        if !record.state.complete() {
            let next = "complete it first: `stx-upgrade play kube-upgrade.yml`";
            return Err(refused(format!("the Kubernetes upgrade is {}", record.state), Some(record), next));
        }
        tell(host, &["kube-upgrade-delete"], &record.supposed_gone())?;
        expect(host, &["kube-upgrade-delete"], |now| now.is_none())?;
    }
    if !platform::patiently(host.as_look(), |h| active(h, &args.version))? {
        return Err(refused(
            format!("{} is not the active version", args.version),
            None,
            "`system kube-version-list` and `system kube-host-upgrade-list` say where it does not run",
        ));
    }
    Ok(record.is_some())
}

/// Sends a command that is done when it answers.
fn tell(host: &mut dyn Act, words: &[&str], effects: &[Effect]) -> Result<(), Failure> {
    match platform::tell(host, words, None, effects) {
        Ok(_) => Ok(()),
        // Somebody was faster, or our own first try came through; what follows looks at it.
        Err(No::Refused(why)) if why.contains("already in progress") => Ok(()),
        Err(No::Refused(why)) => {
            let next = if why.contains("health-query-kube-upgrade") {
                "`system health-query-kube-upgrade` on the host says which check; then run again"
            } else if why.contains("platform upgrade") {
                "finish the platform upgrade first (`system upgrade-show`): the two exclude each other"
            } else if why.contains("patches must be") {
                "upload and apply the patches named (`stx-upgrade play patch.yml`), then run again"
            } else if why.contains("incompatible") {
                "update that application first: `stx-upgrade play apps.yml`"
            } else {
                "put that right and run again"
            };
            Err(Advice::failed(why).safe("yes: nothing was changed").next(next).into())
        }
        // Whether it came through is seen in what follows.
        Err(No::Away(_)) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// What the platform said it did must be seen: an exit code proves nothing.
fn expect(host: &mut dyn Act, words: &[&str], seen: impl Fn(Option<&Record>) -> bool) -> Result<(), Failure> {
    let now = platform::patiently(host.as_look(), super::record)?;
    if seen(now.as_ref()) {
        return Ok(());
    }
    let command = words.join(" ");
    Err(refused(
        format!("the platform took `system {command}`, and nothing came of it"),
        now.as_ref(),
        "`stx-upgrade resume`: it reads the state and sends the command again",
    ))
}
