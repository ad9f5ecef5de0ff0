//! Hieradata: read, migrated by rules, written so that untouched lines stay byte-identical.
//!
//! Hieradata is what Puppet reads: one flat level of `class::parameter: value`, block style, YAML 1.1. Expressions in
//! rules are evaluated by whoever uses this room (see [`migrate::Expressions`]).

pub mod file;
pub mod migrate;
pub mod rules;
pub mod yaml11;
