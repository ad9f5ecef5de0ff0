//! The variables that one task on one host sees, in Ansible's order of precedence.
//!
//! From the highest: what the task itself brings (loop variables), extra variables, parameters of includes, of roles, set
//! and registered facts, included variables, task and block variables, role variables, `vars_files`, prompts, the play's,
//! the host's facts, inventory and `host_vars`, groups, role defaults. Magic variables are the engine's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use indexmap::IndexSet;

use super::execute;
use super::play::PlayState;
use super::run::Run;
use super::store::HostVars;
use crate::model::inventory::Inventory;
use crate::model::outcome::Outcome;
use crate::model::playbook::{Common, Task, Written};
use crate::model::secret::{Secret, is_secret_name};
use crate::model::value::{Dict, Key, Value};
use crate::plan::words::local_name;
use crate::plan::{RolePlan, TaskPlan};
use crate::vars::template::{Control, Scope, TemplateError};

/// One task's view of all variables.
#[derive(Clone)]
pub struct TaskScope {
    run: Arc<Run>,
    play: Option<Arc<PlayState>>,
    host: String,
    task: Option<Arc<TaskPlan>>,
    vars: HostVars,
    /// What the task brings while it runs: loop variables, its own fresh result.
    local: Dict,
    /// Whether the result is shown without being asked.
    verbose: Arc<AtomicBool>,
    /// Without what is filled in of how the host is reached.
    bare: bool,
}

impl TaskScope {
    pub fn new(run: &Arc<Run>, play: &Arc<PlayState>, host: &str, task: &Arc<TaskPlan>) -> TaskScope {
        TaskScope {
            run: run.clone(),
            play: Some(play.clone()),
            host: host.to_owned(),
            task: Some(task.clone()),
            vars: run.vars.of(host),
            local: Dict::new(),
            verbose: Arc::default(),
            bare: false,
        }
    }

    /// A host's variables as a play sees them, without a task.
    pub fn of_host(run: &Arc<Run>, play: Option<&Arc<PlayState>>, host: &str) -> TaskScope {
        TaskScope {
            run: run.clone(),
            play: play.cloned(),
            host: host.to_owned(),
            task: None,
            vars: run.vars.of(host),
            local: Dict::new(),
            verbose: Arc::default(),
            bare: false,
        }
    }

    /// Sees what the run has learned of the host since.
    pub fn refresh(&mut self) {
        self.vars = self.run.vars.of(&self.host);
    }

    /// Gives the task a variable of its own.
    pub fn set(&mut self, name: &str, value: Value) {
        self.local.insert(Key::from(name), value);
    }

    pub fn unset(&mut self, name: &str) {
        self.local.shift_remove(name);
    }

    /// The fresh result under its registered name, and its fields for `changed_when` and the like.
    pub fn set_result(&mut self, task: &Task, outcome: &Outcome) {
        if let Some(name) = &task.register {
            self.set(&name.value, Value::dict(outcome.registered()));
        }
    }

    /// What an include passes on: loop variables.
    pub fn locals(&self) -> Dict {
        self.local.clone()
    }

    pub fn set_verbose(&self, verbose: bool) {
        self.verbose.store(verbose, Ordering::Relaxed);
    }

    /// Whether the result is shown without being asked.
    pub fn is_verbose(&self) -> bool {
        self.verbose.load(Ordering::Relaxed)
    }

    /// A variable, rendered; `None` if it is not defined.
    pub fn rendered(&self, name: &str) -> Result<Option<Value>, Box<TemplateError>> {
        self.get(name).map(|raw| self.run.templar.render(&raw, self)).transpose()
    }

    /// Warns when a loop hides a variable of the same name.
    pub fn warn_if_taken(&self, name: &str) {
        if self.get(name).is_some() {
            self.run.warn(&format!(
                "the loop variable '{name}' is already in use; set `loop_var` in `loop_control` to something else"
            ));
        }
    }

    fn role_names(&self, of: fn(&RolePlan) -> bool) -> Vec<String> {
        let roles = self.play.as_ref().map(|p| p.named_roles()).unwrap_or_default();
        roles.iter().filter(|r| of(r)).map(|r| r.name.clone()).collect()
    }

    fn roles(&self) -> Vec<Arc<RolePlan>> {
        self.play.as_ref().map(|p| p.roles()).unwrap_or_default()
    }

