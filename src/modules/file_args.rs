//! Mode, owner, group and the like, which every module that makes files takes; and what a result says of a file.

use std::path::Path;

use super::accounts;
use super::host::real::umask;
use crate::action::args::FromArg;
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError, Look, Stat};
use crate::action::module::Failure;
use crate::arguments;
use crate::model::outcome::{Diff, Outcome};
use crate::model::value::{Dict, Key, Value};

arguments! {
    /// What a file or directory shall have.
    #[derive(Default)]
    pub struct FileArgs {
        /// Permissions: octal (`'0644'`) or symbolic (`u=rw,g=r,o=r`).
        mode []: Option<Mode>,
        /// Name or number of the owner.
        owner []: Option<String>,
        /// Name or number of the group.
        group []: Option<String>,
        /// Attributes as `chattr` takes them: `i`, `+a`.
        attributes ["attr"]: Option<String>,
        /// SELinux user; needs SELinux on the host.
        seuser []: Option<String>,
        /// SELinux role.
        serole []: Option<String>,
        /// SELinux type.
        setype []: Option<String>,
        /// SELinux level.
        selevel []: Option<String>,
        /// Write over a file that cannot be replaced, as one that is mounted; a reader may see half of it.
        unsafe_writes []: Option<bool>,
    }
}

/// Permissions as a playbook gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Bits(u32),
    Symbolic(String),
    /// Those of the source (`copy`, `template`).
    Preserve,
}

impl FromArg for Mode {
    const KIND: &'static str = "raw";

    fn from_arg(value: &Value) -> Result<Mode, String> {
        let bits = |n: i64| u32::try_from(n).ok().filter(|n| *n <= 0o7777);
        match value {
            Value::Int(n) => bits(*n)
                .map(Mode::Bits)
                .ok_or_else(|| format!("must be a mode, and {n} has more than permissions; quote it: '0644'")),
            Value::Str(s) if s.as_ref() == "preserve" => Ok(Mode::Preserve),
            Value::Str(s) => match i64::from_str_radix(s.trim().trim_start_matches("0o"), 8).ok() {
                Some(n) => bits(n).map(Mode::Bits).ok_or_else(|| format!("`{s}` has more than permissions")),
                None => symbolic(s, 0, false, 0).map(|_| Mode::Symbolic(s.to_string())),
            },
            other => Err(format!("must be a mode (`'0644'`, `u=rw,go=r`), not {}", other.kind())),
        }
    }
    fn written(&self) -> String {
        match self {
            Mode::Bits(bits) => format!("'{bits:04o}'"),
            Mode::Symbolic(text) => text.clone(),
            Mode::Preserve => "preserve".into(),
        }
    }
}

impl Mode {
    /// The permissions that result for something that has `now`.
    pub fn over(&self, now: u32, dir: bool) -> u32 {
        match self {
            Mode::Bits(bits) => *bits,
            Mode::Symbolic(text) => symbolic(text, now, dir, umask()).unwrap_or(now),
            Mode::Preserve => now,
        }
    }
}

/// Applies `u=rw-x+X,g=r` to permissions, as `chmod` does.
fn symbolic(text: &str, now: u32, dir: bool, umask: u32) -> Result<u32, String> {
    let bad = || format!("`{text}` is no mode: octal (`'0644'`) or symbolic (`u=rw,g=r,o=r`)");
    let mut mode = now;
    for clause in text.split(',') {
        let start = clause.find(['+', '-', '=']).ok_or_else(bad)?;
        let (who, mut rest) = clause.split_at(start);
        if !who.chars().all(|c| "ugoa".contains(c)) {
            return Err(bad());
        }
        let all = who.is_empty() || who.contains('a');
        let allowed = if who.is_empty() { !umask } else { !0 };
        while let Some(operator) = rest.chars().next() {
            rest = &rest[1..];
            let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
            let perms = &rest[..end];
            rest = &rest[end..];
            // An X means execution for directories and for what somebody may execute already.
            let x_too = dir || mode & 0o111 != 0;
            let before = mode;
            for (class, shift, special) in [('u', 6, 0o4000), ('g', 3, 0o2000), ('o', 0, 0o1000)] {
                if !all && !who.contains(class) {
                    continue;
                }
                let mut bits = 0;
                for perm in perms.chars() {
                    bits |= match perm {
                        'r' => 0o4 << shift & allowed,
                        'w' => 0o2 << shift & allowed,
                        'x' => 0o1 << shift & allowed,
                        'X' if x_too => 0o1 << shift,
                        'X' => 0,
                        's' if class != 'o' => special,
                        't' if class == 'o' => special,
                        's' | 't' => 0,
                        'u' => (before >> 6 & 7) << shift,
                        'g' => (before >> 3 & 7) << shift,
                        'o' => (before & 7) << shift,
                        _ => return Err(bad()),
                    };
                }
                mode = match operator {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => mode & !(0o7 << shift | special) | bits,
                };
            }
        }
    }
    Ok(mode)
}

