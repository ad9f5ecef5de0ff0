//! What stands in several lines beside Ansible's own: the origin of a failure, advice, gates, steps in doubt, waits.

use unicode_width::UnicodeWidthStr;

use super::lines::clean;
use super::result::is;
use super::style::{Paint, Style};
use super::units::{about, duration};
use crate::journal::place::local_time;
use crate::model::event::{CENSORED, Shown, StepRef, Wait};
use crate::model::outcome::{Outcome, Status};
use crate::model::source::Place;

/// Actions that fail on the control node; of all others Ansible says that the module failed.
const ACTIONS: [&str; 21] = [
    "add_host",
    "assemble",
    "assert",
    "copy",
    "debug",
    "fail",
    "fetch",
    "gather_facts",
    "group_by",
    "include_vars",
    "pause",
    "raw",
    "reboot",
    "script",
    "set_fact",
    "set_stats",
    "template",
    "unarchive",
    "uri",
    "validate_argument_spec",
    "wait_for_connection",
];
/// Lines of source before the one at which a failed task begins.
const CONTEXT: usize = 2;
/// No line of source is shown longer.
const WIDEST: usize = 120;

/// What failed and where it is written, as ansible-core 2.19 says it; ends with a blank line.
pub fn origin(step: &StepRef, shown: &Shown, source: Option<String>) -> String {
    let outcome = &shown.outcome;
    let msg = outcome.msg.trim_end();
    let what = if shown.censored {
        format!("Task failed: {CENSORED}")
    } else if let Some(reason) = not_included(outcome) {
        reason
    } else if msg.is_empty() {
        "Task failed: Action failed.".to_owned()
    } else if msg.starts_with("Task failed") {
        msg.to_owned()
    } else if outcome.status == Status::Unreachable {
        format!("Task failed: {msg}")
    } else {
        let who = if is(step, &ACTIONS) { "Action" } else { "Module" };
        format!("Task failed: {who} failed: {msg}")
    };
    at(&what, outcome.place.as_deref().unwrap_or(&step.place), source)
}

/// A text, the place it is about, and the lines there, as ansible-core 2.19 shows them; ends with a blank line.
pub fn at(what: &str, place: &Place, source: Option<String>) -> String {
    let mut out = format!("{what}\nOrigin: {place}\n\n");
    let (line, column) = (place.line as usize, place.column as usize);
    let Some(source) = source.filter(|_| line > 0) else { return out };
    let first = line.saturating_sub(CONTEXT + 1);
    let gutter = line.to_string().len();
    let room = WIDEST - gutter - 1;
    let lines: Vec<&str> = source.lines().skip(first).take(line - first).collect();
    if lines.len() < line - first {
        return out;
    }
    for (number, text) in (first + 1..).zip(lines) {
        let mut text = text.replace('\t', " ");
        if text.chars().count() > room {
            text = text.chars().take(room - 3).collect::<String>() + "...";
        }
        let space = if text.is_empty() { "" } else { " " };
        out += &format!("{number:>gutter$}{space}{text}\n");
    }
    if (1..=room - 3).contains(&column) {
        out += &format!("{} {}^ column {column}\n\n", " ".repeat(gutter), " ".repeat(column - 1));
    }
    out
}

/// Why an include brought nothing.
pub fn not_included(outcome: &Outcome) -> Option<String> {
    outcome.data.get("reason").filter(|_| outcome.msg.is_empty() && outcome.place.is_some()).map(|r| r.to_string())
}

/// The advice of a failed outcome: headings and texts below the message. It comes as `advice` in the outcome's data, a
/// list of `[heading, text]` pairs; nothing where there is none.
pub fn advice(outcome: &Outcome, paint: Paint) -> String {
    let pair = |row: &crate::model::value::Value| match row.as_list()? {
        [heading, text] => Some((heading.to_string(), text.to_string())),
        _ => None,
    };
    let advice = outcome.data.get("advice").and_then(|a| a.as_list());
    let pairs: Vec<(String, String)> = advice.unwrap_or_default().iter().filter_map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("\n{}\n", rows(&pairs, paint)) }
}

/// Headings and texts in two columns; further lines of a text stand below its first.
pub fn rows(pairs: &[(String, String)], paint: Paint) -> String {
    let widest = pairs.iter().map(|(h, _)| h.width()).max().unwrap_or(0);
    let mut out = String::new();
    for (heading, text) in pairs {
        let (heading, text) = (clean(heading), clean(text.trim_end()));
        let pad = " ".repeat(widest - heading.width());
        let below = format!("\n{}", " ".repeat(widest + 4));
        let text = text.split('\n').collect::<Vec<_>>().join(&below);
        out += &format!("  {}{pad}  {text}\n", paint.on(Style::BOLD, &heading));
    }
    out
}

/// A wait on one line: what for, how long, and what was seen last.
pub fn wait(wait: &Wait) -> String {
    let mut out = format!("{}, {}", wait.reason, progress(wait));
    if !wait.seen.is_empty() {
        out += &format!("; last seen: {}", wait.seen);
    }
    out
}

/// `12m04s of ~25m, at most 60m`.
pub fn progress(wait: &Wait) -> String {
    let usual = wait.usual.map(|u| format!(" of ~{}", about(u))).unwrap_or_default();
    format!("{}{usual}, at most {}", duration(wait.elapsed), about(wait.budget))
}

/// Where a resumed run stands.
pub fn resumed(done: u32, in_doubt: u32, to_go: Option<u32>) -> String {
    let to_go = to_go.map(|n| format!(", {n} to go")).unwrap_or_default();
    format!("  {done} steps done, {in_doubt} in doubt{to_go}\n")
}

/// What became of a step that was sent before the run was cut off.
pub fn in_doubt(step: &StepRef, host: &str, sent_at: u64, verdict: &str) -> String {
    let place = format!("{}:{}", step.place.file, step.place.line);
    let sent = local_time(sent_at, "%H:%M:%S");
    let verdict = clean(verdict.trim_end()).replace('\n', "\n            ");
    format!(
        "  in doubt: [{host}] {place} \"{}\", sent {sent}, no answer on record\n            {verdict}\n",
        clean(&step.name)
    )
}
