//! Asks a StarlingX platform and tells it what to do, through the command lines on its active controller.
//!
//! An answer is judged by its content, never by an exit code alone. No answer is a sight of its own ([`No::Away`]), never
//! a default: the API is away for a while at every swact and reboot. In a check run, what earlier steps would have done
//! (`supposed`, keys `stx/…`) is laid over what was read.

mod hosts;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::Failure;
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::value::{Dict, Key, Value};

pub use hosts::*;

use super::advice::Advice;
use super::state::{LoadState, Severity, UpgradeState};
use super::tables::{List, Object, Unreadable};

/// The credentials of the platform; a host without it is not configured (yet).
pub const OPENRC: &str = "/etc/platform/openrc";
/// What is installed, as `SW_VERSION="…"`.
pub const BUILD_INFO: &str = "/etc/build.info";
/// Stands once a host was unlocked for the first time.
pub const CONFIGURED: &str = "/etc/platform/.initial_config_complete";
/// Stands from the begin of a restore to the unlock.
pub const RESTORING: &str = "/etc/platform/.restore_in_progress";

/// Stands where the system keeps its volumes in Ceph.
pub const CEPH_CONFIGURED: &str = "/etc/platform/.node_ceph_configured";

/// How long a first question waits for an API that is away.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long Keystone may refuse the keyring's password: it has answered, and more time makes no password right.
const REFUSED: Duration = Duration::from_secs(6);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum No {
    /// There are no credentials: the host is bare or not configured yet.
    #[error("the platform is not configured on this host: {OPENRC} is not there")]
    Bare,
    /// This controller is not the active one.
    #[error("this controller is not the active one")]
    Standby,
    /// The credentials were not taken.
    #[error("not authenticated: {0}")]
    NotAuthenticated(String),
    /// The API does not answer.
    #[error("the platform does not answer: {0}")]
    Away(String),
    /// The platform refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The client does not know the command or an option.
    #[error("the client does not know this command: {0}")]
    Usage(String),
    /// It answered what cannot be read.
    #[error("`{command}`: {source}")]
    Unreadable { command: String, source: Unreadable },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl From<No> for Failure {
    fn from(no: No) -> Failure {
        match no {
            No::Host(error) => Failure::Host(error),
            No::Bare => Advice::failed(no.to_string())
                .cause(format!("{OPENRC} is missing: the host was reinstalled and not restored yet, or is no controller"))
                .next("after a reinstall: `stx-upgrade play restore.yml`; else name the active controller in the inventory")
                .into(),
            No::Standby => Advice::failed(no.to_string())
                .cause("the platform's credentials can only be loaded on the active controller")
                .next("name the active controller (or the floating address) in the inventory")
                .into(),
            No::NotAuthenticated(_) => Advice::failed(no.to_string())
                .cause("the platform did not take the password that its keyring holds for `admin`")
                .next("on the host: `source /etc/platform/openrc && system show`; put the password right, then `stx-upgrade resume`")
                .into(),
            No::Away(_) => Advice::failed(no.to_string())
                .cause("keystone or sysinv-api does not answer; after a reboot or swact that can take minutes")
                .next("`stx-upgrade resume` once `system show` answers on the host")
                .into(),
            No::Refused(_) | No::Usage(_) | No::Unreadable { .. } => Failure::new(no.to_string()),
        }
    }
}

/// `system` with these words, the credentials loaded in the same shell: nothing secret is on a command line.
pub fn system(words: &[&str]) -> Command {
    client("system", words)
}

/// A client that needs the platform's credentials.
fn client(program: &str, words: &[&str]) -> Command {
    let script = format!("source {OPENRC} && exec \"$0\" \"$@\"");
    let head = ["/bin/bash", "-c", &script, program];
    // Wide enough that what has no `--nowrap` does not wrap.
    Command::new(head.iter().chain(words).copied()).env("COLUMNS", "4000").timeout(Duration::from_secs(660))
}

/// Sorts what a client answered. `asked` is a question: its refusals are few and known, so that other errors are a
/// platform that does not answer.
fn sort(output: Output, asked: bool) -> Result<String, No> {
    let (said, complaint) = (output.text(), output.error_text());
    if said.contains("credentials can only be loaded from the active controller") {
        return Err(No::Standby);
    }
    if output.success() {
        return Ok(said);
    }
    // openrc may have printed something of its own; the client's fault is the last line.
    let last = complaint.lines().rev().map(str::trim).find(|l| !l.is_empty());
    let fault = last.or_else(|| said.lines().rev().map(str::trim).find(|l| !l.is_empty()));
    let fault = fault.map_or_else(|| format!("no message (exit code {})", output.rc), str::to_owned);
    let has = |words: &[&str]| words.iter().any(|w| fault.to_lowercase().contains(w));
    if output.rc == 2 && (complaint.contains("usage:") || has(&["invalid choice", "unrecognized arguments"])) {
        return Err(No::Usage(fault));
    }
    if has(&["invalid identity credentials", "http 401", "requires authentication"]) {
        return Err(No::NotAuthenticated(fault));
    }
    let away = has(&[
        // The keyring lies on a volume that comes with the services: without it there is no password yet.
        "you must provide a",
        "connection refused",
        "unable to establish connection",
        "econnrefused",
        "max retries exceeded",
        "service unavailable",
        "bad gateway",
        "http 502",
        "http 503",
        "gateway time",
        "timed out",
        "timeout",
        "error communicating",
        "could not connect",
        "unable to communicate",
        "remote end closed",
        "connection aborted",
        "connection reset",
        "no route to host",
        "unable to connect",
        "authorization failed",
        "keystone",
    ]);
    let known = fault.contains("not found") || fault.contains("does not exist");
    if away || (asked && !known) { Err(No::Away(fault)) } else { Err(No::Refused(fault)) }
}

/// Asks `system`; one try.
pub fn ask(host: &mut dyn Look, words: &[&str]) -> Result<String, No> {
    if host.stat(Path::new(OPENRC), true)?.is_none() {
        return Err(No::Bare);
    }
    sort(host.query(&system(words))?, true)
}

/// Asks another client of the platform (`fm`).
pub fn ask_client(host: &mut dyn Look, program: &str, words: &[&str]) -> Result<String, No> {
    if host.stat(Path::new(OPENRC), true)?.is_none() {
        return Err(No::Bare);
    }
    sort(host.query(&client(program, words))?, true)
}

/// Repeats a question while the platform does not answer.
pub fn patiently<T>(host: &mut dyn Look, mut ask: impl FnMut(&mut dyn Look) -> Result<T, No>) -> Result<T, No> {
    let mut last = None;
    let mut refused = None;
    let wait = Wait::new("the platform to answer", PATIENCE).at_most_every(Duration::from_secs(5));
    let answer = wait.until(host, |host| match ask(host) {
        Err(no @ No::NotAuthenticated(_)) if refused.get_or_insert_with(Instant::now).elapsed() >= REFUSED => {
            Ok(Sight::Done(Err(no)))
        }
        Err(no @ (No::Away(_) | No::NotAuthenticated(_))) => {
            if matches!(no, No::Away(_)) {
                refused = None;
            }
            let seen = no.to_string();
            last = Some(no);
            Ok(Sight::NotYet(seen))
        }
        other => Ok(Sight::Done(other)),
    });
    match answer {
        Ok(answer) => answer,
        Err(WaitError::Host(HostError::Deadline { .. })) | Err(WaitError::TimedOut { .. }) => {
            Err(last.unwrap_or_else(|| No::Away("no answer".into())))
        }
        Err(WaitError::Never { why, .. }) => Err(No::Away(why)),
        Err(WaitError::Host(error)) => Err(No::Host(error)),
    }
}

/// Tells `system` to do something. `stdin` answers its prompts; `effects` is what later steps of a check run see.
pub fn tell(host: &mut dyn Act, words: &[&str], stdin: Option<&str>, effects: &[Effect]) -> Result<String, No> {
    if host.stat(Path::new(OPENRC), true)?.is_none() {
        return Err(No::Bare);
    }
    let mut command = system(words);
    command.stdin = stdin.map(|s| s.as_bytes().to_vec());
    sort(host.run_expecting(&command, effects)?, false)
}

/// For an answer of `system` that cannot be read.
pub(super) fn unreadable(words: &[&str]) -> impl FnOnce(Unreadable) -> No {
    let command = format!("system {}", words.join(" "));
    move |source| No::Unreadable { command, source }
}

/// The system as a whole (`system show`).
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    pub name: String,
    pub uuid: String,
    /// `All-in-one` or `Standard`.
    pub kind: String,
    /// `simplex`, `duplex`, `duplex-direct`.
    pub mode: String,
    pub version: String,
}

