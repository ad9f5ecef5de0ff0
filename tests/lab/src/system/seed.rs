//! The system as it is at `up`: one healthy topology on release N.

use super::clock::Clock;
use super::records::*;
use super::stamp;
use std::collections::BTreeMap;

/// What `up` was asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub topology: String,
    /// How many workers and storage hosts, where the topology has them.
    pub workers: u32,
    pub storage: u32,
    /// The next Kubernetes version asks for patches.
    pub kube_patches: bool,
    pub from: String,
    pub to: String,
    pub rate: f64,
    pub admin_password: String,
    pub sysadmin_password: String,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            topology: "simplex".into(),
            workers: 2,
            storage: 2,
            kube_patches: false,
            from: "21.05".into(),
            to: "21.12".into(),
            rate: 60.0,
            admin_password: "Admin*Pass1&".into(),
            sysadmin_password: "Li69nux*St8".into(),
        }
    }
}

/// The topologies of this lab.
pub const TOPOLOGIES: &[&str] = &["simplex", "duplex", "standard", "storage", "plain"];
/// The most hosts of a system.
pub const MOST_HOSTS: usize = 50;

/// Host names, personalities and sub-functions of a topology. `Err`: not a topology of this lab, or not of that size.
pub fn hosts_of(wish: &Wish) -> Result<Vec<(String, &'static str, &'static str)>, String> {
    let all_in_one = matches!(wish.topology.as_str(), "simplex" | "duplex");
    let functions = if all_in_one { "controller,worker" } else { "controller" };
    let (controllers, storage, workers) = match wish.topology.as_str() {
        "simplex" => (1, 0, 0),
        "duplex" => (2, 0, 0),
        "standard" => (2, 0, wish.workers),
        "storage" => (2, wish.storage, wish.workers),
        "plain" => return plain_hosts(wish.workers),
        other => return Err(format!("no topology is called {other:?}; this lab has: {}", TOPOLOGIES.join(", "))),
    };
    if wish.topology == "storage" && (storage < 2 || storage % 2 != 0) {
        return Err("storage hosts come in groups of two: --storage 2, 4, …".into());
    }
    if !all_in_one && workers < 1 {
        return Err("a standard system has at least one worker".into());
    }
    let mut hosts: Vec<(String, &'static str, &'static str)> =
        (0..controllers).map(|i| (format!("controller-{i}"), "controller", functions)).collect();
    hosts.extend((0..storage).map(|i| (format!("storage-{i}"), "storage", "storage")));
    hosts.extend((0..workers).map(|i| (format!("worker-{i}"), "worker", "worker")));
    if hosts.len() > MOST_HOSTS {
        return Err(format!("{} hosts are more than this lab simulates: {MOST_HOSTS}", hosts.len()));
    }
    Ok(hosts)
}

/// Hosts without a platform: what any playbook can be tried on.
fn plain_hosts(count: u32) -> Result<Vec<(String, &'static str, &'static str)>, String> {
    if !(1..=MOST_HOSTS as u32).contains(&count) {
        return Err(format!("--workers {count}: between 1 and {MOST_HOSTS} plain hosts"));
    }
    Ok((1..=count).map(|i| (format!("host-{i}"), "worker", "worker")).collect())
}

/// A healthy system. The topology must be one of [`hosts_of`].
pub fn system(wish: &Wish) -> System {
    let now = stamp::now();
    let simplex = wish.topology == "simplex";
    let all_in_one = simplex || wish.topology == "duplex";
    let versions = kube_chain(&wish.from);
    let running = versions[versions.len() - 2].clone();
    let hosts: Vec<Host> = hosts_of(wish)
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(i, (name, personality, subfunctions))| {
            host(i as u32, &name, personality, subfunctions, &wish.from, &running)
        })
        .collect();
    let mut kube_versions: Vec<KubeVersion> = Vec::new();
    for version in versions {
        let upgrade_from = kube_versions.last().map(|v: &KubeVersion| vec![v.version.clone()]).unwrap_or_default();
        let patches = |parts: &[&str]| -> Vec<String> {
            let asked = wish.kube_patches && upgrade_from.first() == Some(&running);
            parts.iter().filter(|_| asked).map(|part| format!("{part}.{}", version.trim_start_matches('v'))).collect()
        };
        let applied_patches = patches(&["PLATFORM_KUBE", "KUBEADM"]);
        let available_patches = patches(&["KUBELET"]);
        kube_versions.push(KubeVersion { version, upgrade_from, applied_patches, available_patches });
    }
    System {
        format: 1,
        topology: wish.topology.clone(),
        from_release: wish.from.clone(),
        to_release: wish.to.clone(),
        clock: Clock::new(wish.rate),
        info: Info {
            uuid: stamp::uuid(),
            name: "stx-lab".into(),
            description: "rehearsal lab".into(),
            contact: "isystemcontact".into(),
            location: "isystemlocation".into(),
            system_type: if all_in_one { "All-in-one" } else { "Standard" }.into(),
            system_mode: if simplex { "simplex" } else { "duplex" }.into(),
            software_version: wish.from.clone(),
            timezone: Some("UTC".into()),
            created_at: now.clone(),
            updated_at: None,
        },
        pods: pods(&hosts),
        hosts,
        ceph_recovers_until: 0.0,
        loads: vec![Load {
            id: 1,
            state: "active".into(),
            version: wish.from.clone(),
            compatible: "N/A".into(),
            required_patches: vec![],
        }],
        next_load_id: 2,
        upgrade: None,
        kube_versions,
        kube_upgrade: None,
        alarms: vec![],
        apps: apps(&wish.from),
        patches: vec![],
        certificates: certificates(),
        active: "controller-0".into(),
        services_up: true,
        sync: Sync::Synced,
        api_away_until: 0.0,
        due: vec![],
        faults: vec![],
        restore_in_progress: false,
        database_present: true,
        admin_password: wish.admin_password.clone(),
        sysadmin_password: wish.sysadmin_password.clone(),
        load_digests: BTreeMap::new(),
        unhealthy: BTreeMap::new(),
        platform_backup_mib: 30_000,
        moving_to: None,
        happening: None,
        effects: vec![],
        changes: vec![],
    }
}

