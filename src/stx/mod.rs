//! StarlingX: what its commands print, its states and moves, and one module per capability.
