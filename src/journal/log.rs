//! Writes a journal: creates it or opens it again, locks it, appends and syncs. A journal that cannot write is broken for
//! good; the run stops before its next act.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::line::{self, Chain};
use super::place::{exposed, private_dir};
use super::read::{Answers, Damage, ReadError, Reader, Torn};
use super::record::{Body, FORMAT, Header, Part};
use super::recover::Recovered;
use super::seal::Sealer;
use crate::model::secret::Mask;

/// A journal that is written to. While it lives no other process can write to the same file.
pub struct Journal {
    file: File,
    path: PathBuf,
    chain: Chain,
    /// Bytes of whole records.
    length: u64,
    mask: Mask,
    sealer: Sealer,
    broken: Option<String>,
}

/// A journal opened to go on.
pub struct Opened {
    pub journal: Journal,
    pub recovered: Recovered,
    pub answers: Answers,
    /// A last line that was cut off and is now dropped.
    pub torn: Option<Torn>,
    /// For the operator's eyes.
    pub warnings: Vec<String>,
}

/// What a journal needs beside its file.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Secrets known so far; they are masked or sealed.
    pub mask: Mask,
    /// The key file of what is sealed; see [`super::place::StateDir::key`].
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("no space is left for the journal {}; make room, then `stx-upgrade resume`", .path.display())]
    Full { path: PathBuf },
    #[error("the journal {} is on a filesystem that is read-only", .path.display())]
    ReadOnly { path: PathBuf },
    #[error("the journal {} is gone: it was removed, or its disk was", .path.display())]
    Gone { path: PathBuf },
    #[error("the journal {} may not be written by this user", .path.display())]
    Denied { path: PathBuf },
    #[error("the journal {} could not be written: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// An earlier write failed; nothing is written after it.
    #[error("the journal {} can no longer be written: {why}", .path.display())]
    Broken { path: PathBuf, why: String },
    #[error("{} exists already; `stx-upgrade resume {}` goes on with it", .path.display(), .path.display())]
    Exists { path: PathBuf },
    #[error("{}", locked(.path, .holder.as_deref()))]
    Locked { path: PathBuf, holder: Option<Box<Part>> },
    #[error(
        "{} is in format {format}, of a newer stx-upgrade; this one resumes up to {FORMAT}. It can be shown: `stx-upgrade show {}`",
        .path.display(), .path.display()
    )]
    Newer { path: PathBuf, format: u32 },
    #[error(
        "the journal {} is damaged and cannot be resumed: {damage}. What stands before it can be shown: `stx-upgrade show {}`",
        .path.display(), .path.display()
    )]
    Damaged { path: PathBuf, damage: Damage },
    #[error("the journal {} has no whole header: the run was cut off before it began; start it anew", .path.display())]
    Empty { path: PathBuf },
    #[error(transparent)]
    Read(ReadError),
}

fn locked(path: &Path, holder: Option<&Part>) -> String {
    let Some(part) = holder else { return format!("{} is being written by another process", path.display()) };
    let since = super::place::local_time(part.at, "%Y-%m-%d %H:%M");
    let (pid, host, user) = (part.pid, &part.host, &part.user);
    format!(
        "this run is being driven by pid {pid} on {host} ({user}) since {since}; watch it with `stx-upgrade status --watch`"
    )
}

