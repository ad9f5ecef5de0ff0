//! Records to write, and a folder to write them in.

use std::fs;
use std::path::{Path, PathBuf};

use stx_upgrade::action::module::Recovery;
use stx_upgrade::dict;
use stx_upgrade::journal::key::{StepKey, StepPlace};
use stx_upgrade::journal::log::{Guard, Journal, JournalError, Opened};
use stx_upgrade::journal::read::{Answers, ReadError, Reader};
use stx_upgrade::journal::record::*;
use stx_upgrade::journal::recover::Recovered;
use stx_upgrade::model::event::{Event, Stamped, StepRef};
use stx_upgrade::model::outcome::Outcome;
use stx_upgrade::model::secret::Mask;
use stx_upgrade::model::source::Place;
use stx_upgrade::model::value::Value;

pub fn part(at: u64) -> Part {
    Part {
        number: 1,
        at,
        user: "ops".into(),
        host: "jump1".into(),
        pid: 4121,
        cwd: "/home/ops".into(),
        argv: vec!["stx-upgrade".into(), "play".into(), "upgrade.yml".into()],
        version: "0.1.0".into(),
    }
}

pub fn header() -> Header {
    Header {
        format: FORMAT,
        run: "20261121-0314-k7".into(),
        playbooks: vec![Input { name: "upgrade.yml".into(), path: None, sha256: "00".into() }],
        inventory: Vec::new(),
        options: dict! {"check" => false, "tags" => vec![Value::from("all")]},
        part: part(1_000),
    }
}

pub fn key(step: &str) -> StepKey {
    StepPlace { host: "controller-0".into(), step: step.into(), ..StepPlace::default() }.key()
}

pub fn step(id: &str) -> StepRef {
    StepRef {
        id: id.into(),
        name: format!("task {id}"),
        action: "command".into(),
        place: Place { file: "upgrade.yml".into(), line: 3, column: 5 },
        handler: false,
        number: Some(1),
    }
}

pub fn started(id: &str, attempt: u64) -> Body {
    Body::Started(Box::new(Started {
        key: key(id),
        attempt,
        host: "controller-0".into(),
        step: step(id),
        fingerprint: "f00d".into(),
        recovery: Recovery::Ask,
        boot_id: Some("b1".into()),
        at: 2_000 + attempt,
    }))
}

pub fn finished(id: &str, attempt: u64, answer: Answer) -> Body {
    Body::Finished(Box::new(Finished::new(key(id), Some(attempt), "f00d", 3_000 + attempt, answer)))
}

pub fn answer(text: &str) -> Answer {
    Answer { outcome: Outcome::changed(true).with("stdout", text), ..Answer::default() }
}

pub fn warning(text: &str) -> Body {
    Body::Event(Box::new(Stamped { at: 2_500, event: Event::Warning { text: text.into() } }))
}

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }
    pub fn journal(&self) -> PathBuf {
        self.0.path().join("state/runs/r.journal")
    }
    pub fn guard(&self) -> Guard {
        Guard { mask: Mask::default(), key: self.0.path().join("state/seal.key") }
    }
    pub fn create(&self) -> Journal {
        Journal::create(&self.journal(), header(), self.guard()).unwrap().0
    }
    pub fn open(&self) -> Result<Opened, JournalError> {
        Journal::open(&self.journal(), part(9_000), self.guard())
    }
    pub fn answers(&self) -> Answers {
        Answers::open(&self.journal(), &header().run, &self.guard().key).unwrap()
    }
}

/// Folds a file as far as it can be read.
pub fn fold(path: &Path) -> (Recovered, Option<ReadError>, bool) {
    let mut reader = Reader::open(path).unwrap();
    let mut recovered = Recovered::default();
    let mut error = None;
    for record in reader.by_ref() {
        match record {
            Ok(r) => recovered.take(r),
            Err(e) => error = Some(e),
        }
    }
    (recovered, error, reader.torn().is_some())
}

/// A small journal with one of each kind of record.
pub fn sample(folder: &Folder) -> Vec<u8> {
    let mut journal = folder.create();
    journal.append(&[started("a", 1), warning("ä"), finished("a", 1, answer("done")), started("b", 2)]).unwrap();
    fs::read(folder.journal()).unwrap()
}
