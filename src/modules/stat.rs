//! `stat`: what stands at a path.

use std::path::PathBuf;

use super::digest::Algorithm;
use super::{accounts, paths};
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look, Stat as Seen};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

arguments! {
    pub struct Args {
        /// The path to look at.
        path ["dest", "name"]: PathBuf,
        /// Look at what a link points to, instead of the link.
        follow []: bool = false,
        /// Give the checksum of a file.
        get_checksum []: bool = true,
        /// Give the MIME type, if the host has the program `file`.
        get_mime ["mime", "mime_type", "mime-type"]: bool = true,
        /// Give the attributes, if the host has the program `lsattr`.
        get_attributes ["attr", "attributes"]: bool = true,
        /// Algorithm of the checksum.
        checksum_algorithm ["checksum", "checksum_algo"]: Algorithm = Algorithm::Sha1,
    }
}

/// The module `stat`.
pub struct Stat;

impl Module for Stat {
    const NAMES: &'static [&'static str] = &["stat", "ansible.builtin.stat", "ansible.legacy.stat"];
    const DOC: &'static str = "Looks at a file, directory or link. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[(
        "stat",
        "`exists`, and if so `path`, `mode`, `uid`, `gid`, `pw_name`, `gr_name`, `size`, `isreg`, `isdir`, `islnk`, `mtime`, `checksum` and more",
    )];
    const EXAMPLE: &'static str = "- stat:\n    path: /etc/foo.conf\n  register: st\n- fail:\n    msg: it is not ours\n  when: st.stat.pw_name != 'root'\n";
    const FREE_FORM: Option<&'static str> = None;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let Some(seen) = host.stat(&path, args.follow)? else {
            return Ok(Outcome::ok().with("stat", dict! {"exists" => false}));
        };
        let mut stat = basics(&seen);
        let mut put = |name: &str, value: Value| {
            stat.insert(name.into(), value);
        };
        put("path", path.display().to_string().into());
        let (readable, writeable, executable) = access(host.as_look(), &path)?;
        put("readable", readable.into());
        put("writeable", writeable.into());
        put("executable", executable.into());
        if seen.kind == FileKind::Symlink {
            put("lnk_source", paths::real_path(host.as_look(), &path)?.display().to_string().into());
            put("lnk_target", host.read_link(&path)?.display().to_string().into());
        }
        if let Some(user) = accounts::user(host.as_look(), &seen.uid.to_string())? {
            put("pw_name", user.name.into());
        }
        if let Some(group) = accounts::group(host.as_look(), &seen.gid.to_string())? {
            put("gr_name", group.name.into());
        }
        if args.get_checksum && seen.kind == FileKind::File && readable {
            put("checksum", args.checksum_algorithm.of_file(host.as_look(), &path)?.into());
        }
        if args.get_mime {
            let (kind, charset) = mime(host.as_look(), &path)?;
            put("mimetype", kind.into());
            put("charset", charset.into());
        }
        if args.get_attributes {
            let (version, flags) = attributes(host.as_look(), &path)?;
            put("version", version.into());
            put("attributes", flags.chars().filter_map(attribute_word).collect());
            put("attr_flags", flags.into());
        }
        Ok(Outcome::ok().with("stat", stat))
    }
}

