//! One batch of one play: its hosts in lockstep (`linear`) or each at its own pace (`free`, `host_pinned`), with
//! handlers, includes, and what a failure of one means for the others.

mod free;
mod handlers;
mod known;

pub use free::is_free;
use free::strategy;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures_util::stream::{FuturesUnordered, StreamExt};
use indexmap::{IndexMap, IndexSet};
use tokio::sync::Semaphore;

use super::cursor::{Caught, Cursor, Next};
use super::execute;
use super::include;
use super::out::{Count, step_ref};
use super::run::{Halt, Run};
use super::scope::TaskScope;
use super::step::{Ended, Step};
use crate::model::event::Event;
use crate::model::outcome::{Consequence, Flow, Status};
use crate::model::value::{Dict, Value};
use crate::plan::words::local_name;
use crate::plan::{Kind, PlayPlan, RolePlan, TaskPlan};

/// A batch of a play, as its steps see it.
pub struct PlayState {
    pub plan: Arc<PlayPlan>,
    /// Hosts of the batch.
    pub hosts: Vec<String>,
    /// Hosts of the whole play, and those that its tasks add.
    all_hosts: RwLock<Vec<String>>,
    /// `vars_prompt`, and per host `vars_files`.
    pub prompted: Arc<Dict>,
    pub file_vars: HashMap<String, Arc<Dict>>,
    /// Handlers and roles that are known by now: the play's own, and what dynamic includes brought.
    handlers: RwLock<Vec<Arc<TaskPlan>>>,
    /// With whether the whole play sees a role's variables.
    roles: RwLock<Vec<(Arc<RolePlan>, bool)>>,
    /// A task ended the play, or this batch of it; that is no failure.
    left: AtomicBool,
    play_ended: AtomicBool,
    /// How many hosts may be at a task with `throttle`, also where each comes to it on its own.
    throttles: Mutex<HashMap<String, Arc<Semaphore>>>,
    inner: Mutex<IndexMap<String, HostState>>,
}

/// Where one host of the batch stands.
#[derive(Default)]
struct HostState {
    cursor: Cursor,
    /// Failed or unreachable: what is left to it are `always` parts.
    failed: bool,
    unreachable: bool,
    ended: bool,
    notified: IndexSet<usize>,
    /// A handler failed, so it leaves this flush: what rescues it comes first.
    fell: bool,
    /// It had failed and stood in an `always` part when this flush began.
    in_always: bool,
    visits: HashMap<String, u32>,
    /// The failure that a rescue deals with.
    failure: Option<(Value, Value)>,
}

/// How a batch ended.
#[derive(Debug, Default)]
pub struct BatchEnd {
    /// The play goes on with no further batch (`end_play`).
    pub play_ended: bool,
    pub failed: Vec<String>,
    pub unreachable: Vec<String>,
    /// The run goes on with no further play: `any_errors_fatal`, `max_fail_percentage`.
    pub fatal: bool,
}

