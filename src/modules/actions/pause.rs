//! `pause`: waits for a time, or for the operator.

use std::time::{Duration, Instant};

use crate::action::args::FromArg;
use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::command::python_time;

pub struct Pause;

crate::arguments! {
    pub struct Args {
        /// How long.
        seconds []: Option<Span>,
        /// How long, in minutes.
        minutes []: Option<Span>,
        /// What to ask; the answer is `user_input`.
        prompt []: Option<String>,
        /// Whether what is typed is shown.
        echo []: bool = true,
    }
    rules [Exclusive(&["minutes", "seconds"])]
}

/// A number of seconds or minutes; Ansible calls it whole, and takes any.
#[derive(Clone, Debug)]
pub struct Span(f64);

impl FromArg for Span {
    const KIND: &'static str = "int";
    fn from_arg(value: &Value) -> Result<Span, String> {
        f64::from_arg(value).map(Span)
    }
    fn written(&self) -> String {
        self.0.to_string()
    }
}

/// Said where a prompt has nobody to answer it, in Ansible's words.
const NOBODY_THERE: &str = "Not waiting for response to prompt as stdin is not interactive";

impl Action for Pause {
    const NAMES: &'static [&'static str] = &["pause", "ansible.builtin.pause"];
    const DOC: &'static str =
        "Waits for a time, or until the operator presses Enter. Runs once for all hosts of the batch.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("user_input", "what was typed"), ("delta", "seconds it took"), ("stdout", "what was done")];
    const EXAMPLE: &'static str = "- pause:\n    seconds: 30";
    const MAY_CHANGE: bool = false;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let now = || python_time(&jiff::Zoned::now());
        let began = now();
        let seconds = args.seconds.as_ref().map(|s| s.0).or(args.minutes.as_ref().map(|m| m.0 * 60.0));
        let time = seconds.map(|s| Duration::from_secs_f64(s.clamp(0.0, 1e9)));
        let (mut input, mut warnings) = (String::new(), Vec::new());
        match time {
            Some(time) => ctx.sleep(time).await?,
            None => {
                let prompt = args.prompt.unwrap_or_else(|| "Press enter to continue, Ctrl+C to interrupt".into());
                match ctx.ask(&format!("{prompt}: "), args.echo).await? {
                    Some(said) => input = said,
                    None => warnings.push(NOBODY_THERE.to_owned()),
                }
            }
        }
        let took = start.elapsed().as_secs();
        let unit = if args.minutes.is_some() { ("minutes", took as f64 / 60.0) } else { ("seconds", took as f64) };
        Ok(Outcome { warnings, ..Outcome::ok() }
            .with("user_input", input)
            .with("delta", took)
            .with("start", began)
            .with("stop", now())
            .with("echo", args.echo)
            .with("rc", 0i64)
            .with("stderr", "")
            .with("stdout", format!("Paused for {:.2} {}", unit.1, unit.0)))
    }
}
