//! Actions: what runs on the control node instead of on the host (`set_fact`, `debug`), or works on both sides (`copy`,
//! `template`, `fetch`, `reboot`). An action sees the engine through [`Context`] only.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use super::args::{ArgSpec, Arguments, Rule};
use super::module::{Become, Failure};
use super::wrong::wrong_arguments;
use crate::model::event;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};

/// A future that an action waits for.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An action, as its author writes it: one type in one file, and one line in the table.
pub trait Action: 'static {
    const NAMES: &'static [&'static str];
    const DOC: &'static str;
    const RETURNS: &'static [(&'static str, &'static str)];
    const EXAMPLE: &'static str;
    const FREE_FORM: Option<&'static str> = None;
    /// Whether it may change a host or the world outside: the journal then knows of it before it begins.
    const MAY_CHANGE: bool = true;
    /// Whether it only reads variables or files of this machine, or makes variables of them: its result directly before a
    /// failure is made anew when the run is resumed.
    const ONLY_LOOKS: bool = false;
    /// Names that are no argument of its own are taken too (`set_fact`): they come in `extra`.
    const OPEN: bool = false;
    type Args: Arguments + Send;

    /// Does it, and says what came of it.
    fn run(
        args: Self::Args,
        extra: Dict,
        ctx: &mut dyn Context,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// What an action sees of the engine: one task on one host.
pub trait Context: Send {
    /// The host that the task is for.
    fn host(&self) -> &str;
    /// Whether this is a check run of the task. Only for what no host handle stands for: prompts, downloads.
    fn check(&self) -> bool;
    /// Whether `--diff` or `diff: true` asks for differences.
    fn diff(&self) -> bool;
    fn verbosity(&self) -> u8;
    /// The arguments as rendered, all of them.
    fn args(&self) -> &Dict;
    /// Whether a file of the control node is encrypted by ansible-vault.
    fn is_vault(&self, file: &Found) -> bool;
    /// All of a file of the control node, decrypted if it is a vault and that is wanted.
    fn read(&self, file: &Found, decrypt: bool) -> Result<Vec<u8>, Failure>;
    /// A variable of the task, rendered; `None` if it is not defined.
    fn var(&self, name: &str) -> Result<Option<Value>, Failure>;
    /// Renders a value that the user wrote.
    fn render(&self, value: &Value) -> Result<Value, Failure>;
    /// Evaluates a bare expression (`that`, `var`); the text is trusted, as it was written by the user.
    fn expression(&self, text: &str) -> Result<Value, Failure>;
    /// The same to be shown: what is undefined is told in Ansible's words and by a warning, and is no failure.
    fn expression_shown(&self, text: &str) -> Result<(Value, Option<String>), Failure>;
    /// The truth of a condition, with Ansible's strictness.
    fn condition(&self, condition: &Value) -> Result<bool, Failure>;
    /// Renders the text of a template file with extra variables and the `template` module's options.
    fn render_text(&self, name: &str, text: &str, options: &Dict, vars: &Dict) -> Result<String, Failure>;
    /// Finds a file that belongs to the play or role: `kind` is the folder to search first (`files`, `templates`, `vars`,
    /// `tasks`). A missing one is an error that lists where it was looked for.
    fn find(&self, kind: &str, name: &str) -> Result<Found, Failure>;
    /// Variables in a YAML or JSON file (vault included).
    fn vars_file(&self, file: &Found) -> Result<Dict, Failure>;
    /// Calls a module on the host, as a part of this step.
    fn call<'a>(&'a mut self, module: &'a str, args: Dict) -> Wait<'a, Result<Outcome, Failure>>;
    /// The same with privileges of the login user, whatever `become` says.
    fn call_unprivileged<'a>(&'a mut self, module: &'a str, args: Dict) -> Wait<'a, Result<Outcome, Failure>>;
    /// Makes content available to modules by its SHA-256, which is returned in hexadecimal.
    fn offer(&mut self, content: Content) -> Result<String, Failure>;
    /// Copies a file of the host to this machine; returns its SHA-256. Written beside, then renamed.
    fn fetch<'a>(&'a mut self, path: &'a str, to: &'a std::path::Path) -> Wait<'a, Result<String, Failure>>;
    /// Asks the person at the terminal; `None` if there is none.
    fn ask<'a>(&'a mut self, prompt: &'a str, echo: bool) -> Wait<'a, Result<Option<String>, Failure>>;
    /// Opens a gate: shows it and takes an answer (given beforehand, or typed). An unanswered or refused one is a failure
    /// that stops the run, to be resumed.
    fn gate<'a>(&'a mut self, gate: event::Gate, answer: Option<String>) -> Wait<'a, Result<Outcome, Failure>>;
    /// How another program of this machine gets to the host, for one that has its own way of talking (`rsync`).
    fn way(&mut self) -> Wait<'_, Result<Way, Failure>>;
    /// The user that the task becomes, if any.
    fn becoming(&self) -> Result<Option<Become>, Failure>;
    /// Sleeps, unless the run is stopped.
    fn sleep<'a>(&'a mut self, time: Duration) -> Wait<'a, Result<(), Failure>>;
    /// Tells what is waited for.
    fn heartbeat(&mut self, wait: event::Wait);
    /// The boot id that the host's agent reported last.
    fn boot_id(&mut self) -> Wait<'_, Result<String, Failure>>;
    /// Drops the link and tries once to open it again, taking an unknown host key knowingly if told so; the boot id found.
    fn reconnect(&mut self, new_host_key: bool) -> Wait<'_, Result<String, Failure>>;
    /// From here on these host keys of the host (type and key) are taken, and no others; they were read on a link that is trusted.
    fn trust_keys(&mut self, keys: &[String]) -> Result<(), Failure>;
    /// Runs a command over plain ssh, without an agent (`raw`).
    fn raw<'a>(&'a mut self, line: &'a str) -> Wait<'a, Result<Outcome, Failure>>;
    /// Does something to the run itself.
    fn consequence(&mut self, consequence: Consequence);
    /// Whether the result is shown without being asked, as that of `debug`.
    fn show(&mut self, verbose: bool);
}

