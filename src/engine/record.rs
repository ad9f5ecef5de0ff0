//! The engine's side of the journal: attempts are numbered, steps begun and ended are put on record, and what an earlier
//! part of the run has on record is given back.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::action::module::Recovery;
use crate::action::wire::Attempt;
use crate::connection::Link;
use crate::journal::key::StepKey;
pub use crate::journal::key::StepPlace;
use crate::journal::read::Answers;
use crate::journal::record::{
    Answer, Body, Decided, Finished as FinishedRecord, Gate, Ruling, Shown, Started, Verdict, worth_keeping,
};
use crate::journal::recover::{Done, Recovered};
use crate::journal::writer::Writer;
use crate::model::event::{self, Stamped, StepRef};
use crate::model::outcome::{Consequence, Outcome, Status};
use crate::model::secret::Secret;
use crate::model::value::Value;
use crate::plan::TaskPlan;

use super::options::{InDoubt, Said};
use super::out::now;
use super::run::{Halt, Run};
use super::step::Step;

/// What is kept of a step's end.
#[derive(Clone, Debug)]
pub struct Finished {
    pub outcome: Outcome,
    pub ignored: bool,
    pub consequences: Vec<Consequence>,
    pub notify: Vec<String>,
}

/// Each part of a run numbers its attempts from a multiple of this. What only looks is not on record when it begins, so a
/// resume that counted on from the journal would give a number twice, and get the result of another step from an agent.
const ATTEMPTS_PER_PART: u64 = 1 << 24;

/// A run's record: nothing at all for a check run without a journal.
pub struct Recorder {
    writer: Option<Writer>,
    earlier: Recovered,
    answers: Option<Answers>,
    /// Attempts whose end is not on record yet, so that it can name them.
    begun: Mutex<HashMap<StepKey, Attempt>>,
    /// Results that agents hold until they are durable here: of steps under way, and of steps whose end was handed over.
    held: Mutex<HashMap<StepKey, Vec<(Link, Attempt)>>>,
    handed_over: Mutex<Vec<(Link, Attempt)>>,
    /// Steps in doubt that only the operator could settle, and that this part has not ended.
    unmet: Mutex<HashSet<StepKey>>,
    /// Steps that the operator's answer was taken for.
    answered: Mutex<HashSet<StepKey>>,
    attempts: AtomicU64,
    /// Where a host was lost to a failure: what it did from that record on (the failed step, `always` parts behind it) is done
    /// anew by a resume.
    lost: HashMap<String, u64>,
    /// How many secrets are on record.
    secrets: AtomicU64,
}

impl Recorder {
    /// Records into `writer`; `earlier` and `answers` are what a resumed run has on record.
    pub fn new(writer: Option<Writer>, earlier: Recovered, answers: Option<Answers>) -> Recorder {
        let attempts = AtomicU64::new(earlier.parts.len() as u64 * ATTEMPTS_PER_PART);
        let lost = lost(&earlier);
        let asks = earlier.in_doubt.values().filter(|s| s.recovery == Recovery::Ask);
        let unmet = Mutex::new(asks.map(|s| s.key.clone()).collect());
        let secrets = earlier.decided.keys().filter(|(_, what)| what.starts_with("secret:")).count();
        Recorder {
            writer,
            earlier,
            answers,
            begun: Mutex::default(),
            held: Mutex::default(),
            handed_over: Mutex::default(),
            unmet,
            answered: Mutex::default(),
            attempts,
            lost,
            secrets: AtomicU64::new(secrets as u64),
        }
    }

    /// What an earlier part has on record.
    pub fn earlier(&self) -> &Recovered {
        &self.earlier
    }

    /// The end of a step, if an earlier part has it on record and it can be read. One that was sealed and whose key is not
    /// here counts as not ended.
    pub fn finished(&self, place: &StepPlace) -> Option<Finished> {
        let done = self.ended(place)?;
        match self.answers.as_ref()?.answer(done) {
            Ok(answer) => {
                let ignored = answer.outcome.data.get("_ignored").is_some();
                let mut outcome = answer.outcome;
                outcome.data.shift_remove("_ignored");
                Some(Finished { outcome, ignored, consequences: answer.consequences, notify: answer.notified })
            }
            Err(error) => {
                tracing::warn!("the result of {} on record cannot be used: {error}", place.key().as_str());
                None
            }
        }
    }

