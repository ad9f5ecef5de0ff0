//! `inventory`: hosts, groups and variables, printed as ansible-inventory prints them.

use std::collections::BTreeMap;

use super::args::InventoryArgs;
use super::exit_code::Exit;
use super::settings::Settings;
use super::{play, secrets, wire};
use crate::model::inventory::{Group, Host, Inventory};
use crate::model::mistake::Mistake;
use crate::model::secret::Mask;
use crate::model::value::{Dict, Key, Value};
use crate::parse::files::Layered;
use crate::{dict, parse, plan, report};

pub fn run(args: &InventoryArgs) -> anyhow::Result<Exit> {
    let settings = Settings::read()?;
    let mut secrets = args.secrets.clone();
    settings.fill_secrets(&mut secrets);
    let vault = secrets::collect(&secrets, &Mask::default())?.vault;
    let mut mistakes: Vec<Mistake> = Vec::new();
    let sources = play::inventory_sources(&args.inventory, &settings);
    let mut inventory = parse::inventory::load(&sources, &Layered(wire::built_in()), &vault, &mut mistakes);
    let broken = mistakes.iter().any(|m| !m.warning);
    if !mistakes.is_empty() {
        eprint!("{}", report::mistake::render(&mistakes, super::operator::colored_errors()));
    }
    if broken {
        return Ok(Exit::Invalid);
    }
    if let Some(limit) = &args.limit {
        let found = plan::pattern::matches(std::slice::from_ref(limit), &inventory)?.hosts;
        inventory.hosts.retain(|name, _| found.contains(name));
        inventory.groups.values_mut().for_each(|g| g.hosts.retain(|h| found.contains(h)));
    }
    if let Some(name) = &args.host {
        let Some(host) = inventory.hosts.get(name) else {
            anyhow::bail!("there is no host `{name}` in the inventory");
        };
        println!("{}", pretty(&Value::dict(vars(&inventory, host))));
        return Ok(Exit::Ok);
    }
    if args.graph {
        graph(&inventory, "all", 0, args.vars);
        return Ok(Exit::Ok);
    }
    println!("{}", pretty(&list(&inventory)));
    Ok(Exit::Ok)
}

/// JSON with sorted keys, as ansible-inventory has it.
fn pretty(value: &Value) -> String {
    fn sorted(value: &Value) -> serde_json::Value {
        match value {
            Value::Dict(d) => {
                let by_name: BTreeMap<String, &Value> = d.iter().map(|(k, v)| (k.to_string(), v)).collect();
                serde_json::Value::Object(by_name.into_iter().map(|(k, v)| (k, sorted(v))).collect())
            }
            Value::List(l) => l.iter().map(sorted).collect(),
            other => serde_json::to_value(other).unwrap_or_default(),
        }
    }
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    let _ = serde::Serialize::serialize(&sorted(value), &mut serializer);
    String::from_utf8_lossy(&out).into_owned()
}

/// A host's variables from its groups and its own, unrendered.
fn vars(inventory: &Inventory, host: &Host) -> Dict {
    let mut all = Dict::new();
    let mut lay = |d: &Dict| all.extend(d.iter().map(|(k, v)| (k.clone(), v.clone())));
    let groups: Vec<&Group> = inventory.groups.get("all").into_iter().chain(inventory.groups_of(&host.name)).collect();
    groups.iter().for_each(|g| lay(&g.vars));
    groups.iter().for_each(|g| lay(&g.inventory_group_vars));
    [&host.vars, &host.inventory_host_vars].into_iter().for_each(lay);
    all
}

fn list(inventory: &Inventory) -> Value {
    let mut out = Dict::new();
    let hostvars: Dict = inventory
        .hosts
        .values()
        .map(|h| (h, vars(inventory, h)))
        .filter(|(_, v)| !v.is_empty())
        .map(|(h, v)| (Key::from(h.name.as_str()), Value::dict(v)))
        .collect();
    out.insert("_meta".into(), Value::dict(dict! {"hostvars" => Value::dict(hostvars)}));
    for group in inventory.groups.values() {
        let mut entry = Dict::new();
        let children = children(inventory, group);
        if !children.is_empty() {
            entry.insert("children".into(), children.iter().copied().collect());
        }
        let hosts: Vec<&str> = own_hosts(inventory, group);
        if !hosts.is_empty() && group.name != "all" {
            entry.insert("hosts".into(), hosts.into_iter().collect());
        }
        if !entry.is_empty() {
            out.insert(group.name.as_str().into(), Value::dict(entry));
        }
    }
    Value::dict(out)
}

/// Groups right below a group; below `all` those that nothing else is above.
fn children<'a>(inventory: &'a Inventory, group: &'a Group) -> Vec<&'a str> {
    if group.name != "all" {
        return group.children.iter().map(String::as_str).collect();
    }
    let is_child = |n: &str| inventory.groups.values().any(|g| g.name != "all" && g.children.contains(n));
    inventory.groups.keys().map(String::as_str).filter(|n| *n != "all" && !is_child(n)).collect()
}

fn own_hosts<'a>(inventory: &'a Inventory, group: &'a Group) -> Vec<&'a str> {
    if group.name == "ungrouped" {
        return inventory
            .hosts
            .values()
            .filter(|h| h.groups.iter().all(|g| g == "ungrouped"))
            .map(|h| h.name.as_str())
            .collect();
    }
    group.hosts.iter().map(String::as_str).filter(|h| inventory.hosts.contains_key(*h)).collect()
}

fn graph(inventory: &Inventory, name: &str, depth: usize, with_vars: bool) {
    let Some(group) = inventory.groups.get(name) else { return };
    let indent = |d: usize| if d == 0 { String::new() } else { format!("  {}|--", "|  ".repeat(d - 1)) };
    println!("{}@{name}:", indent(depth));
    for child in children(inventory, group) {
        graph(inventory, child, depth + 1, with_vars);
    }
    if name != "all" {
        for host in own_hosts(inventory, group) {
            println!("{}{host}", indent(depth + 1));
            if with_vars && let Some(h) = inventory.hosts.get(host) {
                print_vars(&vars(inventory, h), &indent(depth + 2));
            }
        }
    }
    if with_vars {
        print_vars(&group.vars, &indent(depth + 1));
    }
}

fn print_vars(vars: &Dict, indent: &str) {
    for (name, value) in vars {
        println!("{indent}{{{name} = {value}}}");
    }
}
