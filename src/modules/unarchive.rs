//! `unarchive`: unpacks tar and zip archives, safely: nothing is written outside the destination, no device is made, and
//! what would not fit is refused before anything is written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::random_name;
use super::{accounts, paths};
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

arguments! {
    pub struct Args {
        /// The archive: of the control node, or of the host with `remote_src`.
        src []: PathBuf,
        /// The directory to unpack into.
        dest []: PathBuf,
        /// The archive is on the host.
        remote_src []: bool = false,
        /// Where this exists, nothing is done.
        creates []: Option<PathBuf>,
        /// Give the names of what is in it.
        list_files []: bool = false,
        /// Names or shell patterns to leave out.
        exclude []: Vec<String> = Vec::new(),
        /// Only these names or shell patterns.
        include []: Vec<String> = Vec::new(),
        /// Leave files alone that are newer than the archive's.
        keep_newer []: bool = false,
        /// SHA-256 of the archive, which the engine sends when it is asked for; set by actions.
        _blob []: Option<String>,
        ..file: FileArgs,
    }
    rules [Exclusive(&["include", "exclude"])]
}

/// The module `unarchive`.
pub struct Unarchive;

/// More entries than any sane archive has.
const MOST_ENTRIES: usize = 2_000_000;

impl Module for Unarchive {
    const NAMES: &'static [&'static str] = &["unarchive", "ansible.builtin.unarchive", "ansible.legacy.unarchive"];
    const DOC: &'static str = "Unpacks tar (plain, gzip, bzip2, xz, zstd) and zip archives; the host's own `bzip2`, `xz` and `zstd` help with theirs.\n\
        Entries that climb out of the destination, devices and pipes are refused, and so is what would not fit.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("dest", "The directory"),
        ("src", "The archive"),
        ("handler", "Kind of the archive"),
        ("files", "Names in it, with `list_files`"),
    ];
    const EXAMPLE: &'static str = "- unarchive:\n    src: foo.tgz\n    dest: /var/lib/foo\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let dest = paths::expand(host.as_look(), &args.dest)?;
        if let Some(creates) = &args.creates {
            let creates = paths::expand(host.as_look(), creates)?;
            if !paths::glob(host.as_look(), &creates)?.is_empty() {
                return Ok(Outcome::skipped(format!("skipped, since {} exists", creates.display())));
            }
        }
        match host.stat(&dest, true)? {
            Some(s) if s.kind == FileKind::Directory => {}
            _ => return Err(Failure::new(format!("Destination '{}' is not a directory", dest.display()))),
        }
        let source = if args._blob.is_some() {
            Source::Blob(args._blob.clone().unwrap_or_default())
        } else if args.remote_src {
            let src = paths::expand(host.as_look(), &args.src)?;
            if host.stat(&src, true)?.is_none() {
                return Err(Failure::new(format!("Source '{}' does not exist", src.display())));
            }
            Source::Host(src)
        } else {
            return Err(Failure::new(format!(
                "Source '{}' was not sent, and `remote_src` is not set",
                args.src.display()
            )));
        };
        let mut temp = None;
        let result = Unpack::prepare(&args, source, &dest, host, &mut temp).and_then(|u| u.run(host));
        if let Some(temp) = temp {
            // The agent's own directory; not a part of the host that a check run would only record.
            let _ = std::fs::remove_file(temp);
        }
        result
    }
}

enum Source {
    Blob(String),
    Host(PathBuf),
}

