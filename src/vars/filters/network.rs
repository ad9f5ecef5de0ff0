//! Filters on network and hardware addresses, as `ansible.utils` has them. What an address is: [`super::address`].

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use super::address::{Family, Mac, Net};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["ipaddr", "ansible.utils.ipaddr", "ansible.netcommon.ipaddr"], params: &["query", "version", "alias"], takes_missing: false, run: |cx, v, b| { let version = version(&b)?; filter(cx, &v, &b, version) }, doc: "An address or network, or what a query asks of it; false if it is none." },
    Filter { names: &["ipv4", "ansible.utils.ipv4", "ansible.netcommon.ipv4"], params: &["query"], takes_missing: false, run: |cx, v, b| filter(cx, &v, &b, Some(Family::V4)), doc: "As ipaddr, for IPv4 only." },
    Filter { names: &["ipv6", "ansible.utils.ipv6", "ansible.netcommon.ipv6"], params: &["query"], takes_missing: false, run: |cx, v, b| filter(cx, &v, &b, Some(Family::V6)), doc: "As ipaddr, for IPv6 only." },
    Filter { names: &["ipwrap", "ansible.utils.ipwrap", "ansible.netcommon.ipwrap"], params: &["query"], takes_missing: false, run: wrap, doc: "IPv6 addresses in brackets, anything else as it is." },
    Filter { names: &["ipmath", "ansible.utils.ipmath", "ansible.netcommon.ipmath"], params: &["amount"], takes_missing: false, run: math, doc: "An address so many further on." },
    Filter { names: &["ipsubnet", "ansible.utils.ipsubnet", "ansible.netcommon.ipsubnet"], params: &["query", "index"], takes_missing: false, run: subnet, doc: "A network's part of a size, or how many there are." },
    Filter { names: &["nthhost", "ansible.utils.nthhost", "ansible.netcommon.nthhost"], params: &["query"], takes_missing: false, run: nth_host, doc: "The n-th address of a network." },
    Filter { names: &["network_in_network", "ansible.utils.network_in_network", "ansible.netcommon.network_in_network"], params: &["test"], takes_missing: false, run: |cx, v, b| within(cx, v, b, false), doc: "Whether a network holds another, or an address." },
    Filter { names: &["network_in_usable", "ansible.utils.network_in_usable", "ansible.netcommon.network_in_usable"], params: &["test"], takes_missing: false, run: |cx, v, b| within(cx, v, b, true), doc: "Whether an address is one that hosts of a network can have." },
    Filter { names: &["next_nth_usable", "ansible.utils.next_nth_usable", "ansible.netcommon.next_nth_usable"], params: &["offset"], takes_missing: false, run: |cx, v, b| step(cx, v, b, 1), doc: "The n-th usable address behind this one." },
    Filter { names: &["previous_nth_usable", "ansible.utils.previous_nth_usable", "ansible.netcommon.previous_nth_usable"], params: &["offset"], takes_missing: false, run: |cx, v, b| step(cx, v, b, -1), doc: "The n-th usable address before this one." },
    Filter { names: &["ip4_hex", "ansible.utils.ip4_hex", "ansible.netcommon.ip4_hex"], params: &["delimiter"], takes_missing: false, run: hex, doc: "An IPv4 address in hexadecimal." },
    Filter { names: &["hwaddr", "ansible.utils.hwaddr", "ansible.netcommon.hwaddr"], params: &["query"], takes_missing: false, run: hardware, doc: "A hardware address, or in another form; false if it is none." },
    Filter { names: &["macaddr", "ansible.utils.macaddr", "ansible.netcommon.macaddr"], params: &["query"], takes_missing: false, run: hardware, doc: "As hwaddr." },
];

fn version(b: &Bound) -> Res<Option<Family>> {
    match b.int(1, "version")? {
        None | Some(0) => Ok(None),
        Some(4) => Ok(Some(Family::V4)),
        Some(6) => Ok(Some(Family::V6)),
        Some(_) => fail("'version' must be 4 or 6"),
    }
}