impl System {
    pub fn simplex(&self) -> bool {
        self.mode == "simplex"
    }
}

/// Whether a check run has reinstalled the host: then only what is supposed can be known of the platform.
pub(super) fn reinstalled(host: &dyn Look) -> bool {
    host.supposed("stx/wiped").is_some()
}

/// Fails where there are no credentials.
pub(super) fn needs_openrc(host: &mut dyn Look) -> Result<(), No> {
    // Without credentials nobody could ask, whatever is supposed.
    if host.stat(Path::new(OPENRC), true)?.is_none() { Err(No::Bare) } else { Ok(()) }
}

/// The effects that keep what is known of the system beyond a reinstall in a check run.
pub fn supposed_system(system: &System, hosts: &[String]) -> [Effect; 3] {
    let fields = dict! {
        "name" => system.name.as_str(), "uuid" => system.uuid.as_str(), "system_type" => system.kind.as_str(),
        "system_mode" => system.mode.as_str(), "software_version" => system.version.as_str(),
    };
    [
        Effect::Suppose("stx/wiped".into(), true.into()),
        Effect::Suppose("stx/system".into(), Value::dict(fields)),
        Effect::Suppose("stx/hosts".into(), hosts.iter().map(String::as_str).collect()),
    ]
}

/// Asks for the system.
pub fn show(host: &mut dyn Look) -> Result<System, No> {
    if let Some(supposed) = host.supposed("stx/system") {
        needs_openrc(host)?;
        let field = |name: &str| supposed.get(name).map(Value::to_string).unwrap_or_default();
        let version = host.supposed("stx/release").map_or_else(|| field("software_version"), |v| v.to_string());
        return Ok(System {
            name: field("name"),
            uuid: field("uuid"),
            kind: field("system_type"),
            mode: field("system_mode"),
            version,
        });
    }
    let object = Object::parse(&ask(host, &["show"])?).map_err(unreadable(&["show"]))?;
    let need = |name| object.need(name).map_err(unreadable(&["show"]));
    let mut system = System {
        name: need("name")?,
        uuid: need("uuid")?,
        kind: need("system_type")?,
        mode: need("system_mode")?,
        version: need("software_version")?,
    };
    if let Some(version) = host.supposed("stx/release") {
        system.version = version.to_string();
    }
    Ok(system)
}

