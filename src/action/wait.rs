//! Waiting with a reason, a deadline and a heartbeat. A failed probe is a sight like any other, never a default.

use std::time::{Duration, Instant};

use super::host::{HostError, Look};
use crate::model::event;

/// A wait for something that the host will show by and by.
#[derive(Clone, Debug)]
pub struct Wait {
    reason: String,
    budget: Duration,
    usual: Option<Duration>,
    most: Duration,
}

/// What a probe saw.
pub enum Sight<T> {
    /// It is there.
    Done(T),
    /// Not yet; what was seen instead.
    NotYet(String),
    /// It will never come; why.
    Never(String),
}

/// How a wait ended without what it waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    #[error("{reason}: not seen within {}; last seen: {seen}", human(*.budget))]
    TimedOut { reason: String, budget: Duration, seen: String },
    #[error("{reason}: {why}")]
    Never { reason: String, why: String },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Wait {
    /// Waits for `reason` (`controller-0 locked`), at most for `budget`.
    pub fn new(reason: impl Into<String>, budget: Duration) -> Wait {
        Wait { reason: reason.into(), budget, usual: None, most: Duration::from_secs(10) }
    }

    /// How long it takes as a rule, for the operator's eyes.
    pub fn usual(mut self, usual: Duration) -> Wait {
        self.usual = Some(usual);
        self
    }

    /// Probes at least this often; the first ones come faster.
    pub fn at_most_every(mut self, most: Duration) -> Wait {
        self.most = most;
        self
    }

    /// Probes until it is done, will never be, or the budget is spent. The pause grows from 0.2 s, so that short waits
    /// end soon and long ones cost little. In a check run time does not pass: what is not there at once is not knowable.
    pub fn until<T>(
        &self,
        host: &mut dyn Look,
        mut probe: impl FnMut(&mut dyn Look) -> Result<Sight<T>, HostError>,
    ) -> Result<T, WaitError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let seen = match probe(host)? {
                Sight::Done(found) => return Ok(found),
                Sight::Never(why) => return Err(WaitError::Never { reason: self.reason.clone(), why }),
                Sight::NotYet(seen) => seen,
            };
            let elapsed = start.elapsed();
            if elapsed >= self.budget {
                return Err(WaitError::TimedOut { reason: self.reason.clone(), budget: self.budget, seen });
            }
            host.heartbeat(&event::Wait {
                reason: self.reason.clone(),
                elapsed: elapsed.as_millis() as u64,
                usual: self.usual.map(|u| u.as_millis() as u64),
                budget: self.budget.as_millis() as u64,
                seen,
            })?;
            host.sleep(pause.min(self.budget - elapsed))?;
            pause = (pause * 5 / 4).min(self.most);
        }
    }
}

/// A duration as people write it: `12m04s`, `1h52m`, `4.2s`.
pub fn human(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}
