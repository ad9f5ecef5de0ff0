//! `stx_gate`: asks the operator before what cannot be undone.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::event;
use crate::model::outcome::Outcome;
use crate::model::value::Dict;

pub struct StxGate;

crate::arguments! {
    pub struct Args {
        /// What is about to happen: `controller-0 will be wiped`.
        title []: String,
        /// Headings and texts, in their order: what happens, how to undo it before and after, what was proved, health.
        lines []: Dict,
        /// What must be typed to go on, as a rule the host's name.
        expect []: String,
        /// An answer given beforehand; empty for none.
        answer []: Option<String>,
    }
}

impl Action for StxGate {
    const NAMES: &'static [&'static str] = &["stx_gate"];
    const DOC: &'static str = "Shows what is about to happen and what it costs, and asks. Anything but the expected answer stops the run, \
        to be resumed. An answer may be given beforehand: with `answer`, or with `--yes` on the command line. Who answered what, and \
        when, is in the journal.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("answer", "what was typed"), ("by", "who answered")];
    const EXAMPLE: &'static str = "- stx_gate:\n    title: controller-0 will be wiped\n    lines:\n      What happens: the root disk is wiped\n    expect: controller-0";
    const MAY_CHANGE: bool = false;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let gate = event::Gate {
            title: args.title,
            lines: args.lines.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            expect: args.expect,
        };
        if ctx.check() {
            return Ok(Outcome::ok().msg(format!("would ask: {}", gate.title)));
        }
        ctx.gate(gate, args.answer.filter(|a| !a.is_empty())).await
    }
}