impl Journal {
    /// Makes the journal of a new run, private to this user, with its header on disk. Missing folders are made, private too.
    /// The second value warns of what the operator should know.
    pub fn create(path: &Path, header: Header, guard: Guard) -> Result<(Journal, Vec<String>), JournalError> {
        let sort = |e| sorted(path, e);
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        private_dir(dir).map_err(sort)?;
        let opened = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists { path: path.to_owned() },
            _ => sort(e),
        })?;
        lock(&file, path)?;
        let sealer = Sealer::new(&guard.key, &header.run);
        let (path, chain) = (path.to_owned(), Chain::start());
        let mut journal = Journal { file, path, chain, length: 0, mask: guard.mask, sealer, broken: None };
        journal.append(&[Body::Header(Box::new(header))]).inspect_err(|_| {
            // Nothing was begun; a file without a header would only stand in the way of the next try.
            let _ = fs::remove_file(&journal.path);
        })?;
        // The name must outlive a power cut as well as the content.
        File::open(dir).and_then(|d| d.sync_all()).map_err(|e| sorted(&journal.path, e))?;
        let warnings = exposed(&journal.path).into_iter().collect();
        Ok((journal, warnings))
    }

    /// Opens the journal of a run to go on with it: locks it, checks and folds every record, drops a torn last line, and
    /// writes `part` (its number is set here).
    pub fn open(path: &Path, part: Part, guard: Guard) -> Result<Opened, JournalError> {
        let sort = |e| sorted(path, e);
        // What a link points to is the journal; everything is about that file from here on.
        let path = &fs::canonicalize(path).map_err(|source| not_found(path, source))?;
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(sort)?;
        lock(&file, path)?;

        let mut reader = Reader::open(path).map_err(JournalError::Read)?;
        let mut recovered = Recovered::default();
        for record in reader.by_ref() {
            recovered.take(record.map_err(|e| match e {
                ReadError::Damaged { path, damage } => JournalError::Damaged { path, damage },
                other => JournalError::Read(other),
            })?);
        }
        if reader.format() > FORMAT {
            return Err(JournalError::Newer { path: path.clone(), format: reader.format() });
        }
        let Some(header) = &recovered.header else { return Err(JournalError::Empty { path: path.clone() }) };
        let (_, length, chain) = reader.state();
        if reader.torn().is_some() {
            file.set_len(length).map_err(sort)?;
        }
        let answers = Answers::open(path, &header.run, &guard.key).map_err(JournalError::Read)?;
        let sealer = Sealer::new(&guard.key, &header.run);
        let mut journal = Journal { file, path: path.clone(), chain, length, mask: guard.mask, sealer, broken: None };
        let part = Part { number: recovered.parts.len() as u32 + 1, ..part };
        journal.append(&[Body::Part(Box::new(part.clone()))])?;
        recovered.parts.push(part);
        let warnings = exposed(path).into_iter().collect();
        Ok(Opened { journal, recovered, answers, torn: reader.torn(), warnings })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes records as one commit: when this returns they are on disk, all of them.
    pub fn append(&mut self, bodies: &[Body]) -> Result<(), JournalError> {
        self.write(bodies)?;
        self.sync()
    }

    /// Writes records without waiting for the disk: they outlive this process, and with the next commit a power cut.
    pub fn write(&mut self, bodies: &[Body]) -> Result<(), JournalError> {
        self.whole()?;
        let (mut chain, mut lines) = (self.chain, Vec::with_capacity(512 * bodies.len()));
        for body in bodies {
            let guarded = line::guarded(body, &self.mask, &self.sealer);
            // Nothing that a record is made of refuses to be written as JSON; a private value that was not sealed would.
            chain.write(&guarded, &mut lines).map_err(|e| self.failed(e.into()))?;
        }
        (&self.file).write_all(&lines).map_err(|e| self.failed(e))?;
        self.chain = chain;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Waits until what was written is on disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.whole()?;
        self.file.sync_data().map_err(|e| self.failed(e))?;
        // A file without a name is lost when this process ends.
        match self.file.metadata() {
            Ok(m) if m.nlink() > 0 => Ok(()),
            Ok(_) => Err(self.failed(io::ErrorKind::NotFound.into())),
            Err(e) => Err(self.failed(e)),
        }
    }

    fn whole(&self) -> Result<(), JournalError> {
        match &self.broken {
            Some(why) => Err(JournalError::Broken { path: self.path.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// After a failed write or sync nobody knows what is on disk, so it is never tried again; only the rest of a line that
    /// was cut off is taken away if that is possible.
    fn failed(&mut self, e: io::Error) -> JournalError {
        let error = sorted(&self.path, e);
        self.broken = Some(error.to_string());
        let _ = self.file.set_len(self.length);
        error
    }
}

/// Takes the lock; it ends with the process, however that ends.
fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    for _ in 0..10 {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            // Whoever only looks whether the run is driven has it for a moment.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            // Some network filesystems have no locks; better to run there than not to run.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(sorted(path, e)),
        }
    }
    let holder = Reader::open(path).ok().and_then(last_part).map(Box::new);
    Err(JournalError::Locked { path: path.to_owned(), holder })
}

/// Whether a run is being driven now, by a process on this machine.
pub fn is_driven(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn last_part(reader: Reader<io::BufReader<File>>) -> Option<Part> {
    let mut last = None;
    for record in reader.map_while(Result::ok) {
        match record.body {
            Body::Header(h) => last = Some(h.part),
            Body::Part(p) => last = Some(*p),
            _ => {}
        }
    }
    last
}

fn not_found(path: &Path, source: io::Error) -> JournalError {
    JournalError::Read(ReadError::Io { path: path.to_owned(), source })
}

fn sorted(path: &Path, source: io::Error) -> JournalError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            JournalError::Full { path }
        }
        io::ErrorKind::ReadOnlyFilesystem => JournalError::ReadOnly { path },
        io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle => JournalError::Gone { path },
        io::ErrorKind::PermissionDenied => JournalError::Denied { path },
        // A stick that was pulled out.
        _ if GONE.contains(&source.raw_os_error().unwrap_or(0)) => JournalError::Gone { path },
        _ => JournalError::Io { path, source },
    }
}

const GONE: [i32; 2] = [Errno::ENODEV as i32, Errno::ENXIO as i32];
