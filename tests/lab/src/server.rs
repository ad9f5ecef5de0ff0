//! The lab itself: one process that owns the state, the machines and the sockets.

pub mod control;
pub mod effects;

use crate::fabric::machine::{Machines, News};
use crate::fabric::{Places, contents, data, layers, net, put, run};
use crate::host::client::{Message, Said};
use crate::shell::{self, Invocation, Reply};
use crate::system::seed::{self, Wish};
use crate::system::{System, clock, stamp};
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What runs.
pub struct Lab {
    pub places: Places,
    pub machines: Machines,
    system: Mutex<System>,
    audit: Mutex<std::fs::File>,
}

/// Be the lab's server: first process of the lab's own namespaces.
pub fn main(dir: PathBuf, wish: &Wish) -> Result<()> {
    let _ = nix::unistd::setsid();
    let places = Places { dir };
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot keep the lab's mounts private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>).context("cannot mount /proc")?;
    net::bridge().context("cannot build the lab's network")?;
    let (system, fresh) = match std::fs::read(places.state()) {
        Ok(bytes) => (serde_json::from_slice::<System>(&bytes).context("the lab's state.json is not readable")?, false),
        Err(_) => (seed::system(wish), true),
    };
    layers::build(&places, &[&system.from_release, &system.to_release])?;
    let (send, news) = channel();
    let machines = Machines::new(places.clone(), &system.topology, &system.sysadmin_password, send);
    for host in &system.hosts {
        machines.add(&host.hostname, host.id, &host.running_release);
    }
    let audit = std::fs::OpenOptions::new().create(true).append(true).open(places.audit())?;
    let lab = Arc::new(Lab { places, machines, system: Mutex::new(system), audit: Mutex::new(audit) });
    if fresh {
        lab.install()?;
    }
    lab.open()?;
    lab.power_on(fresh)?;
    lab.save(&lab.state());
    let follower = Arc::clone(&lab);
    std::thread::spawn(move || follower.follow(&news));
    let ticking = Arc::clone(&lab);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(20));
            ticking.change("lab", |_| ());
        }
    });
    control::serve(&lab)
}

impl Lab {
    /// The state, locked.
    pub fn state(&self) -> MutexGuard<'_, System> {
        self.system.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Do something to the state; let what is due happen; write down what changed and have the effects done.
    pub fn change<T>(self: &Arc<Self>, by: &str, act: impl FnOnce(&mut System) -> T) -> T {
        let (result, changes, effects, faults) = {
            let mut system = self.state();
            system.tick();
            let result = act(&mut system);
            let mut changes = system.take_changes();
            let mut faults = system.settle_faults(&changes);
            changes.extend(system.take_changes());
            faults.extend(system.settle_faults(&changes));
            changes.extend(system.take_changes());
            let effects = system.take_effects();
            if !changes.is_empty() {
                self.save(&system);
            }
            (result, changes, effects, faults)
        };
        if !changes.is_empty() {
            self.note(&json!({ "kind": "change", "host": by, "changes": changes }));
        }
        for effect in effects {
            self.effect(effect);
        }
        for fault in faults {
            self.strike(fault);
        }
        result
    }

    /// Store the state; a server that dies in between finds the old one.
    pub fn save(&self, system: &System) {
        let mut text = serde_json::to_value(system).unwrap_or_default();
        text["product_now"] = json!(system.clock.now());
        let next = self.places.dir.join("state.json.next");
        if std::fs::write(&next, text.to_string()).is_ok() {
            let _ = std::fs::rename(&next, self.places.state());
        }
    }

    /// A line for the audit log.
    pub fn note(&self, entry: &serde_json::Value) {
        let mut line = json!({ "time": stamp::now() });
        if let (Some(line), Some(entry)) = (line.as_object_mut(), entry.as_object()) {
            line.extend(entry.clone());
        }
        let mut file = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{line}");
    }

