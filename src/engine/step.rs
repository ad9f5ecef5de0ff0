//! The life of one task on one host: condition, loop, attempts, judgement, and what is kept of it. The journal is
//! asked first: a step that has ended before is answered from it, and nothing is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::execute::{self, Done};
use super::judge;
use super::looping::{self, LoopItem};
use super::out::step_ref;
use super::play::PlayState;
use super::record::{Finished, StepPlace};
use super::run::{Halt, Run};
use super::scope::TaskScope;
use crate::journal::record::Shown as Marks;
use crate::model::event::{Event, Item, Shown, StepRef};
use crate::model::inventory::Addition;
use crate::model::outcome::{Consequence, Outcome, Status};
use crate::model::source::Span;
use crate::model::value::{Dict, Value};
use crate::plan::words::local_name;
use crate::plan::{Kind, TaskPlan};
use crate::vars::template::TemplateError;

/// How a step ended on a host, with what follows from it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub outcome: Outcome,
    /// Failed, but the play goes on.
    pub ignored: bool,
    pub consequences: Vec<Consequence>,
    /// Handlers and topics to notify, rendered.
    pub notify: Vec<String>,
    pub replayed: bool,
    /// Where the journal keeps it.
    pub place: StepPlace,
}

impl Ended {
    /// Whether the host is out, unless a rescue catches it.
    pub fn failed(&self) -> bool {
        self.outcome.status == Status::Failed && !self.ignored
    }

    pub fn unreachable(&self) -> bool {
        self.outcome.status == Status::Unreachable && !self.ignored
    }
}

/// One task on one host.
pub struct Step<'a> {
    pub run: &'a Arc<Run>,
    pub play: &'a Arc<PlayState>,
    pub host: &'a str,
    pub task: &'a Arc<TaskPlan>,
    pub reference: StepRef,
    /// How often this task was met on this host before.
    pub visit: u32,
}

