//! A JUnit file: one test case for each task on each host, as Ansible's `junit` callback writes it, with its variables.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Reporter;
use super::result::{Form, dumped, is};
use crate::model::event::{Event, Shown, Stamped, StepRef};
use crate::model::outcome::Status;
use crate::model::secret::Mask;

/// What the `JUNIT_*` variables of the environment ask for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// `JUNIT_FAIL_ON_CHANGE`: a change is a failure.
    pub fail_on_change: bool,
    /// `JUNIT_FAIL_ON_IGNORE`: so is a failure that the play ignored.
    pub fail_on_ignore: bool,
    /// `JUNIT_HIDE_TASK_ARGUMENTS`: what a task was given (`invocation`) is left out of its output.
    pub hide_arguments: bool,
    /// `JUNIT_TEST_CASE_PREFIX`: only tasks named so count, and those that fail.
    pub prefix: String,
    /// `JUNIT_TASK_CLASS`: one class a file instead of one a line.
    pub class_per_file: bool,
    /// `JUNIT_INCLUDE_SETUP_TASKS_IN_REPORT=false` leaves the gathering of facts out.
    pub without_setup: bool,
    /// `JUNIT_OUTPUT_DIR`: the folder for a file that is named without one.
    pub dir: Option<PathBuf>,
}

impl Wishes {
    /// From the environment; `env` looks a variable up.
    pub fn read(env: impl Fn(&str) -> Option<OsString>) -> Wishes {
        let text = |name: &str| env(name).map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        let on = |name: &str| text(name).eq_ignore_ascii_case("true") || text(name) == "1";
        Wishes {
            fail_on_change: on("JUNIT_FAIL_ON_CHANGE"),
            fail_on_ignore: on("JUNIT_FAIL_ON_IGNORE"),
            hide_arguments: on("JUNIT_HIDE_TASK_ARGUMENTS"),
            prefix: text("JUNIT_TEST_CASE_PREFIX"),
            class_per_file: on("JUNIT_TASK_CLASS"),
            without_setup: text("JUNIT_INCLUDE_SETUP_TASKS_IN_REPORT").eq_ignore_ascii_case("false"),
            dir: env("JUNIT_OUTPUT_DIR").map(PathBuf::from),
        }
    }
}

/// Collects cases and writes the file at the end of the run.
pub struct Junit {
    file: PathBuf,
    wishes: Wishes,
    mask: Mask,
    suite: String,
    play: String,
    cases: Vec<Case>,
    /// When a task began, for its time.
    begun: HashMap<String, u64>,
}

struct Case {
    name: String,
    class: String,
    millis: u64,
    verdict: Verdict,
    output: String,
}

enum Verdict {
    Passed,
    Skipped(String),
    /// The task failed.
    Failure(String),
    /// It could not be tried: the host was unreachable.
    Error(String),
}

impl Junit {
    /// Into `file`; a bare name goes into `JUNIT_OUTPUT_DIR` if that is set.
    pub fn new(file: PathBuf, wishes: Wishes, mask: Mask) -> Junit {
        let bare = file.parent().is_none_or(|p| p.as_os_str().is_empty());
        let file = match &wishes.dir {
            Some(dir) if bare => dir.join(file),
            _ => file,
        };
        let (suite, play) = (String::new(), String::new());
        Junit { file, wishes, mask, suite, play, cases: Vec::new(), begun: HashMap::new() }
    }

