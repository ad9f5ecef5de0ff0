//! `stx_alarms`: a baseline of the active alarms, and the gate that lets only known ones pass.

use std::time::Duration;

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

use super::advice::Advice;
use super::platform::{self, Alarm};
use super::state::Severity;

crate::choices! {
    pub enum State { Baseline = "baseline", Gate = "gate" }
}

crate::arguments! {
    pub struct Args {
        /// `baseline` reads the alarms; `gate` fails if there are new or worse ones than in the baseline.
        state []: State = State::Gate,
        /// The `alarms` that the baseline returned.
        baseline []: Vec<Dict> = Vec::new(),
        /// Alarms that may be there: mappings of `id`, `reason` and, if it is so on one thing only, `entity`.
        ignore []: Vec<Dict> = Vec::new(),
        /// Seconds that a new alarm may take to clear by itself: many are transients.
        hold []: u64 = 600u64,
    }
}

pub struct Alarms;

impl Module for Alarms {
    const NAMES: &'static [&'static str] = &["stx_alarms"];
    const DOC: &'static str = "Takes a baseline of the active alarms, or fails on alarms that are new or worse than it.\n\
        New alarms have `hold` seconds to clear by themselves. What is ignored needs a reason, which the result keeps.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("alarms", "id, entity, severity, text and management_affecting of each active alarm"),
        ("ignored", "active alarms passed over, with the reason"),
    ];
    const EXAMPLE: &'static str =
        "- name: no new alarms\n  stx_alarms:\n    state: gate\n    baseline: \"{{ baseline.alarms }}\"";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        if let Some(ignore) = args.ignore.iter().find(|i| text(i, "id").is_none() || text(i, "reason").is_none()) {
            let shown = Value::dict(ignore.clone());
            return Err(Failure::new(format!(
                "an alarm to ignore needs an `id` and a `reason`, and this has not both: {shown}"
            )));
        }
        if args.state == State::Baseline {
            let alarms = platform::patiently(host, platform::alarms)?;
            let msg = match alarms.len() {
                0 => "no alarms".to_owned(),
                n => format!("{n} known: {}", listed(alarms.iter())),
            };
            return Ok(Outcome::ok().msg(msg).with("alarms", alarms.iter().map(Alarm::to_value).collect::<Value>()));
        }
        gate(&args, host)
    }
}

fn gate(args: &Args, host: &mut dyn Look) -> Result<Outcome, Failure> {
    let wait = Wait::new("new alarms to clear", Duration::from_secs(args.hold));
    let mut last = Vec::new();
    let seen = wait.until(host, |host| {
        platform::sight(platform::alarms(host), |alarms| {
            last = alarms.iter().filter(|a| counts(args, a)).cloned().collect();
            if last.is_empty() { Sight::Done(alarms) } else { Sight::NotYet(listed(last.iter())) }
        })
    });
    let alarms = match seen {
        Ok(alarms) => alarms,
        Err(WaitError::TimedOut { seen, .. }) if last.is_empty() => {
            return Err(Failure::new(format!("the alarms could not be read: {seen}")));
        }
        Err(WaitError::TimedOut { .. }) => {
            let mut advice = Advice::failed(format!("new or worse alarms than at the start: {}", listed(last.iter())));
            for alarm in &last {
                advice = advice.cause(alarm.to_string());
            }
            return Err(advice
                .next("clear them and `stx-upgrade resume`; or add them to `ignore_alarms` with a reason")
                .with("alarms", last.iter().map(Alarm::to_value).collect::<Value>())
                .into());
        }
        Err(other) => return Err(other.into()),
    };
    let ignored = alarms.iter().filter_map(|a| Some((a, ignored(args, a)?)));
    let ignored: Value = ignored.map(|(a, why)| Value::str(format!("{a} ({why})"))).collect();
    Ok(Outcome::ok()
        .msg(format!("no new alarms ({} known)", alarms.len()))
        .with("alarms", alarms.iter().map(Alarm::to_value).collect::<Value>())
        .with("ignored", ignored))
}

/// Whether an alarm is neither ignored nor in the baseline at least as bad.
fn counts(args: &Args, alarm: &Alarm) -> bool {
    let known = args.baseline.iter().any(|b| {
        text(b, "id").as_deref() == Some(&alarm.id)
            && text(b, "entity").as_deref() == Some(&alarm.entity)
            && text(b, "severity").is_some_and(|s| Severity::of(&s) >= alarm.severity)
    });
    !known && ignored(args, alarm).is_none()
}

fn ignored(args: &Args, alarm: &Alarm) -> Option<String> {
    let entry = args.ignore.iter().find(|i| {
        text(i, "id").as_deref() == Some(&alarm.id)
            && text(i, "entity").is_none_or(|e| alarm.entity == e || alarm.entity.starts_with(&format!("{e}.")))
    })?;
    text(entry, "reason")
}

fn text(dict: &Dict, key: &str) -> Option<String> {
    dict.get(key).filter(|v| !v.is_null()).map(Value::to_string).filter(|t| !t.is_empty())
}

fn listed<'a>(alarms: impl Iterator<Item = &'a Alarm>) -> String {
    alarms.map(|a| format!("{} on {}", a.id, a.entity)).collect::<Vec<_>>().join(", ")
}
