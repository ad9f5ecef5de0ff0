//! `file`: files, directories and links, their attributes and times, or their absence.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::file_args::{BeforeAfter, FileArgs, describe, state_of};
use super::file_content::random_name;
use super::{accounts, paths};
use crate::action::host::{Act, FileKind, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::{Key, Value};
use crate::{arguments, choices, dict};

choices! {
    /// What shall stand at the path.
    pub enum State {
        Absent = "absent",
        Directory = "directory",
        File = "file",
        Hard = "hard",
        Link = "link",
        Touch = "touch",
    }
}

arguments! {
    pub struct Args {
        /// The path.
        path ["dest", "name"]: PathBuf,
        /// `file` changes what exists, `touch` makes an empty file, `directory` with all above it, `link` and `hard` point to
        /// `src`, `absent` removes. Without it: as it is, else `file`.
        state []: Option<State>,
        /// What a link points to.
        src []: Option<PathBuf>,
        /// Go down a directory.
        recurse []: bool = false,
        /// Make a link to what does not exist, or in the place of something else.
        force []: bool = false,
        /// Change what a link points to.
        follow []: bool = true,
        /// `now`, `preserve`, or a time in the format below.
        modification_time []: Option<String>,
        /// How `modification_time` is written.
        modification_time_format []: String = "%Y%m%d%H%M.%S",
        /// `now`, `preserve`, or a time in the format below.
        access_time []: Option<String>,
        /// How `access_time` is written.
        access_time_format []: String = "%Y%m%d%H%M.%S",
        /// Name to take where the path is a directory; set by actions.
        _original_basename []: Option<String>,
        /// Set by actions.
        _diff_peek []: Option<bool>,
        ..file: FileArgs,
    }
}

/// The module `file`.
pub struct File;

impl Module for File {
    const NAMES: &'static [&'static str] = &["file", "ansible.builtin.file", "ansible.legacy.file"];
    const DOC: &'static str = "Sets the state and attributes of files, links and directories, or removes them.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("path", "The path, for `file`, `directory` and `absent`"),
        ("dest", "The path, for `touch`, `link` and `hard`"),
        ("state", "What stands there now"),
        ("mode", "Its permissions, with `owner`, `group`, `uid`, `gid` and `size`"),
    ];
    const EXAMPLE: &'static str = "- file:\n    path: /etc/some_directory\n    state: directory\n    mode: '0755'\n";
    type Args = Args;

    fn run(mut args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut path = paths::expand(host.as_look(), &args.path)?;
        let warnings = nobody(&args, host)?;
        // Of a file that is yet to be made there is nothing to give away.
        if !warnings.is_empty() && args.state == Some(State::Touch) && host.stat(&path, false)?.is_none() {
            (args.file.owner, args.file.group) = (None, None);
        }
        let with_warnings = |mut outcome: Outcome| {
            outcome.warnings.splice(0..0, warnings);
            outcome
        };
        // What is told of the path goes with a failure too.
        match ensure(&args, &mut path, host) {
            Ok(outcome) => Ok(with_warnings(describe(host.as_look(), &path, outcome)?)),
            Err(Failure::Failed(outcome)) => {
                let named = outcome.data.contains_key("path");
                let outcome = if named { describe(host.as_look(), &path, *outcome)? } else { *outcome };
                Err(Failure::Failed(Box::new(with_warnings(outcome))))
            }
            Err(e) => Err(e),
        }
    }
}

/// Warnings, in Ansible's words, of an owner and a group that do not exist: in a check run they may be made before, by
/// what cannot be known.
fn nobody(args: &Args, host: &mut dyn Act) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    let unknown = |what: &str, id: &str, name: &str| {
        let number = if name.parse::<u32>().is_ok() { format!(" with {id}") } else { String::new() };
        format!("failed to look up {what}{number} {name}. Create {what} up to this point in real play")
    };
    if args.state == Some(State::Absent) || host.outside("accounts made before").is_ok() {
        return Ok(warnings);
    }
    if let Some(owner) = &args.file.owner
        && accounts::user(host.as_look(), owner)?.is_none()
    {
        warnings.push(unknown("user", "uid", owner));
    }
    if let Some(group) = &args.file.group
        && accounts::group(host.as_look(), group)?.is_none()
    {
        warnings.push(unknown("group", "gid", group));
    }
    Ok(warnings)
}

