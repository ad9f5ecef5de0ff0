//! What the simulated command lines print: tables, refusals, exit codes.
//!
//! Everything here is text in, text out: no process, socket or clock. The rules behind the words live in
//! `crate::system`.

pub mod ceph;
pub mod fm;
pub mod host_commands;
pub mod kube_api;
pub mod kube_commands;
pub mod load_commands;
pub mod patch;
pub mod platform;
pub mod service_manager;
pub mod system;
pub mod table;
pub mod usage;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One invocation of a simulated command, as the host saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Invocation {
    /// Program name and arguments, as typed.
    pub argv: Vec<String>,
    /// Login name of the caller; of the caller behind `sudo` where there is one.
    pub user: String,
    /// Effective user id: many commands want 0.
    pub uid: u32,
    /// Working directory, for messages that name a full path.
    pub cwd: String,
    /// The caller's environment, only what the clients read (`OS_*`).
    pub env: BTreeMap<String, String>,
    /// Columns of the terminal as the real client would find them (80 if nothing says).
    pub width: usize,
    /// Facts about the host that the client meets on its way to the platform.
    pub local: Local,
    /// Lines the caller typed in answer to questions so far.
    pub answers: Vec<String>,
    /// Standard input ended before the next question was answered.
    pub eof: bool,
}

/// What the client process finds on its own host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Local {
    /// Units that run, by name.
    pub active_units: Vec<String>,
    /// PostgreSQL accepts connections.
    pub database: bool,
    /// Files read for the command, by the path as typed (`load-import`, `sw-patch upload`).
    pub files: BTreeMap<String, FileSeen>,
}

/// A file the client had to read, and what it saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FileSeen {
    /// The file is there and readable.
    pub exists: bool,
    /// SHA-256 of the content, hexadecimal.
    pub digest: String,
    /// The content, where it is small text (lossy).
    pub text: String,
}

/// What a command answers, or the question it asks first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Reply {
    /// Text for standard output.
    pub out: String,
    /// Text for standard error.
    pub err: String,
    /// Exit code.
    pub rc: i32,
    /// Ask this on standard output, read a line, and call again with the answer appended.
    pub ask: Option<String>,
    /// Print one `.` after each of that many milliseconds before the rest of the output.
    pub dots_ms: Vec<u64>,
    /// Wait that long, silently, before answering (a hanging command).
    pub hang_ms: u64,
}

impl Reply {
    /// Success with text on standard output.
    pub fn ok(out: impl Into<String>) -> Reply {
        Reply { out: out.into(), ..Reply::default() }
    }

    /// Failure with one line on standard error.
    pub fn fail(rc: i32, err: impl Into<String>) -> Reply {
        let mut err = err.into();
        if !err.ends_with('\n') {
            err.push('\n');
        }
        Reply { err, rc, ..Reply::default() }
    }

    /// Ask a question first.
    pub fn ask(question: impl Into<String>) -> Reply {
        Reply { ask: Some(question.into()), ..Reply::default() }
    }
}
