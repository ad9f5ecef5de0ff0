//! `debug`: shows a text or a variable.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::vars::template::UNTRUSTED;

pub struct Debug;

crate::arguments! {
    pub struct Args {
        /// The text, or any value.
        msg []: Option<Value>,
        /// An expression to show: a variable's name, as a rule.
        var []: Option<Value>,
        /// Shown only from this `-v` level on.
        verbosity []: i64 = 0,
    }
    rules [Exclusive(&["msg", "var"])]
}

impl Action for Debug {
    const NAMES: &'static [&'static str] = &["debug", "ansible.builtin.debug"];
    const DOC: &'static str = "Prints a text or a variable. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("msg", "what was printed")];
    const EXAMPLE: &'static str = "- debug:\n    msg: \"release {{ release }}\"";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if i64::from(ctx.verbosity()) < args.verbosity {
            return Ok(Outcome::skipped("").with("skipped_reason", "Verbosity threshold not met."));
        }
        ctx.show(true);
        let Some(var) = args.var else {
            let msg = args.msg.unwrap_or_else(|| "Hello world!".into());
            return Ok(match msg {
                Value::Str(text) if !text.is_empty() => Outcome::ok().msg(text.as_ref()),
                // An outcome's own message that is empty is none.
                other => Outcome::ok().with("msg", other),
            });
        };
        // A variable that is not there is told, not failed on.
        let (name, shown) = match &var {
            Value::Str(text) if !text.is_trusted() => {
                return Err(Failure::new(format!("Error while resolving `var` expression: {UNTRUSTED}")));
            }
            Value::Str(text) => (text.to_string(), ctx.expression_shown(text)?),
            other => {
                let why = format!(
                    "argument 'var' is {}: '{other}' is not a string and conversion is not allowed",
                    other.kind()
                );
                return Err(Failure::new(why));
            }
        };
        let (value, warning) = shown;
        Ok(Outcome { warnings: warning.into_iter().collect(), ..Outcome::ok() }.with(&name, value))
    }
}
