//! `stx_upgrade_scripts`: the new release's own migration scripts, in the order of their numbers.

use std::path::PathBuf;
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::{done_by, is_done, note};

crate::choices! {
    pub enum Action { Start = "start", Migrate = "migrate", Activate = "activate" }
}

crate::arguments! {
    pub struct Args {
        /// The old release.
        from_release []: String,
        /// The new release.
        to_release []: String,
        /// The phase.
        action []: Action = Action::Migrate,
        /// Where the scripts are.
        dir []: PathBuf = "/etc/upgrade.d",
        /// Seconds that each may take.
        timeout []: u64 = 1800u64,
    }
}

pub struct Scripts;

impl Module for Scripts {
    const NAMES: &'static [&'static str] = &["stx_upgrade_scripts"];
    const DOC: &'static str = "Runs the upgrade scripts of the new release (`NNN-name FROM TO ACTION`), sorted as numbers: 100 after 97.\n\
        The first that fails ends it. One that is noted as done for these releases is not run again.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("scripts", "those that were run, in their order")];
    const EXAMPLE: &'static str =
        "- name: migrate\n  stx_upgrade_scripts:\n    from_release: '21.05'\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        // In a check run the scripts of the new release are not there to be seen.
        if host.supposed("stx/wiped").is_some() {
            return Err(HostError::NotKnowable(format!("which upgrade scripts {} brings", args.to_release)).into());
        }
        let scripts = found(&args, host.as_look())?;
        let mut ran = Vec::new();
        for script in &scripts {
            let identity = format!("{script} {} {} {}", args.from_release, args.to_release, args.action.word());
            if is_done(host.as_look(), "scripts", &identity)? {
                continue;
            }
            let path = args.dir.join(script).display().to_string();
            let command = Command::new([&path, &args.from_release, &args.to_release, args.action.word()]);
            done_by(host, script, command.timeout(Duration::from_secs(args.timeout)), &[])?;
            note(host, "scripts", &identity, true)?;
            ran.push(script.as_str());
        }
        Ok(Outcome::changed(!ran.is_empty())
            .msg(format!("{} of {} scripts run", ran.len(), scripts.len()))
            .with("scripts", ran.into_iter().collect::<Value>()))
    }
}

/// Executables with a number in front, in its order; equal numbers by name.
fn found(args: &Args, host: &mut dyn Look) -> Result<Vec<String>, Failure> {
    let mut scripts = Vec::new();
    for name in host.list(&args.dir)? {
        let Some(number) = number(&name) else { continue };
        let stat = host.stat(&args.dir.join(&name), true)?;
        if stat.is_some_and(|s| s.kind == FileKind::File && s.mode & 0o111 != 0) {
            scripts.push((number, name));
        }
    }
    scripts.sort();
    Ok(scripts.into_iter().map(|(_, name)| name).collect())
}

fn number(name: &str) -> Option<u32> {
    let (digits, rest) = name.split_at(name.find(|c: char| !c.is_ascii_digit())?);
    rest.starts_with('-').then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(number("97-reset-config-target.py"), Some(97));
        assert!(number("197-x.sh") > number("97-x.sh"));
        assert_eq!(number("README"), None);
        assert_eq!(number("12x.sh"), None);
    }
}
