//! Playbooks: files of plays and of imports of other playbooks.

use std::path::Path;

use super::document;
use super::files::Files;
use super::keys::{COMMON, Context, PLAY, first_line};
use super::kv;
use super::role;
use super::tasks::{self, Entries};
use super::vault::Vault;
use super::words::Words;
use super::yaml::{Kind, Node, string_of};
use crate::model::mistake::{Mistake, nearest};
use crate::model::playbook::{Common, ImportPlaybook, Play, PlayEntry, Playbook, VarsPrompt, Written};
use crate::model::source::Spanned;
use crate::model::value::{Key, Value, has_jinja};

const IMPORT: &[&str] = &["import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook"];
const VARS_PROMPT: &[&str] =
    &["confirm", "default", "encrypt", "name", "private", "prompt", "salt", "salt_size", "unsafe"];

/// Reads a playbook; playbooks that it imports are not followed. None if the file cannot be read at all; every mistake
/// goes to `mistakes`.
pub fn load(
    files: &dyn Files,
    path: &Path,
    words: &dyn Words,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Option<Playbook> {
    let document = document::load(files, path, vault, mistakes)?;
    let mut cx = Context { words, vault, mistakes };
    let entries = match &document.root {
        Some(Node { kind: Kind::Seq(items), .. }) if !items.is_empty() => plays(&mut cx, items),
        Some(Node { kind: Kind::Seq(_), span, .. }) => {
            cx.mistake(Mistake::at(span, "A playbook must contain at least one play"));
            Vec::new()
        }
        Some(root) if !root.is_null() => {
            let kind = root.kind_name();
            let mut mistake =
                Mistake::at(&first_line(&root.span), format!("a playbook must be a list of plays, this is {kind}"));
            if root.as_map().is_some_and(|p| p.iter().any(|(k, _)| k.text() == Some("hosts"))) {
                mistake = mistake.label("start the play with `- `");
            }
            cx.mistake(mistake);
            Vec::new()
        }
        _ => {
            let name = &document.source.name;
            cx.mistake(
                Mistake::plain(format!("{name} is empty")).help("a playbook holds at least one play: `- hosts: …`"),
            );
            Vec::new()
        }
    };
    let dir = path.parent().map(Path::to_owned).unwrap_or_default();
    Some(Playbook { source: document.source, dir, entries })
}

fn plays(cx: &mut Context, items: &[Node]) -> Vec<PlayEntry> {
    let mut found = Vec::new();
    let mut tasks = false;
    for item in items {
        match task_key(cx, item) {
            Some(key) if !tasks => {
                // Said once: a file of tasks is one mistake, not one per task.
                tasks = true;
                let name = key.text().unwrap_or("");
                cx.mistake(
                    // Ansible's words: scripts look for them.
                    Mistake::at(&key.span, format!("'{name}' is not a valid attribute for a Play"))
                        .label("this is a task, and a playbook holds plays")
                        .help("put tasks under the `tasks:` of a play, or read this file with `include_tasks`"),
                );
            }
            Some(_) => {}
            None => found.extend(entry(cx, item)),
        }
    }
    found
}

/// The key that shows a mapping to be a task and no play.
fn task_key<'n>(cx: &Context, node: &'n Node) -> Option<&'n Node> {
    let pairs = node.as_map()?;
    let is = |k: &Node, name: &str| k.text() == Some(name);
    if pairs.iter().any(|(k, _)| is(k, "hosts") || k.text().is_some_and(|k| IMPORT.contains(&k))) {
        return None;
    }
    let module = |k: &str| !COMMON.contains(&k) && !PLAY.contains(&k) && cx.words.module(k).is_some();
    pairs.iter().map(|(k, _)| k).find(|k| is(k, "block") || is(k, "action") || k.text().is_some_and(module))
}

fn entry(cx: &mut Context, node: &Node) -> Option<PlayEntry> {
    let Some(pairs) = node.as_map() else {
        let kind = node.kind_name();
        cx.mistake(Mistake::at(&first_line(&node.span), format!("a play must be a mapping, this is {kind}")));
        return None;
    };
    if let Some((key, _)) = pairs.iter().find(|(k, _)| k.text() == Some("include")) {
        cx.mistake(
            Mistake::at(&key.span, "`include` of playbooks was removed from Ansible").label("use `import_playbook`"),
        );
        return None;
    }
    if pairs.iter().any(|(k, _)| k.text().is_some_and(|k| IMPORT.contains(&k))) {
        return import(cx, node).map(|i| PlayEntry::Import(Box::new(i)));
    }
    play(cx, node).map(|p| PlayEntry::Play(Box::new(p)))
}

