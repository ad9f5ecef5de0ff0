//! The `sw-patch` client.

use super::{Invocation, Reply};
use crate::system::time::Event;
use crate::system::{Patch, System};

/// Run one `sw-patch` command line.
pub fn run(system: &mut System, call: &Invocation, host: &str) -> Reply {
    let args: Vec<&str> = call.argv[1..].iter().map(String::as_str).collect();
    let Some(&command) = args.first() else {
        return Reply::fail(1, "Usage: sw-patch <command> [options]");
    };
    if !matches!(command, "query" | "query-hosts" | "what-requires") && call.uid != 0 {
        return Reply::fail(1, "Error: Command must be run as sudo or root");
    }
    let ids: Vec<&str> = args[1..].iter().copied().filter(|a| !a.starts_with('-')).collect();
    match command {
        "query" => Reply::ok(query(system)),
        "query-hosts" => Reply::ok(query_hosts(system)),
        "upload" => upload(system, call, &ids),
        "apply" => apply(system, &ids, args.contains(&"--all")),
        "remove" => one_by_one(&ids, |id| remove(system, id)),
        "delete" => one_by_one(&ids, |id| delete(system, id)),
        "host-install" | "host-install-async" => host_install(system, ids.first().copied().unwrap_or(""), command),
        "install-local" => {
            if let Ok(at) = system.find(host) {
                system.hosts[at].patch_current = true;
                system.changed(format!("patch-installed {host}"));
            }
            Reply::ok("Patch installation was successful.\n")
        }
        other => Reply::fail(1, format!("Unknown command: {other}")),
    }
}

fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> =
        (0..head.len()).map(|i| rows.iter().map(|r| r[i].len()).chain([head[i].len()]).max().unwrap_or(0)).collect();
    let line = |cells: Vec<String>| cells.join("  ").trim_end().to_string() + "\n";
    let mut out = line(head.iter().zip(&widths).map(|(h, &w)| format!("{h:^w$}")).collect());
    out.push_str(&line(widths.iter().map(|w| "=".repeat(*w)).collect()));
    for row in rows {
        out.push_str(&line(
            row.iter()
                .zip(&widths)
                .enumerate()
                .map(|(i, (c, &w))| if i == 0 { format!("{c:<w$}") } else { format!("{c:^w$}") })
                .collect(),
        ));
    }
    out
}

fn query(system: &System) -> String {
    let rows: Vec<Vec<String>> = system
        .patches
        .iter()
        .map(|p| {
            vec![p.id.clone(), if p.reboot_required { "Y" } else { "N" }.into(), p.release.clone(), p.state.clone()]
        })
        .collect();
    columns(&["Patch ID", "RR", "Release", "Patch State"], &rows)
}

fn query_hosts(system: &System) -> String {
    let yes = |b: bool| if b { "Yes" } else { "No" }.to_string();
    let rows: Vec<Vec<String>> = system
        .hosts
        .iter()
        .map(|h| {
            vec![
                h.hostname.clone(),
                h.mgmt_ip.clone(),
                yes(h.patch_current),
                yes(h.reboot_needed),
                h.running_release.clone(),
                "idle".into(),
            ]
        })
        .collect();
    columns(&["Hostname", "IP Address", "Patch Current", "Reboot Required", "Release", "State"], &rows)
}

fn upload(system: &mut System, call: &Invocation, files: &[&str]) -> Reply {
    let mut out = String::new();
    for file in files {
        if !call.local.files.get(*file).is_some_and(|seen| seen.exists) {
            return Reply::fail(1, format!("File does not exist: {file}"));
        }
        let id = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".patch").to_string();
        if system.patches.iter().any(|p| p.id == id) {
            out.push_str(&format!("{id} is already imported. Updated metadata only\n"));
        } else {
            let reboot_required = call.local.files.get(*file).is_some_and(|f| f.text.contains("reboot_required=Y"));
            let release = system.info.software_version.clone();
            system.patches.push(Patch { id: id.clone(), reboot_required, release, state: "Available".into() });
            system.changed(format!("patch-uploaded {id}"));
            out.push_str(&format!("{id} is now available\n"));
        }
    }
    Reply::ok(out)
}

fn apply(system: &mut System, ids: &[&str], all: bool) -> Reply {
    let ids: Vec<String> = if all {
        system.patches.iter().filter(|p| p.state == "Available").map(|p| p.id.clone()).collect()
    } else {
        ids.iter().map(|id| (*id).to_string()).collect()
    };
    let mut out = String::new();
    for id in ids {
        match system.patches.iter_mut().find(|p| p.id == id) {
            None => return Reply::fail(1, format!("Patch {id} does not exist")),
            Some(patch) if patch.state != "Available" => out.push_str(&format!("{id} is already in the repo\n")),
            Some(patch) => {
                patch.state = "Partial-Apply".into();
                let reboot = patch.reboot_required;
                for host in &mut system.hosts {
                    host.patch_current = false;
                    host.reboot_needed |= reboot;
                }
                system.changed(format!("patch-applied {id}"));
                system.raise("900.001", "host=controller", "minor", "Patching operation in progress.");
                out.push_str(&format!("{id} is now in the repo\n"));
            }
        }
    }
    Reply::ok(out)
}

fn one_by_one(ids: &[&str], mut each: impl FnMut(&str) -> Result<String, String>) -> Reply {
    let mut out = String::new();
    for id in ids {
        match each(id) {
            Ok(text) => out.push_str(&format!("{text}\n")),
            Err(text) => {
                return Reply { out, ..Reply::fail(1, text) };
            }
        }
    }
    Reply::ok(out)
}

fn remove(system: &mut System, id: &str) -> Result<String, String> {
    let patch = system.patches.iter_mut().find(|p| p.id == id).ok_or(format!("Patch {id} does not exist"))?;
    patch.state = "Available".into();
    for host in &mut system.hosts {
        host.patch_current = false;
    }
    system.raise("900.001", "host=controller", "minor", "Patching operation in progress.");
    system.changed(format!("patch-removed {id}"));
    Ok(format!("{id} has been removed from the repo"))
}

fn delete(system: &mut System, id: &str) -> Result<String, String> {
    let at = system.patches.iter().position(|p| p.id == id).ok_or(format!("Patch {id} does not exist"))?;
    if system.patches[at].state != "Available" {
        return Err(format!("Patch {id} not in Available state"));
    }
    system.patches.remove(at);
    system.changed(format!("patch-deleted {id}"));
    Ok(format!("{id} has been deleted"))
}

fn host_install(system: &mut System, name: &str, command: &str) -> Reply {
    let Ok(at) = system.find(name) else {
        return Reply::fail(1, format!("Unknown host specified: {name}"));
    };
    let host = system.hosts[at].hostname.clone();
    if command == "host-install-async" {
        system.after(60.0, Event::PatchInstalled { host: host.clone() });
        return Reply::ok(format!("Patch installation request sent to {host}.\n"));
    }
    if system.hosts[at].reboot_needed && system.hosts[at].administrative != "locked" {
        return Reply { out: "..\n".into(), ..Reply::fail(1, "Installation rejected. Node must be locked") };
    }
    if !system.hosts[at].powered || system.take_host_fault("patch-install-fails", &host).is_some() {
        return Reply { out: "..\n".into(), ..Reply::fail(1, "Installation failed. Please check logs for details.") };
    }
    system.patch_installed(&host);
    Reply::ok("..\nInstallation was successful.\n")
}
