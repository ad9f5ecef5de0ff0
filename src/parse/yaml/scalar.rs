//! What a plain scalar means in YAML 1.1 as PyYAML implements it: `yes` is true, `0644` is 420, `1:30` is 90.

use crate::model::value::{Key, Value};

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that 64 bits do not hold; its text is kept.
    Huge,
    Float(f64),
    /// A date (`2024-01-31`) or time stamp, in ISO form.
    Date(String),
    Str,
    /// `<<` or `=`: words with a meaning of their own, which must be quoted as values.
    Reserved,
}

impl Plain {
    /// For messages.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Plain::Null => "nothing",
            Plain::Bool(_) => "a boolean",
            Plain::Int(_) | Plain::Huge => "an integer",
            Plain::Float(_) => "a number",
            Plain::Date(_) => "a date",
            Plain::Str | Plain::Reserved => "a string",
        }
    }
}

/// What a plain scalar means.
pub fn resolve(text: &str) -> Plain {
    let Some(first) = text.bytes().next() else { return Plain::Null };
    match first {
        b'~' | b'n' | b'N' if is_null(text) => Plain::Null,
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => {
            boolean(text).map_or(Plain::Str, Plain::Bool)
        }
        b'-' | b'+' | b'.' | b'0'..=b'9' => number(text),
        b'<' if text == "<<" => Plain::Reserved,
        b'=' if text == "=" => Plain::Reserved,
        _ => Plain::Str,
    }
}

/// Whether a plain scalar is null.
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether a plain scalar is a string.
pub fn is_string(text: &str) -> bool {
    resolve(text) == Plain::Str
}

/// A plain scalar as a value; a date and a huge number as their text.
pub fn value(text: &str) -> Value {
    match resolve(text) {
        Plain::Null => Value::Null,
        Plain::Bool(b) => Value::Bool(b),
        Plain::Int(i) => Value::Int(i),
        Plain::Float(x) => Value::Float(x),
        Plain::Date(iso) => Value::from(iso),
        Plain::Str | Plain::Huge | Plain::Reserved => Value::str(text),
    }
}

/// A plain scalar as a key.
pub fn key(text: &str) -> Key {
    Key::from_value(&value(text)).unwrap_or_else(|| Key::str(text))
}

/// The booleans of YAML 1.1, in the three cases that it allows.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Plain {
    if let Some(found) = float(text) {
        return Plain::Float(found);
    }
    match int(text) {
        Some(Ok(i)) => return Plain::Int(i),
        Some(Err(())) => return Plain::Huge,
        None => {}
    }
    date(text).map_or(Plain::Str, Plain::Date)
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// Whether a text is not empty and consists of the bytes that `allowed` says.
fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

/// An integer; `Err` if it is one that 64 bits do not hold.
pub fn int(text: &str) -> Option<Result<i64, ()>> {
    let (negative, digits) = sign(text);
    let from_radix = |digits: &str, radix: u32| {
        let clean: String = digits.chars().filter(|c| *c != '_').collect();
        if clean.is_empty() {
            // `0_` is 0; `0x_` is nothing that Python reads.
            return if radix == 8 { Some(Ok(0)) } else { None };
        }
        let clean = if negative { format!("-{clean}") } else { clean };
        Some(i64::from_str_radix(&clean, radix).map_err(drop))
    };
    let bytes = digits.as_bytes();
    match bytes {
        [b'0'] => Some(Ok(0)),
        [b'0', b'b', ..] if all(&digits[2..], |b| matches!(b, b'0' | b'1' | b'_')) => from_radix(&digits[2..], 2),
        [b'0', b'x', ..] if all(&digits[2..], |b| b.is_ascii_hexdigit() || b == b'_') => from_radix(&digits[2..], 16),
        [b'0', ..] if all(&digits[1..], |b| matches!(b, b'0'..=b'7' | b'_')) => from_radix(&digits[1..], 8),
        [b'1'..=b'9', ..] if all(digits, |b| b.is_ascii_digit() || b == b'_') => from_radix(digits, 10),
        [b'1'..=b'9', ..] if digits.contains(':') => {
            let total = sixties(digits)?
                .try_fold(0i64, |sum, part| part.parse::<i64>().ok().and_then(|p| sum.checked_mul(60)?.checked_add(p)));
            Some(total.map(|t| if negative { -t } else { t }).ok_or(()))
        }
        _ => None,
    }
}

/// The parts of `190:20:30`, if it is of base 60: digits first, then `0` to `59`.
fn sixties(text: &str) -> Option<impl Iterator<Item = String>> {
    let mut parts = text.split(':');
    let head = parts.next()?;
    let tail: Vec<&str> = parts.collect();
    let fits = |part: &&str| match part.as_bytes() {
        [b] => b.is_ascii_digit(),
        [a, b] => matches!(a, b'0'..=b'5') && b.is_ascii_digit(),
        _ => false,
    };
    let good = head.starts_with(|c: char| c.is_ascii_digit())
        && all(head, |b| b.is_ascii_digit() || b == b'_')
        && !tail.is_empty()
        && tail.iter().all(fits);
    let clean = |p: &str| p.chars().filter(|c| *c != '_').collect::<String>();
    good.then(|| std::iter::once(clean(head)).chain(tail.into_iter().map(clean).collect::<Vec<_>>()))
}

