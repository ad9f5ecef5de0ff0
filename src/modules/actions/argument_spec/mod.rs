//! `validate_argument_spec`: checks variables against a role's `meta/argument_specs.yml`.

mod check;
mod kinds;

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

pub struct ValidateArgumentSpec;

crate::arguments! {
    pub struct Args {
        /// Names and what each must be: `type`, `required`, `choices`, `elements`, `options`, `default`, `aliases`.
        argument_spec []: Dict,
        /// The values to check; the task's variables of those names unless given.
        provided_arguments []: Option<Dict>,
        /// What is checked, for messages: `name` of the role, `argument_spec_name`.
        validate_args_context []: Option<Dict>,
    }
}

impl Action for ValidateArgumentSpec {
    const NAMES: &'static [&'static str] = &["validate_argument_spec", "ansible.builtin.validate_argument_spec"];
    const DOC: &'static str =
        "Checks variables against an argument specification, and tells all that is wrong at once.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("argument_errors", "What is wrong, a sentence each"), ("argument_spec_data", "The specification")];
    const EXAMPLE: &'static str =
        "- validate_argument_spec:\n    argument_spec:\n      release:\n        type: str\n        required: true\n";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut given = args.provided_arguments.clone().unwrap_or_default();
        let mut checked = args.argument_spec.clone();
        for name in args.argument_spec.keys().map(ToString::to_string) {
            if given.contains_key(name.as_str()) {
                continue;
            }
            match ctx.var(&name) {
                Ok(Some(value)) => {
                    given.insert(name.into(), value);
                }
                Ok(None) => {}
                // It is given, in terms of what later tasks find out: there is nothing to check yet.
                Err(_) => {
                    checked.shift_remove(name.as_str());
                }
            }
        }
        let errors = check::errors(&checked, given);
        let context = Value::dict(args.validate_args_context.unwrap_or_default());
        if errors.is_empty() {
            let outcome = Outcome::ok().with("validate_args_context", context);
            return Ok(outcome.msg("The arg spec validation passed"));
        }
        let said = format!("Validation of arguments failed:\n{}", errors.join("\n"));
        Ok(Outcome::failed(said)
            .with("argument_errors", errors.iter().map(String::as_str).collect::<Value>())
            .with("argument_spec_data", Value::dict(args.argument_spec))
            .with("validate_args_context", context))
    }
}
