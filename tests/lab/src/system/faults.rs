//! Faults as data: a catalogue, and the ones that are set.

use super::time::Event;
use super::{KubeUpgrade, System, stamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A fault that is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
    /// Strikes only after the change of this name was recorded; at once if none.
    pub when: Option<String>,
    pub armed: bool,
    /// How often it still strikes; until cleared if none.
    pub times: Option<u32>,
}

/// Where a fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The rules ask for it when its moment comes.
    Waits,
    /// It changes the records as soon as it is armed.
    Records,
    /// It changes the machine as soon as it is armed.
    Machine,
    /// It changes what commands print or how they behave.
    Command,
}

/// An entry of the catalogue.
pub struct Kind {
    pub name: &'static str,
    pub place: Place,
    /// How often it strikes unless told (0: until cleared).
    pub times: u32,
    /// `key=default` of its parameters.
    pub parameters: &'static str,
    pub what: &'static str,
}

const fn kind(name: &'static str, place: Place, times: u32, parameters: &'static str, what: &'static str) -> Kind {
    Kind { name, place, times, parameters, what }
}

/// Every fault of this lab.
pub const CATALOGUE: &[Kind] = &[
    kind("activation-fails", Place::Waits, 0, "", "every activation ends in activation-failed"),
    kind("activation-fails-once", Place::Waits, 1, "", "the next activation ends in activation-failed; a retry passes"),
    kind(
        "activation-stuck",
        Place::Waits,
        1,
        "",
        "the activation stays in activating-hosts: one host's configuration is out of date (250.001); cleared, it goes on",
    ),
    kind(
        "alarm-new",
        Place::Records,
        1,
        "id=100.101 severity=major entity=host=controller-0 reason=…",
        "an alarm is raised and stays",
    ),
    kind(
        "alarm-transient",
        Place::Records,
        1,
        "id=800.001 severity=warning seconds=120 entity=…",
        "an alarm is raised and clears by itself after `seconds` product seconds",
    ),
    kind("api-away", Place::Records, 1, "seconds=60", "the API refuses connections for `seconds` product seconds"),
    kind(
        "app-bad",
        Place::Records,
        1,
        "app=platform-integ-apps status=apply-failed",
        "an application is in a bad state",
    ),
    kind(
        "backup-corrupt",
        Place::Machine,
        1,
        "",
        "the newest upgrade_data archive is cut in half (set it with when=upgrade-started)",
    ),
    kind("backup-second", Place::Machine, 1, "", "a second, older pair of archives lies beside the first"),
    kind("cert-expires-soon", Place::Records, 1, "days=2 certtype=ssl", "a certificate expires in `days` days"),
    kind(
        "command-hangs",
        Place::Command,
        1,
        "command=upgrade-show seconds=30",
        "the next such `system` command answers `seconds` real seconds late",
    ),
    kind(
        "config-out-of-date",
        Place::Records,
        1,
        "host=controller-0",
        "a host's configuration is out of date (250.001)",
    ),
    kind("data-migration-failed", Place::Waits, 1, "", "the next migration on controller-1 fails"),
    kind(
        "data-migration-slow",
        Place::Waits,
        1,
        "seconds=1800",
        "the next migration takes `seconds` product seconds longer",
    ),
    kind(
        "agent-late",
        Place::Waits,
        1,
        "host=controller-1 seconds=900",
        "a reinstalled host is online `seconds` product seconds later",
    ),
    kind(
        "disk-full",
        Place::Machine,
        1,
        "mount=/opt/platform-backup",
        "the mount point becomes a small, full file system (kept until the host reboots)",
    ),
    kind("host-upgrade-prompt", Place::Command, 0, "", "host-upgrade asks twice, with other words"),
    kind(
        "image-missing",
        Place::Machine,
        1,
        "",
        "one blob of a registry image is gone from /var/lib/docker-distribution",
    ),
    kind("kube-record-stale", Place::Records, 1, "", "a completed Kubernetes upgrade was never deleted"),
    kind("licence-invalid", Place::Records, 1, "", "the licence check for the new release fails"),
    kind("load-import-fails", Place::Waits, 1, "", "the next import is accepted and ends in state error"),
    kind("load-signature-bad", Place::Waits, 1, "", "the signature of the next import does not verify"),
    kind(
        "lock-rejected-late",
        Place::Waits,
        1,
        "host=controller-0",
        "the next host-lock is accepted (exit 0), then refused in the task text",
    ),
    kind("nodes-not-ready", Place::Records, 1, "host=controller-0", "a Kubernetes node is not ready"),
    kind("patch-not-current", Place::Records, 1, "host=controller-0", "a host is not patch current"),
    kind(
        "patch-in-archive",
        Place::Machine,
        1,
        "reboot=Y",
        "a patch of the new release lies in the patch repository, and so in the archive; installing it needs a reboot",
    ),
    kind("reboot-slow", Place::Waits, 1, "seconds=900", "the next boot takes `seconds` product seconds longer"),
    kind(
        "reinstall-fails",
        Place::Waits,
        1,
        "host=controller-0",
        "the next installation never ends: the host stays off (stx-lab wipe HOST brings it back)",
    ),
    kind("restore-flag-left", Place::Machine, 1, "", "/etc/platform/.restore_in_progress is there already"),
    kind("start-fails-silently", Place::Waits, 1, "", "the next upgrade-start is accepted; the record vanishes later"),
    kind(
        "start-slow",
        Place::Waits,
        1,
        "seconds=1800",
        "the next upgrade-start takes `seconds` product seconds longer",
    ),
    kind("swact-fails", Place::Waits, 1, "", "the next swact is accepted and ends in `Swact: Failed`"),
    kind("swact-refused", Place::Waits, 1, "", "the next swact is refused: services are not enabled on the target"),
    kind("swact-slow", Place::Waits, 1, "seconds=300", "no controller is active for `seconds` product seconds more"),
    kind("sync-late", Place::Waits, 1, "seconds=300", "the next synchronization begins, and alarms, `seconds` later"),
    kind(
        "sync-slow",
        Place::Waits,
        1,
        "seconds=3600",
        "the next synchronization takes `seconds` product seconds longer",
    ),
    kind("unlock-fails", Place::Waits, 1, "host=controller-1", "the next unlock ends in availability failed"),
    kind("unlock-refused", Place::Waits, 1, "host=controller-1", "maintenance refuses the next unlock; a retry passes"),
    kind(
        "wrap",
        Place::Command,
        0,
        "columns=60",
        "lists without --nowrap are laid out for a terminal of `columns` columns",
    ),
];

