//! One execution of a task: its arguments rendered, then the module on the host, the action here, or the include.

use std::time::Duration;

use super::caller::Caller;
use super::context::ActionContext;
use super::run::{Halt, Run};
use super::scope::TaskScope;
use super::step::{End, Step};
use crate::action::args::truth as truth_of;
use crate::action::engine_side::ActionEntry;
use crate::action::module::{Become, Call, Entry, Failure};
use crate::model::event::Item;
use crate::model::outcome::{Consequence, Flow, Include, Outcome};
use crate::model::playbook::{Common, Written};
use crate::model::value::{Dict, Key, Value};
use crate::plan::libraries::Own;
use crate::plan::words::local_name;
use crate::plan::{Kind, TaskPlan};
use crate::vars::template::{Templar, TemplateError, is_whole};

/// What came of one execution.
pub struct Done {
    pub outcome: Outcome,
    pub consequences: Vec<Consequence>,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Done {
        Done { outcome, consequences: Vec::new() }
    }
}

/// Executes a task once, for one loop item or without a loop.
pub async fn execute(step: &Step<'_>, scope: &mut TaskScope, item: Option<&Item>) -> Result<Done, End> {
    match step.task.kind.clone() {
        Kind::Meta => meta(step),
        Kind::IncludeTasks => include_tasks(step, scope, item),
        Kind::IncludeRole => include_role(step, scope, item),
        Kind::Module(module) => module_step(step, scope, module, item).await,
        Kind::Action(action) => action_step(step, scope, action, item).await,
        Kind::Own(own) => own_step(step, scope, &own, item).await,
        Kind::Templated => {
            let name = render(step, &step.task.task.action.name.value, scope)?;
            match step.run.compiler.modules.kind(&name) {
                Kind::Module(module) => module_step(step, scope, module, item).await,
                Kind::Action(action) => action_step(step, scope, action, item).await,
                Kind::Own(own) => own_step(step, scope, &own, item).await,
                _ => Err(End::failed(format!("the module `{name}` is not known; `stx-upgrade doc` lists all"))),
            }
        }
    }
}

async fn module_step(
    step: &Step<'_>,
    scope: &TaskScope,
    module: &'static Entry,
    item: Option<&Item>,
) -> Result<Done, End> {
    let args = arguments(step, scope, module.names[0], module.free_form)?;
    let mut caller = Caller::new(step, scope, item.map(|i| i.index))?;
    // A preview has nothing to wait for.
    caller.pace = if caller.check { None } else { pace(step, scope)? };
    Ok(caller.call_module(module, args).await?.into())
}

/// `async` and `poll` of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds until the job is ended.
    pub limit: u64,
    /// Seconds between looks at it; 0 leaves it alone.
    pub poll: f64,
}

fn pace(step: &Step<'_>, scope: &TaskScope) -> Result<Option<Pace>, End> {
    let task = &step.task.task;
    let read = |w: Option<&Written>, default| number(&step.run.templar, w, default, scope).map_err(End::template);
    let limit = read(task.async_.as_ref(), 0.0)?;
    Ok((limit > 0.0).then_some(Pace { limit: limit as u64, poll: read(task.poll.as_ref(), 15.0)?.max(0.0) }))
}

async fn action_step(
    step: &Step<'_>,
    scope: &TaskScope,
    action: &'static ActionEntry,
    item: Option<&Item>,
) -> Result<Done, End> {
    let name = action.names[0];
    // `that` and `var` are expressions, evaluated by the action itself.
    let args = match name {
        "assert" => bare_arguments(step, scope, &["that"])?,
        "debug" => bare_arguments(step, scope, &["var"])?,
        _ => arguments(step, scope, name, action.free_form)?,
    };
    run_action(step, scope, action, args, item).await
}

/// A program of the user's: the action for all of them gets its name, its place and what the task gives.
async fn own_step(step: &Step<'_>, scope: &TaskScope, own: &Own, item: Option<&Item>) -> Result<Done, End> {
    let args = arguments(step, scope, own.name, None)?;
    let path = own.path.display().to_string();
    let given = crate::dict! {"name" => own.name, "path" => path, "args" => Value::dict(args)};
    match step.run.compiler.modules.action("_own") {
        Some(action) => run_action(step, scope, action, given, item).await,
        None => Err(End::failed("programs of the user's own cannot be run by this build")),
    }
}

