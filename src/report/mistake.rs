//! Draws mistakes with their place, their source line and a caret. Finding them is `parse`'s and `plan`'s; counting them
//! and the exit code are the caller's.
//!
//! Our own renderer: the shape is fixed (`EXPERIENCE`: one look everywhere), and the libraries draw another.

use unicode_width::UnicodeWidthChar;

use super::style::{Paint, Style};
use crate::model::mistake::Mistake;

/// Columns from one tab stop to the next.
const TAB: usize = 4;
/// No source line is drawn wider; a longer one is cut around its caret.
const WIDEST: usize = 140;

/// All mistakes, sorted by file and place (those without a place first), each once, a blank line between them.
///
/// ```text
/// error: unknown parameter `contnt` for module `copy`
///   --> site.yml:14:9
///    |
/// 14 |         contnt: "{{ banner }}"
///    |         ^^^^^^ did you mean `content`?
///    = `stx-upgrade doc copy` lists its parameters
/// ```
/// Ends with a newline unless there is nothing to draw.
pub fn render(mistakes: &[Mistake], color: bool) -> String {
    let mut sorted: Vec<&Mistake> = mistakes.iter().collect();
    sorted.sort_by_cached_key(|m| (place(m), m.message.clone()));
    // Said twice is said once: a file that is included in two places.
    sorted.dedup_by(|a, b| {
        let said = |m: &Mistake| (m.message.clone(), m.label.clone(), m.help.clone(), m.warning);
        place(a) == place(b) && said(a) == said(b)
    });
    let drawn: Vec<String> = sorted.iter().map(|m| one(m, Paint::new(color))).collect();
    drawn.join("\n")
}

/// A source may have been loaded twice, so its name counts, not its identity.
fn place(m: &Mistake) -> Option<(String, u32, u32)> {
    m.span.as_ref().map(|s| (s.source.name.clone(), s.start, s.end))
}

fn one(m: &Mistake, paint: Paint) -> String {
    let (word, style) = if m.warning { ("warning", Style::WARNING) } else { ("error", Style::ERROR) };
    let mut out = format!("{}: {}\n", paint.on(style, word), paint.on(Style::BOLD, &indented(&m.message, 7)));
    let mut gutter = 1;
    if let Some(span) = &m.span {
        let place = span.place();
        let number = place.line.to_string();
        gutter = number.len();
        let (line, from, to) = underlined(m);
        let bar = paint.on(Style::FRAME, "|");
        let blank = " ".repeat(gutter + 1);
        out += &format!("{}{} {place}\n", " ".repeat(gutter), paint.on(Style::FRAME, "-->"));
        out += &format!("{blank}{bar}\n");
        out += &format!("{} {bar} {line}\n", paint.on(Style::FRAME, &number));
        let carets = paint.on(style, &"^".repeat(to - from));
        let label = if m.label.is_empty() { String::new() } else { format!(" {}", paint.on(style, &m.label)) };
        out += &format!("{blank}{bar} {}{carets}{label}\n", " ".repeat(from));
    } else if !m.label.is_empty() {
        out += &format!("  {} {}\n", paint.on(Style::FRAME, "="), m.label);
    }
    for help in &m.help {
        let mark = paint.on(Style::FRAME, "=");
        out += &format!("{}{mark} {}\n", " ".repeat(gutter + 1), indented(help, gutter + 3));
    }
    out
}

/// Keeps further lines of a text under its first, and takes out what would move the cursor.
fn indented(text: &str, by: usize) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(|l| drawn(l, usize::MAX).0).collect();
    lines.join(&format!("\n{}", " ".repeat(by)))
}

/// The line at which a mistake starts, as drawn, and the columns (from 0) of its carets. A span of several lines is
/// underlined on its first; an empty one gets one caret.
fn underlined(m: &Mistake) -> (String, usize, usize) {
    let Some(span) = &m.span else { return (String::new(), 0, 1) };
    let place = span.place();
    let line = span.source.line(place.line);
    let start = line.char_indices().nth(place.column as usize - 1).map_or(line.len(), |(i, _)| i);
    let covered = span.text().lines().next().unwrap_or("").trim_end();
    let end = (start + covered.len()).min(line.len());
    let (text, columns) = drawn(line, start.max(end));
    let column = |byte: usize| columns.iter().take_while(|(at, _)| *at < byte).map(|(_, w)| w).sum::<usize>();
    let (from, to) = (column(start), column(end));
    let (text, cut) = window(&text, from);
    let width = text.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    let from = from - cut;
    (text, from, (to - cut).min(width).max(from + 1))
}

/// A text as it is drawn: tabs as blanks, control characters as their pictures; and for each character that starts
/// before byte `until`, its offset and its width.
fn drawn(line: &str, until: usize) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut columns, mut at) = (String::with_capacity(line.len()), Vec::new(), 0);
    for (i, c) in line.char_indices() {
        let width = match c {
            '\t' => {
                let width = TAB - at % TAB;
                text.extend(std::iter::repeat_n(' ', width));
                width
            }
            c if (c as u32) < 0x20 => {
                text.push(char::from_u32(0x2400 + c as u32).unwrap_or('?'));
                1
            }
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                // Marks that turn the direction of writing could show a line other than it is.
                text.push('\u{fffd}');
                1
            }
            c => {
                text.push(c);
                c.width().unwrap_or(0)
            }
        };
        at += width;
        if i < until {
            columns.push((i, width));
        }
    }
    (text.trim_end().to_owned(), columns)
}

