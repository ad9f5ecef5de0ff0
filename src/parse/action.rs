//! Which module a task runs and with what, in every form in which Ansible lets that be written.

use indexmap::IndexMap;

use super::keys::{Context, TASK, first_line};
use super::kv;
use super::words::ModuleWords;
use super::yaml::{Kind, Node};
use crate::model::mistake::{Mistake, nearest};
use crate::model::playbook::{ActionRef, Arg, Written};
use crate::model::source::{Span, Spanned};
use crate::model::value::{Value, has_jinja};

/// Options that the free text of `command` and its like may hold; every other `k=v` is part of the command.
const COMMAND_OPTIONS: &[&str] =
    &["creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends"];

/// What a task's keys say about its action.
pub(super) struct Found {
    pub action: ActionRef,
    /// It was a `local_action`.
    pub local: bool,
    /// The module's short name; empty where only the run can know it.
    pub short: String,
}

/// A candidate: the key that names a module or is `action` or `local_action`.
pub(super) struct Candidate<'n> {
    pub key: Spanned<String>,
    pub node: &'n Node,
}

/// Finds the action among the keys of a task that are no keywords. `span` is the task's.
pub(super) fn find(
    cx: &mut Context,
    span: &Span,
    candidates: Vec<Candidate>,
    args: Option<&Node>,
    keywords: &[&[&str]],
) -> Option<Found> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let name = candidate.key.value.as_str();
        if matches!(name, "action" | "local_action") || cx.words.module(name).is_some() {
            known.push(candidate);
        } else {
            unknown.push(candidate);
        }
    }
    let mut known = known.into_iter();
    let Some(first) = known.next() else {
        no_module(cx, span, &unknown, keywords);
        return None;
    };
    for other in unknown {
        cx.unknown(&other.key, "a task", keywords);
    }
    for other in known {
        let line = first.key.span.place().line;
        cx.mistake(
            Mistake::at(&other.key.span, format!("a task runs one module, and `{}` is a second one", other.key.value))
                .label(format!("`{}` stands on line {line}", first.key.value))
                .help("make two tasks of it: start the second with `- name: …`"),
        );
    }
    let mut found = match first.key.value.as_str() {
        "action" | "local_action" => old_style(cx, &first)?,
        _ => new_style(cx, first.key, first.node),
    };
    if let Some(args) = args {
        under(cx, &mut found.action, args);
    }
    Some(found)
}

fn no_module(cx: &mut Context, span: &Span, unknown: &[Candidate], keywords: &[&[&str]]) {
    let words = cx.words;
    match unknown {
        [] => cx.mistake(
            Mistake::at(&first_line(span), "this task runs no module")
                .help("add one: `command: …`, `copy: …`; `stx-upgrade doc` lists them"),
        ),
        [Candidate { key, .. }, ..] if key.value == "include" => cx.mistake(
            Mistake::at(&key.span, "`include` was removed from Ansible")
                .label("use `include_tasks`, or `import_tasks`")
                .help("`import_tasks` is read before the run, `include_tasks` when its turn comes"),
        ),
        several => {
            let modules = words.module_names();
            // A misspelt keyword beside an unknown module: the keywords are told apart by being near one.
            let is_keyword = |c: &&Candidate| {
                let near = nearest(&c.key.value, keywords.iter().flat_map(|k| k.iter().copied()));
                near.is_some() && nearest(&c.key.value, modules.iter().copied()).is_none()
            };
            let (typos, rest): (Vec<_>, Vec<_>) = several.iter().partition(is_keyword);
            for typo in &typos {
                cx.unknown(&typo.key, "a task", keywords);
            }
            for Candidate { key, .. } in rest {
                unknown_module(cx, key);
            }
        }
    }
}

