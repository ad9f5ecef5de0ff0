//! What a result means: `changed_when`, `failed_when`, `until`, and the one result that a loop's items make.

use super::scope::TaskScope;
use crate::dict;
use crate::model::outcome::{Outcome, Status};
use crate::model::playbook::Written;
use crate::model::value::{Dict, Value};
use crate::vars::template::{Templar, TemplateError};

/// Ansible's words about a condition that is a template as a whole.
pub const SURROUNDED: &str = "Conditionals should not be surrounded by templating delimiters such as {{ }} or {% %}. \
     This feature will be removed from ansible-core version 2.23.";

/// Whether a condition is a template as a whole, though it is evaluated as it is.
pub fn is_surrounded(condition: &Written) -> bool {
    let Value::Template(written) = &condition.value else { return false };
    let text = written.text.trim();
    ["{{", "{%"].iter().any(|b| text.starts_with(b)) && ["}}", "%}"].iter().any(|e| text.ends_with(e))
}

/// Whether all conditions hold; an empty list does.
pub fn all(
    templar: &Templar,
    conditions: &[Written],
    scope: &TaskScope,
) -> Result<Result<(), Written>, Box<TemplateError>> {
    for condition in conditions {
        if let Value::List(list) = &condition.value {
            for item in list.iter() {
                let one = Written::new(item.clone(), condition.span.clone());
                if !templar.condition(&one, scope)? {
                    return Ok(Err(one));
                }
            }
        } else if !templar.condition(condition, scope)? {
            return Ok(Err(condition.clone()));
        }
    }
    Ok(Ok(()))
}

/// Applies `changed_when` and `failed_when` to a fresh result; `scope` already knows it under its registered name.
pub fn judge(
    templar: &Templar,
    mut outcome: Outcome,
    changed_when: &[Written],
    failed_when: &[Written],
    scope: &TaskScope,
) -> Outcome {
    if matches!(outcome.status, Status::Skipped | Status::Unreachable | Status::NotKnowable(_)) {
        return outcome;
    }
    if !changed_when.is_empty() {
        match all(templar, changed_when, scope) {
            Ok(held) => outcome.changed = held.is_ok(),
            Err(error) => return unjudged(outcome, "changed_when", &error),
        }
    }
    if !failed_when.is_empty() {
        match all(templar, failed_when, scope) {
            Ok(held) => {
                let failed = held.is_ok();
                outcome.status = if failed { Status::Failed } else { Status::Ok };
                outcome.data.insert("failed_when_result".into(), failed.into());
            }
            Err(error) => return unjudged(outcome, "failed_when", &error),
        }
    }
    outcome
}

fn unjudged(outcome: Outcome, what: &str, error: &TemplateError) -> Outcome {
    if let Some(why) = error.not_knowable() {
        return Outcome { status: Status::NotKnowable(why.to_owned()), ..outcome };
    }
    let said = format!("{what}: {error}");
    Outcome { status: Status::Failed, ..outcome }.with(&format!("{what}_result"), error.to_string()).msg(said)
}

/// The differences in the shape in which Ansible's modules register them: some give a list, whatever its length, and those that
/// edit lines tell of the file's attributes too, by no more than their name where nothing became of them.
pub fn registered_diff(action: &str, outcome: &Outcome) -> Value {
    let diff = outcome.diff_value();
    match crate::plan::words::local_name(action) {
        "copy" | "template" if diff.as_list().is_none() => Value::list(vec![diff]),
        "lineinfile" | "blockinfile" if diff.as_list().is_none() => {
            let header = diff.get("after_header").map(Value::to_string).unwrap_or_default();
            let header = format!("{} (file attributes)", header.trim_end_matches(" (content)"));
            let attributes = dict! {"before_header" => header.as_str(), "after_header" => header.as_str()};
            Value::list(vec![diff, Value::dict(attributes)])
        }
        _ => diff,
    }
}

/// A loop's items, with the variables of each, as one result: changed, failed or unreachable if any was, skipped if all were.
pub fn combine(items: &[(Dict, Outcome)]) -> Outcome {
    let outcomes = || items.iter().map(|(_, o)| o);
    let any = |status: Status| outcomes().any(|o| o.status == status);
    let failed = any(Status::Failed);
    let unknowable = outcomes().find_map(|o| match &o.status {
        Status::NotKnowable(why) => Some(why.clone()),
        _ => None,
    });
    let skipped = !items.is_empty() && outcomes().all(|o| o.status == Status::Skipped);
    let status = match unknowable {
        _ if failed => Status::Failed,
        _ if any(Status::Unreachable) => Status::Unreachable,
        Some(why) => Status::NotKnowable(why),
        None if skipped || items.is_empty() => Status::Skipped,
        None => Status::Ok,
    };
    // Failures that `failed_when` does not let the host fail of.
    let spared = outcomes().any(|o| o.data.get("failed") == Some(&Value::Bool(true)));
    let msg = match (&status, items.is_empty()) {
        // Told as `skipped_reason`.
        (_, true) => "",
        _ if spared => "One or more items failed",
        (Status::Failed, _) => "One or more items failed",
        (Status::Skipped, _) => "All items skipped",
        _ => "All items completed",
    };
    let results: Vec<Value> = items
        .iter()
        .map(|(vars, outcome)| {
            let mut d = outcome.registered();
            d.extend(vars.clone());
            Value::dict(d)
        })
        .collect();
    let mut combined =
        Outcome { status, changed: outcomes().any(|o| o.changed), failed_if_so: true, ..Outcome::default() }
            .with("results", Value::list(results))
            .msg(msg);
    if combined.status != Status::Skipped {
        combined.data.insert("skipped".into(), false.into());
    }
    if spared {
        combined.data.insert("failed".into(), true.into());
    }
    if items.is_empty() {
        combined.data.insert("skipped_reason".into(), "No items in the list".into());
    }
    for outcome in outcomes() {
        combined.facts.extend(outcome.facts.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    combined
}

/// The items of a list for `loop`; anything else is an error that says what it is.
pub fn items(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::List(list) => Ok(list.to_vec()),
        other => Err(format!(
            "Invalid data passed to 'loop', it requires a list, got this instead: {other}. Hint: if you passed a list/dict of just one \
             element, try adding wantlist=True to your lookup invocation or use q/query instead of lookup."
        )),
    }
}