impl<'a> Step<'a> {
    pub fn new(
        run: &'a Arc<Run>,
        play: &'a Arc<PlayState>,
        host: &'a str,
        task: &'a Arc<TaskPlan>,
        name: &str,
        visit: u32,
    ) -> Step<'a> {
        Step { run, play, host, task, reference: step_ref(task, name, None), visit }
    }

    /// Where the journal keeps this step, or one of its items.
    pub fn place(&self, item: Option<u32>) -> StepPlace {
        StepPlace {
            host: self.host.to_owned(),
            step: self.task.id.clone(),
            visit: self.visit,
            item,
            ..StepPlace::default()
        }
    }

    /// Runs it, or takes its end from the journal.
    pub async fn run(&self) -> Result<Ended, Halt> {
        self.check_edits()?;
        if let Some(finished) = self.run.record.finished(&self.place(None)) {
            return self.replay(finished);
        }
        self.run.check_start()?;
        let began = Instant::now();
        let mut scope = TaskScope::new(self.run, self.play, self.host, self.task);
        let (outcome, consequences, looped) = match self.run_all(&mut scope).await {
            Ok(done) => done,
            Err(End::Halt(halt)) => return Err(halt),
            Err(End::Outcome(outcome)) => (*outcome, Vec::new(), None),
        };
        let ignored = looped.unwrap_or_else(|| self.ignored(&outcome, &scope));
        let notify = if outcome.changed && outcome.status == Status::Ok { self.notified(&scope) } else { Vec::new() };
        let finished = Finished { outcome, ignored, consequences, notify };
        let result = self.shown(&finished.outcome, &scope, began.elapsed());
        self.run.record.finish(&self.place(None), self.task, &finished, marks(&result, finished.ignored, None));
        // What follows from items was applied with each of them.
        let due = if looped.is_some() { &[][..] } else { &finished.consequences };
        self.keep(&finished, due)?;
        self.tell(&finished, result);
        Ok(self.ended(finished, false))
    }

    /// A step that was edited since it ended, or was begun, is not taken for the one on record without being asked.
    fn check_edits(&self) -> Result<(), Halt> {
        let was = self.run.record.recorded_fingerprint(&self.place(None));
        if self.run.options.accept_edits || was.is_none_or(|was| was == self.task.fingerprint) {
            return Ok(());
        }
        let (name, place) = (&self.reference.name, &self.reference.place);
        Err(Halt::Refused(format!(
            "the step `{name}` ({place}) was edited since it ran on {}; put it back, or go on with its result as it stands: \
             `stx-upgrade resume --accept-edits`",
            self.host
        )))
    }

    fn replay(&self, finished: Finished) -> Result<Ended, Halt> {
        self.keep(&finished, &finished.consequences)?;
        self.count(&finished);
        Ok(self.ended(finished, true))
    }

    fn ended(&self, finished: Finished, replayed: bool) -> Ended {
        Ended {
            outcome: finished.outcome,
            ignored: finished.ignored,
            consequences: finished.consequences,
            notify: finished.notify,
            replayed,
            place: self.place(None),
        }
    }

    /// Condition, loop and attempts; of a loop also whether what failed of it is ignored.
    async fn run_all(&self, scope: &mut TaskScope) -> Result<(Outcome, Vec<Consequence>, Option<bool>), End> {
        let task = &self.task.task;
        let Some(looping) = &task.looping else {
            if let Some(skipped) = self.condition(scope)? {
                return Ok((skipped, Vec::new(), None));
            }
            let done = self.attempts(scope, None).await?;
            return Ok((done.outcome, done.consequences, None));
        };
        let items = match looping::items(self.run, looping, scope) {
            Ok(items) => items,
            Err(outcome) => {
                // What the loop needs may be missing just because the condition is false.
                if let Ok(Some(skipped)) = self.condition(scope) {
                    return Ok((skipped, Vec::new(), None));
                }
                return Err(End::Outcome(outcome));
            }
        };
        let control = looping::Control::read(self.run, &task.loop_control, scope).map_err(End::template)?;
        scope.warn_if_taken(&control.var);
        let mut results: Vec<(Dict, Outcome)> = Vec::new();
        let mut not_ignored = Vec::new();
        let mut consequences = Vec::new();
        let count = items.len();
        for (index, value) in items.iter().enumerate() {
            let item = LoopItem { index, count, value, items: &items, control: &control };
            let vars = item.vars();
            vars.iter().for_each(|(name, v)| scope.set(&name.to_string(), v.clone()));
            let vars = LoopItem::kept(vars);
            let label = item.label(self.run, scope).unwrap_or_else(|_| value.clone());
            let mut shown =
                Item { index: index as u32, label: self.run.out.mask.value(&label), var: control.var.clone() };
            if index > 0 && control.pause > 0.0 {
                self.run.sleep(Duration::from_secs_f64(control.pause)).await?;
            }
            let began = Instant::now();
            let place = self.place(Some(index as u32));
            let (outcome, item_consequences, replayed) = match self.run.record.finished(&place) {
                Some(f) => (f.outcome, f.consequences, true),
                None => {
                    self.run.check_start()?;
                    // What fails for one item does not keep the others from their turn.
                    let (mut outcome, follows) = match self.item(scope, &shown).await {
                        Ok(done) => (done.outcome, done.consequences),
                        Err(End::Outcome(outcome)) => (*outcome, Vec::new()),
                        Err(halt) => return Err(halt),
                    };
                    // A label may tell of the result, and fails the item where it cannot.
                    scope.set_result(task, &outcome);
                    match item.label(self.run, scope) {
                        Ok(label) => shown.label = self.run.out.mask.value(&label),
                        Err(error) => {
                            let skipped = outcome.status == Status::Skipped;
                            let what = "Task failed: Failed to template loop_control.label";
                            outcome = execute::template_failure(what, &error);
                            if skipped {
                                outcome.data.insert("skipped".into(), true.into());
                            }
                            shown.label = self.run.out.mask.value(value);
                        }
                    }
                    let finished = Finished { outcome, ignored: false, consequences: follows, notify: Vec::new() };
                    let result = self.shown(&finished.outcome, scope, began.elapsed());
                    let marks = marks(&result, false, Some(shown.clone()));
                    self.run.record.finish(&place, self.task, &finished, marks);
                    (finished.outcome, finished.consequences, false)
                }
            };
            for c in &item_consequences {
                self.apply(c)?;
            }
            if !item_consequences.is_empty() {
                scope.refresh();
            }
            let ignored = self.ignored(&outcome, scope);
            if !ignored {
                not_ignored.push(outcome.status.clone());
            }
            if !replayed {
                // As Ansible shows it: with the item's variables.
                let mut told = outcome.clone();
                told.data.extend(vars.clone());
                let mut result = self.shown(&told, scope, began.elapsed());
                result.ignored = outcome.is_failed() && ignored;
                self.emit(Event::ItemDone {
                    step: self.reference.clone(),
                    host: self.host.to_owned(),
                    item: shown,
                    result,
                });
            }
            scope.set_result(task, &outcome);
            let broke = !control.break_when.is_empty()
                && judge::all(&self.run.templar, &control.break_when, scope).map_err(End::template)?.is_ok();
            consequences.extend(item_consequences);
            vars.keys().for_each(|name| scope.unset(&name.to_string()));
            results.push((vars, outcome));
            if broke {
                break;
            }
        }
        let combined = judge::combine(&results);
        // Each item that failed must be one whose failure is ignored.
        let failed = matches!(combined.status, Status::Failed | Status::Unreachable);
        let ignored = failed && !not_ignored.contains(&combined.status);
        Ok((combined, consequences, Some(ignored)))
    }

    async fn item(&self, scope: &mut TaskScope, shown: &Item) -> Result<Done, End> {
        match self.condition(scope)? {
            Some(skipped) => Ok(skipped.into()),
            None => self.attempts(scope, Some(shown)).await,
        }
    }

    /// The skipped outcome if a condition is false.
    fn condition(&self, scope: &TaskScope) -> Result<Option<Outcome>, End> {
        let word = matches!(self.task.kind, Kind::Meta).then(|| execute::meta_word(self.task)).unwrap_or_default();
        if !self.task.when.is_empty() && matches!(word.as_str(), "noop" | "refresh_inventory" | "reset_connection") {
            self.run.warn(&format!("{word} task does not support when conditional"));
            return Ok(None);
        }
        for condition in self.task.when.iter().filter(|c| judge::is_surrounded(c)) {
            self.run.deprecate(judge::SURROUNDED, &condition.span);
        }
        match judge::all(&self.run.templar, &self.task.when, scope) {
            Ok(Ok(())) => Ok(None),
            Ok(Err(_)) if !word.is_empty() => Ok(Some(self.meta_skipped(&word))),
            Ok(Err(condition)) => Ok(Some(
                Outcome { failed_if_so: true, ..Outcome::skipped("") }
                    .with("skip_reason", "Conditional result was False")
                    .with("false_condition", condition.value),
            )),
            Err(error) if error.not_knowable().is_some() => Err(End::template(error)),
            Err(error) => Err(End::Outcome(Box::new(execute::template_failure(
                "Task failed: Error while evaluating conditional",
                &error,
            )))),
        }
    }

    /// A `meta` task whose condition is false, in Ansible's words: scripts look for them.
    fn meta_skipped(&self, word: &str) -> Outcome {
        let host = self.host;
        let rest = match word {
            "end_host" => format!("continuing execution for {host}"),
            "end_play" => "continuing play".to_owned(),
            "end_batch" => "continuing current batch".to_owned(),
            "clear_facts" => format!("not clearing facts and fact cache for {host}"),
            "clear_host_errors" => format!("not clearing host error state for {host}"),
            "flush_handlers" => format!("not running handlers for {host}"),
            _ => {
                let role = self.task.role.as_ref().map(|r| r.name.as_str()).unwrap_or_default();
                format!("continuing role {role} for {host}")
            }
        };
        let reason = format!("{word} conditional evaluated to False, {rest}");
        let msg = if word == "end_host" { reason.replace("False", "false") } else { word.to_owned() };
        Outcome { failed_if_so: true, ..Outcome::skipped(msg) }.with("skip_reason", reason)
    }

    /// Tries until `until` holds, at most `retries` times more.
    async fn attempts(&self, scope: &mut TaskScope, item: Option<&Item>) -> Result<Done, End> {
        let task = &self.task.task;
        let number =
            |written: &Option<_>, default: f64| execute::number(&self.run.templar, written.as_ref(), default, scope);
        let retrying = !task.until.is_empty() || task.retries.is_some();
        let retries = if retrying { number(&task.retries, 3.0).map_err(End::template)?.max(0.0) as u32 } else { 0 };
        let delay = number(&task.delay, 5.0).map_err(End::template)?.max(0.0);
        let mut attempt = 1;
        loop {
            let mut done = execute::execute(self, scope, item).await?;
            if !done.outcome.diff.is_empty() && self.wants_diff(scope) {
                let diff = judge::registered_diff(&self.task.action(), &done.outcome);
                done.outcome.data.insert("diff".into(), diff);
            }
            if retrying {
                done.outcome.data.insert("attempts".into(), i64::from(attempt).into());
            }
            scope.set_result(task, &done.outcome);
            let failed_when = &task.failed_when;
            let had_failed = done.outcome.is_failed();
            done.outcome = judge::judge(&self.run.templar, done.outcome, &task.changed_when, failed_when, scope);
            // As with Ansible; `fail` and `assert` fail without an exception.
            let raised = had_failed && !matches!(local_name(&self.task.action()), "fail" | "assert");
            if raised && !failed_when.is_empty() && done.outcome.status == Status::Ok {
                done.outcome.data.insert("failed_when_suppressed_exception".into(), "(traceback unavailable)".into());
            }
            scope.set_result(task, &done.outcome);
            if !retrying
                || matches!(done.outcome.status, Status::Unreachable | Status::NotKnowable(_) | Status::Skipped)
            {
                return Ok(done);
            }
            let reached = match task.until.is_empty() {
                true => !done.outcome.is_failed(),
                false => match judge::all(&self.run.templar, &task.until, scope) {
                    Ok(held) => held.is_ok(),
                    Err(error) => return Err(End::Outcome(Box::new(execute::template_failure("until", &error)))),
                },
            };
            if reached {
                return Ok(done);
            }
            if attempt > retries {
                if !task.failed_when.is_empty() {
                    // It has the last word on the host; the result is a failure all the same.
                    done.outcome.data.insert("failed".into(), true.into());
                } else if !task.until.is_empty() {
                    done.outcome.status = Status::Failed;
                }
                // As Ansible counts where all were in vain: without the first.
                done.outcome.data.insert("attempts".into(), i64::from(retries).into());
                return Ok(done);
            }
            self.emit(Event::Retrying {
                step: self.reference.clone(),
                host: self.host.to_owned(),
                item: item.cloned(),
                attempts_left: retries + 1 - attempt,
                result: self.shown(&done.outcome, scope, Duration::ZERO),
            });
            self.run.sleep(Duration::from_secs_f64(delay)).await?;
            attempt += 1;
        }
    }

    fn ignored(&self, outcome: &Outcome, scope: &TaskScope) -> bool {
        let (templar, common) = (&self.run.templar, &self.task.common);
        let said = match outcome.status {
            Status::Failed => execute::yes(templar, common, |c| c.ignore_errors.as_ref(), scope),
            Status::Unreachable => execute::yes(templar, common, |c| c.ignore_unreachable.as_ref(), scope),
            _ => return false,
        };
        said.ok().flatten().unwrap_or(false)
    }

    pub fn no_log(&self, scope: &TaskScope) -> bool {
        // A `no_log` that cannot be read hides: the other way would show.
        match execute::yes(&self.run.templar, &self.task.common, |c| c.no_log.as_ref(), scope) {
            Ok(said) => said.unwrap_or(self.run.options.no_log),
            Err(_) => true,
        }
    }

    fn notified(&self, scope: &TaskScope) -> Vec<String> {
        // Its own, or else what stands around it.
        let own = &self.task.task.notify;
        let written = if own.is_empty() { self.task.notify.iter() } else { own.iter() };
        let mut names = Vec::new();
        for w in written {
            match self.run.templar.render(&w.value, scope) {
                Ok(Value::List(list)) => names.extend(list.iter().map(Value::to_string)),
                Ok(Value::Null) => {}
                Ok(name) => names.push(name.to_string()),
                Err(error) => self.run.warn(&format!("{}: notify: {error}", w.span.place())),
            }
        }
        names
    }

    /// What the run keeps of the result: registered variables, facts, and the consequences that are due.
    fn keep(&self, finished: &Finished, due: &[Consequence]) -> Result<(), Halt> {
        let task = &self.task.task;
        let hosts = self.play.receivers(self.run, self.host, self.task);
        let registered = Value::dict(finished.outcome.registered());
        for host in &hosts {
            if let Some(name) = &task.register {
                self.run.vars.register(host, &name.value, registered.clone());
            }
        }
        if !task.register_projections.is_empty() {
            let mut scope = TaskScope::new(self.run, self.play, self.host, self.task);
            scope.set("result", registered);
            for (name, expression) in &task.register_projections {
                let text = expression.value.to_string();
                match self.run.templar.expression(&text, &expression.span, &scope) {
                    Ok(value) => hosts.iter().for_each(|h| self.run.vars.register(h, name, value.clone())),
                    Err(error) => self.run.warn(&format!("{}: register {name}: {error}", expression.span.place())),
                }
            }
        }
        let set_here = finished
            .consequences
            .iter()
            .any(|c| matches!(c, Consequence::SetFacts { .. } | Consequence::IncludeVars { .. }));
        if !finished.outcome.facts.is_empty() && !set_here {
            for host in self.fact_hosts() {
                self.run.vars.facts(&host, &finished.outcome.facts);
            }
        }
        due.iter().try_for_each(|c| self.apply(c))
    }

    /// Whose facts they are: the host's, or with `delegate_facts` those of the host it was delegated to.
    fn fact_hosts(&self) -> Vec<String> {
        let scope = TaskScope::new(self.run, self.play, self.host, self.task);
        let theirs = self
            .task
            .delegate_facts
            .as_ref()
            .is_some_and(|w| execute::truth(&self.run.templar, w, &scope).unwrap_or(false));
        match execute::delegate(&self.run.templar, self.task, &scope) {
            Ok(Some(to)) if theirs => vec![to],
            _ => self.play.receivers(self.run, self.host, self.task),
        }
    }

    fn apply(&self, consequence: &Consequence) -> Result<(), Halt> {
        match consequence {
            Consequence::SetFacts { facts, cacheable } => {
                for host in self.fact_hosts() {
                    self.run.vars.set_facts(&host, facts, *cacheable);
                }
            }
            Consequence::IncludeVars { vars } => {
                for host in self.play.receivers(self.run, self.host, self.task) {
                    self.run.vars.include_vars(&host, vars);
                }
            }
            Consequence::AddHost { name, groups, vars } => {
                self.play.host_added(self.run, name, consequence);
                self.run.add(Addition::Host { name: name.clone(), groups: groups.clone(), vars: vars.clone() })?;
            }
            Consequence::GroupBy { group, parents } => {
                let (host, group, parents) = (self.host.to_owned(), group.clone(), parents.clone());
                self.run.add(Addition::Group { host, group, parents })?;
            }
            Consequence::Stats { data, per_host, aggregate } => {
                self.run.add_stats(self.host, data, *per_host, *aggregate)
            }
            // What the play does with these is the play's.
            Consequence::Include { .. } | Consequence::Flow { .. } | Consequence::Reborn { .. } => {}
        }
        Ok(())
    }

    /// A result fit to be shown.
    pub fn shown(&self, outcome: &Outcome, scope: &TaskScope, took: Duration) -> Shown {
        let hidden = outcome.data.get("_ansible_no_log").is_some() || self.no_log(scope);
        let mut shown = self.run.out.shown(outcome, hidden, self.wants_diff(scope));
        shown.millis = took.as_millis() as u64;
        shown.verbose = scope.is_verbose();
        shown.attempts = outcome.data.get("attempts").and_then(Value::as_int).map(|a| a as u32);
        shown.delegated_to = execute::delegate(&self.run.templar, self.task, scope).ok().flatten();
        shown
    }

    fn wants_diff(&self, scope: &TaskScope) -> bool {
        let said = execute::yes(&self.run.templar, &self.task.common, |c| c.diff.as_ref(), scope);
        said.unwrap_or(Some(false)).unwrap_or(self.run.options.diff)
    }

    fn tell(&self, finished: &Finished, mut result: Shown) {
        // A banner says it all, and the recap does not count it.
        let meta = matches!(self.task.kind, Kind::Meta);
        if meta {
            let outcome = &finished.outcome;
            let said = outcome.data.get("skip_reason").map_or_else(|| outcome.msg.clone(), Value::to_string);
            if !said.is_empty() && !outcome.is_failed() {
                self.run.note(2, &format!("META: {said}"));
            }
            if outcome.status == Status::Ok {
                return;
            }
        }
        result.ignored = finished.ignored;
        self.emit(Event::HostDone { step: self.reference.clone(), host: self.host.to_owned(), result });
        self.count(finished);
    }

    fn count(&self, finished: &Finished) {
        if matches!(self.task.kind, Kind::Meta) && !finished.outcome.is_failed() {
            return;
        }
        self.run.count_result(self.host, self.task, &self.reference.name, finished);
    }

    /// Tells and, as it is no result, notes it in the journal.
    pub fn emit(&self, event: Event) {
        let stamped = self.run.out.tell(event);
        self.run.record.event(stamped);
    }
}

/// How a result was shown, for the journal.
fn marks(result: &Shown, ignored: bool, item: Option<Item>) -> Marks {
    Marks {
        item,
        ignored,
        delegated_to: result.delegated_to.clone(),
        censored: result.censored,
        verbose: result.verbose,
        millis: result.millis,
        attempts: result.attempts,
        silent: false,
    }
}

/// A step that ended early: a result without having been executed, or the end of the run.
pub enum End {
    Outcome(Box<Outcome>),
    Halt(Halt),
}

impl From<Halt> for End {
    fn from(halt: Halt) -> End {
        End::Halt(halt)
    }
}

impl End {
    /// A template that could not be rendered: the task fails with its words, or in a check run is not knowable.
    pub fn template(error: Box<TemplateError>) -> End {
        End::Outcome(Box::new(execute::template_failure("", &error)))
    }

    /// An include of what is not there, named at a place.
    pub fn not_included(reason: String, at: &Span) -> End {
        End::Outcome(Box::new(Outcome::not_included(reason, at.place())))
    }

    /// A plain failure.
    pub fn failed(msg: impl Into<String>) -> End {
        End::Outcome(Box::new(Outcome::failed(msg)))
    }
}
