//! `stx_host_lock`: a host locked or unlocked, waited for until the platform agrees.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::event;
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::platform::{self, CONFIGURED, Host, No, RESTORING, System};
use super::state::{Administrative, Availability, Operational, Task, UpgradeState};

/// A note for each host that this tool locked, on the volume that the controllers share.
const LOCKS: &str = "/opt/platform/.stx-upgrade/locks";

crate::choices! {
    pub enum State { Locked = "locked", Unlocked = "unlocked" }
}

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name.
        host []: String,
        /// `locked` waits for locked/disabled/online, `unlocked` for unlocked/enabled/available (or degraded).
        state []: State,
        /// Unlock only a host that this tool locked; one that somebody else locked is left as it is.
        own []: bool = false,
        /// Lock although the platform says that services would be lost.
        force []: bool = false,
        /// Seconds; by default the product's own budgets: 900 to lock, 1800 to unlock.
        timeout []: Option<u64>,
    }
}

pub struct HostLock;

impl Module for HostLock {
    const NAMES: &'static [&'static str] = &["stx_host_lock"];
    const DOC: &'static str = "Locks or unlocks a host and waits until the platform agrees.\n\
        The platform accepts a lock and may refuse it minutes later, in the host's task; that is seen. A lock or unlock \
        under way is waited for and not sent again. Unlocking the host it runs on reboots it: the step is then taken up \
        again by asking the platform. What it locks it notes on the volume that the controllers share, so that only that is undone.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("states", "administrative/operational/availability")];
    // An unlock reboots a simplex host; orchestration allows it 30 minutes.
    const LOSES_HOST: Option<u64> = Some(1800);
    const EXAMPLE: &'static str =
        "- name: lock controller-0\n  stx_host_lock:\n    host: controller-0\n    state: locked";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let system = platform::patiently(host.as_look(), platform::show)?;
        let mut now = platform::patiently(host.as_look(), |h| platform::host(h, &args.host))?;
        let mut changed = false;
        let note = Path::new(LOCKS).join(&args.host);
        let ours = host.stat(&note, true)?.is_some();
        if args.own && args.state == State::Unlocked && !ours && now.administrative == Administrative::Locked {
            return Ok(outcome(&now, false).with("left", "somebody else locked it"));
        }
        loop {
            match decide(&args, &system, &now)? {
                Step::Settled => break,
                Step::Wait => {
                    now = wait(&args, host)?;
                    break;
                }
                Step::WaitOnline => now = wait_online(&args, host)?,
                Step::Act => {
                    // Before the lock, so that a crash does not make it somebody else's.
                    if args.state == State::Locked {
                        super::ensure_dir(host, Path::new(LOCKS), 0o700)?;
                        host.write(&note, &mut &b"locked by stx-upgrade\n"[..], Some(0o600))?;
                    }
                    act(&args, &system, host)?;
                    changed = true;
                    now = wait(&args, host)?;
                    break;
                }
            }
        }
        if args.state == State::Unlocked && ours && host.stat(&note, true)?.is_some() {
            host.remove(&note)?;
        }
        Ok(outcome(&now, changed))
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Settled,
    /// Under way already: not asked for again.
    Wait,
    /// Locked but not online yet: an unlock would be refused.
    WaitOnline,
    Act,
}

fn decide(args: &Args, system: &System, now: &Host) -> Result<Step, Failure> {
    let locked = now.administrative == Administrative::Locked;
    Ok(match args.state {
        State::Locked if locked => match now.task {
            Task::Unlocking => return Err(busy(now)),
            _ if now.operational == Operational::Disabled && now.task == Task::None => Step::Settled,
            _ => Step::Wait,
        },
        State::Locked => match now.task {
            Task::Locking => Step::Wait,
            Task::ComingUp(_) | Task::Unlocking | Task::Swacting | Task::Reinstalling => return Err(busy(now)),
            // The orchestration has already taken the services away: a lock is under way, if no task says so yet.
            _ if now.vim.as_deref() == Some("services-disabled") => Step::Wait,
            // sysinv refuses to lock the active controller unless the system is simplex.
            _ if now.active && !system.simplex() => {
                return Err(Advice::failed(format!("{} is the active controller and cannot be locked", args.host))
                    .cause(format!(
                        "this run did not ask {} to serve: the other controller failed, or somebody moved the services",
                        args.host
                    ))
                    .state(now.states())
                    .safe("yes: nothing was changed")
                    .next(format!(
                        "`system host-swact {}`, then `stx-upgrade resume`; where the upgrade's state forbids a swact, \
                         `stx-upgrade play abort.yml`",
                        args.host
                    ))
                    .into());
            }
            _ => Step::Act,
        },
        State::Unlocked if !locked => {
            if now.in_service() && now.task == Task::None {
                Step::Settled
            } else {
                Step::Wait
            }
        }
        State::Unlocked => match now.task {
            Task::Unlocking => Step::Wait,
            Task::Locking | Task::Reinstalling | Task::Swacting => return Err(busy(now)),
            _ if now.availability == Availability::Online => Step::Act,
            _ => Step::WaitOnline,
        },
    })
}