fn host(index: u32, name: &str, personality: &str, subfunctions: &str, release: &str, kube: &str) -> Host {
    let config = stamp::uuid();
    Host {
        id: index + 1,
        uuid: stamp::uuid(),
        hostname: name.into(),
        personality: personality.into(),
        subfunctions: subfunctions.into(),
        administrative: "unlocked".into(),
        operational: "enabled".into(),
        availability: "available".into(),
        task: None,
        vim_progress_status: "services-enabled".into(),
        inv_state: "inventoried".into(),
        invprovision: "provisioned".into(),
        config_status: None,
        config_applied: config.clone(),
        config_target: config,
        install_state: None,
        install_state_info: None,
        installed_release: release.into(),
        running_release: release.into(),
        target_release: release.into(),
        mgmt_ip: format!("192.168.204.{}", index + 2),
        mgmt_mac: format!("08:00:27:11:22:{:02x}", 0x10 + index),
        created_at: stamp::now(),
        updated_at: None,
        stor_function: personality == "controller" || name == "storage-0",
        kube: HostKube {
            control_plane: (personality == "controller").then(|| kube.to_string()),
            kubelet: if personality == "storage" { "N/A".into() } else { kube.into() },
            target: None,
            status: None,
            cordoned: false,
            taints: vec![],
        },
        patch_current: true,
        reboot_needed: false,
        booted_at: super::clock::real_now(),
        powered: true,
        fresh_disk: false,
    }
}

/// The site's own workload: as many replicas on each node that runs workloads, of two applications.
fn pods(hosts: &[Host]) -> Vec<Pod> {
    let nodes = hosts.iter().filter(|h| h.runs_workloads());
    nodes.flat_map(|h| ["frontend", "backend"].map(|app| Pod::new(app, Some(h.hostname.clone())))).collect()
}

/// Kubernetes versions a release knows; the last but one runs.
fn kube_chain(release: &str) -> Vec<String> {
    let chain: &[&str] = match super::release_number(release) {
        ..=2105 => &["v1.16.2", "v1.18.1", "v1.19.13"],
        2106..=2112 => &["v1.18.1", "v1.19.13", "v1.20.9", "v1.21.3"],
        _ => &["v1.21.8", "v1.22.5", "v1.23.1", "v1.24.4"],
    };
    chain.iter().map(|v| (*v).to_string()).collect()
}

fn apps(release: &str) -> Vec<App> {
    let file = if super::release_number(release) >= 2212 { "fluxcd-manifests" } else { "manifest.yaml" };
    let mut apps: Vec<App> =
        APPS.iter().map(|(name, version, _, status)| App::new(name, version, file, status)).collect();
    if let Some(app) = apps.iter_mut().find(|a| a.name == "nginx-ingress-controller") {
        app.user_overrides.push("controller.replicaCount=2".into());
    }
    apps
}

/// The platform's applications: name, version that runs, version that the next release brings, state.
pub const APPS: &[(&str, &str, &str, &str)] = &[
    ("cert-manager", "1.0-34", "1.0-40", "applied"),
    ("nginx-ingress-controller", "1.1-18", "1.1-24", "applied"),
    ("oidc-auth-apps", "1.0-61", "1.0-66", "uploaded"),
    ("platform-integ-apps", "1.0-44", "1.0-50", "applied"),
];

fn certificates() -> Vec<Certificate> {
    let start = super::clock::real_now();
    let date = |days: f64| stamp::iso(start + days * 86_400.0);
    ["ssl", "ssl_ca", "docker_registry"]
        .into_iter()
        .map(|certtype| Certificate {
            uuid: stamp::uuid(),
            certtype: certtype.into(),
            signature: format!("{certtype}_{}", stamp::uuid()),
            start_date: date(-30.0),
            expiry_date: date(335.0),
        })
        .collect()
}
