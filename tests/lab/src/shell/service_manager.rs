//! `sm-dump`, `sm-query`, `sm-restart`, `drbd-overview`.

use super::{Invocation, Reply};
use crate::system::{Sync, System};

const SERVICES: &[&str] = &[
    "oam-ip",
    "management-ip",
    "drbd-pg",
    "drbd-rabbit",
    "drbd-platform",
    "pg-fs",
    "rabbit-fs",
    "platform-fs",
    "postgres",
    "rabbit",
    "platform-export-fs",
    "etcd-fs",
    "drbd-etcd",
    "etcd",
    "docker-distribution",
    "drbd-dockerdistribution",
    "registry-token-server",
    "sysinv-inv",
    "sysinv-conductor",
    "mtc-agent",
    "hw-mon",
    "hbs-agent",
    "dnsmasq",
    "fm-mgr",
    "keystone",
    "open-ldap",
    "lighttpd",
    "horizon",
    "patch-alarm-manager",
    "vim-api",
    "vim",
    "vim-webserver",
    "haproxy",
    "pci-irq-affinity-agent",
    "barbican-api",
    "cert-mon",
    "cert-alarm",
];
const GROUPS: &[&str] = &[
    "oam-services",
    "controller-services",
    "cloud-services",
    "patching-services",
    "directory-services",
    "web-services",
    "storage-services",
    "vim-services",
];
const DRBD: &[&str] =
    &["drbd-pgsql", "drbd-rabbit", "drbd-platform", "drbd-extension", "drbd-etcd", "drbd-dockerdistribution"];

/// Run one of the service manager's commands, or a storage overview.
pub fn run(system: &System, call: &Invocation, host: &str) -> Reply {
    let program = call.argv[0].rsplit('/').next().unwrap_or("");
    if call.uid != 0 && program != "ceph" {
        return Reply::fail(1, format!("{program}: must be run as root"));
    }
    let args: Vec<&str> = call.argv[1..].iter().map(String::as_str).collect();
    let up = system.database_present && call.local.active_units.iter().any(|u| u == "sm");
    match program {
        "sm-dump" if !up => Reply::ok("/var/run/sm/sm.db not available.\n"),
        "sm-dump" => Reply::ok(dump(system, host)),
        "sm-query" => query(system, &args, up, host),
        "sm-restart" | "sm-manage" | "sm-unmanage" => match args.as_slice() {
            ["service", name] if SERVICES.contains(name) => Reply::ok(""),
            _ => Reply::fail(1, format!("usage: {program} service <service-name>")),
        },
        "drbd-overview" => Reply::ok(drbd(system, host)),
        _ => super::ceph::run(system, &args),
    }
}

/// Services are active when the host that runs them is enabled, or at least the platform answers.
fn state(system: &System, service: &str, host: &str) -> &'static str {
    if host != system.active {
        return "enabled-standby";
    }
    if !system.services_up {
        return "disabled";
    }
    let enabled = system.hosts.iter().any(|h| h.hostname == host && h.operational == "enabled");
    // What needs the worker side of the host is off while the host is locked.
    if enabled || !matches!(service, "vim" | "vim-api" | "vim-webserver" | "pci-irq-affinity-agent") {
        "enabled-active"
    } else {
        "disabled"
    }
}

fn dump(system: &System, host: &str) -> String {
    let rule = "-".repeat(78);
    let role = if host == system.active { "active" } else { "standby" };
    let mut out = format!("\n-Service_Groups{}\n", "-".repeat(63));
    for group in GROUPS {
        out.push_str(&format!("{group:<32} {role:<20} {role:<20}\n"));
    }
    out.push_str(&format!("{rule}\n\n-Services{}\n", "-".repeat(69)));
    for service in SERVICES {
        out.push_str(&format!("{service:<32} enabled-{role:<12} {:<20}\n", state(system, service, host)));
    }
    out.push_str(&format!("{rule}\n"));
    out
}

fn query(system: &System, args: &[&str], up: bool, host: &str) -> Reply {
    match args {
        ["service", name] if !up || !SERVICES.contains(name) => Reply::ok(format!("{name} is disabled.\n")),
        ["service", name] => Reply::ok(format!("{name} is {}\n", state(system, name, host))),
        ["service-group", name] => Reply::ok(format!("{name} {}\n", if up { "active" } else { "disabled" })),
        _ => Reply::fail(1, "usage: sm-query [service|service-group] <name>"),
    }
}

/// On simplex the resources have no peer. Whoever's copy is not whole says so; nothing else does.
fn drbd(system: &System, host: &str) -> String {
    let active = host == system.active && system.services_up;
    let roles = |whole: bool| match (active, whole) {
        (true, true) => "Primary/Secondary UpToDate/UpToDate",
        (true, false) => "Primary/Secondary UpToDate/Inconsistent",
        (false, true) => "Secondary/Primary UpToDate/UpToDate",
        (false, false) => "Secondary/Primary Inconsistent/UpToDate",
    };
    let mut progress = String::new();
    let state = match system.sync {
        _ if system.simplex() => "Unconfigured . .".to_string(),
        Sync::Synced => format!("Connected {} C r-----", roles(true)),
        Sync::Disconnected if active => "WFConnection Primary/Unknown UpToDate/DUnknown C r-----".into(),
        Sync::Disconnected => "WFConnection Secondary/Unknown Inconsistent/DUnknown C r-----".into(),
        Sync::Syncing { from, to } => {
            let part = ((system.clock.now() - from) / (to - from)).clamp(0.0, 0.999);
            let done = (part * 20.0) as usize;
            progress = format!(
                "\n    [{}>{}] sync'ed: {:.1}% ({}/20480)M",
                "=".repeat(done),
                ".".repeat(20 - done),
                part * 100.0,
                ((1.0 - part) * 20480.0) as u64
            );
            format!("{} {} C r-----", if active { "SyncSource" } else { "SyncTarget" }, roles(false))
        }
    };
    DRBD.iter().enumerate().map(|(i, name)| format!(" {i}:{name}/0  {state}{progress}\n")).collect()
}
