//! `show`: the whole story of a run, told again through the reporters that showed it.

use std::io::BufRead;
use std::time::Duration;

use super::args::Show;
use super::exit_code::Exit;
use super::{reporters, runs};
use crate::journal::log::is_driven;
use crate::journal::read::{ReadError, Reader, verify};
use crate::model::secret::Mask;
use crate::report::story::{Story, concerns};
use crate::report::{Reporter, overview};

/// How often a journal is looked at that is being written.
const LOOK: Duration = Duration::from_millis(200);

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
    let mut reader = Reader::open(&run.journal)?;
    let exit = loop {
        // Asked before reading: what a run writes last is read after it has ended.
        let goes_on = args.follow && is_driven(&run.journal);
        if let Err(error) = tell(&mut reader, &mut story, args, &mut reporters) {
            eprintln!("error: {error}");
            break Exit::Journal;
        }
        if !goes_on {
            break Exit::Ok;
        }
        std::thread::sleep(LOOK);
        reader.look_again();
    };
    reporters.iter_mut().for_each(|r| r.finish());
    Ok(exit)
}

/// Tells what the journal has beyond what was told.
fn tell(
    reader: &mut Reader<impl BufRead>,
    story: &mut Story,
    args: &Show,
    reporters: &mut [Box<dyn Reporter>],
) -> Result<(), ReadError> {
    for record in reader {
        for event in story.tell(&record?) {
            if args.task.as_ref().is_none_or(|task| concerns(&event.event, task)) {
                reporters.iter_mut().for_each(|r| r.event(&event));
            }
        }
    }
    Ok(())
}
