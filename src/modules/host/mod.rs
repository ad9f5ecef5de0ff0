//! The two hosts that a module may hold: the real one, and the preview of a check run. When to make which is the agent's.

mod changes;
pub mod layer;
pub(crate) mod part;
pub mod preview;
mod process;
pub mod real;
mod terminal;

use std::sync::{Arc, Mutex};

use crate::action::host::Act;
use crate::action::host_call::{CallContext, Hosts};
use layer::Layer;
use preview::Preview;
use real::Real;

/// Makes handles on the host that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Hosts for ThisHost {
    type Layer = Layer;

    fn real(&self, context: CallContext) -> Box<dyn Act> {
        Box::new(Real::new(context))
    }

    fn preview(&self, context: CallContext, layer: Arc<Mutex<Layer>>) -> Box<dyn Act> {
        Box::new(Preview::new(context, layer))
    }
}
