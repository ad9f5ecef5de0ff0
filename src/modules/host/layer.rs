//! What a check run would have made of a host: a tree of recorded changes over the real one, and the facts supposed.
//!
//! It is shaped like an overlay filesystem. A directory of the layer shows the names of a real directory through, except
//! those that it names itself or knows to be gone; a file may still have the content that the real host has somewhere.
//! Nothing here changes the real host; acting on the layer is `preview`'s.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::real;
use crate::action::host::{FileKind, HostError, Stat};
use crate::model::value::Value;

/// Number of a node of the layer.
pub(super) type Id = u64;

const ROOT: Id = 1;

/// As the kernel: more links than these in one path are a loop.
const LINK_LIMIT: usize = 40;

/// The recorded changes of a check run on one host. It travels as JSON between the agent and its workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer {
    nodes: BTreeMap<Id, Node>,
    next: Id,
    /// Real files with several names that the layer holds, by device and inode: all names show the same node.
    shared: Vec<(u64, u64, Id)>,
    pub(super) supposed: BTreeMap<String, Value>,
    /// Everything was wiped: what is not recorded here does not exist.
    pub(super) wiped: bool,
}

impl Default for Layer {
    fn default() -> Layer {
        let mut layer =
            Layer { nodes: BTreeMap::new(), next: ROOT, shared: Vec::new(), supposed: BTreeMap::new(), wiped: false };
        layer.add(Body::Dir { real: Some("/".into()), entries: BTreeMap::new() }, Over::default());
        layer
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub body: Body,
    pub over: Over,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Body {
    /// Anything but a directory, as it stands at this path of the real host.
    Real(PathBuf),
    Bytes(#[serde(with = "hex::serde")] Vec<u8>),
    /// Large content, kept in this run's private directory.
    Stored {
        path: PathBuf,
        size: u64,
    },
    Symlink(PathBuf),
    /// A directory: what it names itself (none: gone), over the names of a real directory.
    Dir {
        real: Option<PathBuf>,
        entries: BTreeMap<String, Option<Id>>,
    },
}

/// What differs from the real file, or, where there is none, all that is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Over {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub modified: Option<f64>,
    pub accessed: Option<f64>,
    /// Names more or fewer than at first.
    pub links: i64,
}

/// What stands at a path: a node of the layer, or something of the real host that the layer has not touched.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Node(Id),
    Real(PathBuf),
}

/// A path walked from the root: each name with its place, links resolved.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub way: Vec<(String, Place)>,
    /// The names that are missing: none if all is there.
    pub missing: Vec<String>,
}

impl Walk {
    pub fn place(&self) -> Option<&Place> {
        self.missing.is_empty().then(|| self.way.last().map(|(_, p)| p)).flatten()
    }
}

