//! Where an agent lies on its host: private directories, found again by the run's name, and swept when their agent is
//! gone. Nothing here follows a link in a directory that others can write to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

/// The places that may hold our directory, best first: the login user's cache, then directories that every host has,
/// for a home that is full, read-only or absent.
pub fn roots() -> Vec<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")));
    let mut roots: Vec<PathBuf> = cache.into_iter().map(|c| c.join("stx-upgrade")).collect();
    roots.extend(shared_roots());
    roots
}

/// Our own directories below shared ones.
fn shared_roots() -> impl Iterator<Item = PathBuf> {
    let own = format!("stx-upgrade-{}", geteuid());
    ["/var/tmp", "/tmp", "/dev/shm"].into_iter().map(move |d| Path::new(d).join(&own))
}

/// Whether a run's name can be a file name. Names are the journal's; this guards the directory.
pub fn is_run_name(run: &str) -> bool {
    (1..=80).contains(&run.len())
        && !run.starts_with('.')
        && run.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// The directory of a run below a root.
pub fn run_dir(root: &Path, run: &str) -> PathBuf {
    root.join("run").join(run)
}

/// Makes a directory of ours, and the private ones above it, or checks the one that is there: a directory, no link,
/// ours, and writable to nobody else.
pub fn own_dir(dir: &Path, mode: u32) -> io::Result<()> {
    if let Some(parent) = dir.parent()
        && fs::symlink_metadata(parent).is_err()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    let found = fs::symlink_metadata(dir)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a directory of this user; remove it", dir.display()),
        ));
    }
    if found.mode() & 0o7777 != mode {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The directory of a running server; it, the socket and all else in it go when this is dropped.
pub struct Home {
    pub dir: PathBuf,
    /// Held as long as the server lives, so that a sweep can tell the dead from the living.
    _lock: Flock<File>,
}

impl Home {
    /// Takes the run's directory below `root`. `Ok(None)`: another server has it.
    pub fn take(root: &Path, run: &str) -> io::Result<Option<Home>> {
        // 0711: a user we become must reach the lent binary below it; everything else is private by itself.
        own_dir(root, 0o711)?;
        own_dir(&root.join("run"), 0o700)?;
        let dir = run_dir(root, run);
        for _ in 0..5 {
            own_dir(&dir, 0o700)?;
            let Some(lock) = lock(&dir)? else { return Ok(None) };
            // A sweep may have removed it between the two lines above.
            let same = fs::symlink_metadata(&dir).ok().zip(lock.metadata().ok());
            if same.is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino())) {
                for old in fs::read_dir(&dir)? {
                    remove(&old?.path());
                }
                return Ok(Some(Home { dir, _lock: lock }));
            }
        }
        Err(io::Error::other(format!("{} does not stay in place", dir.display())))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        remove(&self.dir);
        // `run` and the root above it, unless they still hold anything.
        for above in self.dir.ancestors().skip(1).take(2) {
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
    }
}

/// The lock of a directory; none if somebody holds it.
fn lock(dir: &Path) -> io::Result<Option<Flock<File>>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY).open(dir)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, e)) => Err(e.into()),
    }
}

/// Removes what agents left that were killed: run directories that nobody locks, lent binaries of dead processes.
pub fn sweep() {
    for root in roots() {
        for entry in fs::read_dir(root.join("run")).into_iter().flatten().flatten() {
            if let Ok(Some(_dead)) = lock(&entry.path()) {
                remove(&entry.path());
            }
        }
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|n| n.strip_prefix("lent-"));
            if pid.is_some_and(|p| p.parse::<u32>().is_ok() && !Path::new("/proc").join(p).exists()) {
                remove(&entry.path());
            }
        }
    }
}

/// A private temporary directory in the first of these places that has room for it, named by this process, so that the
/// next one can sweep what was left by one that was killed.
pub fn temporary(places: impl IntoIterator<Item = PathBuf>) -> io::Result<tempfile::TempDir> {
    let mut last = io::Error::other("no place for a temporary directory");
    for place in places {
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|n| n.strip_prefix("stx-upgrade-pid")?.split('-').next());
            let dead = pid.is_some_and(|p| p.parse::<u32>().is_ok() && !Path::new("/proc").join(p).exists());
            if dead && fs::symlink_metadata(entry.path()).is_ok_and(|m| m.uid() == geteuid().as_raw()) {
                remove(&entry.path());
            }
        }
        let made = tempfile::Builder::new()
            .prefix(&format!("stx-upgrade-pid{}-", std::process::id()))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&place);
        match made {
            Ok(dir) => return Ok(dir),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Removes a file or a tree of ours; what is not there is no error, and nothing is left to do about any other.
pub fn remove(path: &Path) {
    let _ = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
}

/// A copy of this binary that every user can run; it goes when this is dropped.
///
/// The uploaded binary lies in a private directory, and `sudo` closes all descriptors, so neither its path nor an open
/// descriptor reaches an unprivileged user. The copy lies in a directory that others may pass but not read or write.
pub struct Lent {
    pub path: PathBuf,
    dir: PathBuf,
}

impl Lent {
    /// Copies it to the first place from which programs may be run.
    pub fn make() -> io::Result<Lent> {
        let mut last = io::Error::other("no place");
        for root in shared_roots() {
            let dir = root.join(format!("lent-{}", std::process::id()));
            let path = dir.join("stx-upgrade");
            let lent = Lent { path, dir };
            let tried = own_dir(&root, 0o711).and_then(|()| own_dir(&lent.dir, 0o711)).and_then(|()| {
                // A child copies, and not this process: a descriptor open for writing, inherited by whatever another
                // thread starts just then, would make the copy "text file busy".
                succeeds(Command::new("/proc/self/exe").args(["agent", "lend"]).arg(&lent.path))?;
                succeeds(Command::new(&lent.path).args(["agent", "works"]))
            });
            match tried {
                Ok(()) => return Ok(lent),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        remove(&self.dir);
        if let Some(root) = self.dir.parent() {
            // Fails, as it should, while something else of ours lies there.
            let _ = fs::remove_dir(root);
        }
    }
}

fn succeeds(command: &mut Command) -> io::Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the copied binary: {status}"))) }
}

/// The role `agent lend`: copies the running binary.
pub fn lend(to: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o755).open(to)?;
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.set_permissions(fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_taken_once_and_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("stx-upgrade");
        let home = Home::take(&root, "r1").unwrap().unwrap();
        assert_eq!(fs::metadata(&home.dir).unwrap().mode() & 0o777, 0o700);
        assert!(Home::take(&root, "r1").unwrap().is_none());
        drop(home);
        assert!(!root.join("run").exists());
        assert!(Home::take(&root, "r1").unwrap().is_some());
    }

    #[test]
    fn a_link_is_no_directory_of_ours() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("stx-upgrade-0");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(own_dir(&link, 0o711).is_err());
    }

    #[test]
    fn names_of_runs() {
        assert!(is_run_name("20261121-0314-k7"));
        for bad in ["", "..", "a/b", ".x", "a b", "a\n"] {
            assert!(!is_run_name(bad), "{bad:?}");
        }
    }
}
