//! The end of a run: the recap, custom stats, what a check could decide, and what to type next.

use super::lines::clean;
use super::python_json::dump_value;
use super::style::{Paint, Style};
use crate::model::event::{Coverage, End, HostStats};
use crate::model::value::Value;

/// A line a host, by name; columns as Ansible aligns them.
pub fn hosts(stats: &[HostStats], paint: Paint) -> String {
    let mut sorted: Vec<&HostStats> = stats.iter().collect();
    sorted.sort_by(|a, b| a.host.cmp(&b.host));
    sorted.into_iter().map(|s| host(s, paint)).collect()
}

fn host(s: &HostStats, paint: Paint) -> String {
    let style = if s.failed + s.unreachable > 0 {
        Style::FAILED
    } else if s.changed > 0 {
        Style::CHANGED
    } else {
        Style::OK
    };
    let count = |word: &str, n: u32, style: Style| {
        let text = format!("{word}={n:<4}");
        if n > 0 { paint.on(style, &text) } else { text }
    };
    let pad = " ".repeat(26usize.saturating_sub(s.host.chars().count()));
    let counts = [
        count("ok", s.ok, Style::OK),
        count("changed", s.changed, Style::CHANGED),
        count("unreachable", s.unreachable, Style::UNREACHABLE),
        count("failed", s.failed, Style::FAILED),
        count("skipped", s.skipped, Style::SKIP),
        count("rescued", s.rescued, Style::OK),
        count("ignored", s.ignored, Style::WARN),
    ];
    format!("{}{pad} : {}\n", paint.on(style, &clean(&s.host)), counts.join(" "))
}

/// `set_stats`: one line a host, then the run's own, which is named `_run`.
pub fn custom(stats: &[(String, Value)]) -> String {
    let text = |value: &Value| dump_value(value, Some(1)).replace('\n', "");
    let mut hosts: Vec<_> = stats.iter().filter(|(k, _)| k != "_run").collect();
    hosts.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out: String = hosts.into_iter().map(|(k, v)| format!("\t{k}: {}\n", text(v))).collect();
    if let Some((_, run)) = stats.iter().find(|(k, _)| k == "_run") {
        out += &format!("\n\tRUN: {}\n", text(run));
    }
    out + "\n"
}

/// What a check run could decide and what not, and that nothing was changed.
pub fn coverage(c: &Coverage, stats: &[HostStats]) -> String {
    let percent = if c.total == 0 { 100 } else { u64::from(c.decided) * 100 / u64::from(c.total) };
    let tasks = if c.total == 1 { "task" } else { "tasks" };
    let mut out = format!("Check: {} of {} {tasks} decided ({percent} %).", c.decided, c.total);
    if !c.not_knowable.is_empty() {
        out += " Not knowable before the run:";
    }
    out.push('\n');
    let place = |p: &crate::model::source::Place| format!("{}:{}", p.file, p.line);
    let wide = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
    let places = wide(&mut c.not_knowable.iter().map(|(p, ..)| place(p).chars().count()));
    let names = wide(&mut c.not_knowable.iter().map(|(_, n, _)| n.chars().count()));
    for (p, name, why) in &c.not_knowable {
        out += &format!("  {:<places$}   {:<names$}   {}\n", place(p), clean(name), clean(why));
    }
    let mut hosts: Vec<&str> = stats.iter().map(|s| s.host.as_str()).collect();
    hosts.sort_unstable();
    let who = match hosts.as_slice() {
        [] => "any host".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] if hosts.len() <= 4 => format!("{} or {last}", most.join(", ")),
        many => format!("{} hosts", many.len()),
    };
    out + &format!("Nothing on {who} was changed.\n")
}

/// How the run ended, if not in order, and what to type next.
pub fn ending(end: &End, next: &[String]) -> Vec<String> {
    let mut lines = match end {
        End::Completed | End::Failed => Vec::new(),
        End::Stopped(why) => vec![format!("Stopped: {why}")],
        End::Broken(why) => vec![format!("Cannot go on: {why}")],
    };
    lines.extend(next.iter().cloned());
    lines
}
