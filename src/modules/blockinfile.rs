//! `blockinfile`: a block of lines between two marker lines.

use std::path::PathBuf;

use super::file_args::{BeforeAfter, FileArgs};
use super::file_content::{Edit, make_parents, read_existing};
use super::{paths, python_regex};
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The file.
        path ["dest", "destfile", "name"]: PathBuf,
        /// Whether the block shall be there.
        state []: State = State::Present,
        /// The marker lines; `{mark}` becomes `marker_begin` and `marker_end`.
        marker []: String = "# {mark} ANSIBLE MANAGED BLOCK",
        /// What `{mark}` becomes before the block.
        marker_begin []: String = "BEGIN",
        /// What `{mark}` becomes after the block.
        marker_end []: String = "END",
        /// The lines; none removes the block.
        block ["content"]: String = "",
        /// Insert after the last line that this matches; `EOF` is the end.
        insertafter []: Option<String>,
        /// Insert before the last line that this matches; `BOF` is the beginning.
        insertbefore []: Option<String>,
        /// Make the file if it does not exist.
        create []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Program that must accept the new content; `%s` is where it lies.
        validate []: Option<String>,
        /// An empty line after the block, if something follows.
        append_newline []: bool = false,
        /// An empty line before the block, if something precedes.
        prepend_newline []: bool = false,
        ..file: FileArgs,
    }
    rules [Exclusive(&["insertbefore", "insertafter"])]
}

/// The module `blockinfile`.
pub struct BlockInFile;

impl Module for BlockInFile {
    const NAMES: &'static [&'static str] =
        &["blockinfile", "ansible.builtin.blockinfile", "ansible.legacy.blockinfile"];
    const DOC: &'static str = "Puts a block of lines between marker lines into a file, updates or removes it.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("backup_file", "The copy that was kept")];
    const EXAMPLE: &'static str = "- blockinfile:\n    path: /etc/ssh/sshd_config\n    block: |\n      Match User ansible-agent\n      PasswordAuthentication no\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let rc = |rc: i64, msg: String| Failure::Failed(Box::new(Outcome::failed(msg).with("rc", rc)));
        if host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::Directory) {
            return Err(rc(256, format!("Path {} is a directory !", path.display())));
        }
        let before = read_existing(host.as_look(), &path)?;
        if before.is_none() {
            if args.state == State::Absent {
                return Ok(Outcome::ok().msg(format!("File {} not present", path.display())));
            }
            if !args.create {
                return Err(rc(257, format!("Path {} does not exist !", path.display())));
            }
        }
        let text = python_regex::to_text(before.as_deref().unwrap_or_default());
        let (after, block) = place(&args, &text)?;
        let after = python_regex::to_bytes(&after);
        let (changed, mut msg) = match &before {
            Some(before) if *before == after => (false, String::new()),
            None => (true, "File created".to_owned()),
            Some(_) if !block => (true, "Block removed".to_owned()),
            Some(_) => (true, "Block inserted".to_owned()),
        };
        let edit = Edit {
            path: &path,
            before: before.as_deref(),
            after: &after,
            backup: args.backup,
            validate: args.validate.as_deref(),
            args: &args.file,
        };
        let mut outcome = Outcome::changed(changed);
        if changed {
            outcome = outcome.diff(edit.diff());
            if before.is_none() {
                make_parents(host, &path)?;
            }
            if let Some(saved) = edit.put(host)? {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
        }
        let mut attributes = BeforeAfter::default();
        if args.file.apply_following(host, &path, &mut attributes)? {
            msg += if changed { " and " } else { "" };
            msg += "ownership, perms or SE linux context changed";
            outcome.changed = true;
            outcome.diff.extend(attributes.into_diff(&format!("{} (file attributes)", path.display())));
        }
        Ok(outcome.msg(msg))
    }
}

/// The new text, and whether the block is in it.
fn place(args: &Args, text: &str) -> Result<(String, bool), Failure> {
    let mut lines = python_regex::lines(text);
    let marker = |mark: &str| args.marker.replace("{mark}", mark) + "\n";
    let (begin, end) = (marker(&args.marker_begin), marker(&args.marker_end));
    let present = args.state == State::Present;
    let mut block = Vec::new();
    if present && !args.block.is_empty() {
        let newline = if args.block.ends_with('\n') { "" } else { "\n" };
        block.push(begin.clone());
        block.extend(python_regex::lines(&format!("{}{newline}", args.block)));
        block.push(end.clone());
    }
    let first = lines.iter().rposition(|l| *l == begin);
    let last = lines.iter().rposition(|l| *l == end);
    let at = match (first, last) {
        (Some(a), Some(b)) => {
            lines.drain(a.min(b)..=a.max(b));
            a.min(b)
        }
        _ => new_place(args, text, &lines)?,
    };
    if let Some(above) = at.checked_sub(1).and_then(|i| lines.get_mut(i))
        && !above.ends_with('\n')
    {
        above.push('\n');
    }
    let mut at = at;
    if args.prepend_newline && present && at > 0 && lines[at - 1] != "\n" {
        lines.insert(at, "\n".into());
        at += 1;
    }
    let below = at + block.len();
    let is_block = !block.is_empty();
    lines.splice(at..at, block);
    if args.append_newline && present && lines.get(below).is_some_and(|l| l != "\n") {
        lines.insert(below, "\n".into());
    }
    Ok((lines.concat(), is_block))
}

/// Where a block that is not there yet goes.
fn new_place(args: &Args, text: &str, lines: &[String]) -> Result<usize, Failure> {
    let (pattern, behind) = match (&args.insertafter, &args.insertbefore) {
        (Some(after), _) if after == "EOF" => return Ok(lines.len()),
        (Some(after), _) => (after, true),
        (None, Some(before)) if before == "BOF" => return Ok(0),
        (None, Some(before)) => (before, false),
        (None, None) => return Ok(lines.len()),
    };
    let regex = python_regex::compile(pattern, "").map_err(Failure::new)?;
    let failed = |e: fancy_regex::Error| Failure::new(e.to_string());
    let mut found = None;
    if pattern.starts_with("(?") && pattern.split(')').next().is_some_and(|f| f.contains('m')) {
        // With (?m) the pattern may span lines.
        if let Some(m) = regex.find(text).map_err(failed)? {
            let upto = if behind { m.end() } else { m.start() };
            found = Some(text[..upto].matches('\n').count());
        }
    } else {
        for (i, line) in lines.iter().enumerate() {
            if regex.is_match(line.as_str()).map_err(failed)? {
                found = Some(i);
            }
        }
    }
    Ok(match found {
        None => lines.len(),
        Some(i) if behind => i + 1,
        Some(i) => i,
    })
}
