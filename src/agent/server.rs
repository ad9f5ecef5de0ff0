//! The server of a run on a host: one process in its own session, one socket, one engine at a time.

use std::fs::Permissions;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::attach::SOCKET;
use super::desk::Desk;
use super::{Kit, place};
use crate::action::host_call::Hosts;
use crate::action::wire::{Frame, FromAgent, ToAgent, VERSION};

/// An agent that still owes the engine a result stays this many times as long: four hours, for an operator who comes
/// back in the morning to learn what became of the night's last step.
const OWING: u32 = 16;

/// The user at the other end of a socket.
pub fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(&stream, PeerCredentials)?.uid())
}

/// The role `agent serve`: detaches, says `ok` or why not on standard output, and serves until the run ends or nobody
/// has come for `idle`.
pub fn serve<H: Hosts>(run: &str, root: &Path, idle: Duration, kit: Kit<H>) -> io::Result<()> {
    // Its own session: no hang-up, no Ctrl-C and no end of the login reaches it.
    nix::unistd::setsid()?;
    // No core dump and no other process of this user may read passwords from its memory.
    nix::sys::prctl::set_dumpable(false)?;
    place::sweep();
    let started = take_place(run, root);
    let said = match &started {
        Ok(_) => "ok".to_owned(),
        Err(e) => format!("{}: {e}", root.display()),
    };
    io::stdout().write_all(said.as_bytes())?;
    io::stdout().flush()?;
    nix::unistd::dup2_stdout(std::fs::File::open("/dev/null")?)?;
    let Some((home, listener)) = started? else { return Ok(()) };

    let desk = Desk::open(kit, &home.dir, run)?;
    let (wake, woken) = UnixStream::pair()?;
    let server = Server { desk, run: run.to_owned(), last: Mutex::new(None), leaving: AtomicBool::new(false), wake };
    let server = Arc::new(server);
    let ended = server.clone().listen(&listener, &woken, idle);
    // Before the server and its streams: their end tells the engine that all is gone.
    drop(home);
    drop(server);
    ended
}

/// `Ok(None)`: another server has the place, and listens.
fn take_place(run: &str, root: &Path) -> io::Result<Option<(place::Home, UnixListener)>> {
    let socket = place::run_dir(root, run).join(SOCKET);
    let mut tries = 0;
    let home = loop {
        match place::Home::take(root, run)? {
            Some(home) => break home,
            // Another server has it, which holds the lock from before it listens; or a sweep has it, for a moment.
            None if socket.exists() => return Ok(None),
            None if tries == 100 => return Err(io::Error::other("another agent of this run does not come to listen")),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        tries += 1;
    };
    let before = std::env::current_dir();
    std::env::set_current_dir(&home.dir)?;
    let listener = UnixListener::bind(SOCKET).and_then(|l| {
        std::fs::set_permissions(SOCKET, Permissions::from_mode(0o600))?;
        Ok(l)
    });
    // Commands start where a login would have started them.
    std::env::set_current_dir(before.as_deref().unwrap_or(Path::new("/")))?;
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(Some((home, listener)))
}

struct Server<H: Hosts> {
    desk: Arc<Desk<H>>,
    run: String,
    /// The connection that is served, and its number.
    last: Mutex<Option<(u64, UnixStream)>>,
    leaving: AtomicBool,
    /// Wakes the listening thread when this changes.
    wake: UnixStream,
}

impl<H: Hosts> Server<H> {
    fn listen(self: Arc<Self>, listener: &UnixListener, woken: &UnixStream, idle: Duration) -> io::Result<()> {
        let mut alone_since = Instant::now();
        let mut number = 0;
        loop {
            let busy = self.desk.tick();
            if self.leaving.load(Ordering::Acquire) && !busy {
                break;
            }
            if busy || self.desk.outbox.is_connected() {
                alone_since = Instant::now();
            }
            let patience = if self.desk.owes() { idle * OWING } else { idle };
            if alone_since.elapsed() >= patience {
                break;
            }
            // A second at most: deadlines of calls are looked after in `tick`.
            let wait = Duration::from_secs(1).min(idle);
            let mut fds = [listener.as_fd(), woken.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
            if let Ok((stream, _)) = listener.accept() {
                number += 1;
                let server = self.clone();
                std::thread::spawn(move || server.serve(stream, number));
            }
        }
        self.desk.close();
        Ok(())
    }

    /// One connection, to its end.
    fn serve(&self, stream: UnixStream, number: u64) {
        let ended = self.welcome(&stream, number).and_then(|mut reader| {
            let done = self.desk.listen(&mut reader);
            if matches!(done, Ok(true)) {
                self.leaving.store(true, Ordering::Release);
                (&self.wake).write_all(b"!")?;
                // The end of the stream is the answer to Bye: it comes with the end of this process, when nothing is
                // left here. Where work goes on the engine need not wait for it.
                return if self.desk.tick() { Ok(false) } else { Ok(true) };
            }
            Ok(false)
        });
        self.desk.outbox.disconnect(number);
        if !matches!(ended, Ok(true)) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Checks who is there, answers, and makes it the connection that is served; an older one is cut off, for its
    /// engine is this one, come back.
    fn welcome<'a>(&self, stream: &'a UnixStream, number: u64) -> io::Result<impl Read + use<'a, H>> {
        let refuse = |why: String| -> io::Result<_> {
            (&mut &*stream).write_all(&Frame::message(&FromAgent::Refused { why: why.clone() })?.encode())?;
            Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
        };
        let own = nix::unistd::geteuid().as_raw();
        match peer(stream)? {
            0 => {}
            uid if uid == own => {}
            uid => return refuse(format!("this agent serves user {own} alone, not {uid}")),
        }
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        let hello = Frame::read(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match hello.parse()? {
            ToAgent::Hello { version, .. } if version != VERSION => {
                return refuse(format!(
                    "the agent of this run speaks version {VERSION} and this stx-upgrade version {version}; resume the run \
                     with the stx-upgrade that started it, or end process {} on the host",
                    std::process::id()
                ));
            }
            ToAgent::Hello { run, .. } if run != self.run => {
                return refuse(format!("this agent serves the run {}, not {run}", self.run));
            }
            ToAgent::Hello { .. } => {}
            _ => return refuse("the first message was no hello".to_owned()),
        }
        stream.set_read_timeout(None)?;
        let mut writer = stream.try_clone()?;
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, older)) = last.take() {
                let _ = older.shutdown(Shutdown::Both);
            }
            *last = Some((number, stream.try_clone()?));
            self.desk.greet(number);
        }
        let desk = self.desk.clone();
        std::thread::Builder::new().spawn(move || desk.outbox.drain(number, &mut writer))?;
        Ok(reader)
    }
}
