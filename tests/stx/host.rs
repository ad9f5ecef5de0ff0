//! A host for the tests: files in memory, and programs that answer what the case says.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stx_upgrade::action::command::{Command, Output};
use stx_upgrade::action::host::{Act, Effect, FileKind, HostError, Look, Space, Stat};
use stx_upgrade::model::event::Wait;
use stx_upgrade::model::value::Value;

/// The host of a case. In a check run it records like a preview: nothing is run, effects become suppositions and files.
#[derive(Default)]
pub struct FakeHost {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Answers by the command's words; the last of several stays.
    pub answers: BTreeMap<String, VecDeque<Output>>,
    pub supposed: BTreeMap<String, Value>,
    pub check: bool,
    /// What was run, in order, as words.
    pub ran: Vec<String>,
    pub free: u64,
    /// How often something slept.
    pub sleeps: u32,
}

/// A command as its words: the shell line that loads the credentials is left out.
fn words(command: &Command) -> String {
    let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
    let rest = match argv[..] {
        ["/bin/bash", "-c", script, ref rest @ ..] if script.ends_with("exec \"$0\" \"$@\"") => rest,
        _ => &argv,
    };
    rest.iter().filter(|w| **w != "--nowrap").copied().collect::<Vec<_>>().join(" ")
}

impl FakeHost {
    fn answer(&mut self, command: &Command) -> Result<Output, HostError> {
        let words = words(command);
        let Some(answers) = self.answers.get_mut(&words) else {
            return Err(HostError::NoProgram(format!("{words} (the case has no answer for it)")));
        };
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(answer.unwrap_or_default())
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Suppose(key, value) => drop(self.supposed.insert(key.clone(), value.clone())),
            Effect::Wiped { keep } => {
                self.files.retain(|p, _| keep.iter().any(|k| p.starts_with(k)));
                self.supposed.clear();
            }
            Effect::File { path, content, .. } => drop(self.files.insert(path.clone(), content.clone())),
            Effect::Gone(path) => self.files.retain(|p, _| !p.starts_with(path)),
            Effect::Restored { .. } | Effect::Dir { .. } => {}
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.files.keys().any(|p| p.starts_with(path) && p != path)
    }
}

fn stat_of(kind: FileKind, size: u64) -> Stat {
    Stat {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        modified: 0.0,
        accessed: 0.0,
        changed: 0.0,
        inode: 1,
        device: 1,
        links: 1,
        blocks: 0,
        block_size: 4096,
        device_type: 0,
    }
}

impl Look for FakeHost {
    fn stat(&mut self, path: &Path, _: bool) -> Result<Option<Stat>, HostError> {
        Ok(match self.files.get(path) {
            Some(content) => Some(stat_of(FileKind::File, content.len() as u64)),
            None => self.is_dir(path).then(|| stat_of(FileKind::Directory, 0)),
        })
    }
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, HostError> {
        self.files.get(path).cloned().ok_or_else(|| HostError::NotFound(path.to_owned()))
    }
    fn open(&mut self, path: &Path) -> Result<Box<dyn Read + Send>, HostError> {
        Ok(Box::new(io::Cursor::new(self.read(path)?)))
    }
    fn list(&mut self, dir: &Path) -> Result<Vec<String>, HostError> {
        if !self.is_dir(dir) {
            return Err(HostError::NotFound(dir.to_owned()));
        }
        let below = self.files.keys().filter_map(|p| p.strip_prefix(dir).ok()?.components().next());
        let mut names: Vec<String> = below.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        names.dedup();
        Ok(names)
    }
    fn read_link(&mut self, path: &Path) -> Result<PathBuf, HostError> {
        Err(HostError::NotFound(path.to_owned()))
    }
    fn space(&mut self, _: &Path) -> Result<Space, HostError> {
        Ok(Space { total: 1 << 40, free: self.free, inodes_free: 1 << 20 })
    }
    fn query(&mut self, command: &Command) -> Result<Output, HostError> {
        self.answer(command)
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn supposed(&self, key: &str) -> Option<Value> {
        self.supposed.get(key).cloned()
    }
    fn heartbeat(&mut self, _: &Wait) -> Result<(), HostError> {
        Ok(())
    }
    /// Time passes at once; a wait that never ends is ended.
    fn sleep(&mut self, time: Duration) -> Result<(), HostError> {
        if self.check {
            return Err(HostError::NotKnowable("what has to be waited for".into()));
        }
        self.sleeps += 1;
        if self.sleeps > 500 {
            return Err(HostError::Deadline { what: "the case's wait".into(), after: time });
        }
        Ok(())
    }
    fn time_left(&self) -> Duration {
        Duration::from_secs(3600)
    }
    fn blob(&mut self, sha256: &str) -> Result<Box<dyn Read + Send>, HostError> {
        Err(HostError::NeedBlob(sha256.to_owned()))
    }
    fn scratch(&mut self) -> Result<PathBuf, HostError> {
        Ok("/run/scratch".into())
    }
}

impl Act for FakeHost {
    fn write(&mut self, path: &Path, content: &mut dyn Read, _: Option<u32>) -> Result<(), HostError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| HostError::io("writing", path, e))?;
        self.files.insert(path.to_owned(), bytes);
        Ok(())
    }
    fn make_dir(&mut self, _: &Path, _: Option<u32>) -> Result<(), HostError> {
        Ok(())
    }
    fn make_symlink(&mut self, _: &Path, _: &Path) -> Result<(), HostError> {
        Ok(())
    }
    fn make_hard_link(&mut self, _: &Path, _: &Path) -> Result<(), HostError> {
        Ok(())
    }
    fn remove(&mut self, path: &Path) -> Result<(), HostError> {
        self.files.retain(|p, _| !p.starts_with(path));
        Ok(())
    }
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), HostError> {
        let content = self.files.remove(from).ok_or_else(|| HostError::NotFound(from.to_owned()))?;
        self.files.insert(to.to_owned(), content);
        Ok(())
    }
    fn set_mode(&mut self, _: &Path, _: u32) -> Result<(), HostError> {
        Ok(())
    }
    fn set_owner(&mut self, _: &Path, _: Option<u32>, _: Option<u32>) -> Result<(), HostError> {
        Ok(())
    }
    fn set_times(&mut self, _: &Path, _: Option<f64>, _: Option<f64>) -> Result<(), HostError> {
        Ok(())
    }
    fn run(&mut self, command: &Command) -> Result<Output, HostError> {
        if self.check {
            return Err(HostError::NotKnowable(words(command)));
        }
        self.run_expecting(command, &[])
    }
    fn run_expecting(&mut self, command: &Command, effects: &[Effect]) -> Result<Output, HostError> {
        let stdin = command.stdin.as_ref().map(|s| format!(" < {:?}", String::from_utf8_lossy(s)));
        self.ran.push(words(command) + stdin.as_deref().unwrap_or_default());
        if self.check {
            for effect in effects {
                self.apply(effect);
            }
            return Ok(Output { supposed: true, ..Output::default() });
        }
        self.answer(command)
    }
    fn outside(&mut self, what: &str) -> Result<(), HostError> {
        panic!("outside: {what}")
    }

    fn as_look(&mut self) -> &mut dyn Look {
        self
    }
}
