//! Text to model: YAML with positions, playbooks, roles, inventories, vault. Runs and renders nothing.
//!
//! Every reader collects all mistakes of a file and reads on where that makes sense. What needs the table of modules asks
//! [`words::Words`], so that this room need not know the modules.

mod action;
mod document;
pub mod extra_vars;
pub mod files;
pub mod inventory;
mod keys;
mod kv;
pub mod playbook;
pub mod role;
pub mod tasks;
pub mod vars_file;
pub mod vault;
pub mod words;
pub mod yaml;
