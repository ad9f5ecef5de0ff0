//! The tests, a file for each family; one line of a family's table each.

mod basic;
mod matching;
mod results;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::jinja::tree::Test;

const FAMILIES: &[&[Test]] = &[results::ALL, matching::ALL, basic::ALL];

fn table() -> &'static HashMap<&'static str, &'static Test> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Test>> = OnceLock::new();
    TABLE.get_or_init(|| {
        // The first of a name wins: families of Ansible's own stand before Jinja's.
        let mut table = HashMap::new();
        for test in FAMILIES.iter().copied().flatten() {
            for name in test.names {
                table.entry(*name).or_insert(test);
            }
        }
        table
    })
}

/// A test by its short or full name.
pub(super) fn find(name: &str) -> Option<&'static Test> {
    let bare = name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name);
    table().get(bare).copied()
}

/// All names, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    table().keys().copied()
}

/// Every test once, with its names and what it does, for the documentation.
pub fn documented() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    FAMILIES.iter().copied().flatten().map(|f| (f.names, f.doc))
}
