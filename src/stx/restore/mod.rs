//! The restore of a simplex controller after its reinstall: one module a part. Each notes on the host what it did for
//! which archive, so that a restore that was cut off is taken up where it stood, without this tool's journal too.

pub mod claim;
pub mod database_sync;
pub mod etcd;
pub mod images;
pub mod manifest;
pub mod patches;
pub mod postgres;
pub mod procedure;
pub mod scripts;
pub mod trees;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::Failure;

use super::advice::Advice;
use super::archive::{self, Found, Kind};
use super::archive_check::advised;

/// Where the notes lie: on the root disk, so that a wipe takes them with what they speak of.
const NOTES: &str = "/var/lib/stx-upgrade";

/// What a restore step works from, and how its notes name it.
pub struct Source {
    pub found: Found,
    /// Name and size of the archive: its name has the time and the system in it.
    pub identity: String,
}

impl Source {
    /// Finds the archive.
    pub fn find(host: &mut dyn Look, place: &Path, kind: Kind) -> Result<Source, Failure> {
        let found = archive::find(host, place, kind).map_err(advised)?;
        let identity = match &found {
            Found::At(path) => {
                let size = host.stat(path, true)?.map_or(0, |s| s.size);
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                format!("{name} {size}")
            }
            Found::Supposed(supposed) => supposed.path.display().to_string(),
        };
        Ok(Source { found, identity })
    }

    pub fn path(&self) -> &Path {
        match &self.found {
            Found::At(path) => path,
            Found::Supposed(supposed) => &supposed.path,
        }
    }
}

fn note_path(step: &str) -> PathBuf {
    Path::new(NOTES).join(step)
}

/// Whether a step is noted as done for this identity.
fn is_done(host: &mut dyn Look, step: &str, identity: &str) -> Result<bool, HostError> {
    match host.read(&note_path(step)) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).lines().any(|l| l == identity)),
        Err(HostError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Notes a step as done; `more` keeps what was noted before.
fn note(host: &mut dyn Act, step: &str, identity: &str, more: bool) -> Result<(), HostError> {
    super::ensure_dir(host, Path::new(NOTES), 0o700)?;
    let mut text = match host.read(&note_path(step)) {
        Ok(text) if more => text,
        _ => Vec::new(),
    };
    text.extend_from_slice(format!("{identity}\n").as_bytes());
    host.write(&note_path(step), &mut &text[..], Some(0o600))
}

/// Runs a step's command; what it complained of becomes the failure.
fn done_by(host: &mut dyn Act, what: &str, command: Command, effects: &[Effect]) -> Result<Output, Failure> {
    let output = host.run_expecting(&command, effects)?;
    if output.success() {
        return Ok(output);
    }
    let said = [output.error_text(), output.text()].concat();
    let last: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let shown = last[last.len().saturating_sub(3)..].join("; ");
    Err(Advice::failed(format!(
        "{what} failed: {}",
        if shown.is_empty() { format!("exit code {}", output.rc) } else { shown }
    ))
    .state("the host is being restored; the flag /etc/platform/.restore_in_progress stands")
    .safe("the host is out of service until it is restored; its archive is untouched")
    .next("put the cause right, then `stx-upgrade resume`: it takes the restore up at this step")
    .into())
}

/// A bash line with a pipe whose every part must succeed; the words are its `$1`, `$2`, ….
fn pipe(script: &str, words: &[&str], timeout: Duration) -> Command {
    let script = format!("set -o pipefail; {script}");
    let head = ["/bin/bash", "-c", &script, "restore"];
    Command::new(head.iter().chain(words).copied()).timeout(timeout)
}
