//! Where a host is and how to log in to it, from Ansible's connection variables.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::action::args::FromArg;
use crate::model::secret::Secret;
use crate::model::value::Value;

/// How to reach a host.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the inventory.
    pub host: String,
    pub kind: Kind,
    /// Name or address to connect to; a `Host` of the user's ssh_config will do.
    pub address: String,
    pub port: Option<u16>,
    /// The login user; none leaves it to ssh.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub key_file: Option<PathBuf>,
    /// More arguments of ssh, before ours, so that they win.
    pub ssh_args: Vec<String>,
    pub ssh_program: String,
    /// For reaching the host and agreeing on keys; logging in has some more.
    pub connect_timeout: Duration,
    /// Whether an unknown host key is refused. A changed one is left to ssh's own settings.
    pub host_key_checking: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ssh,
    /// This machine.
    Local,
}

impl Target {
    /// A host under its own name, by ssh, all else as ssh is configured.
    pub fn new(host: impl Into<String>) -> Target {
        let host = host.into();
        Target {
            kind: Kind::Ssh,
            address: host.clone(),
            host,
            port: None,
            user: None,
            password: None,
            key_file: None,
            ssh_args: Vec::new(),
            ssh_program: "ssh".to_owned(),
            connect_timeout: Duration::from_secs(10),
            host_key_checking: true,
        }
    }