/// What was, and what is now; keys in the order of their names, as Ansible shows them.
#[derive(Clone, Debug, Default)]
pub struct BeforeAfter {
    pub before: Dict,
    pub after: Dict,
}

impl BeforeAfter {
    pub fn both(path: &Path) -> BeforeAfter {
        let mut d = BeforeAfter::default();
        d.note("path", path.display().to_string(), path.display().to_string());
        d
    }

    pub fn note(&mut self, what: &str, before: impl Into<Value>, after: impl Into<Value>) {
        self.before.insert(Key::from(what), before.into());
        self.after.insert(Key::from(what), after.into());
    }

    /// As a difference to show, under `header`; none where nothing differs.
    pub fn into_diff(self, header: &str) -> Option<Diff> {
        (self.before != self.after).then(|| self.whole(header))
    }

    /// The same, also where nothing differs.
    pub fn whole(mut self, header: &str) -> Diff {
        self.before.sort_unstable_by(|a, _, b, _| a.to_string().cmp(&b.to_string()));
        self.after.sort_unstable_by(|a, _, b, _| a.to_string().cmp(&b.to_string()));
        let text = |d: Dict| {
            let mut out = Vec::new();
            let mut json = serde_json::Serializer::with_formatter(
                &mut out,
                serde_json::ser::PrettyFormatter::with_indent(b"    "),
            );
            // A dictionary of plain values always has a JSON form.
            let _ = serde::Serialize::serialize(&Value::dict(d), &mut json);
            String::from_utf8_lossy(&out).into_owned() + "\n"
        };
        Diff::Text {
            before_name: header.to_owned(),
            after_name: header.to_owned(),
            before: text(self.before),
            after: text(self.after),
        }
    }
}

/// The number of an owner; a name that nobody has is a failure.
pub fn uid(host: &mut dyn Look, owner: &str, path: &Path) -> Result<u32, Failure> {
    if let Ok(number) = owner.parse() {
        return Ok(number);
    }
    if owner == "root" {
        return Ok(0);
    }
    let user = accounts::user(host, owner)?;
    user.map(|u| u.uid).ok_or_else(|| failed_at(path, format!("chown failed: failed to look up user {owner}")))
}

/// The number of a group; a name that none has is a failure.
pub fn gid(host: &mut dyn Look, name: &str, path: &Path) -> Result<u32, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    if name == "root" {
        return Ok(0);
    }
    let group = accounts::group(host, name)?;
    group.map(|g| g.gid).ok_or_else(|| failed_at(path, format!("chgrp failed: failed to look up group {name}")))
}

/// A failure that names the path it is about in its result.
pub fn failed_at(path: &Path, msg: impl Into<String>) -> Failure {
    Failure::Failed(Box::new(Outcome::failed(msg).with("path", path.display().to_string())))
}

