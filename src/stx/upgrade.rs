//! `stx_upgrade`: the platform upgrade started, activated, completed or aborted, each waited for and proved.

use std::path::Path;
use std::time::Duration;

use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::platform::{self, No, System, Upgrade};
use super::state::UpgradeState;

crate::choices! {
    pub enum State {
        Started = "started",
        Controllers = "upgrading-controllers",
        Hosts = "upgrading-hosts",
        Activated = "activated",
        Completed = "completed",
        Aborting = "aborting",
        AbortingReinstall = "aborting-reinstall",
        Aborted = "aborted",
    }
}

crate::arguments! {
    pub struct Args {
        /// Where the upgrade is to be. `upgrading-controllers` and `upgrading-hosts` are only waited for: the platform goes there when
        /// an upgraded controller reports its release. `aborting` is in service; `aborting-reinstall`, once controller-0 has given up
        /// the old release, takes the whole system down.
        state []: State,
        /// The new release.
        to_release []: String,
        /// Start although there are alarms, if none affects management.
        force []: bool = false,
        /// Seconds for it; by default 3600 to start, 3600 to activate, 900 otherwise.
        timeout []: Option<u64>,
        /// How often a failed activation is tried again.
        retries []: u64 = 2u64,
    }
}

pub struct UpgradeModule;

impl Module for UpgradeModule {
    const NAMES: &'static [&'static str] = &["stx_upgrade"];
    const DOC: &'static str = "Brings the platform upgrade to a state and waits until the platform agrees.\n\
        It reads the state first and sends a command only where that is missing; a system already past it is ok. An \
        upgrade record that vanishes while starting is a failure: the platform says nothing else. A failed activation \
        is tried again. `completed` is proved by no upgrade being in progress and the new release being active.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("upgrade_state", "the platform's word, or `none`"),
        ("from_release", "of the upgrade"),
        ("to_release", "of the upgrade"),
    ];
    const EXAMPLE: &'static str =
        "- name: upgrade-start, and wait\n  stx_upgrade:\n    state: started\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let system = platform::patiently(host.as_look(), platform::show)?;
        let now = platform::patiently(host.as_look(), platform::upgrade)?;
        let mut changed = false;
        match decide(&args, &system, now.as_ref())? {
            Step::Settled => return Ok(outcome(now.as_ref(), &system, false)),
            Step::Wait => {}
            Step::Act => {
                act(&args, &system, now.as_ref(), host)?;
                changed = true;
            }
        }
        let mut tries = args.retries;
        let now = loop {
            match wait(&args, host) {
                Ok(now) => break now,
                Err(Ended::Stands(UpgradeState::ActivationFailed)) if tries == 0 => {
                    return Err(activation_failed(&args, host));
                }
                // Failed, to be tried again; or ready for it only now that the hosts have reported.
                Err(Ended::Stands(state)) => {
                    tries -= u64::from(state == UpgradeState::ActivationFailed);
                    let now = platform::patiently(host.as_look(), platform::upgrade)?;
                    act(&args, &system, now.as_ref(), host)?;
                    changed = true;
                }
                Err(Ended::Other(failure)) => return Err(*failure),
            }
        };
        if args.state == State::Aborted {
            finish_abort(host)?;
        }
        let system = platform::patiently(host.as_look(), platform::show)?;
        Ok(outcome(now.as_ref(), &system, changed))
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Settled,
    /// Under way already: not asked for again.
    Wait,
    Act,
}