/// What the system call itself says.
pub fn basics(seen: &Seen) -> Dict {
    let bit = |bits: u32| seen.mode & bits != 0;
    let is = |kind: FileKind| seen.kind == kind;
    dict! {
        "exists" => true,
        "mode" => format!("{:04o}", seen.mode),
        "isdir" => is(FileKind::Directory),
        "ischr" => is(FileKind::CharDevice),
        "isblk" => is(FileKind::BlockDevice),
        "isreg" => is(FileKind::File),
        "isfifo" => is(FileKind::Fifo),
        "islnk" => is(FileKind::Symlink),
        "issock" => is(FileKind::Socket),
        "uid" => seen.uid,
        "gid" => seen.gid,
        "size" => seen.size,
        "inode" => seen.inode,
        "dev" => seen.device,
        "nlink" => seen.links,
        "blocks" => seen.blocks,
        "block_size" => seen.block_size,
        "device_type" => seen.device_type,
        "atime" => seen.accessed,
        "mtime" => seen.modified,
        "ctime" => seen.changed,
        "wusr" => bit(0o200),
        "rusr" => bit(0o400),
        "xusr" => bit(0o100),
        "wgrp" => bit(0o020),
        "rgrp" => bit(0o040),
        "xgrp" => bit(0o010),
        "woth" => bit(0o002),
        "roth" => bit(0o004),
        "xoth" => bit(0o001),
        "isuid" => bit(0o4000),
        "isgid" => bit(0o2000),
    }
}

/// Whether this user may read, write and execute what a path leads to.
pub fn access(host: &mut dyn Look, path: &std::path::Path) -> Result<(bool, bool, bool), HostError> {
    let Some(seen) = host.stat(path, true)? else { return Ok((false, false, false)) };
    let me = nix::unistd::geteuid().as_raw();
    if me == 0 {
        let executable = seen.mode & 0o111 != 0 || seen.kind == FileKind::Directory;
        return Ok((true, true, executable));
    }
    let groups = nix::unistd::getgroups().unwrap_or_default();
    let mine = nix::unistd::getegid().as_raw() == seen.gid || groups.iter().any(|g| g.as_raw() == seen.gid);
    let bits = if me == seen.uid {
        seen.mode >> 6
    } else if mine {
        seen.mode >> 3
    } else {
        seen.mode
    };
    Ok((bits & 4 != 0, bits & 2 != 0, bits & 1 != 0))
}

fn mime(host: &mut dyn Look, path: &std::path::Path) -> Result<(String, String), HostError> {
    let unknown = || ("unknown".to_owned(), "unknown".to_owned());
    let command = Command::new(["file", "--mime-type", "--mime-encoding", "--", &path.display().to_string()]);
    let output = match host.query(&command) {
        Ok(output) if output.success() => output.text(),
        Ok(_) | Err(HostError::NoProgram(_)) => return Ok(unknown()),
        Err(e) => return Err(e),
    };
    let said = output.rsplit_once(':').and_then(|(_, said)| said.split_once(';'));
    Ok(said
        .and_then(|(kind, charset)| Some((kind.trim().to_owned(), charset.split_once('=')?.1.trim().to_owned())))
        .unwrap_or_else(unknown))
}

fn attributes(host: &mut dyn Look, path: &std::path::Path) -> Result<(Option<String>, String), HostError> {
    match host.query(&Command::new(["lsattr", "-vd", "--", &path.display().to_string()])) {
        Ok(output) if output.success() => {
            let text = output.text();
            let mut words = text.split_whitespace();
            let version = words.next().map(str::to_owned);
            Ok((version, words.next().unwrap_or_default().replace('-', "")))
        }
        Ok(_) | Err(HostError::NoProgram(_)) => Ok((None, String::new())),
        Err(e) => Err(e),
    }
}

/// The word of a letter that `lsattr` prints.
fn attribute_word(letter: char) -> Option<&'static str> {
    Some(match letter {
        'A' => "noatime",
        'a' => "append",
        'c' => "compressed",
        'C' => "nocow",
        'd' => "nodump",
        'D' => "dirsync",
        'e' => "extents",
        'E' => "encrypted",
        'h' => "blocksize",
        'i' => "immutable",
        'I' => "indexed",
        'j' => "journalled",
        'N' => "inline",
        's' => "zero",
        'S' => "synchronous",
        't' => "notail",
        'T' => "blockroot",
        'u' => "undelete",
        'X' => "compressedraw",
        'Z' => "compresseddirty",
        _ => return None,
    })
}
