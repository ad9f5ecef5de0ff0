//! The links of a run: opened when first needed, one for each host and login, kept until the end.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::run::Run;
use super::scope::TaskScope;
use super::step::Step;
use crate::action::engine_side::Content;
use crate::action::module::{Become, Failure};
use crate::connection::{self, Blobs, Connector, Kind, Link, LinkError, Shell, Target};
use crate::model::outcome::Outcome;
use crate::model::playbook::{Common, Written};
use crate::model::secret::Secret;
use crate::model::value::Value;
use crate::modules::digest::Algorithm;

/// Links by host and login, and the content that modules may ask for.
pub struct Hosts {
    connector: Connector,
    store: Arc<Store>,
    links: Mutex<HashMap<String, Slot>>,
    /// Hosts that came back with another host key, taken knowingly.
    new_keys: Mutex<HashMap<String, Trust>>,
    /// The keys taken so: a file a host, named after this one.
    known_hosts: PathBuf,
}

/// How far a host is trusted whose key is not the one in the user's known_hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// It was reinstalled: the first key that it shows is taken.
    TakeNext,
    /// The key that was taken then, and no other.
    Taken,
}

type Slot = Arc<tokio::sync::Mutex<Option<Link>>>;

/// Content by its digest.
#[derive(Default)]
pub struct Store(Mutex<HashMap<String, connection::Content>>);

impl Blobs for Store {
    fn find(&self, sha256: &str) -> Option<connection::Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(sha256).cloned()
    }
}

impl Hosts {
    /// For the run of that id; `known_hosts` begins the names of private files for host keys taken at reinstalls.
    pub fn new(run: &str, known_hosts: PathBuf) -> Hosts {
        let store = Arc::new(Store::default());
        Hosts {
            connector: Connector::new(run, store.clone()),
            store,
            links: Mutex::default(),
            new_keys: Mutex::default(),
            known_hosts,
        }
    }

    /// With a folder where modules on this machine start; else that is where the run was started.
    pub fn starting_in(self, here: Option<PathBuf>) -> Hosts {
        Hosts { connector: self.connector.starting_in(here), ..self }
    }

    /// The link to the host that a step acts on, opened if need be.
    pub async fn link(&self, run: &Run, host: &str, scope: &TaskScope, step: &Step<'_>) -> Result<Link, LinkError> {
        let target = self.target(run, host, scope, step)?;
        let slot = self.slot(&target);
        let mut open = slot.lock().await;
        if let Some(link) = open.as_ref() {
            return Ok(link.clone());
        }
        if target.kind == Kind::Ssh {
            run.note_sent(host, || format!("SSH: EXEC {}", target.command_line()));
        }
        let link = match self.connector.open(&target).await {
            // Its key was taken knowingly when it was reinstalled, in this run or an earlier one.
            Err(LinkError::HostKeyChanged { .. } | LinkError::HostKeyUnknown { .. }) if self.remembers(host) => {
                self.connector.open(&self.target(run, host, scope, step)?).await?
            }
            other => other?,
        };
        *open = Some(link.clone());
        Ok(link)
    }

    fn slot(&self, target: &Target) -> Slot {
        let key = match target.kind {
            // Nobody logs in to this machine: a second link to its one agent would cut the first one off.
            Kind::Local => format!("{}\nlocal", target.host),
            Kind::Ssh => format!("{}\n{:?}\n{:?}\n{}", target.host, target.user, target.port, target.address),
        };
        self.links.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }

