//! `stx_lease`: one operator at a time, and one run of theirs. A lease whose run is dead is taken over: that is known on the machine that
//! the run was driven from.

use std::path::Path;

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::journal::log::is_driven;
use crate::model::outcome::Outcome;
use crate::model::value::Dict;

pub struct StxLease;

crate::choices! {
    pub enum State { Held = "held", Released = "released" }
}

crate::arguments! {
    pub struct Args {
        /// Whether the system is to be held, or let go.
        state []: State = State::Held,
        /// Who: the operator, as user@machine.
        owner []: String,
        /// The run that holds it.
        run []: String,
        /// Seconds until it lapses by itself; each time it is held they begin anew.
        seconds []: u64 = 21600u64,
        /// Take it over from another run.
        take_over []: bool = false,
    }
}

impl Action for StxLease {
    const NAMES: &'static [&'static str] = &["stx_lease"];
    const DOC: &'static str = "Holds a system for one run: no other goes on while the lease lasts.\n\
        A run that ended or died lets the same operator's next one go on at once: no process has its journal any more. While it lives, \
        and for another operator, the second is told who holds the system, since which run and until when. It never counts as a change.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("owner", "who held it before")];
    const EXAMPLE: &'static str =
        "- name: one operator at a time\n  stx_lease:\n    owner: ops@jump1\n    run: 20261121-0314-k7";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let journal = ctx.var("stx_upgrade_journal")?.map(|j| j.to_string()).unwrap_or_default();
        let state = if args.state == State::Held { "held" } else { "released" };
        let lease = |take_over: bool| {
            dict! {
                "state" => state, "owner" => args.owner.as_str(), "run" => args.run.as_str(), "seconds" => args.seconds,
                "take_over" => take_over, "_journal" => journal.as_str(),
            }
        };
        let mut outcome = ctx.call("stx_host_lease", lease(args.take_over)).await?;
        let mut told = |name: &str| outcome.data.shift_remove(name).map(|v| v.to_string()).unwrap_or_default();
        let (owner, other) = (told("_owner"), told("_journal"));
        // Where the journal is not to be seen, nobody here knows.
        if outcome.is_failed() && owner == args.owner && Path::new(&other).is_file() && !is_driven(Path::new(&other)) {
            outcome = ctx.call("stx_host_lease", lease(true)).await?;
        }
        Ok(outcome)
    }
}
