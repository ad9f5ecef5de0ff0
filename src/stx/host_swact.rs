//! `stx_host_swact`: the services moved to the other controller, as seen from the platform. Following the floating address there is
//! `stx_swact`'s, on the control node.

use std::path::Path;
use std::time::Duration;

use crate::action::host::{Act, Effect, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::platform::{self, Host, No};
use super::state::Task;

crate::arguments! {
    pub struct Args {
        /// The controller that is to be active.
        active []: String,
        /// Seconds that it may take, until the platform answers on the other controller.
        timeout []: u64 = 900u64,
        /// How often a swact that failed late is tried again: sometimes services are not ready at the first try.
        retries []: u64 = 2u64,
        /// How often it was asked for on links that are gone; `stx_swact` tells.
        _asked []: u64 = 0u64,
    }
}

pub struct HostSwact;

impl Module for HostSwact {
    const NAMES: &'static [&'static str] = &["stx_host_swact"];
    const DOC: &'static str = "Makes a controller the active one, and waits until the platform says so.\n\
        The platform accepts a swact and may fail it later, in the host's task; that is seen, and tried again a few times. Who is \
        active decides, never the exit code.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("active", "the active controller")];
    // The floating address moves, and with it the link.
    const LOSES_HOST: Option<u64> = Some(900);
    const EXAMPLE: &'static str = "- name: controller-1 is active\n  stx_host_swact:\n    active: controller-1";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut asked = args._asked;
        let mut changed = false;
        loop {
            let controllers = platform::patiently(host.as_look(), controllers)?;
            match decide(&args, &controllers)? {
                Step::Settled => return Ok(outcome(&args, changed, asked, End::Seen)),
                Step::Wait => {}
                Step::Act(from) if asked > args.retries => {
                    let task = controllers.iter().find(|c| c.name == from).map(Host::states).unwrap_or_default();
                    let (reason, why) = (reason(&args), format!("{FAILED}: {from} is {task}"));
                    return Err(stuck(&args, host.as_look(), WaitError::Never { reason, why }));
                }
                Step::Act(from) => {
                    if asked > 0 {
                        host.sleep(Duration::from_secs(5))?;
                    }
                    asked += 1;
                    changed |= act(&args, &from, host)?;
                }
            }
            match wait(&args, host.as_look()) {
                Ok(end) => return Ok(outcome(&args, changed, asked, end)),
                Err(WaitError::Never { why, .. }) if asked <= args.retries && why.starts_with(FAILED) => {}
                Err(error) => return Err(stuck(&args, host.as_look(), error)),
            }
        }
    }
}

/// How a swact ended, as seen from here.
enum End {
    /// The platform says that the controller is active.
    Seen,
    /// The services left this controller. Where they are shows on the floating address alone: they may come back.
    Left,
}

/// etcd's data, a directory a release; on the active controller.
const ETCD: &str = "/opt/etcd";

const FAILED: &str = "the swact was accepted and then failed";

enum Step {
    Settled,
    /// Under way already: not asked for again.
    Wait,
    /// With the controller that is active now.
    Act(String),
}

fn controllers(host: &mut dyn Look) -> Result<Vec<Host>, No> {
    let names = platform::hosts(host)?.into_iter().filter(|(_, p)| p == "controller");
    names.map(|(name, _)| platform::host(host, &name)).collect()
}

fn decide(args: &Args, controllers: &[Host]) -> Result<Step, Failure> {
    let refused = |msg: String, state: String, next: String| -> Failure {
        Advice::failed(msg).state(state).safe("yes: nothing was changed").next(next).into()
    };
    let Some(to) = controllers.iter().find(|c| c.name == args.active) else {
        let names: Vec<&str> = controllers.iter().map(|c| c.name.as_str()).collect();
        return Err(refused(
            format!("there is no controller `{}` in this system", args.active),
            format!("controllers: {}", names.join(", ")),
            "name one of them".into(),
        ));
    };
    let Some(from) = controllers.iter().find(|c| c.active) else {
        return Ok(Step::Wait);
    };
    let under_way = controllers.iter().any(|c| c.task == Task::Swacting);
    if from.name == to.name {
        return Ok(if under_way { Step::Wait } else { Step::Settled });
    }
    if under_way {
        return Ok(Step::Wait);
    }
    if !to.in_service() {
        return Err(refused(
            format!("{} is {}, and cannot take over", to.name, to.states()),
            format!("{} is active", from.name),
            format!("bring {} into service, then `stx-upgrade resume`", to.name),
        ));
    }
    Ok(Step::Act(from.name.clone()))
}

