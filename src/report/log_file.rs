//! Ansible's `log_path`: plain lines, each with its time, process, user and level, added to a file. What the lines say is
//! `plain`'s.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file that lines are added to, for its owner alone to read if it is new.
pub struct LogFile {
    file: File,
    /// `p=… u=… n=ansible`, the same in every line.
    who: String,
    /// The line that has not ended yet.
    line: Vec<u8>,
}

impl LogFile {
    /// Opens the file, or makes it; fails where it cannot be written.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let user = user.map_or_else(|| nix::unistd::getuid().to_string(), |u| u.name);
        Ok(LogFile { file, who: format!("p={} u={user} n=ansible", std::process::id()), line: Vec::new() })
    }

    /// The same file for another stream.
    pub fn again(&self) -> io::Result<LogFile> {
        Ok(LogFile { file: self.file.try_clone()?, who: self.who.clone(), line: Vec::new() })
    }
}

impl Write for LogFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for part in text.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
                let mut stamped = format!("{now} {} {}| ", self.who, level(&line)).into_bytes();
                stamped.extend(line);
                // In one piece: other runs may add lines to it.
                self.file.write_all(&stamped)?;
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The level of a line, by how it begins.
fn level(line: &[u8]) -> &'static str {
    let begins = |word: &str| line.starts_with(word.as_bytes());
    match () {
        () if begins("fatal:") || begins("failed:") || begins("[ERROR]") => "ERROR",
        () if begins("[WARNING]") => "WARNING",
        () => "INFO",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::open(&path).unwrap();
        write!(log, "TASK [x] ").unwrap();
        write!(log, "***\nok: [a]\n").unwrap();
        writeln!(log.again().unwrap(), "[WARNING]: careful").unwrap();
        writeln!(log, "fatal: [a]: FAILED!").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let ends: Vec<&str> = text.lines().map(|l| l.split_once(" n=ansible ").unwrap().1).collect();
        assert_eq!(
            ends,
            ["INFO| TASK [x] ***", "INFO| ok: [a]", "WARNING| [WARNING]: careful", "ERROR| fatal: [a]: FAILED!"]
        );
    }
}
