//! `k=v` texts come apart as Ansible's `parse_kv` (ansible-core 2.19) takes them apart.

use std::path::Path;

use stx_upgrade::model::playbook::TaskEntry;
use stx_upgrade::model::value::Value;
use stx_upgrade::parse::files::{BuiltIn, Files};
use stx_upgrade::parse::tasks::{self, Entries};
use stx_upgrade::parse::vault::Vault;

use crate::words::Table;

/// One file, whatever it is called.
struct One(String);

impl Files for One {
    fn read(&self, _: &Path) -> std::io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }
    fn is_file(&self, _: &Path) -> bool {
        true
    }
    fn is_dir(&self, _: &Path) -> bool {
        false
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        BuiltIn(&[]).list(dir)
    }
    fn is_executable(&self, _: &Path) -> bool {
        false
    }
}

/// What Ansible would have: options, and the free text as `_raw_params`; none for a mistake.
fn read(text: &str, command: bool) -> Option<serde_json::Value> {
    let module = if command { "command" } else { "include_vars" };
    let yaml = format!("- {module}: {}", serde_json::to_string(text).unwrap());
    let mut mistakes = Vec::new();
    let file =
        tasks::load_file(&One(yaml), Path::new("t.yml"), Entries::Tasks, &Table, &Vault::default(), &mut mistakes)?;
    if !mistakes.is_empty() {
        return None;
    }
    let [TaskEntry::Task(task)] = file.entries.as_slice() else { panic!("one task") };
    let mut found = serde_json::Map::new();
    for arg in &task.action.args {
        found.insert(arg.name.value.clone(), text_of(&arg.value.value).into());
    }
    if let Some(free) = &task.action.free_form {
        found.insert("_raw_params".into(), text_of(&free.value).into());
    }
    Some(found.into())
}

fn text_of(value: &Value) -> String {
    value.to_string()
}

#[test]
fn every_text_of_the_table() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in include_str!("kv.jsonl").lines() {
        let (text, command, wanted): (String, bool, Option<serde_json::Value>) = serde_json::from_str(line).unwrap();
        let found = read(&text, command);
        count += 1;
        if found != wanted {
            wrong.push(format!("{text:?} (command: {command})\n  is  {wanted:?}\n  not {found:?}"));
        }
    }
    assert!(count > 1000);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
