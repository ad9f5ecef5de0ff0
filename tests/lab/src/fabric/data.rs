//! The platform's data on a configured controller: hieradata, database rows, etcd keys, registry images, and the
//! upgrade scripts of the new release.

use super::{Places, layers, put, run};
use crate::system::{System, stamp};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A kubeconfig in the shape of the real one.
pub const KUBE_CONFIG: &str = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: http://192.168.206.1:6443\n  name: kubernetes\n\
     contexts:\n- context:\n    cluster: kubernetes\n    user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\n\
     current-context: kubernetes-admin@kubernetes\nusers:\n- name: kubernetes-admin\n  user: {}\n";

/// Upgrade scripts of the new release: `FROM TO ACTION`, run in the order of their numbers.
pub const UPGRADE_SCRIPTS: &[(&str, &str)] = &[
    ("45-remove-identity-shared-service.sh", include_str!("../../data/upgrade.d/45-remove-identity-shared-service.sh")),
    ("60-svc-param-upgrade.sh", include_str!("../../data/upgrade.d/60-svc-param-upgrade.sh")),
    ("97-reset-config-target.sh", include_str!("../../data/upgrade.d/97-reset-config-target.sh")),
    ("197-record-migration.sh", include_str!("../../data/upgrade.d/197-record-migration.sh")),
];

/// File name, mode and text of the hieradata of a host.
pub fn hieradata(system: &System, host: &str) -> Vec<(String, u32, String)> {
    let release = &system.info.software_version;
    let fill = |text: &str| {
        text.replace("@RELEASE@", release)
            .replace("@SYSTEM_UUID@", &system.info.uuid)
            .replace("@HOST@", host)
            .replace("@ADMIN_PASSWORD@", &system.admin_password)
    };
    let ip = system.find(host).map_or(String::new(), |at| system.hosts[at].mgmt_ip.clone());
    vec![
        ("static.yaml".into(), 0o600, fill(include_str!("../../data/hieradata/static.yaml"))),
        ("secure_static.yaml".into(), 0o600, fill(include_str!("../../data/hieradata/secure_static.yaml"))),
        ("system.yaml".into(), 0o600, fill(include_str!("../../data/hieradata/system.yaml"))),
        ("secure_system.yaml".into(), 0o600, fill(include_str!("../../data/hieradata/secure_system.yaml"))),
        (format!("{ip}.yaml"), 0o600, fill(include_str!("../../data/hieradata/host.yaml"))),
    ]
}

/// The SQL that makes the databases of a system.
pub fn sql(system: &System) -> String {
    let host = &system.hosts[0];
    let others: String = system.hosts[1..].iter().map(host_row).collect();
    include_str!("../../data/platform.sql")
        .replace("@RELEASE@", &system.info.software_version)
        .replace("@SYSTEM_UUID@", &system.info.uuid)
        .replace("@SYSTEM_TYPE@", &system.info.system_type)
        .replace("@SYSTEM_MODE@", &system.info.system_mode)
        .replace("@HOST@", &host.hostname)
        .replace("@HOST_UUID@", &host.uuid)
        .replace("@CONFIG@", &host.config_target)
        + "\\connect sysinv\n"
        + &others
}

fn host_row(host: &crate::system::Host) -> String {
    format!(
        "insert into i_host(uuid,hostname,personality,administrative,operational,availability,config_applied,config_target,\
         software_load,forisystemid) values('{}','{}','{}','unlocked','enabled','available','{}','{}','{}',1);\n",
        host.uuid, host.hostname, host.personality, host.config_target, host.config_target, host.running_release
    )
}

/// SQL that stores the records that change during an upgrade.
pub fn records_sql(system: &System) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut out = format!(
        "begin;\nupdate i_system set software_version={};\ndelete from loads;\n",
        quote(&system.info.software_version)
    );
    for load in &system.loads {
        out.push_str(&format!(
            "insert into loads(id,state,software_version,compatible_version,required_patches) values({},{},{},{},{});\n",
            load.id,
            quote(&load.state),
            quote(&load.version),
            quote(&load.compatible),
            quote(&load.required_patches.join("\n"))
        ));
    }
    out.push_str("delete from software_upgrade;\n");
    if let Some(upgrade) = &system.upgrade {
        out.push_str(&format!(
            "insert into software_upgrade(uuid,state,from_release,to_release) values({},{},{},{});\n",
            quote(&upgrade.uuid),
            quote(&upgrade.state),
            quote(&upgrade.from_release),
            quote(&upgrade.to_release)
        ));
    }
    for host in &system.hosts {
        out.push_str(&format!(
            "update i_host set administrative={},operational={},availability={},software_load={} where hostname={};\n",
            quote(&host.administrative),
            quote(&host.operational),
            quote(&host.availability),
            quote(&host.running_release),
            quote(&host.hostname)
        ));
    }
    out + "commit;\n"
}