    /// From what the play and its tasks give, the nearest first; without what ranks above.
    fn written(&self, name: &str) -> Option<Value> {
        let task = self.task.as_ref();
        let role = task.and_then(|t| t.role.as_ref());
        if let Some(task) = task {
            if let Some(v) = task.params.iter().rev().find_map(|d| d.get(name)) {
                return Some(v.clone());
            }
            for role in role.into_iter().chain(role.iter().flat_map(|r| r.parents.iter().rev())) {
                if let Some(v) = role.params.get(name) {
                    return Some(v.clone());
                }
            }
        }
        if let Some(v) = self.vars.set.get(name).or_else(|| self.vars.included.get(name)) {
            return Some(v.clone());
        }
        if let Some(v) = task.and_then(|t| t.vars.iter().rev().find_map(|d| d.get(name))) {
            return Some(v.clone());
        }
        if let Some(role) = role {
            // The nearer role first; its entry's variables over its own there, and below them further out, as in Ansible. Those
            // of the roles that it depends on stand between.
            let outer = role.parents.iter().rev().flat_map(|r| [&r.vars, &r.entry_vars]).map(|vars| &**vars);
            let mut nearest = [&*role.entry_vars, &*role.vars].into_iter().chain(role.exported.get()).chain(outer);
            if let Some(v) = nearest.find_map(|d| d.get(name)) {
                return Some(v.clone());
            }
        }
        let roles = self.roles();
        if let Some(v) = roles.iter().rev().find_map(|r| r.vars.get(name)) {
            return Some(v.clone());
        }
        let play = self.play.as_ref()?;
        let from_files = play.file_vars.get(&self.host).and_then(|d| d.get(name));
        from_files.or_else(|| play.prompted.get(name)).or_else(|| play.plan.play.common.vars.get(name)).cloned()
    }

    /// From the host: facts, inventory, groups.
    fn inherited(&self, name: &str) -> Option<Value> {
        // `ansible_local` is a variable whatever the setting.
        if self.run.options.inject_facts || name == "ansible_local" {
            let facts = &self.vars.facts;
            let short = || name.strip_prefix("ansible_").and_then(|n| facts.get(n));
            if let Some(v) = facts.get(name).or_else(short) {
                return Some(v.clone());
            }
        }
        let inventory = self.run.inventory.read().unwrap_or_else(PoisonError::into_inner);
        let host = inventory.hosts.get(&self.host)?;
        for vars in [&host.playbook_host_vars, &host.inventory_host_vars, &host.vars] {
            if let Some(v) = vars.get(name) {
                return Some(v.clone());
            }
        }
        let groups = inventory.groups_of(&self.host);
        let all = inventory.groups.get("all");
        let nearest = || groups.iter().rev().copied();
        if let Some(v) = nearest().find_map(|g| g.playbook_group_vars.get(name)) {
            return Some(v.clone());
        }
        if let Some(v) = nearest().find_map(|g| g.inventory_group_vars.get(name)) {
            return Some(v.clone());
        }
        if let Some(v) = all.and_then(|g| g.playbook_group_vars.get(name).or_else(|| g.inventory_group_vars.get(name)))
        {
            return Some(v.clone());
        }
        nearest().find_map(|g| g.vars.get(name)).or_else(|| all.and_then(|g| g.vars.get(name))).cloned()
    }

    fn defaults(&self, name: &str) -> Option<Value> {
        let role = self.task.as_ref().and_then(|t| t.role.as_ref());
        for role in role.into_iter().chain(role.iter().flat_map(|r| r.parents.iter().rev())) {
            if let Some(v) = role.defaults.get(name) {
                return Some(v.clone());
            }
        }
        self.roles().iter().rev().find_map(|r| r.defaults.get(name).cloned())
    }

