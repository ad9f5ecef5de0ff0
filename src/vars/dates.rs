//! Dates and durations in templates: what `now()` and `to_datetime` give, with the members and arithmetic of Python's.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt::Write;

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};

use super::error::fail;
use super::jinja::eval::Cx;
use super::jinja::tree::Math;
use super::jinja::val::{Args, Object, Res, Val};
use crate::model::value::Value;

/// A date and time without a zone.
#[derive(Clone, Copy)]
pub struct Moment(pub NaiveDateTime);

/// A length of time.
#[derive(Clone, Copy)]
pub struct Duration(pub TimeDelta);

/// The present, in local time or UTC.
pub fn now(utc: bool) -> Moment {
    Moment(if utc { chrono::Utc::now().naive_utc() } else { chrono::Local::now().naive_local() })
}

impl Moment {
    /// Python's `strftime`.
    pub fn format(&self, format: &str) -> Res<String> {
        let mut out = String::new();
        // Python passes what it does not know through; chrono's `%f` has nine digits, Python's six.
        let format = format.replace("%f", &format!("{:06}", self.0.nanosecond() / 1000));
        match write!(out, "{}", self.0.and_utc().format(&format)) {
            Ok(()) => Ok(out),
            Err(_) => fail(format!("'{format}' is not a format that strftime knows")),
        }
    }

    /// Python's `str()` of a datetime.
    fn iso(&self, between: char) -> String {
        let mut text = self.0.format(&format!("%Y-%m-%d{between}%H:%M:%S")).to_string();
        let micros = self.0.nanosecond() / 1000;
        if micros > 0 {
            let _ = write!(text, ".{micros:06}");
        }
        text
    }
}

