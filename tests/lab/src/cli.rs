//! The operator's command line.

mod reach;

use crate::fabric::Places;
use crate::server::control::{self, Request};
use crate::system::seed::{self, Wish};
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Simulated StarlingX systems to rehearse an upgrade on.
#[derive(Parser)]
#[command(name = "stx-lab", version)]
struct Cli {
    /// Name of the lab, where several are up.
    #[arg(long = "name", value_name = "NAME", global = true, default_value = "lab")]
    lab: String,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring a lab up.
    Up {
        /// simplex; duplex (a pair of All-in-one controllers); standard (with workers); storage (with storage hosts too); plain (hosts
        /// without a platform)
        topology: String,
        /// Workers of a standard or storage system.
        #[arg(long, default_value_t = 2)]
        workers: u32,
        /// Storage hosts of a storage system, an even number.
        #[arg(long, default_value_t = 2)]
        storage: u32,
        /// The next Kubernetes version asks for patches (they lie in /home/sysadmin/patches).
        #[arg(long)]
        kube_patches: bool,
        /// Release that runs.
        #[arg(long, default_value = "21.05")]
        from: String,
        /// Release to upgrade to.
        #[arg(long, default_value = "21.12")]
        to: String,
        /// Product seconds that pass in a real second: an install of 25 minutes takes 25 s at 60.
        #[arg(long, default_value_t = 60.0)]
        rate: f64,
        /// Password of the login sysadmin.
        #[arg(long, default_value = "Li69nux*St8")]
        sysadmin_password: String,
        /// Password of the platform's admin.
        #[arg(long, default_value = "Admin*Pass1&")]
        admin_password: String,
    },
    /// Take the lab down; nothing of it is left.
    Down,
    /// What is up, and in which state.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Faults: list, add NAME [KEY=VALUE]…, clear NAME|all.
    Fault {
        #[command(subcommand)]
        what: FaultVerb,
    },
    /// Run a command inside a host as root.
    Exec {
        host: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Ansible's inventory of what is up.
    Inventory {
        #[arg(long)]
        list: bool,
        /// One host's variables.
        #[arg(long)]
        host: Option<String>,
    },
    /// Join standard input and output to a port of a host (ssh's ProxyCommand).
    Connect { host: String, port: u16 },
    /// Every command the platform received.
    Log {
        #[arg(long)]
        json: bool,
    },
    /// Reboot a host the orderly way.
    Reboot { host: String },
    /// Empty a host's disk and install a release on it, bare.
    Wipe {
        host: String,
        #[arg(long)]
        release: Option<String>,
    },
    /// Take a host's power away.
    PowerCut { host: String },
    /// Give it back.
    PowerOn { host: String },
    /// Plug or pull a host's network cable.
    Link {
        host: String,
        #[arg(value_parser = ["up", "down"])]
        state: String,
    },
    /// Change the clock's rate.
    Rate { rate: f64 },
    /// Run a playbook clean, then with one fault after the other; everything must come to the same end.
    Crash(crate::crash::Args),
    #[command(hide = true)]
    Serve { dir: PathBuf, wish: String },
}

#[derive(Subcommand)]
enum FaultVerb {
    /// The catalogue, and what is set.
    List,
    /// Set a fault.
    Add {
        name: String,
        /// KEY=VALUE
        parameters: Vec<String>,
        /// The host it is meant for: the same as host=HOST.
        #[arg(long)]
        host: Option<String>,
        /// Only after a change whose name starts so (see `log --json`).
        #[arg(long)]
        when: Option<String>,
        /// How often it strikes.
        #[arg(long)]
        times: Option<u32>,
    },
    /// Clear a fault, or all.
    Clear { name: String },
}

/// Be the operator's command. Returns the exit code.
pub fn main() -> Result<i32> {
    let cli = Cli::parse();
    let places = places(&cli.lab);
    // What makes and removes the hosts' disks is root, of the machine or of a user namespace.
    if matches!(cli.command, Verb::Up { .. } | Verb::Down | Verb::Crash(_)) && !nix::unistd::geteuid().is_root() {
        return crate::fabric::user::enter(places.dir.parent().unwrap_or(&places.dir));
    }
    match cli.command {
        Verb::Up { topology, workers, storage, kube_patches, from, to, rate, sysadmin_password, admin_password } => up(
            &places,
            &cli.lab,
            &Wish { topology, workers, storage, kube_patches, from, to, rate, admin_password, sysadmin_password },
        ),
        Verb::Serve { dir, wish } => {
            let wish = wish_from(&serde_json::from_str(&wish)?);
            crate::server::main(dir, &wish).map(|()| 0)
        }
        Verb::Down => down(&places),
        Verb::Status { json } => status(&places, json),
        Verb::Fault { what } => fault(&places, what),
        Verb::Exec { host, command } => exec(&places, host, command),
        Verb::Inventory { host, .. } => reach::inventory(&places, &cli.lab, host.as_deref()),
        Verb::Connect { host, port } => reach::connect(&places, host, port),
        Verb::Log { json } => log(&places, json),
        Verb::Reboot { host } => told(&places, &Request::Reboot { host }),
        Verb::Wipe { host, release } => told(&places, &Request::Wipe { host, release }),
        Verb::PowerCut { host } => told(&places, &Request::PowerCut { host }),
        Verb::PowerOn { host } => told(&places, &Request::PowerOn { host }),
        Verb::Link { host, state } => told(&places, &Request::Link { host, up: state == "up" }),
        Verb::Crash(args) => crate::crash::main(&args),
        Verb::Rate { rate } => told(&places, &Request::Rate { rate }),
    }
}

fn told(places: &Places, request: &Request) -> Result<i32> {
    control::ask(places, request).map(|_| 0)
}

/// `$STX_LAB_DIR`, else one below /var/tmp; one directory per lab below it. Not the user's run-time directory: disks are
/// large, need extended attributes, and the hosts' PostgreSQL could not enter it.
fn places(name: &str) -> Places {
    let uid = nix::unistd::getuid().as_raw();
    let base = std::env::var_os("STX_LAB_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(format!("/var/tmp/stx-lab-{uid}")));
    Places { dir: base.join(name) }
}

/// The lab's directory: made, our own, and open to the user that PostgreSQL runs as.
fn make_directory(places: &Places) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    std::fs::create_dir_all(&places.dir).with_context(|| format!("cannot create {}", places.dir.display()))?;
    let base = places.dir.parent().unwrap_or(&places.dir);
    let meta = std::fs::symlink_metadata(base)?;
    if !meta.is_dir() || meta.uid() != nix::unistd::geteuid().as_raw() {
        bail!("{} belongs to somebody else: remove it, or set STX_LAB_DIR to another directory", base.display());
    }
    let closed = places.dir.canonicalize()?;
    if let Some(closed) = closed.ancestors().find(|dir| dir.metadata().is_ok_and(|meta| meta.mode() & 0o001 == 0)) {
        bail!(
            "{} is closed to other users, and the lab's PostgreSQL runs as one: set STX_LAB_DIR to a directory in the open, \
             such as /var/tmp/stx-lab",
            closed.display()
        );
    }
    Ok(())
}

fn wish_from(value: &Value) -> Wish {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_string();
    Wish {
        topology: text("topology"),
        workers: value["workers"].as_u64().unwrap_or(2) as u32,
        storage: value["storage"].as_u64().unwrap_or(2) as u32,
        kube_patches: value["kube_patches"] == json!(true),
        from: text("from"),
        to: text("to"),
        rate: value["rate"].as_f64().unwrap_or(60.0),
        admin_password: text("admin_password"),
        sysadmin_password: text("sysadmin_password"),
    }
}

/// What the machine must have, and what brings it.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/sudo", "sudo"),
    ("/usr/bin/etcd", "etcd-server"),
    ("/usr/bin/etcdctl", "etcd-client"),
    ("/usr/bin/psql", "postgresql-client"),
    ("/usr/bin/ssh-keygen", "openssh-client"),
];

