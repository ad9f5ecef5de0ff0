//! The contracts between engine, agent and modules: what a module is, what it sees of its host, how calls travel, how
//! waits are made. Modules and engine meet here and nowhere else.

pub mod args;
pub mod command;
pub mod engine_side;
pub mod host;
pub mod host_call;
pub mod module;
pub mod wait;
pub mod wire;
pub mod wrong;
