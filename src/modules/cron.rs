//! `cron`: jobs and variables of a user's crontab, or of a file in `/etc/cron.d`. A job is known by the comment line above it.

use std::path::{Path, PathBuf};

use super::file_content::{backup, random_name, read_existing, text_diff};
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

choices! {
    pub enum Special {
        Annually = "annually",
        Daily = "daily",
        Hourly = "hourly",
        Monthly = "monthly",
        Reboot = "reboot",
        Weekly = "weekly",
        Yearly = "yearly",
    }
}

arguments! {
    pub struct Args {
        /// What the job or variable is called.
        name []: String,
        /// The command line, or a variable's value.
        job ["value"]: Option<String>,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Whose crontab; with `cron_file`, the user that the job runs as.
        user []: Option<String>,
        /// A file instead of a user's crontab; a plain name lies in `/etc/cron.d`.
        cron_file []: Option<PathBuf>,
        /// Keep a copy of what was there, in the result's `backup_file`.
        backup []: bool = false,
        /// Minute at which it runs.
        minute []: String = "*",
        /// Hour at which it runs.
        hour []: String = "*",
        /// Day of the month on which it runs.
        day ["dom"]: String = "*",
        /// Month in which it runs.
        month []: String = "*",
        /// Day of the week on which it runs.
        weekday ["dow"]: String = "*",
        /// A word instead of the times.
        special_time []: Option<Special>,
        /// Keep the job, but as a comment.
        disabled []: bool = false,
        /// It is a variable, no job.
        env []: bool = false,
        /// Put a new variable after this one.
        insertafter []: Option<String>,
        /// Put a new variable before this one.
        insertbefore []: Option<String>,
    }
    rules [Exclusive(&["insertafter", "insertbefore"])]
}

/// The module `cron`.
pub struct Cron;

/// What stands before a job's name.
const MARK: &str = "#Ansible: ";

impl Module for Cron {
    const NAMES: &'static [&'static str] = &["cron", "ansible.builtin.cron", "ansible.legacy.cron"];
    const DOC: &'static str = "Puts jobs and variables into crontabs, and takes them out.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("jobs", "Names of the jobs there"),
        ("envs", "Names of the variables there"),
        ("cron_file", "The file, if one was named"),
        ("backup_file", "The copy that was kept"),
    ];
    const EXAMPLE: &'static str =
        "- cron:\n    name: check dirs\n    minute: '0'\n    hour: 5,2\n    job: ls -alh > /dev/null\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        check(&args)?;
        let table = Table::of(&args);
        let before = table.read(host)?;
        let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
        match (args.env, args.state) {
            (true, State::Present) => set_variable(&args, &mut lines)?,
            (true, State::Absent) => lines.retain(|l| variable(l) != Some(args.name.as_str())),
            (false, State::Present) => set_job(&args, &mut lines),
            (false, State::Absent) => drop(take_job(&args.name, &mut lines)),
        }
        let after: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let mut outcome = Outcome::changed(before != after)
            .with("jobs", lines.iter().filter_map(|l| l.strip_prefix(MARK)).collect::<Value>())
            .with("envs", lines.iter().filter_map(|l| variable(l)).collect::<Value>());
        if let Some(file) = &args.cron_file {
            outcome = outcome.with("cron_file", file.display().to_string());
        }
        if outcome.changed {
            let name = table.shown();
            outcome = outcome.diff(text_diff(&name, &name, before.as_bytes(), after.as_bytes()));
            if args.backup
                && let Some(saved) = table.save(host, &before)?
            {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
            table.write(host, &after)?;
        }
        Ok(outcome)
    }
}

fn check(args: &Args) -> Result<(), Failure> {
    let times = [&args.minute, &args.hour, &args.day, &args.month, &args.weekday];
    if args.special_time.is_some() && times.iter().any(|t| *t != "*") {
        return Err(Failure::new("You must specify time and date fields or special time."));
    }
    if args.cron_file.is_some() && args.user.is_none() && args.state == State::Present && !args.env {
        return Err(Failure::new("To use cron_file=... parameter you must specify user=... as well"));
    }
    if args.state == State::Present && args.job.is_none() {
        return Err(Failure::new("You must specify 'job' to install a new cron job or variable"));
    }
    if (args.insertafter.is_some() || args.insertbefore.is_some()) && !args.env {
        return Err(Failure::new("Insertafter and insertbefore parameters are valid only with env=yes"));
    }
    if args.name.contains(['\n', '\r']) || times.iter().any(|t| t.contains(['\n', '\r'])) {
        return Err(Failure::new("names and times of jobs have one line"));
    }
    Ok(())
}

/// The name of the variable that a line sets.
fn variable(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    plain.then_some(name)
}

fn set_variable(args: &Args, lines: &mut Vec<String>) -> Result<(), Failure> {
    let line = format!("{}=\"{}\"", args.name, args.job.as_deref().unwrap_or_default());
    let mut at = lines.iter().enumerate().filter(|(_, l)| variable(l) == Some(args.name.as_str())).map(|(i, _)| i);
    if let Some(first) = at.next() {
        lines[first] = line;
        return Ok(());
    }
    let place = |other: &str| {
        let found = lines.iter().position(|l| variable(l) == Some(other));
        found.ok_or_else(|| Failure::new(format!("Variable named '{other}' not found.")))
    };
    let at = match (&args.insertafter, &args.insertbefore) {
        (Some(after), _) => place(after)? + 1,
        (None, Some(before)) => place(before)?,
        (None, None) => 0,
    };
    lines.insert(at, line);
    Ok(())
}

