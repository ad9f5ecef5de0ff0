//! Who a step is: its place by names (playbook, play, role, blocks, task), counted where names repeat. Lines do not
//! matter, so editing an unrelated task does not disturb a resume.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// A place in the tree of a plan while it is compiled: a path of names, and counters for repeated ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    path: String,
}

/// Counts names among siblings.
#[derive(Debug, Default)]
pub struct Siblings(HashMap<String, u32>);

impl Trail {
    /// The trail of what is named `name` below this one; the first of its name among its siblings is 0.
    pub fn below(&self, name: &str, siblings: &mut Siblings) -> Trail {
        let count = siblings.0.entry(name.to_owned()).or_default();
        let path = format!("{}\u{1f}{name}\u{1f}{count}", self.path);
        *count += 1;
        Trail { path }
    }

    /// How many names deep it is.
    pub fn depth(&self) -> usize {
        self.path.matches('\u{1f}').count() / 2
    }

    /// The identity at this place: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        short_digest(self.path.as_bytes())
    }
}

/// The first 16 hexadecimal digits of a SHA-256.
pub fn short_digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_does_not_change_an_identity() {
        let root = Trail::default();
        let mut before = Siblings::default();
        let lock = root.below("lock", &mut before).id();
        let mut after = Siblings::default();
        root.below("something new", &mut after);
        assert_eq!(root.below("lock", &mut after).id(), lock);
        assert_ne!(root.below("lock", &mut after).id(), lock, "the second of a name is another step");
    }
}
