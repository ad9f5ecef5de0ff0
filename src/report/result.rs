//! What of a result is shown after `=>`, and in what shape. The rules are those of Ansible's default callback.

use super::python_json::dump;
use crate::dict;
use crate::model::event::{Shown, StepRef};
use crate::model::outcome::Status;
use crate::model::value::{Dict, Key, Value};
use crate::model::yaml;

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
    /// As YAML, below the line; else as JSON.
    pub yaml: bool,
}

/// The result as text behind its line's arrow: JSON on one line, or indented where it is shown without being asked and from
/// `-vvv` on; or YAML below the line.
pub fn dumped(step: &StepRef, shown: &Shown, verbosity: u8, form: Form) -> String {
    let result = visible(step, shown, verbosity);
    if form.yaml {
        return below(result, form.pretty.unwrap_or(true));
    }
    let usual = verbosity > 2 || (shown.verbose && !shown.censored && shown.outcome.status != Status::Skipped);
    let wide = form.pretty.unwrap_or(usual);
    dump(&result, wide.then_some(4))
}

/// A result as YAML on lines of its own. One for people says nothing twice, and shows a text as lines even where a blank
/// must be left out for that.
fn below(mut result: Dict, for_people: bool) -> String {
    if for_people {
        for (whole, lines) in [("stdout", "stdout_lines"), ("stderr", "stderr_lines")] {
            if result.contains_key(whole) && result.contains_key(lines) {
                result.insert(lines.into(), "<omitted>".into());
            }
        }
    }
    let value = if for_people { readable(&Value::dict(result)) } else { Value::dict(result) };
    let options = yaml::Options {
        indent: if for_people { INDENT } else { 2 },
        flow: Some(false),
        blocks: true,
        ..yaml::Options::default()
    };
    let text = yaml::write(&value, options);
    let margin = " ".repeat(INDENT);
    let lines = text.trim_end_matches('\n').split('\n');
    lines.map(|l| if l.trim().is_empty() { format!("\n{l}") } else { format!("\n{margin}{l}") }).collect()
}

const INDENT: usize = 4;

/// Texts of several lines as `lines` gives them.
fn readable(value: &Value) -> Value {
    match value {
        Value::List(l) => l.iter().map(readable).collect(),
        Value::Dict(d) => Value::dict(d.iter().map(|(k, v)| (k.clone(), readable(v))).collect()),
        Value::Str(_) | Value::Template(_) => {
            let text = value.to_string();
            if text.contains(yaml::is_break) { lines(&text).into() } else { value.clone() }
        }
        other => other.clone(),
    }
}

/// A text without what keeps YAML from writing it as lines: blanks at the end of a line, tabs, signs that have no shape.
fn lines(text: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for c in text.trim_end().chars() {
        if yaml::is_break(c) {
            out.truncate(out.trim_end_matches(' ').len());
            out.push(c);
            column = 0;
        } else if c == '\t' {
            let blanks = 8 - column % 8;
            out.extend(std::iter::repeat_n(' ', blanks));
            column += blanks;
        } else if yaml::is_printable(c) {
            out.push(c);
            column += 1;
        }
    }
    out
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
