//! The modules that run on a host, one file each, and the table that names them.

pub mod host;
