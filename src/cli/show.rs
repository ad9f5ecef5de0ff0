//! `show`: the whole story of a run, told again through the reporters that showed it.

use super::args::Show;
use super::exit_code::Exit;
use super::{reporters, runs};
use crate::journal::read::{Reader, verify};
use crate::model::secret::Mask;
use crate::report::story::{Story, concerns};
use crate::report::{Reporter, overview};

pub fn run(args: &Show) -> anyhow::Result<Exit> {
    let run = runs::state_dir(&args.state)?.run(args.run.as_deref())?;
    if args.verify {
        let (recovered, _) = runs::stand(&run.journal)?;
        let verified = verify(&run.journal)?;
        println!("{}", overview::verified(&verified, &recovered));
        return Ok(if verified.damage.is_some() { Exit::Journal } else { Exit::Ok });
    }
    let mut reporters: Vec<Box<dyn Reporter>> = reporters::choose_story(&args.output, &Mask::default())?;
    let mut story = Story::default();
    let mut exit = Exit::Ok;
    for record in Reader::open(&run.journal)? {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                eprintln!("error: {error}");
                exit = Exit::Journal;
                break;
            }
        };
        for event in story.tell(&record) {
            if args.task.as_ref().is_none_or(|task| concerns(&event.event, task)) {
                reporters.iter_mut().for_each(|r| r.event(&event));
            }
        }
    }
    reporters.iter_mut().for_each(|r| r.finish());
    Ok(exit)
}
