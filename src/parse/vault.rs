//! Ansible Vault texts, both ways: `$ANSIBLE_VAULT;1.1;AES256` and `;1.2;AES256;<label>`.
//!
//! The format: a header line, then in lines of 80 the hex of `hex(salt) \n hex(HMAC) \n hex(ciphertext)`. PBKDF2-HMAC-SHA256
//! makes 80 bytes of the password in 10,000 rounds: cipher key, HMAC key, counter block; AES-256-CTR over padded text.
//! Asking for passwords is `cli`'s; here is what a `--vault-id` means and how a client script is run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::model::secret::{Mask, Secret};

/// What every vault text starts with.
pub const HEADER: &str = "$ANSIBLE_VAULT;";
/// The id of secrets that were given without one.
pub const DEFAULT_ID: &str = "default";
const ROUNDS: u32 = 10_000;

/// Passwords by vault id, in the order in which they are tried, and the mask that learns what they open.
#[derive(Clone, Default)]
pub struct Vault {
    secrets: Vec<(String, Secret)>,
    mask: Mask,
}

/// Why a vault text stays closed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VaultError {
    #[error("it is encrypted{}, and no vault password was given", in_words(.0))]
    NoSecret(Option<String>),
    #[error("none of the vault passwords given ({tried}) opens it{}", in_words(.label))]
    WrongSecret { label: Option<String>, tried: String },
    #[error("not a vault text: {0}")]
    Format(&'static str),
}

fn in_words(label: &Option<String>) -> String {
    label.as_ref().map_or_else(String::new, |l| format!(" with vault id `{l}`"))
}

impl Vault {
    /// Without secrets; `mask` learns every text that is opened later.
    pub fn new(mask: Mask) -> Vault {
        Vault { secrets: Vec::new(), mask }
    }

    /// Takes a password in under a vault id; later ones are tried after earlier ones.
    pub fn add(&mut self, id: impl Into<String>, secret: Secret) {
        self.mask.learn(&secret);
        self.secrets.push((id.into(), secret));
    }

    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// What learns the opened texts.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Opens a vault text. A secret with the text's own label is tried first, then all others, as Ansible does.
    pub fn decrypt(&self, text: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let envelope = Envelope::parse(text)?;
        if self.secrets.is_empty() {
            return Err(VaultError::NoSecret(envelope.label));
        }
        let (first, rest): (Vec<_>, Vec<_>) =
            self.secrets.iter().partition(|(id, _)| Some(id.as_str()) == envelope.label.as_deref());
        for (_, secret) in first.into_iter().chain(rest) {
            if let Some(opened) = envelope.open(secret) {
                return Ok(opened);
            }
        }
        let tried = self.secrets.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
        Err(VaultError::WrongSecret { label: envelope.label, tried })
    }

    /// Encrypts with the secret of that id (the first one without an id given); the text ends with a line feed.
    /// None if there is no such secret.
    pub fn encrypt(&self, plain: &[u8], id: Option<&str>) -> Option<String> {
        let (id, secret) = self.secrets.iter().find(|(i, _)| id.is_none_or(|wanted| wanted == i))?;
        let mut salt = [0u8; 32];
        fill_random(&mut salt)?;
        Some(seal(plain, secret, id, &salt))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.secrets.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", "))
    }
}

/// Whether a file or text is a vault text.
pub fn is_vault(text: &[u8]) -> bool {
    text.starts_with(HEADER.as_bytes())
}

