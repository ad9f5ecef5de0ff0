//! Facts of processors, memory, mounted filesystems, devices and the machine.

use std::path::Path;

use super::{Args, Facts, text};
use crate::action::host::{HostError, Look};
use crate::dict;
use crate::model::value::{Dict, Key, Value};

pub(super) fn processor(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let cpuinfo = text(host, "/proc/cpuinfo")?.unwrap_or_default();
    let mut processors = Vec::new();
    let mut sockets: Vec<(String, i64)> = Vec::new();
    let (mut count, mut siblings, mut cores) = (0i64, 0i64, 0i64);
    let mut socket = String::new();
    for line in cpuinfo.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        match name {
            "processor" => {
                processors.push(Value::str(value));
                count += 1;
            }
            "vendor_id" | "model name" | "cpu" | "CPU implementer" => processors.push(Value::str(value)),
            "physical id" => {
                value.clone_into(&mut socket);
                if !sockets.iter().any(|(s, _)| *s == socket) {
                    sockets.push((socket.clone(), 1));
                }
            }
            "siblings" => siblings = value.parse().unwrap_or(0),
            "cpu cores" => {
                cores = value.parse().unwrap_or(1);
                if let Some(entry) = sockets.iter_mut().find(|(s, _)| *s == socket) {
                    entry.1 = cores;
                }
            }
            "flags" if facts.get("flags").is_none() => {
                facts.put("flags", value.split_whitespace().collect::<Value>());
            }
            _ => {}
        }
    }
    // Without topology each processor is one of its own, as on ARM.
    let sockets_count = if sockets.is_empty() { count } else { sockets.len() as i64 };
    let cores = if sockets.is_empty() { 1 } else { cores.max(1) };
    let threads = if siblings > 0 { (siblings / cores).max(1) } else { 1 };
    facts.put("processor", processors);
    facts.put("processor_count", sockets_count);
    facts.put("processor_cores", cores);
    facts.put("processor_threads_per_core", threads);
    facts.put("processor_vcpus", threads * sockets_count * cores);
    facts.put("processor_nproc", std::thread::available_parallelism().map_or(count, |n| n.get() as i64));
    Ok(())
}

pub(super) fn memory(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let meminfo = text(host, "/proc/meminfo")?.unwrap_or_default();
    let mb = |name: &str| -> i64 {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|l| l.split_whitespace().next()?.parse::<i64>().ok()).unwrap_or(0) / 1024
    };
    let (total, free) = (mb("MemTotal"), mb("MemFree"));
    let (swap, swap_free) = (mb("SwapTotal"), mb("SwapFree"));
    let unused = free + mb("Cached") + mb("Buffers");
    facts.put("memtotal_mb", total);
    facts.put("memfree_mb", free);
    facts.put("swaptotal_mb", swap);
    facts.put("swapfree_mb", swap_free);
    facts.put(
        "memory_mb",
        dict! {
            "real" => dict! {"total" => total, "used" => total - free, "free" => free},
            "nocache" => dict! {"free" => unused, "used" => total - unused},
            "swap" => dict! {"total" => swap, "free" => swap_free, "used" => swap - swap_free, "cached" => mb("SwapCached")},
        },
    );
    Ok(())
}

pub(super) fn uptime(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    if let Some(line) = text(host, "/proc/uptime")? {
        let seconds = line.split_whitespace().next().and_then(|w| w.parse::<f64>().ok());
        facts.put("uptime_seconds", seconds.map(|s| s as i64));
    }
    Ok(())
}

