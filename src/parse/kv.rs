//! Ansible's `k=v` texts: split at spaces outside of quotes and Jinja, then at the first `=`.

use std::borrow::Cow;

use crate::model::mistake::Mistake;
use crate::model::source::{Span, Spanned};

/// One word of a text, as byte ranges of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub start: usize,
    pub end: usize,
    /// Where the next word starts.
    pub next: usize,
}

/// Splits at spaces and line ends that stand outside of quotes and of `{{ }}`, `{% %}`, `{# #}`. None if quotes or
/// braces are not closed.
pub(super) fn split(text: &str) -> Option<Vec<Word>> {
    let bytes = text.as_bytes();
    let mut words: Vec<Word> = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut depths = [0i32; 3];
    let mut at = 0;
    while at < bytes.len() {
        let b = bytes[at];
        let open = depths.iter().any(|d| *d > 0);
        if matches!(b, b' ' | b'\n') && quote.is_none() && !open {
            if let Some(from) = start.take() {
                words.push(Word { start: from, end: at, next: bytes.len() });
            }
            at += 1;
            continue;
        }
        if start.is_none() {
            if let Some(last) = words.last_mut() {
                last.next = at;
            }
            start = Some(at);
        }
        if matches!(b, b'"' | b'\'') && (at == 0 || bytes[at - 1] != b'\\') {
            quote = match quote {
                Some(q) if q == b => None,
                Some(q) => Some(q),
                None => Some(b),
            };
        }
        let mut width = 1;
        for (depth, (opens, closes)) in depths.iter_mut().zip([(b"{{", b"}}"), (b"{%", b"%}"), (b"{#", b"#}")]) {
            if bytes[at..].starts_with(opens) {
                *depth += 1;
                width = 2;
            } else if bytes[at..].starts_with(closes) {
                *depth = (*depth - 1).max(0);
                width = 2;
            }
        }
        at += width;
    }
    if quote.is_some() || depths.iter().any(|d| *d > 0) {
        return None;
    }
    if let Some(from) = start {
        words.push(Word { start: from, end: bytes.len(), next: bytes.len() });
    }
    Some(words)
}

/// A `k=v` text taken apart.
pub(super) struct Pairs {
    pub pairs: Vec<(Spanned<String>, Spanned<String>)>,
    /// What is no pair, joined as it was written; none if nothing is left.
    pub rest: Option<Spanned<String>>,
}

/// Takes a text apart. `takes` says which keys are options; with another key the word is left in the rest. `span` is
/// that of the text's content.
pub(super) fn pairs(text: &str, span: &Span, takes: impl Fn(&str) -> bool) -> Result<Pairs, Mistake> {
    let words = split(text).ok_or_else(|| unbalanced(text, span))?;
    let place = |from, to| span.decoded_part(text, from, to);
    let mut pairs = Vec::new();
    let mut rest = String::new();
    let mut left: Option<(usize, usize)> = None;
    for word in words {
        let raw = &text[word.start..word.end];
        let found = equals(raw).map(|at| (at, raw[..at].trim())).filter(|(_, key)| takes(key));
        match found {
            Some((at, key)) => {
                let value = unquote(&raw[at + 1..]);
                let from = word.start + at + 1 + usize::from(value.len() < raw.len() - at - 1);
                let key_span = place(word.start, word.start + at);
                let value_span = place(from, from + value.len());
                pairs.push((
                    Spanned::new(key.to_owned(), key_span),
                    Spanned::new(unescape(value).into_owned(), value_span),
                ));
            }
            None if raw == "\\" => {}
            None => {
                if !rest.is_empty() && !rest.ends_with('\n') {
                    rest.push(' ');
                }
                rest.push_str(raw);
                // White space after a word is kept, but for the space that joins the next.
                let gap = &text[word.end..word.next];
                rest.push_str(gap.strip_prefix(' ').unwrap_or(gap));
                left = Some((left.map_or(word.start, |(from, _)| from), word.end));
            }
        }
    }
    let rest = left.map(|(from, to)| Spanned::new(rest, place(from, to)));
    Ok(Pairs { pairs, rest })
}

