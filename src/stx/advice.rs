//! A failure that tells the operator what it means: cause, state, whether it is safe now, and what to type next.

use crate::action::module::Failure;
use crate::action::wait::WaitError;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::known;

/// Builds a failed outcome with `advice`: a list of `[heading, text]` pairs, which reporters print below the message.
#[derive(Clone, Debug)]
pub struct Advice {
    outcome: Outcome,
    rows: Vec<Value>,
}

impl Advice {
    /// Begins with the one line that says what failed.
    pub fn failed(msg: impl Into<String>) -> Advice {
        Advice { outcome: Outcome::failed(msg), rows: Vec::new() }
    }

    /// Why, as far as it is known.
    pub fn cause(self, text: impl Into<String>) -> Advice {
        self.row("Cause", text)
    }

    /// What state things are in now.
    pub fn state(self, text: impl Into<String>) -> Advice {
        self.row("State", text)
    }

    /// Whether anything has to be done at once.
    pub fn safe(self, text: impl Into<String>) -> Advice {
        self.row("Safe now", text)
    }

    /// What to do or to type next.
    pub fn next(self, text: impl Into<String>) -> Advice {
        self.row("Next", text)
    }

    fn row(mut self, heading: &str, text: impl Into<String>) -> Advice {
        let text: String = text.into();
        if !text.is_empty() {
            self.rows.push([Value::str(heading), Value::str(text)].into_iter().collect());
        }
        self
    }

    /// One more return value of the failed task.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Advice {
        self.outcome = self.outcome.with(name, value);
        self
    }

    /// For a wait that ended without what it waited for; a host that cannot be asked stays what it is.
    pub fn after(error: WaitError, advise: impl FnOnce(Advice) -> Advice) -> Failure {
        match error {
            WaitError::Host(error) => Failure::Host(error),
            told => advise(Advice::failed(told.to_string())).into(),
        }
    }
}

impl From<Advice> for Failure {
    fn from(mut advice: Advice) -> Failure {
        let said: Vec<String> = advice.rows.iter().map(Value::to_string).collect();
        if let Some(known) = known::find(&format!("{} {}", advice.outcome.msg, said.join(" "))) {
            advice = advice
                .row("Known", format!("{}: {}. Proof: {}. Then: {}", known.name, known.cause, known.proof, known.next));
        }
        Failure::Failed(Box::new(advice.outcome.with("advice", Value::list(advice.rows))))
    }
}
