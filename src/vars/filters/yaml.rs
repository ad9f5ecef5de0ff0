//! `to_yaml` and `to_nice_yaml`: YAML as PyYAML writes it, to the letter, since files made with it are compared.
//!
//! The rules (which scalars need quotes, where long ones are folded, how sequences sit in mappings) are those of YAML 1.1's
//! resolver and of PyYAML's emitter.

use std::sync::OnceLock;

use fancy_regex::Regex;

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use crate::model::value::{Dict, Key, Value, python_float};

const PARAMS: &[&str] = &[
    "default_flow_style",
    "indent",
    "width",
    "sort_keys",
    "allow_unicode",
    "explicit_start",
    "explicit_end",
    "default_style",
    "line_break",
];

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["to_yaml"], params: PARAMS, takes_missing: false, run: |cx, v, b| dump(cx, v, b, None, 2), doc: "As YAML; innermost lists and dictionaries on one line." },
    Filter { names: &["to_nice_yaml"], params: &["indent", "default_flow_style", "width", "sort_keys", "allow_unicode", "explicit_start", "explicit_end", "default_style", "line_break"], takes_missing: false, run: nice, doc: "As YAML, every item on its own line, indented by 4." },
];

fn nice(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    // The same but for the first two parameters, which are the other way round.
    dump(cx, v, b, Some(false), 4)
}

fn dump(cx: &mut Cx<'_>, v: Val, b: Bound, flow: Option<bool>, indent: usize) -> Res {
    let (flow_at, indent_at) = if flow.is_none() { (0, 1) } else { (1, 0) };
    for (i, name) in [(7, "default_style"), (8, "line_break")] {
        if b.some(i).is_some() {
            return fail(format!("the option '{name}' is not supported"));
        }
    }
    let value = cx.value(&v)?;
    let flow = match b.get(flow_at) {
        None => flow,
        Some(Val::Null) => None,
        Some(v) => Some(cx.truth(v)?),
    };
    let indent = b.int(indent_at, "indent")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(indent);
    let width = match b.int(2, "width")? {
        // A negative or very large width never folds.
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        None => 80,
    };
    let options = Options {
        indent: if (2..10).contains(&indent) { indent } else { 2 },
        width: if width > indent * 2 { width } else { 80 },
        flow,
        sort: b.flag(cx, 3, true)?,
        unicode: b.flag(cx, 4, true)?,
    };
    let mut out = Emitter {
        options,
        out: String::new(),
        column: 0,
        whitespace: true,
        indention: true,
        indents: Vec::new(),
        indent: None,
        flow_level: 0,
    };
    if b.flag(cx, 5, false)? {
        out.out.push_str("---");
        out.column = 3;
        out.whitespace = false;
        out.indention = false;
        if matches!(&value, Value::List(l) if !l.is_empty()) || matches!(&value, Value::Dict(d) if !d.is_empty()) {
            out.line_break();
        }
    }
    out.node(&value, Place::Root);
    out.line_break_if_needed();
    if b.flag(cx, 6, false)? {
        out.out.push_str("...\n");
    }
    Ok(out.out.into())
}

struct Options {
    indent: usize,
    width: usize,
    flow: Option<bool>,
    sort: bool,
    unicode: bool,
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    Value,
    Key,
}

struct Emitter {
    options: Options,
    out: String,
    column: usize,
    whitespace: bool,
    indention: bool,
    indents: Vec<Option<usize>>,
    indent: Option<usize>,
    flow_level: usize,
}

impl Emitter {
    fn put(&mut self, text: &str) {
        self.column += text.chars().count();
        self.out.push_str(text);
    }

    fn line_break(&mut self) {
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
        self.out.push('\n');
    }

    fn line_break_if_needed(&mut self) {
        if self.column > 0 {
            self.line_break();
        }
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        if self.column < indent {
            self.whitespace = true;
            self.put(&" ".repeat(indent - self.column));
        }
    }

    fn indicator(&mut self, text: &str, needs_space: bool, whitespace: bool, indention: bool) {
        if needs_space && !self.whitespace {
            self.put(" ");
        }
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
        self.put(text);
    }

    fn increase(&mut self, flow: bool, indentless: bool) {
        self.indents.push(self.indent);
        self.indent = match self.indent {
            None => Some(if flow { self.options.indent } else { 0 }),
            Some(i) if indentless => Some(i),
            Some(i) => Some(i + self.options.indent),
        };
    }

