//! Actions: the engine's side of the language, one file each, and the table that names them.

use crate::action::engine_side::ActionEntry;

mod assert;
mod debug;
mod fail;
mod fetch;
mod gate;
mod include_vars;
mod inventory;
mod pause;
mod raw;
mod reconnect;
mod set_fact;
mod set_stats;

pub use set_fact::is_name;

/// Every action.
pub const ALL: &[ActionEntry] = &[
    ActionEntry::of::<assert::Assert>(),
    ActionEntry::of::<debug::Debug>(),
    ActionEntry::of::<fail::Fail>(),
    ActionEntry::of::<fetch::Fetch>(),
    ActionEntry::of::<include_vars::IncludeVars>(),
    ActionEntry::of::<inventory::AddHost>(),
    ActionEntry::of::<inventory::GroupBy>(),
    ActionEntry::of::<pause::Pause>(),
    ActionEntry::of::<raw::Raw>(),
    ActionEntry::of::<reconnect::Reboot>(),
    ActionEntry::of::<reconnect::StxReinstalled>(),
    ActionEntry::of::<reconnect::WaitForConnection>(),
    ActionEntry::of::<set_fact::SetFact>(),
    ActionEntry::of::<set_stats::SetStats>(),
    ActionEntry::of::<gate::StxGate>(),
];