/// Takes a job out; where it stood.
fn take_job(name: &str, lines: &mut Vec<String>) -> Option<usize> {
    let at = lines.iter().position(|l| l.strip_prefix(MARK) == Some(name))?;
    lines.drain(at..(at + 2).min(lines.len()));
    Some(at)
}

fn set_job(args: &Args, lines: &mut Vec<String>) {
    let line = job(args);
    let is = |l: &String| l.strip_prefix(MARK) == Some(args.name.as_str());
    let first = lines.iter().position(is);
    if first.is_some_and(|at| lines.get(at + 1) == Some(&line)) && lines.iter().filter(|l| is(l)).count() == 1 {
        return;
    }
    let mut place = lines.len();
    while let Some(at) = take_job(&args.name, lines) {
        place = place.min(at);
    }
    let place = place.min(lines.len());
    lines.splice(place..place, [format!("{MARK}{}", args.name), line]);
}

fn job(args: &Args) -> String {
    let command = args.job.as_deref().unwrap_or_default().trim_matches(['\r', '\n']);
    let off = if args.disabled { "#" } else { "" };
    let user = match (&args.cron_file, &args.user) {
        (Some(_), Some(user)) => format!("{user} "),
        _ => String::new(),
    };
    match args.special_time {
        Some(word) => format!("{off}@{} {user}{command}", word.word()),
        None => {
            let [m, h, d, mo, w] = [&args.minute, &args.hour, &args.day, &args.month, &args.weekday];
            format!("{off}{m} {h} {d} {mo} {w} {user}{command}")
        }
    }
}

/// Where jobs stand.
enum Table {
    File(PathBuf),
    /// A user's crontab; none is that of the user who runs this.
    User(Option<String>),
}

impl Table {
    fn of(args: &Args) -> Table {
        match &args.cron_file {
            Some(file) if file.is_absolute() => Table::File(file.clone()),
            Some(file) => Table::File(Path::new("/etc/cron.d").join(file)),
            None => Table::User(args.user.clone()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Table::File(path) => path.display().to_string(),
            Table::User(Some(user)) => format!("crontab of {user}"),
            Table::User(None) => "crontab".into(),
        }
    }

    fn fact(&self) -> String {
        format!("cron/{}", self.shown())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut argv = vec!["crontab"];
        if let Table::User(Some(user)) = self {
            argv.extend(["-u", user]);
        }
        argv.extend(words);
        Command::new(argv)
    }

    fn read(&self, host: &mut dyn Act) -> Result<String, Failure> {
        if let Table::File(path) = self {
            let bytes = read_existing(host.as_look(), path)?.unwrap_or_default();
            return String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is no UTF-8 text", path.display())));
        }
        if let Some(text) = host.supposed(&self.fact()) {
            return Ok(text.to_string());
        }
        let output = host.query(&self.command(&["-l"])).map_err(missing)?;
        // 1 says that the user has none yet.
        if output.rc > 1 || (output.rc == 1 && !output.error_text().contains("no crontab")) {
            return Err(Failure::new(format!("Unable to read crontab: {}", output.error_text().trim())));
        }
        let text = output.text();
        // Some cron programs put their own head before what was installed.
        let head = |(i, l): &(usize, &str)| {
            *i < 3
                && (l.starts_with("# DO NOT EDIT THIS FILE - edit the master and reinstall.")
                    || (l.starts_with("# (/tmp/") && l.contains("installed on"))
                    || (l.starts_with("# (") && l.contains("version")))
        };
        Ok(text.lines().enumerate().filter(|l| !head(l)).map(|(_, l)| format!("{l}\n")).collect())
    }

    fn save(&self, host: &mut dyn Act, before: &str) -> Result<Option<PathBuf>, Failure> {
        match self {
            Table::File(path) => backup(host, path),
            Table::User(_) => {
                let to = PathBuf::from(format!("/tmp/crontab-{}", random_name(8)));
                host.write(&to, &mut before.as_bytes(), Some(0o600))?;
                Ok(Some(to))
            }
        }
    }

    fn write(&self, host: &mut dyn Act, text: &str) -> Result<(), Failure> {
        let Table::File(path) = self else {
            let effect = Effect::Suppose(self.fact(), text.into());
            let output = host.run_expecting(&self.command(&["-"]).stdin(text), &[effect]).map_err(missing)?;
            if !output.success() {
                return Err(Failure::new(format!("Could not install new crontab: {}", output.error_text().trim())));
            }
            return Ok(());
        };
        if text.is_empty() {
            return Ok(host.remove(path)?);
        }
        let there = host.stat(path, true)?.is_some();
        Ok(host.write(path, &mut text.as_bytes(), (!there).then_some(0o644))?)
    }
}

fn missing(error: HostError) -> Failure {
    match error {
        HostError::NoProgram(name) => {
            Failure::new(format!("Failed to find required executable \"{name}\" on the host"))
        }
        other => other.into(),
    }
}
