//! `copy`, where the file is written: content that the engine's action sends (`copy`, `template`), or a file or tree that
//! the host has already (`remote_src`). Finding files on the control node is the action's.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::digest::{Algorithm, sha1};
use super::file_args::{BeforeAfter, FileArgs, Mode, describe, octal};
use super::file_content::{backup, put, text_diff, validate};
use super::{file, paths};
use crate::action::host::{Act, FileKind, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::{Diff, Outcome};
use crate::model::value::Value;

arguments! {
    pub struct Args {
        /// Where the content comes from: for `remote_src` a path of the host, else what results show.
        src []: Option<PathBuf>,
        /// Where it goes; a last slash means a directory.
        dest []: PathBuf,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Replace a file that differs; without it, a file that exists is left alone.
        force ["thirsty"]: bool = true,
        /// Program that must accept the new content; `%s` is where it lies.
        validate []: Option<String>,
        /// Permissions of directories that are made.
        directory_mode []: Option<Mode>,
        /// The source is on the host.
        remote_src []: bool = false,
        /// Copy what links in the source point to, instead of the links.
        local_follow []: Option<bool>,
        /// SHA-1 that the source must have.
        checksum []: Option<String>,
        /// Change what a link at the destination points to.
        follow []: bool = false,
        /// Name to take where the destination is a directory; set by actions.
        _original_basename []: Option<String>,
        /// The content as text; set by actions.
        _content []: Option<String>,
        /// SHA-256 of the content, which the engine sends when it is asked for; set by actions.
        _blob []: Option<String>,
        /// SHA-1 of that content, so that equal content need not be sent; set by actions.
        _checksum []: Option<String>,
        /// Permissions of the source, for `mode: preserve`; set by actions.
        _source_mode []: Option<Mode>,
        /// A directory's entries, each with `path` and one of `content`, `blob` and `checksum`, `target` (a link), or
        /// none (a directory); and `mode`. Set by actions.
        _tree []: Option<Vec<Value>>,
        ..file: FileArgs,
    }
}

/// The module `copy`.
pub struct Copy;

impl Module for Copy {
    const NAMES: &'static [&'static str] = &["copy", "ansible.builtin.copy", "ansible.legacy.copy"];
    const DOC: &'static str = "Copies files and directories to a place on the host.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("dest", "Where it went"),
        ("checksum", "SHA-1 of the content"),
        ("md5sum", "MD5 of the content, if it was written"),
        ("backup_file", "The copy that was kept"),
        ("mode", "Its permissions, with `owner`, `group`, `uid`, `gid`, `size` and `state`"),
    ];
    const EXAMPLE: &'static str = "- copy:\n    src: foo.conf\n    dest: /etc/foo.conf\n    mode: '0644'\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let dest = paths::expand(host.as_look(), &args.dest)?;
        if let Some(tree) = &args._tree {
            return copy_tree(&args, tree, &dest, host);
        }
        let source = Source::of(&args, host.as_look())?;
        if let Source::Host(src) = &source {
            match host.stat(src, true)? {
                None => return Err(Failure::new(format!("Source {} not found", src.display()))),
                Some(s) if s.kind == FileKind::Directory => return copy_host_tree(&args, src, &dest, host),
                Some(s) if s.kind == FileKind::File => {}
                Some(_) => {
                    let what = src.display();
                    return Err(Failure::new(format!("Cannot copy invalid source '{what}': not a file")));
                }
            }
        }
        copy_one(&args, &source, dest, host)
    }
}

/// Where content comes from.
enum Source {
    Bytes(Vec<u8>),
    /// Content of the control node: its SHA-256, and its SHA-1 if that is known.
    Blob(String, Option<String>),
    Host(PathBuf),
}

impl Source {
    fn of(args: &Args, host: &mut dyn Look) -> Result<Source, Failure> {
        match (&args._content, &args._blob, &args.src) {
            (Some(content), ..) => Ok(Source::Bytes(content.clone().into_bytes())),
            (None, Some(blob), _) => Ok(Source::Blob(blob.clone(), args._checksum.clone())),
            (None, None, Some(src)) if args.remote_src => Ok(Source::Host(paths::expand(host, src)?)),
            (None, None, _) => {
                Err(Failure::new("there is nothing to copy: no content was sent, and `remote_src` is not set"))
            }
        }
    }

    fn open(&self, host: &mut dyn Look) -> Result<Box<dyn Read + Send>, HostError> {
        match self {
            Source::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Source::Blob(sha256, _) => host.blob(sha256),
            Source::Host(path) => host.open(path),
        }
    }

