//! `ceph`: the status of the storage cluster.

use super::Reply;
use crate::system::System;
use crate::system::storage::{Ceph, REPLICATION};
use serde_json::json;

/// Run one `ceph` command line.
pub fn run(system: &System, args: &[&str]) -> Reply {
    let as_json = args.windows(2).any(|w| matches!(w, ["-f" | "--format", "json" | "json-pretty"]))
        || args.contains(&"--format=json");
    let words: Vec<&str> = args.iter().copied().filter(|a| !a.starts_with('-') && !a.starts_with("json")).collect();
    let Some(ceph) = system.ceph() else {
        return Reply::ok(if words.first() == Some(&"health") {
            "HEALTH_OK\n"
        } else {
            "  cluster:\n    health: HEALTH_OK\n"
        });
    };
    let reply = match words.as_slice() {
        [] if args.contains(&"-s") => status(system, &ceph, as_json),
        ["status" | "s"] => status(system, &ceph, as_json),
        ["health", ..] => health(&ceph, as_json, words.contains(&"detail")),
        ["osd", "tree"] => tree(&ceph, as_json),
        ["osd", "stat"] => format!("{}\n", osd_line(&ceph)),
        _ => return Reply::fail(22, "no valid command found\nError EINVAL: invalid command"),
    };
    Reply::ok(reply)
}

fn osd_line(ceph: &Ceph) -> String {
    let (all, up) = (ceph.osds.len(), ceph.osds.iter().filter(|(_, up)| *up).count());
    format!("{all} osds: {up} up, {all} in")
}

fn health(ceph: &Ceph, as_json: bool, detail: bool) -> String {
    if as_json {
        return format!("{}\n", json!({ "status": ceph.health(), "checks": ceph.reasons() }));
    }
    let reasons = ceph.reasons();
    let mut out = ceph.health().to_string();
    if !reasons.is_empty() {
        out.push_str(&format!(" {}", reasons.join("; ")));
    }
    out.push('\n');
    if detail {
        reasons.iter().for_each(|reason| out.push_str(&format!("    {reason}\n")));
    }
    out
}

fn status(system: &System, ceph: &Ceph, as_json: bool) -> String {
    let down = ceph.osds.iter().filter(|(_, up)| !up).count();
    if as_json {
        return format!(
            "{}\n",
            json!({
                "fsid": system.info.uuid, "health": { "status": ceph.health(), "checks": ceph.reasons() },
                "quorum_names": ceph.quorum,
                "osdmap": { "osdmap": { "num_osds": ceph.osds.len(), "num_up_osds": ceph.osds.len() - down } },
            })
        );
    }
    let mut out = format!("  cluster:\n    id:     {}\n    health: {}\n", system.info.uuid, ceph.health());
    for reason in ceph.reasons() {
        out.push_str(&format!("            {reason}\n"));
    }
    let missing: Vec<&str> = ceph.monitors.iter().filter(|m| !ceph.quorum.contains(m)).map(String::as_str).collect();
    let out_of_quorum =
        if missing.is_empty() { String::new() } else { format!(", out of quorum: {}", missing.join(", ")) };
    out.push_str(&format!(
        "\n  services:\n    mon: {} daemons, quorum {}{out_of_quorum}\n    mgr: {}(active)\n    osd: {}\n",
        ceph.monitors.len(),
        ceph.quorum.join(","),
        system.active,
        osd_line(ceph)
    ));
    let degraded = if down > 0 || ceph.recovering { 64 * down.max(1) / ceph.osds.len().max(1) } else { 0 };
    let word = if down > 0 { "active+undersized+degraded" } else { "active+recovering+degraded" };
    out.push_str("\n  data:\n    pools:   4 pools, 256 pgs\n    objects: 1024 objects, 2.1 GiB\n    usage:   4.4 GiB used, 891 GiB / 895 GiB avail\n");
    out.push_str(&format!("    pgs:     {} active+clean\n", 256 - degraded));
    if degraded > 0 {
        out.push_str(&format!("             {degraded} {word}\n"));
    }
    out + "\n"
}

fn tree(ceph: &Ceph, as_json: bool) -> String {
    if as_json {
        let mut nodes = vec![json!({ "id": -1, "name": "storage-tier", "type": "root" })];
        for (i, (host, up)) in ceph.osds.iter().enumerate() {
            nodes.push(json!({
                "id": i, "name": format!("osd.{i}"), "type": "osd", "host": host,
                "group": format!("group-{}", i / REPLICATION), "status": if *up { "up" } else { "down" },
            }));
        }
        return format!("{}\n", json!({ "nodes": nodes }));
    }
    let total = ceph.osds.len() as f64 * 0.43649;
    let mut out = "ID CLASS WEIGHT  TYPE NAME                 STATUS REWEIGHT PRI-AFF\n".to_string();
    out.push_str(&format!("-1       {total:.5} root storage-tier\n"));
    for (i, group) in ceph.osds.chunks(REPLICATION).enumerate() {
        out.push_str(&format!("-{}       {:.5}     chassis group-{i}\n", i * 10 + 2, group.len() as f64 * 0.43649));
        for (j, (host, up)) in group.iter().enumerate() {
            let osd = i * REPLICATION + j;
            out.push_str(&format!("-{}       0.43649         host {host}\n", i * 10 + j + 3));
            let (name, status) = (format!("osd.{osd}"), if *up { "up" } else { "down" });
            out.push_str(&format!("{osd:>2}   ssd 0.43649             {name:<12} {status:>8}  1.00000 1.00000\n"));
        }
    }
    out
}
