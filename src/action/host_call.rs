//! What the agent hands to a host handle: the surroundings of one call, and how handles are made. The handles
//! themselves (real, preview) are `modules`'; when to make which is the agent's.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::host::{Act, HostError};
use crate::model::event::Wait;

/// Makes host handles. The agent is written against this, so that it can be tried with another host.
pub trait Hosts: Send + Sync + 'static {
    /// What a check run recorded on this host so far. It travels as JSON to the worker of another user and back.
    type Layer: Default + Serialize + DeserializeOwned + Send + 'static;

    /// The host itself.
    fn real(&self, context: CallContext) -> Box<dyn Act>;

    /// The host as the check run has left it so far. The agent runs one call of a check run at a time.
    fn preview(&self, context: CallContext, layer: Arc<Mutex<Self::Layer>>) -> Box<dyn Act>;
}

/// The surroundings of one call.
#[derive(Clone)]
pub struct CallContext {
    /// Environment that the task sets, on top of the agent's own; commands get it, and `Look::env` sees it.
    pub env: Vec<(String, String)>,
    /// When the call is given up.
    pub deadline: Instant,
    /// The call's whole time, for messages.
    pub limit: Duration,
    /// Tells that the call shall end.
    pub cancel: Cancel,
    /// Where heartbeats and lines of output go.
    pub progress: Arc<dyn Progress>,
    /// A private directory with content from the control node, each file named by its SHA-256 in lower-case hex. What
    /// is not there is [`HostError::NeedBlob`]; the agent gets it and runs the module again from its start.
    pub blobs: PathBuf,
    /// A private directory for scripts and temporary files; it exists, and ends with the agent.
    pub scratch: PathBuf,
}

impl CallContext {
    /// Time left until the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An error if the call was cancelled or its time is over; `what` says what was being done.
    pub fn check(&self, what: &str) -> Result<(), HostError> {
        if self.cancel.is_cancelled() {
            return Err(HostError::Cancelled);
        }
        if self.time_left().is_zero() {
            return Err(HostError::Deadline { what: what.to_owned(), after: self.limit });
        }
        Ok(())
    }

    /// Sleeps for `time`; an error as soon as the call is cancelled, or at its deadline.
    pub fn sleep(&self, time: Duration, what: &str) -> Result<(), HostError> {
        self.cancel.wait(time.min(self.time_left()));
        self.check(what)
    }
}

/// Where a call tells what it is doing. Telling is cheap and never blocks for long; the agent passes on what the link
/// can bear.
pub trait Progress: Send + Sync {
    /// A heartbeat of a wait.
    fn waiting(&self, wait: &Wait);
    /// A line that a running command printed.
    fn output(&self, line: &str);
}

/// The end of a call from outside: cancelled by the engine, or given up by the agent. Process groups that the call
/// started are ended at once, and sleepers woken.
#[derive(Clone, Default)]
pub struct Cancel(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    cancelled: bool,
    groups: Vec<i32>,
}

impl Cancel {
    /// Ends the call: its process groups get SIGKILL, its sleeps end.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        for group in &state.groups {
            end_group(*group);
        }
        self.0.1.notify_all();
    }

    /// Whether the call shall end.
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Waits until the call is cancelled, at most for `time`; whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut state = self.state();
        while !state.cancelled {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.cancelled
    }

    /// Has a process group ended with the call while the guard lives. A child that leads its own group (`setpgid 0`) is
    /// named by its process id. If the call is cancelled already, it is ended at once.
    pub fn guard(&self, group: u32) -> GroupGuard {
        let group = group as i32;
        let mut state = self.state();
        if state.cancelled {
            end_group(group);
        }
        state.groups.push(group);
        drop(state);
        GroupGuard { cancel: self.clone(), group }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a process group in the care of its call's [`Cancel`].
pub struct GroupGuard {
    cancel: Cancel,
    group: i32,
}

impl GroupGuard {
    /// Ends the whole group with SIGKILL: a deadline of its own was reached.
    pub fn end(&self) {
        end_group(self.group);
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        let mut state = self.cancel.state();
        if let Some(i) = state.groups.iter().position(|g| *g == self.group) {
            state.groups.swap_remove(i);
        }
    }
}

/// A group that is gone already is no error.
fn end_group(group: i32) {
    if group > 1 {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    #[test]
    fn cancelling_ends_the_group_and_the_sleep() {
        let cancel = Cancel::default();
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let guard = cancel.guard(child.id());
        let sleeper = std::thread::spawn({
            let cancel = cancel.clone();
            move || cancel.wait(Duration::from_secs(60))
        });
        cancel.cancel();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(sleeper.join().unwrap());
        drop(guard);
        assert!(!Cancel::default().wait(Duration::from_millis(1)));
    }
}
