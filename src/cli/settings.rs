//! Settings of `ansible.cfg` and of `ANSIBLE_*` variables: a dozen are honoured, those that mean something in Ansible and
//! nothing here are warned about, and those that only tune what does not exist here (Python, pipelining, cows) are passed over.
//! What each does is its user's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::args::{Output, Play, Secrets};
use crate::action::args::truth;
use crate::engine::fact_cache::FactCache;
use crate::model::value::Value;
use crate::modules::setup::local::ini;

/// A setting that is honoured: its name here, its variables (the first that is set counts) and its places in the file.
struct Known {
    name: &'static str,
    env: &'static [&'static str],
    ini: &'static [(&'static str, &'static str)],
    doc: &'static str,
}

macro_rules! known {
    ($($name:literal [$($env:literal)*] [$($section:literal . $key:literal)*] $doc:literal)*) => {
        &[$(Known { name: $name, env: &[$($env),*], ini: &[$(($section, $key)),*], doc: $doc }),*]
    };
}

/// What is honoured, in the order of the documentation.
const KNOWN: &[Known] = known! {
    "inventory" ["ANSIBLE_INVENTORY"] ["defaults"."inventory"] "where hosts are, between commas"
    "roles_path" ["ANSIBLE_ROLES_PATH"] ["defaults"."roles_path"] "folders of roles: ~/.ansible/roles, /usr/share/ansible/roles, /etc/ansible/roles"
    "collections_path" ["ANSIBLE_COLLECTIONS_PATH" "ANSIBLE_COLLECTIONS_PATHS"] ["defaults"."collections_path" "defaults"."collections_paths"]
        "folders that hold ansible_collections: ~/.ansible/collections, /usr/share/ansible/collections"
    "library" ["ANSIBLE_LIBRARY"] ["defaults"."library"] "folders of own modules"
    "forks" ["ANSIBLE_FORKS"] ["defaults"."forks"] "hosts at once"
    "remote_user" ["ANSIBLE_REMOTE_USER"] ["defaults"."remote_user"] "whom to log in as"
    "private_key_file" ["ANSIBLE_PRIVATE_KEY_FILE"] ["defaults"."private_key_file"] "the key to log in with"
    "host_key_checking" ["ANSIBLE_HOST_KEY_CHECKING" "ANSIBLE_SSH_HOST_KEY_CHECKING"]
        ["defaults"."host_key_checking" "ssh_connection"."host_key_checking"] "whether an unknown host key ends it"
    "timeout" ["ANSIBLE_TIMEOUT" "ANSIBLE_SSH_TIMEOUT"] ["defaults"."timeout" "ssh_connection"."timeout"] "seconds to connect"
    "task_timeout" ["ANSIBLE_TASK_TIMEOUT"] ["defaults"."task_timeout"] "seconds for one task"
    "transport" ["ANSIBLE_TRANSPORT"] ["defaults"."transport"] "ssh or local"
    "become" ["ANSIBLE_BECOME"] ["privilege_escalation"."become"] "become another user"
    "become_user" ["ANSIBLE_BECOME_USER"] ["privilege_escalation"."become_user"] "whom to become"
    "become_method" ["ANSIBLE_BECOME_METHOD"] ["privilege_escalation"."become_method"] "how to become"
    "become_ask_pass" ["ANSIBLE_BECOME_ASK_PASS"] ["privilege_escalation"."become_ask_pass"] "ask for the password of sudo"
    "become_password_file" ["ANSIBLE_BECOME_PASSWORD_FILE"] ["defaults"."become_password_file"] "file with the password of sudo"
    "ask_pass" ["ANSIBLE_ASK_PASS"] ["defaults"."ask_pass"] "ask for the login password"
    "connection_password_file" ["ANSIBLE_CONNECTION_PASSWORD_FILE"] ["defaults"."connection_password_file"] "file with the login password"
    "vault_password_file" ["ANSIBLE_VAULT_PASSWORD_FILE"] ["defaults"."vault_password_file"] "file or program with the vault password"
    "vault_identity_list" ["ANSIBLE_VAULT_IDENTITY_LIST"] ["defaults"."vault_identity_list"] "vault identities, LABEL@FILE, between commas"
    "fact_caching" ["ANSIBLE_CACHE_PLUGIN"] ["defaults"."fact_caching"]
        "whether facts are kept between runs: memory (they are not) or jsonfile"
    "fact_caching_connection" ["ANSIBLE_CACHE_PLUGIN_CONNECTION"] ["defaults"."fact_caching_connection"]
        "the folder that jsonfile keeps them in"
    "fact_caching_prefix" ["ANSIBLE_CACHE_PLUGIN_PREFIX"] ["defaults"."fact_caching_prefix"]
        "what the names of its files begin with"
    "fact_caching_timeout" ["ANSIBLE_CACHE_PLUGIN_TIMEOUT"] ["defaults"."fact_caching_timeout"]
        "seconds that kept facts hold: 86400; 0 is for ever"
    "gathering" ["ANSIBLE_GATHERING"] ["defaults"."gathering"] "implicit, explicit or smart"
    "strategy" ["ANSIBLE_STRATEGY"] ["defaults"."strategy"] "linear, free or host_pinned"
    "force_handlers" ["ANSIBLE_FORCE_HANDLERS"] ["defaults"."force_handlers"] "run notified handlers on hosts that failed"
    "any_errors_fatal" ["ANSIBLE_ANY_ERRORS_FATAL"] ["defaults"."any_errors_fatal"] "a host that fails ends the play for all"
    "allow_broken_conditionals" ["ANSIBLE_ALLOW_BROKEN_CONDITIONALS"] ["defaults"."allow_broken_conditionals"]
        "whether a condition may give what is neither true nor false"
    "error_on_missing_handler" ["ANSIBLE_ERROR_ON_MISSING_HANDLER"] ["defaults"."error_on_missing_handler"]
        "whether a handler that is not there ends the run, or is warned about"
    "inject_facts_as_vars" ["ANSIBLE_INJECT_FACT_VARS"] ["defaults"."inject_facts_as_vars"] "whether facts are variables of their own"
    "hash_behaviour" ["ANSIBLE_HASH_BEHAVIOUR"] ["defaults"."hash_behaviour"] "replace"
    "no_log" ["ANSIBLE_NO_LOG"] ["defaults"."no_log"] "hide all results"
    "run_tags" ["ANSIBLE_RUN_TAGS"] ["tags"."run"] "only tasks with these tags"
    "skip_tags" ["ANSIBLE_SKIP_TAGS"] ["tags"."skip"] "no tasks with these tags"
    "duplicate_dict_key" ["ANSIBLE_DUPLICATE_YAML_DICT_KEY"] ["defaults"."duplicate_dict_key"]
        "a key that stands twice in what is read before the run: warn, error or ignore"
    "host_pattern_mismatch" ["ANSIBLE_HOST_PATTERN_MISMATCH"] ["inventory"."host_pattern_mismatch"]
        "a pattern that matches nothing: warning, error or ignore"
    "unparsed_is_failed" ["ANSIBLE_INVENTORY_UNPARSED_FAILED"] ["inventory"."unparsed_is_failed"]
        "whether it ends the run that no source of the inventory can be read"
    "any_unparsed_is_failed" ["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] ["inventory"."any_unparsed_is_failed"]
        "whether it ends the run that one source of the inventory cannot be read"
    "force_valid_group_names" ["ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS"] ["defaults"."force_valid_group_names"]
        "groups that are no variable names: never, ignore, always or silently"
    "verbosity" ["ANSIBLE_VERBOSITY"] ["defaults"."verbosity"] "as many v"
    "diff_always" ["ANSIBLE_DIFF_ALWAYS"] ["diff"."always"] "show differences"
    "nocolor" ["ANSIBLE_NOCOLOR" "NO_COLOR"] ["defaults"."nocolor"] "no colours"
    "force_color" ["ANSIBLE_FORCE_COLOR"] ["defaults"."force_color"] "colours, whatever the output is"
    "display_ok_hosts" ["ANSIBLE_DISPLAY_OK_HOSTS"] ["defaults"."display_ok_hosts"] "show results that changed nothing"
    "display_skipped_hosts" ["ANSIBLE_DISPLAY_SKIPPED_HOSTS" "DISPLAY_SKIPPED_HOSTS"] ["defaults"."display_skipped_hosts"] "show what was skipped"
    "display_failed_stderr" ["ANSIBLE_DISPLAY_FAILED_STDERR"] ["defaults"."display_failed_stderr"] "failures go to standard error"
    "show_custom_stats" ["ANSIBLE_SHOW_CUSTOM_STATS"] ["defaults"."show_custom_stats"] "set_stats at the end"
    "show_task_path_on_failure" ["ANSIBLE_SHOW_TASK_PATH_ON_FAILURE"] ["defaults"."show_task_path_on_failure"] "where a failed task stands"
    "check_mode_markers" ["ANSIBLE_CHECK_MODE_MARKERS"] ["defaults"."check_mode_markers"] "banners say CHECK MODE"
    "log_path" ["ANSIBLE_LOG_PATH"] ["defaults"."log_path"] "a file that all lines are added to, each with its time"
    "log_verbosity" ["ANSIBLE_LOG_VERBOSITY"] ["defaults"."log_verbosity"] "how much that file is told, as many v"
    "deprecation_warnings" ["ANSIBLE_DEPRECATION_WARNINGS"] ["defaults"."deprecation_warnings"] "whether what Ansible will not take any more one day is warned of"
    "callback_result_format" ["ANSIBLE_CALLBACK_RESULT_FORMAT"] ["defaults"."callback_result_format"] "results as json, or as yaml below their line"
    "callback_format_pretty" ["ANSIBLE_CALLBACK_FORMAT_PRETTY"] ["defaults"."callback_format_pretty"] "results over several lines"
    "callbacks_enabled" ["ANSIBLE_CALLBACKS_ENABLED"] ["defaults"."callbacks_enabled"] "default"
    "stdout_callback" ["ANSIBLE_STDOUT_CALLBACK"] ["defaults"."stdout_callback"] "default"
};

/// Sections of the file that tune what is not here.
const OTHER_SECTIONS: &[&str] = &[
    "colors",
    "galaxy",
    "jinja2",
    "paramiko_connection",
    "persistent_connection",
    "powershell",
    "selinux",
    "netconf_connection",
];

/// Settings that change nothing here, whatever they say: there is no Python, no cow, no controller's cache.
const MEANINGLESS: &[&str] = &[
    "action_warnings",
    "ansible_managed",
    "command_warnings",
    "config_file",
    "control_path",
    "control_path_dir",
    "cow_selection",
    "cow_path",
    "cow_whitelist",
    "cowpath",
    "debug",
    "devel_warning",
    "display_args_to_stdout",
    "display_traceback",
    "executable",
    "gather_timeout",
    "galaxy_server_list",
    "home",
    "interpreter_python",
    "internal_poll_interval",
    "keep_remote_files",
    "load_callback_plugins",
    "local_tmp",
    "localhost_warning",
    "inventory_unparsed_warning",
    "max_diff_size",
    "module_compression",
    "module_strict_utf8_response",
    "nocows",
    "pager",
    "pipelining",
    "pipeline",
    "playbook_dir",
    "poll_interval",
    "python_interpreter",
    "python_module_rlimit_nofile",
    "remote_tmp",
    "retry_files_enabled",
    "retry_files_save_path",
    "retries",
    "role_skeleton",
    "scp_if_ssh",
    "sftp_batch_mode",
    "ssh_control_path",
    "ssh_control_path_dir",
    "ssh_pipelining",
    "ssh_retries",
    "ssh_transfer_method",
    "system_tmpdirs",
    "system_warnings",
    "task_debugger_ignore_errors",
    "transfer_method",
    "usetty",
    "use_persistent_connections",
    "wait_for_host_key",
];

/// Variables named like settings that are none.
const NO_SETTINGS: &[&str] = &["ANSIBLE_CONFIG", "ANSIBLE_DIR", "ANSIBLE_MODULE_ARGS", "ANSIBLE_JINJA"];

/// What the file and the environment set.
#[derive(Debug, Default)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<PathBuf>,
    values: HashMap<&'static str, (String, PathBuf)>,
    /// What is set and has no effect here, for one warning.
    pub unheeded: Vec<String>,
}

