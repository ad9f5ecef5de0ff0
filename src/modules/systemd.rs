//! `systemd_service` (`systemd`): units are started, stopped, enabled, masked. What an earlier step of a check run would
//! have done to a unit is known by the facts `service/UNIT/active`, `…/enabled` and `…/masked`.

use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! {
    /// What a service shall be or have been.
    pub enum State { Reloaded = "reloaded", Restarted = "restarted", Started = "started", Stopped = "stopped" }
}

choices! {
    /// Whose units.
    pub enum Scope { System = "system", User = "user", Global = "global" }
}

arguments! {
    pub struct Args {
        /// The unit; without a suffix a service.
        name ["service", "unit"]: Option<String>,
        /// `started` and `stopped` act only where needed, `restarted` and `reloaded` always.
        state []: Option<State>,
        /// Whether it starts with the system.
        enabled []: Option<bool>,
        /// Replace links that stand in the way.
        force []: Option<bool>,
        /// Whether it can be started at all.
        masked []: Option<bool>,
        /// Have systemd read its unit files again first.
        daemon_reload ["daemon-reload"]: bool = false,
        /// Have systemd start itself anew first.
        daemon_reexec ["daemon-reexec"]: bool = false,
        /// Whose units.
        scope []: Scope = Scope::System,
        /// Do not wait until it is done.
        no_block []: bool = false,
    }
    rules [OneOf(&["state", "enabled", "masked", "daemon_reload", "daemon_reexec"])]
}

/// The module `systemd_service`.
pub struct Systemd;

impl Module for Systemd {
    const NAMES: &'static [&'static str] = &[
        "systemd",
        "systemd_service",
        "ansible.builtin.systemd",
        "ansible.builtin.systemd_service",
        "ansible.legacy.systemd",
        "ansible.legacy.systemd_service",
    ];
    const DOC: &'static str = "Controls systemd units: started, stopped, restarted, enabled, masked.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("name", "The unit"),
        ("state", "What it is now"),
        ("enabled", "Whether it starts with the system"),
        ("status", "Its properties before, as `systemctl show` prints them"),
    ];
    const EXAMPLE: &'static str = "- systemd:\n    name: httpd\n    state: started\n    enabled: true\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let ctl = Systemctl::new(&args);
        for (wanted, verb) in [(args.daemon_reload, "daemon-reload"), (args.daemon_reexec, "daemon-reexec")] {
            if wanted {
                let done = ctl.act(host, &[verb], &[])?;
                if !done.success() {
                    return Err(Failure::new(format!("failure {} during {verb}: {}", done.rc, done.error_text())));
                }
            }
        }
        let Some(unit) = &args.name else {
            if args.state.is_some() || args.enabled.is_some() || args.masked.is_some() {
                return Err(Failure::new("missing parameter `name`: which unit?"));
            }
            return Ok(Outcome::ok().with("name", Value::Null).with("status", Dict::new()));
        };
        if let Some(c) = unit.chars().find(|c| "*?[".contains(*c)) {
            let msg = format!(
                "This module does not currently support using glob patterns, found '{c}' in service name: {unit}"
            );
            return Err(Failure::new(msg));
        }
        ctl.control(&args, unit, host)
    }
}

/// How `systemctl` is called.
struct Systemctl {
    options: Vec<String>,
}

/// What is known of a unit.
#[derive(Default)]
struct Unit {
    status: Dict,
    found: bool,
}

impl Unit {
    fn get(&self, property: &str) -> Option<&str> {
        self.status.get(property).and_then(Value::as_str)
    }
}

impl Systemctl {
    fn new(args: &Args) -> Systemctl {
        let mut options = Vec::new();
        if args.scope != Scope::System {
            options.push(format!("--{}", args.scope.word()));
        }
        if args.no_block {
            options.push("--no-block".into());
        }
        if args.force == Some(true) {
            options.push("--force".into());
        }
        Systemctl { options }
    }

    fn command(&self, host: &dyn Look, words: &[&str]) -> Command {
        let argv = std::iter::once("systemctl".to_owned()).chain(self.options.iter().cloned());
        let command = Command::new(argv.chain(words.iter().map(|w| (*w).to_owned())));
        match host.env("XDG_RUNTIME_DIR") {
            Some(_) => command,
            None => command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", nix::unistd::geteuid())),
        }
    }

