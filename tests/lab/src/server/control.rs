//! The operator's socket: what the `stx-lab` command asks of a running lab.

use super::Lab;
use crate::fabric::net;
use crate::system::fault_catalogue::CATALOGUE;
use crate::system::faults::Fault;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

/// A request of the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    Status,
    FaultAdd { name: String, parameters: BTreeMap<String, String>, when: Option<String>, times: Option<u32> },
    FaultClear { name: String },
    FaultList,
    Exec { host: String, argv: Vec<String>, input: String },
    Connect { host: String, port: u16 },
    Reboot { host: String },
    PowerCut { host: String },
    PowerOn { host: String },
    Wipe { host: String, release: Option<String> },
    Link { host: String, up: bool },
    Rate { rate: f64 },
    Down,
}

/// Serve until the lab is taken down.
pub fn serve(lab: &Arc<Lab>) -> Result<()> {
    let path = lab.places.control();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    for stream in listener.incoming().flatten() {
        let lab = Arc::clone(lab);
        std::thread::spawn(move || {
            let _ = hear(&lab, stream);
        });
    }
    Ok(())
}

fn hear(lab: &Arc<Lab>, stream: UnixStream) -> Result<()> {
    // One byte at a time: what follows the request belongs to the connection it asks for.
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    while (&stream).read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let request: Request = serde_json::from_slice(&line)?;
    if let Request::Connect { host, port } = &request {
        return connect(lab, stream, host, *port);
    }
    let down = matches!(request, Request::Down);
    let answer = match act(lab, request) {
        Ok(value) => json!({ "ok": value }),
        Err(why) => json!({ "error": format!("{why:#}") }),
    };
    writeln!(&stream, "{answer}")?;
    if down {
        // The first process of the lab's PID namespace takes everything with it.
        std::process::exit(0);
    }
    Ok(())
}

fn act(lab: &Arc<Lab>, request: Request) -> Result<Value> {
    let known = |host: &str| -> Result<String> {
        let system = lab.state();
        let at = system.find(host).map_err(anyhow::Error::msg)?;
        Ok(system.hosts[at].hostname.clone())
    };
    Ok(match request {
        Request::Status => status(lab),
        Request::FaultAdd { name, parameters, when, times } => {
            lab.change("operator", |s| s.add_fault(Fault { name, parameters, when, armed: false, times }))
                .map_err(anyhow::Error::msg)?;
            json!(true)
        }
        Request::FaultClear { name } => {
            let cleared = lab.change("operator", |s| s.clear_fault(&name));
            if name == "all" || name == "disk-full" {
                let hosts: Vec<String> = lab.state().hosts.iter().map(|h| h.hostname.clone()).collect();
                hosts.iter().for_each(|host| lab.unfill(host));
            }
            json!(cleared)
        }
        Request::FaultList => json!(lab.state().faults),
        Request::Exec { host, argv, input } => {
            let (out, err, rc) = lab.machines.exec(&known(&host)?, &argv, &input)?;
            json!({ "out": out, "err": err, "rc": rc })
        }
        Request::Reboot { host } => {
            lab.machines.exec(&known(&host)?, &["systemctl".into(), "reboot".into()], "")?;
            json!(true)
        }
        Request::PowerCut { host } => {
            let host = known(&host)?;
            lab.machines.cut(&host, true);
            json!(true)
        }
        Request::PowerOn { host } => {
            let host = known(&host)?;
            if lab.machines.init_of(&host).is_some() {
                bail!("{host} is on");
            }
            lab.machines.boot(&host)?;
            json!(true)
        }
        Request::Wipe { host, release } => {
            let host = known(&host)?;
            let release = release.unwrap_or_else(|| lab.machines.release(&host));
            if release != lab.state().from_release && release != lab.state().to_release {
                bail!("this lab has no release {release}");
            }
            lab.change("operator", |s| s.wiped(&host, &release));
            lab.reinstall(&host, &release, 0);
            json!(true)
        }
        Request::Link { host, up } => {
            if host == "operator" {
                net::set_operator(up)?;
                return Ok(json!(true));
            }
            let host = known(&host)?;
            lab.machines.set_cable(&host, up)?;
            lab.change("operator", |s| s.cable(&host, up));
            json!(true)
        }
        Request::Rate { rate } => {
            if rate.is_nan() || rate <= 0.0 {
                bail!("a rate must be above 0");
            }
            lab.change("operator", |s| s.clock.set_rate(rate));
            json!(rate)
        }
        Request::Down => json!(true),
        Request::Connect { .. } => bail!("not a request"),
    })
}

