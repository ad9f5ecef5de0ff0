//! TOML inventories: a table per group with `hosts`, `vars` and `children`.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Builder, ranges};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};
use crate::model::value::{Dict, Key, Value};

type Node<'t> = Spanned<DeValue<'t>>;

/// Reads a TOML inventory into `into`.
pub(super) fn read(source: &Arc<Source>, into: &mut Builder) {
    let place = |range: Range<usize>| Span::new(source, range.start as u32, range.end as u32);
    let table = match DeTable::parse(&source.text) {
        Ok(table) => table.into_inner(),
        Err(e) => {
            let span = place(e.span().unwrap_or(0..0));
            into.mistakes.push(Mistake::at(&span, format!("this is not TOML: {}", e.message().trim())));
            return;
        }
    };
    if table.is_empty() {
        let mut mistake = Mistake::plain(format!("the inventory {} is empty", source.name));
        mistake.warning = true;
        into.mistakes.push(mistake);
    }
    let mut reader = Reading { place: &place, into };
    for (name, data) in table.iter() {
        if name.get_ref() == "plugin" {
            let mistake = Mistake::at(&place(name.span()), "inventory plugins are not supported");
            reader.into.mistakes.push(mistake.help("use an executable that prints the inventory as JSON"));
            return;
        }
        reader.group(name.get_ref(), data);
    }
}

struct Reading<'a, 'b> {
    place: &'a dyn Fn(Range<usize>) -> Span,
    into: &'a mut Builder<'b>,
}

impl Reading<'_, '_> {
    fn wrong(&mut self, node: &Node, message: String) {
        let span = (self.place)(node.span());
        self.into.mistakes.push(Mistake::at(&span, message));
    }

    fn group(&mut self, name: &str, data: &Node) {
        self.into.group(name);
        let Some(parts) = data.get_ref().as_table() else {
            return self.wrong(data, format!("the group `{name}` must be a table: [{name}.hosts]"));
        };
        for (part, content) in parts.iter() {
            match (part.get_ref().as_ref(), content.get_ref()) {
                ("vars", DeValue::Table(vars)) => {
                    for (key, value) in vars.iter() {
                        let span = (self.place)(value.span());
                        let value = self.value(value);
                        self.into.group_var(name, key.get_ref(), value, &span);
                    }
                }
                ("children", DeValue::Array(children)) => {
                    for child in children.iter() {
                        match child.get_ref().as_str() {
                            Some(text) => self.into.child(name, text, &(self.place)(child.span())),
                            None => self.wrong(child, "the name of a group must be text".into()),
                        }
                    }
                }
                ("hosts", DeValue::Table(hosts)) => {
                    for (pattern, vars) in hosts.iter() {
                        self.hosts(pattern, vars, name);
                    }
                }
                ("vars" | "hosts", _) => {
                    self.wrong(content, format!("the `{}` of the group `{name}` must be a table", part.get_ref()));
                }
                ("children", _) => {
                    self.wrong(content, format!("the `children` of the group `{name}` must be a list of names"));
                }
                (other, _) => {
                    let span = (self.place)(part.span());
                    let mut mistake = Mistake::at(&span, format!("`{other}` means nothing in the group `{name}`"))
                        .suggest(other, ["children", "hosts", "vars"])
                        .help("a group holds `hosts`, `vars` and `children`");
                    mistake.warning = true;
                    self.into.mistakes.push(mistake);
                }
            }
        }
    }

    fn hosts(&mut self, pattern: &Spanned<std::borrow::Cow<str>>, vars: &Node, group: &str) {
        let (names, port) = match ranges::expand(pattern.get_ref()) {
            Ok(found) => found,
            Err(why) => {
                let span = (self.place)(pattern.span());
                self.into.mistakes.push(Mistake::at(&span, why));
                return;
            }
        };
        let Some(table) = vars.get_ref().as_table() else {
            return self.wrong(vars, format!("the variables of `{}` must be a table", pattern.get_ref()));
        };
        for host in names {
            self.into.host(&host, group, port);
            for (key, value) in table.iter() {
                let value = self.value(value);
                self.into.host_var(&host, key.get_ref(), value);
            }
        }
    }

    fn value(&mut self, node: &Node) -> Value {
        match node.get_ref() {
            DeValue::String(s) => Value::written(s, &(self.place)(node.span())),
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(i) => Value::Int(i),
                Err(_) => {
                    self.wrong(node, "this number does not fit 64 bits; quote it to keep it as text".into());
                    Value::Null
                }
            },
            DeValue::Float(x) => Value::Float(x.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(d) => Value::from(d.to_string()),
            DeValue::Array(items) => Value::list(items.iter().map(|v| self.value(v)).collect()),
            DeValue::Table(table) => {
                let pairs = table.iter().map(|(k, v)| (Key::str(k.get_ref()), self.value(v)));
                Value::dict(pairs.collect::<Dict>())
            }
        }
    }
}