    /// Where a host is and how to log in: its variables, under the command line's.
    fn target(&self, run: &Run, host: &str, scope: &TaskScope, step: &Step<'_>) -> Result<Target, LinkError> {
        let refused = |why: String| LinkError::Refused { host: host.to_owned(), why };
        let own;
        // A delegated host is reached by its own variables.
        let vars = if host == step.host {
            scope
        } else {
            own = TaskScope::of_host(step.run, Some(step.play), host);
            &own
        };
        let failed = std::cell::RefCell::new(None);
        let var = |name: &str| {
            vars.rendered(name).unwrap_or_else(|error| {
                failed.replace(Some(error.to_string()));
                None
            })
        };
        let mut target = Target::from_vars(host, var).map_err(refused)?;
        if let Some(why) = failed.into_inner() {
            return Err(refused(why));
        }
        let common = &step.task.common;
        let text = |of: fn(&Common) -> Option<&Written>| {
            let said = super::execute::keyword(&run.templar, common, of, scope).map_err(|e| refused(e.to_string()))?;
            Ok(said.filter(|v| !v.is_null()).map(|v| v.to_string()).filter(|t| !t.is_empty()))
        };
        let options = &run.options;
        let defined = |name: &str| vars.rendered(name).ok().flatten().is_some();
        if !defined("ansible_connection") {
            let wanted = text(|c| c.connection.as_ref())?.or_else(|| options.connection.clone());
            let local = ["localhost", "127.0.0.1", "::1"].contains(&host) && !run.knows(host);
            target.kind = match wanted.as_deref() {
                Some("local") => Kind::Local,
                None if local => Kind::Local,
                None | Some("ssh" | "smart") => Kind::Ssh,
                Some(other) => {
                    return Err(refused(format!("the connection `{other}` is not supported; `ssh` and `local` are")));
                }
            };
        }
        if target.user.is_none() {
            target.user = text(|c| c.remote_user.as_ref())?.or_else(|| options.remote_user.clone());
        }
        if target.port.is_none() {
            target.port = text(|c| c.port.as_ref())?.and_then(|p| p.parse().ok());
        }
        target.password = target.password.or_else(|| options.connection_password.clone());
        target.key_file = target.key_file.or_else(|| options.private_key.clone());
        target.ssh_args.extend(options.ssh_args.iter().cloned());
        if !defined("ansible_ssh_timeout") && !defined("ansible_timeout") {
            target.connect_timeout = std::time::Duration::from_secs(options.timeout.max(1));
        }
        if !defined("ansible_host_key_checking") && !defined("ansible_ssh_host_key_checking") {
            target.host_key_checking = options.host_key_checking;
        }
        target.password.iter().for_each(|p| run.out.mask.learn(p));
        let trust = self.new_keys.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied();
        if let Some(trust) = trust {
            let file = format!("UserKnownHostsFile={}", self.key_file(host).display());
            let strict = match trust {
                Trust::TakeNext => {
                    // ssh would make it readable for everyone.
                    let made = private(OpenOptions::new().append(true)).open(self.key_file(host));
                    made.map_err(|e| refused(format!("{}: {e}", self.key_file(host).display())))?;
                    "StrictHostKeyChecking=accept-new"
                }
                Trust::Taken => "StrictHostKeyChecking=yes",
            };
            let own = ["-o", strict, "-o", &file, "-o", "GlobalKnownHostsFile=/dev/null"];
            // ssh takes the first of two settings.
            target.ssh_args.splice(0..0, own.map(str::to_owned));
        }
        Ok(target)
    }

