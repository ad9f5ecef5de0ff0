//! A run: what it shares between its plays and steps, and the way from its first play to its end.

mod inventory;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::hosts::Hosts;
use super::options::Options;
use super::out::{Count, Out, now};
use super::play::PlayState;
use super::record::{self, Finished, Recorder};
use super::scope::TaskScope;
use super::stop::Stop;
use super::store::Store;
use crate::action::engine_side::{ActionEntry, Content, Found};
use crate::action::module::{Failure, Recovery};
use crate::journal::record::{Body, End as EndRecord, Started};
use crate::model::event::{End, Event, HostStats};
use crate::model::inventory::Inventory;
use crate::model::mistake::Mistake;
use crate::model::outcome::{Consequence, Status};
use crate::model::source::Span;
use crate::model::value::{Dict, Value, merged};
use crate::parse;
use crate::plan::compile::Compiler;
use crate::plan::{Plan, PlayPlan, TaskPlan, pattern};
use crate::vars::template::{Templar, TemplateError};

/// Why a run goes no further.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Halt {
    #[error("{0}")]
    Stopped(String),
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    #[error("the gate \"{0}\" was not answered: there is no terminal")]
    Unanswered(String),
    #[error("the gate \"{0}\" was not passed")]
    GateRefused(String),
    #[error("a step is in doubt: {0}")]
    InDoubt(String),
    #[error("the link to {host} was lost while a step was under way, and did not come back: {why}")]
    Lost { host: String, why: String },
    #[error("{} mistakes in what was included", .0.len())]
    Mistakes(Vec<Mistake>),
    #[error("{0}")]
    Refused(String),
}

/// Everything that the steps of a run share.
pub struct Run {
    pub id: String,
    pub options: Options,
    pub compiler: Compiler,
    pub templar: Arc<Templar>,
    pub inventory: RwLock<Inventory>,
    pub vars: Store,
    pub record: Recorder,
    pub out: Out,
    pub hosts: Hosts,
    pub stop: Stop,
    /// Asks the person at the terminal; none where there is none.
    pub asker: Option<Box<dyn Asker>>,
    /// Hosts that failed or were lost in a play are out of the later ones.
    out_of_run: Mutex<HashSet<String>>,
    /// Hosts of which the errors were cleared.
    revived: Mutex<HashSet<String>>,
    stats: Mutex<Vec<(String, Value)>>,
    warned: Mutex<HashSet<String>>,
    /// The task to begin at, until it is met.
    start_at: Mutex<Option<String>>,
    cwd: PathBuf,
}

/// Someone who answers questions.
pub trait Asker: Send + Sync {
    /// Shows a prompt and takes a line; `None` at the end of input.
    fn ask(&self, prompt: &str, echo: bool) -> std::io::Result<Option<String>>;
}

/// How a run ended, for the exit code.
#[derive(Debug)]
pub struct Ended {
    pub end: End,
    pub failed: bool,
    pub unreachable: bool,
    pub changed: bool,
    pub halt: Option<Halt>,
    /// No play matched any host.
    pub nothing_matched: bool,
}

impl Ended {
    /// The end of a run that could not begin.
    pub fn broken(halt: Halt) -> Ended {
        let end = End::Broken(halt.to_string());
        Ended { end, failed: false, unreachable: false, changed: false, halt: Some(halt), nothing_matched: false }
    }
}

impl Run {
    #[allow(clippy::too_many_arguments)] // the parts of a run, each used once, by the command line
    pub fn new(
        id: String,
        options: Options,
        compiler: Compiler,
        inventory: Inventory,
        record: Recorder,
        out: Out,
        hosts: Hosts,
        asker: Option<Box<dyn Asker>>,
    ) -> Arc<Run> {
        let start_at = options.start_at.clone();
        let vars = Store::new(options.fact_cache.clone());
        record.kept_secrets().iter().for_each(|s| out.mask.learn(s));
        Arc::new(Run {
            id,
            templar: compiler.templar.clone(),
            options,
            compiler,
            inventory: RwLock::new(inventory),
            vars,
            record,
            out,
            hosts,
            stop: Stop::default(),
            asker,
            out_of_run: Mutex::default(),
            revived: Mutex::default(),
            stats: Mutex::default(),
            warned: Mutex::default(),
            start_at: Mutex::new(start_at),
            cwd: std::env::current_dir().unwrap_or_default(),
        })
    }

