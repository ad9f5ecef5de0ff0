//! Modules that users bring: programs in `library` folders beside playbooks, in roles, and where `ANSIBLE_LIBRARY` says.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::modules::own;

/// Folders of programs that are modules, in the order in which they came to be known: the first that has a name has it.
#[derive(Debug, Default)]
pub struct Libraries(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// What goes before the modules that are built in.
    folders: Vec<PathBuf>,
    /// What the configuration names; comes after those.
    configured: Vec<PathBuf>,
    /// What is looked through only for names that nobody else knows: libraries of roles that may be used yet.
    last: Vec<PathBuf>,
    /// Folders that hold `ansible_collections`.
    collections: Vec<PathBuf>,
    known: Vec<Arc<Own>>,
}

/// A module that a user brought.
#[derive(Debug, PartialEq)]
pub struct Own {
    pub name: &'static str,
    pub path: PathBuf,
    /// Why it cannot be run.
    pub refused: Option<String>,
}

/// Where Ansible's Python finds actions; they are known here to say what they are.
const PLUGINS: &str = "action_plugins";
const PLUGIN: &str = "it is an action plugin, for Ansible's own Python, which is not here; \
                      a module that takes JSON arguments (`WANT_JSON`) runs";

impl Own {
    /// Why it cannot be run, with its file.
    pub fn why_not(&self) -> Option<String> {
        self.refused.as_ref().map(|why| format!("{} cannot be run here: {why}", self.path.display()))
    }
}

/// Endings of files in such folders that are no modules.
const NO_MODULES: &[&str] =
    &["bak", "cfg", "ini", "json", "md", "pyc", "pyo", "rpm", "rst", "swp", "txt", "yaml", "yml"];

impl Libraries {
    /// A folder whose modules go before those of the same name that are built in.
    pub fn add(&self, folder: PathBuf) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !state.folders.contains(&folder) && folder.is_dir() {
            state.folders.push(folder);
        }
    }

    /// A folder that the configuration names.
    pub fn add_configured(&self, folder: PathBuf) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).configured.push(folder);
    }

    /// A folder that holds `ansible_collections`.
    pub fn add_collections(&self, folder: PathBuf) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).collections.push(folder);
    }

    /// The folder of a playbook: its `library`, and, for names that are known nowhere else, those of its roles, and
    /// what is no module. A play's own tasks may use what a role brings, and are read before it.
    pub fn add_playbook(&self, dir: &Path) {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        self.add(dir.join("library"));
        self.add_collections(dir.join("collections"));
        let roles = std::fs::read_dir(dir.join("roles")).into_iter().flatten().flatten().map(|e| e.path());
        let mut last: Vec<PathBuf> = roles.flat_map(|r| [r.join("library"), r.join(PLUGINS)]).collect();
        last.push(dir.join(PLUGINS));
        last.retain(|r| r.is_dir());
        last.sort();
        self.0.write().unwrap_or_else(PoisonError::into_inner).last.extend(last);
    }

    /// Those that were named and cannot be run.
    pub fn refused(&self) -> Vec<Arc<Own>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.known.iter().filter(|own| own.refused.is_some()).cloned().collect()
    }

    /// The module of that name in the folders that go before what is built in.
    pub fn first(&self, name: &str) -> Option<Arc<Own>> {
        self.find(name, |state| state.folders.iter().chain(&state.configured).cloned().collect())
    }

    /// The module of a name that is built in nowhere.
    pub fn last(&self, name: &str) -> Option<Arc<Own>> {
        self.find(name, |state| state.last.clone())
    }

    /// The module of a full name, `NAMESPACE.COLLECTION.NAME`.
    pub fn in_collection(&self, full: &str) -> Option<Arc<Own>> {
        let (collection, name) = full.rsplit_once('.')?;
        let (space, collection) = collection.split_once('.')?;
        let below = Path::new("ansible_collections").join(space).join(collection).join("plugins/modules");
        self.find(name, |state| {
            state.collections.iter().map(|dir| dir.join(&below)).filter(|dir| dir.is_dir()).collect()
        })
    }

    fn find(&self, name: &str, folders: impl Fn(&State) -> Vec<PathBuf>) -> Option<Arc<Own>> {
        let path = {
            let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let path = folders(&state).iter().find_map(|dir| program(dir, name, 4))?;
            if let Some(known) = state.known.iter().find(|own| own.path == path) {
                return Some(known.clone());
            }
            path
        };
        let refused = match std::fs::read(&path) {
            Ok(_) if path.parent().is_some_and(|dir| dir.ends_with(PLUGINS)) => Some(PLUGIN.to_owned()),
            Ok(content) => own::kind(&content).err(),
            Err(error) => Some(error.to_string()),
        };
        // Readers hold on to names of modules as long as the program lives; these are few.
        let own = Arc::new(Own { name: Box::leak(name.to_owned().into_boxed_str()), path, refused });
        self.0.write().unwrap_or_else(PoisonError::into_inner).known.push(own.clone());
        Some(own)
    }
}

/// The program of a name in a folder or below it: the name itself, or with an ending.
fn program(dir: &Path, name: &str, depth: u32) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return None;
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
    entries.sort();
    let is_it = |path: &&PathBuf| {
        let ending = path.extension().map(|e| e.to_string_lossy().into_owned());
        let named = path.file_name().is_some_and(|f| f == name)
            || (path.file_stem().is_some_and(|s| s == name) && ending.is_some());
        named && path.is_file() && !ending.is_some_and(|e| NO_MODULES.contains(&e.as_str()) || e.ends_with('~'))
    };
    if let Some(found) = entries.iter().find(is_it) {
        return Some(found.clone());
    }
    let deeper = depth.checked_sub(1)?;
    entries.iter().filter(|e| e.is_dir()).find_map(|e| program(e, name, deeper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_has_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["library", "other", "roles/r/library", "roles/r/action_plugins"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("library/mine.sh"), "#!/bin/sh\necho '{}'\n").unwrap();
        std::fs::write(at("library/mine.txt"), "about it").unwrap();
        std::fs::write(at("other/mine"), "no interpreter").unwrap();
        std::fs::write(at("roles/r/library/late"), "#!/bin/sh\necho '{}'\n").unwrap();
        let collection = "collections/ansible_collections/ours/tools/plugins/modules";
        std::fs::create_dir_all(at(collection)).unwrap();
        std::fs::write(at(collection).join("fix.sh"), "#!/bin/sh\necho '{}'\n").unwrap();
        std::fs::write(at("roles/r/action_plugins/act.py"), "#!/usr/bin/python\n").unwrap();
        let libraries = Libraries::default();
        libraries.add_playbook(dir.path());
        libraries.add(at("other"));
        assert_eq!(libraries.first("mine").unwrap().path, at("library/mine.sh"));
        assert!(libraries.first("mine").unwrap().refused.is_none());
        assert!(libraries.first("late").is_none() && libraries.last("late").is_some());
        assert!(
            libraries
                .last("act")
                .unwrap()
                .why_not()
                .unwrap()
                .contains("act.py cannot be run here: it is an action plugin")
        );
        assert_eq!(libraries.refused().len(), 1);
        assert!(libraries.in_collection("ours.tools.fix").is_some_and(|own| own.refused.is_none()));
        assert!(libraries.in_collection("ours.others.fix").is_none() && libraries.in_collection("fix").is_none());
        assert!(libraries.first("other").is_none() && libraries.first("../other/mine").is_none());
    }
}