fn unknown_module(cx: &mut Context, name: &Spanned<String>) {
    let modules = cx.words.module_names();
    let mut mistake = Mistake::at(&name.span, format!("there is no module `{}` here", name.value));
    if let Some(why) = cx.words.why_not(&name.value) {
        mistake = mistake.help(why);
    } else {
        mistake = mistake.suggest(&name.value, modules.iter().copied().chain(TASK.iter().copied()));
        mistake = mistake.help("`stx-upgrade doc` lists the modules");
    }
    cx.mistake(mistake);
}

fn empty(name: Written) -> ActionRef {
    ActionRef { name, args: Vec::new(), args_template: None, free_form: None }
}

/// `copy: {…}`, `copy: src=a dest=b`, `command: echo hi`, `ping:`.
fn new_style(cx: &mut Context, key: Spanned<String>, node: &Node) -> Found {
    let words = cx.words;
    let module = words.module(&key.value).unwrap_or_default();
    let mut action = empty(Spanned::new(Value::str(&key.value), key.span.clone()));
    match &node.kind {
        Kind::Map(_) => action.args = arguments(cx, node, &key.value),
        Kind::Seq(_) => {
            let kind = node.kind_name();
            let mistake =
                Mistake::at(&first_line(&node.span), format!("`{}` takes a mapping, this is {kind}", key.value))
                    .label("write `parameter: value`, one per line, without `-`");
            cx.mistake(mistake);
        }
        Kind::Scalar { .. } if node.is_null() => {}
        Kind::Scalar { text, .. } if node.tag.is_none() => {
            fill(cx, &mut action, &module, &key.value, text, &node.content_span());
        }
        // `!unsafe` and `!vault` texts are taken as they are.
        Kind::Scalar { .. } => {
            let written = cx.written(node);
            match module.free_form {
                Some(_) => action.free_form = Some(written),
                None => cx.wrong(&key.value, node, "a mapping"),
            }
        }
    }
    Found { action, local: false, short: module.short.to_owned() }
}

/// `action: copy src=a`, `local_action: {module: copy, src: a}`.
fn old_style(cx: &mut Context, candidate: &Candidate) -> Option<Found> {
    let key = &candidate.key.value;
    let local = key == "local_action";
    let (text, span, args) = match &candidate.node.kind {
        Kind::Scalar { text, .. } if !candidate.node.is_null() => (text, candidate.node.content_span(), Vec::new()),
        Kind::Map(pairs) => {
            let Some((_, module)) = pairs.iter().find(|(k, _)| k.text() == Some("module")) else {
                cx.mistake(
                    Mistake::at(&candidate.key.span, format!("`{key}` does not say which module"))
                        .label("add `module: NAME`"),
                );
                return None;
            };
            let Some(text) = module.text() else {
                cx.wrong("module", module, "a module's name");
                return None;
            };
            let mut args = arguments(cx, candidate.node, key);
            args.retain(|a| a.name.value != "module");
            (&Box::<str>::from(text), module.content_span(), args)
        }
        _ => {
            cx.wrong(key, candidate.node, "a module's name with its arguments");
            return None;
        }
    };
    let Some(words) = kv::split(text) else {
        cx.mistake(Mistake::at(&span, "a quote or brace in this text is never closed"));
        return None;
    };
    let first = words.first()?;
    let name = text[first.start..first.end].trim();
    let name_span = span.decoded_part(text, first.start, first.end);
    let table = cx.words;
    let module = match table.module(name) {
        Some(module) => module,
        // A templated name is known only at run time; its text then is split as that of any module.
        None if has_jinja(name) => ModuleWords::default(),
        None => {
            unknown_module(cx, &Spanned::new(name.to_owned(), name_span));
            return None;
        }
    };
    let mut action = empty(Spanned::new(Value::written(name, &name_span), name_span.clone()));
    action.args = args;
    if let Some(second) = words.get(1) {
        let rest_span = span.decoded_part(text, second.start, text.len());
        fill(cx, &mut action, &module, name, &text[second.start..], &rest_span);
    }
    // `args` inside of the mapping form is one more way to write them.
    if let Some(at) = action.args.iter().position(|a| a.name.value == "args") {
        let inner = action.args.remove(at);
        if let Value::Dict(dict) = &inner.value.value {
            for (name, value) in dict.iter() {
                set(
                    &mut action.args,
                    Arg {
                        name: Spanned::new(name.to_string(), inner.value.span.clone()),
                        value: Spanned::new(value.clone(), inner.value.span.clone()),
                    },
                );
            }
        }
    }
    Some(Found { action, local, short: module.short.to_owned() })
}

