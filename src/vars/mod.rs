//! Variables and templates: layers and their precedence, and Jinja as Ansible runs it.
//!
//! What the engine calls is [`template::Templar`] and [`layers`]; the rest is the language.

mod dates;
mod error;
pub mod filters;
mod jinja;
pub mod lookups;
mod patterns;
pub mod template;
pub mod tests;
mod versions;