/// When a file shall have been changed and read.
struct Times {
    modified: Time,
    accessed: Time,
}

#[derive(Clone, Copy, PartialEq)]
enum Time {
    Preserve,
    Now,
    At(f64),
}

impl Time {
    fn read(written: Option<&str>, format: &str, touch: bool) -> Result<Time, Failure> {
        let text = match written {
            None if touch => return Ok(Time::Now),
            None | Some("preserve") => return Ok(Time::Preserve),
            Some("now") => return Ok(Time::Now),
            Some(text) => text,
        };
        let bad = |e: jiff::Error| {
            Failure::new(format!("Error while obtaining timestamp for time {text} using format {format}: {e}"))
        };
        let time = jiff::civil::DateTime::strptime(format, text).map_err(bad)?;
        let time = time.to_zoned(jiff::tz::TimeZone::system()).map_err(bad)?;
        Ok(Time::At(time.timestamp().as_second() as f64))
    }

    fn or(self, now: f64) -> Option<f64> {
        match self {
            Time::Preserve => None,
            Time::Now => Some(now),
            Time::At(time) => Some(time),
        }
    }
}

impl Times {
    fn apply(&self, host: &mut dyn Act, path: &Path, diff: &mut BeforeAfter) -> Result<bool, Failure> {
        if (self.modified, self.accessed) == (Time::Preserve, Time::Preserve) {
            return Ok(false);
        }
        let target = paths::real_path(host.as_look(), path)?;
        let Some(stat) = host.stat(&target, false)? else { return Ok(false) };
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        let modified = self.modified.or(now).filter(|t| *t != stat.modified);
        let accessed = self.accessed.or(now).filter(|t| *t != stat.accessed);
        if modified.is_none() && accessed.is_none() {
            return Ok(false);
        }
        if let Some(time) = modified {
            diff.note("mtime", stat.modified, time);
        }
        if let Some(time) = accessed {
            diff.note("atime", stat.accessed, time);
        }
        host.set_times(&target, accessed, modified)?;
        Ok(true)
    }
}

fn failed(path: &Path, msg: impl Into<String>) -> Failure {
    super::file_args::failed_at(path, msg)
}

