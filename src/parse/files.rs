//! Where texts come from: the disk, or the set built into the binary. Knows nothing of YAML.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Paths of the built-in set start with this: `built-in:/playbooks/upgrade.yml`.
pub const BUILT_IN: &str = "built-in:";

/// Files by path, wherever they are.
pub trait Files: Send + Sync {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    fn is_file(&self, path: &Path) -> bool;
    fn is_dir(&self, path: &Path) -> bool;
    /// The names in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether it may be run as a program.
    fn is_executable(&self, path: &Path) -> bool;

    fn exists(&self, path: &Path) -> bool {
        self.is_file(path) || self.is_dir(path)
    }

    /// How messages name a path: as the user would type it from where he stands.
    fn shown(&self, path: &Path) -> String {
        let tidy = tidy(path);
        let shown = std::env::current_dir().ok().and_then(|here| tidy.strip_prefix(here).ok().map(Path::to_owned));
        shown.filter(|p| !p.as_os_str().is_empty()).unwrap_or(tidy).display().to_string()
    }
}

/// A path without `.` and, where a name stands before it, without `..`.
pub fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            // A name that is not UTF-8 cannot be written in a playbook.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn is_executable(&self, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    }
}

/// Files that stand in the binary: path from the root of the set, and bytes.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn(pub &'static [(&'static str, &'static [u8])]);

impl BuiltIn {
    /// The path in the set, if it is one of ours.
    fn inner(path: &Path) -> Option<String> {
        let tidy = tidy(path);
        let rest = tidy.strip_prefix(BUILT_IN).ok()?;
        Some(rest.to_str()?.to_owned())
    }

    fn find(&self, path: &Path) -> Option<&'static [u8]> {
        let inner = BuiltIn::inner(path)?;
        self.0.iter().find(|(name, _)| *name == inner).map(|(_, bytes)| *bytes)
    }

    fn below(&self, dir: &Path) -> BTreeSet<String> {
        let Some(inner) = BuiltIn::inner(dir) else { return BTreeSet::new() };
        let prefix = if inner.is_empty() { inner } else { format!("{inner}/") };
        let rest = self.0.iter().filter_map(|(name, _)| name.strip_prefix(prefix.as_str()));
        rest.map(|r| r.split('/').next().unwrap_or(r).to_owned()).collect()
    }
}

impl Files for BuiltIn {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.find(path).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.find(path).is_some()
    }

    fn is_dir(&self, path: &Path) -> bool {
        !self.is_file(path) && !self.below(path).is_empty()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.below(dir);
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names.into_iter().collect()) }
    }

    fn is_executable(&self, _: &Path) -> bool {
        false
    }
}

/// The disk, and for paths that start with `built-in:` the built-in set.
#[derive(Clone, Copy, Debug)]
pub struct Layered(pub BuiltIn);

impl Layered {
    fn at(&self, path: &Path) -> &dyn Files {
        if path.starts_with(BUILT_IN) { &self.0 } else { &Disk }
    }
}

impl Files for Layered {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.at(path).read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.at(path).is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.at(path).is_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.at(dir).list(dir)
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.at(path).is_executable(path)
    }
}

/// The same files, whose names are told whole, as Ansible tells them.
#[derive(Clone, Copy, Debug)]
pub struct Whole(pub Layered);

impl Files for Whole {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0.is_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.0.is_executable(path)
    }

    fn shown(&self, path: &Path) -> String {
        if path.starts_with(BUILT_IN) {
            return self.0.shown(path);
        }
        tidy(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned())).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: BuiltIn =
        BuiltIn(&[("playbooks/upgrade.yml", b"[]"), ("roles/a/tasks/main.yml", b""), ("roles/b/x", b"")]);

    #[test]
    fn the_built_in_set_is_a_tree() {
        let files = Layered(SET);
        let at = |p: &str| PathBuf::from(format!("{BUILT_IN}/{p}"));
        assert_eq!(files.read(&at("playbooks/upgrade.yml")).unwrap(), b"[]");
        assert_eq!(files.list(&at("roles")).unwrap(), ["a", "b"]);
        assert!(files.is_dir(&at("playbooks/../roles/a")));
        assert!(files.is_dir(&PathBuf::from(BUILT_IN)));
        assert!(!files.exists(&at("roles/c")));
        assert!(files.exists(Path::new("Cargo.toml")));
    }

    #[test]
    fn paths_are_shown_without_detours() {
        assert_eq!(tidy(Path::new("./playbooks/../roles/./a")), Path::new("roles/a"));
        assert_eq!(tidy(Path::new("../a")), Path::new("../a"));
        assert_eq!(Disk.shown(&std::env::current_dir().unwrap().join("x/../a.yml")), "a.yml");
    }
}
