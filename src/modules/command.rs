//! `command` and `shell`: run a program, or a line in a shell.

use std::path::{Path, PathBuf};

use super::{paths, shell_words};
use crate::action::command::Command as Program;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::arguments;
use crate::model::outcome::{Outcome, Status};
use crate::model::value::Value;

arguments! {
    /// Arguments of `command` and `shell`.
    pub struct Args {
        /// The command line.
        cmd ["_raw_params"]: Option<String>,
        /// The program and its arguments as a list; for `command` only.
        argv []: Option<Vec<String>>,
        /// Directory to run in.
        chdir []: Option<PathBuf>,
        /// A path or pattern; where it exists, nothing is run.
        creates []: Option<PathBuf>,
        /// A path or pattern; where it does not exist, nothing is run.
        removes []: Option<PathBuf>,
        /// The shell to run the line, for `shell` only.
        executable []: Option<PathBuf>,
        /// What the program reads from its standard input.
        stdin []: Option<String>,
        /// Put a newline after `stdin`.
        stdin_add_newline []: bool = true,
        /// Take newlines off the end of stdout and stderr.
        strip_empty_ends []: bool = true,
        /// Put `$NAME` and `~` in, which is so unless told; for `command` alone, which has no shell to do it.
        expand_argument_vars []: Option<bool>,
        /// Without effect; old playbooks have it.
        warn []: bool = false,
        /// Set by `shell`.
        _uses_shell []: bool = false,
    }
    rules [OneOf(&["cmd", "argv"]), Exclusive(&["cmd", "argv"])]
}

const RETURNS: &[(&str, &str)] = &[
    ("cmd", "What was run"),
    ("rc", "Its exit code; 128 + signal where a signal ended it"),
    ("stdout", "What it printed"),
    ("stdout_lines", "The same as a list of lines"),
    ("stderr", "What it printed to standard error"),
    ("stderr_lines", "The same as a list of lines"),
    ("start", "When it began, in local time"),
    ("end", "When it ended"),
    ("delta", "How long it took"),
];

/// The module `command`.
pub struct Command;

impl Module for Command {
    const NAMES: &'static [&'static str] = &["command", "ansible.builtin.command", "ansible.legacy.command"];
    const DOC: &'static str = "Runs a program without a shell: no pipes, no redirection, no wildcards.\n\
        In a check run it is not run unless `creates` or `removes` decide; what it would do is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = RETURNS;
    const EXAMPLE: &'static str =
        "- command: /usr/bin/make_database.sh db_user db_name\n  args:\n    creates: /path/to/database\n";
    const FREE_FORM: Option<&'static str> = Some("cmd");
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let shell = args._uses_shell;
        run(args, shell, host)
    }

    fn recovery(args: &Args) -> Recovery {
        recovery(args)
    }
}

/// The module `shell`.
pub struct Shell;

impl Module for Shell {
    const NAMES: &'static [&'static str] = &["shell", "ansible.builtin.shell", "ansible.legacy.shell"];
    const DOC: &'static str = "Runs a line in a shell (`/bin/sh` unless `executable` names another).\n\
        In a check run it is not run unless `creates` or `removes` decide; what it would do is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = RETURNS;
    const EXAMPLE: &'static str =
        "- shell: grep -c processor /proc/cpuinfo > /tmp/cpus\n  args:\n    creates: /tmp/cpus\n";
    const FREE_FORM: Option<&'static str> = Some("cmd");
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.expand_argument_vars.is_some() {
            return Err(Failure::new("Unsupported parameters for (shell) module: expand_argument_vars"));
        }
        run(args, true, host)
    }

    fn recovery(args: &Args) -> Recovery {
        recovery(args)
    }
}

/// What tells whether it ran makes it safe to run again; else only the operator can know.
fn recovery(args: &Args) -> Recovery {
    if args.creates.is_some() || args.removes.is_some() { Recovery::Again } else { Recovery::Ask }
}

