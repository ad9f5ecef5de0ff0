//! The first process of a host: mounts /proc, runs the units, reaps, and restarts the machine when told.
//!
//! Real units (sshd, PostgreSQL, etcd, the registry) are processes; the platform's own services are only known to run
//! or not, because the state server plays them.

use super::{INIT_SOCKET, PROGRAM};
use crate::system::stamp;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The platform's services, known by name only, in the order of their start.
pub const PLATFORM_UNITS: &[&str] = &[
    "sm",
    "fm-api",
    "keystone",
    "barbican-api",
    "sysinv-conductor",
    "sysinv-api",
    "sysinv-agent",
    "mtcClient",
    "vim",
    "sw-patch-controller-daemon",
    "sw-patch-agent",
    "slapd",
    "haproxy",
    "dnsmasq",
    "crond",
    "ntpd",
    "rsyslog",
    "kubelet",
    "containerd",
    "docker",
    "ceph",
    "kube-apiserver",
];
/// Units with a process of their own.
pub const REAL_UNITS: &[&str] = &["sshd", "postgresql", "etcd", "docker-distribution"];
/// What only the active controller runs, in the order of its start.
pub const ACTIVE_UNITS: &[&str] = &[
    "postgresql",
    "etcd",
    "docker-distribution",
    "fm-api",
    "keystone",
    "barbican-api",
    "sysinv-conductor",
    "sysinv-api",
    "vim",
    "sw-patch-controller-daemon",
    "slapd",
    "haproxy",
    "dnsmasq",
    "kube-apiserver",
];

/// What a configured host starts at boot, in order. A controller of a pair starts as the standby one.
fn units_of(role: &str) -> Vec<&'static str> {
    let real = ["postgresql", "etcd", "docker-distribution"];
    let all = real.iter().chain(PLATFORM_UNITS).copied();
    match role {
        "simplex" => all.collect(),
        "controller" => all.filter(|name| !ACTIVE_UNITS.contains(name)).collect(),
        _ => ["sysinv-agent", "mtcClient", "sw-patch-agent", "crond", "ntpd", "rsyslog"]
            .into_iter()
            .chain((role == "worker").then_some(["kubelet", "containerd", "docker"]).into_iter().flatten())
            .chain((role == "storage").then_some("ceph"))
            .collect(),
    }
}

/// A request to the service manager.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Start(String),
    Stop(String),
    Enable(String, bool),
    Status(String),
    Running,
    Reboot { off: bool, orderly: bool },
}

/// Its answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    pub error: Option<String>,
    pub running: Vec<String>,
    pub unit: Option<Unit>,
}

/// A unit as the service manager sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    pub active: bool,
    pub failed: bool,
    pub enabled: bool,
    pub pid: i32,
}

struct Services {
    release: String,
    units: BTreeMap<String, Unit>,
}

/// A host is configured once its bootstrap and first unlock are behind it.
pub const CONFIGURED: &str = "/etc/platform/.initial_config_complete";

