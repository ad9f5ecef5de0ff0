//! `puppet-manifest-apply.sh HIERADATA HOST PERSONALITY MANIFEST`: checks the hieradata as the real manifest would
//! trip over it, then brings the platform's services up on what was restored.

use super::client::{self, Message, Said};
use super::credentials::release;
use super::hiera::{self, Value};
use super::migrate::query;
use crate::fabric::contents::openrc;
use crate::fabric::init::{self, Ask, PLATFORM_UNITS};
use crate::system::clock::real_now;
use crate::system::restore::Restored;
use crate::system::stamp;
use std::path::Path;

const REQUIRED: &str = include_str!("../../data/required-keys.tsv");
/// Releases whose paths must no longer appear in migrated data.
const RELEASES: &[&str] = &["19.12", "20.06", "21.05", "21.12", "22.06", "22.12", "23.09"];

/// Be the program. Exit code and what changed.
pub fn run(argv: &[String]) -> (i32, Vec<String>) {
    let [_, hieradata, host, personality, manifest, ..] = argv else {
        eprintln!("usage: puppet-manifest-apply.sh HIERADATA HOST PERSONALITY MANIFEST [RUNTIME]");
        return (2, Vec::new());
    };
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("puppet-manifest-apply.sh: must be run as root");
        return (1, Vec::new());
    }
    let log_dir = format!("/var/log/puppet/{}_{personality}", stamp::compact(real_now()));
    let mut log = format!("Notice: Compiled catalog for {host} in environment production\n");
    let mut errors = check(Path::new(hieradata));
    if errors.is_empty()
        && manifest == "ansible_bootstrap"
        && let Err(why) = bring_up(host)
    {
        errors.push(why);
    }
    for error in &errors {
        log.push_str(&format!("Error: {error}\n"));
    }
    log.push_str(if errors.is_empty() {
        "Notice: Applied catalog in 41.37 seconds\n"
    } else {
        "Error: Failed to apply catalog\n"
    });
    let written =
        std::fs::create_dir_all(&log_dir).and_then(|()| std::fs::write(format!("{log_dir}/puppet.log"), &log));
    let _ = std::fs::remove_file("/var/log/puppet/latest");
    let _ = std::os::unix::fs::symlink(&log_dir, "/var/log/puppet/latest");
    if let Err(why) = written {
        eprintln!("cannot write {log_dir}/puppet.log: {why}");
    }
    println!("Applying puppet {manifest} manifest...");
    if errors.is_empty() {
        println!("[DONE]");
        return (0, vec![format!("manifest-applied {manifest}")]);
    }
    println!("[FAILED]\nSee {log_dir}/puppet.log for details");
    (1, vec![format!("manifest-failed {manifest}")])
}

/// What is wrong with the hieradata.
fn check(dir: &Path) -> Vec<String> {
    let mut errors = Vec::new();
    let mut files: Vec<(&str, Vec<(String, Value)>)> = Vec::new();
    for name in ["static", "secure_static"] {
        let path = dir.join(format!("{name}.yaml"));
        match std::fs::read_to_string(&path) {
            Err(why) => errors.push(format!("{}: {why}", path.display())),
            Ok(text) => match hiera::read(&text) {
                Err(why) => errors.push(format!("{}: {why}", path.display())),
                Ok(entries) => files.push((name, entries)),
            },
        }
    }
    let to = release();
    for line in REQUIRED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [when, file, key, kind] = fields[..] else {
            continue;
        };
        if when != "*" && when != to {
            continue;
        }
        let Some((_, entries)) = files.iter().find(|(name, _)| *name == file) else {
            continue;
        };
        match entries.iter().rev().find(|(name, _)| name == key) {
            None => errors.push(format!("Function lookup() did not find a value for the name '{key}' ({file}.yaml)")),
            Some((_, value)) => errors.extend(mismatch(key, value, kind, &to)),
        }
    }
    for (name, entries) in &files {
        let mut seen = std::collections::BTreeSet::new();
        for (key, value) in entries {
            if !seen.insert(key) {
                errors.push(format!("{name}.yaml: duplicate key '{key}'"));
            }
            for old in RELEASES.iter().filter(|r| **r != to) {
                if value.texts().iter().any(|text| text.split('/').skip(1).any(|part| part == *old)) {
                    errors.push(format!("{name}.yaml: '{key}' still points to release {old}"));
                }
            }
        }
    }
    errors
}

