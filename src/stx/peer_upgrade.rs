//! `stx_peer_upgrade`: another host of the system reinstalled with the new release, or with the old one again. Reinstalling the only
//! controller there is is `stx_host_upgrade`'s.

use std::time::Duration;

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::platform::{self, Host, HostUpgradeRow, No, Upgrade};
use super::state::{Administrative, Availability, Operational, Task, UpgradeState};

crate::choices! {
    pub enum State { Upgraded = "upgraded", Downgraded = "downgraded" }
}

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name; not the one that is active.
        host []: String,
        /// `upgraded` reinstalls it with the new release, `downgraded` with the old one.
        state []: State = State::Upgraded,
        /// The release that it is to run.
        release []: String,
        /// Seconds that the installation may take, and, on controller-1, the migration of the data after it.
        timeout []: u64 = 7200u64,
    }
}

pub struct PeerUpgrade;

impl Module for PeerUpgrade {
    const NAMES: &'static [&'static str] = &["stx_peer_upgrade"];
    const DOC: &'static str = "Reinstalls a locked host other than the active controller with the new release, and waits for it.\n\
        Its disk is wiped. For controller-1 it waits until the data are migrated as well: `data-migration-failed` is a failure with \
        the way back. A reinstall under way is waited for and not sent again.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("running_release", "what it runs"), ("states", "of the host")];
    const EXAMPLE: &'static str =
        "- name: reinstall controller-1\n  stx_peer_upgrade:\n    host: controller-1\n    release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let seen = platform::patiently(host.as_look(), |h| look(&args, h))?;
        let mut changed = false;
        match decide(&args, &seen)? {
            Step::Settled => return Ok(outcome(&args, &seen, false)),
            Step::Wait => {}
            Step::Act => {
                act(&args, &seen, host)?;
                changed = true;
            }
        }
        let seen = wait(&args, host)?;
        Ok(outcome(&args, &seen, changed))
    }
}

/// What the platform says of the host and the upgrade.
struct Seen {
    host: Host,
    row: Option<HostUpgradeRow>,
    upgrade: Option<Upgrade>,
}

fn look(args: &Args, host: &mut dyn Look) -> Result<Seen, No> {
    Ok(Seen {
        upgrade: platform::upgrade(host)?,
        row: platform::host_upgrade(host, &args.host)?,
        host: platform::host(host, &args.host)?,
    })
}

/// controller-1 keeps reporting the old release until it is unlocked; the state of the upgrade says that its data are migrated.
fn migrates(args: &Args, seen: &Seen) -> bool {
    args.state == State::Upgraded
        && args.host == "controller-1"
        && seen.upgrade.as_ref().is_some_and(|u| {
            matches!(
                u.state,
                UpgradeState::Started
                    | UpgradeState::DataMigration
                    | UpgradeState::DataMigrationComplete
                    | UpgradeState::DataMigrationFailed
            )
        })
}

fn ready(host: &Host) -> bool {
    host.administrative == Administrative::Locked
        && host.operational == Operational::Disabled
        && host.availability == Availability::Online
}

fn installing(host: &Host) -> bool {
    host.task == Task::Reinstalling || host.inventory.as_deref() == Some("reinstalling")
}

fn done(args: &Args, seen: &Seen) -> bool {
    if migrates(args, seen) {
        let migrated = seen.upgrade.as_ref().is_some_and(|u| u.state == UpgradeState::DataMigrationComplete);
        return migrated && !installing(&seen.host) && ready(&seen.host);
    }
    let runs = seen.row.as_ref().is_some_and(|r| r.running == args.release && r.target == args.release);
    runs && !installing(&seen.host) && (ready(&seen.host) || seen.host.in_service())
}

#[derive(Debug, PartialEq)]
enum Step {
    Settled,
    /// Under way already: not asked for again.
    Wait,
    Act,
}

