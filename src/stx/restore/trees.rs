//! `stx_restore_trees`: files and directories from the archive, and the copies that the new release works on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Effect, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::super::archive::{self, Found, Index, Kind};
use super::super::archive_check::advised;
use super::{Source, done_by, is_done, note};

const PLATFORM_CONF: &str = "/etc/platform/platform.conf";

/// Never from the archive: they speak of the state of the host, not of its configuration.
const NOT_RESTORED: &[&str] = &[
    "etc/platform/platform.conf",
    "etc/platform/openrc",
    "etc/platform/.initial_config_complete",
    "etc/platform/.restore_in_progress",
    "etc/platform/.unlock_ready",
    "etc/platform/.first_boot",
    // This very tool, as an earlier run left it on the host: it is in use.
    "home/*/.cache/stx-upgrade",
];

crate::arguments! {
    pub struct Args {
        /// The data archive.
        archive []: PathBuf,
        /// Trees to restore, as absolute paths; one that the archive does not hold is passed over.
        paths []: Vec<PathBuf>,
        /// Trees that are copied afterwards: mappings of `from` and `to` (the old release's directory to the new one's).
        copies []: Vec<crate::model::value::Dict> = Vec::new(),
        /// What of the new installation's platform.conf stays; the rest comes from the archive.
        keep_platform_conf []: Vec<String> = ["nodetype", "subfunction", "management_interface", "oam_interface", "sw_version", "INSTALL_UUID", "system_type"].map(String::from).to_vec(),
    }
}

pub struct Trees;

impl Module for Trees {
    const NAMES: &'static [&'static str] = &["stx_restore_trees"];
    const DOC: &'static str = "Unpacks trees of an upgrade_data archive onto the host, and copies those of the old release for the new one.\n\
        platform.conf is merged: what describes the new installation stays. Flags and credentials of the old host are \
        left out; the platform makes its own.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("restored", "trees that were unpacked"), ("absent", "trees that the archive does not hold")];
    const EXAMPLE: &'static str = "- name: files of the platform\n  stx_restore_trees:\n    archive: \"{{ archive.path }}\"\n    \
        paths: [/home, /opt/platform/config/21.05]";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let source = Source::find(host.as_look(), &args.archive, Kind::Data)?;
        if is_done(host.as_look(), "trees", &source.identity)? {
            return Ok(Outcome::ok().msg("restored already"));
        }
        let (present, absent, effects) = match &source.found {
            Found::At(path) => {
                let index = archive::read(host.as_look(), path, None).map_err(advised)?;
                unpack(&args, &index, host)?
            }
            Found::Supposed(_) => {
                let effects = args.paths.iter().map(|p| Effect::Restored { from: p.clone(), to: p.clone() }).collect();
                (args.paths.clone(), Vec::new(), effects)
            }
        };
        let shown = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        let mut command = Command::new(["tar", "--extract", "--gzip", "--numeric-owner", "--preserve-permissions"]);
        command.argv.extend(["--file".into(), source.path().display().to_string(), "--directory".into(), "/".into()]);
        command.argv.extend(NOT_RESTORED.iter().map(|p| format!("--exclude={p}")));
        // The archive's entries may or may not begin with `./`; tar matches what they are called.
        command.argv.push("--".into());
        command.argv.extend(shown(&present).iter().map(|p| p.trim_start_matches('/').to_owned()));
        done_by(host, "unpacking the archive", command.timeout(Duration::from_secs(7200)), &effects)?;
        for copy in &args.copies {
            let path = |key: &str| {
                copy.get(key).map(Value::to_string).ok_or_else(|| Failure::new(format!("a copy has no `{key}`")))
            };
            let (from, to) = (path("from")?, path("to")?);
            let restored = [Effect::Restored { from: from.clone().into(), to: to.clone().into() }];
            // Parents first: the new release may have nothing there yet.
            let script = "[ -d \"$1\" ] || exit 0; mkdir -p \"$2\" && cp -a \"$1/.\" \"$2/\"";
            let copy = Command::new(["/bin/sh", "-c", script, "copy", &from, &to]).timeout(Duration::from_secs(3600));
            done_by(host, &format!("copying {from} to {to}"), copy, &restored)?;
        }
        note(host, "trees", &source.identity, false)?;
        Ok(Outcome::changed(true)
            .msg(format!("{} trees restored", present.len()))
            .with("restored", shown(&present).iter().map(String::as_str).collect::<Value>())
            .with("absent", shown(&absent).iter().map(String::as_str).collect::<Value>()))
    }
}

/// Trees to unpack, trees that are not there, and what a check run can see of them.
type Plan = (Vec<PathBuf>, Vec<PathBuf>, Vec<Effect>);

fn unpack(args: &Args, index: &Index, host: &mut dyn Act) -> Result<Plan, Failure> {
    let (present, absent): (Vec<PathBuf>, Vec<PathBuf>) =
        args.paths.iter().cloned().partition(|p| index.holds(&p.display().to_string()));
    let wanted = |name: &str| {
        let path = Path::new("/").join(name);
        present.iter().any(|p| path.starts_with(p)) && !NOT_RESTORED.contains(&name)
    };
    let effects = index.small.iter().filter(|(name, _)| wanted(name)).map(|(name, content)| Effect::File {
        path: Path::new("/").join(name),
        content: content.clone(),
        mode: 0o600,
    });
    let effects = effects.collect();
    if let Some(old) = index.small.get("etc/platform/platform.conf") {
        let merged = merge(host.as_look(), &String::from_utf8_lossy(old), &args.keep_platform_conf)?;
        host.write(Path::new(PLATFORM_CONF), &mut merged.as_bytes(), Some(0o644))?;
    }
    Ok((present, absent, effects))
}

/// The old platform.conf with the new installation's lines for the keys that describe it.
fn merge(host: &mut dyn Look, old: &str, keep: &[String]) -> Result<String, Failure> {
    let path = Path::new(PLATFORM_CONF);
    let new = if host.stat(path, true)?.is_some() { host.read(path)? } else { Vec::new() };
    let new = String::from_utf8_lossy(&new).into_owned();
    fn key(line: &str) -> &str {
        line.split_once('=').map_or("", |(key, _)| key.trim())
    }
    let line_of = |name: &str| new.lines().find(|l| key(l) == name);
    let mut lines: Vec<&str> = Vec::new();
    for line in old.lines() {
        let kept = keep.iter().any(|k| k == key(line));
        lines.push(line_of(key(line)).filter(|_| kept).unwrap_or(line));
    }
    let missing = keep.iter().filter(|k| !old.lines().any(|l| key(l) == k.as_str()));
    lines.extend(missing.filter_map(|k| line_of(k)));
    Ok(lines.join("\n") + "\n")
}
