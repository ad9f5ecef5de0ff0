//! For fault tests: this process is ended or stopped when a chosen record of its journal is on disk.
//!
//! - `STX_UPGRADE_CRASH_AFTER=N`: killed as by a power cut once `N` records of this session are written.
//! - `STX_UPGRADE_CRASH_EACH=FILE`: killed so at the first record whose place in the run is not yet in `FILE`, where it is
//!   then written down. A run that is resumed until it ends is thus killed once at each of its records.
//! - `STX_UPGRADE_STOP_AFTER=N`: stopped (SIGSTOP), so that whoever watches can break something and let it go on.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::log::Journal;
use super::record::Body;

/// What is wanted of this session.
pub struct Crash(Option<(When, Signal)>);

enum When {
    /// So many records from now.
    After(usize),
    /// At a place that none of these is.
    Each { file: PathBuf, known: HashSet<String> },
}

impl Crash {
    /// As the environment says; usually nothing.
    pub fn wanted() -> Crash {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok().map(When::After);
        let each = || {
            let file = PathBuf::from(std::env::var_os("STX_UPGRADE_CRASH_EACH")?);
            let known = std::fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
            Some(When::Each { file, known })
        };
        let stop = number("STX_UPGRADE_STOP_AFTER").map(|when| (when, Signal::SIGSTOP));
        let end = || Some((number("STX_UPGRADE_CRASH_AFTER").or_else(each)?, Signal::SIGKILL));
        Crash(stop.or_else(end))
    }

    /// Writes those of the records that come before the moment, if it is among them; the others are left to the caller.
    pub fn at(&mut self, journal: &mut Journal, bodies: &mut Vec<Body>) {
        let Some((when, signal)) = &mut self.0 else { return };
        let written = match when {
            When::After(left) if bodies.len() < *left => {
                *left -= bodies.len();
                return;
            }
            When::After(left) => *left,
            When::Each { file, known } => {
                let new = |body: &Body| !known.contains(&place(body));
                let Some(index) = bodies.iter().position(new) else { return };
                let opened = std::fs::File::options().append(true).create(true).open(file);
                let _ = opened.and_then(|mut file| writeln!(file, "{}", place(&bodies[index])));
                index + 1
            }
        };
        let first: Vec<Body> = bodies.drain(..written).collect();
        let signal = *signal;
        self.0 = None;
        let _ = journal.append(&first);
        let _ = kill(Pid::this(), signal);
    }
}

/// Where in the run a record stands, the same after a resume: what kind it is, of which step on which host.
fn place(body: &Body) -> String {
    match body {
        Body::Started(started) => format!("started {}", started.key.as_str()),
        Body::Finished(finished) => format!("finished {}", finished.key.as_str()),
        Body::Decided(decided) => format!("decided {} {}", decided.key.as_str(), decided.what),
        Body::Gate(gate) => format!("gate {}", gate.key.as_str()),
        Body::Verdict(verdict) => format!("verdict {}", verdict.key.as_str()),
        Body::Accepted(accepted) => format!("accepted {}", accepted.step.id),
        Body::Event(stamped) => {
            let event = serde_json::to_value(&stamped.event).unwrap_or_default();
            let named = |name: &str| event.get(name).map(ToString::to_string).unwrap_or_default();
            let step = event.pointer("/step/id").map(ToString::to_string).unwrap_or_default();
            let play = named("playbook") + &named("name");
            format!("event {} {play} {step} {} {}", named("event"), named("host"), named("up"))
        }
        Body::Header(_) => "header".into(),
        Body::Part(_) => "part".into(),
        Body::End(_) => "end".into(),
        Body::Unknown => "unknown".into(),
    }
}
