//! `lineinfile`: a line is in a file, or is not.

use std::path::PathBuf;

use fancy_regex::Regex;

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
        /// Whether the line shall be there.
        state []: State = State::Present,
        /// The line to replace (the last that matches), or each to remove; where none matches, `line` is inserted.
        regexp ["regex"]: Option<String>,
        /// Text in the line to replace or remove, instead of `regexp`.
        search_string []: Option<String>,
        /// The line.
        line ["value"]: Option<String>,
        /// Insert after the last line that this matches; `EOF` is the end, `BOF` the beginning.
        insertafter []: Option<String>,
        /// Insert before the last line that this matches; `BOF` is the beginning.
        insertbefore []: Option<String>,
        /// `line` holds groups of `regexp` (`\1`); without a match nothing changes.
        backrefs []: bool = false,
        /// Make the file if it does not exist.
        create []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Take the first match, not the last.
        firstmatch []: bool = false,
        /// Program that must accept the new content; `%s` is where it lies.
        validate []: Option<String>,
        ..file: FileArgs,
    }
    rules [
        Exclusive(&["insertbefore", "insertafter"]),
        Exclusive(&["regexp", "search_string"]),
        Exclusive(&["backrefs", "search_string"]),
        If("state", "present", &["line"]),
    ]
}

/// The module `lineinfile`.
pub struct LineInFile;

impl Module for LineInFile {
    const NAMES: &'static [&'static str] = &["lineinfile", "ansible.builtin.lineinfile", "ansible.legacy.lineinfile"];
    const DOC: &'static str = "Makes sure that a line is in a file, replaces it, or removes it.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("backup", "The copy that was kept, or empty"), ("found", "Lines removed, for `absent`")];
    const EXAMPLE: &'static str =
        "- lineinfile:\n    path: /etc/selinux/config\n    regexp: '^SELINUX='\n    line: SELINUX=enforcing\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let rc = |rc: i64, msg: String| Failure::Failed(Box::new(Outcome::failed(msg).with("rc", rc)));
        if host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::Directory) {
            return Err(rc(256, format!("Path {} is a directory !", path.display())));
        }
        let present = args.state == State::Present;
        if present && args.line.is_none() {
            return Err(Failure::new("line is required with state=present"));
        }
        if present && args.backrefs && args.regexp.is_none() {
            return Err(Failure::new("regexp is required with backrefs=true"));
        }
        if !present && args.line.is_none() && args.regexp.is_none() && args.search_string.is_none() {
            return Err(Failure::new("one of line, search_string, or regexp is required with state=absent"));
        }
        let before = read_existing(host.as_look(), &path)?;
        if before.is_none() {
            if !present {
                return Ok(Outcome::ok().msg("file not present"));
            }
            if !args.create {
                return Err(rc(257, format!("Destination {} does not exist !", path.display())));
            }
        }
        let lines = python_regex::lines(&python_regex::to_text(before.as_deref().unwrap_or_default()));
        let edited = if present { insert(&args, lines)? } else { take_out(&args, lines)? };
        let after = python_regex::to_bytes(&edited.lines.concat());
        let edit = Edit {
            path: &path,
            before: before.as_deref(),
            after: &after,
            backup: args.backup,
            validate: args.validate.as_deref(),
            args: &args.file,
        };
        let mut outcome = Outcome::changed(edited.changed).with("msg", "");
        outcome.warnings.extend(matches_all(&args));
        let mut saved = None;
        if edited.changed {
            outcome = outcome.diff(edit.diff());
            if before.is_none() {
                make_parents(host, &path)?;
            }
            saved = edit.put(host)?;
        }
        let mut msg = edited.msg;
        if host.stat(&path, true)?.is_some() {
            let mut attributes = BeforeAfter::default();
            if args.file.apply_following(host, &path, &mut attributes)? {
                msg += if edited.changed { " and " } else { "" };
                msg += "ownership, perms or SE linux context changed";
                outcome.changed = true;
                outcome.diff.extend(attributes.into_diff(&format!("{} (file attributes)", path.display())));
            }
        }
        if let Some(found) = edited.found {
            outcome = outcome.with("found", found);
        }
        if [&args.regexp, &args.search_string].into_iter().any(|t| t.as_deref() == Some("")) {
            outcome.warnings.push("an empty search matches every line of the file; `^` says so on purpose".into());
        }
        Ok(outcome.msg(msg).with("backup", saved.map_or_else(String::new, |s| s.display().to_string())))
    }
}

/// What became of a file's lines.
struct Edited {
    lines: Vec<String>,
    changed: bool,
    msg: String,
    found: Option<usize>,
}

fn search(regex: &Regex, line: &str) -> Result<bool, Failure> {
    regex.is_match(line).map_err(|e| Failure::new(e.to_string()))
}

