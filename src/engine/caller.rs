//! Calls to a host on behalf of one step, with what is in doubt settled.

use std::time::Duration;

use tokio::sync::mpsc;

use super::execute::Pace;
use super::options::Said;
use super::record::{Begin, Recorder};
use super::run::Halt;
use super::scope::TaskScope;
use super::step::{End, Step};
use super::{execute, hosts};
use crate::action::module::{Call, Entry, Job, Recovery};
use crate::action::wire::Attempt;
use crate::connection::{Known, Link, LinkError, Reattached, Tidings};
use crate::journal::record::Ruling;
use crate::model::event::{self, Event};
use crate::model::outcome::{Outcome, Status};
use crate::model::secret::Secret;
use crate::model::value::Dict;
use crate::plan::identity::short_digest;
use crate::vars::template::TemplateError;

/// Calls modules on the step's host.
pub struct Caller<'a> {
    pub step: &'a Step<'a>,
    pub scope: &'a TaskScope,
    pub item: Option<u32>,
    pub check: bool,
    /// The host that is acted on: the step's own, or the one it is delegated to.
    pub target: String,
    /// The module is a job of its own on the host.
    pub pace: Option<Pace>,
    /// Calls made so far by this execution.
    calls: u64,
    /// The attempt that the journal knows, once begun.
    base: Option<Attempt>,
    /// It was begun by an earlier part of the run, and no end of it is on record: the agent that had it, empty if that is
    /// not known.
    in_doubt: Option<String>,
    /// Set when the run ends in the middle of an action.
    pub ended: Option<End>,
}

/// Calls of one attempt are numbered below it, so that an action's several calls are several attempts to the agent.
/// An action that asks every second for days does not come to the next attempt's.
pub(super) const CALLS_PER_ATTEMPT: u64 = 1 << 20;

