//! Templates: Jinja as Ansible runs it, with its filters, tests and lookups.
//!
//! What the other rooms call is [`template::Templar`], with a [`template::Scope`] of theirs that knows the variables and
//! their precedence. minijinja reads the language; [`jinja`] gives it Python's meaning.

mod chance;
mod check;
mod dates;
mod error;
pub mod filters;
mod jinja;
pub mod lookups;
mod options;
mod patterns;
pub mod template;
pub mod template_vars;
pub mod tests;
pub mod versions;

pub use filters::{HASHES, bytes_of, expand_user, hash_password};
