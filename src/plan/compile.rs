//! Playbooks to plays of planned tasks: imports and roles put in place, keywords, conditions, tags and variables
//! inherited. The same compiler plans what a dynamic include brings at run time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identity::{Siblings, Trail, short_digest};
use super::roles::{Brought, take_handlers};
use super::tags::TagSelection;
use super::words::{self, Modules};
use super::{BlockPlan, Kind, Node, Plan, PlayPlan, RolePlan, TaskPlan};
use crate::model::mistake::Mistake;
use crate::model::playbook::{
    ActionRef, Arg, Block, Common, ImportPlaybook, LoopControl, Play, PlayEntry, Task, TaskEntry, Written,
};
use crate::model::source::{Span, Spanned};
use crate::model::value::{Dict, Value};
use crate::parse;
use crate::parse::files::Files;
use crate::parse::tasks::Entries;
use crate::parse::vault::Vault;
use crate::vars::template::Templar;

/// What planning needs of the outside.
pub struct Compiler {
    pub files: Arc<dyn Files>,
    pub vault: Arc<Vault>,
    pub templar: Arc<Templar>,
    /// Names of modules and actions.
    pub modules: Modules,
    /// `-e`: known before the run, so file and role names may use them.
    pub extra: Arc<Dict>,
    pub tags: TagSelection,
    /// Folders of roles beside `roles/` of the playbook.
    pub roles_path: Vec<PathBuf>,
    /// Folders that hold `ansible_collections`.
    pub collections_paths: Vec<PathBuf>,
    /// Called as `ansible-playbook`: what is wrong with arguments, templates, files and handlers is found when their turn comes
    /// and not before the run, for a rescue or a condition may deal with it; roles are looked for where it looks.
    pub as_ansible: bool,
}

/// What a task inherits from what stands around it.
#[derive(Clone, Debug, Default)]
pub struct Inherit {
    pub common: Common,
    pub when: Vec<Written>,
    pub tags: Vec<String>,
    pub vars: Vec<Arc<Dict>>,
    /// Variables given with dynamic includes around it; they rank above what the host sets.
    pub params: Vec<Arc<Dict>>,
    pub notify: Vec<Written>,
    pub delegate_to: Option<Written>,
    pub delegate_facts: Option<Written>,
    pub role: Option<Arc<RolePlan>>,
    /// Folders to look for files in, nearest first.
    pub search: Vec<PathBuf>,
    pub trail: Trail,
    pub handler: bool,
    /// A failure is taken care of: by a `rescue` around it.
    pub rescued: bool,
    /// The playbook's folder, and the name of the one that the user named.
    pub dir: PathBuf,
    pub root: String,
    /// Variables of the play: file and role names may use them.
    pub play_vars: Arc<Dict>,
}

impl Inherit {
    /// The folders that files are looked for in, as messages name them.
    pub fn looked(&self) -> Vec<String> {
        let shown = |dir: &PathBuf| if dir.as_os_str().is_empty() { ".".into() } else { dir.display().to_string() };
        self.search.iter().map(shown).collect()
    }
}

impl Compiler {
    /// Plans playbooks in the order given. Mistakes are collected; what they spoil is left out of the plan.
    pub fn playbooks(&self, paths: &[(String, PathBuf)], mistakes: &mut Vec<Mistake>) -> Plan {
        let mut plan = Plan::default();
        let mut siblings = Siblings::default();
        for (name, path) in paths {
            let trail = Trail::default().below(&file_name(path), &mut siblings);
            self.playbook(
                name,
                path,
                &Inherit { trail, root: name.clone(), ..Inherit::default() },
                &mut plan,
                mistakes,
                0,
            );
        }
        plan
    }

