//! Paths as playbooks write them: `~` and variables are the host's.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::accounts;
use crate::action::host::{FileKind, HostError, Look};

/// A path with `~`, `~user`, `$NAME` and `${NAME}` put in, and made absolute: a relative one starts at the home
/// directory, where a login starts. A variable that is not set stays as it is written; a last slash is kept.
pub fn expand(host: &mut dyn Look, path: &Path) -> Result<PathBuf, HostError> {
    let Some(text) = path.to_str() else { return Ok(path.to_owned()) };
    let text = expand_text(host, text)?;
    if text.starts_with('/') {
        return Ok(text.into());
    }
    let base = host.env("PWD").or_else(|| host.env("HOME")).unwrap_or_else(|| "/".into());
    Ok(Path::new(&base).join(text))
}

/// The same without making it absolute: for what may be no path at all, as an empty text.
pub fn expand_text(host: &mut dyn Look, text: &str) -> Result<String, HostError> {
    let text = variables(host, text);
    let home = || host.env("HOME").unwrap_or_else(|| "/root".into());
    Ok(match text.strip_prefix('~') {
        Some("") => home(),
        Some(rest) if rest.starts_with('/') => home() + rest,
        Some(rest) => {
            let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            match accounts::user(host, user)? {
                Some(user) => user.home + rest,
                None => text,
            }
        }
        None => text,
    })
}

/// A text with `$NAME` and `${NAME}` put in.
pub fn variables(host: &dyn Look, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, end) = match after.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(close) => (&inner[..close], close + 2),
                None => ("", 0),
            },
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match host.env(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..at + 1 + end]),
        }
        rest = &after[end..];
    }
    out + rest
}

/// Where a program of this name lies, in the task's `PATH` or where administrators' programs are.
pub fn program(host: &mut dyn Look, name: &str) -> Result<Option<PathBuf>, HostError> {
    let path = host.env("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    for dir in path.split(':').chain(["/sbin", "/usr/sbin", "/usr/local/sbin"]).filter(|d| d.starts_with('/')) {
        let at = Path::new(dir).join(name);
        if host.stat(&at, true)?.is_some_and(|s| s.kind == FileKind::File && s.mode & 0o111 != 0) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether a path is written with a last slash: it means a directory.
pub fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// The path with something put after its last name: `motd` to `motd.rpmsave`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    while bytes.len() > 1 && bytes.ends_with(b"/") {
        bytes.pop();
    }
    bytes.extend_from_slice(suffix.as_bytes());
    OsString::from_vec(bytes).into()
}

/// The path with every link resolved, as far as it exists; what does not exist stays as it is written.
pub fn real_path(host: &mut dyn Look, path: &Path) -> Result<PathBuf, HostError> {
    let mut at = PathBuf::from("/");
    let mut todo: Vec<PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let link = matches!(host.stat(&next, false)?, Some(s) if s.kind == FileKind::Symlink);
        if !link || links > 40 {
            at = next;
            continue;
        }
        links += 1;
        let target = host.read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        todo.extend(parts(&target));
    }
    Ok(at)
}

fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    let mut parts: Vec<PathBuf> = named.map(|c| PathBuf::from(c.as_os_str())).collect();
    parts.reverse();
    parts
}

/// Paths that a shell pattern (`*`, `?`, `[a-z]`) matches, sorted; a path without one matches itself if it exists.
pub fn glob(host: &mut dyn Look, pattern: &Path) -> Result<Vec<PathBuf>, HostError> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.components() {
        let Component::Normal(name) = part else {
            if part == Component::ParentDir {
                found.iter_mut().for_each(|f| f.push(".."));
            }
            continue;
        };
        let name = name.to_string_lossy();
        let mut next = Vec::new();
        for dir in found {
            if !name.contains(['*', '?', '[']) {
                let path = dir.join(&*name);
                if host.stat(&path, false)?.is_some() {
                    next.push(path);
                }
                continue;
            }
            let is_dir = matches!(host.stat(&dir, true)?, Some(s) if s.kind == FileKind::Directory);
            let names = if is_dir { host.list(&dir).unwrap_or_default() } else { Vec::new() };
            let shown = |n: &&String| !n.starts_with('.') || name.starts_with('.');
            next.extend(names.iter().filter(shown).filter(|n| matches(&name, n)).map(|n| dir.join(n)));
        }
        found = next;
    }
    Ok(found)
}

/// Whether a name matches a shell pattern. A slash is a letter like any other, as in Python's `fnmatch`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // The place after the last star, and where in the name it was tried: on a mismatch the star takes one more letter.
    let (mut p, mut n, mut star) = (0, 0, None);
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        if n == name.len() && p == pattern.len() {
            return true;
        }
        if n < name.len()
            && let Some(next) = one(&pattern, p, name[n])
        {
            (p, n) = (next, n + 1);
            continue;
        }
        match star {
            Some((after, from)) if from < name.len() => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// The place after the pattern's part at `p`, if that part matches a letter.
fn one(pattern: &[char], p: usize, letter: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => {
            let negated = pattern.get(p + 1) == Some(&'!');
            let start = p + 1 + usize::from(negated);
            // A bracket right at the start is a letter of the set.
            let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
            let set = &pattern[start..end];
            let mut i = 0;
            let mut within = false;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == '-' {
                    within |= (set[i]..=set[i + 2]).contains(&letter);
                    i += 3;
                } else {
                    within |= set[i] == letter;
                    i += 1;
                }
            }
            (within != negated).then_some(end + 1)
        }
        c => (*c == letter).then_some(p + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::host::real::{Real, tests::context};

    #[test]
    fn shell_patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.config", false),
            ("a*b*c", "a-b-b-c", true),
            ("[a-c]?", "bx", true),
            ("[!a-c]?", "bx", false),
            ("[]]", "]", true),
            ("*", "", true),
            ("?", "", false),
            ("[a", "[a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn home_and_variables() {
        let mut context = context();
        context.env = vec![("HOME".into(), "/home/me".into()), ("X".into(), "x".into()), ("PWD".into(), "/now".into())];
        let mut host = Real::new(context);
        for (written, meant) in [
            ("~", "/home/me"),
            ("~/a/", "/home/me/a/"),
            ("~root/a", "/root/a"),
            ("~nobody-at-all/a", "/now/~nobody-at-all/a"),
            ("/$X/${X}y/$UNSET_/$", "/x/xy/$UNSET_/$"),
            ("a", "/now/a"),
        ] {
            assert_eq!(expand(&mut host, Path::new(written)).unwrap(), Path::new(meant), "{written}");
        }
    }
}
