//! What is in an archive, entry by entry, whatever its format. Names that climb out, devices and pipes are refused here; where
//! an entry goes is `unarchive`'s.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::Failure;
use crate::modules::file_content::random_name;
use crate::modules::paths;

/// More entries than any sane archive has.
const MOST_ENTRIES: usize = 2_000_000;

/// Where an archive is.
pub enum Source {
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
pub struct Entry {
    /// As the archive names it.
    pub name: String,
    /// Below the destination.
    pub path: PathBuf,
    pub kind: Kind,
    pub mode: u32,
    pub modified: u64,
    pub size: u64,
    pub owner: Option<(String, u32)>,
    pub group: Option<(String, u32)>,
}

/// What an entry is.
pub enum Kind {
    Directory,
    File,
    Symlink(PathBuf),
    /// To another entry of the archive.
    HardLink(PathBuf),
}

/// What is done with each entry and its content.
pub type See<'a> = dyn FnMut(&mut dyn Act, &Entry, &mut dyn Read) -> Result<(), Failure> + 'a;

/// Whether an entry of that name is to be seen.
pub type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// An archive that can be gone through, more than once.
pub struct Archive {
    source: Source,
    /// The plain archive, where a program had to unpack it or random access is needed.
    plain: Option<PathBuf>,
    format: Format,
    /// How many folders are left out at the front of each name.
    strip: usize,
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

fn too_many() -> Failure {
    Failure::new(format!("the archive has more than {MOST_ENTRIES} entries"))
}

pub fn broken(e: io::Error) -> Failure {
    Failure::new(format!("the archive cannot be read to its end: {e}"))
}

impl Archive {
    /// `name` is for messages; where the archive must be laid down first, `temp` says where.
    pub fn open(
        name: &Path,
        source: Source,
        strip: usize,
        host: &mut dyn Act,
        temp: &mut Option<PathBuf>,
    ) -> Result<Archive, Failure> {
        let mut head = Vec::new();
        source.open(host.as_look())?.take(512).read_to_end(&mut head).map_err(broken)?;
        let Some(format) = Format::of(&head) else {
            let name = name.display();
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
        Ok(Archive { source, plain, format, strip })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Without the folders to leave out; `None` where nothing is left.
    fn stripped(&self, path: PathBuf) -> Option<PathBuf> {
        let rest: PathBuf = path.components().skip(self.strip).collect();
        (self.strip == 0 || !rest.as_os_str().is_empty()).then_some(rest)
    }

    /// What Ansible calls its reader of this format.
    pub fn handler(&self) -> &'static str {
        self.format.handler()
    }

    /// Goes through the entries whose names are wanted, with their content.
    pub fn each(&self, host: &mut dyn Act, wanted: Wanted<'_>, see: &mut See<'_>) -> Result<(), Failure> {
        if self.format == Format::Zip {
            return self.each_of_zip(host, wanted, see);
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
                return Err(too_many());
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
            let Some(path) = self.stripped(inside(&name)?) else { continue };
            let link = |entry: &tar::Entry<'_, Box<dyn Read>>| -> Result<PathBuf, Failure> {
                let name = entry.link_name().map_err(broken)?;
                name.map(|n| n.into_owned()).ok_or_else(|| Failure::new("the archive has a link to nothing"))
            };
            let kind = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => Kind::File,
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => Kind::Symlink(link(&entry)?),
                tar::EntryType::Link => {
                    let to = self.stripped(inside(&link(&entry)?.to_string_lossy())?);
                    Kind::HardLink(to.ok_or_else(|| Failure::new(format!("`{name}` is a link to what is left out")))?)
                }
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
                path,
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

    fn each_of_zip(&self, host: &mut dyn Act, wanted: Wanted<'_>, see: &mut See<'_>) -> Result<(), Failure> {
        let Some(plain) = &self.plain else { return Ok(()) };
        let bad = |e: zip::result::ZipError| Failure::new(format!("the archive cannot be read: {e}"));
        let mut archive = zip::ZipArchive::new(File::open(plain).map_err(broken)?).map_err(bad)?;
        if archive.len() > MOST_ENTRIES {
            return Err(too_many());
        }
        for i in 0..archive.len() {
            let mut file = archive.by_index(i).map_err(bad)?;
            let name = file.name().map_err(bad)?.into_owned();
            if !wanted(&name) {
                continue;
            }
            let Some(path) = self.stripped(inside(&name)?) else { continue };
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
                path,
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
}
