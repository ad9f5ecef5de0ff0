//! The bridge: finds or starts the run's server, and carries bytes between it and the link. It knows nothing of what
//! they say but the first words; when either side ends, it ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::place;
use crate::action::wire::{Frame, FromAgent, ToAgent, VERSION};

/// The server's socket in its directory. It is named from within: the path of a home may be longer than a socket's may.
pub const SOCKET: &str = "socket";

/// Serves one link: Hello to the server, then bytes both ways until one side is gone.
pub fn attach(run: &str, idle: Duration) -> io::Result<()> {
    match answered(run, idle) {
        Ok((server, first)) => bridge(server, &first),
        Err(e) => {
            let why = format!("the agent did not start: {e}");
            io::stdout().write_all(&Frame::message(&FromAgent::Refused { why })?.encode())?;
            Err(e)
        }
    }
}

/// A server that has said something. One that is being killed still takes connections for a moment: another try finds that it
/// is gone.
fn answered(run: &str, idle: Duration) -> io::Result<(UnixStream, Vec<u8>)> {
    for _ in 0..40 {
        let mut server = open(run, idle)?;
        let mut first = vec![0; 64 << 10];
        if let Ok(n @ 1..) = server.read(&mut first) {
            first.truncate(n);
            return Ok((server, first));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::other("it ends without a word"))
}

fn open(run: &str, idle: Duration) -> io::Result<UnixStream> {
    if !place::is_run_name(run) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{run}` is no name of a run")));
    }
    let mut server = match running(run) {
        Some(server) => server,
        None => {
            start(run, idle)?;
            running(run).ok_or_else(|| io::Error::other("it started and is gone again"))?
        }
    };
    // One that is gone by now says nothing either, which the caller sees.
    let _ = server.write_all(&Frame::message(&ToAgent::Hello { version: VERSION, run: run.to_owned() })?.encode());
    Ok(server)
}

fn running(run: &str) -> Option<UnixStream> {
    place::roots().iter().find_map(|root| connect(&place::run_dir(root, run)).ok())
}

/// Connects to the server in `dir`. Changes the working directory for a moment; this process has one thread then.
fn connect(dir: &Path) -> io::Result<UnixStream> {
    let before = std::env::current_dir();
    std::env::set_current_dir(dir)?;
    let stream = UnixStream::connect(SOCKET);
    std::env::set_current_dir(before.as_deref().unwrap_or(Path::new("/")))?;
    let stream = stream?;
    if super::server::peer(&stream)? != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's socket"));
    }
    Ok(stream)
}

/// Starts a server in the first place that serves, and waits until it listens.
fn start(run: &str, idle: Duration) -> io::Result<()> {
    let mut last = io::Error::other("this user has no place to work in");
    for root in place::roots() {
        let mut child = Command::new("/proc/self/exe")
            .arg0("stx-upgrade")
            .args(["agent", "serve", run])
            .arg(&root)
            .arg(idle.as_secs().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut said)?;
        }
        if said == "ok" {
            return Ok(());
        }
        child.wait()?;
        last = io::Error::other(if said.is_empty() { "it ended at once".to_owned() } else { said });
    }
    Err(last)
}

fn bridge(server: UnixStream, first: &[u8]) -> io::Result<()> {
    let mut up = server.try_clone()?;
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        let _ = carry(&mut io::stdin().lock(), &mut up);
        // The link is gone: the server sees the end, and so does the loop below.
        let _ = up.shutdown(Shutdown::Both);
    })?;
    // Standard output itself is a `LineWriter`, which would hold back the end of a frame.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    out.write_all(first)?;
    carry(&mut &server, &mut out)
}

/// Carries bytes to the end of `from`. Not `io::copy`: that splices, and a splice which waits for the socket keeps the
/// pipe locked, so that sshd cannot read what is in it.
fn carry(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n]).and_then(|()| to.flush())?,
        }
    }
}
