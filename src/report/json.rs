//! JSON lines: one event a line, for programs. This is a stable interface:
//!
//! - Every line is an object with `at` (milliseconds since 1970, UTC), `time` (the same as RFC 3339) and `event` (its name),
//!   then the event's own members as `model::event` names them.
//! - The first line is `run_started` and carries `"format": 1`. A change that could break a reader raises it; new events and
//!   new members do not, so a reader passes over what it does not know.
//! - `result.outcome` is what came of a task: `status` (`ok`, `skipped`, `failed`, `unreachable`, or
//!   `{"not_knowable": reason}`), `changed`, `msg`, `data` (the module's return values), `facts`, `diff`, `warnings`; what
//!   is empty or false is left out.
//! - Secrets are `********`; with `no_log`, `result.censored` is true and values are missing.

use std::io::Write;

use chrono::{SecondsFormat, TimeZone, Utc};
use serde_json::{Map, Value};

use super::Reporter;
use super::plain::Sink;
use crate::model::event::{Event, Stamped};
use crate::model::secret::Mask;

/// Raised when a reader of an older one could break.
const FORMAT: u32 = 1;

/// Writes one event a line.
pub struct Json<W> {
    out: Sink<W>,
    mask: Mask,
}

impl<W: Write> Json<W> {
    /// `mask` is the last defence; the engine masks before.
    pub fn new(out: W, mask: Mask) -> Json<W> {
        Json { out: Sink(Some(out)), mask }
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, e: &Stamped) {
        self.out.write(&line(&e.masked(&self.mask)));
        self.out.flush();
    }

    fn finish(&mut self) {
        self.out.flush();
    }
}

/// An event as its line, with the newline.
pub fn line(e: &Stamped) -> String {
    let mut members = Map::new();
    members.insert("at".into(), e.at.into());
    let time = Utc.timestamp_millis_opt(e.at as i64).single().unwrap_or_default();
    members.insert("time".into(), time.to_rfc3339_opts(SecondsFormat::Millis, true).into());
    if let Ok(Value::Object(own)) = serde_json::to_value(&e.event) {
        members.extend(own);
    }
    if matches!(e.event, Event::RunStarted { .. }) {
        members.insert("format".into(), FORMAT.into());
    }
    Value::Object(members).to_string() + "\n"
}