    /// Drops a link, so that the next use opens it anew.
    pub async fn forget(&self, host: &str) {
        let prefix = format!("{host}\n");
        let slots: Vec<Slot> = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.iter().filter(|(k, _)| k.starts_with(&prefix)).map(|(_, s)| s.clone()).collect()
        };
        for slot in slots {
            slot.lock().await.take();
        }
    }

    /// Whether a key of the host was taken knowingly before; from here on that one is asked for.
    fn remembers(&self, host: &str) -> bool {
        let mut keys = self.new_keys.lock().unwrap_or_else(PoisonError::into_inner);
        // An empty one was only made ready.
        let taken = !keys.contains_key(host) && std::fs::metadata(self.key_file(host)).is_ok_and(|m| m.len() > 0);
        if taken {
            keys.insert(host.to_owned(), Trust::Taken);
        }
        taken
    }

    /// Where the key of a host is kept that was taken when it was reinstalled.
    fn key_file(&self, host: &str) -> PathBuf {
        let mut name = self.known_hosts.clone().into_os_string();
        name.push(format!(".{}", host.replace('/', "_")));
        PathBuf::from(name)
    }

    /// Forgets the key that was taken: a host that is going down may have shown its old one to an early try.
    pub fn forget_key(&self, host: &str) {
        // Not there: none was taken.
        let _ = std::fs::remove_file(self.key_file(host));
    }

    /// From here on the host is known to answer with another host key; the one it shows first is taken for this run.
    pub fn expect_new_key(&self, host: &str) {
        self.new_keys.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), Trust::TakeNext);
    }

    /// From here on the host may answer with any of these keys, and no other: a floating address has those of several units.
    pub fn trust_keys(&self, host: &str, keys: &[String]) -> Result<(), Failure> {
        let file = self.key_file(host);
        let lines: String = keys.iter().map(|key| format!("* {key}\n")).collect();
        let failed = |e: std::io::Error| Failure::new(format!("writing {}: {e}", file.display()));
        // Whole or not at all: another link may be read from it now.
        let mut new = file.clone().into_os_string();
        new.push(".new");
        private(OpenOptions::new().write(true).truncate(true))
            .open(&new)
            .and_then(|mut f| f.write_all(lines.as_bytes()))
            .and_then(|()| std::fs::rename(&new, &file))
            .map_err(failed)?;
        self.new_keys.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), Trust::Taken);
        Ok(())
    }

    /// Content that modules may ask for, by its SHA-256.
    pub fn offer(&self, content: Content) -> Result<String, Failure> {
        let (sha256, content) = match content {
            Content::Bytes(bytes) => (hex::encode(Sha256::digest(&bytes)), connection::Content::Bytes(bytes)),
            Content::File(path) => {
                let digest = digest_of(&path)?;
                (digest, connection::Content::Path(path))
            }
        };
        self.store.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.clone(), content);
        Ok(sha256)
    }

    /// A command over plain ssh, as another user if one is given, with the password.
    pub async fn raw(
        &self,
        run: &Run,
        host: &str,
        scope: &TaskScope,
        step: &Step<'_>,
        line: &str,
        as_: Option<(&Become, Option<&Secret>)>,
    ) -> Outcome {
        let shell: Result<Shell, LinkError> = match self.target(run, host, scope, step) {
            Ok(target) => self.connector.shell(&target).await,
            Err(error) => Err(error),
        };
        let limit = std::time::Duration::from_secs(24 * 3600);
        let said = match (shell, as_) {
            (Ok(shell), None) => shell.run(line, &[], limit).await,
            (Ok(shell), Some((become_, password))) => shell.run_as(become_, password, line, limit).await,
            (Err(error), _) => Err(error),
        };
        match said {
            Err(LinkError::Refused { why, .. }) => Outcome::failed(why),
            Err(error) => Outcome::unreachable(error.to_string()),
            Ok(output) => {
                let mut outcome = Outcome::changed(true)
                    .with("rc", i64::from(output.rc))
                    .with("stdout", output.text())
                    .with("stdout_lines", output.text().lines().collect::<Value>())
                    .with("stderr", output.error_text())
                    .with("stderr_lines", output.error_text().lines().collect::<Value>());
                if output.rc != 0 {
                    outcome.status = crate::model::outcome::Status::Failed;
                    outcome.msg = "non-zero return code".into();
                }
                outcome
            }
        }
    }

    /// Closes all links. With `leave` the agents leave; else they stay for a resume, until their idle time is over.
    pub async fn close(&self, leave: bool) {
        let slots: Vec<Slot> =
            self.links.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, s)| s).collect();
        let byes = slots.into_iter().map(|slot| async move {
            if let Some(link) = slot.lock().await.take()
                && leave
            {
                link.bye().await;
            }
        });
        futures_util::future::join_all(byes).await;
    }
}

/// The password for becoming another user on a host, from its variables or the command line.
pub fn become_password(
    run: &Run,
    scope: &TaskScope,
) -> Result<Option<Secret>, Box<crate::vars::template::TemplateError>> {
    for name in ["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"] {
        if let Some(value) = scope.rendered(name)? {
            let secret = Secret::new(value.to_string());
            run.out.mask.learn(&secret);
            return Ok(Some(secret));
        }
    }
    Ok(run.options.become_password.clone())
}

/// For a file that is this user's alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.create(true).mode(0o600)
}

/// The SHA-256 of a file of this machine.
fn digest_of(path: &std::path::Path) -> Result<String, Failure> {
    let read = |path| Algorithm::Sha256.of(&mut std::fs::File::open(path)?);
    read(path).map_err(|e| Failure::new(format!("reading {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_taken_knowingly_lie_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let hosts = Hosts::new("r1", dir.path().join("known_hosts"));
        hosts.trust_keys("c0", &["ssh-ed25519 AAAA".into()]).unwrap();
        let file = dir.path().join("known_hosts.c0");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "* ssh-ed25519 AAAA\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let next = || Hosts::new("r1", dir.path().join("known_hosts"));
        assert!(next().remembers("c0"));
        // Made ready for a key that never came: the run was killed before.
        std::fs::write(&file, "").unwrap();
        assert!(!next().remembers("c0"));
    }
}
