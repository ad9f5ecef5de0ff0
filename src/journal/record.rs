//! The format of a journal: what a record can say. How records become lines is `line`'s.
//!
//! Only additions that an older reader may pass over leave [`FORMAT`] as it is; every other change raises it.

use serde::{Deserialize, Serialize};

use super::key::StepKey;
use super::seal::Kept;
use crate::action::module::Recovery;
use crate::action::wire::Attempt;
use crate::dict;
use crate::model::event::{self, Stamped, StepRef};
use crate::model::outcome::{Consequence, Outcome, Status};
use crate::model::value::{Dict, Value};

/// The version of the format that this program writes and resumes. A newer one it shows as far as it understands it.
pub const FORMAT: u32 = 1;

/// The first record: what the run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Always the first member, so that every version finds it.
    pub format: u32,
    pub run: String,
    pub playbooks: Vec<Input>,
    pub inventory: Vec<Input>,
    /// The options as the user gave them that change what the run does: check, limit, tags, names of extra variables.
    /// Values of extra variables are a [`Decided`], where they can be sealed.
    pub options: Dict,
    /// The session that began the run.
    pub part: Part,
}

/// A file that the run was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// As the user named it.
    pub name: String,
    /// Where it was found; none for one built in.
    pub path: Option<String>,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A session with the run: its beginning, or a resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// Milliseconds since 1970.
    pub at: u64,
    pub user: String,
    /// The machine it runs on, and the process there.
    pub host: String,
    pub pid: u32,
    pub cwd: String,
    /// The command line; the caller leaves secrets out.
    pub argv: Vec<String>,
    /// Of this program.
    pub version: String,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Header(Box<Header>),
    /// The run is resumed.
    Part(Box<Part>),
    /// A step that may change something is about to be sent. Durable before it is.
    Started(Box<Started>),
    /// What came of a step. Durable before anything depends on it.
    Finished(Box<Finished>),
    /// Something that the engine decided or took in from outside, that a replay could not find again by itself.
    Decided(Box<Decided>),
    /// What was shown and cannot be told from the other records; see [`worth_keeping`].
    Event(Box<Stamped>),
    Gate(Box<Gate>),
    Verdict(Box<Verdict>),
    Accepted(Box<Accepted>),
    /// This part of the run ended in order. A part without an end was killed.
    End(Box<End>),
    /// Of a newer format; only read.
    #[serde(skip)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    pub key: StepKey,
    /// Unique in the run, over all parts.
    pub attempt: Attempt,
    /// Where it is sent: the step's host, or the one it is delegated to.
    pub host: String,
    pub step: StepRef,
    /// Digest of what was written.
    pub fingerprint: String,
    pub recovery: Recovery,
    /// The boot id of the host then, if it is known: another one means that no process of then is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    pub at: u64,
}

/// What came of a step, judged: after `changed_when`, `failed_when`, `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub key: StepKey,
    /// Of the last `Started`; none for what the engine did without a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    pub fingerprint: String,
    pub at: u64,
    pub status: Status,
    #[serde(default, skip_serializing_if = "is_default")]
    pub changed: bool,
    /// It only looked, and may be looked at anew.
    #[serde(default, skip_serializing_if = "is_default")]
    pub looked: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub shown: Shown,
    pub answer: Kept<Answer>,
}

/// With what marks a result was shown; see [`event::Shown`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The loop item's label, if it is one.
    #[serde(skip_serializing_if = "is_default")]
    pub item: Option<event::Item>,
    #[serde(skip_serializing_if = "is_default")]
    pub ignored: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub delegated_to: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub censored: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub verbose: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub millis: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub attempts: Option<u32>,
    /// Nothing was shown: a step of the engine's own.
    #[serde(skip_serializing_if = "is_default")]
    pub silent: bool,
}

/// Enough to go on as if the step had just run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// For a loop, without `results`: those are records of their own.
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<Consequence>,
    /// Handlers that it notified, by name as rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<String>,
}

/// A fact of the run that a replay takes from the journal: the hosts of a play in their order, the items of a loop over a
/// lookup, an answer to `vars_prompt`, the values of extra variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The step it belongs to, or [`StepKey::run`].
    pub key: StepKey,
    /// Which fact: `items`, `batch`, `prompt:admin_password`.
    pub what: String,
    pub value: Kept<Value>,
}

