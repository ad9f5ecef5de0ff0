//! The lab's network: one bridge, one cable per host, addresses as on a StarlingX site.

use super::run;
use anyhow::Result;

/// Floating OAM address; a simplex system's only one.
pub const OAM_FLOATING: &str = "10.10.10.2";
/// Floating management address (`controller`).
pub const MGMT_FLOATING: &str = "192.168.204.1";

/// Floating address of the cluster network: the Kubernetes API.
pub const CLUSTER_FLOATING: &str = "192.168.206.1";
/// The addresses that belong to whichever controller is active, with prefix lengths.
pub const FLOATING: &[&str] = &["10.10.10.2/24", "192.168.204.1/24", "192.168.206.1/24"];

/// A host's own addresses.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Controllers only.
    pub oam: Option<String>,
    pub mgmt: String,
    pub cluster: String,
}

impl Addresses {
    /// Where the operator reaches the host.
    pub fn reach(&self) -> &str {
        self.oam.as_deref().unwrap_or(&self.mgmt)
    }
}

/// The addresses of the host with that record id (from 1) in a topology.
pub fn addresses(topology: &str, id: u32, personality: &str) -> Addresses {
    let oam = match (topology, personality) {
        ("simplex", _) => Some(OAM_FLOATING.to_string()),
        (_, "controller") => Some(format!("10.10.10.{}", id + 2)),
        _ => None,
    };
    Addresses { oam, mgmt: format!("192.168.204.{}", id + 1), cluster: format!("192.168.206.{}", id + 1) }
}

/// Build the bridge in the lab's own network namespace (the caller is in it).
pub fn bridge() -> Result<()> {
    for args in [
        "link set lo up",
        // Of its own: a bridge that borrows its ports' would change it with each host that boots.
        "link add br0 address 02:00:0a:0a:0a:fe type bridge",
        "addr add 10.10.10.254/24 dev br0",
        "addr add 192.168.204.254/24 dev br0",
        "addr add 192.168.206.254/24 dev br0",
        "link set br0 up",
    ] {
        run("ip", &args.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The lab's end of a host's cable (15 characters at most).
fn cable(host: &str) -> String {
    let short: String =
        host.replace("controller", "c").chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
    format!("v-{short}")
}

/// Plug a host in: `pid` is a process in its network namespace.
pub fn plug(host: &str, pid: u32, connected: bool) -> Result<()> {
    let name = cable(host);
    let _ = run("ip", &["link", "del", &name]); // a leftover of the last boot, if the kernel was slow to drop it
    run("ip", &["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &pid.to_string()])?;
    run("ip", &["link", "set", &name, "master", "br0"])?;
    set_link(host, connected)
}

/// Pull or plug the cable.
pub fn set_link(host: &str, up: bool) -> Result<()> {
    run("ip", &["link", "set", &cable(host), if up { "up" } else { "down" }]).map(drop)
}

/// Inside the host's namespace: the loopback, and its addresses.
pub fn configure(addresses: &[String]) -> Result<()> {
    run("ip", &["link", "set", "lo", "up"])?;
    if let Some(card) = addresses.iter().find_map(|a| card(a)) {
        run("ip", &["link", "set", "eth0", "address", &card])?;
    }
    for address in addresses {
        run("ip", &["addr", "add", address, "dev", "eth0"])?;
    }
    run("ip", &["link", "set", "eth0", "up"])?;
    let gateway = if addresses.iter().any(|a| a.starts_with("10.10.10.")) { "10.10.10.254" } else { "192.168.204.254" };
    run("ip", &["route", "replace", "default", "via", gateway]).map(drop)
}

/// The address of a host's network card, of its first one: it outlives a boot, as hardware does, so that no neighbour looks for
/// the card of before for half a minute.
fn card(address: &str) -> Option<String> {
    let (address, _) = address.split_once('/')?;
    let ip: std::net::Ipv4Addr = address.parse().ok()?;
    let [a, b, c, d] = ip.octets();
    Some(format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}"))
}

/// Inside the host's namespace: take the floating addresses, or give them up.
pub fn float(here: bool) -> Result<()> {
    let held = run("ip", &["-o", "-4", "addr", "show", "dev", "eth0"])?;
    for address in FLOATING {
        if held.contains(&format!(" {address} ")) != here {
            run("ip", &["addr", if here { "add" } else { "del" }, address, "dev", "eth0"])?;
        }
    }
    Ok(())
}

/// Forget which machine had which address: the floating ones have moved.
pub fn forget_neighbours() {
    let _ = run("ip", &["neigh", "flush", "dev", "br0"]);
}

/// The operator's own cable to the site.
pub fn set_operator(up: bool) -> Result<()> {
    run("ip", &["link", "set", "br0", if up { "up" } else { "down" }]).map(drop)
}
