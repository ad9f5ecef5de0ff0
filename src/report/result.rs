//! What of a result is shown after `=>`, and in what shape. The rules are those of Ansible's default callback.

use super::python_json::dump;
use crate::dict;
use crate::model::event::{Shown, StepRef};
use crate::model::outcome::Status;
use crate::model::value::{Dict, Key};

const CENSORED: &str = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";

/// What `debug` alone shows of a result with a message.
const DEBUG_MSG: [&str; 4] = ["msg", "exception", "warnings", "deprecations"];
/// What it hides where it shows a variable.
const DEBUG_HIDDEN: [&str; 8] = [
    "changed",
    "failed",
    "skipped",
    "invocation",
    "skip_reason",
    "ansible_loop_var",
    "ansible_index_var",
    "ansible_loop",
];

/// The shape of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Always, or never, over several lines.
    pub pretty: Option<bool>,
}

/// The result as text: on one line, or indented where it is shown without being asked and from `-vvv` on.
pub fn dumped(step: &StepRef, shown: &Shown, verbosity: u8, form: Form) -> String {
    let usual = verbosity > 2 || (shown.verbose && !shown.censored && shown.outcome.status != Status::Skipped);
    let wide = form.pretty.unwrap_or(usual);
    dump(&visible(step, shown, verbosity), wide.then_some(4))
}

/// Whether a result that did not fail is shown at all.
pub fn is_shown(step: &StepRef, shown: &Shown, verbosity: u8) -> bool {
    // Facts would drown everything else.
    let facts = is(step, &["setup", "gather_facts"]) && shown.outcome.status == Status::Ok;
    let verbose = shown.verbose && !shown.censored && shown.outcome.status != Status::Skipped;
    (verbosity > 0 || verbose) && !facts
}

fn visible(step: &StepRef, shown: &Shown, verbosity: u8) -> Dict {
    let outcome = &shown.outcome;
    if shown.censored {
        let mut d = dict! {"censored" => CENSORED, "changed" => outcome.changed};
        if let Some(n) = shown.attempts {
            d.insert("attempts".into(), n.into());
        }
        return d;
    }
    let mut d = outcome.registered();
    if let Some(n) = shown.attempts
        && !d.contains_key("attempts")
    {
        d.insert("attempts".into(), n.into());
    }
    let advised = outcome.data.contains_key("advice") && verbosity == 0;
    d.retain(|key, _| {
        let Some(key) = key.as_str() else { return true };
        match key {
            // The word at the beginning of the line says these, and what is printed around it.
            "failed" | "skipped" | "exception" | "warnings" | "deprecations" | "advice" => false,
            // Of a loop the items told it, but for a host that was lost.
            "results" => outcome.status == Status::Unreachable,
            "changed" if outcome.status == Status::Skipped && is(step, &["meta"]) => false,
            "invocation" | "diff" => verbosity > 2,
            // What is advised below says the rest better.
            _ if advised => matches!(key, "changed" | "msg"),
            _ => !key.starts_with("_ansible_"),
        }
    });
    if is(step, &["debug"]) {
        if d.contains_key("msg") {
            d.retain(|key, _| key.as_str().is_some_and(|k| DEBUG_MSG.contains(&k)));
        } else {
            d.retain(|key: &Key, _| key.as_str().is_none_or(|k| !DEBUG_HIDDEN.contains(&k)));
        }
    }
    d
}

/// Whether a step's action is one of these, by its short name or its full one.
pub fn is(step: &StepRef, names: &[&str]) -> bool {
    names.contains(&short(&step.action))
}

/// An action's name without Ansible's own collections.
pub fn short(action: &str) -> &str {
    action.strip_prefix("ansible.builtin.").or_else(|| action.strip_prefix("ansible.legacy.")).unwrap_or(action)
}
