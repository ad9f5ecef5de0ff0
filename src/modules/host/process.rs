//! Runs one program on this host: in a process group of its own, fed and drained at once, bounded in time and memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{AccessFlags, Pid, access};

use crate::action::command::{Command, Output};
use crate::action::host::HostError;
use crate::action::host_call::CallContext;

/// Bytes of each output stream that are kept; what comes after is read and dropped, so that the program goes on.
pub const OUTPUT_LIMIT: usize = 16 << 20;

/// A line of output is passed on at most this often.
const OUTPUT_EVERY: Duration = Duration::from_millis(250);

/// Runs a program to its end. A program that leaves children behind which hold its output open is not waited for
/// beyond its own end.
pub fn run(command: &Command, context: &CallContext) -> Result<Output, HostError> {
    let Some(program) = command.argv.first() else {
        return Err(HostError::NoProgram(String::new()));
    };
    context.check(program)?;
    if let Some(dialogue) = &command.terminal {
        present(program, command, context)?;
        return super::terminal::run(command, dialogue, context);
    }
    let mut child = start(command, program, context)?;
    let group = context.cancel.guard(child.id());
    let limit = command.timeout.unwrap_or(Duration::MAX);
    let own_end = Instant::now().checked_add(limit);
    let (result, finished) = attend(&mut child, command, context, own_end);
    if !finished {
        // Its deadline, a cancelled call, or a broken pipe: nothing of it may go on.
        group.end();
    }
    let status = child.wait().map_err(|e| failed(program, e))?;
    let mut output = result?;
    if !finished {
        context.check(program)?;
        return Err(HostError::Deadline { what: command.argv.join(" "), after: limit });
    }
    output.rc = code(status);
    Ok(output)
}

/// The exit code of a program that ended.
pub(super) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Whether a program is there to be started by another, which would not say so.
fn present(program: &str, command: &Command, context: &CallContext) -> Result<(), HostError> {
    let runs = |path: &Path| access(path, AccessFlags::X_OK).is_ok() && path.is_file();
    let set = context.env.iter().chain(&command.env).rev().find(|(n, _)| n == "PATH").map(|(_, v)| v.into());
    let path: OsString = set.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| "/usr/bin:/bin".into());
    let here = command.dir.as_deref().unwrap_or(Path::new(""));
    let found = match program.contains('/') {
        true => runs(&here.join(program)),
        false => std::env::split_paths(&path).any(|d| runs(&d.join(program))),
    };
    if found { Ok(()) } else { Err(HostError::NoProgram(program.to_owned())) }
}

/// A program with its arguments, environment and directory, not yet its input and output.
pub(super) fn starter(
    command: &Command,
    program: &str,
    context: &CallContext,
) -> Result<std::process::Command, HostError> {
    let mut starter = std::process::Command::new(program);
    starter.args(&command.argv[1..]);
    for (name, value) in context.env.iter().chain(&command.env) {
        starter.env(name, value);
    }
    if let Some(dir) = &command.dir {
        std::fs::metadata(dir).map_err(|e| HostError::io(format!("changing to {}", dir.display()), dir, e))?;
        starter.current_dir(dir);
    }
    Ok(starter)
}

/// What it means that a program could not be started.
pub(super) fn not_started(program: &str, e: io::Error) -> HostError {
    match e.kind() {
        io::ErrorKind::NotFound => HostError::NoProgram(program.to_owned()),
        io::ErrorKind::PermissionDenied => HostError::Denied { what: format!("running {program}") },
        _ => failed(program, e),
    }
}

fn start(command: &Command, program: &str, context: &CallContext) -> Result<Child, HostError> {
    let mut starter = starter(command, program, context)?;
    let stdin = if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    starter.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    starter.spawn().map_err(|e| not_started(program, e))
}

pub(super) fn failed(program: &str, source: io::Error) -> HostError {
    HostError::Io { what: format!("running {program}"), source }
}

