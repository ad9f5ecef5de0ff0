//! Puts the rooms together: what the agent works with, the names that playbooks may use, the set built into the binary.

use std::path::{Path, PathBuf};

use crate::action::module::Entry;
use crate::agent::Kit;
use crate::modules;
use crate::modules::host::ThisHost;
use crate::parse::files::BuiltIn;
use crate::plan::words::Modules;

/// Playbooks and roles built into the binary, by path.
pub const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// The built-in set as a tree of files.
pub fn built_in() -> BuiltIn {
    BuiltIn(BUILT_IN)
}

/// What the agent works with.
pub fn kit() -> Kit<ThisHost> {
    Kit { find, hosts: ThisHost }
}

fn find(name: &str) -> Option<&'static Entry> {
    modules::find(name).or_else(|| crate::stx::ALL.iter().find(|e| e.names.contains(&name)))
}

/// All names that a task may use.
pub fn names() -> Modules {
    Modules { modules: vec![modules::ALL, crate::stx::ALL], actions: vec![modules::actions::ALL], ..Modules::default() }
}

/// Where a playbook is that the user names: as a path, in `./playbooks`, or built in. A copy on disk wins.
pub fn find_playbook(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    if path.is_file() {
        return Some(path);
    }
    let beside = Path::new("playbooks").join(name);
    if beside.is_file() {
        return Some(beside);
    }
    let inner = format!("playbooks/{name}");
    let known = BUILT_IN.iter().any(|(n, _)| *n == inner);
    known.then(|| Path::new(crate::parse::files::BUILT_IN).join(inner))
}

/// Names of the playbooks that can be found without a path.
pub fn playbook_names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let disk = std::fs::read_dir("playbooks").into_iter().flatten().filter_map(Result::ok);
    names.extend(disk.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.ends_with(".yml")));
    let inner = BUILT_IN.iter().filter_map(|(n, _)| n.strip_prefix("playbooks/"));
    names.extend(inner.filter(|n| n.ends_with(".yml") && !n.contains('/')).map(str::to_owned));
    names.sort();
    names.dedup();
    names
}
