//! `system load-*` and `system upgrade-*`.

use super::table::{self, Cell};
use super::usage::Parsed;
use super::{Invocation, Reply};
use crate::system::loads::Image;
use crate::system::{Load, System, Upgrade};

const ABORT_SIMPLEX: &str = "\nWARNING: This will stop the upgrade process. The system backup created during the \
                             upgrade-start will be removed.\n\nContinue [yes/N]: ";
const ABORT: &str = "\nWARNING: By continuing this operation, you will be forced to downgrade any hosts that have been \
                     upgraded. The system will revert to the state when controller-0 was last active.\n\nContinue \
                     [yes/N]: ";

const ABORT_ALL_IN_ONE: &str = "\nWARNING: THIS OPERATION WILL IMPACT RUNNING INSTANCES.\nAny instances that have been \
                                migrated after the upgrade was started will be lost, including their disks. You will \
                                only be able to recover instances if you have external backups for their data.\nThis \
                                operation should be done as a last resort, if there is absolutely no other way to \
                                recover the system.\n\nAre you absolutely sure you want to continue?  [yes/N]: ";
const ABORT_REINSTALL: &str = "\nWARNING: THIS OPERATION WILL RESULT IN A COMPLETE SYSTEM OUTAGE.\nIt will require every \
                               host in the system to be powered down and then reinstalled to recover. All instances will \
                               be lost, including their disks. You will only be able to recover instances if you have \
                               external backups for their data.\nThis operation should be done as a last resort, if \
                               there is absolutely no other way to recover the system.\n\nAre you absolutely sure you \
                               want to continue? [yes/N]: ";

/// Run one `load-*` command.
pub fn run(system: &mut System, call: &Invocation, parsed: &Parsed, width: Option<usize>) -> Reply {
    let target = parsed.positional.first().map_or("", String::as_str);
    match parsed.name.as_str() {
        "load-list" => {
            let labels = ["id", "state", "software_version"];
            let rows: Vec<Vec<Cell>> =
                system.loads.iter().map(|l| vec![l.id.into(), (&l.state).into(), (&l.version).into()]).collect();
            Reply::ok(table::list(&labels, &labels, &rows, width))
        }
        "load-show" => match system.loads.iter().find(|l| l.id.to_string() == target) {
            Some(load) => Reply::ok(load_table(load)),
            None => Reply::fail(1, format!("Load {target} could not be found.")),
        },
        "load-delete" => match target.parse().map_err(|_| format!("Load {target} could not be found.")) {
            Ok(id) => match system.load_delete(id) {
                Ok(()) => Reply::ok(format!("Deleted load: load {id}\n")),
                Err(refusal) => Reply::fail(1, refusal),
            },
            Err(refusal) => Reply::fail(1, refusal),
        },
        _ => import(system, call, parsed),
    }
}

fn import(system: &mut System, call: &Invocation, parsed: &Parsed) -> Reply {
    let mut image = Image::default();
    for (i, path) in parsed.positional.iter().enumerate() {
        let seen = call.local.files.get(path).cloned().unwrap_or_default();
        if !seen.exists {
            let full = if path.starts_with('/') { path.clone() } else { format!("{}/{path}", call.cwd) };
            return Reply::fail(1, format!("File {full} does not exist."));
        }
        if i == 0 {
            image.digest = seen.digest;
            image.metadata = seen.text;
        } else {
            image.signature = seen.text;
            image.signature_name.clone_from(path);
        }
    }
    if let Err(refusal) = system.load_import_client_check() {
        return Reply::fail(1, refusal);
    }
    let mut reply = match system.load_import(&image) {
        Ok(id) => {
            let load = system.loads.iter().find(|l| l.id == id).map(load_table).unwrap_or_default();
            Reply::ok(format!("\n{load}"))
        }
        Err(refusal) => Reply { out: "\n".into(), ..Reply::fail(1, format!("Load import failed. Reason: {refusal}")) },
    };
    reply.out.insert_str(0, "This operation will take a while. Please wait.\n.");
    reply
}

fn load_table(load: &Load) -> String {
    table::properties(
        &[
            ("id", load.id.into()),
            ("state", (&load.state).into()),
            ("software_version", (&load.version).into()),
            ("compatible_version", (&load.compatible).into()),
            ("required_patches", load.required_patches.join("\n").into()),
        ],
        0,
    )
}

/// Run one `upgrade-*` command.
pub fn upgrade(system: &mut System, call: &Invocation, parsed: &Parsed) -> Reply {
    let done = match parsed.name.as_str() {
        "upgrade-show" => {
            return match &system.upgrade {
                Some(upgrade) => Reply::ok(upgrade_table(upgrade)),
                None => Reply::ok("No upgrade in progress\n"),
            };
        }
        "upgrade-start" => system.upgrade_start(parsed.force),
        "upgrade-activate" => system.upgrade_activate(),
        "upgrade-complete" | "upgrade-abort-complete" => system.upgrade_complete(),
        _ => {
            for (i, (question, wanted)) in abort_questions(system).iter().enumerate() {
                match call.answers.get(i) {
                    None if call.eof => return Reply::fail(1, "EOF when reading a line"),
                    None => return Reply::ask(*question),
                    Some(answer) if answer != wanted => return Reply::ok("Operation cancelled.\n"),
                    Some(_) => {}
                }
            }
            system.upgrade_abort()
        }
    };
    match done {
        Ok(()) => Reply::ok(system.upgrade.as_ref().map(upgrade_table).unwrap_or_default()),
        Err(refusal) => Reply::fail(1, refusal),
    }
}

/// What `upgrade-abort` asks, and the answers it wants.
fn abort_questions(system: &System) -> Vec<(&'static str, &'static str)> {
    let confirm = ("Type 'abort' to confirm: ", "abort");
    if system.simplex() {
        vec![(ABORT_SIMPLEX, "yes")]
    } else if system.abort_needs_reinstall() {
        vec![(ABORT_REINSTALL, "yes"), confirm]
    } else if system.all_in_one() && system.upgrade.is_some() {
        vec![(ABORT_ALL_IN_ONE, "yes"), confirm]
    } else {
        vec![(ABORT, "yes")]
    }
}

fn upgrade_table(upgrade: &Upgrade) -> String {
    table::properties(
        &[
            ("uuid", (&upgrade.uuid).into()),
            ("state", (&upgrade.state).into()),
            ("from_release", (&upgrade.from_release).into()),
            ("to_release", (&upgrade.to_release).into()),
        ],
        0,
    )
}
