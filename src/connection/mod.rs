//! The link from the engine to the agent on a host: OpenSSH or this machine.
//!
//! A [`Connector`] belongs to a run and opens one [`Link`] per host. A link carries many calls at once, one message
//! each way per call. When it is lost, what is under way goes on at the far side; [`Link::reattach`] brings it back,
//! and [`Link::ask`] tells what became of each attempt. A [`Shell`] runs single commands where no agent is wanted.
//!
//! What is called, when, and what its results mean is the engine's.

pub mod askpass;
mod becoming;
mod channel;
mod cut;
mod error;
mod link;
mod open;
mod shell;
mod ssh;
mod target;
mod transfer;
mod upload;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use error::LinkError;
pub use link::{Done, Known, Link, Reattached, Ssh, Tidings};
pub use shell::Shell;
pub use target::{Kind, Target};
pub use transfer::{Blobs, Content, Fetched};

use upload::Program;

/// What all links of a run share.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    run: String,
    program: Program,
    blobs: Arc<dyn Blobs>,
    idle: Duration,
    /// Where the agent of this machine starts.
    here: Option<PathBuf>,
}

impl Connector {
    /// The agent's name on a host: the run's, and the host's by a digest. Two names of the inventory may lead to one machine, and
    /// each has an agent of its own there.
    fn agent_name(&self, host: &str) -> String {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(host.as_bytes());
        format!("{}-{}", self.0.run, hex::encode(&digest[..4]))
    }

    /// For a run, by its name in the journal; `blobs` has the content that modules ask for. The agents are this very
    /// program.
    pub fn new(run: impl Into<String>, blobs: Arc<dyn Blobs>) -> Connector {
        let own = std::env::current_exe().ok().filter(|p| p.exists());
        // A name that still leads to it where the file was replaced or removed since the start.
        let own = own.unwrap_or_else(|| PathBuf::from(format!("/proc/{}/exe", std::process::id())));
        Connector::with_program(run, blobs, own, crate::agent::IDLE)
    }

    /// As [`Connector::new`], with another program as the agent, and the time it stays without an engine.
    pub fn with_program(
        run: impl Into<String>,
        blobs: Arc<dyn Blobs>,
        program: impl Into<PathBuf>,
        idle: Duration,
    ) -> Connector {
        Connector(Arc::new(Shared { run: run.into(), program: Program::at(program.into()), blobs, idle, here: None }))
    }

    /// With a directory where the agent of this machine, and what it runs, starts.
    pub fn starting_in(self, here: Option<PathBuf>) -> Connector {
        let Shared { run, program, blobs, idle, .. } = &*self.0;
        let program = Program::at(program.path.clone());
        Connector(Arc::new(Shared { run: run.clone(), program, blobs: blobs.clone(), idle: *idle, here }))
    }

    /// Opens the link to a host: connects, uploads the agent where it is missing, and attaches to it. An agent of this
    /// run that is still there is taken over, with all that it knows.
    pub async fn open(&self, target: &Target) -> Result<Link, LinkError> {
        Link::open(self.clone(), target.clone()).await
    }

    /// Opens a way to run single commands on a host without an agent.
    pub async fn shell(&self, target: &Target) -> Result<Shell, LinkError> {
        Shell::open(&self.0.program, target, self.0.here.clone()).await
    }
}