    /// A resume has gone through without coming to a step in doubt: only the operator can leave it at that.
    fn gone(started: &Started) -> Halt {
        let host = record::host_of(started);
        Halt::InDoubt(format!(
            "[{host}] `{}` ({}) was begun, and nobody can say whether it ran; the inventory or the playbook has it no more. Put it \
             back, then `stx-upgrade resume`; if it is gone for good, look at the host, then `stx-upgrade resume --in-doubt {host}=ran`",
            started.step.name, started.step.place
        ))
    }

    /// Runs a plan to its end, and says how it ended.
    pub async fn drive(self: &Arc<Run>, plan: &Plan) -> Ended {
        let mut matched = false;
        let mut result = self.plays(plan, &mut matched).await;
        if let (Ok(()), Some(name)) = (&result, self.start_at.lock().unwrap_or_else(PoisonError::into_inner).as_ref()) {
            result = Err(Halt::Refused(format!("no task is named `{name}`; `--list-tasks` lists them")));
        }
        let stats = self.out.stats();
        let revived = self.revived.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost = |s: &&HostStats| !revived.contains(&s.host) || self.is_out(&s.host);
        let failed = stats.iter().filter(lost).any(|s| s.failed > 0);
        let unreachable = stats.iter().filter(lost).any(|s| s.unreachable > 0);
        let changed = stats.iter().any(|s| s.changed > 0);
        if result.is_ok() && !failed && !unreachable {
            result = self.record.unmet(&self.options.in_doubt).map_or(Ok(()), |step| Err(Run::gone(step)));
        }
        let halt = result.err();
        let end = match &halt {
            Some(Halt::Journal(why)) => End::Broken(why.clone()),
            Some(halt) => End::Stopped(halt.to_string()),
            None if failed || unreachable => End::Failed,
            None => End::Completed,
        };
        // Results are durable before their agents leave.
        let durable = self.record.commit(Vec::new()).await;
        self.hosts.close(halt.is_none() && durable.is_ok()).await;
        let next = self.next_steps(&end, halt.as_ref());
        let done = self.out.tell(Event::RunDone {
            run: self.id.clone(),
            end: end.clone(),
            stats: stats.clone(),
            custom_stats: self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            check: self.options.check.then(|| self.out.coverage()),
            next,
        });
        self.record.event(done);
        let tasks = self.out.steps();
        self.record.note(Body::End(Box::new(EndRecord { end: end.clone(), at: now(), stats, tasks })));
        let closed = self.record.close().err();
        self.out.finish();
        let halt = halt.or(closed);
        Ended { end, failed, unreachable, changed, halt, nothing_matched: !matched }
    }

    async fn plays(self: &Arc<Run>, plan: &Plan, matched: &mut bool) -> Result<(), Halt> {
        let mut root = String::new();
        for (index, play) in plan.plays.iter().enumerate() {
            // What a playbook imports is part of it.
            if play.root != root {
                root.clone_from(&play.root);
                self.out.tell(Event::PlaybookStarted { playbook: root.clone() });
                let plays = plan.plays[index..].iter().take_while(|p| p.root == root).count();
                self.note(2, &format!("{plays} plays in {root}"));
            }
            if !self.play(index as u32, play, matched).await? {
                break;
            }
        }
        Ok(())
    }

