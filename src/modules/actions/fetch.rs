//! `fetch`: copies a file of the host to the control node.

use std::path::{Component, Path, PathBuf};

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::outcome::{Outcome, Status};
use crate::model::text::Text;
use crate::model::value::{Dict, Value};
use crate::modules::digest::Algorithm;

pub struct Fetch;

crate::arguments! {
    pub struct Args {
        /// The file on the host.
        src []: Option<Value>,
        /// The folder here, in which it gets the host's name and its path; with `flat` the file itself, or a folder if it
        /// ends in `/`.
        dest []: Option<String>,
        /// Whether to leave out the host's name and path.
        flat []: bool = false,
        /// Whether a file that is missing there is a failure.
        fail_on_missing []: bool = true,
        /// Whether the digest is compared after copying.
        validate_checksum []: bool = true,
        /// Without effect, as in Ansible; a warning says so. Use a `file` task for what lies here.
        mode []: Option<Value>,
    }
    rules [Together(&["src", "dest"])]
}

impl Action for Fetch {
    const NAMES: &'static [&'static str] = &["fetch", "ansible.builtin.fetch"];
    const DOC: &'static str = "Copies a file of the host to this machine, and compares digests.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("dest", "Where it lies here"),
        ("checksum", "SHA-1 of it here, with `md5sum` and `sha256`"),
        ("remote_checksum", "SHA-1 of it there"),
    ];
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
    let (Some(src), Some(dest)) = (&args.src, &args.dest) else {
        return Err(Failure::new("src and dest are required"));
    };
    let Value::Str(src) = src else {
        return Err(Failure::new("Invalid type supplied for source option, it must be a string"));
    };
    if ctx.check() {
        return Ok(Outcome::skipped("check mode not (yet) supported for this module"));
    }
    let seen = ctx.call("stat", dict! {"path" => &**src, "checksum_algorithm" => "sha1", "follow" => true}).await?;
    match seen.status {
        Status::Ok => {}
        Status::Failed if args.fail_on_missing => {
            return Err(Failure::new(format!("File is not readable: {src}: {}", seen.msg)));
        }
        Status::Failed => return Ok(Outcome::ok().msg(format!("{}, ignored", seen.msg)).with("file", &**src)),
        _ => return Ok(seen),
    }
    let stat = seen.data.get("stat").cloned().unwrap_or_default();
    // The far side knows whose home `~` is.
    let expanded = stat.get("path").and_then(Value::as_str).filter(|_| src.starts_with('~')).map(Text::from);
    let src = expanded.as_ref().unwrap_or(src);
    let is = |name: &str| stat.get(name).and_then(Value::as_bool).unwrap_or(false);
    if !is("exists") || is("isdir") {
        let msg = match is("isdir") {
            true => format!("remote file is a directory, fetch cannot work on directories: {src}"),
            false => format!("the remote file does not exist: {src}"),
        };
        return Ok(match args.fail_on_missing {
            true => Outcome::failed(msg),
            false => Outcome::ok().msg(format!("{msg}, not transferring, ignored")).with("file", &**src),
        });
    }
    let dest = place(args, src, dest, ctx)?;
    let there = stat.get("checksum").map(Value::to_string).unwrap_or_default();
    let same = Algorithm::Sha1.of_local(&dest).is_some_and(|here| here == there);
    let mut sha256 = Algorithm::Sha256.of_local(&dest).filter(|_| same);
    if !same {
        if let Some(dir) = dest.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("cannot make {}: {e}", dir.display())))?;
        }
        sha256 = Some(ctx.fetch(src, &dest).await?);
    }
    let here = Algorithm::Sha1.of_local(&dest).unwrap_or_default();
    let mut outcome = Outcome::changed(!same)
        .with("dest", dest.display().to_string())
        .with("file", &**src)
        .with("md5sum", Algorithm::Md5.of_local(&dest))
        .with("remote_checksum", there.as_str())
        .with("sha256", sha256)
        .with("checksum", here.as_str());
    if args.validate_checksum && here != there {
        outcome.status = Status::Failed;
        return Ok(outcome.msg(format!("checksum mismatch after copying: {there} there, {here} here; try again")));
    }
    Ok(outcome)
}

/// Where the file goes; a relative place is below the playbook's folder.
fn place(args: &Args, src: &str, written: &str, ctx: &dyn Context) -> Result<PathBuf, Failure> {
    let base = ctx.var("playbook_dir")?.map(|v| v.to_string()).unwrap_or_default();
    let dest = PathBuf::from(base).join(crate::vars::expand_user(written));
    if args.flat {
        if written.ends_with('/') {
            let inside = dest.join(src.rsplit('/').next().unwrap_or_default());
            if inside.is_dir() {
                let shown = inside.display();
                return Err(Failure::new(format!(
                    "calculated dest '{shown}' is an existing directory, use another path that does not point to an existing directory"
                )));
            }
            return Ok(inside);
        }
        if dest.is_dir() {
            return Err(Failure::new(
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory",
            ));
        }
        return Ok(dest);
    }
    let place = straight(&dest.join(ctx.host()).join(src.trim_start_matches('/')));
    let base = straight(&dest);
    if !place.starts_with(&base) {
        let (base, place) = (base.display(), place.display());
        return Err(Failure::new(format!(
            "Detected directory traversal, expected to be contained in '{base}' but got '{place}'"
        )));
    }
    Ok(place)
}

/// Without `.` and `..`, whatever lies there.
fn straight(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}