impl FileArgs {
    /// Gives what stands at a path what it shall have, not following a last link. Whether anything changed; what, in
    /// `diff`.
    pub fn apply(&self, host: &mut dyn Act, path: &Path, diff: &mut BeforeAfter) -> Result<bool, Failure> {
        let mut changed = self.apply_context(host, path, diff)?;
        let Some(now) = host.stat(path, false)? else { return Err(HostError::NotFound(path.to_owned()).into()) };
        let uid = self.owner.as_deref().map(|o| uid(host, o, path)).transpose()?.filter(|u| *u != now.uid);
        let gid = self.group.as_deref().map(|g| gid(host, g, path)).transpose()?.filter(|g| *g != now.gid);
        if let Some(uid) = uid {
            diff.note("owner", now.uid, uid);
            host.set_owner(path, Some(uid), None).map_err(|e| failed_at(path, format!("chown failed: {e}")))?;
            changed = true;
        }
        if let Some(gid) = gid {
            diff.note("group", now.gid, gid);
            host.set_owner(path, None, Some(gid)).map_err(|e| failed_at(path, format!("chgrp failed: {e}")))?;
            changed = true;
        }
        if let Some(mode) = &self.mode
            && now.kind != FileKind::Symlink
        {
            let mode = mode.over(now.mode, now.kind == FileKind::Directory);
            // A new owner has taken the setuid bits off; they are to be set again.
            let current =
                if uid.or(gid).is_some() { host.stat(path, false)?.map_or(now.mode, |s| s.mode) } else { now.mode };
            if mode != current {
                host.set_mode(path, mode).map_err(|e| failed_at(path, format!("chmod failed: {e}")))?;
            }
            if mode != now.mode {
                diff.note("mode", octal(now.mode), octal(mode));
                changed = true;
            }
        }
        Ok(self.apply_attributes(host, path, diff)? || changed)
    }

    /// The same, following a last link if there is one.
    pub fn apply_following(&self, host: &mut dyn Act, path: &Path, diff: &mut BeforeAfter) -> Result<bool, Failure> {
        let path = super::paths::real_path(host.as_look(), path)?;
        self.apply(host, &path, diff)
    }

    fn apply_attributes(&self, host: &mut dyn Act, path: &Path, diff: &mut BeforeAfter) -> Result<bool, Failure> {
        let Some(wanted) = &self.attributes else { return Ok(false) };
        let (sign, flags) = match wanted.chars().next() {
            Some(sign @ ('+' | '-' | '=')) => (sign, &wanted[1..]),
            _ => ('=', wanted.as_str()),
        };
        let now = flags_of(host, path)?.unwrap_or_default();
        let settled = match sign {
            '-' => !flags.chars().any(|f| now.contains(f)),
            '+' => flags.chars().all(|f| now.contains(f)),
            _ => sorted(&now) == sorted(flags),
        };
        if flags.is_empty() || settled {
            return Ok(false);
        }
        diff.note("attributes", now, format!("{sign}{flags}"));
        let argv = ["chattr".to_owned(), format!("{sign}{flags}"), path.display().to_string()];
        let output = host.run_expecting(&Command::new(argv), &[])?;
        if !output.success() {
            let details = output.error_text();
            return Err(failed_at(path, format!("chattr failed: {}", details.trim())));
        }
        Ok(true)
    }

    fn apply_context(&self, host: &mut dyn Act, path: &Path, diff: &mut BeforeAfter) -> Result<bool, Failure> {
        let wanted = [&self.seuser, &self.serole, &self.setype, &self.selevel];
        if wanted.iter().all(|w| w.is_none()) || host.stat(Path::new("/sys/fs/selinux/enforce"), true)?.is_none() {
            return Ok(false);
        }
        let now = context_of(host.as_look(), path)?.unwrap_or_default();
        let parts: Vec<&str> = now.splitn(4, ':').collect();
        let mut argv = vec!["chcon".to_owned(), "--no-dereference".into()];
        for (i, (option, want)) in ["-u", "-r", "-t", "-l"].iter().zip(wanted).enumerate() {
            // `_default` asks for what the policy says, which is what a new file has.
            if let Some(want) = want.as_deref().filter(|w| *w != "_default" && parts.get(i) != Some(w)) {
                argv.extend([(*option).to_owned(), want.to_owned()]);
            }
        }
        if argv.len() == 2 {
            return Ok(false);
        }
        let after = argv[2..].join(" ");
        argv.extend(["--".to_owned(), path.display().to_string()]);
        let output = host.run_expecting(&Command::new(argv), &[])?;
        if !output.success() {
            return Err(failed_at(path, format!("set selinux context failed: {}", output.error_text().trim())));
        }
        diff.note("secontext", now, after);
        Ok(true)
    }
}