/// Where empty clusters are kept between labs: making one takes seconds. In a user namespace they stay with the lab,
/// since the operator could not remove files of its users later.
fn cache(places: &Places) -> PathBuf {
    if super::user::confined() {
        return places.dir.join("cache");
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"));
    base.join("stx-lab")
}

fn postgres_user() -> Result<(u32, u32)> {
    layers::user("postgres").context("this machine has no user postgres: run tools/setup")
}

/// What runs on a pair of controllers around an upgrade, as shell.
pub const EXPORT: &str = include_str!("../../data/controllers/export.sh");
pub const MIGRATE: &str = include_str!("../../data/controllers/migrate.sh");
pub const ETCD_MOVE: &str = include_str!("../../data/controllers/etcd-move.sh");
pub const CLEANUP: &str = include_str!("../../data/controllers/cleanup.sh");

/// Start a program as the user `postgres`.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
    command
}

fn finished(mut command: Command, what: &str, input: Option<&str>) -> Result<()> {
    use std::io::Write;
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {what}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.unwrap_or_default().as_bytes())?;
    }
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("{what}: {} {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// An empty cluster, made once and kept.
fn empty_cluster(places: &Places) -> Result<PathBuf> {
    let bin = layers::postgres_bin().context("no PostgreSQL server on this machine: run tools/setup")?;
    let program = |name: &str| bin.join(name).display().to_string();
    let owner = postgres_user()?;
    let cached = cache(places)
        .join(format!("initdb-{}", stamp::digest(bin.display().to_string().as_bytes()).get(..12).unwrap_or("x")));
    if !cached.join("PG_VERSION").exists() {
        // The user postgres cannot enter the cache; make the cluster beside the lab and move it.
        let fresh = places.dir.join("initdb");
        let _ = std::fs::remove_dir_all(&fresh);
        super::dir(&fresh, 0o700, owner)?;
        let mut initdb = as_postgres(&program("initdb"));
        initdb.args([
            "-D",
            &fresh.display().to_string(),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        finished(initdb, "initdb", None)?;
        let settings = "listen_addresses='127.0.0.1'\nport=5432\nunix_socket_directories='/var/run/postgresql'\nfsync=off\n\
                        synchronous_commit=off\nfull_page_writes=off\nshared_buffers=16MB\nmax_connections=50\n";
        use std::io::Write;
        std::fs::OpenOptions::new().append(true).open(fresh.join("postgresql.conf"))?.write_all(settings.as_bytes())?;
        if let Some(parent) = cached.parent() {
            std::fs::create_dir_all(parent)?;
        }
        run("cp", &["-a", &fresh.display().to_string(), &cached.display().to_string()])?;
        std::fs::remove_dir_all(&fresh)?;
    }
    Ok(cached)
}

/// Lay an empty cluster of a release beside the one that a pair of controllers runs on.
pub fn empty_postgres(places: &Places, release: &str) -> Result<()> {
    let at = places.volumes().join("var/lib/postgresql").join(release);
    let _ = std::fs::remove_dir_all(&at);
    run("cp", &["-a", &empty_cluster(places)?.display().to_string(), &at.display().to_string()]).map(drop)
}

/// Make the PostgreSQL directory of a configured host.
pub fn postgres(places: &Places, system: &System, host: &str) -> Result<()> {
    let bin = layers::postgres_bin().context("no PostgreSQL server on this machine: run tools/setup")?;
    let program = |name: &str| bin.join(name).display().to_string();
    let owner = postgres_user()?;
    let cached = empty_cluster(places)?;
    let parent = places.data(system, host).join("var/lib/postgresql");
    super::dir(&parent, 0o755, owner)?;
    let at = parent.join(&system.info.software_version);
    let _ = std::fs::remove_dir_all(&at);
    run("cp", &["-a", &cached.display().to_string(), &at.display().to_string()])?;
    // Fill it while it is served on a private socket in the lab's own network namespace.
    let socket = places.dir.join("pg");
    super::dir(&socket, 0o700, owner)?;
    let mut server = as_postgres(&program("postgres"))
        .args(["-D", &at.display().to_string(), "-k", &socket.display().to_string(), "-c", "listen_addresses="])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let where_ = socket.display().to_string();
    let end = Instant::now() + Duration::from_secs(30);
    while run(&program("pg_isready"), &["-q", "-h", &where_]).is_err() {
        if Instant::now() > end {
            bail!("PostgreSQL did not start for the seed data");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut psql = as_postgres(&program("psql"));
    psql.args(["-h", &where_, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
    finished(psql, "psql", Some(&sql(system)))?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.id() as i32), nix::sys::signal::Signal::SIGINT)?;
    server.wait()?;
    std::fs::remove_dir_all(&socket)?;
    Ok(())
}

/// Keys of a small cluster, as Kubernetes would have stored them.
const KEYS: &[(&str, &str)] = &[
    ("/registry/namespaces/kube-system", "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"kube-system\"}}"),
    ("/registry/namespaces/site-app", "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"site-app\"}}"),
    ("/registry/configmaps/kube-system/kubeadm-config", "{\"kind\":\"ConfigMap\",\"kubernetesVersion\":\"v1.19.13\"}"),
    ("/registry/configmaps/site-app/settings", "{\"kind\":\"ConfigMap\",\"data\":{\"mode\":\"production\"}}"),
    ("/registry/secrets/site-app/registry-login", "{\"kind\":\"Secret\",\"type\":\"kubernetes.io/dockerconfigjson\"}"),
    ("/registry/deployments/site-app/frontend", "{\"kind\":\"Deployment\",\"spec\":{\"replicas\":2}}"),
    ("/registry/minions/controller-0", "{\"kind\":\"Node\",\"metadata\":{\"name\":\"controller-0\"}}"),
];

/// Make the etcd directory of a configured host.
pub fn etcd(places: &Places, system: &System, host: &str) -> Result<()> {
    let cached = cache(places).join(format!("etcd-{}", &stamp::digest(format!("{KEYS:?}").as_bytes())[..12]));
    if !cached.exists() {
        let fresh = places.dir.join("etcd-seed");
        let _ = std::fs::remove_dir_all(&fresh);
        let mut server = Command::new("etcd")
            .args(["--name", "controller", "--data-dir", &fresh.display().to_string(), "--unsafe-no-fsync"])
            .args([
                "--listen-peer-urls",
                "http://127.0.0.1:2380",
                "--initial-advertise-peer-urls",
                "http://127.0.0.1:2380",
            ])
            .args(["--initial-cluster", "controller=http://127.0.0.1:2380"])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run etcd: run tools/setup")?;
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect("127.0.0.1:2379").is_err() {
            if Instant::now() > end {
                bail!("etcd did not start for the seed data");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for (key, value) in KEYS {
            let out = Command::new("etcdctl").env("ETCDCTL_API", "3").args(["put", key, value]).output()?;
            if !out.status.success() {
                bail!("etcdctl put: {}", String::from_utf8_lossy(&out.stderr).trim());
            }
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.id() as i32), nix::sys::signal::Signal::SIGTERM)?;
        server.wait()?;
        if let Some(parent) = cached.parent() {
            std::fs::create_dir_all(parent)?;
        }
        run("cp", &["-a", &fresh.display().to_string(), &cached.display().to_string()])?;
        std::fs::remove_dir_all(&fresh)?;
    }
    let at = places.data(system, host).join("opt/etcd").join(&system.info.software_version);
    super::dir(&at, 0o755, (0, 0))?;
    let target = at.join("controller.etcd");
    let _ = std::fs::remove_dir_all(&target);
    run("cp", &["-a", "--sparse=always", &cached.display().to_string(), &target.display().to_string()])?;
    Ok(())
}

/// The registry's store with a few small images: blobs by digest, tags that point to manifests.
pub fn registry(store: &Path) -> Result<()> {
    for (name, tag) in [
        ("docker.io/site/frontend", "1.4.2"),
        ("docker.io/site/backend", "2.0.1"),
        ("quay.io/stackanetes/kubernetes-entrypoint", "v0.3.1"),
    ] {
        let layer = format!("layer of {name}:{tag}\n{}", "0123456789abcdef".repeat(256));
        let config = format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"created_by\":\"{name}:{tag}\"}}");
        let (layer_digest, config_digest) = (stamp::digest(layer.as_bytes()), stamp::digest(config.as_bytes()));
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":\
             {{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":{},\"digest\":\"sha256:{config_digest}\"}},\
             \"layers\":[{{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":{},\"digest\":\
             \"sha256:{layer_digest}\"}}]}}",
            config.len(),
            layer.len()
        );
        let manifest_digest = stamp::digest(manifest.as_bytes());
        for (digest, bytes) in [(&layer_digest, &layer), (&config_digest, &config), (&manifest_digest, &manifest)] {
            put(&store.join("blobs/sha256").join(digest), bytes, 0o644, (0, 0))?;
        }
        put(
            &store.join("repositories").join(name).join("tags").join(tag),
            format!("sha256:{manifest_digest}\n"),
            0o644,
            (0, 0),
        )?;
    }
    Ok(())
}
