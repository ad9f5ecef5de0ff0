//! A lab for the tests of larger systems: comes up, is reached by plain ssh, and is taken down again whatever happens.
//!
//! Needs root and the packages of tools/packages; [`skipped`] says where they are missing.
#![allow(dead_code, reason = "each test uses its part")]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_stx-lab");
pub const PASSWORD: &str = "Li69nux*St8";
/// The floating address of a pair.
pub const FLOATING: &str = "10.10.10.2";

/// Why the lab cannot run here, if it cannot.
fn hindrance() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".into());
    }
    for program in ["/usr/sbin/sshd", "/usr/bin/sudo", "/usr/bin/etcd", "/usr/bin/sshpass", "/usr/bin/psql"] {
        if !Path::new(program).exists() {
            return Some(format!("{program} is missing; tools/setup installs it"));
        }
    }
    let namespaces = Command::new("unshare").args(["-m", "-n", "-p", "true"]).output();
    match namespaces {
        Ok(out) if out.status.success() => None,
        _ => Some("no namespaces here".into()),
    }
}

/// Say on the terminal that a test was skipped, and why: the harness would swallow `eprintln!`.
pub fn skipped(test: &str) -> bool {
    let Some(why) = hindrance() else { return false };
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    true
}

pub struct Lab {
    pub base: PathBuf,
}

impl Lab {
    pub fn up(tag: &str, args: &[&str]) -> Lab {
        let lab = Lab { base: PathBuf::from(format!("/tmp/stxl-{tag}-{}", std::process::id())) };
        let out = lab.lab(&[&["up"], args].concat());
        assert!(out.status.success(), "up: {}", text(&out.stderr));
        lab
    }

