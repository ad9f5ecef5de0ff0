//! Playbook and inventory to a plan, with every check that needs no host.
//!
//! A plan is a tree, not a list: blocks rescue, and what a dynamic include brings is planned by the same compiler when
//! its turn comes. Imports, roles and inheritance are resolved here; nothing is rendered that needs a host.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::action::engine_side::ActionEntry;
use crate::action::module::Entry;
use crate::model::playbook::{Common, Play, Task, Written};
use crate::model::source::Place;
use crate::model::value::Dict;

pub mod check;
pub mod compile;
pub mod identity;
mod known;
pub mod libraries;
pub mod pattern;
pub mod roles;
pub mod tags;
pub mod words;

/// What a run will do, as far as it can be known before.
#[derive(Debug, Default)]
pub struct Plan {
    pub plays: Vec<Arc<PlayPlan>>,
}

/// A play with its tasks in order: `pre_tasks`, roles, `tasks`, `post_tasks`, with the flushes of handlers between.
#[derive(Debug)]
pub struct PlayPlan {
    pub play: Play,
    /// The playbook as the user named it, and the folder that its relative names start from.
    pub playbook: String,
    /// The playbook that the user named, if this one was imported by it.
    pub root: String,
    pub dir: PathBuf,
    pub tags: Vec<String>,
    /// Variables of the imports that brought it in, the innermost last: they rank above the play's own.
    pub import_vars: Vec<Arc<Dict>>,
    pub nodes: Vec<Node>,
    pub handlers: Vec<Arc<TaskPlan>>,
    /// Every role that was brought in statically, in order: their defaults and variables are seen by the whole play.
    pub roles: Vec<Arc<RolePlan>>,
}

#[derive(Clone, Debug)]
pub enum Node {
    Task(Arc<TaskPlan>),
    Block(Arc<BlockPlan>),
    /// Notified handlers run here.
    Flush,
    /// The last task of a role lies behind.
    RoleEnd(Arc<RolePlan>),
}

/// How many steps a list of nodes takes when all goes well: no `rescue`, and no handlers.
pub fn steps(nodes: &[Node]) -> u32 {
    nodes
        .iter()
        .map(|node| match node {
            Node::Task(_) => 1,
            Node::Block(block) => steps(&block.block) + steps(&block.always),
            Node::Flush | Node::RoleEnd(_) => 0,
        })
        .sum()
}

#[derive(Debug)]
pub struct BlockPlan {
    pub block: Vec<Node>,
    pub rescue: Vec<Node>,
    pub always: Vec<Node>,
}

/// A task with all that it inherits.
#[derive(Debug)]
pub struct TaskPlan {
    /// Stable identity: its place by names, not by line; see [`identity`].
    pub id: String,
    /// Digest of what was written; a resumed run asks if it changed.
    pub fingerprint: String,
    pub place: Place,
    pub task: Task,
    /// Keywords of the task, its blocks, role and play, the nearest first.
    pub common: Common,
    /// Conditions of the blocks and roles around it, then its own.
    pub when: Vec<Written>,
    /// Variables of the play's blocks around it, outermost first, then its own.
    pub vars: Vec<Arc<Dict>>,
    /// Variables of the dynamic includes that brought it.
    pub params: Vec<Arc<Dict>>,
    pub tags: Vec<String>,
    pub role: Option<Arc<RolePlan>>,
    pub kind: Kind,
    pub handler: bool,
    /// Handlers that blocks around it notify too.
    pub notify: Vec<Written>,
    pub delegate_to: Option<Written>,
    pub delegate_facts: Option<Written>,
    /// Folders in which its files are looked for, nearest first.
    pub search: Vec<PathBuf>,
    /// The context in which what it includes is planned.
    pub inherit: Arc<compile::Inherit>,
}

/// What runs a task.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A module, on the host.
    Module(&'static Entry),
    /// An action, on the control node.
    Action(&'static ActionEntry),
    /// A program that the user brought, which an action of its own sends to the host.
    Own(Arc<libraries::Own>),
    IncludeTasks,
    IncludeRole,
    Meta,
    /// The name is a template, resolved when its turn comes.
    Templated,
}

/// A role as it is used: its variables and where it was brought in.
#[derive(Debug)]
pub struct RolePlan {
    pub name: String,
    pub dir: PathBuf,
    pub defaults: Arc<Dict>,
    pub vars: Arc<Dict>,
    /// `vars` of the entry that names it: for its own tasks, and for those of roles inside.
    pub entry_vars: Arc<Dict>,
    /// Parameters given where it is named.
    pub params: Arc<Dict>,
    /// Another role's `dependencies` brought it.
    pub dependency: bool,
    /// What it is known by to a host that has run it: the same where it is brought in again with the same parameters,
    /// conditions and tags, or by a task with the same variables and files.
    pub mark: String,
    /// Its tasks are passed over where it has run; else it may run again: `allow_duplicates`, or a task brings it.
    pub once: bool,
    /// Roles around it: what depends on it or includes it, outermost first.
    pub parents: Vec<Arc<RolePlan>>,
    /// Variables of the roles that it depends on: over those of its parents, under its own.
    pub exported: OnceLock<Dict>,
}

impl RolePlan {
    /// The collection that it is of, `NAMESPACE.NAME`.
    pub fn collection(&self) -> Option<String> {
        crate::parse::role::collection_of(&self.dir)
    }

    /// The name without the collection.
    pub fn short_name(&self) -> &str {
        let short = self.collection().and_then(|c| self.name.strip_prefix(c.as_str())?.strip_prefix('.'));
        short.unwrap_or(&self.name)
    }
}

impl TaskPlan {
    /// The role that it is a task of; handlers are none.
    pub fn task_of(&self) -> Option<&Arc<RolePlan>> {
        self.role.as_ref().filter(|_| !self.handler)
    }

    /// The name that was written, or none.
    pub fn written_name(&self) -> Option<&Written> {
        self.task.common.name.as_ref()
    }

    /// The role that an `include_role` names, as it is written.
    pub fn included_role(&self) -> Option<String> {
        let args = &self.task.action.args;
        args.iter().find(|a| matches!(a.name.value.as_str(), "name" | "role")).map(|a| a.value.value.to_string())
    }

    /// The module's name as written, without its collection where it is Ansible's own.
    pub fn action(&self) -> String {
        self.task.action.name.value.to_string()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
}

impl std::fmt::Debug for ActionEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
}
