//! The host of a check run: reads the real one through the layer of what earlier steps would have done, and records
//! instead of acting. What it refuses, the real host would refuse too, as far as rights and kinds of files tell.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::geteuid;

use super::changes::{code, denied};
use super::layer::{Body, Layer, Over, Place, now};
use super::real::{self, Real, io_error};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, FileKind, HostError, Look, Space, Stat};
use crate::action::host_call::CallContext;
use crate::model::event::Wait;
use crate::model::value::Value;

/// Content up to this size is kept in the layer itself, larger content in a file of the run's private directory.
const INLINE_LIMIT: u64 = 1 << 20;

/// A handle on what a check run shows of this host.
pub struct Preview {
    real: Real,
    layer: Arc<Mutex<Layer>>,
}

impl Preview {
    pub fn new(context: CallContext, layer: Arc<Mutex<Layer>>) -> Preview {
        Preview { real: Real::new(context), layer }
    }

    fn layer(&self) -> MutexGuard<'_, Layer> {
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes content in.
    fn keep(&mut self, content: &mut dyn Read, what: &str) -> Result<Body, HostError> {
        let fail = |source| HostError::Io { what: what.to_owned(), source };
        let mut bytes = Vec::new();
        content.take(INLINE_LIMIT + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 <= INLINE_LIMIT {
            return Ok(Body::Bytes(bytes));
        }
        let file =
            tempfile::Builder::new().prefix("preview-").tempfile_in(&self.real.context().scratch).map_err(fail)?;
        let (mut file, path) = file.keep().map_err(|e| fail(e.error))?;
        let size = io::copy(&mut Cursor::new(bytes).chain(content), &mut file).map_err(fail)?;
        Ok(Body::Stored { path, size })
    }
}

impl Look for Preview {
    fn stat(&mut self, path: &Path, follow: bool) -> Result<Option<Stat>, HostError> {
        match self.layer().look(path, follow) {
            // A link that leads to itself leads nowhere, as on the host itself.
            Err(HostError::Io { source, .. }) if follow && source.raw_os_error() == Some(nix::libc::ELOOP) => Ok(None),
            seen => seen,
        }
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, HostError> {
        let mut bytes = Vec::new();
        self.open(path)?.read_to_end(&mut bytes).map_err(|e| io_error("reading", path, e))?;
        Ok(bytes)
    }

    fn open(&mut self, path: &Path) -> Result<Box<dyn Read + Send>, HostError> {
        let layer = self.layer();
        let (_, place, stat) = layer.find(path, true)?;
        if stat.kind == FileKind::Directory {
            return Err(code("reading", path, nix::libc::EISDIR));
        }
        let from = match &place {
            Place::Real(real) => real,
            Place::Node(id) => match &layer.node(*id).body {
                Body::Real(real) | Body::Stored { path: real, .. } => real,
                Body::Bytes(bytes) => return Ok(Box::new(Cursor::new(bytes.clone()))),
                Body::Symlink(_) | Body::Dir { .. } => return Err(HostError::NotFound(path.to_owned())),
            },
        };
        Ok(Box::new(File::open(from).map_err(|e| io_error("reading", path, e))?))
    }

    fn list(&mut self, dir: &Path) -> Result<Vec<String>, HostError> {
        let layer = self.layer();
        let (_, place, _) = layer.find(dir, true)?;
        layer.list(&place, dir)
    }

    fn read_link(&mut self, path: &Path) -> Result<PathBuf, HostError> {
        let layer = self.layer();
        let (_, place, _) = layer.find(path, false)?;
        layer.link(&place).ok_or_else(|| code("reading the link", path, nix::libc::EINVAL))
    }

    /// The real host's: what earlier steps would have written is not taken off.
    fn space(&mut self, path: &Path) -> Result<Space, HostError> {
        self.real.space(path)
    }

    fn query(&mut self, command: &Command) -> Result<Output, HostError> {
        if self.layer().wiped {
            return Err(not_knowable("say on the host as it will then be", command));
        }
        self.real.query(command)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.real.env(name)
    }

    fn supposed(&self, key: &str) -> Option<Value> {
        self.layer().supposed.get(key).cloned()
    }

    fn heartbeat(&mut self, wait: &Wait) -> Result<(), HostError> {
        self.real.heartbeat(wait)
    }

    fn sleep(&mut self, _time: Duration) -> Result<(), HostError> {
        Err(HostError::NotKnowable("time does not pass in a check run".into()))
    }

    fn time_left(&self) -> Duration {
        self.real.time_left()
    }

    fn blob(&mut self, sha256: &str) -> Result<Box<dyn Read + Send>, HostError> {
        self.real.blob(sha256)
    }

    fn scratch(&mut self) -> Result<PathBuf, HostError> {
        self.real.scratch()
    }
}

fn not_knowable(what: &str, command: &Command) -> HostError {
    let program = command.argv.first().map_or("", String::as_str);
    HostError::NotKnowable(format!("what `{program}` would {what}"))
}

impl Act for Preview {
    fn write(&mut self, path: &Path, content: &mut dyn Read, mode: Option<u32>) -> Result<(), HostError> {
        let body = self.keep(content, &format!("writing {}", path.display()))?;
        self.layer().write(path, body, mode)
    }

