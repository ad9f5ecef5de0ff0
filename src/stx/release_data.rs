//! `stx_release_data`: whether the data of a release are still there, which an abort goes back to.

use std::path::{Path, PathBuf};

use crate::action::host::{Act, FileKind, Look};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;

crate::arguments! {
    pub struct Args {
        /// The release.
        release []: String,
        /// Directories that must be there and hold files, with `{release}` in them.
        dirs []: Vec<String> = [
            "/var/lib/postgresql/{release}/base", "/var/lib/postgresql/{release}/global", "/opt/platform/config/{release}", "/opt/platform/puppet/{release}/hieradata",
            "/opt/platform/.keyring/{release}", "/opt/etcd/{release}",
        ].map(String::from).to_vec(),
    }
}

pub struct ReleaseData;

impl Module for ReleaseData {
    const NAMES: &'static [&'static str] = &["stx_release_data"];
    const DOC: &'static str = "Fails unless the data of a release are there: database, configuration, hieradata, keyring, etcd.\n\
        A directory without any file does not count: a way back to it would be promised and not be there.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("dirs", "the directories that were found with files in them")];
    const EXAMPLE: &'static str = "- name: the old data are there\n  stx_release_data:\n    release: '21.05'";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for dir in &args.dirs {
            let dir = PathBuf::from(dir.replace("{release}", &args.release));
            let shown = dir.display().to_string();
            if holds_files(host, &dir, 4)? { found.push(shown) } else { missing.push(shown) }
        }
        if !missing.is_empty() {
            return Err(Advice::failed(format!("data of {} are not there: {}", args.release, missing.join(", ")))
                .cause("an abort would go back to them")
                .safe("yes: nothing was changed")
                .next("put them back, then `stx-upgrade resume`; without them the way back is a reinstallation and a restore from a backup")
                .next("or upgrade on without a way back: `stx-upgrade play upgrade.yml -e way_back=false`")
                .into());
        }
        Ok(Outcome::ok()
            .msg(format!("the data of {} are there ({} directories)", args.release, found.len()))
            .with("dirs", found.iter().map(String::as_str).collect::<Value>()))
    }
}

/// Whether there is a file in it, at most so many directories deep.
fn holds_files(host: &mut dyn Look, dir: &Path, depth: u32) -> Result<bool, Failure> {
    if !host.stat(dir, true)?.is_some_and(|s| s.kind == FileKind::Directory) {
        return Ok(false);
    }
    for name in host.list(dir)? {
        let path = dir.join(name);
        let kind = host.stat(&path, false)?.map(|s| s.kind);
        if kind == Some(FileKind::File)
            || (kind == Some(FileKind::Directory) && depth > 0 && holds_files(host, &path, depth - 1)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