impl PlayState {
    pub fn new(
        plan: Arc<PlayPlan>,
        (hosts, all_hosts): (Vec<String>, Vec<String>),
        prompted: Arc<Dict>,
        file_vars: HashMap<String, Arc<Dict>>,
        nodes: Arc<Vec<crate::plan::Node>>,
    ) -> PlayState {
        let states = hosts
            .iter()
            .map(|h| (h.clone(), HostState { cursor: Cursor::new(nodes.clone()), ..HostState::default() }))
            .collect();
        let handlers = RwLock::new(plan.handlers.clone());
        let roles = RwLock::new(plan.roles.iter().map(|r| (r.clone(), true)).collect());
        PlayState {
            plan,
            hosts,
            all_hosts: RwLock::new(all_hosts),
            prompted,
            file_vars,
            handlers,
            roles,
            left: AtomicBool::new(false),
            play_ended: AtomicBool::new(false),
            throttles: Mutex::default(),
            inner: Mutex::new(states),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut IndexMap<String, HostState>) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hosts of the batch that are still in the play.
    pub fn active(&self) -> Vec<String> {
        self.with(|s| {
            s.iter().filter(|(_, h)| !h.failed && !h.unreachable && !h.ended).map(|(n, _)| n.clone()).collect()
        })
    }

    /// The task and the result that a rescue deals with on a host.
    pub fn failure(&self, host: &str) -> Option<(Value, Value)> {
        self.with(|s| s.get(host).and_then(|h| h.failure.clone()))
    }

    /// Hosts that a result goes to: the step's own, or with `run_once` every host of the batch.
    pub fn receivers(self: &Arc<Self>, run: &Arc<Run>, host: &str, task: &Arc<TaskPlan>) -> Vec<String> {
        if self.runs_once(run, host, task) { self.active() } else { vec![host.to_owned()] }
    }

    fn runs_once(self: &Arc<Self>, run: &Arc<Run>, host: &str, task: &Arc<TaskPlan>) -> bool {
        let once = || {
            let scope = TaskScope::new(run, self, host, task);
            execute::yes(&run.templar, &task.common, |c| c.run_once.as_ref(), &scope).ok().flatten().unwrap_or(false)
        };
        let action = task.action();
        let for_all =
            |word: &str| !matches!(word, "noop" | "reset_connection" | "end_host" | "end_role" | "flush_handlers");
        matches!(local_name(&action), "add_host" | "pause")
            || (matches!(task.kind, Kind::Meta) && for_all(&execute::meta_word(task)))
            || (task.common.run_once.is_some() && once())
    }

    fn visit(&self, host: &str, id: &str) -> u32 {
        self.with(|s| {
            let Some(state) = s.get_mut(host) else { return 0 };
            let visit = state.visits.entry(id.to_owned()).or_default();
            *visit += 1;
            *visit - 1
        })
    }

    /// Runs the batch to its end.
    pub async fn drive(self: &Arc<Self>, run: &Arc<Run>) -> Result<BatchEnd, Halt> {
        let fatal = match strategy(&self.plan, run).as_str() {
            "free" | "host_pinned" => self.free(run).await?,
            "linear" => self.linear(run).await?,
            other => {
                return Err(Halt::Refused(format!(
                    "the strategy `{other}` is not known; linear, free and host_pinned are"
                )));
            }
        };
        Ok(self.end(fatal && !self.left.load(Ordering::Relaxed)))
    }

    fn end(&self, fatal: bool) -> BatchEnd {
        let play_ended = self.play_ended.load(Ordering::Relaxed);
        self.with(|s| BatchEnd {
            play_ended,
            failed: s.iter().filter(|(_, h)| h.failed).map(|(n, _)| n.clone()).collect(),
            unreachable: s.iter().filter(|(_, h)| h.unreachable).map(|(n, _)| n.clone()).collect(),
            fatal,
        })
    }

    /// All hosts at the same task, the hindmost first.
    async fn linear(self: &Arc<Self>, run: &Arc<Run>) -> Result<bool, Halt> {
        loop {
            let nexts = self.nexts();
            let Some((position, next)) = nexts.iter().map(|(_, p, n)| (p, n)).min_by(|a, b| a.0.cmp(b.0)) else {
                return self.flush(run, &self.failed_and_notified(run)).await;
            };
            let hosts: Vec<String> =
                nexts.iter().filter(|(_, p, _)| p == position).map(|(h, _, _)| h.clone()).collect();
            match next {
                Next::Flush => {
                    self.with(|s| hosts.iter().for_each(|h| s.get_mut(h).into_iter().for_each(|h| h.cursor.advance())));
                    let mut hosts = hosts;
                    hosts.extend(self.failed_and_notified(run));
                    if self.flush(run, &hosts).await? {
                        return Ok(true);
                    }
                }
                Next::Task(task) => {
                    let same = |h: &String| {
                        nexts.iter().any(|(n, _, next)| n == h && matches!(next, Next::Task(t) if t.id == task.id))
                    };
                    let hosts: Vec<String> = hosts.into_iter().filter(same).collect();
                    if self.round(run, task, &hosts).await? {
                        self.flush(run, &self.failed_and_notified(run)).await?;
                        return Ok(true);
                    }
                }
                Next::End { .. } => return self.flush(run, &self.failed_and_notified(run)).await,
            }
        }
    }

    /// With `force_handlers`: hosts that failed and have handlers to run.
    fn failed_and_notified(self: &Arc<Self>, run: &Arc<Run>) -> Vec<String> {
        if !run.forces_handlers(self) {
            return Vec::new();
        }
        self.with(|s| {
            let due = s.iter().filter(|(_, h)| h.failed && !h.unreachable && !h.notified.is_empty());
            due.map(|(n, _)| n.clone()).collect()
        })
    }

    /// What each host that is not through does next.
    fn nexts(&self) -> Vec<(String, Vec<u32>, Next)> {
        self.with(|s| {
            let mut nexts = Vec::new();
            for (name, host) in s.iter_mut() {
                if host.ended || host.cursor.is_done() || host.unreachable {
                    continue;
                }
                match host.cursor.peek() {
                    Next::End { failed } => {
                        host.failed |= failed;
                        host.ended = true;
                    }
                    next => nexts.push((name.clone(), host.cursor.position(), next)),
                }
            }
            nexts
        })
    }

    /// One task on all hosts that are at it. True if the play is over for all.
    async fn round(self: &Arc<Self>, run: &Arc<Run>, task: &Arc<TaskPlan>, hosts: &[String]) -> Result<bool, Halt> {
        let Some(first) = hosts.first() else { return Ok(false) };
        let once = self.runs_once(run, first, task);
        let acting: Vec<String> = if once { vec![first.clone()] } else { hosts.to_vec() };
        let name = run.task_name(self, first, task);
        if run.is_before_start(task, &name) {
            self.with(|s| hosts.iter().for_each(|h| s.get_mut(h).into_iter().for_each(|h| h.cursor.advance())));
            return Ok(false);
        }
        let visits: Vec<u32> = acting.iter().map(|h| self.visit(h, &task.id)).collect();
        let fresh = acting.iter().zip(&visits).any(|(h, v)| !run.record.has_finished(h, &task.id, *v));
        let number = run.out.next_step();
        if fresh {
            run.check_start()?;
            run.step_mode(&name).await?;
            if !matches!(task.kind, Kind::Meta) {
                let scope = TaskScope::new(run, self, first, task);
                started(run, task, &name, number, execute::checks(run, task, &scope));
            }
        }
        let ended = if matches!(task.kind, Kind::Meta) {
            // One after the other, each under a banner of its own.
            let mut ended = Vec::new();
            for (host, visit) in acting.iter().zip(&visits) {
                if !run.record.has_finished(host, &task.id, *visit) {
                    started(run, task, &name, number, false);
                }
                ended.extend(self.together(run, task, std::slice::from_ref(host), &[*visit], &name).await?);
            }
            ended
        } else {
            self.together(run, task, &acting, &visits, &name).await?
        };
        self.settle(run, task, hosts, once, &name, ended).await
    }

    /// The task on several hosts at once, at most as many as `forks` and `throttle` allow.
    async fn together(
        self: &Arc<Self>,
        run: &Arc<Run>,
        task: &Arc<TaskPlan>,
        hosts: &[String],
        visits: &[u32],
        name: &str,
    ) -> Result<Vec<(String, Ended)>, Halt> {
        let mut throttle = 0.0;
        if let (Some(host), Some(written)) = (hosts.first(), &task.common.throttle) {
            let scope = TaskScope::new(run, self, host, task);
            let said = execute::keyword(&run.templar, &task.common, |c| c.throttle.as_ref(), &scope);
            let refused = |why: String| Halt::Refused(format!("{}: {why}", written.span.place()));
            // Ansible's words: scripts look for them.
            let why = "Failed to convert the throttle value to an integer";
            if let Some(value) = said.map_err(|e| refused(format!("{why}: {}", e.message)))?.filter(|v| !v.is_null()) {
                let number = execute::number_of(&value);
                throttle = number.ok_or_else(|| refused(format!("{why}: invalid literal for int: '{value}'")))?;
            }
        }
        let width = if throttle >= 1.0 { (throttle as usize).min(run.options.forks) } else { run.options.forks };
        let gate = match throttle >= 1.0 {
            true => self.throttle(&task.id, width),
            false => Arc::new(Semaphore::new(width.max(1))),
        };
        let mut running = FuturesUnordered::new();
        for (host, visit) in hosts.iter().zip(visits) {
            let gate = gate.clone();
            running.push(async move {
                let _permit = gate.acquire().await;
                let step = Step::new(run, self, host, task, name, *visit);
                (host.clone(), step.run().await)
            });
        }
        let mut ended = Vec::new();
        let mut halt = None;
        while let Some((host, result)) = running.next().await {
            match result {
                Ok(end) => ended.push((host, end)),
                // The others come to their end first: what is under way is not thrown away.
                Err(h) => halt = Some(h),
            }
        }
        match halt {
            Some(halt) => Err(halt),
            None => {
                ended.sort_by_key(|(h, _)| hosts.iter().position(|x| x == h));
                Ok(ended)
            }
        }
    }

    fn throttle(&self, task: &str, width: usize) -> Arc<Semaphore> {
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        throttles.entry(task.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(width.max(1)))).clone()
    }

