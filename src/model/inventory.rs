//! Hosts, groups and their variables, as the inventory sources gave them. Host patterns and precedence are `vars`' and
//! `plan`'s; reading the sources is `parse`'s.

use std::path::PathBuf;

use indexmap::{IndexMap, IndexSet};

use super::value::Dict;

/// Names in the order in which they were met; `all` and `ungrouped` always exist.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub hosts: IndexMap<String, Host>,
    pub groups: IndexMap<String, Group>,
    /// The sources that were read, as typed.
    pub sources: Vec<String>,
    /// Where `group_vars` and `host_vars` were read, in that order, and whether a playbook stands there.
    pub folders: Vec<(PathBuf, bool)>,
    /// What the run has added, in that order.
    pub added: Vec<Addition>,
}

/// What a run adds to its inventory: by `add_host`, by `group_by`.
#[derive(Clone, Debug, PartialEq)]
pub enum Addition {
    Host { name: String, groups: Vec<String>, vars: Dict },
    Group { host: String, group: String, parents: Vec<String> },
}

#[derive(Clone, Debug, Default)]
pub struct Host {
    pub name: String,
    /// Variables given with the host in an inventory source (lines, script output).
    pub vars: Dict,
    /// From `host_vars/` beside the inventory, then beside the playbook.
    pub inventory_host_vars: Dict,
    pub playbook_host_vars: Dict,
    /// Groups that name the host itself; without `all`, and `ungrouped` only if there is no other.
    pub groups: IndexSet<String>,
    /// Created by `localhost` being named without standing in the inventory.
    pub implicit: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub name: String,
    pub vars: Dict,
    /// From `group_vars/` beside the inventory, then beside the playbook.
    pub inventory_group_vars: Dict,
    pub playbook_group_vars: Dict,
    pub hosts: IndexSet<String>,
    pub children: IndexSet<String>,
    /// `ansible_group_priority`; 1 unless set. A higher one wins among groups of the same depth.
    pub priority: i64,
}

impl Inventory {
    /// With nothing in it but the groups `all` and `ungrouped`.
    pub fn new() -> Inventory {
        let mut inventory = Inventory::default();
        inventory.group_mut("all");
        inventory.group_mut("ungrouped");
        inventory
    }