impl Object for Moment {
    fn kind(&self) -> &'static str {
        "datetime"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let n = match key.as_str() {
            Some("year") => i64::from(self.0.year()),
            Some("month") => i64::from(self.0.month()),
            Some("day") => i64::from(self.0.day()),
            Some("hour") => i64::from(self.0.hour()),
            Some("minute") => i64::from(self.0.minute()),
            Some("second") => i64::from(self.0.second()),
            Some("microsecond") => i64::from(self.0.nanosecond() / 1000),
            _ => return Ok(None),
        };
        Ok(Some(Val::Int(n)))
    }
    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
        let seconds = |t: NaiveDateTime| t.and_utc().timestamp_micros() as f64 / 1e6;
        Ok(Some(match name {
            "strftime" => {
                let Some(format) = args.pos.first() else { return fail("strftime() needs a format") };
                let format = cx.text(format)?;
                self.format(&format)?.into()
            }
            "isoformat" => {
                let between = match args.pos.first() {
                    Some(v) => cx.text(v)?.chars().next().unwrap_or('T'),
                    None => 'T',
                };
                self.iso(between).into()
            }
            "timestamp" => {
                let local = self.0.and_local_timezone(chrono::Local).earliest();
                Val::Float(local.map_or_else(|| seconds(self.0), |t| t.timestamp_micros() as f64 / 1e6))
            }
            "date" => Val::object(Moment(self.0.date().and_hms_opt(0, 0, 0).unwrap_or(self.0))),
            "weekday" => Val::Int(i64::from(self.0.weekday().num_days_from_monday())),
            "isoweekday" => Val::Int(i64::from(self.0.weekday().number_from_monday())),
            "replace" => {
                let b = args
                    .clone()
                    .bind("replace()", &["year", "month", "day", "hour", "minute", "second", "microsecond"])?;
                let mut t = Some(self.0);
                for (i, name) in ["year", "month", "day", "hour", "minute", "second", "microsecond"].iter().enumerate()
                {
                    let Some(n) = b.int(i, name)? else { continue };
                    let u = u32::try_from(n).unwrap_or(u32::MAX);
                    t = t.and_then(|t| match *name {
                        "year" => t.with_year(i32::try_from(n).ok()?),
                        "month" => t.with_month(u),
                        "day" => t.with_day(u),
                        "hour" => t.with_hour(u),
                        "minute" => t.with_minute(u),
                        "second" => t.with_second(u),
                        _ => t.with_nanosecond(u.checked_mul(1000)?),
                    });
                }
                match t {
                    Some(t) => Val::object(Moment(t)),
                    None => return fail("replace() makes a date that does not exist"),
                }
            }
            _ => return Ok(None),
        }))
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        Ok(self.iso(' '))
    }
    fn value(&self, _cx: &mut Cx<'_>) -> Res<Value> {
        Ok(Value::str(self.iso(' ')))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Duration {
    fn kind(&self) -> &'static str {
        "timedelta"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        // Python keeps days negative and the rest positive.
        let micros = self.0.num_microseconds().unwrap_or(0);
        let day = 86_400_000_000;
        let rest = micros.rem_euclid(day);
        Ok(match key.as_str() {
            Some("days") => Some(Val::Int(micros.div_euclid(day))),
            Some("seconds") => Some(Val::Int(rest / 1_000_000)),
            Some("microseconds") => Some(Val::Int(rest % 1_000_000)),
            _ => None,
        })
    }
    fn method(&self, _cx: &mut Cx<'_>, name: &str, _args: &Args) -> Res<Option<Val>> {
        let micros = self.0.num_microseconds().unwrap_or(0);
        Ok((name == "total_seconds").then(|| Val::Float(micros as f64 / 1e6)))
    }
    fn truth(&self) -> bool {
        !self.0.is_zero()
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        let micros = self.0.num_microseconds().unwrap_or(0);
        let day = 86_400_000_000;
        let (days, rest) = (micros.div_euclid(day), micros.rem_euclid(day));
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let mut text = match days {
            0 => String::new(),
            1 | -1 => format!("{days} day, "),
            _ => format!("{days} days, "),
        };
        let _ = write!(text, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if micros > 0 {
            let _ = write!(text, ".{micros:06}");
        }
        Ok(text)
    }
    fn value(&self, cx: &mut Cx<'_>) -> Res<Value> {
        Ok(Value::str(self.text(cx)?))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The order of two dates or two durations.
pub fn order(a: &dyn Any, b: &dyn Any) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.downcast_ref::<Moment>(), b.downcast_ref::<Moment>()) {
        return Some(a.0.cmp(&b.0));
    }
    let (a, b) = (a.downcast_ref::<Duration>()?, b.downcast_ref::<Duration>()?);
    Some(a.0.cmp(&b.0))
}

/// Dates less dates, dates and durations, durations and durations.
pub fn math(op: Math, a: &dyn Any, b: &Val) -> Option<Res> {
    let Val::Object(b) = b else { return None };
    let b = b.as_any();
    let moment = |m: Option<NaiveDateTime>| {
        Some(m.map_or_else(|| fail("date value out of range"), |m| Ok(Val::object(Moment(m)))))
    };
    let duration =
        |d: Option<TimeDelta>| Some(d.map_or_else(|| fail("duration out of range"), |d| Ok(Val::object(Duration(d)))));
    match (
        a.downcast_ref::<Moment>(),
        a.downcast_ref::<Duration>(),
        b.downcast_ref::<Moment>(),
        b.downcast_ref::<Duration>(),
    ) {
        (Some(a), _, Some(b), _) if op == Math::Sub => duration(Some(a.0 - b.0)),
        (Some(a), _, _, Some(b)) if op == Math::Add => moment(a.0.checked_add_signed(b.0)),
        (Some(a), _, _, Some(b)) if op == Math::Sub => moment(a.0.checked_sub_signed(b.0)),
        (_, Some(a), Some(b), _) if op == Math::Add => moment(b.0.checked_add_signed(a.0)),
        (_, Some(a), _, Some(b)) if op == Math::Add => duration(a.0.checked_add(&b.0)),
        (_, Some(a), _, Some(b)) if op == Math::Sub => duration(a.0.checked_sub(&b.0)),
        _ => None,
    }
}