/// A float: a point is needed (`1e3` is text), an exponent needs its sign.
fn float(text: &str) -> Option<f64> {
    let (negative, digits) = sign(text);
    let signed = |x: f64| if negative { -x } else { x };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(signed(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits == text => return Some(f64::NAN),
        _ => {}
    }
    let (whole, rest) = digits.split_once('.')?;
    let split = rest.find(['e', 'E']);
    let (fraction, exponent) = split.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    let clean: String = digits.chars().filter(|c| *c != '_').collect();
    if whole.contains(':') {
        let fits = exponent.is_none() && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        let mut total = fits
            .then(|| sixties(whole))
            .flatten()?
            .try_fold(0.0, |sum, part| part.parse::<f64>().ok().map(|p| sum * 60.0 + p))?;
        let fraction: String = fraction.chars().filter(|c| *c != '_').collect();
        total += format!("0.{fraction}0").parse::<f64>().ok()?;
        return Some(signed(total));
    }
    if let Some(exponent) = exponent {
        let (_, power) = sign(exponent);
        if power.len() == exponent.len() || !all(power, |b| b.is_ascii_digit()) {
            return None;
        }
    }
    let good = if whole.is_empty() {
        // `.5` takes no sign.
        digits == text
            && fraction.starts_with(|c: char| c.is_ascii_digit())
            && all(fraction, |b| b.is_ascii_digit() || b == b'_')
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit())
            && all(whole, |b| b.is_ascii_digit() || b == b'_')
            && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    };
    good.then(|| clean.parse::<f64>().ok().map(signed)).flatten()
}

/// A date or time stamp in ISO form; one that no calendar has is text.
fn date(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return None;
    }
    let day_end = text.find(['T', 't', ' ', '\t']).unwrap_or(text.len());
    let (day, time) = (&text[..day_end], &text[day_end..]);
    let mut parts = day.split('-');
    let (year, month, dom) = (parts.next()?, parts.next()?, parts.next()?);
    let short = |p: &str, strict: bool| {
        (if strict { p.len() == 2 } else { matches!(p.len(), 1 | 2) }) && all(p, |b| b.is_ascii_digit())
    };
    let strict = time.is_empty();
    if parts.next().is_some() || !short(month, strict) || !short(dom, strict) {
        return None;
    }
    let (y, m, d): (u32, u32, u32) = (year.parse().ok()?, month.parse().ok()?, dom.parse().ok()?);
    if y == 0 || !(1..=12).contains(&m) || d == 0 || d > days(y, m) {
        return None;
    }
    let day = format!("{y:04}-{m:02}-{d:02}");
    if strict { Some(day) } else { clock(time).map(|t| format!("{day}T{t}")) }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `T12:30:45.5Z`, ` 12:30:45 -05:00`; the zone as Python prints it.
fn clock(text: &str) -> Option<String> {
    let text = match text.as_bytes().first()? {
        b'T' | b't' => &text[1..],
        _ => text.trim_start_matches([' ', '\t']),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(text.len());
    let (clock, zone) = (&text[..end], text[end..].trim_start_matches([' ', '\t']));
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(w, f)| (w, Some(f)));
    let parts: Vec<&str> = whole.split(':').collect();
    let [h, m, s] = parts.as_slice() else { return None };
    if !matches!(h.len(), 1 | 2) || m.len() != 2 || s.len() != 2 {
        return None;
    }
    let (h, m, s): (u32, u32, u32) = (h.parse().ok()?, m.parse().ok()?, s.parse().ok()?);
    if h > 23 || m > 59 || s > 59 || fraction.is_some_and(|f| f.contains(['.', ':'])) {
        return None;
    }
    let micros: u32 = format!("{:0<6.6}", fraction.unwrap_or("")).parse().ok()?;
    let micros = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    Some(format!("{h:02}:{m:02}:{s:02}{micros}{}", offset(zone)?))
}

fn offset(zone: &str) -> Option<String> {
    match zone {
        "" => return Some(String::new()),
        "Z" => return Some("+00:00".into()),
        _ => {}
    }
    let (negative, digits) = sign(zone);
    if digits.len() == zone.len() {
        return None;
    }
    let (h, m) = digits.split_once(':').unwrap_or((digits, "00"));
    if !matches!(h.len(), 1 | 2) || m.len() != 2 {
        return None;
    }
    let (h, m): (u32, u32) = (h.parse().ok()?, m.parse().ok()?);
    (h < 24 && m < 60).then(|| format!("{}{h:02}:{m:02}", if negative { '-' } else { '+' }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_what_it_means_in_yaml_1_1() {
        for (text, meaning) in [
            ("yes", Plain::Bool(true)),
            ("Off", Plain::Bool(false)),
            ("yEs", Plain::Str),
            ("y", Plain::Str),
            ("0644", Plain::Int(420)),
            ("0o644", Plain::Str),
            ("0x1F", Plain::Int(31)),
            ("1_000", Plain::Int(1000)),
            ("1:30", Plain::Int(90)),
            ("0000:18:00.0", Plain::Float(1080.0)),
            ("0669:00.0", Plain::Float(40140.0)),
            ("12:30:45", Plain::Int(45045)),
            ("08", Plain::Str),
            ("1e3", Plain::Str),
            ("1.5e+3", Plain::Float(1500.0)),
            ("-.5", Plain::Str),
            ("9223372036854775808", Plain::Huge),
            ("2024-01-31", Plain::Date("2024-01-31".into())),
            ("2024-02-30", Plain::Str),
            ("2001-12-14 21:59:43.10 -5", Plain::Date("2001-12-14T21:59:43.100000-05:00".into())),
            ("", Plain::Null),
            ("~", Plain::Null),
            ("<<", Plain::Reserved),
            ("1.2.3", Plain::Str),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }
}
