//! Lists of tasks, handlers and blocks.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::action::{self, Candidate};
use super::document;
use super::files::Files;
use super::keys::{BLOCK, COMMON, Context, TASK, first_line};
use super::vault::Vault;
use super::words::Words;
use super::yaml::{Kind, Node, string_of};
use crate::model::mistake::Mistake;
use crate::model::playbook::{ActionRef, Block, Common, Loop, LoopControl, Task, TaskEntry, Written};
use crate::model::source::{Source, Spanned};

/// What a list of tasks is for: handlers listen, and cannot be blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    Tasks,
    Handlers,
    /// What a handler includes when it runs: it may be blocks again.
    OfHandler,
}

/// Keywords of handlers alone.
const HANDLER: &[&str] = &["listen"];
/// Keywords of `loop_control`.
const LOOP_CONTROL: &[&str] =
    &["break_when", "extended", "extended_allitems", "index_var", "label", "loop_var", "pause"];
/// What `include_tasks` and `include_role` take of a task's keywords; the rest belongs to the tasks included.
const INCLUDE: &[&str] = &[
    "action",
    "args",
    "collections",
    "debugger",
    "ignore_errors",
    "loop",
    "loop_control",
    "name",
    "no_log",
    "register",
    "run_once",
    "tags",
    "timeout",
    "vars",
    "when",
];

/// A file of tasks or handlers, read.
#[derive(Clone, Debug)]
pub struct TaskFile {
    pub source: Arc<Source>,
    pub entries: Vec<TaskEntry>,
}

