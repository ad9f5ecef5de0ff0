//! `replace`: every match of a pattern in a file.

use std::path::PathBuf;

use super::file_args::{BeforeAfter, FileArgs};
use super::file_content::{Edit, read_existing, text_diff};
use super::{paths, python_regex};
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! {
    /// How the file's bytes are read.
    pub enum Encoding { Utf8 = "utf-8", Utf8Short = "utf8", Ascii = "ascii" }
}

arguments! {
    pub struct Args {
        /// The file.
        path ["dest", "destfile", "name"]: PathBuf,
        /// What to look for; `^` and `$` match at every line.
        regexp []: String,
        /// What stands in its place; `\1` and `\g<name>` are its groups.
        replace []: String = "",
        /// Only after the first match of this.
        after []: Option<String>,
        /// Only before a match of this.
        before []: Option<String>,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Program that must accept the new content; `%s` is where it lies.
        validate []: Option<String>,
        /// Encoding of the file; bytes that are none of it stay as they are.
        encoding []: Encoding = Encoding::Utf8,
        ..file: FileArgs,
    }
}

/// The module `replace`.
pub struct Replace;

impl Module for Replace {
    const NAMES: &'static [&'static str] = &["replace", "ansible.builtin.replace", "ansible.legacy.replace"];
    const DOC: &'static str = "Replaces every match of a pattern in a file.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("rc", "0"), ("backup_file", "The copy that was kept")];
    const EXAMPLE: &'static str = "- replace:\n    path: /etc/hosts\n    regexp: '(\\s+)old\\.host\\.name(\\s+.*)?$'\n    replace: '\\1new.host.name\\2'\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let rc = |rc: i64, msg: String| Failure::Failed(Box::new(Outcome::failed(msg).with("rc", rc)));
        if host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::Directory) {
            return Err(rc(256, format!("Path {} is a directory !", path.display())));
        }
        let Some(before) = read_existing(host.as_look(), &path)? else {
            return Err(rc(257, format!("Path {} does not exist !", path.display())));
        };
        let text = python_regex::to_text(&before);
        let Some((start, end)) = section(&args, &text)? else {
            let pattern = section_pattern(&args).unwrap_or_default();
            let msg = format!("Pattern for before/after params did not match the given file: {pattern}");
            return Ok(Outcome::ok().msg(msg).with("rc", 0));
        };
        let regex = python_regex::compile(&args.regexp, "m").map_err(Failure::new)?;
        let (new, count) = python_regex::replace_all(&regex, &text[start..end], &args.replace)
            .map_err(|e| Failure::new(format!("Unable to process replace due to error: {e}")))?;
        let changed = new != text[start..end];
        let mut msg = if changed { format!("{count} replacements made") } else { String::new() };
        let mut outcome = Outcome::changed(changed).with("rc", 0).with("msg", "");
        if changed {
            let after = python_regex::to_bytes(&format!("{}{new}{}", &text[..start], &text[end..]));
            let edit = Edit {
                path: &path,
                before: Some(&before),
                after: &after,
                backup: args.backup,
                validate: args.validate.as_deref(),
                args: &args.file,
            };
            let name = path.display().to_string();
            outcome = outcome.diff(text_diff(&name, &name, &before, &after));
            if let Some(saved) = edit.put(host)? {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
        }
        if args.file.apply_following(host, &path, &mut BeforeAfter::default())? {
            msg += if changed { " and " } else { "" };
            msg += "ownership, perms or SE linux context changed";
            outcome.changed = true;
        }
        Ok(outcome.msg(msg))
    }
}

fn section_pattern(args: &Args) -> Option<String> {
    let after = args.after.as_deref().filter(|p| !p.is_empty());
    let before = args.before.as_deref().filter(|p| !p.is_empty());
    match (after, before) {
        (None, None) => None,
        (Some(a), None) => Some(format!("{a}(?P<subsection>.*)")),
        (None, Some(b)) => Some(format!("(?P<subsection>.*){b}")),
        (Some(a), Some(b)) => Some(format!("{a}(?P<subsection>.*?){b}")),
    }
}

/// The part of a text to work on; none if `after` and `before` do not match.
fn section(args: &Args, text: &str) -> Result<Option<(usize, usize)>, Failure> {
    let Some(pattern) = section_pattern(args) else { return Ok(Some((0, text.len()))) };
    let regex = python_regex::compile(&pattern, "s").map_err(Failure::new)?;
    let found = regex.captures(text).map_err(|e| Failure::new(e.to_string()))?;
    Ok(found.and_then(|c| c.name("subsection")).map(|m| (m.start(), m.end())))
}
