//! What lies on a host's own disk: a bare installation, and a configured controller on release N.

use super::layers::SYSADMIN;
use super::{Places, dir, put};
use crate::system::{System, stamp};
use anyhow::Result;
use std::path::Path;

const ROOT: (u32, u32) = (0, 0);

/// The layer of a release: what its installation image brings.
pub fn release_layer(layer: &Path, release: &str, releases: &[&str]) -> Result<()> {
    let build = format!(
        "###\n### StarlingX\n###     Release {release}\n###\n\nOS=\"debian\"\nSW_VERSION=\"{release}\"\n\
         BUILD_TARGET=\"Host Installer\"\nBUILD_TYPE=\"Formal\"\nBUILD_ID=\"r/stx.{release}\"\n\n\
         JOB=\"STX_{release}_build\"\nBUILD_BY=\"starlingx.build@cengn.ca\"\nBUILD_NUMBER=\"1\"\n\
         BUILD_HOST=\"stx-builder\"\nBUILD_DATE=\"2021-12-16 04:34:00 +0000\"\n"
    );
    put(&layer.join("etc/build.info"), build, 0o644, ROOT)?;
    put(&layer.join("opt/platform/sysinv").join(release).join(".keep"), "", 0o644, ROOT)?;
    let newest = Some(&release) == releases.last();
    for (name, now, next, _) in crate::system::seed::APPS {
        let version = if newest { next } else { now };
        let at = format!("usr/local/share/applications/helm/{name}-{version}.tgz");
        put(&layer.join(at), format!("name: {name}\nversion: {version}\n"), 0o644, ROOT)?;
    }
    if newest {
        for (name, text) in super::data::UPGRADE_SCRIPTS {
            put(&layer.join("etc/upgrade.d").join(name), text, 0o755, ROOT)?;
        }
    }
    Ok(())
}

/// The disk of a fresh installation. Everything that was there must have been removed.
pub fn bare(places: &Places, system: &System, host: &str, release: &str) -> Result<()> {
    let upper = places.upper(host);
    let at = system.find(host).map_err(anyhow::Error::msg)?;
    let record = &system.hosts[at];
    put(&upper.join("etc/hostname"), format!("{host}\n"), 0o644, ROOT)?;
    let conf = format!(
        "nodetype={}\nsubfunction={}\nsystem_type={}\nsystem_mode={}\nsw_version={release}\nINSTALL_UUID={}\nUUID={}\n\
         management_interface=eth0\noam_interface=eth0\ncluster_host_interface=eth0\nvswitch_type=none\n\
         security_profile=standard\nsecurity_feature=\"nopti nospectre_v2\"\nsdn_enabled=no\nregion_config=no\n\
         http_port=8080\n",
        record.personality,
        record.subfunctions,
        system.info.system_type,
        system.info.system_mode,
        stamp::uuid(),
        record.uuid,
    );
    put(&upper.join("etc/platform/platform.conf"), conf, 0o644, ROOT)?;
    put(&upper.join("etc/platform/.first_boot"), "", 0o600, ROOT)?;
    dir(&upper.join("home/sysadmin"), 0o750, SYSADMIN)?;
    put(&upper.join("home/sysadmin/.bash_profile"), "[ -f ~/.bashrc ] && . ~/.bashrc\n", 0o644, SYSADMIN)?;
    put(&upper.join("home/sysadmin/.bashrc"), "alias ll='ls -l'\n", 0o644, SYSADMIN)
}

/// The disk of a configured, unlocked host on its release, beside what [`bare`] put there.
pub fn configured(places: &Places, system: &System, host: &str, key: &str) -> Result<()> {
    let upper = places.upper(host);
    for flag in [".initial_config_complete", ".unlock_ready"] {
        put(&upper.join("etc/platform").join(flag), "", 0o644, ROOT)?;
    }
    if system.simplex() {
        put(&upper.join("etc/platform/simplex"), "", 0o644, ROOT)?;
    }
    dir(&upper.join("home/sysadmin/.ssh"), 0o700, SYSADMIN)?;
    put(&upper.join("home/sysadmin/.ssh/authorized_keys"), key, 0o600, SYSADMIN)?;
    if !host.starts_with("controller-") {
        return Ok(());
    }
    for (path, mode, text) in own_files() {
        put(&upper.join(path), text, mode, ROOT)?;
    }
    put(&upper.join("opt/patching/metadata/.keep"), "", 0o644, ROOT)?;
    put(&upper.join("www/pages/updates/.keep"), "", 0o644, ROOT)?;
    put(
        &upper.join(format!("home/sysadmin/{host}_override.yml")),
        format!("system_mode: {}\ntimezone: UTC\nexternal_oam_subnet: 10.10.10.0/24\n", system.info.system_mode),
        0o600,
        SYSADMIN,
    )?;
    // What the last manifest was applied from.
    for (name, mode, text) in super::data::hieradata(system, host) {
        put(&upper.join("etc/puppet/cache/hieradata").join(name), text, mode, ROOT)?;
    }
    if host == "controller-0" {
        loads(&upper, system)?;
        platform(&places.data(system, host), system)?;
    }
    Ok(())
}

/// What its configuration puts on every controller's own disk: path, mode, text. A reinstalled one of a pair gets it
/// with its unlock.
pub fn own_files() -> Vec<(&'static str, u32, &'static str)> {
    vec![
        ("etc/platform/.license", 0o644, "# evaluation licence\nstx-lab\n"),
        ("etc/platform/openrc", 0o640, openrc()),
        ("etc/platform/controllerrc", 0o640, ""),
        ("etc/kubernetes/admin.conf", 0o640, super::data::KUBE_CONFIG),
        ("etc/keystone/fernet-keys/0", 0o600, "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=\n"),
        ("etc/keystone/fernet-keys/1", 0o600, "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=\n"),
        ("var/lib/openldap-data/ldap.db", 0o600, "ldap lab data\n"),
    ]
}

