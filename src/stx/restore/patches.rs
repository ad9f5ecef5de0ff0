//! `stx_restore_patches`: the patch repositories from the archive, installed on this node, with the reboot that they may need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;

use super::super::advice::Advice;
use super::super::archive::{self, Found, Kind};
use super::super::archive_check::advised;
use super::super::platform;
use super::{Source, done_by, is_done, note};

/// Stands from the installation of the patches to the end of this step: the platform's own playbook goes by it too.
const INSTALLED: &str = "/etc/platform/.restore_patching_complete";
/// The patch agent's word that a patch took hold of this node: it needs a reboot. Gone with it.
const NODE_IS_PATCHED: &str = "/var/run/node_is_patched";

crate::arguments! {
    pub struct Args {
        /// The data archive.
        archive []: PathBuf,
        /// Where the patches lie, and their repositories. What the installation brought there goes.
        trees []: Vec<PathBuf> = ["/opt/patching", "/www/pages/updates"].map(PathBuf::from).to_vec(),
        /// Seconds that the installation may take.
        timeout []: u64 = 3600u64,
    }
}

pub struct Patches;

impl Module for Patches {
    const NAMES: &'static [&'static str] = &["stx_restore_patches"];
    const DOC: &'static str = "Restores the patch repositories from the archive and installs their patches on this node.\n\
        A node that was patched is rebooted; the step is taken up when it is back. It fails if the archive was made on a node \
        with other subfunctions: such a load is another one.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("rebooted", "whether the patches took a reboot")];
    const LOSES_HOST: Option<u64> = Some(1800);
    const EXAMPLE: &'static str =
        "- name: patches\n  stx_restore_patches:\n    archive: \"{{ restore_archive.path }}\"";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let source = Source::find(host.as_look(), &args.archive, Kind::Data)?;
        if is_done(host.as_look(), "patches", &source.identity)? {
            return Ok(Outcome::ok().msg("installed already"));
        }
        let there = |host: &mut dyn Act, flag: &str| host.stat(Path::new(flag), true).map(|s| s.is_some());
        if !there(host, INSTALLED)? {
            install(&args, &source, host)?;
            host.write(Path::new(INSTALLED), &mut &b""[..], Some(0o644))?;
        } else if !there(host, NODE_IS_PATCHED)? {
            // This is the boot after the patches.
            return finished(&source, host, true);
        }
        if there(host, NODE_IS_PATCHED)? {
            return reboot(host);
        }
        // The repositories were set up behind the back of those who serve them.
        for service in ["sw-patch-controller-daemon", "sw-patch-agent"] {
            let restart = Command::new(["systemctl", "restart", service]).timeout(Duration::from_secs(120));
            done_by(host, &format!("restarting {service}"), restart, &[])?;
        }
        finished(&source, host, false)
    }
}

fn finished(source: &Source, host: &mut dyn Act, rebooted: bool) -> Result<Outcome, Failure> {
    note(host, "patches", &source.identity, false)?;
    host.remove(Path::new(INSTALLED))?;
    let msg = if rebooted {
        "patches installed, and the node was rebooted"
    } else {
        "patches installed; no reboot is needed"
    };
    Ok(Outcome::changed(true).msg(msg).with("rebooted", rebooted))
}

fn install(args: &Args, source: &Source, host: &mut dyn Act) -> Result<(), Failure> {
    let present: Vec<PathBuf> = match &source.found {
        Found::At(path) => {
            let index = archive::read(host.as_look(), path, None).map_err(advised)?;
            same_subfunctions(index.small.get("etc/platform/platform.conf"), host.as_look())?;
            args.trees.iter().filter(|t| index.holds(&t.display().to_string())).cloned().collect()
        }
        Found::Supposed(_) => args.trees.clone(),
    };
    for tree in &present {
        let tree = tree.display().to_string();
        let remove = Command::new(["rm", "-rf", "--", &tree]).timeout(Duration::from_secs(600));
        done_by(host, &format!("removing {tree}"), remove, &[Effect::Gone(tree.clone().into())])?;
        let words =
            ["tar", "--extract", "--gzip", "--numeric-owner", "--preserve-permissions", "--directory", "/", "--file"];
        let mut unpack = Command::new(words).timeout(Duration::from_secs(3600));
        unpack.argv.extend([source.path().display().to_string(), "--".into(), tree.trim_start_matches('/').to_owned()]);
        let restored = [Effect::Restored { from: tree.clone().into(), to: tree.clone().into() }];
        done_by(host, &format!("unpacking {tree}"), unpack, &restored)?;
    }
    let local = Command::new(["sw-patch", "install-local"]).timeout(Duration::from_secs(args.timeout));
    done_by(host, "sw-patch install-local", local, &[])?;
    Ok(())
}

/// A backup of a node of another kind does not fit this installation.
fn same_subfunctions(conf: Option<&Vec<u8>>, host: &mut dyn Look) -> Result<(), Failure> {
    let Some(conf) = conf else { return Ok(()) };
    let of =
        |list: &str| list.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect::<BTreeSet<_>>();
    let text = String::from_utf8_lossy(conf);
    let backup = text.lines().find_map(|l| l.trim().strip_prefix("subfunction=")).unwrap_or_default();
    let installed = platform::shell_value(host, "/etc/platform/platform.conf", "subfunction")?.unwrap_or_default();
    if of(backup) == of(&installed) {
        return Ok(());
    }
    Err(Advice::failed(format!("Subfunction mismatch - backup: {backup}, installed: {installed}"))
        .cause("the host was installed as another kind of node than the one that the archive was made on")
        .safe("yes: nothing of the archive was installed")
        .next(format!(
            "install the host anew with the subfunctions {backup} (the choice at the installer's menu), then run again"
        ))
        .into())
}

/// Reboots, and waits for that to cut this off: the step is then taken up on the new boot.
fn reboot(host: &mut dyn Act) -> Result<Outcome, Failure> {
    let output = host.run_expecting(&Command::new(["reboot"]).timeout(Duration::from_secs(60)), &[])?;
    if output.supposed {
        return Ok(Outcome::changed(true).msg("the patches need a reboot").with("rebooted", true));
    }
    let wait = Wait::new("the reboot that the patches need", Duration::from_secs(300));
    let ended: Result<(), _> = wait.until(host.as_look(), |_| Ok::<_, HostError>(Sight::NotYet("going down".into())));
    let why = ended.map_or_else(|error| error.to_string(), |()| String::new());
    Err(Advice::failed("the node was patched and must be rebooted, and `reboot` did not reboot it")
        .cause(why)
        .next("reboot it by hand, then `stx-upgrade resume`")
        .into())
}
