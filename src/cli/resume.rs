//! `resume`: goes on where a run stood. The same plan is run again; what has ended answers from the journal.

use super::args::{Play, Resume};
use super::exit_code::Exit;
use super::settings::Settings;
use super::{play, runs, secrets};
use crate::journal::log::JournalError;
use crate::journal::recover::Recovered;
use crate::model::secret::Mask;
use crate::model::value::{Dict, Value};

pub fn run(args: &Resume) -> anyhow::Result<Exit> {
    let mask = Mask::default();
    let settings = Settings::read()?;
    let mut secrets = args.secrets.clone();
    settings.fill_secrets(&mut secrets);
    let given = secrets::collect(&secrets, &mask)?;
    let state = runs::state_dir(&args.state)?;
    let found = state.run(args.run.as_deref())?;
    let (record, part) = match play::reopen(&found.journal, &state, &mask) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(match error {
                JournalError::Locked { .. } => Exit::Locked,
                _ => Exit::Journal,
            });
        }
    };
    let mut play = again(args, record.earlier(), &record.decided("extra_vars"));
    settings.fill_output(&mut play.output);
    play.settings = settings;
    let id = record.earlier().run().to_owned();
    let loaded = match play::load(&play, given, &mask)? {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    play::drive(play::Session { args: &play, loaded, record, id, state, mask, part })
}

/// The command line of the run, from its journal, with what this one says about output and gates.
fn again(args: &Resume, earlier: &Recovered, extra: &Option<Value>) -> Play {
    let none = Dict::new();
    let options = earlier.header.as_ref().map_or(&none, |h| &h.options);
    let text = |name: &str| options.get(name).filter(|v| !v.is_null()).map(Value::to_string);
    let list = |name: &str| -> Vec<String> {
        options.get(name).and_then(Value::as_list).unwrap_or_default().iter().map(Value::to_string).collect()
    };
    let flag = |name: &str| options.get(name).and_then(Value::as_bool).unwrap_or(false);
    let number = |name: &str| options.get(name).and_then(Value::as_int).map(|i| i as u64);
    Play {
        playbooks: list("playbooks"),
        inventory: list("inventory"),
        limit: text("limit"),
        extra_vars: extra.as_ref().map(|v| serde_json::to_string(v).unwrap_or_default()).into_iter().collect(),
        tags: list("tags"),
        skip_tags: list("skip_tags"),
        forks: number("forks").map(|f| f as usize),
        user: text("user"),
        private_key: text("private_key").map(Into::into),
        connection: text("connection"),
        become_: flag("become"),
        become_user: text("become_user"),
        become_method: text("become_method"),
        diff: flag("diff"),
        force_handlers: flag("force_handlers"),
        timeout: number("timeout"),
        task_timeout: number("task_timeout"),
        ssh_common_args: text("ssh_common_args"),
        ssh_extra_args: text("ssh_extra_args"),
        in_doubt: args.in_doubt.clone(),
        accept_edits: args.accept_edits,
        gates: args.gates.clone(),
        secrets: args.secrets.clone(),
        output: args.output.clone(),
        ..Play::default()
    }
}
