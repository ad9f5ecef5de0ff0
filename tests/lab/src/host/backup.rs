//! The back-up that `upgrade-start` makes on a simplex controller, run inside the host as root.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// What to back up, and under which names.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub host: String,
    pub release: String,
    /// `<stamp>_<uuid>`, the common part of both archives' names.
    pub name: String,
    /// The upgrade record as the metadata file holds it.
    pub metadata: String,
    pub system_uuid: String,
    pub databases: Vec<String>,
}

const DIR: &str = "/opt/platform-backup";

/// Make both archives.
pub fn run(order: &Order) -> Result<()> {
    for part in ["upgrade_data", "upgrade_images_data"] {
        let partial = format!("{DIR}/{part}_{}.tgz.partial", order.name);
        let _ = std::fs::remove_file(partial);
    }
    let random = crate::system::stamp::uuid().replace('-', "");
    let temporary = format!("opt/platform-backup/ansible.{}", &random[..6]);
    let done = platform(order, &temporary).and_then(|()| images(order));
    let cleaned = std::fs::remove_dir_all(Path::new("/").join(&temporary));
    done?;
    cleaned.context("cannot remove the temporary directory of the back-up")
}

fn platform(order: &Order, temporary: &str) -> Result<()> {
    let root = Path::new("/").join(temporary);
    for part in ["postgres", "etcd-snapshot", "override", "ldap", "ceph"] {
        std::fs::create_dir_all(root.join(part))?;
    }
    let metadata = Path::new("/opt/platform/config").join(&order.release).join("upgrades/metadata");
    std::fs::create_dir_all(metadata.parent().context("no directory")?)?;
    std::fs::write(&metadata, &order.metadata)?;
    dump(&root.join("postgres/postgres.postgreSql.config"), "pg_dumpall", &["--schema-only"])?;
    for database in &order.databases {
        let file = root.join(format!("postgres/{database}.postgreSql.data"));
        dump(&file, "pg_dump", &["--data-only", "--inserts", database])?;
    }
    let snapshot = root.join("etcd-snapshot/etcd-snapshot.db");
    let out = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "save", &snapshot.display().to_string()])
        .output()
        .context("cannot run etcdctl")?;
    if !out.status.success() {
        bail!("etcdctl snapshot save: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    std::fs::write(
        root.join(format!("override/{}_override_backup.yml", order.host)),
        format!(
            "system_uuid: {}\nsystem_mode: simplex\nsoftware_version: '{}'\nexternal_oam_subnet: 10.10.10.0/24\n",
            order.system_uuid, order.release
        ),
    )?;
    let _ = std::fs::copy("/var/lib/openldap-data/ldap.db", root.join("ldap/ldap.db"));
    std::fs::write(root.join("ceph/crushmap.bin.backup"), "crushmap of the lab\n")?;
    let release = &order.release;
    let mut trees: Vec<String> = vec![temporary.to_string()];
    for tree in [
        format!("opt/platform/config/{release}"),
        format!("opt/platform/sysinv/{release}"),
        format!("opt/platform/puppet/{release}"),
        format!("opt/platform/.keyring/{release}"),
        "opt/extension".into(),
        "opt/patching".into(),
        "www/pages/updates".into(),
        "home".into(),
        "etc/platform".into(),
        "etc/build.info".into(),
        "etc/hosts".into(),
        "etc/hostname".into(),
        "etc/passwd".into(),
        "etc/shadow".into(),
        "etc/group".into(),
        "etc/ssh".into(),
        "etc/kubernetes".into(),
        "etc/keystone/fernet-keys".into(),
    ] {
        if Path::new("/").join(&tree).exists() {
            trees.push(tree);
        }
    }
    archive(&format!("{DIR}/upgrade_data_{}.tgz", order.name), Path::new("/"), &trees)
}

fn images(order: &Order) -> Result<()> {
    let store = Path::new("/var/lib/docker-distribution");
    let mut index: Vec<serde_json::Value> = Vec::new();
    for image in super::registry::images(store)? {
        index.push(serde_json::json!({
            "name": image.name, "tag": image.tag, "digest": image.digest,
        }));
    }
    if index.is_empty() {
        std::fs::write(format!("{DIR}/upgrade_images_data_{}.tgz.zero", order.name), "")?;
        return Ok(());
    }
    let work = Path::new("/scratch/registry-export");
    let _ = std::fs::remove_dir_all(work);
    std::fs::create_dir_all(work.join("registry"))?;
    std::fs::write(
        work.join("registry/index.json"),
        serde_json::to_string_pretty(&serde_json::json!({ "images": index }))?,
    )?;
    crate::fabric::run(
        "cp",
        &["-a", &store.join("blobs").display().to_string(), &work.join("registry/blobs").display().to_string()],
    )?;
    let done = archive(&format!("{DIR}/upgrade_images_data_{}.tgz", order.name), work, &["registry".into()]);
    std::fs::remove_dir_all(work)?;
    done
}

/// Dump with a PostgreSQL program as the user postgres, into a file that root owns.
fn dump(file: &Path, program: &str, args: &[&str]) -> Result<()> {
    let out = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let done = Command::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", program])
        .args(args)
        .current_dir("/")
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .with_context(|| format!("cannot run {program}"))?;
    if !done.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

/// Pack trees below a root; the archive gets its name only when it is whole.
fn archive(path: &str, root: &Path, trees: &[String]) -> Result<()> {
    let partial = format!("{path}.partial");
    let out = Command::new("tar")
        .args(["--numeric-owner", "-czf", &partial, "-C"])
        .arg(root)
        .args(trees)
        .output()
        .context("cannot run tar")?;
    if !out.status.success() {
        let _ = std::fs::remove_file(&partial);
        bail!("tar: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    std::fs::rename(&partial, path).with_context(|| format!("cannot finish {path}"))
}
