//! What a check run's layer takes in, one operation of a file system each. Each refuses what the real host would refuse;
//! what the layer holds, and how a path leads through it, is `layer`'s.

use std::io;
use std::path::Path;

use nix::unistd::{AccessFlags, access, getegid, geteuid};

use super::layer::{Body, Id, Layer, Over, Place, Walk, now};
use super::real::{self, io_error};
use crate::action::host::{Effect, FileKind, HostError, Stat};

pub(super) fn code(doing: &str, path: &Path, errno: i32) -> HostError {
    io_error(doing, path, io::Error::from_raw_os_error(errno))
}

pub(super) fn denied(doing: &str, path: &Path) -> HostError {
    io_error(doing, path, io::ErrorKind::PermissionDenied.into())
}

impl Layer {
    /// What stands at a path; `None` where nothing does.
    pub(super) fn look(&self, path: &Path, follow: bool) -> Result<Option<Stat>, HostError> {
        match self.walk(path, follow)?.place() {
            Some(place) => self.stat(place),
            None => Ok(None),
        }
    }

    pub(super) fn find(&self, path: &Path, follow: bool) -> Result<(Walk, Place, Stat), HostError> {
        let walk = self.walk(path, follow)?;
        let place = walk.place().cloned().ok_or_else(|| HostError::NotFound(path.to_owned()))?;
        let stat = self.stat(&place)?.ok_or_else(|| HostError::NotFound(path.to_owned()))?;
        Ok((walk, place, stat))
    }