/// Reads a file of tasks or handlers; an empty file holds none. None if it cannot be read; every mistake goes to
/// `mistakes`.
pub fn load_file(
    files: &dyn Files,
    path: &Path,
    kind: Entries,
    words: &dyn Words,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Option<TaskFile> {
    let document = document::load(files, path, vault, mistakes)?;
    let mut cx = Context { words, vault, mistakes };
    let entries = match &document.root {
        Some(root) if !root.is_null() => list(&mut cx, root, kind, "a file of tasks"),
        _ => Vec::new(),
    };
    Some(TaskFile { source: document.source, entries })
}

/// Reads a list of tasks and blocks. `what` names the place for messages.
pub(super) fn list(cx: &mut Context, node: &Node, kind: Entries, what: &str) -> Vec<TaskEntry> {
    match &node.kind {
        Kind::Seq(items) => items.iter().filter_map(|n| entry(cx, n, kind)).collect(),
        _ if node.is_null() => Vec::new(),
        _ => {
            let kind = node.kind_name();
            // Of a play's sections in Ansible's words: scripts look for them.
            let said = match (what.trim_matches('`'), node.text()) {
                (section @ ("tasks" | "pre_tasks" | "post_tasks" | "handlers"), Some(text)) => format!(
                    "A malformed block was encountered while loading {section}: {text} should be a list or None"
                ),
                _ => format!("{what} must be a list of tasks, this is {kind}"),
            };
            let mut mistake = Mistake::at(&first_line(&node.span), said);
            if node.as_map().is_some_and(|pairs| pairs.iter().any(|(k, _)| k.text() == Some("hosts"))) {
                mistake = mistake.help("this looks like a play: plays are imported with `import_playbook`");
            } else if node.as_map().is_some() {
                mistake = mistake.label("start each task with `- `");
            }
            cx.mistake(mistake);
            Vec::new()
        }
    }
}

fn entry(cx: &mut Context, node: &Node, kind: Entries) -> Option<TaskEntry> {
    let Some(pairs) = node.as_map() else {
        let found = node.kind_name();
        let mut mistake = Mistake::at(&first_line(&node.span), format!("a task must be a mapping, this is {found}"));
        match node.text() {
            Some(name) if cx.words.module(name).is_some() => mistake = mistake.label(format!("write `{name}:`")),
            None if node.is_null() => mistake = mistake.label("an empty item: remove this `-`"),
            _ => {}
        }
        cx.mistake(mistake);
        return None;
    };
    if let Some((key, _)) = pairs.iter().find(|(k, _)| k.text() == Some("block")) {
        if kind == Entries::Handlers {
            cx.mistake(
                Mistake::at(&key.span, "Using a block as a handler is not supported.")
                    .help("give its tasks the same `listen`, or notify a handler that includes them"),
            );
            return None;
        }
        return Some(TaskEntry::Block(Box::new(block(cx, node, kind))));
    }
    if let Some((key, _)) = pairs.iter().find(|(k, _)| k.text() == Some("hosts") && cx.words.module("hosts").is_none())
    {
        cx.mistake(
            Mistake::at(&key.span, "this is a play, and tasks are expected here")
                .help("plays are read with `import_playbook`, from a playbook"),
        );
        return None;
    }
    task(cx, node, kind).map(|t| TaskEntry::Task(Box::new(t)))
}

fn block(cx: &mut Context, node: &Node, kind: Entries) -> Block {
    // As with Ansible, a block that a handler includes holds handlers, and so no block.
    let inside = if kind == Entries::Tasks { Entries::Tasks } else { Entries::Handlers };
    let mut block = Block {
        span: node.span.clone(),
        common: Common::default(),
        when: Vec::new(),
        block: Vec::new(),
        rescue: Vec::new(),
        always: Vec::new(),
        notify: Vec::new(),
        delegate_to: None,
        delegate_facts: None,
    };
    for (key, value) in cx.pairs(node, "a block") {
        let name = key.value.as_str();
        match name {
            "block" => block.block = list(cx, value, inside, "`block`"),
            "rescue" => block.rescue = list(cx, value, inside, "`rescue`"),
            "always" => block.always = list(cx, value, inside, "`always`"),
            "when" => block.when = cx.conditions(name, value),
            "notify" => block.notify = cx.texts(name, value),
            "delegate_to" => block.delegate_to = cx.scalar(name, value),
            "delegate_facts" => block.delegate_facts = cx.boolean(name, value),
            _ if cx.common(name, value, "a block", &mut block.common) => {}
            _ if TASK.contains(&name) || name.starts_with("with_") => {
                let mut mistake = Mistake::at(&key.span, format!("a block takes no `{name}`"));
                mistake = match name {
                    "loop" => mistake.help("put its tasks into a file and loop over `include_tasks`"),
                    _ if name.starts_with("with_") => {
                        mistake.help("put its tasks into a file and loop over `include_tasks`")
                    }
                    _ => mistake.label("write it at the block's tasks"),
                };
                cx.mistake(mistake);
            }
            _ if cx.words.module(name).is_some() => cx.mistake(
                Mistake::at(&key.span, format!("a block runs no module of its own, and `{name}` is one"))
                    .help("move it into the block as a task; check the indentation of the line"),
            ),
            _ => cx.unknown(&key, "a block", &[COMMON, BLOCK]),
        }
    }
    block
}

fn task(cx: &mut Context, node: &Node, kind: Entries) -> Option<Task> {
    let keywords: &[&[&str]] = if kind == Entries::Tasks { &[COMMON, TASK] } else { &[COMMON, TASK, HANDLER] };
    let pairs = cx.pairs(node, "a task");
    let mut candidates = Vec::new();
    let mut args = None;
    let mut rest = Vec::new();
    for (key, value) in pairs {
        match key.value.as_str() {
            "action" | "local_action" => candidates.push(Candidate { key, node: value }),
            "args" => args = Some(value),
            name if keywords.iter().any(|k| k.contains(&name)) || name.starts_with("with_") => rest.push((key, value)),
            _ => candidates.push(Candidate { key, node: value }),
        }
    }
    let found = action::find(cx, &node.span, candidates, args, keywords);
    let mut common = Common::default();
    let mut looping: Option<Loop> = None;
    let mut loop_control = LoopControl::default();
    let (mut register, mut register_projections) = (None, IndexMap::new());
    let (mut when, mut until, mut changed_when, mut failed_when) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut notify, mut listen) = (Vec::new(), Vec::new());
    let (mut retries, mut delay, mut async_, mut poll) = (None, None, None, None);
    let (mut delegate_to, mut delegate_facts) = (None, None);
    let short = found.as_ref().map_or("", |f| f.short.as_str());
    for (key, value) in rest {
        let name = key.value.as_str();
        include_keyword(cx, short, &key);
        match name {
            "when" => when = cx.conditions(name, value),
            "until" => until = cx.conditions(name, value),
            "changed_when" => changed_when = cx.conditions(name, value),
            "failed_when" => failed_when = cx.conditions(name, value),
            "notify" => notify = cx.texts(name, value),
            "listen" => listen = cx.texts(name, value),
            "retries" => retries = cx.integer(name, value),
            "delay" => delay = cx.number(name, value),
            "async" => async_ = cx.integer(name, value),
            "poll" => poll = cx.integer(name, value),
            "delegate_to" => delegate_to = cx.scalar(name, value),
            "delegate_facts" => delegate_facts = cx.boolean(name, value),
            "loop_control" => loop_control = read_loop_control(cx, value),
            "register" => (register, register_projections) = read_register(cx, value),
            "loop" => {
                if let Some(terms) = cx.optional(value) {
                    set_loop(cx, &mut looping, &key, Loop { with: None, terms });
                }
            }
            _ if name.starts_with("with_") => match cx.optional(value) {
                Some(terms) => {
                    let with = Spanned::new(name["with_".len()..].to_owned(), key.span.clone());
                    set_loop(cx, &mut looping, &key, Loop { with: Some(with), terms });
                }
                None => cx.mistake(Mistake::at(&key.span, format!("`{name}` has nothing to loop over"))),
            },
            _ => {
                cx.common(name, value, "a task", &mut common);
            }
        }
    }
    let mut found = found?;
    let apply = match is_include(&found.short) {
        true => applied(cx, &mut found.action, node),
        false => None,
    };
    if kind == Entries::Handlers && matches!(found.short.as_str(), "include_role" | "import_role") {
        let span = &found.action.name.span;
        cx.mistake(
            Mistake::at(span, format!("Using '{}' as a handler is not supported.", found.short))
                .help("use `include_tasks` with a file of the role, or notify the role's own handlers"),
        );
    }
    if let (Some(looping), "import_tasks" | "import_role") = (&looping, found.short.as_str()) {
        let instead = found.short.replace("import", "include");
        cx.mistake(
            Mistake::at(&looping.terms.span, format!("`{}` cannot loop", found.short))
                .label(format!("use `{instead}`"))
                .help("an import is read before the run, when loops are not known"),
        );
    }
    Some(Task {
        span: node.span.clone(),
        common,
        action: found.action,
        when,
        looping,
        loop_control,
        register,
        register_projections,
        until,
        retries,
        delay,
        changed_when,
        failed_when,
        notify,
        listen,
        delegate_to,
        delegate_facts,
        async_,
        poll,
        apply,
        local: found.local,
    })
}