fn import(cx: &mut Context, node: &Node) -> Option<ImportPlaybook> {
    let mut common = Common::default();
    let mut when = Vec::new();
    let mut file: Option<Written> = None;
    let mut params: Vec<(Spanned<String>, Written)> = Vec::new();
    for (key, value) in cx.pairs(node, "`import_playbook`") {
        let name = key.value.as_str();
        match name {
            _ if IMPORT.contains(&name) => match value.text().filter(|t| !t.is_empty()) {
                Some(text) => (file, params) = imported(cx, value, text),
                None => cx.wrong(name, value, "the path of a playbook"),
            },
            "when" => when = cx.conditions(name, value),
            _ if cx.common(name, value, "`import_playbook`", &mut common) => {}
            _ if PLAY.contains(&name) => cx.mistake(
                Mistake::at(&key.span, format!("`import_playbook` takes no `{name}`"))
                    .label("write it at the plays of that playbook"),
            ),
            _ => cx.unknown(&key, "`import_playbook`", &[COMMON, &["import_playbook", "when"]]),
        }
    }
    for (name, value) in params {
        if name.value == "tags" {
            let tags = value.value.as_str().unwrap_or("").split(',').map(str::trim);
            common.tags.extend(tags.map(|t| Spanned::new(Value::str(t), value.span.clone())));
        } else if cx.variable_name(&name.value, &name.span, true) {
            common.vars.insert(Key::from(name.value), value.value);
        }
    }
    Some(ImportPlaybook { span: node.span.clone(), file: file?, common, when })
}

/// The file, and the variables of the old `file k=v` form.
fn imported(cx: &mut Context, node: &Node, text: &str) -> (Option<Written>, Vec<(Spanned<String>, Written)>) {
    let whole = cx.written(node);
    if has_jinja(text) && !text.contains('=') || !text.contains([' ', '\n']) {
        return (Some(whole), Vec::new());
    }
    match kv::pairs(text, &node.content_span(), super::keys::is_variable_name) {
        Ok(found) if !found.pairs.is_empty() => {
            let written = |s: Spanned<String>| Spanned::new(Value::written(&s.value, &s.span), s.span);
            let params = found.pairs.into_iter().map(|(k, v)| (k, written(v))).collect();
            let file = found.rest.map(|r| written(Spanned::new(r.value.trim().to_owned(), r.span)));
            (file, params)
        }
        _ => (Some(whole), Vec::new()),
    }
}

fn play(cx: &mut Context, node: &Node) -> Option<Play> {
    let mut hosts = None;
    let mut play = Play {
        span: node.span.clone(),
        common: Common::default(),
        hosts: Spanned::new(Value::Null, node.span.clone()),
        gather_facts: None,
        gather_subset: None,
        gather_timeout: None,
        fact_path: None,
        vars_files: Vec::new(),
        vars_prompt: Vec::new(),
        roles: Vec::new(),
        pre_tasks: Vec::new(),
        tasks: Vec::new(),
        post_tasks: Vec::new(),
        handlers: Vec::new(),
        serial: Vec::new(),
        strategy: None,
        order: None,
        max_fail_percentage: None,
        force_handlers: None,
    };
    if let Some(pairs) = node.as_map() {
        let key = |name: &str| pairs.iter().map(|(k, _)| k).find(|k| k.text() == Some(name));
        if let (Some(user), Some(_)) = (key("user"), key("remote_user")) {
            let said = "both 'user' and 'remote_user' are set for this play.";
            cx.mistake(Mistake::at(&user.span, said).label("the old name: take it out"));
        }
    }
    let mut named_hosts = false;
    for (key, value) in cx.pairs(node, "a play") {
        let name = key.value.as_str();
        match name {
            "hosts" => {
                named_hosts = true;
                hosts = read_hosts(cx, value);
            }
            "gather_facts" => play.gather_facts = cx.boolean(name, value),
            "gather_subset" => play.gather_subset = cx.optional(value),
            "gather_timeout" => play.gather_timeout = cx.integer(name, value),
            "fact_path" => play.fact_path = cx.scalar(name, value),
            "vars_files" => play.vars_files = cx.list(value),
            "vars_prompt" => play.vars_prompt = prompts(cx, value),
            "roles" => play.roles = role::references(cx, value, "`roles`"),
            "pre_tasks" => play.pre_tasks = tasks::list(cx, value, Entries::Tasks, "`pre_tasks`"),
            "tasks" => play.tasks = tasks::list(cx, value, Entries::Tasks, "`tasks`"),
            "post_tasks" => play.post_tasks = tasks::list(cx, value, Entries::Tasks, "`post_tasks`"),
            "handlers" => play.handlers = tasks::list(cx, value, Entries::Handlers, "`handlers`"),
            "serial" => play.serial = cx.texts(name, value),
            "strategy" => play.strategy = cx.scalar(name, value),
            "order" => play.order = cx.scalar(name, value),
            "max_fail_percentage" => play.max_fail_percentage = cx.number(name, value),
            "force_handlers" => play.force_handlers = cx.boolean(name, value),
            // The old name of `remote_user`, which plays still take.
            "user" => play.common.remote_user = cx.scalar(name, value),
            _ if cx.common(name, value, "a play", &mut play.common) => {}
            "when" | "notify" | "delegate_to" | "register" | "loop" => cx.mistake(
                Mistake::at(&key.span, format!("a play takes no `{name}`"))
                    .label("write it at its tasks, or at a block around them"),
            ),
            _ if cx.words.module(name).is_some() => cx.mistake(
                // Ansible's words: scripts look for them.
                Mistake::at(&key.span, format!("'{name}' is not a valid attribute for a Play: it is a module"))
                    .help("write it under `tasks:`, as a list item: this may be a task whose indentation is wrong"),
            ),
            _ => {
                // One mistake, not two: `host` is meant to say on which hosts.
                named_hosts |= nearest(name, PLAY.iter().copied()) == Some("hosts");
                cx.unknown(&key, "a play", &[COMMON, PLAY]);
            }
        }
    }
    if !named_hosts {
        cx.mistake(
            Mistake::at(&first_line(&node.span), "this play does not say on which hosts it runs")
                .label("add `hosts: …`"),
        );
    }
    play.hosts = hosts?;
    Some(play)
}

