//! Roles put in their place: found, read, their dependencies before them, their parameters checked, their handlers brought.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::compile::{Compiler, Inherit, flat, implicit};
use super::identity::{Siblings, Trail, short_digest};
use super::{Node, RolePlan, TaskPlan};
use crate::action::args::truth;
use crate::model::mistake::Mistake;
use crate::model::playbook::{Common, Role, RoleRef, Task};
use crate::model::source::{Span, Spanned};
use crate::model::value::{Dict, Value};
use crate::parse;
use crate::parse::files::BUILT_IN;

/// Which parts of a role are used.
#[derive(Clone, Debug, Default)]
pub struct RoleOptions {
    pub name: String,
    /// Empty for `main`.
    pub tasks_from: String,
    pub vars_from: String,
    pub defaults_from: String,
    pub handlers_from: String,
    /// What tells it from the same role brought by another task: variables and files. None where no task brings it.
    pub brought_with: Option<String>,
    /// A task brings it, each time that its turn comes.
    pub repeats: bool,
    /// It is a dependency of the role around it.
    pub dependency: bool,
    /// `rolespec_validate: false`: its parameters are not checked.
    pub unchecked: bool,
}

impl RoleOptions {
    /// Brought by a task with these variables.
    pub fn brought(self, vars: &Dict) -> RoleOptions {
        let from = [&self.tasks_from, &self.vars_from, &self.defaults_from, &self.handlers_from];
        RoleOptions { brought_with: Some(format!("{from:?} {vars:?}")), ..self }
    }
}

/// What roles bring beside their tasks.
#[derive(Debug, Default)]
pub struct Brought {
    /// In order; their variables and defaults are seen by the whole play.
    pub roles: Vec<Arc<RolePlan>>,
    pub handlers: Vec<Arc<TaskPlan>>,
}

/// Adds handlers to those that are known. Of a role that is brought in twice they are the same, and the later ones count.
pub fn take_handlers(known: &mut Vec<Arc<TaskPlan>>, brought: Vec<Arc<TaskPlan>>) {
    for handler in brought {
        match known
            .iter_mut()
            .find(|k| k.place == handler.place && k.role.is_some() && k.fingerprint == handler.fingerprint)
        {
            Some(same) => *same = handler,
            None => known.push(handler),
        }
    }
}

/// A role as it is named, by values: where it is named does not count.
fn mark(dir: &Path, reference: &RoleRef) -> String {
    let when: Vec<&Value> = reference.when.iter().map(|w| &w.value).collect();
    let tags: Vec<String> = reference.common.tags.iter().map(|t| t.value.to_string()).collect();
    let text = format!("{}\n{:?}\n{:?}\n{when:?}\n{tags:?}", dir.display(), reference.params, reference.common.vars);
    short_digest(text.as_bytes())
}

impl Compiler {
    pub(super) fn import_role(
        &self,
        task: Task,
        inherit: &Inherit,
        trail: Trail,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let inner = self.tasks_imported(inherit, &task, trail);
        let Some(options) = self.role_options(&task, &inner, mistakes) else { return Vec::new() };
        let options = options.brought(&task.common.vars);
        self.include_role(&options, &task.action.name.span, &inner, brought, mistakes)
    }

    /// The options of `import_role` / `include_role`, where they can be known now.
    fn role_options(&self, task: &Task, inherit: &Inherit, mistakes: &mut Vec<Mistake>) -> Option<RoleOptions> {
        let mut options = RoleOptions { repeats: true, ..RoleOptions::default() };
        for arg in &task.action.args {
            let text = |mistakes: &mut Vec<Mistake>| self.literal(&arg.value, inherit, &arg.name.value, mistakes);
            match arg.name.value.as_str() {
                "name" | "role" => options.name = text(mistakes)?,
                "tasks_from" => options.tasks_from = text(mistakes)?,
                "vars_from" => options.vars_from = text(mistakes)?,
                "defaults_from" => options.defaults_from = text(mistakes)?,
                "handlers_from" => options.handlers_from = text(mistakes)?,
                "rolespec_validate" => options.unchecked = truth(&text(mistakes)?.into()) == Some(false),
                "allow_duplicates" => options.repeats = truth(&text(mistakes)?.into()) != Some(false),
                _ => {}
            }
        }
        if options.name.is_empty() {
            mistakes.push(Mistake::at(&task.action.name.span, "the parameter `name` is required").label("which role?"));
            return None;
        }
        Some(options)
    }

