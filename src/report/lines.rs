//! Events to lines, exactly as Ansible's default callback prints them (measured with ansible-core 2.19): what log scrapers
//! read. Pure but for what it remembers; writing lines out is `plain`'s and `terminal`'s.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use unicode_width::UnicodeWidthStr;

use super::result::{Form, dumped, is, is_shown};
use super::style::{Paint, Style};
use super::{boxes, diff, recap};
use crate::model::event::{CENSORED, Event, Item, JobState, Shown, Stamped, StepRef, Wait};
use crate::model::outcome::Status;
use crate::model::secret::Mask;

/// How lines are to look.
#[derive(Clone)]
pub struct Options {
    /// `-v` is 1.
    pub verbosity: u8,
    pub color: bool,
    /// Columns of a banner: 79, or one less than the terminal's if that is more.
    pub columns: usize,
    /// Last defence; the engine masks before.
    pub mask: Mask,
    /// Whether the recap ends with custom stats.
    pub custom_stats: bool,
    /// Results that changed nothing, and what was skipped, are shown.
    pub ok_hosts: bool,
    pub skipped_hosts: bool,
    /// Failures go to standard error.
    pub failed_aside: bool,
    /// Where a task stands is told with its failure.
    pub path_on_failure: bool,
    /// Banners say `[CHECK MODE]`.
    pub check_markers: bool,
    /// Ansible's lines and nothing beside them: no coverage of a check run, no next steps.
    pub bare: bool,
    pub form: Form,
    /// Gives the text of a source by its name, for the lines around a failure; none where it cannot be had.
    pub source: fn(&str) -> Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        let (mask, source) = (Mask::default(), |_: &str| None);
        Options {
            verbosity: 0,
            color: false,
            columns: 79,
            mask,
            custom_stats: false,
            ok_hosts: true,
            skipped_hosts: true,
            failed_aside: false,
            path_on_failure: false,
            check_markers: false,
            bare: false,
            form: Form::default(),
            source,
        }
    }
}

/// Text to be written, with its line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    /// To standard error: not part of what Ansible prints.
    pub aside: bool,
}

/// Turns events into lines.
pub struct Lines {
    options: Options,
    paint: Paint,
    /// The step under whose banner lines stand now.
    banner: Option<String>,
    free: bool,
    /// A banner that waits until something is to be told under it.
    held: Option<String>,
    resumed: bool,
    /// A check run, and the steps that run in check mode.
    check: bool,
    checked: HashSet<String>,
    /// Loops of which items were told.
    loops: HashSet<(String, String)>,
    /// Warnings and errors are told once.
    told: HashSet<String>,
    /// The wait told last, by host: its reason, and when.
    waits: HashMap<String, (String, u64)>,
    out: Vec<Line>,
}

impl Lines {
    pub fn new(options: Options) -> Lines {
        let paint = Paint::new(options.color);
        Lines {
            options,
            paint,
            banner: None,
            free: false,
            held: None,
            resumed: false,
            check: false,
            checked: HashSet::new(),
            loops: HashSet::new(),
            told: HashSet::new(),
            waits: HashMap::new(),
            out: Vec::new(),
        }
    }

    /// The lines of an event.
    pub fn of(&mut self, stamped: &Stamped) -> Vec<Line> {
        let masked = (!self.options.mask.is_empty()).then(|| stamped.masked(&self.options.mask));
        self.tell(masked.as_ref().unwrap_or(stamped));
        std::mem::take(&mut self.out)
    }

