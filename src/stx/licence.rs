//! `stx_licence`: a licence is installed.

use std::path::PathBuf;

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;

use super::advice::Advice;

crate::arguments! {
    pub struct Args {
        /// The licence file.
        path []: PathBuf = "/etc/platform/.license",
        /// Whether a system without a licence file is wrong; open StarlingX needs none.
        required []: bool = true,
    }
}

pub struct Licence;

impl Module for Licence {
    const NAMES: &'static [&'static str] = &["stx_licence"];
    const DOC: &'static str = "Fails unless a licence file is there and not empty.\n\
        Whether it is valid for the new release is the line `License valid for upgrade` of `stx_health`.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("size", "bytes of the licence file")];
    const EXAMPLE: &'static str = "- name: a licence\n  stx_licence:";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        match host.stat(&args.path, true)?.map(|s| s.size) {
            Some(size) if size > 0 => {
                Ok(Outcome::ok().msg(format!("{}: {size} bytes", args.path.display())).with("size", size))
            }
            _ if !args.required => Ok(Outcome::ok().msg("no licence is needed").with("size", 0u64)),
            seen => Err(Advice::failed(format!(
                "{} {}",
                args.path.display(),
                if seen.is_some() { "is empty" } else { "is not there" }
            ))
            .safe("yes: nothing was changed")
            .next("`system license-install <file>` with a licence of the new release")
            .into()),
        }
    }
}
