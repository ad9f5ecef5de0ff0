//! Nodes to values: what a scalar means, tags, and which text is a template.

use super::{Kind, Node, Style, scalar};
use crate::model::mistake::Mistake;
use crate::model::source::{Span, Spanned};
use crate::model::text::Text;
use crate::model::value::{Dict, Key, Template, Value, has_jinja};
use crate::parse::keys::first_line;
use crate::parse::vault::{Vault, VaultError, is_vault};

const YAML: &str = "tag:yaml.org,2002:";

/// Turns nodes into values; opens `!vault` texts, collects what is wrong with tags.
pub struct Reader<'a> {
    pub vault: &'a Vault,
    pub mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    /// A node as a value. Text with Jinja becomes a template that knows its place; under `!unsafe` all is plain data.
    pub fn value(&mut self, node: &Node) -> Value {
        self.convert(node, true)
    }

    /// A node as plain data: no text in it is a template.
    pub fn data(&mut self, node: &Node) -> Value {
        self.convert(node, false)
    }

    /// A node as a value with its place.
    pub fn written(&mut self, node: &Node) -> Spanned<Value> {
        Spanned::new(self.value(node), node.span.clone())
    }

    /// A mapping's value; empty with a mistake if it is something else. `what` names it: ``the `vars` of a play``.
    pub fn dict(&mut self, node: &Node, what: &str) -> Dict {
        match self.value(node) {
            Value::Dict(d) => std::sync::Arc::unwrap_or_clone(d),
            Value::Null => Dict::new(),
            _ => {
                let kind = node.kind_name();
                self.mistakes.push(Mistake::at(&node.span, format!("{what} must be a mapping, this is {kind}")));
                Dict::new()
            }
        }
    }

    fn convert(&mut self, node: &Node, live: bool) -> Value {
        let tag = node.tag.as_deref();
        match tag {
            None | Some("!") => {}
            Some("!unsafe") => return self.implicit(node),
            Some("!vault" | "!vault-encrypted") => return self.open(node, live),
            Some(tag) => match tag.strip_prefix(YAML) {
                Some("str" | "seq" | "map" | "python/unicode" | "python/dict") => {}
                Some(core) => return self.core(node, core, live),
                None => {
                    let span = tag_span(node, tag);
                    let mistake = Mistake::at(&span, format!("unknown tag `{tag}`"))
                        .suggest(tag, ["!vault", "!unsafe"])
                        .help("Ansible knows `!vault` and `!unsafe` beside YAML's own tags; quote the text if it is meant to start with `!`");
                    self.mistakes.push(mistake);
                    return Value::Null;
                }
            },
        }
        match &node.kind {
            Kind::Scalar { text, style: Style::Plain } if tag.is_none() => match scalar::resolve(text) {
                scalar::Plain::Str => self.text(node, text, live),
                scalar::Plain::Reserved => {
                    self.mistakes.push(
                        Mistake::at(&node.span, format!("`{text}` has a meaning of its own in YAML"))
                            .label(format!("write '{text}'")),
                    );
                    Value::str(text)
                }
                scalar::Plain::Huge => {
                    let mut mistake = Mistake::at(&node.span, "this number does not fit 64 bits and is kept as text")
                        .label(format!("write \"{text}\" to say so"));
                    mistake.warning = true;
                    self.mistakes.push(mistake);
                    Value::str(text)
                }
                _ => scalar::value(text),
            },
            Kind::Scalar { text, .. } => self.text(node, text, live),
            Kind::Seq(items) => Value::list(items.iter().map(|n| self.convert(n, live)).collect()),
            // How Ansible writes the two tags in JSON.
            Kind::Map(pairs) if pairs.len() == 1 && pairs[0].0.text() == Some("__ansible_unsafe") => {
                self.convert(&pairs[0].1, false)
            }
            Kind::Map(pairs) if pairs.len() == 1 && pairs[0].0.text() == Some("__ansible_vault") => {
                self.open(&pairs[0].1, live)
            }
            Kind::Map(pairs) => {
                let mut dict = Dict::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let value = self.convert(value, live);
                    dict.insert(self.key(key), value);
                }
                Value::dict(dict)
            }
        }
    }

    fn text(&mut self, node: &Node, text: &str, live: bool) -> Value {
        if live && has_jinja(text) {
            let span = node.content_span();
            Value::Template(std::sync::Arc::new(Template { text: text.to_owned(), span }))
        } else if live {
            Value::Str(Text::written(text))
        } else {
            Value::str(text)
        }
    }

    /// A key; Ansible does not template keys.
    fn key(&mut self, node: &Node) -> Key {
        let value = self.convert(node, false);
        Key::from_value(&value).unwrap_or_else(|| Key::str(node.text().unwrap_or("")))
    }

    /// `!unsafe`: whatever it would be without the tag (quotes too do not count), but never a template.
    fn implicit(&mut self, node: &Node) -> Value {
        match &node.kind {
            Kind::Scalar { text, .. } => scalar::value(text),
            _ => {
                let bare = Node { tag: None, ..node.clone() };
                self.convert(&bare, false)
            }
        }
    }

    /// `!vault`: opened now, and known to the mask. If no secret opens it, it becomes a template that fails where it is
    /// used, as in Ansible: who does not need the value need not know the password.
    fn open(&mut self, node: &Node, live: bool) -> Value {
        let Some(text) = node.text() else {
            self.mistakes.push(
                Mistake::at(&node.span, format!("`!vault` marks an encrypted text, this is {}", node.kind_name()))
                    .help("paste what `stx-upgrade vault encrypt-string` prints"),
            );
            return Value::Null;
        };
        match self.vault.decrypt(text) {
            Ok(plain) => match std::str::from_utf8(&plain) {
                Ok(plain) => {
                    let value = match self.text(node, plain, live) {
                        Value::Str(_) => Value::Str(Text::vaulted(plain)),
                        template => template,
                    };
                    self.vault.mask().learn(&crate::model::secret::Secret::new(plain));
                    value
                }
                Err(_) => {
                    self.mistakes.push(Mistake::at(&node.span, "this vault text holds bytes that are not UTF-8 text"));
                    Value::Null
                }
            },
            Err(VaultError::Format(why)) => {
                let mut mistake = Mistake::at(&node.span, format!("not a vault text: {why}"));
                if !is_vault(text.trim_start().as_bytes()) {
                    mistake = mistake.help("paste what `stx-upgrade vault encrypt-string` prints");
                }
                self.mistakes.push(mistake);
                Value::Null
            }
            Err(closed) => {
                let place = node.span.place();
                let why = format!("the vault text at {place} cannot be opened: {closed}").replace(['"', '\\'], "'");
                let text = format!("{{{{ undef(hint=\"{why}\") }}}}");
                Value::Template(std::sync::Arc::new(Template { text, span: node.content_span() }))
            }
        }
    }

    /// The tags of YAML itself.
    fn core(&mut self, node: &Node, core: &str, live: bool) -> Value {
        let made = match (core, &node.kind) {
            ("null", Kind::Scalar { .. }) => Some(Value::Null),
            ("bool", Kind::Scalar { text, .. }) => {
                scalar::boolean(text).or_else(|| lower_boolean(text)).map(Value::Bool)
            }
            ("int", Kind::Scalar { text, .. }) => match scalar::int(text) {
                Some(Ok(i)) => Some(Value::Int(i)),
                _ => None,
            },
            ("float", Kind::Scalar { text, .. }) => match scalar::resolve(text) {
                scalar::Plain::Float(x) => Some(Value::Float(x)),
                scalar::Plain::Int(i) => Some(Value::Float(i as f64)),
                _ => text.replace('_', "").parse().ok().map(Value::Float),
            },
            ("timestamp", Kind::Scalar { text, .. }) => match scalar::resolve(text) {
                scalar::Plain::Date(iso) => Some(Value::from(iso)),
                _ => None,
            },
            ("binary", Kind::Scalar { text, .. }) => decode_base64(text).map(|bytes| {
                let text = String::from_utf8_lossy(&bytes);
                if text.contains('\u{fffd}') {
                    let mut mistake = Mistake::at(&node.span, "these bytes are not UTF-8 text; what is not is lost");
                    mistake.warning = true;
                    self.mistakes
                        .push(mistake.help("pass bytes as base64 text, and decode them where they are needed"));
                }
                Value::str(text)
            }),
            // Python's set; a list is what templates make of it.
            ("set", Kind::Map(pairs)) => Some(pairs.iter().map(|(k, _)| self.convert(k, live)).collect::<Value>()),
            ("omap" | "pairs", Kind::Seq(items)) => {
                let mut list = Vec::new();
                for (key, value) in items.iter().filter_map(Node::as_map).flatten() {
                    list.push(Value::list(vec![self.convert(key, live), self.convert(value, live)]));
                }
                Some(Value::list(list))
            }
            _ => None,
        };
        made.unwrap_or_else(|| {
            self.mistakes.push(
                Mistake::at(&node.span, format!("this is no `!!{core}`")).help("remove the tag, or correct the text"),
            );
            Value::Null
        })
    }
}

/// Where a node's tag stands; the node itself if it cannot be found before it.
fn tag_span(node: &Node, tag: &str) -> Span {
    let before = &node.span.source.text[..node.span.start as usize];
    match before.rfind(tag) {
        Some(at) => Span::new(&node.span.source, at as u32, (at + tag.len()) as u32),
        None => first_line(&node.span),
    }
}

/// `!!bool` takes any case.
fn lower_boolean(text: &str) -> Option<bool> {
    scalar::boolean(&text.to_lowercase())
}

/// The bytes of `!!binary`; none if it is not base64.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for b in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// The text of a string scalar, as a name is read: numbers and booleans too, as they were written.
pub fn string_of(node: &Node) -> Option<Spanned<String>> {
    node.text().map(|t| Spanned::new(t.to_owned(), node.content_span()))
}