fn decide(args: &Args, system: &System, now: Option<&Upgrade>) -> Result<Step, Failure> {
    use UpgradeState::*;
    let refused = |msg: String, next: &str| -> Failure {
        let state = now.map_or_else(
            || format!("no upgrade in progress, {} is active", system.version),
            |u| format!("upgrade {} -> {}: {}", u.from, u.to, u.state),
        );
        Advice::failed(msg).state(state).safe("yes: nothing was changed").next(next).into()
    };
    let Some(now) = now else {
        let done = system.version == args.to_release;
        return match args.state {
            State::Started if done => Ok(Step::Settled),
            State::Started => Ok(Step::Act),
            State::Controllers | State::Hosts | State::Activated | State::Completed if done => Ok(Step::Settled),
            State::Controllers | State::Hosts | State::Activated | State::Completed => Err(refused(
                format!("no upgrade to {} is in progress", args.to_release),
                "start it: `stx-upgrade play upgrade.yml`",
            )),
            State::Aborting | State::AbortingReinstall | State::Aborted if done => Err(refused(
                format!("the upgrade to {} is completed: it cannot be aborted any more", args.to_release),
                "nothing; the way back is a reinstall of the old release and a restore",
            )),
            State::Aborting | State::AbortingReinstall | State::Aborted => Ok(Step::Settled),
        };
    };
    if now.to != args.to_release {
        return Err(refused(
            format!("another upgrade is in progress: {} -> {}", now.from, now.to),
            "finish or abort that one first, or run with `-e to_release` of it",
        ));
    }
    if now.state.aborting() && !matches!(args.state, State::Aborting | State::AbortingReinstall | State::Aborted) {
        return Err(refused("the upgrade is being aborted".into(), "`stx-upgrade play abort.yml`, then start anew"));
    }
    let step = match args.state {
        State::Started if now.state.reached(&Started) => Step::Settled,
        State::Started if now.state == Starting => Step::Wait,
        State::Controllers | State::Hosts => match &now.state {
            state if state.reached(goal(args.state)) => Step::Settled,
            DataMigrationComplete | UpgradingControllers => Step::Wait,
            other => {
                return Err(refused(
                    format!("the upgrade is {other}, and does not come to {} from there by itself", args.state.word()),
                    "upgrade and unlock the controllers first: `stx-upgrade play upgrade.yml`",
                ));
            }
        },
        State::Activated => match &now.state {
            ActivationComplete | Completing | Completed => Step::Settled,
            ActivationRequested | Activating | ActivatingHosts => Step::Wait,
            UpgradingHosts | ActivationFailed => Step::Act,
            // It moves on by itself as soon as the unlocked host reports its release.
            UpgradingControllers => Step::Wait,
            other => {
                return Err(refused(
                    format!("the upgrade cannot be activated while it is {other}"),
                    "upgrade and unlock every host first",
                ));
            }
        },
        State::Completed => match &now.state {
            ActivationComplete => Step::Act,
            Completing | Completed => Step::Wait,
            other => {
                return Err(refused(
                    format!("the upgrade cannot be completed while it is {other}"),
                    "activate it first",
                ));
            }
        },
        State::Aborting => match &now.state {
            Aborting | AbortCompleting => Step::Settled,
            AbortingReinstall => return Err(reinstall(&refused)),
            UpgradingHosts | ActivationRequested | Activating | ActivatingHosts | ActivationComplete
            | ActivationFailed | Completing | Completed => return Err(reinstall(&refused)),
            _ => Step::Act,
        },
        State::AbortingReinstall => match &now.state {
            AbortingReinstall | AbortCompleting => Step::Settled,
            UpgradingHosts | UpgradingControllers | ActivationRequested | Activating | ActivatingHosts
            | ActivationComplete | ActivationFailed => Step::Act,
            other => {
                return Err(refused(
                    format!("the upgrade is {other}: it is aborted in service"),
                    "`stx-upgrade play abort.yml`",
                ));
            }
        },
        State::Aborted if !system.simplex() => match &now.state {
            Aborting | AbortingReinstall | AbortCompleting => Step::Wait,
            other => {
                return Err(refused(
                    format!("the upgrade is {other}: the abort is completed once every host runs {} again", now.from),
                    "`stx-upgrade play abort.yml` does the hosts first",
                ));
            }
        },
        State::Aborted => match &now.state {
            Aborting => Step::Wait,
            AbortCompleting => Step::Wait,
            Starting | Started => Step::Act,
            AbortingReinstall => {
                return Err(refused(
                    "the old release has to be reinstalled to abort".into(),
                    "reinstall the old release and restore it from the archive made before the upgrade; about 90 minutes of outage",
                ));
            }
            other => {
                return Err(refused(
                    format!("a simplex upgrade that is {other} cannot be aborted in service: the host was wiped"),
                    "go on (`stx-upgrade resume`), or reinstall the old release and restore its archive; about 90 minutes of outage",
                ));
            }
        },
        State::Started => {
            return Err(refused(
                format!("the upgrade is {}", now.state),
                "abort it (`stx-upgrade play abort.yml`) and start anew",
            ));
        }
    };
    Ok(step)
}

