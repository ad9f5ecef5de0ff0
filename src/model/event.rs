//! What happened, as the engine tells it: the only way out of a run. Reporters show events, the journal keeps them,
//! `show` replays them. How they look is `report`'s.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::secret::Mask;
use super::source::Place;
use super::value::Value;

/// An event and when it happened, in milliseconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    pub at: u64,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A part of a run began; a resumed run has several.
    RunStarted {
        run: String,
        playbooks: Vec<String>,
        check: bool,
        diff: bool,
        part: u32,
        steps: Option<u32>,
    },
    /// Where a resumed run stands, before it goes on.
    Resumed {
        done: u32,
        in_doubt: u32,
        to_go: Option<u32>,
    },
    PlaybookStarted {
        playbook: String,
    },
    PlayStarted {
        name: String,
        place: Place,
        hosts: Vec<String>,
        /// Its hosts go at their own pace (`free`, `host_pinned`), so a banner comes with the first result under it.
        #[serde(default)]
        free: bool,
        /// It runs in check mode.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        check: bool,
    },
    /// The play's pattern matched hosts, but none is left (failed before, or limited away), or matched none.
    NoHosts {
        matched_none: bool,
    },
    /// One of a task or a handler began on the first of its hosts.
    TaskStarted {
        step: StepRef,
        /// How many steps the run has, as far as is known now: what is included later adds its own.
        #[serde(default)]
        of: Option<u32>,
        /// It runs in check mode.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        check: bool,
    },
    /// On a host, before it is acted on; reporters without live display pass it over.
    HostStarted {
        step: StepRef,
        host: String,
    },
    /// A loop item is done.
    ItemDone {
        step: StepRef,
        host: String,
        item: Item,
        result: Shown,
    },
    /// All of the task on one host is done; for a loop after its items.
    HostDone {
        step: StepRef,
        host: String,
        result: Shown,
    },
    Retrying {
        step: StepRef,
        host: String,
        item: Option<Item>,
        attempts_left: u32,
        result: Shown,
    },
    /// An include was resolved for these hosts.
    Included {
        step: StepRef,
        file: String,
        hosts: Vec<String>,
        item: Option<Item>,
    },
    /// A step waits: for a state, a host that reboots. Sent as a heartbeat.
    Waiting {
        step: StepRef,
        host: String,
        wait: Wait,
    },
    /// A job (`async`) is at work, or has ended.
    Job {
        step: StepRef,
        host: String,
        id: String,
        state: JobState,
    },
    /// The last line that a running command printed.
    Output {
        step: StepRef,
        host: String,
        line: String,
    },
    /// The engine asks the operator before what cannot be undone.
    GateOpened {
        step: StepRef,
        host: String,
        gate: Gate,
    },
    GateAnswered {
        step: StepRef,
        host: String,
        answer: String,
        by: String,
        accepted: bool,
    },
    /// What became of a step that was sent before the run was cut off.
    InDoubt {
        step: StepRef,
        host: String,
        sent_at: u64,
        verdict: String,
    },
    /// The link to a host was lost, or is back.
    Link {
        host: String,
        up: bool,
        why: String,
    },
    Warning {
        text: String,
    },
    /// What Ansible takes now and will not take one day, and where it is written.
    Deprecated {
        text: String,
        place: Place,
    },
    /// What is told from a verbosity on (`-vv` is 2), beside the results.
    Note {
        verbosity: u8,
        text: String,
    },
    /// First Ctrl-C and the like: the run stops at the next safe point.
    Stopping {
        why: String,
    },
    RunDone {
        run: String,
        end: End,
        stats: Vec<HostStats>,
        custom_stats: Vec<(String, Value)>,
        check: Option<Coverage>,
        next: Vec<String>,
    },
}

/// What becomes of a job that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Running,
    Ok,
    Failed,
}

impl Stamped {
    /// With every known secret masked.
    pub fn masked(&self, mask: &Mask) -> Stamped {
        Stamped { at: self.at, event: self.event.masked(mask) }
    }
}

