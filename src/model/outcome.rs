//! What came of a task on a host.

use serde::{Deserialize, Serialize};

use super::event::Item;
use super::secret::Mask;
use super::source::Place;
use super::value::{Dict, Key, Value};
use crate::dict;

/// What a module or an action gives back, judged or not. `data` are the documented return values of the module
/// (`stdout`, `rc`, `stat`, …), as a registered variable shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub status: Status,
    /// Whether it changed the host, or would have in a check run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub changed: bool,
    /// One line for people; empty where the module has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub msg: String,
    #[serde(default, skip_serializing_if = "Dict::is_empty")]
    pub data: Dict,
    /// `ansible_facts`: what becomes a fact of the host.
    #[serde(default, skip_serializing_if = "Dict::is_empty")]
    pub facts: Dict,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Diff>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Registered with `failed` where it did fail only: a loop as a whole, and a task whose condition is false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed_if_so: bool,
    /// Where in the task it is written, if that is known better than by the task's own place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
}

/// How a task ended on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Ok,
    /// Not run: a condition, a `creates`, a skipped loop item.
    Skipped,
    Failed,
    /// The host did not answer; whether the step ran is not in doubt: it was not sent, or the agent never saw it.
    Unreachable,
    /// Check run only: what it would have done cannot be known before the run; the reason.
    NotKnowable(String),
}

/// What a change does to a text, for `--diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diff {
    /// Texts before and after, shown as a unified diff under `before: NAME` and `after: NAME`, or the word alone.
    Text { before_name: String, after_name: String, before: String, after: String },
    /// Ready lines (a mode, an owner, a state: `- mode: 0644`, `+ mode: 0600`).
    Prepared(String),
}

impl Outcome {
    /// Nothing to do.
    pub fn ok() -> Outcome {
        Outcome::default()
    }

    /// Done, or would be done in a check run.
    pub fn changed(changed: bool) -> Outcome {
        Outcome { changed, ..Outcome::default() }
    }

    pub fn failed(msg: impl Into<String>) -> Outcome {
        Outcome { status: Status::Failed, msg: msg.into(), ..Outcome::default() }
    }

    /// What a task was to include is not there. As with Ansible this is told as `reason`, not as `msg`.
    pub fn not_included(reason: impl Into<String>, place: Place) -> Outcome {
        let outcome = Outcome { place: Some(Box::new(place)), ..Outcome::failed("") };
        outcome.with("reason", reason.into())
    }

    pub fn skipped(msg: impl Into<String>) -> Outcome {
        Outcome { status: Status::Skipped, msg: msg.into(), ..Outcome::default() }
    }

    pub fn unreachable(msg: impl Into<String>) -> Outcome {
        Outcome { status: Status::Unreachable, msg: msg.into(), ..Outcome::default() }
    }

    pub fn not_knowable(why: impl Into<String>) -> Outcome {
        Outcome { status: Status::NotKnowable(why.into()), ..Outcome::default() }
    }

    pub fn msg(mut self, msg: impl Into<String>) -> Outcome {
        self.msg = msg.into();
        self
    }