/// Be the host's first process.
pub fn main(host: &str, release: &str, role: &str) -> Result<()> {
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .context("cannot mount /proc")?;
    std::fs::write("/run/stx-lab/boot_id", format!("{}\n", stamp::uuid()))?;
    mount(
        Some("/run/stx-lab/boot_id"),
        "/proc/sys/kernel/random/boot_id",
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .context("cannot give the host its own boot id")?;
    first_boot()?;
    let mut units = BTreeMap::new();
    for name in REAL_UNITS.iter().chain(PLATFORM_UNITS) {
        units.insert((*name).to_string(), Unit { name: (*name).to_string(), ..Unit::default() });
    }
    let services = Arc::new(Mutex::new(Services { release: release.into(), units }));
    let listener = UnixListener::bind(INIT_SOCKET)?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(INIT_SOCKET, std::fs::Permissions::from_mode(0o666))?;
    let shared = Arc::clone(&services);
    std::thread::spawn(move || reap(&shared));
    lock(&services).start("sshd").map_err(anyhow::Error::msg)?;
    if Path::new(CONFIGURED).exists() {
        for name in units_of(role) {
            if let Err(why) = lock(&services).start(name) {
                eprintln!("{host}: {name} did not start: {why}");
            }
        }
    }
    wait_for("sshd", || std::net::TcpStream::connect("127.0.0.1:22").is_ok());
    println!("up {}", if Path::new(CONFIGURED).exists() { "configured" } else { "bare" });
    for stream in listener.incoming().flatten() {
        let shared = Arc::clone(&services);
        std::thread::spawn(move || {
            let _ = serve(&shared, &stream);
        });
    }
    Ok(())
}

fn lock(services: &Mutex<Services>) -> MutexGuard<'_, Services> {
    services.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Host key and first password of a fresh installation.
fn first_boot() -> Result<()> {
    if !Path::new("/etc/ssh/ssh_host_ed25519_key").exists() {
        super::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key"])?;
    }
    if !Path::new("/etc/platform/.first_boot").exists() {
        return Ok(());
    }
    let password = std::env::var("STX_LAB_FIRST_PASSWORD").unwrap_or_default();
    let mut chpasswd = Command::new("chpasswd").args(["-c", "SHA512"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = chpasswd.stdin.take() {
        writeln!(input, "sysadmin:{password}")?;
    }
    chpasswd.wait()?;
    std::fs::remove_file("/etc/platform/.first_boot")?;
    Ok(())
}

/// Collect every process that ends; a unit whose process ended is no longer active.
fn reap(services: &Mutex<Services>) {
    loop {
        // Not waitpid(-1): that would steal the children that `Command` waits for.
        let pids: Vec<i32> = lock(services).units.values().filter(|u| u.pid > 0).map(|u| u.pid).collect();
        for pid in pids {
            if let Ok(status) = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG))
                && let Some(ended) = status.pid()
            {
                lock(services).ended(ended.as_raw());
            }
        }
        adopt_orphans(services);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Orphans become children of pid 1: collect those that are dead and that nobody here started.
fn adopt_orphans(services: &Mutex<Services>) {
    let Ok(children) = std::fs::read_to_string("/proc/1/task/1/children") else {
        return;
    };
    for pid in children.split_whitespace() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let dead = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        if dead && let Ok(pid) = pid.parse() {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            lock(services).ended(pid);
        }
    }
}

impl Services {
    fn ended(&mut self, pid: i32) {
        for unit in self.units.values_mut().filter(|u| u.pid == pid) {
            unit.pid = 0;
            unit.failed = unit.active;
            unit.active = false;
        }
    }

    fn command(&self, name: &str) -> Option<(Command, Box<dyn Fn() -> bool>)> {
        let release = &self.release;
        let mut command;
        let ready: Box<dyn Fn() -> bool>;
        match name {
            "sshd" => {
                command = Command::new("/usr/sbin/sshd");
                command.args(["-D", "-e", "-f", "/etc/ssh/sshd_config"]);
                ready = Box::new(|| std::net::TcpStream::connect("127.0.0.1:22").is_ok());
            }
            "postgresql" => {
                command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "postgres", "-D"]);
                command.arg(format!("/var/lib/postgresql/{release}"));
                ready = Box::new(|| super::run("pg_isready", &["-q", "-h", "/run/postgresql"]).is_ok());
            }
            "etcd" => {
                command = Command::new("etcd");
                command.args(["--name", "controller", "--data-dir", &format!("/opt/etcd/{release}/controller.etcd")]);
                command.args(["--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls"]);
                command.args(["http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380"]);
                command.args(["--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster"]);
                command.args(["controller=http://127.0.0.1:2380", "--unsafe-no-fsync"]);
                ready = Box::new(|| std::net::TcpStream::connect("127.0.0.1:2379").is_ok());
            }
            "docker-distribution" => {
                command = Command::new(PROGRAM);
                command.args(["registry", "/var/lib/docker-distribution", "127.0.0.1:9001"]);
                ready = Box::new(|| std::net::TcpStream::connect("127.0.0.1:9001").is_ok());
            }
            "kube-apiserver" => {
                command = Command::new(PROGRAM);
                command.args(["kube-api", "0.0.0.0:6443"]);
                ready = Box::new(|| std::net::TcpStream::connect("127.0.0.1:6443").is_ok());
            }
            _ => return None,
        }
        Some((command, ready))
    }

    /// Start a unit and wait until it serves; `Err` is what `systemctl` would say.
    fn start(&mut self, name: &str) -> Result<(), String> {
        let unit = self.units.get(name).ok_or_else(|| format!("Unit {name}.service not found."))?;
        if unit.active {
            return Ok(());
        }
        let mut pid = 0;
        if let Some((mut command, ready)) = self.command(name) {
            if name == "postgresql" && !Path::new(&format!("/var/lib/postgresql/{}/PG_VERSION", self.release)).exists()
            {
                return Err(failed(name));
            }
            if name == "etcd" && !Path::new(&format!("/opt/etcd/{}/controller.etcd/member", self.release)).exists() {
                // A real unit would make an empty store; here that would hide a restore that was forgotten.
                return Err(failed(name));
            }
            let log = std::fs::OpenOptions::new().create(true).append(true).open(format!("/var/log/{name}.log"));
            let log = log.map_err(|e| e.to_string())?;
            let errors = log.try_clone().map_err(|e| e.to_string())?;
            let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(|e| e.to_string())?;
            pid = child.id() as i32;
            if !wait_while(ready, || {
                waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)).is_ok_and(|s| s.pid().is_none())
            }) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                if let Some(unit) = self.units.get_mut(name) {
                    unit.failed = true;
                }
                return Err(failed(name));
            }
        }
        if let Some(unit) = self.units.get_mut(name) {
            unit.active = true;
            unit.failed = false;
            unit.pid = pid;
        }
        Ok(())
    }

    fn stop(&mut self, name: &str) -> Result<(), String> {
        let unit = self.units.get_mut(name).ok_or_else(|| format!("Unit {name}.service not loaded."))?;
        unit.active = false;
        unit.failed = false;
        let pid = std::mem::take(&mut unit.pid);
        if pid > 0 {
            // SIGINT is PostgreSQL's fast shutdown; the others end on it as well.
            let _ = kill(Pid::from_raw(pid), if name == "postgresql" { Signal::SIGINT } else { Signal::SIGTERM });
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
                    Ok(status) if status.pid().is_none() => std::thread::sleep(Duration::from_millis(10)),
                    _ => return Ok(()),
                }
            }
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), None);
        }
        Ok(())
    }
}

