//! What a trial is made on: a lab of its own, and a state folder of its own on a small disk of its own.

use super::Args;
use crate::fabric::Places;
use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The disk of the journal: enough for any run, little to fill.
const STATE_DISK: &str = "size=32m,mode=700";

/// A lab and a state folder; gone with the value.
pub struct Bed {
    pub dir: PathBuf,
    program: PathBuf,
    playbook: PathBuf,
    play: Vec<String>,
    pub hosts: Vec<String>,
}

impl Bed {
    /// Brings it up; `name` keeps those of one process apart.
    pub fn up(args: &Args, program: &Path, playbook: &Path, name: &str) -> Result<Bed> {
        let dir = PathBuf::from(format!("/var/tmp/stxc-{}-{name}", std::process::id()));
        if dir.exists() {
            bail!("{} is in the way", dir.display());
        }
        std::fs::create_dir_all(dir.join("state"))?;
        mount(Some("stx-lab"), &dir.join("state"), Some("tmpfs"), MsFlags::empty(), Some(STATE_DISK))
            .context("cannot mount the disk of the journal")?;
        let mut bed =
            Bed { dir, program: program.into(), playbook: playbook.into(), play: args.play.clone(), hosts: Vec::new() };
        let inventory = format!(
            "#!/bin/sh\nSTX_LAB_DIR={} exec {} inventory \"$@\"\n",
            bed.dir.join("l").display(),
            std::env::current_exe()?.display()
        );
        std::fs::write(bed.inventory(), inventory)?;
        std::fs::set_permissions(bed.inventory(), std::fs::Permissions::from_mode(0o755))?;
        let out = bed.lab(&["up", &args.topology, "--rate", &args.rate.to_string()])?;
        if !out.status.success() {
            bail!("{}", String::from_utf8_lossy(&out.stderr).trim());
        }
        let status: Value = serde_json::from_slice(&bed.lab(&["status", "--json"])?.stdout)?;
        let names = status["hosts"].as_array().into_iter().flatten().filter_map(|host| host["name"].as_str());
        bed.hosts = names.map(str::to_string).collect();
        Ok(bed)
    }

    fn inventory(&self) -> PathBuf {
        self.dir.join("inventory")
    }

    /// Which trial this is, for messages.
    pub fn title(&self) -> String {
        self.playbook.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The lab's own command.
    pub fn lab(&self, words: &[&str]) -> Result<Output> {
        Command::new("/proc/self/exe")
            .args(words)
            .env("STX_LAB_DIR", self.dir.join("l"))
            .stdin(Stdio::null())
            .output()
            .context("cannot run stx-lab")
    }

    /// A shell line on a host as root; what it printed.
    pub fn on(&self, host: &str, script: &str) -> String {
        let out = self.lab(&["exec", host, "--", "sh", "-c", script]);
        out.map_or(String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Where the runner put its agent: host and path.
    pub fn agents(&self) -> Vec<(String, String)> {
        let found = |host: &String| self.on(host, "find /home -path '*/.cache/stx-upgrade/*/stx-upgrade' -type f");
        self.hosts
            .iter()
            .flat_map(|host| found(host).lines().map(|path| (host.clone(), path.into())).collect::<Vec<_>>())
            .collect()
    }

    /// Puts the agent there beforehand, as on hosts that were worked on before: most of a trial would be its way to them.
    pub fn place(&self, agents: &[(String, String)]) -> Result<()> {
        const OWNED: &str = "chmod -R go= \"${1%/.cache/*}/.cache\"; \
                             chown -R --reference \"${1%/.cache/*}\" \"${1%/.cache/*}/.cache\"";
        for (host, path) in agents {
            // Through the layer that the host writes into; it has not looked there yet.
            let there = Places { dir: self.dir.join("l/lab") }.upper(host).join(path.trim_start_matches('/'));
            std::fs::create_dir_all(there.parent().context("the agent lies in no folder")?)?;
            std::fs::copy(&self.program, &there).with_context(|| format!("cannot place the agent on {host}"))?;
            self.lab(&["exec", host, "--", "sh", "-c", OWNED, "sh", path])?;
        }
        Ok(())
    }

    /// `stx-upgrade` with the trial's state folder.
    pub fn runner(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("XDG_STATE_HOME", self.dir.join("state")).stdin(Stdio::null());
        command.env("HOME", self.dir.join("home")).env("STX_UPGRADE_LINK_TIMEOUT", "60");
        // As if it were run in its own folder.
        let settings = self.playbook.with_file_name("ansible.cfg");
        if settings.is_file() {
            command.env("ANSIBLE_CONFIG", settings);
        }
        // What a playbook saves beside itself (archives) is gone with the trial.
        command.current_dir(&self.dir);
        command
    }

    /// The play itself.
    pub fn play(&self) -> Command {
        let mut command = self.runner(&["play", "--yes", "--output", "json", "-i"]);
        command.arg(self.inventory()).arg(&self.playbook).args(&self.play);
        command
    }

    /// The run's journal, once there is one.
    pub fn journal(&self) -> Option<PathBuf> {
        let runs = self.dir.join("state/stx-upgrade/runs");
        let mut files = std::fs::read_dir(runs).ok()?.flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "journal"))
    }

    /// Every change of the platform by name, but for those that only say that a machine is up or down.
    pub fn changes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let log = self.lab(&["log", "--json"]).map(|out| out.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&log).lines() {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            let changes = entry["changes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if entry["kind"] != "change" {
                continue;
            }
            for change in changes.filter(|name| {
                !["host-up", "host-down", "host-enabled", "unit-", "reboot"].iter().any(|p| name.starts_with(p))
            }) {
                *counts.entry(change.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Puts what tells of the trial into the folder for logs.
    pub fn keep(&self, logs: &Path) -> Result<PathBuf> {
        let mut number = 1;
        while logs.join(format!("{number:03}")).exists() {
            number += 1;
        }
        let to = logs.join(format!("{number:03}"));
        std::fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
        let files = std::fs::read_dir(&self.dir)?.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        for file in files.chain(self.journal()).chain([self.dir.join("l/lab/audit.jsonl")]) {
            if let Some(name) = file.file_name() {
                let _ = std::fs::copy(&file, to.join(name));
            }
        }
        Ok(to)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.lab(&["down"]);
        let _ = umount2(&self.dir.join("state"), MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