fn up(places: &Places, name: &str, wish: &Wish) -> Result<i32> {
    seed::hosts_of(wish).map_err(anyhow::Error::msg)?;
    if wish.rate.is_nan() || wish.rate <= 0.0 {
        bail!("--rate must be above 0");
    }
    for release in [&wish.from, &wish.to] {
        let well = release.len() == 5
            && release.as_bytes()[2] == b'.'
            && release.replace('.', "").bytes().all(|b| b.is_ascii_digit());
        if !well {
            bail!("{release:?} is no release; write it like 21.05");
        }
    }
    if crate::system::release_number(&wish.from) >= crate::system::release_number(&wish.to) {
        bail!("--from {} must be older than --to {}", wish.from, wish.to);
    }
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(path, _)| !std::path::Path::new(path).exists()).map(|(_, package)| *package).collect();
    if !missing.is_empty() || crate::fabric::layers::postgres_bin().is_none() {
        bail!(
            "this machine lacks {}: run tools/setup",
            if missing.is_empty() { "postgresql".into() } else { missing.join(", ") }
        );
    }
    if places.control().as_os_str().len() > 90 {
        bail!("{} is too long for a socket's path; set STX_LAB_DIR to something shorter", places.dir.display());
    }
    if control::ask(places, &Request::Status).is_ok() {
        bail!("a lab named {name} is up already; `stx-lab down` takes it down");
    }
    let resumed = places.state().exists();
    make_directory(places)?;
    let started = Instant::now();
    let log = std::fs::File::create(places.log())?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)
        .context("cannot create namespaces on this machine (CONFIG_NAMESPACES, or a container without CAP_SYS_ADMIN)")?;
    let wish_text = json!({
        "topology": wish.topology, "workers": wish.workers, "storage": wish.storage, "kube_patches": wish.kube_patches, "from": wish.from, "to": wish.to, "rate": wish.rate,
        "admin_password": wish.admin_password, "sysadmin_password": wish.sysadmin_password,
    });
    let mut server = Command::new("/proc/self/exe")
        .arg("serve")
        .arg(&places.dir)
        .arg(wish_text.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start the lab's server")?;
    std::fs::write(places.pid(), format!("{}\n", server.id()))?;
    while control::ask(places, &Request::Status).is_err() {
        if let Some(status) = server.try_wait()? {
            let why = std::fs::read_to_string(places.log()).unwrap_or_default();
            if !resumed {
                let _ = std::fs::remove_dir_all(&places.dir);
            }
            bail!("the lab did not come up ({status}): {}", why.trim());
        }
        if started.elapsed() > Duration::from_secs(120) {
            let _ = server.kill();
            bail!("the lab did not come up in two minutes; see {}", places.log().display());
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    let status = control::ask(places, &Request::Status)?;
    let text = |key: &str| status[key].as_str().unwrap_or("-").to_string();
    println!(
        "{} lab {name} is up after {:.1} s{}: {} -> {}, rate {}",
        text("topology"),
        started.elapsed().as_secs_f64(),
        if resumed { " (resumed from its disks)" } else { "" },
        text("from"),
        text("to"),
        status["rate"]
    );
    Ok(0)
}

fn down(places: &Places) -> Result<i32> {
    let pid: Option<i32> = std::fs::read_to_string(places.pid()).ok().and_then(|text| text.trim().parse().ok());
    let told = control::ask(places, &Request::Down);
    if told.is_err() && !places.dir.exists() {
        println!("no lab is up");
        return Ok(0);
    }
    if let Some(pid) = pid {
        let ours = || {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&places.dir.display().to_string()))
        };
        let end = Instant::now() + Duration::from_secs(15);
        while ours() && Instant::now() < end {
            if told.is_err() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if ours() {
            bail!("the lab's server (process {pid}) does not end");
        }
    }
    std::fs::remove_dir_all(&places.dir).with_context(|| format!("cannot remove {}", places.dir.display()))?;
    println!("the lab is down");
    Ok(0)
}

fn status(places: &Places, as_json: bool) -> Result<i32> {
    let status = control::ask(places, &Request::Status)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(0);
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
    println!(
        "{} {} -> {}, software_version {}, rate {}, directory {}",
        text(&status["topology"]),
        text(&status["from"]),
        text(&status["to"]),
        text(&status["software_version"]),
        status["rate"],
        text(&status["dir"])
    );
    println!("upgrade: {}", status["upgrade"]["state"].as_str().unwrap_or("none"));
    if status["topology"] != "simplex" && status["topology"] != "plain" {
        println!(
            "active: {}{}, replication {}",
            text(&status["active"]),
            if status["services_up"] == json!(true) { "" } else { " (its services do not run)" },
            status["sync"].as_str().unwrap_or("syncing")
        );
    }
    for host in status["hosts"].as_array().into_iter().flatten() {
        println!(
            "{:<14} {:<12} release {} {:<4} {}/{}/{} {}",
            text(&host["name"]),
            text(&host["address"]),
            text(&host["release"]),
            if host["on"] == json!(true) { "on" } else { "off" },
            text(&host["administrative"]),
            text(&host["operational"]),
            text(&host["availability"]),
            host["task"].as_str().unwrap_or("")
        );
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        println!("alarm {} {} {}", text(&alarm["id"]), text(&alarm["entity"]), text(&alarm["severity"]));
    }
    for fault in status["faults"].as_array().into_iter().flatten() {
        println!("fault {}", text(&fault["name"]));
    }
    println!("login sysadmin / {}, admin / {}", text(&status["sysadmin_password"]), text(&status["admin_password"]));
    Ok(0)
}

fn fault(places: &Places, what: FaultVerb) -> Result<i32> {
    match what {
        FaultVerb::List => {
            print!("{}", control::catalogue());
            if let Ok(set) = control::ask(places, &Request::FaultList) {
                for fault in set.as_array().into_iter().flatten() {
                    println!("set: {fault}");
                }
            }
            Ok(0)
        }
        FaultVerb::Add { name, parameters, host, when, times } => {
            let parameters = parameters
                .into_iter()
                .chain(host.map(|host| format!("host={host}")))
                .map(|pair| {
                    pair.split_once('=')
                        .map(|(key, value)| (key.to_string(), value.to_string()))
                        .with_context(|| format!("{pair:?}: write KEY=VALUE"))
                })
                .collect::<Result<_>>()?;
            told(places, &Request::FaultAdd { name, parameters, when, times })
        }
        FaultVerb::Clear { name } => told(places, &Request::FaultClear { name }),
    }
}

fn exec(places: &Places, host: String, argv: Vec<String>) -> Result<i32> {
    let mut input = String::new();
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_to_string(&mut input)?;
    }
    let done = control::ask(places, &Request::Exec { host, argv, input })?;
    print!("{}", done["out"].as_str().unwrap_or(""));
    eprint!("{}", done["err"].as_str().unwrap_or(""));
    Ok(done["rc"].as_i64().unwrap_or(255) as i32)
}

fn log(places: &Places, as_json: bool) -> Result<i32> {
    let text = std::fs::read_to_string(places.audit()).context("no lab is up here")?;
    if as_json {
        print!("{text}");
        return Ok(0);
    }
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line)?;
        let words = |value: &Value| -> String {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        let what = match entry["kind"].as_str() {
            Some("command") => {
                format!("{}: {} (rc {})", entry["user"].as_str().unwrap_or(""), words(&entry["argv"]), entry["rc"])
            }
            Some("change") => words(&entry["changes"]),
            _ => entry["error"].as_str().unwrap_or("").to_string(),
        };
        println!("{} {:<13} {what}", entry["time"].as_str().unwrap_or(""), entry["host"].as_str().unwrap_or(""));
    }
    Ok(0)
}
