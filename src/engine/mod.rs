//! Drives a plan: who runs what when, the life of a task, the journal, signals.
//!
//! [`run`] owns a run from its first play to its end; [`play`] moves the hosts of a batch through their tasks, each at its
//! place in a [`cursor`]; [`step`] is one task on one host: its condition, its loop, its attempts; [`execute`] renders and
//! sends it, through [`caller`], which also settles what is in doubt; [`record`] keeps it. [`out`] tells what happens.

pub mod caller;
pub mod context;
pub mod cursor;
pub mod execute;
pub mod fact_cache;
pub mod gate;
pub mod hosts;
pub mod include;
pub mod judge;
pub mod looping;
pub mod options;
pub mod out;
pub mod play;
mod prepare;
pub mod record;
pub mod run;
pub mod scope;
pub mod step;
pub mod stop;
pub mod store;
pub mod text;
