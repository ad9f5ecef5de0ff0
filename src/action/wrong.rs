//! What a task says whose arguments turn out wrong once rendered, in Ansible's words: plays look for them.

use super::args::{ArgMistake, ArgSpec, FromArg};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

/// The failed outcome for arguments that turned out wrong once rendered.
pub fn wrong_arguments(module: &str, specs: &[ArgSpec], args: &Dict, mistakes: &[ArgMistake]) -> Outcome {
    let (mut unknown, mut missing, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for mistake in mistakes {
        match mistake {
            ArgMistake::Unknown(name) => unknown.push(name.as_str()),
            ArgMistake::Missing(name) => missing.push(*name),
            ArgMistake::Rule(rule) if module == "copy" && rule.starts_with("one of") => {
                said.push("src (or content) is required".into());
            }
            ArgMistake::Rule(rule) => said.push(rule.clone()),
            ArgMistake::Wrong(name, why) => {
                let words = specs
                    .iter()
                    .find(|s| s.name == name || s.aliases.contains(&name.as_str()))
                    .zip(args.get(name.as_str()))
                    .and_then(|(spec, value)| wrong_value(spec, value));
                said.push(words.unwrap_or_else(|| format!("{module}: `{name}`: {why}")));
            }
            other => said.push(format!("{module}: {other}")),
        }
    }
    unknown.sort_unstable();
    missing.sort_unstable();
    if !missing.is_empty() {
        // Actions that look at their files first have words of their own.
        let words = match module {
            "copy" => "dest is required",
            "template" | "fetch" | "assemble" => "src and dest are required",
            "unarchive" => "src (or content) and dest are required",
            _ => &format!("missing required arguments: {}", missing.join(", ")),
        };
        said.insert(0, words.to_owned());
    }
    if !unknown.is_empty() {
        let named = specs.iter().map(|s| s.name).filter(|n| !n.starts_with('_'));
        let mut known: Vec<String> = named.map(str::to_owned).collect();
        known.sort_unstable();
        let words = match module {
            // Actions that look at them themselves have words of their own.
            "fail" | "group_by" | "reboot" | "set_stats" | "wait_for_connection" => {
                format!("Invalid options for {module}: {}", unknown.join(","))
            }
            "include_vars" => format!("{} is not a valid option in include_vars", unknown[0]),
            _ => format!(
                "Unsupported parameters for ({module}) module: {}. Supported parameters include: {}.",
                unknown.join(", "),
                known.join(", ")
            ),
        };
        said.insert(0, words);
    }
    Outcome::failed(said.join("; "))
}

/// Why a value is none of its argument's kind; none where the kind is not what is wrong.
fn wrong_value(spec: &ArgSpec, value: &Value) -> Option<String> {
    let name = spec.name;
    if !spec.choices.is_empty() {
        let choices = spec.choices.join(", ");
        return Some(match value {
            Value::List(given) if spec.kind == "list" => {
                let odd = given.iter().map(Value::to_string).filter(|v| !spec.choices.contains(&v.as_str()));
                let odd = odd.collect::<Vec<_>>().join(", ");
                format!("value of {name} must be one or more of: {choices}. Got no match for: {odd}")
            }
            other => format!("value of {name} must be one of: {choices}, got: {other}"),
        });
    }
    let class = value.python_type();
    let why = match (spec.kind, value) {
        ("bool", Value::Str(text)) => format!(
            "The value '{text}' is not a valid boolean. Valid booleans include: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', \
             't', 'true', 'y', 'yes', 0, 1"
        ),
        // A number that is refused is refused for its size.
        ("int", value) if i64::from_arg(value).is_err() => {
            format!("\"{}\" cannot be converted to an int", value.python_repr())
        }
        ("bool", _) | ("float", _) | ("list", Value::Dict(_)) | ("dict", Value::List(_)) => {
            format!("<class '{class}'> cannot be converted to a {}", spec.kind)
        }
        ("dict", Value::Str(_)) => "dictionary requested, could not parse JSON or key=value".to_owned(),
        _ => return None,
    };
    Some(format!("argument '{name}' is of type {class} and we were unable to convert to {}: {why}", spec.kind))
}
