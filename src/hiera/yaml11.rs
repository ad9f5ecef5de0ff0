//! What a YAML 1.1 reader (Puppet's, Python's) makes of a plain scalar, and how to write a text so that it stays a text.

use crate::model::value::Value;

/// A plain scalar as YAML 1.1 types it. Dates stay texts: no reader of hieradata wants them otherwise.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::str(text))
}

/// A number by YAML 1.1's rules: underscores, octal with a leading zero, base 60 with colons.
fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let first = digits.chars().next()?;
    if !first.is_ascii_digit() && first != '.' {
        return None;
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    let radix = |digits: &str, radix: u32| i64::from_str_radix(digits, radix).ok().map(|i| Value::Int(sign * i));
    if plain.contains(':') {
        return sexagesimal(&plain, sign);
    }
    if let Some(hex) = plain.strip_prefix("0x") {
        return radix(hex, 16);
    }
    if let Some(binary) = plain.strip_prefix("0b") {
        return radix(binary, 2);
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.chars().all(|c| ('0'..='7').contains(&c)) {
        return radix(&plain[1..], 8);
    }
    if plain.chars().all(|c| c.is_ascii_digit()) {
        // 08 and 09 are no octal, and no decimal either for some readers: Python has a text, Ruby a number.
        return if plain.len() > 1 && plain.starts_with('0') { None } else { radix(&plain, 10) };
    }
    let (mantissa, exponent) = plain.split_once(['e', 'E']).map_or((&*plain, None), |(m, e)| (m, Some(e)));
    let fits = mantissa.matches('.').count() == 1
        && mantissa.chars().all(|c| c.is_ascii_digit() || c == '.')
        && mantissa.len() > 1
        && exponent.is_none_or(|e| {
            e.strip_prefix(['+', '-']).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
        });
    let value: f64 = fits.then(|| plain.parse().ok())??;
    Some(Value::Float(f64::from(sign as i32) * value))
}

/// `11:09.0` is 669.0: the bug that wrote PCI addresses as numbers.
fn sexagesimal(digits: &str, sign: i64) -> Option<Value> {
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut value: i64 = 0;
    for (i, part) in whole.split(':').enumerate() {
        let fits = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()) && (i == 0 || part.len() <= 2);
        let number: i64 = fits.then(|| part.parse().ok())??;
        if i > 0 && number >= 60 {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(number)?;
    }
    match fraction {
        None if whole.starts_with('0') => None,
        None => Some(Value::Int(sign * value)),
        Some(f) if f.chars().all(|c| c.is_ascii_digit()) => {
            let fraction: f64 = format!("0.{f}0").parse().ok()?;
            Some(Value::Float(sign as f64 * (value as f64 + fraction)))
        }
        Some(_) => None,
    }
}

/// A text as a scalar that every YAML 1.1 reader takes for that text: plain only where nothing could be mistaken.
pub fn quoted(text: &str) -> String {
    if is_safe(text) {
        return text.to_owned();
    }
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                    if (c as u32) < 0x100 {
                        out.push_str(&format!("\\x{:02x}", c as u32));
                    } else {
                        out.push_str(&format!("\\u{:04x}", c as u32));
                    }
                }
                c => out.push(c),
            }
        }
        return out + "\"";
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text can stand plain: it begins with a letter or a slash, holds nothing that means something to YAML, and is
/// no word that some reader takes for a truth, nothing, or a number.
fn is_safe(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "inf", "nan", "none"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-@+:".contains(c))
        && !text.ends_with(':')
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// A value on one line, as hieradata holds it; `None` for lists and mappings.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::List(_) | Value::Dict(_) => None,
        Value::Null => Some("null".into()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(i) => Some(i.to_string()),
        Value::Float(_) => Some(value.to_string()),
        text => Some(quoted(&text.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corpus of strings that YAML emitters are known to spoil.
    pub const CORPUS: &[&str] = &[
        "0000:18:00.0",
        "0669:00.0",
        "0000:11:09.0",
        "yes",
        "no",
        "on",
        "off",
        "Yes",
        "NO",
        "y",
        "n",
        "true",
        "False",
        "null",
        "~",
        "",
        " ",
        "12:30:45",
        "1:30",
        "190:20:30",
        "1_000",
        "0755",
        "0o755",
        "0x1F",
        "0b101",
        "1e3",
        "1.5e+3",
        ".5",
        "5.",
        "+1",
        "-1",
        ".inf",
        "-.inf",
        ".nan",
        "2024-01-01",
        "2024-01-01T00:00:00Z",
        "=",
        "<<",
        "21.05",
        "20.10",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "'",
        "\"",
        "it's",
        "{a}",
        "[a]",
        "a,b",
        "key:",
        ":sym",
        "a\nb",
        "a\tb",
        "trailing ",
        "\u{85}",
        "ü",
        "08",
        "0e12345",
        "1,000",
    ];

    #[test]
    fn what_is_written_reads_back_as_the_text() {
        for text in CORPUS {
            let written = quoted(text);
            let plainly = !written.starts_with(['\'', '"']);
            assert!(!plainly || plain(&written) == Value::str(text), "{text:?} is written {written}");
        }
    }

    #[test]
    fn plain_scalars_as_yaml_1_1_types_them() {
        assert_eq!(plain("0000:11:09.0"), Value::Float(669.0));
        assert_eq!(plain("1:30"), Value::Int(90));
        assert_eq!(plain("0755"), Value::Int(493));
        assert_eq!(plain("1_000"), Value::Int(1000));
        assert_eq!(plain("21.05"), Value::Float(21.05));
        assert_eq!(plain("off"), Value::Bool(false));
        for text in ["08:00:27:11:22:10", "0e12345", "/opt/21.05", "1.2.3.4", "192.168.204.2", "v1", "2001:db8::1"] {
            assert_eq!(plain(text), Value::str(text), "{text}");
        }
    }

    #[test]
    fn ordinary_words_stay_plain() {
        for text in ["admin", "/opt/platform/config/21.12", "RegionOne", "postgresql://a@127.0.0.1/x"] {
            assert_eq!(quoted(text), text);
        }
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(scalar(&Value::str("21.12")).unwrap(), "'21.12'");
        assert_eq!(scalar(&Value::Bool(true)).unwrap(), "true");
    }
}
