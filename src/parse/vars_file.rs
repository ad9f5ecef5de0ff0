//! Files of variables: `vars_files`, `include_vars`, `group_vars`, `host_vars`, a role's `defaults` and `vars`.

use std::path::{Path, PathBuf};

use super::document;
use super::files::Files;
use super::keys::first_line;
use super::vault::Vault;
use super::yaml::Reader;
use crate::model::mistake::Mistake;
use crate::model::value::{Dict, Value};

/// Endings of files of variables, in the order in which they are looked for; a name without any ending comes last.
pub const ENDINGS: &[&str] = &["yml", "yaml", "json"];

/// Reads a file of variables; an empty one holds none. Warnings are dropped: see [`load`].
pub fn vars_file(files: &dyn Files, path: &Path, vault: &Vault) -> Result<Dict, Mistake> {
    let mut mistakes = Vec::new();
    let dict = load(files, path, vault, &mut mistakes);
    match (dict, mistakes.into_iter().find(|m| !m.warning)) {
        (Some(dict), None) => Ok(dict),
        (_, Some(mistake)) => Err(mistake),
        (None, None) => Err(Mistake::plain(format!("{} cannot be read", files.shown(path)))),
    }
}

/// Reads a file of variables, and collects everything that is wrong in it.
pub fn load(files: &dyn Files, path: &Path, vault: &Vault, mistakes: &mut Vec<Mistake>) -> Option<Dict> {
    let document = document::load(files, path, vault, mistakes)?;
    let Some(root) = document.root else { return Some(Dict::new()) };
    let mut reader = Reader { vault, mistakes };
    match reader.value(&root) {
        Value::Dict(dict) => Some(std::sync::Arc::unwrap_or_clone(dict)),
        Value::Null => Some(Dict::new()),
        _ => {
            let kind = root.kind_name();
            mistakes.push(
                Mistake::at(&first_line(&root.span), format!("a file of variables must be a mapping, this is {kind}"))
                    .label("write `name: value`, one per line"),
            );
            None
        }
    }
}

/// Where a bare name (a file without ending, or a folder) stands among `NAME.yml`, `NAME.yaml` and `NAME.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// As for `group_vars`, and for a role's file that is named.
    First,
    /// As for the `main` of a role.
    Last,
}

/// The files that hold variables (or tasks) under a name in a folder. The first of `NAME.yml`, `NAME.yaml`, `NAME.json`
/// and the bare `NAME` that exists counts, and no other. If it is a folder and `folders` allows that, these are the files
/// in it and below, by name; a folder that is not allowed is passed over.
pub fn find(files: &dyn Files, dir: &Path, name: &str, bare: Bare, folders: bool) -> Vec<PathBuf> {
    let with_ending = ENDINGS.iter().map(|e| dir.join(format!("{name}.{e}")));
    let path = dir.join(name);
    let candidates: Vec<PathBuf> = match bare {
        Bare::First => std::iter::once(path).chain(with_ending).collect(),
        Bare::Last => with_ending.chain(std::iter::once(path)).collect(),
    };
    for path in candidates {
        if files.is_file(&path) {
            return vec![path];
        }
        if folders && files.is_dir(&path) {
            let mut found = Vec::new();
            walk(files, &path, &mut found);
            return found;
        }
    }
    Vec::new()
}

/// All files of variables in a folder and below: hidden ones, backups and other endings are passed over, and so are
/// folders with an ending.
fn walk(files: &dyn Files, dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(names) = files.list(dir) else {
        // Reading it as a file then says why.
        found.push(dir.to_owned());
        return;
    };
    for name in names {
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let ending = Path::new(&name).extension();
        let path = dir.join(&name);
        if files.is_dir(&path) {
            if ending.is_none() {
                walk(files, &path, found);
            }
        } else if ending.is_none_or(|e| ENDINGS.iter().any(|x| e == *x)) {
            found.push(path);
        }
    }
}