    /// Digest of a step as it was written when it ended or was begun, if it is on record.
    pub fn recorded_fingerprint(&self, place: &StepPlace) -> Option<&str> {
        let begun = self.in_doubt(place).map(|s| s.fingerprint.as_str());
        begun.or_else(|| self.ended(place).map(|d| &*d.fingerprint))
    }

    /// Whether an end is on record, without reading it.
    pub fn has_finished(&self, host: &str, step: &str, visit: u32) -> bool {
        let place = StepPlace { host: host.to_owned(), step: step.to_owned(), visit, ..StepPlace::default() };
        self.ended(&place).is_some()
    }

    /// The end of a step that still counts.
    fn ended(&self, place: &StepPlace) -> Option<&Done> {
        let done = self.earlier.done(&place.key())?;
        let lost = self.lost.get(&place.host).copied().unwrap_or(u64::MAX);
        // Items of a failed loop were recorded before its end; those that failed are tried again.
        let failed =
            place.item.is_some() && self.is_lost(&StepPlace { item: None, ..place.clone() }) && is_bad(&done.status);
        (done.number < lost && !failed).then_some(done)
    }

    fn is_lost(&self, place: &StepPlace) -> bool {
        let key = place.key();
        self.earlier.decided.contains_key(&(key.clone(), LOST.to_owned()))
            && self.earlier.done(&key).is_some_and(|d| is_bad(&d.status))
    }

    /// A step took its host out of the run: a resume does it again.
    pub fn lose(&self, place: &StepPlace) {
        self.note(Body::Decided(Box::new(Decided::new(place.key(), LOST, true.into()))));
    }

    /// A step that was begun and has no end on record.
    pub fn in_doubt(&self, place: &StepPlace) -> Option<&Started> {
        self.earlier.in_doubt.get(&place.key())
    }

    /// What the operator said of this step. It is taken once; a step that gets in doubt again in this part is asked for again.
    pub fn take_answer(&self, place: &StepPlace, answers: &[InDoubt]) -> Option<Said> {
        let key = place.key();
        let said = self.answer(self.earlier.in_doubt.get(&key)?, answers)?;
        self.answered.lock().is_ok_and(|mut answered| answered.insert(key)).then_some(said)
    }

    /// Of the operator's answers the one for this step: it names its host, or it names none and no other step is in doubt.
    fn answer(&self, doubt: &Started, answers: &[InDoubt]) -> Option<Said> {
        let host = host_of(doubt);
        let is_for = |answer: &&InDoubt| match &answer.host {
            Some(named) => *named == host,
            None => self.is_sole_doubt(&doubt.key),
        };
        answers.iter().find(is_for).map(|answer| answer.said)
    }

    fn is_sole_doubt(&self, key: &StepKey) -> bool {
        let mut asks = self.earlier.in_doubt.values().filter(|s| s.recovery == Recovery::Ask).map(|s| &s.key);
        match (asks.next(), asks.next()) {
            (Some(sole), None) => sole == key,
            (None, _) => self.earlier.in_doubt.len() == 1,
            _ => false,
        }
    }

    /// A step in doubt that this part did not come to, and that the operator has not said to be over: the inventory or the
    /// playbook has it no more, so it cannot be run now.
    pub fn unmet(&self, answers: &[InDoubt]) -> Option<&Started> {
        let unmet = self.unmet.lock().ok()?;
        let is_over = |s: &Started| matches!(self.answer(s, answers), Some(Said::Ran | Said::Failed));
        self.earlier.in_doubt.values().find(|s| unmet.contains(&s.key) && !is_over(s))
    }

    /// Whether a step runs again after an attempt that may have run, or that changed something and whose result cannot be read
    /// here: it may find nothing to do now, and its handlers must run all the same.
    pub fn counts_as_changed(&self, place: &StepPlace) -> bool {
        let unread = |d: &Done| self.answers.as_ref().is_none_or(|a| a.answer(d).is_err());
        self.earlier.counts_as_changed(&place.key())
            || self.ended(place).is_some_and(|d| d.changed && !is_bad(&d.status) && unread(d))
    }

