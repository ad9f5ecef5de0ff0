//! Putting new content into a file the way all modules that do so share: backup, validation, the write, the difference.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::file_args::FileArgs;
use super::shell_words;
use crate::action::args::truth;
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look};
use crate::action::module::Failure;
use crate::model::outcome::{Diff, Outcome};

/// Longer texts are not compared for people.
const DIFF_LIMIT: usize = 104_448;

/// A program that judges new content before it is put in place; `%s` is where it lies.
pub fn validate(host: &mut dyn Act, program: &str, content: &mut dyn Read, args: &FileArgs) -> Result<(), Failure> {
    if !program.contains("%s") {
        return Err(Failure::new(format!("validate must contain %s: {program}")));
    }
    let dir = host.scratch()?;
    let trial = dir.join(format!("validate-{}", random_name(8)));
    host.write(&trial, content, Some(0o600))?;
    let judged = judge(host, program, &trial, args);
    host.remove(&trial)?;
    judged
}

fn judge(host: &mut dyn Act, program: &str, trial: &Path, args: &FileArgs) -> Result<(), Failure> {
    // Some programs refuse a file that is too open or not theirs.
    FileArgs { attributes: None, ..args.clone() }.apply(host, trial, &mut Default::default())?;
    let line = program.replace("%s", &trial.display().to_string());
    let argv = shell_words::split(&line).map_err(|e| Failure::new(format!("validate: {e}")))?;
    // In a check run the content is not on the real host, so it cannot be judged: taken as valid, as in Ansible.
    let output = host.run_expecting(&Command::new(argv), &[])?;
    if output.success() {
        return Ok(());
    }
    let said = output.error_text();
    Err(Failure::Failed(Box::new(
        Outcome::failed(format!("failed to validate: rc:{} error:{said}", output.rc))
            .with("exit_status", output.rc)
            .with("stdout", output.text())
            .with("stderr", said),
    )))
}

/// Where a file's backup goes: its path, this process, the local time.
pub fn backup_path(path: &Path) -> PathBuf {
    let time = jiff::Zoned::now().strftime("%Y-%m-%d@%H:%M:%S~");
    super::paths::with_suffix(path, &format!(".{}.{time}", std::process::id()))
}

/// Copies a file beside itself, with mode, owner and times; where to. None if there is no such file.
pub fn backup(host: &mut dyn Act, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let Some(stat) = host.stat(path, true)?.filter(|s| s.kind == FileKind::File) else { return Ok(None) };
    let to = backup_path(path);
    let mut content = host.open(path)?;
    host.write(&to, &mut *content, Some(stat.mode))?;
    let made = host.stat(&to, false)?;
    if made.is_some_and(|m| (m.uid, m.gid) != (stat.uid, stat.gid)) {
        // Only root may give it away; a backup of one's own is a backup too.
        match host.set_owner(&to, Some(stat.uid), Some(stat.gid)) {
            Ok(()) | Err(HostError::Denied { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        host.set_mode(&to, stat.mode)?;
    }
    host.set_times(&to, Some(stat.accessed), Some(stat.modified))?;
    Ok(Some(to))
}

/// Opens content anew, for each try to write it.
pub type Opener<'a> = dyn FnMut(&mut dyn Look) -> Result<Box<dyn Read + Send>, HostError> + 'a;

/// Writes a file as a whole; one that cannot be replaced is written over if `unsafe_writes` allows it, or, where the task does not
/// say, the variable of the environment that Ansible knows too.
pub fn put(
    host: &mut dyn Act,
    path: &Path,
    open: &mut Opener<'_>,
    unsafe_writes: Option<bool>,
) -> Result<(), HostError> {
    let by_environment = || host.env("ANSIBLE_UNSAFE_WRITES").and_then(|v| truth(&v.into())).unwrap_or(false);
    let unsafe_writes = unsafe_writes.unwrap_or_else(by_environment);
    let mut content = open(host.as_look())?;
    match host.write(path, &mut *content, None) {
        Err(HostError::Io { .. } | HostError::Denied { .. }) if unsafe_writes => {
            let mut content = open(host.as_look())?;
            host.write_in_place(path, &mut *content)
        }
        done => done,
    }
}

/// A module's new text for a file it edits.
pub struct Edit<'a> {
    pub path: &'a Path,
    /// What is in it; none if it does not exist.
    pub before: Option<&'a [u8]>,
    pub after: &'a [u8],
    pub backup: bool,
    pub validate: Option<&'a str>,
    pub args: &'a FileArgs,
}

impl Edit<'_> {
    /// Puts the text in place, through links. The backup made, if one was asked for.
    pub fn put(&self, host: &mut dyn Act) -> Result<Option<PathBuf>, Failure> {
        let saved = if self.backup && self.before.is_some() { backup(host, self.path)? } else { None };
        if let Some(program) = self.validate {
            validate(host, program, &mut &*self.after, self.args)?;
        }
        let real = super::paths::real_path(host.as_look(), self.path)?;
        let after = self.after.to_vec();
        put(host, &real, &mut |_| Ok(Box::new(std::io::Cursor::new(after.clone()))), self.args.unsafe_writes)?;
        Ok(saved)
    }

    /// The difference, under names as Ansible gives them.
    pub fn diff(&self) -> Diff {
        let name = format!("{} (content)", self.path.display());
        text_diff(&name, &name, self.before.unwrap_or_default(), self.after)
    }
}

/// The difference of two contents; what is no text, or too long for people, is said to be so.
pub fn text_diff(before_name: &str, after_name: &str, before: &[u8], after: &[u8]) -> Diff {
    for (side, content) in [("destination", before), ("source", after)] {
        if content.len() > DIFF_LIMIT {
            return Diff::Prepared(format!("diff skipped: {side} file size is greater than {DIFF_LIMIT}\n"));
        }
        if content.iter().take(8192).any(|b| *b == 0) {
            return Diff::Prepared(format!("diff skipped: {side} file appears to be binary\n"));
        }
    }
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Diff::Text {
        before_name: before_name.to_owned(),
        after_name: after_name.to_owned(),
        before: text(before),
        after: text(after),
    }
}

/// What a module that edits texts reads; none where no file is.
pub fn read_existing(host: &mut dyn Look, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    match host.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(HostError::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes the directories above a path that are missing.
pub fn make_parents(host: &mut dyn Act, path: &Path) -> Result<(), HostError> {
    let Some(dir) = path.parent() else { return Ok(()) };
    if host.stat(dir, true)?.is_some() {
        return Ok(());
    }
    make_parents(host, dir)?;
    host.make_dir(dir, None)
}

/// Letters that nobody guesses, for names of temporary files.
pub fn random_name(length: usize) -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut out = String::new();
    while out.len() < length {
        // Each state is seeded by the system's randomness; nothing secret hangs on it.
        let mut n = std::hash::RandomState::new().build_hasher().finish();
        for _ in 0..8 {
            out.push(char::from(b"abcdefghijklmnopqrstuvwxyz0123456789_"[(n % 37) as usize]));
            n /= 37;
        }
    }
    out.truncate(length);
    out
}
