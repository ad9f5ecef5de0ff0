//! Scalars as PyYAML's emitter writes them: which style can hold a text, and the five styles.

use std::sync::OnceLock;

use fancy_regex::Regex;

use super::{Emitter, Place, Style};
use crate::model::value::{Value, python_float};

impl Emitter {
    pub(super) fn scalar(&mut self, value: &Value, place: Place) {
        let text = scalar_text(value);
        let is_text = matches!(value, Value::Str(_) | Value::Template(_));
        let plain_means_this = !is_text || !resolves(&text);
        let a = Analysis::of(&text, self.options.unicode);
        let key = place == Place::Key;
        let fits = if self.flow_level > 0 { a.flow_plain } else { a.block_plain };
        let mut style = match self.options.style {
            _ if self.options.canonical => Style::Double,
            style if style != Style::Plain && key && a.multiline => Style::Double,
            Style::Plain if self.options.blocks && is_text && a.multiline && !key => Style::Literal,
            Style::Plain if !plain_means_this || (key && (text.is_empty() || a.multiline)) || !fits => Style::Single,
            style => style,
        };
        if style == Style::Single && (!a.single || (key && a.multiline)) {
            style = Style::Double;
        }
        if matches!(style, Style::Literal | Style::Folded) && (!a.block || self.flow_level > 0 || key) {
            style = Style::Double;
        }
        if self.options.canonical {
            self.tag(tag_of(value));
        } else if style != Style::Plain && !is_text {
            // Quoted it would be read as text.
            self.indicator("!", true, false, false);
        }
        self.open_ended = false;
        // A scalar is indented one level deeper where it is folded.
        self.increase(true, false);
        match style {
            Style::Plain => self.plain(&text, !key),
            Style::Single => self.single_quoted(&text, !key),
            Style::Double => self.double_quoted(&text, !key),
            Style::Literal => self.literal(&text),
            Style::Folded => self.folded(&text),
        }
        self.decrease();
    }

    fn plain(&mut self, text: &str, split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.put(" ");
        }
        self.whitespace = false;
        self.indention = false;
        for piece in pieces(text) {
            if piece == " " && self.column > self.options.width && split {
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
            } else {
                self.put(piece);
            }
        }
    }

    fn single_quoted(&mut self, text: &str, split: bool) {
        self.indicator("'", true, false, false);
        let all: Vec<&str> = pieces(text).collect();
        for (i, piece) in all.iter().enumerate() {
            let edge = i == 0 || i + 1 == all.len();
            if *piece == " " && self.column > self.options.width && split && !edge {
                self.write_indent();
            } else if piece.starts_with('\n') {
                // One line feed alone would be read as a blank.
                self.line_break();
                for _ in piece.chars() {
                    self.line_break();
                }
                self.write_indent();
            } else {
                self.put(&piece.replace('\'', "''"));
            }
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &str, split: bool) {
        self.indicator("\"", true, false, false);
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (i, c) in chars.iter().copied().enumerate() {
            let plain = (' '..='~').contains(&c) && c != '"' && c != '\\'
                || (self.options.unicode
                    && matches!(c, '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                    && !"\u{2028}\u{2029}\u{feff}".contains(c));
            if !plain {
                let escaped = escape(c);
                self.put(&escaped);
                after_space = false;
            } else if c == ' ' {
                let edge = i == 0 || i + 1 == chars.len();
                if split && !after_space && self.column > self.options.width && !edge {
                    // The line end reads as this blank; a blank behind it must be kept by a backslash.
                    self.write_indent();
                    if chars.get(i + 1) == Some(&' ') {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                after_space = true;
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
                after_space = false;
            }
        }
        self.indicator("\"", false, false, false);
    }

    /// What stands behind `|` and `>`: the indentation where the text starts with white space, and how it ends.
    fn block_head(&mut self, mark: &str, text: &str) {
        let mut head = mark.to_owned();
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            head.push_str(&self.options.indent.to_string());
        }
        let mut ends = text.chars().rev();
        match (ends.next(), ends.next()) {
            (Some(last), before) if is_break(last) => {
                if before.is_none_or(is_break) {
                    head.push('+');
                    self.open_ended = true;
                }
            }
            _ => head.push('-'),
        }
        self.indicator(&head, true, false, false);
        self.line_break();
    }

    fn literal(&mut self, text: &str) {
        self.block_head("|", text);
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.line_break();
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c.encode_utf8(&mut [0; 4]));
                self.indention = false;
            }
            breaks = is_break(c);
        }
        if !breaks {
            self.line_break();
        }
    }

    fn folded(&mut self, text: &str) {
        self.block_head(">", text);
        let chars: Vec<char> = text.chars().collect();
        let (mut breaks, mut indented) = (true, true);
        for (i, c) in chars.iter().copied().enumerate() {
            if is_break(c) {
                let next = chars[i..].iter().find(|c| !is_break(**c));
                // One line feed alone would be read as a blank.
                if !breaks && !indented && c == '\n' && next.is_some_and(|c| !matches!(c, ' ' | '\t')) {
                    self.line_break();
                }
                self.line_break();
            } else {
                if breaks {
                    self.write_indent();
                    indented = matches!(c, ' ' | '\t');
                }
                if !breaks && c == ' ' && chars.get(i + 1) != Some(&' ') && self.column > self.options.width {
                    self.write_indent();
                } else {
                    self.put(c.encode_utf8(&mut [0; 4]));
                }
                self.indention = false;
            }
            breaks = is_break(c);
        }
        if !breaks {
            self.line_break();
        }
    }
}