fn decide(args: &Args, seen: &Seen) -> Result<Step, Failure> {
    use UpgradeState::*;
    let refused = |msg: String, next: &str| -> Failure {
        let state =
            seen.upgrade.as_ref().map_or("no upgrade in progress".to_owned(), |u| format!("upgrade: {}", u.state));
        Advice::failed(msg)
            .state(format!("{state}; {}: {}", args.host, seen.host.states()))
            .safe("yes: the host was not wiped")
            .next(next)
            .into()
    };
    if done(args, seen) {
        return Ok(Step::Settled);
    }
    let Some(upgrade) = &seen.upgrade else {
        // Completed: nothing is left to be reinstalled.
        let runs = seen.row.as_ref().is_some_and(|r| r.running == args.release);
        return if runs {
            Ok(Step::Settled)
        } else {
            Err(refused("no upgrade is in progress".into(), "`stx-upgrade play upgrade.yml`"))
        };
    };
    if upgrade.state == DataMigrationFailed && args.state == State::Upgraded {
        return Err(migration_failed(&args.host));
    }
    let targeted = seen.row.as_ref().is_some_and(|r| r.target == args.release && r.running != args.release);
    if installing(&seen.host) || targeted || upgrade.state == DataMigration {
        return Ok(Step::Wait);
    }
    if seen.host.active {
        return Err(refused(
            format!(
                "{} is the active controller, and this run did not ask it to be: the other one failed, or somebody moved the \
                 services",
                args.host
            ),
            "`system host-swact` to the other one, then `stx-upgrade resume`; where the upgrade's state forbids a swact, \
             `stx-upgrade play abort.yml`",
        ));
    }
    let runs = seen.row.as_ref().is_some_and(|r| r.running == args.release && r.target == args.release);
    if runs {
        // It has the release and is on its way into or out of service.
        return Ok(Step::Wait);
    }
    let wanted = match (args.state, args.host.as_str(), seen.host.personality.as_str()) {
        (State::Upgraded, "controller-1", _) => &[Started][..],
        (State::Upgraded, "controller-0", _) => &[UpgradingControllers],
        (State::Upgraded, ..) => &[UpgradingHosts],
        (State::Downgraded, _, "controller") => &[Aborting, AbortingReinstall],
        (State::Downgraded, ..) => &[UpgradingHosts, UpgradingControllers, Aborting, AbortingReinstall],
    };
    if !wanted.contains(&upgrade.state) {
        let words: Vec<&str> = wanted.iter().map(UpgradeState::word).collect();
        return Err(refused(
            format!("the upgrade is {}; for {} it must be {}", upgrade.state, args.host, words.join(" or ")),
            "`stx-upgrade play upgrade.yml` (or abort.yml) does the hosts in their order",
        ));
    }
    if !ready(&seen.host) {
        return Err(refused(
            format!("{} is {}, and must be locked/disabled/online", args.host, seen.host.states()),
            "lock it first (`stx_host_lock`)",
        ));
    }
    Ok(Step::Act)
}

fn act(args: &Args, seen: &Seen, host: &mut dyn Act) -> Result<(), Failure> {
    let command = if args.state == State::Upgraded { "host-upgrade" } else { "host-downgrade" };
    let mut effects = vec![
        platform::supposed_running(&args.host, &args.release),
        platform::supposed_host(&args.host, "locked", "disabled", "online"),
    ];
    if let Some(upgrade) = &seen.upgrade
        && args.state == State::Upgraded
    {
        let next = match args.host.as_str() {
            "controller-1" => Some(UpgradeState::DataMigrationComplete),
            "controller-0" => Some(UpgradeState::UpgradingHosts),
            _ => None,
        };
        effects.extend(next.map(|state| upgrade.supposed(&state)));
    }
    match platform::tell(host, &[command, &args.host], Some("yes\n"), &effects) {
        Ok(_) => Ok(()),
        Err(No::Refused(why)) if why.contains("already targeted") => Ok(()),
        Err(No::Refused(why)) => Err(Advice::failed(why)
            .state(seen.host.states())
            .safe("yes: the host was not wiped")
            .next("put that right, then `stx-upgrade resume`")
            .into()),
        Err(other) => Err(other.into()),
    }
}

fn migration_failed(host: &str) -> Failure {
    Advice::failed("the upgrade went to data-migration-failed")
        .cause(format!(
            "on {host}, /var/log/platform.log says which step failed (often a hieradata file that is not there)"
        ))
        .state(format!(
            "{host} is installed with the new release and stays locked; the other controller runs the old one"
        ))
        .safe("yes: the system serves on the other controller, without redundancy")
        .next("`stx-upgrade play abort.yml`: takes the host back to the old release, in service; then begin anew")
        .into()
}

fn wait(args: &Args, host: &mut dyn Act) -> Result<Seen, Failure> {
    let what = if args.state == State::Upgraded { "host-upgrade" } else { "host-downgrade" };
    let reason = format!("{what} of {}, install of {}", args.host, args.release);
    let mut migration = false;
    let wait = Wait::new(reason, Duration::from_secs(args.timeout)).usual(Duration::from_secs(2400));
    let seen = wait.until(host.as_look(), |host| {
        platform::sight(look(args, host), |seen| {
            let state = seen.upgrade.as_ref().map_or("no upgrade in progress", |u| u.state.word()).to_owned();
            if done(args, &seen) {
                return Sight::Done(seen);
            }
            if let Task::ReinstallFailed(why) = &seen.host.task {
                return Sight::Never(why.clone());
            }
            if seen.upgrade.as_ref().is_some_and(|u| u.state == UpgradeState::DataMigrationFailed) {
                migration = true;
                return Sight::Never("data-migration-failed".into());
            }
            Sight::NotYet(format!("{}, {state}", seen.host.states()))
        })
    });
    match seen {
        Ok(seen) => Ok(seen),
        Err(WaitError::Never { .. }) if migration => Err(migration_failed(&args.host)),
        Err(error @ WaitError::Host(_)) => Err(error.into()),
        Err(error) => Err(Advice::after(error, |a| {
            a.cause("the installation has not ended or failed, or the host does not report to maintenance")
                .safe("yes: the system serves without this host")
                .next(format!(
                    "the console of {}, and `system host-show {}`; then `stx-upgrade resume`",
                    args.host, args.host
                ))
        })),
    }
}

fn outcome(args: &Args, seen: &Seen, changed: bool) -> Outcome {
    let running = seen.row.as_ref().map_or("", |r| r.running.as_str());
    let mut outcome =
        Outcome::changed(changed).msg(format!("{}: {} is installed, {}", args.host, args.release, seen.host.states()));
    outcome.data = dict! { "running_release" => running, "states" => seen.host.states() };
    outcome
}
