//! Python's regular expressions, for filters and tests: translated where the two syntaxes part.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

use fancy_regex::{Captures, Regex};

use super::error::{TemplateError, TemplateErrorKind, fail};
use super::jinja::val::Res;

/// Kept patterns; a run uses few, so all are dropped when there are too many.
const MOST_KEPT: usize = 500;

/// How a pattern is meant.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    pub ignore_case: bool,
    pub multiline: bool,
}

/// Compiled patterns, by pattern, flags, and whether the text ends with a line feed.
type Kept = HashMap<(String, Flags, bool), Arc<Regex>>;

/// A Python pattern, compiled for a text: what `$` means depends on whether the text ends with a line feed.
pub fn compile(pattern: &str, flags: Flags, text: &str) -> Res<Arc<Regex>> {
    static KEPT: OnceLock<RwLock<Kept>> = OnceLock::new();
    let kept = KEPT.get_or_init(RwLock::default);
    let key = (pattern.to_owned(), flags, text.ends_with('\n'));
    if let Ok(k) = kept.read()
        && let Some(found) = k.get(&key)
    {
        return Ok(found.clone());
    }
    let translated = translate(pattern, key.2 && !flags.multiline);
    let inline = match (flags.ignore_case, flags.multiline) {
        (false, false) => "",
        (true, false) => "(?i)",
        (false, true) => "(?m)",
        (true, true) => "(?im)",
    };
    match Regex::new(&format!("{inline}{translated}")) {
        Ok(regex) => {
            let regex = Arc::new(regex);
            if let Ok(mut k) = kept.write() {
                if k.len() >= MOST_KEPT {
                    k.clear();
                }
                k.insert(key, regex.clone());
            }
            Ok(regex)
        }
        Err(e) => {
            let e = e.to_string();
            fail(format!("'{pattern}' is not a regular expression: {}", e.lines().last().unwrap_or(&e).trim()))
        }
    }
}

/// A search that gave up (too much backtracking) as an error.
pub fn gave_up(e: &fancy_regex::Error) -> super::error::Fail {
    TemplateError::new(TemplateErrorKind::Other, format!("the regular expression gave up: {e}"))
}

/// Whether a pattern is found in a text: anywhere, at its start, or as the whole of it.
pub fn matches(pattern: &str, flags: Flags, text: &str, how: How) -> Res<bool> {
    let pattern = match how {
        How::Anywhere => pattern.to_owned(),
        How::AtStart => format!("\\A(?:{pattern})"),
        How::Whole => format!("\\A(?:{pattern})\\Z"),
    };
    compile(&pattern, flags, text)?.is_match(text).map_err(|e| gave_up(&e))
}

/// Where a match must lie.
#[derive(Clone, Copy, PartialEq)]
pub enum How {
    Anywhere,
    AtStart,
    Whole,
}

/// Python's syntax in fancy-regex's.
fn translate(pattern: &str, dollar_before_newline: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    // Inside a class: how many of its characters were seen.
    let mut class: Option<usize> = None;
    while let Some(c) = chars.next() {
        if c == '\\' {
            match chars.next() {
                Some('Z') if class.is_none() => out.push_str("\\z"),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            }
            class = class.map(|n| n + 1);
            continue;
        }
        match (class, c) {
            (None, '[') => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                class = Some(0);
                // A bracket that comes first is a character of the class.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                    class = Some(1);
                }
            }
            (None, '$') if dollar_before_newline => out.push_str("(?=\\n?\\z)"),
            (None, '{') if chars.peek() == Some(&',') => out.push_str("{0"),
            (None, '{') => {
                // A brace that starts no repetition is itself.
                let rest: String = chars.clone().take_while(|c| *c != '}').collect();
                let repeats = !rest.is_empty()
                    && rest.chars().all(|c| c.is_ascii_digit() || c == ',')
                    && chars.clone().any(|c| c == '}');
                out.push_str(if repeats { "{" } else { "\\{" });
            }
            (None, c) => out.push(c),
            (Some(_), ']') => {
                out.push(']');
                class = None;
            }
            // These are set operations in Rust.
            (Some(n), '[' | '&' | '~') => {
                out.push('\\');
                out.push(c);
                class = Some(n + 1);
            }
            (Some(n), c) => {
                out.push(c);
                class = Some(n + 1);
            }
        }
    }
    out
}

/// A Python replacement (`\1`, `\g<name>`) filled from a match.
pub fn fill(template: &str, found: &Captures<'_, str>, out: &mut String) -> Res<()> {
    let group = |name: &str| -> Res<String> {
        let m = match name.parse::<usize>() {
            Ok(i) if i < found.len() => found.get(i),
            Ok(i) => return fail(format!("invalid group reference {i}")),
            Err(_) => found.name(name),
        };
        Ok(m.map_or(String::new(), |m| m.as_str().to_owned()))
    };
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('g') if chars.peek() == Some(&'<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                out.push_str(&group(&name)?);
            }
            Some(d) if d.is_ascii_digit() => {
                let mut name = d.to_string();
                if let Some(next) = chars.next_if(char::is_ascii_digit) {
                    name.push(next);
                }
                if name.starts_with('0') {
                    out.extend(u32::from_str_radix(&name, 8).ok().and_then(char::from_u32));
                } else {
                    out.push_str(&group(&name)?);
                }
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) if other.is_ascii_alphabetic() => return fail(format!("bad escape \\{other}")),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => return fail("bad escape (end of pattern)"),
        }
    }
    Ok(())
}

/// Python's `re.escape`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_syntax_is_understood() {
        assert_eq!(translate("a{,3}[[a&&b]$", true), "a{0,3}[\\[a\\&\\&b](?=\\n?\\z)");
        assert_eq!(translate("[]x]{a}\\Z", false), "[\\]x]\\{a}\\z");
        assert!(matches("b$", Flags::default(), "ab\n", How::Anywhere).unwrap_or(false));
        assert!(!matches("b", Flags::default(), "ab", How::AtStart).unwrap_or(true));
    }
}
