//! Actions: the engine's side of the language, one file each, and the table that names them.

use crate::action::engine_side::ActionEntry;

mod argument_spec;
mod assemble;
mod assert;
mod copy;
mod debug;
mod fail;
mod fetch;
mod gate;
mod include_vars;
mod inventory;
mod lease;
mod own;
mod pause;
mod raw;
mod reconnect;
mod script;
mod set_fact;
mod set_stats;
mod swact;
mod synchronize;
mod template;
mod unarchive;
mod uri;

/// Every action.
pub const ALL: &[ActionEntry] = &[
    ActionEntry::of::<argument_spec::ValidateArgumentSpec>(),
    ActionEntry::of::<assemble::Assemble>(),
    ActionEntry::of::<assert::Assert>(),
    ActionEntry::of::<copy::Copy>(),
    ActionEntry::of::<debug::Debug>(),
    ActionEntry::of::<fail::Fail>(),
    ActionEntry::of::<fetch::Fetch>(),
    ActionEntry::of::<include_vars::IncludeVars>(),
    ActionEntry::of::<inventory::AddHost>(),
    ActionEntry::of::<inventory::GroupBy>(),
    ActionEntry::of::<own::Own>(),
    ActionEntry::of::<pause::Pause>(),
    ActionEntry::of::<raw::Raw>(),
    ActionEntry::of::<reconnect::Reboot>(),
    ActionEntry::of::<reconnect::StxReinstalled>(),
    ActionEntry::of::<reconnect::WaitForConnection>(),
    ActionEntry::of::<script::Script>(),
    ActionEntry::of::<set_fact::SetFact>(),
    ActionEntry::of::<set_stats::SetStats>(),
    ActionEntry::of::<gate::StxGate>(),
    ActionEntry::of::<lease::StxLease>(),
    ActionEntry::of::<swact::StxSwact>(),
    ActionEntry::of::<swact::StxFollow>(),
    ActionEntry::of::<synchronize::Synchronize>(),
    ActionEntry::of::<template::Template>(),
    ActionEntry::of::<unarchive::Unarchive>(),
    ActionEntry::of::<uri::Uri>(),
];
