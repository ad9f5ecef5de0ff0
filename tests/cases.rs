//! Runs every module case in `tests/cases/MODULE/*.yml`: one situation each, on the real host in a directory of its own,
//! a second time (it must find nothing to do), and as a check run (same decision, nothing touched).
//!
//! A case says what is there before (`before`, `run`), the arguments (`@` is the directory), what is expected of the
//! result (`expect`: given keys only; `*` is anything), and of the files after it (`after`). `again: changed` and
//! `again: skip`, `check: not_knowable` and `check: skip` say where a module is not as expected by nature.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use stx_upgrade::action::host::{Act, FileKind};
use stx_upgrade::action::host_call::{CallContext, Cancel, Hosts, Progress};
use stx_upgrade::model::event::Wait;
use stx_upgrade::model::outcome::{Diff, Outcome, Status};
use stx_upgrade::model::value::{Dict, Value};
use stx_upgrade::modules::{self, host::ThisHost, host::layer::Layer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The module, if not the folder's name.
    module: Option<String>,
    #[serde(default)]
    before: Vec<Entry>,
    /// Shell lines run in the directory before.
    #[serde(default)]
    run: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Only where this user is root, or only where not.
    root: Option<bool>,
    /// Programs without which the case says nothing.
    #[serde(default)]
    needs: Vec<String>,
    args: Value,
    expect: Value,
    /// Text that the differences shown must hold.
    diff: Option<String>,
    #[serde(default)]
    after: Vec<Entry>,
    #[serde(default)]
    again: Again,
    #[serde(default)]
    check: Check,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    content: Option<String>,
    #[serde(default)]
    dir: bool,
    link: Option<String>,
    mode: Option<String>,
    #[serde(default)]
    absent: bool,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Again {
    #[default]
    Unchanged,
    Changed,
    Skip,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Check {
    #[default]
    Same,
    NotKnowable,
    Skip,
}

struct Silent;
impl Progress for Silent {
    fn waiting(&self, _: &Wait) {}
    fn output(&self, _: &str) {}
}

fn context(case: &Case, dir: &Path, scratch: &Path) -> CallContext {
    let limit = Duration::from_secs(30);
    let at = dir.display().to_string();
    CallContext {
        env: case.env.iter().map(|(k, v)| (k.clone(), v.replace('@', &at))).collect(),
        deadline: Instant::now() + limit,
        limit,
        cancel: Cancel::default(),
        progress: Arc::new(Silent),
        blobs: scratch.to_owned(),
        scratch: scratch.to_owned(),
    }
}

/// The text with `@` put in; `@@` is an `@`.
fn put_in(value: &Value, dir: &str) -> Value {
    let text = |t: &str| t.replace("@@", "\0").replace('@', dir).replace('\0', "@");
    match value {
        Value::Str(s) => Value::str(text(s)),
        Value::List(l) => Value::list(l.iter().map(|v| put_in(v, dir)).collect()),
        Value::Dict(d) => Value::dict(d.iter().map(|(k, v)| (text(&k.to_string()).into(), put_in(v, dir))).collect()),
        other => other.clone(),
    }
}

fn plant(case: &Case, dir: &Path) {
    let at = dir.display().to_string();
    for entry in &case.before {
        let path = dir.join(&entry.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        if entry.dir {
            fs::create_dir_all(&path).unwrap();
        } else if let Some(target) = &entry.link {
            std::os::unix::fs::symlink(target.replace('@', &at), &path).unwrap();
        } else {
            fs::write(&path, entry.content.clone().unwrap_or_default()).unwrap();
        }
        let usual = if entry.dir { "0755" } else { "0644" };
        if entry.link.is_none() {
            let mode = u32::from_str_radix(entry.mode.as_deref().unwrap_or(usual), 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    for line in &case.run {
        let done = std::process::Command::new("/bin/sh").args(["-ec", line]).current_dir(dir).status().unwrap();
        assert!(done.success(), "`{line}` failed");
    }
}

/// Every path below a directory with its mode, owner, time and content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        let meta = fs::symlink_metadata(&at).unwrap();
        let content = if meta.is_symlink() {
            format!("{:?}", fs::read_link(&at).unwrap())
        } else if meta.is_file() {
            format!("{:?}", fs::read(&at).unwrap())
        } else {
            String::new()
        };
        let line =
            format!("{:o} {}:{} {}.{} {content}", meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
        seen.insert(at.clone(), line);
        if meta.is_dir() {
            todo.extend(fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()));
        }
    }
    seen
}

/// Whether what is expected is there: dictionaries by the keys given, `*` for anything.
fn holds(expected: &Value, found: Option<&Value>, at: &str) -> Result<(), String> {
    let miss = || Err(format!("{at}: expected {expected}, found {}", found.map_or("nothing".into(), Value::to_string)));
    match (expected, found) {
        (Value::Str(s), Some(_)) if s.as_ref() == "*" => Ok(()),
        (Value::Null, None | Some(Value::Null)) => Ok(()),
        (Value::Dict(e), Some(Value::Dict(f))) => {
            e.iter().try_for_each(|(k, v)| holds(v, f.get(k), &format!("{at}.{k}")))
        }
        (Value::List(e), Some(Value::List(f))) if e.len() == f.len() => {
            e.iter().zip(f.iter()).enumerate().try_for_each(|(i, (e, f))| holds(e, Some(f), &format!("{at}[{i}]")))
        }
        (e, Some(f)) if e == f => Ok(()),
        _ => miss(),
    }
}

/// Whether the files are as the case says, through a handle: the real host's or the preview's.
fn files(case: &Case, dir: &Path, host: &mut dyn Act) -> Result<(), String> {
    for entry in &case.after {
        let path = dir.join(&entry.path);
        let at = entry.path.clone();
        let stat = host.stat(&path, false).map_err(|e| e.to_string())?;
        let Some(stat) = stat.filter(|_| !entry.absent) else {
            match (entry.absent, host.stat(&path, false).map_err(|e| e.to_string())?) {
                (true, None) => continue,
                (true, Some(_)) => return Err(format!("{at}: is there")),
                (false, _) => return Err(format!("{at}: is not there")),
            }
        };
        if let Some(content) = &entry.content {
            let found = String::from_utf8_lossy(&host.read(&path).map_err(|e| e.to_string())?).into_owned();
            let expected = content.replace("@@", "\0").replace('@', &dir.display().to_string()).replace('\0', "@");
            if found != expected {
                return Err(format!("{at}: expected content {expected:?}, found {found:?}"));
            }
        }
        if let Some(link) = &entry.link {
            let found = host.read_link(&path).map_err(|e| e.to_string())?;
            if found != Path::new(&link.replace('@', &dir.display().to_string())) {
                return Err(format!("{at}: links to {}", found.display()));
            }
        }
        if entry.dir && stat.kind != FileKind::Directory {
            return Err(format!("{at}: no directory"));
        }
        if let Some(mode) = &entry.mode
            && u32::from_str_radix(mode, 8).unwrap() != stat.mode
        {
            return Err(format!("{at}: expected mode {mode}, found {:o}", stat.mode));
        }
    }
    Ok(())
}

fn call(module: &str, args: &Dict, host: &mut dyn Act) -> Result<Outcome, String> {
    let entry = modules::find(module).ok_or(format!("no module `{module}`"))?;
    (entry.run)(args, host).map_err(|e| e.to_string())
}

fn run_case(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let case: Case = serde_saphyr::from_str(&text).map_err(|e| e.to_string())?;
    if case.root.is_some_and(|r| r != nix::unistd::geteuid().is_root()) {
        return Ok(());
    }
    let missing =
        |p: &String| !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|d| d.join(p).exists());
    if case.needs.iter().any(missing) {
        return Ok(());
    }
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let module = case.module.clone().unwrap_or(folder);
    let temp = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let dir = &fs::canonicalize(temp.path()).unwrap();
    plant(&case, dir);
    let at = dir.display().to_string();
    let args = put_in(&case.args, &at).as_dict().cloned().ok_or("`args` is no dictionary")?;
    let expect = put_in(&case.expect, &at);
    let judge = |outcome: &Outcome| holds(&expect, Some(&Value::dict(outcome.registered())), "result");

    if case.check != Check::Skip {
        let before = snapshot(dir);
        let layer = Arc::new(Mutex::new(Layer::default()));
        let mut host = ThisHost.preview(context(&case, dir, scratch.path()), layer);
        let outcome = call(&module, &args, &mut *host)?;
        match (&outcome.status, &case.check) {
            (Status::NotKnowable(_), Check::NotKnowable) => {}
            (_, Check::NotKnowable) => return Err(format!("check: knowable after all: {outcome:?}")),
            _ => {
                judge(&outcome).map_err(|e| format!("check: {e}\n{outcome:?}"))?;
                files(&case, dir, &mut *host).map_err(|e| format!("check: {e}"))?;
            }
        }
        if snapshot(dir) != before {
            return Err("check: it touched the host".into());
        }
    }
    let mut host = ThisHost.real(context(&case, dir, scratch.path()));
    let outcome = call(&module, &args, &mut *host)?;
    judge(&outcome).map_err(|e| format!("{e}\n{outcome:?}"))?;
    files(&case, dir, &mut *host)?;
    if let Some(expected) = &case.diff {
        let expected = expected.replace("@@", "\0").replace('@', &at).replace('\0', "@");
        let shown: String = outcome.diff.iter().map(shown).collect();
        if !shown.contains(&expected) {
            return Err(format!("the difference does not hold {expected:?}:\n{shown}"));
        }
    }
    let failed = outcome.is_failed();
    if case.again != Again::Skip && !failed {
        let outcome = call(&module, &args, &mut *host)?;
        if outcome.is_failed() || outcome.changed != (case.again == Again::Changed) {
            return Err(format!("second run: {outcome:?}"));
        }
        files(&case, dir, &mut *host).map_err(|e| format!("second run: {e}"))?;
    }
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    if !left.is_empty() {
        return Err(format!("it left {left:?} behind"));
    }
    Ok(())
}

fn shown(diff: &Diff) -> String {
    match diff {
        Diff::Text { before_name, after_name, before, after } => format!(
            "{}",
            similar::TextDiff::from_lines(before.as_str(), after.as_str())
                .unified_diff()
                .header(before_name, after_name)
        ),
        Diff::Prepared(text) => text.clone(),
    }
}

#[test]
fn every_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let only = std::env::var("CASE").unwrap_or_default();
    let mut failed = Vec::new();
    let mut count = 0;
    let mut folders: Vec<_> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    // The cases of templates and of StarlingX modules have runners of their own.
    folders.retain(|f| {
        let name = f.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name != "templates" && !name.starts_with("stx_")
    });
    folders.sort();
    for folder in folders {
        let mut cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        cases.sort();
        for case in cases.iter().filter(|c| c.extension().is_some_and(|x| x == "yml")) {
            let name = case.strip_prefix(&root).unwrap().display().to_string();
            if !name.contains(&only) {
                continue;
            }
            count += 1;
            if let Err(why) = run_case(case) {
                failed.push(format!("{name}: {why}"));
            }
        }
    }
    assert!(count > 0, "no case matches `{only}`");
    assert!(failed.is_empty(), "{} of {count} cases failed:\n\n{}\n", failed.len(), failed.join("\n\n"));
}

/// A control: a case whose expectation is wrong must fail, or the others prove nothing.
#[test]
fn a_wrong_case_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ping");
    fs::create_dir(&folder).unwrap();
    let case = folder.join("wrong.yml");
    fs::write(&case, "args: {}\nexpect: {ping: pong, changed: true}\n").unwrap();
    assert!(run_case(&case).unwrap_err().contains("result.changed"));
    fs::write(&case, "args: {}\nexpect: {ping: pong}\nafter: [{path: made, content: x}]\n").unwrap();
    assert!(run_case(&case).unwrap_err().contains("is not there"));
}
