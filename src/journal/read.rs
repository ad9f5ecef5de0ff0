//! Reads a journal record by record, and says precisely where one is damaged. Writes nothing and needs no lock, so a
//! journal can be shown while its run goes on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::line::{self, Chain, Fault};
use super::record::{Answer, Body, FORMAT};
use super::recover::Done;
use super::seal::{NotAvailable, Sealer};

/// No line is longer.
const LONGEST: u64 = 256 << 20;

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// From 1; the header is 1.
    pub number: u64,
    pub place: Place,
    pub body: Body,
}

/// The bytes of a line in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    /// Without its newline.
    pub length: u32,
}

/// A record that cannot be believed. Nothing after it can be, either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {number} (byte {offset}, {length} bytes): {fault}")]
pub struct Damage {
    pub number: u64,
    pub offset: u64,
    pub length: u64,
    pub fault: Fault,
}

/// A last line that was not written to its end: the run was cut off in it, before anyone relied on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The number it would have had.
    pub number: u64,
    pub offset: u64,
    pub length: u64,
}

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} (byte {}, {} bytes) was not written to its end", self.number, self.offset, self.length)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no journal of a run", .path.display())]
    NotAJournal { path: PathBuf },
    #[error("{}: {damage}", .path.display())]
    Damaged { path: PathBuf, damage: Damage },
}

/// Reads records in order. After a damaged one there are no more.
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    chain: Chain,
    /// Of the last whole record: where the next one goes.
    end: u64,
    records: u64,
    format: u32,
    torn: Option<Torn>,
    done: bool,
    damaged: bool,
    line: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// Opens the journal at `path`.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(Reader::new(BufReader::with_capacity(1 << 16, file), path))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from anywhere; `path` is for messages.
    pub fn new(input: R, path: &Path) -> Reader<R> {
        Reader {
            input,
            path: path.to_owned(),
            chain: Chain::start(),
            end: 0,
            records: 0,
            format: FORMAT,
            torn: None,
            done: false,
            damaged: false,
            line: Vec::new(),
        }
    }

    /// What was left of a last line, once all records are read.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// After the last record: looks for more, which the run may have written since. A damaged journal stays damaged.
    pub fn look_again(&mut self) {
        self.done = self.damaged;
    }

    /// The format that the header named.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// Whole records read, the bytes they take, and the chain after them.
    pub fn state(&self) -> (u64, u64, Chain) {
        (self.records, self.end, self.chain)
    }

    fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        let io = |source| ReadError::Io { path: self.path.clone(), source };
        // A line that was cut off may have been written to its end by now.
        let begun = self.torn.take();
        if begun.is_none() {
            self.line.clear();
        }
        (&mut self.input).take(LONGEST - self.line.len() as u64).read_until(b'\n', &mut self.line).map_err(io)?;
        let length = self.line.len() as u64;
        if length == 0 {
            return Ok(None);
        }
        let (number, offset) = (self.records + 1, self.end);
        let damaged = |fault| {
            let damage = Damage { number, offset, length, fault };
            ReadError::Damaged { path: self.path.clone(), damage }
        };
        if length == LONGEST {
            return Err(damaged(Fault::TooLong));
        }
        if number == 1 && !line::begins(&self.line) {
            return Err(ReadError::NotAJournal { path: self.path.clone() });
        }
        // Cut off, or, after a power cut, zeros: the file was made longer and what goes there not yet written.
        if self.line.last() != Some(&b'\n') {
            self.torn = Some(Torn { number, offset, length });
            return Ok(None);
        }
        let line = &self.line[..self.line.len() - 1];
        let mut chain = self.chain;
        let body = match chain.check(line).and_then(|bytes| self.understood(bytes, number)) {
            Ok(body) => body,
            Err(fault) => return Err(damaged(fault)),
        };
        if let Body::Header(header) = &body {
            self.format = header.format;
        }
        self.chain = chain;
        self.records = number;
        self.end += length;
        Ok(Some(Record { number, place: Place { offset, length: line.len() as u32 }, body }))
    }

    fn understood(&self, bytes: &[u8], number: u64) -> Result<Body, Fault> {
        match (line::parse(bytes), number) {
            (Ok(body @ Body::Header(_)), 1) => Ok(body),
            (Ok(Body::Header(_)), _) => Err(Fault::SecondHeader),
            (Ok(_), 1) => Err(Fault::NoHeader),
            // A newer program may say what this one does not know; it is passed over when shown.
            (Err(Fault::Content(_)), 2..) if self.format > FORMAT => Ok(Body::Unknown),
            (result, _) => result,
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_record().transpose();
        self.damaged = matches!(next, Some(Err(_)));
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// What a look over a whole journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    pub bytes: u64,
    pub torn: Option<Torn>,
    /// The chain is intact where there is none.
    pub damage: Option<Damage>,
}

/// Reads all of a journal and checks every record and the chain.
pub fn verify(path: &Path) -> Result<Verified, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut damage = None;
    for record in reader.by_ref() {
        match record {
            Ok(_) => {}
            Err(ReadError::Damaged { damage: found, .. }) => damage = Some(found),
            Err(e) => return Err(e),
        }
    }
    let (records, bytes, _) = reader.state();
    Ok(Verified { records, bytes, torn: reader.torn(), damage })
}

/// Gives back the answers of finished steps, read from the file when they are asked for, so that a long run's results
/// need not be held in memory. Can be shared between threads.
#[derive(Debug)]
pub struct Answers {
    file: File,
    path: PathBuf,
    sealer: Sealer,
}

/// Why an answer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The step has to run again.
    #[error(transparent)]
    NotAvailable(#[from] NotAvailable),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Answers {
    /// From the journal at `path`; `key` is the key file of what it seals.
    pub fn open(path: &Path, run: &str, key: &Path) -> Result<Answers, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(Answers { file, path: path.to_owned(), sealer: Sealer::new(key, run) })
    }

    /// What a step answered.
    pub fn answer(&self, done: &Done) -> Result<Answer, AnswerError> {
        let io = |source| ReadError::Io { path: self.path.clone(), source };
        let mut line = vec![0; done.place.length as usize];
        self.file.read_exact_at(&mut line, done.place.offset).map_err(io)?;
        // Its sum was checked when the journal was opened, and the lock keeps others from writing.
        let body = line::body_of(&line).and_then(line::parse);
        match body {
            Ok(Body::Finished(f)) => self.opened(*f),
            _ => {
                let (offset, length) = (done.place.offset, line.len() as u64);
                let damage = Damage { number: done.number, offset, length, fault: Fault::Shape };
                Err(ReadError::Damaged { path: self.path.clone(), damage }.into())
            }
        }
    }

    /// The answer in a record of a finished step.
    pub fn opened(&self, finished: super::record::Finished) -> Result<Answer, AnswerError> {
        let sealed = matches!(finished.answer, super::seal::Kept::Sealed(_));
        let answer = self.sealer.open(finished.key.as_str(), finished.answer)?;
        Ok(if sealed { line::coded(&answer, false) } else { answer })
    }

    /// The value of something decided.
    pub fn decided(&self, decided: &super::record::Decided) -> Result<crate::model::value::Value, NotAvailable> {
        let sealed = matches!(decided.value, super::seal::Kept::Sealed(_));
        let value = self.sealer.open(&line::decided_name(decided), decided.value.clone())?;
        Ok(if sealed { super::exact::decode(&value) } else { value })
    }
}