fn status(lab: &Arc<Lab>) -> Value {
    let system = lab.state();
    let hosts: Vec<Value> = system
        .hosts
        .iter()
        .map(|h| {
            json!({
                "name": h.hostname, "personality": h.personality, "release": lab.machines.release(&h.hostname),
                "on": lab.machines.init_of(&h.hostname).is_some(), "administrative": h.administrative,
                "operational": h.operational, "availability": h.availability, "task": h.task,
                "address": net::addresses(&system.topology, h.id, &h.personality).reach(), "management": h.mgmt_ip,
            })
        })
        .collect();
    json!({
        "dir": lab.places.dir, "topology": system.topology, "from": system.from_release, "to": system.to_release,
        "rate": system.clock.rate, "product_seconds": system.clock.now(), "software_version": system.info.software_version,
        "system_uuid": system.info.uuid, "database_present": system.database_present, "active": system.active,
        "services_up": system.services_up, "sync": system.sync,
        "upgrade": system.upgrade, "loads": system.loads, "alarms": system.alarms, "hosts": hosts,
        "faults": system.faults, "restore_in_progress": system.restore_in_progress,
        "sysadmin_password": system.sysadmin_password, "admin_password": system.admin_password,
        "key": lab.places.key(), "known_hosts": lab.places.known_hosts(),
        "load": format!("/home/sysadmin/loads/{}/bootimage.iso", system.to_release),
    })
}

/// Join the operator's stream to a port of a host.
fn connect(lab: &Arc<Lab>, stream: UnixStream, host: &str, port: u16) -> Result<()> {
    let address = {
        let system = lab.state();
        match system.find(host) {
            Ok(at) => {
                let host = &system.hosts[at];
                net::addresses(&system.topology, host.id, &host.personality).reach().to_string()
            }
            Err(_) if matches!(host, "oamcontroller" | "controller") => net::OAM_FLOATING.to_string(),
            Err(_) => host.to_string(),
        }
    };
    let target: Result<SocketAddr> =
        format!("{address}:{port}").parse().with_context(|| format!("{host} is no host or address of this lab"));
    let joined = target.and_then(|target| Ok(TcpStream::connect_timeout(&target, Duration::from_secs(20))?));
    let tcp = match joined {
        Ok(tcp) => tcp,
        Err(why) => {
            writeln!(&stream, "{}", json!({ "error": format!("connect to {address} port {port}: {why:#}") }))?;
            return Ok(());
        }
    };
    let _ = tcp.set_nodelay(true);
    writeln!(&stream, "{}", json!({ "ok": true }))?;
    join(stream, tcp)
}

/// Copy both ways until both sides have ended.
fn join(unix: UnixStream, tcp: TcpStream) -> Result<()> {
    let (mut from_unix, mut to_tcp) = (unix.try_clone()?, tcp.try_clone()?);
    let upward = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_unix, &mut to_tcp);
        let _ = to_tcp.shutdown(Shutdown::Write);
    });
    let (mut from_tcp, mut to_unix) = (tcp, unix);
    let _ = std::io::copy(&mut from_tcp, &mut to_unix);
    // A connection that was cut is over for the client as well, even if it has more to say.
    let _ = to_unix.shutdown(Shutdown::Both);
    let _ = from_tcp.shutdown(Shutdown::Both);
    let _ = upward.join();
    Ok(())
}

/// Send a request to a lab and hear its answer.
pub fn ask(places: &crate::fabric::Places, request: &Request) -> Result<Value> {
    let stream =
        UnixStream::connect(places.control()).context("no lab is up here; start one with `stx-lab up simplex`")?;
    writeln!(&stream, "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("the lab went away")?;
    match answer["error"].as_str() {
        Some(why) => bail!("{why}"),
        None => Ok(answer["ok"].clone()),
    }
}

/// The catalogue, for people.
pub fn catalogue() -> String {
    let mut out = String::new();
    for kind in CATALOGUE {
        out.push_str(&format!("{:<22} {}\n", kind.name, kind.what));
        if !kind.parameters.is_empty() {
            out.push_str(&format!("{:<22}   {}\n", "", kind.parameters));
        }
    }
    out
}