/// The parts of a vault text.
struct Envelope {
    label: Option<String>,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Envelope {
    fn parse(text: &str) -> Result<Envelope, VaultError> {
        let mut lines = text.trim().lines().map(str::trim);
        let header: Vec<&str> = lines.next().unwrap_or("").split(';').map(str::trim).collect();
        let label = match header.as_slice() {
            ["$ANSIBLE_VAULT", "1.1", "AES256"] => None,
            ["$ANSIBLE_VAULT", "1.2", "AES256", label] => Some((*label).to_owned()),
            ["$ANSIBLE_VAULT", "1.0", ..] => {
                return Err(VaultError::Format("format 1.0 is no longer read; rekey it with an old Ansible"));
            }
            ["$ANSIBLE_VAULT", ..] => return Err(VaultError::Format("a header that is not 1.1 or 1.2 with AES256")),
            _ => return Err(VaultError::Format("the `$ANSIBLE_VAULT;` header is missing")),
        };
        let body: String = lines.collect();
        let body = hex::decode(body).map_err(|_| VaultError::Format("the body is not hex"))?;
        let mut parts = body.split(|b| *b == b'\n').map(hex::decode);
        let (Some(Ok(salt)), Some(Ok(mac)), Some(Ok(ciphertext)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VaultError::Format("the body is cut off or damaged"));
        };
        Ok(Envelope { label, salt, mac, ciphertext })
    }

    /// The padded text without its padding; none if the password is another one.
    fn open(&self, secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        let keys = Keys::derive(secret, &self.salt);
        let mut mac = keys.mac();
        mac.update(&self.ciphertext);
        mac.verify_slice(&self.mac).ok()?;
        let mut text = Zeroizing::new(self.ciphertext.clone());
        keys.cipher(&mut text);
        let padding = usize::from(*text.last()?);
        let length = text.len().checked_sub(padding).filter(|_| (1..=16).contains(&padding))?;
        text.truncate(length);
        Some(text)
    }
}

/// Cipher key, HMAC key and counter block.
struct Keys(Zeroizing<[u8; 80]>);

impl Keys {
    fn derive(secret: &Secret, salt: &[u8]) -> Keys {
        let mut out = Zeroizing::new([0u8; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(secret.reveal().as_bytes(), salt, ROUNDS, out.as_mut());
        Keys(out)
    }

    fn mac(&self) -> Hmac<Sha256> {
        // HMAC fills a short key up with zeros to the block size of its hash.
        let mut key = Zeroizing::new([0u8; 64]);
        key[..32].copy_from_slice(&self.0[32..64]);
        Hmac::<Sha256>::new((&*key).into())
    }

    fn cipher(&self, text: &mut [u8]) {
        let (mut key, mut block) = ([0u8; 32], [0u8; 16]);
        key.copy_from_slice(&self.0[..32]);
        block.copy_from_slice(&self.0[64..]);
        Ctr128BE::<Aes256>::new(&key.into(), &block.into()).apply_keystream(text);
    }
}

fn seal(plain: &[u8], secret: &Secret, id: &str, salt: &[u8]) -> String {
    let keys = Keys::derive(secret, salt);
    let mut text = plain.to_vec();
    let padding = 16 - text.len() % 16;
    text.resize(text.len() + padding, padding as u8);
    keys.cipher(&mut text);
    let mut mac = keys.mac();
    mac.update(&text);
    let inner = format!("{}\n{}\n{}", hex::encode(salt), hex::encode(mac.finalize().into_bytes()), hex::encode(&text));
    let body = hex::encode(inner);
    let mut out = if id == DEFAULT_ID { format!("{HEADER}1.1;AES256\n") } else { format!("{HEADER}1.2;AES256;{id}\n") };
    for line in body.as_bytes().chunks(80) {
        out.extend(line.iter().map(|b| *b as char));
        out.push('\n');
    }
    out
}

/// Random bytes of the operating system; none if it has none to give.
fn fill_random(out: &mut [u8]) -> Option<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom").ok()?.read_exact(out).ok()
}

/// Where the password of a `--vault-id` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultSource {
    /// `prompt`, `prompt_ask_vault_pass`.
    Prompt,
    /// A file with the password, or an executable that prints it.
    File(PathBuf),
}

/// What `--vault-id label@source` or a bare `source` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultId {
    pub id: String,
    pub source: VaultSource,
}

impl VaultId {
    /// Reads a `--vault-id`; without a label the id is `default`.
    pub fn parse(text: &str) -> VaultId {
        let (id, source) = match text.split_once('@') {
            Some((id, source)) if !id.is_empty() => (id, source),
            Some((_, source)) => (DEFAULT_ID, source),
            None => (DEFAULT_ID, text),
        };
        let source = match source {
            "prompt" | "prompt_ask_vault_pass" => VaultSource::Prompt,
            path => VaultSource::File(PathBuf::from(path)),
        };
        VaultId { id: id.to_owned(), source }
    }
}

/// Reads a password file; an executable one is run and prints it. One whose name ends with `-client` (before any
/// ending) is told `--vault-id ID`. The error says what to do.
pub fn read_password(path: &Path, id: &str) -> Result<Secret, String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| format!("the vault password file {shown} cannot be read: {e}"))?;
    let text = if meta.permissions().mode() & 0o111 != 0 && meta.is_file() {
        let mut command = Command::new(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        if path.file_stem().is_some_and(|n| n.to_string_lossy().ends_with("-client")) {
            command.args(["--vault-id", id]);
        }
        let out = command.output().map_err(|e| {
            format!(
                "the vault password script {shown} cannot be run: {e}; clear its execute bits if it is a plain file"
            )
        })?;
        if !out.status.success() {
            let talk = String::from_utf8_lossy(&out.stderr);
            return Err(format!("the vault password script {shown} failed ({}): {}", out.status, talk.trim()));
        }
        Zeroizing::new(out.stdout)
    } else {
        let bytes = std::fs::read(path).map_err(|e| format!("the vault password file {shown} cannot be read: {e}"))?;
        Zeroizing::new(bytes)
    };
    let text = std::str::from_utf8(&text).map_err(|_| format!("the vault password of {shown} is not UTF-8"))?;
    if is_vault(text.as_bytes()) {
        return Err(format!("the vault password file {shown} is itself encrypted; give the plain password"));
    }
    let text = text.trim_matches(['\r', '\n', ' ', '\t']);
    if text.is_empty() {
        return Err(format!("the vault password file {shown} is empty"));
    }
    Ok(Secret::new(text))
}
