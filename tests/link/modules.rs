//! A few modules that try the agent, on the real host handles.

use std::io::{Cursor, Read};
use std::path::PathBuf;

use stx_upgrade::action::command::Command;
use stx_upgrade::action::host::Act;
use stx_upgrade::action::module::{Entry, Failure, Module};
use stx_upgrade::agent::Kit;
use stx_upgrade::arguments;
use stx_upgrade::model::outcome::Outcome;
use stx_upgrade::modules::host::ThisHost;

pub fn kit() -> Kit<ThisHost> {
    Kit { find: |name| TABLE.iter().find(|e| e.names.contains(&name)), hosts: ThisHost }
}

static TABLE: [Entry; 5] = [
    Entry::of::<Sh>(),
    Entry::of::<Put>(),
    Entry::of::<Cat>(),
    Entry::of::<Panics>(),
    Entry::of::<stx_upgrade::modules::user::User>(),
];

arguments! {
    pub struct ShArgs {
        /// A line for the shell.
        line []: String,
    }
}

struct Sh;
impl Module for Sh {
    const NAMES: &'static [&'static str] = &["sh"];
    const DOC: &'static str = "Runs a line.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = ShArgs;
    fn run(args: ShArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let out = host.run(&Command::shell(args.line))?;
        Ok(Outcome::changed(true)
            .with("stdout", out.text())
            .with("stderr", out.error_text())
            .with("cut", out.cut)
            .with("rc", out.rc))
    }
}

arguments! {
    pub struct PutArgs {
        /// Digest of the content.
        sha256 []: Option<String>,
        /// The content itself.
        content []: Option<String>,
        /// Where the content is read from.
        from []: Option<PathBuf>,
        /// Where to.
        dest []: PathBuf,
    }
}

struct Put;
impl Module for Put {
    const NAMES: &'static [&'static str] = &["put"];
    const DOC: &'static str = "Writes a file.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = PutArgs;
    fn run(args: PutArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut content: Box<dyn Read + Send> = match (&args.sha256, &args.from) {
            (Some(sha256), _) => host.blob(sha256)?,
            (None, Some(from)) => host.open(from)?,
            (None, None) => Box::new(Cursor::new(args.content.unwrap_or_default())),
        };
        host.write(&args.dest, &mut *content, None)?;
        Ok(Outcome::changed(true))
    }
}

arguments! {
    pub struct CatArgs {
        /// The file.
        path []: PathBuf,
    }
}

struct Cat;
impl Module for Cat {
    const NAMES: &'static [&'static str] = &["cat"];
    const DOC: &'static str = "Reads a file.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = CatArgs;
    fn run(args: CatArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let text = host.read(&args.path)?;
        Ok(Outcome::ok().with("text", String::from_utf8_lossy(&text).into_owned()))
    }
}

arguments! {
    pub struct PanicsArgs {
        why []: String,
    }
}

struct Panics;
impl Module for Panics {
    const NAMES: &'static [&'static str] = &["panics"];
    const DOC: &'static str = "Has a bug.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = PanicsArgs;
    fn run(args: PanicsArgs, _host: &mut dyn Act) -> Result<Outcome, Failure> {
        panic!("{}", args.why)
    }
}
