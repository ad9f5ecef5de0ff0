//! `archive`: packs files of the host into an archive there, or packs one file by itself.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::copy::not_written;
use super::digest::Algorithm;
use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::{put, random_name};
use super::{accounts, paths};
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Stat};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum Format { Gz = "gz", Bz2 = "bz2", Tar = "tar", Xz = "xz", Zip = "zip" } }

arguments! {
    pub struct Args {
        /// Files and directories, or shell patterns of them.
        path []: Vec<PathBuf>,
        /// The archive; `PATH.FORMAT` if only one path is given.
        dest []: Option<PathBuf>,
        /// The kind of archive; of one file alone, `gz`, `bz2` and `xz` make no archive but pack it as it is.
        format []: Format = Format::Gz,
        /// Paths or shell patterns of them to leave out.
        exclude_path []: Vec<PathBuf> = Vec::new(),
        /// Shell patterns of names in the archive to leave out.
        exclusion_patterns []: Vec<String> = Vec::new(),
        /// Make an archive of one file too.
        force_archive []: bool = false,
        /// Remove what was packed.
        remove []: bool = false,
        ..file: FileArgs,
    }
}

/// The module `archive`.
pub struct Archive;

impl Module for Archive {
    const NAMES: &'static [&'static str] = &["archive", "community.general.archive"];
    const DOC: &'static str = "Packs files and directories of the host into a tar or zip archive there, or packs one file by itself.\n\
        `bz2` and `xz` are done by the host's programs `bzip2` and `xz`.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("state", "State of the input: `archive`, `compress`, `incomplete` or `absent`"),
        ("dest_state", "State of `dest`"),
        ("dest", "The archive"),
        ("missing", "Paths that are not there"),
        ("archived", "Files that were packed"),
        ("arcroot", "What was taken off the front of their names"),
        ("expanded_paths", "The paths that the patterns match"),
        ("expanded_exclude_paths", "The same of `exclude_path`"),
    ];
    const EXAMPLE: &'static str = "- archive:\n    path: /path/to/foo\n    dest: /path/to/foo.tgz\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let temp = host.scratch()?.join(format!("archive-{}", random_name(8)));
        let done = pack(&args, host, &temp);
        // The agent's own; no part of the host that a check run would only record.
        let _ = std::fs::remove_file(&temp);
        done
    }
}

/// What is to be packed.
struct Input {
    /// Each path that was found, without a last slash.
    found: Vec<PathBuf>,
    missing: Vec<String>,
    /// A pattern, or more than one path: an archive, never one file by itself.
    several: bool,
    root: PathBuf,
}

/// One entry: where it is, its name in the archive, and what it is.
struct Member {
    path: PathBuf,
    name: String,
    stat: Stat,
}

fn expanded(host: &mut dyn Act, patterns: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>, bool), Failure> {
    let (mut found, mut missing, mut wild) = (Vec::new(), Vec::new(), false);
    for pattern in patterns {
        let pattern = paths::expand(host.as_look(), pattern)?;
        wild |= pattern.to_string_lossy().contains(['*', '?', '[']);
        let matches = paths::glob(host.as_look(), &pattern)?;
        if matches.is_empty() {
            missing.push(pattern.display().to_string());
        }
        found.extend(matches);
    }
    Ok((found, missing, wild))
}

impl Input {
    fn of(args: &Args, host: &mut dyn Act) -> Result<(Input, Vec<PathBuf>), Failure> {
        let (mut found, missing, wild) = expanded(host, &args.path)?;
        let (excluded, _, _) = expanded(host, &args.exclude_path)?;
        found.retain(|p| !excluded.contains(p));
        let several = wild || args.path.len() > 1;
        // What all have in common, up to a slash; a path that ends in one is left out itself.
        let texts: Vec<String> = match (several, args.path.as_slice()) {
            (false, [only]) => vec![paths::expand(host.as_look(), only)?.display().to_string()],
            _ => found.iter().map(|p| p.display().to_string()).collect(),
        };
        let slash = args.path.len() == 1 && paths::ends_with_slash(&args.path[0]);
        let mut common = texts.first().cloned().unwrap_or_default();
        for text in &texts {
            while !text.starts_with(&common) {
                common.pop();
            }
        }
        let root = match slash && !several {
            true => PathBuf::from(common),
            false => PathBuf::from(&common[..common.rfind('/').map_or(0, |i| i + 1)]),
        };
        Ok((Input { found, missing, several, root }, excluded))
    }
}