/// A platform upgrade under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    pub uuid: String,
    pub state: UpgradeState,
    pub from: String,
    pub to: String,
}

impl Upgrade {
    /// The effect that makes later steps of a check run see the upgrade in another state.
    pub fn supposed(&self, state: &UpgradeState) -> Effect {
        let fields = dict! {
            "uuid" => self.uuid.as_str(), "state" => state.word(),
            "from_release" => self.from.as_str(), "to_release" => self.to.as_str(),
        };
        Effect::Suppose("stx/upgrade".into(), Value::dict(fields))
    }
}

/// Asks for the upgrade under way; `None` if there is none.
pub fn upgrade(host: &mut dyn Look) -> Result<Option<Upgrade>, No> {
    if let Some(supposed) = host.supposed("stx/upgrade") {
        needs_openrc(host)?;
        let field = |name: &str| supposed.get(name).map(Value::to_string).unwrap_or_default();
        return Ok((!supposed.is_null()).then(|| Upgrade {
            uuid: field("uuid"),
            state: UpgradeState::of(&field("state")),
            from: field("from_release"),
            to: field("to_release"),
        }));
    }
    let text = ask(host, &["upgrade-show"])?;
    if text.contains("No upgrade in progress") {
        return Ok(None);
    }
    let object = Object::parse(&text).map_err(unreadable(&["upgrade-show"]))?;
    let need = |name| object.need(name).map_err(unreadable(&["upgrade-show"]));
    Ok(Some(Upgrade {
        uuid: need("uuid")?,
        state: UpgradeState::of(&need("state")?),
        from: need("from_release")?,
        to: need("to_release")?,
    }))
}

/// A load that the system holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub id: String,
    pub state: LoadState,
    pub version: String,
}

/// Asks for the loads.
pub fn loads(host: &mut dyn Look) -> Result<Vec<Load>, No> {
    let words = ["load-list", "--nowrap"];
    let list = if reinstalled(host) {
        needs_openrc(host)?;
        List::default()
    } else {
        List::parse(&ask(host, &words)?).map_err(unreadable(&words))?
    };
    let read = list.rows().map(|row| {
        Ok(Load {
            id: row.need("id")?,
            state: LoadState::of(&row.need("state")?),
            version: row.need("software_version")?,
        })
    });
    let mut loads = read.collect::<Result<Vec<Load>, Unreadable>>().map_err(unreadable(&words))?;
    if let Some(Value::Dict(supposed)) = host.supposed("stx/loads") {
        for (version, state) in supposed.iter() {
            let (version, state) = (version.to_string(), state.to_string());
            loads.retain(|l| l.version != version);
            if state != "absent" {
                loads.push(Load { id: "(new)".into(), state: LoadState::of(&state), version });
            }
        }
    }
    Ok(loads)
}

/// The effect that makes later steps see loads in these states; `absent` for none.
pub fn supposed_loads(host: &dyn Look, states: &[(&str, &str)]) -> Effect {
    let mut all: Dict = match host.supposed("stx/loads") {
        Some(Value::Dict(supposed)) => supposed.as_ref().clone(),
        _ => Dict::new(),
    };
    all.extend(states.iter().map(|(version, state)| (Key::from(*version), Value::from(*state))));
    Effect::Suppose("stx/loads".into(), Value::dict(all))
}

