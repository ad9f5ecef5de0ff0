//! `stx_archive`: an archive of upgrade-start examined wherever it lies, before anything depends on it.

use std::path::{Path, PathBuf};

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::archive::{self, Bad, Found, Index, Supposed};
use super::images;
use super::platform::{CEPH_CONFIGURED, CONFIGURED};

crate::choices! {
    pub enum Kind { Data = "data", Images = "images" }
}

crate::arguments! {
    pub struct Args {
        /// The archive, or a directory that holds exactly one of this kind.
        path []: PathBuf,
        /// The platform's data, or the images of the local registry.
        kind []: Kind = Kind::Data,
        /// The release it must have been made by.
        from_release []: Option<String>,
        /// The release it must have been made for.
        to_release []: Option<String>,
        /// The system it must be of (`uuid` of `system show`).
        system_uuid []: Option<String>,
        /// The digest it must have: of the original, to prove a copy.
        sha256 []: Option<String>,
    }
}

pub struct ArchiveCheck;

impl Module for ArchiveCheck {
    const NAMES: &'static [&'static str] = &["stx_archive"];
    const DOC: &'static str = "Reads an upgrade_data or upgrade_images_data archive to its end and tells what it is.\n\
        It fails on several or no archive, a damaged or truncated one, another release or system, another digest, and \
        on entries that climb out of their place, lie behind links, or are devices. It changes nothing, on the host or \
        on the control machine.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("path", "the archive"),
        ("name", "its file name"),
        ("size", "in bytes"),
        ("unpacked", "bytes of its content"),
        ("sha256", "its digest"),
        ("from_release", "the release that made it"),
        ("to_release", "the release it was made for"),
        ("entries", "how many"),
        ("ceph", "whether the system that made it has a Ceph backend"),
        ("ldap", "where it holds the data of the LDAP users; empty where it does not"),
        ("empty", "an archive of images from a system without any"),
    ];
    const EXAMPLE: &'static str =
        "- name: the data file on the USB stick\n  stx_archive:\n    path: /media/usb\n    to_release: '21.12'";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let kind = match args.kind {
            Kind::Data => archive::Kind::Data,
            Kind::Images => archive::Kind::Images,
        };
        let path = match archive::find(host, &args.path, kind).map_err(advised)? {
            Found::At(path) => path,
            Found::Supposed(supposed) => {
                compare(&args, Some(&supposed.from), Some(&supposed.to), true, None)?;
                return Ok(as_supposed(&supposed));
            }
        };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".zero") {
            return Ok(outcome(&Index { path, ..Index::default() }, &name, true));
        }
        let index = match archive::read(host, &path, args.system_uuid.as_deref()) {
            Ok(index) => index,
            // There is no better copy of what the platform has just made.
            Err(bad @ (Bad::Empty(_) | Bad::Damaged { .. }))
                if path.starts_with(archive::BACKUP_DIR) && host.stat(Path::new(CONFIGURED), true)?.is_some() =>
            {
                return Err(Advice::failed(bad.to_string())
                    .safe("yes: the host was not wiped")
                    .next("only upgrade-start makes it: `stx-upgrade play abort.yml`, then `stx-upgrade play upgrade.yml`")
                    .into());
            }
            Err(bad) => return Err(advised(bad)),
        };
        if args.kind == Kind::Data {
            complete(&index)?;
            let named = args.system_uuid.as_ref().is_none_or(|uuid| name.contains(uuid.as_str()));
            let of_system = index.has_system || named;
            compare(&args, index.from.as_deref(), index.to.as_deref(), of_system, Some(&index.sha256))?;
        } else {
            compare(&args, None, None, true, Some(&index.sha256))?;
            images_whole(&index)?;
        }
        Ok(outcome(&index, &name, false))
    }
}

/// Refuses an archive of images that lacks parts of them.
pub fn images_whole(index: &Index) -> Result<(), Failure> {
    let lacking = images::lacking(index);
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Advice::failed(format!("{} does not hold all of its images: {}", index.path.display(), lacking.join("; ")))
        .cause("the registry of the system lost them before its archive was made")
        .safe("yes: nothing was changed")
        .next(
            "push these images to registry.local again, or remove them there; then `stx-upgrade play abort.yml`, and \
             `stx-upgrade play upgrade.yml` makes a new archive",
        )
        .into())
}