fn filter(cx: &mut Cx<'_>, v: &Val, b: &Bound, family: Option<Family>) -> Res {
    let query = b.text(cx, 0, "")?;
    if matches!(v, Val::List(_) | Val::Tuple(_)) {
        let mut out = Vec::new();
        for item in cx.items(v)? {
            let found = one(cx, &item, &query, family)?;
            if cx.truth(&found)? {
                out.push(found);
            }
        }
        return Ok(Val::list(out));
    }
    one(cx, v, &query, family)
}

/// A value taken as an address: with its form as written, and whether that was a network (with a prefix).
struct Subject {
    net: Net,
    shown: String,
    with_prefix: bool,
}

fn subject(cx: &mut Cx<'_>, v: &Val, family: Option<Family>) -> Res<Option<Subject>> {
    let text = match v {
        Val::Str(s) if !s.is_empty() => s.to_string(),
        Val::Int(i) if *i > 0 => i.to_string(),
        Val::Missing(m) => return Err(m.fail()),
        _ => return Ok(None),
    };
    let _ = cx;
    let numeric = |digits: &str, prefix: Option<u32>| -> Option<Net> {
        let value: u128 = digits.parse().ok()?;
        let v4 = (family != Some(Family::V6)).then(|| Net::new(Family::V4, value, prefix.unwrap_or(32))).flatten();
        v4.or_else(|| Net::new(Family::V6, value, prefix.unwrap_or(128)))
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(&text) {
        return Ok(numeric(&text, None).map(|net| Subject { net, shown: net.to_string(), with_prefix: false }));
    }
    if let Some(net) = Net::parse(&text) {
        let with_prefix = text.contains('/');
        return Ok(Some(Subject { net, shown: text, with_prefix }));
    }
    let Some((number, prefix)) = text.split_once('/').filter(|(n, p)| digits(n) && digits(p)) else { return Ok(None) };
    let net = prefix.parse().ok().and_then(|p| numeric(number, Some(p)));
    Ok(net.map(|net| Subject { net, shown: net.to_string(), with_prefix: true }))
}

fn one(cx: &mut Cx<'_>, v: &Val, query: &str, family: Option<Family>) -> Res {
    let Some(s) = subject(cx, v, family)? else { return Ok(Val::Bool(false)) };
    if family.is_some_and(|f| f != s.net.family) {
        return Ok(Val::Bool(false));
    }
    ask(&s, query)
}

fn maybe(text: Option<String>) -> Val {
    text.map_or(Val::Null, Val::from)
}

/// What a query asks of an address.
fn ask(s: &Subject, query: &str) -> Res {
    let net = &s.net;
    let value = || Val::str(&s.shown);
    let only = |yes: bool| if yes { value() } else { Val::Null };
    let single = net.size_is(1);
    let is_network = net.value == net.first();
    let needs_network = || -> Res<()> { if s.with_prefix { Ok(()) } else { fail("Not a network address") } };
    // Hosts that a network can have; the first and last address count only where there are but two.
    let usable = net.usable();
    let in_usable = |ip: Option<u128>| ip.filter(|ip| usable.is_some_and(|(a, b)| (a..=b).contains(ip)));
    let show = |ip: u128| net.family.show(ip);
    Ok(match query {
        "" => {
            if s.with_prefix {
                net.to_string().into()
            } else {
                show(net.value).into()
            }
        }
        "address" | "ip" => maybe(
            (single || !is_network || net.broadcast().is_none() || net.family == Family::V6).then(|| show(net.value)),
        ),
        "address/prefix" | "gateway" | "gw" | "host/prefix" | "hostnet" | "router" => {
            if net.bits() > 1 && (is_network || net.broadcast() == Some(net.value)) {
                Val::Bool(false)
            } else {
                net.to_string().into()
            }
        }
        "bool" => Val::Bool(true),
        "broadcast" => maybe(net.broadcast().filter(|_| net.bits() > 1).map(show)),
        "cidr" => net.to_string().into(),
        "first_usable" => {
            needs_network()?;
            maybe(usable.map(|(a, _)| show(a)))
        }
        "last_usable" => {
            needs_network()?;
            maybe(usable.map(|(_, b)| show(b)))
        }
        "range_usable" => {
            needs_network()?;
            maybe(usable.map(|(a, b)| format!("{}-{}", show(a), show(b))))
        }
        "next_usable" => {
            needs_network()?;
            maybe(in_usable(net.value.checked_add(1)).map(show))
        }
        "previous_usable" => {
            needs_network()?;
            maybe(in_usable(net.value.checked_sub(1)).map(show))
        }
        "host" => maybe((single || !is_network || net.broadcast().is_none()).then(|| net.to_string())),
        "hostmask" | "wildcard" => show(net.host_mask()).into(),
        "int" => match (s.with_prefix, i64::try_from(net.value)) {
            (true, _) => format!("{}/{}", net.value, net.prefix).into(),
            (false, Ok(i)) => Val::Int(i),
            // Beyond 64 bits the number is kept as text.
            (false, Err(_)) => net.value.to_string().into(),
        },
        "ip/prefix" => maybe((net.bits() == 1 || (!single && !is_network)).then(|| net.to_string())),
        "ip_netmask" => maybe(
            (net.bits() == 1 || (!single && !is_network)).then(|| format!("{} {}", show(net.value), show(net.mask()))),
        ),
        "ipv4" | "v4" => match net.family {
            Family::V4 => value(),
            Family::V6 => net.in_v4().map_or(Val::Bool(false), |n| n.to_string().into()),
        },
        "ipv6" | "v6" => match net.family {
            Family::V4 => net.in_v6().to_string().into(),
            Family::V6 => value(),
        },
        "link-local" => only(net.is_link_local()),
        "lo" | "loopback" => only(net.is_loopback()),
        "multicast" => only(net.is_multicast()),
        "unicast" => only(!net.is_multicast()),
        "net" => maybe((!single && is_network).then(|| net.to_string())),
        "netmask" => show(net.mask()).into(),
        "network" | "network_id" => show(net.first()).into(),
        "network/prefix" | "subnet" => net.cidr().to_string().into(),
        "network_netmask" => format!("{} {}", show(net.first()), show(net.mask())).into(),
        "network_wildcard" => format!("{} {}", show(net.first()), show(net.host_mask())).into(),
        "peer" => {
            needs_network()?;
            match (net.bits(), net.value % 4) {
                (1, _) => show(net.value ^ 1).into(),
                (2, 0) => return fail("Network address of /30 has no peer"),
                (2, 3) => return fail("Broadcast address of /30 has no peer"),
                (2, _) => show(net.value ^ 3).into(),
                _ => return fail("Not a point-to-point network"),
            }
        }
        "prefix" => Val::Int(i64::from(net.prefix)),
        "private" => only(!net.is_global()),
        "public" => only(net.is_public()),
        "revdns" => net.reverse_name().into(),
        "size" | "size_usable" => {
            let size = 1u128.checked_shl(net.bits());
            let size = if query == "size_usable" && net.bits() != 1 { size.map(|s| s.saturating_sub(2)) } else { size };
            match size.map(i64::try_from) {
                Some(Ok(i)) => Val::Int(i),
                Some(Err(_)) => size.unwrap_or(0).to_string().into(),
                None => Val::str("340282366920938463463374607431768211456"),
            }
        }
        "type" => Val::str(if single || !is_network { "address" } else { "network" }),
        "version" => Val::Int(if net.family == Family::V4 { 4 } else { 6 }),
        "wrap" => match (net.family, s.with_prefix) {
            (Family::V4, _) => value(),
            (Family::V6, false) => format!("[{}]", show(net.value)).into(),
            (Family::V6, true) => format!("[{}]/{}", show(net.value), net.prefix).into(),
        },
        "6to4" => six_to_four(s),
        other => return place_or_lookup(s, other),
    })
}

fn six_to_four(s: &Subject) -> Val {
    let net = &s.net;
    if net.family == Family::V6 {
        let inside = net.value >> 112 == 0x2002;
        let host = !s.with_prefix || net.value != net.first();
        return if inside && host { Val::str(&s.shown) } else { Val::Bool(false) };
    }
    if (net.bits() > 0 && net.value == net.first()) || (net.is_global() && !net.is_public()) {
        return Val::Bool(false);
    }
    format!("2002:{:04x}:{:04x}::1/48", net.value >> 16, net.value & 0xffff).into()
}

/// A number picks an address of the network; a network asks whether the address lies in it.
fn place_or_lookup(s: &Subject, query: &str) -> Res {
    let net = &s.net;
    if !query.bytes().all(|b| b.is_ascii_digit())
        && let Some(other) = Net::parse(query)
    {
        return Ok(if other.holds(net) { Val::str(&s.shown) } else { Val::Null });
    }
    let Ok(n) = query.parse::<i128>() else { return fail(format!("unknown query of ipaddr: '{query}'")) };
    if net.size_is(1) {
        return Ok(if s.with_prefix { net.to_string() } else { net.family.show(net.value) }.into());
    }
    Ok(net.nth(n).map_or(Val::Bool(false), |ip| format!("{}/{}", net.family.show(ip), net.prefix).into()))
}

fn wrap(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let query = b.text(cx, 0, "")?;
    let each = |cx: &mut Cx<'_>, v: &Val| -> Res {
        // What is no address stays as it is.
        let Ok(found) = one(cx, v, &query, None) else { return Ok(v.clone()) };
        if !cx.truth(&found)? {
            return Ok(v.clone());
        }
        let subject_of = if query.is_empty() { v } else { &found };
        one(cx, subject_of, "wrap", None)
    };
    match &v {
        Val::List(_) | Val::Tuple(_) => {
            let mut out = Vec::new();
            for item in cx.items(&v)? {
                out.push(each(cx, &item)?);
            }
            Ok(Val::list(out))
        }
        other => each(cx, other),
    }
}

