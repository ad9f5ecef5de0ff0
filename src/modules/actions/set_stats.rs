//! `set_stats`: figures for the end of the run.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::Dict;

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
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "- set_stats:\n    data:\n      images: \"{{ images | length }}\"";
    const MAY_CHANGE: bool = false;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        ctx.consequence(Consequence::Stats { data: args.data, per_host: args.per_host, aggregate: args.aggregate });
        Ok(Outcome::ok())
    }
}