fn failed(name: &str) -> String {
    format!(
        "Job for {name}.service failed because the control process exited with error code.\nSee \"systemctl status \
         {name}.service\" and \"journalctl -xe\" for details."
    )
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        if Instant::now() > end {
            eprintln!("{what} does not answer");
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Wait for `ready` as long as `alive`; false if it died or took too long.
fn wait_while(ready: impl Fn() -> bool, alive: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if ready() {
            return true;
        }
        if !alive() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn serve(services: &Mutex<Services>, stream: &UnixStream) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let uid = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?.uid();
    let ask: Ask = serde_json::from_str(&line)?;
    let mut answer = Answer::default();
    let changes = !matches!(ask, Ask::Status(_) | Ask::Running);
    if changes && uid != 0 {
        answer.error = Some("Access denied".into());
    } else {
        let mut held = lock(services);
        match ask {
            Ask::Start(name) => answer.error = held.start(&name).err(),
            Ask::Stop(name) => answer.error = held.stop(&name).err(),
            Ask::Enable(name, on) => match held.units.get_mut(&name) {
                Some(unit) => unit.enabled = on,
                None => answer.error = Some(format!("Unit file {name}.service does not exist.")),
            },
            Ask::Status(name) => answer.unit = held.units.get(&name).cloned(),
            Ask::Running => {
                answer.running = held.units.values().filter(|u| u.active).map(|u| u.name.clone()).collect();
            }
            Ask::Reboot { off, orderly } => {
                drop(held);
                return restart(services, stream, off, orderly);
            }
        }
    }
    writeln!(&*stream, "{}", serde_json::to_string(&answer)?)?;
    Ok(())
}

/// Stop the units, then the machine. Does not come back.
fn restart(services: &Mutex<Services>, stream: &UnixStream, off: bool, orderly: bool) -> Result<()> {
    writeln!(&*stream, "{}", serde_json::to_string(&Answer::default())?)?;
    if orderly {
        let mut held = lock(services);
        for name in PLATFORM_UNITS.iter().chain(&["docker-distribution", "etcd", "postgresql"]) {
            let _ = held.stop(name);
        }
    }
    use nix::sys::reboot::{RebootMode, reboot};
    reboot(if off { RebootMode::RB_POWER_OFF } else { RebootMode::RB_AUTOBOOT })?;
    Ok(())
}

/// Ask the service manager of the host this process runs on.
pub fn ask(ask: &Ask) -> Result<Answer> {
    let stream = UnixStream::connect(INIT_SOCKET).context("no service manager here")?;
    writeln!(&stream, "{}", serde_json::to_string(ask)?)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    serde_json::from_str(&line).context("the service manager went away")
}
