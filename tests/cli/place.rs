//! A folder of a test's own, stx-upgrade run in it, and what that said.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// A command line in this place, without terminal or input.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env_remove("ANSIBLE_INVENTORY")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run(self.command(args).output().unwrap())
    }

    /// Plays `site.yml` with this text on this machine.
    pub fn play(&self, text: &str) -> Run {
        self.write("site.yml", text);
        self.run(&["play", "site.yml", "-i", "localhost,", "-c", "local"])
    }

    /// The journal's text so far, empty before there is one.
    pub fn read_state(&self) -> String {
        let runs = self.dir.path().join("state/stx-upgrade/runs");
        let Ok(entries) = fs::read_dir(runs) else { return String::new() };
        entries
            .flatten()
            .filter_map(|e| fs::read(e.path()).ok())
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .collect()
    }

    pub fn journal(&self) -> PathBuf {
        let runs = self.dir.path().join("state/stx-upgrade/runs");
        let mut found: Vec<PathBuf> = fs::read_dir(runs).unwrap().map(|e| e.unwrap().path()).collect();
        found.retain(|p| p.extension().is_some_and(|e| e == "journal"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

pub struct Run(pub Output);

impl Run {
    #[track_caller]
    pub fn code(self, code: i32) -> Run {
        assert_eq!(self.0.status.code(), Some(code), "{}", self.text());
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Run {
        assert!(self.text().contains(words), "`{words}` is not in\n{}", self.text());
        self
    }

    #[track_caller]
    pub fn hides(self, words: &str) -> Run {
        assert!(!self.text().contains(words), "`{words}` is in\n{}", self.text());
        self
    }

    pub fn text(&self) -> String {
        format!("{}\n{}", String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr))
    }
}

pub const HEAD: &str = "- hosts: localhost\n  gather_facts: false\n  tasks:\n";
