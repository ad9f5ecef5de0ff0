//! Folds the records of a journal into where the run stands. Pure: reads no file and asks no host.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::key::StepKey;
use super::read::{Place, Record};
use super::record::{Accepted, Body, Decided, End, Gate, Header, Part, Ruling, Started, Verdict};
use crate::action::wire::Attempt;
use crate::model::event::{Event, StepRef};
use crate::model::outcome::Status;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// None only before the first record.
    pub header: Option<Header>,
    /// The first part (the header's) and every resume.
    pub parts: Vec<Part>,
    /// Steps with a result. Those of a later part replace an earlier one's.
    pub finished: HashMap<StepKey, Done>,
    /// Steps that were started and have no result, in the order in which they were started; without those of which it
    /// was ruled that they never ran or are to run again.
    pub in_doubt: IndexMap<StepKey, Started>,
    /// How steps were ruled upon that have no result yet.
    pub ruled: HashMap<StepKey, Verdict>,
    pub decided: HashMap<(StepKey, String), Decided>,
    pub gates: Vec<Gate>,
    pub accepted: Vec<Accepted>,
    /// How the last part ended; none if it was killed, or runs still.
    pub ended: Option<End>,
    /// Records folded, and the time of the last that has one.
    pub records: u64,
    pub last_at: u64,
    /// The task that began last.
    pub last_step: Option<StepRef>,
    /// How long all parts before the last worked together, in milliseconds.
    worked: u64,
}

/// A finished step: what is needed before its answer is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The record and where its answer stands.
    pub number: u64,
    pub place: Place,
    pub attempt: Option<Attempt>,
    pub fingerprint: Arc<str>,
    pub status: Status,
    pub changed: bool,
    /// Nothing was done: it only looked, or was skipped.
    pub looked: bool,
}

impl Recovered {
    /// Takes the next record in.
    pub fn take(&mut self, record: Record) {
        let Record { number, place, body } = record;
        self.records += 1;
        let before = self.last_at;
        self.last_at = body.at().unwrap_or(before).max(before);
        match body {
            Body::Header(header) => {
                self.parts.push(header.part.clone());
                self.header = Some(*header);
            }
            Body::Part(part) => {
                self.worked += before.saturating_sub(self.parts.last().map_or(before, |p| p.at));
                self.parts.push(*part);
                self.ended = None;
            }
            Body::Started(started) => {
                // It is run again on purpose: what it answered before no longer counts.
                self.finished.remove(&started.key);
                self.in_doubt.insert(started.key.clone(), *started);
            }
            Body::Finished(f) => {
                self.in_doubt.shift_remove(&f.key);
                self.ruled.remove(&f.key);
                let done = Done {
                    number,
                    place,
                    attempt: f.attempt,
                    fingerprint: f.fingerprint.into(),
                    looked: f.looked || f.status == Status::Skipped,
                    status: f.status,
                    changed: f.changed,
                };
                self.finished.insert(f.key, done);
            }
            Body::Decided(d) => {
                self.decided.insert((d.key.clone(), d.what.clone()), *d);
            }
            Body::Gate(gate) => self.gates.push(*gate),
            Body::Verdict(v) => {
                match v.ruling {
                    Ruling::NeverRan | Ruling::Again => {
                        self.in_doubt.shift_remove(&v.key);
                    }
                    // Its result follows at once; until it does, it is as doubtful as before.
                    Ruling::Ran | Ruling::TakenAsDone => {}
                }
                self.ruled.insert(v.key.clone(), *v);
            }
            Body::Accepted(a) => self.accepted.push(*a),
            Body::End(end) => self.ended = Some(*end),
            Body::Event(e) => {
                if let Event::TaskStarted { step, .. } = e.event {
                    self.last_step = Some(step);
                }
            }
            Body::Unknown => {}
        }
    }

    /// The result of a step, if it has one and was not edited since; take it with `Answers::answer`.
    pub fn done(&self, key: &StepKey) -> Option<&Done> {
        self.finished.get(key)
    }

    /// Whether a step runs again after an attempt that may have run: it then counts as changed, whatever it finds.
    pub fn counts_as_changed(&self, key: &StepKey) -> bool {
        self.ruled.get(key).is_some_and(|v| v.ruling == Ruling::Again)
    }

    /// The answer given at a gate, if it was accepted.
    pub fn gate(&self, key: &StepKey) -> Option<&Gate> {
        self.gates.iter().rev().find(|g| g.key == *key && g.accepted)
    }

    /// Whether the operator accepted that a step (by its identity) now reads as `fingerprint`.
    pub fn accepts(&self, step: &str, fingerprint: &str) -> bool {
        self.accepted.iter().any(|a| a.step.id == step && a.now == fingerprint)
    }

    /// How long the run worked, without the times between its parts; up to its last record. In milliseconds.
    pub fn worked(&self) -> u64 {
        self.worked + self.last_at.saturating_sub(self.parts.last().map_or(self.last_at, |p| p.at))
    }

    /// The hosts that have results, and the number of tasks that have: each include, visit and host's own counts once.
    pub fn reach(&self) -> (BTreeSet<String>, usize) {
        let (mut hosts, mut tasks) = (BTreeSet::new(), HashSet::new());
        for place in self.finished.keys().filter_map(StepKey::place) {
            tasks.insert((place.step, place.path, place.visit));
            hosts.insert(place.host);
        }
        hosts.remove("");
        (hosts, tasks.len())
    }

    /// The run's name; empty before the header.
    pub fn run(&self) -> &str {
        self.header.as_ref().map_or("", |h| h.run.as_str())
    }
}

/// Folds all records.
pub fn recover(records: impl IntoIterator<Item = Record>) -> Recovered {
    let mut recovered = Recovered::default();
    records.into_iter().for_each(|r| recovered.take(r));
    recovered
}
