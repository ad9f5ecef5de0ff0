//! `slurp`: the content of a file of the host, in Base64.

use std::path::PathBuf;

use base64::Engine;

use super::paths;
use crate::action::host::{Act, FileKind, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;

/// A larger file is for `fetch`: this one would travel inside a message.
const LIMIT: u64 = 32 << 20;

arguments! {
    pub struct Args {
        /// The file.
        src ["path"]: PathBuf,
    }
}

/// The module `slurp`.
pub struct Slurp;

impl Module for Slurp {
    const NAMES: &'static [&'static str] = &["slurp", "ansible.builtin.slurp", "ansible.legacy.slurp"];
    const DOC: &'static str = "Reads a file of the host, at most 32 MiB; `fetch` copies larger ones.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("content", "The content in Base64"), ("encoding", "`base64`"), ("source", "The file's path")];
    const EXAMPLE: &'static str = "- slurp:\n    src: /proc/mounts\n  register: mounts\n- debug:\n    msg: \"{{ mounts.content | b64decode }}\"\n";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.src)?;
        let shown = path.display();
        let unreadable = |e| match e {
            HostError::Denied { .. } => Failure::new(format!("File is not readable: {shown}")),
            other => other.into(),
        };
        match host.stat(&path, true).map_err(unreadable)? {
            None if below_a_file(host, &path)? => {
                return Err(Failure::new(format!("Unable to slurp file: {shown} is below what is no directory")));
            }
            None => return Err(Failure::new(format!("File not found: {shown}"))),
            Some(s) if s.kind == FileKind::Directory => {
                return Err(Failure::new(format!("Source is a directory and must be a file: {shown}")));
            }
            Some(s) if s.size > LIMIT => {
                let msg = format!("{shown} has {} bytes, more than the {LIMIT} that slurp reads: use fetch", s.size);
                return Err(Failure::new(msg));
            }
            Some(_) => {}
        }
        let content = host.read(&path).map_err(unreadable)?;
        Ok(Outcome::ok()
            .with("content", base64::engine::general_purpose::STANDARD.encode(content))
            .with("source", shown.to_string())
            .with("encoding", "base64"))
    }
}

/// Whether something above a path is there, and no directory.
fn below_a_file(host: &mut dyn Act, path: &std::path::Path) -> Result<bool, HostError> {
    for above in path.ancestors().skip(1) {
        if let Some(stat) = host.stat(above, true)? {
            return Ok(stat.kind != FileKind::Directory);
        }
    }
    Ok(false)
}
