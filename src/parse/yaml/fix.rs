//! What the parser's errors mean to the writer, and how to put them right.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use super::MAX_DEPTH;
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};

/// The error of an unquoted `{{ variable }}`; `at` is its inner brace or stands anywhere on its line.
pub(super) fn unquoted_braces(at: &Span) -> Mistake {
    let text = &at.source.text;
    let line_start = text[..at.start as usize].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[line_start..].find('\n').map_or(text.len(), |i| line_start + i);
    let start = text[line_start..line_end].find("{{").map_or(at.start as usize, |i| line_start + i);
    let value = text[start..line_end].trim_end();
    let span = Span::new(&at.source, start as u32, (start + value.len()) as u32);
    let quoted = if value.contains('"') { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{value}\"") };
    Mistake::at(&span, "a value that starts with `{{` must be quoted")
        .label(format!("write {quoted}"))
        .help("unquoted, YAML takes the braces for a mapping")
}

/// The quoted text that byte `at`, on one of its later lines, stands in: where it is opened, and where it is closed; the
/// length of the text if it never is. None if no line above opens one.
pub(super) fn quoted(text: &str, at: usize) -> Option<(usize, usize)> {
    let mut end = text[..at.min(text.len())].rfind('\n')?;
    loop {
        let start = text[..end].rfind('\n').map_or(0, |i| i + 1);
        let line = &text[start..end];
        let mut value = line.trim_start();
        while let Some(rest) = value.strip_prefix("- ") {
            value = rest.trim_start();
        }
        if !value.starts_with(['"', '\'']) || closing(value).is_some_and(|c| value[c + 1..].starts_with(':')) {
            let key_end = value.find(": ").or_else(|| value.find(":\t"));
            value = key_end.map_or("", |i| value[i + 1..].trim_start());
            // A tag or anchor may stand before it.
            while value.starts_with(['!', '&']) {
                value = value.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
            }
        }
        if value.starts_with(['"', '\'']) && closing(value).is_none() {
            let open = start + line.len() - value.len();
            return Some((open, closing(&text[open..]).map_or(text.len(), |c| open + c)));
        }
        end = start.checked_sub(1)?;
    }
}

/// Where the quote that a text starts with is closed.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first()?;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 1,
            b if b == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 1,
            b if b == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The mistake that a parser's error at byte `offset` of the text stands for.
