//! `to_yaml` and `to_nice_yaml`: YAML as PyYAML writes it, to the letter, since files made with it are compared.
//!
//! The rules (which scalars need quotes, where long ones are folded, how sequences sit in mappings) are those of YAML 1.1's
//! resolver and of PyYAML's emitter.

mod scalar;

use self::scalar::scalar_text;
use crate::model::value::{Dict, Key, Value};
use crate::vars::error::fail;
use crate::vars::jinja::eval::Cx;
use crate::vars::jinja::tree::Filter;
use crate::vars::jinja::val::{Bound, Res, Val};

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
    "canonical",
];

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["to_yaml"], params: PARAMS, takes_missing: false, run: |cx, v, b| dump(cx, v, b, None, 2), doc: "As YAML; innermost lists and dictionaries on one line." },
    Filter { names: &["to_nice_yaml"], params: &["indent", "default_flow_style", "width", "sort_keys", "allow_unicode", "explicit_start", "explicit_end", "default_style", "line_break", "canonical"], takes_missing: false, run: nice, doc: "As YAML, every item on its own line, indented by 4." },
];

fn nice(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    // The same but for the first two parameters, which are the other way round.
    dump(cx, v, b, Some(false), 4)
}

fn dump(cx: &mut Cx<'_>, v: Val, b: Bound, flow: Option<bool>, indent: usize) -> Res {
    let (flow_at, indent_at) = if flow.is_none() { (0, 1) } else { (1, 0) };
    let style = match b.some(7).map(|s| cx.text(s)).transpose()?.as_deref() {
        None | Some("") => Style::Plain,
        Some("'") => Style::Single,
        Some("\"") => Style::Double,
        Some("|") => Style::Literal,
        Some(">") => Style::Folded,
        Some(odd) => return fail(format!("'default_style' must be one of ' \" | >, not {odd}")),
    };
    let line_break = match b.some(8).map(|s| cx.text(s)).transpose()?.as_deref() {
        Some("\r") => "\r",
        Some("\r\n") => "\r\n",
        _ => "\n",
    };
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
        style,
        line_break,
        canonical: b.flag(cx, 9, false)?,
    };
    let canonical = options.canonical;
    let mut out = Emitter {
        options,
        out: String::new(),
        column: 0,
        whitespace: true,
        indention: true,
        indents: Vec::new(),
        indent: None,
        flow_level: 0,
        open_ended: false,
    };
    if b.flag(cx, 5, false)? || canonical {
        out.out.push_str("---");
        out.column = 3;
        out.whitespace = false;
        out.indention = false;
        if canonical
            || matches!(&value, Value::List(l) if !l.is_empty())
            || matches!(&value, Value::Dict(d) if !d.is_empty())
        {
            out.line_break();
        }
    }
    out.node(&value, Place::Root);
    out.line_break_if_needed();
    if b.flag(cx, 6, false)? || out.open_ended {
        out.put("...");
        out.line_break();
    }
    Ok(out.out.into())
}

struct Options {
    indent: usize,
    width: usize,
    flow: Option<bool>,
    sort: bool,
    unicode: bool,
    /// How scalars are written that can be.
    style: Style,
    line_break: &'static str,
    /// Every node with its tag, and a line for itself.
    canonical: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
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
    /// The last scalar ends in empty lines that belong to it: an end mark must follow.
    open_ended: bool,
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
        self.out.push_str(self.options.line_break);
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
                self.tag("!!seq");
                if self.flow_level > 0 || l.is_empty() || self.is_flow(value) {
                    self.flow_list(l);
                } else {
                    self.block_list(l, place);
                }
            }
            Value::Dict(d) => {
                self.tag("!!map");
                if self.flow_level > 0 || d.is_empty() || self.is_flow(value) {
                    self.flow_dict(d);
                } else {
                    self.block_dict(d);
                }
            }
            scalar => self.scalar(scalar, place),
        }
    }

    /// A tag, which only the canonical form writes at every node.
    fn tag(&mut self, tag: &str) {
        if self.options.canonical {
            self.indicator(tag, true, false, false);
        }
    }

    fn is_flow(&self, value: &Value) -> bool {
        if self.options.canonical {
            return true;
        }
        // Scalars of another style than the plain one keep their collection from one line.
        let plain = self.options.style == Style::Plain;
        let scalar = |v: &Value| plain && !matches!(v, Value::List(_) | Value::Dict(_));
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
            if self.options.canonical || self.column > self.options.width {
                self.write_indent();
            }
            self.node(item, Place::Item);
        }
        self.decrease();
        self.flow_level -= 1;
        if self.options.canonical && !items.is_empty() {
            self.indicator(",", false, false, false);
            self.write_indent();
        }
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
            if self.options.canonical || self.column > self.options.width {
                self.write_indent();
            }
            if self.is_simple_key(&k) {
                self.scalar(&k, Place::Key);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, false);
                self.node(&k, Place::Item);
                if self.options.canonical || self.column > self.options.width {
                    self.write_indent();
                }
                self.indicator(":", true, false, false);
            }
            self.node(v, Place::Value);
        }
        self.decrease();
        self.flow_level -= 1;
        if self.options.canonical && !dict.is_empty() {
            self.indicator(",", false, false, false);
            self.write_indent();
        }
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
        if self.options.canonical {
            return false;
        }
        let text = scalar_text(key);
        text.chars().count() < 128 && !text.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}'])
    }
}