    /// The directory in which a path's last name is to be put, and that name. Refuses what the host would.
    pub(super) fn above(&mut self, path: &Path, doing: &str) -> Result<(Walk, String, Stat), HostError> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| denied(doing, path))?;
        let dir = real::parent(path);
        let mut walk = self.walk(dir, true)?;
        if !walk.missing.is_empty() {
            if !self.wiped {
                return Err(HostError::NotFound(path.to_owned()));
            }
            // A fresh installation has its usual directories; which, the layer does not know.
            self.hold_dir(dir)?;
            walk = self.walk(dir, true)?;
        }
        let place = walk.place().cloned().ok_or_else(|| HostError::NotFound(path.to_owned()))?;
        let stat = self.stat(&place)?.ok_or_else(|| HostError::NotFound(path.to_owned()))?;
        if stat.kind != FileKind::Directory {
            return Err(code(doing, path, nix::libc::ENOTDIR));
        }
        let (real, mode) = match &place {
            Place::Real(real) => (Some(real.clone()), None),
            Place::Node(id) => match &self.node(*id).body {
                Body::Dir { real, .. } => (real.clone(), self.node(*id).over.mode),
                Body::Real(_) | Body::Bytes(_) | Body::Stored { .. } | Body::Symlink(_) => (None, None),
            },
        };
        if let (Some(real), None) = (&real, mode)
            && let Err(e) = access(real, AccessFlags::W_OK | AccessFlags::X_OK)
        {
            return Err(io_error(doing, path, e.into()));
        }
        Ok((walk, name.to_owned(), stat))
    }

    /// Takes a name away that something has; `what` is what it names.
    fn unlink(&mut self, dir: &Walk, name: &str, at: &Stat, path: &Path, doing: &str) -> Result<(), HostError> {
        let above = self.stat(dir.place().ok_or_else(|| HostError::NotFound(path.to_owned()))?)?;
        let me = geteuid().as_raw();
        if above.is_some_and(|d| d.mode & 0o1000 != 0 && me != 0 && me != d.uid && me != at.uid) {
            return Err(denied(doing, path));
        }
        let above = self.hold(&dir.way)?;
        if at.kind != FileKind::Directory && at.links > 1 {
            let walk = self.walk(path, false)?;
            let id = self.hold(&walk.way)?;
            if let Some(node) = self.node_mut(id) {
                node.over.links -= 1;
            }
        }
        self.put(above, name, None);
        Ok(())
    }

    /// Owner and mode of something new in a directory.
    pub(super) fn fresh(dir: &Stat, mode: u32) -> Over {
        let gid = if dir.mode & 0o2000 != 0 { dir.gid } else { getegid().as_raw() };
        let now = Some(now());
        Over { mode: Some(mode), uid: Some(geteuid().as_raw()), gid: Some(gid), modified: now, accessed: now, links: 0 }
    }

    /// Puts something new under a name that nothing has.
    pub(super) fn create(&mut self, path: &Path, body: Body, mode: u32, doing: &str) -> Result<(), HostError> {
        let (walk, name, dir) = self.above(path, doing)?;
        if self.look(path, false)?.is_some() {
            return Err(code(doing, path, nix::libc::EEXIST));
        }
        let above = self.hold(&walk.way)?;
        let id = self.add(body, Layer::fresh(&dir, mode));
        self.put(above, &name, Some(id));
        Ok(())
    }

    pub(super) fn write(&mut self, path: &Path, body: Body, mode: Option<u32>) -> Result<(), HostError> {
        let doing = "writing";
        let (walk, name, dir) = self.above(path, doing)?;
        let old = self.look(path, false)?;
        if let Some(old) = &old {
            if old.kind == FileKind::Directory {
                return Err(code(doing, path, nix::libc::EISDIR));
            }
            self.unlink(&walk, &name, old, path, doing)?;
        }
        let regular = old.filter(|s| s.kind == FileKind::File);
        let mode = mode.or(regular.as_ref().map(|s| s.mode)).unwrap_or_else(real::new_file_mode);
        let mut over = Layer::fresh(&dir, mode);
        // Giving a file away is root's; others keep it, as the real host does.
        if let Some(old) = regular.filter(|_| geteuid().is_root()) {
            (over.uid, over.gid) = (Some(old.uid), Some(old.gid));
        }
        let walk = self.walk(real::parent(path), true)?;
        let above = self.hold(&walk.way)?;
        let id = self.add(body, over);
        self.put(above, &name, Some(id));
        Ok(())
    }

    /// The node of a path whose owner this user is, to change what only an owner may.
    pub(super) fn own(&mut self, path: &Path, doing: &str) -> Result<(Id, Stat), HostError> {
        let (walk, _, stat) = self.find(path, false)?;
        let me = geteuid();
        if !me.is_root() && me.as_raw() != stat.uid {
            return Err(denied(doing, path));
        }
        Ok((self.hold(&walk.way)?, stat))
    }

    pub(super) fn change(&mut self, id: Id, change: impl FnOnce(&mut Over)) {
        if let Some(node) = self.node_mut(id) {
            change(&mut node.over);
        }
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), HostError> {
        let (_, _, stat) = self.find(path, false)?;
        let (walk, name, _) = self.above(path, "removing")?;
        self.unlink(&walk, &name, &stat, path, "removing")
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), HostError> {
        let doing = &format!("renaming {} to", from.display());
        let (walk, place, stat) = self.find(from, false)?;
        let (source, source_name, _) = self.above(from, doing)?;
        let (target, target_name, _) = self.above(to, doing)?;
        let is_dir = stat.kind == FileKind::Directory;
        if is_dir && target.way.starts_with(&walk.way) {
            return Err(code(doing, to, nix::libc::EINVAL));
        }
        if self.device(&source)? != self.device(&target)? {
            return Err(code(doing, to, nix::libc::EXDEV));
        }
        // All ways are taken in before a name changes: one of them may lead through the other's link.
        let id = self.hold(&walk.way)?;
        let source_dir = self.hold(&source.way)?;
        let target_dir = self.hold(&target.way)?;
        let old = self.walk(to, false)?;
        if let Some(there) = old.place()
            && let Some(old_stat) = self.stat(there)?
        {
            if *there == Place::Node(id)
                || *there == place
                || (!is_dir && old_stat.inode == stat.inode && old_stat.device == stat.device)
            {
                return Ok(());
            }
            match (is_dir, old_stat.kind == FileKind::Directory) {
                (true, false) => return Err(code(doing, to, nix::libc::ENOTDIR)),
                (false, true) => return Err(code(doing, to, nix::libc::EISDIR)),
                (true, true) if !self.list(there, to)?.is_empty() => return Err(code(doing, to, nix::libc::ENOTEMPTY)),
                (true, true) | (false, false) => {}
            }
            self.unlink(&target, &target_name, &old_stat, to, doing)?;
        }
        self.put(source_dir, &source_name, None);
        self.put(target_dir, &target_name, Some(id));
        Ok(())
    }

    /// The device of the nearest directory on a way that the real host has.
    fn device(&self, walk: &Walk) -> Result<u64, HostError> {
        for (_, place) in walk.way.iter().rev() {
            match self.stat(place)? {
                Some(stat) if stat.device != 0 => return Ok(stat.device),
                _ => {}
            }
        }
        Ok(0)
    }

    pub(super) fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), HostError> {
        let doing = "making the link";
        let (walk, _, stat) = self.find(target, false)?;
        if stat.kind == FileKind::Directory {
            return Err(code(doing, path, nix::libc::EPERM));
        }
        let (_, name, _) = self.above(path, doing)?;
        if self.look(path, false)?.is_some() {
            return Err(code(doing, path, nix::libc::EEXIST));
        }
        let id = self.hold(&walk.way)?;
        self.change(id, |over| over.links += 1);
        let above = self.walk(real::parent(path), true).and_then(|w| self.hold(&w.way))?;
        self.put(above, &name, Some(id));
        Ok(())
    }

    pub(super) fn record(&mut self, effect: &Effect) -> Result<(), HostError> {
        match effect {
            Effect::Suppose(key, value) => {
                self.supposed.insert(key.clone(), value.clone());
                Ok(())
            }
            Effect::Wiped { keep } => self.wipe(keep),
            Effect::Restored { from, to } => self.restore(from, to),
            Effect::File { path, content, mode } => {
                self.hold_dir(real::parent(path))?;
                self.write(path, Body::Bytes(content.clone()), Some(*mode))
            }
            Effect::Dir { path, mode, uid, gid } => {
                let id = self.hold_dir(path)?;
                self.change(id, |over| (over.mode, over.uid, over.gid) = (Some(*mode), Some(*uid), Some(*gid)));
                Ok(())
            }
            Effect::Gone(path) => match self.look(path, false)? {
                Some(_) => self.remove(path),
                None => Ok(()),
            },
        }
    }
}
