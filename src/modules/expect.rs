//! `expect`: runs a program and answers what it asks at its terminal.

use std::path::PathBuf;
use std::time::Duration;

use super::command::{self, output_values};
use super::shell_words;
use crate::action::command::{Command, Dialogue};
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module, Recovery};
use crate::arguments;
use crate::model::outcome::{Outcome, Status};
use crate::model::value::{Dict, Value};

arguments! {
    pub struct Args {
        /// The command line; it goes through no shell.
        command []: String,
        /// Directory to run in.
        chdir []: Option<PathBuf>,
        /// A path or pattern; where it exists, nothing is run.
        creates []: Option<PathBuf>,
        /// A path or pattern; where it does not exist, nothing is run.
        removes []: Option<PathBuf>,
        /// Regular expressions of what it asks, each with the answer; with a list of answers, one each time it asks.
        responses []: Dict,
        /// Seconds to wait for a question or its end.
        timeout []: u64 = 30u64,
        /// Whether what is typed is shown in the output.
        echo []: bool = false,
    }
}

/// The module `expect`.
pub struct Expect;

impl Module for Expect {
    const NAMES: &'static [&'static str] = &["expect", "ansible.builtin.expect", "ansible.legacy.expect"];
    const DOC: &'static str = "Runs a program and answers what it asks at its terminal. The host's `setsid` gives it one.\n\
        In a check run it is not run unless `creates` or `removes` decide; what it would do is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("rc", "Its exit code"),
        ("stdout", "What it printed at the terminal"),
        ("cmd", "What was run"),
        ("start", "When it began, with `end` and `delta`"),
    ];
    const EXAMPLE: &'static str = "- expect:\n    command: passwd username\n    responses:\n      (?i)password: \"{{ new_password }}\"\n  no_log: true\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let shown = args.command.as_str();
        if shown.trim().is_empty() {
            return Err(Failure::Failed(Box::new(Outcome::failed("no command given").with("rc", 256))));
        }
        let dir = args.chdir.as_deref().map(|d| super::paths::expand(host.as_look(), d)).transpose()?;
        if let Some(said) =
            command::not_needed(args.creates.as_deref(), args.removes.as_deref(), dir.as_deref(), host.as_look())?
        {
            return Ok(Outcome::ok().with("cmd", shown).with("stdout", said.1).with("rc", 0));
        }
        let texts = |value: &Value| match value {
            Value::List(list) => list.iter().map(Value::to_string).collect(),
            one => vec![one.to_string()],
        };
        let answers = args.responses.iter().map(|(k, v)| (k.to_string(), texts(v))).collect();
        let argv = shell_words::split(shown).map_err(Failure::new)?;
        let mut program = Command::new(argv);
        program.dir = dir;
        program.timeout = Some(Duration::from_secs(args.timeout));
        program.terminal = Some(Dialogue { answers, echo: args.echo });
        let begun = command::Clock::start();
        let base = Outcome::changed(true).with("cmd", shown);
        let output = match host.run(&program) {
            Ok(output) => output,
            Err(HostError::NotKnowable(_)) if args.creates.is_some() || args.removes.is_some() => {
                return Ok(base.msg("Command would have run if not in check mode"));
            }
            Err(HostError::Deadline { after, .. }) if Some(after) == program.timeout => {
                let outcome = Outcome { status: Status::Failed, ..begun.stamp(base) };
                return Err(Failure::Failed(Box::new(outcome.with("rc", Value::Null).msg("command exceeded timeout"))));
            }
            Err(HostError::NoProgram(name)) => {
                let msg = format!("The command was not found or was not executable: {name}.");
                return Err(Failure::Failed(Box::new(Outcome { status: Status::Failed, ..base }.msg(msg))));
            }
            Err(e) => return Err(e.into()),
        };
        let stdout = output.text().trim_end_matches(['\r', '\n']).to_owned();
        let mut outcome = output_values(begun.stamp(base), output.rc, stdout, String::new());
        if output.rc != 0 {
            outcome.status = Status::Failed;
            return Err(Failure::Failed(Box::new(outcome.msg("non-zero return code"))));
        }
        Ok(outcome)
    }

    fn recovery(args: &Args) -> Recovery {
        if args.creates.is_some() || args.removes.is_some() { Recovery::Again } else { Recovery::Ask }
    }
}
