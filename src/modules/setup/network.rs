//! Facts of network interfaces, addresses and default routes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;

use super::{Args, Facts, text};
use crate::action::host::{HostError, Look};
use crate::dict;
use crate::model::value::{Dict, Key, Value};

#[derive(Default)]
struct Addresses {
    v4: Vec<Dict>,
    v6: Vec<Dict>,
}

pub(super) fn interfaces(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let addresses = addresses();
    let names = host.list("/sys/class/net".as_ref()).unwrap_or_default();
    let (mut all_v4, mut all_v6) = (Vec::new(), Vec::new());
    let mut listed = Vec::new();
    for name in &names {
        let at = format!("/sys/class/net/{name}");
        // Not an interface but a control file of bonding.
        let Some(flags) = text(host, &format!("{at}/flags"))? else { continue };
        listed.push(Value::str(name));
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        let mut entry = dict! {
            "device" => name.as_str(),
            "active" => flags & 1 != 0,
            "promisc" => flags & 0x100 != 0,
        };
        let mut put = |key: &str, value: Value| {
            entry.insert(Key::from(key), value);
        };
        let kind = match text(host, &format!("{at}/type"))?.as_deref() {
            Some("1") => "ether",
            Some("32") => "infiniband",
            Some("512") => "ppp",
            Some("772") => "loopback",
            _ => "unknown",
        };
        let bond = text(host, &format!("{at}/bonding/mode"))?;
        let kind = if bond.is_some() {
            "bonding"
        } else if host.stat(format!("{at}/bridge").as_ref(), true)?.is_some() {
            "bridge"
        } else {
            kind
        };
        put("type", kind.into());
        if let Some(mac) = text(host, &format!("{at}/address"))?.filter(|m| !m.is_empty() && m != "00:00:00:00:00:00") {
            put("macaddress", mac.into());
        }
        if let Some(mtu) = text(host, &format!("{at}/mtu"))?.and_then(|m| m.parse::<i64>().ok()) {
            put("mtu", mtu.into());
        }
        if let Some(speed) = text(host, &format!("{at}/speed"))?.and_then(|m| m.parse::<i64>().ok()) {
            put("speed", speed.into());
        }
        if let Some(mode) = bond {
            put("mode", mode.split_whitespace().next().unwrap_or_default().into());
            let slaves = text(host, &format!("{at}/bonding/slaves"))?.unwrap_or_default();
            put("slaves", slaves.split_whitespace().collect());
        }
        if let Some(found) = addresses.get(name.as_str()) {
            let mut v4 = found.v4.iter().cloned();
            if let Some(first) = v4.next() {
                put("ipv4", first.into());
            }
            let rest: Vec<Value> = v4.map(Value::from).collect();
            if !rest.is_empty() {
                put("ipv4_secondaries", rest.into());
            }
            if !found.v6.is_empty() {
                put("ipv6", found.v6.iter().cloned().map(Value::from).collect());
            }
            all_v4.extend(
                found
                    .v4
                    .iter()
                    .filter_map(|d| d.get("address"))
                    .filter(|a| !a.to_string().starts_with("127."))
                    .cloned(),
            );
            all_v6.extend(
                found.v6.iter().filter_map(|d| d.get("address")).filter(|a| a.as_str() != Some("::1")).cloned(),
            );
        }
        facts.put(&name.replace(['-', ':', '.'], "_"), entry);
    }
    facts.put("interfaces", listed);
    facts.put("all_ipv4_addresses", all_v4);
    facts.put("all_ipv6_addresses", all_v6);
    Ok(())
}

fn addresses() -> BTreeMap<String, Addresses> {
    let mut found: BTreeMap<String, Addresses> = BTreeMap::new();
    let Ok(list) = getifaddrs() else { return found };
    for one in list {
        let (Some(address), Some(netmask)) = (one.address, one.netmask) else { continue };
        let entry = found.entry(one.interface_name.clone()).or_default();
        if let (Some(ip), Some(mask)) = (address.as_sockaddr_in(), netmask.as_sockaddr_in()) {
            let (ip, mask) = (u32::from(ip.ip()), u32::from(mask.ip()));
            let text = |n: u32| Ipv4Addr::from(n).to_string();
            let broadcast = one.broadcast.as_ref().and_then(|b| b.as_sockaddr_in().map(|b| b.ip().to_string()));
            let loopback = ip >> 24 == 127;
            entry.v4.push(dict! {
                "address" => text(ip),
                "broadcast" => if loopback { String::new() } else { broadcast.unwrap_or_default() },
                "netmask" => text(mask),
                "network" => text(ip & mask),
                "prefix" => mask.count_ones().to_string(),
            });
        } else if let (Some(ip), Some(mask)) = (address.as_sockaddr_in6(), netmask.as_sockaddr_in6()) {
            let (ip, prefix) = (ip.ip(), u128::from(mask.ip()).count_ones());
            entry.v6.push(dict! {
                "address" => ip.to_string(),
                "prefix" => prefix.to_string(),
                "scope" => scope(ip),
            });
        }
    }
    found
}

