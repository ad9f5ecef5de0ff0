//! A table of modules for tests: some with free text, some without.

use stx_upgrade::parse::words::{ModuleWords, Words};

pub struct Table;

const MODULES: &[(&str, Option<&str>)] = &[
    ("add_host", None),
    ("command", Some("cmd")),
    ("copy", None),
    ("debug", None),
    ("fail", None),
    ("file", None),
    ("import_role", None),
    ("import_tasks", Some("file")),
    ("include_role", None),
    ("include_tasks", Some("file")),
    ("include_vars", Some("file")),
    ("meta", Some("free_form")),
    ("ping", None),
    ("script", Some("cmd")),
    ("set_fact", None),
    ("shell", Some("cmd")),
    ("template", None),
    ("wait_for", None),
];

impl Words for Table {
    fn module(&self, name: &str) -> Option<ModuleWords<'_>> {
        let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
        let (short, free_form) = MODULES.iter().find(|(known, _)| *known == short)?;
        Some(ModuleWords { short, free_form: *free_form, params: Vec::new() })
    }

    fn module_names(&self) -> Vec<&str> {
        MODULES.iter().map(|(name, _)| *name).collect()
    }

    fn why_not(&self, name: &str) -> Option<String> {
        name.starts_with("win_").then(|| "modules for Windows are left out".to_owned())
    }
}
