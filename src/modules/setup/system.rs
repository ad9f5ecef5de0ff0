//! Facts of the running system and of the user.

use super::{Args, Facts, exists, text};
use crate::action::command::Command;
use crate::action::host::{FileKind, HostError, Look};
use crate::dict;
use crate::model::value::{Dict, Key, Value};
use crate::modules::accounts;

pub(super) fn platform(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let arch = match std::env::consts::ARCH {
        "x86" => "i386",
        other => other,
    };
    let nodename = text(host, "/proc/sys/kernel/hostname")?.unwrap_or_default();
    let fqdn = fqdn(host, &nodename)?;
    facts.put("system", "Linux");
    facts.put("kernel", text(host, "/proc/sys/kernel/osrelease")?.unwrap_or_default());
    facts.put("kernel_version", text(host, "/proc/sys/kernel/version")?.unwrap_or_default());
    facts.put("machine", arch);
    facts.put("architecture", arch);
    facts.put("userspace_architecture", arch);
    facts.put("userspace_bits", usize::BITS.to_string());
    facts.put("hostname", nodename.split('.').next().unwrap_or_default());
    facts.put("domain", fqdn.split_once('.').map_or("", |(_, d)| d));
    facts.put("fqdn", fqdn);
    facts.put("nodename", nodename);
    let id = match text(host, "/var/lib/dbus/machine-id")? {
        Some(id) => Some(id),
        None => text(host, "/etc/machine-id")?,
    };
    if let Some(id) = id {
        facts.put("machine_id", id.split_whitespace().next().unwrap_or_default());
    }
    Ok(())
}

/// The first name with a dot that `/etc/hosts` gives the host, else the first, else its own.
fn fqdn(host: &mut dyn Look, nodename: &str) -> Result<String, HostError> {
    if nodename.contains('.') {
        return Ok(nodename.to_owned());
    }
    let hosts = text(host, "/etc/hosts")?.unwrap_or_default();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if names.contains(&nodename) {
            let full = names.iter().find(|n| n.contains('.')).or(names.first());
            return Ok(full.map_or(nodename, |n| n).to_owned());
        }
    }
    Ok(nodename.to_owned())
}

pub(super) fn user(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let uid = nix::unistd::geteuid().as_raw();
    if let Some(user) = accounts::user(host, &uid.to_string())? {
        facts.put("user_id", user.name);
        facts.put("user_uid", user.uid);
        facts.put("user_gid", user.gid);
        facts.put("user_gecos", user.comment);
        facts.put("user_dir", user.home);
        facts.put("user_shell", user.shell);
    }
    facts.put("real_user_id", nix::unistd::getuid().as_raw());
    facts.put("effective_user_id", uid);
    facts.put("real_group_id", nix::unistd::getgid().as_raw());
    facts.put("effective_group_id", nix::unistd::getegid().as_raw());
    Ok(())
}

pub(super) fn env(host: &mut dyn Look, args: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let mut env: Dict = std::env::vars().map(|(k, v)| (Key::from(k), Value::from(v))).collect();
    // What the task sets wins, and adds to it: a program of the host sees it.
    if let Ok(seen) = host.query(&args.asking(Command::new(["env", "-0"])))
        && seen.success()
    {
        let text = seen.text();
        let pairs = text.split('\0').filter_map(|line| line.split_once('='));
        env = pairs.map(|(k, v)| (Key::from(k), Value::from(v))).collect();
    }
    facts.put("env", env);
    Ok(())
}

