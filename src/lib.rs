//! stx-upgrade: Ansible's playbook language from one static binary, and the upgrades of a StarlingX system.
//!
//! The rooms in floor order; imports point down only.

// 1
pub mod http; // requests to web servers
pub mod model; // what the user wrote and what happened

// 2: each knows the model, and the contracts
pub mod action; // the contracts: module, host handle, call, wait, wire
pub mod journal; // the durable record of a run
pub mod parse; // text to model
pub mod report; // events to text
pub mod vars; // variables and templates

// 3
pub mod hiera; // hieradata and its migration
pub mod modules; // what runs on a host
pub mod stx; // StarlingX

// 4
pub mod agent; // the far side
pub mod connection; // the link to it
pub mod plan; // playbook + inventory -> plan, all static checks

// 5
pub mod engine; // drives a plan

// 6
pub mod cli; // one file per subcommand
