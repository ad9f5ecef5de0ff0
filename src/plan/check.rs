//! What can be found wrong without a host: arguments, templates, handlers, files. Names of modules and keywords were
//! checked when the text was read.

use std::path::Path;

use super::compile::{Compiler, file_argument};
use super::words::local_name;
use super::{Kind, Node, PlayPlan, TaskPlan};
use crate::action::args::{self, ArgMistake, ArgSpec};
use crate::model::mistake::Mistake;
use crate::model::playbook::Written;
use crate::model::source::Span;
use crate::model::value::{Dict, Key, Value};
use crate::parse::vars_file;
use crate::vars::HASHES;
use crate::vars::template::{Above, Kind as What};

/// Checks one task: its arguments against their definition, its templates and conditions, the files it names.
pub fn task(plan: &TaskPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    refused(plan, mistakes);
    if compiler.as_ansible {
        return;
    }
    arguments(plan, compiler, mistakes);
    templates(plan, compiler, mistakes);
    files(plan, compiler, mistakes);
}

/// What Ansible has and this engine has not yet: told by name, never passed over.
fn refused(plan: &TaskPlan, mistakes: &mut Vec<Mistake>) {
    misplaced(plan, mistakes);
    let task = &plan.task;
    let mut refuse = |span: &Span, what: &str, instead: &str| {
        mistakes.push(Mistake::at(span, format!("{what} is not supported yet")).label("not known here").help(instead));
    };
    if let Some(written) = &task.common.debugger {
        refuse(&written.span, "`debugger`", "a failed run is looked into with `stx-upgrade show`, and resumed");
    }
    if matches!(plan.kind, Kind::IncludeTasks | Kind::IncludeRole) {
        for arg in task.action.args.iter().filter(|a| a.name.value == "apply") {
            refuse(&arg.name.span, "`apply` as a template", "write its keywords out");
        }
    }
    for defaults in &task.common.module_defaults {
        let groups = defaults.value.as_dict().into_iter().flatten().filter_map(|(k, _)| k.as_str());
        if let Some(group) = groups.into_iter().find(|k| k.starts_with("group/")) {
            refuse(&defaults.span, &format!("`{group}` in module_defaults"), "name the modules themselves");
        }
    }
}

/// What Ansible does not take where it stands, in its words: scripts look for them.
fn misplaced(plan: &TaskPlan, mistakes: &mut Vec<Mistake>) {
    let task = &plan.task;
    if matches!(plan.kind, Kind::IncludeRole) {
        let from = |name: &str| ["tasks_from", "vars_from", "defaults_from", "handlers_from"].contains(&name);
        for arg in task.action.args.iter().filter(|a| from(&a.name.value)) {
            if matches!(arg.value.value, Value::List(_) | Value::Dict(_)) {
                let (name, kind) = (&arg.name.value, arg.value.value.kind());
                let said = format!("Expected a string for {name} but got {kind} instead");
                mistakes.push(Mistake::at(&arg.value.span, said));
            }
        }
    }
    let word = task.action.free_form.as_ref().filter(|_| matches!(plan.kind, Kind::Meta));
    if let Some(word) = word.filter(|w| w.value.to_string().trim() == "end_role") {
        let place = match (&plan.role, plan.handler) {
            (_, true) => "a handler",
            (None, false) => "outside of a role",
            (Some(_), false) => return,
        };
        mistakes.push(Mistake::at(&word.span, format!("Cannot execute 'end_role' from {place}")));
    }
}