impl Source {
    fn open(&self, host: &mut dyn Look) -> Result<Box<dyn Read + Send>, HostError> {
        match self {
            Source::Blob(sha256) => host.blob(sha256),
            Source::Host(path) => host.open(path),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Tar,
    Gzip,
    /// Unpacked to plain tar by a program of the host.
    Through(&'static str),
    Zip,
}

impl Format {
    /// By its first bytes; a name may lie.
    fn of(head: &[u8]) -> Option<Format> {
        match head {
            [0x1f, 0x8b, ..] => Some(Format::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Format::Through("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Through("xz")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Format::Through("zstd")),
            [b'P', b'K', 3 | 5, ..] => Some(Format::Zip),
            _ if head.get(257..262) == Some(b"ustar") => Some(Format::Tar),
            // An old tar has no mark but ends in blocks of 512.
            _ if head.len() >= 512 && head[0] != 0 => Some(Format::Tar),
            _ => None,
        }
    }

    fn handler(self) -> &'static str {
        match self {
            Format::Tar => "TarArchive",
            Format::Gzip => "TgzArchive",
            Format::Through("bzip2") => "TarBzipArchive",
            Format::Through("xz") => "TarXzArchive",
            Format::Through(_) => "TarZstdArchive",
            Format::Zip => "ZipArchive",
        }
    }
}

/// One entry, whatever the archive's format.
struct Entry {
    /// As the archive names it.
    name: String,
    /// Below the destination.
    path: PathBuf,
    kind: Kind,
    mode: u32,
    modified: u64,
    size: u64,
    owner: Option<(String, u32)>,
    group: Option<(String, u32)>,
}

enum Kind {
    Directory,
    File,
    Symlink(PathBuf),
    /// To another entry of the archive.
    HardLink(PathBuf),
}

/// What is done with each entry and its content.
type See<'a> = dyn FnMut(&mut dyn Act, &Entry, &mut dyn Read) -> Result<(), Failure> + 'a;

struct Unpack<'a> {
    args: &'a Args,
    source: Source,
    /// The plain archive, where a program had to unpack it or random access is needed.
    plain: Option<PathBuf>,
    format: Format,
    dest: &'a Path,
}

/// The path of an entry below the destination; one that would climb out is refused.
fn inside(name: &str) -> Result<PathBuf, Failure> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(Failure::new(format!(
                    "the archive's entry `{name}` would lie outside the destination: nothing was unpacked"
                )));
            }
        }
    }
    Ok(path)
}

fn broken(e: io::Error) -> Failure {
    Failure::new(format!("the archive cannot be read to its end: {e}"))
}