fn ensure(args: &Args, path: &mut PathBuf, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let follows_into = !matches!(args.state, Some(State::Link | State::Absent));
    if follows_into && kind(host.as_look(), path, true)? == Some(FileKind::Directory) {
        let name = args._original_basename.clone().map(PathBuf::from);
        if let Some(name) = name.or(args.src.as_ref().and_then(|s| s.file_name()).map(PathBuf::from)) {
            path.push(name);
        }
    }
    if args._diff_peek.is_some() {
        let head = host.read(path).unwrap_or_default();
        let binary = head.iter().take(8192).any(|b| *b == 0);
        return Ok(Outcome::ok().with("path", shown(path)).with("appears_binary", binary));
    }
    let now = host.stat(path, false)?;
    let state = args.state.unwrap_or(match state_of(now.as_ref()) {
        "link" => State::Link,
        "directory" => State::Directory,
        "hard" => State::Hard,
        "absent" if args.recurse => State::Directory,
        _ => State::File,
    });
    if args.recurse && state != State::Directory {
        return Err(failed(path, "recurse option requires state to be 'directory'"));
    }
    if args.src.is_some() && !matches!(state, State::Link | State::Hard) {
        return Err(failed(path, "src option requires state to be 'link' or 'hard'"));
    }
    let touch = state == State::Touch;
    let times = Times {
        modified: Time::read(args.modification_time.as_deref(), &args.modification_time_format, touch)?,
        accessed: Time::read(args.access_time.as_deref(), &args.access_time_format, touch)?,
    };
    match state {
        State::Absent => absent(path, host),
        State::File => file(args, path, &times, host),
        State::Touch => self::touch(args, path, &times, host),
        State::Directory => directory(args, path, &times, host),
        State::Link => link(args, path, &times, host),
        State::Hard => hard(args, path, &times, host),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn kind(host: &mut dyn Look, path: &Path, follow: bool) -> Result<Option<FileKind>, HostError> {
    Ok(host.stat(path, follow)?.map(|s| s.kind))
}

fn first_diff(path: &Path, before: &str, after: &str) -> BeforeAfter {
    let mut diff = BeforeAfter::both(path);
    if before != after {
        diff.note("state", before, after);
    }
    diff
}

fn done(name: &str, path: &Path, changed: bool, diff: BeforeAfter) -> Outcome {
    let mut outcome = Outcome::changed(changed).with(name, shown(path));
    outcome.diff.push(diff.whole(""));
    outcome
}

fn absent(path: &Path, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let now = host.stat(path, false)?;
    let before = state_of(now.as_ref());
    let mut diff = first_diff(path, before, "absent");
    if now.is_none() {
        return Ok(done("path", path, false, diff).with("state", "absent"));
    }
    if before == "directory" {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        walk(host.as_look(), path, &mut |path, kind| {
            let list = if kind == FileKind::Directory { &mut directories } else { &mut files };
            list.push(Value::str(shown(path)));
        })?;
        let content = dict! {"directories" => directories, "files" => files};
        diff.before.insert(Key::from("path_content"), content.into());
    }
    host.remove(path).map_err(|e| failed(path, format!("removing failed: {e}")))?;
    Ok(done("path", path, true, diff).with("state", "absent"))
}

/// Everything below a directory, not following links.
pub fn walk(host: &mut dyn Look, dir: &Path, see: &mut dyn FnMut(&Path, FileKind)) -> Result<(), HostError> {
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for name in host.list(&dir)? {
            let path = dir.join(name);
            let Some(stat) = host.stat(&path, false)? else { continue };
            see(&path, stat.kind);
            if stat.kind == FileKind::Directory {
                todo.push(path);
            }
        }
    }
    Ok(())
}

fn file(args: &Args, path: &mut PathBuf, times: &Times, host: &mut dyn Act) -> Result<Outcome, Failure> {
    if args.follow && kind(host.as_look(), path, false)? == Some(FileKind::Symlink) {
        *path = paths::real_path(host.as_look(), path)?;
    }
    let now = host.stat(path, false)?;
    let state = state_of(now.as_ref());
    if !matches!(state, "file" | "hard") {
        return Err(Failure::Failed(Box::new(
            Outcome::failed(format!("file ({}) is {state}, cannot continue", path.display()))
                .with("path", shown(path))
                .with("state", state),
        )));
    }
    let mut diff = BeforeAfter::both(path);
    let changed = args.file.apply(host, path, &mut diff)? | times.apply(host, path, &mut diff)?;
    Ok(done("path", path, changed, diff))
}

fn touch(args: &Args, path: &Path, times: &Times, host: &mut dyn Act) -> Result<Outcome, Failure> {
    // A link that leads nowhere: the file it names is made.
    let target = if args.follow { paths::real_path(host.as_look(), path)? } else { path.to_owned() };
    let now = host.stat(&target, false)?;
    let mut diff = first_diff(path, state_of(now.as_ref()), "touch");
    let mut changed = false;
    if now.is_none() {
        host.write(&target, &mut std::io::empty(), None)
            .map_err(|e| failed(path, format!("Error, could not touch target: {e}")))?;
        changed = true;
    }
    let applied =
        args.file.apply(host, &target, &mut diff).and_then(|a| Ok(a | times.apply(host, &target, &mut diff)?));
    match applied {
        Ok(more) => Ok(done("dest", path, changed | more, diff)),
        Err(e) => {
            if changed {
                host.remove(&target)?;
            }
            Err(e)
        }
    }
}

fn directory(args: &Args, path: &mut PathBuf, times: &Times, host: &mut dyn Act) -> Result<Outcome, Failure> {
    if args.follow && kind(host.as_look(), path, false)? == Some(FileKind::Symlink) {
        *path = paths::real_path(host.as_look(), path)?;
    }
    let now = host.stat(path, false)?;
    let before = state_of(now.as_ref());
    let mut diff = first_diff(path, before, "directory");
    if now.is_none() {
        for dir in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if host.stat(dir, true)?.is_some() {
                continue;
            }
            let issue =
                |e: String| failed(path, format!("There was an issue creating {} as requested: {e}", dir.display()));
            host.make_dir(dir, None).map_err(|e| issue(e.to_string()))?;
            args.file.apply(host, dir, &mut diff)?;
        }
        times.apply(host, path, &mut diff)?;
        return Ok(done("path", path, true, diff));
    }
    if before != "directory" {
        return Err(failed(path, format!("{} already exists as a {before}", path.display())));
    }
    let mut changed = args.file.apply(host, path, &mut diff)? | times.apply(host, path, &mut diff)?;
    if args.recurse {
        changed |= descend(args, path, times, host, &mut HashSet::new())?;
    }
    Ok(done("path", path, changed, diff))
}