fn arguments(plan: &TaskPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    // Whoever is ready for a failure may want just this one: the step itself tells it then.
    if plan.inherit.rescued || plan.common.ignore_errors.is_some() || !plan.task.failed_when.is_empty() {
        return;
    }
    let action = &plan.task.action;
    let name = action.name.value.to_string();
    let Some((specs, rules, open)) = compiler.modules.definition(&name) else { return };
    let mut given = Dict::new();
    for arg in &action.args {
        given.insert(Key::from(arg.name.value.as_str()), arg.value.value.clone());
    }
    let free = compiler
        .modules
        .action(&name)
        .map_or_else(|| compiler.modules.module(&name).and_then(|m| m.free_form), |a| a.free_form);
    if let (Some(free), Some(text)) = (free, &action.free_form) {
        given.insert(Key::from(free), text.value.clone());
    }
    // A list that a template gives becomes text, as with Ansible; one that is written for a text is a mistake.
    for arg in action.args.iter().filter(|a| matches!(a.value.value, Value::List(_) | Value::Dict(_))) {
        let names = |s: &&ArgSpec| s.name == arg.name.value || s.aliases.contains(&arg.name.value.as_str());
        if specs.iter().find(names).is_some_and(|s| s.kind == "str") {
            let (n, kind, short) = (&arg.name.value, arg.value.value.kind(), local_name(&name));
            let said = format!("parameter `{n}` of module `{short}` must be a string, not {kind}");
            let help = format!("`stx-upgrade doc {short}` lists its parameters");
            mistakes.push(Mistake::at(&arg.value.span, said).help(help));
        }
    }
    // What may come from elsewhere cannot be missed here.
    let complete = action.args_template.is_none() && plan.common.module_defaults.is_empty();
    for mistake in args::check(&specs, rules, &given) {
        let span = |n: &str| {
            let arg = action.args.iter().find(|a| a.name.value == n);
            arg.map_or(&action.name.span, |a| &a.name.span).clone()
        };
        let short = local_name(&name);
        let help = format!("`stx-upgrade doc {short}` lists its parameters");
        match &mistake {
            ArgMistake::Unknown(_) if open => {}
            ArgMistake::Unknown(n) => {
                let known = specs.iter().flat_map(|s| std::iter::once(s.name).chain(s.aliases.iter().copied()));
                mistakes.push(
                    Mistake::at(&span(n), format!("unknown parameter `{n}` for module `{short}`"))
                        .suggest(n, known)
                        .help(help),
                );
            }
            ArgMistake::Missing(_) | ArgMistake::Rule(_) if !complete => {}
            ArgMistake::Missing(n) => mistakes.push(
                Mistake::at(&action.name.span, format!("module `{short}` needs the parameter `{n}`"))
                    .label("not given here")
                    .help(help),
            ),
            ArgMistake::Wrong(n, why) => {
                let value = action.args.iter().find(|a| a.name.value == *n).map(|a| a.value.span.clone());
                let at = value.unwrap_or_else(|| span(n));
                mistakes.push(Mistake::at(&at, format!("parameter `{n}` of module `{short}` {why}")).help(help));
            }
            ArgMistake::Twice(n, _) => mistakes.push(Mistake::at(&span(n), mistake.to_string()).help(help)),
            ArgMistake::Rule(_) => {
                mistakes.push(Mistake::at(&action.name.span, format!("module `{short}`: {mistake}")).help(help))
            }
        }
    }
}

fn templates(plan: &TaskPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    let task = &plan.task;
    for condition in task.when.iter().chain(&task.until).chain(&task.changed_when).chain(&task.failed_when) {
        expression(condition, compiler, mistakes);
    }
    let action = local_name(&plan.action()).to_owned();
    for arg in &task.action.args {
        let bare = matches!((action.as_str(), arg.name.value.as_str()), ("assert", "that") | ("debug", "var"));
        match bare {
            true => expression(&arg.value, compiler, mistakes),
            false => value(&arg.value.value, compiler, mistakes),
        }
    }
    let written = [
        task.common.name.as_ref(),
        task.action.free_form.as_ref(),
        task.action.args_template.as_ref(),
        task.looping.as_ref().map(|l| &l.terms),
        task.delegate_to.as_ref(),
        task.retries.as_ref(),
        task.delay.as_ref(),
    ];
    for w in written.into_iter().flatten() {
        value(&w.value, compiler, mistakes);
    }
    task.common.vars.values().for_each(|v| value(v, compiler, mistakes));
}

/// A condition: a bare expression, or a list of them.
fn expression(written: &Written, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    match &written.value {
        Value::Str(text) => mistakes.extend(compiler.templar.check(text, &written.span, What::Expression)),
        Value::List(list) => {
            for item in list.iter() {
                expression(&Written::new(item.clone(), written.span.clone()), compiler, mistakes);
            }
        }
        other => value(other, compiler, mistakes),
    }
}

fn value(v: &Value, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    match v {
        Value::Template(t) => mistakes.extend(compiler.templar.check(&t.text, &t.span, What::Text)),
        Value::List(l) => l.iter().for_each(|v| value(v, compiler, mistakes)),
        Value::Dict(d) => d.values().for_each(|v| value(v, compiler, mistakes)),
        _ => {}
    }
}

/// Files that are named plainly must be there: templates, scripts, what `copy` takes, included tasks and roles.
fn files(plan: &TaskPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    // What a run includes on its way fails the host that lacks it, when its turn comes: a rescue may deal with it.
    if !plan.inherit.params.is_empty() {
        return;
    }
    let action = local_name(&plan.action()).to_owned();
    let arg = |name: &str| plan.task.action.args.iter().find(|a| a.name.value == name).map(|a| &a.value);
    // A condition may well be there because the file is not.
    let sure = plan.when.is_empty();
    match (action.as_str(), &plan.kind) {
        ("template", _) => file(arg("src"), "templates", "template", plan, compiler, mistakes),
        ("copy", _) if arg("remote_src").is_none() => file(arg("src"), "files", "file", plan, compiler, mistakes),
        ("include_vars", _) if sure => file(arg("file"), "vars", "variables file", plan, compiler, mistakes),
        (_, Kind::IncludeTasks) if sure => {
            if let Some(written) = file_argument(&plan.task.action)
                && let Value::Str(name) = &written.value
                && compiler.find_tasks(name, &plan.inherit).is_none()
            {
                mistakes.push(super::compile::missing_tasks(&written.span, name, &plan.inherit));
            }
        }
        _ => {}
    }
}

