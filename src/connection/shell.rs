//! Single commands on a host without an agent, as the `raw` module runs them: through the login shell, or `/bin/sh` on
//! this machine.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::{User, geteuid};

use super::becoming::{self, Ended, Talk};
use super::error::LinkError;
use super::ssh::{Master, causes};
use super::target::{Kind, Target};
use super::upload::Program;
use crate::action::command::Output;
use crate::action::module::Become;
use crate::agent::elevate;
use crate::model::secret::Secret;

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
        self.within(limit, line, Talk::Feed(stdin)).await.map(|(output, _)| output)
    }

    /// The same as another user; without a word on the command's standard input.
    pub async fn run_as(
        &self,
        become_: &Become,
        password: Option<&Secret>,
        line: &str,
        limit: Duration,
    ) -> Result<Output, LinkError> {
        let refused = |why| LinkError::Refused { host: self.target.host.clone(), why };
        elevate::supported(become_).map_err(refused)?;
        if self.is(&become_.user) {
            return self.run(line, &[], limit).await;
        }
        let (output, ended) =
            self.within(limit, &becoming::line(become_, password, line), Talk::Answer(password)).await?;
        match ended {
            Ended::Said => Ok(output),
            Ended::Never { answered } => {
                let why = elevate::explain(become_, &output.error_text(), password.is_some(), answered).why;
                Err(refused(why))
            }
        }
    }

    /// Whether the login is that user's already, as far as that is known here.
    fn is(&self, user: &str) -> bool {
        match self.target.kind {
            Kind::Ssh => self.target.user.as_deref() == Some(user),
            Kind::Local => User::from_uid(geteuid()).ok().flatten().is_some_and(|u| u.name == user),
        }
    }

    async fn within(&self, limit: Duration, line: &str, talk: Talk<'_>) -> Result<(Output, Ended), LinkError> {
        let running = async {
            match &self.master {
                Some(master) => self.run_there(master, line, talk).await,
                None => self.run_here(line, talk).await,
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

    async fn run_there(&self, master: &Master, line: &str, talk: Talk<'_>) -> Result<(Output, Ended), LinkError> {
        let mut child = master.spawn(line).await?;
        let said = talk.with(child.stdin().take(), child.stdout().take(), child.stderr().take()).await;
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
        Ok(said.ended(rc))
    }

    async fn run_here(&self, line: &str, talk: Talk<'_>) -> Result<(Output, Ended), LinkError> {
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
        let said = talk.with(child.stdin.take(), child.stdout.take(), child.stderr.take()).await;
        let status = child.wait().await.map_err(failed)?;
        Ok(said.ended(status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(-1)))
    }
}