/// `include_tasks` and `include_role` take only some keywords; what they are given beyond would be ignored.
fn include_keyword(cx: &mut Context, short: &str, key: &Spanned<String>) {
    if !is_include(short) || key.value.starts_with("with_") {
        return;
    }
    if !INCLUDE.contains(&key.value.as_str()) && key.value != "listen" {
        let other = short.replace("include", "import");
        cx.mistake(
            Mistake::at(&key.span, format!("`{short}` takes no `{}`", key.value))
                .help(format!("give it to the included tasks: `apply: {{{}: …}}`, or use `{other}`", key.value)),
        );
    }
}

fn is_include(name: &str) -> bool {
    matches!(name, "include_tasks" | "include_role")
}

/// Takes `apply` out of an include's arguments: keywords of a block. One that is a template stays, to be refused.
fn applied(cx: &mut Context, action: &mut ActionRef, task: &Node) -> Option<Box<Block>> {
    let at = action.args.iter().position(|a| a.name.value == "apply")?;
    let inside = |node: &Node| {
        node.as_map().into_iter().flatten().map(|(k, v)| (k.text().map(str::to_owned), v.clone())).collect::<Vec<_>>()
    };
    let below: Vec<Node> = inside(task).into_iter().map(|(_, v)| v).collect();
    let node = below.iter().flat_map(inside).find(|(k, v)| k.as_deref() == Some("apply") && v.as_map().is_some())?.1;
    action.args.remove(at);
    Some(Box::new(block(cx, &node, Entries::Tasks)))
}

fn set_loop(cx: &mut Context, looping: &mut Option<Loop>, key: &Spanned<String>, new: Loop) {
    if looping.is_some() {
        cx.mistake(
            Mistake::at(&key.span, format!("a task loops once, and `{}` is a second loop", key.value))
                .help("combine the lists with a filter: `loop: \"{{ a | product(b) }}\"`"),
        );
    } else {
        *looping = Some(new);
    }
}

fn read_loop_control(cx: &mut Context, node: &Node) -> LoopControl {
    let mut control = LoopControl::default();
    if node.is_null() {
        return control;
    }
    for (key, value) in cx.pairs(node, "`loop_control`") {
        let name = key.value.as_str();
        match name {
            "loop_var" => control.loop_var = variable(cx, name, value),
            "index_var" => control.index_var = variable(cx, name, value),
            "label" => control.label = cx.optional(value),
            "pause" => control.pause = cx.number(name, value),
            "extended" => control.extended = cx.boolean(name, value),
            "extended_allitems" => control.extended_allitems = cx.boolean(name, value),
            "break_when" => control.break_when = cx.conditions(name, value),
            _ => cx.unknown(&key, "`loop_control`", &[LOOP_CONTROL]),
        }
    }
    control
}

/// The name of a variable, or a template that gives one.
fn variable(cx: &mut Context, key: &str, node: &Node) -> Option<Written> {
    let written = cx.scalar(key, node)?;
    if let Some(name) = written.value.as_str() {
        cx.variable_name(name, &node.content_span(), true);
    }
    Some(written)
}

/// `register: name`, or several variables from one result: `register: {name: expression}`.
fn read_register(cx: &mut Context, node: &Node) -> (Option<Spanned<String>>, IndexMap<String, Written>) {
    let mut projections = IndexMap::new();
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => (None, projections),
        Kind::Scalar { .. } => {
            let name = string_of(node).filter(|n| cx.variable_name(&n.value, &n.span, node.is_string()));
            (name, projections)
        }
        Kind::Map(pairs) => {
            for (key, value) in pairs {
                if let Some(name) = string_of(key).filter(|n| cx.variable_name(&n.value, &n.span, key.is_string())) {
                    projections.insert(name.value, cx.written(value));
                }
            }
            (None, projections)
        }
        Kind::Seq(_) => {
            cx.wrong("register", node, "the name of a variable");
            (None, projections)
        }
    }
}