    /// Brings a role's tasks in, for `import_role` now or `include_role` at run time.
    pub fn include_role(
        &self,
        options: &RoleOptions,
        span: &Span,
        inherit: &Inherit,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let reference = RoleRef {
            span: span.clone(),
            role: Spanned::new(options.name.as_str().into(), span.clone()),
            common: Common::default(),
            when: Vec::new(),
            params: Dict::new(),
            delegate_to: None,
        };
        self.role_with(&reference, options, inherit, brought, mistakes)
    }

    pub(super) fn role(
        &self,
        reference: &RoleRef,
        inherit: &Inherit,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let Some(name) = self.literal(&reference.role, inherit, "role name", mistakes) else { return Vec::new() };
        let options = RoleOptions { name, dependency: inherit.role.is_some(), ..RoleOptions::default() };
        self.role_with(reference, &options, inherit, brought, mistakes)
    }

    fn role_with(
        &self,
        reference: &RoleRef,
        options: &RoleOptions,
        inherit: &Inherit,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let Some(role) = self.load_role(options, &reference.role.span, inherit, mistakes) else { return Vec::new() };
        let (mark, once) = match &options.brought_with {
            Some(with) => (short_digest(format!("{} {with}", role.dir.display()).as_bytes()), !options.repeats),
            None => (mark(&role.dir, reference), !role.meta.allow_duplicates),
        };
        let mut inner = self.inside(inherit, &reference.common, &reference.when, inherit.trail.clone());
        inner.vars = inherit.vars.clone();
        inner.delegate_to = reference.delegate_to.clone().or(inner.delegate_to);
        let params = reference.params.clone();
        let mut parents = inherit.role.as_ref().map_or(Vec::new(), |r| r.parents.clone());
        parents.extend(inherit.role.clone());
        if parents.len() > 50 {
            mistakes.push(Mistake::at(&reference.span, format!("the role `{}` depends on itself", role.name)));
            return Vec::new();
        }
        let plan = Arc::new(RolePlan {
            name: role.name.clone(),
            dir: role.dir.clone(),
            defaults: Arc::new(role.defaults),
            vars: Arc::new(role.vars),
            entry_vars: Arc::new(reference.common.vars.clone()),
            params: Arc::new(params),
            dependency: options.dependency,
            mark,
            once,
            parents,
            exported: OnceLock::new(),
        });
        inner.role = Some(plan.clone());
        inner.search = std::iter::once(role.dir.clone()).chain(inherit.search.iter().cloned()).collect();
        // The folder of its task files comes before the playbook's, as in Ansible.
        inner.search.insert(inner.search.len() - 1, role.dir.join("tasks"));
        let mut nodes = Vec::new();
        let mut siblings = Siblings::default();
        let mut exported = Dict::new();
        for dependency in &role.meta.dependencies {
            let trail = inner.trail.below(&dependency.role.value.to_string(), &mut siblings);
            let around = Inherit { trail, ..inner.clone() };
            nodes.extend(self.role(dependency, &around, brought, mistakes));
            let name = self.literal(&dependency.role, &around, "role name", &mut Vec::new());
            if let Some(plan) = brought.roles.iter().rev().find(|r| r.dependency && Some(&r.name) == name.as_ref()) {
                exported.extend(plan.exported.get().into_iter().chain([&*plan.vars]).flat_map(Dict::clone));
            }
        }
        plan.exported.get_or_init(|| exported);
        brought.roles.push(plan.clone());
        let trail = inner.trail.below(&role.name, &mut siblings);
        let own = Inherit { trail, ..inner.clone() };
        if let Some(spec) = self.argument_check(&plan, &role.meta.argument_specs, options, reference, &own) {
            nodes.push(spec);
        }
        nodes.extend(self.tasks(role.tasks, &own, brought, mistakes));
        if !nodes.is_empty() {
            nodes.push(Node::RoleEnd(plan));
        }
        let trail = inner.trail.below("handlers", &mut siblings);
        let own = Inherit { trail, handler: true, ..inner };
        let own = self.tasks(role.handlers, &own, brought, mistakes);
        take_handlers(&mut brought.handlers, flat(own));
        nodes
    }