    fn write_in_place(&mut self, path: &Path, content: &mut dyn Read) -> Result<(), HostError> {
        let body = self.keep(content, &format!("writing {}", path.display()))?;
        let mut layer = self.layer();
        let Some(stat) = layer.look(path, false)? else { return layer.write(path, body, None) };
        match stat.kind {
            FileKind::Symlink => return Err(code("writing", path, nix::libc::ELOOP)),
            FileKind::Directory => return Err(code("writing", path, nix::libc::EISDIR)),
            // What is written to a device or pipe is not seen again.
            FileKind::Fifo | FileKind::Socket | FileKind::BlockDevice | FileKind::CharDevice => return Ok(()),
            FileKind::File => {}
        }
        let walk = layer.walk(path, false)?;
        let id = layer.hold(&walk.way)?;
        if let Some(node) = layer.node_mut(id) {
            let now = Some(now());
            node.over = Over {
                mode: Some(stat.mode),
                uid: Some(stat.uid),
                gid: Some(stat.gid),
                modified: now,
                accessed: now,
                links: stat.links as i64 - 1,
            };
            node.body = body;
        }
        Ok(())
    }

    fn make_dir(&mut self, path: &Path, mode: Option<u32>) -> Result<(), HostError> {
        let mut layer = self.layer();
        let (walk, name, dir) = layer.above(path, "making the directory")?;
        if layer.look(path, false)?.is_some() {
            return Err(code("making the directory", path, nix::libc::EEXIST));
        }
        let above = layer.hold(&walk.way)?;
        let inherited = 0o777 & !real::umask() | dir.mode & 0o2000;
        layer.add_dir(above, &name, Layer::fresh(&dir, mode.unwrap_or(inherited)));
        Ok(())
    }

    fn make_symlink(&mut self, path: &Path, target: &Path) -> Result<(), HostError> {
        self.layer().create(path, Body::Symlink(target.to_owned()), 0o777, "making the link")
    }

    fn make_hard_link(&mut self, path: &Path, target: &Path) -> Result<(), HostError> {
        self.layer().hard_link(path, target)
    }

    fn remove(&mut self, path: &Path) -> Result<(), HostError> {
        self.layer().remove(path)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), HostError> {
        self.layer().rename(from, to)
    }

    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), HostError> {
        let mut layer = self.layer();
        let (id, stat) = layer.own(path, "setting the mode of")?;
        if stat.kind != FileKind::Symlink {
            layer.change(id, |over| over.mode = Some(mode & 0o7777));
        }
        Ok(())
    }

    fn set_owner(&mut self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), HostError> {
        let mut layer = self.layer();
        let (id, stat) = layer.own(path, "setting the owner of")?;
        if !geteuid().is_root() && uid.is_some_and(|u| u != stat.uid) {
            return Err(denied("setting the owner of", path));
        }
        layer.change(id, |over| {
            over.uid = uid.or(over.uid);
            over.gid = gid.or(over.gid);
            // The kernel takes these from whatever changes hands.
            if stat.kind == FileKind::File {
                let sgid = if stat.mode & 0o010 != 0 { 0o2000 } else { 0 };
                over.mode = Some(stat.mode & !(0o4000 | sgid));
            }
        });
        Ok(())
    }

