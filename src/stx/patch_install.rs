//! `stx_patch_install`: the applied patches installed on one host.

use std::time::Duration;

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::patch::{self, HostRow};
use super::patch_repo::sw_patch;
use super::platform;
use super::state::Administrative;

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name.
        host []: String,
        /// Seconds that an installation under way may take.
        timeout []: u64 = 1800u64,
    }
}

pub struct PatchInstall;

impl Module for PatchInstall {
    const NAMES: &'static [&'static str] = &["stx_patch_install"];
    const DOC: &'static str = "Installs the applied patches on a host (`sw-patch host-install`), unless it has them.\n\
        Patches that need a reboot are installed on a locked host only, whose unlock reboots it: this is said before anything is sent. \
        That the host has them at the end is looked at, whatever the command says.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("current", "the platform's word")];
    const EXAMPLE: &'static str = "- name: patches on controller-0\n  stx_patch_install:\n    host: controller-0";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut now = row(&args, host.as_look())?;
        let mut changed = false;
        if now.state == "installing" {
            now = wait(&args, host.as_look())?;
        }
        if !now.is_current() {
            may(&args, &now, host.as_look())?;
            sw_patch(host, &["host-install", &args.host], &[patch::supposed_installed(&args.host)])?;
            changed = true;
            now = wait(&args, host.as_look())?;
        }
        Ok(Outcome::changed(changed)
            .msg(format!("{} is patch current", args.host))
            .with("current", now.current.as_str()))
    }
}

fn row(args: &Args, host: &mut dyn Look) -> Result<HostRow, Failure> {
    let rows = patch::hosts(host)?;
    let names: Vec<String> = rows.iter().map(|r| r.name.clone()).collect();
    rows.into_iter().find(|r| r.name == args.host).ok_or_else(|| {
        Advice::failed(format!("sw-patch knows no host {}, only {}", args.host, names.join(", ")))
            .safe("yes: nothing was changed")
            .next("name the host exactly")
            .into()
    })
}

fn may(args: &Args, now: &HostRow, host: &mut dyn Look) -> Result<(), Failure> {
    if !now.reboot {
        return Ok(());
    }
    let seen = platform::patiently(host, |h| platform::host(h, &args.host))?;
    if seen.administrative == Administrative::Locked {
        return Ok(());
    }
    Err(Advice::failed(format!("the patches need a reboot of {}, and it is {}", args.host, seen.states()))
        .safe("yes: nothing was changed")
        .next(format!("`system host-lock {}` (`stx_host_lock`), then `stx-upgrade resume`", args.host))
        .into())
}

fn wait(args: &Args, host: &mut dyn Look) -> Result<HostRow, Failure> {
    let wait = Wait::new(format!("patches on {} installed", args.host), Duration::from_secs(args.timeout));
    let mut failed = None;
    let mut idle = 0;
    let seen = wait.until(host, |host| {
        let now = match row(args, host) {
            Ok(now) => now,
            Err(Failure::Host(error)) => return Err(error),
            Err(failure) => {
                failed = Some(failure);
                return Ok(Sight::Never("no answer of sw-patch".into()));
            }
        };
        let said = format!("patch current {}, {}", now.current, now.state);
        Ok(if now.is_current() {
            Sight::Done(now)
        } else if now.state.starts_with("install-") {
            Sight::Never(said)
        } else if now.state == "idle" && now.current != "Pending" && idle >= 5 {
            Sight::Never(format!("nothing is being installed: {said}"))
        } else {
            idle += u32::from(now.state == "idle");
            Sight::NotYet(said)
        })
    });
    match (seen, failed) {
        (Ok(now), _) => Ok(now),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(Advice::after(error, |a| {
            a.cause("/var/log/patching.log on the host says why")
                .next(format!("put that right, then `stx-upgrade resume`: it installs on {} again", args.host))
        })),
    }
}
