//! The modules that run on a host, one file each, and the table that names them.

pub mod accounts;
pub mod actions;
pub mod blockinfile;
pub mod command;
pub mod copy;
pub mod digest;
pub mod file;
pub mod file_args;
pub mod file_content;
pub mod find;
pub mod host;
pub mod lineinfile;
pub mod paths;
pub mod ping;
pub mod python_regex;
pub mod replace;
pub mod shell_words;
pub mod slurp;
pub mod stat;
pub mod tempfile;
pub mod unarchive;

use crate::action::module::Entry;

/// Every module, by its file's name. A module that is not here is refused before any host is touched.
pub const ALL: &[Entry] = &[
    Entry::of::<blockinfile::BlockInFile>(),
    Entry::of::<command::Command>(),
    Entry::of::<command::Shell>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<file::File>(),
    Entry::of::<find::Find>(),
    Entry::of::<lineinfile::LineInFile>(),
    Entry::of::<ping::Ping>(),
    Entry::of::<replace::Replace>(),
    Entry::of::<slurp::Slurp>(),
    Entry::of::<stat::Stat>(),
    Entry::of::<tempfile::TempFile>(),
    Entry::of::<unarchive::Unarchive>(),
];

/// The module of a name, short or full.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.names.contains(&name))
}