    fn playbook(
        &self,
        name: &str,
        path: &Path,
        inherit: &Inherit,
        plan: &mut Plan,
        mistakes: &mut Vec<Mistake>,
        depth: u32,
    ) {
        if let Some(dir) = path.parent() {
            self.modules.libraries.add_playbook(dir);
        }
        let Some(playbook) = parse::playbook::load(&*self.files, path, &self.modules, &self.vault, mistakes) else {
            return;
        };
        let mut siblings = Siblings::default();
        for entry in playbook.entries {
            match entry {
                PlayEntry::Play(play) => {
                    let trail = inherit.trail.below(&play_name(&play), &mut siblings);
                    let inherit = Inherit { trail, dir: playbook.dir.clone(), ..inherit.clone() };
                    plan.plays.push(Arc::new(self.play(*play, name, &inherit, mistakes)));
                }
                PlayEntry::Import(import) => {
                    let inherit = self.imported(&import, inherit, &mut siblings);
                    if depth > 50 {
                        mistakes.push(Mistake::at(&import.span, "playbooks import one another without end"));
                        continue;
                    }
                    let Some(file) = self.literal(&import.file, &inherit, "file name", mistakes) else { continue };
                    let path = playbook.dir.join(&file);
                    if !self.files.exists(&path) {
                        mistakes.push(
                            Mistake::at(&import.file.span, format!("the playbook `{file}` was not found"))
                                .label("named here")
                                .help(format!("looked for {}", path.display())),
                        );
                        continue;
                    }
                    self.playbook(&path.display().to_string(), &path, &inherit, plan, mistakes, depth + 1);
                }
            }
        }
    }

    fn imported(&self, import: &ImportPlaybook, inherit: &Inherit, siblings: &mut Siblings) -> Inherit {
        let trail = inherit.trail.below(&import.file.value.to_string(), siblings);
        self.inside(inherit, &import.common, &import.when, trail)
    }

    fn play(&self, mut play: Play, playbook: &str, inherit: &Inherit, mistakes: &mut Vec<Mistake>) -> PlayPlan {
        let play_vars = Arc::new(play.common.vars.clone());
        let around = Inherit { play_vars, ..inherit.clone() };
        let mut base = self.inside(&around, &play.common, &[], inherit.trail.clone());
        // A play's variables have a rank of their own; they are not variables of a block.
        base.vars = inherit.vars.clone();
        base.search = vec![inherit.dir.clone()];
        let mut brought = Brought::default();
        let mut nodes = Vec::new();
        let mut siblings = Siblings::default();
        let section =
            |name: &str, siblings: &mut Siblings| Inherit { trail: base.trail.below(name, siblings), ..base.clone() };

        let pre = section("pre_tasks", &mut siblings);
        nodes.extend(self.tasks(std::mem::take(&mut play.pre_tasks), &pre, &mut brought, mistakes));
        nodes.push(Node::Flush);
        let imported_before = std::mem::take(&mut brought.handlers);
        let in_roles = section("roles", &mut siblings);
        let mut role_siblings = Siblings::default();
        for role in std::mem::take(&mut play.roles) {
            let trail = in_roles.trail.below(&role.role.value.to_string(), &mut role_siblings);
            let inherit = Inherit { trail, ..in_roles.clone() };
            nodes.extend(self.role(&role, &inherit, &mut brought, mistakes));
        }
        let mut handlers = std::mem::take(&mut brought.handlers);
        let main = section("tasks", &mut siblings);
        nodes.extend(self.tasks(std::mem::take(&mut play.tasks), &main, &mut brought, mistakes));
        nodes.push(Node::Flush);
        let post = section("post_tasks", &mut siblings);
        nodes.extend(self.tasks(std::mem::take(&mut play.post_tasks), &post, &mut brought, mistakes));
        nodes.push(Node::Flush);

        let own = Inherit { handler: true, ..section("handlers", &mut siblings) };
        let own = self.tasks(std::mem::take(&mut play.handlers), &own, &mut brought, mistakes);
        // As with Ansible: those of the play's roles, its own, then what tasks import.
        handlers.extend(flat(own));
        let Brought { roles, handlers: imported_behind } = brought;
        take_handlers(&mut handlers, imported_before);
        take_handlers(&mut handlers, imported_behind);
        let plan = PlayPlan {
            play,
            playbook: playbook.to_owned(),
            root: inherit.root.clone(),
            dir: inherit.dir.clone(),
            tags: base.tags,
            import_vars: inherit.vars.clone(),
            nodes,
            handlers,
            roles,
        };
        super::check::play(&plan, self, mistakes);
        plan
    }