fn run(args: Args, shell: bool, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let mut warnings = Vec::new();
    let (argv, shown) = program(&args, shell, host, &mut warnings)?;
    let base = |mut o: Outcome| {
        o.warnings = warnings.clone();
        o.with("cmd", shown.clone())
    };
    let dir = args.chdir.as_deref().map(|d| paths::expand(host.as_look(), d)).transpose()?;
    if let Some(why) = not_needed(args.creates.as_deref(), args.removes.as_deref(), dir.as_deref(), host.as_look())? {
        let (msg, said) = why;
        let outcome = base(Outcome::ok().msg(msg));
        return Ok(output_values(outcome, 0, said, String::new())
            .with("start", Value::Null)
            .with("end", Value::Null)
            .with("delta", Value::Null));
    }
    let mut command = Program::new(argv);
    command.stdin = args.stdin.as_ref().map(|text| {
        let newline = if args.stdin_add_newline { "\n" } else { "" };
        format!("{text}{newline}").into_bytes()
    });
    command.dir = dir;
    let clock = Clock::start();
    let output = match host.run(&command) {
        Ok(output) => output,
        // It would run, that much is known.
        Err(HostError::NotKnowable(_)) if args.creates.is_some() || args.removes.is_some() => {
            let outcome = base(Outcome::changed(true).msg("Command would have run if not in check mode"));
            return Ok(output_values(outcome, 0, String::new(), String::new()));
        }
        Err(e) => return Err(not_run(e, &command, base(Outcome::failed("")))),
    };
    let strip = |text: String| {
        if args.strip_empty_ends { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }
    };
    let mut outcome = clock.stamp(base(Outcome::changed(true)));
    if output.cut {
        outcome.warnings.push("the output was longer than is kept; its end was cut off".into());
    }
    outcome = output_values(outcome, output.rc, strip(output.text()), strip(output.error_text())).with("msg", "");
    if output.rc != 0 {
        outcome.status = Status::Failed;
        return Err(Failure::Failed(Box::new(outcome.msg("non-zero return code"))));
    }
    Ok(outcome)
}

/// The program's words, and how the result shows them.
fn program(
    args: &Args,
    shell: bool,
    host: &mut dyn Act,
    warnings: &mut Vec<String>,
) -> Result<(Vec<String>, Value), Failure> {
    if shell {
        let line = match (&args.cmd, &args.argv) {
            (Some(line), _) => line.clone(),
            (None, argv) => argv.as_deref().unwrap_or_default().join(" "),
        };
        let sh = args.executable.as_deref().map_or("/bin/sh".into(), |e| e.display().to_string());
        return Ok((vec![sh, "-c".into(), line.clone()], line.into()));
    }
    if let Some(executable) = &args.executable {
        warnings.push(format!(
            "the parameter `executable` is no longer supported with `command`, only with `shell`; `{}` is not used",
            executable.display()
        ));
    }
    let words = match (&args.cmd, &args.argv) {
        (Some(line), _) => shell_words::split(line).map_err(Failure::new)?,
        (None, argv) => argv.clone().unwrap_or_default(),
    };
    if words.is_empty() {
        return Err(Failure::new("no command given"));
    }
    let shown = words.iter().map(String::as_str).collect();
    let mut argv = Vec::new();
    for word in words {
        argv.push(if args.expand_argument_vars != Some(false) { expand_word(host.as_look(), &word)? } else { word });
    }
    Ok((argv, shown))
}

/// A word of a command line with variables and a leading `~` put in; a word is no path, so it stays relative.
fn expand_word(host: &mut dyn Look, word: &str) -> Result<String, HostError> {
    let word = paths::variables(host, word);
    if word.starts_with('~') {
        let path = paths::expand(host, word.as_ref())?;
        // A user that nobody knows leaves the word as it is.
        if !path.to_string_lossy().ends_with(&*word) {
            return Ok(path.to_string_lossy().into_owned());
        }
    }
    Ok(word)
}

