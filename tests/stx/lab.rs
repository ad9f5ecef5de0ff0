//! A lab of a test's own, and stx-upgrade run against it as a user would.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A lab of one test's own, taken down at its end.
pub struct Lab {
    pub dir: tempfile::TempDir,
    /// The release to upgrade to.
    pub to: String,
}

impl Lab {
    /// Brings up a simplex system; none, with the reason on standard error, where the machine does not allow it.
    pub fn up(test: &str) -> Option<Lab> {
        Lab::up_as(test, &["simplex"])
    }

    /// Brings up a system of another kind: the words that `stx-lab up` takes.
    pub fn up_as(test: &str, words: &[&str]) -> Option<Lab> {
        if !nix::unistd::getuid().is_root() {
            eprintln!("SKIPPED {test}: the lab needs root for namespaces and mounts");
            return None;
        }
        // Sockets below it must stay short.
        let dir = tempfile::Builder::new().prefix("sx").tempdir_in("/tmp").unwrap();
        let to = words.iter().skip_while(|w| **w != "--to").nth(1).copied().unwrap_or("21.12").to_owned();
        let lab = Lab { dir, to };
        let pace: &[&str] = if words.contains(&"--rate") { &[] } else { &["--rate", "3000"] };
        let out = lab.lab(&[&["up"], words, pace].concat());
        assert!(out.status.success(), "stx-lab up: {}", text(&out));
        Some(lab)
    }

    /// stx-lab, for this lab.
    pub fn lab(&self, args: &[&str]) -> Output {
        self.commands()().args(args).output().unwrap()
    }

    /// Makes commands of stx-lab for this lab.
    pub fn commands(&self) -> impl Fn() -> Command + Send + Sync + 'static {
        let dir = self.dir.path().join("l");
        move || {
            let mut command = Command::new(lab_program());
            command.env("STX_LAB_DIR", &dir);
            command
        }
    }

    /// stx-upgrade with the lab as its inventory and a state folder of its own.
    pub fn upgrade(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"));
        let path = format!("{}:{}", lab_program().parent().unwrap().display(), std::env::var("PATH").unwrap());
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("STX_LAB_DIR", self.dir.path().join("l")).env("XDG_STATE_HOME", self.dir.path().join("state"));
        command.env("PATH", path).env("STX_LAB", lab_program()).stdin(std::process::Stdio::null());
        command
    }

    /// Plays upgrade.yml.
    pub fn play(&self, more: &[&str]) -> Output {
        let mut args = vec!["play", "upgrade.yml", "-i", "inventory/lab"];
        args.extend(more);
        self.upgrade(&args).output().unwrap()
    }

    /// Plays it, killed at each of its journal's records in turn, and resumed each time, to its end.
    pub fn killed(&self, play: &[&str]) {
        let places = self.dir.path().join("killed-at");
        let struck = |mut command: Command| command.env("STX_UPGRADE_CRASH_EACH", &places).output().unwrap();
        let mut out = struck(self.upgrade(play));
        let mut kills = 0;
        while out.status.code().is_none() {
            kills += 1;
            assert!(kills < 10_000, "no end in sight: {}", text(&out));
            out = struck(self.upgrade(&["resume", "--yes"]));
        }
        assert!(out.status.success(), "after {kills} kills: {}", text(&out));
        assert!(kills > 100, "only {kills} kills");
        println!("killed {kills} times");
    }

    /// Plays it, and the link is cut at every call to a host.
    pub fn cut_off(&self, play: &[&str]) {
        let out = self.upgrade(play).env("STX_UPGRADE_CUT_LINKS", "1").output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        assert!(text(&out).matches("cut by a test").count() > 20, "{}", text(&out));
    }

    /// How often the platform made each change that must not be made twice.
    pub fn changes(&self) -> Vec<(String, usize)> {
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

    /// Forgets the host keys that the lab made known: a host that was installed anew has others.
    pub fn forget_key(&self) {
        std::fs::write(self.dir.path().join("l/lab/known_hosts"), "").unwrap();
    }

    /// Until a host that was installed anew, or that reboots, takes commands.
    pub fn wait_for_login(&self) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !text(&self.lab(&["connect", "controller-0", "22"])).contains("SSH-2.0-") {
            assert!(std::time::Instant::now() < until, "the host does not come back");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Each of these changes was made, and once.
    pub fn assert_once(&self, changes: &[&str]) {
        let counts = self.changes();
        for change in changes {
            let count = counts.iter().find(|(n, _)| n == change).map_or(0, |(_, c)| *c);
            assert_eq!(count, 1, "{change} happened {count} times; all: {counts:?}");
        }
    }

    /// The new release runs, and no upgrade is on record.
    pub fn assert_upgraded(&self) {
        let status = String::from_utf8(self.lab(&["status", "--json"]).stdout).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["software_version"], self.to.as_str(), "{status}");
        for host in status["hosts"].as_array().unwrap() {
            assert_eq!(host["release"], self.to.as_str(), "{status}");
            assert_eq!(host["administrative"], "unlocked", "{status}");
        }
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

/// What it said, on both channels.
pub fn text(out: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// What a whole upgrade does once, whatever happens to the runner.
pub const ONCE: &[&str] = &[
    "load-importing",
    "upgrade-starting",
    "backup-made",
    "host-locking controller-0",
    "host-upgrade controller-0",
    "host-wiped controller-0",
    "database-restored",
    "manifest-applied ansible_bootstrap",
];
