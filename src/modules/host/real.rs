//! The host itself. Paths are used as they are; expanding `~` is the modules' (`modules::paths`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeSpec;
use xattr::FileExt;

use super::part::Part;
use super::process;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, FileKind, HostError, Look, Space, Stat};
use crate::action::host_call::CallContext;
use crate::model::event::Wait;
use crate::model::value::Value;

/// A handle on this host for one call.
pub struct Real {
    context: CallContext,
}

impl Real {
    pub fn new(context: CallContext) -> Real {
        Real { context }
    }

    pub(super) fn context(&self) -> &CallContext {
        &self.context
    }

    /// Copies content to a file in pieces, so that a cancelled call ends soon.
    fn pour(&self, content: &mut dyn Read, file: &mut File, what: &str) -> io::Result<Result<(), HostError>> {
        let mut buffer = vec![0u8; 256 << 10];
        loop {
            if let Err(stop) = self.context.check(what) {
                return Ok(Err(stop));
            }
            match content.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(n) => file.write_all(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Ok(Err(HostError::Io { what: format!("reading the content for {what}"), source }));
                }
            }
        }
    }
}

/// What the mode of new files is before the umask of this process is taken off.
pub fn new_file_mode() -> u32 {
    0o666 & !umask()
}

/// The umask of this process. Read, not set and set back: other threads create files meanwhile.
pub fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("Umask:"));
    line.and_then(|m| u32::from_str_radix(m.trim(), 8).ok()).unwrap_or(0o022)
}