pub(super) fn date_time(_: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let now = jiff::Zoned::now();
    let utc = now.with_time_zone(jiff::tz::TimeZone::UTC);
    let mut d = Dict::new();
    for (name, format) in [
        ("date", "%Y-%m-%d"),
        ("day", "%d"),
        ("hour", "%H"),
        ("minute", "%M"),
        ("month", "%m"),
        ("second", "%S"),
        ("time", "%H:%M:%S"),
        ("tz", "%Z"),
        ("tz_offset", "%z"),
        ("weekday", "%A"),
        ("weekday_number", "%w"),
        ("weeknumber", "%W"),
        ("year", "%Y"),
        ("iso8601_basic", "%Y%m%dT%H%M%S%6f"),
        ("iso8601_basic_short", "%Y%m%dT%H%M%S"),
    ] {
        d.insert(Key::from(name), now.strftime(format).to_string().into());
    }
    let epoch = now.timestamp().as_second().to_string();
    d.insert("epoch".into(), epoch.as_str().into());
    d.insert("epoch_int".into(), epoch.into());
    d.insert("iso8601".into(), utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    d.insert("iso8601_micro".into(), utc.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into());
    let is_dst = jiff::tz::TimeZone::system().to_offset_info(now.timestamp()).dst().is_dst();
    d.insert("tz_dst".into(), if is_dst { now.strftime("%Z").to_string() } else { "UTC".into() }.into());
    facts.put("date_time", d);
    Ok(())
}

pub(super) fn cmdline(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let line = text(host, "/proc/cmdline")?.unwrap_or_default();
    let words = crate::modules::shell_words::split(&line)
        .unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect());
    let mut last = Dict::new();
    let mut all: Dict = Dict::new();
    for word in &words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Value::str(value)),
            None => (word.as_str(), Value::Bool(true)),
        };
        last.insert(Key::from(name), value.clone());
        let merged = match all.get(name) {
            // A word that comes twice has a list of values.
            Some(Value::List(l)) => Value::list(l.iter().cloned().chain([value]).collect()),
            Some(one @ Value::Str(_)) => Value::list(vec![one.clone(), value]),
            _ => value,
        };
        all.insert(Key::from(name), merged);
    }
    facts.put("cmdline", last);
    facts.put("proc_cmdline", all);
    Ok(())
}

pub(super) fn dns(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let conf = text(host, "/etc/resolv.conf")?.unwrap_or_default();
    let mut dns = Dict::new();
    let (mut servers, mut sortlist, mut options) = (Vec::new(), Vec::new(), Dict::new());
    for line in conf.lines() {
        let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.map(Value::str)),
            Some("domain") => {
                if let Some(name) = words.next() {
                    dns.insert("domain".into(), name.into());
                }
            }
            Some("search") => {
                dns.insert("search".into(), words.collect());
            }
            Some("sortlist") => sortlist.extend(words.map(Value::str)),
            Some("options") => {
                for option in words {
                    let (name, value) = option.split_once(':').map_or((option, true.into()), |(n, v)| (n, v.into()));
                    options.insert(Key::from(name), value);
                }
            }
            _ => {}
        }
    }
    if !servers.is_empty() {
        dns.insert("nameservers".into(), servers.into());
    }
    if !sortlist.is_empty() {
        dns.insert("sortlist".into(), sortlist.into());
    }
    if !options.is_empty() {
        dns.insert("options".into(), options.into());
    }
    facts.put("dns", dns);
    Ok(())
}

pub(super) fn fips(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    facts.put("fips", text(host, "/proc/sys/crypto/fips_enabled")?.as_deref() == Some("1"));
    Ok(())
}

pub(super) fn apparmor(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let enabled = exists(host, "/sys/kernel/security/apparmor")?;
    facts.put("apparmor", dict! {"status" => if enabled { "enabled" } else { "disabled" }});
    Ok(())
}

pub(super) fn selinux(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    facts.put("selinux_python_present", true);
    let Some(enforce) = text(host, "/sys/fs/selinux/enforce")? else {
        facts.put("selinux", dict! {"status" => "disabled"});
        return Ok(());
    };
    let config = text(host, "/etc/selinux/config")?.unwrap_or_default();
    let set = |name: &str| config.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("unknown").trim().to_owned();
    let mode = if enforce == "1" { "enforcing" } else { "permissive" };
    let version = text(host, "/sys/fs/selinux/policyvers")?.and_then(|v| v.parse::<i64>().ok());
    facts.put(
        "selinux",
        dict! {
            "status" => "enabled",
            "mode" => mode,
            "config_mode" => set("SELINUX="),
            "type" => set("SELINUXTYPE="),
            "policyvers" => version,
        },
    );
    Ok(())
}

pub(super) fn service_mgr(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let first = text(host, "/proc/1/comm")?.unwrap_or_default();
    let manager = match first.as_str() {
        "runit-init" => "runit".to_owned(),
        "svscan" => "svc".to_owned(),
        "openrc-init" => "openrc".to_owned(),
        // Names that tell nothing: what is installed and alive decides.
        "" | "init" | "sh" | "bash" | "sleep" | "tail" | "tini" | "docker-init" | "dumb-init" => {
            if exists(host, "/run/systemd/system")? {
                "systemd".to_owned()
            } else if exists(host, "/sbin/openrc")? {
                "openrc".to_owned()
            } else if exists(host, "/etc/init.d")? {
                "sysvinit".to_owned()
            } else {
                "service".to_owned()
            }
        }
        other => other.to_owned(),
    };
    facts.put("service_mgr", manager);
    Ok(())
}

