//! What an action sees of the engine.

use std::path::Path;
use std::time::Duration;

use super::caller::{CALLS_PER_ATTEMPT, Caller};
use super::execute;
use super::step::End;
use crate::action::engine_side::{ActionEntry, Content, Context, Found, Wait, Way};
use crate::action::module::{Become, Failure, Recovery};
use crate::model::event::{self};
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};
use crate::parse::vault::VaultError;
use crate::vars::template::{Scope as _, TemplateError, TemplateErrorKind};
use crate::vars::template_vars;
/// What an action sees of the engine.
pub struct ActionContext<'a> {
    pub caller: Caller<'a>,
    pub consequences: Vec<Consequence>,
    pub verbose: bool,
    args: Dict,
    recovery: Recovery,
}

impl<'a> ActionContext<'a> {
    pub fn new(caller: Caller<'a>, action: &ActionEntry, args: Dict) -> ActionContext<'a> {
        let recovery = caller.step.run.recovery_of(action, &args);
        ActionContext { caller, consequences: Vec::new(), verbose: false, args, recovery }
    }

    fn template(error: Box<TemplateError>) -> Failure {
        Failure::Failed(Box::new(execute::template_failure("", &error)))
    }

    /// Turns the end of the run into a failure of the action, and remembers it.
    fn end<T>(&mut self, result: Result<T, End>) -> Result<T, Failure> {
        result.map_err(|end| match end {
            End::Outcome(outcome) => Failure::Failed(outcome),
            End::Halt(halt) => {
                let failure = Failure::new(halt.to_string());
                self.caller.ended = Some(End::Halt(halt));
                failure
            }
        })
    }
}

impl Context for ActionContext<'_> {
    fn host(&self) -> &str {
        self.caller.step.host
    }

    fn check(&self) -> bool {
        self.caller.check
    }

    fn diff(&self) -> bool {
        self.caller.step.run.options.diff
    }

    fn verbosity(&self) -> u8 {
        self.caller.step.run.options.verbosity
    }

    fn args(&self) -> &Dict {
        &self.args
    }

    fn is_vault(&self, file: &Found) -> bool {
        let head = match &file.content {
            Content::Bytes(bytes) => bytes[..bytes.len().min(64)].to_vec(),
            Content::File(path) => {
                use std::io::Read;
                let mut head = Vec::new();
                let read = std::fs::File::open(path).and_then(|f| f.take(64).read_to_end(&mut head));
                if read.is_err() {
                    return false;
                }
                head
            }
        };
        crate::parse::vault::is_vault(&head)
    }

    fn read(&self, file: &Found, decrypt: bool) -> Result<Vec<u8>, Failure> {
        let bytes = file.content.read().map_err(|e| Failure::new(format!("reading {}: {e}", file.name)))?;
        if !decrypt || !crate::parse::vault::is_vault(&bytes) {
            return Ok(bytes);
        }
        let failed = |e: String| Failure::new(format!("{}: {e}", file.name));
        let text = std::str::from_utf8(&bytes).map_err(|e| failed(e.to_string()))?;
        let plain = self.caller.step.run.compiler.vault.decrypt(text).map_err(|e| match e {
            VaultError::NoSecret(_) => {
                Failure::new(format!("A vault password or secret must be specified to decrypt {}", file.name))
            }
            e => failed(e.to_string()),
        })?;
        Ok(plain.to_vec())
    }

    fn var(&self, name: &str) -> Result<Option<Value>, Failure> {
        self.caller.scope.rendered(name).map_err(Self::template)
    }

    fn render(&self, value: &Value) -> Result<Value, Failure> {
        self.caller.step.run.templar.render(value, self.caller.scope).map_err(Self::template)
    }

    fn expression(&self, text: &str) -> Result<Value, Failure> {
        let span = &self.caller.step.task.task.span;
        self.caller.step.run.templar.expression(text, span, self.caller.scope).map_err(Self::template)
    }

    fn expression_shown(&self, text: &str) -> Result<(Value, Option<String>), Failure> {
        let span = &self.caller.step.task.task.span;
        match self.caller.step.run.templar.expression(text, span, self.caller.scope) {
            Err(error) if error.is_undefined() => {
                let place = error.span.as_ref().map(|s| format!("{}: ", s.place())).unwrap_or_default();
                let warning = format!("Encountered 1 template error.\nerror 1 - {place}{error}");
                Ok((Value::str(format!("<< error 1 - {} >>", error.message)), Some(warning)))
            }
            Err(error) if error.kind == TemplateErrorKind::Omitted => Ok((
                Value::str("<<Omit>>"),
                Some(format!("the value of `{text}` is `omit`, and could not be omitted here")),
            )),
            other => other.map(|value| (value, None)).map_err(Self::template),
        }
    }

    fn condition(&self, condition: &Value) -> Result<bool, Failure> {
        let written = crate::model::playbook::Written::new(condition.clone(), self.caller.step.task.task.span.clone());
        self.caller.step.run.templar.condition(&written, self.caller.scope).map_err(Self::template)
    }

    fn render_text(&self, name: &str, text: &str, options: &Dict, vars: &Dict) -> Result<String, Failure> {
        let mut scope = self.caller.scope.clone();
        if scope.get("ansible_managed").is_none() {
            scope.set("ansible_managed", template_vars::MANAGED.into());
        }
        vars.iter().for_each(|(k, v)| scope.set(&k.to_string(), v.clone()));
        let search = self.caller.step.task.search.clone();
        self.caller.step.run.render_file(name, text, options, &search, &scope).map_err(Self::template)
    }

    fn find(&self, kind: &str, name: &str) -> Result<Found, Failure> {
        self.caller.step.run.find(kind, name, &self.caller.step.task.search)
    }