    fn sha1(&self, host: &mut dyn Look) -> Result<String, HostError> {
        match self {
            Source::Bytes(bytes) => Ok(sha1(bytes)),
            Source::Blob(_, Some(known)) => Ok(known.clone()),
            Source::Blob(..) | Source::Host(_) => self.digest(Algorithm::Sha1, host),
        }
    }

    fn digest(&self, algorithm: Algorithm, host: &mut dyn Look) -> Result<String, HostError> {
        let mut content = self.open(host)?;
        algorithm.of(&mut *content).map_err(|source| HostError::Io { what: "reading the content".into(), source })
    }

    /// The first bytes, enough to compare for people.
    fn head(&self, host: &mut dyn Look) -> Result<Vec<u8>, HostError> {
        let mut bytes = Vec::new();
        let mut content = self.open(host)?.take(200_000);
        content
            .read_to_end(&mut bytes)
            .map_err(|source| HostError::Io { what: "reading the content".into(), source })?;
        Ok(bytes)
    }
}

fn copy_one(args: &Args, source: &Source, mut dest: PathBuf, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let src = match source {
        Source::Host(path) => Some(path.clone()),
        Source::Bytes(_) | Source::Blob(..) => args.src.clone(),
    };
    let checksum = source.sha1(host.as_look())?;
    if let Some(expected) = args.checksum.as_ref().filter(|e| **e != checksum) {
        return Err(Failure::Failed(Box::new(
            Outcome::failed("Copied file does not match the expected checksum. Transfer failed.")
                .with("checksum", checksum)
                .with("expected_checksum", expected.as_str()),
        )));
    }
    let name = args._original_basename.clone().map(PathBuf::from);
    let name = name.or_else(|| src.as_ref().and_then(|s| s.file_name()).map(PathBuf::from));
    let mut changed = false;
    if paths::ends_with_slash(&dest) {
        changed = make_dirs(args, &dest, host)?;
        dest.push(name.ok_or_else(|| no_name(&dest))?);
    } else if is_dir(host.as_look(), &dest)? {
        dest.push(name.ok_or_else(|| no_name(&dest))?);
    }
    if args.follow {
        dest = paths::real_path(host.as_look(), &dest)?;
    }
    let shown = dest.display().to_string();
    let there = host.stat(&dest, false)?;
    if there.is_some() && !args.force && host.stat(&dest, true)?.is_some() {
        let outcome = Outcome::ok().msg("file already exists").with("dest", shown);
        return Ok(describe(host.as_look(), &dest, outcome.with("src", src.map(|s| s.display().to_string())))?);
    }
    let is_file = there.as_ref().is_some_and(|s| s.kind == FileKind::File);
    // A file that this user may not read counts as different.
    let same = match is_file.then(|| Algorithm::Sha1.of_file(host.as_look(), &dest)) {
        Some(Ok(sum)) => sum == checksum,
        Some(Err(HostError::Denied { .. })) | None => false,
        Some(Err(e)) => return Err(e.into()),
    };
    let mut diffs = Vec::new();
    let mut saved = None;
    let file = with_source_mode(args, source, host.as_look())?;
    if !same {
        if let Some(program) = &args.validate {
            let mut content = source.open(host.as_look())?;
            validate(host, program, &mut *content, &file)?;
        }
        diffs.push(difference(args, source, src.as_deref(), &dest, is_file, host.as_look())?);
        if args.backup {
            saved = backup(host, &dest)?;
        }
        put(host, &dest, &mut |look| source.open(look), args.file.unsafe_writes).map_err(|e| not_written(e, &dest))?;
        if let Source::Host(path) = source
            && let Some(stat) = host.stat(path, true)?
        {
            if is_file {
                host.set_mode(&dest, stat.mode)?;
            }
            host.set_times(&dest, None, Some(stat.modified))?;
        }
        changed = true;
    }
    let mut attributes = BeforeAfter::both(&dest);
    let more = file.apply(host, &dest, &mut attributes)?;
    if same {
        diffs.extend(attributes.into_diff(""));
    }
    let mut outcome = Outcome::changed(changed | more).with("dest", shown.as_str()).with("checksum", checksum);
    if !same || args.remote_src {
        outcome = outcome
            .with("src", src.map(|s| s.display().to_string()))
            .with("md5sum", source.digest(Algorithm::Md5, host.as_look())?);
    } else {
        outcome = outcome.with("path", shown.as_str());
    }
    if let Some(saved) = saved {
        outcome = outcome.with("backup_file", saved.display().to_string());
    }
    outcome.diff = diffs;
    Ok(describe(host.as_look(), &dest, outcome)?)
}

fn no_name(dest: &Path) -> Failure {
    Failure::new(format!("can not use content with a dir as dest: {}", dest.display()))
}

