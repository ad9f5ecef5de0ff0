//! `tempfile`: a new temporary file or directory.

use std::path::PathBuf;

use super::file_args::describe;
use super::file_content::random_name;
use super::paths;
use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { File = "file", Directory = "directory" } }

arguments! {
    pub struct Args {
        /// What to make.
        state []: State = State::File,
        /// The directory to make it in; the host's temporary one if not given.
        path []: Option<PathBuf>,
        /// How its name begins.
        prefix []: String = "ansible.",
        /// How its name ends.
        suffix []: String = "",
    }
}

/// The module `tempfile`.
pub struct TempFile;

impl Module for TempFile {
    const NAMES: &'static [&'static str] = &["tempfile", "ansible.builtin.tempfile", "ansible.legacy.tempfile"];
    const DOC: &'static str =
        "Makes a temporary file or directory that only its maker can open. It stays until it is removed.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("path", "What was made")];
    const EXAMPLE: &'static str = "- tempfile:\n    state: directory\n    suffix: build\n  register: work\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        for (what, part) in [("prefix", &args.prefix), ("suffix", &args.suffix)] {
            if part.contains('/') {
                return Err(Failure::new(format!("{what} must be a valid file name component, got '{part}'")));
            }
        }
        let dir = match &args.path {
            Some(dir) => paths::expand(host.as_look(), dir)?,
            None => host.env("TMPDIR").filter(|d| d.starts_with('/')).unwrap_or_else(|| "/tmp".into()).into(),
        };
        // Another process may take the name between the look and the act; making it fails then, and the next is tried.
        for attempt in 0.. {
            let path = dir.join(format!("{}{}{}", args.prefix, random_name(8), args.suffix));
            if host.stat(&path, false)?.is_some() {
                continue;
            }
            let made = match args.state {
                State::Directory => host.make_dir(&path, Some(0o700)),
                State::File => host.write(&path, &mut std::io::empty(), Some(0o600)),
            };
            match made {
                Err(_) if attempt < 3 && host.stat(&path, false)?.is_some() => continue,
                made => made?,
            }
            let outcome = Outcome::changed(true).with("path", path.display().to_string());
            return Ok(describe(host.as_look(), &path, outcome)?);
        }
        Err(Failure::new("no free name was found"))
    }

    /// A second one is of no harm; the first stays behind.
    fn recovery(_args: &Args) -> Recovery {
        Recovery::Again
    }
}
