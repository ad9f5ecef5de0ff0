//! TOML inventories: a table per group with `hosts`, `vars` and `children`.

use std::sync::Arc;

use toml::Value as Toml;

use super::{Builder, ranges};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};
use crate::model::value::{Dict, Key, Value};

/// Reads a TOML inventory. Mistakes in its meaning stand at the file's start: TOML's values have no places here.
pub(super) fn read(source: &Arc<Source>, into: &mut Builder) {
    let whole = Span::new(source, 0, 0);
    let table: toml::Table = match toml::from_str(&source.text) {
        Ok(table) => table,
        Err(e) => {
            let range = e.span().unwrap_or(0..0);
            let span = Span::new(source, range.start as u32, range.end as u32);
            into.mistakes.push(Mistake::at(&span, format!("this is not TOML: {}", e.message().trim())));
            return;
        }
    };
    if table.is_empty() {
        let mut mistake = Mistake::plain(format!("the inventory {} is empty", source.name));
        mistake.warning = true;
        into.mistakes.push(mistake);
    }
    if table.contains_key("plugin") {
        into.mistakes.push(
            Mistake::at(&whole, "inventory plugins are not supported")
                .help("use an executable that prints the inventory as JSON"),
        );
        return;
    }
    for (name, data) in &table {
        group(name, data, &whole, into);
    }
}

fn group(name: &str, data: &Toml, span: &Span, into: &mut Builder) {
    into.group(name);
    let Some(parts) = data.as_table() else {
        into.mistakes
            .push(Mistake::at(span, format!("the group `{name}` must be a table")).help(format!("[{name}.hosts]")));
        return;
    };
    let wrong = |into: &mut Builder, part: &str, kind: &str| {
        into.mistakes.push(Mistake::at(span, format!("the `{part}` of the group `{name}` must be {kind}")));
    };
    for (part, content) in parts {
        match (part.as_str(), content) {
            ("vars", Toml::Table(vars)) => {
                for (key, value) in vars {
                    into.group_var(name, key, value_of(value, span), span);
                }
            }
            ("children", Toml::Array(children)) => {
                for child in children {
                    match child.as_str() {
                        Some(child) => into.child(name, child, span),
                        None => wrong(into, "children", "a list of names"),
                    }
                }
            }
            ("hosts", Toml::Table(hosts)) => {
                for (pattern, vars) in hosts {
                    match ranges::expand(pattern) {
                        Ok((names, port)) => {
                            for host in names {
                                into.host(&host, name, port);
                                for (key, value) in vars.as_table().into_iter().flatten() {
                                    into.host_var(&host, key, value_of(value, span));
                                }
                            }
                        }
                        Err(why) => into.mistakes.push(Mistake::at(span, format!("{pattern}: {why}"))),
                    }
                }
            }
            ("vars" | "hosts", _) => wrong(into, part, "a table"),
            ("children", _) => wrong(into, part, "a list of names"),
            (other, _) => {
                let mut mistake = Mistake::at(span, format!("`{other}` means nothing in the group `{name}`"))
                    .help("a group holds `hosts`, `vars` and `children`");
                mistake.warning = true;
                into.mistakes.push(mistake);
            }
        }
    }
}

fn value_of(value: &Toml, span: &Span) -> Value {
    match value {
        Toml::String(s) => Value::written(s, span),
        Toml::Integer(i) => Value::Int(*i),
        Toml::Float(x) => Value::Float(*x),
        Toml::Boolean(b) => Value::Bool(*b),
        Toml::Datetime(d) => Value::from(d.to_string()),
        Toml::Array(items) => Value::list(items.iter().map(|v| value_of(v, span)).collect()),
        Toml::Table(table) => {
            Value::dict(table.iter().map(|(k, v)| (Key::str(k), value_of(v, span))).collect::<Dict>())
        }
    }
}
