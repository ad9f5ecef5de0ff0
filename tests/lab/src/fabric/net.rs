//! The lab's network: one bridge, one cable per host, addresses as on a StarlingX site.

use super::run;
use anyhow::Result;

/// Floating OAM address; a simplex system's only one.
pub const OAM_FLOATING: &str = "10.10.10.2";
/// Floating management address (`controller`).
pub const MGMT_FLOATING: &str = "192.168.204.1";

/// A host's own addresses.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub oam: String,
    pub mgmt: String,
}

/// The addresses of the host with that record id (from 1) in a topology.
pub fn addresses(topology: &str, id: u32) -> Addresses {
    let oam = if topology == "simplex" { OAM_FLOATING.to_string() } else { format!("10.10.10.{}", id + 2) };
    Addresses { oam, mgmt: format!("192.168.204.{}", id + 1) }
}

/// Build the bridge in the lab's own network namespace (the caller is in it).
pub fn bridge() -> Result<()> {
    for args in [
        "link set lo up",
        "link add br0 type bridge",
        "addr add 10.10.10.254/24 dev br0",
        "addr add 192.168.204.254/24 dev br0",
        "link set br0 up",
    ] {
        run("ip", &args.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The lab's end of a host's cable (15 characters at most).
fn cable(host: &str) -> String {
    let short: String = host.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
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
    for address in addresses {
        run("ip", &["addr", "add", address, "dev", "eth0"])?;
    }
    run("ip", &["link", "set", "eth0", "up"])?;
    run("ip", &["route", "replace", "default", "via", "10.10.10.254"]).map(drop)
}