fn is_dir(host: &mut dyn Look, path: &Path) -> Result<bool, HostError> {
    Ok(host.stat(path, true)?.is_some_and(|s| s.kind == FileKind::Directory))
}

/// The failure to write a file, in words that say what to do about it.
pub fn not_written(error: HostError, dest: &Path) -> Failure {
    let dir = dest.parent().unwrap_or(dest).display();
    match error {
        HostError::NotFound(_) => Failure::new(format!("Destination directory {dir} does not exist")),
        HostError::Denied { .. } => Failure::new(format!("Destination {dir} not writable")),
        other => other.into(),
    }
}

fn difference(
    args: &Args,
    source: &Source,
    src: Option<&Path>,
    dest: &Path,
    is_file: bool,
    host: &mut dyn Look,
) -> Result<Diff, HostError> {
    let mut before = Vec::new();
    if is_file {
        match host.open(dest) {
            Ok(content) => {
                content.take(200_000).read_to_end(&mut before).map_err(|e| HostError::io("reading", dest, e))?
            }
            Err(HostError::Denied { .. }) => {
                return Ok(Diff::Prepared("diff skipped: destination is not readable\n".into()));
            }
            Err(e) => return Err(e),
        };
    }
    let after_name = src.unwrap_or(dest).display().to_string();
    let after_name = if args._content.is_some() && src.is_none() { dest.display().to_string() } else { after_name };
    let before_name = if is_file { dest.display().to_string() } else { String::new() };
    Ok(text_diff(&before_name, &after_name, &before, &source.head(host)?))
}

/// The attributes to give, with `preserve` put in.
fn with_source_mode(args: &Args, source: &Source, host: &mut dyn Look) -> Result<FileArgs, HostError> {
    let mut file = args.file.clone();
    if file.mode == Some(Mode::Preserve) {
        file.mode = match source {
            Source::Host(path) => host.stat(path, true)?.map(|s| Mode::Bits(s.mode)),
            Source::Bytes(_) | Source::Blob(..) => args._source_mode.clone(),
        };
    }
    Ok(file)
}

/// Makes the directories of a path that are missing; they get the owner, and `directory_mode`.
fn make_dirs(args: &Args, dir: &Path, host: &mut dyn Act) -> Result<bool, Failure> {
    let attributes = FileArgs { mode: args.directory_mode.clone(), attributes: None, ..args.file.clone() };
    let mut changed = false;
    for dir in dir.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if host.stat(dir, true)?.is_none() {
            host.make_dir(dir, None)?;
            attributes.apply(host, dir, &mut BeforeAfter::default())?;
            changed = true;
        }
    }
    Ok(changed)
}

/// An entry of a directory that the action sends.
struct Entry<'a> {
    path: PathBuf,
    mode: Option<Mode>,
    kind: EntryKind<'a>,
}

enum EntryKind<'a> {
    Directory,
    Link(&'a str),
    File(Source),
}

impl<'a> Entry<'a> {
    fn read(value: &'a Value) -> Result<Entry<'a>, Failure> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let path = PathBuf::from(text("path").unwrap_or_default());
        // The action makes these; one that climbs out would be another's work.
        if path.as_os_str().is_empty() || !path.components().all(|c| matches!(c, std::path::Component::Normal(_))) {
            return Err(Failure::new(format!("`{}` is no path inside the directory", path.display())));
        }
        let kind = match (text("content"), text("blob"), text("target")) {
            (Some(content), ..) => EntryKind::File(Source::Bytes(content.as_bytes().to_vec())),
            (_, Some(blob), _) => EntryKind::File(Source::Blob(blob.into(), text("checksum").map(str::to_owned))),
            (.., Some(target)) => EntryKind::Link(target),
            (None, None, None) => EntryKind::Directory,
        };
        let mode = value.get("mode").and_then(Value::as_int).and_then(|m| u32::try_from(m).ok());
        Ok(Entry { path, mode: mode.map(|m| Mode::Bits(m & 0o7777)), kind })
    }
}