/// The text of an action: free text, `k=v` pairs, or a template that will be a mapping.
fn fill(cx: &mut Context, action: &mut ActionRef, module: &ModuleWords, name: &str, text: &str, span: &Span) {
    if text.trim().is_empty() {
        return;
    }
    if module.free_form.is_none() && is_whole_template(text) {
        action.args_template = Some(Spanned::new(Value::written(text, span), span.clone()));
        return;
    }
    let command = matches!(module.short, "command" | "shell" | "raw" | "script");
    let takes = |key: &str| !command || COMMAND_OPTIONS.contains(&key);
    let found = match kv::pairs(text, span, takes) {
        Ok(found) => found,
        Err(mistake) => return cx.mistake(mistake),
    };
    for (key, value) in found.pairs {
        let written = Spanned::new(Value::written(&value.value, &value.span), value.span);
        set(&mut action.args, Arg { name: key, value: written });
    }
    if let Some(rest) = found.rest {
        match rest {
            // Ansible too leaves it to the run to refuse these, and playbooks count on that.
            rest if module.free_form.is_some() || matches!(module.short, "add_host" | "group_by" | "set_fact") => {
                action.free_form = Some(Spanned::new(Value::written(&rest.value, &rest.span), rest.span));
            }
            rest if is_whole_template(&rest.value) => {
                action.args_template = Some(Spanned::new(Value::written(rest.value.trim(), &rest.span), rest.span));
            }
            rest => cx.mistake(
                Mistake::at(&rest.span, format!("`{name}` takes no free text"))
                    .label("not `parameter=value`")
                    .help("write the arguments as a mapping, one `parameter: value` per line"),
            ),
        }
    }
}

/// Whether a text is one `{{ expression }}` and nothing else.
fn is_whole_template(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// The parameters of a mapping.
fn arguments(cx: &mut Context, node: &Node, what: &str) -> Vec<Arg> {
    let mut args = Vec::new();
    let Kind::Map(pairs) = &node.kind else { return args };
    for (key, value) in pairs {
        let Some(name) = key.text() else { continue };
        if name.starts_with("_ansible_") {
            cx.mistake(
                Mistake::at(&key.span, format!("`{name}` cannot be a parameter of `{what}`"))
                    .label("the prefix '_ansible_' is reserved for internal use only."),
            );
            continue;
        }
        let value = cx.written(value);
        args.push(Arg { name: Spanned::new(name.to_owned(), key.content_span()), value });
    }
    args
}

/// Sets an argument, in the place of an earlier one of that name.
fn set(args: &mut Vec<Arg>, arg: Arg) {
    match args.iter_mut().find(|a| a.name.value == arg.name.value) {
        Some(old) => *old = arg,
        None => args.push(arg),
    }
}

/// Lays the task's `args:` under what its action says.
fn under(cx: &mut Context, action: &mut ActionRef, node: &Node) {
    match &node.kind {
        Kind::Map(_) => {
            let mut all: IndexMap<String, Arg> =
                arguments(cx, node, "args").into_iter().map(|a| (a.name.value.clone(), a)).collect();
            for arg in action.args.drain(..) {
                all.insert(arg.name.value.clone(), arg);
            }
            action.args = all.into_values().collect();
        }
        Kind::Scalar { text, .. } if is_whole_template(text) => action.args_template = Some(cx.written(node)),
        _ if node.is_null() => {}
        _ => cx.wrong("args", node, "a mapping, or a template that gives one"),
    }
}
