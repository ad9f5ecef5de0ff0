//! What the user wrote and what happened: the types that every room shares. Uses nothing of the house.

pub mod event;
pub mod inventory;
pub mod mistake;
pub mod outcome;
pub mod playbook;
pub mod secret;
pub mod source;
pub mod text;
pub mod value;
pub mod yaml;
