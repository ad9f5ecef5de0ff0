//! Handlers: notified by tasks, run when they are flushed.

use std::sync::Arc;

use super::PlayState;
use crate::engine::cursor::Next;
use crate::engine::run::{Halt, Run};
use crate::engine::scope::TaskScope;
use crate::plan::{RolePlan, TaskPlan};

impl PlayState {
    pub(super) fn notify(
        self: &Arc<Self>,
        run: &Arc<Run>,
        task: &TaskPlan,
        host: &str,
        name: &str,
    ) -> Result<(), Halt> {
        let handlers = self.handlers();
        // What listens to a topic, with its name; and what has the name.
        let mut listening: Vec<(usize, Option<String>)> = Vec::new();
        let mut by_name = None;
        // Of several with one name the first of its list counts, and the list that was loaded last.
        let one_list = |a: usize, b: usize| match (&handlers[a].role, &handlers[b].role) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        for (i, handler) in handlers.iter().enumerate() {
            let scope = TaskScope::new(run, self, host, handler);
            let own = match handler.written_name().map(|w| (w, run.templar.render(&w.value, &scope))) {
                Some((_, Ok(name))) => Some(name.to_string()),
                Some((written, Err(error))) => {
                    if handler.task.listen.is_empty() {
                        let name = &written.value;
                        run.warn(&format!(
                            "Handler '{name}' is unusable: it has no listen topics, and its name cannot be rendered: {error}"
                        ));
                    }
                    None
                }
                None => None,
            };
            let with_role = |role: &RolePlan, own: &str| {
                [role.name.as_str(), role.short_name()].iter().any(|r| name == format!("{r} : {own}"))
            };
            let named = own.as_deref() == Some(name)
                || handler.role.as_ref().zip(own.as_ref()).is_some_and(|(role, own)| with_role(role, own));
            if named && by_name.is_none_or(|known| !one_list(known, i)) {
                by_name = Some(i);
            }
            // As with Ansible, topics are no templates.
            let listens = handler.task.listen.iter().map(|w| w.value.to_string());
            // A topic of a role's handler may be named with the role.
            let of_role = handler.role.as_ref().and_then(|r| {
                let (role, topic) = name.split_once(" : ")?;
                (role == r.name || role == r.short_name()).then_some(topic)
            });
            if { listens }.any(|t| t == name || Some(t.as_str()) == of_role) {
                match listening.iter_mut().find(|(_, known)| own.is_some() && *known == own) {
                    Some((known, _)) if one_list(*known, i) => {}
                    Some((known, _)) => *known = i,
                    None => listening.push((i, own)),
                }
            }
        }
        let mut found: Vec<usize> = listening.into_iter().map(|(i, _)| i).collect();
        found.extend(by_name);
        if found.is_empty() {
            // Ansible's words: scripts look for them.
            let said = format!(
                "The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list"
            );
            if !run.options.missing_handlers {
                return Err(Halt::Refused(format!("{}: {said}", task.place)));
            }
            run.warn(&said);
        }
        self.with(|s| {
            if let Some(state) = s.get_mut(host) {
                state.notified.extend(found.iter().copied());
            }
        });
        Ok(())
    }

    /// Runs notified handlers in the order of their definition, each once at most: what is notified behind waits for the next
    /// flush. True if the play is over for all.
    pub(super) async fn flush(self: &Arc<Self>, run: &Arc<Run>, hosts: &[String]) -> Result<bool, Halt> {
        let mut at = 0;
        self.with(|s| {
            for host in hosts {
                let Some(state) = s.get_mut(host) else { continue };
                state.fell = false;
                state.in_always = state.failed && !state.cursor.is_done();
            }
        });
        loop {
            let forced = run.forces_handlers(self);
            let next = self.with(|s| {
                let waiting = hosts.iter().filter_map(|h| s.get(h)).filter(|h| h.runs_handlers(forced));
                waiting.flat_map(|h| h.notified.iter().copied()).filter(|i| *i >= at).min()
            });
            let Some(index) = next else { return Ok(false) };
            at = index + 1;
            let Some(handler) = self.handlers().get(index).cloned() else { return Ok(false) };
            let due: Vec<String> = self.with(|s| {
                let mut due = Vec::new();
                for host in hosts {
                    let Some(state) = s.get_mut(host) else { continue };
                    if state.runs_handlers(forced) && state.notified.shift_remove(&index) {
                        due.push(host.clone());
                    }
                }
                due
            });
            if !due.is_empty() && (Box::pin(self.round(run, &handler, &due)).await? || self.included(run, &due).await?)
            {
                return Ok(true);
            }
        }
    }

    /// Runs what a handler has included, before the next handler. True if the play is over for all.
    async fn included(self: &Arc<Self>, run: &Arc<Run>, hosts: &[String]) -> Result<bool, Halt> {
        loop {
            let nexts: Vec<(Vec<u32>, Arc<TaskPlan>, String)> = self.with(|s| {
                let at = |host: &String| match s.get_mut(host).filter(|h| !h.unreachable && !h.ended)?.cursor.peek_at()
                {
                    (position, Next::Task(task)) if task.handler => Some((position, task, host.clone())),
                    _ => None,
                };
                hosts.iter().filter_map(at).collect()
            });
            let Some((position, task, _)) = nexts.iter().min_by(|a, b| a.0.cmp(&b.0)) else { return Ok(false) };
            let same = nexts.iter().filter(|(p, t, _)| p == position && t.id == task.id);
            let hosts: Vec<String> = same.map(|(_, _, host)| host.clone()).collect();
            if Box::pin(self.round(run, task, &hosts)).await? {
                return Ok(true);
            }
        }
    }
}