/// controller-0 has given up the old release: there is no way back in service.
fn reinstall(refused: &dyn Fn(String, &str) -> Failure) -> Failure {
    refused(
        "controller-0 was upgraded: the old release can only come back by reinstalling every host".into(),
        "go on (`stx-upgrade play upgrade.yml`); or, with a total outage of hours, \
         `stx-upgrade play abort.yml -e abort_by_reinstallation=true`",
    )
}

/// The platform's state that is waited for, for those states that are nothing but that.
fn goal(state: State) -> &'static UpgradeState {
    match state {
        State::Controllers => &UpgradeState::UpgradingControllers,
        State::Hosts => &UpgradeState::UpgradingHosts,
        State::Started => &UpgradeState::Started,
        State::Activated => &UpgradeState::ActivationComplete,
        State::Aborting => &UpgradeState::Aborting,
        State::AbortingReinstall => &UpgradeState::AbortingReinstall,
        State::Completed | State::Aborted => &UpgradeState::Completed,
    }
}

fn act(args: &Args, system: &System, now: Option<&Upgrade>, host: &mut dyn Act) -> Result<(), Failure> {
    let new = Upgrade {
        uuid: "(new)".into(),
        state: UpgradeState::Starting,
        from: system.version.clone(),
        to: args.to_release.clone(),
    };
    let now = now.unwrap_or(&new);
    let (words, stdin, effects): (Vec<&str>, _, Vec<Effect>) = match args.state {
        // Decided to be waited for, always.
        State::Controllers | State::Hosts => return Ok(()),
        State::Started => {
            let words = if args.force { vec!["upgrade-start", "--force"] } else { vec!["upgrade-start"] };
            (words, None, vec![now.supposed(&UpgradeState::Started), supposed_archives(system, now)])
        }
        State::Activated => {
            let swapped = platform::supposed_loads(&*host.as_look(), &[(&now.from, "imported"), (&now.to, "active")]);
            let release = Effect::Suppose("stx/release".into(), now.to.as_str().into());
            (vec!["upgrade-activate"], None, vec![now.supposed(&UpgradeState::ActivationComplete), swapped, release])
        }
        State::Completed => (
            vec!["upgrade-complete"],
            None,
            vec![
                Effect::Suppose("stx/upgrade".into(), Value::Null),
                Effect::Suppose("stx/restore".into(), "completed".into()),
            ],
        ),
        // Simplex asks once, the others twice; an answer that is not asked for is not read.
        State::Aborting | State::AbortingReinstall | State::Aborted => {
            let then = if args.state == State::Aborted { &UpgradeState::Aborting } else { goal(args.state) };
            (vec!["upgrade-abort"], Some("yes\nabort\n"), vec![now.supposed(then)])
        }
    };
    match platform::tell(host, &words, stdin, &effects) {
        Ok(_) => Ok(()),
        // Somebody was faster, or our own first try came through: the wait will see.
        Err(No::Refused(why)) if why.contains("already in progress") || why.contains("already activating") => Ok(()),
        Err(No::Refused(why)) => {
            let next = if why.contains("health-query-upgrade") {
                "`system health-query-upgrade` on the host says which check; then run again"
            } else if why.contains("kubernetes upgrade") {
                "`system kube-upgrade-show`; finish it and `system kube-upgrade-delete` (a completed one blocks too)"
            } else if why.contains("controller-0 is active") {
                "`system host-swact controller-1`, then run again"
            } else {
                "put that right and run again"
            };
            Err(Advice::failed(why).safe("yes: the state of the upgrade did not change").next(next).into())
        }
        Err(other) => Err(other.into()),
    }
}

/// What `upgrade-start` leaves in the backup partition, as far as a check run can know it: names hold the time.
fn supposed_archives(system: &System, upgrade: &Upgrade) -> Effect {
    Effect::Suppose(
        "stx/archives".into(),
        Value::dict(dict! {
            "dir" => super::archive::BACKUP_DIR, "system_uuid" => system.uuid.as_str(),
            "from_release" => upgrade.from.as_str(), "to_release" => upgrade.to.as_str(),
        }),
    )
}

/// How a wait ended that saw no success.
enum Ended {
    /// In a state from which it has to be activated (again).
    Stands(UpgradeState),
    Other(Box<Failure>),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Other(Box::new(failure))
    }
}