impl Layer {
    pub(super) fn add(&mut self, body: Body, over: Over) -> Id {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, Node { body, over });
        id
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        // Ids come from `add`, and no node is ever taken out.
        &self.nodes[&id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// Walks an absolute path. A missing last name is no error, nor are more where `deep`.
    pub(super) fn walk(&self, path: &Path, follow: bool) -> Result<Walk, HostError> {
        let mut way = vec![(String::new(), Place::Node(ROOT))];
        let mut todo: Vec<String> = names(path)?;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let here = way.last().map_or(Place::Node(ROOT), |(_, p)| p.clone());
            let Some(child) = self.child(&here, &name)? else {
                // Not there: neither is anything below.
                let mut missing = vec![name];
                missing.extend(todo.into_iter().rev());
                return Ok(Walk { way, missing });
            };
            if let Some(target) = self.link(&child).filter(|_| follow || !todo.is_empty()) {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(real::io_error("resolving", path, io::Error::from_raw_os_error(nix::libc::ELOOP)));
                }
                if target.is_absolute() {
                    way.truncate(1);
                }
                todo.extend(names(&target)?);
                continue;
            }
            way.push((name, child));
        }
        Ok(Walk { way, missing: Vec::new() })
    }

    /// What has a name in a directory. A file has nothing below it.
    fn child(&self, dir: &Place, name: &str) -> Result<Option<Place>, HostError> {
        let lower = match dir {
            Place::Real(path) => path,
            Place::Node(id) => match &self.node(*id).body {
                Body::Dir { real, entries } => match (entries.get(name), real) {
                    (Some(entry), _) => return Ok(entry.map(Place::Node)),
                    (None, Some(path)) => path,
                    (None, None) => return Ok(None),
                },
                Body::Real(_) | Body::Bytes(_) | Body::Stored { .. } | Body::Symlink(_) => return Ok(None),
            },
        };
        let path = lower.join(name);
        let Some(stat) = real::stat(&path, false)? else { return Ok(None) };
        let known = self.shared.iter().find(|(d, i, _)| (*d, *i) == (stat.device, stat.inode));
        Ok(Some(known.map_or(Place::Real(path), |(_, _, id)| Place::Node(*id))))
    }

    /// Where a link points; none if it is no link.
    pub(super) fn link(&self, place: &Place) -> Option<PathBuf> {
        match place {
            Place::Real(path) => fs::read_link(path).ok(),
            Place::Node(id) => match &self.node(*id).body {
                Body::Real(path) => fs::read_link(path).ok(),
                Body::Symlink(target) => Some(target.clone()),
                Body::Bytes(_) | Body::Stored { .. } | Body::Dir { .. } => None,
            },
        }
    }

    /// What the layer shows of a place; `None` if it has gone from the real host meanwhile.
    pub(super) fn stat(&self, place: &Place) -> Result<Option<Stat>, HostError> {
        let id = match place {
            Place::Real(path) => return real::stat(path, false),
            Place::Node(id) => *id,
        };
        let Node { body, over } = self.node(id);
        let made = |kind, size| Stat {
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size,
            modified: 0.0,
            accessed: 0.0,
            changed: over.modified.unwrap_or_default(),
            inode: id,
            device: 0,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            blocks: u64::div_ceil(size, 512),
            block_size: 4096,
            device_type: 0,
        };
        let mut stat = match body {
            Body::Real(path) | Body::Dir { real: Some(path), .. } => match real::stat(path, false)? {
                Some(stat) => stat,
                None => return Ok(None),
            },
            Body::Bytes(bytes) => made(FileKind::File, bytes.len() as u64),
            Body::Stored { size, .. } => made(FileKind::File, *size),
            Body::Symlink(target) => made(FileKind::Symlink, target.as_os_str().len() as u64),
            Body::Dir { real: None, .. } => made(FileKind::Directory, 4096),
        };
        if matches!(body, Body::Symlink(_)) {
            stat.mode = 0o777;
        }
        stat.mode = over.mode.unwrap_or(stat.mode);
        stat.uid = over.uid.unwrap_or(stat.uid);
        stat.gid = over.gid.unwrap_or(stat.gid);
        stat.modified = over.modified.unwrap_or(stat.modified);
        stat.accessed = over.accessed.unwrap_or(stat.accessed);
        stat.links = stat.links.saturating_add_signed(over.links);
        Ok(Some(stat))
    }

    /// Names in a directory, sorted.
    pub(super) fn list(&self, place: &Place, path: &Path) -> Result<Vec<String>, HostError> {
        let nothing = BTreeMap::new();
        let (lower, entries) = match place {
            Place::Real(lower) => (Some(lower), &nothing),
            Place::Node(id) => match &self.node(*id).body {
                Body::Dir { real, entries } => (real.as_ref(), entries),
                Body::Real(_) | Body::Bytes(_) | Body::Stored { .. } | Body::Symlink(_) => {
                    return Err(real::io_error("listing", path, io::ErrorKind::NotADirectory.into()));
                }
            },
        };
        let mut names: Vec<String> = entries.iter().filter(|(_, e)| e.is_some()).map(|(n, _)| n.clone()).collect();
        if let Some(lower) = lower {
            for entry in fs::read_dir(lower).map_err(|e| real::io_error("listing", path, e))? {
                let entry = entry.map_err(|e| real::io_error("listing", path, e))?;
                names.extend(entry.file_name().into_string().ok().filter(|n| !entries.contains_key(n)));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes all places of a way into the layer, so that they can be changed there; the node of the last.
    pub(super) fn hold(&mut self, way: &[(String, Place)]) -> Result<Id, HostError> {
        let mut above = ROOT;
        for (name, place) in way {
            // The way may have been walked before another was taken in.
            let held = match &self.node(above).body {
                Body::Dir { entries, .. } => entries.get(name).copied().flatten(),
                Body::Real(_) | Body::Bytes(_) | Body::Stored { .. } | Body::Symlink(_) => None,
            };
            above = match (place, held) {
                (Place::Node(id), _) => *id,
                (Place::Real(_), Some(id)) => id,
                (Place::Real(path), None) => {
                    let stat = real::stat(path, false)?.ok_or_else(|| HostError::NotFound(path.clone()))?;
                    let body = match stat.kind {
                        FileKind::Directory => Body::Dir { real: Some(path.clone()), entries: BTreeMap::new() },
                        _ => Body::Real(path.clone()),
                    };
                    let id = self.add(body, Over::default());
                    if stat.kind != FileKind::Directory && stat.links > 1 {
                        self.shared.push((stat.device, stat.inode, id));
                    }
                    self.enter(above, name, Some(id));
                    id
                }
            };
        }
        Ok(above)
    }

    /// Names something in a directory of the layer, or takes the name away; the directory has changed now.
    pub(super) fn put(&mut self, dir: Id, name: &str, what: Option<Id>) {
        self.enter(dir, name, what);
        if let Some(node) = self.nodes.get_mut(&dir) {
            node.over.modified = Some(now());
        }
    }

    fn enter(&mut self, dir: Id, name: &str, what: Option<Id>) {
        if let Some(Node { body: Body::Dir { real, entries }, .. }) = self.nodes.get_mut(&dir) {
            match (what, real) {
                (None, None) => entries.remove(name),
                (what, _) => entries.insert(name.to_owned(), what),
            };
        }
    }

    /// A new empty directory in a directory of the layer.
    pub(super) fn add_dir(&mut self, above: Id, name: &str, over: Over) -> Id {
        let id = self.add(Body::Dir { real: None, entries: BTreeMap::new() }, over);
        self.put(above, name, Some(id));
        id
    }

    /// The directory that a path names in the layer; what is missing of it is made, as root makes it.
    pub(super) fn hold_dir(&mut self, path: &Path) -> Result<Id, HostError> {
        let walk = self.walk(path, true)?;
        let mut dir = self.hold(&walk.way)?;
        if !matches!(self.node(dir).body, Body::Dir { .. }) {
            return Err(real::io_error("making", path, io::ErrorKind::NotADirectory.into()));
        }
        for name in &walk.missing {
            dir = self.add_dir(dir, name, Over { uid: Some(0), gid: Some(0), ..Over::default() });
        }
        Ok(dir)
    }

    /// Shows a place under another path, over whatever was there.
    fn graft(&mut self, path: &Path, place: Place) -> Result<(), HostError> {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { return Ok(()) };
        let above = self.hold_dir(real::parent(path))?;
        let id = match place {
            Place::Node(id) => id,
            Place::Real(path) => {
                let dir = fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
                let body =
                    if dir { Body::Dir { real: Some(path), entries: BTreeMap::new() } } else { Body::Real(path) };
                self.add(body, Over::default())
            }
        };
        self.put(above, name, Some(id));
        Ok(())
    }

    /// Everything is gone but what lies under these paths; facts supposed so far are forgotten.
    pub(super) fn wipe(&mut self, keep: &[PathBuf]) -> Result<(), HostError> {
        let mut kept = Vec::new();
        for path in keep {
            kept.extend(self.walk(path, false)?.place().map(|p| (path.clone(), p.clone())));
        }
        let root = Body::Dir { real: None, entries: BTreeMap::new() };
        let over = Over { uid: Some(0), gid: Some(0), ..Over::default() };
        self.nodes.insert(ROOT, Node { body: root, over });
        self.supposed.clear();
        self.wiped = true;
        kept.into_iter().try_for_each(|(path, place)| self.graft(&path, place))
    }

    /// A tree of the real host, as it is now, stands at `to`; nothing happens where it has none.
    pub(super) fn restore(&mut self, from: &Path, to: &Path) -> Result<(), HostError> {
        match real::stat(from, false)? {
            Some(_) => self.graft(to, Place::Real(from.to_owned())),
            None => Ok(()),
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The names of a path in reverse, without `.`.
fn names(path: &Path) -> Result<Vec<String>, HostError> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => match name.to_str() {
                Some(name) => names.push(name.to_owned()),
                None => return Err(real::io_error("resolving", path, io::ErrorKind::InvalidFilename.into())),
            },
            Component::ParentDir => names.push("..".to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names.reverse();
    Ok(names)
}