    /// One play with all its batches. False if the run shall go no further.
    async fn play(self: &Arc<Run>, index: u32, plan: &Arc<PlayPlan>, matched: &mut bool) -> Result<bool, Halt> {
        let (inventory_order, found) = self.play_hosts(plan)?;
        let written = plan.play.common.check_mode.as_ref();
        let check = written.and_then(|w| crate::action::args::truth(&w.value)).unwrap_or(self.options.check);
        let started = |hosts: Vec<String>| Event::PlayStarted {
            check,
            name: self.play_title(plan),
            place: plan.play.span.place(),
            hosts,
            free: crate::engine::play::is_free(plan, self),
        };
        *matched |= !found.is_empty();
        let lost = self.out_of_run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hosts: Vec<String> = found.iter().filter(|h| !lost.contains(*h)).cloned().collect();
        if hosts.is_empty() {
            let event = self.out.tell(started(Vec::new()));
            self.record.event(event);
            let event = self.out.tell(Event::NoHosts { matched_none: found.is_empty() });
            self.record.event(event);
            return Ok(found.is_empty());
        }
        let prompted = Arc::new(self.prompts(index, plan).await?);
        let nodes = Arc::new(self.with_facts(plan, &hosts));
        let sizes = self.batches(plan, hosts.len())?;
        let mut rest = hosts.as_slice();
        for size in sizes {
            let (now, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            if now.is_empty() {
                break;
            }
            let event = self.out.tell(started(now.to_vec()));
            self.record.event(event);
            let all = inventory_order.iter().filter(|h| !lost.contains(*h)).cloned().collect();
            let names = (now.to_vec(), all);
            let file_vars = self.file_vars(plan, &prompted, now)?;
            let state = PlayState::new(plan.clone(), names, prompted.clone(), file_vars, nodes.clone());
            let end = Arc::new(state).drive(self).await?;
            let out: Vec<String> = end.failed.iter().chain(&end.unreachable).cloned().collect();
            let all_lost = out.len() == now.len();
            self.out_of_run.lock().unwrap_or_else(PoisonError::into_inner).extend(out);
            if end.fatal || all_lost {
                return Ok(false);
            }
            if end.play_ended {
                break;
            }
        }
        Ok(true)
    }

    /// An error unless new steps may begin.
    pub fn check_start(&self) -> Result<(), Halt> {
        if self.stop.may_start() { Ok(()) } else { Err(Halt::Stopped("stopped by the operator".into())) }
    }

    /// Sleeps, unless the run is stopped.
    pub async fn sleep(&self, time: Duration) -> Result<(), Halt> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stop.asked() => Err(Halt::Stopped("stopped by the operator".into())),
        }
    }

    /// Asks at the terminal; `None` without one.
    pub async fn ask(&self, prompt: &str, echo: bool) -> Result<Option<String>, Halt> {
        match &self.asker {
            None => Ok(None),
            Some(asker) => tokio::task::block_in_place(|| asker.ask(prompt, echo))
                .map_err(|e| Halt::Stopped(format!("no answer: {e}"))),
        }
    }

    /// `--start-at-task`: whether a task comes before the one to begin at.
    pub fn is_before_start(&self, task: &TaskPlan, name: &str) -> bool {
        let mut start = self.start_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = start.as_deref() else { return false };
        let own = task.written_name().map(|n| n.value.to_string()).unwrap_or_default();
        if task.handler || wanted == name || wanted == own || pattern::is_like(wanted, &own) {
            *start = None;
            return false;
        }
        true
    }

    /// `--step`: asks before a task.
    pub async fn step_mode(&self, name: &str) -> Result<(), Halt> {
        if !self.options.step {
            return Ok(());
        }
        let answer = self.ask(&format!("Perform task: {name} (N)o/(y)es/(c)ontinue: "), true).await?;
        match answer.as_deref().map(|a| a.trim().to_lowercase()).as_deref() {
            Some("y" | "yes" | "c" | "continue") => Ok(()),
            _ => Err(Halt::Stopped(format!("stopped before the task {name}"))),
        }
    }

    /// Tells a warning, once each.
    pub fn warn(&self, text: &str) {
        let new = self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
        if new {
            let event = self.out.tell(Event::Warning { text: self.out.mask.text(text) });
            self.record.event(event);
        }
    }

    /// Tells once what one day will not be taken any more, if that is asked for.
    pub fn deprecate(&self, text: &str, at: &Span) {
        if !self.options.deprecations {
            return;
        }
        let place = at.place();
        let new = self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{text} {place}"));
        if new {
            let event = self.out.tell(Event::Deprecated { text: self.out.mask.text(text), place });
            self.record.event(event);
        }
    }

    /// What is sent to a host and how, which only those hear who asked for `-vvv`.
    pub fn note_sent(&self, host: &str, text: impl FnOnce() -> String) {
        if self.options.heard > 2 {
            self.note(3, &format!("<{host}> {}", text()));
        }
    }

    /// Tells what is of interest from a verbosity on.
    pub fn note(&self, verbosity: u8, text: &str) {
        let event = self.out.tell(Event::Note { verbosity, text: self.out.mask.text(text) });
        self.record.event(event);
    }

    /// The task's name with its role, rendered as far as it can be.
    pub fn task_name(self: &Arc<Run>, play: &Arc<PlayState>, host: &str, task: &Arc<TaskPlan>) -> String {
        let name = self.own_name(play, host, task);
        match &task.role {
            // As Ansible shows it: an included role stands for itself.
            _ if matches!(task.kind, crate::plan::Kind::IncludeRole) => match task.written_name() {
                Some(_) => name,
                None => format!("{name} : {}", task.included_role().unwrap_or_default()),
            },
            Some(role) => format!("{} : {name}", role.name),
            None => name,
        }
    }

    /// The task's name, rendered as far as it can be.
    pub fn own_name(self: &Arc<Run>, play: &Arc<PlayState>, host: &str, task: &Arc<TaskPlan>) -> String {
        let scope = TaskScope::new(self, play, host, task);
        let name = match task.written_name() {
            Some(written) => {
                self.templar.render(&written.value, &scope).unwrap_or_else(|_| written.value.clone()).to_string()
            }
            None => task.action(),
        };
        self.out.mask.text(&name)
    }

    /// Counts a step's end for the recap, and in a check run for its coverage.
    pub fn count_result(&self, host: &str, task: &TaskPlan, name: &str, finished: &Finished) {
        let outcome = &finished.outcome;
        let count = |c| self.out.count(host, c);
        match &outcome.status {
            Status::Ok => {
                // Each include of a loop counts by itself, as in Ansible.
                let included =
                    finished.consequences.iter().filter(|c| matches!(c, Consequence::Include { .. })).count();
                (0..included.max(1)).for_each(|_| count(Count::Ok));
                if outcome.changed {
                    count(Count::Changed);
                }
            }
            Status::Skipped | Status::NotKnowable(_) => count(Count::Skipped),
            Status::Failed if finished.ignored => {
                count(Count::Ok);
                count(Count::Ignored);
                if outcome.changed {
                    count(Count::Changed);
                }
            }
            // Counted when it is known whether a rescue catches it.
            Status::Failed => {}
            Status::Unreachable if finished.ignored => {
                count(Count::Ok);
                count(Count::Ignored);
            }
            Status::Unreachable => count(Count::Unreachable),
        }
        if self.options.check && outcome.status != Status::Skipped {
            self.out.decided(&task.place, name, outcome);
        }
    }

    pub fn forces_handlers(self: &Arc<Run>, play: &Arc<PlayState>) -> bool {
        let written = play.plan.play.force_handlers.as_ref();
        let forced = written.and_then(|w| self.templar.render(&w.value, &self.play_scope(&play.plan)).ok());
        // What the play says goes before the command line.
        forced.and_then(|v| crate::action::args::truth(&v)).unwrap_or(self.options.force_handlers)
    }

    /// A host that had failed takes part again (`clear_host_errors`).
    pub fn revive(&self, host: &str) {
        self.out_of_run.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
        self.revived.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    }

    /// Whether a host is out for the rest of the run.
    pub fn is_out(&self, host: &str) -> bool {
        self.out_of_run.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    /// `set_stats`: added to what is there, as Ansible adds.
    pub fn add_stats(&self, host: &str, data: &Dict, per_host: bool, aggregate: bool) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = if per_host { host } else { "_run" };
        let at = stats.iter().position(|(name, _)| name == whose).unwrap_or_else(|| {
            stats.push((whose.to_owned(), Value::dict(Dict::new())));
            stats.len() - 1
        });
        let mut all = stats[at].1.as_dict().cloned().unwrap_or_default();
        for (key, value) in data {
            let value = match all.get(key).filter(|_| aggregate) {
                Some(old) => added(old, value),
                None => value.clone(),
            };
            all.insert(key.clone(), value);
        }
        stats[at].1 = Value::dict(all);
    }

    /// A path as seen from the root; one of the built-in set stays as it is.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        // Of a playbook that is named without a folder it is the empty path.
        if path.as_os_str().is_empty() || path.exists() {
            self.cwd.join(path).components().collect()
        } else {
            path.to_owned()
        }
    }

    /// Finds a file of a role or play.
    pub fn find(&self, kind: &str, name: &str, search: &[PathBuf]) -> Result<Found, Failure> {
        let Some(path) = self.compiler.find(kind, name, search) else {
            let looked: Vec<String> = search.iter().map(|d| d.display().to_string()).collect();
            return Err(Failure::new(format!(
                "could not find `{name}`; looked in {} and their `{kind}` folders",
                looked.join(", ")
            )));
        };
        let shown = path.display().to_string();
        if path.exists() {
            return Ok(Found { name: shown, content: Content::File(path) });
        }
        let bytes = self.compiler.files.read(&path).map_err(|e| Failure::new(format!("reading {shown}: {e}")))?;
        Ok(Found { name: shown, content: Content::Bytes(bytes.into()) })
    }

    /// Variables in a file.
    pub fn vars_file(&self, file: &Found) -> Result<Dict, Failure> {
        let path = Path::new(&file.name);
        parse::vars_file::vars_file(&*self.compiler.files, path, &self.compiler.vault)
            .map_err(|m| Failure::new(m.message))
    }

    /// Renders the text of a template file.
    pub fn render_file(
        &self,
        name: &str,
        text: &str,
        options: &Dict,
        search: &[PathBuf],
        scope: &TaskScope,
    ) -> Result<String, Box<TemplateError>> {
        self.templar.render_text(text, &super::text::options(name, options, search), scope)
    }

    /// What becomes of an action whose end is not known: those that only ask or wait are run again; what they call on the
    /// host is settled call by call.
    pub fn recovery_of(&self, action: &ActionEntry, args: &Dict) -> Recovery {
        match action.names[0] {
            "_own" | "raw" | "reboot" => Recovery::Ask,
            // Their far side knows by the arguments.
            name @ ("script" | "uri") => {
                self.compiler.modules.module(name).map_or(Recovery::Ask, |m| (m.recovery)(args))
            }
            _ => Recovery::Again,
        }
    }

    fn next_steps(&self, end: &End, halt: Option<&Halt>) -> Vec<String> {
        if self.options.check || (matches!(end, End::Completed) && halt.is_none()) {
            return Vec::new();
        }
        vec![
            format!("stx-upgrade resume {}     goes on where it stands", self.id),
            format!("stx-upgrade show {}       tells what happened", self.id),
        ]
    }
}

/// The sum of two figures of one kind; of two kinds the old one stays.
fn added(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a + b),
        (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
        (Value::Str(a), Value::Str(b)) => Value::str(format!("{a}{b}")),
        (Value::List(a), Value::List(b)) => Value::list(a.iter().chain(b.iter()).cloned().collect()),
        (Value::Dict(a), Value::Dict(b)) => Value::dict(merged(a, b)),
        _ => old.clone(),
    }
}