fn read_hosts(cx: &mut Context, node: &Node) -> Option<Written> {
    let items = match &node.kind {
        Kind::Seq(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for item in items {
        match &item.kind {
            Kind::Scalar { text, .. } if !item.is_null() && !text.trim().is_empty() => {}
            Kind::Scalar { .. } => {
                cx.mistake(
                    Mistake::at(&item.span, "Hosts list cannot be empty. Please check your playbook")
                        .label("name a group, a host or `all`"),
                );
                return None;
            }
            _ => {
                cx.wrong("hosts", item, "a pattern, or a list of patterns");
                return None;
            }
        }
    }
    if items.is_empty() {
        cx.mistake(
            Mistake::at(&node.span, "Hosts list cannot be empty. Please check your playbook")
                .label("name a group, a host or `all`"),
        );
        return None;
    }
    let mut written = cx.written(node);
    // A host name that YAML takes for a number or date is meant as it stands.
    if let (Value::Int(_) | Value::Float(_) | Value::Bool(_), Some(text)) = (&written.value, node.text()) {
        written.value = Value::str(text);
    }
    Some(written)
}

fn prompts(cx: &mut Context, node: &Node) -> Vec<VarsPrompt> {
    let items = match &node.kind {
        Kind::Seq(items) => items.as_slice(),
        _ if node.is_null() => &[],
        _ => std::slice::from_ref(node),
    };
    items.iter().filter_map(|n| prompt(cx, n)).collect()
}

fn prompt(cx: &mut Context, node: &Node) -> Option<VarsPrompt> {
    let mut name = None;
    let (mut prompt, mut default, mut encrypt, mut salt, mut salt_size) = (None, None, None, None, None);
    let (mut private, mut confirm, mut unsafe_) = (true, false, false);
    for (key, value) in cx.pairs(node, "an entry of `vars_prompt`") {
        let word = key.value.as_str();
        let flag = |cx: &mut Context| {
            cx.boolean(word, value).is_some_and(|w| match w.value {
                Value::Bool(b) => b,
                other => matches!(other.to_string().to_lowercase().as_str(), "1" | "y" | "yes" | "on" | "true" | "t"),
            })
        };
        match word {
            "name" => name = string_of(value).filter(|n| cx.variable_name(&n.value, &n.span, true)),
            "prompt" => prompt = cx.scalar(word, value),
            "default" => default = cx.optional(value),
            "private" => private = flag(cx),
            "confirm" => confirm = flag(cx),
            "encrypt" => encrypt = cx.scalar(word, value),
            "salt" => salt = cx.scalar(word, value),
            "salt_size" => salt_size = cx.integer(word, value),
            "unsafe" => unsafe_ = flag(cx),
            _ => {
                let said = format!("Invalid vars_prompt data structure, found unsupported key '{word}'");
                cx.mistake(Mistake::at(&key.span, said).suggest(word, VARS_PROMPT.iter().copied()));
            }
        }
    }
    let Some(name) = name else {
        if !node.as_map().is_some_and(|p| p.iter().any(|(k, _)| k.text() == Some("name"))) {
            cx.mistake(
                Mistake::at(&first_line(&node.span), "Invalid vars_prompt data structure, missing 'name' key")
                    .label("add `name: …`"),
            );
        }
        return None;
    };
    let name = name.value;
    Some(VarsPrompt {
        span: node.span.clone(),
        name,
        prompt,
        default,
        private,
        confirm,
        encrypt,
        salt,
        salt_size,
        unsafe_,
    })
}