    /// The group of that name, made if it is new.
    pub fn group_mut(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group {
            name: name.to_owned(),
            priority: 1,
            ..Group::default()
        })
    }

    /// The host of that name, made if it is new.
    pub fn host_mut(&mut self, name: &str) -> &mut Host {
        self.hosts.entry(name.to_owned()).or_insert_with(|| Host { name: name.to_owned(), ..Host::default() })
    }

    /// Puts a host into a group; both are made if they are new.
    pub fn add_to_group(&mut self, host: &str, group: &str) {
        self.host_mut(host);
        self.group_mut(group).hosts.insert(host.to_owned());
        if group != "all" {
            self.host_mut(host).groups.insert(group.to_owned());
        }
    }

    /// Adds to it; the names of the hosts and of the groups that are new.
    pub fn take(&mut self, addition: Addition) -> (Vec<String>, Vec<String>) {
        let (mut hosts, mut groups) = (Vec::new(), Vec::new());
        let (host, within) = match &addition {
            Addition::Host { name, groups, .. } => (name, groups.iter().collect::<Vec<_>>()),
            Addition::Group { host, group, parents } => (host, std::iter::once(group).chain(parents).collect()),
        };
        hosts.extend((!self.hosts.contains_key(host)).then(|| host.clone()));
        groups.extend(within.into_iter().filter(|g| !self.groups.contains_key(*g)).cloned());
        match &addition {
            Addition::Host { name, groups, vars } => {
                self.host_mut(name).vars.extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
                groups.iter().for_each(|g| self.add_to_group(name, g));
            }
            Addition::Group { host, group, parents } => {
                self.add_to_group(host, group);
                for parent in parents.iter().filter(|p| *p != "all") {
                    self.group_mut(parent).children.insert(group.clone());
                }
            }
        }
        if !self.added.contains(&addition) {
            self.added.push(addition);
        }
        (hosts, groups)
    }

    /// All hosts of a group and of the groups below it, in Ansible's order: its own, then those of the groups in it, level by
    /// level.
    pub fn hosts_of(&self, group: &str) -> Vec<&str> {
        let mut order: IndexSet<&str> = IndexSet::from([group]);
        let mut at = 0;
        while let Some(name) = order.get_index(at).copied() {
            order.extend(self.children_of(name));
            at += 1;
        }
        let mut found = IndexSet::new();
        for name in order {
            found.extend(self.groups.get(name).into_iter().flat_map(|g| g.hosts.iter().map(String::as_str)));
            if name == "ungrouped" {
                found.extend(self.hosts.values().filter(|h| h.groups.is_empty()).map(|h| h.name.as_str()));
            }
        }
        // A host that nobody wrote is in the groups that tasks put it into, and in no other.
        let written = !matches!(group, "all" | "ungrouped");
        let there = |h: &str| self.hosts.get(h).is_some_and(|h| written || !h.implicit);
        found.into_iter().filter(|h| there(h)).collect()
    }

    /// The groups in a group. In `all` are those that are in no other.
    fn children_of(&self, group: &str) -> Vec<&str> {
        let own = self.groups.get(group).into_iter().flat_map(|g| g.children.iter().map(String::as_str));
        if group != "all" {
            return own.collect();
        }
        let inner = |name: &str| self.groups.values().any(|g| g.name != "all" && g.children.contains(name));
        let top = self.groups.keys().map(String::as_str).filter(|g| *g != "all" && *g != "ungrouped" && !inner(g));
        std::iter::once("ungrouped").chain(own).chain(top).collect()
    }

    /// Groups that a host is in, directly or through children, without `all`; parents before children, then by
    /// priority, then by name: the order in which their variables are laid over one another.
    pub fn groups_of(&self, host: &str) -> Vec<&Group> {
        let Some(h) = self.hosts.get(host) else { return Vec::new() };
        let mut names: IndexSet<&str> = h.groups.iter().map(String::as_str).collect();
        let mut i = 0;
        while let Some(name) = names.get_index(i).copied() {
            names.extend(self.groups.values().filter(|g| g.children.contains(name)).map(|g| g.name.as_str()));
            i += 1;
        }
        names.shift_remove("all");
        let mut groups: Vec<&Group> = names.iter().filter_map(|n| self.groups.get(*n)).collect();
        groups.sort_by(|a, b| {
            (self.depth(&a.name), a.priority, &a.name).cmp(&(self.depth(&b.name), b.priority, &b.name))
        });
        groups
    }

    /// How many parents lie above a group at most; `all` is 0.
    pub fn depth(&self, group: &str) -> usize {
        fn walk(inventory: &Inventory, group: &str, trail: &mut Vec<String>) -> usize {
            if group == "all" || trail.iter().any(|t| t == group) {
                return 0;
            }
            trail.push(group.to_owned());
            let parents = inventory.groups.values().filter(|g| g.children.contains(group));
            let depth = 1 + parents.map(|g| walk(inventory, &g.name, trail)).max().unwrap_or(0);
            trail.pop();
            depth
        }
        walk(self, group, &mut Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_parents_first() {
        let mut inv = Inventory::new();
        inv.add_to_group("c0", "controllers");
        inv.add_to_group("c0", "a");
        inv.group_mut("site").children.insert("controllers".into());
        let names: Vec<_> = inv.groups_of("c0").iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["a", "site", "controllers"]);
        assert_eq!(inv.hosts_of("site"), ["c0"]);
        assert!(inv.hosts_of("ungrouped").is_empty());
    }
}
