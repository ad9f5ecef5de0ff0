//! The command line: Ansible's flags where Ansible has them, and the subcommands of this tool.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::settings::Settings;
use crate::engine::options::InDoubt;

/// Runs Ansible playbooks over SSH from one binary, remembers every step, and resumes where it was cut off.
#[derive(Debug, Parser)]
#[command(
    name = "stx-upgrade",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "First time:  stx-lab up simplex && stx-upgrade play upgrade.yml -i inventory --check --diff\n\
                  Cut off?     stx-upgrade resume"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run playbooks: `stx-upgrade play upgrade.yml -i inventory`
    #[command(after_long_help = super::settings::help())]
    Play(Box<Play>),
    /// Go on where a run stood: `stx-upgrade resume k7`
    Resume(Box<Resume>),
    /// List runs
    Runs(State),
    /// Tell where a run stands: `stx-upgrade status`
    Status(RunName),
    /// Tell the whole story of a run: `stx-upgrade show k7 --verify`
    Show(Show),
    /// Find every mistake that needs no host: `stx-upgrade validate site.yml`
    Validate(Box<Play>),
    /// Show hosts, groups and variables: `stx-upgrade inventory -i inventory --graph`
    Inventory(InventoryArgs),
    /// Describe a module: `stx-upgrade doc copy`
    Doc(Doc),
    /// List the playbooks built in, or write them out: `stx-upgrade playbooks --extract my-upgrade`
    Playbooks(Playbooks),
    /// Encrypt, decrypt or view vault files: `stx-upgrade vault view secrets.yml`
    Vault(Vault),
    /// Print shell completions: `stx-upgrade completions bash`
    Completions { shell: clap_complete::Shell },
    /// Print the man page
    Man,
}

/// Where runs are remembered.
#[derive(Debug, Default, Args)]
pub struct State {
    /// Folder of journals, instead of the state folder
    #[arg(long, env = "STX_UPGRADE_STATE", value_name = "DIR", hide_env_values = true)]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RunName {
    /// The run: its id, a part of it, or a journal's path; the last one unless given
    pub run: Option<String>,
    /// Look again every second until it ends
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub state: State,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The run: its id, a part of it, or a journal's path; the last one unless given
    pub run: Option<String>,
    /// Check every record and the chain, and say so
    #[arg(long)]
    pub verify: bool,
    /// Go on telling while the run is driven, from another terminal
    #[arg(short = 'f', long, conflicts_with = "verify")]
    pub follow: bool,
    /// Only tasks whose name contains this
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub state: State,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// The run: its id, a part of it, or a journal's path; the last one unless given
    pub run: Option<String>,
    /// Settle a step that only you can know about: it `ran`, it `failed`, or `run` it; with its host where several are in doubt
    #[arg(long, value_name = "[HOST=]ran|failed|run")]
    pub in_doubt: Vec<InDoubt>,
    /// Go on although steps were edited since
    #[arg(long)]
    pub accept_edits: bool,
    #[command(flatten)]
    pub gates: Gates,
    #[command(flatten)]
    pub secrets: Secrets,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub state: State,
}

/// How gates are answered.
#[derive(Clone, Debug, Default, Args)]
pub struct Gates {
    /// Answer every gate beforehand, with what it expects
    #[arg(long)]
    pub yes: bool,
}

/// What is shown, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// More output, up to -vvvv
    #[arg(short, action = ArgAction::Count)]
    pub verbose: u8,
    /// How to show the run: plain, terminal, json, or junit=FILE; can be repeated
    #[arg(long, value_name = "FORM")]
    pub output: Vec<String>,
}

/// Passwords and vault secrets; none is taken on the command line itself.
#[derive(Clone, Debug, Default, Args)]
pub struct Secrets {
    /// Ask for the login password
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// Ask for the password of sudo
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// File with the login password
    #[arg(long, visible_alias = "conn-pass-file", value_name = "FILE")]
    pub connection_password_file: Option<PathBuf>,
    /// File with the password of sudo
    #[arg(long, visible_alias = "become-pass-file", value_name = "FILE")]
    pub become_password_file: Option<PathBuf>,
    /// Vault identity, LABEL@FILE or LABEL@prompt; can be repeated
    #[arg(long, value_name = "ID")]
    pub vault_id: Vec<String>,
    /// File with the vault password, or a program that prints it
    #[arg(long, visible_alias = "vault-pass-file", value_name = "FILE")]
    pub vault_password_file: Vec<PathBuf>,
    /// Ask for the vault password
    #[arg(short = 'J', long, visible_alias = "ask-vault-pass")]
    pub ask_vault_password: bool,
}

