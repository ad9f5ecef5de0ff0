//! The run's inventory: what tasks add to it, and what variables tell of it.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::{Halt, Run};
use crate::model::outcome::Consequence;
use crate::model::value::{Dict, Key, Value};
use crate::parse;

impl Run {
    /// Whether a consequence makes the inventory another one.
    pub fn alters_inventory(&self, host: &str, consequence: &Consequence) -> bool {
        let inventory = self.inventory.read().unwrap_or_else(PoisonError::into_inner);
        let outside = |host: &str, group: &String| !inventory.groups.get(group).is_some_and(|g| g.hosts.contains(host));
        match consequence {
            Consequence::AddHost { name, groups, vars } => match inventory.hosts.get(name) {
                None => true,
                Some(known) => {
                    vars.iter().any(|(k, v)| known.vars.get(k) != Some(v)) || groups.iter().any(|g| outside(name, g))
                }
            },
            Consequence::GroupBy { group, parents } => {
                let child =
                    |parent: &&String| inventory.groups.get(*parent).is_some_and(|p| p.children.contains(group));
                outside(host, group) || !parents.iter().filter(|p| *p != "all").all(|p| child(&p))
            }
            _ => false,
        }
    }

    pub fn add_host(&self, name: &str, groups: &[String], vars: &Dict) {
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        inventory.host_mut(name).vars.extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        groups.iter().for_each(|g| inventory.add_to_group(name, g));
    }

    pub fn group_by(&self, host: &str, group: &str, parents: &[String]) {
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        inventory.add_to_group(host, group);
        for parent in parents.iter().filter(|p| *p != "all") {
            inventory.group_mut(parent).children.insert(group.to_owned());
        }
    }

    pub fn refresh_inventory(&self) -> Result<(), Halt> {
        let mut mistakes = Vec::new();
        let fresh = parse::inventory::load(
            &self.options.inventory_sources,
            &*self.compiler.files,
            &self.compiler.vault,
            &mut mistakes,
        );
        mistakes.retain(|m| !m.warning);
        if !mistakes.is_empty() {
            return Err(Halt::Mistakes(mistakes));
        }
        *self.inventory.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// `groups`: names of hosts by group.
    pub fn groups(&self) -> Value {
        let inventory = self.inventory.read().unwrap_or_else(PoisonError::into_inner);
        let hosts = |g: &String| -> Value { inventory.hosts_of(g).into_iter().collect() };
        Value::dict(inventory.groups.keys().map(|g| (Key::from(g.as_str()), hosts(g))).collect())
    }

    pub fn inventory_dir(&self) -> Option<PathBuf> {
        let first = Path::new(self.options.inventory_sources.first()?);
        if first.is_dir() { Some(first.to_owned()) } else { first.parent().map(Path::to_owned) }
    }

    /// Whether a host stands in the inventory.
    pub fn knows(&self, host: &str) -> bool {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner).hosts.contains_key(host)
    }
}
