//! `assert`: fails unless conditions hold.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

pub struct Assert;

crate::arguments! {
    pub struct Args {
        /// A condition or a list of them, as in `when`.
        that []: Value,
        /// Shown when one does not hold.
        fail_msg ["msg"]: Option<Value>,
        /// Shown when all hold.
        success_msg []: Option<Value>,
        /// Whether to say nothing about each condition.
        quiet []: bool = false,
    }
}

impl Action for Assert {
    const NAMES: &'static [&'static str] = &["assert", "ansible.builtin.assert"];
    const DOC: &'static str = "Fails with a message unless all conditions hold.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("assertion", "the condition that did not hold"), ("evaluated_to", "what it gave")];
    const EXAMPLE: &'static str = "- assert:\n    that: release is version('21.05', '>=')\n    fail_msg: too old";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let conditions = match &args.that {
            Value::List(list) => list.to_vec(),
            one => vec![one.clone()],
        };
        if !args.quiet {
            ctx.show(true);
        }
        let said = |outcome: Outcome, msg: Option<Value>, default: &str| match msg {
            Some(Value::Str(text)) => outcome.msg(text.as_ref()),
            Some(other) => outcome.with("msg", other),
            None => outcome.msg(default),
        };
        for condition in conditions {
            if !ctx.condition(&condition)? {
                let outcome = Outcome::failed("").with("evaluated_to", false).with("assertion", condition);
                return Ok(said(outcome, args.fail_msg, "Assertion failed"));
            }
        }
        Ok(said(Outcome::ok(), args.success_msg, "All assertions passed"))
    }
}
