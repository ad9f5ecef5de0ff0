//! Runs one program at a terminal of its own and answers what it asks there: for programs that will not be asked by a pipe.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::process::{self, OUTPUT_LIMIT};
use crate::action::command::{Command, Dialogue, Output};
use crate::action::host::HostError;
use crate::action::host_call::CallContext;
use crate::modules::python_regex;

/// Some programs drop what was typed before they had set up their prompt.
const BEFORE_TYPING: Duration = Duration::from_millis(50);

/// Runs a program with this dialogue. The program leads a session of its own, with the terminal as its controlling one, so
/// that one that opens `/dev/tty` is served too.
pub fn run(command: &Command, dialogue: &Dialogue, context: &CallContext) -> Result<Output, HostError> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let failed = |e: nix::Error| process::failed(&program, e.into());
    let answers = Answers::new(dialogue)?;
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).map_err(failed)?;
    if !dialogue.echo {
        let mut mode = tcgetattr(&pty.slave).map_err(failed)?;
        mode.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &mode).map_err(failed)?;
    }
    let mut child = start(command, &program, pty.slave, context)?;
    let group = context.cancel.guard(child.id());
    let talk = Talk { master: File::from(pty.master), answers, limit: command.timeout };
    let result = talk.hold(&mut child, &program, context);
    if result.is_err() {
        group.end();
        // It may not have come to lead its group yet. Ended already is no error.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| process::failed(&program, e))?;
    let mut output = result?;
    output.rc = process::code(status);
    Ok(output)
}

/// `setsid` makes the terminal the controlling one, which takes a new process that has done nothing else yet.
fn start(command: &Command, program: &str, slave: OwnedFd, context: &CallContext) -> Result<Child, HostError> {
    let mut outer = Command { argv: vec!["setsid".into(), "--ctty".into()], ..command.clone() };
    outer.argv.extend(command.argv.iter().cloned());
    let mut starter = process::starter(&outer, "setsid", context)?;
    let copy = || slave.try_clone().map(Stdio::from).map_err(|e| process::failed(program, e));
    starter.stdin(copy()?).stdout(copy()?).stderr(copy()?);
    starter.spawn().map_err(|e| process::not_started("setsid", e))
}

/// What is answered to what.
struct Answers(Vec<Answer>);

struct Answer {
    written: String,
    asked: fancy_regex::Regex,
    /// What is typed, the next one first; one that answers every time is never used up.
    typed: Vec<String>,
    always: bool,
}

impl Answers {
    fn new(dialogue: &Dialogue) -> Result<Answers, HostError> {
        let answer = |(written, typed): &(String, Vec<String>)| {
            let asked = python_regex::compile(written, "s").map_err(|e| said("responses", &e))?;
            let mut typed = typed.clone();
            typed.reverse();
            Ok(Answer { written: written.clone(), asked, always: typed.len() == 1, typed })
        };
        dialogue.answers.iter().map(answer).collect::<Result<_, _>>().map(Answers)
    }

    /// The earliest question in a text: where it ends, and which answer it has.
    fn asked(&self, text: &str) -> Option<(usize, usize)> {
        let hits = self.0.iter().enumerate().filter_map(|(i, a)| {
            let hit = a.asked.find(text).ok().flatten()?;
            Some((hit.start(), i, hit.end()))
        });
        hits.min().map(|(_, i, end)| (end, i))
    }
}

fn said(what: &str, why: &str) -> HostError {
    HostError::Io { what: what.to_owned(), source: std::io::Error::other(why.to_owned()) }
}

struct Talk {
    master: File,
    answers: Answers,
    /// How long it may print nothing that is answered.
    limit: Option<Duration>,
}

