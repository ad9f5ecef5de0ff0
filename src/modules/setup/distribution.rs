//! Facts of the distribution and its package manager.

use super::{Args, Facts, exists, text};
use crate::action::host::{HostError, Look};
use crate::model::value::{Dict, Key, Value};

/// The `ID` of os-release, Ansible's name, the family.
const KNOWN: &[(&str, &str, &str)] = &[
    ("debian", "Debian", "Debian"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("linuxmint", "Linux Mint", "Debian"),
    ("kali", "Kali", "Debian"),
    ("raspbian", "Debian", "Debian"),
    ("pop", "Pop!_OS", "Debian"),
    ("devuan", "Devuan", "Debian"),
    ("centos", "CentOS", "RedHat"),
    ("rhel", "RedHat", "RedHat"),
    ("fedora", "Fedora", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("almalinux", "AlmaLinux", "RedHat"),
    ("ol", "OracleLinux", "RedHat"),
    ("amzn", "Amazon", "RedHat"),
    ("scientific", "Scientific", "RedHat"),
    ("openEuler", "openEuler", "RedHat"),
    ("sles", "SLES", "Suse"),
    ("opensuse-leap", "openSUSE Leap", "Suse"),
    ("opensuse-tumbleweed", "openSUSE Tumbleweed", "Suse"),
    ("alpine", "Alpine", "Alpine"),
    ("arch", "Archlinux", "Archlinux"),
    ("manjaro", "Manjaro", "Archlinux"),
    ("gentoo", "Gentoo", "Gentoo"),
    ("void", "Void", "Void"),
];

/// `NAME=value` lines with shell quotes.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|l| l.split_once('='));
    lines.map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches(['"', '\'']).to_owned())).collect()
}

pub(super) fn collect(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let mut path = "/etc/os-release";
    let mut release = text(host, path)?;
    if release.is_none() {
        path = "/usr/lib/os-release";
        release = text(host, path)?;
    }
    let settings = settings(&release.unwrap_or_default());
    let set = |name: &str| settings.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let id = set("ID").unwrap_or_default();
    let known = KNOWN.iter().find(|(k, ..)| k.eq_ignore_ascii_case(id));
    let like = set("ID_LIKE").unwrap_or_default();
    let like = like.split_whitespace().find_map(|l| KNOWN.iter().find(|(k, ..)| *k == l));
    let name = known.map_or_else(|| set("NAME").unwrap_or("NA").to_owned(), |(_, name, _)| (*name).to_owned());
    let family = known.or(like).map_or_else(|| name.clone(), |(_, _, family)| (*family).to_owned());
    let mut version = set("VERSION_ID").unwrap_or("NA").to_owned();
    let codename = set("VERSION_CODENAME").filter(|c| !c.is_empty()).map(str::to_owned);
    let in_brackets = |t: &str| Some(t.rsplit_once('(')?.1.trim_end_matches(')').to_owned());
    let mut codename = codename.or_else(|| set("VERSION").and_then(in_brackets)).unwrap_or_else(|| "NA".into());
    if name == "Debian"
        && let Some(full) = text(host, "/etc/debian_version")?.filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    {
        version = full;
    }
    if family == "RedHat"
        && let Some(line) = text(host, "/etc/redhat-release")?
    {
        // `CentOS Linux release 7.9.2009 (Core)`: the file knows the minor release, os-release may not.
        if let Some(full) = line.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
            version = full.split('.').take(2).collect::<Vec<_>>().join(".");
        }
        if let Some(word) = in_brackets(&line) {
            codename = word;
        }
        path = "/etc/redhat-release";
    }
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default().to_owned();
    let minor = parts.next().map(str::to_owned);
    facts.put("distribution", name.as_str());
    facts.put("distribution_version", version.as_str());
    facts.put("distribution_major_version", major);
    if let Some(minor) = minor {
        facts.put("distribution_minor_version", minor);
    }
    facts.put("distribution_release", codename);
    facts.put("distribution_file_path", path);
    facts.put("distribution_file_variety", if family == "RedHat" { "RedHat" } else { name.as_str() });
    facts.put("distribution_file_parsed", true);
    facts.put("os_family", family);
    Ok(())
}

pub(super) fn lsb(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let mut lsb = Dict::new();
    for (name, value) in settings(&text(host, "/etc/lsb-release")?.unwrap_or_default()) {
        let key = match name.as_str() {
            "DISTRIB_ID" => "id",
            "DISTRIB_RELEASE" => "release",
            "DISTRIB_CODENAME" => "codename",
            "DISTRIB_DESCRIPTION" => "description",
            _ => continue,
        };
        if key == "release" {
            lsb.insert("major_release".into(), value.split('.').next().unwrap_or_default().into());
        }
        lsb.insert(Key::from(key), value.into());
    }
    facts.put("lsb", lsb);
    Ok(())
}

pub(super) fn pkg_mgr(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let family = facts.get("os_family").and_then(Value::as_str).unwrap_or_default().to_owned();
    // The distribution's own manager first: others may be installed beside it.
    let own: &[(&str, &str)] = match family.as_str() {
        "Debian" => &[("/usr/bin/apt-get", "apt")],
        "RedHat" => &[("/usr/bin/dnf5", "dnf5"), ("/usr/bin/dnf", "dnf"), ("/usr/bin/yum", "yum")],
        "Suse" => &[("/usr/bin/zypper", "zypper")],
        _ => &[],
    };
    let others: &[(&str, &str)] = &[
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/dnf", "dnf"),
        ("/usr/bin/yum", "yum"),
        ("/usr/bin/zypper", "zypper"),
        ("/sbin/apk", "apk"),
        ("/usr/bin/pacman", "pacman"),
        ("/usr/bin/emerge", "portage"),
        ("/usr/bin/xbps-install", "xbps"),
    ];
    let mut manager = "unknown";
    for (path, name) in own.iter().chain(others) {
        if exists(host, path)? {
            manager = name;
            break;
        }
    }
    facts.put("pkg_mgr", manager);
    Ok(())
}
