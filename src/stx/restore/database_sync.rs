//! `stx_database_sync`: the restored database brought to the new release's schema.

use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;

use super::{done_by, is_done, note};

crate::arguments! {
    pub struct Args {
        /// The new release.
        to_release []: String,
        /// The program that does it.
        program []: String = "sysinv-dbsync",
        /// Seconds that it may take.
        timeout []: u64 = 1800u64,
    }
}

pub struct DatabaseSync;

impl Module for DatabaseSync {
    const NAMES: &'static [&'static str] = &["stx_database_sync"];
    const DOC: &'static str = "Migrates the schema of the platform's database with the platform's own program.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "- name: schema\n  stx_database_sync:\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        // It reads the schema's version and does only what is missing.
        Recovery::Again
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let identity = format!("{} {}", args.program, args.to_release);
        if is_done(host.as_look(), "database", &identity)? {
            return Ok(Outcome::ok().msg(format!("the schema is of {}", args.to_release)));
        }
        let command = Command::new([&args.program]).timeout(Duration::from_secs(args.timeout));
        done_by(host, &args.program, command, &[])?;
        note(host, "database", &identity, false)?;
        Ok(Outcome::changed(true).msg(format!("the schema is of {}", args.to_release)))
    }
}