/// A gate was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub key: StepKey,
    pub host: String,
    pub step: StepRef,
    pub gate: event::Gate,
    pub answer: String,
    pub by: String,
    pub accepted: bool,
    pub at: u64,
}

/// How a step in doubt was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub key: StepKey,
    pub attempt: Attempt,
    pub ruling: Ruling,
    /// Who or what said so: `the agent`, the operator's name.
    pub by: String,
    /// In a sentence, for people.
    pub text: String,
    pub at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It ran; its result follows as [`Finished`].
    Ran,
    /// It never ran: it is run for the first time.
    NeverRan,
    /// It may have run; it is run again, and counts as changed.
    Again,
    /// The operator says that it ran; it counts as changed, with no result.
    TakenAsDone,
}

/// A step was edited since the run began, and the operator goes on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    pub step: StepRef,
    pub was: String,
    pub now: String,
    pub by: String,
    pub at: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    pub end: event::End,
    pub at: u64,
    /// The whole run's, as its recap shows them.
    pub stats: Vec<event::HostStats>,
    /// Tasks that have begun, over all parts.
    pub tasks: u32,
}

impl Finished {
    /// A result, with the marks of a plain one. The journal seals an answer that holds a known secret.
    pub fn new(key: StepKey, attempt: Option<Attempt>, fingerprint: &str, at: u64, answer: Answer) -> Finished {
        Finished {
            key,
            attempt,
            fingerprint: fingerprint.to_owned(),
            at,
            status: answer.outcome.status.clone(),
            changed: answer.outcome.changed,
            looked: false,
            shown: Shown::default(),
            answer: Kept::Clear(answer),
        }
    }

    /// With these marks; the answer of a censored one (`no_log`) is sealed, whatever it holds.
    pub fn shown(mut self, shown: Shown) -> Finished {
        if let (true, Kept::Clear(answer)) = (shown.censored, &self.answer) {
            self.answer = Kept::Private(answer.clone());
        }
        self.shown = shown;
        self
    }
}

impl Decided {
    pub fn new(key: StepKey, what: impl Into<String>, value: Value) -> Decided {
        Decided { key, what: what.into(), value: Kept::Clear(value) }
    }

    /// A value that is sealed whatever it holds: an answer typed without echo.
    pub fn secret(key: StepKey, what: impl Into<String>, value: Value) -> Decided {
        Decided { key, what: what.into(), value: Kept::Private(value) }
    }
}

impl Body {
    /// When it was written, where it says.
    pub fn at(&self) -> Option<u64> {
        match self {
            Body::Header(h) => Some(h.part.at),
            Body::Part(p) => Some(p.at),
            Body::Started(s) => Some(s.at),
            Body::Finished(f) => Some(f.at),
            Body::Event(e) => Some(e.at),
            Body::Gate(g) => Some(g.at),
            Body::Verdict(v) => Some(v.at),
            Body::Accepted(a) => Some(a.at),
            Body::End(e) => Some(e.at),
            Body::Decided(_) | Body::Unknown => None,
        }
    }
}

/// Whether an event goes into the journal as it is. What the other records tell ([`Finished`], [`Gate`], [`Verdict`]) does
/// not, nor what is only of the moment.
pub fn worth_keeping(event: &event::Event) -> bool {
    use event::Event::*;
    match event {
        RunStarted { .. }
        | Resumed { .. }
        | PlaybookStarted { .. }
        | PlayStarted { .. }
        | NoHosts { .. }
        | TaskStarted { .. }
        | Retrying { .. }
        | Included { .. }
        | Link { .. }
        | Warning { .. }
        | Deprecated { .. }
        | Note { .. }
        | Stopping { .. }
        | RunDone { .. } => true,
        Job { .. }
        | HostStarted { .. }
        | ItemDone { .. }
        | HostDone { .. }
        | Waiting { .. }
        | Output { .. }
        | GateOpened { .. }
        | GateAnswered { .. }
        | InDoubt { .. } => false,
    }
}

/// What stands for a result that may not be shown.
pub fn censored(status: Status, changed: bool) -> Outcome {
    let status = match status {
        Status::NotKnowable(_) => Status::NotKnowable(event::CENSORED.into()),
        status => status,
    };
    const WHY: &str = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    Outcome { status, changed, data: dict! {"censored" => WHY}, ..Outcome::default() }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
