//! Source text and places in it. Every node of a playbook knows its span, so that every message can show its line.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that was loaded: a playbook, an inventory, a template, `-e` on the command line.
#[derive(Debug)]
pub struct Source {
    /// How the user names it: a path as typed or found, `<extra vars>`, `built-in:upgrade.yml`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Byte offset at which each line starts; the first is 0.
    starts: Vec<u32>,
}

impl Source {
    /// Takes a text under the name by which messages will call it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        let text = text.into();
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        Arc::new(Source { name: name.into(), text, starts })
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let offset = offset.min(self.text.len() as u32);
        let line = self.starts.partition_point(|s| *s <= offset) - 1;
        let start = self.starts[line] as usize;
        let column = self.text.get(start..offset as usize).map_or(0, |t| t.chars().count());
        (line as u32 + 1, column as u32 + 1)
    }

    /// Byte offset of a line and column (both from 1, the column in characters); clamps to the text.
    pub fn offset(&self, line: u32, column: u32) -> u32 {
        let Some(start) = self.starts.get(line.max(1) as usize - 1) else { return self.text.len() as u32 };
        let rest = &self.text[*start as usize..];
        let ahead: usize =
            rest.chars().take(column.max(1) as usize - 1).take_while(|c| *c != '\n').map(char::len_utf8).sum();
        start + ahead as u32
    }

    /// The text of a line (from 1) without its end.
    pub fn line(&self, line: u32) -> &str {
        let Some(start) = self.starts.get(line.max(1) as usize - 1) else { return "" };
        self.text[*start as usize..].lines().next().unwrap_or("")
    }
}

/// A stretch of a source, in bytes.
#[derive(Clone)]
pub struct Span {
    pub source: Arc<Source>,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// A stretch of `source` from byte `start` to before byte `end`.
    pub fn new(source: &Arc<Source>, start: u32, end: u32) -> Span {
        Span { source: source.clone(), start, end: end.max(start) }
    }

    /// A span for a text that is not in a file, as `name`.
    pub fn of_text(name: &str, text: &str) -> Span {
        Span::new(&Source::new(name, text), 0, text.len() as u32)
    }

    /// The part of this span from byte `from` to before byte `to`, counted from its start.
    pub fn part(&self, from: u32, to: u32) -> Span {
        Span::new(&self.source, self.start + from, self.start + to)
    }

    /// The part from byte `from` to before byte `to` of a text that was decoded from this span: a YAML scalar whose
    /// quotes, escapes, indentation or line folds are gone. Exact where nothing was decoded; else the two texts are
    /// walked side by side, and the answer is right to the line, mostly to the character.
    pub fn decoded_part(&self, decoded: &str, from: usize, to: usize) -> Span {
        let written = self.text();
        if written == decoded {
            return self.part(from as u32, to.max(from) as u32);
        }
        let start = align(written, decoded, from);
        self.part(start as u32, align(written, decoded, to).max(start) as u32)
    }

    /// The text it covers.
    pub fn text(&self) -> &str {
        self.source.text.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    /// Where it starts, for messages and the journal.
    pub fn place(&self) -> Place {
        let (line, column) = self.source.line_column(self.start);
        Place { file: self.source.name.clone(), line, column }
    }
}

/// Where byte `offset` of `decoded` stands in `written`.
fn align(written: &str, decoded: &str, offset: usize) -> usize {
    let mut w = written.char_indices().peekable();
    let mut d = decoded.char_indices().peekable();
    while let (Some(&(at, wc)), Some(&(done, dc))) = (w.peek(), d.peek()) {
        if done >= offset {
            // Indentation before the wanted character is not part of it.
            let skipped = if dc.is_whitespace() { 0 } else { at_content(&written[at..]) };
            return at + skipped;
        }
        if dc.is_whitespace() && wc.is_whitespace() {
            // A run of white space may have been folded or have lost its indentation: run for run.
            while w.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            while d.next_if(|(i, c)| c.is_whitespace() && *i < offset).is_some() {}
        } else if wc == dc {
            w.next();
            d.next();
        } else if wc == '\\' {
            w.next();
            let digits = match w.next() {
                Some((_, 'x')) => 2,
                Some((_, 'u')) => 4,
                Some((_, 'U')) => 8,
                _ => 0,
            };
            (0..digits).for_each(|_| {
                w.next();
            });
            d.next();
        } else {
            // A doubled quote, or white space that was folded away.
            w.next();
        }
    }
    w.peek().map_or(written.len(), |(at, _)| *at)
}

/// Length of the white space that a text starts with.
fn at_content(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && (self.start, self.end) == (other.start, other.end)
    }
}

/// A line and column (from 1) of a named source; what messages print and the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A thing and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Spanned<T> {
        Spanned { value, span }
    }

    /// The same place, another thing.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let s = Source::new("a.yml", "ä: 1\nb: 2\n");
        assert_eq!(s.line_column(0), (1, 1));
        assert_eq!(s.line_column(2), (1, 2));
        assert_eq!(s.line_column(6), (2, 1));
        assert_eq!(s.offset(1, 2), 2);
        assert_eq!(s.offset(2, 4), 9);
        assert_eq!(s.offset(9, 9), 11);
        assert_eq!(s.line(2), "b: 2");
    }

    #[test]
    fn offsets_in_decoded_texts_lead_back_to_the_source() {
        let find = |written: &str, decoded: &str, word: &str| {
            let span = Span::of_text("x", written);
            let from = decoded.find(word).unwrap();
            span.decoded_part(decoded, from, from + word.len()).text().to_owned()
        };
        assert_eq!(find("a {{ b }}", "a {{ b }}", "b"), "b");
        assert_eq!(find("it''s {{ b }}", "it's {{ b }}", "{{ b }}"), "{{ b }}");
        assert_eq!(find("a\\tb \\u00e4 {{ c }}", "a\tb ä {{ c }}", "c }}"), "c }}");
        assert_eq!(find("one\n      two {{ b }}\n\n      three", "one\ntwo {{ b }}\n\nthree", "three"), "three");
        assert_eq!(find("one\n    two {{ b }}", "one two {{ b }}", "{{ b }}"), "{{ b }}");
    }
}
