//! The archives that a simplex upgrade-start leaves: found, read to their end, and known by their content.
//!
//! A platform archive is a gzipped tar of trees (`etc`, `home`, `opt/platform/…`) with the databases and other exports in
//! a directory of a random name. Nothing here unpacks: see the `stx_restore_*` modules.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::action::host::{FileKind, HostError, Look};
use crate::model::value::Value;

/// The filesystem that survives a reinstall.
pub const BACKUP_DIR: &str = "/opt/platform-backup";

/// Which of the two archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `upgrade_data_*.tgz`.
    Data,
    /// `upgrade_images_data_*.tgz`, or `.tgz.zero` where there were no images.
    Images,
}

impl Kind {
    fn matches(self, name: &str) -> bool {
        match self {
            Kind::Data => name.starts_with("upgrade_data") && name.ends_with(".tgz"),
            Kind::Images => {
                name.starts_with("upgrade_images_data") && (name.ends_with(".tgz") || name.ends_with(".tgz.zero"))
            }
        }
    }

    pub fn pattern(self) -> &'static str {
        match self {
            Kind::Data => "upgrade_data*.tgz",
            Kind::Images => "upgrade_images_data*.tgz",
        }
    }
}

/// What is wrong with an archive; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    #[error("no {pattern} in {}", .dir.display())]
    None { dir: PathBuf, pattern: &'static str },
    #[error("{} {pattern} in {}: {}", .names.len(), .dir.display(), .names.join(", "))]
    Several { dir: PathBuf, pattern: &'static str, names: Vec<String> },
    #[error("the file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} is {kind}, not a file", .path.display())]
    NoFile { path: PathBuf, kind: &'static str },
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// Not readable to its end.
    #[error("{} is damaged or cut short: after {entries} entries {source}", .path.display())]
    Damaged { path: PathBuf, entries: usize, source: io::Error },
    /// It would write where it must not.
    #[error("{} is not to be unpacked: {why}", .path.display())]
    Unsafe { path: PathBuf, why: String },
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Where an archive is: really there, or made by an earlier step of a check run.
pub enum Found {
    At(PathBuf),
    Supposed(Supposed),
}

/// An archive of a check run.
#[derive(Clone, Debug)]
pub struct Supposed {
    pub path: PathBuf,
    pub from: String,
    pub to: String,
    pub system_uuid: String,
}

/// Finds the one archive: `place` is the file, or a directory that holds exactly one.
pub fn find(host: &mut dyn Look, place: &Path, kind: Kind) -> Result<Found, Bad> {
    let supposed = supposed(host, place, kind);
    let stat = match (host.stat(place, true)?, supposed) {
        // An upgrade-start of this check run leaves another archive there.
        (_, Some(supposed)) => return Ok(Found::Supposed(supposed)),
        (Some(stat), None) => stat,
        (None, None) => return Err(Bad::Missing(place.to_owned())),
    };
    match stat.kind {
        FileKind::File => Ok(Found::At(place.to_owned())),
        FileKind::Directory => {
            let mut names = host.list(place)?;
            names.retain(|n| kind.matches(n));
            match &names[..] {
                [one] => Ok(Found::At(place.join(one))),
                [] => Err(Bad::None { dir: place.to_owned(), pattern: kind.pattern() }),
                _ => Err(Bad::Several { dir: place.to_owned(), pattern: kind.pattern(), names }),
            }
        }
        FileKind::Symlink => Err(Bad::Missing(place.to_owned())),
        _ => Err(Bad::NoFile { path: place.to_owned(), kind: "a device or socket" }),
    }
}

fn supposed(host: &mut dyn Look, place: &Path, kind: Kind) -> Option<Supposed> {
    let known = host.supposed("stx/archives")?;
    let text = |key: &str| known.get(key).map(Value::to_string).unwrap_or_default();
    let dir = PathBuf::from(text("dir"));
    let name = match kind {
        Kind::Data => "upgrade_data",
        Kind::Images => "upgrade_images_data",
    };
    let path = dir.join(format!("{name}_(time)_{}.tgz", text("system_uuid")));
    (place == dir || place == path).then(|| Supposed {
        path,
        from: text("from_release"),
        to: text("to_release"),
        system_uuid: text("system_uuid"),
    })
}

/// What an archive holds.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub path: PathBuf,
    /// Bytes of the archive.
    pub size: u64,
    pub sha256: String,
    /// Bytes of what it holds.
    pub unpacked: u64,
    /// Paths in it, without a leading `./`.
    pub members: BTreeSet<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Whether the wanted system uuid was seen in the sysinv database's rows.
    pub has_system: bool,
    /// Directory of the exports: the one that holds `postgres/` or `etcd-snapshot/`.
    pub exports: Option<String>,
    /// Small files that later steps want to see: hieradata, platform flags, manifests of images, by path in the archive.
    pub small: BTreeMap<String, Vec<u8>>,
}

impl Index {
    /// Members at or below a path.
    pub fn holds(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        let below = format!("{path}/");
        self.members.contains(path) || self.members.range(below.clone()..).next().is_some_and(|m| m.starts_with(&below))
    }
}

/// Reads an archive to its end and checks every entry; `system_uuid` is looked for in the database's rows.
pub fn read(host: &mut dyn Look, path: &Path, system_uuid: Option<&str>) -> Result<Index, Bad> {
    let size = host.stat(path, true)?.ok_or_else(|| Bad::Missing(path.to_owned()))?.size;
    if size == 0 {
        return Err(Bad::Empty(path.to_owned()));
    }
    let mut index = Index { path: path.to_owned(), size, ..Index::default() };
    let mut source = Hashing { inner: host.open(path)?, digest: Sha256::new() };
    let mut entries = 0;
    let end = {
        let gzip = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 20, &mut source));
        let mut tar = tar::Archive::new(gzip);
        let walked = walk(&mut tar, &mut index, system_uuid, &mut entries);
        // What follows the end mark is read too: the gzip checksum stands at the very end.
        walked.and_then(|()| io::copy(&mut tar.into_inner(), &mut io::sink()).map(|_| ()).map_err(Stop::Io))
    };
    match end {
        Ok(()) => {}
        Err(Stop::Io(source)) => return Err(Bad::Damaged { path: path.to_owned(), entries, source }),
        Err(Stop::Unsafe(why)) => return Err(Bad::Unsafe { path: path.to_owned(), why }),
    }
    let read = io::copy(&mut source, &mut io::sink());
    read.map_err(|source| Bad::Damaged { path: path.to_owned(), entries, source })?;
    index.sha256 = hex::encode(source.digest.finalize());
    Ok(index)
}