fn scope(ip: Ipv6Addr) -> &'static str {
    match ip {
        _ if ip.is_loopback() => "host",
        _ if ip.is_unicast_link_local() => "link",
        _ => "global",
    }
}

pub(super) fn default_routes(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let v4 = text(host, "/proc/net/route")?.unwrap_or_default();
    let (v4, v6) = (gateway_v4(&v4), gateway_v6(&text(host, "/proc/net/ipv6_route")?.unwrap_or_default()));
    let addresses = addresses();
    for (fact, route, family) in [("default_ipv4", v4, "ipv4"), ("default_ipv6", v6, "ipv6")] {
        let mut entry = Dict::new();
        if let Some((interface, gateway)) = route {
            let own = addresses.get(&interface).map(|a| if family == "ipv4" { &a.v4 } else { &a.v6 });
            let usable = |d: &&Dict| d.get("scope").is_none_or(|s| s.as_str() == Some("global"));
            if let Some(address) = own.and_then(|list| list.iter().find(usable)) {
                entry.extend(address.clone());
            }
            entry.insert("gateway".into(), gateway.into());
            if family == "ipv4" {
                entry.insert("alias".into(), interface.as_str().into());
            }
            let at = format!("/sys/class/net/{interface}");
            if let Some(mac) = text(host, &format!("{at}/address"))? {
                entry.insert("macaddress".into(), mac.into());
            }
            if let Some(mtu) = text(host, &format!("{at}/mtu"))?.and_then(|m| m.parse::<i64>().ok()) {
                entry.insert("mtu".into(), mtu.into());
            }
            let kind = if text(host, &format!("{at}/type"))?.as_deref() == Some("1") { "ether" } else { "unknown" };
            entry.insert("type".into(), kind.into());
            entry.insert("interface".into(), interface.into());
        }
        facts.put(fact, entry);
    }
    Ok(())
}

/// Interface and gateway of the default route with the least metric, from `/proc/net/route`.
fn gateway_v4(table: &str) -> Option<(String, String)> {
    let mut best: Option<(u64, String, String)> = None;
    for line in table.lines().skip(1) {
        let f: Vec<&str> = line.split_whitespace().collect();
        let [interface, "00000000", gateway, flags, _, _, metric, "00000000", ..] = f.as_slice() else { continue };
        let up = u32::from_str_radix(flags, 16).is_ok_and(|f| f & 3 == 3);
        let (Ok(gateway), Ok(metric)) = (u32::from_str_radix(gateway, 16), metric.parse::<u64>()) else { continue };
        if up && best.as_ref().is_none_or(|(m, ..)| metric < *m) {
            // The kernel prints the address as the number that it is in memory.
            best = Some((metric, (*interface).to_owned(), Ipv4Addr::from(gateway.to_ne_bytes()).to_string()));
        }
    }
    best.map(|(_, interface, gateway)| (interface, gateway))
}

/// The same from `/proc/net/ipv6_route`.
fn gateway_v6(table: &str) -> Option<(String, String)> {
    let mut best: Option<(u64, String, String)> = None;
    for line in table.lines() {
        let f: Vec<&str> = line.split_whitespace().collect();
        let [dest, "00", _, _, gateway, metric, _, _, flags, interface] = f.as_slice() else { continue };
        if dest.bytes().any(|b| b != b'0') || *interface == "lo" {
            continue;
        }
        let up = u32::from_str_radix(flags, 16).is_ok_and(|f| f & 3 == 3);
        let (Ok(gateway), Ok(metric)) = (u128::from_str_radix(gateway, 16), u64::from_str_radix(metric, 16)) else {
            continue;
        };
        if up && best.as_ref().is_none_or(|(m, ..)| metric < *m) {
            best = Some((metric, (*interface).to_owned(), Ipv6Addr::from(gateway).to_string()));
        }
    }
    best.map(|(_, interface, gateway)| (interface, gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_gateways() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth1\t00000000\t01010A0A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0102000A\t0003\t0\t0\t10\t00000000\t0\t0\t0\n";
        assert_eq!(gateway_v4(v4), Some(("eth0".into(), "10.0.2.1".into())));
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000000 00000000 00000003     eth0\n";
        assert_eq!(gateway_v6(v6), Some(("eth0".into(), "fd00::1".into())));
    }
}
