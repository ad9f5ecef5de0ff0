//! Why there is no link, told so that the operator knows what to do; and how ssh's words become these errors.

use std::time::Duration;

use super::target::Target;
use crate::action::wait::human;

/// What can go wrong between the engine and an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The host cannot be reached, or closes the connection: it may be down, booting, or elsewhere.
    #[error("{host} is unreachable: {why}")]
    Unreachable { host: String, why: String },
    #[error("{host} did not answer within {}: {what}", human(*.after))]
    TimedOut { host: String, what: String, after: Duration },
    #[error(
        "{host} does not let {} in ({methods}): {why}",
        .user.as_deref().unwrap_or("this user")
    )]
    Authentication { host: String, user: Option<String>, methods: String, why: String },
    #[error(
        "the host key of {host} is not known: run `{command}`, compare the fingerprint it shows with the host's own, and answer yes"
    )]
    HostKeyUnknown { host: String, command: String },
    /// `offered` is the fingerprint that the host shows, `known` the fingerprint and place of the one on record.
    #[error(
        "the host key of {host} has CHANGED: it was reinstalled, or somebody is in between. It shows {}{}. If that is the \
         host's own, forget the old one with `{command}`", 
        .offered.as_deref().unwrap_or("another key"),
        .known.as_ref().map(|k| format!(", and known is {k}")).unwrap_or_default()
    )]
    HostKeyChanged { host: String, offered: Option<String>, known: Option<String>, command: String },
    /// The link died. What was sent and not answered is in doubt; what was not sent did not happen.
    #[error("the link to {host} was lost: {why}")]
    Lost { host: String, why: String, sent: bool },
    /// The agent will not serve.
    #[error("{host}: {why}")]
    Refused { host: String, why: String },
    #[error("{host}: the agent cannot be placed there: {why}")]
    Upload { host: String, why: String },
    /// What answers does not speak as an agent does.
    #[error("{host}: {why}")]
    Broken { host: String, why: String },
    /// A file could not be fetched.
    #[error("{host}: {why}")]
    File { host: String, why: String },
}

impl LinkError {
    /// Whether trying again may help: the host may come up, the network may heal. Not so for keys and passwords.
    pub fn is_passing(&self) -> bool {
        matches!(self, LinkError::Unreachable { .. } | LinkError::TimedOut { .. } | LinkError::Lost { .. })
    }
}

/// What ssh's standard error means. ssh has one exit code for everything and its messages are not translated.
pub(super) fn from_ssh(target: &Target, said: &str) -> LinkError {
    let host = target.host.clone();
    let has = |words: &str| said.contains(words);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(2)..].join("; ");
    let why = if last.is_empty() { "ssh ended without a word".to_owned() } else { last };

    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let offered = (lines.iter().skip_while(|l| !l.starts_with("The fingerprint for the")).nth(1))
            .map(|l| l.trim_end_matches('.').to_owned());
        let offending = said.split_once("Offending ").and_then(|(_, rest)| rest.lines().next());
        let known = offending.and_then(|l| l.split_once(" in ")).map(|(_, place)| place.trim().to_owned());
        let file = known.as_deref().and_then(|place| place.rsplit_once(':'));
        let file = file.map(|(file, _line)| format!(" -f '{file}'")).unwrap_or_default();
        let command = format!("ssh-keygen{file} -R '{}'", target.spelled());
        return LinkError::HostKeyChanged { host, offered, known, command };
    }
    if has("Host key verification failed") || has("host key is known for") {
        return LinkError::HostKeyUnknown { host, command: target.login_command() };
    }
    // pam_nologin, before a boot is through and while a host goes down.
    if has("booting up") || has("shutting down") || has("going down") || has("pam_nologin") {
        return LinkError::Unreachable { host, why };
    }
    if let Some((_, methods)) = said.rsplit_once("Permission denied (") {
        let methods = methods.split(')').next().unwrap_or_default().to_owned();
        let user = target.user.clone().or_else(|| {
            let line = lines.iter().find(|l| l.contains("Permission denied ("))?;
            Some(line.split_once('@')?.0.to_owned())
        });
        let asked = methods.contains("password") || methods.contains("keyboard-interactive");
        let why = match &target.password {
            Some(_) if asked => "the password is wrong; correct `ansible_password`, or what you type for `-k`",
            Some(_) => "it takes no passwords; give a key with `--private-key`, or load it into ssh-agent",
            None if asked => {
                "no key was accepted and no password is set; give one with `--private-key` or `-k`, or load the key into ssh-agent"
            }
            None => "no key was accepted; give one with `--private-key`, or load it into ssh-agent",
        };
        return LinkError::Authentication { host, user, methods, why: why.to_owned() };
    }
    if has("Too many authentication failures") {
        let why =
            "it saw too many keys; name the right one with `--private-key` and `-o IdentitiesOnly=yes`".to_owned();
        return LinkError::Authentication { host, user: target.user.clone(), methods: "publickey".to_owned(), why };
    }
    if has("timed out") {
        return LinkError::TimedOut { host, what: why, after: target.connect_timeout };
    }
    if has("Bad configuration option") || has("usage: ssh") || has("unknown option") || has("extra arguments") {
        return LinkError::Broken { host, why: format!("ssh does not take its settings: {}", lines.join("; ")) };
    }
    LinkError::Unreachable { host, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { port: Some(2222), ..Target::new("c0") }
    }

    #[test]
    fn a_changed_key_names_both_and_the_way_out() {
        let said = "@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@@@\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
            Please contact your system administrator.\n\
            Offending ED25519 key in /home/ops/.ssh/known_hosts:7\n  remove with:\n\
            Host key for [c0]:2222 has changed and you have requested strict checking.\nHost key verification failed.\n";
        let LinkError::HostKeyChanged { offered, known, command, .. } = from_ssh(&target(), said) else { panic!() };
        assert_eq!(offered.as_deref(), Some("SHA256:abc"));
        assert_eq!(known.as_deref(), Some("/home/ops/.ssh/known_hosts:7"));
        assert_eq!(command, "ssh-keygen -f '/home/ops/.ssh/known_hosts' -R '[c0]:2222'");
    }

    #[test]
    fn the_rest_of_what_ssh_says() {
        let told = |said: &str| from_ssh(&target(), said);
        assert!(matches!(told("Host key verification failed.\r\n"), LinkError::HostKeyUnknown { command, .. }
            if command == "ssh -p 2222 c0 true"));
        let auth = told("ops@c0: Permission denied (publickey,password).\r\n");
        assert!(matches!(&auth, LinkError::Authentication { user: Some(u), methods, .. }
            if u == "ops" && methods == "publickey,password"));
        assert!(!auth.is_passing());
        assert!(told("ssh: connect to host c0 port 2222: Connection refused\n").is_passing());
        assert!(matches!(told("ssh: connect to host c0 port 22: Connection timed out"), LinkError::TimedOut { .. }));
        let booting = "\"System is booting up. Unprivileged users are not permitted to log in yet.\"\n\
            ops@c0: Permission denied (publickey).";
        assert!(told(booting).is_passing());
        assert!(matches!(told("command-line: line 0: Bad configuration option: foo"), LinkError::Broken { .. }));
    }
}