    /// How a task reaches its host, where no variable says it.
    fn reached(&self, name: &str) -> Option<Value> {
        let task = self.task.as_ref().filter(|_| !self.bare)?;
        let (templar, options) = (&self.run.templar, &self.run.options);
        // What these say must not ask for them again.
        let bare = TaskScope { bare: true, ..self.clone() };
        let keyword = |of: fn(&Common) -> Option<&Written>| {
            let said = execute::keyword(templar, &task.common, of, &bare).ok().flatten();
            said.filter(|v| !v.is_null()).map(|v| v.to_string())
        };
        let value = match name {
            "ansible_host" | "ansible_ssh_host" => match execute::delegate(templar, task, &bare).ok().flatten() {
                Some(other) => {
                    let own = TaskScope::of_host(&self.run, self.play.as_ref(), &other);
                    let said = own.rendered(name).ok().flatten().or_else(|| own.rendered(twin(name)).ok().flatten());
                    said.map_or(other, |v| v.to_string())
                }
                None => {
                    let said = bare.rendered(twin(name)).ok().flatten();
                    said.map_or_else(|| self.host.clone(), |v| v.to_string())
                }
            },
            "ansible_user" | "ansible_ssh_user" => {
                let said = bare.rendered(twin(name)).ok().flatten().map(|v| v.to_string());
                said.or_else(|| keyword(|c| c.remote_user.as_ref())).or_else(|| options.remote_user.clone())?
            }
            "ansible_connection" => keyword(|c| c.connection.as_ref()).or_else(|| options.connection.clone())?,
            _ => return None,
        };
        Some(value.into())
    }

    /// Variables that the engine itself defines. They cannot be overridden.
    fn magic(&self, name: &str) -> Option<Value> {
        let run = &self.run;
        let names = |list: Vec<String>| -> Value { list.into_iter().collect() };
        let once = |list: Vec<String>| names(list.into_iter().collect::<IndexSet<_>>().into_iter().collect());
        let path = |p: &Path| -> Value { run.absolute(p).display().to_string().into() };
        let role = self.task.as_ref().and_then(|t| t.role.as_ref());
        let play = self.play.as_ref();
        let value = match name {
            "inventory_hostname" => self.host.as_str().into(),
            "inventory_hostname_short" => self.host.split('.').next().unwrap_or_default().into(),
            "groups" => run.groups(),
            "group_names" => {
                let inventory = run.inventory.read().unwrap_or_else(PoisonError::into_inner);
                let mut names: Vec<&str> = inventory.groups_of(&self.host).iter().map(|g| g.name.as_str()).collect();
                names.sort_unstable();
                let names: Vec<&str> = if names.is_empty() { vec!["ungrouped"] } else { names };
                names.into_iter().collect()
            }
            "ansible_facts" => Value::dict(short_facts(&self.vars.facts)),
            "ansible_check_mode" => run.options.check.into(),
            "ansible_diff_mode" => run.options.diff.into(),
            "ansible_forks" => run.options.forks.into(),
            "ansible_verbosity" => i64::from(run.options.verbosity).into(),
            "ansible_version" => crate::plan::words::ansible_version(),
            "stx_upgrade_run" => run.id.as_str().into(),
            "stx_upgrade_journal" => run.options.journal.display().to_string().into(),
            "stx_upgrade_operator" => run.options.operator.as_str().into(),
            "ansible_run_tags" => {
                let only = &run.compiler.tags.only;
                if only.is_empty() { names(vec!["all".into()]) } else { names(only.clone()) }
            }
            "ansible_skip_tags" => names(run.compiler.tags.skip.clone()),
            "ansible_limit" => return run.options.limit.as_deref().map(Value::from),
            "ansible_inventory_sources" => names(run.options.inventory_sources.clone()),
            "ansible_config_file" => return run.options.config_file.as_deref().map(Value::from),
            // There is none here; what is meant for the control node finds the one that is installed there.
            "ansible_playbook_python" => installed_python().into(),
            "inventory_dir" => return run.inventory_dir().map(|d| path(&d)),
            "inventory_file" => return run.options.inventory_sources.first().map(|f| path(Path::new(f))),
            "omit" => return None,
            "playbook_dir" => play.map(|p| path(&p.plan.dir))?,
            "ansible_play_name" => play.map(|p| run.play_title(&p.plan).into())?,
            "ansible_play_batch" | "play_hosts" => names(play?.active()),
            "ansible_play_hosts" => names(play?.remaining(run)),
            "ansible_play_hosts_all" => names(play?.all_hosts()),
            // As often as they are named, which the others are not.
            "ansible_play_role_names" | "role_names" => names(self.role_names(|r| !r.dependency)),
            "ansible_dependent_role_names" => once(self.role_names(|r| r.dependency)),
            "ansible_role_names" => once(self.role_names(|_| true)),
            "role_name" => role?.short_name().into(),
            "ansible_role_name" => role?.name.as_str().into(),
            "ansible_collection_name" => role?.collection()?.into(),
            "role_path" => path(&role?.dir),
            "ansible_parent_role_names" => names(including(role?)?.iter().map(|r| r.name.clone()).collect()),
            "ansible_parent_role_paths" => including(role?)?.iter().map(|r| path(&r.dir)).collect(),
            "ansible_failed_task" => play?.failure(&self.host)?.0,
            "ansible_failed_result" => play?.failure(&self.host)?.1,
            "ansible_search_path" => self.task.as_ref()?.search.iter().map(|d| path(d)).collect(),
            "environment" => return None,
            _ => return None,
        };
        Some(value)
    }
}

