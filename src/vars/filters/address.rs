//! Addresses and networks of both families, and hardware addresses: pure values, without templates.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Bits of an address.
    pub fn width(self) -> u32 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The highest address.
    pub fn all(self) -> u128 {
        match self {
            Family::V4 => u128::from(u32::MAX),
            Family::V6 => u128::MAX,
        }
    }

    /// An address as text.
    pub fn show(self, ip: u128) -> String {
        match self {
            Family::V4 => Ipv4Addr::from(ip as u32).to_string(),
            // The old form of an IPv4 address inside IPv6 is written with dots, as libc does.
            Family::V6 if ip > 0xffff && ip <= u128::from(u32::MAX) => format!("::{}", Ipv4Addr::from(ip as u32)),
            Family::V6 => Ipv6Addr::from(ip).to_string(),
        }
    }
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub family: Family,
    /// The address as written, not the network's first.
    pub value: u128,
    pub prefix: u32,
}

impl Net {
    /// None where the address or the prefix does not fit the family.
    pub fn new(family: Family, value: u128, prefix: u32) -> Option<Net> {
        (value <= family.all() && prefix <= family.width()).then_some(Net { family, value, prefix })
    }

    /// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`.
    pub fn parse(text: &str) -> Option<Net> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let (family, value) = match address.parse::<Ipv4Addr>() {
            Ok(ip) => (Family::V4, u128::from(u32::from(ip))),
            Err(_) => (Family::V6, u128::from(address.parse::<Ipv6Addr>().ok()?)),
        };
        let prefix = match prefix {
            None => family.width(),
            Some(p) if !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) => p.parse().ok()?,
            Some(mask) => prefix_of_mask(family, mask)?,
        };
        Net::new(family, value, prefix)
    }

    /// Bits that tell the network's addresses apart.
    pub fn bits(&self) -> u32 {
        self.family.width() - self.prefix
    }

    pub fn size_is(&self, n: u128) -> bool {
        1u128.checked_shl(self.bits()) == Some(n)
    }

    pub fn host_mask(&self) -> u128 {
        1u128.checked_shl(self.bits()).map_or(u128::MAX, |s| s - 1)
    }

    pub fn mask(&self) -> u128 {
        self.family.all() ^ self.host_mask()
    }

    pub fn first(&self) -> u128 {
        self.value & self.mask()
    }

    pub fn last(&self) -> u128 {
        self.value | self.host_mask()
    }

    /// The network with its first address as its own.
    pub fn cidr(&self) -> Net {
        Net { value: self.first(), ..*self }
    }

    /// The last address, where the network is large enough to have one to itself.
    pub fn broadcast(&self) -> Option<u128> {
        (self.family == Family::V6 || self.bits() > 1).then(|| self.last())
    }

    /// First and last address that hosts can have.
    pub fn usable(&self) -> Option<(u128, u128)> {
        match self.bits() {
            0 => None,
            1 => Some((self.first(), self.last())),
            _ => Some((self.first() + 1, self.last() - 1)),
        }
    }

    /// The n-th address from the start, or from the end for a negative number.
    pub fn nth(&self, n: i128) -> Option<u128> {
        let ip =
            if n >= 0 { self.first().checked_add(n as u128) } else { (self.last()).checked_sub(n.unsigned_abs() - 1) };
        ip.filter(|ip| (self.first()..=self.last()).contains(ip))
    }

    /// Whether all of another network lies in this one.
    pub fn holds(&self, other: &Net) -> bool {
        self.family == other.family && self.first() <= other.first() && other.last() <= self.last()
    }

    fn is_in(&self, nets: &[&str]) -> bool {
        let here = Net { prefix: self.family.width(), ..*self };
        nets.iter().filter_map(|n| Net::parse(n)).any(|n| n.holds(&here))
    }

    pub fn is_loopback(&self) -> bool {
        self.is_in(&["127.0.0.0/8", "::1"])
    }

    pub fn is_link_local(&self) -> bool {
        self.is_in(&["169.254.0.0/16", "fe80::/10"])
    }

    pub fn is_multicast(&self) -> bool {
        self.is_in(&["224.0.0.0/4", "ff00::/8"])
    }

    /// Reachable from everywhere, by the registries of special-purpose addresses (RFC 6890 and its successors).
    pub fn is_global(&self) -> bool {
        const NOT: &[&str] = &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::/128",
            "::1/128",
            "::ffff:0:0/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "fc00::/7",
            "fe80::/10",
        ];
        const YET: &[&str] = &[
            "192.0.0.9/32",
            "192.0.0.10/32",
            "2001:1::1/128",
            "2001:1::2/128",
            "2001:3::/32",
            "2001:4:112::/48",
            "2001:20::/28",
            "2001:30::/28",
        ];
        self.is_in(YET) || !self.is_in(NOT)
    }

    /// Global, for one host, and not the look of a mask.
    pub fn is_public(&self) -> bool {
        let inverse = self.family.all() ^ self.value;
        let low_ones = |x: u128| x.checked_add(1).is_none_or(|y| y & x == 0);
        !self.is_multicast() && self.is_global() && !self.is_loopback() && !low_ones(self.value) && !low_ones(inverse)
    }

    /// The IPv4 address that an IPv6 one maps.
    pub fn in_v4(&self) -> Option<Net> {
        let high = self.value >> 32;
        let mapped = high == 0xffff || high == 0;
        (mapped && self.prefix >= 96).then(|| Net {
            family: Family::V4,
            value: self.value & 0xffff_ffff,
            prefix: self.prefix - 96,
        })
    }

    /// An IPv4 address mapped into IPv6.
    pub fn in_v6(&self) -> Net {
        Net { family: Family::V6, value: self.value | 0xffff << 32, prefix: self.prefix + 96 }
    }

    /// The name by which DNS looks an address up backwards.
    pub fn reverse_name(&self) -> String {
        match self.family {
            Family::V4 => {
                let [a, b, c, d] = (self.value as u32).to_be_bytes();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
            }
            Family::V6 => {
                let digits = format!("{:032x}", self.value);
                let dotted: Vec<String> = digits.chars().rev().map(String::from).collect();
                format!("{}.ip6.arpa.", dotted.join("."))
            }
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family.show(self.value), self.prefix)
    }
}

