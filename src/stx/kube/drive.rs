//! One step of a Kubernetes upgrade: sent unless it is under way or done, waited for, and sent again when it ends in `-failed`,
//! which the platform means for exactly that.

use std::time::Duration;

use crate::action::host::{Act, Effect, Look};
use crate::action::module::Failure;
use crate::action::wait::{Sight, Wait, WaitError};
use crate::stx::advice::Advice;
use crate::stx::platform::{self, No};

/// How the step stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stand {
    /// To be sent; what is seen instead.
    Ready(String),
    Running(String),
    Failed(String),
    Done,
}

/// What is to be done.
pub struct Job<'a> {
    /// For people, as a wait's reason: `images of v1.24.4 downloaded`.
    pub reason: String,
    pub words: Vec<&'a str>,
    /// What a check run sees of it.
    pub effects: Vec<Effect>,
    pub budget: Duration,
    pub usual: Duration,
    /// How often it is sent again after it failed.
    pub retries: u64,
    /// What to say of safety when it fails for good.
    pub safe: &'static str,
    /// What frees a step that neither ends nor fails.
    pub free: String,
}

/// Looks of an accepted step that changed nothing, until it counts as lost.
const IDLE: u32 = 10;

/// Brings it to its end; whether anything was sent. `see` looks at the platform.
pub fn drive(
    host: &mut dyn Act,
    job: &Job<'_>,
    mut see: impl FnMut(&mut dyn Look) -> Result<Stand, No>,
) -> Result<bool, Failure> {
    let mut stand = platform::patiently(host.as_look(), &mut see)?;
    let mut sent = 0;
    loop {
        match &stand {
            Stand::Done => return Ok(sent > 0),
            Stand::Running(_) => {}
            Stand::Ready(seen) | Stand::Failed(seen) if sent > job.retries => return Err(gave_up(job, sent, seen)),
            Stand::Ready(_) | Stand::Failed(_) => {
                send(host, job)?;
                sent += 1;
            }
        }
        stand = wait(host.as_look(), job, sent > 0, &mut see)?;
    }
}

fn send(host: &mut dyn Act, job: &Job<'_>) -> Result<(), Failure> {
    match platform::tell(host, &job.words, None, &job.effects) {
        Ok(_) => Ok(()),
        // Whether it came through is seen in what follows.
        Err(No::Away(_)) => Ok(()),
        Err(No::Refused(why)) if why.contains("already being upgraded") => Ok(()),
        Err(No::Refused(why)) => {
            let next = if why.contains("patches must be applied") {
                "`sudo sw-patch apply` and `sudo sw-patch host-install` them (`stx-upgrade play patch.yml`), then `stx-upgrade resume`"
            } else {
                "`system kube-upgrade-show` and `system kube-host-upgrade-list`; put that right, then `stx-upgrade resume`"
            };
            Err(Advice::failed(why).safe("yes: nothing was changed").next(next).into())
        }
        Err(other) => Err(other.into()),
    }
}

fn wait(
    host: &mut dyn Look,
    job: &Job<'_>,
    sent: bool,
    see: &mut impl FnMut(&mut dyn Look) -> Result<Stand, No>,
) -> Result<Stand, Failure> {
    let mut idle = 0;
    let wait = Wait::new(job.reason.clone(), job.budget).usual(job.usual);
    let seen = wait.until(host, |host| {
        platform::sight(see(host), |stand| match &stand {
            // Right after it was sent the old state may still be seen.
            Stand::Ready(seen) | Stand::Failed(seen) if sent && idle < 1 => {
                idle += 1;
                Sight::NotYet(seen.clone())
            }
            Stand::Ready(seen) if idle < IDLE => {
                idle += 1;
                Sight::NotYet(seen.clone())
            }
            Stand::Running(seen) => Sight::NotYet(seen.clone()),
            Stand::Done | Stand::Failed(_) | Stand::Ready(_) => Sight::Done(stand),
        })
    });
    seen.map_err(|error| stuck(job, error))
}

fn gave_up(job: &Job<'_>, sent: u64, seen: &str) -> Failure {
    let times = if sent == 1 { "once".to_owned() } else { format!("{sent} times") };
    Advice::failed(format!("`system {}` was sent {times}, and ends in {seen}", job.words.join(" ")))
        .cause(
            "the platform's logs say why: /var/log/sysinv.log, /var/log/puppet/latest/puppet.log, /var/log/daemon.log",
        )
        .state(seen)
        .safe(job.safe)
        .next("put the cause right, then `stx-upgrade resume`: it reads the state and sends the same command again")
        .into()
}

/// It neither ended nor failed within its time: as it is left when the conductor goes down in the middle of it.
fn stuck(job: &Job<'_>, error: WaitError) -> Failure {
    Advice::after(error, |a| {
        a.cause("a step that lasts was left by a restart of sysinv-conductor, or hangs: nobody works on it")
            .safe(job.safe)
            .next(format!("{}; then `stx-upgrade resume`: it sends `system {}` again", job.free, job.words.join(" ")))
    })
}
