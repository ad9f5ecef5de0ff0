//! `stx_restore_images`: the images of the local registry, pushed back from their archive.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::super::archive::{self, Found, Kind};
use super::super::archive_check::{self, advised};
use super::super::images::{self, Contents, Manifest};
use super::{Source, done_by, is_done, note};

crate::arguments! {
    pub struct Args {
        /// The archive of images.
        archive []: PathBuf,
        /// The registry's address.
        registry []: String = "http://127.0.0.1:9001",
        /// The registry's service.
        service []: String = "docker-distribution",
        /// Where the archive is unpacked for the while; as much space as it holds is needed there.
        staging []: PathBuf = "/scratch",
    }
}

pub struct Images;

impl Module for Images {
    const NAMES: &'static [&'static str] = &["stx_restore_images"];
    const DOC: &'static str = "Starts the local registry and pushes the archive's images into it, layer by layer.\n\
        What the registry has already is not pushed again; every image is asked for afterwards by its digest.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("images", "name:tag of each image")];
    const EXAMPLE: &'static str = "- name: registry images\n  stx_restore_images:\n    archive: /opt/platform-backup";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let source = Source::find(host.as_look(), &args.archive, Kind::Images)?;
        let short = Duration::from_secs(120);
        let started = done_by(
            host,
            "starting the registry",
            Command::new(["systemctl", "start", &args.service]).timeout(short),
            &[],
        )?;
        if is_done(host.as_look(), "images", &source.identity)? {
            return Ok(Outcome::ok().msg("pushed already"));
        }
        let path = match &source.found {
            Found::At(path) => path.clone(),
            Found::Supposed(_) => {
                return Err(HostError::NotKnowable("which images the archive will hold".into()).into());
            }
        };
        if path.extension().is_some_and(|e| e == "zero") {
            return Ok(Outcome::ok().msg("the system had no images").with("images", Value::list(Vec::new())));
        }
        // Its entries are checked before any of them is unpacked.
        let index = archive::read(host.as_look(), &path, None).map_err(advised)?;
        archive_check::images_whole(&index)?;
        if !started.supposed {
            ready(&args, host.as_look())?;
        }
        let staging = args.staging.join(".stx-upgrade-images");
        host.remove(&staging).or_else(absent)?;
        super::super::ensure_dir(host, &staging, 0o700)?;
        let words = ["tar", "--extract", "--gzip", "--no-same-owner", "--file"];
        let mut unpack = Command::new(words);
        unpack.argv.extend([path.display().to_string(), "--directory".into(), staging.display().to_string()]);
        let unpacked = done_by(host, "unpacking the images", unpack.timeout(Duration::from_secs(7200)), &[])?;
        if unpacked.supposed {
            return Err(HostError::NotKnowable("which images the archive holds".into()).into());
        }
        let pushed = push_all(&args, host, &staging.join(images::EXPORT))?;
        host.remove(&staging).or_else(absent)?;
        note(host, "images", &source.identity, false)?;
        Ok(Outcome::changed(true)
            .msg(format!("{} images pushed", pushed.len()))
            .with("images", pushed.iter().map(String::as_str).collect::<Value>()))
    }
}

fn absent(error: HostError) -> Result<(), HostError> {
    if matches!(error, HostError::NotFound(_)) { Ok(()) } else { Err(error) }
}

fn push_all(args: &Args, host: &mut dyn Act, export: &Path) -> Result<Vec<String>, Failure> {
    let bad = |what: &str, e: serde_json::Error| Failure::new(format!("the archive's {what} cannot be read: {e}"));
    let contents: Contents =
        serde_json::from_slice(&host.read(&export.join("index.json"))?).map_err(|e| bad("index.json", e))?;
    let blob = |digest: &str| images::blob(digest).map(|path| export.join(path)).map_err(Failure::new);
    let (mut pushed, mut there) = (Vec::new(), BTreeSet::new());
    for image in &contents.images {
        let base = format!("{}/v2/{}", args.registry, image.name);
        let file = blob(&image.digest)?;
        let manifest: Manifest = serde_json::from_slice(&host.read(&file)?).map_err(|e| bad("manifest", e))?;
        for part in manifest.layers.iter().chain([&manifest.config]) {
            if there.insert((image.name.clone(), part.digest.clone())) {
                push_blob(host, &base, &part.digest, &blob(&part.digest)?, &args.registry)?;
            }
        }
        let kind = manifest.media_type.as_deref().unwrap_or("application/vnd.docker.distribution.manifest.v2+json");
        let put = curl(&[
            "-X",
            "PUT",
            "-H",
            &format!("Content-Type: {kind}"),
            "--data-binary",
            &at(&file),
            &format!("{base}/manifests/{}", image.tag),
        ]);
        done_by(host, &format!("pushing the manifest of {}:{}", image.name, image.tag), put, &[])?;
        let head =
            host.query(&curl(&["-I", "-H", &format!("Accept: {kind}"), &format!("{base}/manifests/{}", image.tag)]))?;
        if !head.success() || !head.text().contains(&image.digest) {
            return Err(Failure::new(format!(
                "{}:{} was pushed, and the registry does not have it as {}",
                image.name, image.tag, image.digest
            )));
        }
        pushed.push(format!("{}:{}", image.name, image.tag));
    }
    Ok(pushed)
}

fn push_blob(host: &mut dyn Act, base: &str, digest: &str, file: &Path, registry: &str) -> Result<(), Failure> {
    if host.query(&curl(&["-I", &format!("{base}/blobs/{digest}")]))?.success() {
        return Ok(());
    }
    let begun = done_by(
        host,
        "beginning a push",
        curl(&["-X", "POST", "-D", "-", "-o", "/dev/null", &format!("{base}/blobs/uploads/")]),
        &[],
    )?;
    let text = begun.text();
    let location = text.lines().find_map(|l| l.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("location")));
    let location =
        location.map(|(_, v)| v.trim()).ok_or_else(|| Failure::new("the registry gave no place to push to"))?;
    let url = if location.starts_with('/') { format!("{registry}{location}") } else { location.to_owned() };
    let join = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{join}digest={digest}");
    let put = curl(&["-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", &at(file), &url]);
    done_by(host, &format!("pushing {digest}"), put, &[])?;
    Ok(())
}

fn at(file: &Path) -> String {
    format!("@{}", file.display())
}

/// A request whose failure is a failure of the program.
fn curl(words: &[&str]) -> Command {
    let head = ["curl", "--silent", "--show-error", "--fail", "--max-time", "1800", "--noproxy", "*"];
    Command::new(head.iter().chain(words).copied()).timeout(Duration::from_secs(1860))
}

fn ready(args: &Args, host: &mut dyn Look) -> Result<(), Failure> {
    let ask = curl(&["-o", "/dev/null", &format!("{}/v2/", args.registry)]).timeout(Duration::from_secs(10));
    Wait::new("the registry answers", Duration::from_secs(120)).until(host, |host| {
        let output = host.query(&ask)?;
        Ok(if output.success() { Sight::Done(()) } else { Sight::NotYet(output.error_text().trim().to_owned()) })
    })?;
    Ok(())
}