    fn vars_file(&self, file: &Found) -> Result<Dict, Failure> {
        self.caller.step.run.vars_file(file)
    }

    fn call<'a>(&'a mut self, module: &'a str, args: Dict) -> Wait<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            let recovery = self.recovery;
            let result = self.caller.call(module, args, recovery, true).await;
            self.end(result)
        })
    }

    fn call_unprivileged<'a>(&'a mut self, module: &'a str, args: Dict) -> Wait<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            let recovery = self.recovery;
            let result = self.caller.call(module, args, recovery, false).await;
            self.end(result)
        })
    }

    fn offer(&mut self, content: Content) -> Result<String, Failure> {
        self.caller.step.run.hosts.offer(content)
    }

    fn fetch<'a>(&'a mut self, path: &'a str, to: &'a Path) -> Wait<'a, Result<String, Failure>> {
        Box::pin(async move {
            let caller = &self.caller;
            let run = caller.step.run;
            let call =
                execute::call(caller.step, caller.scope, "stat", Dict::new(), caller.check).map_err(Self::template)?;
            let link = run.hosts.link(run, &caller.target, caller.scope, caller.step).await;
            let link = link.map_err(|e| Failure::Failed(Box::new(Outcome::unreachable(e.to_string()))))?;
            if let (Some(become_), Ok(Some(password))) = (&call.become_, caller.become_password()) {
                link.password(&become_.user, &password);
            }
            let attempt = run.record.next_attempt() * CALLS_PER_ATTEMPT;
            let fetched = link.fetch(attempt, path, call.become_.as_ref(), to).await;
            fetched.map(|f| f.sha256).map_err(|e| Failure::new(e.to_string()))
        })
    }

    fn ask<'a>(&'a mut self, prompt: &'a str, echo: bool) -> Wait<'a, Result<Option<String>, Failure>> {
        Box::pin(async move {
            let result = self.caller.step.run.ask(prompt, echo).await.map_err(End::Halt);
            self.end(result)
        })
    }

    fn gate<'a>(&'a mut self, gate: event::Gate, answer: Option<String>) -> Wait<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            let result = super::gate::open(self.caller.step, gate, answer).await.map_err(End::Halt);
            self.end(result)
        })
    }

    fn way(&mut self) -> Wait<'_, Result<Way, Failure>> {
        Box::pin(async move {
            let (run, step, scope) = (self.caller.step.run, self.caller.step, self.caller.scope);
            let delegated = execute::delegate(&run.templar, step.task, scope).map_err(Self::template)?;
            match delegated.as_deref() {
                None | Some("localhost" | "127.0.0.1" | "::1") => {}
                Some(name) if name == step.host => return Ok(Way::There),
                Some(other) => {
                    let why = format!(
                        "delegating to {other} is not supported here: to this machine or to the task's own host is"
                    );
                    return Err(Failure::new(why));
                }
            }
            let link = run.hosts.link(run, step.host, scope, step).await;
            let link = link.map_err(|e| Failure::Failed(Box::new(Outcome::unreachable(e.to_string()))))?;
            Ok(match link.ssh().await {
                None => Way::Here,
                Some(crate::connection::Ssh { program, arguments, socket, address }) => {
                    Way::Ssh { program, arguments, socket, address }
                }
            })
        })
    }

    fn becoming(&self) -> Result<Option<Become>, Failure> {
        execute::becoming(self.caller.step, self.caller.scope).map_err(Self::template)
    }

    fn sleep<'a>(&'a mut self, time: Duration) -> Wait<'a, Result<(), Failure>> {
        Box::pin(async move {
            let result = self.caller.step.run.sleep(time).await.map_err(End::Halt);
            self.end(result)
        })
    }

    fn heartbeat(&mut self, wait: event::Wait) {
        self.caller.heartbeat(wait);
    }

    fn boot_id(&mut self) -> Wait<'_, Result<String, Failure>> {
        Box::pin(async move {
            let caller = &self.caller;
            let link = caller.step.run.hosts.link(caller.step.run, &caller.target, caller.scope, caller.step).await;
            link.map(|l| l.welcome().boot_id)
                .map_err(|e| Failure::Failed(Box::new(Outcome::unreachable(e.to_string()))))
        })
    }

    fn reconnect(&mut self, new_host_key: bool) -> Wait<'_, Result<String, Failure>> {
        Box::pin(async move {
            let caller = &self.caller;
            let run = caller.step.run;
            run.hosts.forget(&caller.target).await;
            if new_host_key {
                run.hosts.forget_key(&caller.target);
                run.hosts.expect_new_key(&caller.target);
            }
            let link = run.hosts.link(run, &caller.target, caller.scope, caller.step).await;
            link.map(|l| l.welcome().boot_id)
                .map_err(|e| Failure::Failed(Box::new(Outcome::unreachable(e.to_string()))))
        })
    }

    fn trust_keys(&mut self, keys: &[String]) -> Result<(), Failure> {
        self.caller.step.run.hosts.trust_keys(&self.caller.target, keys)
    }

    fn raw<'a>(&'a mut self, line: &'a str) -> Wait<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            let caller = &self.caller;
            let run = caller.step.run;
            let become_ = execute::becoming(caller.step, caller.scope).map_err(Self::template)?;
            let password = match become_ {
                Some(_) => caller.become_password().map_err(Self::template)?,
                None => None,
            };
            let as_ = become_.as_ref().map(|b| (b, password.as_ref()));
            Ok(run.hosts.raw(run, &caller.target, caller.scope, caller.step, line, as_).await)
        })
    }

    fn consequence(&mut self, consequence: Consequence) {
        self.consequences.push(consequence);
    }

    fn show(&mut self, verbose: bool) {
        self.verbose = verbose;
    }
}