    /// Moves every host on by what came of the task. True if the play is over for all.
    async fn settle(
        self: &Arc<Self>,
        run: &Arc<Run>,
        task: &Arc<TaskPlan>,
        hosts: &[String],
        once: bool,
        name: &str,
        ended: Vec<(String, Ended)>,
    ) -> Result<bool, Halt> {
        let mut fatal = false;
        let mut flush = Vec::new();
        let mut end_play = false;
        let includes = include::gather(run, self, task, name, &ended)?;
        for (host, end) in &ended {
            if !matches!(end.outcome.status, Status::Unreachable | Status::Skipped) {
                self.with(|s| s.get_mut(host).into_iter().for_each(|h| h.cursor.ran(task)));
            }
            let followers: Vec<String> = if once { hosts.to_vec() } else { vec![host.clone()] };
            for notify in &end.notify {
                // With `run_once` too it is this host's handler alone.
                self.notify(run, task, host, notify)?;
            }
            for consequence in &end.consequences {
                match consequence {
                    Consequence::Flow { flow } => match flow {
                        Flow::FlushHandlers => flush.extend(followers.iter().cloned()),
                        Flow::EndPlay | Flow::EndBatch => {
                            end_play = true;
                            self.left.store(true, Ordering::Relaxed);
                            self.play_ended.fetch_or(*flow == Flow::EndPlay, Ordering::Relaxed);
                            self.with(|s| s.values_mut().filter(|h| !h.failed).for_each(|h| h.ended = true));
                        }
                        Flow::EndHost => self.with(|s| {
                            for host in &followers {
                                s.get_mut(host).into_iter().for_each(|h| h.ended = true);
                            }
                        }),
                        Flow::EndRole => {}
                        Flow::ClearFacts => followers.iter().for_each(|h| run.vars.clear_facts(h)),
                        Flow::ClearHostErrors => self.clear_errors(run),
                        Flow::RefreshInventory => run.refresh_inventory()?,
                        Flow::ResetConnection => {
                            for host in &followers {
                                run.hosts.forget(host).await;
                            }
                        }
                        Flow::Noop => {}
                    },
                    Consequence::Reborn { new_host_key: true, .. } => run.hosts.expect_new_key(host),
                    _ => {}
                }
            }
            let end_role = end.consequences.iter().any(|c| matches!(c, Consequence::Flow { flow: Flow::EndRole }));
            for follower in &followers {
                fatal |= self.move_on(run, task, follower, end, include::of(&includes, follower));
                if end_role {
                    self.leave_role(task, follower);
                }
            }
        }
        if !flush.is_empty() && self.flush(run, &flush).await? {
            return Ok(true);
        }
        let too_many = self.too_many_failed(run, task, hosts);
        if fatal || too_many {
            let failed = ended.iter().filter(|(_, end)| end.failed()).map(|(host, _)| host);
            let failed: Vec<&String> = if once { hosts.iter().collect() } else { failed.collect() };
            self.fail_all(&failed);
            // What is left are `always` parts.
            return Ok(self.with(|s| s.values().all(|h| h.cursor.is_done() || h.ended || h.unreachable)));
        }
        Ok(end_play && self.active().is_empty())
    }

