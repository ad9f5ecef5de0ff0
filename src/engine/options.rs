//! What the command line and the settings say of a run.

use std::path::PathBuf;

use super::fact_cache::FactCache;
use crate::model::secret::Secret;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    pub check: bool,
    pub diff: bool,
    pub forks: usize,
    pub verbosity: u8,
    /// The highest verbosity of all that show the run: that one, or the log's.
    pub heard: u8,
    /// Whether to warn of what Ansible will not take any more one day.
    pub deprecations: bool,
    pub strategy: String,
    pub limit: Option<String>,
    pub become_: bool,
    pub become_user: String,
    pub become_method: String,
    pub become_password: Option<Secret>,
    pub remote_user: Option<String>,
    pub connection_password: Option<Secret>,
    pub private_key: Option<PathBuf>,
    pub connection: Option<String>,
    pub ssh_args: Vec<String>,
    pub host_key_checking: bool,
    /// Seconds to connect.
    pub timeout: u64,
    /// Seconds for one task; 0 for no limit of its own.
    pub task_timeout: u64,
    /// Seconds to wait for a host whose link was lost.
    pub link_timeout: u64,
    pub force_handlers: bool,
    pub gathering: Gathering,
    /// Where facts are kept between runs; none keeps them for this run only.
    pub fact_cache: Option<FactCache>,
    pub start_at: Option<String>,
    pub step: bool,
    /// `--yes`: gates are answered beforehand.
    pub yes: bool,
    /// `--accept-edits`: results of steps that were edited since are taken as they are.
    pub accept_edits: bool,
    /// `--in-doubt [HOST=]ran|failed|run`: how steps are settled that only the operator can settle.
    pub in_doubt: Vec<InDoubt>,
    /// Who drives the run: `ops@jump1`.
    pub operator: String,
    /// Where this run is on record.
    pub journal: PathBuf,
    pub inventory_sources: Vec<String>,
    pub config_file: Option<String>,
    /// Called as `ansible-playbook`: each task of a check run looks at the host as it is, and what a later one would find after
    /// it is not known, as there.
    pub as_ansible: bool,
    /// What `any_errors_fatal` is where no keyword says so.
    pub any_errors_fatal: bool,
    /// Whether facts are variables of their own beside `ansible_facts`.
    pub inject_facts: bool,
    /// What `no_log` is where no keyword says so.
    pub no_log: bool,
    /// A handler that is not there is warned about and no more.
    pub missing_handlers: bool,
    /// A condition may give what is neither true nor false.
    pub broken_conditions: bool,
    pub mismatch: Mismatch,
}

/// When a play gathers facts of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gathering {
    #[default]
    Implicit,
    Explicit,
    /// From hosts of which no facts are known yet.
    Smart,
}

impl Gathering {
    /// Reads the setting.
    pub fn of(word: Option<&str>) -> Gathering {
        match word {
            Some("explicit") => Gathering::Explicit,
            Some("smart") => Gathering::Smart,
            _ => Gathering::Implicit,
        }
    }
}

/// What becomes of a host pattern that matches nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mismatch {
    #[default]
    Warning,
    Error,
    Ignore,
}

impl Mismatch {
    /// Reads the setting.
    pub fn of(word: Option<&str>) -> Mismatch {
        match word {
            Some("error") => Mismatch::Error,
            Some("ignore") => Mismatch::Ignore,
            _ => Mismatch::Warning,
        }
    }
}

/// What the operator says of a step in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The host that it is about; none where one step alone is in doubt.
    pub host: Option<String>,
    pub said: Said,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It ran, and is taken as done.
    Ran,
    /// It ran, and failed: what follows is what follows from a failure.
    Failed,
    /// It did not run, or may run again: it is run now.
    Run,
}

impl Said {
    /// What was typed; none for anything else.
    pub fn read(word: &str) -> Option<Said> {
        match word {
            "ran" => Some(Said::Ran),
            "failed" => Some(Said::Failed),
            "run" => Some(Said::Run),
            _ => None,
        }
    }
}

impl std::str::FromStr for InDoubt {
    type Err = String;

    fn from_str(text: &str) -> Result<InDoubt, String> {
        let (host, word) = text.rsplit_once('=').map_or((None, text), |(host, word)| (Some(host), word));
        let said = Said::read(word).ok_or("say `ran`, `failed` or `run`, or of a host: `controller-0=ran`")?;
        Ok(InDoubt { host: host.map(str::to_owned), said })
    }
}