impl Settings {
    /// Reads the file that Ansible would read, and the environment over it.
    pub fn read() -> anyhow::Result<Settings> {
        let file = find_file();
        let text = match &file {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
            None => String::new(),
        };
        let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Settings::of(file, &text, &vars.collect())
    }

    fn of(file: Option<PathBuf>, text: &str, env: &HashMap<String, String>) -> anyhow::Result<Settings> {
        let shown = file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
        let Some(sections) = ini(text) else {
            bail!("{shown} is no ini file: sections in brackets, and `name = value` below them");
        };
        let mut settings = Settings { file, ..Settings::default() };
        let folder = settings.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        for known in KNOWN {
            let from_env = known.env.iter().find_map(|n| env.get(*n)).filter(|v| !v.is_empty());
            let from_file = || known.ini.iter().find_map(|(s, k)| sections.get(s)?.get(k).map(Value::to_string));
            if let Some(value) = from_env {
                settings.values.insert(known.name, (value.clone(), PathBuf::new()));
            } else if let Some(value) = from_file() {
                let value = value.split(" ;").next().unwrap_or_default().trim().to_owned();
                settings.values.insert(known.name, (value, folder.clone()));
            }
        }
        for (section, keys) in sections.as_dict().into_iter().flatten() {
            let section = section.to_string();
            for (key, _) in keys.as_dict().into_iter().flatten() {
                let key = key.to_string();
                let known = KNOWN.iter().any(|k| k.ini.contains(&(section.as_str(), key.as_str())));
                if !known && !is_meaningless(&key) && !OTHER_SECTIONS.contains(&section.as_str()) {
                    settings.unheeded.push(format!("{key} in [{section}] of {shown}"));
                }
            }
        }
        let mut names: Vec<&String> = env.keys().filter(|k| k.starts_with("ANSIBLE_")).collect();
        names.sort();
        for name in names {
            let known = KNOWN.iter().any(|k| k.env.contains(&name.as_str())) || NO_SETTINGS.contains(&name.as_str());
            let plain = name["ANSIBLE_".len()..].to_lowercase();
            if !known && !is_meaningless(&plain) && !name.starts_with("ANSIBLE_TEST_") {
                settings.unheeded.push(name.clone());
            }
        }
        if settings.text("fact_caching").is_some_and(|k| !matches!(plain(k), "memory" | "jsonfile")) {
            settings.unheeded.push("fact_caching (there are memory and jsonfile)".into());
        }
        if settings.text("callback_result_format").is_some_and(|f| !matches!(f, "json" | "yaml")) {
            settings.unheeded.push("callback_result_format (there are json and yaml)".into());
        }
        // Of these one value is the only one here.
        for (name, only, why) in [
            ("hash_behaviour", "replace", "variables of higher rank replace"),
            ("stdout_callback", "default", "see --output"),
            ("callbacks_enabled", "default", "see --output"),
        ] {
            let said = settings.text(name).map(|t| t.strip_prefix("ansible.builtin.").unwrap_or(t));
            if said.is_some_and(|s| s != only) {
                settings.unheeded.push(format!("{name} ({why})"));
            }
        }
        Ok(settings)
    }