/// What the host says about a path.
pub(super) fn stat(path: &Path, follow: bool) -> Result<Option<Stat>, HostError> {
    let meta = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match meta {
        Ok(meta) => Ok(Some(stat_of(&meta))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // A link that leads to itself leads nowhere.
        Err(e) if follow && e.raw_os_error() == Some(nix::libc::ELOOP) => Ok(None),
        Err(e) => Err(io_error("looking at", path, e)),
    }
}

fn stat_of(meta: &fs::Metadata) -> Stat {
    let kind = meta.file_type();
    let kind = if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else if kind.is_char_device() {
        FileKind::CharDevice
    } else {
        FileKind::File
    };
    let time = |s: i64, ns: i64| s as f64 + ns as f64 / 1e9;
    Stat {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.len(),
        modified: time(meta.mtime(), meta.mtime_nsec()),
        accessed: time(meta.atime(), meta.atime_nsec()),
        changed: time(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        device: meta.dev(),
        links: meta.nlink(),
        blocks: meta.blocks(),
        block_size: meta.blksize(),
        device_type: meta.rdev(),
    }
}

pub(super) fn io_error(doing: &str, path: &Path, e: io::Error) -> HostError {
    HostError::io(format!("{doing} {}", path.display()), path, e)
}

/// The directory that holds a path.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Makes a rename durable. Some filesystems cannot sync a directory; the rename stands all the same.
fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}

/// Gives a new file what the one it replaces has: owner and extended attributes, as far as this user may.
fn inherit(file: &File, old: &Path, meta: &fs::Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if now.uid() != meta.uid() || now.gid() != meta.gid() {
        // A user who may write the directory but not give files away keeps the new file, as Ansible does.
        let _ = fchown(file, Some(meta.uid()), Some(meta.gid()));
    }
    if let Ok(names) = xattr::list(old) {
        for name in names {
            if let Ok(Some(value)) = xattr::get(old, &name) {
                let _ = file.set_xattr(&name, &value);
            }
        }
    }
    Ok(())
}

impl Look for Real {
    fn stat(&mut self, path: &Path, follow: bool) -> Result<Option<Stat>, HostError> {
        stat(path, follow)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, HostError> {
        fs::read(path).map_err(|e| io_error("reading", path, e))
    }

    fn open(&mut self, path: &Path) -> Result<Box<dyn Read + Send>, HostError> {
        let file = File::open(path).map_err(|e| io_error("reading", path, e))?;
        Ok(Box::new(file))
    }

    fn list(&mut self, dir: &Path) -> Result<Vec<String>, HostError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(|e| io_error("listing", dir, e))? {
            let entry = entry.map_err(|e| io_error("listing", dir, e))?;
            // A name that is no UTF-8 cannot be written in a playbook, nor be reached by it.
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read_link(&mut self, path: &Path) -> Result<PathBuf, HostError> {
        fs::read_link(path).map_err(|e| io_error("reading the link", path, e))
    }

    fn space(&mut self, path: &Path) -> Result<Space, HostError> {
        let mut at = path;
        while !at.exists() {
            at = at.parent().ok_or_else(|| HostError::NotFound(path.to_owned()))?;
        }
        let s = statvfs(at).map_err(|e| io_error("measuring the space of", at, e.into()))?;
        let unit = s.fragment_size();
        Ok(Space { total: s.blocks() * unit, free: s.blocks_available() * unit, inodes_free: s.files_available() })
    }

    fn query(&mut self, command: &Command) -> Result<Output, HostError> {
        process::run(command, &self.context)
    }

    fn env(&self, name: &str) -> Option<String> {
        let set = self.context.env.iter().rev().find(|(n, _)| n == name);
        set.map(|(_, v)| v.clone()).or_else(|| match name {
            // Whoever started this process may have changed the folder and not the variable.
            "PWD" => std::env::current_dir().ok()?.into_os_string().into_string().ok(),
            _ => std::env::var(name).ok(),
        })
    }

    fn supposed(&self, _key: &str) -> Option<Value> {
        None
    }

    fn heartbeat(&mut self, wait: &Wait) -> Result<(), HostError> {
        self.context.check(&wait.reason)?;
        self.context.progress.waiting(wait);
        Ok(())
    }

    fn sleep(&mut self, time: Duration) -> Result<(), HostError> {
        self.context.sleep(time, "waiting")
    }

    fn time_left(&self) -> Duration {
        self.context.time_left()
    }

    fn blob(&mut self, sha256: &str) -> Result<Box<dyn Read + Send>, HostError> {
        // The name becomes a path below: nothing but a digest may pass.
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(HostError::Io {
                what: format!("`{sha256}` is no digest"),
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        match File::open(self.context.blobs.join(sha256)) {
            Ok(file) => Ok(Box::new(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(HostError::NeedBlob(sha256.to_owned())),
            Err(e) => Err(io_error("reading", &self.context.blobs.join(sha256), e)),
        }
    }

    fn scratch(&mut self) -> Result<PathBuf, HostError> {
        Ok(self.context.scratch.clone())
    }
}

impl Act for Real {
    fn write(&mut self, path: &Path, content: &mut dyn Read, mode: Option<u32>) -> Result<(), HostError> {
        let what = format!("writing {}", path.display());
        self.context.check(&what)?;
        let fail = |e: io::Error| HostError::io(what.clone(), path, e);
        let old = fs::symlink_metadata(path).ok();
        if old.as_ref().is_some_and(|m| m.is_dir()) {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let mut part = Part::of(path).map_err(fail)?;
        self.pour(content, &mut part.file, &what).map_err(fail)??;
        let regular = old.filter(|m| m.is_file());
        if let Some(meta) = &regular {
            inherit(&part.file, path, meta).map_err(fail)?;
        }
        let mode = mode.or(regular.map(|m| m.mode() & 0o7777)).unwrap_or_else(new_file_mode);
        part.file.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
        part.file.sync_all().map_err(fail)?;
        part.put().map_err(fail)?;
        sync_dir(parent(path));
        Ok(())
    }

    fn write_in_place(&mut self, path: &Path, content: &mut dyn Read) -> Result<(), HostError> {
        let what = format!("writing {}", path.display());
        self.context.check(&what)?;
        let fail = |e: io::Error| HostError::io(what.clone(), path, e);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(fail)?;
        self.pour(content, &mut file, &what).map_err(fail)??;
        file.sync_all().or_else(|e| if file.metadata()?.is_file() { Err(e) } else { Ok(()) }).map_err(fail)
    }

    fn make_dir(&mut self, path: &Path, mode: Option<u32>) -> Result<(), HostError> {
        let fail = |e| io_error("making the directory", path, e);
        // Private until its mode is set: what is asked for may be narrower than the umask leaves it.
        let first = mode.map_or(0o777, |_| 0o700);
        fs::DirBuilder::new().mode(first).create(path).map_err(fail)?;
        match mode {
            Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(fail),
            None => Ok(()),
        }
    }

    fn make_symlink(&mut self, path: &Path, target: &Path) -> Result<(), HostError> {
        std::os::unix::fs::symlink(target, path).map_err(|e| io_error("making the link", path, e))
    }

    fn make_hard_link(&mut self, path: &Path, target: &Path) -> Result<(), HostError> {
        fs::hard_link(target, path).map_err(|e| io_error("making the link", path, e))
    }

    fn remove(&mut self, path: &Path) -> Result<(), HostError> {
        let fail = |e| io_error("removing", path, e);
        let meta = fs::symlink_metadata(path).map_err(fail)?;
        if meta.is_dir() { fs::remove_dir_all(path).map_err(fail) } else { fs::remove_file(path).map_err(fail) }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), HostError> {
        fs::rename(from, to).map_err(|e| io_error(&format!("renaming {} to", from.display()), to, e))?;
        sync_dir(parent(to));
        Ok(())
    }

    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), HostError> {
        let fail = |e| io_error("setting the mode of", path, e);
        // A link has no mode of its own; following it would change another file.
        if fs::symlink_metadata(path).map_err(fail)?.is_symlink() {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).map_err(fail)
    }

    fn set_owner(&mut self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), HostError> {
        lchown(path, uid, gid).map_err(|e| io_error("setting the owner of", path, e))
    }

    fn set_times(&mut self, path: &Path, accessed: Option<f64>, modified: Option<f64>) -> Result<(), HostError> {
        let spec = |time: Option<f64>| time.map_or(TimeSpec::UTIME_OMIT, |t| TimeSpec::from_duration(seconds(t)));
        let set = |accessed: &TimeSpec, modified: &TimeSpec| {
            utimensat(nix::fcntl::AT_FDCWD, path, accessed, modified, UtimensatFlags::NoFollowSymlink)
        };
        let mut done = set(&spec(accessed), &spec(modified));
        // Who may write a file that is another's may give it the present time, and no other.
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        let present = |time: Option<f64>| time.is_some_and(|t| (now - t).abs() < 1.0);
        if done == Err(nix::Error::EPERM) && present(accessed) && present(modified) {
            done = set(&TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
        }
        done.map_err(|e| io_error("setting the times of", path, e.into()))
    }

    fn run(&mut self, command: &Command) -> Result<Output, HostError> {
        process::run(command, &self.context)
    }

    fn run_expecting(&mut self, command: &Command, _effects: &[Effect]) -> Result<Output, HostError> {
        process::run(command, &self.context)
    }

    fn outside(&mut self, what: &str) -> Result<(), HostError> {
        self.context.check(what)
    }

    fn as_look(&mut self) -> &mut dyn Look {
        self
    }
}

/// Times before 1970 become 1970.
fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::action::host_call::{Cancel, Progress};
    use std::sync::Arc;
    use std::time::Instant;

    struct Silent;
    impl Progress for Silent {
        fn waiting(&self, _: &Wait) {}
        fn output(&self, _: &str) {}
    }

    /// A call that may take 20 s, with its directories under the system's temporary one.
    pub(crate) fn context() -> CallContext {
        let limit = Duration::from_secs(20);
        CallContext {
            env: Vec::new(),
            deadline: Instant::now() + limit,
            limit,
            cancel: Cancel::default(),
            progress: Arc::new(Silent),
            blobs: std::env::temp_dir(),
            scratch: std::env::temp_dir(),
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut host = Real::new(context());
        host.write(&path, &mut &b"one"[..], None).unwrap();
        assert_eq!(stat(&path, false).unwrap().unwrap().mode, new_file_mode());
        host.set_mode(&path, 0o640).unwrap();
        host.write(&path, &mut &b"two"[..], None).unwrap();
        assert_eq!(stat(&path, false).unwrap().unwrap().mode, 0o640);
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        host.write(&path, &mut Broken, None).unwrap_err();
        assert_eq!(host.read(&path).unwrap(), b"two");
        assert_eq!(host.list(dir.path()).unwrap(), ["f"], "the temporary file is gone");
    }

    #[test]
    fn a_link_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        let mut host = Real::new(context());
        host.write(&target, &mut &b"kept"[..], None).unwrap();
        host.make_symlink(&link, &target).unwrap();
        host.write(&link, &mut &b"new"[..], Some(0o600)).unwrap();
        assert_eq!(host.read(&target).unwrap(), b"kept");
        assert_eq!(host.stat(&link, false).unwrap().unwrap().kind, FileKind::File);
    }

    #[test]
    fn a_blob_is_named_by_a_digest_only() {
        let mut host = Real::new(context());
        assert!(!matches!(host.blob("../../etc/passwd").err().unwrap(), HostError::NeedBlob(_)));
        assert!(matches!(host.blob(&"0".repeat(64)).err().unwrap(), HostError::NeedBlob(_)));
    }

    #[test]
    fn times_keep_their_fraction() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut host = Real::new(context());
        host.write(&path, &mut &b""[..], None).unwrap();
        host.set_times(&path, None, Some(1_000_000_000.5)).unwrap();
        assert_eq!(host.stat(&path, false).unwrap().unwrap().modified, 1_000_000_000.5);
    }
}
