//! `async_status`: what became of a job (a task with `async`), by the file that the agent keeps of it.

use std::path::PathBuf;

use super::paths;
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::{Outcome, Status};
use crate::model::value::Value;
use crate::{arguments, choices};

choices! {
    pub enum Mode {
        Status = "status",
        /// Forgets the job.
        Cleanup = "cleanup",
    }
}

arguments! {
    pub struct Args {
        /// The job: `ansible_job_id` of the task that began it.
        jid []: String,
        /// Look at it, or remove what is kept of it.
        mode []: Mode = Mode::Status,
    }
}

/// The module `async_status`.
pub struct AsyncStatus;

impl Module for AsyncStatus {
    const NAMES: &'static [&'static str] = &["async_status", "ansible.builtin.async_status"];
    const DOC: &'static str = "Tells what became of a task with `async` and `poll: 0`: its result, once it has ended.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("ansible_job_id", "The job"),
        ("started", "Whether it has begun"),
        ("finished", "Whether it has ended"),
        ("results_file", "Where its result lies"),
        ("erased", "With `cleanup`: the file that was removed"),
    ];
    const EXAMPLE: &'static str = "- command: long-work\n  async: 3600\n  poll: 0\n  register: job\n- async_status:\n    jid: \"{{ job.ansible_job_id }}\"\n  register: result\n  until: result is finished\n  retries: 100\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.jid.contains('/') || args.jid.starts_with('.') {
            return Err(Failure::new(format!("`{}` is no job id", args.jid)));
        }
        let folder = host.env("ANSIBLE_ASYNC_DIR").unwrap_or_else(|| "~/.ansible_async".into());
        let file = paths::expand(host.as_look(), &PathBuf::from(folder))?.join(&args.jid);
        let shown = file.display().to_string();
        let about = |outcome: Outcome| outcome.with("ansible_job_id", args.jid.as_str());
        if host.stat(&file, true)?.is_none() {
            let known = Outcome::failed("could not find job").with("started", true).with("finished", true);
            return Err(Failure::Failed(Box::new(with_output(about(known).with("results_file", shown)))));
        }
        if args.mode == Mode::Cleanup {
            host.remove(&file)?;
            let gone = about(Outcome::ok()).with("started", false).with("finished", false);
            return Ok(with_output(gone.with("erased", shown)));
        }
        let text = String::from_utf8_lossy(&host.read(&file)?).into_owned();
        let Ok(Value::Dict(data)) = serde_json::from_str(&text) else {
            return Err(Failure::new(format!("Could not parse job output: {text}")));
        };
        let ended = data.get("started").is_none();
        let mut outcome = Outcome { data: data.as_ref().clone(), ..Outcome::ok() };
        let flag = |outcome: &mut Outcome, name: &str| {
            outcome.data.shift_remove(name).is_some_and(|v| crate::action::args::truth(&v).unwrap_or(false))
        };
        outcome.changed = flag(&mut outcome, "changed");
        let (failed, skipped) = (flag(&mut outcome, "failed"), flag(&mut outcome, "skipped"));
        outcome.status = match (failed, skipped) {
            (true, _) => Status::Failed,
            (false, true) => Status::Skipped,
            (false, false) => Status::Ok,
        };
        if let Some(Value::Str(msg)) = outcome.data.get("msg") {
            outcome.msg = msg.to_string();
        }
        if let Some(Value::Dict(facts)) = outcome.data.shift_remove("ansible_facts") {
            outcome.facts = facts.as_ref().clone();
        }
        let outcome = about(outcome).with("started", true).with("finished", ended).with("results_file", shown);
        Ok(with_output(outcome))
    }
}

/// The output that a job that printed nothing, or has not ended, has too.
fn with_output(mut outcome: Outcome) -> Outcome {
    for name in ["stdout", "stderr"] {
        outcome.data.entry(name.into()).or_insert_with(|| "".into());
        outcome.data.entry(format!("{name}_lines").into()).or_insert_with(|| Value::list(Vec::new()));
    }
    outcome
}