fn file(
    written: Option<&Written>,
    kind: &str,
    what: &str,
    plan: &TaskPlan,
    compiler: &Compiler,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(written) = written else { return };
    let Value::Str(name) = &written.value else { return };
    if plan.task.looping.is_some() || name.starts_with('~') || compiler.find(kind, name, &plan.search).is_some() {
        return;
    }
    let looked: Vec<String> = plan.search.iter().map(|d| d.display().to_string()).collect();
    mistakes.push(
        Mistake::at(&written.span, format!("the {what} `{name}` was not found"))
            .label("named here")
            .help(format!("looked in {} and their `{kind}` folders", looked.join(", "))),
    );
}

impl Compiler {
    /// Where a file of a role or play lies: in the folder of its kind, then beside it, nearest first.
    pub fn find(&self, kind: &str, name: &str, search: &[std::path::PathBuf]) -> Option<std::path::PathBuf> {
        let name = crate::vars::expand_user(name);
        let path = Path::new(&name);
        if path.is_absolute() {
            return self.files.exists(path).then(|| path.to_owned());
        }
        search.iter().flat_map(|dir| [dir.join(kind).join(path), dir.join(path)]).find(|p| self.files.exists(p))
    }
}

/// Checks a play: every handler that is notified by a plain name must exist.
pub fn play(plan: &PlayPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    for written in plan.play.vars_prompt.iter().filter_map(|p| p.encrypt.as_ref()) {
        let algorithm = written.value.to_string();
        if !HASHES.contains(&algorithm.as_str()) {
            let mistake =
                Mistake::at(&written.span, format!("`{algorithm}` is no algorithm for a password's hash here"));
            mistakes.push(
                mistake.suggest(&algorithm, HASHES.iter().copied()).help(format!("there are {}", HASHES.join(", "))),
            );
        }
    }
    strategy(plan, compiler, mistakes);
    let mut names: Vec<String> = Vec::new();
    let mut open = compiler.as_ansible;
    for handler in &plan.handlers {
        match handler.written_name().map(|n| &n.value) {
            Some(Value::Template(_)) => open = true,
            Some(name) => {
                names.push(name.to_string());
                let roles = handler.role.iter().flat_map(|r| [r.name.as_str(), r.short_name()]);
                names.extend(roles.map(|role| format!("{role} : {name}")));
            }
            None => {}
        }
        for topic in &handler.task.listen {
            match &topic.value {
                Value::Template(_) => open = true,
                Value::List(l) => names.extend(l.iter().map(Value::to_string)),
                topic => names.push(topic.to_string()),
            }
        }
        // A handler that includes others may bring any name.
        open |= matches!(handler.kind, Kind::IncludeTasks | Kind::IncludeRole);
    }
    open |= brings_roles(&plan.nodes);
    if open {
        return;
    }
    let mut check = |notify: &Written| notified(&notify.value, &notify.span, &names, mistakes);
    walk(&plan.nodes, &mut |task| task.task.notify.iter().chain(&task.notify).for_each(&mut check));
}

/// The strategy of a play is settled before its hosts are: it may use what is known by then.
fn strategy(plan: &PlayPlan, compiler: &Compiler, mistakes: &mut Vec<Mistake>) {
    let play = &plan.play;
    let Some(written) = &play.strategy else { return };
    // More variables come from the keyboard.
    if !play.vars_prompt.is_empty() {
        return;
    }
    let mut own = play.common.vars.clone();
    for file in &play.vars_files {
        let path = file.value.as_str().and_then(|name| compiler.find("vars", name, std::slice::from_ref(&plan.dir)));
        // Which file it is may be known at run time only.
        let Some(path) = path else { return };
        own.extend(vars_file::vars_file(&*compiler.files, &path, &compiler.vault).unwrap_or_default());
    }
    let scope = Above { top: &compiler.extra, below: &own };
    if let Err(error) = compiler.templar.render(&written.value, &scope) {
        let mistake = Mistake::at(&written.span, format!("the `strategy` of this play cannot be known: {error}"));
        mistakes.push(mistake.help("give the variable with `-e`, or in the play's `vars`"));
    }
}

fn notified(value: &Value, span: &Span, names: &[String], mistakes: &mut Vec<Mistake>) {
    match value {
        Value::List(list) => list.iter().for_each(|v| notified(v, span, names, mistakes)),
        Value::Str(name) if !names.iter().any(|n| n == name.as_ref()) => mistakes.push(
            Mistake::at(span, format!("no handler is named `{name}` or listens to it"))
                .label("notified here")
                .suggest(name, names.iter().map(String::as_str))
                .help("handlers stand in the play's or a role's `handlers`"),
        ),
        _ => {}
    }
}

fn brings_roles(nodes: &[Node]) -> bool {
    let mut found = false;
    walk(nodes, &mut |t| found |= matches!(t.kind, Kind::IncludeRole));
    found
}

/// Every task of a tree, in order.
pub fn walk(nodes: &[Node], f: &mut dyn FnMut(&TaskPlan)) {
    for node in nodes {
        match node {
            Node::Task(task) => f(task),
            Node::Block(block) => {
                [&block.block, &block.rescue, &block.always].into_iter().for_each(|part| walk(part, f))
            }
            Node::Flush | Node::RoleEnd(_) => {}
        }
    }
}