fn unbalanced(text: &str, span: &Span) -> Mistake {
    let what = if text.matches("{{").count() == text.matches("}}").count() { "quote" } else { "`{{`" };
    Mistake::at(span, format!("a {what} in this text is never closed"))
        .label("it cannot be split into words")
        .help("write the arguments as a mapping, one `key: value` per line, or quote the text as the shell would")
}

/// Where the `=` of a pair stands: the first one that is not escaped, and not at the start.
fn equals(word: &str) -> Option<usize> {
    let bytes = word.as_bytes();
    let at = (1..bytes.len()).find(|i| bytes[*i] == b'=' && bytes[*i - 1] != b'\\')?;
    Some(at)
}

/// Without the quotes around it, if the whole text is quoted.
pub(super) fn unquote(text: &str) -> &str {
    let text = text.trim();
    let bytes = text.as_bytes();
    match bytes {
        [a @ (b'"' | b'\''), .., y, z] if a == z && *y != b'\\' => &text[1..text.len() - 1],
        [a @ (b'"' | b'\''), z] if a == z => "",
        _ => text,
    }
}

/// Decodes the escapes that Ansible decodes in `k=v` values: `\n`, `\x41`, `\u00e4`.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = |digits: usize| {
            let hex = rest.get(1..=digits)?;
            hex.bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(hex, 16).ok())?
                .and_then(char::from_u32)
        };
        let (c, used) = match rest.bytes().next() {
            Some(b'x') => (code(2), 3),
            Some(b'u') => (code(4), 5),
            Some(b'U') => (code(8), 9),
            Some(b'\\') => (Some('\\'), 1),
            Some(b'\'') => (Some('\''), 1),
            Some(b'"') => (Some('"'), 1),
            Some(b'a') => (Some('\x07'), 1),
            Some(b'b') => (Some('\x08'), 1),
            Some(b'f') => (Some('\x0c'), 1),
            Some(b'n') => (Some('\n'), 1),
            Some(b'r') => (Some('\r'), 1),
            Some(b't') => (Some('\t'), 1),
            Some(b'v') => (Some('\x0b'), 1),
            _ => (None, 0),
        };
        match c {
            Some(c) => {
                out.push(c);
                rest = &rest[used..];
            }
            None => out.push('\\'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str, takes: impl Fn(&str) -> bool) -> (Vec<(String, String)>, Option<String>) {
        let found = pairs(text, &Span::of_text("x", text), takes).unwrap();
        (found.pairs.into_iter().map(|(k, v)| (k.value, v.value)).collect(), found.rest.map(|r| r.value))
    }

    fn pair(k: &str, v: &str) -> (String, String) {
        (k.into(), v.into())
    }

    #[test]
    fn quotes_and_jinja_hold_words_together() {
        let (pairs, rest) = take("src=a dest=\"b c\" mode={{ m | default('0644 x') }} x='it is'", |_| true);
        assert_eq!(
            pairs,
            [pair("src", "a"), pair("dest", "b c"), pair("mode", "{{ m | default('0644 x') }}"), pair("x", "it is")]
        );
        assert_eq!(rest, None);
    }

    #[test]
    fn free_text_keeps_what_is_no_option() {
        let (pairs, rest) = take("chdir=/x creates=/y ls -l  a=b\nnext line", |k| ["chdir", "creates"].contains(&k));
        assert_eq!(pairs, [pair("chdir", "/x"), pair("creates", "/y")]);
        assert_eq!(rest.as_deref(), Some("ls -l  a=b\nnext line"));
        let (_, rest) = take("ls \\\n  -l", |_| false);
        assert_eq!(rest.as_deref(), Some("ls -l"));
    }

    #[test]
    fn escapes_and_spans() {
        let text = "path=/tmp line='a\\tb=c' q=\"\"";
        let span = Span::of_text("x", text);
        let found = pairs(text, &span, |_| true).unwrap();
        assert_eq!(found.pairs[1].1.value, "a\tb=c");
        assert_eq!(found.pairs[1].1.span.text(), "a\\tb=c");
        assert_eq!(found.pairs[0].0.span.text(), "path");
        assert_eq!(found.pairs[2].1.value, "");
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        assert!(split("echo it's").is_none());
        assert!(split("a={{ b").is_none());
    }
}