#[derive(Debug, Default, Args)]
pub struct Play {
    /// Playbooks: a path, one in ./playbooks, or one built in
    #[arg(required = true, value_name = "PLAYBOOK")]
    pub playbooks: Vec<String>,
    /// Inventory: a file, a folder, a program, or hosts with commas; can be repeated
    #[arg(short, long, visible_alias = "inventory-file", value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// Only these hosts: a pattern, or @FILE
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variables: k=v, JSON or YAML, or @FILE; can be repeated
    #[arg(short, long, value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Only tasks with these tags
    #[arg(short, long)]
    pub tags: Vec<String>,
    /// No tasks with these tags
    #[arg(long)]
    pub skip_tags: Vec<String>,
    /// Change nothing; tell what would change
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show differences
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Hosts at once
    #[arg(short, long, value_name = "N")]
    pub forks: Option<usize>,
    /// Log in as this user
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Log in with this key
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Connection: ssh or local
    #[arg(short, long, value_name = "KIND")]
    pub connection: Option<String>,
    /// Seconds to connect
    #[arg(short = 'T', long, value_name = "S")]
    pub timeout: Option<u64>,
    /// Seconds for one task; 0 for no limit
    #[arg(long, value_name = "S")]
    pub task_timeout: Option<u64>,
    /// Arguments for ssh
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// More arguments for ssh
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_extra_args: Option<String>,
    /// Become another user
    #[arg(short, long = "become")]
    pub become_: bool,
    /// How to become
    #[arg(long, value_name = "METHOD")]
    pub become_method: Option<String>,
    /// Whom to become
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// Run notified handlers even on hosts that failed
    #[arg(long)]
    pub force_handlers: bool,
    /// Forget facts that earlier runs kept in the fact cache
    #[arg(long)]
    pub flush_cache: bool,
    /// Ask before each task
    #[arg(long)]
    pub step: bool,
    /// Begin at the task of this name
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
    /// Only read and check the playbooks
    #[arg(long)]
    pub syntax_check: bool,
    /// Only list the hosts
    #[arg(long)]
    pub list_hosts: bool,
    /// Only list the tasks
    #[arg(long)]
    pub list_tasks: bool,
    /// Only list the tags
    #[arg(long)]
    pub list_tags: bool,
    /// Write the journal here instead of the state folder
    #[arg(long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
    /// Exit with 10 if anything changed, or in a check would
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// From `ansible.cfg` and the environment
    #[arg(skip)]
    pub settings: Settings,
    /// Called as `ansible-playbook`
    #[arg(skip)]
    pub as_ansible: bool,
    /// Taken over from `resume`
    #[arg(skip)]
    pub in_doubt: Vec<InDoubt>,
    #[arg(skip)]
    pub accept_edits: bool,
    /// Exit with Ansible's own codes
    #[arg(long, value_name = "ansible", value_parser = ["ansible"])]
    pub exit_compat: Option<String>,
    #[command(flatten)]
    pub gates: Gates,
    #[command(flatten)]
    pub secrets: Secrets,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub state: State,
}

#[derive(Debug, Args)]
pub struct InventoryArgs {
    /// Inventory: a file, a folder, a program, or hosts with commas; can be repeated
    #[arg(short, long, value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// All hosts and groups as JSON
    #[arg(long, conflicts_with_all = ["host", "graph"])]
    pub list: bool,
    /// One host's variables as JSON
    #[arg(long, value_name = "HOST", conflicts_with = "graph")]
    pub host: Option<String>,
    /// A tree of groups and hosts
    #[arg(long)]
    pub graph: bool,
    /// With --graph: variables too
    #[arg(long)]
    pub vars: bool,
    /// Only hosts of this pattern
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    #[command(flatten)]
    pub secrets: Secrets,
}

#[derive(Debug, Args)]
pub struct Doc {
    /// Modules; all are listed unless any is named
    pub modules: Vec<String>,
    /// List all
    #[arg(short, long)]
    pub list: bool,
}

impl Play {
    /// Whether something is only listed.
    pub fn lists(&self) -> bool {
        self.list_hosts || self.list_tasks || self.list_tags
    }
}

#[derive(Debug, Args)]
pub struct Playbooks {
    /// Write them into this folder, to be adapted
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Vault {
    #[command(subcommand)]
    pub action: VaultAction,
    #[command(flatten)]
    pub secrets: Secrets,
    /// Encrypt for this identity
    #[arg(long, value_name = "ID", global = true)]
    pub encrypt_vault_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum VaultAction {
    /// Encrypt files in place
    Encrypt { files: Vec<PathBuf> },
    /// Decrypt files in place
    Decrypt { files: Vec<PathBuf> },
    /// Show files decrypted
    View { files: Vec<PathBuf> },
    /// Encrypt a text from standard input for use in YAML
    EncryptString {
        /// Name of the variable
        #[arg(long, short)]
        name: Option<String>,
    },
}
