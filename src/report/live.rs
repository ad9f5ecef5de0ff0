//! The live part below the lines: what every host is at, how far the run is. Pure: state and a moment in, lines out; drawing
//! it is `terminal`'s.

use indexmap::IndexMap;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::boxes::progress;
use super::lines::clean;
use super::style::{Paint, Style};
use super::units::duration;
use crate::model::event::{Event, Stamped, Wait};

/// What is going on.
#[derive(Clone, Debug, Default)]
pub struct Live {
    run: String,
    journal: bool,
    step: Option<u32>,
    steps: Option<u32>,
    busy: IndexMap<String, Busy>,
    stopping: Option<String>,
    /// A gate is open: the terminal belongs to the question.
    asking: bool,
    begun: bool,
}

/// A host at work.
#[derive(Clone, Debug)]
struct Busy {
    task: String,
    since: u64,
    /// The last heartbeat and when it came.
    wait: Option<(Wait, u64)>,
    output: String,
}

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub columns: usize,
    pub rows: usize,
}

impl Live {
    /// Takes an event in.
    pub fn take(&mut self, e: &Stamped) {
        match &e.event {
            Event::RunStarted { run, check, steps, .. } => {
                self.run.clone_from(run);
                (self.journal, self.steps) = (!check, *steps);
            }
            Event::TaskStarted { step, of, .. } => {
                self.begun = true;
                self.step = step.number.or(self.step);
                // Batches and handlers come on top of what was counted.
                self.steps = of.or(self.steps).filter(|of| self.step.is_none_or(|n| n <= *of));
            }
            Event::HostStarted { step, host } => {
                self.begun = true;
                let busy = Busy { task: step.name.clone(), since: e.at, wait: None, output: String::new() };
                self.busy.insert(host.clone(), busy);
            }
            Event::HostDone { host, .. } => {
                self.busy.shift_remove(host);
            }
            Event::Waiting { step, host, wait } => {
                let since = e.at.saturating_sub(wait.elapsed);
                let busy = self.busy.entry(host.clone()).or_insert_with(|| Busy {
                    task: step.name.clone(),
                    since,
                    wait: None,
                    output: String::new(),
                });
                busy.wait = Some((wait.clone(), e.at));
            }
            Event::Output { host, line, .. } => {
                if let Some(busy) = self.busy.get_mut(host) {
                    busy.output.clone_from(line);
                }
            }
            Event::GateOpened { .. } => self.asking = true,
            Event::GateAnswered { .. } => self.asking = false,
            Event::Stopping { why } => self.stopping = Some(why.clone()),
            Event::RunDone { .. } => *self = Live::default(),
            _ => {}
        }
    }

    /// The lines to stand there now, none wider than the room; none at all while there is nothing to tell.
    pub fn lines(&self, now: u64, room: Room, paint: Paint) -> Vec<String> {
        if !self.begun || self.asking {
            return Vec::new();
        }
        // The last column stays free: some terminals wrap when it is written.
        let width = room.columns.saturating_sub(1).max(20);
        let most = (room.rows / 4).clamp(1, 8);
        let mut hosts: Vec<(&String, &Busy)> = self.busy.iter().collect();
        hosts.sort_by_key(|(_, b)| (b.wait.is_none(), b.since));
        let widest = hosts.iter().take(most).map(|(h, _)| h.width()).max().unwrap_or(0).min(width / 3);
        let mut lines = Vec::new();
        for (host, busy) in hosts.iter().take(most) {
            lines.extend(busy.lines(host, widest, now, width, paint));
        }
        if hosts.len() > most {
            let (more, plural) = (hosts.len() - most, if hosts.len() - most == 1 { "" } else { "s" });
            lines.push(cut(&format!("   and {more} more host{plural}"), width));
        }
        lines.push(self.overall(width, paint));
        let hint = match &self.stopping {
            Some(why) => format!("   Stopping after this step ({why}); Ctrl-C again stops now. Nothing is lost."),
            None => "   Ctrl-C stops after this step; again stops now. Nothing is lost either way.".to_owned(),
        };
        lines.push(paint.on(Style::DEBUG, &cut(&clean(&hint), width)));
        lines
    }

    /// `step 31 of 67 ━━━━──── run … journal ok`, as much of it as there is room for.
    fn overall(&self, width: usize, paint: Paint) -> String {
        let left = match (self.step, self.steps) {
            (Some(n), Some(of)) => format!("   step {n} of {of} "),
            (Some(n), None) => format!("   step {n} "),
            (None, _) => "   ".to_owned(),
        };
        let journal = if self.journal { "   journal ok" } else { "" };
        let right = format!("  run {}{journal}", self.run);
        let room = width.saturating_sub(left.width() + right.width());
        let bar = match (self.step, self.steps) {
            (Some(n), Some(of)) if of > 0 && room >= 4 => {
                let length = room.min(36);
                let full = (length * n.min(of) as usize) / of as usize;
                let (done, rest) = ("━".repeat(full), "─".repeat(length - full));
                paint.on(Style::OK, &done) + &paint.on(Style::DEBUG, &rest)
            }
            _ => String::new(),
        };
        if left.width() + right.width() > width { cut(&left, width) } else { left + &bar + &right }
    }
}

impl Busy {
    fn lines(&self, host: &str, widest: usize, now: u64, width: usize, paint: Paint) -> Vec<String> {
        let host = cut(&clean(host), widest);
        let pad = " ".repeat(widest - host.width());
        let elapsed = now.saturating_sub(self.since);
        let (what, times) = match &self.wait {
            Some((wait, at)) => {
                let running = Wait { elapsed: wait.elapsed + now.saturating_sub(*at), ..wait.clone() };
                (format!("waiting: {}", wait.reason), progress(&running))
            }
            None => (self.task.clone(), duration(elapsed)),
        };
        let head = 3 + widest + 3;
        // The times are what one looks for; a narrow terminal shows the elapsed one alone.
        let times = if head + 16 + times.width() > width { duration(elapsed) } else { times };
        let what = cut(&clean(&what), width.saturating_sub(head + 2 + times.width()));
        let gap = " ".repeat(width.saturating_sub(head + what.width() + times.width()).clamp(2, 6));
        let mut lines = vec![format!(" ▸ {}{pad}   {what}{gap}{times}", paint.on(Style::BOLD, &host))];
        let below = match &self.wait {
            Some((wait, at)) if !wait.seen.is_empty() => {
                format!("last seen: {}, {} s ago", wait.seen, now.saturating_sub(*at) / 1000)
            }
            _ if !self.output.is_empty() => format!("> {}", self.output),
            _ => return lines,
        };
        let room = width.saturating_sub(head);
        lines.push(" ".repeat(head) + &paint.on(Style::DEBUG, &cut(&clean(&below), room)));
        lines
    }
}

/// At most so many columns of the first line of a text, with an ellipsis where something is left out.
pub fn cut(text: &str, width: usize) -> String {
    let text = text.lines().next().unwrap_or("").replace('\t', " ");
    if text.width() <= width {
        return text;
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        out.push(c);
        used += w;
    }
    if width > 0 { out + "…" } else { String::new() }
}
