//! The only way out of a run: events, stamped, masked, counted, handed to the reporters and noted in the journal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;

use crate::journal::record;
use crate::model::event::{Coverage, Event, HostStats, Shown, Stamped, StepRef};
use crate::model::outcome::{Outcome, Status};
use crate::model::secret::Mask;
use crate::model::source::Place;
use crate::report::Reporter;

/// Takes events from everywhere in the run, one at a time.
pub struct Out {
    state: Mutex<State>,
    pub mask: Mask,
}

struct State {
    reporters: Vec<Box<dyn Reporter>>,
    stats: IndexMap<String, HostStats>,
    coverage: Coverage,
    steps: u32,
    /// How many there will be, as far as is known.
    expected: u32,
}

/// A counter of the recap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Ok,
    Changed,
    Unreachable,
    Failed,
    Skipped,
    Rescued,
    Ignored,
}

impl Out {
    pub fn new(reporters: Vec<Box<dyn Reporter>>, mask: Mask) -> Out {
        let state = State { reporters, stats: IndexMap::new(), coverage: Coverage::default(), steps: 0, expected: 0 };
        Out { state: Mutex::new(state), mask }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the reporters. The event comes back stamped, for the journal.
    pub fn tell(&self, event: Event) -> Stamped {
        let stamped = Stamped { at: now(), event };
        self.with(|s| s.reporters.iter_mut().for_each(|r| r.event(&stamped)));
        stamped
    }

    /// Counts for the recap.
    pub fn count(&self, host: &str, count: Count) {
        self.with(|s| {
            let stats = s
                .stats
                .entry(host.to_owned())
                .or_insert_with(|| HostStats { host: host.into(), ..HostStats::default() });
            let field = match count {
                Count::Ok => &mut stats.ok,
                Count::Changed => &mut stats.changed,
                Count::Unreachable => &mut stats.unreachable,
                Count::Failed => &mut stats.failed,
                Count::Skipped => &mut stats.skipped,
                Count::Rescued => &mut stats.rescued,
                Count::Ignored => &mut stats.ignored,
            };
            *field += 1;
        });
    }

    /// Counts for the coverage of a check run.
    pub fn decided(&self, place: &Place, name: &str, outcome: &Outcome) {
        self.with(|s| {
            s.coverage.total += 1;
            match &outcome.status {
                Status::NotKnowable(why) => {
                    s.coverage.not_knowable.push((place.clone(), name.to_owned(), self.mask.text(why)));
                }
                _ => s.coverage.decided += 1,
            }
        });
    }

    /// The number of the next step, from 1.
    pub fn next_step(&self) -> u32 {
        self.with(|s| {
            s.steps += 1;
            s.steps
        })
    }

    /// Says that so many more steps will come.
    pub fn expect(&self, more: u32) {
        self.with(|s| s.expected += more);
    }

    /// How many steps there will be, as far as is known.
    pub fn expected(&self) -> u32 {
        self.with(|s| s.expected)
    }

    /// How many steps have begun.
    pub fn steps(&self) -> u32 {
        self.with(|s| s.steps)
    }

    /// The recap, hosts by name.
    pub fn stats(&self) -> Vec<HostStats> {
        self.with(|s| {
            let mut stats: Vec<HostStats> = s.stats.values().cloned().collect();
            stats.sort_by(|a, b| a.host.cmp(&b.host));
            stats
        })
    }

    pub fn coverage(&self) -> Coverage {
        self.with(|s| s.coverage.clone())
    }

    /// The last word: reporters put away what they hold.
    pub fn finish(&self) {
        self.with(|s| s.reporters.iter_mut().for_each(|r| r.finish()));
    }

    /// A result fit to be shown: secrets masked, and censored whole if the task says `no_log`.
    pub fn shown(&self, outcome: &Outcome, no_log: bool, with_diff: bool) -> Shown {
        let mut outcome = match no_log {
            true => {
                // Where a later step uses it, it is as secret as here.
                self.mask.learn_output(&outcome.data);
                record::censored(outcome.status.clone(), outcome.changed)
            }
            false => outcome.masked(&self.mask),
        };
        if !with_diff {
            outcome.diff.clear();
        }
        Shown {
            outcome,
            ignored: false,
            delegated_to: None,
            censored: no_log,
            verbose: false,
            replayed: false,
            millis: 0,
            attempts: None,
        }
    }
}

/// Milliseconds since 1970. Of a run's times only people make use: nothing is ordered or decided by them, as clocks are set.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    now.saturating_add_signed(stepped())
}

/// For fault tests: `STX_UPGRADE_STEP_CLOCK=N:SECONDS` sets this clock forward, or with a minus back, once it was read N times.
fn stepped() -> i64 {
    static STEP: LazyLock<Option<(u64, i64)>> = LazyLock::new(|| {
        let wanted = std::env::var("STX_UPGRADE_STEP_CLOCK").ok()?;
        let (reads, seconds) = wanted.split_once(':')?;
        Some((reads.parse().ok()?, seconds.parse::<i64>().ok()?.checked_mul(1000)?))
    });
    static READS: AtomicU64 = AtomicU64::new(0);
    match *STEP {
        Some((reads, by)) if READS.fetch_add(1, Ordering::Relaxed) >= reads => by,
        _ => 0,
    }
}

/// A step's reference with the name as it is shown.
pub fn step_ref(plan: &crate::plan::TaskPlan, name: &str, number: Option<u32>) -> StepRef {
    StepRef {
        id: plan.id.clone(),
        name: name.to_owned(),
        action: plan.action(),
        place: plan.place.clone(),
        handler: plan.handler,
        number,
    }
}
