//! `stx_restore`: the platform's own restore procedure, begun or ended.

use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;

use super::super::platform;

crate::choices! {
    pub enum State { Started = "started", Completed = "completed" }
}

crate::arguments! {
    pub struct Args {
        /// Whether the procedure is to be in progress or over.
        state []: State,
    }
}

pub struct Procedure;

impl Module for Procedure {
    const NAMES: &'static [&'static str] = &["stx_restore"];
    const DOC: &'static str =
        "Begins (`system restore-start`) or ends (`restore-complete`) the platform's restore procedure.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("said", "the platform's words")];
    const EXAMPLE: &'static str = "- name: restore-start\n  stx_restore:\n    state: started";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let in_progress = match host.supposed("stx/restore") {
            Some(supposed) => supposed.to_string() == "started",
            None => {
                let said = platform::patiently(host.as_look(), |h| platform::ask(h, &["restore-show"]))?;
                said.contains("is in progress")
            }
        };
        if in_progress == (args.state == State::Started) {
            return Ok(Outcome::ok().msg(format!("the restore is {}", args.state.word())));
        }
        let command = if args.state == State::Started { "restore-start" } else { "restore-complete" };
        let effects = [crate::action::host::Effect::Suppose("stx/restore".into(), args.state.word().into())];
        let said = platform::tell(host, &[command], None, &effects)?;
        let said = said.trim().to_owned();
        Ok(Outcome::changed(true).msg(format!("the restore is {}", args.state.word())).with("said", said))
    }
}
