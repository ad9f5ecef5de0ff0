//! Single commands on a host without an agent, as the `raw` module runs them: through the login shell, or `/bin/sh` on
//! this machine.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::error::LinkError;
use super::ssh::{Master, causes};
use super::target::{Kind, Target};
use super::upload::Program;
use crate::action::command::Output;

/// What is kept of each output; the rest is read and dropped.
const KEPT: usize = 16 << 20;

/// A way to run commands on a host.
pub struct Shell {
    target: Target,
    /// None for this machine.
    master: Option<Master>,
    /// Where commands on this machine start.
    here: Option<PathBuf>,
}

impl Shell {
    pub(super) async fn open(program: &Program, target: &Target, here: Option<PathBuf>) -> Result<Shell, LinkError> {
        let master = match target.kind {
            Kind::Ssh => Some(Master::open(target, &program.path).await?),
            Kind::Local => None,
        };
        Ok(Shell { target: target.clone(), master, here })
    }

    /// Runs a command line to its end. Over ssh one that is given up after `limit` may go on at the far side: there is
    /// no agent there to end it.
    pub async fn run(&self, line: &str, stdin: &[u8], limit: Duration) -> Result<Output, LinkError> {
        let running = async {
            match &self.master {
                Some(master) => self.run_there(master, line, stdin).await,
                None => self.run_here(line, stdin).await,
            }
        };
        match tokio::time::timeout(limit, running).await {
            Ok(output) => output,
            Err(_) => Err(LinkError::TimedOut {
                host: self.target.host.clone(),
                what: "the command did not end".into(),
                after: limit,
            }),
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        if let Some(master) = self.master {
            master.close().await;
        }
    }

    async fn run_there(&self, master: &Master, line: &str, input: &[u8]) -> Result<Output, LinkError> {
        let mut child = master.spawn(line).await?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (stdout, stderr, _) = tokio::join!(kept(stdout), kept(stderr), feed(stdin, input));
        let rc = match child.wait().await {
            Ok(status) => status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(-1),
            // The crate's word for exit code 127.
            Err(openssh::Error::Remote(e)) if e.kind() == io::ErrorKind::NotFound => 127,
            // No exit code: a signal ended it, or the connection did.
            Err(openssh::Error::RemoteProcessTerminated) if master.is_alive().await => 128,
            Err(e) => {
                return Err(LinkError::Lost { host: self.target.host.clone(), why: causes(&e), sent: true });
            }
        };
        Ok(Output { rc, cut: stdout.1 || stderr.1, stdout: stdout.0, stderr: stderr.0, supposed: false })
    }

    async fn run_here(&self, line: &str, input: &[u8]) -> Result<Output, LinkError> {
        let failed = |e: io::Error| LinkError::Broken { host: self.target.host.clone(), why: format!("/bin/sh: {e}") };
        let mut command = tokio::process::Command::new("/bin/sh");
        if let Some(dir) = &self.here {
            command.current_dir(dir);
        }
        let mut child = command
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdout, stderr, _) = tokio::join!(kept(stdout), kept(stderr), feed(stdin, input));
        let status = child.wait().await.map_err(failed)?;
        let rc = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(-1);
        Ok(Output { rc, cut: stdout.1 || stderr.1, stdout: stdout.0, stderr: stderr.0, supposed: false })
    }
}

/// All that comes, as far as it is kept, and whether it was cut.
async fn kept(from: Option<impl AsyncRead + Unpin>) -> (Vec<u8>, bool) {
    let (mut all, mut cut) = (Vec::new(), false);
    let Some(mut from) = from else { return (all, cut) };
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let room = n.min(KEPT - all.len());
        all.extend_from_slice(&buffer[..room]);
        cut |= room < n;
    }
    (all, cut)
}

/// Gives all of the input; a command that does not read it is no error.
async fn feed(to: Option<impl tokio::io::AsyncWrite + Unpin>, input: &[u8]) {
    if let Some(mut to) = to {
        let _ = to.write_all(input).await;
        let _ = to.flush().await;
    }
}
