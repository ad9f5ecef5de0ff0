//! Passwords for ssh: ssh asks the program named by `SSH_ASKPASS`, which is this one in a hidden role, and that asks
//! the run over a private socket. So a password is on no command line, in no environment, and in no file.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::model::secret::Secret;

/// Names the socket to the role.
const SOCKET: &str = "STX_UPGRADE_ASKPASS";

/// Serves the hidden role if ssh started this process for it; to be called first in `main`.
pub fn role() -> Option<ExitCode> {
    let socket = std::env::var_os(SOCKET)?;
    let prompt = std::env::args_os().nth(1)?;
    let answer = || -> io::Result<Secret> {
        let mut stream = BlockingStream::connect(&socket)?;
        stream.write_all(prompt.as_encoded_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(Secret::new(answer))
    };
    Some(match answer() {
        // No answer: the prompt was not for a password of ours.
        Ok(answer) if !answer.reveal().is_empty() => match writeln!(io::stdout(), "{}", answer.reveal()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    })
}

/// Answers one login's question; stops when dropped.
pub(super) struct Answerer {
    listener: UnixListener,
    socket: PathBuf,
    password: Secret,
}

impl Answerer {
    /// Listens in a private directory.
    pub fn new(dir: &Path, password: Secret) -> io::Result<Answerer> {
        let socket = dir.join("askpass");
        Ok(Answerer { listener: UnixListener::bind(&socket)?, socket, password })
    }

    /// What ssh needs in its environment.
    pub fn environment(&self, program: &Path) -> [(&'static str, std::ffi::OsString); 3] {
        [("SSH_ASKPASS", program.into()), ("SSH_ASKPASS_REQUIRE", "force".into()), (SOCKET, self.socket.clone().into())]
    }

    /// Gives the password once, to the child of this ssh process alone: a jump host's ssh, its grandchild, inherits the
    /// environment, but must not get the password of another host. Never ends by itself.
    pub async fn serve(self, ssh: u32) -> io::Result<std::convert::Infallible> {
        let mut left = Some(&self.password);
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            if let Ok(prompt) = question(&mut stream, ssh).await
                && prompt.to_lowercase().contains("assword")
                && let Some(password) = left.take()
            {
                // An asker that has gone away fails ssh's login, which says so.
                let _ = stream.write_all(password.reveal().as_bytes()).await;
            }
        }
    }
}

async fn question(stream: &mut UnixStream, ssh: u32) -> io::Result<String> {
    let peer = stream.peer_cred()?;
    let parent = peer.pid().and_then(|pid| parent_of(pid as u32));
    if peer.uid() != nix::unistd::geteuid().as_raw() || parent != Some(ssh) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut prompt = Vec::new();
    stream.take(4096).read_to_end(&mut prompt).await?;
    Ok(String::from_utf8_lossy(&prompt).into_owned())
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state ppid …`, where the name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
