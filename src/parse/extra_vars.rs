//! `-e`: `k=v` pairs, JSON or YAML text, and files after `@`.

use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::kv;
use super::vars_file;
use super::vault::Vault;
use super::yaml::{self, Reader};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};
use crate::model::value::{Dict, Key, Value};

/// The variables of all `-e` in their order; later ones win. `k=v` values are always text, as in Ansible.
pub fn parse(options: &[String], files: &dyn Files, vault: &Vault) -> Result<Dict, Mistake> {
    let mut all = Dict::new();
    for option in options {
        let text = option.trim();
        if let Some(path) = text.strip_prefix('@') {
            if path.is_empty() {
                return Err(Mistake::plain("`-e @` names no file").help("write -e @FILE"));
            }
            all.extend(vars_file::vars_file(files, Path::new(path), vault)?);
        } else if text.starts_with(['/', '.']) {
            return Err(
                Mistake::plain(format!("`-e {text}` is no variable")).help(format!("for a file write -e @{text}"))
            );
        } else if text.starts_with(['[', '{']) {
            all.extend(structured(text, vault)?);
        } else {
            all.extend(pairs(text)?);
        }
    }
    Ok(all)
}

fn structured(text: &str, vault: &Vault) -> Result<Dict, Mistake> {
    let source = Source::new("-e", text);
    let mut mistakes = Vec::new();
    let root = yaml::read(&source, &mut mistakes)?;
    let value = root.map(|r| Reader { vault, mistakes: &mut mistakes }.value(&r));
    if let Some(mistake) = mistakes.into_iter().find(|m| !m.warning) {
        return Err(mistake);
    }
    match value {
        Some(Value::Dict(dict)) => Ok(Arc::unwrap_or_clone(dict)),
        _ => Err(Mistake::at(&Span::new(&source, 0, text.len() as u32), "`-e` takes a mapping of variables")
            .label("write {\"name\": \"value\"}")),
    }
}

fn pairs(text: &str) -> Result<Dict, Mistake> {
    let span = Span::of_text("-e", text);
    let found = kv::pairs(text, &span, |_| true)?;
    if let Some(rest) = found.rest {
        return Err(Mistake::at(&rest.span, "this is no variable")
            .label("write name=value")
            .help("a value with spaces needs quotes of its own: -e 'name=\"a value\"'"));
    }
    Ok(found
        .pairs
        .into_iter()
        .map(|(key, value)| (Key::from(key.value), Value::written(&value.value, &value.span)))
        .collect())
}
