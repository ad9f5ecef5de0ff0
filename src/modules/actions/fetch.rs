//! `fetch`: copies a file of the host to the control node.

use std::path::PathBuf;

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

pub struct Fetch;

crate::arguments! {
    pub struct Args {
        /// The file on the host.
        src []: String,
        /// The folder here, in which it gets the host's name and its path; with `flat` the file itself, or a folder if it
        /// ends in `/`.
        dest []: String,
        /// Whether to leave out the host's name and path.
        flat []: bool = false,
        /// Whether a file that is missing there is a failure.
        fail_on_missing []: bool = true,
        /// Whether the digest is compared after copying.
        validate_checksum []: bool = true,
        /// Without effect, as in Ansible; a warning says so. Use a `file` task for what lies here.
        mode []: Option<Value>,
    }
}

impl Action for Fetch {
    const NAMES: &'static [&'static str] = &["fetch", "ansible.builtin.fetch"];
    const DOC: &'static str = "Copies a file of the host to this machine, and compares digests.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("dest", "where it lies here"), ("checksum", "its SHA-1"), ("sha256", "its SHA-256")];
    const EXAMPLE: &'static str =
        "- fetch:\n    src: /opt/platform-backup/data.tgz\n    dest: /media/usb/\n    flat: true";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut outcome = fetch(&args, ctx).await?;
        if args.mode.is_some() {
            outcome.warnings.push("`mode` is no parameter of `fetch` and was not used".into());
        }
        Ok(outcome)
    }
}

async fn fetch(args: &Args, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
    let seen = ctx
        .call("stat", dict! {"path" => args.src.as_str(), "checksum_algorithm" => "sha256", "follow" => true})
        .await?;
    if seen.is_failed() {
        return Ok(seen);
    }
    let stat = seen.data.get("stat").cloned().unwrap_or_default();
    let is = |name: &str| stat.get(name).and_then(Value::as_bool).unwrap_or(false);
    if !is("exists") || is("isdir") {
        let why = if is("isdir") { "is a directory, and fetch copies files" } else { "does not exist" };
        let msg = format!("the remote file {} {why}", args.src);
        return Ok(if args.fail_on_missing || is("isdir") {
            Outcome::failed(msg)
        } else {
            Outcome::ok().msg(format!("{msg}, ignored"))
        });
    }
    let dest = place(args, ctx.host())?;
    let there = stat.get("checksum").map(Value::to_string).unwrap_or_default();
    let here = crate::modules::digest::Algorithm::Sha256.of_local(&dest);
    let same = here.as_deref() == Some(there.as_str());
    let mut outcome = Outcome::changed(!same)
        .with("dest", dest.display().to_string())
        .with("file", args.src.as_str())
        .with("remote_checksum", there.as_str())
        .with("sha256", there.as_str())
        .with("checksum", there.as_str());
    if same || ctx.check() {
        return Ok(outcome);
    }
    if let Some(dir) = dest.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("cannot make {}: {e}", dir.display())))?;
    }
    let got = ctx.fetch(&args.src, &dest).await?;
    if args.validate_checksum && got != there {
        outcome.status = crate::model::outcome::Status::Failed;
        return Ok(outcome.msg(format!("digests differ after copying: {there} there, {got} here; try again")));
    }
    Ok(outcome)
}

/// Where the file goes.
fn place(args: &Args, host: &str) -> Result<PathBuf, Failure> {
    let name = args.src.rsplit('/').next().unwrap_or_default();
    if args.flat {
        let dest = PathBuf::from(&args.dest);
        if args.dest.ends_with('/') {
            return Ok(dest.join(name));
        }
        if dest.is_dir() {
            return Err(Failure::new(format!(
                "{} is a folder; end `dest` with `/` to put the file into it",
                args.dest
            )));
        }
        return Ok(dest);
    }
    let inner = args.src.trim_start_matches('/');
    if inner.split('/').any(|p| p == "..") {
        return Err(Failure::new(format!("`src` must not climb: {}", args.src)));
    }
    Ok(PathBuf::from(&args.dest).join(host).join(inner))
}