fn busy(now: &Host) -> Failure {
    Advice::failed(format!("{} is busy with something else: {}", now.name, now.states()))
        .safe("yes: nothing was changed")
        .next("wait until its task is done (`system host-show`), then `stx-upgrade resume`")
        .into()
}

fn act(args: &Args, system: &System, host: &mut dyn Act) -> Result<(), Failure> {
    let effects = effects(args, system, host)?;
    let command = if args.state == State::Locked { "host-lock" } else { "host-unlock" };
    let forced = args.force && args.state == State::Locked;
    let words: &[&str] = if forced { &[command, "--force", &args.host] } else { &[command, &args.host] };
    // An application that is being applied refuses an unlock for a while.
    let budget = Duration::from_secs(900);
    let mut refused: Option<String> = None;
    let mut tries = 0;
    let start = Instant::now();
    loop {
        match platform::tell(host, words, None, &effects) {
            Ok(_) => return Ok(()),
            Err(No::Refused(why)) if why.contains("Avoiding") => return Ok(()),
            Err(No::Refused(why)) if why.contains("Please try again later") && start.elapsed() < budget => {
                waiting(args, command, start, budget, why.clone(), host)?;
                refused = Some(why);
                host.sleep(Duration::from_secs(10))?;
            }
            Err(No::Refused(why)) => return Err(rejected(args, why)),
            // A host that unlocks itself may go down with the answer on its way; the wait will see.
            Err(No::Away(_)) if args.state == State::Unlocked && refused.is_none() => return Ok(()),
            // The platform's own orchestration did not answer it; whether the host is being locked all the same shows.
            Err(No::Away(why)) if tries < RETRIES => {
                tries += 1;
                waiting(args, command, start, budget, why, host)?;
                host.sleep(Duration::from_secs(5))?;
                let now = platform::patiently(host.as_look(), |host| platform::host(host, &args.host))?;
                if now.task == Task::Locking || now.administrative == Administrative::Locked {
                    return Ok(());
                }
            }
            Err(other) => return Err(other.into()),
        }
    }
}

/// Tells that the command is sent again soon.
fn waiting(
    args: &Args,
    command: &str,
    start: Instant,
    budget: Duration,
    seen: String,
    host: &mut dyn Act,
) -> Result<(), Failure> {
    let reason = format!("{command} {} to be accepted", args.host);
    let (elapsed, budget) = (start.elapsed().as_millis() as u64, budget.as_millis() as u64);
    Ok(host.heartbeat(&event::Wait { reason, elapsed, usual: None, budget, seen })?)
}

/// How often a lock that was not answered is asked for again.
const RETRIES: u32 = 3;

fn rejected(args: &Args, why: String) -> Failure {
    let next = if why.contains("Not patch current") {
        format!("`sudo sw-patch host-install {}`, then `stx-upgrade resume`", args.host)
    } else if why.contains("active controller") {
        format!("`system host-swact {}` first", args.host)
    } else if why.contains("not yet been inventoried") || why.contains("is not online") {
        "wait until the host is online and inventoried, then `stx-upgrade resume`".to_owned()
    } else {
        "put that right, then `stx-upgrade resume`".to_owned()
    };
    Advice::failed(why).safe("yes: the host's state did not change").next(next).into()
}

/// What later steps of a check run see.
fn effects(args: &Args, system: &System, host: &mut dyn Act) -> Result<Vec<Effect>, Failure> {
    if args.state == State::Locked {
        return Ok(vec![platform::supposed_host(&args.host, "locked", "disabled", "online")]);
    }
    let mut effects = vec![platform::supposed_host(&args.host, "unlocked", "enabled", "available")];
    if system.simplex() {
        effects.push(Effect::Gone(RESTORING.into()));
        effects.push(Effect::File { path: CONFIGURED.into(), content: Vec::new(), mode: 0o644 });
    }
    // A controller that comes up on the new release reports it, and the upgrade moves on.
    if let Some(upgrade) = platform::patiently(host.as_look(), platform::upgrade)? {
        let next = match upgrade.state {
            UpgradeState::UpgradingControllers if system.simplex() => Some(UpgradeState::UpgradingHosts),
            UpgradeState::DataMigrationComplete if args.host == "controller-1" => {
                Some(UpgradeState::UpgradingControllers)
            }
            _ => None,
        };
        effects.extend(next.map(|state| upgrade.supposed(&state)));
    }
    Ok(effects)
}

