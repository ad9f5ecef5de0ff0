//! The kinds of faults, and at which moments of a run they strike.

use super::Args;
use clap::ValueEnum;
use std::fmt;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL of the runner once so many records of its journal are on disk
    Kill,
    /// One run that is killed at each of its records in turn, and resumed each time
    KillEach,
    /// The link is lost before a call is sent
    CutBefore,
    /// … after it was sent
    CutSent,
    /// … when its result is here, and the agent does not know that yet
    CutAnswered,
    /// SIGKILL of the agents
    AgentKilled,
    /// A host is rebooted
    Reboot,
    /// sshd drops its sessions and refuses new ones for two seconds
    SshdRefuses,
    /// The journal's disk is full
    JournalFull,
    /// Every write of the journal takes a while, before the runner is killed and after
    JournalSlow,
    /// The journal is read-only when the killed run is resumed
    JournalReadOnly,
    /// The disk that the playbook writes to is full (/srv of the hosts)
    HostDiskFull,
    /// Who read the runner's output has gone
    PipeClosed,
    /// The terminal has gone (SIGHUP)
    Hangup,
    /// The control machine's clock is set back a day before the runner is killed, and right again for its resume
    ClockStepped,
    /// A killed run is resumed twice at once
    TwoResumes,
    /// A killed run's journal is resumed on another machine
    Moved,
}

impl Kind {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
    }

    /// Whether its moments are calls; otherwise they are records of the journal.
    fn at_a_call(self) -> bool {
        matches!(self, Kind::CutBefore | Kind::CutSent | Kind::CutAnswered)
    }

    /// Whether the full form takes all of its moments: whatever was written or said last is another state to go on from. What
    /// the other kinds break they break alike wherever they strike.
    fn at_each(self) -> bool {
        self == Kind::Kill || self.at_a_call()
    }

    /// Whether it strikes all through the run, so that there is one of it.
    pub fn all_through(self) -> bool {
        self == Kind::KillEach
    }
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub kind: Kind,
    /// Number of the record or of the call, from 1.
    pub at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.all_through() {
            return write!(f, "{} to record {}", self.kind.name(), self.at);
        }
        let moment = if self.kind.at_a_call() { "call" } else { "record" };
        write!(f, "{} at {moment} {}", self.kind.name(), self.at)
    }
}

/// How long the clean run was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    pub records: usize,
    pub calls: usize,
}

/// The faults of a playbook: at samples of moments spread evenly over the run, in the full form at all where that matters.
pub fn plan(args: &Args, size: &Size) -> Vec<Fault> {
    let kinds: Vec<Kind> = if args.faults.is_empty() { Kind::value_variants().to_vec() } else { args.faults.clone() };
    let mut faults = Vec::new();
    for kind in kinds {
        if kind.all_through() {
            faults.push(Fault { kind, at: size.records });
            continue;
        }
        let all = if kind.at_a_call() { size.calls } else { size.records };
        let sample = args.sample.unwrap_or(if args.full { 8 } else { 3 });
        let wanted = if args.full && kind.at_each() { all } else { sample };
        faults.extend(moments(all, wanted).map(|at| Fault { kind, at }));
    }
    faults
}

/// `wanted` moments of 1 to `all`, evenly spread.
fn moments(all: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let wanted = wanted.min(all);
    (0..wanted).map(move |i| if wanted == 1 { all.div_ceil(2) } else { 1 + i * (all - 1) / (wanted - 1) })
}

#[cfg(test)]
mod tests {
    use super::moments;

    #[test]
    fn moments_are_spread_over_the_run() {
        assert_eq!(moments(10, 4).collect::<Vec<_>>(), [1, 4, 7, 10]);
        assert_eq!(moments(10, 1).collect::<Vec<_>>(), [5]);
        assert_eq!(moments(3, 9).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(moments(0, 3).count(), 0);
    }
}