    /// Plans a list of tasks and blocks. Static roles and their handlers are added to `brought`.
    pub fn tasks(
        &self,
        entries: Vec<TaskEntry>,
        inherit: &Inherit,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut siblings = Siblings::default();
        for entry in entries {
            match entry {
                TaskEntry::Block(block) => {
                    nodes.extend(self.block(*block, inherit, &mut siblings, brought, mistakes));
                }
                TaskEntry::Task(task) => {
                    let name = task.common.name.as_ref().unwrap_or(&task.action.name).value.to_string();
                    let trail = inherit.trail.below(&name, &mut siblings);
                    match words::local_name(&task.action.name.value.to_string()) {
                        "import_tasks" => nodes.extend(self.import_tasks(*task, inherit, trail, brought, mistakes)),
                        "import_role" => nodes.extend(self.import_role(*task, inherit, trail, brought, mistakes)),
                        _ => {
                            let plan = self.task(*task, inherit, trail);
                            // A handler runs when it is notified, whatever its tags.
                            if plan.handler || self.tags.selects(&plan.tags) {
                                super::check::task(&plan, self, mistakes);
                                nodes.push(Node::Task(Arc::new(plan)));
                            }
                        }
                    }
                }
            }
        }
        nodes
    }

    fn block(
        &self,
        block: Block,
        inherit: &Inherit,
        siblings: &mut Siblings,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Node> {
        let name = block.common.name.as_ref().map_or("block".into(), |n| n.value.to_string());
        let trail = inherit.trail.below(&name, siblings);
        let inner = self.within(&Inherit { trail, ..inherit.clone() }, &block);
        let mut parts = Siblings::default();
        let has_rescue = !block.rescue.is_empty();
        let mut part = |name: &str, entries, mistakes: &mut Vec<Mistake>| {
            let rescued = inner.rescued || (name == "block" && has_rescue);
            let inner = Inherit { trail: inner.trail.below(name, &mut parts), rescued, ..inner.clone() };
            self.tasks(entries, &inner, brought, mistakes)
        };
        let plan = BlockPlan {
            block: part("block", block.block, mistakes),
            rescue: part("rescue", block.rescue, mistakes),
            always: part("always", block.always, mistakes),
        };
        let empty = plan.block.is_empty() && plan.rescue.is_empty() && plan.always.is_empty();
        (!empty).then(|| Node::Block(Arc::new(plan)))
    }

    /// What stands in a block, or under the `apply` of an include.
    pub fn within(&self, around: &Inherit, block: &Block) -> Inherit {
        let mut inner = self.inside(around, &block.common, &block.when, around.trail.clone());
        inherit_notify(&mut inner, &block.notify);
        inner.delegate_to = block.delegate_to.clone().or(inner.delegate_to);
        inner.delegate_facts = block.delegate_facts.clone().or(inner.delegate_facts);
        inner
    }

    /// A task with what it inherits.
    pub fn task(&self, task: Task, inherit: &Inherit, trail: Trail) -> TaskPlan {
        let inner = self.inside(inherit, &task.common, &task.when, trail);
        let kind = self.modules.kind(&task.action.name.value);
        let mut delegate_to = task.delegate_to.clone().or_else(|| inherit.delegate_to.clone());
        if task.local {
            delegate_to = Some(Spanned::new("localhost".into(), task.span.clone()));
        }
        TaskPlan {
            id: inner.trail.id(),
            fingerprint: short_digest(task.span.text().trim().as_bytes()),
            place: task.span.place(),
            common: Common { name: task.common.name.clone(), ..inner.common.clone() },
            when: inner.when.clone(),
            vars: inner.vars.clone(),
            tags: inner.tags.clone(),
            role: inherit.role.clone(),
            kind,
            handler: inherit.handler,
            notify: inherit.notify.clone(),
            delegate_to,
            delegate_facts: task.delegate_facts.clone().or_else(|| inherit.delegate_facts.clone()),
            search: inherit.search.clone(),
            params: inherit.params.clone(),
            // What it includes does not inherit its own keywords, only what stands around it.
            inherit: Arc::new(Inherit { trail: inner.trail, ..inherit.clone() }),
            task,
        }
    }

    /// The task that gathers facts at the start of a play.
    pub fn gathering(&self, plan: &PlayPlan) -> TaskPlan {
        let play = &plan.play;
        let mut args = Dict::new();
        let given = [
            ("gather_subset", &play.gather_subset),
            ("fact_path", &play.fact_path),
            ("gather_timeout", &play.gather_timeout),
        ];
        for (name, written) in given {
            if let Some(written) = written {
                args.insert(name.into(), written.value.clone());
            }
        }
        let asked = Value::dict(args.clone()).to_string();
        let mut task = implicit("Gathering Facts", "setup", args, &play.span);
        task.common.tags = vec![Spanned::new("always".into(), play.span.clone())];
        let inherit =
            self.inside(&Inherit { dir: plan.dir.clone(), ..Inherit::default() }, &play.common, &[], Trail::default());
        let inherit = Inherit { vars: Vec::new(), ..inherit };
        let mut plan = self.task(
            task,
            &inherit,
            Trail::default().below(&format!("gather {}", play_name(play)), &mut Siblings::default()),
        );
        // It is written nowhere: what it is asked to do is what it is.
        plan.fingerprint = short_digest(asked.as_bytes());
        plan
    }

    /// What a static import gives to the tasks that it brings.
    pub(super) fn tasks_imported(&self, inherit: &Inherit, task: &Task, trail: Trail) -> Inherit {
        let mut inner = self.inside(inherit, &task.common, &task.when, trail);
        inherit_notify(&mut inner, &task.notify);
        inner.delegate_to = task.delegate_to.clone().or(inner.delegate_to);
        inner.delegate_facts = task.delegate_facts.clone().or(inner.delegate_facts);
        inner
    }

    fn import_tasks(
        &self,
        task: Task,
        inherit: &Inherit,
        trail: Trail,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        if let Some(looping) = &task.looping {
            mistakes.push(
                Mistake::at(&looping.terms.span, "`import_tasks` cannot be looped")
                    .label("a loop needs a run")
                    .help("use `include_tasks`, which is resolved when its turn comes"),
            );
            return Vec::new();
        }
        let inner = self.tasks_imported(inherit, &task, trail);
        let Some(file) = file_argument(&task.action) else {
            mistakes
                .push(Mistake::at(&task.action.name.span, "`import_tasks` needs a file").label("import_tasks: FILE"));
            return Vec::new();
        };
        let Some(name) = self.literal(&file, &inner, "file name", mistakes) else { return Vec::new() };
        let Some(path) = self.find_tasks(&name, &inner) else {
            mistakes.push(missing_tasks(&file.span, &name, &inner));
            return Vec::new();
        };
        let kind = if inner.handler { Entries::Handlers } else { Entries::Tasks };
        self.task_file(&path, kind, &inner, brought, mistakes)
    }

    /// The tasks of a file, for `import_tasks` now or `include_tasks` at run time.
    pub fn task_file(
        &self,
        path: &Path,
        kind: Entries,
        inherit: &Inherit,
        brought: &mut Brought,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Node> {
        let mut inner = inherit.clone();
        if let Some(dir) = path.parent()
            && !inner.search.iter().any(|d| d == dir)
        {
            inner.search.insert(inner.search.len() - 1, dir.to_owned());
        }
        if inner.trail.depth() > 400 {
            mistakes.push(Mistake::plain(format!("{} imports itself without end", path.display())));
            return Vec::new();
        }
        let file = parse::tasks::load_file(&*self.files, path, kind, &self.modules, &self.vault, mistakes);
        self.tasks(file.map(|f| f.entries).unwrap_or_default(), &inner, brought, mistakes)
    }

    /// Where a task file lies: in the role's `tasks/`, beside the file that names it, beside the playbook.
    pub fn find_tasks(&self, name: &str, inherit: &Inherit) -> Option<PathBuf> {
        let absolute = PathBuf::from(name);
        if absolute.is_absolute() {
            return self.files.exists(&absolute).then_some(absolute);
        }
        let folder = if inherit.handler { "handlers" } else { "tasks" };
        inherit
            .search
            .iter()
            .flat_map(|dir| [dir.join(folder).join(name), dir.join("tasks").join(name), dir.join(name)])
            .find(|p| self.files.exists(p))
    }

    /// What stands inside: keywords of `common` laid over those around it.
    pub(super) fn inside(&self, around: &Inherit, common: &Common, when: &[Written], trail: Trail) -> Inherit {
        let mut inner = around.clone();
        inner.trail = trail;
        inner.common = lay(&around.common, common);
        inner.when.extend(when.iter().cloned());
        for tag in &common.tags {
            for tag in tag_words(&self.now_or_raw(tag, around)) {
                if !inner.tags.contains(&tag) {
                    inner.tags.push(tag);
                }
            }
        }
        if !common.vars.is_empty() {
            inner.vars.push(Arc::new(common.vars.clone()));
        }
        inner
    }
}

/// Keywords of what stands inside, over those around it; lists grow, `vars` and `name` are not inherited this way.
fn lay(around: &Common, own: &Common) -> Common {
    let joined = |a: &[Written], b: &[Written]| a.iter().chain(b).cloned().collect::<Vec<_>>();
    macro_rules! nearest {
        ($($field:ident),*) => { Common {
            name: None,
            vars: Dict::new(),
            tags: Vec::new(),
            environment: joined(&around.environment, &own.environment),
            module_defaults: joined(&around.module_defaults, &own.module_defaults),
            collections: if own.collections.is_empty() { around.collections.clone() } else { own.collections.clone() },
            around: match false $(|| own.$field.as_ref().is_some_and(|w| matches!(w.value, Value::Template(_))))* {
                true => Some(Arc::new(around.clone())),
                false => around.around.clone(),
            },
            $($field: own.$field.clone().or_else(|| around.$field.clone()),)*
        } };
    }
    nearest!(
        become_,
        become_user,
        become_method,
        become_flags,
        become_exe,
        check_mode,
        diff,
        connection,
        port,
        remote_user,
        no_log,
        ignore_errors,
        ignore_unreachable,
        any_errors_fatal,
        run_once,
        throttle,
        timeout,
        debugger
    )
}

fn tag_words(value: &Value) -> Vec<String> {
    match value {
        Value::List(l) => l.iter().flat_map(tag_words).collect(),
        Value::Null => Vec::new(),
        other => other.to_string().split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
    }
}

/// The file that `import_tasks` or `include_tasks` names.
pub fn file_argument(action: &ActionRef) -> Option<Written> {
    let named = action.args.iter().find(|a| matches!(a.name.value.as_str(), "file" | "_raw_params"));
    named.map(|a| a.value.clone()).or_else(|| action.free_form.clone())
}

/// The mistake for a task file that is not there.
pub fn missing_tasks(span: &Span, name: &str, inherit: &Inherit) -> Mistake {
    let looked = inherit.looked();
    Mistake::at(span, format!("the task file `{name}` was not found"))
        .label("named here")
        .help(format!("looked in {} and their `tasks` folders", looked.join(", ")))
}

/// A task that nobody wrote: gathering facts, checking a role's arguments.
pub fn implicit(name: &str, module: &str, args: Dict, span: &Span) -> Task {
    let here = |v: Value| Spanned::new(v, span.clone());
    Task {
        span: span.clone(),
        common: Common { name: Some(here(name.into())), ..Common::default() },
        action: ActionRef {
            name: here(module.into()),
            args: args
                .into_iter()
                .map(|(k, v)| Arg { name: Spanned::new(k.to_string(), span.clone()), value: here(v) })
                .collect(),
            args_template: None,
            free_form: None,
        },
        when: Vec::new(),
        looping: None,
        loop_control: LoopControl::default(),
        register: None,
        register_projections: indexmap::IndexMap::new(),
        until: Vec::new(),
        retries: None,
        delay: None,
        changed_when: Vec::new(),
        failed_when: Vec::new(),
        notify: Vec::new(),
        listen: Vec::new(),
        delegate_to: None,
        delegate_facts: None,
        async_: None,
        poll: None,
        apply: None,
        local: false,
    }
}

/// What is nearest counts, alone.
fn inherit_notify(inner: &mut Inherit, notify: &[Written]) {
    if !notify.is_empty() {
        inner.notify = notify.to_vec();
    }
}

/// Handlers as a list; a block of handlers gives its own.
pub(super) fn flat(nodes: Vec<Node>) -> Vec<Arc<TaskPlan>> {
    nodes
        .into_iter()
        .flat_map(|node| match node {
            Node::Task(task) => vec![task],
            Node::Block(block) => flat(block.block.clone()),
            Node::Flush | Node::RoleEnd(_) => Vec::new(),
        })
        .collect()
}

/// The name by which a play is known among others: its own, else its hosts.
pub fn play_name(play: &Play) -> String {
    play.common.name.as_ref().unwrap_or(&play.hosts).value.to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

impl Kind {
    /// Whether a step of this kind may change anything outside the run itself.
    pub fn may_change(&self) -> bool {
        match self {
            Kind::Module(_) | Kind::Own(_) | Kind::Templated => true,
            Kind::Action(action) => action.may_change,
            Kind::IncludeTasks | Kind::IncludeRole | Kind::Meta => false,
        }
    }

    /// Whether a step of this kind only looks, or only works on the run's own variables.
    pub fn only_looks(&self) -> bool {
        match self {
            Kind::Module(module) => module.only_looks,
            Kind::Action(action) => action.only_looks,
            Kind::IncludeTasks | Kind::IncludeRole => true,
            Kind::Meta | Kind::Templated | Kind::Own(_) => false,
        }
    }
}
