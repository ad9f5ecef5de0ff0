//! Dates and durations in templates: what `now()` and `to_datetime` give, with the members and arithmetic of Python's.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::error::fail;
use super::jinja::eval::Cx;
use super::jinja::tree::Math;
use super::jinja::val::{Args, Object, Res, Val};
use crate::model::value::Value;

/// A date and time without a zone.
#[derive(Clone, Copy)]
pub struct Moment(pub DateTime);

/// A duration in microseconds, as exact as Python's.
fn micros(d: SignedDuration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// A length of time.
#[derive(Clone, Copy)]
pub struct Duration(pub SignedDuration);

fn zone(utc: bool) -> TimeZone {
    if utc { TimeZone::UTC } else { TimeZone::system() }
}

/// The present, in local time or UTC.
pub fn now(utc: bool) -> Moment {
    Moment(Timestamp::now().to_zoned(zone(utc)).datetime())
}

/// The moment so many seconds after the start of 1970.
pub fn at(seconds: f64, utc: bool) -> Res<Moment> {
    match SignedDuration::try_from_secs_f64(seconds).and_then(Timestamp::from_duration) {
        Ok(t) => Ok(Moment(t.to_zoned(zone(utc)).datetime())),
        Err(e) => fail(format!("{seconds} is not a time: {e}")),
    }
}

impl Moment {
    /// Python's `strptime`.
    pub fn parse(text: &str, format: &str) -> Res<Moment> {
        let wrong = |why: String| fail(format!("time data '{text}' does not match format '{format}': {why}"));
        let parsed = match jiff::fmt::strtime::parse(format, text) {
            Ok(parsed) => parsed,
            Err(e) => return wrong(e.to_string()),
        };
        // Python takes the first of January 1900, midnight, for what the format leaves out.
        let number = |v: Option<i8>, default: i8| v.unwrap_or(default);
        let date = parsed.to_date().or_else(|_| {
            jiff::civil::Date::new(parsed.year().unwrap_or(1900), number(parsed.month(), 1), number(parsed.day(), 1))
        });
        match date {
            Ok(date) => Ok(Moment(date.at(
                number(parsed.hour(), 0),
                number(parsed.minute(), 0),
                number(parsed.second(), 0),
                parsed.subsec_nanosecond().unwrap_or(0),
            ))),
            Err(e) => wrong(e.to_string()),
        }
    }

    /// Python's `strftime`.
    pub fn format(&self, format: &str) -> Res<String> {
        // Python's `%f` has six digits.
        let format = format.replace("%f", &format!("{:06}", self.0.subsec_nanosecond() / 1000));
        let zoned = self.0.to_zoned(TimeZone::system());
        let text = zoned.and_then(|z| jiff::fmt::strtime::format(format.as_bytes(), &z));
        match text {
            Ok(text) => Ok(text),
            Err(e) => fail(format!("'{format}' is not a format that strftime knows: {e}")),
        }
    }

    /// Python's `str()` of a datetime.
    fn iso(&self, between: char) -> String {
        let t = self.0;
        let mut text = format!(
            "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        );
        let micros = t.subsec_nanosecond() / 1000;
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
            Some("microsecond") => i64::from(self.0.subsec_nanosecond() / 1000),
            _ => return Ok(None),
        };
        Ok(Some(Val::Int(n)))
    }
    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
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
            "timestamp" => match self.0.to_zoned(TimeZone::system()) {
                Ok(z) => Val::Float(z.timestamp().as_microsecond() as f64 / 1e6),
                Err(e) => return fail(e.to_string()),
            },
            "date" => Val::object(Moment(self.0.date().at(0, 0, 0, 0))),
            "weekday" => Val::Int(i64::from(self.0.weekday().to_monday_zero_offset())),
            "isoweekday" => Val::Int(i64::from(self.0.weekday().to_monday_one_offset())),
            "replace" => {
                let b = args
                    .clone()
                    .bind("replace()", &["year", "month", "day", "hour", "minute", "second", "microsecond"])?;
                let mut t = self.0.with();
                for (i, name) in ["year", "month", "day", "hour", "minute", "second", "microsecond"].iter().enumerate()
                {
                    let Some(n) = b.int(i, name)? else { continue };
                    let small = i8::try_from(n).unwrap_or(i8::MAX);
                    t = match *name {
                        "year" => t.year(i16::try_from(n).unwrap_or(i16::MAX)),
                        "month" => t.month(small),
                        "day" => t.day(small),
                        "hour" => t.hour(small),
                        "minute" => t.minute(small),
                        "second" => t.second(small),
                        _ => t.subsec_nanosecond(i32::try_from(n).unwrap_or(i32::MAX).saturating_mul(1000)),
                    };
                }
                match t.build() {
                    Ok(t) => Val::object(Moment(t)),
                    Err(e) => return fail(format!("replace() makes a date that does not exist: {e}")),
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
        let all = micros(self.0);
        let day = 86_400_000_000;
        let rest = all.rem_euclid(day);
        Ok(match key.as_str() {
            Some("days") => Some(Val::Int(all.div_euclid(day))),
            Some("seconds") => Some(Val::Int(rest / 1_000_000)),
            Some("microseconds") => Some(Val::Int(rest % 1_000_000)),
            _ => None,
        })
    }
    fn method(&self, _cx: &mut Cx<'_>, name: &str, _args: &Args) -> Res<Option<Val>> {
        let all = micros(self.0);
        Ok((name == "total_seconds").then(|| Val::Float(all as f64 / 1e6)))
    }
    fn truth(&self) -> bool {
        !self.0.is_zero()
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        let all = micros(self.0);
        let day = 86_400_000_000;
        let (days, rest) = (all.div_euclid(day), all.rem_euclid(day));
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
    let moment = |m: Result<DateTime, jiff::Error>| {
        Some(m.map_or_else(|_| fail("date value out of range"), |m| Ok(Val::object(Moment(m)))))
    };
    let duration = |d: Option<SignedDuration>| {
        Some(d.map_or_else(|| fail("duration out of range"), |d| Ok(Val::object(Duration(d)))))
    };
    let (dates, durations) = (
        (a.downcast_ref::<Moment>(), b.downcast_ref::<Moment>()),
        (a.downcast_ref::<Duration>(), b.downcast_ref::<Duration>()),
    );
    match (op, dates, durations) {
        (Math::Sub, (Some(a), Some(b)), _) => duration(Some(a.0.duration_since(b.0))),
        (Math::Add, (Some(a), _), (_, Some(b))) => moment(a.0.checked_add(b.0)),
        (Math::Sub, (Some(a), _), (_, Some(b))) => moment(a.0.checked_sub(b.0)),
        (Math::Add, (_, Some(b)), (Some(a), _)) => moment(b.0.checked_add(a.0)),
        (Math::Add, _, (Some(a), Some(b))) => duration(a.0.checked_add(b.0)),
        (Math::Sub, _, (Some(a), Some(b))) => duration(a.0.checked_sub(b.0)),
        _ => None,
    }
}