    fn decrease(&mut self) {
        self.indent = self.indents.pop().flatten();
    }

    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::List(l) => {
                if self.flow_level > 0 || l.is_empty() || self.is_flow(value) {
                    self.flow_list(l);
                } else {
                    self.block_list(l, place);
                }
            }
            Value::Dict(d) => {
                if self.flow_level > 0 || d.is_empty() || self.is_flow(value) {
                    self.flow_dict(d);
                } else {
                    self.block_dict(d);
                }
            }
            scalar => self.scalar(scalar, place),
        }
    }

    fn is_flow(&self, value: &Value) -> bool {
        let scalar = |v: &Value| !matches!(v, Value::List(_) | Value::Dict(_));
        self.options.flow.unwrap_or_else(|| match value {
            Value::List(l) => l.iter().all(scalar),
            Value::Dict(d) => d.values().all(scalar),
            _ => true,
        })
    }

    fn block_list(&mut self, items: &[Value], place: Place) {
        self.increase(false, place == Place::Value && !self.indention);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Place::Item);
        }
        self.decrease();
    }

    fn block_dict(&mut self, dict: &Dict) {
        self.increase(false, false);
        for (k, v) in self.ordered(dict) {
            self.write_indent();
            if self.is_simple_key(&k) {
                self.scalar(&k, Place::Key);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.node(&k, Place::Item);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(v, Place::Value);
        }
        self.decrease();
    }

    fn flow_list(&mut self, items: &[Value]) {
        self.indicator("[", true, true, false);
        self.increase(true, false);
        self.flow_level += 1;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.options.width {
                self.write_indent();
            }
            self.node(item, Place::Item);
        }
        self.decrease();
        self.flow_level -= 1;
        self.indicator("]", false, false, false);
    }

    fn flow_dict(&mut self, dict: &Dict) {
        self.indicator("{", true, true, false);
        self.increase(true, false);
        self.flow_level += 1;
        for (i, (k, v)) in self.ordered(dict).into_iter().enumerate() {
            if i > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.options.width {
                self.write_indent();
            }
            if self.is_simple_key(&k) {
                self.scalar(&k, Place::Key);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, false);
                self.node(&k, Place::Item);
                if self.column > self.options.width {
                    self.write_indent();
                }
                self.indicator(":", true, false, false);
            }
            self.node(v, Place::Value);
        }
        self.decrease();
        self.flow_level -= 1;
        self.indicator("}", false, false, false);
    }

    /// The pairs, sorted where their keys have an order.
    fn ordered<'d>(&self, dict: &'d Dict) -> Vec<(Value, &'d Value)> {
        let mut pairs: Vec<(&Key, &Value)> = dict.iter().collect();
        let texts = pairs.iter().all(|(k, _)| matches!(k, Key::Str(_)));
        let numbers = pairs.iter().all(|(k, _)| matches!(k, Key::Int(_) | Key::Float(_) | Key::Bool(_)));
        if self.options.sort && texts {
            pairs.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
        } else if self.options.sort && numbers {
            let number = |k: &Key| match k {
                Key::Int(i) => *i as f64,
                Key::Float(x) => *x,
                Key::Bool(b) => f64::from(u8::from(*b)),
                _ => 0.0,
            };
            pairs.sort_by(|(a, _), (b, _)| number(a).total_cmp(&number(b)));
        }
        pairs.into_iter().map(|(k, v)| (k.to_value(), v)).collect()
    }

    fn is_simple_key(&self, key: &Value) -> bool {
        let text = scalar_text(key);
        text.chars().count() < 128 && !text.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}'])
    }

    fn scalar(&mut self, value: &Value, place: Place) {
        let text = scalar_text(value);
        let is_text = matches!(value, Value::Str(_) | Value::Template(_));
        let plain_means_this = !is_text || !resolves(&text);
        let a = Analysis::of(&text, self.options.unicode);
        let key = place == Place::Key;
        let fits = if self.flow_level > 0 { a.flow_plain } else { a.block_plain };
        // A scalar is indented one level deeper where it is folded.
        self.increase(true, false);
        let plain = plain_means_this && !(key && (text.is_empty() || a.multiline)) && fits;
        if plain {
            self.plain(&text, !key);
        } else if a.single && !(key && a.multiline) {
            self.single_quoted(&text, !key);
        } else {
            self.double_quoted(&text, !key);
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

fn scalar_text(value: &Value) -> String {
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
}

impl Analysis {
    fn of(text: &str, unicode: bool) -> Analysis {
        if text.is_empty() {
            return Analysis { multiline: false, flow_plain: false, block_plain: true, single: true };
        }
        let is_break = |c: char| matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
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
            if c != '\n' && !(' '..='~').contains(&c) {
                let printable =
                    c == '\u{85}' || matches!(c, '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
                special |= !printable || c == '\u{feff}' || !unicode;
            }
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
        Analysis { multiline: breaks, flow_plain: plain && !flow_bad, block_plain: plain && !block_bad, single: !never }
    }
}
