//! `assemble`: fragments of the host are its module's; those of the control node are put together here, and the result is
//! handed to `copy`.

use std::path::Path;

use crate::action::engine_side::{Action, Content, Context, Found};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Dict;
use crate::modules::{assemble, python_regex};

pub struct Assemble;

crate::arguments! {
    pub struct Args {
        /// Whether vault files are decrypted on their way.
        decrypt []: bool = true,
        /// The fragments are on the host; without it, on this machine.
        remote_src []: bool = true,
        ..file: assemble::Args,
    }
}

/// Parameters that are not `copy`'s.
const OWN: &[&str] = &["src", "decrypt", "remote_src", "delimiter", "regexp", "ignore_hidden"];

impl Action for Assemble {
    const NAMES: &'static [&'static str] = <assemble::Assemble as Module>::NAMES;
    const DOC: &'static str = <assemble::Assemble as Module>::DOC;
    const RETURNS: &'static [(&'static str, &'static str)] = <assemble::Assemble as Module>::RETURNS;
    const EXAMPLE: &'static str = <assemble::Assemble as Module>::EXAMPLE;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut call = ctx.args().clone();
        if args.remote_src {
            call.shift_remove("decrypt");
            call.shift_remove("remote_src");
            return ctx.call("assemble", call).await;
        }
        let src = args.file.src.to_string_lossy().into_owned();
        let found = ctx.find("files", &src)?;
        let Content::File(dir) = found.content else {
            return Err(Failure::new(format!("Source ({src}) is not a directory")));
        };
        let content = join(&args, &dir, ctx)?;
        call.retain(|k, _| !OWN.iter().any(|o| k.as_str() == Some(o)));
        super::copy::send(&mut call, content, ctx)?;
        let outcome = ctx.call("copy", call).await?;
        Ok(outcome.with("src", src))
    }
}

/// The fragments of a folder of this machine, in the order of their names.
fn join(args: &Args, dir: &Path, ctx: &dyn Context) -> Result<Vec<u8>, Failure> {
    let regex = args.file.regexp.as_deref().map(|r| python_regex::compile(r, "")).transpose();
    let regex = regex.map_err(|e| Failure::new(format!("Invalid Regexp: {e}")))?;
    let failed = |e: std::io::Error| Failure::new(format!("reading {}: {e}", dir.display()));
    if !dir.is_dir() {
        return Err(Failure::new(format!("Source ({}) is not a directory", dir.display())));
    }
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    let mut joined = assemble::Joined::default();
    for name in names {
        let path = dir.join(&name);
        let matches = regex.as_ref().is_none_or(|r| r.is_match(name.as_str()).unwrap_or(false));
        if !matches || !path.is_file() || args.file.ignore_hidden && name.starts_with('.') {
            continue;
        }
        joined.separate(args.file.delimiter.as_deref());
        let found = Found { name: path.display().to_string(), content: Content::File(path) };
        joined.content.extend(ctx.read(&found, args.decrypt)?);
    }
    Ok(joined.content)
}