fn mismatch(key: &str, value: &Value, kind: &str, to: &str) -> Option<String> {
    let wrong = |wanted: &str| {
        Some(format!("Evaluation Error: parameter '{key}' expects a {wanted} value, got {}", value.kind()))
    };
    match (kind, value) {
        ("integer", Value::Integer(_)) | ("boolean", Value::Boolean(_)) => None,
        ("integer", _) => wrong("Integer"),
        ("boolean", _) => wrong("Boolean"),
        ("release", Value::Text(text)) if text != to => {
            Some(format!("parameter '{key}' is '{text}', the installed release is '{to}'"))
        }
        ("path", Value::Text(text)) if !Path::new(text).exists() => {
            Some(format!("parameter '{key}': no such directory: {text}"))
        }
        (_, Value::Text(text)) if text.is_empty() => Some(format!("parameter '{key}' must not be empty")),
        (_, Value::Text(_)) => None,
        _ => wrong("String"),
    }
}

/// Start the platform on the restored data.
fn bring_up(host: &str) -> Result<(), String> {
    let to = release();
    let running = init::ask(&Ask::Running).map_err(|why| format!("{why:#}"))?.running;
    for unit in ["postgresql", "etcd"] {
        if !running.iter().any(|name| name == unit) {
            return Err(format!("Service[{unit}]: is not running"));
        }
    }
    let keyring = Path::new("/opt/platform/.keyring").join(&to);
    if crate::fabric::contents::keyring_password(&keyring, "CGCS", "admin").is_none() {
        return Err(format!("keyring of release {to} is missing: {}", keyring.display()));
    }
    let etcd = std::process::Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["get", "--prefix", "--keys-only", "/registry/namespaces/"])
        .output();
    match etcd {
        Ok(out) if out.status.success() && !out.stdout.is_empty() => {}
        Ok(_) => return Err("etcd holds no namespaces under /registry".into()),
        Err(why) => return Err(format!("etcdctl: {why}")),
    }
    let restored = rows(&to)?;
    match client::tell(&Message::Restored(restored)) {
        Ok(Said::Refused(why)) => return Err(why),
        Ok(_) => {}
        Err(why) => return Err(format!("{why:#}")),
    }
    let files = [("/etc/platform/openrc", openrc(), 0o640u32), ("/etc/platform/simplex", "", 0o644)];
    for (path, text, mode) in files {
        crate::fabric::put(Path::new(path), text, mode, (0, 0)).map_err(|why| format!("{why:#}"))?;
    }
    for unit in PLATFORM_UNITS {
        let answer = init::ask(&Ask::Start((*unit).to_string())).map_err(|why| format!("{why:#}"))?;
        if let Some(why) = answer.error {
            return Err(format!("Service[{unit}] on {host}: {why}"));
        }
    }
    Ok(())
}

/// What the API finds in the restored database.
fn rows(to: &str) -> Result<Restored, String> {
    let system = query("sysinv", "select uuid, software_version from i_system")?;
    let [system_uuid, software_version] = system.first().map(Vec::as_slice).unwrap_or_default() else {
        return Err("sysinv: table i_system is empty".into());
    };
    let upgrade = query("sysinv", "select uuid, state, from_release, to_release from software_upgrade")?;
    let loads = query("sysinv", "select id, state, software_version, compatible_version from loads order by id")?;
    let schema = query("sysinv", "select release from migrate_version where repository_id = 'sysinv'")?;
    if query("keystone", "select name from local_user where name = 'admin'")?.is_empty() {
        return Err("keystone: user admin is missing from the database".into());
    }
    query("fm", "select count(*) from alarm")?;
    query("barbican", "select count(*) from secrets")?;
    Ok(Restored {
        system_uuid: system_uuid.clone(),
        software_version: software_version.clone(),
        upgrade: upgrade.first().and_then(|row| match row.as_slice() {
            [uuid, state, from, to] => Some((uuid.clone(), state.clone(), from.clone(), to.clone())),
            _ => None,
        }),
        loads: loads
            .iter()
            .filter_map(|row| match row.as_slice() {
                [id, state, version, compatible] => {
                    Some((id.parse().ok()?, state.clone(), version.clone(), compatible.clone()))
                }
                _ => None,
            })
            .collect(),
        schema: schema.first().and_then(|row| row.first()).cloned().unwrap_or_default(),
        installed_release: to.into(),
    })
}
