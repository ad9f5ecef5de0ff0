//! A file that has no name until it is whole: who is killed while it is written leaves nothing behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::O_TMPFILE;
use nix::unistd::linkat;
use tempfile::TempPath;

use super::real::parent;
use crate::modules::file_content::random_name;

/// Begins the names of files that are not whole, or not yet in their place.
const PREFIX: &str = ".stx-upgrade-";

/// The new content of a file, private until it is told otherwise.
pub(crate) struct Part {
    pub file: File,
    target: PathBuf,
    /// Where it has a name before its time, as its file system cannot do without one.
    named: Option<TempPath>,
}

impl Part {
    /// In the directory of the file whose content it will be, so that one step puts it in place.
    pub fn of(target: &Path) -> io::Result<Part> {
        // Which error says that a file system has no such files differs; what else is wrong, the other way finds too.
        Part::unnamed(target).or_else(|_| Part::named(target))
    }

    fn unnamed(target: &Path) -> io::Result<Part> {
        let file =
            OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(O_TMPFILE).open(parent(target))?;
        // Without /proc it could never be given a name.
        let seen = fs::metadata(by_descriptor(&file))?;
        if seen.ino() != file.metadata()?.ino() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Part { file, target: target.to_owned(), named: None })
    }

    /// Opened exclusively, so that no planted link is followed.
    fn named(target: &Path) -> io::Result<Part> {
        let (file, path) = tempfile::Builder::new().prefix(PREFIX).tempfile_in(parent(target))?.into_parts();
        Ok(Part { file, target: target.to_owned(), named: Some(path) })
    }

    /// Puts it in the place of what is there, in one step.
    pub fn put(self) -> io::Result<()> {
        let Part { file, target, named } = self;
        if let Some(path) = named {
            return path.persist(&target).map_err(|e| e.error);
        }
        match link(&file, &target) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        // A link replaces nothing and a rename needs a name, which it has for these two steps.
        let beside = loop {
            let beside = parent(&target).join(format!("{PREFIX}{}", random_name(8)));
            match link(&file, &beside) {
                Ok(()) => break beside,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        };
        fs::rename(&beside, &target).inspect_err(|_| drop(fs::remove_file(&beside)))
    }
}

fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Gives an open file a name.
fn link(file: &File, path: &Path) -> io::Result<()> {
    let open = by_descriptor(file);
    Ok(linkat(AT_FDCWD, open.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn both_ways_put_the_same_in_place() {
        for make in [Part::unnamed, Part::named] {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("f");
            for content in ["new", "another"] {
                let mut part = make(&target).unwrap();
                part.file.write_all(content.as_bytes()).unwrap();
                assert_eq!(part.file.metadata().unwrap().mode() & 0o777, 0o600);
                part.put().unwrap();
                assert_eq!(fs::read_to_string(&target).unwrap(), content);
                assert_eq!(names(dir.path()), ["f"]);
            }
            drop(make(&target).unwrap());
            assert_eq!(names(dir.path()), ["f"]);
        }
    }

    #[test]
    fn it_has_no_name_before_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = Part::of(&dir.path().join("f")).unwrap();
        part.file.write_all(b"half").unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_dead_link_is_replaced_and_a_directory_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (link, sub) = (dir.path().join("link"), dir.path().join("sub"));
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        Part::of(&link).unwrap().put().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        fs::create_dir(&sub).unwrap();
        Part::of(&sub).unwrap().put().unwrap_err();
        assert_eq!(names(dir.path()), ["link", "sub"], "nothing stays beside it");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let why = Part::of(&dir.path().join("no/f")).err().unwrap();
        assert_eq!(why.kind(), io::ErrorKind::NotFound);
    }
}