/// How a program of this machine gets to the host of a task.
#[derive(Clone, Debug)]
pub enum Way {
    /// The host is this machine.
    Here,
    /// The task is delegated to its own host: the program runs there.
    There,
    /// By `ssh` with these arguments, through the connection that stands: its control socket needs no password.
    Ssh { program: String, arguments: Vec<String>, socket: PathBuf, address: String },
}

/// A file that was found on disk or in the set built into the binary.
#[derive(Clone, Debug)]
pub struct Found {
    /// As messages name it.
    pub name: String,
    pub content: Content,
}

/// Bytes, or the file that has them.
#[derive(Clone, Debug)]
pub enum Content {
    File(PathBuf),
    Bytes(std::sync::Arc<[u8]>),
}

impl Content {
    /// All of it.
    pub fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Content::File(path) => std::fs::read(path),
            Content::Bytes(bytes) => Ok(bytes.to_vec()),
        }
    }
}

/// An action with its type erased: what tables hold.
#[derive(Clone, Copy)]
pub struct ActionEntry {
    pub names: &'static [&'static str],
    pub doc: &'static str,
    pub returns: &'static [(&'static str, &'static str)],
    pub example: &'static str,
    pub free_form: Option<&'static str>,
    pub may_change: bool,
    pub only_looks: bool,
    pub open: bool,
    pub args: fn() -> Vec<ArgSpec>,
    pub rules: fn() -> &'static [Rule],
    pub run: for<'a> fn(Dict, &'a mut dyn Context) -> Wait<'a, Result<Outcome, Failure>>,
}

impl ActionEntry {
    /// The table line of an action: `ActionEntry::of::<Debug>()`.
    pub const fn of<A: Action>() -> ActionEntry {
        ActionEntry {
            names: A::NAMES,
            doc: A::DOC,
            returns: A::RETURNS,
            example: A::EXAMPLE,
            free_form: A::FREE_FORM,
            may_change: A::MAY_CHANGE,
            only_looks: A::ONLY_LOOKS,
            open: A::OPEN,
            args: A::Args::specs,
            rules: A::Args::rules,
            run: run::<A>,
        }
    }
}

fn run<A: Action>(args: Dict, ctx: &mut dyn Context) -> Wait<'_, Result<Outcome, Failure>> {
    let (own, extra) = if A::OPEN {
        let specs = A::Args::specs();
        let known = |k: &str| specs.iter().any(|s| s.name == k || s.aliases.contains(&k));
        args.into_iter().partition(|(k, _)| k.as_str().is_some_and(known))
    } else {
        (args, Dict::new())
    };
    Box::pin(async move {
        match A::Args::from_dict(&own) {
            Ok(args) => A::run(args, extra, ctx).await,
            Err(mistakes) => Ok(wrong_arguments(A::NAMES[0], &A::Args::specs(), &own, &mistakes)),
        }
    })
}