enum Stop {
    Io(io::Error),
    Unsafe(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

fn walk<R: Read>(
    tar: &mut tar::Archive<R>,
    index: &mut Index,
    system_uuid: Option<&str>,
    entries: &mut usize,
) -> Result<(), Stop> {
    let mut links = BTreeSet::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        *entries += 1;
        let name = inside(&entry.path()?).map_err(Stop::Unsafe)?;
        if let Some(link) = ancestors(&name).find(|a| links.contains(*a)) {
            return Err(Stop::Unsafe(format!("`{name}` lies behind the link `{link}`")));
        }
        check_kind(&entry, &name)?;
        if entry.header().entry_type().is_symlink() {
            links.insert(name.clone());
        }
        index.unpacked += entry.size();
        for (dir, mark) in [("/postgres/", "postgres.postgreSql.config"), ("/etcd-snapshot/", "etcd-snapshot.db")] {
            if let Some(prefix) = name.strip_suffix(mark).and_then(|n| n.strip_suffix(dir)) {
                index.exports = Some(prefix.to_owned());
            }
        }
        if name.ends_with("/upgrades/metadata") && entry.size() < 1 << 20 {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            metadata(&text, index);
        } else if let Some(uuid) = system_uuid.filter(|_| name.ends_with("/postgres/sysinv.postgreSql.data")) {
            index.has_system |= holds(&mut entry, uuid)?;
        } else if wanted(&name) && entry.header().entry_type().is_file() && entry.size() < 1 << 20 {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            index.small.insert(name.clone(), content);
        }
        index.members.insert(name);
    }
    Ok(())
}

/// A path of the archive, relative and without `.`; an error says why it must not be unpacked.
fn inside(path: &Path) -> Result<String, String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| format!("the name {} is not UTF-8", path.display()))?;
                parts.push(name);
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => {
                return Err(format!("`{}` is an absolute path", path.display()));
            }
            Component::ParentDir => return Err(format!("`{}` climbs out of its place", path.display())),
        }
    }
    Ok(parts.join("/"))
}

fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(move |(at, _)| &name[..at])
}

/// Refuses devices, and links that lead out.
fn check_kind<R: Read>(entry: &tar::Entry<R>, name: &str) -> Result<(), Stop> {
    let kind = entry.header().entry_type();
    if kind.is_block_special() || kind.is_character_special() || kind.is_fifo() {
        return Err(Stop::Unsafe(format!("`{name}` is a device or pipe")));
    }
    let Some(target) = entry.link_name()? else { return Ok(()) };
    if kind.is_hard_link() {
        inside(&target).map_err(|why| Stop::Unsafe(format!("the hard link `{name}`: {why}")))?;
    } else if kind.is_symlink() && !target.is_absolute() {
        // An absolute target is a place on the restored system; a relative one must not climb above its root.
        let mut depth = name.matches('/').count() as i64;
        for part in target.components() {
            depth += match part {
                Component::ParentDir => -1,
                Component::Normal(_) => 1,
                _ => 0,
            };
            if depth < 0 {
                return Err(Stop::Unsafe(format!("the link `{name}` -> `{}` climbs out", target.display())));
            }
        }
    }
    Ok(())
}

fn wanted(name: &str) -> bool {
    (name.starts_with("opt/platform/puppet/") && name.ends_with(".yaml"))
        || name.starts_with("etc/platform/")
        || name == "registry/index.json"
        || name.starts_with("registry/blobs/")
}

/// Releases from the metadata: JSON with an `upgrade` object.
fn metadata(text: &str, index: &mut Index) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let field = |key: &str| value.pointer(&format!("/upgrade/{key}")).and_then(|v| v.as_str()).map(str::to_owned);
    index.from = field("from_release");
    index.to = field("to_release");
}

/// Whether a text occurs in a stream, without holding the stream.
fn holds(stream: &mut impl Read, text: &str) -> io::Result<bool> {
    let needle = text.as_bytes();
    let (mut window, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let mut found = false;
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(found);
        }
        if !found {
            window.extend_from_slice(&chunk[..n]);
            found = window.windows(needle.len().max(1)).any(|w| w == needle);
            window.drain(..window.len().saturating_sub(needle.len()));
        }
    }
}

/// Digests what is read through it.
struct Hashing<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.digest.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_must_stay_inside() {
        assert_eq!(inside(Path::new("./etc/hosts")).unwrap(), "etc/hosts");
        assert!(inside(Path::new("/etc/hosts")).unwrap_err().contains("absolute"));
        assert!(inside(Path::new("home/../../etc")).unwrap_err().contains("climbs"));
    }

    #[test]
    fn a_text_is_found_across_chunks() {
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(3).min(b.len());
                b[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        assert!(holds(&mut Slow(b"INSERT ('abc-def')"), "abc-def").unwrap());
        assert!(!holds(&mut Slow(b"INSERT ('abc-def')"), "abc-dex").unwrap());
    }

    #[test]
    fn members_below_a_path() {
        let members = ["opt/platform/config/21.05/a", "opt/platform/config/21.05x"].map(str::to_owned);
        let index = Index { members: members.into(), ..Index::default() };
        assert!(index.holds("/opt/platform/config/21.05") && index.holds("opt/platform"));
        assert!(!index.holds("opt/platform/config/21") && !index.holds("etc"));
    }
}