fn wait_online(args: &Args, host: &mut dyn Act) -> Result<Host, Failure> {
    let wait = Wait::new(format!("{} online, to be unlocked", args.host), Duration::from_secs(1200));
    let seen = wait.until(host.as_look(), |host| {
        platform::sight(platform::host(host, &args.host), |now| match now.availability {
            Availability::Online => Sight::Done(now),
            _ => Sight::NotYet(now.states()),
        })
    });
    seen.map_err(|e| {
        Advice::after(e, |a| {
            a.cause("the host does not report to maintenance (mtce) over the management network")
                .next("its console shows whether it booted; then `stx-upgrade resume`")
        })
    })
}

fn wait(args: &Args, host: &mut dyn Act) -> Result<Host, Failure> {
    let (reason, budget, usual) = match args.state {
        State::Locked => (format!("{} locked", args.host), 900, 120),
        State::Unlocked => (format!("{} unlocked, enabled and available", args.host), 1800, 720),
    };
    let budget = args.timeout.unwrap_or(budget);
    let wait = Wait::new(reason, Duration::from_secs(budget)).usual(Duration::from_secs(usual));
    // How often the host was seen unlocked without a task after a lock was accepted.
    let mut idle = 0;
    let seen = wait.until(host.as_look(), |host| {
        let answer = platform::host(host, &args.host);
        platform::sight(answer, |now| match args.state {
            State::Locked => judge_lock(now, &mut idle),
            State::Unlocked => judge_unlock(now),
        })
    });
    match seen {
        Ok(now) => Ok(now),
        Err(error @ WaitError::Host(_)) => Err(Advice::after(error, |a| a)),
        Err(error) => Err(stuck(args, host.as_look(), error)?),
    }
}

fn judge_lock(now: Host, idle: &mut u32) -> Sight<Host> {
    if now.administrative == Administrative::Locked {
        let done = now.operational == Operational::Disabled && !matches!(now.task, Task::Locking);
        return if done { Sight::Done(now) } else { Sight::NotYet(now.states()) };
    }
    match &now.task {
        Task::LockRejected(why) => Sight::Never(format!("the lock was accepted and then refused: {why}")),
        Task::None if now.vim.as_deref() != Some("services-disabled") => {
            // The task is set with the acceptance, so its absence for a while means that the lock was dropped.
            *idle += 1;
            if *idle >= 10 {
                Sight::Never("the host has no task and is still unlocked: the lock was dropped".into())
            } else {
                Sight::NotYet(now.states())
            }
        }
        _ => Sight::NotYet(now.states()),
    }
}

fn judge_unlock(now: Host) -> Sight<Host> {
    // Maintenance has tried as often as it does, and says so in the task.
    if now.availability == Availability::Failed && now.task_text.contains("threshold reached") {
        return Sight::Never(format!("{} failed: {}", now.name, now.task_text));
    }
    if now.in_service() && now.task == Task::None { Sight::Done(now) } else { Sight::NotYet(now.states()) }
}

fn stuck(args: &Args, host: &mut dyn Look, error: WaitError) -> Result<Failure, HostError> {
    let alarms = platform::alarms(host).unwrap_or_default();
    let about: Vec<String> =
        alarms.iter().filter(|a| a.entity.contains(&format!("host={}", args.host))).map(ToString::to_string).collect();
    Ok(Advice::after(error, |a| {
        let a = a.state(about.join("; "));
        match args.state {
            State::Locked => a
                .cause("the orchestration could not take the host's services away, or maintenance refused")
                .safe("yes: the host is still unlocked and serves")
                .next("put the cause right, then `stx-upgrade resume`: it locks again"),
            State::Unlocked => a
                .cause("the host did not come into service in the product's own time")
                .next(format!(
                    "`system host-show {0}` and its console show why; `system host-lock {0}` and `system host-unlock {0}` try \
                     once more; then `stx-upgrade resume`",
                    args.host
                )),
        }
    }))
}

fn outcome(now: &Host, changed: bool) -> Outcome {
    let mut outcome = Outcome::changed(changed).msg(format!("{} is {}", now.name, now.states()));
    outcome.data = dict! {
        "states" => now.states(), "administrative" => now.administrative.word(),
        "operational" => now.operational.word(), "availability" => now.availability.word(),
    };
    outcome
}
