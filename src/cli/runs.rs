//! `runs` and `status`: what ran, and where it stands.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::args::{RunName, State};
use super::exit_code::Exit;
use crate::journal::log::is_driven;
use crate::journal::place::StateDir;
use crate::journal::read::{ReadError, Reader};
use crate::journal::recover::Recovered;
use crate::report::overview::{self, Row};

/// The folder of this program's state.
pub fn state_dir(args: &State) -> anyhow::Result<StateDir> {
    match &args.state {
        Some(dir) => Ok(StateDir::at(dir)),
        None => StateDir::find(|name| std::env::var_os(name))
            .context("there is no home folder to remember runs in; set HOME, or give --state DIR"),
    }
}

/// Where a run stands, as far as its journal can be read; the damage, if it is damaged.
pub fn stand(journal: &Path) -> Result<(Recovered, Option<ReadError>), ReadError> {
    let mut recovered = Recovered::default();
    for record in Reader::open(journal)? {
        match record {
            Ok(record) => recovered.take(record),
            Err(error) => return Ok((recovered, Some(error))),
        }
    }
    Ok((recovered, None))
}

pub fn list(args: &State) -> anyhow::Result<Exit> {
    let runs = state_dir(args)?.runs()?;
    let stands: Vec<_> = runs.iter().map(|r| stand(&r.journal)).collect();
    let rows: Vec<Row<'_>> = runs
        .iter()
        .zip(&stands)
        .map(|(run, stand)| Row {
            run: &run.id,
            stand: match stand {
                Ok((recovered, None)) => Ok(recovered),
                Ok((_, Some(error))) | Err(error) => Err(error.to_string()),
            },
            driven: is_driven(&run.journal),
        })
        .collect();
    print!("{}", overview::runs(&rows));
    Ok(Exit::Ok)
}

pub fn status(args: &RunName) -> anyhow::Result<Exit> {
    let run = state_dir(&args.state)?.run(args.run.as_deref())?;
    loop {
        let (recovered, damage) = stand(&run.journal)?;
        let driven = is_driven(&run.journal);
        println!("{}", overview::status(&recovered, driven));
        if let Some(damage) = damage {
            eprintln!("error: {damage}");
            return Ok(Exit::Journal);
        }
        if !args.watch || !driven {
            return Ok(Exit::Ok);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
