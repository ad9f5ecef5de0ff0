//! StarlingX: what its commands print, its states and moves, and one module per capability.

pub mod advice;
pub mod platform;
pub mod state;
pub mod tables;

use crate::action::module::Entry;

/// The modules of this room.
pub const ALL: &[Entry] = &[];