async fn run_action(
    step: &Step<'_>,
    scope: &TaskScope,
    action: &'static ActionEntry,
    args: Dict,
    item: Option<&Item>,
) -> Result<Done, End> {
    let caller = Caller::new(step, scope, item.map(|i| i.index))?;
    let name = action.names[0];
    let pace = pace(step, scope)?;
    if pace.is_some() && !matches!(name, "debug" | "assert" | "fail" | "set_fact" | "_own") {
        return Err(End::failed(format!("This action ({name}) does not support async.")));
    }
    let mut context = ActionContext::new(caller, action, args.clone());
    // A program of the user's is one call, and as a module of the table it may be a job.
    if name == "_own" && !context.caller.check {
        context.caller.pace = pace;
    }
    if action.may_change && !context.caller.check {
        context.caller.start(step.run.recovery_of(action, &args)).await?;
    }
    let result = (action.run)(args, &mut context).await;
    let consequences = std::mem::take(&mut context.consequences);
    if let Some(end) = context.caller.ended.take() {
        return Err(end);
    }
    scope.set_verbose(context.verbose);
    let mut outcome = result.unwrap_or_else(Failure::into_outcome);
    // Whether a host or a group is new, the inventory knows.
    if consequences.iter().any(|c| matches!(c, Consequence::AddHost { .. } | Consequence::GroupBy { .. })) {
        outcome.changed = consequences.iter().any(|c| step.run.alters_inventory(step.host, c));
    }
    Ok(Done { outcome, consequences })
}

/// The arguments of a task, rendered: the module's defaults under `args`, under what the task gives.
pub fn arguments(step: &Step<'_>, scope: &TaskScope, module: &str, free_form: Option<&str>) -> Result<Dict, End> {
    gather(step, scope, module, free_form, &[])
}

fn bare_arguments(step: &Step<'_>, scope: &TaskScope, bare: &[&str]) -> Result<Dict, End> {
    gather(step, scope, &step.task.action(), None, bare)
}

