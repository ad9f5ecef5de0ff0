//! Jinja as Ansible runs it: minijinja reads the text ([`lower`]), [`eval`] runs the tree with Python's meaning.

mod bounds;
mod depth;
pub mod eval;
pub mod format;
pub mod functions;
pub mod literals;
pub mod lower;
pub mod members;
pub mod methods;
pub mod ops;
pub mod places;
pub mod slices;
pub mod stmts;
pub mod tree;
pub mod val;
pub mod walk;