/// An active alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub id: String,
    pub text: String,
    /// What it is about: `host=controller-0`.
    pub entity: String,
    pub severity: Severity,
    /// fm's word for the severity.
    pub severity_word: String,
    /// Whether it is in the way of maintenance.
    pub management: bool,
}

impl Alarm {
    /// As a module returns it.
    pub fn to_value(&self) -> Value {
        Value::dict(dict! {
            "id" => self.id.as_str(), "entity" => self.entity.as_str(), "severity" => self.severity_word.as_str(),
            "text" => self.text.as_str(), "management_affecting" => self.management,
        })
    }
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} on {}: {}", self.severity_word, self.id, self.entity, self.text)
    }
}

/// Asks for the active alarms; suppressed ones are not among them.
pub fn alarms(host: &mut dyn Look) -> Result<Vec<Alarm>, No> {
    let words = ["alarm-list", "--nowrap", "--mgmt_affecting"];
    let unreadable = |source| No::Unreadable { command: format!("fm {}", words.join(" ")), source };
    let list = List::parse(&ask_client(host, "fm", &words)?).map_err(unreadable)?;
    let read = list.rows().map(|row| {
        let severity_word = row.need("Severity")?;
        Ok(Alarm {
            id: row.need("Alarm ID")?,
            text: row.get("Reason Text").unwrap_or_default(),
            entity: row.need("Entity ID")?,
            severity: Severity::of(&severity_word),
            severity_word,
            management: row.need("Management Affecting")? != "False",
        })
    });
    read.collect::<Result<Vec<Alarm>, Unreadable>>().map_err(unreadable)
}

/// The release that is installed, by `/etc/build.info`: it answers on a bare host too.
pub fn installed_release(host: &mut dyn Look) -> Result<Option<String>, HostError> {
    shell_value(host, BUILD_INFO, "SW_VERSION")
}

/// A value of a file of `key=value` or `KEY="value"` lines; `None` without the file or the key.
pub fn shell_value(host: &mut dyn Look, file: &str, key: &str) -> Result<Option<String>, HostError> {
    let path = Path::new(file);
    if host.stat(path, true)?.is_none() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&host.read(path)?).into_owned();
    let value = text.lines().filter_map(|line| line.trim().split_once('=')).find(|(k, _)| k.trim() == key);
    Ok(value.map(|(_, v)| v.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty()))
}

/// Turns "no answer yet" into a sight to wait on, for probes: a refusal or an unreadable answer ends the wait.
pub fn sight<T>(answer: Result<T, No>, judge: impl FnOnce(T) -> Sight<T>) -> Result<Sight<T>, HostError> {
    match answer {
        Ok(found) => Ok(judge(found)),
        Err(No::Host(error)) => Err(error),
        Err(no @ (No::Away(_) | No::NotAuthenticated(_) | No::Bare | No::Standby)) => Ok(Sight::NotYet(no.to_string())),
        Err(no) => Ok(Sight::Never(no.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(rc: i32, err: &str) -> Output {
        Output { rc, stderr: err.as_bytes().to_vec(), ..Output::default() }
    }

    #[test]
    fn refused_away_and_not_authenticated_are_told_apart() {
        let no = sort(failed(1, "upgrade-start rejected: An upgrade is already in progress."), false).unwrap_err();
        assert!(matches!(no, No::Refused(text) if text.starts_with("upgrade-start rejected")));
        assert!(matches!(sort(failed(1, "Invalid Identity credentials."), true), Err(No::NotAuthenticated(_))));
        for away in ["[Errno 111] Connection refused", "Service Unavailable (HTTP 503)"] {
            assert!(matches!(sort(failed(1, away), false), Err(No::Away(_))), "{away}");
        }
        // A question has few refusals of its own; anything odd is a platform that is not back yet.
        assert!(matches!(sort(failed(1, "'NoneType' object is not iterable"), true), Err(No::Away(_))));
        assert!(matches!(sort(failed(1, "host not found: nosuch"), true), Err(No::Refused(_))));
        assert!(matches!(
            sort(failed(2, "usage: system\nsystem: error: invalid choice: 'x'"), true),
            Err(No::Usage(_))
        ));
    }

    #[test]
    fn a_standby_controller_is_not_a_platform_that_is_away() {
        let said = "Openstack Admin credentials can only be loaded from the active controller.";
        let output =
            Output { rc: 1, stdout: said.into(), stderr: b"You must provide a password".to_vec(), ..Output::default() };
        assert!(matches!(sort(output, true), Err(No::Standby)));
    }

    #[test]
    fn no_secret_is_on_the_command_line() {
        let command = system(&["host-lock", "controller-0; reboot"]);
        assert_eq!(command.argv[3..], ["system", "host-lock", "controller-0; reboot"]);
        assert!(command.argv[2].starts_with("source /etc/platform/openrc && exec"));
    }
}