/// Cuts a very long line so that column `from` is in view; gives the columns cut off on the left.
fn window(text: &str, from: usize) -> (String, usize) {
    let total: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    if total <= WIDEST {
        return (text.to_owned(), 0);
    }
    let left = if from < WIDEST / 2 { 0 } else { from - WIDEST / 4 };
    let (mut out, mut at, mut cut) = (String::new(), 0, left);
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if at < left {
            // A wide character at the edge takes one column more with it.
            cut = at + width;
        } else if at - left + width >= WIDEST {
            out.push('…');
            break;
        } else {
            out.push(c);
        }
        at += width;
    }
    if left == 0 {
        return (out, 0);
    }
    (format!("…{out}"), cut - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::{Source, Span};

    fn at(text: &str, part: &str) -> Span {
        let start = text.find(part).unwrap() as u32;
        Span::new(&Source::new("site.yml", text), start, start + part.len() as u32)
    }

    fn plain(m: Mistake) -> String {
        render(&[m], false)
    }

    #[test]
    fn line_caret_label_and_help() {
        let text = format!("{}        contnt: \"{{{{ banner }}}}\"\n", "#\n".repeat(13));
        let m = Mistake::at(&at(&text, "contnt"), "unknown parameter `contnt` for module `copy`")
            .suggest("contnt", ["content", "dest"])
            .help("`stx-upgrade doc copy` lists its parameters");
        assert_eq!(
            plain(m),
            "error: unknown parameter `contnt` for module `copy`\n  \
               --> site.yml:14:9\n   \
                |\n\
             14 |         contnt: \"{{ banner }}\"\n   \
                |         ^^^^^^ did you mean `content`?\n   \
                = `stx-upgrade doc copy` lists its parameters\n"
        );
    }

    #[test]
    fn tabs_wide_and_control_characters_keep_the_caret_in_place() {
        let text = "\tä漢\x1b[2J: bad\n";
        let drawn = plain(Mistake::at(&at(text, "bad"), "no"));
        assert_eq!(drawn, "error: no\n --> site.yml:1:10\n  |\n1 |     ä漢␛[2J: bad\n  |              ^^^\n");
    }

    #[test]
    fn several_lines_underline_the_first() {
        let text = "- copy:   \n    a: 1\n";
        let drawn = plain(Mistake::at(&at(text, "copy:   \n    a: 1"), "no").label("here"));
        assert_eq!(drawn, "error: no\n --> site.yml:1:3\n  |\n1 | - copy:\n  |   ^^^^^ here\n");
    }

    #[test]
    fn the_end_of_the_text_has_a_caret_too() {
        let source = Source::new("a.yml", "a: b");
        let drawn = plain(Mistake::at(&Span::new(&source, 4, 4), "more was due"));
        assert_eq!(drawn, "error: more was due\n --> a.yml:1:5\n  |\n1 | a: b\n  |     ^\n");
        let drawn = plain(Mistake::at(&Span::new(&Source::new("e", ""), 0, 0), "empty"));
        assert_eq!(drawn, "error: empty\n --> e:1:1\n  |\n1 | \n  | ^\n");
    }

    #[test]
    fn a_very_long_line_is_cut_around_its_caret() {
        let text = format!("{}bad{}", "x".repeat(4000), "y".repeat(4000));
        let drawn = plain(Mistake::at(&at(&text, "bad"), "no"));
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[3].chars().count() < 160, "{drawn}");
        let caret = lines[4].find('^').unwrap();
        assert_eq!(lines[3].chars().skip(lines[4][..caret].chars().count()).take(3).collect::<String>(), "bad");
    }

    #[test]
    fn sorted_each_once_and_without_a_place_first() {
        let source = Source::new("b.yml", "one\ntwo\n");
        let (one, two) = (Span::new(&source, 0, 3), Span::new(&source, 4, 7));
        let list = [Mistake::at(&two, "second"), Mistake::at(&one, "first"), Mistake::at(&two, "second")];
        let all = render(&[&list[..], &[Mistake::plain("no such file").help("look\nagain")]].concat(), false);
        assert_eq!(
            all,
            "error: no such file\n  = look\n    again\n\n\
             error: first\n --> b.yml:1:1\n  |\n1 | one\n  | ^^^\n\n\
             error: second\n --> b.yml:2:1\n  |\n2 | two\n  | ^^^\n"
        );
        assert_eq!(render(&[], false), "");
    }

    #[test]
    fn a_warning_says_so_and_colors_are_only_added() {
        let mut m = Mistake::plain("unused");
        m.warning = true;
        assert_eq!(plain(m.clone()), "warning: unused\n");
        let colored = render(&[m], true);
        assert!(colored.contains("\x1b["));
    }
}