fn sorted(flags: &str) -> Vec<char> {
    let mut flags: Vec<char> = flags.chars().collect();
    flags.sort_unstable();
    flags
}

fn context_of(host: &mut dyn Look, path: &Path) -> Result<Option<String>, HostError> {
    let output = host.query(&Command::new(["stat", "-c", "%C", "--", &path.display().to_string()]))?;
    Ok(output.success().then(|| output.text().trim().to_owned()))
}

/// The letters that `lsattr` shows; none where it cannot say.
pub fn flags_of(host: &mut dyn Act, path: &Path) -> Result<Option<String>, HostError> {
    match host.query(&Command::new(["lsattr", "-d", "--", &path.display().to_string()])) {
        Ok(output) if output.success() => Ok(output.text().split_whitespace().next().map(|f| f.replace('-', ""))),
        Ok(_) | Err(HostError::NoProgram(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A mode as results show it: `0644`.
pub fn octal(mode: u32) -> String {
    format!("0{mode:03o}")
}

/// What stands at a path, as results name it.
pub fn state_of(stat: Option<&Stat>) -> &'static str {
    match stat {
        None => "absent",
        Some(s) => match s.kind {
            FileKind::Symlink => "link",
            FileKind::Directory => "directory",
            FileKind::File if s.links > 1 => "hard",
            FileKind::File | FileKind::Fifo | FileKind::Socket | FileKind::BlockDevice | FileKind::CharDevice => "file",
        },
    }
}

/// Adds to a result what it says of a file: owner, group, mode, state, size. Nothing where nothing stands.
pub fn describe(host: &mut dyn Look, path: &Path, mut outcome: Outcome) -> Result<Outcome, HostError> {
    // A link that leads nowhere is not described, as in Ansible.
    if host.stat(path, true)?.is_none() {
        return Ok(outcome);
    }
    let Some(stat) = host.stat(path, false)? else { return Ok(outcome) };
    outcome = outcome
        .with("uid", stat.uid)
        .with("gid", stat.gid)
        .with("owner", accounts::user_name(host, stat.uid)?)
        .with("group", accounts::group_name(host, stat.gid)?)
        .with("mode", octal(stat.mode))
        .with("state", state_of(Some(&stat)))
        .with("size", stat.size);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_as_chmod_has_them() {
        for (text, now, dir, then) in [
            ("u=rwx,g=rx,o=", 0o644, false, 0o750),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("u+x,a+X", 0o644, false, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("u+s,g+s,o+t", 0o755, false, 0o7755),
            ("+w", 0o444, false, 0o644),
            ("=r", 0o755, false, 0o444),
            ("u=rw-x+X,go-w", 0o777, true, 0o755),
            ("go-rwx", 0o755, false, 0o700),
        ] {
            assert_eq!(symbolic(text, now, dir, 0o022).unwrap(), then, "{text} on {now:o}");
        }
        assert!(symbolic("u=q", 0, false, 0).is_err());
        assert!(symbolic("z+r", 0, false, 0).is_err());
        assert!(symbolic("rw", 0, false, 0).is_err());
    }

    #[test]
    fn modes_as_playbooks_write_them() {
        assert_eq!(Mode::from_arg(&"0644".into()).unwrap(), Mode::Bits(0o644));
        assert_eq!(Mode::from_arg(&Value::Int(420)).unwrap(), Mode::Bits(0o644));
        assert_eq!(Mode::from_arg(&"preserve".into()).unwrap(), Mode::Preserve);
        assert!(Mode::from_arg(&"99999".into()).is_err());
        assert!(Mode::from_arg(&Value::Int(75555)).is_err());
    }
}
