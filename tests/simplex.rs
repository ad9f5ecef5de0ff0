//! The simplex upgrade against the lab: to its end, again, in check mode, and killed at every journal record.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A lab of one test's own, taken down at its end.
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// Brings up a simplex system; none, with the reason on standard error, where the machine does not allow it.
    fn up(test: &str) -> Option<Lab> {
        if !nix::unistd::getuid().is_root() {
            eprintln!("SKIPPED {test}: the lab needs root for namespaces and mounts");
            return None;
        }
        // Sockets below it must stay short.
        let dir = tempfile::Builder::new().prefix("sx").tempdir_in("/tmp").unwrap();
        let lab = Lab { dir };
        let out = lab.lab(&["up", "simplex", "--rate", "3000"]);
        assert!(out.status.success(), "stx-lab up: {}", text(&out));
        Some(lab)
    }

    fn lab(&self, args: &[&str]) -> Output {
        Command::new(lab_program()).args(args).env("STX_LAB_DIR", self.dir.path().join("l")).output().unwrap()
    }

    /// stx-upgrade with the lab as its inventory and a state folder of its own.
    fn upgrade(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"));
        let path = format!("{}:{}", lab_program().parent().unwrap().display(), std::env::var("PATH").unwrap());
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("STX_LAB_DIR", self.dir.path().join("l")).env("XDG_STATE_HOME", self.dir.path().join("state"));
        command.env("PATH", path).env("STX_LAB", lab_program()).stdin(std::process::Stdio::null());
        command
    }

    fn play(&self, more: &[&str]) -> Output {
        let mut args = vec!["play", "upgrade.yml", "-i", "inventory/lab"];
        args.extend(more);
        self.upgrade(&args).output().unwrap()
    }

    /// How often the platform made each change that must not be made twice.
    fn changes(&self) -> Vec<(String, usize)> {
        let log = String::from_utf8(self.lab(&["log", "--json"]).stdout).unwrap();
        let mut counts: Vec<(String, usize)> = Vec::new();
        for line in log.lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            if entry["kind"] != "change" {
                continue;
            }
            for name in entry["changes"].as_array().into_iter().flatten().filter_map(|c| c.as_str()) {
                match counts.iter_mut().find(|(n, _)| n == name) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((name.to_owned(), 1)),
                }
            }
        }
        counts
    }

    fn assert_once(&self, changes: &[&str]) {
        let counts = self.changes();
        for change in changes {
            let count = counts.iter().find(|(n, _)| n == change).map_or(0, |(_, c)| *c);
            assert_eq!(count, 1, "{change} happened {count} times; all: {counts:?}");
        }
    }

    fn assert_upgraded(&self) {
        let status = String::from_utf8(self.lab(&["status", "--json"]).stdout).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["software_version"], "21.12", "{status}");
        assert!(status["upgrade"].is_null(), "{status}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.lab(&["down"]);
    }
}

fn lab_program() -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_stx-upgrade"));
    let lab = own.with_file_name("stx-lab");
    assert!(lab.exists(), "{} is not built: cargo build --workspace", lab.display());
    lab
}

fn text(out: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// What a whole upgrade does once, whatever happens to the runner.
const ONCE: &[&str] = &[
    "load-importing",
    "upgrade-starting",
    "backup-made",
    "host-locking controller-0",
    "host-upgrade controller-0",
    "host-wiped controller-0",
    "database-restored",
    "manifest-applied ansible_bootstrap",
];

#[test]
fn to_the_end_and_then_nothing_to_do() {
    let Some(lab) = Lab::up("to_the_end_and_then_nothing_to_do") else { return };
    let out = lab.play(&["--yes"]);
    assert!(out.status.success(), "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(ONCE);
    let again = lab.play(&["--yes"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));
}

#[test]
fn killed_at_every_record() {
    let Some(lab) = Lab::up("killed_at_every_record") else { return };
    let mut kills = 0;
    let mut size = 0;
    let mut after = 2;
    let mut out = lab
        .upgrade(&["play", "upgrade.yml", "-i", "inventory/lab", "--yes"])
        .env("STX_UPGRADE_CRASH_AFTER", "2")
        .output()
        .unwrap();
    while out.status.code().is_none() {
        kills += 1;
        assert!(kills < 2000, "no end in sight: {}", text(&out));
        // A session that got no further is given one record more.
        let now = journal_steps(&lab);
        after = if now > size { 2 } else { after + 1 };
        size = now;
        out = lab.upgrade(&["resume", "--yes"]).env("STX_UPGRADE_CRASH_AFTER", after.to_string()).output().unwrap();
    }
    assert!(out.status.success(), "after {kills} kills: {}", text(&out));
    eprintln!("killed {kills} times");
    assert!(kills > 50, "only {kills} kills");
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

#[test]
fn cut_off_at_every_call() {
    let Some(lab) = Lab::up("cut_off_at_every_call") else { return };
    let mut play = lab.upgrade(&["play", "upgrade.yml", "-i", "inventory/lab", "--yes"]);
    let out = play.env("STX_UPGRADE_CUT_LINKS", "1").output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&out).matches("cut by a test").count() > 50, "{}", text(&out));
    lab.assert_upgraded();
    lab.assert_once(ONCE);
}

#[test]
fn a_check_changes_nothing() {
    let Some(lab) = Lab::up("a_check_changes_nothing") else { return };
    let before = tree(&lab);
    assert!(before.contains("/hieradata/static.yaml "), "{before}");
    let out = lab.play(&["--check", "--diff"]);
    assert!(out.status.success(), "{}", text(&out));
    let said = text(&out);
    assert!(said.contains("+platform::params::software_version: '21.12'"), "{said}");
    assert!(said.contains("tasks decided"), "{said}");
    assert_eq!(tree(&lab), before);
    lab.assert_once(&[]);
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());
}

/// Every file of the host with its permissions, owner and digest, but for what a login itself writes.
fn tree(lab: &Lab) -> String {
    // The machine's own folders that change meanwhile, this one among them, shine through into the host.
    let passed = [
        "/proc",
        "/sys",
        "/dev",
        "/tmp",
        "/run",
        "/var/tmp",
        "/var/log",
        "/var/lib/postgresql",
        "/opt/etcd",
        "/var/lib/sudo",
    ];
    let homes = ["/home/sysadmin/.cache", "/root/.cache", "/root/.cargo", env!("CARGO_MANIFEST_DIR")];
    let prune: Vec<String> = passed.iter().chain(&homes).map(|p| format!("-path {p}")).collect();
    let prune = prune.join(" -o ");
    let line = format!(
        "find / -xdev \\( {prune} \\) -prune -o -newer /etc/build.info -type f -printf '%p %m %U %G ' -exec sha256sum {{}} \\; \
         2>/dev/null | sort"
    );
    String::from_utf8(lab.lab(&["exec", "controller-0", "bash", "-c", &line]).stdout).unwrap()
}

/// How many steps the run's journal has on record as ended.
fn journal_steps(lab: &Lab) -> usize {
    let runs = lab.dir.path().join("state/stx-upgrade/runs");
    let journal = std::fs::read_dir(runs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "journal"));
    let text = std::fs::read_to_string(journal.unwrap()).unwrap();
    text.lines().filter(|l| l.contains("\"finished\"")).count()
}