fn compile(pattern: &str) -> Result<Regex, Failure> {
    python_regex::compile(pattern, "").map_err(Failure::new)
}

fn bare(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// A warning (in Ansible's words: scripts look for them) where what lines are looked for by is empty.
fn matches_all(args: &Args) -> Option<String> {
    let (what, more) = match (args.regexp.as_deref(), args.search_string.as_deref()) {
        (Some(""), _) => (
            "regular expression",
            " If this is desired, use '^' to match every line in the file and avoid this warning.",
        ),
        (_, Some("")) => ("search string", ""),
        _ => return None,
    };
    Some(format!(
        "The {what} is an empty string, which will match every line in the file. This may have unintended consequences, \
         such as replacing the last line in the file rather than appending.{more}"
    ))
}

fn insert(args: &Args, mut lines: Vec<String>) -> Result<Edited, Failure> {
    let line = args.line.as_deref().unwrap_or_default();
    let after = match (&args.insertafter, &args.insertbefore) {
        (None, None) => Some("EOF"),
        (after, _) => after.as_deref(),
    };
    let before = args.insertbefore.as_deref();
    let regexp = args.regexp.as_deref().map(compile).transpose()?;
    let place = match (after, before) {
        (Some(p), _) if !matches!(p, "BOF" | "EOF") => Some(compile(p)?),
        (None, Some(p)) if p != "BOF" => Some(compile(p)?),
        _ => None,
    };
    // The line that the search found.
    let mut found = None;
    for (i, l) in lines.iter().enumerate() {
        let hit = match (&regexp, &args.search_string) {
            (Some(regex), _) => search(regex, l)?,
            (None, Some(text)) => l.contains(text.as_str()),
            (None, None) => false,
        };
        if hit {
            found = Some(i);
            if args.firstmatch {
                break;
            }
        }
    }
    let mut new = line.to_owned();
    if args.backrefs {
        let Some((i, regex)) = found.zip(regexp.as_ref()) else {
            return Ok(Edited { lines, changed: false, msg: String::new(), found: None });
        };
        let captures = regex.captures(lines[i].as_str()).map_err(|e| Failure::new(e.to_string()))?;
        if let Some(captures) = captures {
            new = python_regex::expand(line, &captures).map_err(Failure::new)?;
        }
    }
    // No match: the line itself may be there already, and the place to insert is looked for.
    let mut at = None;
    let mut exact = None;
    if found.is_none() {
        for (i, l) in lines.iter().enumerate() {
            if bare(l) == line {
                exact = Some(i);
            } else if let Some(place) = &place
                && search(place, l)?
            {
                at = Some(if after.is_some() { i + 1 } else { i });
                if args.firstmatch {
                    break;
                }
            }
        }
    }
    if !new.ends_with('\n') {
        new.push('\n');
    }
    let done = |lines, changed, msg: &str| Ok(Edited { lines, changed, msg: msg.into(), found: None });
    if let Some(i) = found.or(exact) {
        if lines[i] == new {
            return done(lines, false, "");
        }
        lines[i] = new;
        return done(lines, true, "line replaced");
    }
    let whole = format!("{line}\n");
    let end_last = |lines: &mut Vec<String>| {
        if let Some(last) = lines.last_mut()
            && !last.ends_with(['\n', '\r'])
        {
            last.push('\n');
        }
    };
    // Where it is to go after a line, it may be there already.
    let there = |lines: &[String], i: usize| {
        lines.get(if i == lines.len() { i - 1 } else { i }).is_some_and(|l| bare(l) == line)
    };
    match at {
        _ if before == Some("BOF") || after == Some("BOF") => lines.insert(0, whole),
        Some(i) if after.is_some() && there(&lines, i) => return done(lines, false, ""),
        Some(i) if i == lines.len() => {
            end_last(&mut lines);
            lines.push(whole);
        }
        Some(i) => lines.insert(i, whole),
        None => {
            end_last(&mut lines);
            lines.push(whole);
        }
    }
    done(lines, true, "line added")
}

fn take_out(args: &Args, lines: Vec<String>) -> Result<Edited, Failure> {
    let regexp = args.regexp.as_deref().map(compile).transpose()?;
    let mut kept = Vec::new();
    let mut found = 0;
    for l in lines {
        let hit = match (&regexp, &args.search_string) {
            (Some(regex), _) => search(regex, &l)?,
            (None, Some(text)) => l.contains(text.as_str()),
            (None, None) => args.line.as_deref() == Some(bare(&l)),
        };
        if hit { found += 1 } else { kept.push(l) }
    }
    let msg = if found > 0 { format!("{found} line(s) removed") } else { String::new() };
    Ok(Edited { lines: kept, changed: found > 0, msg, found: Some(found) })
}