fn gather(
    step: &Step<'_>,
    scope: &TaskScope,
    module: &str,
    free_form: Option<&str>,
    bare: &[&str],
) -> Result<Dict, End> {
    let action = &step.task.task.action;
    let mut args = Dict::new();
    for defaults in &step.task.common.module_defaults {
        let rendered = render(step, &defaults.value, scope)?;
        let modules = rendered.as_dict().into_iter().flatten();
        for (_, values) in modules.filter(|(k, _)| k.as_str().is_some_and(|k| local_name(k) == local_name(module))) {
            args.extend(values.as_dict().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    if let Some(template) = &action.args_template {
        match step.run.templar.render_or_omit(&template.value, scope).map_err(End::template)? {
            None => {}
            Some(Value::Dict(given)) => args.extend(given.iter().map(|(k, v)| (k.clone(), v.clone()))),
            Some(other) => {
                let why = format!("{}: `args` must give a mapping, and gives {}", unfinished_args(step), other.kind());
                return Err(End::failed(why));
            }
        }
    }
    if let (Some(name), Some(text)) = (free_form, &action.free_form) {
        let rendered = step.run.templar.render(&text.value, scope).map_err(|e| unfinished(step, &e))?;
        args.insert(Key::from(name), rendered);
    }
    for arg in &action.args {
        // `set_fact` and `add_host` may make a name of a variable.
        let name = match crate::model::value::has_jinja(&arg.name.value) {
            true => match render(step, &Value::written(&arg.name.value, &arg.name.span), scope)? {
                Value::Str(name) => name.to_string(),
                other => {
                    return Err(End::failed(format!(
                        "Invalid variable name '{other}' of type '{}'.",
                        other.python_type()
                    )));
                }
            },
            false => arg.name.value.clone(),
        };
        let name = name.as_str();
        // The text of an expression, or braces around one, is the action's to evaluate.
        let is_whole = matches!(&arg.value.value, Value::Template(t) if name != "that" || is_whole(&t.text));
        if bare.contains(&name) && !is_whole {
            args.insert(Key::from(name), arg.value.value.clone());
            continue;
        }
        let rendered = step.run.templar.render_or_omit(&arg.value.value, scope);
        match rendered.map_err(|e| unfinished(step, &e))? {
            Some(value) => {
                args.insert(Key::from(name), value);
            }
            None => {
                args.shift_remove(name);
            }
        }
    }
    // A variable may name the package manager.
    let open = |args: &Dict| args.get("use").is_none_or(|word| word.as_str() == Some("auto"));
    if local_name(module) == "package"
        && open(&args)
        && let Some(manager) = crate::vars::template::Scope::get(scope, "ansible_package_use")
    {
        args.insert("use".into(), render(step, &manager, scope)?);
    }
    Ok(args)
}

/// An argument that cannot be rendered, in Ansible's words.
fn unfinished(step: &Step<'_>, error: &TemplateError) -> End {
    End::Outcome(Box::new(template_failure(&unfinished_args(step), error)))
}

fn unfinished_args(step: &Step<'_>) -> String {
    let action = step.task.action();
    let full = if action.contains('.') { action } else { format!("ansible.builtin.{action}") };
    format!("Task failed: Finalization of task args for '{full}' failed")
}

fn render(step: &Step<'_>, value: &Value, scope: &TaskScope) -> Result<Value, End> {
    step.run.templar.render(value, scope).map_err(End::template)
}

/// What a `meta` task is to do.
pub fn meta_word(task: &TaskPlan) -> String {
    task.task.action.free_form.as_ref().map(|w| w.value.to_string().trim().to_owned()).unwrap_or_default()
}

fn meta(step: &Step<'_>) -> Result<Done, End> {
    let word = meta_word(step.task);
    let (flushed, ended) =
        (format!("triggered running handlers for {}", step.host), format!("ending play for {}", step.host));
    let (flow, msg) = match word.as_str() {
        // Ansible's words: scripts look for them.
        "flush_handlers" if step.task.handler => {
            return Err(End::Halt(Halt::Refused("flush_handlers cannot be used as a handler".into())));
        }
        "flush_handlers" => (Flow::FlushHandlers, flushed.as_str()),
        "noop" => (Flow::Noop, "noop"),
        "clear_facts" => (Flow::ClearFacts, "facts cleared"),
        "clear_host_errors" => (Flow::ClearHostErrors, "cleared host errors"),
        "end_host" => (Flow::EndHost, ended.as_str()),
        "end_play" => (Flow::EndPlay, "ending play"),
        "end_batch" => (Flow::EndBatch, "ending batch"),
        "end_role" => (Flow::EndRole, ""),
        "refresh_inventory" => (Flow::RefreshInventory, "inventory successfully refreshed"),
        "reset_connection" => (Flow::ResetConnection, "reset connection"),
        other => return Err(End::failed(format!("invalid meta action requested: {other}"))),
    };
    Ok(Done { outcome: Outcome::ok().msg(msg), consequences: vec![Consequence::Flow { flow }] })
}

fn include_tasks(step: &Step<'_>, scope: &TaskScope, item: Option<&Item>) -> Result<Done, End> {
    let Some(file) = crate::plan::compile::file_argument(&step.task.task.action) else {
        return Err(End::failed("`include_tasks` needs a file"));
    };
    let name = render(step, &file.value, scope)?.to_string();
    let Some(path) = step.run.compiler.find_tasks(&name, &step.task.inherit) else {
        // Ansible's words, and where it was looked for.
        let looked = step.task.inherit.looked().join(":");
        let reason = format!("Could not find or access '{name}' on the Ansible Controller: it is not in {looked}");
        return Err(End::not_included(reason, &file.span));
    };
    included(scope.locals(), item, path.display().to_string())
}

fn include_role(step: &Step<'_>, scope: &TaskScope, item: Option<&Item>) -> Result<Done, End> {
    let args = arguments(step, scope, "include_role", None)?;
    let Some(name) = args.get("name").or_else(|| args.get("role")) else {
        return Err(End::failed("`include_role` needs the parameter `name`"));
    };
    // A role that is not there fails this task, which a rescue may deal with.
    let action = &step.task.task.action;
    let named = action.args.iter().find(|a| matches!(a.name.value.as_str(), "name" | "role"));
    let span = named.map_or(&action.name.span, |a| &a.value.span);
    if let Err(missing) = step.run.compiler.find_role(&name.to_string(), &step.task.inherit) {
        return Err(End::not_included(missing.reason(), span));
    }
    let mut vars = scope.locals();
    // What was a template is told rendered; left out with `omit` it is nothing.
    for arg in step.task.task.action.args.iter().filter(|a| a.value.value.has_template()) {
        let name = &arg.name.value;
        let value = args.get(name.as_str()).cloned().unwrap_or(Value::Null);
        if name.ends_with("_from") && !matches!(value, Value::Str(_) | Value::Null) {
            let kind = value.kind();
            return Err(End::failed(format!("Expected a string for {name} but got {kind} instead")));
        }
        vars.insert(format!("_include_{name}").as_str().into(), value);
    }
    included(vars, item, name.to_string())
}

/// The include of one item; its variables are those of the loop and the task.
fn included(vars: Dict, item: Option<&Item>, target: String) -> Result<Done, End> {
    let include = Include { target: target.clone(), item: item.cloned(), vars };
    let outcome = Outcome::ok().with("include", target).with("include_args", Value::dict(Dict::new()));
    Ok(Done { outcome, consequences: vec![Consequence::Include { includes: vec![include] }] })
}

/// The host that a task is delegated to, if any.
pub fn delegate(templar: &Templar, task: &TaskPlan, scope: &TaskScope) -> Result<Option<String>, Box<TemplateError>> {
    let Some(written) = &task.delegate_to else { return Ok(None) };
    let name = templar.render_or_omit(&written.value, scope)?.filter(|v| !v.is_null()).map(|v| v.to_string());
    match name {
        Some(name) if name.is_empty() && !written.value.has_template() => Ok(None),
        // Ansible's words.
        Some(name) if name.trim().is_empty() => {
            Err(TemplateError::plain(format!("Empty hostname produced from delegate_to: {name:?}")))
        }
        name => Ok(name),
    }
}

/// A keyword that tasks inherit, rendered. Where it is `omit`, what stands around it counts, as if it were not written.
pub fn keyword(
    templar: &Templar,
    common: &Common,
    pick: impl Fn(&Common) -> Option<&Written>,
    scope: &TaskScope,
) -> Result<Option<Value>, Box<TemplateError>> {
    let mut common = common;
    while let Some(written) = pick(common) {
        if let Some(value) = templar.render_or_omit(&written.value, scope)? {
            return Ok(Some(value));
        }
        let Some(around) = &common.around else { break };
        common = around;
    }
    Ok(None)
}

/// As [`keyword`], for one that is true or false.
pub fn yes(
    templar: &Templar,
    common: &Common,
    pick: impl Fn(&Common) -> Option<&Written>,
    scope: &TaskScope,
) -> Result<Option<bool>, Box<TemplateError>> {
    Ok(keyword(templar, common, pick, scope)?.map(|v| truth_of(&v).unwrap_or(false)))
}

/// A keyword that is true or false.
pub fn truth(templar: &Templar, written: &Written, scope: &TaskScope) -> Result<bool, Box<TemplateError>> {
    let value = templar.render(&written.value, scope)?;
    Ok(truth_of(&value).unwrap_or(false))
}

/// Whether a task runs in check mode: its keyword, else the run's.
pub fn checks(run: &Run, task: &TaskPlan, scope: &TaskScope) -> bool {
    let said = yes(&run.templar, &task.common, |c| c.check_mode.as_ref(), scope);
    said.ok().flatten().unwrap_or(run.options.check)
}

/// A keyword that is a number.
pub fn number(
    templar: &Templar,
    written: Option<&Written>,
    default: f64,
    scope: &TaskScope,
) -> Result<f64, Box<TemplateError>> {
    let Some(written) = written else { return Ok(default) };
    let value = templar.render_or_omit(&written.value, scope)?;
    Ok(value.as_ref().and_then(number_of).unwrap_or(default))
}

/// A number, written or as text.
pub fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(x) => Some(*x),
        Value::Str(s) => s.trim().parse().ok(),
        _ => None,
    }
}

/// A keyword that is a text; empty counts as not given.
pub fn text(
    templar: &Templar,
    written: Option<&Written>,
    scope: &TaskScope,
) -> Result<Option<String>, Box<TemplateError>> {
    let Some(written) = written else { return Ok(None) };
    let value = templar.render_or_omit(&written.value, scope)?;
    Ok(value.filter(|v| !v.is_null()).map(|v| v.to_string()).filter(|t| !t.is_empty()))
}

/// The result of a task whose template cannot be rendered.
pub fn template_failure(what: &str, error: &TemplateError) -> Outcome {
    if let Some(why) = error.not_knowable() {
        return Outcome::not_knowable(why);
    }
    let place = error.span.as_ref().map(|s| format!("{}: ", s.place())).unwrap_or_default();
    let what = if what.is_empty() { String::new() } else { format!("{what}: ") };
    let help: String = error.help.iter().map(|h| format!("; {h}")).collect();
    Outcome::failed(format!("{what}{place}{error}{help}"))
}

/// What a task says about becoming another user: keywords first, then variables, then the command line.
pub fn becoming(step: &Step<'_>, scope: &TaskScope) -> Result<Option<Become>, Box<TemplateError>> {
    let common = &step.task.common;
    let options = &step.run.options;
    let templar = &step.run.templar;
    let var = |name: &str| scope.rendered(name);
    let wanted = match var("ansible_become")? {
        Some(value) => truth_of(&value).unwrap_or(false),
        None => yes(templar, common, |c| c.become_.as_ref(), scope)?.unwrap_or(options.become_),
    };
    if !wanted {
        return Ok(None);
    }
    type Pick = fn(&Common) -> Option<&Written>;
    let pick = |variable: &str, of: Pick, default: Option<&str>| -> Result<Option<String>, Box<TemplateError>> {
        if let Some(value) = var(variable)? {
            return Ok(Some(value.to_string()));
        }
        let said = keyword(templar, common, of, scope)?.filter(|v| !v.is_null()).map(|v| v.to_string());
        Ok(said.filter(|t| !t.is_empty()).or_else(|| default.map(str::to_owned)))
    };
    Ok(Some(Become {
        method: pick("ansible_become_method", |c| c.become_method.as_ref(), Some(&options.become_method))?
            .map_or_else(|| "sudo".into(), |m| m.strip_prefix("ansible.builtin.").unwrap_or(&m).to_owned()),
        user: pick("ansible_become_user", |c| c.become_user.as_ref(), Some(&options.become_user))?
            .filter(|user| !user.is_empty())
            .unwrap_or_else(|| "root".into()),
        exe: pick("ansible_become_exe", |c| c.become_exe.as_ref(), None)?,
        flags: pick("ansible_become_flags", |c| c.become_flags.as_ref(), None)?,
        chdir: var("ansible_sudo_chdir")?.map(|dir| dir.to_string()),
    }))
}

/// The call of a module as this task makes it.
pub fn call(
    step: &Step<'_>,
    scope: &TaskScope,
    module: &str,
    args: Dict,
    check: bool,
) -> Result<Call, Box<TemplateError>> {
    let env = environment(step, scope, module)?;
    let timeout = keyword(&step.run.templar, &step.task.common, |c| c.timeout.as_ref(), scope)?;
    let timeout = timeout.as_ref().and_then(number_of).unwrap_or(step.run.options.task_timeout as f64);
    if !(0.0..=100_000_000.0).contains(&timeout) {
        let text = format!("Timeout {timeout} is invalid, it must be between 0 and 100000000.");
        return Err(TemplateError::plain(text));
    }
    Ok(Call {
        module: module.to_owned(),
        args: Value::dict(args),
        env,
        // No deadline of its own: a day and a night, so that nothing hangs for ever.
        deadline: if timeout > 0.0 { timeout.ceil() as u64 } else { Duration::from_secs(24 * 3600).as_secs() },
        check,
        fresh: false,
        become_: becoming(step, scope)?,
        job: None,
    })
}

/// The environment of a task: the layers of what stands around it, and its own.
fn environment(step: &Step<'_>, scope: &TaskScope, module: &str) -> Result<Vec<(String, String)>, Box<TemplateError>> {
    let templar = &step.run.templar;
    let mut env: Vec<(String, String)> = Vec::new();
    let mut put = |name: &Key, value: String| {
        env.retain(|(n, _)| *n != name.to_string());
        env.push((name.to_string(), value));
    };
    // Variables that need facts cannot be had while these are gathered, and are left out then.
    let unknown = |e: &TemplateError| module == "setup" && ["ansible_env", "env"].iter().any(|n| e.message.contains(n));
    for written in &step.task.common.environment {
        if let Value::Dict(dict) = &written.value {
            for (k, v) in dict.iter() {
                match templar.render_or_omit(v, scope) {
                    Ok(Some(v)) => put(k, v.to_string()),
                    Ok(None) => {}
                    Err(e) if unknown(&e) => {}
                    Err(e) => return Err(e),
                }
            }
            continue;
        }
        // `omit` leaves one layer out.
        let rendered = match templar.render_or_omit(&written.value, scope) {
            Err(e) if unknown(&e) => None,
            other => other?,
        };
        for part in rendered.map(as_list).unwrap_or_default() {
            part.as_dict().into_iter().flatten().for_each(|(k, v)| put(k, v.to_string()));
        }
    }
    Ok(env)
}

fn as_list(value: Value) -> Vec<Value> {
    match value {
        Value::List(list) => list.to_vec(),
        other => vec![other],
    }
}