    fn ask(&self, host: &mut dyn Act, words: &[&str]) -> Result<Output, HostError> {
        let command = self.command(host.as_look(), words);
        host.query(&command)
    }

    fn act(&self, host: &mut dyn Act, words: &[&str], effects: &[Effect]) -> Result<Output, HostError> {
        let command = self.command(host.as_look(), words);
        host.run_expecting(&command, effects)
    }

    fn control(&self, args: &Args, unit: &str, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let seen = self.look(unit, host)?;
        let mut changed = false;
        let mut outcome = Outcome::ok().with("name", unit);
        let missing = |host: &mut dyn Act| -> Result<(), Failure> {
            if seen.found {
                return Ok(());
            }
            // A package that an earlier step would have installed may bring it.
            if host.supposed("packages/changed").is_some() {
                let why = format!("whether there will be a service {unit} once packages are installed");
                return Err(HostError::NotKnowable(why).into());
            }
            Err(Failure::new(format!("Could not find the requested service {unit}: host")))
        };
        if let Some(wanted) = args.masked {
            let masked = match supposed(host, unit, "masked") {
                Some(masked) => masked,
                None => self.ask(host, &["is-enabled", unit])?.text().trim() == "masked",
            };
            if masked != wanted {
                let verb = if wanted { "mask" } else { "unmask" };
                let done = self.act(host, &[verb, unit], &[suppose(unit, "masked", wanted)])?;
                if !done.success() {
                    missing(host)?;
                    let why = done.error_text();
                    return Err(Failure::new(format!("Failed to {verb} the service ({unit}): {}", why.trim())));
                }
                changed = true;
            }
        }
        if let Some(wanted) = args.enabled {
            missing(host)?;
            let enabled = match supposed(host, unit, "enabled") {
                Some(enabled) => enabled,
                None => self.enabled(args.scope, unit, host)?,
            };
            if enabled != wanted {
                let verb = if wanted { "enable" } else { "disable" };
                let done = self.act(host, &[verb, unit], &[suppose(unit, "enabled", wanted)])?;
                if !done.success() {
                    let why = done.text() + &done.error_text();
                    return Err(Failure::new(format!("Unable to {verb} service {unit}: {why}")));
                }
                changed = true;
            }
            outcome = outcome.with("enabled", wanted);
        }
        if let Some(wanted) = args.state {
            missing(host)?;
            let running = match supposed(host, unit, "active") {
                Some(active) => if active { "active" } else { "inactive" }.to_owned(),
                None => match seen.get("ActiveState") {
                    Some(state) => state.to_owned(),
                    // A unit file that only an earlier step of a check run has made.
                    None if seen.found && seen.status.is_empty() && self.made_up(unit, host)? => "inactive".to_owned(),
                    None => {
                        let outcome = Outcome::failed("Service is in unknown state").with("status", seen.status);
                        return Err(Failure::Failed(Box::new(outcome)));
                    }
                },
            };
            let up = matches!(running.as_str(), "active" | "activating");
            let verb = match wanted {
                State::Started => (!up).then_some("start"),
                State::Stopped => (up || running == "deactivating").then_some("stop"),
                State::Restarted => Some(if up { "restart" } else { "start" }),
                State::Reloaded => Some(if up { "reload" } else { "start" }),
            };
            if let Some(verb) = verb {
                let done = self.act(host, &[verb, unit], &[suppose(unit, "active", verb != "stop")])?;
                if !done.success() {
                    return Err(Failure::new(format!("Unable to {verb} service {unit}: {}", done.error_text())));
                }
                changed = true;
            }
            outcome = outcome.with("state", if wanted == State::Stopped { "stopped" } else { "started" });
        }
        outcome.changed = changed;
        Ok(outcome.with("status", seen.status))
    }