impl Talk {
    fn hold(mut self, child: &mut Child, program: &str, context: &CallContext) -> Result<Output, HostError> {
        let mut output = Output::default();
        // What was printed since the last answer.
        let mut pending = String::new();
        let mut since = Instant::now();
        loop {
            context.check(program)?;
            if let Some(limit) = self.limit.filter(|limit| since.elapsed() >= *limit) {
                return Err(HostError::Deadline { what: program.to_owned(), after: limit });
            }
            let ended = child.try_wait().map_err(|e| process::failed(program, e))?.is_some();
            let read = self.read(ended, program)?;
            if let Some(bytes) = &read {
                let room = OUTPUT_LIMIT - output.stdout.len();
                output.cut |= bytes.len() > room;
                output.stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
                pending.push_str(&String::from_utf8_lossy(bytes));
            }
            if let Some((end, which)) = self.answers.asked(&pending) {
                self.answer(which, &pending, program)?;
                pending.drain(..end);
                since = Instant::now();
            } else if ended && read.is_none() {
                return Ok(output);
            }
        }
    }

    /// What it printed meanwhile; none if there is nothing.
    fn read(&mut self, ended: bool, program: &str) -> Result<Option<Vec<u8>>, HostError> {
        let timeout = PollTimeout::from(if ended { 0u8 } else { 100 });
        let mut waits = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(e) => return Err(process::failed(program, e.into())),
        }
        let mut buffer = [0u8; 16 << 10];
        match self.master.read(&mut buffer) {
            Ok(n) if n > 0 => Ok(Some(buffer[..n].to_vec())),
            // Nobody holds the other end any more: the program is about to end.
            Ok(_) | Err(_) => {
                if !ended {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(None)
            }
        }
    }

    fn answer(&mut self, which: usize, pending: &str, program: &str) -> Result<(), HostError> {
        let answer = &mut self.answers.0[which];
        let typed = if answer.always { answer.typed.last().cloned() } else { answer.typed.pop() };
        let Some(typed) = typed else {
            let why = format!("No remaining responses for '{}', output was '{pending}'", answer.written);
            return Err(said(program, &why));
        };
        std::thread::sleep(BEFORE_TYPING);
        let line = format!("{}\n", typed.trim_end_matches('\n'));
        self.master.write_all(line.as_bytes()).map_err(|e| process::failed(program, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::host::real::tests::context;

    fn talk(line: &str, answers: &[(&str, &[&str])], echo: bool) -> Result<Output, HostError> {
        let answers =
            answers.iter().map(|(q, a)| ((*q).to_owned(), a.iter().map(|a| (*a).to_owned()).collect())).collect();
        let mut command = Command::shell(line).timeout(Duration::from_secs(5));
        let dialogue = Dialogue { answers, echo };
        command.terminal = Some(dialogue.clone());
        run(&command, &dialogue, &context())
    }

    #[test]
    fn questions_are_answered_in_turn() {
        let line =
            "printf 'name? '; read n; printf 'again? '; read m; printf 'again? '; read o; echo \"<$n-$m-$o>\"; exit 3";
        let out = talk(line, &[("name", &["x"]), ("(?i)AGAIN", &["1", "2"])], false).unwrap();
        assert_eq!((out.rc, out.text().as_str()), (3, "name? again? again? <x-1-2>\r\n"));
    }

    #[test]
    fn a_password_is_read_from_the_terminal_itself() {
        let line = "exec < /dev/null; printf 'Password: ' > /dev/tty; read p < /dev/tty; echo \"got $p\"";
        assert!(talk(line, &[("Password", &["s"])], false).unwrap().text().ends_with("got s\r\n"));
    }

    #[test]
    fn too_many_questions_or_none() {
        let e = talk("while :; do printf 'more? '; read a; done", &[("more", &["1", "2"])], false).unwrap_err();
        assert!(e.to_string().contains("No remaining responses for 'more'"), "{e}");
        let mut command = Command::new(["sleep", "60"]).timeout(Duration::from_millis(50));
        let dialogue = Dialogue { answers: Vec::new(), echo: false };
        command.terminal = Some(dialogue.clone());
        assert!(matches!(run(&command, &dialogue, &context()).unwrap_err(), HostError::Deadline { .. }));
    }
}
