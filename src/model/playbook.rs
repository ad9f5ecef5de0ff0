//! A playbook as it was written: each field with its span, nothing rendered, nothing run.
//!
//! A field that may hold Jinja is a [`Spanned<Value>`] and is rendered when its turn comes; what Ansible fixes at load
//! time (names of variables to register, tags without Jinja) is kept plain.

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use super::source::{Source, Span, Spanned};
use super::value::{Dict, Value};

/// A value and its place.
pub type Written = Spanned<Value>;

/// One file of plays.
#[derive(Clone, Debug)]
pub struct Playbook {
    pub source: Arc<Source>,
    /// The folder that relative names in it start from.
    pub dir: PathBuf,
    pub entries: Vec<PlayEntry>,
}

#[derive(Clone, Debug)]
pub enum PlayEntry {
    Play(Box<Play>),
    Import(Box<ImportPlaybook>),
}

/// `import_playbook: FILE`.
#[derive(Clone, Debug)]
pub struct ImportPlaybook {
    pub span: Span,
    pub file: Written,
    pub common: Common,
    pub when: Vec<Written>,
}

#[derive(Clone, Debug)]
pub struct Play {
    pub span: Span,
    pub common: Common,
    pub hosts: Written,
    pub gather_facts: Option<Written>,
    pub gather_subset: Option<Written>,
    pub gather_timeout: Option<Written>,
    pub fact_path: Option<Written>,
    pub vars_files: Vec<Written>,
    pub vars_prompt: Vec<VarsPrompt>,
    pub roles: Vec<RoleRef>,
    pub pre_tasks: Vec<TaskEntry>,
    pub tasks: Vec<TaskEntry>,
    pub post_tasks: Vec<TaskEntry>,
    pub handlers: Vec<TaskEntry>,
    /// One batch size, or a list of them: numbers or percentages.
    pub serial: Vec<Written>,
    pub strategy: Option<Written>,
    pub order: Option<Written>,
    pub max_fail_percentage: Option<Written>,
    pub force_handlers: Option<Written>,
}

/// `vars_prompt` of a play.
#[derive(Clone, Debug)]
pub struct VarsPrompt {
    pub span: Span,
    pub name: String,
    pub prompt: Option<Written>,
    pub default: Option<Written>,
    pub private: bool,
    pub confirm: bool,
    pub encrypt: Option<Written>,
    pub salt: Option<Written>,
    pub salt_size: Option<Written>,
    pub unsafe_: bool,
}

/// Keywords that plays, roles, blocks and tasks share; what is inherited comes from the nearest that sets it.
#[derive(Clone, Debug, Default)]
pub struct Common {
    pub name: Option<Written>,
    pub vars: Dict,
    pub tags: Vec<Written>,
    pub become_: Option<Written>,
    pub become_user: Option<Written>,
    pub become_method: Option<Written>,
    pub become_flags: Option<Written>,
    pub become_exe: Option<Written>,
    pub check_mode: Option<Written>,
    pub diff: Option<Written>,
    pub connection: Option<Written>,
    pub port: Option<Written>,
    pub remote_user: Option<Written>,
    /// One mapping, or a list of them, laid over one another.
    pub environment: Vec<Written>,
    pub no_log: Option<Written>,
    pub ignore_errors: Option<Written>,
    pub ignore_unreachable: Option<Written>,
    pub any_errors_fatal: Option<Written>,
    pub run_once: Option<Written>,
    pub throttle: Option<Written>,
    pub timeout: Option<Written>,
    pub module_defaults: Vec<Written>,
    pub debugger: Option<Written>,
    pub collections: Vec<Written>,
    /// What stood around where a keyword here is a template: it counts where that gives `omit`.
    pub around: Option<Arc<Common>>,
}

/// A role as a play or another role's `dependencies` name it.
#[derive(Clone, Debug)]
pub struct RoleRef {
    pub span: Span,
    pub role: Written,
    pub common: Common,
    pub when: Vec<Written>,
    /// Keys that are no keyword: the role's parameters.
    pub params: Dict,
    pub delegate_to: Option<Written>,
}

#[derive(Clone, Debug)]
pub enum TaskEntry {
    Task(Box<Task>),
    Block(Box<Block>),
}

#[derive(Clone, Debug)]
pub struct Block {
    pub span: Span,
    pub common: Common,
    pub when: Vec<Written>,
    pub block: Vec<TaskEntry>,
    pub rescue: Vec<TaskEntry>,
    pub always: Vec<TaskEntry>,
    pub notify: Vec<Written>,
    pub delegate_to: Option<Written>,
    pub delegate_facts: Option<Written>,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub span: Span,
    pub common: Common,
    pub action: ActionRef,
    pub when: Vec<Written>,
    pub looping: Option<Loop>,
    pub loop_control: LoopControl,
    pub register: Option<Spanned<String>>,
    /// Several registered variables from one result: name to expression.
    pub register_projections: IndexMap<String, Written>,
    pub until: Vec<Written>,
    pub retries: Option<Written>,
    pub delay: Option<Written>,
    pub changed_when: Vec<Written>,
    pub failed_when: Vec<Written>,
    pub notify: Vec<Written>,
    /// Handlers only: topics it answers to.
    pub listen: Vec<Written>,
    pub delegate_to: Option<Written>,
    pub delegate_facts: Option<Written>,
    pub async_: Option<Written>,
    pub poll: Option<Written>,
    /// `apply` of a dynamic include: the keywords of a block around what it brings.
    pub apply: Option<Box<Block>>,
    /// `local_action`: runs on the control node.
    pub local: bool,
}

/// The module of a task and what it is given.
#[derive(Clone, Debug)]
pub struct ActionRef {
    /// As written: `copy`, `ansible.builtin.copy`, rarely a template.
    pub name: Written,
    /// Structured arguments, in their order; `args:` is laid under them.
    pub args: Vec<Arg>,
    /// `args: "{{ variable }}"` or `module: "{{ variable }}"`: a mapping known only at run time.
    pub args_template: Option<Written>,
    /// The text of `command: echo hi`, with what parsed as `k=v` of the module's own options taken out into `args`
    /// (only for modules with a free form; for others the text is parsed into `args` whole).
    pub free_form: Option<Written>,
}

#[derive(Clone, Debug)]
pub struct Arg {
    pub name: Spanned<String>,
    pub value: Written,
}

/// `loop: LIST`, or `with_LOOKUP: TERMS`.
#[derive(Clone, Debug)]
pub struct Loop {
    /// None for `loop`, else the lookup's name: `items`, `dict`, `fileglob`.
    pub with: Option<Spanned<String>>,
    pub terms: Written,
}

#[derive(Clone, Debug, Default)]
pub struct LoopControl {
    pub loop_var: Option<Written>,
    pub index_var: Option<Written>,
    pub label: Option<Written>,
    pub pause: Option<Written>,
    pub extended: Option<Written>,
    pub extended_allitems: Option<Written>,
    pub break_when: Vec<Written>,
}

/// A role read from disk or from the built-in set.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: String,
    pub dir: PathBuf,
    pub tasks: Vec<TaskEntry>,
    pub handlers: Vec<TaskEntry>,
    pub defaults: Dict,
    pub vars: Dict,
    pub meta: RoleMeta,
}

#[derive(Clone, Debug, Default)]
pub struct RoleMeta {
    pub allow_duplicates: bool,
    pub dependencies: Vec<RoleRef>,
    /// Entry point (`main`, …) to its specification, as `meta/argument_specs.yml` gives it.
    pub argument_specs: IndexMap<String, Value>,
    pub collections: Vec<String>,
}
