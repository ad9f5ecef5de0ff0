//! `dpkg_selections`: what dpkg shall do with a package, as `hold`; nothing is installed or removed by it.

use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! {
    pub enum Selection { Install = "install", Hold = "hold", Deinstall = "deinstall", Purge = "purge" }
}

arguments! {
    pub struct Args {
        /// The package.
        name []: String,
        /// What dpkg shall do with it.
        selection []: Selection,
    }
}

/// The module `dpkg_selections`.
pub struct DpkgSelections;

impl Module for DpkgSelections {
    const NAMES: &'static [&'static str] =
        &["dpkg_selections", "ansible.builtin.dpkg_selections", "ansible.legacy.dpkg_selections"];
    const DOC: &'static str = "Tells dpkg what to do with a package from now on: `hold` keeps it as it is.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("before", "What was selected"), ("after", "What is selected now")];
    const EXAMPLE: &'static str = "- dpkg_selections:\n    name: python3\n    selection: hold\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let (name, wanted) = (args.name.as_str(), args.selection.word());
        let fact = format!("dpkg_selections/{name}");
        let now = match host.supposed(&fact) {
            Some(now) => now.to_string(),
            None => {
                let asked = host.query(&dpkg(&["--get-selections", name]))?;
                let unknown = asked.error_text().contains("no packages found matching");
                let asked = if unknown && asked.success() {
                    return Err(Failure::new(format!(
                        "Failed to find package '{name}' to perform selection '{wanted}'."
                    )));
                } else {
                    good(asked)?
                };
                asked.text().split_whitespace().nth(1).unwrap_or("not present").to_owned()
            }
        };
        let outcome = Outcome::changed(now != wanted).with("before", now).with("after", wanted);
        if outcome.changed {
            let then = Effect::Suppose(fact, wanted.into());
            good(host.run_expecting(&dpkg(&["--set-selections"]).stdin(format!("{name} {wanted}\n")), &[then])?)?;
        }
        Ok(outcome)
    }
}

fn dpkg(words: &[&str]) -> Command {
    Command::new(["dpkg"].iter().chain(words).copied()).env("LC_ALL", "C").env("LANGUAGE", "C")
}

fn good(output: Output) -> Result<Output, Failure> {
    if output.success() {
        return Ok(output);
    }
    let outcome = Outcome::failed(output.error_text().trim());
    Err(Failure::Failed(Box::new(super::command::output_values(
        outcome,
        output.rc,
        output.text(),
        output.error_text(),
    ))))
}
