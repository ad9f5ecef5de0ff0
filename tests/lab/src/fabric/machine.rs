//! Power: starting a host's boots one after the other, and taking its power away.

use super::boot::{self, Spec};
use super::{Places, net};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a machine tells the lab.
#[derive(Debug)]
pub enum News {
    /// It is up; `configured` as its first process saw it.
    Up { host: String, configured: bool },
    /// It went down: an exit code of [`boot`].
    Down { host: String, how: i32 },
}

/// The lab's machines.
pub struct Machines {
    pub places: Places,
    topology: String,
    first_password: String,
    news: Sender<News>,
    running: Mutex<BTreeMap<String, Running>>,
}

#[derive(Debug, Default, Clone)]
struct Running {
    id: u32,
    personality: String,
    release: String,
    /// First process, in the lab's PID namespace; 0 when off.
    init: u32,
    /// The cable is plugged in.
    cable: bool,
}

impl Machines {
    pub fn new(places: Places, topology: &str, first_password: &str, news: Sender<News>) -> Machines {
        Machines {
            places,
            topology: topology.into(),
            first_password: first_password.into(),
            news,
            running: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Make a machine known, off, with a release on its disk.
    pub fn add(&self, host: &str, id: u32, personality: &str, release: &str) {
        let (personality, release) = (personality.into(), release.into());
        self.table().insert(host.into(), Running { id, personality, release, init: 0, cable: true });
    }

    /// What the host is for: `simplex`, or its personality.
    fn role(&self, host: &str) -> String {
        match self.topology.as_str() {
            "simplex" => "simplex".into(),
            _ => self.table().get(host).map(|r| r.personality.clone()).unwrap_or_default(),
        }
    }

    /// The release on the host's disk.
    pub fn release(&self, host: &str) -> String {
        self.table().get(host).map(|r| r.release.clone()).unwrap_or_default()
    }

    pub fn set_release(&self, host: &str, release: &str) {
        if let Some(running) = self.table().get_mut(host) {
            running.release = release.into();
        }
    }

    /// Its first process in the lab's namespace, if it is on.
    pub fn init_of(&self, host: &str) -> Option<u32> {
        self.table().get(host).map(|r| r.init).filter(|pid| *pid != 0)
    }

    /// Addresses with prefix lengths.
    fn addresses(&self, host: &str) -> Vec<String> {
        let (id, personality) = self.table().get(host).map_or((1, String::new()), |r| (r.id, r.personality.clone()));
        let own = net::addresses(&self.topology, id, &personality);
        let mut all: Vec<String> = own.oam.iter().chain([&own.mgmt, &own.cluster]).map(|a| format!("{a}/24")).collect();
        if self.topology == "simplex" {
            all.extend([net::MGMT_FLOATING, net::CLUSTER_FLOATING].map(|a| format!("{a}/24")));
        }
        all
    }

    /// Boot it (blocks until it is up or failed); a thread of its own then waits for its end.
    pub fn boot(&self, host: &str) -> Result<()> {
        let spec = Spec {
            dir: self.places.dir.clone(),
            host: host.into(),
            role: self.role(host),
            release: self.release(host),
            addresses: self.addresses(host),
            first_password: self.first_password.clone(),
        };
        let console = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.places.host(host).join("console.log"))
            .context("cannot open the host's console log")?;
        let mut child = Command::new("/proc/self/exe")
            .arg("boot")
            .arg(serde_json::to_string(&spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(console)
            .spawn()
            .context("cannot start the host")?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let mut expect = |what: &str| -> Result<String> {
            match lines.next() {
                Some(Ok(line)) if line.starts_with(what) => Ok(line[what.len()..].trim().to_string()),
                _ => {
                    let console =
                        std::fs::read_to_string(self.places.host(host).join("console.log")).unwrap_or_default();
                    bail!("{host} did not boot: {}", console.lines().last().unwrap_or("its console is silent"))
                }
            }
        };
        expect("unshared")?;
        let cable = self.table().get(host).is_none_or(|r| r.cable);
        net::plug(host, child.id(), cable)?;
        let mut input = child.stdin.take().context("no pipe")?;
        writeln!(input, "go")?;
        let init: u32 = expect("init")?.parse().context("no process id")?;
        if let Some(running) = self.table().get_mut(host) {
            running.init = init;
        }
        let state = expect("up")?;
        let (host, news) = (host.to_string(), self.news.clone());
        let _ = news.send(News::Up { host: host.clone(), configured: state == "configured" });
        std::thread::spawn(move || {
            let how = child.wait().ok().and_then(|s| s.code()).unwrap_or(boot::KILLED);
            let _ = news.send(News::Down { host, how });
        });
        Ok(())
    }

    /// Note that it is off.
    pub fn is_off(&self, host: &str) {
        if let Some(running) = self.table().get_mut(host) {
            running.init = 0;
        }
    }

    /// Take the power away at once. `silent`: no packet leaves it any more, so its peers wait for their own time-outs;
    /// otherwise its connections end with its processes.
    pub fn cut(&self, host: &str, silent: bool) {
        let Some(init) = self.init_of(host) else {
            return;
        };
        if silent {
            let _ = net::set_link(host, false);
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(init as i32), nix::sys::signal::Signal::SIGKILL);
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while self.init_of(host).is_some() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Plug or pull its cable; it stays so over a boot.
    pub fn set_cable(&self, host: &str, up: bool) -> Result<()> {
        let on = {
            let mut table = self.table();
            let running = table.get_mut(host).with_context(|| format!("no host {host} in this lab"))?;
            running.cable = up;
            running.init != 0
        };
        if on { net::set_link(host, up) } else { Ok(()) }
    }

    /// Run a command inside the host as root; its output, error text and exit code.
    pub fn exec(&self, host: &str, argv: &[String], input: &str) -> Result<(String, String, i32)> {
        let init = self.init_of(host).with_context(|| format!("{host} is off"))?;
        let mut child = Command::new("nsenter")
            .args(["-t", &init.to_string(), "-m", "-u", "-i", "-n", "-p", "--"])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run nsenter")?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_string();
            std::thread::spawn(move || {
                let _ = stdin.write_all(input.as_bytes());
            });
        }
        let out = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&out.stdout), text(&out.stderr), out.status.code().unwrap_or(255)))
    }
}