    fn done(&mut self, step: &StepRef, host: &str, shown: &Shown, at: u64) {
        if self.wishes.without_setup && is(step, &["setup", "gather_facts"]) {
            return;
        }
        let outcome = &shown.outcome;
        let msg = || if outcome.msg.is_empty() { "failed".to_owned() } else { outcome.msg.clone() };
        let mut verdict = match &outcome.status {
            Status::Failed if shown.ignored && !self.wishes.fail_on_ignore => Verdict::Passed,
            Status::Unreachable if shown.ignored && !self.wishes.fail_on_ignore => Verdict::Passed,
            Status::Failed => Verdict::Failure(msg()),
            Status::Unreachable => Verdict::Error(msg()),
            Status::Skipped => {
                let why = outcome.data.get("skip_reason").or_else(|| outcome.data.get("skipped_reason"));
                Verdict::Skipped(why.map_or_else(|| "skipped".into(), ToString::to_string))
            }
            Status::NotKnowable(why) => Verdict::Skipped(format!("not knowable before the run: {why}")),
            Status::Ok if self.wishes.fail_on_change && outcome.changed => Verdict::Failure("changed".into()),
            Status::Ok => Verdict::Passed,
        };
        // Ansible's own words in a task's name turn a result round.
        if matches!(verdict, Verdict::Failure(_)) && step.name.contains("EXPECTED FAILURE") {
            verdict = Verdict::Passed;
        } else if step.name.contains("TOGGLE RESULT") {
            verdict = match verdict {
                Verdict::Failure(_) => Verdict::Passed,
                Verdict::Passed => Verdict::Failure("passed, and was to fail".into()),
                other => other,
            };
        }
        let failed = matches!(verdict, Verdict::Failure(_) | Verdict::Error(_));
        if !failed && !step.name.starts_with(&self.wishes.prefix) {
            return;
        }
        let verbosity = if self.wishes.hide_arguments { 2 } else { 3 };
        let class = match self.wishes.class_per_file {
            true => step.place.file.clone(),
            false => format!("{}:{}", step.place.file, step.place.line),
        };
        let millis = match self.begun.get(&step.id) {
            Some(begun) if shown.millis == 0 => at.saturating_sub(*begun),
            _ => shown.millis,
        };
        let name = format!("[{host}] {}: {}", self.play, step.name);
        self.cases.push(Case { name, class, millis, verdict, output: dumped(step, shown, verbosity, Form::default()) });
    }

    fn xml(&self) -> String {
        let seconds = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
        let count = |f: fn(&Verdict) -> bool| self.cases.iter().filter(|c| f(&c.verdict)).count();
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
            self.cases.len(),
            count(|v| matches!(v, Verdict::Failure(_))),
            count(|v| matches!(v, Verdict::Error(_))),
            count(|v| matches!(v, Verdict::Skipped(_))),
            seconds(self.cases.iter().map(|c| c.millis).sum()),
        );
        let totals = counts.replace(&format!(" skipped=\"{}\"", count(|v| matches!(v, Verdict::Skipped(_)))), "");
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
        let _ = writeln!(out, "<testsuites {totals}>\n  <testsuite name=\"{}\" {counts}>", escaped(&self.suite));
        for c in &self.cases {
            let (name, class, time) = (escaped(&c.name), escaped(&c.class), seconds(c.millis));
            let _ = writeln!(out, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{time}\">");
            let output = escaped(&c.output);
            let _ = match &c.verdict {
                Verdict::Passed => writeln!(out, "      <system-out>{output}</system-out>"),
                Verdict::Skipped(why) => writeln!(out, "      <skipped message=\"{}\"/>", escaped(why)),
                Verdict::Failure(why) => {
                    writeln!(out, "      <failure message=\"{}\">{output}</failure>", escaped(why))
                }
                Verdict::Error(why) => writeln!(out, "      <error message=\"{}\">{output}</error>", escaped(why)),
            };
            out += "    </testcase>\n";
        }
        out + "  </testsuite>\n</testsuites>\n"
    }
}

/// Text for XML: no markup, and none of the control characters that XML 1.0 cannot hold at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

impl Reporter for Junit {
    fn event(&mut self, e: &Stamped) {
        let e = e.masked(&self.mask);
        match &e.event {
            Event::PlaybookStarted { playbook } if self.suite.is_empty() => {
                let name = playbook.rsplit('/').next().unwrap_or(playbook);
                self.suite = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
            }
            Event::PlayStarted { name, .. } => self.play.clone_from(name),
            Event::TaskStarted { step, .. } => {
                self.begun.insert(step.id.clone(), e.at);
            }
            Event::HostDone { step, host, result } => self.done(step, host, result, e.at),
            _ => {}
        }
    }

    /// Writes the file, whole or not at all. That it could not be written is said, and stops nothing.
    fn finish(&mut self) {
        let written = || -> std::io::Result<()> {
            let dir = self.file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
            fs::create_dir_all(dir)?;
            // As open as the user's umask has it: other tools collect it.
            let mode = fs::Permissions::from_mode(0o666);
            let mut beside = tempfile::Builder::new().permissions(mode).tempfile_in(dir)?;
            std::io::Write::write_all(&mut beside, self.xml().as_bytes())?;
            beside.persist(&self.file)?;
            Ok(())
        };
        if let Err(e) = written() {
            let text = format!("[WARNING]: the JUnit file {} could not be written: {e}\n", self.file.display());
            super::plain::Sink(Some(std::io::stderr())).write(&text);
        }
    }
}
