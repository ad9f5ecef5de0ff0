//! `service`: services by the host's own manager: systemd where it runs, else init scripts.

use std::time::Duration;

use super::systemd::{self, State, rc_links, suppose, supposed};
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;

arguments! {
    pub struct Args {
        /// The service.
        name []: String,
        /// `started` and `stopped` act only where needed, `restarted` and `reloaded` always.
        state []: Option<State>,
        /// Whether it starts with the system.
        enabled []: Option<bool>,
        /// Seconds between stop and start of a restart; for init scripts.
        sleep []: Option<u64>,
        /// Text in the process list that tells that it runs; for init scripts without `status`.
        pattern []: Option<String>,
        /// More words for the init script.
        arguments ["args"]: String = "",
        /// Run levels, for init scripts that take them.
        runlevel []: String = "default",
        /// Have systemd read its unit files again first; for systemd.
        daemon_reload ["daemon-reload"]: bool = false,
        /// Have systemd start itself anew first; for systemd.
        daemon_reexec ["daemon-reexec"]: bool = false,
        /// Whether it can be started at all; for systemd.
        masked []: Option<bool>,
        /// Do not wait until it is done; for systemd.
        no_block []: bool = false,
        /// Whose units; for systemd.
        scope []: systemd::Scope = systemd::Scope::System,
        /// Manager to use: `auto`, `systemd`, or `service` for init scripts.
        r#use []: String = "auto",
    }
    rules [OneOf(&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"])]
}

/// The module `service`.
pub struct Service;

impl Module for Service {
    const NAMES: &'static [&'static str] = &[
        "service",
        "ansible.builtin.service",
        "ansible.legacy.service",
        "sysvinit",
        "ansible.builtin.sysvinit",
        "ansible.legacy.sysvinit",
    ];
    const DOC: &'static str = "Controls services, with systemd where it runs, else with init scripts.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("name", "The service"), ("state", "What it is now"), ("enabled", "Whether it starts with the system")];
    const EXAMPLE: &'static str = "- service:\n    name: httpd\n    state: started\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let by_systemd = match args.r#use.as_str() {
            "auto" => host.stat("/run/systemd/system".as_ref(), true)?.is_some(),
            "systemd" | "systemd_service" | "ansible.builtin.systemd" => true,
            "service" | "sysvinit" | "ansible.legacy.service" => false,
            other => return Err(Failure::new(format!("`use`: `{other}` is not known; `systemd` and `service` are"))),
        };
        if by_systemd {
            let args = systemd::Args {
                name: Some(args.name),
                state: args.state,
                enabled: args.enabled,
                force: None,
                masked: args.masked,
                daemon_reload: args.daemon_reload,
                daemon_reexec: args.daemon_reexec,
                scope: args.scope,
                no_block: args.no_block,
            };
            return systemd::Systemd::run(args, host);
        }
        if args.masked.is_some() || args.daemon_reload || args.daemon_reexec || args.no_block {
            return Err(Failure::new(
                "`masked`, `daemon_reload`, `daemon_reexec` and `no_block` are systemd's, which does not run here",
            ));
        }
        by_script(&args, host)
    }
}

fn by_script(args: &Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let name = args.name.as_str();
    let script = format!("/etc/init.d/{name}");
    if name.contains('/') || host.stat(script.as_ref(), true)?.is_none() {
        if host.supposed("packages/changed").is_some() {
            let why = format!("whether there will be a service {name} once packages are installed");
            return Err(HostError::NotKnowable(why).into());
        }
        return Err(Failure::new(format!("Could not find the requested service {name}: host")));
    }
    let mut changed = false;
    let mut outcome = Outcome::ok().with("name", name);
    if let Some(wanted) = args.enabled {
        let enabled = match supposed(host, name, "enabled") {
            Some(enabled) => enabled,
            None => starts_by_links(name, host)?,
        };
        if enabled != wanted {
            let debian = host.stat("/usr/sbin/update-rc.d".as_ref(), true)?.is_some();
            let argv = match (debian, wanted) {
                (true, true) => vec!["update-rc.d", name, "defaults"],
                (true, false) => vec!["update-rc.d", name, "disable"],
                (false, on) => vec!["chkconfig", name, if on { "on" } else { "off" }],
            };
            let done = host.run_expecting(&Command::new(argv), &[suppose(name, "enabled", wanted)])?;
            if !done.success() {
                let verb = if wanted { "enable" } else { "disable" };
                let why = done.error_text();
                return Err(Failure::new(format!("Unable to {verb} service {name}: {}", why.trim())));
            }
            changed = true;
        }
        outcome = outcome.with("enabled", wanted);
    }
    if let Some(wanted) = args.state {
        let running = match supposed(host, name, "active") {
            Some(active) => active,
            None => is_running(args, &script, host)?,
        };
        let verbs: &[&str] = match (wanted, running) {
            (State::Started, true) | (State::Stopped, false) => &[],
            (State::Started, false) | (State::Reloaded | State::Restarted, false) => &["start"],
            (State::Stopped, true) => &["stop"],
            (State::Reloaded, true) => &["reload"],
            (State::Restarted, true) => &["stop", "start"],
        };
        for (i, verb) in verbs.iter().enumerate() {
            if i > 0
                && let Some(pause) = args.sleep
            {
                // A check run does not wait; nothing was stopped.
                match host.sleep(Duration::from_secs(pause)) {
                    Ok(()) | Err(HostError::NotKnowable(_)) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            let mut argv = vec![script.clone(), (*verb).to_owned()];
            argv.extend(super::shell_words::split(&args.arguments).map_err(Failure::new)?);
            let done = host.run_expecting(&Command::new(argv), &[suppose(name, "active", *verb != "stop")])?;
            if !done.success() {
                let why = format!("{}{}", done.text(), done.error_text());
                return Err(Failure::new(format!("Unable to {verb} service {name}: {}", why.trim())));
            }
            changed = true;
        }
        outcome = outcome.with("state", if wanted == State::Stopped { "stopped" } else { "started" });
    }
    outcome.changed = changed;
    Ok(outcome)
}

/// Whether a service runs, by its script's `status` or a text in the process list.
fn is_running(args: &Args, script: &str, host: &mut dyn Act) -> Result<bool, Failure> {
    if let Some(pattern) = &args.pattern {
        let listed = host.query(&Command::new(["ps", "-eo", "args"]))?;
        return Ok(listed.text().lines().any(|l| l.contains(pattern.as_str())));
    }
    let status = host.query(&Command::new([script, "status"]))?;
    let said = format!("{}{}", status.text(), status.error_text()).to_lowercase();
    match status.rc {
        0 => Ok(!["not running", "is stopped", "inactive"].iter().any(|t| said.contains(t))),
        1..=3 => Ok(false),
        // 4 and above say nothing about it.
        rc => Err(Failure::new(format!(
            "service is in unknown state: `{script} status` ended with {rc}: {}",
            said.trim()
        ))),
    }
}

/// Whether links of the run levels start a service.
pub(super) fn starts_by_links(name: &str, host: &mut dyn Act) -> Result<bool, HostError> {
    let is_start = |link: &String| {
        let number =
            link.strip_prefix('S').and_then(|l| l.get(..2)).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        number && link.get(3..) == Some(name)
    };
    Ok(rc_links(host)?.iter().any(is_start))
}