fn wait(args: &Args, host: &mut dyn Act) -> Result<Option<Upgrade>, Ended> {
    let minutes = |m: u64| Duration::from_secs(m * 60);
    let (reason, budget, usual) = match args.state {
        State::Started => ("upgrade started", minutes(60), minutes(10)),
        State::Activated => ("upgrade activated", minutes(60), minutes(10)),
        State::Controllers => ("upgrading-controllers: controller-1 reports the new release", minutes(30), minutes(2)),
        State::Hosts => ("upgrading-hosts: controller-0 reports the new release", minutes(30), minutes(2)),
        State::Completed => ("upgrade completed", minutes(15), minutes(1)),
        State::Aborting | State::AbortingReinstall | State::Aborted => ("upgrade aborting", minutes(15), minutes(1)),
    };
    let budget = args.timeout.map_or(budget, Duration::from_secs);
    let (mut stands, mut ask_system) = (None, false);
    let seen = Wait::new(reason, budget).usual(usual).until(host.as_look(), |host| {
        let answer = platform::upgrade(host);
        let sight = platform::sight(answer, |now| judge(args, now, &mut stands, &mut ask_system))?;
        match sight {
            // The record is gone; only the release tells a completed upgrade from a lost one.
            Sight::Done(None) if std::mem::take(&mut ask_system) => proof(args, host),
            other => Ok(other),
        }
    });
    match (seen, stands) {
        (Ok(now), _) => Ok(now),
        (Err(WaitError::Never { .. }), Some(state)) => Err(Ended::Stands(state)),
        (Err(error), _) => Err(stuck(args, host, error).into()),
    }
}

fn judge(
    args: &Args,
    now: Option<Upgrade>,
    stands: &mut Option<UpgradeState>,
    ask_system: &mut bool,
) -> Sight<Option<Upgrade>> {
    use UpgradeState::*;
    let Some(upgrade) = &now else {
        return match args.state {
            State::Started => Sight::Never("the upgrade record vanished: the platform's data export failed".into()),
            State::Controllers | State::Hosts | State::Activated => Sight::Never("the upgrade record vanished".into()),
            State::Aborting | State::AbortingReinstall | State::Aborted => Sight::Done(now),
            State::Completed => {
                *ask_system = true;
                Sight::Done(now)
            }
        };
    };
    match (args.state, &upgrade.state) {
        (State::Started, state) if state.reached(&Started) => Sight::Done(now),
        (State::Activated, state @ (ActivationFailed | UpgradingHosts)) => {
            *stands = Some(state.clone());
            Sight::Never(format!("the upgrade is {state}"))
        }
        (State::Activated, state) if state.reached(&ActivationComplete) => Sight::Done(now),
        (State::Controllers | State::Hosts, state) if state.reached(goal(args.state)) => Sight::Done(now),
        (State::Aborting | State::Aborted, Aborting | AbortCompleting) => Sight::Done(now),
        (State::AbortingReinstall | State::Aborted, AbortingReinstall | AbortCompleting) => Sight::Done(now),
        (State::Aborting, AbortingReinstall) => {
            Sight::Never("the platform went to aborting-reinstall: controller-0 has given up the old release".into())
        }
        (State::Started | State::Controllers | State::Hosts | State::Activated | State::Completed, state)
            if state.aborting() =>
        {
            Sight::Never(format!("the upgrade is {state}: someone aborts it"))
        }
        (_, state) => Sight::NotYet(state.to_string()),
    }
}

/// Done when no upgrade is in progress and the new release is active.
fn proof(args: &Args, host: &mut dyn Look) -> Result<Sight<Option<Upgrade>>, HostError> {
    let sight = platform::sight(platform::show(host), Sight::Done)?;
    Ok(match sight {
        Sight::Done(system) if system.version == args.to_release => Sight::Done(None),
        Sight::Done(system) => Sight::Never(format!(
            "no upgrade is in progress, but {} is active, not {}",
            system.version, args.to_release
        )),
        Sight::NotYet(seen) => Sight::NotYet(seen),
        Sight::Never(why) => Sight::Never(why),
    })
}