    /// Put the configured system on its disks.
    fn install(&self) -> Result<()> {
        let system = self.state();
        if !self.places.key().exists() {
            run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", "stx-lab", "-f", &self.places.key().display().to_string()],
            )?;
        }
        let key = std::fs::read_to_string(self.places.key().with_extension("pub"))?;
        for host in &system.hosts {
            contents::bare(&self.places, &system, &host.hostname, &host.running_release)?;
            contents::configured(&self.places, &system, &host.hostname, &key)?;
            std::thread::scope(|scope| {
                let database = scope.spawn(|| data::postgres(&self.places, &system, &host.hostname));
                let keys = scope.spawn(|| data::etcd(&self.places, &system, &host.hostname));
                for part in [database, keys] {
                    part.join().map_err(|_| anyhow::anyhow!("preparing the host's data failed"))??;
                }
                Ok::<(), anyhow::Error>(())
            })?;
        }
        Ok(())
    }

    /// Open each host's socket to the state.
    fn open(self: &Arc<Self>) -> Result<()> {
        let names: Vec<String> = self.state().hosts.iter().map(|h| h.hostname.clone()).collect();
        for name in names {
            let path = self.places.socket(&name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
            let lab = Arc::clone(self);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (lab, name) = (Arc::clone(&lab), name.clone());
                    std::thread::spawn(move || {
                        let _ = lab.hear(&name, &stream);
                    });
                }
            });
        }
        Ok(())
    }

    /// First power on: a fresh lab comes up healthy, an old one goes through a boot.
    fn power_on(self: &Arc<Self>, fresh: bool) -> Result<()> {
        let names: Vec<String> = self.state().hosts.iter().map(|h| h.hostname.clone()).collect();
        if !fresh {
            let mut system = self.state();
            let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(self.places.state())?)?;
            system.clock.resume(saved["product_now"].as_f64().unwrap_or(0.0));
        }
        for name in &names {
            self.machines.boot(name)?;
        }
        if fresh {
            self.remember_host_keys(&names)?;
        }
        Ok(())
    }

    /// The `known_hosts` of the lab's clients, as an operator would have accepted it.
    fn remember_host_keys(&self, names: &[String]) -> Result<()> {
        let mut lines = String::new();
        for (i, name) in names.iter().enumerate() {
            let key = std::fs::read_to_string(self.places.upper(name).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
            let key: Vec<&str> = key.split_whitespace().take(2).collect();
            let addresses = net::addresses(&self.state().topology, i as u32 + 1);
            lines.push_str(&format!("{},{name} {}\n", addresses.oam, key.join(" ")));
        }
        put(&self.places.known_hosts(), lines, 0o644, (0, 0))
    }

    /// What the machines report.
    fn follow(self: &Arc<Self>, news: &Receiver<News>) {
        let mut first: Vec<String> = Vec::new();
        for report in news {
            match report {
                News::Up { host, configured } => {
                    let healthy = !first.contains(&host)
                        && self
                            .state()
                            .hosts
                            .iter()
                            .any(|h| h.hostname == host && h.powered && h.availability == "available");
                    if !first.contains(&host) {
                        first.push(host.clone());
                    }
                    if !healthy {
                        self.change(&host, |system| system.host_up(&host, configured));
                    }
                }
                News::Down { host, how } => {
                    self.machines.is_off(&host);
                    let boot_ms = self.change(&host, |system| {
                        system.host_down(&host);
                        if how == crate::fabric::boot::RESTARTED { Some(system.boot_ms()) } else { None }
                    });
                    if let Some(ms) = boot_ms {
                        self.boot_after(&host, ms);
                    }
                }
            }
        }
    }

    /// Boot a host after real milliseconds.
    pub fn boot_after(self: &Arc<Self>, host: &str, ms: u64) {
        let (lab, host) = (Arc::clone(self), host.to_string());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(ms));
            if let Err(why) = lab.machines.boot(&host) {
                eprintln!("{host}: {why:#}");
                lab.note(&json!({ "kind": "error", "host": host, "error": format!("{why:#}") }));
            }
        });
    }

    /// One conversation with a program inside a host.
    fn hear(self: &Arc<Self>, host: &str, stream: &UnixStream) -> Result<()> {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let said = match serde_json::from_str(&line)? {
            Message::Command(call) => Said::Reply(self.command(host, &call)),
            Message::Note { argv, user, rc, changes } => {
                self.note(&json!({ "kind": "command", "host": host, "user": user, "argv": argv, "rc": rc, "changes": changes }));
                if !changes.is_empty() {
                    self.change(host, |system| changes.iter().for_each(|c| system.changed(c.clone())));
                }
                Said::Done
            }
            Message::Restored(restored) => self.change(host, |system| {
                let first = !system.database_present;
                match system.adopt_restored(host, &restored) {
                    Ok(()) => {
                        if first {
                            system.agent_reports_soon(host);
                        }
                        Said::Done
                    }
                    Err(why) => Said::Refused(why),
                }
            }),
        };
        let mut out = stream;
        writeln!(out, "{}", serde_json::to_string(&said)?)?;
        Ok(())
    }

    /// Answer a platform command and write it down, once it is more than a question.
    fn command(self: &Arc<Self>, host: &str, call: &Invocation) -> Reply {
        let started = clock::real_now();
        let mut noted = Vec::new();
        let reply = self.change(host, |system| {
            let before = system.changes.len();
            let reply = command(system, call, host);
            noted = system.changes[before..].to_vec();
            reply
        });
        if reply.ask.is_none() {
            self.note(&json!({
                "kind": "command", "host": host, "user": call.user, "argv": call.argv, "rc": reply.rc, "changes": noted,
                "ms": ((clock::real_now() - started) * 1000.0) as u64,
            }));
        }
        reply
    }
}

/// Run a platform command against a system.
pub fn command(system: &mut System, call: &Invocation, host: &str) -> Reply {
    match call.argv[0].as_str() {
        "system" => shell::system::run(system, call, host),
        "fm" => shell::fm::run(system, call),
        "sw-patch" => shell::patch::run(system, call, host),
        _ => shell::service_manager::run(system, call),
    }
}
