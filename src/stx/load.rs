//! `stx_load`: a release imported, or gone.

use std::path::PathBuf;
use std::time::Duration;

use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::platform::{self, Load, No};
use super::state::LoadState;

crate::choices! {
    pub enum State { Imported = "imported", Absent = "absent" }
}

crate::arguments! {
    pub struct Args {
        /// The release: `21.12`.
        release []: String,
        /// Whether its load is to be there or to be gone.
        state []: State = State::Imported,
        /// ISO of the release, on the host; needed to import it.
        iso []: Option<PathBuf>,
        /// Signature of the ISO, on the host.
        sig []: Option<PathBuf>,
        /// Seconds that the import or the deletion may take.
        timeout []: u64 = 3600u64,
    }
    rules [Together(&["iso", "sig"])]
}

pub struct LoadModule;

impl Module for LoadModule {
    const NAMES: &'static [&'static str] = &["stx_load"];
    const DOC: &'static str = "Imports a release from its ISO and signature and waits for it, or deletes a load.\n\
        A load that is active counts as imported: the upgrade to it is done.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("load", "id, state and software_version")];
    const EXAMPLE: &'static str = "- name: import the new release\n  stx_load:\n    release: '21.12'\n    \
        iso: /home/sysadmin/loads/21.12/bootimage.iso\n    sig: /home/sysadmin/loads/21.12/bootimage.sig";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let loads = platform::patiently(host.as_look(), platform::loads)?;
        match (args.state, decide(&args, &loads)?) {
            (_, Step::Settled) => Ok(outcome(&args, &loads, false)),
            (State::Imported, Step::Act) => {
                import(&args, host)?;
                wait(&args, host)
            }
            (State::Absent, Step::Act) => {
                delete(&args, &loads, host)?;
                wait(&args, host)
            }
            (_, Step::Wait) => wait(&args, host),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Settled,
    /// Under way already: not asked for again.
    Wait,
    Act,
}

fn decide(args: &Args, loads: &[Load]) -> Result<Step, Failure> {
    let load = loads.iter().find(|l| l.version == args.release);
    let stuck = |why: &str, next: &str| -> Failure {
        Advice::failed(format!("the load {} is {why}", args.release)).next(next).safe("yes: nothing was changed").into()
    };
    Ok(match (args.state, load.map(|l| &l.state)) {
        (State::Imported, Some(LoadState::Imported | LoadState::Active)) => Step::Settled,
        (State::Imported, Some(LoadState::Importing)) => Step::Wait,
        (State::Imported, None) => {
            if let Some(other) = loads.iter().find(|l| l.state != LoadState::Active) {
                return Err(Advice::failed(format!("another load is there: {} is {}", other.version, other.state))
                    .cause("the platform holds two loads at most, the active one and one other")
                    .next(format!("`system load-delete {}` if it is not needed, then run again", other.id))
                    .safe("yes: nothing was changed")
                    .into());
            }
            Step::Act
        }
        (State::Imported, Some(LoadState::Error)) => {
            return Err(stuck(
                "in error: its import failed",
                "`system load-delete` it, see /var/log/sysinv.log, and run again",
            ));
        }
        (State::Imported, Some(other)) => return Err(stuck(other.word(), "wait until that is over and run again")),
        (State::Absent, None) => Step::Settled,
        (State::Absent, Some(LoadState::Deleting)) => Step::Wait,
        (State::Absent, Some(LoadState::Imported | LoadState::ImportedMetadata | LoadState::Error)) => Step::Act,
        (State::Absent, Some(LoadState::Active)) => {
            return Err(stuck("the active one", "name the release that is to go; the active one cannot"));
        }
        (State::Absent, Some(other)) => return Err(stuck(other.word(), "wait until that is over and run again")),
    })
}

fn import(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let (Some(iso), Some(sig)) = (&args.iso, &args.sig) else {
        return Err(Advice::failed(format!("no load {} is imported, and no ISO of it is known", args.release))
            .next("copy bootimage.iso and bootimage.sig to /home/sysadmin/loads/<release>/, or give `-e load_iso=… -e load_sig=…`")
            .safe("yes: nothing was changed")
            .into());
    };
    for file in [iso, sig] {
        if host.stat(file, true)?.is_none() {
            return Err(Failure::new(format!("{} does not exist on the host", file.display())));
        }
    }
    let effects = [platform::supposed_loads(&*host.as_look(), &[(&args.release, "imported")])];
    let words = ["load-import", &iso.display().to_string(), &sig.display().to_string()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match platform::tell(host, &words, None, &effects) {
        Ok(_) => Ok(()),
        Err(No::Refused(why)) => {
            let next = if why.contains("could not be verified") {
                "the ISO and its signature do not belong together or were damaged: copy both again and compare their checksums"
            } else if why.contains("No valid upgrade path") {
                "this release cannot be reached from the running one in one step: import the release in between"
            } else if why.to_lowercase().contains("space") {
                "free space under /scratch and run again"
            } else {
                "put that right and run again"
            };
            Err(Advice::failed(format!("the platform did not import {}: {why}", args.release))
                .next(next)
                .safe("yes: the running release is untouched")
                .into())
        }
        Err(other) => Err(other.into()),
    }
}

fn delete(args: &Args, loads: &[Load], host: &mut dyn Act) -> Result<(), Failure> {
    let Some(load) = loads.iter().find(|l| l.version == args.release) else { return Ok(()) };
    let effects = [platform::supposed_loads(&*host.as_look(), &[(&args.release, "absent")])];
    platform::tell(host, &["load-delete", &load.id], None, &effects)?;
    Ok(())
}

fn wait(args: &Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let reason = match args.state {
        State::Imported => format!("load {} imported", args.release),
        State::Absent => format!("load {} deleted", args.release),
    };
    let wait = Wait::new(reason, Duration::from_secs(args.timeout)).usual(Duration::from_secs(600));
    let seen = wait.until(host.as_look(), |host| {
        platform::sight(platform::loads(host), |loads| {
            let load = loads.iter().find(|l| l.version == args.release);
            match (args.state, load.map(|l| &l.state)) {
                (State::Imported, Some(LoadState::Imported | LoadState::Active)) | (State::Absent, None) => {
                    Sight::Done(loads)
                }
                (State::Imported, Some(LoadState::Error)) => Sight::Never("the load went to error".into()),
                (State::Imported, None) => Sight::Never("the load is gone from load-list: its import failed".into()),
                (_, Some(state)) => Sight::NotYet(state.to_string()),
            }
        })
    });
    match seen {
        Ok(loads) => Ok(outcome(args, &loads, true)),
        Err(error) => Err(Advice::after(error, |a| {
            a.cause("the conductor's log says why: /var/log/sysinv.log")
                .safe("yes: the running release is untouched")
                .next("a load in error is removed with `system load-delete <id>`; one that is importing is not deleted by the platform: look why it takes so long")
                .next("then `stx-upgrade resume`: it waits on, or imports again")
        })),
    }
}

fn outcome(args: &Args, loads: &[Load], changed: bool) -> Outcome {
    let load = loads.iter().find(|l| l.version == args.release);
    let shown = load.map(|l| {
        Value::dict(
            dict! { "id" => l.id.as_str(), "state" => l.state.word(), "software_version" => l.version.as_str() },
        )
    });
    let state = load.map_or("absent", |l| l.state.word()).to_owned();
    Outcome::changed(changed).msg(format!("load {}: {state}", args.release)).with("load", shown)
}
