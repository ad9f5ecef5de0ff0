//! `runs` and `status`: what ran, and where it stands.

use anyhow::Context;

use super::args::{RunName, State};
use super::exit_code::Exit;
use crate::journal::place::StateDir;

/// The folder of this program's state.
pub fn state_dir(args: &State) -> anyhow::Result<StateDir> {
    match &args.state {
        Some(dir) => Ok(StateDir::at(dir)),
        None => StateDir::find(|name| std::env::var_os(name))
            .context("there is no home folder to remember runs in; set HOME, or give --state DIR"),
    }
}

pub fn list(args: &State) -> anyhow::Result<Exit> {
    for run in state_dir(args)?.runs()? {
        println!("{}", run.id);
    }
    Ok(Exit::Ok)
}

pub fn status(args: &RunName) -> anyhow::Result<Exit> {
    let run = state_dir(&args.state)?.run(args.run.as_deref())?;
    println!("{}", run.id);
    Ok(Exit::Ok)
}
