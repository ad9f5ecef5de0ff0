//! Keys, requests and certificates: made by the host's own `openssl`, read by a parser of our own dependency. What is there
//! is compared with what is wanted before anything is made.

pub mod certificate;
pub mod csr;
pub mod info;
pub mod privatekey;
mod view;

use std::path::Path;

use super::file_args::{BeforeAfter, FileArgs, Mode};
use super::file_content::{backup as keep, put};
use super::{copy::not_written, paths};
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;

crate::choices! { pub enum State { Present = "present", Absent = "absent" } }

/// The variable through which `openssl` gets a passphrase: its environment is not in the process list.
const PASS: &str = "STX_PASSPHRASE";

/// Runs `openssl`, which prints what it makes and changes nothing.
fn openssl(host: &mut dyn Act, words: &[&str], input: &[u8], pass: Option<&Secret>) -> Result<Vec<u8>, Failure> {
    let argv = std::iter::once("openssl").chain(words.iter().copied());
    let mut command = Command::new(argv).stdin(input);
    if let Some(pass) = pass {
        command = command.env(PASS, pass.reveal());
    }
    let output = host.query(&command).map_err(|e| match e {
        HostError::NoProgram(_) => Failure::new("the host has no `openssl`, with which this module works"),
        other => other.into(),
    })?;
    if output.success() {
        return Ok(output.stdout);
    }
    let said = output.error_text();
    Err(Failure::new(format!("openssl {}: {}", words.first().unwrap_or(&""), said.trim())))
}

/// Words that name the passphrase of an input.
fn pass_in(pass: Option<&Secret>) -> Vec<String> {
    // Without one, openssl must not ask at a terminal.
    match pass {
        Some(_) => vec!["-passin".into(), format!("env:{PASS}")],
        None => vec!["-passin".into(), "pass:".into()],
    }
}

/// The public key of a private one, in DER.
fn public_of(host: &mut dyn Act, key: &[u8], pass: Option<&Secret>) -> Result<Vec<u8>, Failure> {
    let pass_words = pass_in(pass);
    let mut words = vec!["pkey", "-pubout", "-outform", "DER"];
    words.extend(pass_words.iter().map(String::as_str));
    openssl(host, &words, key, pass)
}

/// The bytes that a PEM text holds, or the bytes themselves where it is none.
fn der(content: &[u8]) -> Result<Vec<u8>, Failure> {
    if !content.windows(11).any(|w| w == b"-----BEGIN ") {
        return Ok(content.to_vec());
    }
    let pem = x509_parser::pem::Pem::iter_from_buffer(content).next();
    let pem = pem.and_then(Result::ok).ok_or_else(|| Failure::new("the PEM text cannot be read"))?;
    Ok(pem.contents)
}

/// A PEM text.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What a module of these shall put where.
struct Made<'a> {
    path: &'a Path,
    file: &'a FileArgs,
    backup: bool,
    /// Permissions of a new file for which none are given.
    mode: Option<u32>,
}

impl Made<'_> {
    /// Puts new content in place if there is some, and gives the file what it shall have.
    fn put(&self, host: &mut dyn Act, content: Option<&[u8]>, mut outcome: Outcome) -> Result<Outcome, Failure> {
        if let Some(content) = content {
            if self.backup
                && let Some(saved) = keep(host, self.path)?
            {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
            let fresh = host.stat(self.path, true)?.is_none();
            let real = paths::real_path(host.as_look(), self.path)?;
            if fresh && let (Some(mode), None) = (self.mode, &self.file.mode) {
                // Never readable for others, not for a moment.
                host.write(&real, &mut &*content, Some(mode)).map_err(|e| not_written(e, self.path))?;
            } else {
                let bytes = content.to_vec();
                let wanted = self.file.mode.as_ref().filter(|_| fresh);
                match wanted {
                    Some(Mode::Bits(bits)) => host.write(&real, &mut &*content, Some(*bits)),
                    _ => put(
                        host,
                        &real,
                        &mut |_| Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
                        self.file.unsafe_writes,
                    ),
                }
                .map_err(|e| not_written(e, self.path))?;
            }
            outcome.changed = true;
        }
        outcome.changed |= self.file.apply_following(host, self.path, &mut BeforeAfter::default())?;
        Ok(outcome)
    }

    /// Takes the file away.
    fn remove(&self, host: &mut dyn Act, mut outcome: Outcome) -> Result<Outcome, Failure> {
        if host.stat(self.path, false)?.is_some() {
            if self.backup
                && let Some(saved) = keep(host, self.path)?
            {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
            host.remove(self.path)?;
            outcome.changed = true;
        }
        Ok(outcome)
    }
}
