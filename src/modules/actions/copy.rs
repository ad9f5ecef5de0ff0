//! `copy`: finds content on the control node, and hands it to the module of the same name on the host. Small content goes
//! with the call; larger content is sent only when the module asks for it, because what is there differs.

use std::path::{Path, PathBuf};

use crate::action::engine_side::{Action, Content, Context, Found};
use crate::action::module::Failure;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::modules::copy;
use crate::modules::digest::Algorithm;

/// Content up to this size goes with the call.
const WITH_THE_CALL: usize = 64 << 10;

pub struct Copy;

crate::arguments! {
    pub struct Args {
        /// The content itself, instead of `src`; a mapping or list becomes JSON.
        content []: Option<Value>,
        /// Whether a vault file is decrypted on its way.
        decrypt []: bool = true,
        ..file: copy::Args,
    }
    rules [Exclusive(&["content", "src"]), OneOf(&["content", "src"])]
}

impl Action for Copy {
    const NAMES: &'static [&'static str] = &["copy", "ansible.builtin.copy", "ansible.legacy.copy"];
    const DOC: &'static str = "Copies a file, a folder or a text to a place on the host.";
    const RETURNS: &'static [(&'static str, &'static str)] = <copy::Copy as crate::action::module::Module>::RETURNS;
    const EXAMPLE: &'static str = <copy::Copy as crate::action::module::Module>::EXAMPLE;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut call = ctx.args().clone();
        call.shift_remove("content");
        call.shift_remove("decrypt");
        if args.file.remote_src {
            return ctx.call("copy", call).await;
        }
        if let Some(content) = &args.content {
            let text = match content {
                Value::List(_) | Value::Dict(_) => serde_json::to_string(content).unwrap_or_default(),
                other => other.to_string(),
            };
            send(&mut call, text.into_bytes(), ctx)?;
            return ctx.call("copy", call).await;
        }
        let source = args.file.src.clone().unwrap_or_default();
        let name = source.to_string_lossy().into_owned();
        if name.is_empty() {
            return Err(Failure::new("src (or content) is required"));
        }
        let found = ctx.find("files", &name)?;
        if let Content::File(path) = &found.content
            && path.is_dir()
        {
            let follow = args.file.local_follow != Some(false);
            let tree = tree(path, name.ends_with('/'), follow, ctx)?;
            call.insert("_tree".into(), Value::list(tree));
            return ctx.call("copy", call).await;
        }
        let base = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        call.insert("_original_basename".into(), base.into());
        call.insert("src".into(), full(&found).into());
        if let Content::File(path) = &found.content {
            call.insert("_source_mode".into(), mode_of(path)?.into());
        }
        file(&mut call, &found, args.decrypt, ctx)?;
        ctx.call("copy", call).await
    }
}

/// Where a file of the control node lies, for differences and results.
pub fn full(found: &Found) -> String {
    std::path::absolute(&found.name).map_or_else(|_| found.name.clone(), |p| p.display().to_string())
}

/// Puts one file's content into a call.
fn file(call: &mut Dict, found: &Found, decrypt: bool, ctx: &mut dyn Context) -> Result<(), Failure> {
    let large = match &found.content {
        Content::File(path) => std::fs::metadata(path).is_ok_and(|m| m.len() > WITH_THE_CALL as u64),
        Content::Bytes(bytes) => bytes.len() > WITH_THE_CALL,
    };
    if !large || (decrypt && ctx.is_vault(found)) {
        let bytes = ctx.read(found, decrypt)?;
        return send(call, bytes, ctx);
    }
    let sha1 = match &found.content {
        Content::File(path) => Algorithm::Sha1.of_local(path),
        Content::Bytes(bytes) => Some(crate::modules::digest::sha1(bytes)),
    };
    call.insert("_checksum".into(), sha1.into());
    call.insert("_blob".into(), ctx.offer(found.content.clone())?.into());
    Ok(())
}

/// Puts content into a call: as text where it is small and text, else as a blob.
pub fn send(call: &mut Dict, bytes: Vec<u8>, ctx: &mut dyn Context) -> Result<(), Failure> {
    match String::from_utf8(bytes) {
        Ok(text) if text.len() <= WITH_THE_CALL => {
            call.insert("_content".into(), text.into());
        }
        Ok(text) => blob(call, text.into_bytes(), ctx)?,
        Err(error) => blob(call, error.into_bytes(), ctx)?,
    }
    Ok(())
}

fn blob(call: &mut Dict, bytes: Vec<u8>, ctx: &mut dyn Context) -> Result<(), Failure> {
    call.insert("_checksum".into(), crate::modules::digest::sha1(&bytes).into());
    call.insert("_blob".into(), ctx.offer(Content::Bytes(bytes.into()))?.into());
    Ok(())
}

/// The entries of a folder, for the module; with a last slash in `src` what is in it, else the folder itself. With `follow`,
/// links are what they lead to, but for those that lead nowhere or into a folder around them.
fn tree(dir: &Path, inside: bool, follow: bool, ctx: &mut dyn Context) -> Result<Vec<Value>, Failure> {
    let root = if inside { dir.to_owned() } else { dir.parent().unwrap_or(Path::new("")).to_owned() };
    let mut entries = Vec::new();
    // Each with the real folders around it.
    let mut todo = vec![(dir.to_owned(), Vec::new())];
    while let Some((path, around)) = todo.pop() {
        let shown = || path.display().to_string();
        let reading = |e: std::io::Error| Failure::new(format!("reading {}: {e}", shown()));
        let mut meta = path.symlink_metadata().map_err(reading)?;
        let real = path.canonicalize().ok();
        if meta.is_symlink()
            && (follow || path == dir)
            && let (Ok(target), Some(real)) = (path.metadata(), &real)
            && (target.is_file() || (target.is_dir() && !around.contains(real)))
        {
            meta = target;
        }
        let relative = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let mut entry = dict! {"path" => relative.as_str()};
        if meta.is_symlink() {
            let target = std::fs::read_link(&path).map_err(reading)?;
            entry.insert("target".into(), target.display().to_string().into());
        } else if meta.is_dir() {
            let mut below: Vec<PathBuf> =
                std::fs::read_dir(&path).and_then(|d| d.map(|e| e.map(|e| e.path())).collect()).map_err(reading)?;
            // Files before folders, as Ansible goes.
            below.sort_by_key(|p| (p.is_dir(), p.clone()));
            let around: Vec<PathBuf> = around.into_iter().chain(real).collect();
            todo.extend(below.into_iter().rev().map(|p| (p, around.clone())));
            entry.insert("mode".into(), mode_of(&path)?.into());
        } else {
            entry.insert("mode".into(), mode_of(&path)?.into());
            let mut call = Dict::new();
            file(&mut call, &Found { name: shown(), content: Content::File(path.clone()) }, true, ctx)?;
            for (inner, outer) in [("_content", "content"), ("_blob", "blob"), ("_checksum", "checksum")] {
                if let Some(value) = call.shift_remove(inner) {
                    entry.insert(Key::from(outer), value);
                }
            }
        }
        if !relative.is_empty() {
            entries.push(Value::dict(entry));
        }
    }
    Ok(entries)
}

/// Permissions of a file of this machine, in octal.
pub(super) fn mode_of(path: &Path) -> Result<String, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let meta = path.metadata().map_err(|e| Failure::new(format!("reading {}: {e}", path.display())))?;
    Ok(format!("0{:o}", meta.permissions().mode() & 0o7777))
}
