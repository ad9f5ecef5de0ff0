//! Inventories: INI, YAML, TOML, executables, folders of these, lists of hosts; and the `group_vars` and `host_vars`
//! beside them. Patterns and precedence are others'.

mod ini;
mod literal;
mod ranges;
mod script;
mod toml_file;
mod yaml_file;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Text};
use super::files::Files;
use super::vars_file::{self, Bare};
use super::vault::Vault;
use crate::model::inventory::{Addition, Inventory};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};
use crate::model::value::{Key, Value};

/// In a folder of sources, files with these endings are passed over, as Ansible does.
const IGNORED: &[&str] =
    &[".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];
/// And these folders, which hold variables.
const NOT_SOURCES: &[&str] = &["group_vars", "host_vars", "vars_plugins"];

/// What becomes of group names that are no variable names (`local-`): the setting `TRANSFORM_INVALID_GROUP_CHARS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupNames {
    /// They stay, with a warning.
    #[default]
    Never,
    /// They stay, without one.
    Ignore,
    /// What is no letter, digit or underscore becomes an underscore, with a warning.
    Always,
    /// The same without one.
    Silently,
}

/// [`load_with`] the default settings.
pub fn load(sources: &[String], files: &dyn Files, vault: &Vault, mistakes: &mut Vec<Mistake>) -> Inventory {
    load_with(sources, GroupNames::default(), files, vault, mistakes)
}

