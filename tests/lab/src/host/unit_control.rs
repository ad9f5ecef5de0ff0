//! `systemctl`, `reboot`, `shutdown`, `poweroff` of a host.

use crate::fabric::init::{self, Ask, Unit};

/// `systemctl`: exit code and what changed.
pub fn systemctl(argv: &[String]) -> (i32, Vec<String>) {
    let mut words: Vec<&str> = Vec::new();
    let mut properties: Vec<&str> = Vec::new();
    let (mut quiet, mut value) = (false, false);
    let mut args = argv[1..].iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "-q" | "--quiet" => quiet = true,
            "--value" => value = true,
            "-p" | "--property" => properties.extend(args.next().unwrap_or("").split(',')),
            _ if arg.starts_with("--property=") => properties.extend(arg["--property=".len()..].split(',')),
            _ if arg.starts_with('-') => {}
            _ => words.push(arg),
        }
    }
    let Some(&verb) = words.first() else {
        return (0, Vec::new());
    };
    let names: Vec<String> = words[1..].iter().map(|name| name.trim_end_matches(".service").to_string()).collect();
    match verb {
        "daemon-reload" | "reset-failed" | "daemon-reexec" => (0, Vec::new()),
        "reboot" | "poweroff" | "halt" => restart(verb != "reboot", words_force(argv)),
        "start" | "stop" | "restart" | "reload" | "try-restart" | "enable" | "disable" => act(verb, &names),
        "is-active" | "is-enabled" | "is-failed" => query(verb, &names, quiet),
        "status" => status(&names),
        "show" => show(&names, &properties, value),
        "list-units" | "list-unit-files" => {
            for name in init::ask(&Ask::Running).map(|a| a.running).unwrap_or_default() {
                println!("{name}.service loaded active running {name}");
            }
            (0, Vec::new())
        }
        other => {
            eprintln!("Unknown command verb {other}.");
            (1, Vec::new())
        }
    }
}

fn words_force(argv: &[String]) -> bool {
    argv.iter().any(|a| a == "-f" || a == "-ff" || a == "--force")
}

fn unit(name: &str) -> Option<Unit> {
    init::ask(&Ask::Status(name.into())).ok().and_then(|answer| answer.unit)
}

fn act(verb: &str, names: &[String]) -> (i32, Vec<String>) {
    let mut changes = Vec::new();
    for name in names {
        let before = unit(name);
        let asks = match verb {
            "start" => vec![Ask::Start(name.clone())],
            "stop" => vec![Ask::Stop(name.clone())],
            "reload" => vec![],
            "enable" | "disable" => vec![Ask::Enable(name.clone(), verb == "enable")],
            _ => vec![Ask::Stop(name.clone()), Ask::Start(name.clone())],
        };
        for ask in asks {
            match init::ask(&ask) {
                Ok(answer) if answer.error.is_none() => {}
                Ok(answer) => {
                    let why = answer.error.unwrap_or_default();
                    let rc = if why.contains("not found") || why.contains("not loaded") { 5 } else { 1 };
                    eprintln!(
                        "{}",
                        if rc == 5 || why == "Access denied" {
                            format!("Failed to {verb} {name}.service: {why}")
                        } else {
                            why
                        }
                    );
                    return (rc, changes);
                }
                Err(why) => {
                    eprintln!("Failed to connect to bus: {why:#}");
                    return (1, changes);
                }
            }
        }
        let changed = before.is_none_or(|b| match verb {
            "start" => !b.active,
            "stop" => b.active,
            "enable" => !b.enabled,
            "disable" => b.enabled,
            _ => true,
        });
        if changed {
            changes.push(format!("unit-{verb} {name}"));
        }
    }
    (0, changes)
}

fn query(verb: &str, names: &[String], quiet: bool) -> (i32, Vec<String>) {
    let mut rc = 0;
    for name in names {
        let unit = unit(name);
        let (word, good) = match (&unit, verb) {
            (None, "is-enabled") => {
                eprintln!("Failed to get unit file state for {name}.service: No such file or directory");
                rc = 1;
                continue;
            }
            (None, _) => ("inactive", false),
            (Some(u), "is-active") => (state(u), u.active),
            (Some(u), "is-failed") => (state(u), u.failed),
            (Some(u), _) => (if u.enabled { "enabled" } else { "disabled" }, u.enabled),
        };
        if !quiet {
            println!("{word}");
        }
        if !good {
            rc = if verb == "is-active" { 3 } else { 1 };
        }
    }
    (rc, Vec::new())
}

fn state(unit: &Unit) -> &'static str {
    if unit.active {
        "active"
    } else if unit.failed {
        "failed"
    } else {
        "inactive"
    }
}

fn status(names: &[String]) -> (i32, Vec<String>) {
    let mut rc = 0;
    for name in names {
        match unit(name) {
            None => {
                eprintln!("Unit {name}.service could not be found.");
                rc = 4;
            }
            Some(unit) => {
                println!(
                    "* {name}.service - {name}\n     Loaded: loaded (/lib/systemd/system/{name}.service; {})\n     Active: {}",
                    if unit.enabled { "enabled" } else { "disabled" },
                    if unit.active { "active (running)" } else { state(&unit) }
                );
                if !unit.active {
                    rc = 3;
                }
            }
        }
    }
    (rc, Vec::new())
}

fn show(names: &[String], wanted: &[&str], value_only: bool) -> (i32, Vec<String>) {
    for name in names {
        let unit = unit(name);
        let known = unit.is_some();
        let unit = unit.unwrap_or_default();
        let all = [
            ("Id", format!("{name}.service")),
            ("Names", format!("{name}.service")),
            ("Description", name.clone()),
            ("LoadState", if known { "loaded" } else { "not-found" }.into()),
            ("ActiveState", state(&unit).into()),
            ("SubState", if unit.active { "running" } else { "dead" }.into()),
            (
                "UnitFileState",
                if !known {
                    ""
                } else if unit.enabled {
                    "enabled"
                } else {
                    "disabled"
                }
                .into(),
            ),
            ("MainPID", unit.pid.to_string()),
            ("Result", if unit.failed { "exit-code" } else { "success" }.into()),
        ];
        for (key, value) in all.iter().filter(|(key, _)| wanted.is_empty() || wanted.contains(key)) {
            if value_only { println!("{value}") } else { println!("{key}={value}") }
        }
    }
    (0, Vec::new())
}

/// `reboot`, `shutdown`, `poweroff`.
pub fn power(argv: &[String]) -> (i32, Vec<String>) {
    let program = argv[0].rsplit('/').next().unwrap_or("");
    let has = |flag: &str| argv[1..].iter().any(|a| a == flag);
    if program == "shutdown" && has("-c") {
        return (0, Vec::new());
    }
    let off = program == "poweroff" || (program == "shutdown" && !has("-r"));
    restart(off, words_force(argv))
}

fn restart(off: bool, force: bool) -> (i32, Vec<String>) {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("Failed to set wall message, ignoring: Interactive authentication required.");
        eprintln!("Failed to {} system: Access denied", if off { "power off" } else { "reboot" });
        return (1, Vec::new());
    }
    // The note must be out before the machine is.
    super::client::note(
        &std::env::args().collect::<Vec<_>>(),
        0,
        vec![if off { "power-off" } else { "reboot" }.into()],
    );
    match init::ask(&Ask::Reboot { off, orderly: !force }) {
        // Noted already; the machine may be gone before another note is out.
        Ok(_) => std::process::exit(0),
        Err(why) => {
            eprintln!("Failed to reboot: {why:#}");
            (1, Vec::new())
        }
    }
}