    fn set_times(&mut self, path: &Path, accessed: Option<f64>, modified: Option<f64>) -> Result<(), HostError> {
        let mut layer = self.layer();
        let (id, _) = layer.own(path, "setting the times of")?;
        layer.change(id, |over| {
            over.accessed = accessed.or(over.accessed);
            over.modified = modified.or(over.modified);
        });
        Ok(())
    }

    fn run(&mut self, command: &Command) -> Result<Output, HostError> {
        Err(not_knowable("do", command))
    }

    fn run_expecting(&mut self, command: &Command, effects: &[Effect]) -> Result<Output, HostError> {
        self.real.context().check(command.argv.first().map_or("", String::as_str))?;
        let mut layer = self.layer();
        effects.iter().try_for_each(|e| layer.record(e))?;
        Ok(Output { supposed: true, ..Output::default() })
    }

    fn outside(&mut self, what: &str) -> Result<(), HostError> {
        Err(HostError::NotKnowable(what.to_owned()))
    }

    fn as_look(&mut self) -> &mut dyn Look {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::host::real::tests::context;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn preview() -> Preview {
        Preview::new(context(), Arc::default())
    }

    /// Everything below a directory, as a handle shows it.
    fn view(host: &mut dyn Look, root: &Path) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        let mut todo = vec![root.to_owned()];
        while let Some(dir) = todo.pop() {
            for name in host.list(&dir).unwrap() {
                let path = dir.join(name);
                let s = host.stat(&path, false).unwrap().unwrap();
                let more = match s.kind {
                    // Not the number of links: a name that goes with its whole tree is not counted off.
                    FileKind::File => format!("{:?} {}", host.read(&path).unwrap(), s.size),
                    FileKind::Symlink => format!("{:?}", host.read_link(&path).unwrap()),
                    _ => String::new(),
                };
                let times = if s.modified == 1e9 { " old" } else { "" };
                let line = format!("{:?} {:o} {}:{}{times} {more}", s.kind, s.mode, s.uid, s.gid);
                seen.insert(path.strip_prefix(root).unwrap().display().to_string(), line);
                if s.kind == FileKind::Directory {
                    todo.push(path);
                }
            }
        }
        seen
    }

    #[derive(Clone, Debug)]
    enum Op {
        Write(String, Vec<u8>, Option<u32>),
        InPlace(String, Vec<u8>),
        MakeDir(String, Option<u32>),
        Symlink(String, String),
        HardLink(String, String),
        Remove(String),
        Rename(String, String),
        Mode(String, u32),
        Owner(String, u32),
        Times(String),
    }