impl<'a> Unpack<'a> {
    fn prepare(
        args: &'a Args,
        source: Source,
        dest: &'a Path,
        host: &mut dyn Act,
        temp: &mut Option<PathBuf>,
    ) -> Result<Unpack<'a>, Failure> {
        let mut head = Vec::new();
        source.open(host.as_look())?.take(512).read_to_end(&mut head).map_err(broken)?;
        let Some(format) = Format::of(&head) else {
            let name = args.src.display();
            return Err(Failure::new(format!(
                "Failed to find handler for \"{name}\": it is neither a tar nor a zip archive"
            )));
        };
        let mut plain = None;
        if matches!(format, Format::Through(_) | Format::Zip) {
            let at = host.scratch()?.join(format!("archive-{}", random_name(8)));
            *temp = Some(at.clone());
            let mut packed = source.open(host.as_look())?;
            let mut file = File::options().write(true).create_new(true).open(&at).map_err(broken)?;
            io::copy(&mut packed, &mut file).map_err(broken)?;
            if let Format::Through(program) = format {
                let unpacked = paths::with_suffix(&at, ".tar");
                let line = "exec \"$0\" -dc < \"$1\" > \"$2\"";
                let shown = |p: &Path| p.display().to_string();
                // It writes nothing but the agent's own temporary file.
                let command = Command::new(["/bin/sh", "-c", line, program, &shown(&at), &shown(&unpacked)]);
                let output = host.query(&command)?;
                std::fs::rename(&unpacked, &at).map_err(broken)?;
                if !output.success() {
                    return Err(Failure::new(format!(
                        "`{program}` cannot unpack the archive: {}",
                        output.error_text().trim()
                    )));
                }
            }
            plain = Some(at);
        }
        Ok(Unpack { args, source, plain, format, dest })
    }

    /// Goes through all entries with their content.
    fn each(&self, host: &mut dyn Act, see: &mut See<'_>) -> Result<(), Failure> {
        let wanted = |name: &str| {
            let name = name.trim_start_matches("./").trim_end_matches('/');
            let hit = |patterns: &[String]| {
                patterns.iter().any(|p| {
                    let p = p.trim_start_matches("./").trim_end_matches('/');
                    paths::matches(p, name) || name.strip_prefix(p).is_some_and(|r| r.starts_with('/'))
                })
            };
            (self.args.include.is_empty() || hit(&self.args.include)) && !hit(&self.args.exclude)
        };
        if self.format == Format::Zip {
            return self.each_of_zip(host, &wanted, see);
        }
        let stream: Box<dyn Read> = match (&self.plain, self.format) {
            (Some(plain), _) => Box::new(File::open(plain).map_err(broken)?),
            (None, Format::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(self.source.open(host.as_look())?)),
            (None, _) => self.source.open(host.as_look())?,
        };
        let mut archive = tar::Archive::new(stream);
        let mut count = 0;
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            count += 1;
            if count > MOST_ENTRIES {
                return Err(Failure::new(format!("the archive has more than {MOST_ENTRIES} entries")));
            }
            let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|e| {
                Failure::new(format!(
                    "the archive has a name that is no UTF-8: {}",
                    String::from_utf8_lossy(e.as_bytes())
                ))
            })?;
            if !wanted(&name) {
                continue;
            }
            let link = |entry: &tar::Entry<'_, Box<dyn Read>>| -> Result<PathBuf, Failure> {
                let name = entry.link_name().map_err(broken)?;
                name.map(|n| n.into_owned()).ok_or_else(|| Failure::new("the archive has a link to nothing"))
            };
            let kind = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => Kind::File,
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => Kind::Symlink(link(&entry)?),
                tar::EntryType::Link => Kind::HardLink(inside(&link(&entry)?.to_string_lossy())?),
                tar::EntryType::XGlobalHeader => continue,
                _ => {
                    return Err(Failure::new(format!(
                        "the archive's entry `{name}` is a device or pipe: nothing was unpacked"
                    )));
                }
            };
            let header = entry.header();
            let text = |t: Option<&[u8]>| t.map(|t| String::from_utf8_lossy(t).into_owned()).unwrap_or_default();
            let number = |n: io::Result<u64>| n.ok().and_then(|n| u32::try_from(n).ok());
            let own = Entry {
                path: inside(&name)?,
                mode: header.mode().map_err(broken)? & 0o7777,
                modified: header.mtime().map_err(broken)?,
                size: entry.size(),
                owner: number(header.uid()).map(|id| (text(header.username_bytes()), id)),
                group: number(header.gid()).map(|id| (text(header.groupname_bytes()), id)),
                name,
                kind,
            };
            see(host, &own, &mut entry)?;
        }
        Ok(())
    }

    fn each_of_zip(&self, host: &mut dyn Act, wanted: &dyn Fn(&str) -> bool, see: &mut See<'_>) -> Result<(), Failure> {
        let Some(plain) = &self.plain else { return Ok(()) };
        let bad = |e: zip::result::ZipError| Failure::new(format!("the archive cannot be read: {e}"));
        let mut archive = zip::ZipArchive::new(File::open(plain).map_err(broken)?).map_err(bad)?;
        for i in 0..archive.len().min(MOST_ENTRIES) {
            let mut file = archive.by_index(i).map_err(bad)?;
            let name = file.name().map_err(bad)?.into_owned();
            if !wanted(&name) {
                continue;
            }
            let bits = file.unix_mode().unwrap_or(if file.is_dir() { 0o755 } else { 0o644 });
            let kind = if file.is_dir() {
                Kind::Directory
            } else if bits & 0o170_000 == 0o120_000 {
                let mut target = String::new();
                (&mut file).take(4096).read_to_string(&mut target).map_err(broken)?;
                Kind::Symlink(target.into())
            } else {
                Kind::File
            };
            // A zip's times are local and to two seconds.
            let modified = file.last_modified().and_then(|t| {
                let date = jiff::civil::DateTime::new(
                    t.year() as i16,
                    t.month() as i8,
                    t.day() as i8,
                    t.hour() as i8,
                    t.minute() as i8,
                    t.second() as i8,
                    0,
                );
                let zoned = date.ok()?.to_zoned(jiff::tz::TimeZone::system()).ok()?;
                u64::try_from(zoned.timestamp().as_second()).ok()
            });
            let own = Entry {
                path: inside(&name)?,
                name,
                kind,
                mode: bits & 0o7777,
                modified: modified.unwrap_or(0),
                size: file.size(),
                owner: None,
                group: None,
            };
            see(host, &own, &mut file)?;
        }
        Ok(())
    }

    fn run(self, host: &mut dyn Act) -> Result<Outcome, Failure> {
        // First only looked through: a bad entry or too little room is found before anything is written.
        let mut names = Vec::new();
        let mut total = 0u64;
        let free = host.space(self.dest)?.free;
        self.each(host, &mut |host, entry, content| {
            names.push(entry.name.clone());
            if matches!(entry.kind, Kind::File) {
                total += entry.size;
                if total > free {
                    let what = format!("unpacking {}", self.args.src.display());
                    return Err(HostError::NoSpace { what }.into());
                }
                // What is cut off, or claims another size than it has, shows here.
                let real = drain(host, content, entry.size)?;
                if real != entry.size {
                    return Err(Failure::new(format!("the archive's entry `{}` is cut off", entry.name)));
                }
            }
            Ok(())
        })?;
        let mut changed = false;
        let mut dirs = Vec::new();
        let mut owners = Owners::default();
        self.each(host, &mut |host, entry, content| {
            changed |= self.put(host, entry, content, &mut dirs, &mut owners)?;
            Ok(())
        })?;
        // Directories last: writing into them has moved their times on.
        for (path, modified) in dirs.into_iter().rev() {
            host.set_times(&path, None, Some(modified as f64))?;
        }
        let dest = self.dest.display().to_string();
        let src = match &self.source {
            Source::Host(path) => path.display().to_string(),
            Source::Blob(_) => self.args.src.display().to_string(),
        };
        let mut outcome = Outcome::changed(changed)
            .with("dest", dest)
            .with("src", src)
            .with("handler", self.format.handler())
            .with("extract_results", dict! {"rc" => 0, "out" => "", "err" => ""});
        if self.args.list_files {
            outcome = outcome.with("files", names.iter().map(String::as_str).collect::<Value>());
        }
        Ok(describe(host.as_look(), self.dest, outcome)?)
    }

    /// Where an entry goes. A link that the archive or anybody else put in the way must not lead outside.
    fn target(&self, host: &mut dyn Act, entry: &Entry) -> Result<PathBuf, Failure> {
        let target = self.dest.join(&entry.path);
        if let Some(above) = target.parent() {
            let real = paths::real_path(host.as_look(), above)?;
            let root = paths::real_path(host.as_look(), self.dest)?;
            if !real.starts_with(&root) {
                return Err(Failure::new(format!(
                    "the archive's entry `{}` would be written through a link to {}: refused",
                    entry.name,
                    real.display()
                )));
            }
        }
        Ok(target)
    }

    fn put(
        &self,
        host: &mut dyn Act,
        entry: &Entry,
        content: &mut dyn Read,
        dirs: &mut Vec<(PathBuf, u64)>,
        owners: &mut Owners,
    ) -> Result<bool, Failure> {
        if entry.path.as_os_str().is_empty() {
            return Ok(false);
        }
        let target = self.target(host, entry)?;
        make_dirs(host, target.parent().unwrap_or(self.dest), self.dest)?;
        let now = host.stat(&target, false)?;
        let is = |kind: FileKind| now.as_ref().is_some_and(|s| s.kind == kind);
        let mut changed = false;
        match &entry.kind {
            Kind::Directory => {
                let there =
                    is(FileKind::Directory) || host.stat(&target, true)?.is_some_and(|s| s.kind == FileKind::Directory);
                if !there {
                    host.make_dir(&target, Some(entry.mode))?;
                    dirs.push((target.clone(), entry.modified));
                    changed = true;
                }
            }
            Kind::Symlink(to) => {
                if !(is(FileKind::Symlink) && host.read_link(&target)? == *to) {
                    if now.is_some() {
                        host.remove(&target)?;
                    }
                    host.make_symlink(&target, to)?;
                    changed = true;
                }
            }
            Kind::HardLink(to) => {
                let to = self.dest.join(to);
                let of = host
                    .stat(&to, false)?
                    .ok_or_else(|| Failure::new(format!("the archive links `{}` to what is not in it", entry.name)))?;
                let linked = now.as_ref().is_some_and(|n| (n.device, n.inode) == (of.device, of.inode));
                if !linked {
                    if now.is_some() {
                        host.remove(&target)?;
                    }
                    host.make_hard_link(&target, &to)?;
                    changed = true;
                }
                return Ok(changed);
            }
            Kind::File => {
                let newer = self.args.keep_newer && now.as_ref().is_some_and(|n| n.modified > entry.modified as f64);
                if newer {
                    return Ok(false);
                }
                if is(FileKind::Directory) {
                    return Err(Failure::new(format!("{} is a directory, in the archive a file", target.display())));
                }
                let alike = is(FileKind::File)
                    && now.as_ref().is_some_and(|n| n.size == entry.size && n.modified as u64 == entry.modified);
                if !alike {
                    host.write(&target, content, Some(entry.mode))?;
                    host.set_times(&target, None, Some(entry.modified as f64))?;
                    changed = true;
                } else if !same_content(host, &target, content)? {
                    // The comparison has read some of it; such a file is rare.
                    self.write_anew(host, entry, &target)?;
                    changed = true;
                }
            }
        }
        if !matches!(entry.kind, Kind::Symlink(_)) {
            changed |= self.attributes(host, entry, &target, owners)?;
        }
        Ok(changed)
    }

    /// Writes one file: the archive is read again up to it, so that nothing is held in memory.
    fn write_anew(&self, host: &mut dyn Act, entry: &Entry, target: &Path) -> Result<(), Failure> {
        let mut done = false;
        let name = entry.name.clone();
        self.each(host, &mut |host, again, content| {
            if done || again.name != name {
                return Ok(());
            }
            done = true;
            host.write(target, content, Some(again.mode))?;
            host.set_times(target, None, Some(again.modified as f64))?;
            Ok(())
        })
    }

    /// Owner and mode as the archive or the arguments have them.
    fn attributes(
        &self,
        host: &mut dyn Act,
        entry: &Entry,
        target: &Path,
        owners: &mut Owners,
    ) -> Result<bool, Failure> {
        let mut changed = false;
        let Some(now) = host.stat(target, false)? else { return Ok(false) };
        if nix::unistd::geteuid().is_root() {
            let uid = if self.args.file.owner.is_none() { owners.user(host, &entry.owner)? } else { None };
            let gid = if self.args.file.group.is_none() { owners.group(host, &entry.group)? } else { None };
            let (uid, gid) = (uid.filter(|u| *u != now.uid), gid.filter(|g| *g != now.gid));
            if uid.or(gid).is_some() {
                host.set_owner(target, uid, gid)?;
                changed = true;
            }
        }
        if self.args.file.mode.is_none() {
            let mode = host.stat(target, false)?.map_or(now.mode, |s| s.mode);
            if mode != entry.mode && matches!(entry.kind, Kind::File) {
                host.set_mode(target, entry.mode)?;
                changed |= now.mode != entry.mode;
            }
        }
        Ok(self.args.file.apply(host, target, &mut BeforeAfter::default())? || changed)
    }
}

