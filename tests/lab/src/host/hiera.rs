//! Reads hieradata the way Puppet's YAML 1.1 does: one flat level, and plain scalars that turn into numbers, booleans
//! and dates unless they are quoted.

use granit_parser::{Event, Parser, ScalarStyle};

/// A value as a YAML 1.1 reader takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(String),
    Float(String),
    Boolean(bool),
    Date(String),
    Null,
    /// A list or a mapping; the texts in it.
    Nested(Vec<String>),
}

impl Value {
    /// The kind's name in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "String",
            Value::Integer(_) => "Integer",
            Value::Float(_) => "Float",
            Value::Boolean(_) => "Boolean",
            Value::Date(_) => "Timestamp",
            Value::Null => "Undef",
            Value::Nested(_) => "Collection",
        }
    }

    /// Every text in it.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Value::Text(text) | Value::Integer(text) | Value::Float(text) | Value::Date(text) => {
                vec![text]
            }
            Value::Nested(texts) => texts.iter().map(String::as_str).collect(),
            Value::Boolean(_) | Value::Null => vec![],
        }
    }
}

/// The top-level entries of a hieradata file, in order.
pub fn read(text: &str) -> Result<Vec<(String, Value)>, String> {
    let mut entries = Vec::new();
    let mut depth = 0;
    let mut key: Option<String> = None;
    let mut nested: Vec<String> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|why| why.to_string())?;
        match event {
            Event::Scalar(value, style, ..) if depth == 1 => match key.take() {
                None => key = Some(value.into_owned()),
                Some(name) => entries.push((name, resolve(&value, style == ScalarStyle::Plain))),
            },
            Event::Scalar(value, ..) if depth == 0 && value.is_empty() => {}
            Event::Scalar(value, ..) => nested.push(value.into_owned()),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return Err("a list where keys and values were expected".into());
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                if depth == 1
                    && let Some(name) = key.take()
                {
                    entries.push((name, Value::Nested(std::mem::take(&mut nested))));
                }
            }
            _ => {}
        }
    }
    Ok(entries)
}

/// YAML 1.1's resolution of a scalar.
fn resolve(text: &str, plain: bool) -> Value {
    let own = text.to_string();
    if !plain {
        return Value::Text(own);
    }
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    let lower = text.to_ascii_lowercase();
    let cased = text == lower || text == text.to_ascii_uppercase() || text[1..] == lower[1..];
    if cased && matches!(lower.as_str(), "yes" | "true" | "on") {
        return Value::Boolean(true);
    }
    if cased && matches!(lower.as_str(), "no" | "false" | "off") {
        return Value::Boolean(false);
    }
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if integer(bare) {
        return Value::Integer(own);
    }
    if float(bare) {
        return Value::Float(own);
    }
    if date(text) { Value::Date(own) } else { Value::Text(own) }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

fn integer(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(binary) = text.strip_prefix("0b") {
        return !binary.is_empty() && binary.bytes().all(|b| matches!(b, b'0' | b'1' | b'_'));
    }
    if text.contains(':') {
        return text.starts_with(|c: char| ('1'..='9').contains(&c)) && sexagesimal(text);
    }
    text.starts_with(|c: char| c.is_ascii_digit()) && digits(text)
}

/// `1:30:00`: every part after the first below 60.
fn sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or("");
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().all(|part| (1..=2).contains(&part.len()) && part.parse::<u32>().is_ok_and(|n| n < 60))
}

fn float(text: &str) -> bool {
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((head, tail)) = text.split_once('.') else {
        return false;
    };
    if head.contains(':') {
        return sexagesimal(head) && tail.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    }
    let (fraction, exponent) = match tail.find(['e', 'E']) {
        Some(at) => (&tail[..at], Some(&tail[at + 1..])),
        None => (tail, None),
    };
    (digits(head) && !head.starts_with('_') || head.is_empty() && !fraction.is_empty())
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && exponent.is_none_or(|e| e.starts_with(['+', '-']) && digits(&e[1..]))
}

fn date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && text[..4].bytes().chain(text[5..7].bytes()).chain(text[8..10].bytes()).all(|b| b.is_ascii_digit())
        && (bytes.len() == 10 || matches!(bytes[10], b'T' | b't' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        resolve(text, true)
    }

    #[test]
    fn the_victims_of_yaml_1_1() {
        assert_eq!(one("0000:11:09.0").kind(), "Float");
        assert_eq!(one("21.05").kind(), "Float");
        assert_eq!(one("0755").kind(), "Integer");
        assert_eq!(one("yes").kind(), "Boolean");
        assert_eq!(one("1:30").kind(), "Integer");
        assert_eq!(one("2021-12-16").kind(), "Timestamp");
        assert_eq!(one("0e12345").kind(), "String");
        assert_eq!(one("08:00:27:11:22:10").kind(), "String");
        assert_eq!(one("/opt/platform/config/21.05").kind(), "String");
    }

    #[test]
    fn a_file() {
        let read = read("# head\na::b: 'yes'\nc::d:\n- x\n- y\ne: 1\n").unwrap_or_default();
        assert_eq!(read[0], ("a::b".into(), Value::Text("yes".into())));
        assert_eq!(read[1], ("c::d".into(), Value::Nested(vec!["x".into(), "y".into()])));
        assert_eq!(read[2].1, Value::Integer("1".into()));
    }
}
