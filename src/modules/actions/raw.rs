//! `raw`: a command over plain ssh, for hosts on which nothing else works yet.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::Dict;

pub struct Raw;

crate::arguments! {
    pub struct Args {
        /// The command line, for the login shell of the host.
        cmd ["_raw_params"]: String,
        /// The shell to use instead.
        executable []: Option<String>,
    }
}

impl Action for Raw {
    const NAMES: &'static [&'static str] = &["raw", "ansible.builtin.raw"];
    const DOC: &'static str = "Runs a command line over ssh without the agent.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("rc", "exit code"), ("stdout", ""), ("stderr", "")];
    const EXAMPLE: &'static str = "- raw: cat /etc/build.info";
    const FREE_FORM: Option<&'static str> = Some("cmd");
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if ctx.check() {
            return Ok(Outcome::not_knowable("what the command would do"));
        }
        let line = match args.executable {
            Some(shell) => format!("{shell} -c {}", shell_quote(&args.cmd)),
            None => args.cmd,
        };
        ctx.raw(&line).await
    }
}

/// A text as one word for a POSIX shell.
pub fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