pub(super) fn mistake(source: &Arc<Source>, text: &str, offset: usize, error: &ScanError) -> Mistake {
    let offset = offset.min(text.len());
    let line_start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[line_start..].find('\n').map_or(text.len(), |i| line_start + i);
    let line = &text[line_start..line_end];
    let site = Site { source, text, offset, line_start, line };
    let span = site.span(offset, site.word_end(offset));
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => Mistake::at(&span, format!("nested deeper than {MAX_DEPTH} levels"))
            .help("split it into several files or variables"),
        _ if site.braces().is_some() => unquoted_braces(&span),
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::InvalidColonPlacement
            if site.open_bracket().is_some() =>
        {
            let (at, open) = site.open_bracket().unwrap_or((offset, '['));
            open_bracket(&site.span(at, at + 1), open)
        }
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => site.tab(),
        _ if line[..line.len() - line.trim_start().len()].contains('\t') => site.tab(),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => site.second_colon(),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed => site.indentation(),
        ErrorKind::BlockSequenceEntryNotAllowed => Mistake::at(&span, "a list cannot start here")
            .label("put `-` on a line of its own")
            .help("or write the list in brackets: [one, two]"),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            site.after_quote()
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => site.no_colon(),
        ErrorKind::UnexpectedCharacter { character } => {
            let value = &text[offset..line_end];
            Mistake::at(&span, format!("a value cannot start with `{character}` unless it is quoted"))
                .label(format!("write {}", quote(value.trim_end())))
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => site.open_quote(),
        ErrorKind::UnclosedFlowCollection { open } => open_bracket(&site.span(offset, offset + 1), *open),
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::UnexpectedEofFlowMapping => {
            Mistake::at(&span, "the file ends inside of brackets").help("close the list with `]`, the mapping with `}`")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            Mistake::at(&site.span(offset, offset + 1), format!("`{close}` closes what `{open}` has opened"))
                .label(format!("`{}` is expected", if *open == '[' { ']' } else { '}' }))
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            Mistake::at(&span, "a comma or `]` is missing before this").label("`,` or `]` is expected")
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            Mistake::at(&span, "a comma or `}` is missing before this").label("`,` or `}` is expected")
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            Mistake::at(&span, "this bracket closes nothing").help("remove it, or quote the text that holds it")
        }
        ErrorKind::UnknownAnchor => {
            let name = text[offset..].split(|c: char| c.is_whitespace() || ",]}".contains(c)).next().unwrap_or("*");
            Mistake::at(
                &site.span(offset, offset + name.len()),
                format!("no anchor `&{}` stands before this", name.trim_start_matches('*')),
            )
            .label("unknown alias")
            .help(format!("quote it if it is meant as text: {}", quote(text[offset..line_end].trim_end())))
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => site.escape(),
        ErrorKind::UndeclaredTagHandle | ErrorKind::InvalidTagTerminator | ErrorKind::MissingTagUri => {
            Mistake::at(&span, "this is not a tag that YAML can read")
                .help("Ansible knows `!vault` and `!unsafe`; quote the text if it is meant to start with `!`")
        }
        ErrorKind::InvalidBlockScalarHeader => {
            Mistake::at(&span, "text cannot follow `|` or `>` on its line").label("put it on the next line, indented")
        }
        ErrorKind::InvalidBlockScalarIndent => {
            Mistake::at(&span, "this line is indented less than the text block it belongs to")
                .help("indent it like the lines around it")
        }
        ErrorKind::CommentNotSeparated => Mistake::at(&span, "a comment needs a space before its `#`"),
        other => Mistake::at(&span, format!("this is not YAML: {other}")),
    }
}

fn open_bracket(span: &Span, open: char) -> Mistake {
    let close = if open == '[' { ']' } else { '}' };
    Mistake::at(span, format!("this `{open}` is never closed")).label(format!("`{close}` is missing"))
}

/// A text in quotes that keep it as it is.
fn quote(text: &str) -> String {
    if text.contains('"') || text.contains('\\') {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

/// Where the parser stopped.
struct Site<'a> {
    source: &'a Arc<Source>,
    text: &'a str,
    offset: usize,
    line_start: usize,
    line: &'a str,
}

impl Site<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start as u32, end as u32)
    }

    /// Where the word at `offset` ends.
    fn word_end(&self, offset: usize) -> usize {
        let rest = &self.text[offset..];
        offset
            + rest
                .find(char::is_whitespace)
                .unwrap_or(rest.len())
                .max(usize::from(!rest.is_empty() && rest.is_char_boundary(1)))
    }

    /// Whether the value of this line starts with unquoted `{{`.
    fn braces(&self) -> Option<usize> {
        let trimmed = self.line.trim_start().trim_start_matches("- ");
        let value = match trimmed.find(": ") {
            Some(at) => trimmed[at + 2..].trim_start(),
            None => trimmed,
        };
        value.starts_with("{{").then(|| self.line.find("{{")).flatten()
    }

    /// The bracket that starts a value on a line above and is not closed before the place where the parser stopped.
    fn open_bracket(&self) -> Option<(usize, char)> {
        let mut end = self.line_start.checked_sub(1)?;
        // Lists in brackets are short; a mistake lies near.
        for _ in 0..50 {
            let start = self.text[..end].rfind('\n').map_or(0, |i| i + 1);
            let line = &self.text[start..end];
            let trimmed = line.trim_start().trim_start_matches("- ");
            let value = trimmed.find(": ").map_or(trimmed, |i| trimmed[i + 2..].trim_start());
            if let Some(open) = value.chars().next().filter(|c| matches!(c, '[' | '{')) {
                let at = start + line.len() - value.len();
                let opened = self.text[at..self.line_start].matches(['[', '{']).count();
                let closed = self.text[at..self.line_start].matches([']', '}']).count();
                return (opened > closed).then_some((at, open));
            }
            end = start.checked_sub(1)?;
        }
        None
    }

    fn tab(&self) -> Mistake {
        // The tab is in front of the line where the parser stopped, or of a line after it (a plain text that went on).
        let mut start = self.line_start;
        for line in self.text[self.line_start..].split_inclusive('\n') {
            let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
            if let Some(at) = indent.find('\t') {
                let tabs = indent[at..].bytes().take_while(|b| *b == b'\t').count();
                return Mistake::at(&self.span(start + at, start + at + tabs), "a tab cannot indent YAML")
                    .label("use spaces here");
            }
            start += line.len();
        }
        Mistake::at(&self.span(self.offset, self.offset + 1), "a tab cannot stand here").label("use spaces")
    }

    /// `a: b: c`, or a key that is indented deeper than its neighbours.
    fn second_colon(&self) -> Mistake {
        let before = &self.line[..(self.offset - self.line_start).min(self.line.len())];
        let key = before.trim_start().trim_start_matches("- ");
        let Some(at) = key.find(": ") else {
            // The key starts the line: what stands above went on into it.
            let start = self.line_start + before.len() - key.len();
            if let Some(mistake) = self.colon_above(before.len() - key.len()) {
                return mistake;
            }
            let wrong =
                Mistake::at(&self.span(start, self.offset), format!("`{key}` is not indented like the keys around it"));
            return match self.sibling_column(before.len() - key.len()) {
                Some((column, line)) => wrong.label(format!("the key on line {line} starts in column {}", column + 1)),
                None => wrong.label("wrong indentation"),
            };
        };
        let start = self.line_start + before.len() - key.len() + at + 2;
        let value = self.text[start..self.line_start + self.line.len()].trim();
        let start = start + self.text[start..].find(value).unwrap_or(0);
        Mistake::at(&self.span(start, start + value.len()), "a value that holds `: ` must be quoted")
            .label(format!("write {}", quote(value)))
    }

    /// The line above starts in the same column, but is no `key: value`.
    fn colon_above(&self, column: usize) -> Option<Mistake> {
        let end = self.line_start.checked_sub(1)?;
        let start = self.text[..end].rfind('\n').map_or(0, |i| i + 1);
        let line = &self.text[start..end];
        let text = line.trim_start().trim_start_matches("- ");
        let at = line.len() - text.len();
        let bare = at == column && !text.is_empty() && !text.contains(": ") && !text.ends_with(':');
        bare.then(|| Site { offset: start + at, line_start: start, line, ..*self }.no_colon())
    }

    /// Column (from 0) and line of the key above that this line should stand under: the nearest one above with less or
    /// other indentation.
    fn sibling_column(&self, here: usize) -> Option<(usize, u32)> {
        let above = self.text[..self.line_start].lines().rev();
        for (n, line) in above.enumerate() {
            let trimmed = line.trim_start().trim_start_matches("- ");
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let column = line.len() - trimmed.len();
            if column != here {
                let number = self.text[..self.line_start].lines().count() - n;
                return Some((column, number as u32));
            }
        }
        None
    }

    fn indentation(&self) -> Mistake {
        let column = self.offset - self.line_start;
        let trimmed = self.line.trim_start();
        let indent = self.line.len() - trimmed.len();
        if column > indent {
            // Something follows a value that was complete: `{{ x }}/y`, `[a] b`.
            let value = self.line[..column.min(self.line.len())].rfind(": ").map_or(indent, |i| i + 2);
            let text = self.line[value..].trim_end();
            let span = self.span(self.line_start + value, self.line_start + value + text.len());
            return Mistake::at(&span, "this value goes on after its end").label(format!("write {}", quote(text)));
        }
        let span = self.span(self.offset, self.word_end(self.offset));
        let columns = self.columns_above(indent);
        let mistake = Mistake::at(&span, "this line is not indented like the ones above");
        let places: Vec<String> = columns.iter().map(|c| (c + 1).to_string()).collect();
        match places.as_slice() {
            [] => mistake.label("wrong indentation"),
            [one] if *one == (indent + 1).to_string() => {
                if trimmed.starts_with("- ") {
                    mistake.label("a list item among the keys of a mapping")
                } else {
                    mistake
                        .label("a key among the items of a list")
                        .help("start it with `- `, or indent it under the item above")
                }
            }
            _ => mistake.label(format!("it starts in column {}; column {} would fit", indent + 1, places.join(" or "))),
        }
    }

    /// Columns (from 0) in which the lines above start that this one could belong to, outermost first.
    fn columns_above(&self, here: usize) -> Vec<usize> {
        let mut columns: Vec<usize> = Vec::new();
        let mut least = usize::MAX;
        for line in self.text[..self.line_start].lines().rev() {
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') || trimmed == "---" {
                continue;
            }
            let column = line.len() - trimmed.len();
            if column < least {
                if let Some(rest) = trimmed.strip_prefix("- ")
                    && !self.line.trim_start().starts_with("- ")
                {
                    let inner = column + 2 + rest.len() - rest.trim_start().len();
                    if inner < least {
                        columns.push(inner);
                    }
                } else {
                    columns.push(column);
                }
                least = column;
            }
            if column <= here {
                break;
            }
        }
        columns.sort_by_key(|c| c.abs_diff(here));
        columns.truncate(2);
        columns.sort_unstable();
        columns
    }

    fn after_quote(&self) -> Mistake {
        let before = &self.line[..(self.offset - self.line_start).min(self.line.len())];
        let value =
            before.rfind(": ").map_or(before.len() - before.trim_start().trim_start_matches("- ").len(), |i| i + 2);
        let text = self.line[value..].trim();
        let outer = if text.starts_with('"') { '\'' } else { '"' };
        let written = if text.contains(outer) { quote(text) } else { format!("{outer}{text}{outer}") };
        Mistake::at(
            &self.span(self.offset, self.line_start + self.line.trim_end().len()),
            "text follows the closing quote",
        )
        .label(format!("quote all of it: {written}"))
    }

    /// A line that should be `key: value`.
    fn no_colon(&self) -> Mistake {
        let text = self.line.trim().trim_start_matches("- ");
        let start = self.line_start + self.line.find(text).unwrap_or(0);
        let span = self.span(start, start + text.len());
        if let Some(at) = text.find(':').filter(|at| !text[at + 1..].starts_with([' ', '/'])) {
            let colon = self.span(start + at, start + at + 1);
            return Mistake::at(&colon, "a space is missing after the colon").label(format!(
                "write {}: {}",
                &text[..at],
                &text[at + 1..]
            ));
        }
        match text.split_once([' ', '=']) {
            Some((key, value)) if !value.is_empty() => Mistake::at(&span, "a colon is missing").label(format!(
                "perhaps {}: {}",
                key.trim(),
                value.trim_start_matches(['=', ' '])
            )),
            _ => Mistake::at(&span, "a key without its colon").label(format!("write {text}:")),
        }
    }

    /// The quote that was opened and not closed before the place where the parser gave up.
    fn open_quote(&self) -> Mistake {
        // The line itself may open it, as the last one of the file does.
        let (open, _) = quoted(self.text, self.line_start + self.line.len() + 1)
            .or_else(|| quoted(&format!("{}\n", self.text), self.text.len() + 1))
            .unwrap_or((self.offset, self.offset));
        match self.text[open..].chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => Mistake::at(&self.span(open, open + 1), "this quote is never closed")
                .label(format!("the closing `{quote}` is missing")),
            None => Mistake::at(&self.span(self.offset, self.offset), "a quote is never closed"),
        }
    }

    fn escape(&self) -> Mistake {
        let value = &self.text[self.offset..];
        let mut chars = value.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == '"' {
                break;
            }
            if c == '\\'
                && let Some((_, next)) = chars.next()
                && !"0abtnvfre \"/\\N_LPxuU\n\t".contains(next)
            {
                let start = self.offset + at;
                return Mistake::at(
                    &self.span(start, start + 1 + next.len_utf8()),
                    format!("`\\{next}` means nothing between double quotes"),
                )
                .label(format!("write `\\\\{next}`, or use single quotes"));
            }
        }
        Mistake::at(&self.span(self.offset, self.word_end(self.offset)), "an escape in this text cannot be read")
            .help("use single quotes, in which a backslash is a backslash")
    }
}
