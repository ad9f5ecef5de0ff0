//! Dynamic includes: what a round of `include_tasks` or `include_role` brings, planned once for all hosts that include
//! the same, and in one order for all.

use std::sync::Arc;

use super::play::PlayState;
use super::run::{Halt, Run};
use super::step::Ended;
use crate::action::args::truth;
use crate::model::event::{Event, Item};
use crate::model::outcome::{Consequence, Include};
use crate::model::value::Value;
use crate::parse::tasks::Entries;
use crate::plan::compile::Inherit;
use crate::plan::identity::{Siblings, short_digest};
use crate::plan::roles::{Brought, RoleOptions};
use crate::plan::{Kind, Node, TaskPlan};

/// One include and the hosts that it is for.
pub struct Gathered {
    include: Include,
    hosts: Vec<String>,
    ordinal: u32,
    nodes: Arc<Vec<Node>>,
}

/// The lists that one host runs.
pub fn of(gathered: &[Gathered], host: &str) -> Vec<(u32, Arc<Vec<Node>>)> {
    gathered.iter().filter(|g| g.hosts.iter().any(|h| h == host)).map(|g| (g.ordinal, g.nodes.clone())).collect()
}

/// Plans what the results of a round include, in the order of items, then of hosts.
pub fn gather(
    run: &Arc<Run>,
    play: &Arc<PlayState>,
    task: &Arc<TaskPlan>,
    name: &str,
    ended: &[(String, Ended)],
) -> Result<Vec<Gathered>, Halt> {
    let mut gathered: Vec<Gathered> = Vec::new();
    for (host, end) in ended {
        for consequence in &end.consequences {
            let Consequence::Include { includes } = consequence else { continue };
            for include in includes {
                match gathered.iter_mut().find(|g| g.include == *include) {
                    Some(known) => known.hosts.push(host.clone()),
                    None => gathered.push(Gathered {
                        include: include.clone(),
                        hosts: vec![host.clone()],
                        ordinal: gathered.len() as u32,
                        nodes: Arc::new(Vec::new()),
                    }),
                }
            }
        }
    }
    let replayed = ended.iter().all(|(_, e)| e.replayed);
    for g in &mut gathered {
        g.nodes = Arc::new(plan(run, play, task, &g.include)?);
        run.out.expect(crate::plan::steps(&g.nodes));
        if !replayed {
            let mut item = g.include.item.clone();
            if let Some(item) = item.as_mut().filter(|_| hides(run, task)) {
                item.label = Item::hidden();
            }
            let event = Event::Included {
                step: super::out::step_ref(task, name, None),
                file: g.include.target.clone(),
                hosts: g.hosts.clone(),
                item,
            };
            let stamped = run.out.tell(event);
            run.record.event(stamped);
        }
    }
    Ok(gathered)
}

/// Whether what an include loops over is not to be logged. As with Ansible, a template is taken for a yes.
fn hides(run: &Run, task: &TaskPlan) -> bool {
    task.common.no_log.as_ref().map_or(run.options.no_log, |said| said.value != Value::Bool(false))
}

/// The tasks of an include. Mistakes in what it brings end the run: they are mistakes of the playbook.
fn plan(run: &Arc<Run>, play: &Arc<PlayState>, task: &Arc<TaskPlan>, include: &Include) -> Result<Vec<Node>, Halt> {
    let mut mistakes = Vec::new();
    let inherit = inside(run, task, include);
    let mut brought = Brought::default();
    let nodes = match task.kind {
        Kind::IncludeRole => {
            let (options, span) = (role_options(task, include), &task.task.action.name.span);
            run.compiler.include_role(&options, span, &inherit, &mut brought, &mut mistakes)
        }
        _ => {
            let path = std::path::Path::new(&include.target);
            let kind = if task.handler { Entries::OfHandler } else { Entries::Tasks };
            run.compiler.task_file(path, kind, &inherit, &mut brought, &mut mistakes)
        }
    };
    mistakes.retain(|m| !m.warning);
    if !mistakes.is_empty() {
        return Err(Halt::Mistakes(mistakes));
    }
    play.brought(brought, option(task, include, "public").and_then(|v| truth(&v)) == Some(true));
    Ok(nodes)
}

/// What included tasks inherit: what stands around the include, and its variables.
fn inside(run: &Run, task: &TaskPlan, include: &Include) -> Inherit {
    let mut inherit = (*task.inherit).clone();
    let index = include.item.as_ref().map(|i| i.index.to_string()).unwrap_or_default();
    let vars = short_digest(Value::dict(include.vars.clone()).to_string().as_bytes());
    let mark = format!("{} {index} {vars}", include.target);
    inherit.trail = inherit.trail.below(&mark, &mut Siblings::default());
    let mut params = include.vars.clone();
    // The include's own variables are rendered where they are used.
    params.extend(task.task.common.vars.iter().map(|(k, v)| (k.clone(), v.clone())));
    inherit.params.push(Arc::new(params));
    match &task.task.apply {
        Some(block) => run.compiler.within(&inherit, block),
        None => inherit,
    }
}

/// An option of `include_role`: as the include rendered it, else as it is written.
fn option(task: &TaskPlan, include: &Include, name: &str) -> Option<Value> {
    let written = || task.task.action.args.iter().find(|a| a.name.value == name).map(|a| a.value.value.clone());
    include.vars.get(format!("_include_{name}").as_str()).cloned().or_else(written).filter(|v| !v.is_null())
}

fn role_options(task: &TaskPlan, include: &Include) -> RoleOptions {
    let text = |name: &str| option(task, include, name).map(|v| v.to_string()).unwrap_or_default();
    let yes = |name: &str| option(task, include, name).and_then(|v| truth(&v)).unwrap_or(true);
    let options = RoleOptions {
        name: include.target.clone(),
        tasks_from: text("tasks_from"),
        vars_from: text("vars_from"),
        defaults_from: text("defaults_from"),
        handlers_from: text("handlers_from"),
        repeats: yes("allow_duplicates"),
        unchecked: !yes("rolespec_validate"),
        ..RoleOptions::default()
    };
    options.brought(&task.task.common.vars)
}