/// The catalogue entry of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    CATALOGUE.iter().find(|k| k.name == name)
}

impl System {
    /// Take one strike of a fault, if it is set and armed.
    pub fn take_fault(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        let at = self.faults.iter().position(|f| f.name == name && f.armed && f.times != Some(0))?;
        let parameters = self.faults[at].parameters.clone();
        if let Some(times) = &mut self.faults[at].times {
            *times -= 1;
        }
        if self.faults[at].times == Some(0) {
            self.faults.remove(at);
        }
        self.changed(format!("fault-struck {name}"));
        Some(parameters)
    }

    /// Take one strike of a fault for a host: one that names no host strikes any.
    pub fn take_host_fault(&mut self, name: &str, host: &str) -> Option<BTreeMap<String, String>> {
        let at = self.faults.iter().position(|f| {
            f.name == name && f.armed && f.times != Some(0) && f.parameters.get("host").is_none_or(|h| h == host)
        })?;
        let fault = self.faults.remove(at);
        self.faults.insert(0, fault);
        self.take_fault(name)
    }

    /// Look at a standing fault without using it up.
    pub fn standing_fault(&self, name: &str) -> Option<&Fault> {
        self.faults.iter().find(|f| f.name == name && f.armed)
    }

    /// Set a fault. `Err` names what is wrong with it.
    pub fn add_fault(&mut self, mut fault: Fault) -> Result<(), String> {
        let kind = find(&fault.name)
            .ok_or_else(|| format!("no fault is called {:?}; `stx-lab fault list` names them", fault.name))?;
        let known: Vec<&str> = kind.parameters.split(' ').filter_map(|p| p.split('=').next()).collect();
        if let Some(bad) = fault.parameters.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("{} has no parameter {bad:?}; it has: {}", kind.name, kind.parameters));
        }
        if fault.times.is_none() && kind.times > 0 {
            fault.times = Some(kind.times);
        }
        fault.armed = fault.when.is_none();
        self.changed(format!("fault-set {}", fault.name));
        self.faults.push(fault);
        Ok(())
    }

    /// Clear faults by name (`all` for every one) and undo what they did to the records. How many were cleared.
    pub fn clear_fault(&mut self, name: &str) -> usize {
        let names: Vec<String> =
            if name == "all" { CATALOGUE.iter().map(|k| k.name.to_string()).collect() } else { vec![name.to_string()] };
        let before = self.faults.len();
        self.faults.retain(|f| !names.contains(&f.name));
        for name in &names {
            self.undo(name);
        }
        before - self.faults.len()
    }

    /// Arm what waited for these changes; apply what acts on the records. Returns the faults for the machines.
    pub fn settle_faults(&mut self, changes: &[String]) -> Vec<Fault> {
        for fault in &mut self.faults {
            if !fault.armed
                && fault.when.as_ref().is_some_and(|when| changes.iter().any(|c| c.starts_with(when.as_str())))
            {
                fault.armed = true;
            }
        }
        let mut machine = Vec::new();
        let due: Vec<Fault> = self.faults.iter().filter(|f| f.armed).cloned().collect();
        for fault in due {
            match find(&fault.name).map(|k| k.place) {
                Some(Place::Records) => {
                    self.faults.retain(|f| !(f.name == fault.name && f.armed));
                    self.changed(format!("fault-struck {}", fault.name));
                    self.strike_records(&fault);
                }
                Some(Place::Machine) => {
                    self.faults.retain(|f| !(f.name == fault.name && f.armed));
                    self.changed(format!("fault-struck {}", fault.name));
                    machine.push(fault);
                }
                _ => {}
            }
        }
        machine
    }

    fn strike_records(&mut self, fault: &Fault) {
        let get =
            |key: &str, otherwise: &str| fault.parameters.get(key).cloned().unwrap_or_else(|| otherwise.to_string());
        let host = get("host", "controller-0");
        let seconds = super::upgrade::number(&fault.parameters, "seconds", 60.0);
        match fault.name.as_str() {
            "alarm-new" => {
                let (id, entity) = (get("id", "100.101"), get("entity", "host=controller-0"));
                self.raise(
                    &id,
                    &entity,
                    &get("severity", "major"),
                    &get("reason", "Platform CPU threshold exceeded ; threshold 90.00%, actual 94.20%"),
                );
            }
            "alarm-transient" => {
                let (id, entity) = (get("id", "800.001"), get("entity", "cluster=cluster"));
                let last = super::upgrade::number(&fault.parameters, "seconds", 120.0);
                self.raise(
                    &id,
                    &entity,
                    &get("severity", "warning"),
                    &get("reason", "Storage Alarm Condition: HEALTH_WARN. Please check 'ceph -s' for more details."),
                );
                self.after(last, Event::ClearAlarm { id, entity });
            }
            "api-away" => self.api_away_until = self.clock.now() + seconds,
            "app-bad" => {
                let (name, status) = (get("app", "platform-integ-apps"), get("status", "apply-failed"));
                if let Some(app) = self.apps.iter_mut().find(|a| a.name == name) {
                    app.status = status;
                }
            }
            "cert-expires-soon" => {
                let days = super::upgrade::number(&fault.parameters, "days", 2.0);
                let certtype = get("certtype", "ssl");
                for certificate in self.certificates.iter_mut().filter(|c| c.certtype == certtype) {
                    certificate.expiry_date = stamp::iso(super::clock::real_now() + days * 86_400.0);
                }
            }
            "config-out-of-date" => {
                if let Ok(at) = self.find(&host) {
                    self.hosts[at].config_target = stamp::uuid();
                    self.hosts[at].config_status = Some("Config out-of-date".into());
                    self.raise(
                        "250.001",
                        &format!("host={host}"),
                        "major",
                        &format!("{host} Configuration is out-of-date."),
                    );
                }
            }
            "kube-record-stale" => {
                let version = self.hosts[0].kube.kubelet.clone();
                self.kube_upgrade = Some(KubeUpgrade {
                    uuid: stamp::uuid(),
                    from_version: version.clone(),
                    to_version: version,
                    state: "upgrade-complete".into(),
                    created_at: stamp::now(),
                    updated_at: Some(stamp::now()),
                });
            }
            "licence-invalid" => {
                self.unhealthy.insert("license".into(), String::new());
            }
            "nodes-not-ready" => {
                self.unhealthy.insert("nodes".into(), host);
            }
            "patch-not-current" => {
                if let Ok(at) = self.find(&host) {
                    self.hosts[at].patch_current = false;
                }
            }
            _ => {}
        }
    }

    fn undo(&mut self, name: &str) {
        match name {
            "activation-stuck" | "config-out-of-date" => {
                for at in 0..self.hosts.len() {
                    self.hosts[at].config_target = self.hosts[at].config_applied.clone();
                    self.hosts[at].config_status = None;
                    let entity = format!("host={}", self.hosts[at].hostname);
                    self.clear("250.001", &entity);
                }
            }
            "alarm-new" | "alarm-transient" => {
                let own = ["200.001", "250.001", "900.005"];
                self.alarms.retain(|a| own.contains(&a.id.as_str()));
            }
            "api-away" => self.api_away_until = 0.0,
            "app-bad" => {
                for app in &mut self.apps {
                    app.status = if app.name == "oidc-auth-apps" { "uploaded" } else { "applied" }.into();
                }
            }
            "cert-expires-soon" => {
                for certificate in &mut self.certificates {
                    certificate.expiry_date = stamp::iso(super::clock::real_now() + 335.0 * 86_400.0);
                }
            }
            "kube-record-stale" => self.kube_upgrade = None,
            "licence-invalid" => {
                self.unhealthy.remove("license");
            }
            "nodes-not-ready" => {
                self.unhealthy.remove("nodes");
            }
            "patch-not-current" => {
                for host in &mut self.hosts {
                    host.patch_current = true;
                }
            }
            _ => {}
        }
    }
}