    pub fn lab(&self, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .env("STX_LAB_DIR", &self.base)
            .stdin(Stdio::null())
            .output()
            .expect("stx-lab runs")
    }

    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.lab(&["status", "--json"]).stdout).expect("status is JSON")
    }

    /// An ssh to an address; its host key must be the one known from `up` if `strict`.
    pub fn ssh(&self, address: &str, strict: bool) -> Command {
        let known = self.base.join("lab").join("known_hosts");
        let known = if strict { known.display().to_string() } else { "/dev/null".into() };
        let mut command = Command::new("sshpass");
        command.args(["-p", PASSWORD, "ssh", "-F", "none", "-o"]);
        command.arg(format!("ProxyCommand=env STX_LAB_DIR={} {PROGRAM} connect %h %p", self.base.display()));
        command.arg("-o").arg(format!("UserKnownHostsFile={known}"));
        for option in [
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=10",
            "ServerAliveInterval=2",
            "PubkeyAuthentication=no",
            "PreferredAuthentications=password",
            "LogLevel=ERROR",
            if strict { "StrictHostKeyChecking=yes" } else { "StrictHostKeyChecking=no" },
        ] {
            command.args(["-o", option]);
        }
        command.arg(format!("sysadmin@{address}")).env("STX_LAB_DIR", &self.base);
        command
    }

    /// Run a line at an address as sysadmin, whatever its host key.
    pub fn at(&self, address: &str, line: &str, input: &str) -> Output {
        run(self.ssh(address, false), line, input)
    }

    /// Run a line as root at an address; its output.
    #[track_caller]
    pub fn root(&self, address: &str, line: &str) -> String {
        let quoted = line.replace('\'', "'\\''");
        good(&self.at(address, &format!("sudo -S -p '' sh -c '{quoted}'"), &format!("{PASSWORD}\n")))
    }

    /// A `system` command at the floating address; its output.
    #[track_caller]
    pub fn system(&self, line: &str) -> String {
        good(&self.at(FLOATING, &system(line), "yes\nabort\n"))
    }

    /// The error text of a `system` command that must be refused.
    #[track_caller]
    pub fn refused(&self, line: &str) -> String {
        let out = self.at(FLOATING, &system(line), "yes\nabort\n");
        assert_eq!(out.status.code(), Some(1), "{line}: {}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stderr)
    }

    /// Wait until a `system` command's output has a line with all the words.
    #[track_caller]
    pub fn until(&self, line: &str, words: &[&str]) {
        self.wait(&format!("{line}: {words:?}"), || {
            let out = self.at(FLOATING, &system(line), "");
            text(&out.stdout).lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    #[track_caller]
    pub fn wait(&self, what: &str, mut there: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(90);
        while !there() {
            assert!(Instant::now() < end, "waited in vain for {what}\n{}", text(&self.lab(&["status"]).stdout));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Wait until both copies of the controllers' volumes agree.
    #[track_caller]
    pub fn synced(&self) {
        self.wait("the volumes to agree", || {
            let out = self.at(FLOATING, "sudo -S -p '' drbd-overview", &format!("{PASSWORD}\n"));
            let text = text(&out.stdout);
            text.contains("UpToDate/UpToDate") && !text.contains("Inconsistent")
        });
    }

    /// Lock a host and wait for it.
    #[track_caller]
    pub fn lock(&self, host: &str) {
        self.system(&format!("host-lock {host}"));
        self.until("host-list --nowrap", &[host, " locked ", " online "]);
    }

    /// Unlock a host and wait until it is available.
    #[track_caller]
    pub fn unlock(&self, host: &str) {
        self.system(&format!("host-unlock {host}"));
        self.until("host-list --nowrap", &[host, " unlocked ", " available "]);
    }

    /// Ask a host to give up the activity. The address that carries the question moves with it: ssh may be cut off (255)
    /// before it has the end of the answer.
    #[track_caller]
    pub fn ask_swact(&self, from: &str) {
        let out = self.at(FLOATING, &system(&format!("host-swact {from}")), "yes\n");
        assert!(matches!(out.status.code(), Some(0 | 255)), "{}{}", text(&out.stdout), text(&out.stderr));
    }

    /// Swact away from a host and wait until the other one answers for the system.
    #[track_caller]
    pub fn swact(&self, from: &str, to: &str) {
        self.ask_swact(from);
        self.until(&format!("host-show {to}"), &["Controller-Active"]);
        assert_eq!(good(&self.at(FLOATING, "hostname", "")).trim(), to);
    }

    /// How often a change of that name was recorded.
    pub fn changes(&self, name: &str) -> usize {
        let log = self.lab(&["log", "--json"]);
        text(&log.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| entry["kind"] == "change")
            .flat_map(|entry| entry["changes"].as_array().cloned().unwrap_or_default())
            .filter(|change| change.as_str().is_some_and(|c| c == name || c.starts_with(&format!("{name} "))))
            .count()
    }

    /// Bring a pair from release N to `started`.
    #[track_caller]
    pub fn start_upgrade(&self) {
        let to = self.status()["to"].as_str().expect("a release").to_string();
        self.system(&format!("load-import loads/{to}/bootimage.iso loads/{to}/bootimage.sig"));
        self.until("load-list --nowrap", &["imported"]);
        assert!(!self.system("health-query-upgrade").contains("[Fail]"));
        self.system("upgrade-start");
        self.until("upgrade-show", &["| started"]);
    }

    /// Upgrade controller-1 and wait for the volumes.
    #[track_caller]
    pub fn upgrade_controller_1(&self) {
        self.lock("controller-1");
        self.system("host-upgrade controller-1");
        self.until("upgrade-show", &["data-migration-complete"]);
        self.until("host-list --nowrap", &["controller-1", " locked ", " online "]);
        self.unlock("controller-1");
        self.until("upgrade-show", &["upgrading-controllers"]);
        self.synced();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.lab(&["down"]);
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

pub fn run(mut command: Command, line: &str, input: &str) -> Output {
    let mut child = command
        .arg(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ssh runs");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("ssh ends")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn system(line: &str) -> String {
    format!("source /etc/platform/openrc; system {line}")
}

#[track_caller]
pub fn good(out: &Output) -> String {
    assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}
