//! `ini_file`: options in the sections of an INI file. Every other line stays as it is.

use std::path::PathBuf;

use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::{Edit, make_parents, read_existing};
use super::{paths, python_regex};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The file.
        path ["dest"]: PathBuf,
        /// The section; none is what stands before the first.
        section []: Option<String>,
        /// The option; none is about the section itself.
        option []: Option<String>,
        /// Its value.
        value []: Option<String>,
        /// Its values, a line each.
        values []: Option<Vec<String>>,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// The option has this value only: other lines of it go.
        exclusive []: bool = true,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Write `a=b`, not `a = b`.
        no_extra_spaces []: bool = false,
        /// A line that differs in blanks only is right as it is.
        ignore_spaces []: bool = false,
        /// The option may have no value.
        allow_no_value []: bool = false,
        /// Use a commented line of the option for it.
        modify_inactive_option []: bool = true,
        /// Make the file if it does not exist.
        create []: bool = true,
        /// Change what a link points to.
        follow []: bool = false,
        ..file: FileArgs,
    }
    rules [Exclusive(&["value", "values"])]
}

/// The module `ini_file`.
pub struct IniFile;

impl Module for IniFile {
    const NAMES: &'static [&'static str] =
        &["ini_file", "community.general.ini_file", "community.general.files.ini_file"];
    const DOC: &'static str = "Sets or removes options in INI files, line by line: comments and order stay.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("path", "The file"), ("backup_file", "The copy that was kept")];
    const EXAMPLE: &'static str =
        "- ini_file:\n    path: /etc/conf\n    section: drinks\n    option: fav\n    value: lemonade\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut path = paths::expand(host.as_look(), &args.path)?;
        if args.follow {
            path = paths::real_path(host.as_look(), &path)?;
        }
        let values: Vec<String> =
            args.value.clone().into_iter().chain(args.values.clone().unwrap_or_default()).collect();
        if args.state == State::Present && args.option.is_some() && values.is_empty() && !args.allow_no_value {
            return Err(Failure::new(
                "Parameter 'value(s)' must be defined if state=present and allow_no_value=False.",
            ));
        }
        let before = read_existing(host.as_look(), &path)?;
        if before.is_none() && !args.create {
            let msg = format!("Destination {} does not exist!", path.display());
            return Err(Failure::Failed(Box::new(Outcome::failed(msg).with("rc", 257))));
        }
        let text = python_regex::to_text(before.as_deref().unwrap_or_default());
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut ini = Ini { args: &args, lines };
        let msg = ini.edit(&values);
        let after: String = ini.lines.iter().map(|l| format!("{l}\n")).collect();
        let changed = ini.lines.iter().map(String::as_str).ne(text.lines());
        let mut outcome =
            Outcome::changed(changed).msg(if changed { msg } else { "OK" }).with("path", path.display().to_string());
        if changed {
            let after = python_regex::to_bytes(&after);
            let edit = Edit {
                path: &path,
                before: before.as_deref(),
                after: &after,
                backup: args.backup,
                validate: None,
                args: &args.file,
            };
            outcome = outcome.diff(edit.diff());
            if before.is_none() {
                make_parents(host, &path)?;
            }
            if let Some(saved) = edit.put(host)? {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
        }
        if host.stat(&path, true)?.is_some() {
            let mut attributes = BeforeAfter::default();
            outcome.changed |= args.file.apply_following(host, &path, &mut attributes)?;
            outcome.diff.extend(attributes.into_diff(&format!("{} (file attributes)", path.display())));
        }
        Ok(describe(host.as_look(), &path, outcome)?)
    }
}

struct Ini<'a> {
    args: &'a Args,
    lines: Vec<String>,
}

/// The name in `[name]`.
fn section_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']').map(str::trim)
}

