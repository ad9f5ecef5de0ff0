//! Text to model: YAML with positions, playbooks, roles, inventories, vault. Runs and renders nothing.
//!
//! Every reader collects all mistakes of a file and reads on where that makes sense. What needs the table of modules asks
//! [`words::Words`], so that this room need not know the modules.

mod action;
mod document;
pub mod extra_vars;
pub mod files;
pub mod inventory;
mod keys;
mod kv;
pub mod playbook;
pub mod role;
pub mod tasks;
pub mod vars_file;
pub mod vault;
pub mod words;
pub mod yaml;

pub use keys::is_variable_name;

use crate::model::source::Source;
use crate::model::value::Value;

/// A YAML text as plain data, for templates: its documents, or what is wrong with it in a sentence.
pub fn read_yaml(text: &str) -> Result<Vec<Value>, String> {
    let mut mistakes = Vec::new();
    let nodes = yaml::read_all(&Source::new("text", text), &mut mistakes).map_err(|m| m.message)?;
    let vault = vault::Vault::default();
    let mut reader = yaml::Reader { vault: &vault, mistakes: &mut mistakes };
    let values = nodes.iter().map(|n| reader.data(n)).collect();
    match mistakes.into_iter().find(|m| !m.warning) {
        Some(mistake) => Err(mistake.message),
        None => Ok(values),
    }
}