    /// One more return value.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Outcome {
        self.data.insert(Key::from(name), value.into());
        self
    }

    /// One more difference.
    pub fn diff(mut self, diff: Diff) -> Outcome {
        self.diff.push(diff);
        self
    }

    /// The differences as a registered variable shows them: a mapping, or several in a list.
    pub fn diff_value(&self) -> Value {
        // What file modules compare are values in JSON, under no header or that of a file's attributes.
        let value = |text: &str| serde_json::from_str::<Value>(text).ok().filter(|v| v.as_dict().is_some());
        let one = |diff: &Diff| match diff {
            Diff::Text { before_name, after_name, before, after }
                if before_name.is_empty() && after_name.is_empty() =>
            {
                let side = |text: &str| value(text).unwrap_or_else(|| text.into());
                Value::dict(dict! {"before" => side(before), "after" => side(after)})
            }
            Diff::Text { before_name, after_name, before, after } => {
                let of_attributes = after_name.ends_with(" (file attributes)");
                let side = |text: &str| value(text).filter(|_| of_attributes).unwrap_or_else(|| text.into());
                Value::dict(dict! {
                    "before_header" => before_name.as_str(),
                    "after_header" => after_name.as_str(),
                    "before" => side(before),
                    "after" => side(after),
                })
            }
            Diff::Prepared(text) => Value::dict(dict! {"prepared" => text.as_str()}),
        };
        match self.diff.as_slice() {
            [only] => one(only),
            several => several.iter().map(one).collect(),
        }
    }

    /// With every known secret masked.
    pub fn masked(&self, mask: &Mask) -> Outcome {
        if mask.is_empty() {
            return self.clone();
        }
        let diff = |d: &Diff| match d {
            Diff::Text { before_name, after_name, before, after } => Diff::Text {
                before_name: mask.text(before_name),
                after_name: mask.text(after_name),
                before: mask.text(before),
                after: mask.text(after),
            },
            Diff::Prepared(text) => Diff::Prepared(mask.text(text)),
        };
        Outcome {
            status: match &self.status {
                Status::NotKnowable(why) => Status::NotKnowable(mask.text(why)),
                other => other.clone(),
            },
            changed: self.changed,
            msg: mask.text(&self.msg),
            data: mask.dict(&self.data),
            facts: mask.dict(&self.facts),
            diff: self.diff.iter().map(diff).collect(),
            warnings: self.warnings.iter().map(|w| mask.text(w)).collect(),
            failed_if_so: self.failed_if_so,
            place: self.place.clone(),
        }
    }

    pub fn is_failed(&self) -> bool {
        self.status == Status::Failed
    }

    /// The dictionary that `register` stores, as Ansible shapes it: the module's values with `changed`, `failed`, and
    /// where they apply `msg`, `skipped`, `unreachable`, `ansible_facts`, `warnings`, `not_knowable`.
    pub fn registered(&self) -> Dict {
        let mut d = dict! {"changed" => self.changed};
        // A host that was lost did not fail.
        if (!self.failed_if_so && self.status != Status::Unreachable) || self.is_failed() {
            d.insert("failed".into(), self.is_failed().into());
        }
        d.extend(self.data.iter().map(|(k, v)| (k.clone(), v.clone())));
        if !self.msg.is_empty() {
            d.insert("msg".into(), self.msg.as_str().into());
        }
        match &self.status {
            Status::Ok | Status::Failed if self.failed_if_so || d.get("failed") == Some(&Value::Bool(false)) => {}
            Status::Ok | Status::Failed => {
                // There is no traceback of ours; conditions ask whether there is one.
                d.entry("exception".into()).or_insert_with(|| "(traceback unavailable)".into());
            }
            Status::Skipped => {
                d.insert("skipped".into(), true.into());
            }
            Status::Unreachable => {
                if !self.failed_if_so {
                    d.insert("exception".into(), "(traceback unavailable)".into());
                }
                d.insert("unreachable".into(), true.into());
            }
            Status::NotKnowable(why) => {
                d.insert("skipped".into(), true.into());
                d.insert("not_knowable".into(), why.as_str().into());
            }
        }
        if !self.facts.is_empty() {
            d.insert("ansible_facts".into(), Value::dict(self.facts.clone()));
        }
        if !self.warnings.is_empty() {
            d.insert("warnings".into(), self.warnings.iter().map(String::as_str).collect());
        }
        d
    }
}

fn is_false(b: &bool) -> bool {
    !b
}

/// What a step does to the run itself, beyond its result: kept in the journal with it, so that a resumed run is
/// rebuilt without a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "consequence", rename_all = "snake_case")]
pub enum Consequence {
    /// `set_fact`, and registered facts of that rank.
    SetFacts { facts: Dict, cacheable: bool },
    /// `include_vars`.
    IncludeVars { vars: Dict },
    /// `add_host`.
    AddHost { name: String, groups: Vec<String>, vars: Dict },
    /// `group_by`.
    GroupBy { group: String, parents: Vec<String> },
    /// `set_stats`.
    Stats { data: Dict, per_host: bool, aggregate: bool },
    /// `include_tasks`, `include_role`: what is run next on this host, one entry an item.
    Include { includes: Vec<Include> },
    /// `meta` and the like: what becomes of the host or the play.
    Flow { flow: Flow },
    /// A host answers with another key or boot id from here on, knowingly (reboot, reinstall).
    Reborn { boot_id: String, new_host_key: bool },
}

/// A dynamic include, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Include {
    /// A task file as found, or a role's name.
    pub target: String,
    /// Loop item that it belongs to.
    pub item: Option<Item>,
    pub vars: Dict,
}

/// Where a host goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    FlushHandlers,
    ClearFacts,
    ClearHostErrors,
    EndHost,
    EndPlay,
    EndBatch,
    EndRole,
    RefreshInventory,
    ResetConnection,
    Noop,
}
