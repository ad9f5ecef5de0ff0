//! A program to run on a host, and what came of it. Running it is the host handle's.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A program with its arguments. Nothing goes through a shell unless `argv` names one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub argv: Vec<String>,
    /// Added to the environment of the agent.
    pub env: Vec<(String, String)>,
    pub dir: Option<PathBuf>,
    pub stdin: Option<Vec<u8>>,
    /// Given up after this time, its whole process group ended; none: the call's own deadline applies.
    pub timeout: Option<Duration>,
    /// Run it at a terminal of its own, and answer there; `timeout` is then for each question.
    pub terminal: Option<Dialogue>,
}

/// What is answered at a terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    /// Regular expressions of what it asks, each with what is typed: one text each time, or one after another.
    pub answers: Vec<(String, Vec<String>)>,
    /// Whether the terminal shows what is typed.
    pub echo: bool,
}

impl Command {
    /// A program and its arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command { argv: argv.into_iter().map(Into::into).collect(), ..Command::default() }
    }

    /// A line for `/bin/sh -c`.
    pub fn shell(line: impl Into<String>) -> Command {
        Command::new(["/bin/sh".into(), "-c".into(), line.into()])
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Command {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self.stdin = Some(bytes.into());
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Command {
        self.timeout = Some(timeout);
        self
    }
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Exit code; 128 + signal number where a signal ended it.
    pub rc: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Output was longer than is kept, and was cut.
    pub cut: bool,
    /// Check run: the program was not run; its effect was recorded.
    pub supposed: bool,
}

impl Output {
    /// Standard output as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; bytes that are no UTF-8 are replaced.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub fn success(&self) -> bool {
        self.rc == 0
    }
}