/// The roles that included or imported a role, the nearest first; none where nobody did.
fn including(role: &Arc<RolePlan>) -> Option<Vec<Arc<RolePlan>>> {
    let mut found = Vec::new();
    let mut inner = role;
    for outer in role.parents.iter().rev() {
        if !inner.dependency {
            found.push(outer.clone());
        }
        inner = outer;
    }
    (!found.is_empty()).then_some(found)
}

/// The Python that a shell on this machine would start.
fn installed_python() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).flat_map(|dir| ["python3", "python"].map(|name| dir.join(name)));
    places.find(|p| p.is_file()).map_or_else(String::new, |p| p.display().to_string())
}

/// The other one of two variables that say the same.
fn twin(name: &str) -> &'static str {
    match name {
        "ansible_host" => "ansible_ssh_host",
        "ansible_ssh_host" => "ansible_host",
        "ansible_user" => "ansible_ssh_user",
        _ => "ansible_user",
    }
}

/// Facts without their `ansible_` prefix, as `ansible_facts` has them.
fn short_facts(facts: &Dict) -> Dict {
    let short = |k: &Key| match k.as_str().and_then(|k| k.strip_prefix("ansible_")) {
        Some("local") | None => {
            k.as_str().and_then(|k| k.strip_prefix("ansible_")).map_or_else(|| k.clone(), Key::from)
        }
        Some(short) => Key::from(short),
    };
    facts.iter().map(|(k, v)| (short(k), v.clone())).collect()
}

impl Scope for TaskScope {
    fn get(&self, name: &str) -> Option<Value> {
        if let Some(v) = self.local.get(name) {
            return Some(v.clone());
        }
        if let Some(v) = self.magic(name) {
            return Some(v);
        }
        if let Some(v) = self.run.compiler.extra.get(name) {
            return Some(v.clone());
        }
        let found = self.written(name).or_else(|| self.inherited(name)).or_else(|| self.defaults(name));
        let found = found.or_else(|| self.reached(name));
        // What a template comes to is told when it has been rendered.
        if let Some(Value::Str(text)) = &found {
            self.told(name, text);
        }
        found
    }

    fn told(&self, name: &str, text: &str) {
        let secret = Secret::new(text);
        if is_secret_name(name) && self.run.out.mask.is_new(&secret) {
            self.run.record.keep_secret(&secret);
        }
    }

    fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut take = |dict: &Dict| {
            for key in dict.keys() {
                if let Key::Str(name) = key
                    && !names.contains(name)
                {
                    names.push(name.clone());
                }
            }
        };
        take(&self.local);
        take(&self.run.compiler.extra);
        let role = self.task.as_ref().and_then(|t| t.role.as_ref());
        let roles = self.roles();
        for role in role.into_iter().chain(roles.iter()) {
            [&role.params, &role.vars, &role.entry_vars, &role.defaults].into_iter().for_each(|d| take(d));
        }
        if let Some(task) = &self.task {
            task.params.iter().chain(&task.vars).for_each(|d| take(d));
        }
        [&self.vars.set, &self.vars.included, &self.vars.facts].into_iter().for_each(|d| take(d));
        if let Some(play) = &self.play {
            take(&play.plan.play.common.vars);
            take(&play.prompted);
            play.file_vars.get(&self.host).into_iter().for_each(|d| take(d));
        }
        let inventory = self.run.inventory.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = inventory.hosts.get(&self.host) {
            [&host.vars, &host.inventory_host_vars, &host.playbook_host_vars].into_iter().for_each(&mut take);
        }
        for group in inventory.groups_of(&self.host).into_iter().chain(inventory.groups.get("all")) {
            [&group.vars, &group.inventory_group_vars, &group.playbook_group_vars].into_iter().for_each(&mut take);
        }
        const MAGIC: &[&str] = &[
            "inventory_hostname",
            "inventory_hostname_short",
            "groups",
            "group_names",
            "ansible_facts",
            "ansible_check_mode",
            "ansible_diff_mode",
            "ansible_forks",
            "ansible_verbosity",
            "ansible_version",
            "playbook_dir",
            "ansible_play_name",
            "ansible_play_batch",
            "ansible_play_hosts",
            "ansible_play_hosts_all",
            "role_name",
            "role_path",
            "inventory_dir",
            "inventory_file",
            "ansible_run_tags",
            "ansible_skip_tags",
        ];
        for name in MAGIC {
            if !names.iter().any(|n| &**n == *name) && self.magic(name).is_some() {
                names.push(Arc::from(*name));
            }
        }
        names
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        let inventory = self.run.inventory.read().unwrap_or_else(PoisonError::into_inner);
        inventory.hosts.keys().map(|h| Arc::from(h.as_str())).collect()
    }

    fn host(&self, name: &str) -> Option<Arc<dyn Scope>> {
        let known = self.run.inventory.read().unwrap_or_else(PoisonError::into_inner).hosts.contains_key(name);
        known.then(|| Arc::new(TaskScope::of_host(&self.run, self.play.as_ref(), name)) as Arc<dyn Scope>)
    }

    fn control(&self) -> Option<&dyn Control> {
        Some(self)
    }
}