    /// A text as it was written.
    pub fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(KNOWN.iter().any(|k| k.name == name), "{name} is in no table");
        self.values.get(name).map(|(text, _)| text.as_str()).filter(|t| !t.is_empty())
    }

    pub fn yes(&self, name: &str) -> Option<bool> {
        truth(&Value::str(self.text(name)?))
    }

    /// How much the log is told, where that differs from the run's own verbosity.
    pub fn log_verbosity(&self) -> Option<u8> {
        self.number("log_verbosity").map(|n| n.min(6) as u8)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    pub fn words(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect()
    }

    /// A path; one in the file starts from the file's folder.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(|p| self.resolved(name, p))
    }

    /// Folders between colons.
    pub fn paths(&self, name: &str) -> Vec<PathBuf> {
        let default = match name {
            "roles_path" => "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles",
            "collections_path" => "~/.ansible/collections:/usr/share/ansible/collections",
            _ => "",
        };
        let text = self.text(name).unwrap_or(default);
        text.split(':').filter(|p| !p.is_empty()).map(|p| self.resolved(name, p)).collect()
    }

    fn resolved(&self, name: &str, path: &str) -> PathBuf {
        let folder = self.values.get(name).map(|(_, folder)| folder.clone()).unwrap_or_default();
        match (path.strip_prefix('~'), std::env::var("HOME")) {
            (Some(rest), Ok(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => folder.join(path.replace("{{CWD}}", ".")),
        }
    }

    /// Where facts are kept between runs.
    pub fn fact_cache(&self, flush: bool) -> anyhow::Result<Option<FactCache>> {
        if self.text("fact_caching").map(plain) != Some("jsonfile") {
            return Ok(None);
        }
        let Some(dir) = self.path("fact_caching_connection") else {
            bail!("the fact cache `jsonfile` needs a folder: set `fact_caching_connection`");
        };
        let holds = match self.text("fact_caching_timeout").map(|t| t.trim().parse::<u64>()) {
            None => Some(86_400),
            Some(Ok(seconds)) => Some(seconds).filter(|s| *s > 0),
            Some(Err(_)) => bail!("`fact_caching_timeout` must be a number of seconds"),
        };
        let prefix = self.text("fact_caching_prefix").unwrap_or_default();
        FactCache::open(dir, prefix, holds.map(std::time::Duration::from_secs), flush).map(Some).map_err(|e| anyhow!(e))
    }

    /// The sources of the inventory: paths, or lists of hosts.
    pub fn inventory(&self) -> Vec<String> {
        let text = self.text("inventory").unwrap_or_default();
        let one = |p: &str| self.resolved("inventory", p).display().to_string();
        match text.contains(',') && !text.contains('/') {
            // `host1,host2,` is a list of hosts, `a,b` two sources.
            true if text.ends_with(',') => vec![text.to_owned()],
            _ => text.split(',').map(str::trim).filter(|p| !p.is_empty()).map(one).collect(),
        }
    }

    /// Lays the settings under what the command line says.
    pub fn fill(&self, play: &mut Play) {
        let text = |name: &str| self.text(name).map(str::to_owned);
        play.forks = play.forks.or(self.number("forks").map(|f| f as usize));
        play.user = play.user.take().or_else(|| text("remote_user"));
        play.private_key = play.private_key.take().or_else(|| self.path("private_key_file"));
        let transport = text("transport").filter(|t| t != "smart" && t != "ssh");
        play.connection = play.connection.take().or(transport);
        play.timeout = play.timeout.or(self.number("timeout"));
        play.task_timeout = play.task_timeout.or(self.number("task_timeout"));
        play.become_ |= self.yes("become").unwrap_or(false);
        play.become_user = play.become_user.take().or_else(|| text("become_user"));
        play.become_method = play.become_method.take().or_else(|| text("become_method"));
        play.force_handlers |= self.yes("force_handlers").unwrap_or(false);
        play.diff |= self.yes("diff_always").unwrap_or(false);
        if play.tags.is_empty() {
            play.tags = self.words("run_tags");
        }
        if play.skip_tags.is_empty() {
            play.skip_tags = self.words("skip_tags");
        }
        self.fill_secrets(&mut play.secrets);
        self.fill_output(&mut play.output);
    }

    pub fn fill_secrets(&self, secrets: &mut Secrets) {
        secrets.ask_pass |= self.yes("ask_pass").unwrap_or(false);
        secrets.ask_become_pass |= self.yes("become_ask_pass").unwrap_or(false);
        let file = |given: &mut Option<PathBuf>, name| *given = given.take().or_else(|| self.path(name));
        file(&mut secrets.connection_password_file, "connection_password_file");
        file(&mut secrets.become_password_file, "become_password_file");
        secrets.vault_id.splice(0..0, self.words("vault_identity_list"));
        if secrets.vault_password_file.is_empty() && !secrets.ask_vault_password {
            secrets.vault_password_file.extend(self.path("vault_password_file"));
        }
    }

    pub fn fill_output(&self, output: &mut Output) {
        if output.verbose == 0 {
            output.verbose = self.number("verbosity").unwrap_or(0).min(6) as u8;
        }
    }

    /// What is set and has no effect, in one line.
    pub fn warn(&self) {
        if !self.unheeded.is_empty() {
            eprintln!("[WARNING]: settings that have no effect here: {}", self.unheeded.join(", "));
        }
    }
}

/// A plugin's name without its collection.
fn plain(plugin: &str) -> &str {
    plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin)
}