    pub fn next_attempt(&self) -> Attempt {
        self.attempts.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Puts a step's beginning on record; durable when it returns. `verdict` goes with it, in the same commit.
    pub async fn start(&self, begin: Begin<'_>, verdict: Option<Verdict>) -> Result<Attempt, Halt> {
        let attempt = self.next_attempt();
        let key = begin.place.key();
        let started = Started {
            key: key.clone(),
            attempt,
            host: begin.host.to_owned(),
            step: begin.step.clone(),
            fingerprint: begin.fingerprint.to_owned(),
            recovery: begin.recovery,
            boot_id: begin.agent.map(str::to_owned),
            at: now(),
        };
        if let Ok(mut begun) = self.begun.lock() {
            begun.insert(key, attempt);
        }
        let verdict = verdict.map(|v| Body::Verdict(Box::new(v)));
        self.commit(verdict.into_iter().chain([Body::Started(Box::new(started))]).collect()).await?;
        Ok(attempt)
    }

    /// Puts a step's end on record. It is durable before the next step begins, as that waits for its own record.
    pub fn finish(&self, place: &StepPlace, step: &TaskPlan, finished: &Finished, shown: Shown) {
        let key = place.key();
        let attempt = self.begun.lock().ok().and_then(|mut b| b.remove(&key));
        let mut outcome = finished.outcome.clone();
        if finished.ignored {
            outcome.data.insert("_ignored".into(), true.into());
        }
        let answer = Answer { outcome, consequences: finished.consequences.clone(), notified: finished.notify.clone() };
        // A task that always runs in check mode changes nothing, whatever it would have changed.
        let previewed = step.common.check_mode.as_ref().is_some_and(|written| written.value == Value::Bool(true));
        let looked = previewed || (step.kind.only_looks() && !finished.outcome.changed);
        let looked = looked && finished.notify.is_empty();
        let mut record = FinishedRecord::new(key, attempt, &step.fingerprint, now(), answer).shown(shown);
        record.looked = looked;
        self.note(Body::Finished(Box::new(record)));
        if let Ok(mut unmet) = self.unmet.lock() {
            unmet.remove(&place.key());
        }
        let held = self.held.lock().ok().and_then(|mut h| h.remove(&place.key()));
        if let (Some(held), Ok(mut over)) = (held, self.handed_over.lock()) {
            over.extend(held);
        }
    }

    /// An agent may forget a result once the end of its step is durable.
    pub fn acknowledge_later(&self, place: &StepPlace, link: Link, attempt: Attempt) {
        if let Ok(mut held) = self.held.lock() {
            held.entry(place.key()).or_default().push((link, attempt));
        }
    }

    /// Keeps an event that `show` needs and no other record tells.
    pub fn event(&self, stamped: Stamped) {
        if worth_keeping(&stamped.event) {
            self.note(Body::Event(Box::new(stamped)));
        }
    }

    /// How a step in doubt was settled.
    pub fn verdict(place: &StepPlace, attempt: Attempt, ruling: Ruling, by: &str, text: &str) -> Verdict {
        Verdict { key: place.key(), attempt, ruling, by: by.to_owned(), text: text.to_owned(), at: now() }
    }

    /// Puts something on record that a resume takes from there: durable when it returns.
    pub async fn decide(&self, what: &str, value: Value, secret: bool) -> Result<(), Halt> {
        let key = StepKey::run();
        let decided = if secret { Decided::secret(key, what, value) } else { Decided::new(key, what, value) };
        self.commit(vec![Body::Decided(Box::new(decided))]).await
    }

    /// Keeps a secret that was met on the way, sealed: a resume passes over the steps that met it, and shows what they gave.
    pub fn keep_secret(&self, secret: &Secret) {
        let what = format!("secret:{}", self.secrets.fetch_add(1, Ordering::Relaxed));
        let decided = Decided::secret(StepKey::run(), &what, Value::str(secret.reveal()));
        self.note(Body::Decided(Box::new(decided)));
    }

    /// The secrets that earlier parts met.
    pub fn kept_secrets(&self) -> Vec<Secret> {
        (0..self.secrets.load(Ordering::Relaxed))
            .filter_map(|n| self.decided(&format!("secret:{n}")))
            .map(|v| Secret::new(v.to_string()))
            .collect()
    }

    /// What an earlier part decided.
    pub fn decided(&self, what: &str) -> Option<Value> {
        let decided = self.earlier.decided.get(&(StepKey::run(), what.to_owned()))?;
        self.answers.as_ref()?.decided(decided).ok()
    }

    pub fn note(&self, body: Body) {
        if let Some(writer) = &self.writer {
            writer.note(body);
        }
    }

    pub async fn commit(&self, bodies: Vec<Body>) -> Result<(), Halt> {
        // What was handed over before this commit is durable after it.
        let over = self.handed_over.lock().map(|mut o| std::mem::take(&mut *o)).unwrap_or_default();
        if let Some(writer) = &self.writer {
            writer.commit(bodies).await.map_err(|e| Halt::Journal(e.to_string()))?;
        }
        for (link, attempt) in over {
            link.acknowledge(attempt);
        }
        Ok(())
    }

    /// Ends the record of this part.
    pub fn close(&self) -> Result<(), Halt> {
        match self.writer.clone() {
            Some(writer) => writer.close().map(|_| ()).map_err(|e| Halt::Journal(e.to_string())),
            None => Ok(()),
        }
    }
}

/// The host of a step in doubt, as a playbook names it.
pub fn host_of(doubt: &Started) -> String {
    doubt.key.place().map_or_else(|| doubt.host.clone(), |place| place.host)
}

/// The name of the mark on a step that took its host out of the run.
const LOST: &str = "lost";

fn is_bad(status: &Status) -> bool {
    matches!(status, Status::Failed | Status::Unreachable)
}

/// For each host that was lost and not won back, the number of the record from which on its steps are done anew: that of the
/// failure, or of the first step before it since when nothing was done but looked. What was seen then need not be so now.
fn lost(earlier: &Recovered) -> HashMap<String, u64> {
    let mut lost = lost_at(earlier);
    for (host, at) in &mut lost {
        let of_host = |key: &StepKey| key.place().is_some_and(|p| p.host == *host);
        let mut before: Vec<&Done> =
            earlier.finished.iter().filter(|(k, d)| d.number < *at && of_host(k)).map(|(_, d)| d).collect();
        before.sort_unstable_by_key(|d| std::cmp::Reverse(d.number));
        if let Some(first) = before.iter().take_while(|d| d.looked).last() {
            *at = first.number;
        }
    }
    lost
}

/// For each host that was lost and not won back, the number of the record at which that was.
fn lost_at(earlier: &Recovered) -> HashMap<String, u64> {
    let mut lost: HashMap<String, u64> = HashMap::new();
    for (key, _) in earlier.decided.keys().filter(|(_, what)| what == LOST) {
        if let (Some(place), Some(done)) = (key.place(), earlier.done(key))
            && is_bad(&done.status)
        {
            let at = lost.entry(place.host).or_insert(done.number);
            *at = (*at).min(done.number);
        }
    }
    lost
}

/// A step about to begin.
pub struct Begin<'a> {
    pub place: &'a StepPlace,
    pub step: &'a StepRef,
    pub host: &'a str,
    pub fingerprint: &'a str,
    pub recovery: Recovery,
    /// Who serves it there: another agent's `never seen` proves nothing.
    pub agent: Option<&'a str>,
}

/// Puts a gate's answer on record; durable when it returns.
pub async fn gate(
    run: &Run,
    step: &Step<'_>,
    gate: &event::Gate,
    answer: &str,
    by: &str,
    accepted: bool,
) -> Result<(), Halt> {
    let record = Gate {
        key: step.place(None).key(),
        host: step.host.to_owned(),
        step: step.reference.clone(),
        gate: gate.clone(),
        answer: answer.to_owned(),
        by: by.to_owned(),
        accepted,
        at: now(),
    };
    run.record.commit(vec![Body::Gate(Box::new(record))]).await
}
