//! Regular expressions with the meaning that Python's `re` gives them, over texts that may hold bytes of any kind.

use fancy_regex::{Captures, Regex};

/// A pattern written for Python, compiled. `flags` are inline flags to set: `m` (multiline), `s` (dot matches newline).
pub fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    let translated = translate(pattern, flags);
    let regex = fancy_regex::RegexBuilder::new(&translated).backtrack_limit(10_000_000).build();
    regex.map_err(|e| format!("`{pattern}` is no regular expression: {e}"))
}

/// What differs between Python's syntax and this library's.
fn translate(pattern: &str, flags: &str) -> String {
    // Python's global flags stand at the start.
    let own = pattern.strip_prefix("(?").and_then(|r| r.split_once(')')).map(|(f, _)| f);
    let own = own.filter(|f| !f.is_empty() && f.chars().all(|c| "aiLmsux".contains(c)));
    let rest = own.map_or(pattern, |f| &pattern[f.len() + 3..]);
    let mut all: String = flags.to_owned();
    all.extend(own.unwrap_or_default().chars().filter(|c| "imsx".contains(*c) && !flags.contains(*c)));
    let multiline = all.contains('m');
    let mut out = if all.is_empty() { String::new() } else { format!("(?{all})") };
    let mut chars = rest.chars().peekable();
    let mut class = false;
    let mut class_start = false;
    while let Some(c) = chars.next() {
        let at_class_start = std::mem::take(&mut class_start);
        match c {
            '\\' => match chars.next() {
                // Only the very end, not before a last newline.
                Some('Z') if !class => out.push_str("\\z"),
                // Word boundaries to this library, plain letters to Python.
                Some(c @ ('<' | '>')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                // A bracket right at the start is a letter of the class.
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
                class_start = true;
            }
            // Nested classes and set operations do not exist in Python.
            '[' | '&' | '~' if class => out.extend(['\\', c]),
            '-' if class && !at_class_start && chars.peek() == Some(&'-') => out.push_str("\\-"),
            ']' if class => {
                class = false;
                out.push(']');
            }
            // Python's `$` also matches before a last newline.
            '$' if !class && !multiline => out.push_str("(?=\\n?\\z)"),
            '{' if !class => {
                let ahead: String = chars.clone().take_while(|c| *c != '}').collect();
                let closed = chars.clone().any(|c| c == '}');
                let count = closed
                    && ahead.chars().all(|c| c.is_ascii_digit() || c == ',')
                    && ahead.matches(',').count() < 2
                    && ahead.chars().any(|c| c.is_ascii_digit());
                match (count, ahead.starts_with(',')) {
                    (true, true) => out.push_str("{0"),
                    (true, false) => out.push('{'),
                    (false, _) => out.push_str("\\{"),
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// What a Python replacement text (`\1`, `\g<name>`, `\n`) becomes for a match.
pub fn expand(template: &str, found: &Captures<'_, str>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    let bad = |what: &str| format!("`{template}`: {what}");
    let group = |name: &str| match name.parse::<usize>() {
        Ok(n) if n < found.len() => Ok(found.get(n).map_or("", |m| m.as_str())),
        Ok(n) => Err(bad(&format!("invalid group reference {n}"))),
        Err(_) => found.name(name).map(|m| m.as_str()).ok_or_else(|| bad(&format!("unknown group name '{name}'"))),
    };
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return Err(bad("bad escape (end of pattern)")) };
        match c {
            'g' => {
                let name = rest[1..].strip_prefix('<').and_then(|r| r.split_once('>')).map(|(n, _)| n);
                let name = name.ok_or_else(|| bad("missing group name"))?;
                out.push_str(group(name)?);
                rest = &rest[name.len() + 3..];
            }
            '1'..='9' => {
                let digits = 1 + usize::from(rest[1..].starts_with(|c: char| c.is_ascii_digit()));
                out.push_str(group(&rest[..digits])?);
                rest = &rest[digits..];
            }
            '0' => {
                out.push('\0');
                rest = &rest[1..];
            }
            'n' | 't' | 'r' | 'f' | 'v' | 'a' | '\\' => {
                out.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'f' => '\x0c',
                    'v' => '\x0b',
                    'a' => '\x07',
                    other => other,
                });
                rest = &rest[1..];
            }
            c if c.is_ascii_alphabetic() => return Err(bad(&format!("bad escape \\{c}"))),
            c => {
                out.extend(['\\', c]);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(out + rest)
}

/// All matches replaced; the text and how many there were.
pub fn replace_all(regex: &Regex, text: &str, template: &str) -> Result<(String, usize), String> {
    // Python reads it before it looks for a match.
    let mut chars = template.chars();
    while let Some(c) = chars.by_ref().find(|c| *c == '\\').and_then(|_| chars.next()) {
        if c.is_ascii_alphabetic() && !"gntrfva".contains(c) {
            return Err(format!("`{template}`: bad escape \\{c}"));
        }
    }
    let (mut out, mut end, mut count) = (String::new(), 0, 0);
    for found in regex.captures_iter(text) {
        let found = found.map_err(|e| e.to_string())?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        out.push_str(&expand(template, &found)?);
        end = whole.end();
        count += 1;
    }
    out.push_str(&text[end..]);
    Ok((out, count))
}

/// The plane-16 private characters that stand for bytes which are no UTF-8.
const RAW: u32 = 0x10_FF00;

/// Bytes as text that [`to_bytes`] turns back into the same bytes, whatever they are.
pub fn to_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let raw = |b: &u8| char::from_u32(RAW + u32::from(*b)).unwrap_or('\u{fffd}');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c as u32 >= RAW {
                // The stand-ins themselves, if they ever occur.
                out.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(raw));
            } else {
                out.push(c);
            }
        }
        out.extend(chunk.invalid().iter().map(raw));
    }
    out
}

/// The bytes of a text made by [`to_text`].
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match (c as u32).checked_sub(RAW) {
            Some(byte) => out.push(byte as u8),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Lines with their ends, as Python's `readlines` on bytes gives them.
pub fn lines(text: &str) -> Vec<String> {
    text.split_inclusive('\n').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn python_meanings() {
        for (pattern, flags, text, expected) in [
            ("a$", "", "a\n", true),
            ("a$", "", "a\nb", false),
            ("a$", "m", "a\nb", true),
            ("(?m)a$", "", "a\nb", true),
            (r"a\Z", "", "a\n", false),
            ("[[]x", "", "[x", true),
            ("[]x]", "", "]", true),
            ("[^]x]", "", "]", false),
            ("[a&&b]", "", "&", true),
            ("{{ x }}", "", "{{ x }}", true),
            ("a{2}b{,1}", "", "aa", true),
            (r"\<a\>", "", "<a>", true),
            ("(?P<n>a)(?P=n)", "", "aa", true),
            (r"(?<=x)y(?!z)", "", "xy", true),
            ("(?i)ABC", "", "abc", true),
            ("^#?\\s*PermitRootLogin", "", "#PermitRootLogin yes\n", true),
        ] {
            let found = compile(pattern, flags).unwrap().is_match(text).unwrap();
            assert_eq!(found, expected, "{pattern} in {text:?}");
        }
        assert!(compile("(", "").is_err());
    }

    #[test]
    fn replacements() {
        let r = compile("(?P<k>[a-z]+)=(\\d+)", "").unwrap();
        assert_eq!(replace_all(&r, "a=1 b=2", r"\g<k>:\2\n").unwrap(), ("a:1\n b:2\n".into(), 2));
        assert!(replace_all(&r, "a=1", r"\7").is_err());
        assert!(replace_all(&r, "a=1", r"\q").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_there_and_back(bytes: Vec<u8>) {
            prop_assert_eq!(to_bytes(&to_text(&bytes)), bytes);
        }
        #[test]
        fn any_text_there_and_back(text in "[\\x{10fe00}-\\x{10ffff}a\\n]*") {
            prop_assert_eq!(to_bytes(&to_text(text.as_bytes())), text.into_bytes());
        }
    }
}