    fn tell(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::RunStarted { check, .. } => {
                self.check = *check;
                if self.check && self.options.check_markers {
                    self.title("DRY RUN");
                }
            }
            Event::HostStarted { .. } | Event::Output { .. } => {}
            Event::Resumed { done, in_doubt, to_go } => {
                self.resumed = true;
                self.text(&boxes::resumed(*done, *in_doubt, *to_go));
            }
            Event::PlaybookStarted { playbook } => {
                let name = playbook.rsplit('/').next().unwrap_or(playbook);
                if self.options.verbosity > 1 {
                    self.title(&format!("PLAYBOOK: {name}"));
                }
            }
            Event::PlayStarted { name, free, check, .. } => {
                (self.free, self.banner) = (*free, None);
                let name = name.trim();
                let mut title = if name.is_empty() { "PLAY".to_owned() } else { format!("PLAY [{name}]") };
                if *check && self.options.check_markers {
                    title += " [CHECK MODE]";
                }
                // In a resumed run, only plays in which something is left to do.
                if self.resumed { self.held = Some(title) } else { self.title(&title) }
            }
            Event::NoHosts { .. } if self.held.take().is_some() => {}
            Event::NoHosts { matched_none: true } => self.styled(Style::SKIP, "skipping: no hosts matched"),
            Event::NoHosts { matched_none: false } => self.title("NO MORE HOSTS LEFT"),
            Event::TaskStarted { step, check, .. } => {
                if *check {
                    self.checked.insert(step.id.clone());
                }
                // What may have nothing to show gets its banner with the first line under it.
                if !self.free && self.options.ok_hosts && self.options.skipped_hosts {
                    self.task_banner(step);
                } else if self.banner.as_ref() == Some(&step.id) {
                    self.banner = None;
                }
            }
            Event::ItemDone { step, host, item, result } => self.item(step, host, item, result),
            Event::HostDone { step, host, result } => self.host(step, host, result),
            Event::Retrying { step, host, attempts_left, result, .. } => {
                self.under(step);
                let name = &step.name;
                let label = label(host, result);
                let mut text = format!("FAILED - RETRYING: [{label}]: {name} ({attempts_left} retries left).");
                if self.options.verbosity > 2 {
                    text += &format!("Result was: {}", self.dumped(step, result));
                }
                self.styled(Style::DEBUG, &text);
            }
            Event::Included { step, file, hosts, item } => {
                self.under(step);
                let mut text = format!("included: {file} for {}", hosts.join(", "));
                if let Some(item) = item {
                    text += &format!(" => (item={})", item.label);
                }
                self.styled(Style::SKIP, &text);
            }
            Event::Job { step, host, id, state } => {
                self.under(step);
                let (style, word, more) = match state {
                    JobState::Running => (Style::DEBUG, "POLL", " started=True finished=False"),
                    JobState::Ok => (Style::DEBUG, "OK", ""),
                    JobState::Failed => (Style::DEBUG, "FAILED", ""),
                };
                self.styled(style, &format!("ASYNC {word} on {host}: jid={id}{more}"));
            }
            Event::Waiting { step, host, wait } => self.waiting(step, host, wait),
            Event::GateOpened { step, gate, .. } => {
                self.under(step);
                self.title(&format!("GATE [{}]", gate.title));
                self.text(&boxes::rows(&gate.lines, self.paint));
            }
            Event::GateAnswered { host, by, accepted, answer, .. } => {
                let (style, word) = if *accepted { (Style::OK, "accepted") } else { (Style::FAILED, "not accepted") };
                self.styled(style, &format!("{word}: [{host}] \"{answer}\" by {by}"));
            }
            Event::InDoubt { step, host, sent_at, verdict } => {
                self.text(&boxes::in_doubt(step, host, *sent_at, verdict));
            }
            Event::Link { host, up: true, .. } => self.aside(Style::OK, &format!("link: [{host}] is back")),
            Event::Link { host, up: false, why } => {
                self.aside(Style::WARN, &format!("link: [{host}] lost: {why}"));
            }
            Event::Warning { text } => self.warning(text),
            Event::Deprecated { text, place } => {
                let source = (self.options.source)(&place.file);
                let text = format!("[DEPRECATION WARNING]: {}", boxes::at(text, place, source));
                self.aside(Style::DEPRECATED, &text);
            }
            Event::Note { verbosity, text } if *verbosity <= self.options.verbosity => {
                self.styled(Style::DEBUG, text);
            }
            Event::Note { .. } => {}
            Event::Stopping { why } => self.aside(Style::WARN, &format!("stopping: {why}")),
            Event::RunDone { end, stats, custom_stats, check, next, .. } => {
                self.title("PLAY RECAP");
                self.text(&recap::hosts(stats, self.paint));
                self.text("\n");
                if self.options.custom_stats && !custom_stats.is_empty() {
                    self.title("CUSTOM STATS: ");
                    self.text(&recap::custom(custom_stats));
                }
                if self.check && self.options.check_markers {
                    self.title("DRY RUN");
                }
                if self.options.bare {
                    return;
                }
                if let Some(coverage) = check {
                    self.text(&recap::coverage(coverage, stats));
                }
                for line in recap::ending(end, next) {
                    self.aside(Style::BOLD, &line);
                }
            }
        }
    }

    fn host(&mut self, step: &StepRef, host: &str, shown: &Shown) {
        let of_items = self.loops.remove(&(step.id.clone(), host.to_owned()))
            || shown.outcome.data.get("results").and_then(|r| r.as_list()).is_some_and(|l| !l.is_empty());
        if shown.replayed {
            return;
        }
        self.waits.remove(host);
        if self.is_hidden(shown) && !(of_items && shown.outcome.changed) {
            return;
        }
        self.under(step);
        let verbosity = self.options.verbosity;
        let word = label(host, shown);
        let failed = matches!(shown.outcome.status, Status::Failed | Status::Unreachable);
        self.before(step, shown, failed && !of_items);
        match &shown.outcome.status {
            Status::Ok if is(step, &["include_tasks", "include_role", "include"]) || of_items => {}
            Status::Ok => {
                let (style, state) = state(shown);
                let mut text = format!("{state}: [{word}]");
                if is_shown(step, shown, verbosity) {
                    text += &format!(" => {}", self.dumped(step, shown));
                }
                self.styled(style, &text);
            }
            Status::Skipped => {
                let mut text = format!("skipping: [{host}]");
                if is_shown(step, shown, verbosity) {
                    text += &format!(" => {}", self.dumped(step, shown));
                }
                self.styled(Style::SKIP, &text);
            }
            Status::NotKnowable(why) if !of_items => {
                let more =
                    if self.options.bare { String::new() } else { format!(" => not knowable before the run: {why}") };
                let style = if self.options.bare { Style::SKIP } else { Style::WARN };
                self.styled(style, &format!("skipping: [{host}]{more}"));
            }
            Status::NotKnowable(_) => {}
            Status::Failed => {
                // Of a loop the items told it; but `debug` shows its message alone, as Ansible does it.
                if !of_items || is(step, &["debug"]) {
                    self.path_of(step);
                    // That of a loop is not shown at length, whatever is asked for its items.
                    let short = Shown { verbose: shown.verbose && !of_items, ..shown.clone() };
                    let text = format!("fatal: [{word}]: FAILED! => {}", self.dumped(step, &short));
                    self.failure(Style::FAILED, &text);
                }
                self.text(&boxes::advice(&shown.outcome, self.paint));
                if shown.ignored {
                    self.styled(Style::SKIP, "...ignoring");
                }
            }
            Status::Unreachable => {
                self.path_of(step);
                let text = format!("fatal: [{word}]: UNREACHABLE! => {}", self.dumped(step, shown));
                self.failure(Style::UNREACHABLE, &text);
                self.text(&boxes::advice(&shown.outcome, self.paint));
                if shown.ignored {
                    self.styled(Style::SKIP, "...ignoring");
                }
            }
        }
    }

    fn item(&mut self, step: &StepRef, host: &str, item: &Item, shown: &Shown) {
        self.loops.insert((step.id.clone(), host.to_owned()));
        if shown.replayed {
            return;
        }
        if self.is_hidden(shown) {
            return;
        }
        self.under(step);
        let verbosity = self.options.verbosity;
        let (word, status) = (label(host, shown), &shown.outcome.status);
        let name = if shown.censored { CENSORED.to_owned() } else { item.label.to_string() };
        let form = self.options.form;
        let result = |prefix: &str| {
            let more = is_shown(step, shown, verbosity);
            if more { format!("{prefix} => {}", dumped(step, shown, verbosity, form)) } else { prefix.to_owned() }
        };
        if *status == Status::Ok && is(step, &["include_tasks", "include_role", "include"]) {
            return;
        }
        self.before(step, shown, matches!(status, Status::Failed | Status::Unreachable));
        match status {
            Status::Ok => {
                let (style, state) = state(shown);
                self.styled(style, &result(&format!("{state}: [{word}] => (item={name})")));
            }
            Status::Skipped => self.styled(Style::SKIP, &result(&format!("skipping: [{host}] => (item={name}) "))),
            Status::NotKnowable(why) => {
                let more =
                    if self.options.bare { " ".into() } else { format!(" => not knowable before the run: {why}") };
                let text = format!("skipping: [{host}] => (item={name}){more}");
                self.styled(Style::WARN, &text);
            }
            Status::Failed | Status::Unreachable => {
                let text = format!("failed: [{word}] (item={name}) => {}", self.dumped(step, shown));
                self.failure(Style::FAILED, &text);
                self.text(&boxes::advice(&shown.outcome, self.paint));
            }
        }
    }

    /// What stands before a result's own line: the difference, warnings, and where it failed.
    fn before(&mut self, step: &StepRef, shown: &Shown, failed: bool) {
        if shown.outcome.changed && !shown.censored {
            self.text(&diff::render(&shown.outcome.diff, self.paint));
        }
        for warning in &shown.outcome.warnings {
            self.warning(warning);
        }
        if failed {
            let outcome = &shown.outcome;
            let file = &outcome.place.as_deref().unwrap_or(&step.place).file;
            let text = format!("[ERROR]: {}", boxes::origin(step, shown, (self.options.source)(file)));
            if self.told.insert(text.clone()) {
                if boxes::not_included(outcome).is_some() {
                    self.aside(Style::FAILED, &text);
                } else {
                    self.failure(Style::FAILED, &text);
                }
            }
        }
    }

    /// Where there is no live display: what is waited for, when that changes and every minute, beside Ansible's lines.
    fn waiting(&mut self, step: &StepRef, host: &str, wait: &Wait) {
        let last = self.waits.get(host);
        if last.is_some_and(|(reason, at)| *reason == wait.reason && wait.elapsed < at + 60_000) {
            return;
        }
        self.under(step);
        self.waits.insert(host.to_owned(), (wait.reason.clone(), wait.elapsed));
        self.aside(Style::DEBUG, &format!("waiting: [{host}] {}", boxes::wait(wait)));
    }

    /// Sees to it that the banner above is this step's.
    fn under(&mut self, step: &StepRef) {
        if self.banner.as_ref() != Some(&step.id) {
            self.task_banner(step);
        }
    }

    fn task_banner(&mut self, step: &StepRef) {
        if let Some(play) = self.held.take() {
            self.title(&play);
        }
        let word = if step.handler { "RUNNING HANDLER" } else { "TASK" };
        let mark = self.options.check_markers && self.checked.contains(&step.id);
        self.title(&format!("{word} [{}]{}", step.name.trim(), if mark { " [CHECK MODE]" } else { "" }));
        if self.options.verbosity > 1 {
            self.styled(Style::DEBUG, &format!("task path: {}:{}", step.place.file, step.place.line));
        }
        self.banner = Some(step.id.clone());
    }

    /// A banner: a blank line, the title, and stars up to the last column, three at least.
    fn title(&mut self, title: &str) {
        let title = clean(title.trim());
        let stars = self.options.columns.saturating_sub(title.width()).max(3);
        self.text(&format!("\n{title} {}", "*".repeat(stars)));
    }

    fn warning(&mut self, text: &str) {
        let text = format!("[WARNING]: {text}");
        if self.told.insert(text.clone()) {
            self.aside(Style::WARN, &text);
        }
    }

    /// Whether a result is among those that are not to be shown.
    fn is_hidden(&self, shown: &Shown) -> bool {
        match shown.outcome.status {
            Status::Ok => !shown.outcome.changed && !self.options.ok_hosts,
            Status::Skipped => !self.options.skipped_hosts,
            _ => false,
        }
    }

    fn dumped(&self, step: &StepRef, shown: &Shown) -> String {
        dumped(step, shown, self.options.verbosity, self.options.form)
    }

    fn path_of(&mut self, step: &StepRef) {
        if self.options.path_on_failure && self.options.verbosity < 2 {
            self.failure(Style::DEBUG, &format!("task path: {}:{}", step.place.file, step.place.line));
        }
    }

    fn failure(&mut self, style: Style, text: &str) {
        if self.options.failed_aside { self.aside(style, text) } else { self.styled(style, text) }
    }

    fn styled(&mut self, style: Style, text: &str) {
        let text = self.paint.on(style, &clean(text));
        self.out.push(Line { text: ended(text), aside: false });
    }

    fn aside(&mut self, style: Style, text: &str) {
        let text = self.paint.on(style, &clean(text));
        self.out.push(Line { text: ended(text), aside: true });
    }

    /// Text that is painted and cleaned already; nothing where it is empty.
    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.out.push(Line { text: ended(text.to_owned()), aside: false });
        }
    }
}

/// A host as results name it: with the one that the task was delegated to.
fn label(host: &str, shown: &Shown) -> String {
    match &shown.delegated_to {
        Some(other) if other != host => format!("{host} -> {other}"),
        _ => host.to_owned(),
    }
}

fn state(shown: &Shown) -> (Style, &'static str) {
    if shown.outcome.changed { (Style::CHANGED, "changed") } else { (Style::OK, "ok") }
}

fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Takes out what would move a terminal's cursor or change its colours: a host's output must not be able to.
pub fn clean(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(bad) { text.replace(bad, "\u{fffd}").into() } else { text.into() }
}