fn math(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let Some(net) = Net::parse(&text) else {
        return fail(format!("You must pass a valid IP address; {text} is invalid"));
    };
    let amount = b.need(0, "the filter 'ipmath'", "amount")?;
    let amount = match amount {
        Val::Int(i) => *i,
        Val::Str(s) => match super::jinja::parse_int(s, 10) {
            Some(i) => i,
            None => return fail(format!("You must pass an integer for arithmetic; {s} is not a valid integer")),
        },
        other => return fail(format!("You must pass an integer for arithmetic, not {}", other.described())),
    };
    match net.value.checked_add_signed(i128::from(amount)).filter(|ip| *ip <= net.family.all()) {
        Some(ip) => Ok(net.family.show(ip).into()),
        None => fail("the result is beyond the addresses that there are"),
    }
}

/// The network of an address or network as the filters on networks take it.
fn network_of(cx: &mut Cx<'_>, v: &Val) -> Res<Option<(Net, bool)>> {
    let Some(s) = subject(cx, v, None)? else { return Ok(None) };
    let is_network = !s.net.size_is(1) && s.net.value == s.net.first();
    Ok(Some((s.net, is_network)))
}

fn subnet(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Some((net, _)) = network_of(cx, &v)? else { return Ok(Val::Bool(false)) };
    let value = net.cidr();
    let is_network = !value.size_is(1);
    let query = b.text(cx, 0, "")?;
    if query.is_empty() {
        return Ok(value.to_string().into());
    }
    let width = value.family.width();
    if let Ok(size) = query.parse::<u32>() {
        if size > width {
            return Ok(Val::Bool(false));
        }
        let index = match b.some(1) {
            None => None,
            Some(i) => match i.as_int().or_else(|| i.as_str().and_then(|s| super::jinja::parse_int(s, 10))) {
                Some(i) => Some(i128::from(i)),
                None => return fail("'index' must be a whole number"),
            },
        };
        if is_network {
            let Some(more) = size.checked_sub(value.prefix) else {
                return if index.is_none() {
                    fail(format!("Requested subnet size of {size} is invalid"))
                } else {
                    Ok(Val::Bool(false))
                };
            };
            let count = 1i128.checked_shl(more).filter(|c| *c > 0).unwrap_or(i128::MAX);
            let Some(index) = index else {
                return Ok(i64::try_from(count).map_or_else(|_| count.to_string().into(), Val::Int));
            };
            let index = if index < 0 { index + count } else { index };
            if !(0..count).contains(&index) {
                return Ok(Val::Bool(false));
            }
            let base = value.value + ((index as u128) << (width - size));
            return Ok(Net { value: base, prefix: size, ..value }.to_string().into());
        }
        // An address: the networks around it, from the largest asked for down to itself.
        let around: Vec<u32> = (size..value.prefix).collect();
        let index = index.unwrap_or(0);
        let index = if index < 0 { index + around.len() as i128 } else { index };
        let prefix = usize::try_from(index).ok().and_then(|i| around.get(i));
        return Ok(prefix.map_or(Val::Bool(false), |p| Net { prefix: *p, ..value }.cidr().to_string().into()));
    }
    let Some(outer) = Net::parse(&query) else {
        return fail(format!("You must pass a valid subnet or IP address; {query} is invalid"));
    };
    if outer.family != value.family || !outer.holds(&value) {
        return fail(format!("{value} is not in the subnet {}", outer.cidr()));
    }
    let place = (value.value - outer.first()) >> value.bits().min(127);
    Ok((place + 1).to_string().into())
}