/// A field of a mount table, in which blanks and the like are written in octal.
pub(super) fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|c| u8::from_str_radix(c, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

pub(super) fn mounts(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let table = text(host, "/proc/self/mounts")?.unwrap_or_default();
    let uuids = device_uuids(host)?;
    let mut mounts = Vec::new();
    for line in table.lines() {
        let fields: Vec<String> = line.split(' ').map(unescape).collect();
        let [device, mount, fstype, options, dump, passno, ..] = fields.as_slice() else { continue };
        if !device.starts_with(['/', '\\']) && !device.contains(":/") || fstype == "none" {
            continue;
        }
        let real = crate::modules::paths::real_path(host, Path::new(device)).unwrap_or_else(|_| device.into());
        let mut entry = dict! {
            "mount" => mount.as_str(),
            "device" => device.as_str(),
            "fstype" => fstype.as_str(),
            "options" => options.as_str(),
            "dump" => dump.parse::<i64>().unwrap_or(0),
            "passno" => passno.parse::<i64>().unwrap_or(0),
            "uuid" => uuids.iter().find(|(path, _)| *path == real).map_or("N/A", |(_, uuid)| uuid.as_str()),
        };
        entry.extend(measured(mount, fstype));
        mounts.push(Value::dict(entry));
    }
    facts.put("mounts", mounts);
    Ok(())
}

/// Sizes of what is mounted on a directory; none where they cannot be had.
pub fn measured(mount: &str, fstype: &str) -> Dict {
    let mut sizes = Dict::new();
    // A filesystem whose server is gone must not hold up the others: only local ones are measured.
    if !matches!(fstype, "nfs" | "nfs4" | "cifs" | "smb3" | "fuse.sshfs")
        && let Ok(s) = nix::sys::statvfs::statvfs(mount)
    {
        let unit = s.fragment_size();
        for (name, value) in [
            ("size_total", s.blocks() * unit),
            ("size_available", s.blocks_available() * unit),
            ("block_size", unit),
            ("block_total", s.blocks()),
            ("block_available", s.blocks_available()),
            ("block_used", s.blocks().saturating_sub(s.blocks_available())),
            ("inode_total", s.files()),
            ("inode_available", s.files_free()),
            ("inode_used", s.files().saturating_sub(s.files_free())),
        ] {
            sizes.insert(Key::from(name), value.into());
        }
    }
    sizes
}

/// The fields of a line of `fstab` or its kin.
pub fn table_fields(line: &str) -> Vec<String> {
    line.split_whitespace().map(unescape).collect()
}

/// Devices by the UUID of what is on them.
pub fn device_uuids(host: &mut dyn Look) -> Result<Vec<(std::path::PathBuf, String)>, HostError> {
    let dir = Path::new("/dev/disk/by-uuid");
    if host.stat(dir, true)?.is_none() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for uuid in host.list(dir)? {
        found.push((crate::modules::paths::real_path(host, &dir.join(&uuid))?, uuid));
    }
    Ok(found)
}

pub(super) fn dmi(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    for (fact, file) in [
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_asset_tag", "board_asset_tag"),
        ("board_name", "board_name"),
        ("board_serial", "board_serial"),
        ("board_vendor", "board_vendor"),
        ("board_version", "board_version"),
        ("chassis_asset_tag", "chassis_asset_tag"),
        ("chassis_serial", "chassis_serial"),
        ("chassis_vendor", "chassis_vendor"),
        ("chassis_version", "chassis_version"),
        ("form_factor", "chassis_type"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
    ] {
        let value = text(host, &format!("/sys/devices/virtual/dmi/id/{file}"))?.map(|v| v.trim().to_owned());
        facts.put(fact, value.filter(|v| !v.is_empty()).unwrap_or_else(|| "NA".into()));
    }
    Ok(())
}

pub(super) fn devices(host: &mut dyn Look, _: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let dir = Path::new("/sys/block");
    let mut devices = Dict::new();
    let names = if host.stat(dir, true)?.is_some() { host.list(dir)? } else { Vec::new() };
    for name in names {
        let at = format!("/sys/block/{name}");
        let sectors = number(text(host, &format!("{at}/size"))?);
        // Loop devices that hold nothing tell nothing.
        if name.starts_with("loop") && sectors == 0 {
            continue;
        }
        let mut partitions = Dict::new();
        for part in host.list(Path::new(&at))?.into_iter().filter(|p| p.starts_with(&name)) {
            let part_sectors = number(text(host, &format!("{at}/{part}/size"))?);
            let start = text(host, &format!("{at}/{part}/start"))?;
            let entry = dict! {
                "start" => start,
                "sectors" => part_sectors,
                "sectorsize" => 512,
                "size" => human(part_sectors * 512),
            };
            partitions.insert(Key::from(part), entry.into());
        }
        let entry = dict! {
            "vendor" => text(host, &format!("{at}/device/vendor"))?.map(|v| v.trim().to_owned()),
            "model" => text(host, &format!("{at}/device/model"))?.map(|v| v.trim().to_owned()),
            "removable" => text(host, &format!("{at}/removable"))?,
            "rotational" => text(host, &format!("{at}/queue/rotational"))?,
            "sectorsize" => text(host, &format!("{at}/queue/logical_block_size"))?.unwrap_or_else(|| "512".into()),
            "sectors" => sectors,
            "size" => human(sectors * 512),
            "partitions" => partitions,
            "holders" => host.list(Path::new(&format!("{at}/holders"))).unwrap_or_default().iter().map(String::as_str).collect::<Value>(),
        };
        devices.insert(Key::from(name), entry.into());
    }
    facts.put("devices", devices);
    Ok(())
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

/// Bytes as Ansible's facts print them: `256.00 GB`.
fn human(bytes: u64) -> String {
    for (unit, name) in [(1u64 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")] {
        if bytes >= unit {
            return format!("{:.2} {name}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes:.2} Bytes", bytes = bytes as f64)
}