fn copy_tree(args: &Args, tree: &[Value], dest: &Path, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::ok();
    outcome.changed = make_dirs(args, dest, host)?;
    for value in tree {
        let entry = Entry::read(value)?;
        let path = dest.join(&entry.path);
        match &entry.kind {
            EntryKind::Directory => {
                outcome.changed |= make_dirs(args, &path, host)?;
                let attributes = FileArgs { mode: args.directory_mode.clone(), ..args.file.clone() };
                outcome.changed |= attributes.apply(host, &path, &mut BeforeAfter::default())?;
            }
            EntryKind::Link(target) => {
                make_dirs(args, path.parent().unwrap_or(dest), host)?;
                let now = host.stat(&path, false)?;
                let is_link = now.as_ref().is_some_and(|s| s.kind == FileKind::Symlink);
                if is_link && host.read_link(&path)? == Path::new(target) {
                    continue;
                }
                if now.is_some() {
                    host.remove(&path)?;
                }
                host.make_symlink(&path, Path::new(target))?;
                outcome.changed = true;
            }
            EntryKind::File(source) => {
                make_dirs(args, path.parent().unwrap_or(dest), host)?;
                let one = Args {
                    _original_basename: None,
                    checksum: None,
                    src: Some(args.src.clone().unwrap_or_default().join(&entry.path)),
                    _source_mode: entry.mode.clone(),
                    _tree: None,
                    ..args.clone()
                };
                let done = copy_one(&one, source, path, host)?;
                outcome.changed |= done.changed;
                outcome.diff.extend(done.diff);
            }
        }
    }
    let src = args.src.as_ref().map(|s| s.display().to_string());
    Ok(describe(host.as_look(), dest, outcome.with("dest", dest.display().to_string()).with("src", src))?)
}

/// Copies a directory of the host: its content if written with a last slash, else itself into the destination.
fn copy_host_tree(args: &Args, src: &Path, dest: &Path, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let root = match src.file_name() {
        Some(name) if !paths::ends_with_slash(&args.src.clone().unwrap_or_default()) => dest.join(name),
        _ => dest.to_owned(),
    };
    if root.starts_with(src) {
        return Err(Failure::new(format!("cannot copy {} into itself, {}", src.display(), root.display())));
    }
    if host.stat(&root, true)?.is_some_and(|s| s.kind != FileKind::Directory) {
        return Err(Failure::new(format!("cannot copy a directory over {}, which is none", root.display())));
    }
    let mut entries = vec![(src.to_owned(), FileKind::Directory)];
    file::walk(host.as_look(), src, &mut |path, kind| entries.push((path.to_owned(), kind)))?;
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let owner = FileArgs { mode: None, attributes: None, ..args.file.clone() };
    let mut changed = make_dirs(args, root.parent().unwrap_or(&root), host)?;
    for (from, kind) in entries {
        let to = root.join(from.strip_prefix(src).unwrap_or(&from));
        let Some(stat) = host.stat(&from, true)? else {
            // A link that leads nowhere is copied as it is.
            changed |= copy_link(&from, &to, host)?;
            continue;
        };
        match kind {
            FileKind::Symlink if args.local_follow != Some(true) => changed |= copy_link(&from, &to, host)?,
            FileKind::Directory => {
                if host.stat(&to, true)?.is_none() {
                    host.make_dir(&to, Some(stat.mode)).map_err(|e| not_written(e, &to))?;
                    changed = true;
                }
            }
            FileKind::File | FileKind::Symlink if stat.kind == FileKind::File => {
                let same = match host.stat(&to, false)? {
                    Some(now) if now.kind == FileKind::File && now.size == stat.size => {
                        Algorithm::Sha1.of_file(host.as_look(), &to)?
                            == Algorithm::Sha1.of_file(host.as_look(), &from)?
                    }
                    _ => false,
                };
                if !same {
                    let mut content = host.open(&from)?;
                    host.write(&to, &mut *content, Some(stat.mode))?;
                    changed = true;
                }
            }
            // Pipes, sockets and devices are not copied; a link to a directory would have to be walked apart.
            _ => continue,
        }
        changed |= owner.apply(host, &to, &mut BeforeAfter::default())?;
    }
    changed |= with_source_mode(args, &Source::Host(src.to_owned()), host.as_look())?.apply(
        host,
        dest,
        &mut BeforeAfter::default(),
    )?;
    let outcome = Outcome::changed(changed)
        .with("dest", dest.display().to_string())
        .with("src", args.src.as_ref().map(|s| s.display().to_string()))
        .with("checksum", Value::Null)
        .with("md5sum", Value::Null);
    Ok(describe(host.as_look(), dest, outcome)?)
}

fn copy_link(from: &Path, to: &Path, host: &mut dyn Act) -> Result<bool, Failure> {
    let target = host.read_link(from)?;
    match host.stat(to, false)? {
        Some(s) if s.kind == FileKind::Symlink && host.read_link(to)? == target => return Ok(false),
        Some(_) => host.remove(to)?,
        None => {}
    }
    host.make_symlink(to, &target)?;
    Ok(true)
}

/// A mode as `_source_mode` takes it.
pub fn source_mode(mode: u32) -> Value {
    octal(mode & 0o7777).into()
}
