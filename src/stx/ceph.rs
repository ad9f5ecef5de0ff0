//! `stx_ceph`: the storage cluster, waited for until it is healthy.

use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::model::outcome::Outcome;

use super::advice::Advice;

crate::arguments! {
    pub struct Args {
        /// Seconds that recovery may take; orchestration allows two hours.
        timeout []: u64 = 7200u64,
    }
}

pub struct Ceph;

impl Module for Ceph {
    const NAMES: &'static [&'static str] = &["stx_ceph"];
    const DOC: &'static str =
        "Waits until the Ceph cluster says HEALTH_OK: every placement group has its replicas again.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("health", "Ceph's word")];
    const EXAMPLE: &'static str = "- name: Ceph is healthy\n  stx_ceph:";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        // A check run has taken no host out.
        if host.supposed("stx/upgrade").is_some() {
            return Ok(Outcome::ok().msg("as it is after the recovery").with("health", "HEALTH_OK"));
        }
        let wait = Wait::new("Ceph healthy", Duration::from_secs(args.timeout)).usual(Duration::from_secs(600));
        let seen = wait.until(host.as_look(), |host| {
            let said = health(host)?;
            Ok(if said.starts_with("HEALTH_OK") { Sight::Done(said) } else { Sight::NotYet(said) })
        });
        match seen {
            Ok(health) => Ok(Outcome::ok().msg(health.clone()).with("health", health)),
            Err(error @ WaitError::Host(_)) => Err(error.into()),
            Err(error) => Err(Advice::after(error, |a| {
                a.cause("an OSD or a monitor is down, or the cluster still copies")
                    .safe("yes: as long as it is no HEALTH_ERR, every object can be read")
                    .next("`ceph health detail` on the active controller; then `stx-upgrade resume`")
            })),
        }
    }
}

/// The first line of `ceph health`: `HEALTH_WARN 1 osds down; …`.
fn health(host: &mut dyn Look) -> Result<String, HostError> {
    let output = host.query(&Command::new(["ceph", "health"]).timeout(Duration::from_secs(60)))?;
    let text = [output.text(), output.error_text()].concat();
    Ok(text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("ceph says nothing").to_owned())
}
