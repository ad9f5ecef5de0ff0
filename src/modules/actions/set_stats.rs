//! `set_stats`: figures for the end of the run.

use crate::action::args::truth;
use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};
use crate::parse::is_variable_name;

pub struct SetStats;

crate::arguments! {
    pub struct Args {
        /// Names and values.
        data []: Value = Value::dict(Dict::new()),
        /// Whether each host has its own.
        per_host []: Value = Value::Bool(false),
        /// Whether a value is added to (number, text, list, mapping) one that is there.
        aggregate []: Value = Value::Bool(true),
    }
}

impl Action for SetStats {
    const NAMES: &'static [&'static str] = &["set_stats", "ansible.builtin.set_stats"];
    const DOC: &'static str = "Sets figures that the recap shows at the end of the run.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("ansible_stats", "data, per_host, aggregate")];
    const EXAMPLE: &'static str = "- set_stats:\n    data:\n      images: \"{{ images | length }}\"";
    const MAY_CHANGE: bool = false;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        // As with Ansible, a text that says neither yes nor no is a no.
        let yes = |value: &Value| truth(value).unwrap_or(false);
        let (per_host, aggregate) = (yes(&args.per_host), yes(&args.aggregate));
        let Value::Dict(data) = &args.data else {
            return Err(Failure::new("The 'data' option needs to be a dictionary/hash"));
        };
        if let Some(name) = data.keys().find(|k| !k.as_str().is_some_and(is_variable_name)) {
            return Err(Failure::new(format!("Invalid variable name '{name}'.")));
        }
        let stats = crate::dict! {
            "aggregate" => aggregate,
            "data" => args.data.clone(),
            "per_host" => per_host,
        };
        ctx.consequence(Consequence::Stats { data: data.as_ref().clone(), per_host, aggregate });
        Ok(Outcome::ok().with("ansible_stats", Value::dict(stats)))
    }
}
