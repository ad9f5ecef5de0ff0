//! The names that tasks may use: modules, actions, includes, and which is which.

use std::sync::Arc;

use super::Kind;
use super::libraries::{Libraries, Own};
use crate::action::args::{ArgSpec, Rule};
use crate::action::engine_side::ActionEntry;
use crate::action::module::Entry;
use crate::model::value::Value;
use crate::parse::words::{ModuleWords, Words};

/// All that a task can name.
#[derive(Clone, Default)]
pub struct Modules {
    pub modules: Vec<&'static [Entry]>,
    pub actions: Vec<&'static [ActionEntry]>,
    /// Where users keep their own.
    pub libraries: Arc<Libraries>,
    /// The playbook is only read, and not run: modules that cannot be run here may stand in it.
    pub only_read: bool,
}

/// What the engine itself does, with the arguments of each.
const BUILT_IN: &[(&str, Option<&str>, &[&str])] = &[
    ("import_tasks", Some("file"), &["file"]),
    ("include_tasks", Some("file"), &["file", "apply"]),
    ("import_role", None, ROLE),
    ("include_role", None, ROLE),
    ("meta", Some("free_form"), &["free_form"]),
];
const ROLE: &[&str] = &[
    "name",
    "role",
    "tasks_from",
    "vars_from",
    "defaults_from",
    "handlers_from",
    "allow_duplicates",
    "public",
    "apply",
    "rolespec_validate",
];

/// `ansible_version`: the version of the language that is meant.
pub fn ansible_version() -> Value {
    Value::dict(crate::dict! {
        "full" => "2.19.14", "major" => 2i64, "minor" => 19i64, "revision" => 14i64, "string" => "2.19.14",
    })
}

/// The name without `ansible.builtin.` or `ansible.legacy.`.
pub fn local_name(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

impl Modules {
    /// The module of that name, short or full.
    pub fn module(&self, name: &str) -> Option<&'static Entry> {
        let name = local_name(name);
        self.modules.iter().flat_map(|t| t.iter()).find(|e| e.names.iter().any(|n| local_name(n) == name))
    }

    /// The action of that name, short or full. It goes before a module of the same name, which does its far side.
    pub fn action(&self, name: &str) -> Option<&'static ActionEntry> {
        let name = local_name(name);
        self.actions.iter().flat_map(|t| t.iter()).find(|e| e.names.iter().any(|n| local_name(n) == name))
    }

    /// The module of a user that a name means: a short name may be one of theirs before it is one that is built in, a full
    /// one never.
    pub fn own(&self, name: &str) -> Option<Arc<Own>> {
        let built_in = || self.action(name).is_some() || Modules::module(self, name).is_some();
        if BUILT_IN.iter().any(|b| b.0 == local_name(name)) || name.starts_with("ansible.builtin.") {
            return None;
        }
        let local = local_name(name);
        let nowhere_else = || self.libraries.last(local).or_else(|| self.libraries.in_collection(local));
        self.libraries.first(local).or_else(|| (!built_in()).then(nowhere_else).flatten())
    }

    /// What runs a task that names this.
    pub fn kind(&self, name: &Value) -> Kind {
        let Value::Str(name) = name else { return Kind::Templated };
        if let Some(own) = self.own(name) {
            return Kind::Own(own);
        }
        match local_name(name) {
            "include_tasks" => Kind::IncludeTasks,
            "include_role" => Kind::IncludeRole,
            "meta" => Kind::Meta,
            name => match (self.action(name), self.module(name)) {
                (Some(action), _) => Kind::Action(action),
                (None, Some(module)) => Kind::Module(module),
                // Refused when it was parsed; nothing of the plan runs then.
                (None, None) => Kind::Templated,
            },
        }
    }

    /// The definition of the arguments of a module or action.
    pub fn definition(&self, name: &str) -> Option<(Vec<ArgSpec>, &'static [Rule], bool)> {
        if self.own(name).is_some() {
            return None;
        }
        if let Some(action) = self.action(name) {
            return Some((public((action.args)()), (action.rules)(), action.open));
        }
        self.module(name).map(|m| (public((m.args)()), (m.rules)(), false))
    }

    /// Every short name, sorted; those that only actions call are left out.
    pub fn names(&self) -> Vec<&'static str> {
        let modules = self.modules.iter().flat_map(|t| t.iter()).map(|e| e.names[0]);
        let actions = self.actions.iter().flat_map(|t| t.iter()).map(|e| e.names[0]);
        let mut names: Vec<&str> = modules.chain(actions).chain(BUILT_IN.iter().map(|b| b.0)).collect();
        names.retain(|n| !n.starts_with('_'));
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What playbooks may give; the rest is between an action and its module.
fn public(mut specs: Vec<ArgSpec>) -> Vec<ArgSpec> {
    specs.retain(|s| !s.name.starts_with('_'));
    specs
}

impl Words for Modules {
    fn module(&self, name: &str) -> Option<ModuleWords<'_>> {
        let local = local_name(name);
        if let Some((name, free_form, params)) = BUILT_IN.iter().find(|b| b.0 == local) {
            return Some(ModuleWords { short: name, free_form: *free_form, params: params.to_vec() });
        }
        if let Some(own) = self.own(name) {
            let usable = own.refused.is_none() || self.only_read;
            return usable.then_some(ModuleWords { short: own.name, free_form: None, params: Vec::new() });
        }
        // What only actions call is no task's to name.
        if local.starts_with('_') {
            return None;
        }
        let (specs, _, _) = self.definition(name)?;
        let (short, free_form) = match (self.action(local), Modules::module(self, local)) {
            (Some(action), _) => (action.names[0], action.free_form),
            (None, Some(module)) => (module.names[0], module.free_form),
            (None, None) => return None,
        };
        let params = specs.iter().flat_map(|s| std::iter::once(s.name).chain(s.aliases.iter().copied()));
        Some(ModuleWords { short, free_form, params: params.collect() })
    }

    fn module_names(&self) -> Vec<&str> {
        self.names()
    }

    fn why_not(&self, name: &str) -> Option<String> {
        let own = self.own(name)?;
        own.why_not()
    }
}