    /// From a host's variables, rendered; `var` gives them by name. The error names the variable.
    ///
    /// Variables that speed up or describe Ansible's own way (`ansible_pipelining`, `ansible_python_interpreter`) have
    /// nothing to act on here.
    pub fn from_vars(host: &str, var: impl Fn(&str) -> Option<Value>) -> Result<Target, String> {
        let mut target = Target::new(host);
        if let Some((name, kind)) = first::<String>(&var, &["ansible_connection"])? {
            target.kind = match kind.rsplit('.').next().unwrap_or(&kind) {
                "ssh" | "smart" | "openssh" => Kind::Ssh,
                "local" => Kind::Local,
                _ => return Err(format!("{host}: `{name}: {kind}` is not supported; `ssh` and `local` are")),
            };
        }
        if let Some((_, address)) = first::<String>(&var, &["ansible_host", "ansible_ssh_host"])? {
            target.address = address;
        }
        if let Some((name, port)) = first::<i64>(&var, &["ansible_port", "ansible_ssh_port"])? {
            target.port = Some(u16::try_from(port).map_err(|_| format!("{host}: `{name}`: {port} is not a port"))?);
        }
        target.user = first::<String>(&var, &["ansible_user", "ansible_ssh_user"])?.map(|(_, u)| u);
        target.password = first::<Secret>(&var, &["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?
            .map(|(_, p)| p)
            .filter(|p| !p.reveal().is_empty());
        target.key_file = first::<PathBuf>(&var, &["ansible_ssh_private_key_file", "ansible_private_key_file"])?
            .map(|(_, k)| home_expanded(k))
            .filter(|k| !k.as_os_str().is_empty());
        // ssh takes the first of two settings, and Ansible puts them in this order.
        for name in ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"] {
            if let Some((_, args)) = first::<String>(&var, &[name])? {
                target.ssh_args.extend(split(&args).map_err(|e| format!("{host}: `{name}`: {e}"))?);
            }
        }
        if let Some((_, program)) = first::<String>(&var, &["ansible_ssh_executable"])? {
            target.ssh_program = program;
        }
        if let Some((_, s)) = first::<u64>(&var, &["ansible_ssh_timeout", "ansible_timeout"])? {
            target.connect_timeout = Duration::from_secs(s.max(1));
        }
        if let Some((_, checked)) =
            first::<bool>(&var, &["ansible_ssh_host_key_checking", "ansible_host_key_checking"])?
        {
            target.host_key_checking = checked;
        }
        Ok(target)
    }

    /// The arguments by which ssh reaches this host, without the host itself.
    pub(super) fn ssh_arguments(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = self.ssh_args.iter().map(OsString::from).collect();
        let mut option = |o: String| args.extend(["-o".into(), o.into()]);
        option(format!("ConnectTimeout={}", self.connect_timeout.as_secs().max(1)));
        // A link that is silently dead is noticed within half a minute; one whose address has moved to another machine, as at a
        // swact, within three seconds: that machine answers that it knows of no such connection.
        option("ServerAliveInterval=3".to_owned());
        option("ServerAliveCountMax=10".to_owned());
        if !self.host_key_checking {
            option("StrictHostKeyChecking=no".to_owned());
        }
        match &self.password {
            // Without a terminal nobody can answer: fail at once.
            None => option("BatchMode=yes".to_owned()),
            Some(_) => option("NumberOfPasswordPrompts=1".to_owned()),
        }
        if let Some(port) = self.port {
            option(format!("Port={port}"));
        }
        if let Some(user) = &self.user {
            option(format!("User={user}"));
        }
        if let Some(key) = &self.key_file {
            let mut identity = OsString::from("IdentityFile=\"");
            identity.push(key);
            identity.push("\"");
            args.extend(["-o".into(), identity]);
        }
        args
    }

    /// How ssh is called to reach this host, without what carries the run's own channels.
    pub fn command_line(&self) -> String {
        let mut words = vec![self.ssh_program.clone()];
        words.extend(self.ssh_arguments().iter().map(|a| quoted(&a.to_string_lossy())));
        words.push(quoted(&self.address));
        words.join(" ")
    }

    /// Host and port as known_hosts and people write them.
    pub(super) fn spelled(&self) -> String {
        match self.port {
            Some(port) if port != 22 => format!("[{}]:{port}", self.address),
            _ => self.address.clone(),
        }
    }

    /// The command that a person types to log in: it shows an unknown key and asks.
    pub(super) fn login_command(&self) -> String {
        let mut words = vec![self.ssh_program.clone()];
        words.extend(self.ssh_args.iter().map(|a| quoted(a)));
        words.extend(self.port.map(|p| format!("-p {p}")));
        words.extend(self.user.as_ref().map(|u| format!("-l {}", quoted(u))));
        words.push(quoted(&self.address));
        words.push("true".to_owned());
        words.join(" ")
    }
}

fn first<T: FromArg>(
    var: &impl Fn(&str) -> Option<Value>,
    names: &[&'static str],
) -> Result<Option<(&'static str, T)>, String> {
    let found = names.iter().find_map(|n| var(n).filter(|v| !v.is_null()).map(|v| (*n, v)));
    found.map(|(name, value)| T::from_arg(&value).map(|t| (name, t)).map_err(|e| format!("`{name}`: {e}"))).transpose()
}

fn home_expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Words of a line with a shell's quotes, as Python's `shlex` splits them.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if c == q => quote = None,
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some('"'), '\\') => {
                let next = chars.next();
                let kept = next.filter(|n| !matches!(n, '"' | '\\')).map(|_| '\\');
                word.get_or_insert_default().extend(kept.into_iter().chain(next));
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote is not closed in `{line}`"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn from_ansibles_variables() {
        let vars = dict! {
            "ansible_host" => "10.0.0.3", "ansible_port" => "2222", "ansible_user" => "sysadmin",
            "ansible_ssh_pass" => "s3cret", "ansible_ssh_common_args" => "-o ProxyCommand='ssh -W %h:%p jump'",
            "ansible_host_key_checking" => "no", "ansible_ssh_timeout" => 3i64,
        };
        let target = Target::from_vars("c0", |n| vars.get(n).cloned()).unwrap();
        assert_eq!(target.spelled(), "[10.0.0.3]:2222");
        assert_eq!(target.ssh_args, ["-o", "ProxyCommand=ssh -W %h:%p jump"]);
        let args: Vec<_> = target.ssh_arguments().into_iter().map(|a| a.into_string().unwrap()).collect();
        for part in ["ConnectTimeout=3", "StrictHostKeyChecking=no", "Port=2222", "User=sysadmin"] {
            assert!(args.iter().any(|a| a == part), "{part} in {args:?}");
        }
        assert!(!format!("{target:?} {args:?}").contains("s3cret"));
        assert_eq!(target.login_command(), "ssh -o 'ProxyCommand=ssh -W %h:%p jump' -p 2222 -l sysadmin 10.0.0.3 true");
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let with = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), Value::str(value));
            Target::from_vars("c0", move |n| (n == name).then(|| value.clone())).unwrap_err()
        };
        assert!(with("ansible_connection", "paramiko_ssh").contains("paramiko_ssh"));
        assert!(with("ansible_port", "70000").contains("70000"));
        assert!(with("ansible_ssh_extra_args", "-o 'x").contains("ansible_ssh_extra_args"));
    }
}