/// The platform's own trees: on a pair of controllers they are replicated.
fn platform(root: &Path, system: &System) -> Result<()> {
    let release = &system.info.software_version;
    let platform = root.join("opt/platform");
    keyring(&platform.join(".keyring").join(release), &system.admin_password)?;
    let config = platform.join("config").join(release);
    put(&config.join("hosts"), "192.168.204.1 controller\n192.168.204.2 controller-0\n", 0o644, ROOT)?;
    put(&config.join("branding/.keep"), "", 0o644, ROOT)?;
    put(&config.join("ssh_config").join("nova_migration_key"), "placeholder of a migration key\n", 0o600, ROOT)?;
    put(&config.join("registry.central/.keep"), "", 0o644, ROOT)?;
    put(
        &platform.join("sysinv").join(release).join("sysinv.conf.default"),
        format!(
            "[DEFAULT]\nlog_file=sysinv.log\n\n[database]\nconnection=postgresql://admin-sysinv@127.0.0.1/sysinv\n\n\
             [keystone_authtoken]\nusername=sysinv\n\n[certmon]\nretry_interval=600\nrelease={release}\n"
        ),
        0o600,
        ROOT,
    )?;
    let hiera = platform.join("puppet").join(release).join("hieradata");
    for at in 0..system.hosts.len() {
        for (name, mode, text) in super::data::hieradata(system, &system.hosts[at].hostname) {
            put(&hiera.join(name), text, mode, ROOT)?;
        }
    }
    put(&root.join("opt/extension/README"), "site extensions\n", 0o644, ROOT)?;
    super::data::registry(&root.join("var/lib/docker-distribution"))
}

/// The new release's image and signature, as the operator copied them to the host.
fn loads(upper: &Path, system: &System) -> Result<()> {
    let to = &system.to_release;
    let loads = upper.join("home/sysadmin/loads");
    dir(&loads, 0o755, SYSADMIN)?;
    dir(&loads.join(to), 0o755, SYSADMIN)?;
    let image = format!(
        "version={to}\nfrom={}\nrequired_patches=\n# The image of a real load is some gigabytes; this one is its head.\n{}\n",
        system.info.software_version,
        "x".repeat(64 * 1024)
    );
    let signature = format!("{}  bootimage.iso\n", stamp::digest(image.as_bytes()));
    let patches = upper.join("home/sysadmin/patches");
    dir(&patches, 0o755, SYSADMIN)?;
    let release = &system.info.software_version;
    let own = [(format!("{release}_PATCH_0001"), "N"), (format!("{release}_PATCH_0002"), "Y")];
    let of_kube = system.kube_versions.iter().flat_map(|v| v.applied_patches.iter().chain(&v.available_patches));
    for (id, reboot) in own.into_iter().chain(of_kube.map(|id| (id.clone(), "N"))) {
        put(&patches.join(format!("{id}.patch")), format!("id={id}\nreboot_required={reboot}\n"), 0o644, SYSADMIN)?;
    }
    put(&loads.join(to).join("bootimage.iso"), image, 0o644, SYSADMIN)?;
    put(&loads.join(to).join("bootimage.sig"), signature, 0o644, SYSADMIN)
}

/// The keyring of a release: the admin password, scrambled as a stand-in for the real store's encryption.
fn keyring(dir: &Path, password: &str) -> Result<()> {
    let hex: String = password.bytes().map(|b| format!("{:02x}", b ^ 0x5a)).collect();
    put(&dir.join("python_keyring/crypted_pass.cfg"), format!("[CGCS]\nadmin = {hex}\n"), 0o644, ROOT)
}

/// Read a password back from a keyring directory.
pub fn keyring_password(dir: &Path, service: &str, user: &str) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("python_keyring/crypted_pass.cfg")).ok()?;
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if section == service
            && let Some((key, value)) = line.split_once(" = ")
            && key == user
        {
            let bytes: Vec<u8> = (0..value.len() / 2)
                .filter_map(|i| u8::from_str_radix(&value[i * 2..i * 2 + 2], 16).ok())
                .map(|b| b ^ 0x5a)
                .collect();
            return String::from_utf8(bytes).ok();
        }
    }
    None
}

/// `/etc/platform/openrc`.
pub fn openrc() -> &'static str {
    "unset OS_SERVICE_TOKEN\n\
     export OS_ENDPOINT_TYPE=internalURL\n\
     export CINDER_ENDPOINT_TYPE=internalURL\n\
     export OS_USERNAME=admin\n\
     export OS_PASSWORD=`TERM=linux keyring get CGCS admin 2>/dev/null`\n\
     export OS_AUTH_TYPE=password\n\
     export OS_AUTH_URL=http://192.168.204.1:5000/v3\n\
     export OS_PROJECT_NAME=admin\n\
     export OS_USER_DOMAIN_NAME=Default\n\
     export OS_PROJECT_DOMAIN_NAME=Default\n\
     export OS_IDENTITY_API_VERSION=3\n\
     export OS_REGION_NAME=RegionOne\n\
     export OS_INTERFACE=internal\n\
     if [ ! -z \"${OS_PASSWORD}\" ]; then\n\
     \x20   export PS1='[\\u@\\h \\W(keystone_$OS_USERNAME)]\\$ '\n\
     else\n\
     \x20   echo 'Openstack Admin credentials can only be loaded from the active controller.'\n\
     \x20   export PS1='\\h:\\w\\$ '\n\
     fi\n"
}
