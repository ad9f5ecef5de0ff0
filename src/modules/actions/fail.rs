//! `fail`: fails with a message.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::Dict;

pub struct Fail;

crate::arguments! {
    pub struct Args {
        /// Why.
        msg []: String = "Failed as requested from task",
        /// Lines of advice, each a heading and a text (`Cause`, `State`, `Safe now`, `Next`), shown below the failure.
        advice []: Option<crate::model::value::Value>,
    }
}

impl Action for Fail {
    const NAMES: &'static [&'static str] = &["fail", "ansible.builtin.fail"];
    const DOC: &'static str = "Fails with a message.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "- fail:\n    msg: not on a simplex system\n  when: mode != 'simplex'";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    async fn run(args: Args, _: Dict, _: &mut dyn Context) -> Result<Outcome, Failure> {
        let outcome = Outcome::failed(args.msg);
        Ok(match args.advice {
            Some(advice) => outcome.with("advice", advice),
            None => outcome,
        })
    }
}
