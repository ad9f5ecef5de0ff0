//! Faults that are set: arming, striking, undoing. What there is stands in the catalogue.

use super::fault_catalogue::{CATALOGUE, Place, find};
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

    /// The Kubernetes version that the running one can go to.
    fn next_kube(&self) -> Option<String> {
        let running = &self.hosts[0].kube.kubelet;
        self.kube_versions.iter().find(|v| v.upgrade_from.contains(running)).map(|v| v.version.clone())
    }

    fn alarms_by_fault(&mut self, id: &str, entity: &str) {
        for alarm in self.alarms.iter_mut().filter(|a| a.id == id && a.entity == entity) {
            alarm.by_fault = true;
        }
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
                self.alarms_by_fault(&id, &entity);
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
                self.alarms_by_fault(&id, &entity);
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
            "admin-password-changed" => {
                self.unhealthy.insert("admin-password".into(), String::new());
            }
            "ceph-degraded" => {
                self.unhealthy.insert("ceph".into(), String::new());
                self.ceph_alarms();
            }
            "conductor-restart" => self.conductor_restarted(),
            "instances-on-controller-1" => {
                self.unhealthy.insert("instances".into(), get("count", "1"));
            }
            "app-incompatible" => {
                let (name, version) = (get("app", "platform-integ-apps"), self.next_kube());
                if let Some(app) = self.apps.iter_mut().find(|a| a.name == name) {
                    app.incompatible_kube = version;
                }
            }
            "patch-drifts" => {
                if let Some(patch) = self.patches.iter_mut().find(|p| p.state == "Applied") {
                    patch.state = "Partial-Apply".into();
                }
                if let Ok(at) = self.find(&host) {
                    self.hosts[at].patch_current = false;
                }
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
                self.alarms.retain(|a| !a.by_fault);
            }
            "api-away" => self.api_away_until = 0.0,
            "app-bad" => {
                for app in self.apps.iter_mut().filter(|a| a.status.ends_with("-failed")) {
                    app.status = if app.name == "oidc-auth-apps" { "uploaded" } else { "applied" }.into();
                }
            }
            "cert-expires-soon" => {
                for certificate in &mut self.certificates {
                    certificate.expiry_date = stamp::iso(super::clock::real_now() + 335.0 * 86_400.0);
                }
            }
            "admin-password-changed" => {
                self.unhealthy.remove("admin-password");
            }
            "ceph-degraded" => {
                self.unhealthy.remove("ceph");
                self.ceph_alarms();
            }
            "instances-on-controller-1" => {
                self.unhealthy.remove("instances");
            }
            "app-incompatible" => self.apps.iter_mut().for_each(|app| app.incompatible_kube = None),
            "kube-record-stale" => self.kube_upgrade = None,
            "licence-invalid" => {
                self.unhealthy.remove("license");
            }
            "load-import-hangs" => self.load_import_freed(),
            "nodes-not-ready" => {
                self.unhealthy.remove("nodes");
            }
            "patch-not-current" | "patch-drifts" => {
                for host in &mut self.hosts {
                    host.patch_current = true;
                }
            }
            _ => {}
        }
    }
}
