//! `docker_login`: logs in to registries of container images, by the host's own `docker`.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file_content::read_existing;
use super::paths;
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

/// The registry that is meant where none is named.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

arguments! {
    pub struct Args {
        /// The registry.
        registry_url ["registry", "url"]: String = DOCKER_HUB,
        /// The user there.
        username []: Option<String>,
        /// The user's password; needed to log in.
        password []: Option<Secret>,
        /// Whether to be logged in or out.
        state []: State = State::Present,
        /// Log in anew, though this user's password is on file already.
        reauthorize ["reauth"]: bool = false,
        /// The file in which docker keeps credentials; it must be named `config.json`.
        config_path ["dockercfg_path"]: PathBuf = "~/.docker/config.json",
        /// The docker daemon to go through.
        docker_host ["docker_url"]: Option<String>,
    }
    rules [If("state", "present", &["username", "password"])]
}

/// The module `docker_login`.
pub struct DockerLogin;

impl Module for DockerLogin {
    const NAMES: &'static [&'static str] = &["docker_login", "community.docker.docker_login"];
    const DOC: &'static str = "Logs in to a registry of container images, or out, with the host's own `docker`.\n\
        The password goes in by standard input. A user whose password is on file already is not logged in again.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("login_results", "What docker said: `Status`, and `username`")];
    const EXAMPLE: &'static str = "- docker_login:\n    registry: registry.local:9001\n    username: sysinv\n    password: \"{{ registry_password }}\"\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let (Some(user), Some(password), State::Present) = (&args.username, &args.password, args.state) else {
            if args.state == State::Present {
                return Err(Failure::new("`username` and `password` are required to log in"));
            }
            return log_out(&args, host);
        };
        let outcome =
            Outcome::ok().with("login_results", dict! {"Status" => "Login Succeeded", "username" => user.as_str()});
        let known = format!("{user}:{}", password.reveal());
        if !args.reauthorize && on_file(&args, host)?.as_deref() == Some(known.as_str()) {
            return Ok(outcome);
        }
        let command = docker(&args, host, &["login", "--username", user, "--password-stdin"])?.stdin(password.reveal());
        let output = run(host, &command)?;
        if !output.success() {
            let said = output.error_text();
            return Err(Failure::new(format!(
                "Logging into {} for user {user} failed - {}",
                args.registry_url,
                said.trim()
            )));
        }
        Ok(Outcome { changed: true, ..outcome })
    }
}

fn run(host: &mut dyn Act, command: &Command) -> Result<crate::action::command::Output, Failure> {
    host.run_expecting(command, &[]).map_err(|e| match e {
        HostError::NoProgram(_) => Failure::new("the host has no `docker`, with which this module works"),
        other => other.into(),
    })
}

fn log_out(args: &Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
    if on_file(args, host)?.is_none() {
        return Ok(Outcome::ok());
    }
    let command = docker(args, host, &["logout"])?;
    let output = run(host, &command)?;
    if !output.success() {
        return Err(Failure::new(format!(
            "Logging out of {} failed - {}",
            args.registry_url,
            output.error_text().trim()
        )));
    }
    Ok(Outcome::changed(true))
}

/// The call, with the registry at its end.
fn docker(args: &Args, host: &mut dyn Act, words: &[&str]) -> Result<Command, Failure> {
    let config = paths::expand(host.as_look(), &args.config_path)?;
    let (Some(dir), Some("config.json")) = (config.parent(), config.file_name().and_then(|n| n.to_str())) else {
        return Err(Failure::new(format!("config_path must end in `/config.json`, not {}", config.display())));
    };
    let mut argv = vec!["docker".to_owned(), "--config".into(), dir.display().to_string()];
    if let Some(daemon) = &args.docker_host {
        argv.extend(["--host".into(), daemon.clone()]);
    }
    argv.extend(words.iter().map(|w| (*w).to_owned()));
    argv.extend((args.registry_url != DOCKER_HUB).then(|| args.registry_url.clone()));
    Ok(Command::new(argv))
}

/// User and password of the registry in docker's file, with `:` between; an empty text if they are kept elsewhere.
fn on_file(args: &Args, host: &mut dyn Act) -> Result<Option<String>, Failure> {
    let path = paths::expand(host.as_look(), &args.config_path)?;
    let Some(text) = read_existing(host.as_look(), &path)? else { return Ok(None) };
    let wrong = |e: serde_json::Error| Failure::new(format!("{} is not what docker writes: {e}", path.display()));
    let config: Value = serde_json::from_slice(&text).map_err(wrong)?;
    let entries = config.get("auths").and_then(Value::as_dict);
    let plain = |name: &str| name.split_once("://").map_or(name, |(_, n)| n).trim_end_matches('/').to_owned();
    let ours = entries.into_iter().flatten().find(|(name, _)| plain(&name.to_string()) == plain(&args.registry_url));
    let Some((_, entry)) = ours else { return Ok(None) };
    let auth = entry.get("auth").map(Value::to_string).and_then(|a| STANDARD.decode(a).ok());
    Ok(Some(auth.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()))
}
