//! `sm-dump`, `sm-query`, `sm-restart`, `drbd-overview`, `ceph`.

use super::{Invocation, Reply};
use crate::system::System;

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
pub fn run(system: &System, call: &Invocation) -> Reply {
    let program = call.argv[0].rsplit('/').next().unwrap_or("");
    if call.uid != 0 && program != "ceph" {
        return Reply::fail(1, format!("{program}: must be run as root"));
    }
    let args: Vec<&str> = call.argv[1..].iter().map(String::as_str).collect();
    let up = system.database_present && call.local.active_units.iter().any(|u| u == "sm");
    match program {
        "sm-dump" if !up => Reply::ok("/var/run/sm/sm.db not available.\n"),
        "sm-dump" => Reply::ok(dump(system)),
        "sm-query" => query(system, &args, up),
        "sm-restart" | "sm-manage" | "sm-unmanage" => match args.as_slice() {
            ["service", name] if SERVICES.contains(name) => Reply::ok(""),
            _ => Reply::fail(1, format!("usage: {program} service <service-name>")),
        },
        "drbd-overview" => Reply::ok(drbd(system)),
        _ => Reply::ok(if args.contains(&"health") { "HEALTH_OK\n" } else { "  cluster:\n    health: HEALTH_OK\n" }),
    }
}

/// Services are active when the host that runs them is enabled, or at least the platform answers.
fn state(system: &System, service: &str) -> &'static str {
    let enabled = system.hosts.iter().any(|h| h.hostname == system.active && h.operational == "enabled");
    // What needs the worker side of the host is off while the host is locked.
    if enabled || !matches!(service, "vim" | "vim-api" | "vim-webserver" | "pci-irq-affinity-agent") {
        "enabled-active"
    } else {
        "disabled"
    }
}

fn dump(system: &System) -> String {
    let rule = "-".repeat(78);
    let mut out = format!("\n-Service_Groups{}\n", "-".repeat(63));
    for group in GROUPS {
        out.push_str(&format!("{group:<32} {:<20} {:<20}\n", "active", "active"));
    }
    out.push_str(&format!("{rule}\n\n-Services{}\n", "-".repeat(69)));
    for service in SERVICES {
        out.push_str(&format!("{service:<32} {:<20} {:<20}\n", "enabled-active", state(system, service)));
    }
    out.push_str(&format!("{rule}\n"));
    out
}

fn query(system: &System, args: &[&str], up: bool) -> Reply {
    match args {
        ["service", name] if !up || !SERVICES.contains(name) => Reply::ok(format!("{name} is disabled.\n")),
        ["service", name] => Reply::ok(format!("{name} is {}\n", state(system, name))),
        ["service-group", name] => Reply::ok(format!("{name} {}\n", if up { "active" } else { "disabled" })),
        _ => Reply::fail(1, "usage: sm-query [service|service-group] <name>"),
    }
}

/// On simplex the resources have no peer.
fn drbd(system: &System) -> String {
    let state = if system.simplex() { "Unconfigured . ." } else { "Connected Primary/Secondary UpToDate/UpToDate" };
    DRBD.iter().enumerate().map(|(i, name)| format!(" {i}:{name}/0  {state}\n")).collect()
}
