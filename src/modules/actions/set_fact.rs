//! `set_fact`: makes variables of a host.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::Dict;
use crate::parse::is_variable_name;

pub struct SetFact;

crate::arguments! {
    pub struct Args {
        /// Whether the facts also rank as facts of the host, to be kept with its facts.
        cacheable []: bool = false,
    }
}

impl Action for SetFact {
    const NAMES: &'static [&'static str] = &["set_fact", "ansible.builtin.set_fact"];
    const DOC: &'static str = "Sets variables of the host, from here to the end of the run. Any name is a parameter.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("ansible_facts", "what was set")];
    const EXAMPLE: &'static str = "- set_fact:\n    release: \"{{ build.stdout }}\"";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    const OPEN: bool = true;
    type Args = Args;

    async fn run(args: Args, facts: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if facts.is_empty() {
            return Err(Failure::new("set_fact needs at least one name: value"));
        }
        if let Some(bad) = facts.keys().find(|k| !k.as_str().is_some_and(is_variable_name)) {
            // Ansible's words: scripts look for them.
            return Err(Failure::new(format!(
                "Invalid variable name '{bad}': a name has letters, digits and underscores, and does not begin with a digit; \
                 true, false, none and not are taken"
            )));
        }
        let mut outcome = Outcome::ok();
        outcome.facts = facts.clone();
        ctx.consequence(Consequence::SetFacts { facts, cacheable: args.cacheable });
        Ok(outcome)
    }
}
