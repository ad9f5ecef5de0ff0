//! `mount`: filesystems in `/etc/fstab`, and mounted.

use std::path::{Path, PathBuf};

use super::file_content::{read_existing, text_diff};
use super::{paths, python_regex};
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! {
    /// What shall be of the filesystem.
    pub enum State {
        /// Neither mounted nor in the table.
        Absent = "absent",
        /// Mounted now, whatever the table says.
        Ephemeral = "ephemeral",
        /// Mounted, and in the table.
        Mounted = "mounted",
        /// In the table.
        Present = "present",
        /// Mounted anew.
        Remounted = "remounted",
        /// In the table, not mounted.
        Unmounted = "unmounted",
    }
}

arguments! {
    pub struct Args {
        /// The mount point.
        path ["name"]: PathBuf,
        /// What shall be of it.
        state []: State,
        /// The device or remote filesystem.
        src []: Option<String>,
        /// The type.
        fstype []: Option<String>,
        /// The options.
        opts []: Option<String>,
        /// Whether `dump` takes it.
        dump []: String = "0",
        /// When it is checked at start.
        passno []: String = "0",
        /// The table.
        fstab []: PathBuf = "/etc/fstab",
        /// Mount it at start; `false` puts `noauto` among the options.
        boot []: bool = true,
        /// Keep a copy of the table.
        backup []: bool = false,
    }
    rules [If("state", "mounted", &["src", "fstype"]), If("state", "present", &["src", "fstype"]), If("state", "ephemeral", &["src", "fstype"])]
}

/// The module `mount`.
pub struct Mount;

impl Module for Mount {
    const NAMES: &'static [&'static str] = &["mount", "ansible.posix.mount"];
    const DOC: &'static str = "Mounts and unmounts filesystems and keeps their lines in `/etc/fstab`.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("name", "The mount point"), ("fstab", "The table"), ("backup_file", "The copy that was kept")];
    const EXAMPLE: &'static str = "- mount:\n    path: /mnt/dvd\n    src: /dev/sr0\n    fstype: iso9660\n    opts: ro,noauto\n    state: present\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let path = PathBuf::from(path.to_string_lossy().trim_end_matches('/').to_owned());
        let path = if path.as_os_str().is_empty() { PathBuf::from("/") } else { path };
        let shown = path.display().to_string();
        let mut outcome = Outcome::ok().with("name", shown.as_str()).with("fstab", args.fstab.display().to_string());
        match args.state {
            State::Present => table(&args, &path, true, host, &mut outcome)?,
            State::Absent => {
                table(&args, &path, false, host, &mut outcome)?;
                if mounted(host, &path)?.is_some() {
                    command(host, &["umount", &shown], "unmounting")?;
                    outcome.changed = true;
                }
                if host.stat(&path, false)?.is_some() && host.list(&path).is_ok_and(|l| l.is_empty()) {
                    host.remove(&path)?;
                    outcome.changed = true;
                }
            }
            State::Unmounted => {
                if mounted(host, &path)?.is_some() {
                    command(host, &["umount", &shown], "unmounting")?;
                    outcome.changed = true;
                }
            }
            State::Mounted | State::Ephemeral => {
                if host.stat(&path, true)?.is_none() {
                    super::file_content::make_parents(host, &path)?;
                    host.make_dir(&path, None)?;
                    outcome.changed = true;
                }
                let mut moved = false;
                if args.state == State::Mounted {
                    let before = outcome.changed;
                    outcome.changed = false;
                    table(&args, &path, true, host, &mut outcome)?;
                    moved = outcome.changed;
                    outcome.changed |= before;
                }
                let src = args.src.clone().unwrap_or_default();
                let fstype = args.fstype.clone().unwrap_or_default();
                let opts = options(&args);
                match mounted(host, &path)? {
                    Some(now) if args.state == State::Ephemeral && now != src => {
                        let msg = format!("Ephemeral mount point is already mounted with a different source: {now}");
                        return Err(Failure::new(msg));
                    }
                    Some(_) if moved => {
                        command(host, &["mount", "-o", &format!("remount,{opts}"), &shown], "mounting anew")?
                    }
                    Some(_) => {}
                    None => {
                        command(host, &["mount", "-t", &fstype, "-o", &opts, &src, &shown], "mounting")?;
                        outcome.changed = true;
                    }
                }
            }
            State::Remounted => {
                if mounted(host, &path)?.is_none() {
                    return Err(Failure::new(format!("{shown} is not mounted")));
                }
                let opts = args.opts.as_deref().map_or("remount".to_owned(), |o| format!("remount,{o}"));
                command(host, &["mount", "-o", &opts, &shown], "mounting anew")?;
                outcome.changed = true;
            }
        }
        Ok(outcome.with("src", args.src.clone()).with("fstype", args.fstype.clone()).with("opts", options(&args)))
    }
}

