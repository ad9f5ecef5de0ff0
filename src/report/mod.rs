//! Events in, text out: terminal, plain lines, JSON lines, JUnit; mistakes with their caret.
//!
//! A reporter that cannot print stops nothing: what it cannot write is lost, and the run goes on.

use crate::model::event::Stamped;

mod boxes;
mod diff;
pub mod json;
pub mod junit;
pub mod lines;
pub mod live;
pub mod log_file;
pub mod mistake;
pub mod overview;
pub mod plain;
mod python_json;
mod recap;
pub mod result;
pub mod story;
pub mod style;
pub mod terminal;
pub mod units;

/// Shows events as they come.
pub trait Reporter: Send {
    fn event(&mut self, e: &Stamped);
    /// After the last event.
    fn finish(&mut self);
}