impl Ini<'_> {
    /// Where the section's options begin and end; none if there is no such section.
    fn range(&self) -> Option<(usize, usize)> {
        let start = match &self.args.section {
            None => 0,
            Some(name) => self.lines.iter().position(|l| section_of(l) == Some(name.trim()))? + 1,
        };
        let end =
            self.lines[start..].iter().position(|l| section_of(l).is_some()).map_or(self.lines.len(), |e| start + e);
        Some((start, end))
    }

    /// The value of a line if it is about the option; an active line only, unless commented ones serve too.
    fn value<'l>(&self, line: &'l str, commented: bool) -> Option<Option<&'l str>> {
        let option = self.args.option.as_deref()?.trim();
        let mut line = line.trim();
        if commented {
            line = line.strip_prefix(['#', ';'])?.trim_start();
        }
        let rest = line.strip_prefix(option)?.trim_start();
        match rest.strip_prefix('=') {
            Some(value) => Some(Some(value.trim())),
            None if rest.is_empty() && self.args.allow_no_value => Some(None),
            None => None,
        }
    }

    fn written(&self, value: Option<&str>) -> String {
        let option = self.args.option.as_deref().unwrap_or_default();
        match value {
            Some(value) if self.args.no_extra_spaces => format!("{option}={value}"),
            Some(value) => format!("{option} = {value}").trim_end().to_owned(),
            None => option.to_owned(),
        }
    }

    fn is_right(&self, line: &str, value: Option<&str>) -> bool {
        if self.args.ignore_spaces { self.value(line, false) == Some(value) } else { line == self.written(value) }
    }

    fn edit(&mut self, values: &[String]) -> &'static str {
        match (self.args.state, self.args.option.is_some()) {
            (State::Absent, false) => self.remove_section(),
            (State::Absent, true) => self.remove_option(values),
            (State::Present, false) => {
                if self.range().is_none() {
                    self.add_section();
                }
                "only section added"
            }
            (State::Present, true) => self.set(values),
        }
    }

    fn remove_section(&mut self) -> &'static str {
        if let Some((start, end)) = self.range() {
            let head = start.saturating_sub(usize::from(self.args.section.is_some()));
            self.lines.drain(head..end);
        }
        "section removed"
    }

    fn remove_option(&mut self, values: &[String]) -> &'static str {
        if let Some((start, end)) = self.range() {
            for i in (start..end).rev() {
                let Some(value) = self.value(&self.lines[i], false) else { continue };
                // With `exclusive: false` only these values go.
                let listed = values.iter().any(|v| value == Some(v.trim()));
                if self.args.exclusive || values.is_empty() || listed {
                    self.lines.remove(i);
                }
            }
        }
        "option changed"
    }

    fn add_section(&mut self) -> usize {
        if let Some(name) = &self.args.section {
            if self.lines.last().is_some_and(|l| !l.trim().is_empty()) {
                self.lines.push(String::new());
            }
            self.lines.push(format!("[{name}]"));
        }
        self.lines.len()
    }

    fn set(&mut self, values: &[String]) -> &'static str {
        let mut left: Vec<Option<&str>> = values.iter().map(|v| Some(v.as_str())).collect();
        if left.is_empty() {
            left.push(None);
        }
        let Some((start, end)) = self.range() else {
            self.add_section();
            let new: Vec<String> = left.iter().map(|v| self.written(*v)).collect();
            self.lines.extend(new);
            return "section and option added";
        };
        // Lines that are right already stay where they are.
        let mut other = Vec::new();
        for i in start..end {
            if self.value(&self.lines[i], false).is_none() {
                continue;
            }
            match left.iter().position(|v| self.is_right(&self.lines[i], *v)) {
                Some(at) => {
                    left.remove(at);
                }
                None => other.push(i),
            }
        }
        let mut msg = "option changed";
        let mut wanted = left.into_iter();
        let mut drop = Vec::new();
        if self.args.exclusive {
            for i in other {
                match wanted.next() {
                    Some(value) => self.lines[i] = self.written(value),
                    None => drop.push(i),
                }
            }
        }
        let mut rest: Vec<String> = Vec::new();
        for value in wanted {
            let inactive = (start..end).find(|i| {
                self.args.modify_inactive_option && self.value(&self.lines[*i], true).is_some() && !drop.contains(i)
            });
            match inactive {
                Some(i) => self.lines[i] = self.written(value),
                None => rest.push(self.written(value)),
            }
        }
        for i in drop.iter().rev() {
            self.lines.remove(*i);
        }
        if !rest.is_empty() {
            msg = "option added";
            let end = end - drop.len();
            // After the section's last line, before the blanks that part it from the next.
            let at = (start..end).rev().find(|i| !self.lines[*i].trim().is_empty()).map_or(start, |i| i + 1);
            self.lines.splice(at..at, rest);
        }
        msg
    }
}