/// Why nothing needs to run, as message and as what stands in stdout.
pub fn not_needed(
    creates: Option<&Path>,
    removes: Option<&Path>,
    dir: Option<&Path>,
    host: &mut dyn Look,
) -> Result<Option<(String, String)>, HostError> {
    let mut exists = |written: &Path| {
        let path = match dir {
            Some(dir) if written.is_relative() && !written.starts_with("~") => dir.join(written),
            _ => paths::expand(host, written)?,
        };
        Ok::<_, HostError>(!paths::glob(host, &path)?.is_empty())
    };
    let said = |written: &Path, is: &str| {
        let path = written.display();
        (format!("Did not run command since '{path}' {is}"), format!("skipped, since {path} {is}"))
    };
    if let Some(created) = creates
        && exists(created)?
    {
        return Ok(Some(said(created, "exists")));
    }
    if let Some(removed) = removes
        && !exists(removed)?
    {
        return Ok(Some(said(removed, "does not exist")));
    }
    Ok(None)
}

/// The failure of a program that did not start or was ended.
fn not_run(error: HostError, command: &Program, outcome: Outcome) -> Failure {
    let (rc, msg) = match &error {
        HostError::NoProgram(name) => (2, format!("Error executing command: the program `{name}` was not found")),
        HostError::NotFound(dir) if command.dir.as_deref() == Some(dir) => {
            let outcome = outcome.msg(format!("Unable to change directory before execution: {error}"));
            return Failure::Failed(Box::new(outcome.with("rc", Value::Null)));
        }
        HostError::Denied { .. } | HostError::Io { .. } => (13, format!("Error executing command: {error}")),
        HostError::NotFound(_)
        | HostError::NoSpace { .. }
        | HostError::Deadline { .. }
        | HostError::Cancelled
        | HostError::NotKnowable(_)
        | HostError::NeedBlob(_) => return Failure::Host(error),
    };
    Failure::Failed(Box::new(output_values(outcome, rc, String::new(), String::new()).msg(msg)))
}

/// The return values that every program's result has.
pub fn output_values(outcome: Outcome, rc: i32, stdout: String, stderr: String) -> Outcome {
    outcome
        .with("rc", rc)
        .with("stdout_lines", split_lines(&stdout))
        .with("stdout", stdout)
        .with("stderr_lines", split_lines(&stderr))
        .with("stderr", stderr)
}

/// Lines as Python's `splitlines` gives them.
pub fn split_lines(text: &str) -> Value {
    let mut lines = Vec::new();
    let mut rest = text;
    let is_end =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    while let Some(at) = rest.find(is_end) {
        lines.push(Value::str(&rest[..at]));
        let end = if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        lines.push(Value::str(rest));
    }
    Value::list(lines)
}

/// When a program began.
pub struct Clock(jiff::Zoned);

impl Clock {
    pub fn start() -> Clock {
        Clock(jiff::Zoned::now())
    }

    /// `start`, `end` and `delta` of a program that has ended now.
    pub fn stamp(&self, outcome: Outcome) -> Outcome {
        let end = jiff::Zoned::now();
        outcome
            .with("start", python_time(&self.0))
            .with("end", python_time(&end))
            .with("delta", python_delta(self.0.duration_until(&end).unsigned_abs()))
    }
}

/// A time as Python's `str(datetime)` prints it.
pub fn python_time(time: &jiff::Zoned) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// A time span as Python's `str(timedelta)` prints it.
fn python_delta(span: std::time::Duration) -> String {
    let s = span.as_secs();
    let days = match s / 86_400 {
        0 => String::new(),
        1 => "1 day, ".into(),
        n => format!("{n} days, "),
    };
    format!("{days}{}:{:02}:{:02}.{:06}", s / 3600 % 24, s / 60 % 60, s % 60, span.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_python_splits_them() {
        assert_eq!(split_lines("a\r\nb\n\nc\x0cd").to_string(), "['a', 'b', '', 'c', 'd']");
        assert_eq!(split_lines("").to_string(), "[]");
    }

    #[test]
    fn spans_as_python_prints_them() {
        assert_eq!(python_delta(std::time::Duration::from_micros(90_061_000_002)), "1 day, 1:01:01.000002");
    }
}
