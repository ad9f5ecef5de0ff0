//! The far side: answers calls by attempt, outlives its link, leaves nothing behind.
//!
//! The same binary in hidden roles, all blocking code on plain threads:
//!
//! - `agent attach` is what the link starts on the host. It finds the run's server, or starts it, and from then on only
//!   carries bytes between the link and the server's socket ([`attach`]).
//! - `agent serve` is the server: detached, in a session of its own, so that running work goes on when the link dies
//!   ([`server`]). It keeps every result until the engine has made it durable ([`desk`]).
//! - `agent worker` does the same for another user, at the end of a pipe through `sudo` or `su` ([`worker`], [`elevate`]).
//! - `agent lend` copies the binary to where such a user can run it; `agent works` proves that a copy runs.
//!
//! What a call does is the modules'; how the engine gets here is `connection`'s.

mod attach;
mod blobs;
mod desk;
pub(crate) mod elevate;
mod jobs;
mod outbox;
pub(crate) mod place;
mod server;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::action::host_call::Hosts;
use crate::action::module::Entry;

/// What the agent works with: the modules by name, and the maker of host handles.
pub struct Kit<H> {
    pub find: fn(&str) -> Option<&'static Entry>,
    pub hosts: H,
}

/// How long an agent stays without an engine and without work, unless told otherwise.
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// Serves one of the agent's roles; `args` are those after `agent`. Nothing here is for people: the only output is
/// frames, and a role that cannot serve says why in one.
pub fn main<H: Hosts>(args: &[OsString], kit: Kit<H>) -> ExitCode {
    let words: Option<Vec<&str>> = args.iter().map(|a| a.to_str()).collect();
    let result = match words.as_deref() {
        Some(["attach", run, idle]) => match seconds(idle) {
            Some(idle) => attach::attach(run, idle),
            None => return usage(),
        },
        Some(["serve", run, root, idle]) => match seconds(idle) {
            Some(idle) => server::serve(run, &PathBuf::from(root), idle, kit),
            None => return usage(),
        },
        Some(["worker", run]) => worker::serve(run, kit),
        Some(["lend", to]) => place::lend(&PathBuf::from(to)),
        Some(["works"]) => Ok(()),
        _ => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

fn usage() -> ExitCode {
    eprintln!("stx-upgrade agent: started by stx-upgrade itself on the hosts it works on; not for use by hand");
    ExitCode::from(2)
}