/// The failure of a wait, with what lags behind.
fn stuck(args: &Args, host: &mut dyn Act, error: WaitError) -> Failure {
    let lagging = if matches!(error, WaitError::Host(_)) { String::new() } else { lagging(host.as_look()) };
    let vanished = matches!(&error, WaitError::Never { why, .. } if why.contains("vanished"));
    Advice::after(error, |a| {
        match args.state {
        State::Started if vanished => a
            .cause("the platform removes the record when its data export or backup fails, and says nothing else")
            .state("no upgrade in progress; the running release is untouched")
            .safe("yes")
            .next("/var/log/sysinv.log and the backup's log under /root or /home/sysadmin say why (often: no space in \
                   /opt/platform-backup); put it right and run again"),
        State::Started => a.safe("yes: the running release serves").next("`system upgrade-show`; then `stx-upgrade resume`"),
        State::Controllers | State::Hosts => a
            .cause("the agent of the upgraded controller has not reported its release to the conductor")
            .state(lagging)
            .safe("yes: the system serves")
            .next("`system host-upgrade-list` and /var/log/sysinv.log; then `stx-upgrade resume`"),
        State::Activated => a.cause(lagging).safe("yes: services run on the new release").next(
            "bring the hosts named to a current configuration (`system host-lock`/`host-unlock`), then `stx-upgrade resume`",
        ),
        State::Completed => a.cause(lagging).next("`system upgrade-show` and `system show`; then `stx-upgrade resume`"),
        State::Aborting | State::AbortingReinstall | State::Aborted => a.next("`system upgrade-show`; then `stx-upgrade play abort.yml` again"),
    }
    })
}

/// Hosts that are not where an activation wants them: named with their reason.
fn lagging(host: &mut dyn Look) -> String {
    let mut out = Vec::new();
    for name in platform::host_names(host).unwrap_or_default() {
        if let Ok(seen) = platform::host(host, &name) {
            if let Some(config) = seen.config.filter(|c| c != "None") {
                out.push(format!("{name}: {config}"));
            }
            if !matches!(seen.task, super::state::Task::None) {
                out.push(format!("{name}: {}", seen.task_text));
            }
        }
    }
    for alarm in platform::alarms(host).unwrap_or_default().iter().filter(|a| a.id == "250.001" || a.id == "900.004") {
        out.push(alarm.to_string());
    }
    out.join("; ")
}

fn activation_failed(args: &Args, host: &mut dyn Act) -> Failure {
    let log = Path::new("/var/log/platform.log");
    let lines = host.as_look().read(log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let said = lines.lines().rev().find(|l| l.to_lowercase().contains("fail") || l.contains("Error"));
    let cause = said.map_or_else(
        || "the platform's logs say which script failed: /var/log/sysinv.log, /var/log/platform.log".to_owned(),
        |line| format!("the platform's log says: {}", line.trim()),
    );
    Advice::failed(format!("the upgrade went to activation-failed, {} times", args.retries + 1))
        .cause(cause)
        .state(format!("upgrade: activation-failed; the hosts run {}", args.to_release))
        .safe("yes: services run; nothing needs to be done tonight")
        .next("put the cause right, then `stx-upgrade resume`: it asks the platform for its state and activates again")
        .into()
}

/// A simplex abort needs nothing more than its completion.
fn finish_abort(host: &mut dyn Act) -> Result<(), Failure> {
    if platform::patiently(host.as_look(), platform::upgrade)?
        .is_some_and(|u| matches!(u.state, UpgradeState::Aborting | UpgradeState::AbortingReinstall))
    {
        let gone = [Effect::Suppose("stx/upgrade".into(), Value::Null)];
        match platform::tell(host, &["upgrade-abort-complete"], None, &gone) {
            Ok(_) => {}
            // The newer client has one command for both.
            Err(No::Usage(_)) => {
                platform::tell(host, &["upgrade-complete"], None, &gone)?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    let wait = Wait::new("abort completed", Duration::from_secs(900));
    let seen = wait.until(host.as_look(), |host| {
        platform::sight(platform::upgrade(host), |now| match &now {
            None => Sight::Done(now),
            Some(upgrade) => Sight::NotYet(upgrade.state.to_string()),
        })
    });
    seen.map(|_| ())
        .map_err(|e| Advice::after(e, |a| a.next("`system upgrade-show`; then `stx-upgrade play abort.yml` again")))
}

fn outcome(now: Option<&Upgrade>, system: &System, changed: bool) -> Outcome {
    let msg = match now {
        Some(u) => format!("{} {} -> {}", u.state, u.from, u.to),
        None => format!("no upgrade in progress, {} is active", system.version),
    };
    Outcome::changed(changed)
        .msg(msg)
        .with("upgrade_state", now.map_or("none", |u| u.state.word()))
        .with("from_release", now.map(|u| u.from.as_str()))
        .with("to_release", now.map(|u| u.to.as_str()))
}