/// Names of owners, looked up once.
#[derive(Default)]
struct Owners {
    users: HashMap<String, Option<u32>>,
    groups: HashMap<String, Option<u32>>,
}

impl Owners {
    /// The owner of that name here, else of that number.
    fn user(&mut self, host: &mut dyn Act, owner: &Option<(String, u32)>) -> Result<Option<u32>, HostError> {
        let Some((name, number)) = owner else { return Ok(None) };
        if !name.is_empty() && !self.users.contains_key(name) {
            let found = accounts::user(host.as_look(), name)?.map(|u| u.uid);
            self.users.insert(name.clone(), found);
        }
        Ok(Some(self.users.get(name).copied().flatten().unwrap_or(*number)))
    }

    fn group(&mut self, host: &mut dyn Act, group: &Option<(String, u32)>) -> Result<Option<u32>, HostError> {
        let Some((name, number)) = group else { return Ok(None) };
        if !name.is_empty() && !self.groups.contains_key(name) {
            let found = accounts::group(host.as_look(), name)?.map(|g| g.gid);
            self.groups.insert(name.clone(), found);
        }
        Ok(Some(self.groups.get(name).copied().flatten().unwrap_or(*number)))
    }
}

/// Reads to the end, at most one byte more than `size`; how much there was.
fn drain(host: &mut dyn Act, content: &mut dyn Read, size: u64) -> Result<u64, Failure> {
    let mut buffer = vec![0u8; 128 << 10];
    let mut seen = 0;
    let mut content = content.take(size.saturating_add(1));
    loop {
        if host.time_left().is_zero() {
            let after = std::time::Duration::ZERO;
            return Err(HostError::Deadline { what: "reading the archive".into(), after }.into());
        }
        match content.read(&mut buffer).map_err(broken)? {
            0 => return Ok(seen),
            n => seen += n as u64,
        }
    }
}

fn same_content(host: &mut dyn Act, path: &Path, content: &mut dyn Read) -> Result<bool, Failure> {
    let mut file = host.open(path)?;
    let (mut a, mut b) = (vec![0u8; 64 << 10], vec![0u8; 64 << 10]);
    loop {
        let n = content.read(&mut a).map_err(broken)?;
        if n == 0 {
            return Ok(file.read(&mut b[..1]).map_err(broken)? == 0);
        }
        if file.read_exact(&mut b[..n]).is_err() || a[..n] != b[..n] {
            return Ok(false);
        }
    }
}

/// Makes what is missing between the destination and a directory in it.
fn make_dirs(host: &mut dyn Act, dir: &Path, dest: &Path) -> Result<(), HostError> {
    if dir == dest || host.stat(dir, true)?.is_some() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        make_dirs(host, above, dest)?;
    }
    host.make_dir(dir, None)
}