/// Everything at and below the paths, in the order of names; the archive itself is left out.
fn members(
    args: &Args,
    input: &Input,
    excluded: &[PathBuf],
    dest: &Path,
    host: &mut dyn Act,
) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    let mut todo: Vec<PathBuf> = input.found.iter().rev().cloned().collect();
    while let Some(path) = todo.pop() {
        let Some(stat) = host.stat(&path, false)? else { continue };
        let name = path.strip_prefix(&input.root).unwrap_or(&path).to_string_lossy().trim_matches('/').to_owned();
        let unwanted =
            |p: &String| paths::matches(p, &name) || name.rsplit('/').next().is_some_and(|n| paths::matches(p, n));
        if excluded.contains(&path)
            || path == dest
            || (!name.is_empty() && args.exclusion_patterns.iter().any(unwanted))
        {
            continue;
        }
        if stat.kind == FileKind::Directory {
            todo.extend(host.list(&path)?.into_iter().rev().map(|n| path.join(n)));
        }
        if !name.is_empty() {
            members.push(Member { path, name, stat });
        }
    }
    Ok(members)
}

fn pack(args: &Args, host: &mut dyn Act, temp: &Path) -> Result<Outcome, Failure> {
    let (input, excluded) = Input::of(args, host)?;
    let dest = match (&args.dest, args.path.as_slice(), input.several) {
        (Some(dest), ..) => paths::expand(host.as_look(), dest)?,
        (None, [only], false) => {
            let path = paths::expand(host.as_look(), only)?;
            let plain = path.to_string_lossy().trim_end_matches('/').to_owned();
            PathBuf::from(format!("{plain}.{}", args.format.word()))
        }
        _ => return Err(Failure::new("Error, must specify \"dest\" when archiving multiple files or trees")),
    };
    let listed = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).map(Value::from).collect::<Value>();
    let mut outcome = Outcome::ok()
        .with("arcroot", input.root.display().to_string())
        .with("dest", dest.display().to_string())
        .with("missing", input.missing.iter().map(String::as_str).collect::<Value>())
        .with("expanded_paths", listed(&input.found))
        .with("expanded_exclude_paths", listed(&excluded));
    let members = members(args, &input, &excluded, &dest, host)?;
    let one_file = match members.as_slice() {
        [only] => only.stat.kind == FileKind::File && !input.several && !args.force_archive,
        _ => false,
    };
    let one_file = one_file && !matches!(args.format, Format::Tar | Format::Zip);
    if members.is_empty() {
        // Packed and removed before, it may be: what is there is left alone.
        let there = host.stat(&dest, true)?;
        if input.found.is_empty() && there.is_none() && !input.several {
            let path = args.path.first().map(|p| p.display().to_string()).unwrap_or_default();
            return Err(Failure::new(format!("Error, no source paths were found: {path}")));
        }
        let state = if there.is_some() { "archive" } else { "absent" };
        outcome.changed = there.is_some() && args.file.apply_following(host, &dest, &mut BeforeAfter::default())?;
        return Ok(outcome
            .with("state", if state == "absent" { "absent" } else { "compress" })
            .with("dest_state", state)
            .with("archived", Value::list(Vec::new())));
    }
    write(args, host, &members, one_file, temp)?;
    let state = match (one_file, input.missing.is_empty()) {
        (true, _) => "compress",
        (false, true) => "archive",
        (false, false) => "incomplete",
    };
    let same = match host.stat(&dest, true)? {
        Some(s) if s.kind == FileKind::File => same(args, host, &dest, temp)?,
        Some(s) if s.kind == FileKind::Directory => {
            return Err(Failure::new(format!("Error, destination {} is a directory", dest.display())));
        }
        _ => false,
    };
    if !same {
        let open = || File::open(temp).map_err(|e| HostError::io("reading the archive", temp, e));
        put(host, &dest, &mut |_| Ok(Box::new(open()?)), args.file.unsafe_writes).map_err(|e| not_written(e, &dest))?;
        outcome.changed = true;
    }
    outcome.changed |= args.file.apply_following(host, &dest, &mut BeforeAfter::default())?;
    if args.remove {
        for path in &input.found {
            if host.stat(path, false)?.is_some() && !dest.starts_with(path) {
                host.remove(path)?;
                outcome.changed = true;
            }
        }
    }
    let archived: Value =
        members.iter().filter(|m| m.stat.kind != FileKind::Directory).map(|m| m.path.display().to_string()).collect();
    let outcome = describe(host.as_look(), &dest, outcome.with("archived", archived))?;
    Ok(outcome.with("dest_state", state).with("state", state))
}

/// Whether what is there has the same content: two packings of the same need not be the same to the byte.
fn same(args: &Args, host: &mut dyn Act, dest: &Path, temp: &Path) -> Result<bool, Failure> {
    if Algorithm::Sha1.of_file(host.as_look(), dest)? == Algorithm::Sha1.of_local(temp).unwrap_or_default() {
        return Ok(true);
    }
    if args.format != Format::Gz {
        return Ok(false);
    }
    let plain = |file: Box<dyn Read>| Algorithm::Sha1.of(&mut flate2::read::MultiGzDecoder::new(file));
    let old = plain(host.open(dest)?);
    let new = File::open(temp).and_then(|f| plain(Box::new(f)));
    // What is no gzip differs.
    Ok(matches!((old, new), (Ok(old), Ok(new)) if old == new))
}

