//! `stx_restore_claim`: whether this host may be restored, and the flag that says it is being restored.

use std::path::{Path, PathBuf};

use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;

use super::super::advice::Advice;
use super::super::archive::Kind;
use super::super::platform::{self, CONFIGURED, RESTORING};
use super::Source;

crate::arguments! {
    pub struct Args {
        /// The data archive that is to be restored.
        archive []: PathBuf,
        /// The release that must be installed: the one the archive was made for.
        to_release []: String,
        /// Go on although a restore is marked as in progress that was not begun from this archive by this module.
        again []: bool = false,
    }
}

pub struct Claim;

impl Module for Claim {
    const NAMES: &'static [&'static str] = &["stx_restore_claim"];
    const DOC: &'static str = "Refuses a host that must not be restored, and marks it as being restored.\n\
        A host that was unlocked, has another release installed, or is marked as being restored by somebody else is \
        refused. A restore from the same archive that was cut off is taken up.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("taken_up", "an earlier restore is taken up")];
    const EXAMPLE: &'static str = "- name: this host may be restored\n  stx_restore_claim:\n    \
        archive: /opt/platform-backup/upgrade_data_2026-11-21T031402_6c1e.tgz\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let installed = platform::installed_release(host.as_look())?.unwrap_or_default();
        if installed != args.to_release {
            return Err(Advice::failed(format!(
                "Incorrect software load installed. Expecting {}, and {installed} is",
                args.to_release
            ))
            .safe("yes: nothing was changed")
            .next("install the release that the archive was made for, or name the archive of this release")
            .into());
        }
        if host.stat(Path::new(CONFIGURED), true)?.is_some() {
            return Err(Advice::failed("this host has been unlocked. Cannot perform restore.")
                .cause(format!("{CONFIGURED} stands: the host is configured, a restore would overwrite it"))
                .safe("yes: nothing was changed")
                .next("nothing, if the upgrade went on; to restore really, reinstall the host first")
                .into());
        }
        let source = Source::find(host.as_look(), &args.archive, Kind::Data)?;
        let mark = format!("stx-upgrade {}\n", source.identity);
        let taken_up = match host.stat(Path::new(RESTORING), true)? {
            None => false,
            Some(_) => {
                let owner = String::from_utf8_lossy(&host.read(Path::new(RESTORING))?).into_owned();
                if owner == mark {
                    return Ok(Outcome::ok()
                        .msg("a restore from this archive was cut off: it is taken up")
                        .with("taken_up", true));
                }
                if !args.again {
                    let by = if owner.trim().is_empty() {
                        "it does not say by whom".to_owned()
                    } else {
                        format!("by {}", owner.trim())
                    };
                    return Err(Advice::failed("Restore is already in progress!")
                        .cause(format!("{RESTORING} stands ({by}): another restore runs, or one failed and left it"))
                        .safe("yes: nothing was changed")
                        .next("make sure that no other restore runs on this host, then run again with `-e restore_again=true`")
                        .into());
                }
                true
            }
        };
        host.write(Path::new(RESTORING), &mut mark.as_bytes(), Some(0o644))?;
        Ok(Outcome::changed(true).msg(format!("restoring from {}", source.path().display())).with("taken_up", taken_up))
    }
}
