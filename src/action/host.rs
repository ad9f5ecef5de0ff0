//! What a module sees of its host, and how it acts on it.
//!
//! There are two hosts behind these traits: the real one, and the preview of a check run, which reads the real one
//! through a layer of recorded changes and records instead of acting. A module cannot tell which it holds, so a check
//! run takes the same decisions as the run itself. What the preview cannot know is [`HostError::NotKnowable`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{Command, Output};
use crate::model::event::Wait;
use crate::model::value::Value;

/// Reads a host. Paths are absolute; `Ok(None)` and [`HostError::NotFound`] tell absence from failure.
pub trait Look {
    /// What stands at a path, following a last link only if asked to. `None` where nothing stands there.
    fn stat(&mut self, path: &Path, follow: bool) -> Result<Option<Stat>, HostError>;
    /// A whole file.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, HostError>;
    /// A file as a stream, for what may be large.
    fn open(&mut self, path: &Path) -> Result<Box<dyn io::Read + Send>, HostError>;
    /// Names in a directory, sorted.
    fn list(&mut self, dir: &Path) -> Result<Vec<String>, HostError>;
    fn read_link(&mut self, path: &Path) -> Result<PathBuf, HostError>;
    /// Bytes of the filesystem that holds a path (or would hold it).
    fn space(&mut self, path: &Path) -> Result<Space, HostError>;
    /// Runs a program that changes nothing; runs in a check run too.
    fn query(&mut self, command: &Command) -> Result<Output, HostError>;
    /// A variable of the environment that the task runs in.
    fn env(&self, name: &str) -> Option<String>;
    /// What an earlier step of a check run would have made of a fact that is no file: `service/etcd/active`. The real
    /// host knows none, so a probe asks the host itself.
    fn supposed(&self, key: &str) -> Option<Value>;
    /// Tells the operator what is waited for, as a heartbeat. An error means that the call was cancelled.
    fn heartbeat(&mut self, wait: &Wait) -> Result<(), HostError>;
    /// Sleeps, at most to the call's deadline. Time does not pass in a check run: what has to be waited for there is
    /// [`HostError::NotKnowable`].
    fn sleep(&mut self, time: Duration) -> Result<(), HostError>;
    /// Time left until the call's deadline.
    fn time_left(&self) -> Duration;
    /// Content that the control node holds, by its SHA-256; [`HostError::NeedBlob`] makes the engine send it and call again.
    fn blob(&mut self, sha256: &str) -> Result<Box<dyn io::Read + Send>, HostError>;
    /// Where blobs, scripts and temporary files of this run lie: a private directory that ends with the run.
    fn scratch(&mut self) -> Result<PathBuf, HostError>;
}

/// Acts on a host. Every change goes through here; in a check run each is recorded and seen by later steps.
pub trait Act: Look {
    /// Puts a file in place as a whole or not at all: written without a name, synced, put in the place of what is there.
    fn write(&mut self, path: &Path, content: &mut dyn io::Read, mode: Option<u32>) -> Result<(), HostError>;
    /// Writes over what is there, keeping its inode: for a file that cannot be replaced, as one that is mounted. A
    /// reader may see half of it. Does not follow a last link.
    fn write_in_place(&mut self, path: &Path, content: &mut dyn io::Read) -> Result<(), HostError> {
        self.write(path, content, None)
    }
    /// Makes a directory in one that exists; without a mode, the umask's.
    fn make_dir(&mut self, path: &Path, mode: Option<u32>) -> Result<(), HostError>;
    fn make_symlink(&mut self, path: &Path, target: &Path) -> Result<(), HostError>;
    fn make_hard_link(&mut self, path: &Path, target: &Path) -> Result<(), HostError>;
    /// Removes a file, a link, or a directory with all that is in it; never follows a link.
    fn remove(&mut self, path: &Path) -> Result<(), HostError>;
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), HostError>;
    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), HostError>;
    /// Owner and group by number; does not follow a last link.
    fn set_owner(&mut self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), HostError>;
    /// Times in seconds since 1970, with their fraction.
    fn set_times(&mut self, path: &Path, accessed: Option<f64>, modified: Option<f64>) -> Result<(), HostError>;
    /// Runs a program that may change anything. A check run cannot know what it would do: [`HostError::NotKnowable`].
    fn run(&mut self, command: &Command) -> Result<Output, HostError>;
    /// Runs a program whose effects are known: a check run records them and answers with an empty success.
    fn run_expecting(&mut self, command: &Command, effects: &[Effect]) -> Result<Output, HostError>;
    /// Said before something is changed that is no part of a host: what a server is told. A check run cannot know what
    /// comes of it: [`HostError::NotKnowable`], with `what` as its words.
    fn outside(&mut self, what: &str) -> Result<(), HostError>;
    /// The same traits as a reader only.
    fn as_look(&mut self) -> &mut dyn Look;
}

/// What a program does to a host, as far as later steps can see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A fact that is no file; see [`Look::supposed`].
    Suppose(String, Value),
    /// Everything is gone but what lies under these paths: a reinstall. Facts supposed so far are forgotten too.
    Wiped { keep: Vec<PathBuf> },
    /// A file with this content.
    File { path: PathBuf, content: Vec<u8>, mode: u32 },
    /// A directory, made if it is not there; with this owner and group.
    Dir { path: PathBuf, mode: u32, uid: u32, gid: u32 },
    /// A tree is again as it was before the wipe, as a restore makes it; `to` may be another place.
    Restored { from: PathBuf, to: PathBuf },
    /// A path is gone.
    Gone(PathBuf),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stat {
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: f64,
    pub accessed: f64,
    pub changed: f64,
    pub inode: u64,
    pub device: u64,
    pub links: u64,
    /// Of 512 bytes each.
    pub blocks: u64,
    /// Bytes at a time that suit the filesystem.
    pub block_size: u64,
    /// Which device a device file is; 0 for others.
    pub device_type: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    BlockDevice,
    CharDevice,
}

/// Bytes of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    /// Free to this user.
    pub free: u64,
    pub inodes_free: u64,
}

/// Why the host could not do what a module asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    #[error("{what}: Permission denied")]
    Denied { what: String },
    #[error("{what}: no space left on the device")]
    NoSpace { what: String },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("the program `{0}` was not found on the host")]
    NoProgram(String),
    #[error("timed out after {} s: {what}", .after.as_secs())]
    Deadline { what: String, after: Duration },
    #[error("cancelled")]
    Cancelled,
    /// Check run only.
    #[error("not knowable before the run: {0}")]
    NotKnowable(String),
    /// The control node must send this content first; never shown.
    #[error("content {0} is needed")]
    NeedBlob(String),
}

impl HostError {
    /// Sorts an I/O error; `what` says what was being done: `writing /etc/motd`.
    pub fn io(what: impl Into<String>, path: &Path, source: io::Error) -> HostError {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::NotFound => HostError::NotFound(path.to_owned()),
            io::ErrorKind::PermissionDenied => HostError::Denied { what },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HostError::NoSpace { what },
            _ => HostError::Io { what, source },
        }
    }
}
