//! Runs in short: the table of `runs`, the text of `status`, the line of `show --verify`.

use super::boxes;
use super::units::duration;
use crate::journal::place::local_time;
use crate::journal::read::Verified;
use crate::journal::recover::Recovered;
use crate::model::event::End;

/// A run as the table shows it.
pub struct Row<'a> {
    pub run: &'a str,
    /// Where it stands; or why its journal cannot be read, in a sentence.
    pub stand: Result<&'a Recovered, String>,
    /// Whether a process has it open; see `journal::log::is_driven`.
    pub driven: bool,
}

/// The table of runs, in the order given; with its heading.
pub fn runs(rows: &[Row<'_>]) -> String {
    let mut table = vec![["RUN", "PLAYBOOK", "STARTED", "STATE", "HOSTS", "TASKS", "TIME"].map(str::to_owned).to_vec()];
    for row in rows {
        table.push(match &row.stand {
            Err(why) => vec![row.run.to_owned(), format!("({why})")],
            Ok(r) => {
                let (hosts, tasks) = counts(r);
                let parts = if r.parts.len() > 1 { format!("  ({} parts)", r.parts.len()) } else { String::new() };
                vec![
                    row.run.to_owned(),
                    playbooks(r),
                    r.parts.first().map(|p| local_time(p.at, "%Y-%m-%d %H:%M")).unwrap_or_default(),
                    state(r, row.driven).0.to_owned(),
                    hosts.to_string(),
                    tasks.to_string(),
                    duration(r.worked()) + &parts,
                ]
            }
        });
    }
    let width = |column: usize| {
        let whole = table.iter().filter(|r| r.len() > 2 || column == 0);
        whole.filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            // Numbers stand at the right of their column.
            let width = widths[i];
            line += &match i {
                4 | 5 => format!("{cell:>width$}  "),
                6 => cell.clone(),
                _ => format!("{cell:<width$}  "),
            };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// One line: which run, how it stands, since when, whose it is. `resume` begins with it.
pub fn headline(r: &Recovered, driven: bool) -> String {
    let (word, why) = state(r, driven);
    let last = r.parts.last();
    let by = last.map(|p| format!("{}@{}", p.user, p.host)).unwrap_or_default();
    let when = match (driven, last) {
        (true, Some(p)) => format!(" since {} (pid {})", local_time(p.at, "%Y-%m-%d %H:%M"), p.pid),
        _ => format!(" {}", local_time(r.last_at, "%Y-%m-%d %H:%M:%S")),
    };
    let why = why.map(|w| format!(" ({w})")).unwrap_or_default();
    format!("Run {}, {}, {word}{when}{why}, by {by}\n", r.run(), playbooks(r))
}

/// Where one run stands, and what to type next.
pub fn status(r: &Recovered, driven: bool) -> String {
    let (run, mut out) = (r.run(), headline(r, driven));
    let (hosts, tasks) = counts(r);
    let (t, h) = (plural(tasks, "task"), plural(hosts, "host"));
    let parts = plural(r.parts.len(), "part");
    let doubt = if driven { "under way" } else { "in doubt" };
    out += &format!("  {t} done on {h}, {} {doubt}; {} of work in {parts}\n", r.in_doubt.len(), duration(r.worked()));
    if let Some(step) = &r.last_step {
        out += &format!("  last: {} ({}:{})\n", super::lines::clean(&step.name), step.place.file, step.place.line);
    }
    for s in r.in_doubt.values().filter(|_| !driven) {
        let host = s.key.place().map(|p| p.host).unwrap_or_default();
        out += &boxes::in_doubt(&s.step, &host, s.at, "the agent is asked first when the run is resumed");
    }
    for s in &r.ended.as_ref().map(|e| e.stats.clone()).unwrap_or_default() {
        out += &super::recap::hosts(std::slice::from_ref(s), super::style::Paint::new(false));
    }
    let over = matches!(r.ended.as_ref().map(|e| &e.end), Some(End::Completed));
    let show = format!("stx-upgrade show {run}    the whole story\n");
    if driven || over {
        return out + "Next: " + &show;
    }
    out + &format!("Next: stx-upgrade resume {run}    goes on where it stood\n      {show}")
}

/// `journal: 214 records, chain intact, 2 parts, 1 gate answered by ops@jump1 ("controller-0")`.
pub fn verified(v: &Verified, r: &Recovered) -> String {
    let chain = match &v.damage {
        None => "chain intact".to_owned(),
        Some(damage) => format!("chain BROKEN at {damage}"),
    };
    let mut out =
        format!("journal: {}, {chain}, {}", plural(v.records as usize, "record"), plural(r.parts.len(), "part"));
    let answered: Vec<String> = r.gates.iter().map(|g| format!("{} (\"{}\")", g.by, g.answer)).collect();
    if !answered.is_empty() {
        out += &format!(", {} answered by {}", plural(answered.len(), "gate"), answered.join(", "));
    }
    if let Some(torn) = v.torn {
        out += &format!("; the run was cut off while it wrote: {torn}");
    }
    super::lines::clean(&out).into_owned() + "\n"
}

fn plural(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// A word for how it stands, and the reason where there is one.
fn state(r: &Recovered, driven: bool) -> (&'static str, Option<String>) {
    if driven {
        return ("running", None);
    }
    match r.ended.as_ref().map(|e| &e.end) {
        None => ("stopped", Some("killed".into())),
        Some(End::Completed) => ("completed", None),
        Some(End::Failed) => ("failed", None),
        Some(End::Stopped(why)) => ("stopped", Some(why.clone())),
        Some(End::Broken(why)) => ("broken", Some(why.clone())),
    }
}

/// Hosts and tasks: as the recap counted them, or, of a run that has none, from its results.
fn counts(r: &Recovered) -> (usize, usize) {
    match &r.ended {
        Some(end) => (end.stats.len(), end.tasks as usize),
        None => {
            let (hosts, tasks) = r.reach();
            (hosts.len(), tasks)
        }
    }
}

fn playbooks(r: &Recovered) -> String {
    let names = r.header.iter().flat_map(|h| &h.playbooks);
    let base = |n: &str| n.rsplit('/').next().unwrap_or(n).to_owned();
    names.map(|i| base(&i.name)).collect::<Vec<_>>().join(" ")
}