/// Whether it was sent.
fn act(args: &Args, from: &str, host: &mut dyn Act) -> Result<bool, Failure> {
    let effects: Vec<Effect> = vec![platform::supposed_active(&args.active)];
    let budget = Duration::from_secs(args.timeout);
    let start = std::time::Instant::now();
    loop {
        match platform::tell(host, &["host-swact", from], None, &effects) {
            // The answer may be lost with the address.
            Ok(_) | Err(No::Away(_) | No::Standby) => return Ok(true),
            Err(No::Refused(why)) if why.contains("try again") && start.elapsed() < budget => {
                host.heartbeat(&crate::model::event::Wait {
                    reason: format!("host-swact {from} to be accepted"),
                    elapsed: start.elapsed().as_millis() as u64,
                    usual: None,
                    budget: budget.as_millis() as u64,
                    seen: why,
                })?;
                host.sleep(Duration::from_secs(10))?;
            }
            Err(No::Refused(why)) => {
                let next = if why.contains("upgrade-activate") || why.contains("Upgrade state must be") {
                    "`system upgrade-show`; when that state is over, `stx-upgrade resume`".to_owned()
                } else if why.contains("Config") {
                    format!("lock and unlock {} (alarm 250.001), then `stx-upgrade resume`", args.active)
                } else {
                    "put that right, then `stx-upgrade resume`".to_owned()
                };
                return Err(Advice::failed(why).safe(format!("yes: {from} is active and serves")).next(next).into());
            }
            Err(other) => return Err(other.into()),
        }
    }
}

fn reason(args: &Args) -> String {
    format!("{} active", args.active)
}

fn wait(args: &Args, host: &mut dyn Look) -> Result<End, WaitError> {
    let wait = Wait::new(reason(args), Duration::from_secs(args.timeout));
    wait.usual(Duration::from_secs(60)).until(host, |host| match controllers(host) {
        Ok(seen) => Ok(judge(args, &seen)),
        Err(No::Standby) => Ok(Sight::Done(End::Left)),
        Err(No::Host(error)) => Err(error),
        Err(no @ (No::Away(_) | No::NotAuthenticated(_) | No::Bare)) => Ok(Sight::NotYet(no.to_string())),
        Err(no) => Ok(Sight::Never(no.to_string())),
    })
}

fn judge(args: &Args, controllers: &[Host]) -> Sight<End> {
    for controller in controllers {
        if controller.task_text.starts_with("Swact: Failed") || controller.task_text.starts_with("Swact: Timeout") {
            return Sight::Never(format!("{FAILED}: {}: {}", controller.name, controller.task_text));
        }
    }
    let active = controllers.iter().find(|c| c.active);
    match active {
        Some(active) if active.name == args.active && active.task != Task::Swacting => Sight::Done(End::Seen),
        Some(active) => Sight::NotYet(format!("{} is active, {}", active.name, active.states())),
        None => Sight::NotYet("no controller is active".into()),
    }
}

fn stuck(args: &Args, host: &mut dyn Look, error: WaitError) -> Failure {
    let active = controllers(host).ok().and_then(|seen| seen.into_iter().find(|c| c.active)).map(|c| c.name);
    let link = dangling(host);
    Advice::after(error, |a| {
        let a = match &link {
            Some(link) => a.cause(format!("{link} is a link to nothing: etcd of that release cannot start there")),
            None => a.cause("a service did not go over, or the other controller's copy of the volumes is not whole"),
        };
        let a = a
            .state(active.clone().map(|name| format!("{name} is active")).unwrap_or_default())
            .safe(if active.is_some() { "yes: the system serves" } else { "" });
        let a = match link {
            Some(link) => {
                a.next(format!("on the active controller `sudo ln -sfn OLD_RELEASE {link}` makes it what it was"))
            }
            None => a.next("`sudo sm-dump` and `sudo drbd-overview` on the active controller"),
        };
        a.next(format!("then `stx-upgrade resume`: it moves to {} again", args.active))
    })
}

/// While releases share etcd's data, the newer one's directory is a link to the older one's.
fn dangling(host: &mut dyn Look) -> Option<String> {
    let names = host.list(Path::new(ETCD)).ok()?;
    let mut links = names.into_iter().map(|name| Path::new(ETCD).join(name));
    let bad = links.find(|path| {
        host.stat(path, false).is_ok_and(|s| s.is_some()) && host.stat(path, true).is_ok_and(|s| s.is_none())
    });
    bad.map(|path| path.display().to_string())
}

fn outcome(args: &Args, changed: bool, asked: u64, end: End) -> Outcome {
    let left = matches!(end, End::Left);
    let msg = if left { "the services left this controller".to_owned() } else { format!("{} is active", args.active) };
    let mut outcome = Outcome::changed(changed).msg(msg);
    outcome.data = dict! { "active" => args.active.as_str(), "_left" => left, "_asked" => asked };
    outcome
}
