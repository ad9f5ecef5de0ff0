//! Checksums of files, by the names that Ansible gives them.

use std::io::Read;
use std::path::Path;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::action::host::{HostError, Look};
use crate::choices;

choices! {
    /// A digest algorithm.
    pub enum Algorithm {
        Md5 = "md5",
        Sha1 = "sha1",
        Sha224 = "sha224",
        Sha256 = "sha256",
        Sha384 = "sha384",
        Sha512 = "sha512",
    }
}

impl Algorithm {
    /// The digest of a stream, in hexadecimal.
    pub fn of(self, content: &mut dyn Read) -> std::io::Result<String> {
        match self {
            Algorithm::Md5 => digest::<Md5>(content),
            Algorithm::Sha1 => digest::<Sha1>(content),
            Algorithm::Sha224 => digest::<Sha224>(content),
            Algorithm::Sha256 => digest::<Sha256>(content),
            Algorithm::Sha384 => digest::<Sha384>(content),
            Algorithm::Sha512 => digest::<Sha512>(content),
        }
    }

    /// The digest of a file of this machine; none if it cannot be read.
    pub fn of_local(self, path: &Path) -> Option<String> {
        self.of(&mut std::fs::File::open(path).ok()?).ok()
    }

    /// The digest of a file of the host.
    pub fn of_file(self, host: &mut dyn Look, path: &Path) -> Result<String, HostError> {
        let mut file = host.open(path)?;
        self.of(&mut *file).map_err(|e| HostError::io(format!("reading {}", path.display()), path, e))
    }
}

fn digest<D: Digest>(content: &mut dyn Read) -> std::io::Result<String> {
    let mut digest = D::new();
    let mut buffer = vec![0u8; 256 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(n) => digest.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The SHA-1 of bytes, as `copy` and `stat` report it.
pub fn sha1(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}
