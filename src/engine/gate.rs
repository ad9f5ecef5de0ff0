//! Gates: what is shown before it cannot be undone, who answers, and where the answer is kept.

use super::record;
use super::run::Halt;
use super::step::Step;
use crate::model::event::{Event, Gate};
use crate::model::outcome::Outcome;

/// Shows a gate and takes its answer: one on record from an earlier part of the run, one given beforehand, `--yes`, or
/// what the operator types. Anything but the expected text stops the run.
pub async fn open(step: &Step<'_>, gate: Gate, given: Option<String>) -> Result<Outcome, Halt> {
    let run = step.run;
    let operator = &run.options.operator;
    step.emit(Event::GateOpened { step: step.reference.clone(), host: step.host.to_owned(), gate: gate.clone() });
    if let Some(passed) = run.record.earlier().gate(&step.place(None).key()) {
        let (answer, by) = (passed.answer.clone(), passed.by.clone());
        return Ok(Outcome::ok().msg(format!("answered before by {by}")).with("answer", answer).with("by", by));
    }
    let (answer, by) = match given {
        Some(answer) => (answer, format!("{operator}, beforehand")),
        None if run.options.yes => (gate.expect.clone(), format!("{operator}, with --yes")),
        None => match run.ask(&format!("Type {} to go on, anything else stops here: ", gate.expect), true).await? {
            Some(answer) => (answer.trim().to_owned(), operator.clone()),
            None => return Err(Halt::Unanswered(gate.title)),
        },
    };
    let accepted = answer == gate.expect;
    record::gate(run, step, &gate, &answer, &by, accepted).await?;
    step.emit(Event::GateAnswered {
        step: step.reference.clone(),
        host: step.host.to_owned(),
        answer: answer.clone(),
        by: by.clone(),
        accepted,
    });
    if !accepted {
        return Err(Halt::GateRefused(gate.title));
    }
    Ok(Outcome::ok().msg(format!("answered by {by}")).with("answer", answer).with("by", by))
}