/// Applies attributes and times to all that is in a directory; links are followed if asked, each directory once.
fn descend(
    args: &Args,
    dir: &Path,
    times: &Times,
    host: &mut dyn Act,
    seen: &mut HashSet<(u64, u64)>,
) -> Result<bool, Failure> {
    let mut changed = false;
    if let Some(stat) = host.stat(dir, true)?
        && !seen.insert((stat.device, stat.inode))
    {
        return Ok(false);
    }
    for name in host.list(dir)? {
        let path = dir.join(name);
        let one = |path: &Path, host: &mut dyn Act| {
            let mut diff = BeforeAfter::default();
            Ok::<_, Failure>(args.file.apply(host, path, &mut diff)? | times.apply(host, path, &mut diff)?)
        };
        let Some(stat) = host.stat(&path, false)? else { continue };
        changed |= one(&path, host)?;
        match stat.kind {
            FileKind::Directory => changed |= descend(args, &path, times, host, seen)?,
            FileKind::Symlink if args.follow => {
                let target = paths::real_path(host.as_look(), &path)?;
                if let Some(stat) = host.stat(&target, false)? {
                    if stat.kind == FileKind::Directory {
                        changed |= descend(args, &target, times, host, seen)?;
                    }
                    changed |= one(&target, host)?;
                }
            }
            _ => {}
        }
    }
    Ok(changed)
}

/// Puts a new link in the place of what is there, in one step.
fn replace_by(
    host: &mut dyn Act,
    path: &Path,
    make: impl FnOnce(&mut dyn Act, &Path) -> Result<(), HostError>,
) -> Result<(), Failure> {
    let temp = path.with_file_name(format!(".stx-upgrade-{}", random_name(8)));
    make(host, &temp).map_err(|e| failed(path, format!("Error while replacing: {e}")))?;
    if let Err(e) = host.rename(&temp, path) {
        host.remove(&temp)?;
        return Err(failed(path, format!("Error while replacing: {e}")));
    }
    // Renaming one name of a file over another of the same file does nothing, and leaves both.
    if host.stat(&temp, false)?.is_some() {
        host.remove(&temp)?;
    }
    Ok(())
}

