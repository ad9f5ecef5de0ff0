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

/// A YAML text as plain data, for templates: its documents, or what is wrong with it in a sentence.
pub fn read_yaml(text: &str) -> Result<Vec<crate::model::value::Value>, String> {
    let source = crate::model::source::Source::new("text", text);
    let mut mistakes = Vec::new();
    let vault = vault::Vault::new(crate::model::secret::Mask::default());
    let node = yaml::read(&source, &mut mistakes).map_err(|m| m.message)?;
    let value = node.map(|n| yaml::Reader { vault: &vault, mistakes: &mut mistakes }.value(&n));
    match mistakes.into_iter().find(|m| !m.warning) {
        Some(mistake) => Err(mistake.message),
        None => Ok(value.map(|v| vec![plain(v)]).unwrap_or_default()),
    }
}

/// The same with templates as plain text: what comes from data is never templated.
fn plain(value: crate::model::value::Value) -> crate::model::value::Value {
    use crate::model::value::Value;
    match value {
        Value::Template(t) => Value::str(&t.text),
        Value::List(l) => l.iter().cloned().map(plain).collect(),
        Value::Dict(d) => Value::dict(d.iter().map(|(k, v)| (k.clone(), plain(v.clone()))).collect()),
        other => other,
    }
}
