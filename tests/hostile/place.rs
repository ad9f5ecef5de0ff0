//! A folder to play in, and what a run in it said.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub struct Place(pub tempfile::TempDir);

pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Place {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self
    }

    pub fn program(&self, name: &str, text: &str) -> &Place {
        self.write(name, text);
        fs::set_permissions(self.at(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    /// The program with its state, caches and home in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.at("state")).env("XDG_CACHE_HOME", self.at("cache"));
        command.env_remove("ANSIBLE_INVENTORY");
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        Said { code: status.code(), text }
    }

    /// Plays these tasks on this machine.
    pub fn tasks(&self, tasks: &str, more: &[&str]) -> Said {
        let indented: String = tasks.lines().map(|l| format!("    {l}\n")).collect();
        self.write("site.yml", format!("- hosts: localhost\n  gather_facts: false\n  tasks:\n{indented}"));
        self.run(&[&["play", "site.yml", "-i", "localhost,", "-c", "local"], more].concat())
    }
}

impl Said {
    #[track_caller]
    pub fn code(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Said {
        assert!(self.text.contains(words), "`{words}` is not in\n{}", self.text);
        self
    }
}