impl<'a> Caller<'a> {
    pub fn new(step: &'a Step<'a>, scope: &'a TaskScope, item: Option<u32>) -> Result<Caller<'a>, End> {
        let templar = &step.run.templar;
        let said = execute::yes(templar, &step.task.common, |c| c.check_mode.as_ref(), scope).map_err(End::template)?;
        let check = said.unwrap_or(step.run.options.check);
        let delegated = execute::delegate(templar, step.task, scope).map_err(End::template)?;
        let target = delegated.unwrap_or_else(|| step.host.to_owned());
        Ok(Caller { step, scope, item, check, target, pace: None, calls: 0, base: None, in_doubt: None, ended: None })
    }

    /// Puts on record that this step begins. Durable when it returns.
    pub async fn start(&mut self, recovery: Recovery) -> Result<(), End> {
        let place = self.step.place(self.item);
        if let Some(doubt) = self.step.run.record.in_doubt(&place) {
            self.base = Some(doubt.attempt);
            self.in_doubt = Some(doubt.boot_id.clone().unwrap_or_default());
            return Ok(());
        }
        self.begin(recovery, None, None).await
    }

    async fn begin(
        &mut self,
        recovery: Recovery,
        link: Option<&Link>,
        verdict: Option<(Ruling, &str, &str)>,
    ) -> Result<(), End> {
        let place = self.step.place(self.item);
        let agent = link.map(agent_of);
        let verdict = verdict
            .map(|(ruling, by, text)| Recorder::verdict(&place, self.base.unwrap_or_default(), ruling, by, text));
        let begin = Begin {
            place: &place,
            step: &self.step.reference,
            host: &self.target,
            fingerprint: &self.step.task.fingerprint,
            recovery,
            agent: agent.as_deref(),
        };
        self.base = Some(self.step.run.record.start(begin, verdict).await?);
        Ok(())
    }

    /// Calls a module of the table as the whole of this step.
    pub async fn call_module(&mut self, module: &'static Entry, args: Dict) -> Result<Outcome, End> {
        let recovery = (module.recovery)(&args);
        let call = self.prepare(module.names[0], args, true)?;
        if !self.check {
            let place = self.step.place(self.item);
            match self.step.run.record.in_doubt(&place) {
                Some(_) => self.start(recovery).await?,
                None => {
                    // Linked first, so that the record can say who is about to get it.
                    let run = self.step.run;
                    let link = match run.hosts.link(run, &self.target, self.scope, self.step).await {
                        Ok(link) => link,
                        Err(error) => return Ok(Outcome::unreachable(error.to_string())),
                    };
                    self.begin(recovery, Some(&link), None).await?;
                }
            }
        }
        self.send(call, recovery, module.loses_host).await
    }

    /// Calls a module as a part of an action.
    pub async fn call(&mut self, module: &str, args: Dict, recovery: Recovery, become_: bool) -> Result<Outcome, End> {
        let call = self.prepare(module, args, become_)?;
        let loses_host = self.step.run.compiler.modules.module(module).and_then(|m| m.loses_host);
        self.send(call, recovery, loses_host).await
    }

    fn prepare(&self, module: &str, args: Dict, become_: bool) -> Result<Call, End> {
        let mut call = execute::call(self.step, self.scope, module, args, self.check).map_err(End::template)?;
        if !become_ {
            call.become_ = None;
        }
        // Where tasks around it act on the host itself, or Ansible is asked for, a preview knows of its own task alone.
        let options = &self.step.run.options;
        call.fresh = self.check && self.calls == 0 && (options.as_ansible || !options.check);
        Ok(call)
    }

    /// Sends a call and waits for its result; what is in doubt is settled first, and what gets in doubt on the way, too.
    async fn send(&mut self, mut call: Call, recovery: Recovery, loses_host: Option<u64>) -> Result<Outcome, End> {
        let run = self.step.run;
        let password = match call.become_ {
            Some(_) => self.become_password().map_err(End::template)?,
            None => None,
        };
        let mut attempt = self.next_attempt();
        self.name_job(&mut call, attempt);
        // Who had it, if an earlier part of the run or a lost link left it open; the same agent, or another.
        let mut doubt: Option<Doubt> = self.in_doubt.as_ref().map(|agent| Doubt::Had { agent: agent.clone() });
        let mut again = run.record.counts_as_changed(&self.step.place(self.item));
        let mut known_link = None;
        loop {
            let link = match known_link.take() {
                Some(link) => link,
                None => match run.hosts.link(run, &self.target, self.scope, self.step).await {
                    Ok(link) => link,
                    Err(error) if doubt.is_some() => match went_down(&error) && loses_host.is_some() {
                        true => return Ok(self.host_went_down("it answers with another host key")),
                        false => return self.unreachable(&error, true),
                    },
                    Err(error) => return self.unreachable(&error, false),
                },
            };
            if let (Some(become_), Some(password)) = (&call.become_, &password) {
                link.password(&become_.user, password);
            }
            let mut follow = false;
            if let Some(was) = doubt.take() {
                match self.settle(&link, attempt, recovery, &was).await? {
                    Settled::Done(outcome) => {
                        self.acknowledge(&link, attempt);
                        return Ok(*outcome);
                    }
                    Settled::Wait => follow = true,
                    Settled::Fresh => {}
                    Settled::Again => {
                        again = true;
                        self.in_doubt = None;
                        attempt = self.next_attempt();
                        self.name_job(&mut call, attempt);
                    }
                }
            }
            run.note_sent(&self.target, || format!("EXEC {}", call.told()));
            let progress = Some(self.progress());
            let answer = tokio::select! {
                answer = async {
                    match follow {
                        true => link.follow(attempt, progress).await,
                        false => link.call(attempt, &call, progress).await,
                    }
                } => answer,
                never = self.poll(&call) => match never {},
                () = run.stop.now() => return Err(End::Halt(Halt::Stopped("stopped while a step was under way".into()))),
            };
            match answer {
                Ok(done) => {
                    self.acknowledge(&link, attempt);
                    let mut outcome = done.outcome;
                    self.job_ended(&call, &outcome);
                    // What an unknown attempt may have done still has to fire its handlers.
                    if again && outcome.status == Status::Ok && !self.check {
                        outcome.changed = true;
                    }
                    return Ok(outcome);
                }
                Err(LinkError::Lost { why, sent, .. }) => {
                    self.step.emit(Event::Link { host: self.target.clone(), up: false, why });
                    let patience = Duration::from_secs(loses_host.unwrap_or(run.options.link_timeout));
                    let before = agent_of(&link);
                    let back = tokio::select! {
                        back = self.reattach(&link, patience) => back,
                        () = run.stop.now() => return Err(End::Halt(Halt::Stopped("stopped while a step was under way".into()))),
                    };
                    match back {
                        Ok(_) => {
                            self.step.emit(Event::Link {
                                host: self.target.clone(),
                                up: true,
                                why: "attached again".into(),
                            });
                            doubt = (sent || follow).then_some(Doubt::Had { agent: before });
                            known_link = Some(link);
                        }
                        Err(error) if loses_host.is_some() && went_down(&error) => {
                            run.hosts.forget(&self.target).await;
                            return Ok(self.host_went_down("it answers with another host key"));
                        }
                        Err(error) => return self.unreachable(&error, sent || follow),
                    }
                }
                Err(error) => return self.unreachable(&error, false),
            }
        }
    }

    /// A job gets its name from the attempt that the journal knows, so that a resume finds it by the same.
    fn name_job(&self, call: &mut Call, attempt: Attempt) {
        let Some(pace) = self.pace else { return };
        let run = u64::from_str_radix(&short_digest(self.step.run.id.as_bytes()), 16).unwrap_or_default();
        let folder = call.env.iter().find(|(name, _)| name == "ANSIBLE_ASYNC_DIR").map(|(_, value)| value.clone());
        let id = format!("j{}.{attempt}", run % 1_000_000_000_000);
        call.job = Some(Job { id, folder, waits: pace.poll > 0.0 });
        call.deadline = pace.limit.max(1);
    }

    /// Tells every `poll` seconds that a job is at work; never ends.
    async fn poll(&self, call: &Call) -> std::convert::Infallible {
        if let (Some(pace), Some(job)) = (self.pace.filter(|p| p.poll > 0.0), &call.job) {
            loop {
                tokio::time::sleep(Duration::from_secs_f64(pace.poll)).await;
                self.tell_job(&job.id, event::JobState::Running);
            }
        }
        std::future::pending().await
    }

    fn job_ended(&self, call: &Call, outcome: &Outcome) {
        if let Some(job) = call.job.as_ref().filter(|j| j.waits) {
            let state = if outcome.is_failed() { event::JobState::Failed } else { event::JobState::Ok };
            self.tell_job(&job.id, state);
        }
    }

    fn tell_job(&self, id: &str, state: event::JobState) {
        let step = self.step;
        let host = step.host.to_owned();
        step.run.out.tell(Event::Job { step: step.reference.clone(), host, id: id.to_owned(), state });
    }

    /// The password for becoming another user on the host that is acted on: a delegated one has its own.
    pub(super) fn become_password(&self) -> Result<Option<Secret>, Box<TemplateError>> {
        let step = self.step;
        match self.target == step.host {
            true => hosts::become_password(step.run, self.scope),
            false => hosts::become_password(step.run, &TaskScope::of_host(step.run, Some(step.play), &self.target)),
        }
    }

    fn next_attempt(&mut self) -> Attempt {
        let base = self.base.unwrap_or_else(|| self.step.run.record.next_attempt());
        self.base = Some(base);
        self.calls += 1;
        base * CALLS_PER_ATTEMPT + self.calls - 1
    }

    /// The agent may forget the result, once it is durable here.
    fn acknowledge(&self, link: &Link, attempt: Attempt) {
        self.step.run.record.acknowledge_later(&self.step.place(self.item), link.clone(), attempt);
    }

    /// Brings a lost link back, telling meanwhile what is waited for.
    async fn reattach(&self, link: &Link, patience: Duration) -> Result<Reattached, LinkError> {
        let began = std::time::Instant::now();
        let mut back = Box::pin(link.reattach(patience));
        loop {
            tokio::select! {
                back = &mut back => return back,
                () = tokio::time::sleep(Duration::from_secs(1)) => self.heartbeat(event::Wait {
                    reason: format!("the link to {} is back", self.target),
                    elapsed: began.elapsed().as_millis() as u64,
                    usual: None,
                    budget: patience.as_millis() as u64,
                    seen: "no answer".into(),
                }),
            }
        }
    }

    pub(super) fn heartbeat(&self, wait: event::Wait) {
        let step = self.step;
        step.run.out.tell(Event::Waiting { step: step.reference.clone(), host: step.host.to_owned(), wait });
    }

    /// The end of a step that takes its host down: the host went down, which is what it does.
    fn host_went_down(&self, evidence: &str) -> Outcome {
        Outcome::changed(!self.check).msg(format!("the host went down, as this step makes it do: {evidence}"))
    }

    /// What is known of an attempt of which no end is on record: ask the agent, then look at what may be done again, then
    /// ask the operator. Never a blind second run.
    async fn settle(&mut self, link: &Link, attempt: Attempt, recovery: Recovery, was: &Doubt) -> Result<Settled, End> {
        const AGENT: &str = "the agent";
        let Doubt::Had { agent } = was;
        let same_agent = agent.is_empty() || *agent == agent_of(link);
        let (by, ruling, text, settled) = match link.ask(attempt).await {
            Ok(Known::Done(done)) => {
                let said = if done.outcome.is_failed() { "it had run, and failed" } else { "it had run" };
                let text = format!("asked the agent: {said}. Taken as it ended; it is not run again");
                (AGENT.to_owned(), Ruling::Ran, text, Settled::Done(Box::new(done.outcome)))
            }
            Ok(Known::Running) => (
                AGENT.to_owned(),
                Ruling::Ran,
                "asked the agent: it still runs; waiting for its end".into(),
                Settled::Wait,
            ),
            Ok(Known::NeverSeen) if same_agent && !agent.is_empty() => (
                AGENT.to_owned(),
                Ruling::NeverRan,
                "asked the agent: it never came to it; it is run now".into(),
                Settled::Fresh,
            ),
            Ok(Known::NeverSeen) | Err(_) => match recovery {
                Recovery::Again => {
                    let text = "the agent of that time is gone; the step looks first, so it is run again";
                    ("its own look".to_owned(), Ruling::Again, text.into(), Settled::Again)
                }
                Recovery::Observe => {
                    let text = "the agent of that time is gone; the platform is asked for its own state";
                    ("the platform".to_owned(), Ruling::Again, text.into(), Settled::Again)
                }
                Recovery::Ask => self.ask_operator().await?,
            },
        };
        // What is run again gets a new attempt on record, so that a second cut finds that one in doubt.
        if matches!(settled, Settled::Again) && self.base.is_some() && !self.check {
            self.calls = 0;
            self.begin(recovery, Some(link), Some((ruling, &by, &text))).await?;
        }
        self.step.emit(Event::InDoubt {
            step: self.step.reference.clone(),
            host: self.step.host.to_owned(),
            sent_at: super::out::now(),
            verdict: text,
        });
        Ok(settled)
    }

    async fn ask_operator(&self) -> Result<(String, Ruling, String, Settled), End> {
        let run = self.step.run;
        let about = format!(
            "[{}] `{}` ({}) was begun, and nobody can say whether it ran. Look at the host, then",
            self.step.host, self.step.reference.name, self.step.reference.place
        );
        let host = self.step.host;
        let place = self.step.place(self.item);
        let said = match run.record.take_answer(&place, &run.options.in_doubt) {
            Some(said) => Some(said),
            None => {
                let question = format!(
                    "{about} type `ran` if it did, `failed` if it did and failed, `run` to run it now, anything else to stop: "
                );
                run.ask(&question, true).await?.and_then(|typed| Said::read(typed.trim()))
            }
        };
        let ran =
            |outcome: Outcome, text: &str| (Ruling::TakenAsDone, text.to_owned(), Settled::Done(Box::new(outcome)));
        let (ruling, text, settled) = match said {
            Some(Said::Ran) => {
                let outcome = Outcome::changed(true).msg("taken as done on the operator's word");
                ran(outcome, "the operator says that it ran")
            }
            Some(Said::Failed) => {
                let outcome = Outcome::failed("taken as failed on the operator's word");
                ran(outcome, "the operator says that it ran and failed")
            }
            Some(Said::Run) => (Ruling::Again, "the operator says to run it".to_owned(), Settled::Again),
            None => {
                return Err(End::Halt(Halt::InDoubt(format!(
                    "{about} `stx-upgrade resume --in-doubt {host}=ran` if it did (`{host}=failed` if it did and failed), `--in-doubt \
                     {host}=run` to run it now"
                ))));
            }
        };
        Ok((run.options.operator.clone(), ruling, text, settled))
    }

    fn unreachable(&self, error: &LinkError, in_doubt: bool) -> Result<Outcome, End> {
        // A step whose end is not known must not be put on record as ended.
        if in_doubt && self.base.is_some() && !self.check {
            return Err(End::Halt(Halt::Lost { host: self.target.clone(), why: error.to_string() }));
        }
        Ok(Outcome::unreachable(error.to_string()))
    }

    /// Where the agent's heartbeats and lines go; what is not to be logged is not told while it is printed either.
    fn progress(&self) -> mpsc::UnboundedSender<Tidings> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let (run, step, host) = (self.step.run.clone(), self.step.reference.clone(), self.step.host.to_owned());
        let hidden = self.step.no_log(self.scope);
        tokio::spawn(async move {
            while let Some(tidings) = told.recv().await {
                let event = match tidings {
                    Tidings::Output(_) if hidden => continue,
                    Tidings::Waiting(mut wait) => {
                        if hidden {
                            wait.seen = event::CENSORED.into();
                        }
                        Event::Waiting { step: step.clone(), host: host.clone(), wait }
                    }
                    Tidings::Output(line) => {
                        Event::Output { step: step.clone(), host: host.clone(), line: run.out.mask.text(&line) }
                    }
                };
                run.out.tell(event);
            }
        });
        tell
    }
}

/// An attempt that may have been begun, and the agent that had it (empty if that is not known).
enum Doubt {
    Had { agent: String },
}

/// Who serves a link: boot, process and start of the agent.
fn agent_of(link: &Link) -> String {
    let w = link.welcome();
    format!("{} {} {}", w.boot_id, w.pid, w.started_at)
}

/// Whether an error shows that the host was reinstalled since.
fn went_down(error: &LinkError) -> bool {
    matches!(error, LinkError::HostKeyChanged { .. })
}

/// What became of an attempt in doubt.
enum Settled {
    /// It ended; its result.
    Done(Box<Outcome>),
    /// It runs; sending the same attempt waits for its end.
    Wait,
    /// It was never begun.
    Fresh,
    /// It may have run; it is run again.
    Again,
}
