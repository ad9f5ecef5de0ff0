//! A journal told again as events, for the same reporters that showed the run. Results come from the records of finished
//! steps; what was sealed stays sealed and is told without its values.

use std::collections::HashMap;

use crate::dict;
use crate::journal::key::StepKey;
use crate::journal::read::Record;
use crate::journal::record::{Body, Finished};
use crate::journal::seal::Kept;
use crate::model::event::{Event, Shown, Stamped, StepRef};
use crate::model::outcome::Outcome;

/// Remembers what later records refer to.
#[derive(Default)]
pub struct Story {
    /// Steps by identity, as they were named last.
    steps: HashMap<String, StepRef>,
    sent: HashMap<StepKey, u64>,
}

impl Story {
    /// What a record tells: none, one or several events.
    pub fn tell(&mut self, record: &Record) -> Vec<Stamped> {
        match &record.body {
            Body::Event(e) => {
                if let Event::TaskStarted { step, .. } = &e.event {
                    self.steps.insert(step.id.clone(), step.clone());
                }
                vec![(**e).clone()]
            }
            Body::Started(s) => {
                self.steps.entry(s.step.id.clone()).or_insert_with(|| s.step.clone());
                self.sent.insert(s.key.clone(), s.at);
                Vec::new()
            }
            Body::Finished(f) if !f.shown.silent => self.result(f).into_iter().collect(),
            Body::Gate(g) => {
                let (step, host) = (g.step.clone(), g.host.clone());
                let opened = Event::GateOpened { step: step.clone(), host: host.clone(), gate: g.gate.clone() };
                let (answer, by, accepted) = (g.answer.clone(), g.by.clone(), g.accepted);
                let answered = Event::GateAnswered { step, host, answer, by, accepted };
                [opened, answered].map(|event| Stamped { at: g.at, event }).into()
            }
            Body::Verdict(v) => {
                let Some((host, step)) = self.who(&v.key) else { return Vec::new() };
                let sent_at = self.sent.get(&v.key).copied().unwrap_or(v.at);
                vec![Stamped { at: v.at, event: Event::InDoubt { step, host, sent_at, verdict: v.text.clone() } }]
            }
            Body::Finished(_)
            | Body::Header(_)
            | Body::Part(_)
            | Body::Decided(_)
            | Body::Accepted(_)
            | Body::End(_)
            | Body::Unknown => Vec::new(),
        }
    }

    fn result(&self, f: &Finished) -> Option<Stamped> {
        let (host, step) = self.who(&f.key)?;
        let hidden = |why: &str| Outcome {
            status: f.status.clone(),
            changed: f.changed,
            data: dict! {"hidden" => why},
            ..Outcome::default()
        };
        let outcome = match &f.answer {
            Kept::Clear(answer) => answer.outcome.clone(),
            Kept::Sealed(_) | Kept::Private(_) => hidden("it holds a secret, and is sealed in the journal"),
            Kept::LeftOut(why) => hidden(why),
        };
        let marks = f.shown.clone();
        let result = Shown {
            outcome,
            ignored: marks.ignored,
            delegated_to: marks.delegated_to,
            censored: marks.censored,
            verbose: marks.verbose,
            replayed: false,
            millis: marks.millis,
            attempts: marks.attempts,
        };
        let event = match marks.item {
            Some(item) => Event::ItemDone { step, host, item, result },
            None => Event::HostDone { step, host, result },
        };
        Some(Stamped { at: f.at, event })
    }

    fn who(&self, key: &StepKey) -> Option<(String, StepRef)> {
        let place = key.place()?;
        let step = self.steps.get(&place.step)?.clone();
        Some((place.host, step))
    }
}

/// Whether an event belongs to a task of which `task` is the name or a part of it; for `show --task`.
pub fn concerns(event: &Event, task: &str) -> bool {
    use Event::*;
    match event {
        TaskStarted { step, .. }
        | HostStarted { step, .. }
        | ItemDone { step, .. }
        | HostDone { step, .. }
        | Retrying { step, .. }
        | Included { step, .. }
        | Waiting { step, .. }
        | Output { step, .. }
        | GateOpened { step, .. }
        | GateAnswered { step, .. }
        | InDoubt { step, .. } => step.name.contains(task) || step.id == task,
        _ => false,
    }
}
