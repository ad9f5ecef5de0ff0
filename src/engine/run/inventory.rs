//! The run's inventory: what tasks add to it, and what variables tell of it.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::{Halt, Run};
use crate::model::inventory::Addition;
use crate::model::mistake::Mistake;
use crate::model::outcome::Consequence;
use crate::model::value::{Key, Value};
use crate::parse;

fn unless_wrong(mut mistakes: Vec<Mistake>) -> Result<(), Halt> {
    mistakes.retain(|m| !m.warning);
    if mistakes.is_empty() { Ok(()) } else { Err(Halt::Mistakes(mistakes)) }
}

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

    /// Adds to the inventory what a task adds.
    pub fn add(&self, addition: Addition) -> Result<(), Halt> {
        let mut mistakes = Vec::new();
        let (files, vault) = (&*self.compiler.files, &self.compiler.vault);
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        parse::inventory::add(&mut inventory, addition, files, vault, &mut mistakes);
        unless_wrong(mistakes)
    }

    /// Reads the sources anew. What tasks have added stays, and so do the variables beside playbooks.
    pub fn refresh_inventory(&self) -> Result<(), Halt> {
        let mut mistakes = Vec::new();
        let (files, vault) = (&*self.compiler.files, &self.compiler.vault);
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = parse::inventory::load(&self.options.inventory_sources, files, vault, &mut mistakes);
        for (dir, _) in inventory.folders.iter().filter(|(_, playbook)| *playbook) {
            parse::inventory::load_playbook_vars(&mut fresh, files, dir, vault, &mut mistakes);
        }
        for addition in std::mem::take(&mut inventory.added) {
            // A host that the sources have no more is not brought back by its groups.
            if matches!(&addition, Addition::Group { host, .. } if !fresh.hosts.contains_key(host)) {
                continue;
            }
            parse::inventory::add(&mut fresh, addition, files, vault, &mut mistakes);
        }
        unless_wrong(mistakes)?;
        *inventory = fresh;
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
