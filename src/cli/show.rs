//! `show`: the whole story of a run, replayed through the reporters.

use super::args::Show;
use super::exit_code::Exit;
use super::runs;

pub fn run(args: &Show) -> anyhow::Result<Exit> {
    let run = runs::state_dir(&args.state)?.run(args.run.as_deref())?;
    println!("{}", run.id);
    Ok(Exit::Ok)
}
