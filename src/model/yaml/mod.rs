//! YAML as PyYAML writes it, to the letter, since files and output made with it are compared.
//!
//! The rules (which scalars need quotes, where long ones are folded, how sequences sit in mappings) are those of YAML 1.1's
//! resolver and of PyYAML's emitter. Reading YAML is `parse::yaml`'s.

mod scalar;

use self::scalar::scalar_text;
pub use self::scalar::{is_break, is_printable};
use super::value::{Dict, Key, Value};

/// How a document is written: `yaml.dump`'s parameters.
pub struct Options {
    /// Columns of a level, 2 to 9.
    pub indent: usize,
    /// Column behind which a long scalar is folded.
    pub width: usize,
    /// Collections on one line: all, none, or those of scalars alone.
    pub flow: Option<bool>,
    pub sort: bool,
    /// Letters beyond ASCII as they are.
    pub unicode: bool,
    /// How scalars are written that can be.
    pub style: Style,
    /// Texts of several lines as `|`, where they can be.
    pub blocks: bool,
    pub line_break: &'static str,
    /// Every node with its tag, and a line for itself.
    pub canonical: bool,
    /// `---` before it, `...` behind it.
    pub start: bool,
    pub end: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            indent: 2,
            width: 80,
            flow: None,
            sort: true,
            unicode: true,
            style: Style::Plain,
            blocks: false,
            line_break: "\n",
            canonical: false,
            start: false,
            end: false,
        }
    }
}

/// How a scalar is written; only a plain one can be anything but text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// A value as a document.
pub fn write(value: &Value, options: Options) -> String {
    let (start, end) = (options.start || options.canonical, options.end);
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
    if start {
        out.out.push_str("---");
        out.column = 3;
        out.whitespace = false;
        out.indention = false;
        if out.options.canonical
            || matches!(value, Value::List(l) if !l.is_empty())
            || matches!(value, Value::Dict(d) if !d.is_empty())
        {
            out.line_break();
        }
    }
    out.node(value, Place::Root);
    out.line_break_if_needed();
    if end || out.open_ended {
        out.put("...");
        out.line_break();
    }
    out.out
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
        text.chars().count() < 128 && !text.contains(is_break)
    }
}