    fn apply(host: &mut dyn Act, root: &Path, op: &Op) -> Result<(), HostError> {
        let at = |p: &String| root.join(p);
        match op {
            Op::Write(p, c, m) => host.write(&at(p), &mut c.as_slice(), *m),
            Op::InPlace(p, c) => host.write_in_place(&at(p), &mut c.as_slice()),
            Op::MakeDir(p, m) => host.make_dir(&at(p), *m),
            Op::Symlink(p, t) => host.make_symlink(&at(p), Path::new(t)),
            Op::HardLink(p, t) => host.make_hard_link(&at(p), &at(t)),
            Op::Remove(p) => host.remove(&at(p)),
            Op::Rename(a, b) => host.rename(&at(a), &at(b)),
            Op::Mode(p, m) => host.set_mode(&at(p), *m),
            Op::Owner(p, u) => host.set_owner(&at(p), Some(*u), Some(*u)),
            Op::Times(p) => host.set_times(&at(p), None, Some(1e9)),
        }
    }

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..4).prop_map(|p| p.join("/"))
    }

    fn op() -> impl Strategy<Value = Op> {
        // Whoever runs this can still look into its directories.
        let mode = prop::sample::select(vec![0o700, 0o744, 0o755, 0o4755, 0o2770]);
        let content = prop::collection::vec(any::<u8>(), 0..4);
        let target = prop_oneof![path(), path().prop_map(|p| format!("../{p}")), Just("loop".to_owned())];
        prop_oneof![
            (path(), content.clone(), prop::option::of(mode.clone())).prop_map(|(p, c, m)| Op::Write(p, c, m)),
            (path(), content).prop_map(|(p, c)| Op::InPlace(p, c)),
            (path(), prop::option::of(mode.clone())).prop_map(|(p, m)| Op::MakeDir(p, m)),
            (path(), target).prop_map(|(p, t)| Op::Symlink(p, t)),
            (path(), path()).prop_map(|(p, t)| Op::HardLink(p, t)),
            path().prop_map(Op::Remove),
            (path(), path()).prop_map(|(a, b)| Op::Rename(a, b)),
            (path(), mode).prop_map(|(p, m)| Op::Mode(p, m)),
            (path(), prop::sample::select(vec![0u32, 12, 34])).prop_map(|(p, u)| Op::Owner(p, u)),
            path().prop_map(Op::Times),
        ]
    }

    /// A small tree with all kinds that the operations meet.
    fn plant(root: &Path) {
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(root.join("d")).unwrap();
        std::fs::write(root.join("a/b/c"), "deep").unwrap();
        std::fs::write(root.join("a/c"), "file").unwrap();
        std::fs::hard_link(root.join("a/c"), root.join("d/c")).unwrap();
        std::os::unix::fs::symlink("a", root.join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("d/a")).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_preview_shows_what_the_real_host_would(ops in prop::collection::vec(op(), 1..25)) {
            let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            plant(one.path());
            plant(two.path());
            let (mut real, mut preview) = (Real::new(context()), preview());
            let untouched = view(&mut real, two.path());
            for (i, op) in ops.iter().enumerate() {
                let did = apply(&mut real, one.path(), op);
                let would = apply(&mut preview, two.path(), op);
                prop_assert_eq!(did.is_ok(), would.is_ok(), "step {}: {:?}: {:?} but {:?}", i, op, did, would);
                prop_assert_eq!(view(&mut real, one.path()), view(&mut preview, two.path()), "after step {}: {:?}", i, op);
            }
            prop_assert_eq!(view(&mut real, two.path()), untouched);
            let json = serde_json::to_string(&*preview.layer()).unwrap();
            let mut again = Preview::new(context(), Arc::new(Mutex::new(serde_json::from_str(&json).unwrap())));
            prop_assert_eq!(view(&mut again, two.path()), view(&mut preview, two.path()));
        }
    }

    #[test]
    fn large_content_is_kept_aside() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let context = CallContext { scratch: scratch.path().to_owned(), ..context() };
        let mut host = Preview::new(context, Arc::default());
        let big = vec![7u8; 3 << 20];
        host.write(&dir.path().join("big"), &mut big.as_slice(), None).unwrap();
        assert_eq!(host.read(&dir.path().join("big")).unwrap(), big);
        assert!(!dir.path().join("big").exists());
    }

    #[test]
    fn a_wipe_leaves_what_is_kept_and_a_restore_brings_back() {
        let dir = tempfile::tempdir().unwrap();
        plant(dir.path());
        let mut host = preview();
        let suppose = Effect::Suppose("service/etcd".into(), "active".into());
        host.run_expecting(&Command::default(), &[suppose]).unwrap();
        assert_eq!(host.supposed("service/etcd"), Some("active".into()));
        let wipe = Effect::Wiped { keep: vec![dir.path().join("d")] };
        host.run_expecting(&Command::new(["reinstall"]), &[wipe]).unwrap();
        assert_eq!(host.supposed("service/etcd"), None);
        assert!(host.stat(&dir.path().join("a"), true).unwrap().is_none());
        assert_eq!(host.read(&dir.path().join("d/c")).unwrap(), b"file");
        assert!(matches!(host.query(&Command::new(["true"])).unwrap_err(), HostError::NotKnowable(_)));
        let back = Effect::Restored { from: dir.path().join("a"), to: "/new/a".into() };
        host.run_expecting(&Command::new(["tar"]), &[back]).unwrap();
        assert_eq!(host.read(Path::new("/new/a/b/c")).unwrap(), b"deep");
        host.write(Path::new("/etc/fresh"), &mut &b"x"[..], None).unwrap();
        assert_eq!(host.read(Path::new("/etc/fresh")).unwrap(), b"x");
        assert!(matches!(host.run(&Command::new(["true"])).unwrap_err(), HostError::NotKnowable(_)));
    }
}
