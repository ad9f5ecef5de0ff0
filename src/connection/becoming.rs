//! What is said to a command while it runs, and what it says: its input given at once, or, where it is to run as another user,
//! the one answer to `sudo` or `su`. Why these refuse is [`elevate`]'s to explain.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::action::command::Output;
use crate::action::module::Become;
use crate::agent::elevate;
use crate::model::secret::Secret;
use crate::modules::shell_words::quote;

/// What is kept of each output; the rest is read and dropped.
const KEPT: usize = 16 << 20;

/// The line that says that the other user has been become; what comes after it is the command's own.
const BEGUN: &str = "STX-UPGRADE-BECAME";

/// A command line as one that runs as another user.
pub(super) fn line(become_: &Become, password: Option<&Secret>, line: &str) -> String {
    let begun = format!("echo {BEGUN}; {line}");
    let argv = elevate::command_line(become_, password.is_some(), &["/bin/sh", "-c", &begun]);
    let words: Vec<String> = argv.iter().map(|word| quote(word)).collect();
    match &become_.chdir {
        Some(dir) => format!("cd {} && {}", quote(dir), words.join(" ")),
        None => words.join(" "),
    }
}

/// What is said to a command.
#[derive(Clone, Copy)]
pub(super) enum Talk<'a> {
    /// All of its input.
    Feed(&'a [u8]),
    /// The password, once it asks for one; the command was made by [`line`].
    Answer(Option<&'a Secret>),
}

/// How a command began, for one that had to become another user first.
pub(super) enum Ended {
    Said,
    /// It never got there.
    Never {
        answered: bool,
    },
}

/// What a command has said.
#[derive(Default)]
pub(super) struct Said {
    stdout: Kept,
    stderr: Kept,
    never: Option<bool>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let room = bytes.len().min(KEPT - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        self.cut |= room < bytes.len();
    }

    /// Where a text ends that stands in it.
    fn after(&self, text: &str) -> Option<usize> {
        self.bytes.windows(text.len()).position(|w| w == text.as_bytes()).map(|at| at + text.len())
    }
}

impl Talk<'_> {
    /// Talks until both outputs have ended.
    pub(super) async fn with(
        self,
        stdin: Option<impl AsyncWrite + Unpin>,
        stdout: Option<impl AsyncRead + Unpin>,
        stderr: Option<impl AsyncRead + Unpin>,
    ) -> Said {
        let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) else { return Said::default() };
        match self {
            Talk::Feed(input) => {
                let mut said = Said::default();
                tokio::join!(
                    all(&mut stdout, &mut said.stdout),
                    all(&mut stderr, &mut said.stderr),
                    feed(stdin, input)
                );
                said
            }
            Talk::Answer(password) => answer(password, stdin, stdout, stderr).await,
        }
    }
}

async fn answer(
    password: Option<&Secret>,
    mut stdin: Option<impl AsyncWrite + Unpin>,
    mut stdout: impl AsyncRead + Unpin,
    mut stderr: impl AsyncRead + Unpin,
) -> Said {
    let mut said = Said::default();
    let mut begun = None;
    // How much of standard error was the question.
    let mut answered = None;
    let (mut out, mut err) = (true, true);
    let (mut from_out, mut from_err) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    while out || err {
        // A question that is not known is not waited for: with the end of its input it ends.
        let question = begun.is_none() && stdin.is_some() && said.stderr.bytes.last().is_some_and(|b| *b != b'\n');
        tokio::select! {
            read = stdout.read(&mut from_out), if out => match read {
                Ok(n @ 1..) => said.stdout.push(&from_out[..n]),
                _ => out = false,
            },
            read = stderr.read(&mut from_err), if err => match read {
                Ok(n @ 1..) => said.stderr.push(&from_err[..n]),
                _ => err = false,
            },
            () = tokio::time::sleep(elevate::QUESTION), if question => drop(stdin.take()),
        }
        begun = begun.or_else(|| said.stdout.after(&format!("{BEGUN}\n")));
        if begun.is_some() {
            stdin = None;
        } else if elevate::asks(&String::from_utf8_lossy(&said.stderr.bytes)) {
            // Asked again, it was wrong; asked without one to give, it is missing. The end of the input says so.
            if let (Some(to), Some(password)) = (stdin.take(), password) {
                answered = Some(said.stderr.bytes.len());
                feed(Some(to), format!("{}\n", password.reveal()).as_bytes()).await;
            }
        }
    }
    match begun {
        Some(end) => {
            said.stdout.bytes.drain(..end);
            said.stderr.bytes.drain(..answered.unwrap_or(0));
        }
        None => said.never = Some(answered.is_some()),
    }
    said
}

impl Said {
    /// With the exit code.
    pub(super) fn ended(self, rc: i32) -> (Output, Ended) {
        let Said { stdout, stderr, never } = self;
        let cut = stdout.cut || stderr.cut;
        let output = Output { rc, cut, stdout: stdout.bytes, stderr: stderr.bytes, supposed: false };
        (output, never.map_or(Ended::Said, |answered| Ended::Never { answered }))
    }
}

/// All that comes.
async fn all(from: &mut (impl AsyncRead + Unpin), kept: &mut Kept) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        kept.push(&buffer[..n]);
    }
}

/// Gives all of the input; a command that does not read it is no error.
async fn feed(to: Option<impl AsyncWrite + Unpin>, input: &[u8]) {
    if let Some(mut to) = to {
        let _ = to.write_all(input).await;
        let _ = to.flush().await;
    }
}
