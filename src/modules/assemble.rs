//! `assemble`: one file out of the fragments in a directory of the host.

use std::io::Read;
use std::path::PathBuf;

use super::copy::not_written;
use super::digest::{Algorithm, sha1};
use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::{backup, put, read_existing, text_diff, validate};
use super::{paths, python_regex};
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;

arguments! {
    pub struct Args {
        /// The directory with the fragments; they are taken in the order of their names.
        src []: PathBuf,
        /// The file.
        dest []: PathBuf,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Put between fragments.
        delimiter []: Option<String>,
        /// Only fragments whose names match.
        regexp []: Option<String>,
        /// Leave out fragments whose names begin with a dot.
        ignore_hidden []: bool = false,
        /// Program that must accept the new content; `%s` is where it lies.
        validate []: Option<String>,
        ..file: FileArgs,
    }
}

/// The module `assemble`.
pub struct Assemble;

/// Fragments put together so far.
#[derive(Default)]
pub struct Joined {
    pub content: Vec<u8>,
    begun: bool,
}

impl Joined {
    /// Makes ready for the next fragment: with a delimiter, it stands on lines of its own between two.
    pub fn separate(&mut self, delimiter: Option<&str>) {
        if let Some(delimiter) = delimiter.filter(|_| self.begun) {
            if !self.content.ends_with(b"\n") && !self.content.is_empty() {
                self.content.push(b'\n');
            }
            // `\n` in a delimiter is a newline.
            self.content.extend(delimiter.replace("\\n", "\n").into_bytes());
            if !self.content.ends_with(b"\n") {
                self.content.push(b'\n');
            }
        }
        self.begun = true;
    }
}

impl Module for Assemble {
    const NAMES: &'static [&'static str] = &["assemble", "ansible.builtin.assemble", "ansible.legacy.assemble"];
    const DOC: &'static str = "Puts fragments of a file together, in the order of their names.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("dest", "The file"), ("checksum", "SHA-1 of its content"), ("backup_file", "The copy that was kept")];
    const EXAMPLE: &'static str = "- assemble:\n    src: /etc/someapp/fragments\n    dest: /etc/someapp/someapp.conf\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let src = paths::expand(host.as_look(), &args.src)?;
        let dest = paths::expand(host.as_look(), &args.dest)?;
        match host.stat(&src, true)? {
            None => return Err(Failure::new(format!("Source ({}) does not exist", src.display()))),
            Some(s) if s.kind != FileKind::Directory => {
                return Err(Failure::new(format!("Source ({}) is not a directory", src.display())));
            }
            Some(_) => {}
        }
        let regex = args.regexp.as_deref().map(|r| python_regex::compile(r, "")).transpose();
        let regex = regex.map_err(|e| Failure::new(format!("Invalid Regexp: {e}")))?;
        let mut joined = Joined::default();
        for name in host.list(&src)? {
            let matches = regex.as_ref().is_none_or(|r| r.is_match(name.as_str()).unwrap_or(false));
            let path = src.join(&name);
            let is_file = host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::File);
            if !matches || !is_file || args.ignore_hidden && name.starts_with('.') {
                continue;
            }
            joined.separate(args.delimiter.as_deref());
            host.open(&path)?
                .read_to_end(&mut joined.content)
                .map_err(|e| Failure::new(format!("reading {}: {e}", path.display())))?;
        }
        let content = joined.content;
        let checksum = sha1(&content);
        let md5 = Algorithm::Md5.of(&mut content.as_slice()).ok();
        let before = read_existing(host.as_look(), &dest)?;
        let shown = dest.display().to_string();
        let mut outcome = Outcome::ok().msg("OK").with("src", src.display().to_string()).with("dest", shown.as_str());
        if before.as_deref() != Some(content.as_slice()) {
            if let Some(program) = &args.validate {
                validate(host, program, &mut content.as_slice(), &args.file)?;
            }
            outcome = outcome.diff(text_diff(&shown, &shown, before.as_deref().unwrap_or_default(), &content));
            if args.backup
                && let Some(saved) = backup(host, &dest)?
            {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
            let bytes = content.clone();
            put(host, &dest, &mut |_| Ok(Box::new(std::io::Cursor::new(bytes.clone()))), args.file.unsafe_writes)
                .map_err(|e| not_written(e, &dest))?;
            outcome.changed = true;
        }
        outcome.changed |= args.file.apply(host, &dest, &mut BeforeAfter::default())?;
        Ok(describe(host.as_look(), &dest, outcome.with("checksum", checksum).with("md5sum", md5))?)
    }
}