/// Reads the sources that `-i` names, in their order, and the `group_vars` and `host_vars` beside them. A source that is
/// missing or cannot be read is a mistake, and so are sources that give no host at all (but for `/dev/null`).
/// Without sources there is nothing but the groups `all` and `ungrouped`.
pub fn load_with(
    sources: &[String],
    group_names: GroupNames,
    files: &dyn Files,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Inventory {
    let inventory = Inventory::new();
    let mut builder = Builder { inventory, origin: None, group_names, odd: Vec::new(), files, vault, mistakes };
    let before = builder.mistakes.len();
    let mut folders = Vec::new();
    for source in sources {
        builder.inventory.sources.push(source.clone());
        let path = Path::new(source);
        if source.contains(',') && !files.exists(path) {
            builder.origin = None;
            list(source, &mut builder);
            continue;
        }
        if !files.exists(path) && source != "/dev/null" {
            let mut mistake = Mistake::plain(format!("the inventory {source} was not found"));
            if !source.contains('/') {
                mistake = mistake.help(format!("a list of hosts has a comma in it: -i {source},"));
            }
            builder.mistakes.push(mistake);
            continue;
        }
        if source != "/dev/null" {
            read_path(path, &mut builder);
            folders.push(if files.is_dir(path) { path.to_owned() } else { parent(path) });
        }
    }
    builder.reconcile();
    builder.name_groups();
    let mut inventory = builder.inventory;
    let silent = sources.iter().all(|s| s == "/dev/null");
    if inventory.hosts.is_empty() && !silent && !mistakes[before..].iter().any(|m| !m.warning) {
        let named = sources.join(" and ");
        mistakes.push(
            Mistake::plain(format!("the inventory {named} names no host"))
                .help("nothing would be run; give another one with -i, or a list of hosts: -i host1,host2"),
        );
    }
    folders.dedup();
    for dir in folders {
        beside(&mut inventory, files, &dir, vault, mistakes, false, |_| true);
        inventory.folders.push((dir, false));
    }
    inventory
}

/// Reads the `group_vars` and `host_vars` beside a playbook into an inventory, over those of playbooks before it.
pub fn load_playbook_vars(
    inventory: &mut Inventory,
    files: &dyn Files,
    playbook_dir: &Path,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) {
    beside(inventory, files, playbook_dir, vault, mistakes, true, |_| true);
    let place = (playbook_dir.to_owned(), true);
    if !inventory.folders.contains(&place) {
        inventory.folders.push(place);
    }
}

/// Adds to an inventory what the run adds, with what the folders that it knows say of hosts and groups that are new.
pub fn add(
    inventory: &mut Inventory,
    addition: Addition,
    files: &dyn Files,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) {
    let (hosts, groups) = inventory.take(addition);
    for (dir, playbook) in inventory.folders.clone() {
        beside(inventory, files, &dir, vault, mistakes, playbook, |what| match what {
            Owner::Host(name) => hosts.iter().any(|h| h == name),
            Owner::Group(name) => groups.iter().any(|g| g == name),
        });
    }
}

/// Whose variables a file holds.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Host(&'a str),
    Group(&'a str),
}

fn beside(
    inventory: &mut Inventory,
    files: &dyn Files,
    dir: &Path,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
    playbook: bool,
    wanted: impl Fn(Owner<'_>) -> bool,
) {
    let groups = dir.join("group_vars");
    if files.is_dir(&groups) {
        for group in inventory.groups.values_mut().filter(|g| wanted(Owner::Group(&g.name))) {
            let vars = if playbook { &mut group.playbook_group_vars } else { &mut group.inventory_group_vars };
            for path in vars_file::find(files, &groups, &group.name, Bare::First, true) {
                vars.extend(vars_file::load(files, &path, vault, mistakes).unwrap_or_default());
            }
        }
    }
    let hosts = dir.join("host_vars");
    if files.is_dir(&hosts) {
        for host in inventory.hosts.values_mut().filter(|h| wanted(Owner::Host(&h.name))) {
            let vars = if playbook { &mut host.playbook_host_vars } else { &mut host.inventory_host_vars };
            for path in vars_file::find(files, &hosts, &host.name, Bare::First, true) {
                vars.extend(vars_file::load(files, &path, vault, mistakes).unwrap_or_default());
            }
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().map(Path::to_owned).unwrap_or_default();
    if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent }
}

/// `-i host1,host2,`.
fn list(text: &str, builder: &mut Builder) {
    let source = Source::new("-i", text);
    let mut at = 0;
    for part in text.split(',') {
        let name = part.trim();
        let from = at + part.len() - part.trim_start().len();
        at += part.len() + 1;
        if name.is_empty() {
            continue;
        }
        let span = Span::new(&source, from as u32, (from + name.len()) as u32);
        // Ranges are not unrolled in lists, as in Ansible; a name with brackets is a slip.
        match ranges::expand(name) {
            Ok((names, port)) if !name.contains('[') || name.starts_with('[') => {
                names.iter().for_each(|n| builder.host(n, "ungrouped", port));
            }
            Ok(_) => builder.mistakes.push(
                Mistake::at(&span, "ranges are not read in a list of hosts").help("write them into an inventory file"),
            ),
            Err(why) => builder.mistakes.push(Mistake::at(&span, why)),
        }
    }
}

fn read_path(path: &Path, builder: &mut Builder) {
    let files = builder.files;
    if files.is_dir(path) {
        let names = match files.list(path) {
            Ok(names) => names,
            Err(e) => {
                let shown = files.shown(path);
                builder.mistakes.push(Mistake::plain(format!("the inventory folder {shown} cannot be read: {e}")));
                return;
            }
        };
        for name in names {
            let ignored = name.starts_with('.')
                || IGNORED.iter().any(|end| name.ends_with(end))
                || NOT_SOURCES.contains(&name.as_str());
            if !ignored {
                read_path(&path.join(name), builder);
            }
        }
        return;
    }
    builder.origin = Some(path.to_owned());
    if files.is_executable(path) && script::is_program(files, path) {
        return script::read(path, builder);
    }
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_owned();
    let text = match document::read_text(files, path, builder.vault) {
        Ok(Text::Plain(text)) => text,
        Ok(Text::Opened(text)) => text.to_string(),
        Err(mistake) => {
            builder.mistakes.push(mistake);
            return;
        }
    };
    let source = Source::new(files.shown(path), text);
    match ending.as_str() {
        "yml" | "yaml" | "json" => yaml_file::read(&source, builder),
        "toml" => toml_file::read(&source, builder),
        // Without an ending it may be YAML too.
        "" if yaml_file::looks_like(&source) => yaml_file::read(&source, builder),
        _ => ini::read(&source, builder),
    }
}

/// The inventory while its sources are read.
struct Builder<'a> {
    inventory: Inventory,
    /// The file that is being read.
    origin: Option<PathBuf>,
    group_names: GroupNames,
    /// Group names that are no variable names, as written.
    odd: Vec<String>,
    files: &'a dyn Files,
    vault: &'a Vault,
    mistakes: &'a mut Vec<Mistake>,
}

impl Builder<'_> {
    fn group(&mut self, name: &str) {
        let name = self.safe(name);
        self.inventory.group_mut(&name);
    }

    /// The name under which a group is kept.
    fn safe<'n>(&mut self, name: &'n str) -> Cow<'n, str> {
        let odd = |(n, c): (usize, char)| !(c.is_alphanumeric() || c == '_') || (n == 0 && c.is_numeric());
        if !name.chars().enumerate().any(odd) {
            return Cow::Borrowed(name);
        }
        if !self.odd.iter().any(|o| o == name) {
            self.odd.push(name.to_owned());
        }
        match self.group_names {
            GroupNames::Never | GroupNames::Ignore => Cow::Borrowed(name),
            GroupNames::Always | GroupNames::Silently => {
                name.chars().enumerate().map(|(n, c)| if odd((n, c)) { '_' } else { c }).collect()
            }
        }
    }

    /// The warning about group names, in Ansible's words.
    fn name_groups(&mut self) {
        let what = match self.group_names {
            GroupNames::Never => "but not replaced",
            GroupNames::Always => "and automatically replaced",
            GroupNames::Ignore | GroupNames::Silently => return,
        };
        if !self.odd.is_empty() {
            let text = format!("Invalid characters were found in group names {what}: {}", self.odd.join(", "));
            let mut mistake = Mistake::plain(text);
            mistake.warning = true;
            self.mistakes.push(mistake.help("letters, digits and underscores are safe in patterns and expressions"));
        }
    }

    /// A host in a group; new ones know the source that named them first.
    fn host(&mut self, name: &str, group: &str, port: Option<u16>) {
        let group = &*self.safe(group);
        if !self.inventory.hosts.contains_key(name) {
            let host = self.inventory.host_mut(name);
            if let Some(path) = &self.origin {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                host.vars.insert("inventory_file".into(), Value::from(path.display().to_string()));
                host.vars.insert("inventory_dir".into(), Value::from(parent(&path).display().to_string()));
            } else {
                host.vars.insert("inventory_file".into(), Value::Null);
                host.vars.insert("inventory_dir".into(), Value::Null);
            }
        }
        self.inventory.add_to_group(name, group);
        if let Some(port) = port {
            self.host_var(name, "ansible_port", Value::from(u32::from(port)));
        }
    }

    fn host_var(&mut self, host: &str, key: &str, value: Value) {
        self.inventory.host_mut(host).vars.insert(Key::str(key), value);
    }

    fn group_var(&mut self, group: &str, key: &str, value: Value, span: &Span) {
        let group = &*self.safe(group);
        if key == "ansible_group_priority" {
            let number = match &value {
                Value::Int(i) => Some(*i),
                Value::Str(s) => s.trim().parse().ok(),
                _ => None,
            };
            match number {
                Some(priority) => self.inventory.group_mut(group).priority = priority,
                None => self.mistakes.push(Mistake::at(
                    span,
                    format!("`ansible_group_priority` must be a number, this is {}", value.kind()),
                )),
            }
            return;
        }
        self.inventory.group_mut(group).vars.insert(Key::str(key), value);
    }

    /// Puts a group into another, unless that would close a circle.
    fn child(&mut self, parent: &str, child: &str, span: &Span) {
        let (parent, child) = (&*self.safe(parent), &*self.safe(child));
        self.group(parent);
        self.group(child);
        if parent == "all" {
            return;
        }
        if parent == child || self.below(child, parent) {
            self.mistakes.push(
                Mistake::at(
                    span,
                    format!("the group `{child}` cannot be a child of `{parent}`, which stands below it"),
                )
                .help("a group cannot contain itself; remove one of the two lines"),
            );
            return;
        }
        self.inventory.group_mut(parent).children.insert(child.to_owned());
    }

    /// Whether `wanted` is a child of `group`, directly or through others.
    fn below(&self, group: &str, wanted: &str) -> bool {
        let mut todo = vec![group];
        let mut seen = indexmap::IndexSet::new();
        while let Some(name) = todo.pop() {
            if !seen.insert(name) {
                continue;
            }
            let children = self.inventory.groups.get(name).map(|g| &g.children);
            if children.is_some_and(|c| c.contains(wanted)) {
                return true;
            }
            todo.extend(children.into_iter().flatten().map(String::as_str));
        }
        false
    }

    /// A host is `ungrouped` if, and only if, it is in no other group but `all`.
    fn reconcile(&mut self) {
        let mut ungrouped = indexmap::IndexSet::new();
        for host in self.inventory.hosts.values_mut() {
            if host.groups.len() > 1 {
                host.groups.shift_remove("ungrouped");
            } else if host.groups.is_empty() {
                host.groups.insert("ungrouped".into());
            }
            if host.groups.contains("ungrouped") {
                ungrouped.insert(host.name.clone());
            }
        }
        self.inventory.group_mut("ungrouped").hosts = ungrouped;
        for name in self.inventory.groups.keys().filter(|g| self.inventory.hosts.contains_key(*g)) {
            let mut mistake = Mistake::plain(format!("`{name}` is the name of a host and of a group"));
            mistake.warning = true;
            self.mistakes.push(mistake.help("patterns with it mean the group; rename one of the two"));
        }
    }

    fn source(&self, name: String, text: String) -> Arc<Source> {
        Source::new(name, text)
    }
}
