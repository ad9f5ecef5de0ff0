//! One OpenSSH connection to a host: a master process of the user's own `ssh`, so that their configuration, keys,
//! agent, jump hosts and known hosts all work, and channels through it by the `openssh` crate.
//!
//! The master is started here and not by the crate, which knows no passwords. It ends with the link; if this process
//! is killed, its last channel closes and it ends by itself a few seconds later.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use openssh::{Child, Session};
use tempfile::TempDir;
use tokio::process::Command;

use super::askpass::Answerer;
use super::channel::{Channel, Tail};
use super::error::{LinkError, from_ssh};
use super::target::Target;

/// Seconds that a master stays without a channel.
const LINGER: u32 = 10;

/// What logging in may take beyond the connection: a wrong password, a slow directory, a look into the DNS.
const LOGIN: Duration = Duration::from_secs(25);

pub(super) struct Master {
    session: Arc<Session>,
    host: String,
    /// Holds the control socket.
    _dir: TempDir,
}

impl Master {
    /// Connects and logs in. `program` is this one, for asking passwords.
    pub async fn open(target: &Target, program: &Path) -> Result<Master, LinkError> {
        let local = |e: std::io::Error| LinkError::Broken {
            host: target.host.clone(),
            why: format!("cannot prepare the connection on this machine: {e}"),
        };
        let dir = short_dir().map_err(local)?;
        let control = dir.path().join("ctl");
        let mut ssh = Command::new(&target.ssh_program);
        // Ours, so first: ssh takes the first of two settings. Forwardings of the user's configuration are for their own
        // logins, and would be in the way of these.
        ssh.args(["-o", &format!("ControlPersist={LINGER}"), "-o", "ClearAllForwardings=yes", "-M", "-N", "-f"]);
        ssh.args(target.ssh_arguments());
        // The last of two control paths counts, unlike all else.
        ssh.arg("-S").arg(&control).arg("--").arg(&target.address);
        // A group of its own: Ctrl-C on the terminal is for the run to handle.
        ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let answerer = target.password.clone().map(|p| Answerer::new(dir.path(), p)).transpose().map_err(local)?;
        ssh.envs(answerer.iter().flat_map(|a| a.environment(program)));
        let mut child = ssh.spawn().map_err(|e| LinkError::Broken {
            host: target.host.clone(),
            why: format!("`{}` cannot be started: {e}; install the OpenSSH client", target.ssh_program),
        })?;
        let said = child.stderr.take().map(Tail::of);
        let pid = child.id().unwrap_or_default();

        let asked = async {
            match answerer {
                Some(answerer) => answerer.serve(pid).await.map(|never| match never {}),
                None => std::future::pending().await,
            }
        };
        let budget = target.connect_timeout + LOGIN;
        let status = tokio::select! {
            status = child.wait() => status.map_err(local)?,
            Err(e) = asked => return Err(local(e)),
            () = tokio::time::sleep(budget) => {
                let _ = child.kill().await;
                return Err(LinkError::TimedOut { host: target.host.clone(), what: "ssh did not log in".into(), after: budget });
            }
        };
        if !status.success() {
            // The pipe may be held open by a jump host's process.
            let said = match said {
                Some(tail) => tail.ended(Duration::from_secs(1)).await,
                None => String::new(),
            };
            return Err(with_known_key(target, from_ssh(target, &said)).await);
        }
        let session = Arc::new(Session::resume_mux(control.into_boxed_path(), None));
        Ok(Master { session, host: target.host.clone(), _dir: dir })
    }

    /// Runs a command line of the login shell at the far side.
    pub async fn spawn(&self, command: &str) -> Result<Child<Arc<Session>>, LinkError> {
        let piped = openssh::Stdio::piped;
        let mut line = self.session.clone().arc_raw_command(command);
        line.stdin(piped()).stdout(piped()).stderr(piped()).spawn().await.map_err(|e| LinkError::Unreachable {
            host: self.host.clone(),
            why: format!("the connection gives no channel: {}", causes(&e)),
        })
    }

    /// The same as a channel, with standard error read as it comes.
    pub async fn channel(&self, command: &str) -> Result<Channel, LinkError> {
        let mut child = self.spawn(command).await?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        match (stdin, stdout, stderr) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Channel::new(stdin, stdout, Tail::of(stderr), child)),
            _ => Err(LinkError::Broken { host: self.host.clone(), why: "a channel without pipes".into() }),
        }
    }

    /// Where another `ssh` finds this connection.
    pub fn socket(&self) -> &Path {
        self.session.control_socket()
    }

    /// Whether the connection stands, as far as the master knows.
    pub async fn is_alive(&self) -> bool {
        self.session.check().await.is_ok()
    }

    /// Ends the connection once its channels are closed.
    pub async fn close(self) {
        // A handle of its own, as channels may still hold the other. One that is gone already is as good.
        let _ = Session::resume_mux(self.session.control_socket().into(), None).close().await;
    }
}

/// For a changed host key the fingerprint of the known one, which ssh does not tell.
async fn with_known_key(target: &Target, error: LinkError) -> LinkError {
    let LinkError::HostKeyChanged { host, offered, known: Some(place), command } = error else { return error };
    let file = place.rsplit_once(':').map_or(place.as_str(), |(file, _line)| file);
    let listed = Command::new("ssh-keygen").args(["-l", "-F", &target.spelled(), "-f", file]).output().await;
    let listed = listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let print = listed.split_whitespace().find(|w| w.starts_with("SHA256:"));
    let known = Some(print.map_or(format!("the one at {place}"), |p| format!("{p} at {place}")));
    LinkError::HostKeyChanged { host, offered, known, command }
}

/// An error with its causes, as the crate's own text names the first alone.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A private directory with a path short enough for sockets: ssh adds 17 letters to the name for a moment, and the
/// whole must stay within 107.
fn short_dir() -> std::io::Result<TempDir> {
    let places =
        [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(std::env::temp_dir()), Some("/tmp".into())];
    crate::agent::place::temporary(
        places.into_iter().flatten().filter(|p| p.is_absolute() && p.as_os_str().len() <= 60),
    )
}
