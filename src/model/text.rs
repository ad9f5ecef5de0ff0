//! A string, and what is known of where it is from.
//!
//! Ansible evaluates as an expression, and opens as a secret, only what it can trace to the user's own files; so do we.
//! What a filter or an operator makes of a string is a new one, of which nothing is known.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A string. Two are equal if their characters are.
#[derive(Clone, Default)]
pub struct Text {
    chars: Arc<str>,
    origin: Origin,
}

/// Where a string is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A host, a program, a template, or text marked `!unsafe`: never evaluated.
    #[default]
    Data,
    /// A playbook, vars file, inventory or command line holds these characters: they may be an expression.
    Written,
    /// The same, sealed with `!vault`.
    Vaulted,
}

impl Text {
    /// Text that the user wrote.
    pub fn written(chars: impl Into<Arc<str>>) -> Text {
        Text { chars: chars.into(), origin: Origin::Written }
    }

    /// Text that the user wrote and sealed.
    pub fn vaulted(chars: impl Into<Arc<str>>) -> Text {
        Text { chars: chars.into(), origin: Origin::Vaulted }
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the user wrote it, so that it may be evaluated.
    pub fn is_trusted(&self) -> bool {
        self.origin != Origin::Data
    }

    /// The characters, shared.
    pub fn shared(&self) -> &Arc<str> {
        &self.chars
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.chars
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.chars
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.chars == other.chars
    }
}

impl Eq for Text {}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chars)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.chars, f)
    }
}

impl From<Arc<str>> for Text {
    fn from(chars: Arc<str>) -> Text {
        Text { chars, origin: Origin::Data }
    }
}

impl From<&str> for Text {
    fn from(chars: &str) -> Text {
        Text::from(Arc::from(chars))
    }
}

impl From<String> for Text {
    fn from(chars: String) -> Text {
        Text::from(Arc::from(chars))
    }
}
