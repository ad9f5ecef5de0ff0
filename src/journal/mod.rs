//! The record of a run: written before acting, folded again to resume. Knows nothing of hosts or modules.
//!
//! One append-only file a run, one JSON object a line, each chained to the line before it. [`record`] is the format,
//! [`log`] writes, [`read`] reads, [`recover`] folds what was read into where the run stands.

mod crash;
pub mod exact;
pub mod key;
pub mod line;
pub mod log;
pub mod place;
pub mod read;
pub mod record;
pub mod recover;
pub mod seal;
pub mod writer;