/// The length of a netmask (`255.255.0.0`) or hostmask (`0.0.255.255`).
fn prefix_of_mask(family: Family, mask: &str) -> Option<u32> {
    let mask = match family {
        Family::V4 => u128::from(u32::from(mask.parse::<Ipv4Addr>().ok()?)),
        Family::V6 => u128::from(mask.parse::<Ipv6Addr>().ok()?),
    };
    let ones = |x: u128| x.checked_add(1).is_none_or(|y| y & x == 0);
    let inverse = family.all() ^ mask;
    if ones(inverse) {
        Some(family.width() - inverse.count_ones())
    } else {
        ones(mask).then(|| family.width() - mask.count_ones())
    }
}

/// A hardware address of 48 bits.
pub struct Mac(u64);

impl Mac {
    /// Any of the usual forms: `aa:bb:cc:dd:ee:ff`, with dashes, `aabb.ccdd.eeff`, `aabbcc:ddeeff`, or bare.
    pub fn parse(text: &str) -> Option<Mac> {
        let number = |groups: Vec<&str>, width: usize| {
            let mut value = 0u64;
            for g in groups {
                if g.is_empty() || g.len() > width {
                    return None;
                }
                value = value << (4 * width) | u64::from_str_radix(g, 16).ok()?;
            }
            Some(Mac(value))
        };
        for (sep, count, width) in
            [(':', 6, 2), ('-', 6, 2), ('.', 3, 4), (':', 3, 4), ('-', 3, 4), (':', 2, 6), ('-', 2, 6)]
        {
            let groups: Vec<&str> = text.split(sep).collect();
            if groups.len() == count {
                return number(groups, width);
            }
        }
        let bare = matches!(text.len(), 11 | 12) && text.bytes().all(|b| b.is_ascii_hexdigit());
        bare.then(|| number(vec![text], 12)).flatten()
    }

    pub fn number(&self) -> u64 {
        self.0
    }

    /// In a named form; none if there is no such form.
    pub fn form(&self, name: &str) -> Option<String> {
        let bytes = &self.0.to_be_bytes()[2..];
        let joined = |f: fn(&u8) -> String, sep: &str| bytes.iter().map(f).collect::<Vec<_>>().join(sep);
        let digits = format!("{:012x}", self.0);
        Some(match name {
            "bare" => digits.to_uppercase(),
            "cisco" => format!("{}.{}.{}", &digits[..4], &digits[4..8], &digits[8..]),
            "eui48" | "win" => joined(|b| format!("{b:02X}"), "-"),
            "linux" => joined(|b| format!("{b:02x}"), ":"),
            "unix" => joined(|b| format!("{b:x}"), ":"),
            "pgsql" | "postgresql" | "psql" => format!("{}:{}", &digits[..6], &digits[6..]),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_edges() {
        assert_eq!(Net::parse("10.1.2.3/255.255.0.0").map(|n| n.prefix), Some(16));
        assert_eq!(Net::parse("10.1.2.3/0.0.0.255").map(|n| n.prefix), Some(24));
        assert_eq!(Net::parse("10.1.2.3/33"), None);
        let all = Net::parse("::/0").map(|n| (n.first(), n.last(), n.host_mask()));
        assert_eq!(all, Some((0, u128::MAX, u128::MAX)));
        assert_eq!(Mac::parse("001122334455").and_then(|m| m.form("cisco")).as_deref(), Some("0011.2233.4455"));
    }
}