fn link(args: &Args, path: &Path, times: &Times, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let now = host.stat(path, false)?;
    let before = state_of(now.as_ref());
    let src = match &args.src {
        Some(src) => Some(src.clone()),
        None if args.follow && before == "link" && host.stat(path, true)?.is_some() => Some(host.read_link(path)?),
        None => None,
    };
    let with_src = |o: Outcome| o.with("src", src.as_deref().map(shown));
    if let Some(src) = &src {
        let base = if before == "directory" { path } else { path.parent().unwrap_or(path) };
        let full = base.join(src);
        if !args.force && host.stat(&full, true)?.is_none() {
            return Err(Failure::Failed(Box::new(with_src(
                Outcome::failed(format!(
                    "src file does not exist, use 'force=yes' if you really want to create the link: {}",
                    full.display()
                ))
                .with("path", shown(path)),
            ))));
        }
    }
    if before == "directory" {
        if !args.force {
            return Err(failed(path, format!("refusing to convert from directory to symlink for {}", path.display())));
        }
        if !host.list(path)?.is_empty() {
            return Err(failed(path, format!("the directory {} is not empty, refusing to convert it", path.display())));
        }
    } else if matches!(before, "file" | "hard") && !args.force {
        return Err(failed(path, format!("refusing to convert from {before} to symlink for {}", path.display())));
    }
    let mut diff = first_diff(path, before, "link");
    let mut changed = false;
    match (before, &src) {
        ("link", None) => {}
        (_, None) => return Err(Failure::new("src is required for creating new symlinks")),
        ("link", Some(src)) => {
            let old = host.read_link(path)?;
            if old != *src {
                diff.note("src", shown(&old), shown(src));
                replace_by(host, path, |host, temp| host.make_symlink(temp, src))?;
                changed = true;
            }
        }
        ("absent", Some(src)) => {
            host.make_symlink(path, src).map_err(|e| failed(path, format!("Error while linking: {e}")))?;
            changed = true;
        }
        (_, Some(src)) => {
            if before == "directory" {
                host.remove(path)?;
            }
            replace_by(host, path, |host, temp| host.make_symlink(temp, src))?;
            changed = true;
        }
    }
    let mut warning = None;
    let target = if args.follow { paths::real_path(host.as_look(), path)? } else { path.to_owned() };
    if host.stat(&target, false)?.is_none() {
        warning = Some(
            "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this.",
        );
    } else {
        changed |= args.file.apply(host, &target, &mut diff)?;
        changed |= times.apply(host, &target, &mut diff)?;
    }
    let mut outcome = with_src(done("dest", path, changed, diff));
    outcome.warnings.extend(warning.map(str::to_owned));
    Ok(outcome)
}

fn hard(args: &Args, path: &Path, times: &Times, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let now = host.stat(path, false)?;
    let before = state_of(now.as_ref());
    let src = args.src.as_deref().map(|s| paths::expand(host.as_look(), s)).transpose()?;
    // Told as it is written, but for `~`.
    let written = args.src.as_deref().map(|s| paths::expand_text(host.as_look(), &shown(s))).transpose()?;
    let clash = |msg: &str| {
        Failure::Failed(Box::new(Outcome::failed(msg).with("dest", shown(path)).with("src", written.as_deref())))
    };
    if before != "hard" && src.is_none() {
        return Err(Failure::new("src is required for creating new hardlinks"));
    }
    let target = match &src {
        Some(src) => Some(host.stat(src, true)?.ok_or_else(|| clash("src does not exist"))?),
        None => None,
    };
    let mut diff = first_diff(path, before, "hard");
    let same = match (&now, &target) {
        (Some(now), Some(target)) => (now.device, now.inode) == (target.device, target.inode),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    let mut changed = false;
    if !same && let Some(src) = &src {
        match before {
            "absent" | "link" => {}
            "file" if !args.force => return Err(clash("Cannot link, file exists at destination")),
            "hard" if !args.force => return Err(clash("Cannot link, different hard link exists at destination")),
            "directory" => return Err(clash("Cannot link: different hard link exists at destination")),
            _ => {}
        }
        let from = if args.follow { paths::real_path(host.as_look(), src)? } else { src.clone() };
        if before == "absent" {
            host.make_hard_link(path, &from).map_err(|e| failed(path, format!("Error while linking: {e}")))?;
        } else {
            replace_by(host, path, |host, temp| host.make_hard_link(temp, &from))?;
        }
        changed = true;
    }
    changed |= args.file.apply(host, path, &mut diff)?;
    changed |= times.apply(host, path, &mut diff)?;
    Ok(done("dest", path, changed, diff).with("src", written.as_deref()))
}
