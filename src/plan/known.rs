//! What is known before the run: variables of plays, imports and roles, and the texts that are fixed when a playbook is loaded.

use std::sync::Arc;

use super::PlayPlan;
use super::compile::{Compiler, Inherit};
use crate::model::mistake::Mistake;
use crate::model::playbook::Written;
use crate::model::value::{Dict, Value};

impl Compiler {
    /// A text that must be known now: plain, or a template over extra variables and the play's.
    pub(super) fn literal(
        &self,
        written: &Written,
        inherit: &Inherit,
        what: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<String> {
        let scope = StaticScope { inherit, extra: &self.extra };
        match self.templar.render(&written.value, &scope) {
            Ok(Value::List(_) | Value::Dict(_) | Value::Null) => {
                mistakes.push(Mistake::at(&written.span, format!("the {what} must be a text")));
                None
            }
            Ok(value) => Some(value.to_string()),
            Err(error) => {
                mistakes.push(
                    Mistake::at(&written.span, format!("the {what} must be known before the run: {error}"))
                        .label("fixed when the playbook is loaded")
                        .help("use `include_tasks` or `include_role`, or give the variable with `-e` or in the play's `vars`"),
                );
                None
            }
        }
    }

    /// The text, as far as it can be rendered before the run: else as it was written.
    pub(super) fn now_or_raw(&self, written: &Written, around: &Inherit) -> Value {
        let scope = StaticScope { inherit: around, extra: &self.extra };
        self.templar.render(&written.value, &scope).unwrap_or_else(|_| written.value.clone())
    }

    /// What stands at the head of a play, rendered with its variables: its name, or its host patterns.
    pub fn heading(&self, play: &PlayPlan, written: &Written) -> Vec<String> {
        let play_vars = Arc::new(play.play.common.vars.clone());
        let around = Inherit { play_vars, vars: play.import_vars.clone(), dir: play.dir.clone(), ..Inherit::default() };
        match self.now_or_raw(written, &around) {
            Value::List(several) => several.iter().map(Value::to_string).collect(),
            one => vec![one.to_string()],
        }
    }
}

/// Variables that are known before the run.
struct StaticScope<'a> {
    inherit: &'a Inherit,
    extra: &'a Dict,
}

impl crate::vars::template::Scope for StaticScope<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let inherit = self.inherit;
        if let Some(v) = self.extra.get(name) {
            return Some(v.clone());
        }
        if let Some(v) = inherit.params.iter().chain(&inherit.vars).rev().find_map(|d| d.get(name)) {
            return Some(v.clone());
        }
        if let Some(role) = &inherit.role {
            let from = [&role.params, &role.entry_vars, &role.vars].into_iter().find_map(|d| d.get(name));
            if let Some(v) = from {
                return Some(v.clone());
            }
            match name {
                "role_name" => return Some(role.short_name().into()),
                "role_path" => return Some(role.dir.display().to_string().into()),
                _ => {}
            }
        }
        match name {
            "playbook_dir" => return Some(inherit.dir.display().to_string().into()),
            "ansible_version" => return Some(super::words::ansible_version()),
            _ => {}
        }
        let from_play = inherit.play_vars.get(name).cloned();
        from_play.or_else(|| inherit.role.as_ref().and_then(|r| r.defaults.get(name).cloned()))
    }

    fn names(&self) -> Vec<Arc<str>> {
        let dicts = self.inherit.vars.iter().map(|d| &**d).chain([&*self.inherit.play_vars, self.extra]);
        dicts.flat_map(|d| d.keys()).filter_map(|k| k.as_str().map(Arc::from)).collect()
    }
}