    /// What systemd says of a unit, or what else tells that there is one.
    fn look(&self, unit: &str, host: &mut dyn Act) -> Result<Unit, Failure> {
        let shown = self.ask(host, &["show", unit])?;
        let (out, err) = (shown.text(), shown.error_text());
        let ignored = |t: &str| !t.contains('=') && (t.contains("ignoring request") || t.contains("ignoring command"));
        let mut seen = Unit::default();
        if shown.success() && !ignored(&out) && !ignored(&err) {
            seen.status = parse_show(&out);
            let load = seen.get("LoadState").unwrap_or("not-found").to_owned();
            seen.found = load != "not-found";
            if let Some(why) = seen.get("LoadError").filter(|_| seen.found && load != "masked") {
                return Err(Failure::new(format!("Error loading unit file '{unit}': {why}")));
            }
        } else {
            let said = self.ask(host, &["is-enabled", unit])?.text();
            let known = [
                "enabled",
                "enabled-runtime",
                "linked",
                "linked-runtime",
                "masked",
                "masked-runtime",
                "static",
                "indirect",
                "disabled",
                "generated",
                "transient",
            ];
            seen.found = known.contains(&said.trim());
            if !seen.found {
                seen.found = self.ask(host, &["list-unit-files", unit])?.success();
            }
            if !seen.found {
                // What hinders systemctl itself is the better message.
                let own = self.ask(host, &[])?;
                if !own.success() {
                    let why = own.error_text();
                    return Err(Failure::Failed(Box::new(
                        super::command::output_values(Outcome::failed(why.trim()), own.rc, own.text(), why)
                            .with("cmd", "systemctl"),
                    )));
                }
            }
        }
        if !seen.found {
            let script = format!("/etc/init.d/{unit}");
            seen.found = host.stat(script.as_ref(), true)?.is_some() || self.made_up(unit, host)?;
        }
        Ok(seen)
    }

    /// Whether a unit file stands where systemd would find it, though systemd does not know it (yet).
    fn made_up(&self, unit: &str, host: &mut dyn Act) -> Result<bool, HostError> {
        let file = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        for dir in ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] {
            if host.stat(&std::path::Path::new(dir).join(&file), true)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn enabled(&self, scope: Scope, unit: &str, host: &mut dyn Act) -> Result<bool, HostError> {
        let said = self.ask(host, &["is-enabled", unit, "-l"])?;
        let text = said.text();
        let text = text.trim();
        match said.rc {
            0 => Ok(!matches!(text, "enabled-runtime" | "indirect" | "alias")),
            1 if scope == Scope::System && !text.ends_with("disabled") => super::service::starts_by_links(unit, host),
            _ => Ok(false),
        }
    }
}

/// What an earlier step of a check run did to a unit.
pub fn supposed(host: &dyn Act, unit: &str, what: &str) -> Option<bool> {
    host.supposed(&key(unit, what)).and_then(|v| v.as_bool())
}

/// What a step does to a unit, for later ones.
pub fn suppose(unit: &str, what: &str, value: bool) -> Effect {
    Effect::Suppose(key(unit, what), value.into())
}

fn key(unit: &str, what: &str) -> String {
    format!("service/{}/{what}", unit.strip_suffix(".service").unwrap_or(unit))
}

/// `systemctl show`: `Name=value` lines, of which those of `Exec…` may go over several.
fn parse_show(text: &str) -> Dict {
    let mut status = Dict::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        if let Some((name, parts)) = &mut open {
            parts.push(line);
            if line.trim_end().ends_with('}') {
                status.insert(Key::str(name), parts.join("\n").trim().into());
                open = None;
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let many = name.starts_with("Exec") && value.trim_start().starts_with('{') && !value.trim_end().ends_with('}');
        if many {
            open = Some((name.to_owned(), vec![value]));
        } else {
            status.insert(Key::str(name), value.trim().into());
        }
    }
    status
}

/// The services of the host's start links, for those that are no units.
pub(super) fn rc_links(host: &mut dyn Act) -> Result<Vec<String>, HostError> {
    let mut names = Vec::new();
    for level in 2..=5 {
        for base in ["/etc", "/etc/rc.d"] {
            let dir = std::path::PathBuf::from(format!("{base}/rc{level}.d"));
            if host.stat(&dir, true)?.is_some() {
                names.extend(host.list(&dir)?);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn show_with_values_over_several_lines() {
        let d = parse_show("Id=a.service\nExecStart={ path=/a ;\n argv[]=x }\nDescription={ odd\nActiveState=active\n");
        assert_eq!(d.get("ActiveState").unwrap().as_str(), Some("active"));
        assert_eq!(d.get("ExecStart").unwrap().as_str(), Some("{ path=/a ;\n argv[]=x }"));
        assert_eq!(d.get("Description").unwrap().as_str(), Some("{ odd"));
    }
}
