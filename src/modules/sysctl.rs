//! `sysctl`: kernel settings, in a file and in the running kernel.

use std::path::PathBuf;

use super::file_content::{make_parents, read_existing, text_diff};
use super::{paths, python_regex};
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The setting: `net.ipv4.ip_forward`.
        name ["key"]: String,
        /// Its value.
        value ["val"]: Option<String>,
        /// Whether it stands in the file.
        state []: State = State::Present,
        /// Go on where the kernel does not know a setting.
        ignoreerrors []: bool = false,
        /// Have the kernel read the file, if it changed.
        reload []: bool = true,
        /// The file.
        sysctl_file []: PathBuf = "/etc/sysctl.conf",
        /// Set it in the running kernel too.
        sysctl_set []: bool = false,
    }
    rules [If("state", "present", &["value"])]
}

/// The module `sysctl`.
pub struct Sysctl;

impl Module for Sysctl {
    const NAMES: &'static [&'static str] = &["sysctl", "ansible.posix.sysctl"];
    const DOC: &'static str = "Keeps kernel settings in a file, and sets them in the running kernel if asked.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("name", "The setting"), ("value", "Its value")];
    const EXAMPLE: &'static str = "- sysctl:\n    name: vm.swappiness\n    value: '5'\n    state: present\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let file = paths::expand(host.as_look(), &args.sysctl_file)?;
        let file = paths::real_path(host.as_look(), &file)?;
        let value = args.value.as_deref().map(|v| v.trim().to_owned());
        // Python's words for switches that a playbook may write.
        let value = value.map(|v| match v.as_str() {
            "True" | "yes" => "1".to_owned(),
            "False" | "no" => "0".to_owned(),
            _ => v,
        });
        let before = read_existing(host.as_look(), &file)?;
        let text = python_regex::to_text(before.as_deref().unwrap_or_default());
        let mut lines: Vec<String> = Vec::new();
        let mut there = false;
        for line in text.lines() {
            let bare = line.trim();
            let name = bare.split_once('=').map(|(n, _)| n.trim()).filter(|_| !bare.starts_with(['#', ';']));
            if name.map(dotted) != Some(dotted(&args.name)) {
                lines.push(line.to_owned());
                continue;
            }
            if let (State::Present, Some(value), false) = (args.state, &value, there) {
                there = true;
                let now = bare.split_once('=').map_or("", |(_, v)| v.trim());
                let same = words(now) == words(value);
                lines.push(if same { line.to_owned() } else { format!("{}={value}", args.name) });
            }
        }
        if let (State::Present, Some(value), false) = (args.state, &value, there) {
            lines.push(format!("{}={value}", args.name));
        }
        let mut outcome = Outcome::ok().with("name", args.name.as_str()).with("value", value.clone());
        if lines.iter().map(String::as_str).ne(text.lines()) {
            let after = python_regex::to_bytes(&lines.iter().map(|l| format!("{l}\n")).collect::<String>());
            let shown = file.display().to_string();
            outcome = outcome.diff(text_diff(&shown, &shown, before.as_deref().unwrap_or_default(), &after));
            make_parents(host, &file)?;
            host.write(&file, &mut after.as_slice(), None)?;
            outcome.changed = true;
        }
        if let (true, State::Present, Some(value)) = (args.sysctl_set, args.state, &value) {
            outcome.changed |= set(&args, value, host)?;
        } else if outcome.changed && args.reload && args.state == State::Present {
            let output = host.run_expecting(&Command::new(["sysctl", "-p", &file.display().to_string()]), &[])?;
            if !output.success() && !args.ignoreerrors {
                return Err(Failure::new(format!("Failed to reload sysctl: {}", output.error_text().trim())));
            }
        }
        Ok(outcome)
    }
}

/// `net/ipv4/ip_forward` is another way to write it.
fn dotted(name: &str) -> String {
    name.trim().trim_start_matches('-').replace('/', ".")
}

fn words(value: &str) -> Vec<&str> {
    value.split_whitespace().collect()
}

/// Sets it in the running kernel, if it is not so already.
fn set(args: &Args, value: &str, host: &mut dyn Act) -> Result<bool, Failure> {
    let path = PathBuf::from("/proc/sys").join(dotted(&args.name).replace('.', "/"));
    let now = match host.read(&path) {
        Ok(now) => String::from_utf8_lossy(&now).into_owned(),
        Err(HostError::NotFound(_)) if args.ignoreerrors => return Ok(false),
        Err(HostError::NotFound(_)) => {
            return Err(Failure::new(format!("setting {} failed: the kernel does not know it", args.name)));
        }
        Err(e) => return Err(e.into()),
    };
    if words(&now) == words(value) {
        return Ok(false);
    }
    let effect = Effect::File { path, content: format!("{value}\n").into_bytes(), mode: 0o644 };
    let command = Command::new(["sysctl".to_owned(), "-w".into(), format!("{}={value}", args.name)]);
    let output = host.run_expecting(&command, &[effect])?;
    if !output.success() && !args.ignoreerrors {
        return Err(Failure::new(format!("setting {} failed: {}", args.name, output.error_text().trim())));
    }
    Ok(true)
}