/// What YAML ends a line at.
pub fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a sign may stand in YAML as it is.
pub fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && c != '\u{feff}'
}

fn tag_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "!!null",
        Value::Bool(_) => "!!bool",
        Value::Int(_) => "!!int",
        Value::Float(_) => "!!float",
        _ => "!!str",
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if c as u32 <= 0xff => return format!("\\x{:02X}", c as u32),
        c if c as u32 <= 0xffff => return format!("\\u{:04X}", c as u32),
        c => return format!("\\U{:08X}", c as u32),
    };
    format!("\\{short}")
}

/// Runs of blanks, of line feeds, and of other characters, in turn.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| match c {
        ' ' => 0,
        '\n' => 1,
        _ => 2,
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = kind(rest.chars().next()?);
        let end = rest.find(|c| kind(c) != first).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        rest = tail;
        Some(head)
    })
}

pub(super) fn scalar_text(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Float(x) if x.is_nan() => ".nan".into(),
        Value::Float(x) if x.is_infinite() => if *x > 0.0 { ".inf" } else { "-.inf" }.into(),
        Value::Float(x) => {
            // YAML 1.1 needs a point in a number with an exponent.
            let text = python_float(*x);
            if !text.contains('.') && text.contains('e') { text.replacen('e', ".0e", 1) } else { text }
        }
        other => other.to_string(),
    }
}

/// Whether a plain text would be read as something else than text.
fn resolves(text: &str) -> bool {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    const WHOLE: &str = r"\A(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|~|null|Null|NULL||<<|=
|[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)
|[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+
|[0-9]{4}-[0-9]{2}-[0-9]{2}
|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[\ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[\ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?
)\z";
    let pattern = PATTERN.get_or_init(|| Regex::new(&format!("(?x){}", WHOLE.replace('\n', ""))).ok());
    // Where the pattern itself were wrong, quoting is always right.
    pattern.as_ref().is_none_or(|p| p.is_match(text).unwrap_or(true))
}

/// In which styles a text can be written.
struct Analysis {
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &str, unicode: bool) -> Analysis {
        if text.is_empty() {
            return Analysis { multiline: false, flow_plain: false, block_plain: true, single: true, block: false };
        }
        let is_space = |c: char| matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c);
        let chars: Vec<char> = text.chars().collect();
        let documents = text.starts_with("---") || text.starts_with("...");
        let (mut block_bad, mut flow_bad) = (documents, documents);
        let (mut breaks, mut special) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut last = None;
        for (i, c) in chars.iter().copied().enumerate() {
            let before_space = i == 0 || is_space(chars[i - 1]);
            let after_space = chars.get(i + 1).is_none_or(|c| is_space(*c));
            if i == 0 {
                if "#,[]{}&*!|>'\"%@`".contains(c) || (c == '-' && after_space) {
                    (flow_bad, block_bad) = (true, true);
                }
                if "?:".contains(c) {
                    flow_bad = true;
                    block_bad |= after_space;
                }
            } else {
                flow_bad |= ",?[]{}".contains(c) || c == ':';
                block_bad |= c == ':' && after_space;
                if c == '#' && before_space {
                    (flow_bad, block_bad) = (true, true);
                }
            }
            breaks |= is_break(c);
            special |= !is_printable(c) || (!unicode && !c.is_ascii());
            let now = if c == ' ' {
                Some(' ')
            } else if is_break(c) {
                Some('\n')
            } else {
                None
            };
            break_space |= now == Some(' ') && last == Some('\n');
            space_break |= now == Some('\n') && last == Some(' ');
            last = now;
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let edges = edge(chars.first()) || edge(chars.last());
        let never = break_space || space_break || special;
        let plain = !edges && !never && !breaks;
        Analysis {
            multiline: breaks,
            flow_plain: plain && !flow_bad,
            block_plain: plain && !block_bad,
            single: !never,
            block: !space_break && !special && chars.last() != Some(&' '),
        }
    }
}
