//! Where in the user's files a part of a template stands, and how much of it a message shows.

use super::tree::At;
use crate::model::source::Span;
use crate::vars::error::TemplateError;

/// The result with the line feeds at the end of its template, which Jinja drops and Ansible puts back.
pub fn with_line_ends(template: &str, result: &str, newline: &str) -> String {
    let count = |t: &str| t.len() - t.trim_end_matches('\n').len();
    let missing = count(template).saturating_sub(count(result));
    format!("{result}{}", newline.repeat(missing))
}

/// Gives an error its place, once its template is known.
pub fn place(error: &mut TemplateError, name: &str, text: &str, span: Option<&Span>) {
    if error.span.is_some() {
        return;
    }
    let own;
    let span = match span {
        Some(s) => s,
        None => {
            own = Span::of_text(name, text);
            &own
        }
    };
    let (span, expression) = locate(span, text, error.at.take());
    error.span = Some(span);
    error.expression = expression;
}

/// The place of a part of a template: exact where the template's text stands verbatim in its source, else the place of
/// the part's first line if it is there once, else the whole.
pub fn locate(span: &Span, text: &str, at: Option<At>) -> (Span, String) {
    let Some((from, to)) = at else { return (span.clone(), shorten(text)) };
    let part = text.get(from as usize..to as usize).unwrap_or("");
    let source = span.text();
    let start = match source.find(text) {
        Some(i) => Some(i + from as usize),
        None => {
            let line = part.lines().next().unwrap_or("").trim();
            let mut found = source.match_indices(line).map(|(i, _)| i);
            // The n-th occurrence in the text is the n-th in the source.
            let n = text[..from as usize].matches(line).count();
            if line.is_empty() { None } else { found.nth(n) }
        }
    };
    let expression = shorten(part.trim());
    match start {
        Some(i) => {
            let length = part.lines().next().map_or(0, |l| l.trim_end().len()).max(1);
            (span.part(i as u32, (i + length).min(source.len()) as u32), expression)
        }
        None => (span.clone(), expression),
    }
}

pub fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(80) {
        Some((i, _)) => format!("{}…", &line[..i]),
        None => line,
    }
}
