//! `find`: files and directories by name, age, size, mode and content.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fancy_regex::Regex;

use super::digest::Algorithm;
use super::file_args::Mode;
use super::stat::basics;
use super::{accounts, paths, python_regex};
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look, Stat};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! {
    /// What to look for.
    pub enum Kind { Any = "any", Directory = "directory", File = "file", Link = "link" }
}

choices! {
    /// Which time `age` is about.
    pub enum Stamp { Accessed = "atime", Changed = "ctime", Modified = "mtime" }
}

arguments! {
    pub struct Args {
        /// Directories to search.
        paths ["name", "path"]: Vec<PathBuf>,
        /// Names to find: shell patterns, or regular expressions with `use_regex`; any of them.
        patterns ["pattern"]: Option<Vec<Value>>,
        /// Names to leave out, written like `patterns`.
        excludes ["exclude"]: Option<Vec<Value>>,
        /// Files with a line that begins with a match of this.
        contains []: Option<String>,
        /// Look for `contains` in the whole file at once, anywhere in it.
        read_whole_file []: bool = false,
        /// What to look for.
        file_type []: Kind = Kind::File,
        /// Older than this (`4d`, `1w`, seconds), or younger if negative.
        age []: Option<String>,
        /// Which time `age` is about.
        age_stamp []: Stamp = Stamp::Modified,
        /// At least this size (`10m`, bytes), or at most if negative.
        size []: Option<String>,
        /// Search directories below too.
        recurse []: bool = false,
        /// Names that begin with a dot too.
        hidden []: bool = false,
        /// Follow links to directories.
        follow []: bool = false,
        /// Give each file's checksum.
        get_checksum []: bool = false,
        /// Algorithm of the checksum.
        checksum_algorithm ["checksum", "checksum_algo"]: Algorithm = Algorithm::Sha1,
        /// `patterns` and `excludes` are regular expressions.
        use_regex []: bool = false,
        /// How many levels down, from 1.
        depth []: Option<u64>,
        /// Permissions to find.
        mode []: Option<Mode>,
        /// Exactly these permissions; without it, any of them.
        exact_mode []: bool = true,
        /// Encoding of files that `contains` reads, if it is not UTF-8: what the host's `iconv` knows.
        encoding []: Option<String>,
        /// Stop after so many.
        limit []: Option<u64>,
    }
}

/// The module `find`.
pub struct Find;

impl Module for Find {
    const NAMES: &'static [&'static str] = &["find", "ansible.builtin.find", "ansible.legacy.find"];
    const DOC: &'static str = "Lists files and directories by name, age, size, mode and content. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("files", "What was found, each with `path` and what `stat` says"),
        ("matched", "How many"),
        ("examined", "How many were looked at"),
        ("skipped_paths", "What could not be searched, and why"),
    ];
    const EXAMPLE: &'static str = "- find:\n    paths: /var/log\n    patterns: '*.old'\n    age: 1w\n  register: old\n";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.limit == Some(0) {
            return Err(Failure::new("limit cannot be 0 (leave it out for unlimited)"));
        }
        let mut search = Search::new(&args)?;
        let mut outcome = Outcome::ok();
        let mut skipped = Dict::new();
        for written in &args.paths {
            let path = paths::expand(host.as_look(), written)?;
            let shown = path.display().to_string();
            let is_dir = host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::Directory);
            let searched = if is_dir {
                search.dir(host.as_look(), &path, 1, &mut Vec::new(), &mut skipped).map_err(|e| e.to_string())
            } else {
                Err(format!("'{shown}' is not a directory"))
            };
            if let Err(why) = searched {
                outcome.warnings.push(format!("Skipped '{shown}' path due to this access issue: {why}\n"));
                skipped.insert(Key::from(shown), why.into());
            }
        }
        let msg = if !outcome.warnings.is_empty() {
            "Not all paths examined, check warnings for details"
        } else if search.full() {
            "Limit of matches reached"
        } else {
            "All paths examined"
        };
        Ok(outcome
            .msg(msg)
            .with("matched", search.found.len())
            .with("files", search.found)
            .with("examined", search.examined)
            .with("skipped_paths", skipped))
    }
}

/// One name to match.
enum Name {
    Shell(String),
    Regex(Regex),
}