fn nth_host(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Some((net, _)) = network_of(cx, &v)? else { return Ok(Val::Bool(false)) };
    let query = b.text(cx, 0, "")?;
    let found = query.parse::<i128>().ok().and_then(|n| net.nth(n));
    Ok(found.map_or(Val::Bool(false), |ip| net.family.show(ip).into()))
}

fn within(cx: &mut Cx<'_>, v: Val, b: Bound, usable: bool) -> Res {
    let other = b.need(0, "this filter", "test")?.clone();
    let (Some((net, _)), Some((other, other_is_network))) = (network_of(cx, &v)?, network_of(cx, &other)?) else {
        return Ok(Val::Bool(false));
    };
    let (first, last) = if usable { net.usable().unwrap_or((net.value, net.value)) } else { (net.first(), net.last()) };
    let (from, to) = if other_is_network { (other.first(), other.last()) } else { (other.value, other.value) };
    Ok(Val::Bool(net.family == other.family && first <= from && to <= last))
}

fn step(cx: &mut Cx<'_>, v: Val, b: Bound, sign: i128) -> Res {
    let Some((net, _)) = network_of(cx, &v)? else { return Ok(Val::Bool(false)) };
    let Some(offset) = b.int(0, "offset")? else { return fail("an offset is needed") };
    let ip = net.value.checked_add_signed(i128::from(offset) * sign);
    let inside = ip.filter(|ip| net.usable().is_some_and(|(a, b)| (a..=b).contains(ip)));
    Ok(maybe(inside.map(|ip| net.family.show(ip))))
}

fn hex(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let sep = b.text(cx, 0, "")?;
    match Net::parse(&text) {
        Some(net) if net.family == Family::V4 && net.size_is(1) => {
            let parts: Vec<String> = (net.value as u32).to_be_bytes().iter().map(|b| format!("{b:02x}")).collect();
            Ok(parts.join(&sep).into())
        }
        _ => fail(format!("You must pass a valid IP address; {text} is invalid")),
    }
}

fn hardware(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let query = b.text(cx, 0, "")?;
    let text = cx.text(&v)?;
    let Some(mac) = Mac::parse(&text) else {
        return match query.as_str() {
            "" | "bool" => Ok(Val::Null),
            _ => fail(format!("not a hardware address: {text}")),
        };
    };
    Ok(match query.as_str() {
        "" => v,
        "bool" => Val::Bool(true),
        "int" => Val::Int(mac.number() as i64),
        form => match mac.form(form) {
            Some(text) => text.into(),
            None => return fail(format!("unknown query of hwaddr: '{form}'")),
        },
    })
}
