//! `ping`: the agent answers.

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;

arguments! {
    pub struct Args {
        /// What to answer; `crash` fails.
        data []: String = "pong",
    }
}

/// The module `ping`.
pub struct Ping;

impl Module for Ping {
    const NAMES: &'static [&'static str] = &["ping", "ansible.builtin.ping", "ansible.legacy.ping"];
    const DOC: &'static str = "Answers `pong`: the host is reached, the login works, and the agent runs.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("ping", "What was asked for in `data`")];
    const EXAMPLE: &'static str = "- ping:\n";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, _host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.data == "crash" {
            return Err(Failure::new("Task failed: Module failed: boom"));
        }
        Ok(Outcome::ok().with("ping", args.data))
    }
}