    /// Advances or fails one host. True if that is fatal to all.
    fn move_on(
        self: &Arc<Self>,
        run: &Arc<Run>,
        task: &Arc<TaskPlan>,
        host: &str,
        end: &Ended,
        includes: Vec<(u32, Arc<Vec<crate::plan::Node>>)>,
    ) -> bool {
        let handler = task.handler;
        if end.unreachable() {
            self.with(|s| {
                let Some(state) = s.get_mut(host) else { return };
                state.unreachable = true;
                // Where `clear_host_errors` takes it back, it goes on behind.
                if !handler || state.cursor_is_at(task) {
                    state.cursor.advance();
                }
            });
            run.record.lose(&end.place);
            return self.is_fatal(run, task, host);
        }
        if !end.failed() {
            self.with(|s| {
                let Some(state) = s.get_mut(host) else { return };
                // A flushed handler runs outside of the host's own path.
                if !handler || state.cursor_is_at(task) {
                    state.cursor.advance();
                }
                state.cursor.include(includes);
            });
            return false;
        }
        let own_name = run.own_name(self, host, task);
        let caught = self.with(|s| {
            let state = s.get_mut(host)?;
            // A handler fails where it was flushed, and may be rescued there.
            state.fell |= handler;
            let caught = state.cursor.fail();
            let task = described(task, if task.written_name().is_some() { &own_name } else { "" });
            let result = end.outcome.registered();
            state.failure = Some((Value::dict(task), Value::dict(result)));
            if caught == Caught::Lost {
                state.failed = true;
            }
            Some(caught)
        });
        match caught {
            Some(Caught::Rescued) => {
                run.out.count(host, Count::Rescued);
                // The others go to their rescue with it.
                self.is_fatal(run, task, host)
            }
            _ => {
                run.out.count(host, Count::Failed);
                run.record.lose(&end.place);
                self.is_fatal(run, task, host)
            }
        }
    }