impl Control for TaskScope {
    fn search(&self) -> Vec<PathBuf> {
        match (&self.task, &self.play) {
            (Some(task), _) => task.search.clone(),
            (None, Some(play)) => vec![play.plan.dir.clone()],
            (None, None) => Vec::new(),
        }
    }

    fn kind(&self) -> &'static str {
        let looped = |t: &TaskPlan| {
            t.task.looping.as_ref().and_then(|l| l.with.as_ref()).is_some_and(|w| local_name(&w.value) == "first_found")
        };
        let Some(task) = self.task.as_ref().filter(|t| looped(t)) else { return "" };
        match task.action() {
            name if name.contains("template") => "templates",
            name if name.contains("var") => "vars",
            _ => "files",
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = self.run.compiler.files.read(path).map_err(|e| e.to_string())?;
        if !crate::parse::vault::is_vault(&bytes) {
            return Ok(bytes);
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string())?;
        self.run.compiler.vault.decrypt(text).map(|plain| plain.to_vec()).map_err(|e| e.to_string())
    }

    fn run(&self, command: &str) -> Result<(i32, Vec<u8>, Vec<u8>), String> {
        let dir = self.play.as_ref().map(|p| p.plan.dir.clone()).filter(|d| d.is_dir());
        let mut program = std::process::Command::new("/bin/sh");
        program.args(["-c", command]).stdin(std::process::Stdio::null());
        dir.iter().for_each(|d| {
            program.current_dir(d);
        });
        let out = program.output().map_err(|e| e.to_string())?;
        Ok((out.status.code().unwrap_or(-1), out.stdout, out.stderr))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<String>, String> {
        let inventory = self.run.inventory.read().unwrap_or_else(PoisonError::into_inner);
        // As Ansible's lookup sees it: every group with all of its hosts, and none in another.
        let mut flat = Inventory::new();
        for group in inventory.groups.keys() {
            flat.group_mut(group);
            inventory.hosts_of(group).into_iter().for_each(|host| flat.add_to_group(host, group));
        }
        crate::plan::pattern::matches(&[pattern.to_owned()], &flat).map(|m| m.hosts).map_err(|e| e.to_string())
    }

    fn setting(&self, name: &str) -> Option<Value> {
        let options = &self.run.options;
        match name {
            "DEFAULT_FORKS" => Some(options.forks.into()),
            "DEFAULT_BECOME" => Some(options.become_.into()),
            "DEFAULT_BECOME_USER" => Some(options.become_user.as_str().into()),
            "DEFAULT_BECOME_METHOD" => Some(options.become_method.as_str().into()),
            "DEFAULT_TIMEOUT" => Some(options.timeout.into()),
            "DEFAULT_STRATEGY" => Some(options.strategy.as_str().into()),
            "ALLOW_BROKEN_CONDITIONALS" => Some(options.broken_conditions.into()),
            "HOST_KEY_CHECKING" => Some(options.host_key_checking.into()),
            _ => None,
        }
    }
}
