//! `stx_disk_space`: bytes free on the filesystems that the upgrade really writes to.

use std::path::Path;
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

use super::advice::Advice;

crate::arguments! {
    pub struct Args {
        /// What is needed: mappings of `path`, `bytes` or `mib`, and `for` (what for). `of`, a list of paths, adds the bytes
        /// that lie there. Needs on one filesystem add up.
        needs []: Vec<Dict>,
    }
}

pub struct DiskSpace;

impl Module for DiskSpace {
    const NAMES: &'static [&'static str] = &["stx_disk_space"];
    const DOC: &'static str =
        "Fails with every filesystem that has too little space, in bytes, on the mounts that count.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("filesystems", "path, free and needed bytes of each need")];
    const EXAMPLE: &'static str = "- name: room for the archives\n  stx_disk_space:\n    needs:\n      - { path: /opt/platform-backup, mib: 10000, for: the archives }";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let (mut seen, mut short): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
        // What is asked of one filesystem is asked together; devices tell them apart.
        let mut asked: Vec<(u64, u64)> = Vec::new();
        for need in &args.needs {
            let text = |key: &str| need.get(key).filter(|v| !v.is_null()).map(Value::to_string);
            let path = text("path").ok_or_else(|| Failure::new("a need has no `path`"))?;
            let number = |key: &str| {
                text(key)
                    .map(|t| {
                        t.parse::<u64>()
                            .map_err(|_| Failure::new(format!("`{key}` of {path} must be a whole number, not `{t}`")))
                    })
                    .transpose()
            };
            let there = match need.get("of") {
                Some(Value::List(paths)) => size_of(host, paths)?,
                _ => 0,
            };
            let bytes = there
                + match (number("bytes")?, number("mib")?) {
                    (Some(bytes), None) => bytes,
                    (None, Some(mib)) => mib << 20,
                    (None, None) if need.contains_key("of") => 0,
                    _ => return Err(Failure::new(format!("the need of {path} must have `bytes` or `mib`"))),
                };
            let device = nearest(host, Path::new(&path))?;
            let before: u64 = asked.iter().filter(|(d, _)| Some(*d) == device).map(|(_, b)| b).sum();
            asked.extend(device.map(|d| (d, bytes)));
            let space = host.space(Path::new(&path))?;
            if space.free < before + bytes || space.inodes_free == 0 {
                let purpose = text("for").map(|f| format!(" for {f}")).unwrap_or_default();
                let inodes = if space.inodes_free == 0 { ", and no inode" } else { "" };
                short.push(format!(
                    "{path} has {} MiB free{inodes} and needs {} MiB{purpose}",
                    space.free >> 20,
                    (before + bytes).div_ceil(1 << 20)
                ));
            }
            seen.push(Value::dict(dict! { "path" => path.as_str(), "free" => space.free, "needed" => bytes }));
        }
        if short.is_empty() {
            return Ok(Outcome::ok()
                .msg(format!("enough on {} paths", seen.len()))
                .with("filesystems", Value::list(seen)));
        }
        Err(Advice::failed(format!("too little space: {}", short.join("; ")))
            .safe("yes: nothing was changed")
            .next(
                "remove old archives and loads, or grow the filesystem (`system controllerfs-modify`), then run again",
            )
            .with("filesystems", Value::list(seen))
            .into())
    }
}

/// Bytes that lie below paths; one that is not there has none.
fn size_of(host: &mut dyn Look, paths: &[Value]) -> Result<u64, Failure> {
    let mut there = Vec::new();
    for path in paths.iter().map(Value::to_string) {
        if host.stat(Path::new(&path), true)?.is_some() {
            there.push(path);
        }
    }
    if there.is_empty() {
        return Ok(0);
    }
    let mut command = Command::new(["du", "--summarize", "--total", "--bytes", "--one-file-system", "--"]);
    command.argv.extend(there);
    let said = host.query(&command.timeout(Duration::from_secs(300)))?.text();
    let total = said.lines().last().and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok());
    total.ok_or_else(|| Failure::new(format!("du said nothing of a total: `{}`", said.trim())))
}

/// The device of the nearest path that is there.
fn nearest(host: &mut dyn Look, path: &Path) -> Result<Option<u64>, Failure> {
    for path in path.ancestors() {
        if let Some(stat) = host.stat(path, true)? {
            return Ok(Some(stat.device));
        }
    }
    Ok(None)
}