fn failed(e: io::Error) -> Failure {
    Failure::new(format!("Error when writing the archive: {e}"))
}

fn write(args: &Args, host: &mut dyn Act, members: &[Member], one_file: bool, temp: &Path) -> Result<(), Failure> {
    let mut file = File::options().read(true).write(true).create_new(true).open(temp).map_err(failed)?;
    let content = |host: &mut dyn Act, out: &mut dyn Write| -> Result<(), Failure> {
        if one_file {
            return io::copy(&mut *host.open(&members[0].path)?, out).map(drop).map_err(failed);
        }
        tar(host, members, out)
    };
    match args.format {
        Format::Zip => zip(host, members, &mut file)?,
        Format::Tar => content(host, &mut file)?,
        Format::Gz => {
            let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            content(host, &mut packer)?;
            packer.finish().map_err(failed)?;
        }
        Format::Bz2 | Format::Xz => {
            content(host, &mut file)?;
            drop(file);
            let program = if args.format == Format::Xz { "xz" } else { "bzip2" };
            let packed = paths::with_suffix(temp, ".packed");
            let shown = |p: &Path| p.display().to_string();
            let line = "exec \"$0\" -c < \"$1\" > \"$2\"";
            // It writes nothing but the agent's own temporary file.
            let command = Command::new(["/bin/sh", "-c", line, program, &shown(temp), &shown(&packed)]);
            let output = host.query(&command)?;
            std::fs::rename(&packed, temp).map_err(failed)?;
            if !output.success() {
                return Err(Failure::new(format!("`{program}` cannot pack: {}", output.error_text().trim())));
            }
        }
    }
    Ok(())
}

fn tar(host: &mut dyn Act, members: &[Member], out: &mut dyn Write) -> Result<(), Failure> {
    let mut builder = tar::Builder::new(out);
    for member in members {
        let mut header = tar::Header::new_gnu();
        let stat = &member.stat;
        header.set_mode(stat.mode);
        header.set_uid(stat.uid.into());
        header.set_gid(stat.gid.into());
        header.set_mtime(stat.modified.max(0.0) as u64);
        // A name that is too long for its field is left out; the number says it too.
        let _ = header.set_username(&accounts::user_name(host.as_look(), stat.uid)?);
        let _ = header.set_groupname(&accounts::group_name(host.as_look(), stat.gid)?);
        match stat.kind {
            FileKind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, format!("{}/", member.name), io::empty()).map_err(failed)?;
            }
            FileKind::Symlink => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                let target = host.read_link(&member.path)?;
                builder.append_link(&mut header, &member.name, target).map_err(failed)?;
            }
            FileKind::File => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(stat.size);
                // A file that grows meanwhile must not spoil what comes after it.
                let content = host.open(&member.path)?.take(stat.size);
                builder.append_data(&mut header, &member.name, content).map_err(failed)?;
            }
            FileKind::Fifo | FileKind::Socket | FileKind::BlockDevice | FileKind::CharDevice => {}
        }
    }
    builder.into_inner().map_err(failed)?.flush().map_err(failed)
}

fn zip(host: &mut dyn Act, members: &[Member], file: &mut (impl Write + Seek)) -> Result<(), Failure> {
    let bad = |e: zip::result::ZipError| Failure::new(format!("Error when writing the archive: {e}"));
    let mut writer = zip::ZipWriter::new(file);
    for member in members {
        let stat = &member.stat;
        let options = zip::write::SimpleFileOptions::default()
            .unix_permissions(stat.mode)
            .large_file(stat.size > u64::from(u32::MAX))
            .last_modified_time(zip_time(stat.modified));
        match stat.kind {
            FileKind::Directory => writer.add_directory(format!("{}/", member.name), options).map_err(bad)?,
            FileKind::Symlink => {
                let target = host.read_link(&member.path)?.display().to_string();
                writer.add_symlink(member.name.as_str(), target, options).map_err(bad)?;
            }
            FileKind::File => {
                writer.start_file(member.name.as_str(), options).map_err(bad)?;
                io::copy(&mut *host.open(&member.path)?, &mut writer).map_err(failed)?;
            }
            FileKind::Fifo | FileKind::Socket | FileKind::BlockDevice | FileKind::CharDevice => {}
        }
    }
    writer.finish().map(drop).map_err(bad)
}

/// A time as zip keeps it: local, from 1980 on.
fn zip_time(seconds: f64) -> zip::DateTime {
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    let part = |n: i8| u8::try_from(n).unwrap_or_default();
    zip::DateTime::from_date_and_time(
        u16::try_from(time.year()).unwrap_or_default(),
        part(time.month()),
        part(time.day()),
        part(time.hour()),
        part(time.minute()),
        part(time.second()),
    )
    .unwrap_or_default()
}
