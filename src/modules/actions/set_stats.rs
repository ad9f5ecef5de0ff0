//! `set_stats`: figures for the end of the run.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};

pub struct SetStats;

crate::arguments! {
    pub struct Args {
        /// Names and values.
        data []: Dict,
        /// Whether each host has its own.
        per_host []: bool = false,
        /// Whether a value is added to (number, text, list, mapping) one that is there.
        aggregate []: bool = true,
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
        let stats = crate::dict! {
            "aggregate" => args.aggregate,
            "data" => Value::dict(args.data.clone()),
            "per_host" => args.per_host,
        };
        ctx.consequence(Consequence::Stats { data: args.data, per_host: args.per_host, aggregate: args.aggregate });
        Ok(Outcome::ok().with("ansible_stats", Value::dict(stats)))
    }
}
