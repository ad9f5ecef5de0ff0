//! Content from the control node, kept by digest in a private directory; calls wait here for what has not come yet.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Content larger than this goes when the call that waited for it is done; smaller is kept for the next one.
const KEPT: u64 = 1 << 20;

pub struct Blobs {
    pub dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What calls wait for.
    wanted: HashSet<String>,
    /// Why a wanted one will not come.
    refused: HashMap<String, String>,
}

/// Content on its way in.
pub struct Incoming {
    sha256: String,
    left: u64,
    digest: Sha256,
    file: io::Result<File>,
    path: PathBuf,
}

impl Blobs {
    pub fn new(dir: PathBuf) -> Blobs {
        Blobs { dir, state: Mutex::default(), changed: Condvar::new() }
    }

    /// What calls wait for; asked for again when an engine attaches.
    pub fn wanted(&self) -> Vec<String> {
        self.state().wanted.iter().cloned().collect()
    }

    /// Waits until content is there; `ask` tells the engine that it is needed, an error from `go_on` ends the wait. The
    /// error is why it will not come.
    pub fn get(
        &self,
        sha256: &str,
        ask: impl FnOnce(),
        go_on: impl Fn() -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let path = self.dir.join(sha256);
        let mut state = self.state();
        state.refused.remove(sha256);
        if path.exists() {
            return Ok(path);
        }
        if state.wanted.insert(sha256.to_owned()) {
            drop(state);
            ask();
            state = self.state();
        }
        loop {
            if !state.wanted.contains(sha256) {
                return match state.refused.get(sha256) {
                    Some(why) => Err(why.clone()),
                    None => Ok(path),
                };
            }
            go_on()?;
            // Short, since a cancelled call does not wake this.
            let slice = Duration::from_millis(100);
            state = self.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Will not come.
    pub fn refuse(&self, sha256: &str, why: String) {
        let mut state = self.state();
        state.wanted.remove(sha256);
        state.refused.insert(sha256.to_owned(), why);
        self.changed.notify_all();
    }

    /// Drops what a finished call waited for, if it is large.
    pub fn done_with(&self, sha256: &str) {
        let path = self.dir.join(sha256);
        if fs::metadata(&path).is_ok_and(|m| m.len() > KEPT) {
            super::place::remove(&path);
        }
    }

    /// Content is announced. A name that is no digest is refused: it becomes a file name.
    pub fn begin(&self, sha256: String, size: u64) -> io::Result<Incoming> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a blob is named by its SHA-256"));
        }
        let path = self.dir.join(format!("{sha256}.part"));
        super::place::remove(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let incoming = Incoming { sha256, left: size, digest: Sha256::new(), file, path };
        Ok(incoming)
    }

    /// More of it has come; true when it is whole. A disk that is full does not end the connection: the call fails.
    pub fn more(&self, incoming: &mut Incoming, bytes: &[u8]) -> io::Result<bool> {
        incoming.left = (incoming.left.checked_sub(bytes.len() as u64))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "more bytes than announced"))?;
        incoming.digest.update(bytes);
        if let Ok(file) = &mut incoming.file
            && let Err(e) = file.write_all(bytes)
        {
            incoming.file = Err(e);
            super::place::remove(&incoming.path);
        }
        Ok(incoming.left == 0)
    }

    /// It is whole: check it and let the waiting calls have it.
    pub fn end(&self, incoming: Incoming) {
        let Incoming { sha256, digest, file, path, .. } = incoming;
        let kept = match file {
            Err(e) => Err(format!("keeping content from the control node in {}: {e}", self.dir.display())),
            Ok(_) if hex::encode(digest.finalize()) != sha256 => {
                Err("the file changed on the control node while it was sent; run the task again".to_owned())
            }
            Ok(_) => fs::rename(&path, self.dir.join(&sha256)).map_err(|e| format!("{}: {e}", path.display())),
        };
        if kept.is_err() {
            super::place::remove(&path);
        }
        let mut state = self.state();
        match kept {
            Ok(()) => state.refused.remove(&sha256),
            Err(why) => state.refused.insert(sha256.clone(), why),
        };
        state.wanted.remove(&sha256);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