    fn leave_role(&self, task: &TaskPlan, host: &str) {
        let Some(role) = &task.role else { return };
        self.with(|s| {
            if let Some(state) = s.get_mut(host) {
                state.cursor.skip_while(|t| t.role.as_ref().is_some_and(|r| Arc::ptr_eq(r, role)));
            }
        });
    }

    fn is_fatal(self: &Arc<Self>, run: &Arc<Run>, task: &Arc<TaskPlan>, host: &str) -> bool {
        let scope = TaskScope::new(run, self, host, task);
        let fatal = execute::yes(&run.templar, &task.common, |c| c.any_errors_fatal.as_ref(), &scope).ok().flatten();
        fatal.unwrap_or(run.options.any_errors_fatal) || self.runs_once(run, host, task)
    }

    /// Whether more than `max_fail_percentage` of the batch has failed.
    fn too_many_failed(self: &Arc<Self>, run: &Arc<Run>, task: &Arc<TaskPlan>, hosts: &[String]) -> bool {
        let Some(written) = &self.plan.play.max_fail_percentage else { return false };
        let Some(host) = hosts.first() else { return false };
        let scope = TaskScope::new(run, self, host, task);
        let Ok(most) = execute::number(&run.templar, Some(written), 100.0, &scope) else { return false };
        self.with(|s| {
            let lost = s.values().filter(|h| h.failed || h.unreachable).count();
            lost > 0 && lost as f64 * 100.0 / s.len() as f64 > most
        })
    }

    /// Fails every host that is still in, but for those that have failed just now: it is rescued where it can be.
    fn fail_all(&self, but: &[&String]) {
        self.with(|s| {
            for (name, host) in s.iter_mut().filter(|(_, h)| !h.failed && !h.unreachable && !h.ended) {
                if !but.contains(&name) && host.cursor.fail() == Caught::Lost {
                    host.failed = true;
                }
            }
        });
    }

    fn clear_errors(&self, run: &Arc<Run>) {
        self.with(|s| {
            for (name, host) in s.iter_mut() {
                host.failed = false;
                host.unreachable = false;
                host.cursor.forgive();
                run.revive(name);
            }
        });
    }
}

impl HostState {
    /// Whether handlers may run for it now: a host that failed has them in its `always` part, or if they are forced.
    fn runs_handlers(&self, forced: bool) -> bool {
        let out = self.failed && (forced || !self.in_always);
        !self.unreachable && if out { forced } else { !self.ended && !self.fell }
    }

    fn cursor_is_at(&mut self, task: &TaskPlan) -> bool {
        matches!(self.cursor.peek(), Next::Task(t) if t.id == task.id)
    }
}

/// Tells, and puts on record, that a task begins.
fn started(run: &Run, task: &TaskPlan, name: &str, number: u32, check: bool) {
    let mut step = step_ref(task, name, Some(number));
    step.handler = task.handler;
    let event = run.out.tell(Event::TaskStarted { step, of: Some(run.out.expected()), check });
    run.record.event(event);
}

/// `ansible_failed_task`: a task as it was written, with its name rendered.
fn described(task: &TaskPlan, name: &str) -> Dict {
    let mut args: Dict =
        task.task.action.args.iter().map(|a| (a.name.value.as_str().into(), a.value.value.clone())).collect();
    if let Some(text) = &task.task.action.free_form {
        args.insert("_raw_params".into(), text.value.clone());
    }
    let words = |tags: &[String]| tags.iter().map(String::as_str).collect::<Value>();
    crate::dict! {
        "name" => name,
        "action" => task.action(),
        "args" => Value::dict(args),
        "register" => task.task.register.as_ref().map(|r| r.value.clone()),
        "tags" => words(&task.tags),
        "when" => task.when.iter().map(|w| w.value.clone()).collect::<Value>(),
        "no_log" => task.common.no_log.as_ref().map(|w| w.value.clone()),
        "delegate_to" => task.delegate_to.as_ref().map(|w| w.value.clone()),
    }
}
