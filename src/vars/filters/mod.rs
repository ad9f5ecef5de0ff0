//! The filters, a file for each family; one line of a family's table each.

mod address;
mod data;
mod dicts;
mod jinja;
mod lists;
mod network;
mod numbers;
mod paths;
mod regex;
mod sequences;
mod text;
mod yaml;

use std::collections::HashMap;
use std::sync::OnceLock;

pub use numbers::bytes_of;
pub use paths::expand_user;

pub(super) use data::truth_of;
pub(super) use paths::{files_like, url_parts};
pub use text::{HASHES, hash_password};
pub(super) use text::{random_letters, shell_words};

use super::jinja::tree::Filter;

const FAMILIES: &[&[Filter]] = &[
    data::ALL,
    dicts::ALL,
    lists::ALL,
    network::ALL,
    numbers::ALL,
    paths::ALL,
    regex::ALL,
    text::ALL,
    yaml::ALL,
    jinja::ALL,
    sequences::ALL,
];

fn table() -> &'static HashMap<&'static str, &'static Filter> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Filter>> = OnceLock::new();
    TABLE.get_or_init(|| {
        // The first of a name wins: families of Ansible's own stand before Jinja's.
        let mut table = HashMap::new();
        for filter in FAMILIES.iter().copied().flatten() {
            for name in filter.names {
                table.entry(*name).or_insert(filter);
            }
        }
        table
    })
}

/// A filter by its short or full name.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    let bare = name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name);
    table().get(bare).copied()
}

/// All names, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    table().keys().copied()
}

/// Every filter once, with its names and what it does, for the documentation.
pub fn documented() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    FAMILIES.iter().copied().flatten().map(|f| (f.names, f.doc))
}
