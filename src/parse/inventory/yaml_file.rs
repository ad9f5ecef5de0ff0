//! YAML and JSON inventories: groups with `hosts`, `vars` and `children`.

use std::sync::Arc;

use super::{Builder, ranges};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};
use crate::model::value::Value;
use crate::parse::keys::first_line;
use crate::parse::yaml::{self, Kind, Node, Reader};

const PARTS: &[&str] = &["children", "hosts", "vars"];

/// Whether a text without an ending is YAML: a mapping whose values are mappings or nothing.
pub(super) fn looks_like(source: &Arc<Source>) -> bool {
    match yaml::read(source, &mut Vec::new()) {
        Ok(Some(Node { kind: Kind::Map(pairs), .. })) => {
            !pairs.is_empty() && pairs.iter().all(|(_, v)| v.is_null() || v.as_map().is_some())
        }
        _ => false,
    }
}

/// Reads a YAML inventory.
pub(super) fn read(source: &Arc<Source>, into: &mut Builder) {
    let root = match yaml::read(source, into.mistakes) {
        Ok(root) => root,
        Err(mistake) => {
            into.mistakes.push(mistake);
            return;
        }
    };
    let Some(root) = root.filter(|r| !r.is_null()) else {
        let mut mistake = Mistake::plain(format!("the inventory {} is empty", source.name));
        mistake.warning = true;
        into.mistakes.push(mistake);
        return;
    };
    let Some(groups) = root.as_map() else {
        let kind = root.kind_name();
        into.mistakes.push(
            Mistake::at(
                &first_line(&root.span),
                format!("a YAML inventory must be a mapping of groups, this is {kind}"),
            )
            .help("all:\n  hosts:\n    controller-0:"),
        );
        return;
    };
    if let Some((key, value)) = groups.iter().find(|(k, _)| k.text() == Some("plugin")) {
        let name = value.text().unwrap_or("");
        into.mistakes.push(Mistake::at(&key.span, format!("inventory plugins are not supported: `{name}`")).help(
            "use an executable that prints the inventory as JSON, for instance one around `ansible-inventory --list`",
        ));
        return;
    }
    for (key, value) in groups {
        group(key, value, into);
    }
}

/// Reads one group and the groups below it; its name.
fn group<'n>(key: &'n Node, node: &Node, into: &mut Builder) -> Option<&'n str> {
    let name = name(key, "a group", into)?;
    into.group(name);
    if node.is_null() {
        return Some(name);
    }
    let Some(parts) = node.as_map() else {
        let kind = node.kind_name();
        into.mistakes.push(
            Mistake::at(&first_line(&node.span), format!("the group `{name}` must be a mapping, this is {kind}"))
                .help("it holds `hosts`, `vars` and `children`"),
        );
        return Some(name);
    };
    for (part, content) in parts {
        match part.text().unwrap_or("") {
            _ if content.is_null() => {}
            "vars" => {
                for (var, value) in mapping(content, "vars", name, into) {
                    let value = Reader { vault: into.vault, mistakes: into.mistakes }.value(value);
                    into.group_var(name, var.text().unwrap_or(""), value, &var.span);
                }
            }
            "hosts" => hosts(content, name, into),
            "children" if content.is_string() => into.child(name, content.text().unwrap_or(""), &content.span),
            "children" => {
                for (child_key, child) in mapping(content, "children", name, into) {
                    if let Some(child) = group(child_key, child, into) {
                        into.child(name, child, &child_key.span);
                    }
                }
            }
            other => {
                let mut mistake = Mistake::at(&part.span, format!("`{other}` means nothing in the group `{name}`"))
                    .suggest(other, PARTS.iter().copied())
                    .help("a group holds `hosts`, `vars` and `children`");
                // Ansible passes it over; so do we, but say so.
                mistake.warning = true;
                into.mistakes.push(mistake);
            }
        }
    }
    Some(name)
}

fn hosts(node: &Node, group: &str, into: &mut Builder) {
    if node.is_string() {
        return add(node.text().unwrap_or(""), &node.span, None, group, into);
    }
    for (key, vars) in mapping(node, "hosts", group, into) {
        let Some(pattern) = name(key, "a host", into) else { continue };
        add(pattern, &key.span, Some(vars), group, into);
    }
}

fn add(pattern: &str, span: &Span, vars: Option<&Node>, group: &str, into: &mut Builder) {
    let (names, port) = match ranges::expand(pattern) {
        Ok(found) => found,
        Err(why) => {
            into.mistakes.push(Mistake::at(span, why));
            return;
        }
    };
    names.iter().for_each(|n| into.host(n, group, port));
    let Some(vars) = vars.filter(|v| !v.is_null()) else { return };
    let mut reader = Reader { vault: into.vault, mistakes: into.mistakes };
    let vars = reader.dict(vars, &format!("the variables of the host `{pattern}`"));
    for name in &names {
        for (key, value) in &vars {
            into.host_var(name, &key.to_string(), value.clone());
        }
    }
}

/// A name that must be text.
fn name<'n>(key: &'n Node, what: &str, into: &mut Builder) -> Option<&'n str> {
    match key.text() {
        Some(text) if key.is_string() && !text.is_empty() => Some(text),
        _ => {
            let kind = key.kind_name();
            into.mistakes.push(
                Mistake::at(&key.span, format!("the name of {what} must be text, this is {kind}"))
                    .label(format!("write \"{}\"", key.text().unwrap_or(""))),
            );
            None
        }
    }
}

fn mapping<'n>(node: &'n Node, part: &str, group: &str, into: &mut Builder) -> &'n [(Node, Node)] {
    match node.as_map() {
        Some(pairs) => pairs,
        None => {
            let kind = node.kind_name();
            let mut mistake = Mistake::at(
                &first_line(&node.span),
                format!("the `{part}` of the group `{group}` must be a mapping, this is {kind}"),
            );
            if node.as_seq().is_some() {
                mistake = mistake.label("write `name:` instead of `- name`");
            }
            into.mistakes.push(mistake);
            &[]
        }
    }
}

/// For those who read values without a node of their own.
pub(super) fn value_of(node: &Node, into: &mut Builder) -> Value {
    Reader { vault: into.vault, mistakes: into.mistakes }.value(node)
}