/// Feeds and drains a program until it ends. The flag is false if it has to be ended.
fn attend(
    child: &mut Child,
    command: &Command,
    context: &CallContext,
    own_end: Option<Instant>,
) -> (Result<Output, HostError>, bool) {
    let program = &command.argv[0];
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, tell) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return (Err(failed(program, e)), false),
    };
    // Waits without reaping: until `run` reaps it, the process id cannot become another's, so ending the group is safe.
    std::thread::spawn(move || {
        let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        drop(tell);
    });
    let mut feed = child.stdin.take().zip(command.stdin.as_deref());
    let mut out = Drain::new(child.stdout.take().map(|s| File::from(std::os::fd::OwnedFd::from(s))));
    let mut err = Drain::new(child.stderr.take().map(|s| File::from(std::os::fd::OwnedFd::from(s))));
    let mut told = Instant::now();
    if let Err(e) =
        [feed.as_ref().map(|f| f.0.as_fd()), out.fd(), err.fd()].into_iter().flatten().try_for_each(no_block)
    {
        return (Err(failed(program, e)), false);
    }
    loop {
        let left = own_end.map_or(Duration::MAX, |e| e.saturating_duration_since(Instant::now()));
        let left = left.min(context.time_left());
        if left.is_zero() || context.cancel.is_cancelled() {
            return (Ok(Output::default()), false);
        }
        // Cancelling ends the group, which ends this wait; the short timeout is for a call with nothing to end.
        let timeout = PollTimeout::try_from(left.min(Duration::from_secs(1))).unwrap_or(PollTimeout::MAX);
        let mut waits = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        waits.extend([out.fd(), err.fd()].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        waits.extend(feed.as_ref().map(|f| PollFd::new(f.0.as_fd(), PollFlags::POLLOUT)));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return (Err(failed(program, e.into())), false),
        }
        let over = waits[0].any().unwrap_or(false);
        if let Some((pipe, rest)) = &mut feed {
            match pipe.write(rest) {
                Ok(n) => *rest = &rest[n..],
                Err(e) if again(&e) => {}
                // It does not read its input to the end: its own affair.
                Err(_) => *rest = &[],
            }
            if rest.is_empty() {
                feed = None;
            }
        }
        let read = out.pull().and_then(|()| err.pull());
        if let Err(e) = read {
            return (Err(failed(program, e)), false);
        }
        if told.elapsed() >= OUTPUT_EVERY
            && let Some(line) = out.last_line().or_else(|| err.last_line())
        {
            told = Instant::now();
            context.progress.output(&line);
        }
        if over {
            let output = Output { cut: out.cut || err.cut, stdout: out.kept, stderr: err.kept, ..Output::default() };
            return (Ok(output), true);
        }
    }
}

fn no_block(fd: BorrowedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

fn again(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// One output stream, and what is kept of it.
struct Drain {
    pipe: Option<File>,
    kept: Vec<u8>,
    cut: bool,
    /// How much of `kept` was told already.
    told: usize,
}

impl Drain {
    fn new(pipe: Option<File>) -> Drain {
        Drain { pipe, kept: Vec::new(), cut: false, told: 0 }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there.
    fn pull(&mut self) -> io::Result<()> {
        let mut buffer = [0u8; 64 << 10];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    let room = OUTPUT_LIMIT - self.kept.len();
                    self.kept.extend_from_slice(&buffer[..n.min(room)]);
                    if n > room {
                        self.cut = true;
                        // A program that prints without end must not keep us from its deadline.
                        return Ok(());
                    }
                }
                Err(e) if again(&e) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The last whole line that has not been told yet.
    fn last_line(&mut self) -> Option<String> {
        let fresh = &self.kept[self.told..];
        let end = fresh.iter().rposition(|b| *b == b'\n')?;
        let start = fresh[..end].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let line = String::from_utf8_lossy(&fresh[start..end]).trim_end().to_owned();
        self.told += end + 1;
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::host::real::tests::context;

    fn sh(line: &str) -> Result<Output, HostError> {
        run(&Command::shell(line), &context())
    }

    #[test]
    fn output_rc_and_input() {
        let out = sh("printf 'a\\377b'; echo oops >&2; exit 3").unwrap();
        assert_eq!((out.rc, out.stdout.as_slice(), out.error_text().as_str()), (3, &b"a\xffb"[..], "oops\n"));
        let big = vec![b'x'; 1 << 20];
        let out = run(&Command::new(["cat"]).stdin(big.clone()), &context()).unwrap();
        assert_eq!(out.stdout, big, "fed and drained at once");
        assert_eq!(run(&Command::new(["true"]).stdin(big), &context()).unwrap().rc, 0, "input that nobody reads");
        assert_eq!(sh("kill -9 $$").unwrap().rc, 137);
    }

    #[test]
    fn without_the_program() {
        let e = run(&Command::new(["/no/such/program"]), &context()).unwrap_err();
        assert!(matches!(e, HostError::NoProgram(_)), "{e}");
        let mut c = Command::new(["true"]);
        c.dir = Some("/no/such/dir".into());
        assert!(matches!(run(&c, &context()).unwrap_err(), HostError::NotFound(_)));
    }

    #[test]
    fn a_chatty_program_is_cut_and_goes_on() {
        let out = sh("head -c 20000000 /dev/zero; echo end >&2").unwrap();
        assert_eq!((out.stdout.len(), out.cut, out.error_text().as_str()), (OUTPUT_LIMIT, true, "end\n"));
    }

    #[test]
    fn a_deadline_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("alive");
        let line = format!("(sleep 0.4; touch {}) & sleep 60", flag.display());
        let e = run(&Command::shell(line).timeout(Duration::from_millis(100)), &context()).unwrap_err();
        assert!(matches!(e, HostError::Deadline { .. }), "{e}");
        std::thread::sleep(Duration::from_millis(600));
        assert!(!flag.exists(), "a grandchild went on");
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_is_not_waited_for() {
        let start = Instant::now();
        let out = sh("sleep 5 & echo started").unwrap();
        assert_eq!(out.text(), "started\n");
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}
