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

/// Hosts that boot at the same time when the lab comes up.
const BOOTS_AT_ONCE: usize = 8;

/// What runs.
pub struct Lab {
    pub places: Places,
    pub machines: Machines,
    system: Mutex<System>,
    audit: Mutex<std::fs::File>,
    /// Held while the activity moves between controllers.
    moving: Mutex<()>,
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
        machines.add(&host.hostname, host.id, &host.personality, &host.installed_release);
    }
    let audit = std::fs::OpenOptions::new().create(true).append(true).open(places.audit())?;
    let lab = Arc::new(Lab {
        places,
        machines,
        system: Mutex::new(system),
        audit: Mutex::new(audit),
        moving: Mutex::new(()),
    });
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

/// How often a boot is tried.
const BOOT_TRIES: u32 = 5;

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
        // In one write: `stx-lab log` reads beside it.
        let line = format!("{line}\n");
        let mut file = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(line.as_bytes());
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
        }
        if system.plain() {
            return Ok(());
        }
        std::thread::scope(|scope| {
            let database = scope.spawn(|| data::postgres(&self.places, &system, "controller-0"));
            let keys = scope.spawn(|| data::etcd(&self.places, &system, "controller-0"));
            for part in [database, keys] {
                part.join().map_err(|_| anyhow::anyhow!("preparing the host's data failed"))??;
            }
            Ok(())
        })
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
            system.resumed();
        }
        for some in names.chunks(BOOTS_AT_ONCE) {
            std::thread::scope(|scope| {
                let boots: Vec<_> = some.iter().map(|name| scope.spawn(|| self.machines.boot(name))).collect();
                boots.into_iter().try_for_each(|boot| boot.join().map_err(|_| anyhow::anyhow!("booting failed"))?)
            })?;
        }
        let (active, moves) = {
            let system = self.state();
            (system.active.clone(), !system.simplex() && !system.plain())
        };
        if moves {
            self.activity("activate", &active).map_err(anyhow::Error::msg)?;
            self.change("lab", |system| system.services_up = true);
        }
        if fresh {
            self.remember_host_keys(&names)?;
        }
        Ok(())
    }

    /// The `known_hosts` of the lab's clients, as an operator would have accepted it.
    fn remember_host_keys(&self, names: &[String]) -> Result<()> {
        let mut lines = String::new();
        for name in names {
            let key = std::fs::read_to_string(self.places.upper(name).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
            let key: Vec<&str> = key.split_whitespace().take(2).collect();
            let own = self.state().hosts.iter().find(|h| h.hostname == *name).map(|h| (h.id, h.personality.clone()));
            let (id, personality) = own.unwrap_or((1, String::new()));
            let own = net::addresses(&self.state().topology, id, &personality);
            lines.push_str(&format!("{},{name} {}\n", own.reach(), key.join(" ")));
            if name == "controller-0" && own.reach() != net::OAM_FLOATING {
                lines.push_str(&format!("{},oamcontroller {}\n", net::OAM_FLOATING, key.join(" ")));
            }
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

    /// Boot a host after real milliseconds. The kernel takes down in its own time what ran before, and that may be in the
    /// way yet on a busy machine: so a boot that fails is tried again, unless the host came up otherwise.
    pub fn boot_after(self: &Arc<Self>, host: &str, ms: u64) {
        let (lab, host) = (Arc::clone(self), host.to_string());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(ms));
            let mut booted = lab.machines.boot(&host);
            for _ in 1..BOOT_TRIES {
                let Err(why) = &booted else { return };
                eprintln!("{host}: {why:#}");
                lab.machines.is_off(&host);
                std::thread::sleep(Duration::from_secs(1));
                if lab.machines.init_of(&host).is_some() {
                    return;
                }
                booted = lab.machines.boot(&host);
            }
            if let Err(why) = booted {
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
            Message::Kube { method, path, query, table, body } => {
                let (status, body) = self.change(host, |system| {
                    let request =
                        crate::shell::kube_api::Request { method: &method, path: &path, query: &query, table };
                    crate::shell::kube_api::answer(system, &request, &body)
                });
                if method != "GET" {
                    self.note(&json!({
                        "kind": "command", "host": host, "user": "kubernetes-admin", "argv": ["kube-api", method, path],
                        "rc": i32::from(status >= 300), "changes": [],
                    }));
                }
                Said::Http { status, body }
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

    /// The standby controller's clients talk to the active one through the floating address.
    fn as_seen(&self, host: &str, call: &Invocation) -> Invocation {
        let mut call = call.clone();
        let system = self.state();
        if !system.simplex() && host != system.active && system.services_up {
            call.local.database = true;
            call.local.active_units.extend(["keystone", "sysinv-api", "fm-api"].map(String::from));
        }
        call
    }

    /// Answer a platform command and write it down, once it is more than a question.
    fn command(self: &Arc<Self>, host: &str, call: &Invocation) -> Reply {
        let started = clock::real_now();
        let call = &self.as_seen(host, call);
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
    let controller = system.find(host).is_ok_and(|at| system.hosts[at].personality == "controller");
    match call.argv[0].as_str() {
        program if !controller && program != "sw-patch" => {
            Reply::fail(127, format!("bash: {program}: command not found"))
        }
        "system" => shell::system::run(system, call, host),
        "fm" => shell::fm::run(system, call),
        "sw-patch" => shell::patch::run(system, call, host),
        _ => shell::service_manager::run(system, call, host),
    }
}
