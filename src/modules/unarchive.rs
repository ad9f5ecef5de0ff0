//! `unarchive`: unpacks tar and zip archives, safely: nothing is written outside the destination, no device is made, and
//! what would not fit is refused before anything is written. Reading the formats is `entries`'.

mod entries;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use entries::{Archive, Entry, Kind, Source, broken};

use super::file_args::{BeforeAfter, FileArgs, describe};
use super::{accounts, paths, web_args};
use crate::action::host::{Act, FileKind, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::http::credentials::without_password;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

arguments! {
    pub struct Args {
        /// The archive: of the control node, or with `remote_src` of the host, which fetches it if this is an address.
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
        /// Words as for `tar`: `--strip-components=N`, `--exclude=PATTERN`, `--no-same-owner`.
        extra_opts []: Vec<String> = Vec::new(),
        /// Leave files alone that are newer than the archive's.
        keep_newer []: bool = false,
        /// Whether the server's certificate must be valid, if the archive is at an address.
        validate_certs []: bool = true,
        /// SHA-256 of the archive, which the engine sends when it is asked for; set by actions.
        _blob []: Option<String>,
        ..file: FileArgs,
    }
    rules [Exclusive(&["include", "exclude"])]
}

/// The module `unarchive`.
pub struct Unarchive;

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

    fn run(mut args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
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
        let mut fetched = None;
        let source = if args._blob.is_some() {
            Source::Blob(args._blob.clone().unwrap_or_default())
        } else if let (Some(url), true) = (address(&args.src), args.remote_src) {
            let file = web_args::download(url, args.validate_certs, host)?;
            args.src = without_password(url).into();
            fetched = Some(file.clone());
            Source::Host(file)
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
        let extra = Extra::read(&args.extra_opts)?;
        let result = Archive::open(&args.src, source, extra.strip, host, &mut temp)
            .and_then(|archive| Unpack { args: &args, extra, archive, dest: &dest }.run(host));
        for temp in temp.into_iter().chain(fetched) {
            // The agent's own directory; not a part of the host that a check run would only record.
            let _ = std::fs::remove_file(temp);
        }
        result
    }
}

/// The archive's place, if that is an address.
fn address(src: &Path) -> Option<&str> {
    src.to_str().filter(|src| src.contains("://"))
}

/// What `extra_opts` ask for.
#[derive(Default)]
struct Extra {
    /// Folders to leave out at the front of each name.
    strip: usize,
    exclude: Vec<String>,
    /// Files are this user's, whoever they belonged to.
    own: bool,
}

impl Extra {
    fn read(words: &[String]) -> Result<Extra, Failure> {
        let mut extra = Extra::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
            let mut value = || {
                let missing = || Failure::new(format!("extra_opts: `{name}` needs a value"));
                value.clone().or_else(|| words.next().cloned()).ok_or_else(missing)
            };
            match name {
                "--strip-components" | "--strip" => {
                    let text = value()?;
                    let wrong = |_| Failure::new(format!("extra_opts: `{text}` is no number of folders"));
                    extra.strip = text.trim().parse().map_err(wrong)?;
                }
                "--exclude" => extra.exclude.push(value()?),
                "--no-same-owner" | "-o" => extra.own = true,
                other => {
                    return Err(Failure::new(format!(
                        "extra_opts: `{other}` is not known here; --strip-components, --exclude and --no-same-owner are"
                    )));
                }
            }
        }
        Ok(extra)
    }
}

struct Unpack<'a> {
    args: &'a Args,
    extra: Extra,
    archive: Archive,
    dest: &'a Path,
}

impl Unpack<'_> {
    /// Whether an entry is among those that are asked for.
    fn wants(&self, name: &str) -> bool {
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let hit = |patterns: &[String]| {
            patterns.iter().any(|p| {
                let p = p.trim_start_matches("./").trim_end_matches('/');
                paths::matches(p, name) || name.strip_prefix(p).is_some_and(|r| r.starts_with('/'))
            })
        };
        let left_out = hit(&self.args.exclude) || hit(&self.extra.exclude);
        (self.args.include.is_empty() || hit(&self.args.include)) && !left_out
    }

    fn run(self, host: &mut dyn Act) -> Result<Outcome, Failure> {
        // First only looked through: a bad entry or too little room is found before anything is written.
        let mut names = Vec::new();
        let mut total = 0u64;
        let free = host.space(self.dest)?.free;
        self.archive.each(host, &|name| self.wants(name), &mut |host, entry, content| {
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
        self.archive.each(host, &|name| self.wants(name), &mut |host, entry, content| {
            changed |= self.put(host, entry, content, &mut dirs, &mut owners)?;
            Ok(())
        })?;
        // Directories last: writing into them has moved their times on.
        for (path, modified) in dirs.into_iter().rev() {
            host.set_times(&path, None, Some(modified as f64))?;
        }
        let dest = self.dest.display().to_string();
        let src = match self.archive.source() {
            Source::Host(path) if address(&self.args.src).is_none() => path.display().to_string(),
            Source::Host(_) | Source::Blob(_) => self.args.src.display().to_string(),
        };
        let mut outcome =
            Outcome::changed(changed).with("dest", dest).with("src", src).with("handler", self.archive.handler());
        if changed {
            outcome = outcome.with("extract_results", dict! {"rc" => 0, "out" => "", "err" => ""});
        }
        if self.args.list_files {
            outcome = outcome.with("files", names.iter().map(String::as_str).collect::<Value>());
        }
        Ok(describe(host.as_look(), self.dest, outcome)?)
    }

    /// Where a path of an entry is on the host. A link that the archive or anybody else put in the way must not lead
    /// outside.
    fn target(&self, host: &mut dyn Act, entry: &Entry, path: &Path) -> Result<PathBuf, Failure> {
        let target = self.dest.join(path);
        if let Some(above) = target.parent() {
            let real = paths::real_path(host.as_look(), above)?;
            let root = paths::real_path(host.as_look(), self.dest)?;
            if !real.starts_with(&root) {
                return Err(Failure::new(format!(
                    "the archive's entry `{}` leads through a link to {}: refused",
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
        let target = self.target(host, entry, &entry.path)?;
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
                let to = self.target(host, entry, to)?;
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
        self.archive.each(host, &|name| self.wants(name), &mut |host, again, content| {
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
            let uid =
                if self.args.file.owner.is_none() && !self.extra.own { owners.user(host, &entry.owner)? } else { None };
            let gid = if self.args.file.group.is_none() && !self.extra.own {
                owners.group(host, &entry.group)?
            } else {
                None
            };
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
