//! What the exit code means. Documented in the README; scripts depend on it.

use std::process::ExitCode;

use crate::engine::run::{Ended, Halt};
use crate::model::event::End;

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// Something that is none of the others: a file that cannot be read, no host matched.
    Error,
    /// Hosts failed.
    Failed,
    /// Hosts failed, and others were unreachable: for ansible-playbook that is `Unreachable`, else `Failed`.
    FailedAndUnreachable,
    /// Hosts were unreachable, and none failed.
    Unreachable,
    /// Mistakes in playbooks or inventory; nothing was run.
    Invalid,
    /// Mistakes on the command line.
    Usage,
    /// With `--detailed-exitcode`: it went well, and something changed (or would).
    Changed,
    /// A gate waits for its answer.
    Unanswered,
    /// A gate was refused.
    Refused,
    /// A step is in doubt, or its host was lost: can be resumed.
    InDoubt,
    /// Another process drives the run.
    Locked,
    /// The journal cannot be written, or is broken.
    Journal,
    /// Stopped by the operator: can be resumed.
    Interrupted,
}

impl Exit {
    /// The number. With `ansible` those that ansible-playbook gives.
    pub fn code(self, ansible: bool) -> u8 {
        if ansible {
            return match self {
                Exit::Ok | Exit::Changed => 0,
                Exit::Error | Exit::Locked | Exit::Journal => 1,
                Exit::Failed | Exit::Usage | Exit::Unanswered | Exit::Refused | Exit::InDoubt => 2,
                Exit::Unreachable | Exit::FailedAndUnreachable | Exit::Invalid => 4,
                Exit::Interrupted => 99,
            };
        }
        match self {
            Exit::Ok => 0,
            Exit::Error => 1,
            Exit::Failed | Exit::FailedAndUnreachable => 2,
            Exit::Unreachable => 3,
            Exit::Invalid => 4,
            Exit::Usage => 5,
            Exit::Changed => 10,
            Exit::Unanswered => 11,
            Exit::Refused => 12,
            Exit::InDoubt => 13,
            Exit::Locked => 14,
            Exit::Journal => 15,
            Exit::Interrupted => 99,
        }
    }

    pub fn into_code(self, ansible: bool) -> ExitCode {
        ExitCode::from(self.code(ansible))
    }

    /// What the end of a run means.
    pub fn of(ended: &Ended, detailed: bool) -> Exit {
        match &ended.halt {
            Some(Halt::Journal(_)) => return Exit::Journal,
            Some(Halt::Unanswered(_)) => return Exit::Unanswered,
            Some(Halt::GateRefused(_)) => return Exit::Refused,
            Some(Halt::InDoubt(_) | Halt::Lost { .. }) => return Exit::InDoubt,
            Some(Halt::Mistakes(_)) => return Exit::Invalid,
            Some(Halt::Refused(_)) => return Exit::Error,
            Some(Halt::Stopped(_)) => return Exit::Interrupted,
            None => {}
        }
        match ended.end {
            _ if ended.failed && ended.unreachable => Exit::FailedAndUnreachable,
            _ if ended.failed => Exit::Failed,
            _ if ended.unreachable => Exit::Unreachable,
            End::Completed if ended.nothing_matched => Exit::Error,
            End::Completed if detailed && ended.changed => Exit::Changed,
            End::Completed => Exit::Ok,
            End::Failed => Exit::Failed,
            End::Stopped(_) => Exit::Interrupted,
            End::Broken(_) => Exit::Journal,
        }
    }
}
