//! What a module is. A module runs where the change is made: in the agent, against a host handle.

use super::args::{ArgSpec, Arguments, Rule};
use super::host::{Act, HostError};
use super::wait::WaitError;
use super::wrong::wrong_arguments;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

/// Which user arguments are about, if they are about one.
pub type UserOf<Args> = fn(&Args) -> Option<String>;

/// A module, as its author writes it: one type in one file, and one line in its room's table.
pub trait Module: 'static {
    /// Short name and full names: `copy`, `ansible.builtin.copy`.
    const NAMES: &'static [&'static str];
    /// What it does, for `stx-upgrade doc`: a sentence, then details.
    const DOC: &'static str;
    /// Return values: name and meaning.
    const RETURNS: &'static [(&'static str, &'static str)];
    /// A task that uses it.
    const EXAMPLE: &'static str;
    /// The argument that free-form text fills (`command: echo hi`); none if the module has no free form.
    const FREE_FORM: Option<&'static str> = None;
    /// Seconds within which the host is back, for a module that takes its host down (a reboot, a reinstall): so long a link that
    /// is lost meanwhile is waited for, and a host that comes back with another host key is its success.
    const LOSES_HOST: Option<u64> = None;
    /// Whether it only ever looks: what it found directly before a failure is looked at anew when the run is resumed.
    const ONLY_LOOKS: bool = false;
    /// A user of whom no process of the agent may be left when it runs: one that is removed.
    const VACATES: Option<UserOf<Self::Args>> = None;
    type Args: Arguments;

    /// Looks, decides, acts, and says what came of it. Works the same on the real host and on a preview.
    fn run(args: Self::Args, host: &mut dyn Act) -> Result<Outcome, Failure>;

    /// What to do about an attempt of which no result is known.
    fn recovery(_args: &Self::Args) -> Recovery {
        Recovery::Again
    }
}

/// How an attempt in doubt is settled, once the agent could not say what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Running it again is safe: it looks first, and does only what is missing.
    Again,
    /// It reads the platform's own state first, which says whether it happened; then as `Again`.
    Observe,
    /// Only the operator can know.
    Ask,
}

/// Why a module could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It failed; the outcome has the message and what is known (`rc`, `stderr`, …).
    #[error("{}", .0.msg)]
    Failed(Box<Outcome>),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Wait(#[from] WaitError),
}

impl Failure {
    /// A failure with a message.
    pub fn new(msg: impl Into<String>) -> Failure {
        Failure::Failed(Box::new(Outcome::failed(msg)))
    }

    /// What the task's result shows. [`HostError::NeedBlob`] never comes here: the agent answers it itself.
    pub fn into_outcome(self) -> Outcome {
        match self {
            Failure::Failed(outcome) => *outcome,
            Failure::Host(HostError::NotKnowable(why))
            | Failure::Wait(WaitError::Host(HostError::NotKnowable(why))) => Outcome::not_knowable(why),
            other => Outcome::failed(other.to_string()),
        }
    }
}

/// A module with its type erased: what tables hold.
#[derive(Clone, Copy)]
pub struct Entry {
    pub names: &'static [&'static str],
    pub doc: &'static str,
    pub returns: &'static [(&'static str, &'static str)],
    pub example: &'static str,
    pub free_form: Option<&'static str>,
    pub loses_host: Option<u64>,
    pub only_looks: bool,
    pub args: fn() -> Vec<ArgSpec>,
    pub rules: fn() -> &'static [Rule],
    /// Runs it; wrong arguments become a failed outcome, except that `NeedBlob` is passed up.
    pub run: fn(&Dict, &mut dyn Act) -> Result<Outcome, HostError>,
    pub recovery: fn(&Dict) -> Recovery,
    pub vacates: Option<UserOf<Dict>>,
}

impl Entry {
    /// The table line of a module: `Entry::of::<Copy>()`.
    pub const fn of<M: Module>() -> Entry {
        Entry {
            names: M::NAMES,
            doc: M::DOC,
            returns: M::RETURNS,
            example: M::EXAMPLE,
            free_form: M::FREE_FORM,
            loses_host: M::LOSES_HOST,
            only_looks: M::ONLY_LOOKS,
            args: M::Args::specs,
            rules: M::Args::rules,
            run: |args, host| match M::Args::from_dict(args) {
                Err(mistakes) => Ok(wrong_arguments(M::NAMES[0], &M::Args::specs(), args, &mistakes)),
                Ok(args) => match M::run(args, host) {
                    Ok(outcome) => Ok(outcome),
                    Err(Failure::Host(e @ (HostError::NeedBlob(_) | HostError::Cancelled))) => Err(e),
                    Err(failure) => Ok(failure.into_outcome()),
                },
            },
            recovery: |args| M::Args::from_dict(args).map_or(Recovery::Ask, |a| M::recovery(&a)),
            vacates: match M::VACATES {
                Some(_) => Some(|args| M::VACATES.zip(M::Args::from_dict(args).ok()).and_then(|(user, a)| user(&a))),
                None => None,
            },
        }
    }
}

/// A call of a module as it travels to the agent.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Call {
    /// The module's short name.
    pub module: String,
    pub args: Value,
    /// Environment that the task sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Seconds until it is given up and ended with all its processes.
    pub deadline: u64,
    /// Against the preview instead of the host.
    #[serde(default)]
    pub check: bool,
    /// The preview begins anew here: it forgets what calls before would have done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// The user to become; none runs as the login user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub become_: Option<Become>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

impl Call {
    /// What is called and as whom, for people; its arguments may hold secrets.
    pub fn told(&self) -> String {
        match &self.become_ {
            Some(b) => format!("{} as {} by {}", self.module, b.user, b.method),
            None => self.module.clone(),
        }
    }
}

/// A call that is a job: its result is kept on the host, in a file of the user it runs as.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// `ansible_job_id`, the file's name.
    pub id: String,
    /// The folder of the file; `~/.ansible_async` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The answer is the job's end; else that it has begun.
    pub waits: bool,
}

/// Which user a call runs as, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Become {
    pub method: String,
    pub user: String,
    #[serde(default)]
    pub exe: Option<String>,
    #[serde(default)]
    pub flags: Option<String>,
    /// The folder to be in before, and to start from: `ansible_sudo_chdir`.
    #[serde(default)]
    pub chdir: Option<String>,
}
