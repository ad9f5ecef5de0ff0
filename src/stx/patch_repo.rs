//! `stx_patch_repo`: patches uploaded, and applied. Installing them on hosts is `stx_patch_install`'s.

use std::path::PathBuf;
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::patch::{self, PatchRow};

crate::choices! {
    pub enum State { Uploaded = "uploaded", Applied = "applied" }
}

crate::arguments! {
    pub struct Args {
        /// `uploaded`: the platform has them; `applied`: hosts are to install them.
        state []: State,
        /// Patch files on the active controller, named by their patch: `STX_5.0_PATCH_0001.patch`.
        files []: Vec<PathBuf> = Vec::new(),
        /// Patches by id, besides those of `files`.
        patches []: Vec<String> = Vec::new(),
    }
}

pub struct PatchRepo;

impl Module for PatchRepo {
    const NAMES: &'static [&'static str] = &["stx_patch_repo"];
    const DOC: &'static str = "Uploads patches (`sw-patch upload`) and applies them (`sw-patch apply`), where that is missing.\n\
        Applied patches are still to be installed on each host.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("patches", "the ids it was asked for")];
    const EXAMPLE: &'static str =
        "- name: applied\n  stx_patch_repo:\n    state: applied\n    files: [/home/sysadmin/STX_5.0_PATCH_0001.patch]";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut known = patch::list(host.as_look())?;
        let (mut changed, mut unread) = (false, false);
        let mut ids = args.patches.clone();
        for file in &args.files {
            let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !known.iter().any(|p| p.id == id) {
                changed |= upload(host, file, &id)?;
                known = patch::list(host.as_look())?;
                // A check run does not see it in the list.
                if host.as_look().supposed(&format!("stx/patch/{id}")).is_some() && !known.iter().any(|p| p.id == id) {
                    known.push(PatchRow { id: id.clone(), state: "Available".into(), reboot: false });
                    unread = true;
                }
            }
            ids.push(id);
        }
        if let Some(unknown) = ids.iter().find(|id| !known.iter().any(|p| p.id == **id)) {
            let there: Vec<&str> = known.iter().map(|p| p.id.as_str()).collect();
            return Err(Advice::failed(format!("the platform has no patch {unknown}"))
                .state(format!("it has: {}", if there.is_empty() { "none".to_owned() } else { there.join(", ") }))
                .next("name the file in `files`, by its patch: `<id>.patch`")
                .into());
        }
        if args.state == State::Applied {
            changed |= apply(host, &known, &ids, unread)?;
        }
        let word = if args.state == State::Applied { "applied" } else { "uploaded" };
        Ok(Outcome::changed(changed)
            .msg(if ids.is_empty() { "no patches".into() } else { format!("{} {word}", ids.join(", ")) })
            .with("patches", ids.iter().map(String::as_str).collect::<Value>()))
    }
}

fn upload(host: &mut dyn Act, file: &std::path::Path, id: &str) -> Result<bool, Failure> {
    if host.stat(file, true)?.is_none() {
        return Err(Advice::failed(format!("{} does not exist on the host", file.display()))
            .safe("yes: nothing was changed")
            .next("copy the patch to the active controller, then `stx-upgrade resume`")
            .into());
    }
    let said = sw_patch(host, &["upload", &file.display().to_string()], &[patch::supposed_patch(id, "Available")])?;
    Ok(!said.contains("is already imported"))
}

/// `unread`: one of them is only supposed to be uploaded, so that nobody knows yet what it asks for.
fn apply(host: &mut dyn Act, known: &[PatchRow], ids: &[String], unread: bool) -> Result<bool, Failure> {
    let wanted: Vec<&PatchRow> = known.iter().filter(|p| ids.contains(&p.id) && p.state == "Available").collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    let names: Vec<&str> = wanted.iter().map(|p| p.id.as_str()).collect();
    let mut effects: Vec<Effect> = names.iter().map(|id| patch::supposed_patch(id, "Partial-Apply")).collect();
    effects.push(patch::supposed_pending((!unread).then(|| wanted.iter().any(|p| p.reboot))));
    sw_patch(host, &[&["apply"], &names[..]].concat(), &effects)?;
    let left: Vec<String> = patch::list(host.as_look())?
        .into_iter()
        .filter(|p| names.contains(&p.id.as_str()) && p.state == "Available")
        .map(|p| p.id)
        .collect();
    if left.is_empty() {
        return Ok(true);
    }
    Err(Advice::failed(format!("sw-patch took the command, and {} is not applied", left.join(", ")))
        .next("`sudo sw-patch query`, and /var/log/patching.log; then `stx-upgrade resume`")
        .into())
}

/// Runs `sw-patch`; what it refuses is a failure in its own words.
pub fn sw_patch(host: &mut dyn Act, words: &[&str], effects: &[Effect]) -> Result<String, Failure> {
    let command = Command::new([&["sw-patch"], words].concat()).timeout(Duration::from_secs(1800));
    let output = host.run_expecting(&command, effects)?;
    let said = [output.text(), output.error_text()].concat();
    if output.success() {
        return Ok(said);
    }
    let why = said.lines().rev().map(str::trim).find(|l| !l.is_empty() && !l.chars().all(|c| c == '.'));
    let why = why.unwrap_or("no message");
    let next = if why.contains("Node must be locked") {
        "lock the host (`system host-lock`), then `stx-upgrade resume`"
    } else if why.contains("in an upgrade") {
        "finish the platform upgrade first: this patch cannot be applied during it"
    } else if why.contains("is required by") {
        "upload and apply the patches that it needs too"
    } else {
        "`sudo sw-patch query`, `sudo sw-patch query-hosts` and /var/log/patching.log; then `stx-upgrade resume`"
    };
    Err(Advice::failed(format!("sw-patch {}: {why}", words.join(" "))).next(next).into())
}
