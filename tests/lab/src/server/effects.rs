//! Carries out on the machines what the rules and the faults ask for.

use super::Lab;
use crate::fabric::{PROGRAM, contents, data, net};
use crate::host::backup::Order;
use crate::system::faults::Fault;
use crate::system::{Effect, clock, stamp};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// However fast the clock, the answer to the command that ends a host reaches its caller first.
const LAST_WORDS: Duration = Duration::from_millis(250);

impl Lab {
    /// Have an effect done; what takes time is done by a thread of its own.
    pub fn effect(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::SyncDatabase { host } => self.sync_database(&host),
            Effect::UnlockFlags { host } => {
                if !self.state().simplex() && host.starts_with("controller-") {
                    let _ = self.activity("configure", &host);
                }
                self.shell(
                    &host,
                    "rm -f /etc/platform/.restore_in_progress; touch /etc/platform/.initial_config_complete",
                    &[],
                );
            }
            Effect::RemoveBackup { host } => {
                self.shell(
                    &host,
                    "rm -f /opt/platform-backup/upgrade_data_*.tgz /opt/platform-backup/upgrade_images_data_*",
                    &[],
                );
            }
            Effect::MoveEtcd => {
                let (active, upgrade) = {
                    let system = self.state();
                    (system.active.clone(), system.upgrade.clone())
                };
                if let Some(upgrade) = upgrade {
                    let _ = self.script(&active, data::ETCD_MOVE, &[&upgrade.from_release, &upgrade.to_release]);
                }
            }
            slow => {
                let lab = Arc::clone(self);
                std::thread::spawn(move || lab.slow_effect(slow));
            }
        }
    }

    fn slow_effect(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Backup { host } => {
                let done = self.backup(&host);
                self.change(&host, |system| system.backup_done(done));
            }
            Effect::Reboot { host, after_ms } => {
                std::thread::sleep(Duration::from_millis(after_ms).max(LAST_WORDS));
                let _ = self.machines.exec(&host, &["systemctl".into(), "reboot".into()], "");
            }
            Effect::Reinstall { host, release, install_ms } => self.reinstall(&host, &release, install_ms),
            Effect::MoveActivity { from, to, down_ms } => {
                let _one_at_a_time = self.moving.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some(from) = from {
                    let _ = self.activity("deactivate", &from);
                }
                std::thread::sleep(Duration::from_millis(down_ms));
                let done = self.activity("activate", &to);
                net::forget_neighbours();
                self.change(&to, |system| system.activity_moved(&to, done));
            }
            Effect::Export { host, from, to } => {
                self.sync_database(&host);
                let done = self.script(&host, data::EXPORT, &[&from, &to]);
                self.change(&host, |system| system.backup_done(done));
            }
            Effect::Migrate { host, from, to } => {
                let done = data::empty_postgres(&self.places, &to)
                    .map_err(|why| format!("{why:#}"))
                    .and_then(|()| self.script(&host, data::MIGRATE, &[&from, &to]));
                self.change(&host, |system| system.migration_done(done));
            }
            Effect::GiveUp { release, kept } => {
                let active = self.state().active.clone();
                let _ = self.script(&active, data::CLEANUP, &[&release, &kept]);
                self.change(&active, |system| system.given_up());
            }
            _ => {}
        }
    }

    /// Have a controller take or give up the activity.
    pub fn activity(&self, what: &str, host: &str) -> Result<(), String> {
        match self.machines.exec(host, &[PROGRAM.into(), what.into()], "") {
            Ok((_, _, 0)) => Ok(()),
            Ok((_, err, _)) => {
                let why = err.trim().to_string();
                self.note(&json!({ "kind": "error", "host": host, "error": format!("{what}: {why}") }));
                Err(why)
            }
            Err(why) => Err(format!("{why:#}")),
        }
    }

    /// A script inside a host, its last words if it fails.
    fn script(&self, host: &str, script: &str, args: &[&str]) -> Result<(), String> {
        let mut argv: Vec<String> = ["sh", "-s"].map(String::from).to_vec();
        argv.extend(args.iter().map(|a| (*a).to_string()));
        match self.machines.exec(host, &argv, script) {
            Ok((_, _, 0)) => Ok(()),
            Ok((_, err, _)) => {
                let why = err.trim().to_string();
                self.note(&json!({ "kind": "error", "host": host, "error": why }));
                Err(why)
            }
            Err(why) => Err(format!("{why:#}")),
        }
    }

    /// A shell line inside a host; failures go to the audit log.
    fn shell(self: &Arc<Self>, host: &str, script: &str, args: &[&str]) {
        let mut argv: Vec<String> = vec!["sh".into(), "-c".into(), script.into(), "sh".into()];
        argv.extend(args.iter().map(|a| (*a).to_string()));
        match self.machines.exec(host, &argv, "") {
            Ok((_, _, 0)) => {}
            Ok((_, err, rc)) => {
                self.note(&json!({ "kind": "error", "host": host, "error": format!("{script}: rc {rc} {err}") }))
            }
            Err(why) => self.note(&json!({ "kind": "error", "host": host, "error": format!("{why:#}") })),
        }
    }

    /// Bring the rows of the host's database in line with the state, as far as the database is there.
    fn sync_database(self: &Arc<Self>, host: &str) {
        let sql = {
            let system = self.state();
            if !system.database_present {
                return;
            }
            data::records_sql(&system)
        };
        let argv: Vec<String> = [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "psql",
            "-q",
            "-d",
            "sysinv",
            "-f",
            "-",
        ]
        .map(String::from)
        .to_vec();
        let _ = self.machines.exec(host, &argv, &sql);
    }

    fn backup(self: &Arc<Self>, host: &str) -> Result<(), String> {
        self.sync_database(host);
        let order = {
            let system = self.state();
            let upgrade = system.upgrade.as_ref().ok_or("the upgrade record is gone")?;
            let (from, to) = (&upgrade.from_release, &upgrade.to_release);
            Order {
                host: host.into(),
                release: from.clone(),
                name: format!("{}_{}", stamp::compact(clock::real_now()), upgrade.uuid),
                metadata: json!({ "upgrade": {
                    "uuid": upgrade.uuid, "state": upgrade.state, "from_load": 1, "to_load": 2, "from_release": from,
                    "to_release": to, "created_at": upgrade.created_at, "updated_at": upgrade.updated_at,
                }})
                .to_string(),
                system_uuid: system.info.uuid.clone(),
                databases: ["postgres", "template1", "sysinv", "barbican", "fm", "keystone"].map(String::from).to_vec(),
            }
        };
        let argv = vec![PROGRAM.into(), "backup".into(), serde_json::to_string(&order).map_err(|e| e.to_string())?];
        match self.machines.exec(host, &argv, "") {
            Ok((_, _, 0)) => Ok(()),
            Ok((_, err, _)) => Err(err.trim().to_string()),
            Err(why) => Err(format!("{why:#}")),
        }
    }

    /// Take the power, empty the disk, install, and boot bare. `u64::MAX`: it never boots.
    pub fn reinstall(self: &Arc<Self>, host: &str, release: &str, install_ms: u64) {
        std::thread::sleep(LAST_WORDS);
        self.machines.cut(host, false);
        let upper = self.places.upper(host);
        let _ = std::fs::remove_dir_all(&upper);
        self.machines.set_release(host, release);
        let installed = {
            let system = self.state();
            contents::bare(&self.places, &system, host, release)
        };
        if let Err(why) = installed {
            self.note(&json!({ "kind": "error", "host": host, "error": format!("{why:#}") }));
            return;
        }
        if install_ms == u64::MAX {
            return;
        }
        self.boot_after(host, install_ms);
    }

    /// Do what a fault does to a machine.
    pub fn strike(self: &Arc<Self>, fault: Fault) {
        let get = |key: &str, otherwise: &str| fault.parameters.get(key).cloned().unwrap_or_else(|| otherwise.into());
        let host = get("host", "controller-0");
        match fault.name.as_str() {
            "host-dies" => return self.machines.cut(&get("host", "controller-1"), true),
            "host-reboots" => {
                let _ = self.machines.exec(&host, &["systemctl".into(), "reboot".into(), "-ff".into()], "");
                return;
            }
            _ => {}
        }
        let hiera = "h=$(ls -d /opt/platform/puppet/*/hieradata | head -n 1)/static.yaml; ";
        let (script, argument) = match fault.name.as_str() {
            "backup-corrupt" => (
                "f=$(ls /opt/platform-backup/upgrade_data_*.tgz | sort | tail -n 1) && truncate -s $(($(stat -c %s \"$f\") / 2)) \"$f\"",
                String::new(),
            ),
            "backup-second" => (
                "cd /opt/platform-backup && for k in upgrade_data upgrade_images_data; do f=$(ls \"$k\"_*.tgz 2>/dev/null | head -n 1); \
                 [ -n \"$f\" ] || continue; old=\"${k}_2020-01-01T000000_00000000-0000-4000-8000-000000000000.tgz\"; \
                 cp -p \"$f\" \"$old\" && touch -d 2020-01-01 \"$old\"; done",
                String::new(),
            ),
            "disk-full" => (
                "m=$1; d=/run/stx-lab/full$(echo \"$m\" | tr / -); mkdir -p \"$d\"; k=$(du -sk \"$m\" | cut -f1); \
                 mount -t tmpfs -o size=$((k * 2 + 1024))k tmpfs \"$d\" && cp -a \"$m\"/. \"$d\"/ && mount --bind \"$d\" \"$m\" && \
                 echo \"$m\" > \"$d.at\" && { cat /dev/zero > \"$m\"/.filler 2>/dev/null || true; }",
                get("mount", "/opt/platform-backup"),
            ),
            "image-missing" => (
                "f=$(grep -l 'rootfs.diff' /var/lib/docker-distribution/blobs/sha256/* | sort | head -n 1) && \
                 d=$(grep -o 'rootfs.diff[^}]*sha256:[0-9a-f]*' \"$f\" | sed 's/.*sha256://') && rm /var/lib/docker-distribution/blobs/sha256/\"$d\"",
                String::new(),
            ),
            "patch-in-archive" => (
                "d=/opt/patching/metadata/applied; mkdir -p \"$d\" && printf '<patch><id>STX_PATCH_0001</id><reboot_required>%s</reboot_required></patch>\\n' \
                 \"$1\" > \"$d/STX_PATCH_0001-metadata.xml\"",
                get("reboot", "Y"),
            ),
            "hiera-missing" => (&*format!("{hiera} mv $h $h.lost"), String::new()),
            "hiera-partial" => (&*format!("{hiera} truncate -s $(($(stat -c %s $h) / 2)) $h"), String::new()),
            "hiera-key-lost" => {
                (&*format!("{hiera} sed -i \"/^$1:/d\" $h"), get("key", "platform::params::software_version"))
            }
            "hiera-value-unquoted" => {
                (&*format!("{hiera} sed -i \"/^platform::params::software_version:/s/['\\\"]//g\" $h"), String::new())
            }
            "etcd-link-bad" => {
                ("cd /opt/etcd && for d in *; do [ -L $d ] && ln -sfn lost $d; done; true", String::new())
            }
            "rollback-data-lost" => (
                "cd /var/lib/postgresql && d=$(ls -d [0-9]* | head -n 1) && rm -rf $d/base $d/PG_VERSION",
                String::new(),
            ),
            "restore-flag-left" => {
                ("mkdir -p /etc/platform && touch /etc/platform/.restore_in_progress", String::new())
            }
            _ => return,
        };
        self.shell(&host, script, &[&argument]);
    }

    /// Undo a disk that a fault filled.
    pub fn unfill(self: &Arc<Self>, host: &str) {
        self.shell(
            host,
            "awk '$2 ~ /^\\/run\\/stx-lab\\/full/ {print $2}' /proc/mounts | while read -r d; do umount -l \"$(cat \"$d.at\")\"; umount -l \"$d\"; done",
            &[],
        );
    }
}
