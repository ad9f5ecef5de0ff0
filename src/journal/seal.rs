//! What a resume needs and nobody may read: sealed with a key that lies in the state folder of this machine and nowhere
//! else.
//!
//! A journal that is copied away or read by another keeps its secrets. Where the key is not (another machine, a removed
//! state folder), what was sealed is not available, and the step that gave it has to run again.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Something that a record keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept<T> {
    /// For every reader of the journal.
    Clear(T),
    /// For a resume on this machine.
    Sealed(Sealed),
    /// Not kept; why.
    LeftOut(String),
    /// Handed over to be sealed when it is written; stands in no file.
    #[serde(skip)]
    Private(T),
}

/// A sealed value as it lies in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key opens it: the first digits of the key's digest.
    key: String,
    /// Nonce and ciphertext, in hexadecimal.
    r#box: String,
}

/// Why something that was kept cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAvailable {
    #[error("it holds a secret, and the key that opens it is not on this machine ({})", .0.display())]
    NoKey(PathBuf),
    #[error("it holds a secret, sealed with another key than {}", .0.display())]
    OtherKey(PathBuf),
    #[error("what was sealed for it cannot be opened: it was altered")]
    Altered,
    #[error("it was not kept: {0}")]
    LeftOut(String),
}

/// Seals and opens. The key is read, or made, when it is first needed.
#[derive(Debug)]
pub struct Sealer {
    path: PathBuf,
    /// Binds what is sealed to its run, so that it cannot be moved into another journal.
    run: String,
    key: OnceLock<[u8; 32]>,
}

impl Sealer {
    /// With the key file at `path`, for the journal of `run`.
    pub fn new(path: &Path, run: &str) -> Sealer {
        Sealer { path: path.to_owned(), run: run.to_owned(), key: OnceLock::new() }
    }

    /// Seals `value`, bound to `name` (its step's key). Where the key cannot be had or made, the value is left out.
    pub fn seal<T: Serialize>(&self, name: &str, value: &T) -> Kept<T> {
        let sealed = || -> Result<Sealed, String> {
            let key = self.key(true).map_err(|e| format!("{}: {e}", self.path.display()))?;
            let plain = serde_json::to_vec(value).map_err(|e| e.to_string())?;
            let nonce = XNonce::try_generate().map_err(|e| e.to_string())?;
            let bound = self.bound(name);
            let payload = Payload { msg: &plain, aad: bound.as_bytes() };
            let text = XChaCha20Poly1305::new(&Key::from(*key)).encrypt(&nonce, payload).map_err(|e| e.to_string())?;
            Ok(Sealed { key: id(key), r#box: hex::encode(nonce) + &hex::encode(text) })
        };
        match sealed() {
            Ok(sealed) => Kept::Sealed(sealed),
            Err(why) => Kept::LeftOut(format!("it holds a secret and could not be sealed ({why})")),
        }
    }

    /// What was kept under `name`.
    pub fn open<T: DeserializeOwned>(&self, name: &str, kept: Kept<T>) -> Result<T, NotAvailable> {
        let sealed = match kept {
            Kept::Clear(value) | Kept::Private(value) => return Ok(value),
            Kept::LeftOut(why) => return Err(NotAvailable::LeftOut(why)),
            Kept::Sealed(sealed) => sealed,
        };
        let key = self.key(false).map_err(|_| NotAvailable::NoKey(self.path.clone()))?;
        if sealed.key != id(key) {
            return Err(NotAvailable::OtherKey(self.path.clone()));
        }
        let bytes = hex::decode(&sealed.r#box).map_err(|_| NotAvailable::Altered)?;
        let (nonce, text) = bytes.split_first_chunk::<24>().ok_or(NotAvailable::Altered)?;
        let bound = self.bound(name);
        let payload = Payload { msg: text, aad: bound.as_bytes() };
        let plain = XChaCha20Poly1305::new(&Key::from(*key))
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| NotAvailable::Altered)?;
        serde_json::from_slice(&plain).map_err(|_| NotAvailable::Altered)
    }

    fn bound(&self, name: &str) -> String {
        format!("{}\n{name}", self.run)
    }

    fn key(&self, make: bool) -> io::Result<&[u8; 32]> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = match read_key(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && make => make_key(&self.path)?,
            other => other?,
        };
        Ok(self.key.get_or_init(|| key))
    }
}

fn id(key: &[u8; 32]) -> String {
    hex::encode(&Sha256::digest(key)[..4])
}

fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    fs::File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

/// Makes the key under another name and links it into place, so that of two runs that start together one wins and both
/// have the same, whole key.
fn make_key(path: &Path) -> io::Result<[u8; 32]> {
    let dir = path.parent().unwrap_or(Path::new("."));
    super::place::private_dir(dir)?;
    let key: [u8; 32] = Key::try_generate().map_err(io::Error::other)?.into();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(name);
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path);
    let _ = fs::remove_file(&beside);
    match linked {
        Ok(()) => {
            fs::File::open(dir)?.sync_all()?;
            Ok(key)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn opens_only_here_and_only_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/seal.key");
        let sealer = Sealer::new(&path, "run1");
        let kept = sealer.seal("step", &"hunter2".to_owned());
        assert!(!serde_json::to_string(&kept).unwrap().contains("hunter2"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let again = Sealer::new(&path, "run1");
        assert_eq!(again.open("step", kept.clone()).unwrap(), "hunter2");
        assert_eq!(again.open("other", kept.clone()), Err(NotAvailable::Altered));
        assert_eq!(Sealer::new(&path, "run2").open("step", kept.clone()), Err(NotAvailable::Altered));
        let nowhere = dir.path().join("none/seal.key");
        assert_eq!(Sealer::new(&nowhere, "run1").open("step", kept.clone()), Err(NotAvailable::NoKey(nowhere)));
        let other = dir.path().join("other.key");
        fs::write(&other, [7; 32]).unwrap();
        assert_eq!(Sealer::new(&other, "run1").open("step", kept), Err(NotAvailable::OtherKey(other)));
    }

    #[test]
    fn without_a_place_for_the_key_nothing_secret_is_written() {
        let sealer = Sealer::new(Path::new("/proc/none/seal.key"), "run1");
        assert!(matches!(sealer.seal("step", &"hunter2".to_owned()), Kept::LeftOut(why) if !why.contains("hunter2")));
    }
}
