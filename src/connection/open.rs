//! From nothing to an agent that has said its welcome: over ssh, or as a child process on this machine.

use std::process::Stdio;
use std::time::Duration;

use super::channel::{Channel, Tail, read_frame};
use super::error::LinkError;
use super::ssh::Master;
use super::target::{Kind, Target};
use super::{Connector, upload};
use crate::action::wire::{FromAgent, VERSION, Welcome};

/// How long the agent may take for its first word.
const GREETING: Duration = Duration::from_secs(30);

/// Connects as far as need be, starts or finds the agent, and takes its welcome.
pub(super) async fn attach(
    connector: &Connector,
    target: &Target,
    master: &mut Option<Master>,
) -> Result<(Channel, Welcome), LinkError> {
    let shared = &connector.0;
    let mut channel = match target.kind {
        Kind::Local => start_here(connector, target)?,
        Kind::Ssh => {
            let open = match master.take() {
                Some(open) => open,
                None => Master::open(target, &shared.program.path).await?,
            };
            let open = master.insert(open);
            let name = connector.agent_name(&target.host);
            upload::attach(open, &target.host, &shared.program, &name, shared.idle).await?
        }
    };
    let host = || target.host.clone();
    let first = match tokio::time::timeout(GREETING, read_frame(&mut channel.stdout)).await {
        Ok(Ok(Some(frame))) => frame.parse(),
        Ok(Ok(None)) => {
            let said = channel.stderr.ended(Duration::from_secs(1)).await;
            let why = format!("the agent ended without a word: {}", said.trim());
            return Err(LinkError::Broken { host: host(), why });
        }
        Ok(Err(e)) => Err(e),
        Err(_) => {
            return Err(LinkError::TimedOut { host: host(), what: "its agent does not speak".into(), after: GREETING });
        }
    };
    match first {
        Ok(FromAgent::Welcome(welcome)) if welcome.version == VERSION => Ok((channel, welcome)),
        Ok(FromAgent::Refused { why }) => Err(LinkError::Refused { host: host(), why }),
        Ok(_) => Err(LinkError::Broken { host: host(), why: "its agent does not begin with a welcome".into() }),
        Err(e) => Err(LinkError::Broken { host: host(), why: format!("its agent does not speak as one of ours: {e}") }),
    }
}

/// The agent of this machine: the same process at the far end of a pipe, which outlives this one just the same.
fn start_here(connector: &Connector, target: &Target) -> Result<Channel, LinkError> {
    let shared = &connector.0;
    let failed = |why: String| LinkError::Broken { host: target.host.clone(), why };
    let mut command = tokio::process::Command::new(&shared.program.path);
    if let Some(dir) = &shared.here {
        command.current_dir(dir);
    }
    let mut child = command
        .args(["agent", "attach", &connector.agent_name(&target.host), &shared.idle.as_secs().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on the terminal is for the run to handle.
        .process_group(0)
        .spawn()
        .map_err(|e| failed(format!("{} cannot be started: {e}", shared.program.path.display())))?;
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok(Channel::new(stdin, stdout, Tail::of(stderr), child)),
        _ => Err(failed("a child without pipes".to_owned())),
    }
}