pub(super) fn ssh_pub_keys(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    for dir in ["/etc/ssh", "/etc/openssh", "/etc"] {
        let mut found = false;
        for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let key = text(host, &format!("{dir}/ssh_host_{kind}_key.pub"))?;
            if let Some((keytype, key)) = key.as_deref().and_then(|k| k.split_once(' ')) {
                let key = key.split_whitespace().next().unwrap_or_default();
                facts.put(&format!("ssh_host_key_{kind}_public"), key);
                facts.put(&format!("ssh_host_key_{kind}_public_keytype"), keytype);
                found = true;
            }
        }
        if found {
            break;
        }
    }
    Ok(())
}

pub(super) fn chroot(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    // Only root may see where the first process has its root.
    let first = host.stat("/proc/1/root/.".as_ref(), true);
    let ours = host.stat("/".as_ref(), true)?;
    let chroot = match (first, ours) {
        (Ok(Some(first)), Some(ours)) => (first.device, first.inode) != (ours.device, ours.inode),
        // Else the inode of a filesystem's root tells: of ext, btrfs, xfs.
        (_, Some(ours)) => ![2, 256, 128].contains(&ours.inode),
        (_, None) => false,
    };
    facts.put("is_chroot", chroot);
    Ok(())
}

pub(super) fn loadavg(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let line = text(host, "/proc/loadavg")?.unwrap_or_default();
    let mut load = Dict::new();
    for (name, word) in ["1m", "5m", "15m"].into_iter().zip(line.split_whitespace()) {
        load.insert(Key::from(name), word.parse::<f64>().unwrap_or_default().into());
    }
    facts.put("loadavg", load);
    Ok(())
}

pub(super) fn virtualization(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let environ = text(host, "/proc/1/environ")?.unwrap_or_default();
    let container = environ.split('\0').find_map(|e| e.strip_prefix("container=")).map(str::to_owned);
    let product = text(host, "/sys/devices/virtual/dmi/id/product_name")?.unwrap_or_default();
    let vendor = text(host, "/sys/devices/virtual/dmi/id/sys_vendor")?.unwrap_or_default();
    let cpuinfo = text(host, "/proc/cpuinfo")?.unwrap_or_default();
    let mut guest = Vec::new();
    if exists(host, "/.dockerenv")? || exists(host, "/.dockerinit")? {
        guest.push("docker".to_owned());
    }
    if exists(host, "/run/.containerenv")? {
        guest.push("podman".to_owned());
    }
    guest.extend(container.filter(|c| !guest.contains(c)));
    let dmi = [
        ("KVM", "kvm"),
        ("Standard PC", "kvm"),
        ("VirtualBox", "virtualbox"),
        ("VMware", "VMware"),
        ("Virtual Machine", "VirtualPC"),
        ("RHEV Hypervisor", "RHEV"),
        ("oVirt", "oVirt"),
        ("OpenStack", "openstack"),
        ("BHYVE", "bhyve"),
        ("HVM domU", "xen"),
    ];
    if let Some((_, kind)) = dmi.iter().find(|(name, _)| product.contains(name)) {
        guest.push((*kind).to_owned());
    } else if vendor.contains("QEMU") || vendor.contains("Amazon EC2") {
        guest.push("kvm".to_owned());
    }
    let modules = text(host, "/proc/modules")?.unwrap_or_default();
    let hosts: Vec<&str> = [("kvm ", "kvm"), ("vboxdrv ", "virtualbox")]
        .into_iter()
        .filter(|(module, _)| modules.lines().any(|l| l.starts_with(module)))
        .map(|(_, kind)| kind)
        .collect();
    let kvm_host = matches!(host.stat("/dev/kvm".as_ref(), true)?, Some(s) if s.kind == FileKind::CharDevice);
    let under_hypervisor =
        cpuinfo.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == "hypervisor"));
    let (kind, role) = match (guest.first(), hosts.first()) {
        (Some(kind), _) => (kind.clone(), "guest"),
        (None, Some(kind)) => ((*kind).to_owned(), "host"),
        (None, None) if under_hypervisor => ("NA".to_owned(), "guest"),
        (None, None) if kvm_host => ("kvm".to_owned(), "host"),
        (None, None) => ("NA".to_owned(), "NA"),
    };
    facts.put("virtualization_type", kind);
    facts.put("virtualization_role", role);
    facts.put("virtualization_tech_guest", guest.iter().map(String::as_str).collect::<Value>());
    facts.put("virtualization_tech_host", hosts.into_iter().collect::<Value>());
    Ok(())
}
