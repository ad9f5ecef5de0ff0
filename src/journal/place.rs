//! Where journals lie, and what runs are called.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::array::Array;
use chacha20poly1305::aead::{Generate, array::sizes::U2};
use chrono::{Local, TimeZone};

use super::read::Reader;
use super::record::Body;

/// The folder of this program's state: journals below `runs/`, and the key that opens what they seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// A run that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub journal: PathBuf,
}

/// Why a run was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("there is no run yet in {}", .0.display())]
    None(PathBuf),
    #[error("there is no run `{name}` in {}, and no such file; `stx-upgrade runs` lists them", .dir.display())]
    Unknown { name: String, dir: PathBuf },
    #[error("`{name}` could be {}; give more of the name", .runs.join(" or "))]
    Several { name: String, runs: Vec<String> },
    #[error("cannot read {}: {source}", .dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

impl StateDir {
    /// `$XDG_STATE_HOME/stx-upgrade`, else `~/.local/state/stx-upgrade`, as the XDG base directory specification has it
    /// (a relative value is passed over); none without a home. `env` looks a variable up.
    pub fn find(env: impl Fn(&str) -> Option<OsString>) -> Option<StateDir> {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".local/state")))?;
        Some(StateDir(base.join("stx-upgrade")))
    }

    /// A given folder.
    pub fn at(path: impl Into<PathBuf>) -> StateDir {
        StateDir(path.into())
    }

    pub fn runs_dir(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The key of what journals seal.
    pub fn key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// Where the journal of a run lies unless `--journal` says otherwise.
    pub fn journal(&self, run: &str) -> PathBuf {
        self.runs_dir().join(format!("{run}.journal"))
    }

    /// Lets `runs` and `resume` find a journal that lies elsewhere: a link among the others.
    pub fn remember(&self, run: &str, journal: &Path) -> io::Result<()> {
        let here = self.journal(run);
        let journal = fs::canonicalize(journal)?;
        if here == journal || fs::canonicalize(&here).is_ok_and(|p| p == journal) {
            return Ok(());
        }
        private_dir(&self.runs_dir())?;
        symlink(journal, here)
    }

    /// All runs, the oldest first.
    pub fn runs(&self) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        let entries = match fs::read_dir(self.runs_dir()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(runs),
            entries => entries?,
        };
        for entry in entries {
            let journal = entry?.path();
            if journal.extension().is_some_and(|e| e == "journal")
                && let Some(id) = journal.file_stem().and_then(|s| s.to_str())
            {
                runs.push(Run { id: id.to_owned(), journal: journal.clone() });
            }
        }
        // Names begin with the minute, by local time; the journal's first record knows better.
        runs.sort_by_cached_key(|r| (began(&r.journal).unwrap_or(0), r.id.clone()));
        Ok(runs)
    }

    /// The run that a user means: a run's id or a part of it that only one has (`k7`), the path of a journal, or, without
    /// a name, the last run.
    pub fn run(&self, name: Option<&str>) -> Result<Run, FindError> {
        let dir = self.runs_dir();
        let mut runs = self.runs().map_err(|source| FindError::Io { dir: dir.clone(), source })?;
        let Some(name) = name else { return runs.pop().ok_or(FindError::None(dir)) };
        if let Some(run) = runs.iter().find(|r| r.id == name) {
            return Ok(run.clone());
        }
        let path = Path::new(name);
        if path.is_file() {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Run { id, journal: path.to_owned() });
        }
        runs.retain(|r| r.id.starts_with(name) || r.id.ends_with(name));
        match runs.len() {
            0 => Err(FindError::Unknown { name: name.to_owned(), dir }),
            1 => Ok(runs.remove(0)),
            _ => Err(FindError::Several { name: name.to_owned(), runs: runs.into_iter().map(|r| r.id).collect() }),
        }
    }
}

/// When a run began, by the first record of its journal; none if that cannot be read.
fn began(journal: &Path) -> Option<u64> {
    match Reader::open(journal).ok()?.next()?.ok()?.body {
        Body::Header(header) => Some(header.part.at),
        _ => None,
    }
}

/// A new run's name, by local time: `20260314-0314-k7`. That no other has it shows when its journal is created.
pub fn new_run_id(now_millis: u64) -> String {
    // No vowels, so no words; nothing that looks like something else.
    const LETTERS: &[u8; 24] = b"bcdfghjkmnpqrstvwxz23456";
    let random = Array::<u8, U2>::try_generate().map_or([0, 0], |a| a.0);
    let letters: String = random.iter().map(|b| char::from(LETTERS[usize::from(*b) % 24])).collect();
    format!("{}-{letters}", local_time(now_millis, "%Y%m%d-%H%M"))
}

/// A moment in local time, in strftime's format.
pub fn local_time(millis: u64, format: &str) -> String {
    Local.timestamp_millis_opt(millis as i64).single().unwrap_or_default().format(format).to_string()
}

/// Makes a folder for this user alone, with those above it that are missing.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// What is wrong with who may read a journal, in a sentence; none where only its owner may.
pub fn exposed(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o077;
    (mode != 0).then(|| {
        format!(
            "{} can be read by others: its filesystem keeps no permissions. No secret is in it in clear, but names, \
             commands and results are",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_xdg() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
        };
        let both = StateDir::find(env(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")])).unwrap();
        assert_eq!(both.journal("r"), Path::new("/s/stx-upgrade/runs/r.journal"));
        let home = StateDir::find(env(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")])).unwrap();
        assert_eq!(home.key(), Path::new("/h/.local/state/stx-upgrade/seal.key"));
        assert_eq!(StateDir::find(env(&[])), None);
    }

    #[test]
    fn ids_carry_the_time() {
        let id = new_run_id(1_773_458_040_000);
        assert_eq!(id.len(), 16);
        assert!(id.starts_with("202603"), "{id}");
        let many: std::collections::HashSet<_> = (0..64).map(|_| new_run_id(0)).collect();
        assert!(many.len() > 32);
    }

    #[test]
    fn runs_are_found_by_name_part_and_path() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("s"));
        assert!(matches!(state.run(None), Err(FindError::None(_))));
        private_dir(&state.runs_dir()).unwrap();
        for id in ["20260101-0000-aa", "20260102-0000-bb", "20260102-0001-cc"] {
            fs::write(state.journal(id), "").unwrap();
        }
        let elsewhere = dir.path().join("usb.journal");
        fs::write(&elsewhere, "").unwrap();
        state.remember("20260103-0000-dd", &elsewhere).unwrap();
        state.remember("20260103-0000-dd", &elsewhere).unwrap();
        assert_eq!(state.run(None).unwrap().id, "20260103-0000-dd");
        assert_eq!(state.run(Some("bb")).unwrap().id, "20260102-0000-bb");
        assert_eq!(state.run(elsewhere.to_str()).unwrap().journal, elsewhere);
        assert!(matches!(state.run(Some("20260102")), Err(FindError::Several { runs, .. }) if runs.len() == 2));
        assert!(matches!(state.run(Some("zz")), Err(FindError::Unknown { .. })));
    }
}