fn options(args: &Args) -> String {
    let opts = args.opts.clone().unwrap_or_else(|| "defaults".into());
    if args.boot || opts.split(',').any(|o| o == "noauto") { opts } else { format!("{opts},noauto") }
}

/// The source of what is mounted at a path.
fn mounted(host: &mut dyn Act, path: &Path) -> Result<Option<String>, HostError> {
    let table = host.read("/proc/self/mounts".as_ref())?;
    let real = paths::real_path(host.as_look(), path)?;
    let text = String::from_utf8_lossy(&table).into_owned();
    let found = text.lines().rev().find_map(|l| {
        let mut fields = l.split(' ');
        let source = fields.next()?;
        (unescape(fields.next()?) == real.to_string_lossy()).then(|| unescape(source))
    });
    Ok(found)
}

/// Runs a program that mounts. Later steps of a check run do not see what would be mounted.
fn command(host: &mut dyn Act, argv: &[&str], doing: &str) -> Result<(), Failure> {
    let output = host.run_expecting(&Command::new(argv.iter().copied()), &[])?;
    if output.success() {
        return Ok(());
    }
    let last = argv.last().copied().unwrap_or_default();
    Err(Failure::new(format!("Error {doing} {last}: {}", output.error_text().trim())))
}

/// Blanks in a table's field are written in octal.
fn escape(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Puts the mount point's line into the table, or takes it out.
fn table(args: &Args, path: &Path, present: bool, host: &mut dyn Act, outcome: &mut Outcome) -> Result<(), Failure> {
    let fstab = paths::expand(host.as_look(), &args.fstab)?;
    let before = read_existing(host.as_look(), &fstab)?;
    let text = python_regex::to_text(before.as_deref().unwrap_or_default());
    let shown = path.display().to_string();
    let fields = [
        escape(args.src.as_deref().unwrap_or_default()),
        escape(&shown),
        args.fstype.clone().unwrap_or_default(),
        options(args),
        args.dump.clone(),
        args.passno.clone(),
    ];
    let line = fields.join(" ");
    let mut lines: Vec<String> = Vec::new();
    let mut there = false;
    for old in text.lines() {
        let words: Vec<&str> = old.split_whitespace().collect();
        let ours = !old.trim_start().starts_with('#') && words.get(1).is_some_and(|w| unescape(w) == shown);
        // Several swap areas have the same mount point, `none`.
        let swap = shown.ends_with("/none") || words.get(2) == Some(&"swap");
        if !ours || swap && words.first() != Some(&fields[0].as_str()) {
            lines.push(old.to_owned());
        } else if present && !there {
            there = true;
            let mut full: Vec<&str> = words.clone();
            full.extend(["0", "0"].into_iter().skip(words.len().saturating_sub(4)));
            lines.push(if full == fields { old.to_owned() } else { line.clone() });
        }
    }
    if present && !there {
        lines.push(line);
    }
    if lines.iter().map(String::as_str).eq(text.lines()) {
        return Ok(());
    }
    let after = python_regex::to_bytes(&lines.iter().map(|l| format!("{l}\n")).collect::<String>());
    let name = fstab.display().to_string();
    outcome.diff.push(text_diff(&name, &name, before.as_deref().unwrap_or_default(), &after));
    if args.backup
        && let Some(saved) = super::file_content::backup(host, &fstab)?
    {
        outcome.data.insert("backup_file".into(), saved.display().to_string().into());
    }
    host.write(&fstab, &mut after.as_slice(), None)?;
    outcome.changed = true;
    Ok(())
}