impl Event {
    /// With every known secret masked, in whatever a user or a host could have put it. Names of hosts and steps'
    /// identities stay as they are. Labels of censored items are hidden, whatever is known.
    pub fn masked(&self, mask: &Mask) -> Event {
        let mut event = self.clone();
        match &mut event {
            Event::ItemDone { item, result, .. } | Event::Retrying { item: Some(item), result, .. }
                if result.censored =>
            {
                item.label = Item::hidden();
            }
            _ => {}
        }
        if mask.is_empty() {
            return event;
        }
        let text = |t: &mut String| *t = mask.text(t);
        let item = |i: &mut Item| i.label = mask.value(&i.label);
        let shown = |s: &mut Shown| s.outcome = s.outcome.masked(mask);
        match &mut event {
            Event::RunStarted { .. } | Event::Resumed { .. } | Event::NoHosts { .. } => {}
            Event::PlaybookStarted { playbook } => text(playbook),
            Event::PlayStarted { name, .. } => text(name),
            Event::TaskStarted { step, .. } | Event::HostStarted { step, .. } => text(&mut step.name),
            Event::ItemDone { step, item: i, result, .. } => {
                text(&mut step.name);
                item(i);
                shown(result);
            }
            Event::HostDone { step, result, .. } => {
                text(&mut step.name);
                shown(result);
            }
            Event::Retrying { step, item: i, result, .. } => {
                text(&mut step.name);
                i.iter_mut().for_each(item);
                shown(result);
            }
            Event::Included { step, file, item: i, .. } => {
                text(&mut step.name);
                text(file);
                i.iter_mut().for_each(item);
            }
            Event::Waiting { step, wait, .. } => {
                text(&mut step.name);
                text(&mut wait.reason);
                text(&mut wait.seen);
            }
            Event::Job { step, .. } => text(&mut step.name),
            Event::Output { step, line, .. } => {
                text(&mut step.name);
                text(line);
            }
            Event::GateOpened { step, gate, .. } => {
                text(&mut step.name);
                *gate = gate.masked(mask);
            }
            Event::GateAnswered { step, answer, .. } => {
                text(&mut step.name);
                text(answer);
            }
            Event::InDoubt { step, verdict, .. } => {
                text(&mut step.name);
                text(verdict);
            }
            Event::Link { why, .. } | Event::Stopping { why } => text(why),
            Event::Warning { text: t } | Event::Note { text: t, .. } | Event::Deprecated { text: t, .. } => text(t),
            Event::RunDone { end, custom_stats, check, next, .. } => {
                match end {
                    End::Stopped(why) | End::Broken(why) => text(why),
                    End::Completed | End::Failed => {}
                }
                custom_stats.iter_mut().for_each(|(_, v)| *v = mask.value(v));
                next.iter_mut().for_each(text);
                for (_, name, why) in check.iter_mut().flat_map(|c| &mut c.not_knowable) {
                    text(name);
                    text(why);
                }
            }
        }
        event
    }
}

impl Gate {
    /// With every known secret masked.
    pub fn masked(&self, mask: &Mask) -> Gate {
        Gate {
            title: mask.text(&self.title),
            lines: self.lines.iter().map(|(h, t)| (mask.text(h), mask.text(t))).collect(),
            expect: mask.text(&self.expect),
        }
    }
}

/// A task or handler as messages name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepRef {
    /// Stable identity; see the plan.
    pub id: String,
    /// With its role, as Ansible prints it: `precheck : alarms`.
    pub name: String,
    pub action: String,
    pub place: Place,
    pub handler: bool,
    /// Its number in the run, from 1, where it is known before it runs.
    pub number: Option<u32>,
}

/// A loop item as people see it: its label, never a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub index: u32,
    pub label: Value,
    /// Name of the loop variable, `item` unless set.
    pub var: String,
}

/// What stands for words of a `no_log` task.
pub const CENSORED: &str = "(censored due to no_log)";

impl Item {
    /// What stands for the label of an item of a `no_log` task.
    pub fn hidden() -> Value {
        Value::str(CENSORED)
    }
}

/// A result, fit to be shown: secrets masked, and with `no_log` censored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub outcome: Outcome,
    /// Failed, but the play goes on.
    pub ignored: bool,
    /// The host the task was delegated to, if another.
    pub delegated_to: Option<String>,
    /// `no_log` applied: values are left out.
    pub censored: bool,
    /// `debug` and its like show their result without being asked.
    pub verbose: bool,
    /// It was answered from the journal; nothing was sent.
    pub replayed: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How often it was tried, if `until` or retries apply.
    pub attempts: Option<u32>,
}

/// A wait's state. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// What for: `controller-0 back with a new boot id`.
    pub reason: String,
    pub elapsed: u64,
    /// How long it takes as a rule, if that is known.
    pub usual: Option<u64>,
    /// When it is given up.
    pub budget: u64,
    /// What was seen last: `locked/disabled/offline, task Reinstalling`.
    pub seen: String,
}

/// What a gate shows before it asks; lines of heading and text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub title: String,
    pub lines: Vec<(String, String)>,
    /// What must be typed to go on.
    pub expect: String,
}

/// How a run, or this part of it, ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Completed,
    /// Hosts failed or were unreachable.
    Failed,
    /// Stopped by the operator, a signal, or an unanswered gate; can be resumed. The reason.
    Stopped(String),
    /// The engine cannot go on: a journal that cannot be written. The reason.
    Broken(String),
}

/// A line of the recap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStats {
    pub host: String,
    pub ok: u32,
    pub changed: u32,
    pub unreachable: u32,
    pub failed: u32,
    pub skipped: u32,
    pub rescued: u32,
    pub ignored: u32,
}

/// How much of a check run could be decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub decided: u32,
    pub total: u32,
    /// Place, task name and reason of each that could not.
    pub not_knowable: Vec<(Place, String, String)>,
}