/// The table, for `--help`.
pub fn help() -> String {
    let mut text = "Settings of ansible.cfg (ANSIBLE_CONFIG, ./ansible.cfg, ~/.ansible.cfg, /etc/ansible/ansible.cfg) and of the \
                    environment that are honoured; the command line goes before the environment, that before the file:\n"
        .to_owned();
    for known in KNOWN {
        let (section, key) = known.ini.first().copied().unwrap_or_default();
        let env = known.env.first().copied().unwrap_or_default();
        text += &format!("  [{section}] {key}, {env}: {}\n", known.doc);
    }
    text
}

fn is_meaningless(name: &str) -> bool {
    MEANINGLESS.contains(&name)
}

/// The file that Ansible would read: the first that is there of `ANSIBLE_CONFIG`, `./ansible.cfg` (unless others may write into
/// the folder), `~/.ansible.cfg`, `/etc/ansible/ansible.cfg`.
fn find_file() -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(named) = std::env::var_os("ANSIBLE_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from) {
        let file = if named.is_dir() { named.join("ansible.cfg") } else { named };
        return file.is_file().then_some(file);
    }
    let open = std::fs::metadata(".").is_ok_and(|m| m.permissions().mode() & 0o002 != 0);
    let here = std::env::current_dir().ok().map(|d| d.join("ansible.cfg")).filter(|f| f.is_file());
    match here {
        Some(_) if open => eprintln!("[WARNING]: ./ansible.cfg is passed over, as others may write into this folder"),
        Some(file) => return Some(file),
        None => {}
    }
    let home = std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".ansible.cfg"));
    home.into_iter().chain([PathBuf::from("/etc/ansible/ansible.cfg")]).find(|f| f.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, env: &[(&str, &str)]) -> Settings {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::of(Some("/site/ansible.cfg".into()), text, &env).unwrap()
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let s = of(
            "[defaults]\nforks = 7\nroles_path = ours:/abs\n[privilege_escalation]\nbecome=yes ; always\n",
            &[("ANSIBLE_FORKS", "9")],
        );
        assert_eq!(s.number("forks"), Some(9));
        assert_eq!(s.paths("roles_path"), [PathBuf::from("/site/ours"), "/abs".into()]);
        assert_eq!(s.yes("become"), Some(true));
        assert!(s.unheeded.is_empty(), "{:?}", s.unheeded);
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let s = of(
            "[defaults]\nfact_caching = redis\nnocows = 1\n[colors]\nok = red\n",
            &[
                ("ANSIBLE_CALLBACKS_ENABLED", "timer"),
                ("ANSIBLE_CALLBACK_RESULT_FORMAT", "toml"),
                ("ANSIBLE_PIPELINING", "1"),
                ("ANSIBLE_HASH_BEHAVIOUR", "merge"),
            ],
        );
        assert_eq!(
            s.unheeded,
            [
                "fact_caching (there are memory and jsonfile)",
                "callback_result_format (there are json and yaml)",
                "hash_behaviour (variables of higher rank replace)",
                "callbacks_enabled (see --output)"
            ]
        );
    }

    #[test]
    fn inventories_between_commas() {
        assert_eq!(of("[defaults]\ninventory = hosts,more\n", &[]).inventory(), ["/site/hosts", "/site/more"]);
        assert_eq!(of("", &[("ANSIBLE_INVENTORY", "a,b,")]).inventory(), ["a,b,"]);
    }
}
