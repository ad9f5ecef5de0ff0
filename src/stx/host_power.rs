//! `stx_host_power`: a locked host that the operator switches off or on is waited for. The switch itself is not ours: the platform
//! has one only where the host has a board management controller.

use std::time::Duration;

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait};
use crate::dict;
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::platform::{self, Host};
use super::state::{Administrative, Availability};

crate::choices! {
    pub enum State { Off = "off", On = "on" }
}

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name. One that is to be off has to be locked.
        host []: String,
        /// `off` waits for offline, `on` for online; an unlocked host is on.
        state []: State,
        /// Seconds that the operator has, and the host to boot.
        timeout []: u64 = 7200u64,
    }
}

pub struct HostPower;

impl Module for HostPower {
    const NAMES: &'static [&'static str] = &["stx_host_power"];
    const DOC: &'static str = "Waits until a locked host is off, or online again; somebody has to switch it.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("availability", "the platform's word")];
    const EXAMPLE: &'static str = "- name: worker-0 is off\n  stx_host_power:\n    host: worker-0\n    state: off";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let now = platform::patiently(host, |h| platform::host(h, &args.host))?;
        if args.state == State::Off && now.administrative != Administrative::Locked {
            return Err(Advice::failed(format!("{} is not locked", args.host))
                .state(now.states())
                .safe("yes: nothing was changed")
                .next(format!("`system host-lock {}` first", args.host))
                .into());
        }
        // Nobody switches it in a check run.
        if there(&args, &now) || host.supposed("stx/upgrade").is_some() {
            return Ok(outcome(&now));
        }
        let (word, availability) = match args.state {
            State::Off => ("off", "offline"),
            State::On => ("on", "online"),
        };
        let reason = format!("{} {availability}: switch it {word} now", args.host);
        let wait = Wait::new(reason, Duration::from_secs(args.timeout)).usual(Duration::from_secs(600));
        let seen = wait.until(host, |host| {
            platform::sight(platform::host(host, &args.host), |now| match there(&args, &now) {
                true => Sight::Done(now),
                false => Sight::NotYet(now.states()),
            })
        });
        let seen = seen.map_err(|e| {
            Advice::after(e, |a| {
                a.cause(format!("nobody switched {} {word}, or its console tells why it does not go", args.host))
                    .next(format!("switch it {word}, then `stx-upgrade resume`"))
            })
        })?;
        Ok(outcome(&seen))
    }
}

fn there(args: &Args, now: &Host) -> bool {
    match args.state {
        State::Off => matches!(now.availability, Availability::Offline | Availability::PowerOff),
        State::On => now.availability == Availability::Online || now.administrative == Administrative::Unlocked,
    }
}

fn outcome(now: &Host) -> Outcome {
    let mut outcome = Outcome::ok().msg(format!("{} is {}", now.name, now.states()));
    outcome.data = dict! {"availability" => now.availability.word()};
    outcome
}
