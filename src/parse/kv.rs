//! Ansible's `k=v` texts: split at spaces outside of quotes and Jinja, then at the first `=`.

use std::borrow::Cow;

use crate::model::mistake::Mistake;
use crate::model::source::{Span, Spanned};

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// With the white space behind it, but for the one space that parts it from the next word.
    pub text: String,
    /// The bytes from its start to its end, without white space behind it.
    pub start: usize,
    pub end: usize,
}

/// Splits at spaces and line ends that stand outside of quotes and of `{{ }}`, `{% %}`, `{# #}`, so that [`join`] gives
/// the text again; a `\` alone at a line's end joins the lines. None if quotes or braces are not closed.
pub(super) fn split(text: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    let mut quote: Option<char> = None;
    let mut depths = [0usize; 3];
    let mut line_start = 0;
    let lines = text.split('\n').count();
    for (number, line) in text.split('\n').enumerate() {
        let mut at = line_start;
        let mut goes_on = false;
        for (n, token) in line.split(' ').enumerate() {
            let (start, end) = (at, at + token.len());
            at = end + 1;
            if token.is_empty() && n > 0 {
                // More than one space: they belong to the word before.
                last(&mut words, start).text.push(' ');
                continue;
            }
            let quoted = quote.is_some();
            if token == "\\" && !quoted {
                goes_on = true;
                continue;
            }
            quote = quote_after(token, quote);
            let inside = depths.iter().any(|d| *d > 0);
            let mut placed = false;
            if quote.is_some() && !quoted && !inside {
                words.push(Word { text: token.to_owned(), start, end });
                placed = true;
            } else if inside || quote.is_some() || quoted {
                let word = last(&mut words, start);
                if n > 0 {
                    word.text.push(' ');
                }
                word.text.push_str(token);
                word.end = end;
                placed = true;
            }
            for (depth, (opens, closes)) in depths.iter_mut().zip([("{{", "}}"), ("{%", "%}"), ("{#", "#}")]) {
                let after = (*depth + token.matches(opens).count()).saturating_sub(token.matches(closes).count());
                if after != *depth && !placed {
                    words.push(Word { text: token.to_owned(), start, end });
                    placed = true;
                }
                *depth = after;
            }
            if !placed && !token.is_empty() {
                words.push(Word { text: token.to_owned(), start, end });
            }
        }
        line_start += line.len() + 1;
        if number + 1 < lines && !goes_on {
            last(&mut words, line_start - 1).text.push('\n');
        }
    }
    (quote.is_none() && depths == [0; 3]).then_some(words)
}

/// The last word; an empty one if there is none yet.
fn last(words: &mut Vec<Word>, at: usize) -> &mut Word {
    if words.is_empty() {
        words.push(Word { text: String::new(), start: at, end: at });
    }
    let end = words.len() - 1;
    &mut words[end]
}

/// The quote that is open after a token.
fn quote_after(token: &str, mut quote: Option<char>) -> Option<char> {
    let mut before = None;
    for c in token.chars() {
        if matches!(c, '"' | '\'') && before != Some('\\') {
            quote = match quote {
                Some(q) if q == c => None,
                None => Some(c),
                open => open,
            };
        }
        before = Some(c);
    }
    quote
}

/// Puts words together again.
fn join(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
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
    let mut rest: Vec<String> = Vec::new();
    let mut left: Option<(usize, usize)> = None;
    for word in words {
        let decoded = unescape(&word.text);
        match equals(&decoded).map(|at| (&decoded[..at], &decoded[at + 1..])) {
            Some((key, value)) if takes(key) => {
                let at = word.start + text[word.start..word.end].find('=').unwrap_or(0);
                let value = unquote(value.trim());
                // Quotes are no part of the value's place.
                let written = text[at + 1..word.end.max(at + 1)].trim();
                let inner = unquote(written);
                let from = (at + 1 + written.find(inner).unwrap_or(0)).min(word.end);
                let value_span = place(from, (from + inner.len()).min(word.end));
                pairs.push((
                    Spanned::new(key.trim().to_owned(), place(word.start, at)),
                    Spanned::new(value.to_owned(), value_span),
                ));
            }
            found => {
                // Only an escaped `=` makes free text of what looks like a pair.
                let escaped = found.is_none() && decoded.contains('=');
                rest.push(if escaped { decoded.replace("\\=", "=") } else { word.text });
                left = Some((left.map_or(word.start, |(from, _)| from), word.end));
            }
        }
    }
    let rest = left.map(|(from, to)| Spanned::new(join(&rest), place(from, to)));
    Ok(Pairs { pairs, rest })
}

fn unbalanced(text: &str, span: &Span) -> Mistake {
    let (at, what) = opened_last(text).unwrap_or((0, "a quote or brace"));
    let width = if what.len() == 1 { 1 } else { 2 };
    let place = span.decoded_part(text, at, (at + width).min(text.len()));
    Mistake::at(&place, format!("`{what}` is never closed")).label("so this text cannot be split into words").help(
        "write the arguments as a mapping, one `parameter: value` per line, or quote the text as a shell wants it",
    )
}

/// The quote or brace that is open at the end of a text.
fn opened_last(text: &str) -> Option<(usize, &str)> {
    let mut quote: Option<(usize, &str)> = None;
    let mut brace = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if matches!(c, '"' | '\'') && before != '\\' {
            quote = match quote {
                Some((_, q)) if q.starts_with(c) => None,
                None => Some((at, &text[at..=at])),
                open => open,
            };
        }
        match text.get(at..at + 2) {
            Some("{{" | "{%" | "{#") => brace = Some((at, &text[at..at + 2])),
            Some("}}" | "%}" | "#}") => brace = None,
            _ => {}
        }
        before = c;
    }
    // A quote inside of braces that are not closed is theirs.
    brace.or(quote)
}

/// Where the `=` of a pair stands: the first one that is not escaped, and not at the start.
fn equals(word: &str) -> Option<usize> {
    let bytes = word.as_bytes();
    (1..bytes.len()).find(|i| bytes[*i] == b'=' && bytes[*i - 1] != b'\\')
}

/// Without the quotes around it, if the whole text is quoted.
fn unquote(text: &str) -> &str {
    match text.as_bytes() {
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
        assert_eq!(rest.as_deref(), Some("ls  -l"));
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