/// An archive that lacks what a restore cannot do without.
fn complete(index: &Index) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if index.from.is_none() || index.to.is_none() {
        missing.push("opt/platform/config/<release>/upgrades/metadata".to_owned());
    }
    let exports = index.exports.as_deref().unwrap_or("<exports>");
    for part in
        ["postgres/postgres.postgreSql.config", "postgres/sysinv.postgreSql.data", "etcd-snapshot/etcd-snapshot.db"]
    {
        if !index.holds(&format!("{exports}/{part}")) {
            missing.push(part.to_owned());
        }
    }
    if let Some(from) = &index.from {
        for file in ["static.yaml", "secure_static.yaml"] {
            let file = format!("opt/platform/puppet/{from}/hieradata/{file}");
            if !index.holds(&file) {
                missing.push(file);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Advice::failed(format!(
        "{} is no whole upgrade_data archive: it lacks {}",
        index.path.display(),
        missing.join(", ")
    ))
    .safe("yes: nothing was changed")
    .next(
        "name the archive that `system upgrade-start` of this system made; if this is the one, put the file back, then \
         `stx-upgrade play abort.yml`, and `stx-upgrade play upgrade.yml` makes a new one",
    )
    .into())
}

fn compare(
    args: &Args,
    from: Option<&str>,
    to: Option<&str>,
    of_system: bool,
    sha256: Option<&str>,
) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for (what, wanted, is) in [("made by", &args.from_release, from), ("made for", &args.to_release, to)] {
        if let (Some(wanted), Some(is)) = (wanted, is)
            && wanted != is
        {
            wrong.push(format!("it was {what} {is}, not {wanted}"));
        }
    }
    if let (Some(uuid), false) = (&args.system_uuid, of_system) {
        wrong.push(format!("it is of another system than {uuid}"));
    }
    if let (Some(wanted), Some(is)) = (&args.sha256, sha256)
        && wanted != is
    {
        wrong.push(format!("its SHA-256 is {is}, not {wanted}: the copy is not the original"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Advice::failed(format!("{}: {}", args.path.display(), wrong.join("; ")))
        .safe("yes: nothing was changed")
        .next("name the right archive (`-e upgrade_data_file=…`), or copy it again")
        .into())
}

/// Turns what is wrong with an archive into a failure that says what helps.
pub fn advised(bad: Bad) -> Failure {
    let next = match &bad {
        Bad::Host(_) => "",
        Bad::None { .. } | Bad::Missing(_) => {
            "mount the stick or copy the archive there, or name it: `-e upgrade_data_file=…`"
        }
        Bad::Several { .. } => {
            "name the one that is meant: `-e upgrade_data_file=…`; stale archives are better moved away"
        }
        Bad::NoFile { .. } | Bad::Empty(_) | Bad::Damaged { .. } => {
            "copy it again from where it is whole (compare the SHA-256)"
        }
        Bad::Unsafe { .. } => {
            "use the archive as `system upgrade-start` made it; this one was made or changed by something else"
        }
    };
    if let Bad::Host(error) = bad {
        return Failure::Host(error);
    }
    Advice::failed(bad.to_string()).safe("yes: nothing was changed").next(next).into()
}

fn outcome(index: &Index, name: &str, empty: bool) -> Outcome {
    let released = match (&index.from, &index.to) {
        (Some(from), Some(to)) => format!(", {from} -> {to}"),
        _ => String::new(),
    };
    let msg = if empty {
        format!("{name}: no images")
    } else {
        format!(
            "{name}: {}, whole{released}, sha256 {}",
            people(index.size),
            &index.sha256[..12.min(index.sha256.len())]
        )
    };
    let mut outcome = Outcome::ok().msg(msg);
    outcome.data = dict! {
        "path" => index.path.display().to_string(), "name" => name, "size" => index.size, "unpacked" => index.unpacked,
        "sha256" => index.sha256.as_str(), "from_release" => index.from.as_deref(), "to_release" => index.to.as_deref(),
        "entries" => index.members.len(), "empty" => empty, "ceph" => index.holds(CEPH_CONFIGURED),
        "ldap" => index.members.iter().find(|m| m.ends_with("/ldap/ldap.db")).map_or("", String::as_str),
    };
    outcome
}

/// Bytes as people write them.
fn people(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// In a check run, what upgrade-start would have made: its size and digest are not known.
fn as_supposed(supposed: &Supposed) -> Outcome {
    let name = supposed.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut outcome =
        Outcome::ok().msg(format!("{name}, as upgrade-start would make it: size and digest come with the run"));
    outcome.data = dict! {
        "path" => supposed.path.display().to_string(), "name" => name, "size" => 0u64, "unpacked" => 0u64,
        "sha256" => Value::Null, "from_release" => supposed.from.as_str(), "to_release" => supposed.to.as_str(),
        "entries" => 0u64, "empty" => false, "ceph" => false, "ldap" => "",
    };
    outcome
}