    /// The task that checks a role's parameters against `meta/argument_specs.yml`, as Ansible inserts it.
    fn argument_check(
        &self,
        role: &RolePlan,
        specs: &indexmap::IndexMap<String, Value>,
        options: &RoleOptions,
        reference: &RoleRef,
        inherit: &Inherit,
    ) -> Option<Node> {
        if options.unchecked {
            return None;
        }
        let entry = if options.tasks_from.is_empty() { "main" } else { options.tasks_from.trim_end_matches(".yml") };
        let spec = specs.get(entry)?;
        let about = spec.get("short_description").and_then(Value::as_str).map_or(String::new(), |d| format!(" - {d}"));
        let arguments = spec.get("options").cloned().unwrap_or_else(|| Value::dict(Dict::new()));
        // Without its collection, or the folders that it was named by.
        let short = role.dir.file_name().map_or(role.name.clone(), |n| n.to_string_lossy().into_owned());
        let args = crate::dict! {
            "argument_spec" => arguments,
            "validate_args_context" => Value::dict(crate::dict! {
                "argument_spec_name" => entry,
                "name" => short,
                "path" => role.dir.display().to_string(),
                "type" => "role",
            }),
        };
        let name = format!("Validating arguments against arg spec '{entry}'{about}");
        let mut task = implicit(&name, "validate_argument_spec", args, &reference.span);
        task.common.tags = vec![Spanned::new("always".into(), reference.span.clone())];
        let mut plan = self.task(task, inherit, inherit.trail.below("argument spec", &mut Siblings::default()));
        plan.fingerprint = short_digest(
            Value::dict(specs.iter().map(|(k, v)| (k.as_str().into(), v.clone())).collect()).to_string().as_bytes(),
        );
        self.tags.selects(&plan.tags).then(|| Node::Task(Arc::new(plan)))
    }

    /// The folder of a role, as tasks in this place name it.
    pub fn find_role(&self, name: &str, inherit: &Inherit) -> Result<PathBuf, parse::role::NotFound> {
        // A folder of playbooks may stand beside that of their roles, as in the built-in set.
        let ours = !self.as_ansible || inherit.dir.starts_with(BUILT_IN);
        let beside_playbooks = (ours && inherit.dir.ends_with("playbooks")).then(|| inherit.dir.join("../roles"));
        // What lies in a collection finds the roles of that one first.
        let collection = match &inherit.role {
            Some(role) => role.collection(),
            None => parse::role::collection_of(&inherit.dir),
        };
        let named = inherit.common.collections.iter().map(|c| c.value.to_string());
        let places = parse::role::Places {
            playbook_dir: inherit.dir.clone(),
            roles_path: beside_playbooks.into_iter().chain(self.roles_path.clone()).collect(),
            beside: inherit.role.as_ref().and_then(|r| r.dir.parent().map(Path::to_owned)),
            collections_paths: std::iter::once(inherit.dir.join("collections"))
                .chain(self.collections_paths.clone())
                .collect(),
            collections: collection.into_iter().chain(named).collect(),
        };
        parse::role::find(&*self.files, name, &places)
    }

    fn load_role(
        &self,
        options: &RoleOptions,
        span: &Span,
        inherit: &Inherit,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Role> {
        let dir = match self.find_role(&options.name, inherit).map_err(|e| e.mistake(span)) {
            Ok(dir) => dir,
            Err(mistake) => {
                mistakes.push(mistake);
                return None;
            }
        };
        self.modules.libraries.add(dir.join("library"));
        fn named(text: &str) -> Option<&str> {
            Some(text).filter(|t| !t.is_empty())
        }
        let from = parse::role::From {
            tasks: named(&options.tasks_from),
            handlers: named(&options.handlers_from),
            vars: named(&options.vars_from),
            defaults: named(&options.defaults_from),
        };
        // As with Ansible, a role of a collection is called by its full name, however it is found.
        let name = match parse::role::collection_of(&dir) {
            Some(collection) if !options.name.starts_with(&format!("{collection}.")) => {
                format!("{collection}.{}", options.name)
            }
            _ => options.name.clone(),
        };
        parse::role::load(&*self.files, &dir, &name, &from, span, &self.modules, &self.vault, mistakes)
    }
}