impl Name {
    fn list(patterns: Option<&Vec<Value>>, regex: bool) -> Result<Vec<Name>, Failure> {
        let patterns = patterns.map(Vec::as_slice).unwrap_or_default();
        patterns
            .iter()
            .map(|p| match regex {
                true => python_regex::compile(&p.to_string(), "").map(Name::Regex).map_err(Failure::new),
                false => Ok(Name::Shell(p.to_string())),
            })
            .collect()
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Name::Shell(pattern) => paths::matches(pattern, name),
            Name::Regex(regex) => starts_with_match(regex, name),
        }
    }
}

fn starts_with_match(regex: &Regex, text: &str) -> bool {
    matches!(regex.find(text), Ok(Some(m)) if m.start() == 0)
}

struct Search<'a> {
    args: &'a Args,
    patterns: Vec<Name>,
    excludes: Vec<Name>,
    contains: Option<Regex>,
    age: Option<f64>,
    size: Option<f64>,
    now: f64,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    found: Vec<Value>,
    examined: usize,
}

impl Search<'_> {
    fn new(args: &Args) -> Result<Search<'_>, Failure> {
        let age = |c| "smhdw".find(c).map(|i| [1.0, 60.0, 3600.0, 86_400.0, 604_800.0][i]);
        let size = |c| "bkmgt".find(c).map(|i| 1024f64.powi(i as i32));
        Ok(Search {
            args,
            patterns: Name::list(args.patterns.as_ref(), args.use_regex)?,
            excludes: Name::list(args.excludes.as_ref(), args.use_regex)?,
            contains: args
                .contains
                .as_deref()
                .map(|c| python_regex::compile(c, ""))
                .transpose()
                .map_err(Failure::new)?,
            age: quantity("age", args.age.as_deref(), age)?,
            size: quantity("size", args.size.as_deref(), size)?,
            now: jiff::Timestamp::now().as_duration().as_secs_f64(),
            users: HashMap::new(),
            groups: HashMap::new(),
            found: Vec::new(),
            examined: 0,
        })
    }

    fn full(&self) -> bool {
        self.args.limit.is_some_and(|l| self.found.len() as u64 >= l)
    }

    /// Searches a directory; `above` are the directories that led here, so that a circle of links ends.
    fn dir(
        &mut self,
        host: &mut dyn Look,
        dir: &Path,
        depth: u64,
        above: &mut Vec<(u64, u64)>,
        skipped: &mut Dict,
    ) -> Result<(), Failure> {
        let names = match host.list(dir) {
            Ok(names) => names,
            Err(e @ (HostError::Denied { .. } | HostError::NotFound(_))) => {
                skipped.insert(Key::from(dir.display().to_string()), e.to_string().into());
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        };
        self.examined += names.len();
        if self.args.depth.is_some_and(|d| d > 0 && depth > d) {
            return Ok(());
        }
        let mut below = Vec::new();
        for name in names {
            let path = dir.join(&name);
            let Some(stat) = host.stat(&path, false)? else { continue };
            let leads = stat.kind == FileKind::Directory || self.args.follow && stat.kind == FileKind::Symlink;
            if self.args.recurse && leads {
                below.push(path.clone());
            }
            if self.full() || name.starts_with('.') && !self.args.hidden || !self.wanted(host, &name, &path, &stat)? {
                continue;
            }
            let entry = self.entry(host, &path, &stat)?;
            self.found.push(entry);
        }
        for path in below {
            let Some(stat) = host.stat(&path, true)? else { continue };
            let id = (stat.device, stat.inode);
            if self.full() || stat.kind != FileKind::Directory || above.contains(&id) {
                continue;
            }
            above.push(id);
            self.dir(host, &path, depth + 1, above, skipped)?;
            above.pop();
        }
        Ok(())
    }

    fn wanted(&self, host: &mut dyn Look, name: &str, path: &Path, stat: &Stat) -> Result<bool, Failure> {
        let args = self.args;
        let kind = match args.file_type {
            Kind::Any => true,
            Kind::Directory => stat.kind == FileKind::Directory,
            Kind::File => stat.kind == FileKind::File,
            Kind::Link => stat.kind == FileKind::Symlink,
        };
        let named = (self.patterns.is_empty() || self.patterns.iter().any(|p| p.matches(name)))
            && !self.excludes.iter().any(|p| p.matches(name));
        let time = match args.age_stamp {
            Stamp::Accessed => stat.accessed,
            Stamp::Changed => stat.changed,
            Stamp::Modified => stat.modified,
        };
        let aged = self.age.is_none_or(|a| if a >= 0.0 { self.now - time >= a } else { self.now - time <= -a });
        let bytes = stat.size as f64;
        let sized =
            stat.kind != FileKind::File || self.size.is_none_or(|s| if s >= 0.0 { bytes >= s } else { bytes <= -s });
        let permitted = args.mode.as_ref().is_none_or(|m| {
            let mode = m.over(0, false);
            if args.exact_mode { stat.mode == mode } else { stat.mode & mode != 0 }
        });
        if !(kind && named && aged && sized && permitted) {
            return Ok(false);
        }
        match &self.contains {
            Some(regex) if args.file_type == Kind::File => Ok(self.contains(host, path, regex)?),
            _ => Ok(true),
        }
    }

    fn contains(&self, host: &mut dyn Look, path: &Path, regex: &Regex) -> Result<bool, Failure> {
        let bytes = match host.read(path) {
            Ok(bytes) => bytes,
            // What cannot be read contains nothing that could be told.
            Err(HostError::Denied { .. } | HostError::NotFound(_)) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let text = decoded(host, path, bytes, self.args.encoding.as_deref())?;
        if self.args.read_whole_file {
            return Ok(regex.is_match(text.as_str()).unwrap_or(false));
        }
        Ok(text.split_inclusive('\n').any(|line| starts_with_match(regex, line)))
    }

    fn entry(&mut self, host: &mut dyn Look, path: &Path, stat: &Stat) -> Result<Value, HostError> {
        let mut entry = basics(stat);
        entry.shift_remove("exists");
        entry.shift_insert(0, "path".into(), path.display().to_string().into());
        let user = match self.users.get(&stat.uid) {
            Some(name) => name.clone(),
            None => accounts::user(host, &stat.uid.to_string())?.map(|u| u.name).unwrap_or_default(),
        };
        let group = match self.groups.get(&stat.gid) {
            Some(name) => name.clone(),
            None => accounts::group(host, &stat.gid.to_string())?.map(|g| g.name).unwrap_or_default(),
        };
        entry.insert("pw_name".into(), user.as_str().into());
        entry.insert("gr_name".into(), group.as_str().into());
        self.users.insert(stat.uid, user);
        self.groups.insert(stat.gid, group);
        if self.args.get_checksum && stat.kind == FileKind::File {
            let sum = self.args.checksum_algorithm.of_file(host, path)?;
            entry.insert("checksum".into(), sum.into());
        }
        Ok(Value::dict(entry))
    }
}

/// The text of a file; what is no text in its encoding is a failure in Ansible's words.
fn decoded(host: &mut dyn Look, path: &Path, bytes: Vec<u8>, encoding: Option<&str>) -> Result<String, Failure> {
    let known = encoding.unwrap_or("utf-8").to_lowercase().replace('_', "-");
    let text = match known.as_str() {
        "utf-8" | "utf8" => String::from_utf8(bytes).ok(),
        "ascii" | "us-ascii" => String::from_utf8(bytes).ok().filter(|t| t.is_ascii()),
        other => {
            let iconv = || Command::new(["iconv", "-f", other, "-t", "UTF-8"]);
            let said = host.query(&iconv().stdin(bytes))?;
            // What it cannot even begin to read, it does not know.
            if said.rc != 0 && host.query(&iconv().stdin(Vec::new()))?.rc != 0 {
                return Err(Failure::new(format!("unknown encoding: {other}")));
            }
            String::from_utf8(said.stdout).ok().filter(|_| said.rc == 0)
        }
    };
    text.ok_or_else(|| {
        let encoding = encoding.unwrap_or("UTF-8, as none is given");
        Failure::new(format!(
            "Failed to read the file {} due to an encoding error. current encoding: {encoding}",
            path.display()
        ))
    })
}

/// A number with a unit: `-10m`.
fn quantity(what: &str, text: Option<&str>, unit: impl Fn(char) -> Option<f64>) -> Result<Option<f64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || Failure::Failed(Box::new(Outcome::failed(format!("failed to process {what}")).with(what, text)));
    let lower = text.trim().to_lowercase();
    let (number, unit) = match lower.chars().last() {
        Some(c) if c.is_ascii_alphabetic() => (&lower[..lower.len() - 1], unit(c).ok_or_else(bad)?),
        _ => (lower.as_str(), 1.0),
    };
    Ok(Some(number.parse::<i64>().map_err(|_| bad())? as f64 * unit))
}
