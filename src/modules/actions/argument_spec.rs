//! `validate_argument_spec`: checks variables against a role's `meta/argument_specs.yml`.

use crate::action::args::{FromArg, truth};
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
        for (name, spec) in &args.argument_spec {
            let names = std::iter::once(name.to_string()).chain(aliases(spec));
            for name in names {
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
        }
        let mut errors = Vec::new();
        check(&checked, &given, "", &mut errors);
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

fn aliases(spec: &Value) -> Vec<String> {
    spec.get("aliases").and_then(Value::as_list).unwrap_or_default().iter().map(Value::to_string).collect()
}

/// Checks given values against their specification; `inside` names what they are options of.
fn check(spec: &Dict, given: &Dict, inside: &str, errors: &mut Vec<String>) {
    let found = if inside.is_empty() { String::new() } else { format!(" found in {inside}") };
    let mut missing = Vec::new();
    for (name, spec) in spec {
        let named = std::iter::once(name.to_string()).chain(aliases(spec));
        let value = named.into_iter().find_map(|n| given.get(n.as_str()).cloned()).filter(|v| !v.is_null());
        let Some(value) = value else {
            if spec.get("required").and_then(truth).unwrap_or(false) {
                missing.push(name.to_string());
            }
            continue;
        };
        let kind = spec.get("type").map_or_else(|| "str".to_owned(), Value::to_string);
        if let Err(why) = of_kind(&kind, &value) {
            errors.push(format!(
                "argument '{name}' is of type {} and we were unable to convert to {kind}: {why}",
                python_type(&value)
            ));
            continue;
        }
        let values = match (&value, spec.get("elements")) {
            (Value::List(list), Some(elements)) => {
                let kind = elements.to_string();
                for item in list.iter() {
                    if let Err(why) = of_kind(&kind, item) {
                        errors.push(format!(
                            "Elements value for option '{name}'{found} is of type {} and we were unable to convert to {kind}: {why}",
                            python_type(item)
                        ));
                    }
                }
                list.to_vec()
            }
            _ => vec![value.clone()],
        };
        if let Some(choices) = spec.get("choices").and_then(Value::as_list) {
            for value in values.iter().filter(|v| !choices.iter().any(|c| c.to_string() == v.to_string())) {
                let list: Vec<String> = choices.iter().map(Value::to_string).collect();
                errors.push(format!("value of {name} must be one of: {}, got: {value}{found}", list.join(", ")));
            }
        }
        if let Some(options) = spec.get("options").and_then(Value::as_dict) {
            let path = if inside.is_empty() { name.to_string() } else { format!("{inside} -> {name}") };
            for value in &values {
                if let Value::Dict(inner) = value {
                    check(options, inner, &path, errors);
                    let unknown: Vec<String> =
                        inner.keys().map(ToString::to_string).filter(|k| !options.contains_key(k.as_str())).collect();
                    if !unknown.is_empty() {
                        errors.push(format!("{path}.{} is not one of the options there", unknown.join(", ")));
                    }
                }
            }
        }
    }
    missing.sort();
    if !missing.is_empty() {
        errors.insert(0, format!("missing required arguments: {}{found}", missing.join(", ")));
    }
}

fn of_kind(kind: &str, value: &Value) -> Result<(), String> {
    match kind {
        "str" => String::from_arg(value).map(|_| ()),
        "int" => i64::from_arg(value).map(|_| ()),
        "float" => f64::from_arg(value).map(|_| ()),
        "bool" => bool::from_arg(value).map(|_| ()),
        "list" => Vec::<Value>::from_arg(value).map(|_| ()),
        "dict" => Dict::from_arg(value).map(|_| ()),
        "path" => std::path::PathBuf::from_arg(value).map(|_| ()),
        _ => Ok(()),
    }
}

/// How Python prints the type.
fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<class 'NoneType'>",
        Value::Bool(_) => "<class 'bool'>",
        Value::Int(_) => "<class 'int'>",
        Value::Float(_) => "<class 'float'>",
        Value::Str(_) | Value::Template(_) => "<class 'str'>",
        Value::List(_) => "<class 'list'>",
        Value::Dict(_) => "<class 'dict'>",
    }
}
