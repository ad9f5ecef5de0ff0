//! Applications: upload, apply, update with its recovery, abort, remove, delete, and the site's overrides.

use super::time::Event;
use super::{App, Refusal, System, stamp};

/// Product seconds of an operation on an application, and of a recovery to the old version.
const OPERATION: f64 = 120.0;
const RECOVERY: f64 = 60.0;

/// What a package says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Lowest Kubernetes version, if it names one.
    pub kube: Option<String>,
}

impl Package {
    /// Read the head of a package: `name:`, `version:` and `supported_k8s_version:` lines.
    pub fn read(text: &str) -> Option<Package> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ").map(|v| v.trim().to_string()))
        };
        Some(Package { name: value("name")?, version: value("version")?, kube: value("supported_k8s_version") })
    }
}

impl System {
    fn app(&mut self, name: &str) -> Result<&mut App, Refusal> {
        self.apps.iter_mut().find(|a| a.name == name).ok_or_else(|| format!("application not found: {name}"))
    }

    fn app_state(&mut self, name: &str, status: &str, progress: &str) {
        if let Ok(app) = self.app(name) {
            app.status = status.into();
            app.progress = progress.into();
            app.updated_at = Some(stamp::now());
            self.changed(format!("app-{status} {name}"));
        }
    }

    fn app_begins(&mut self, name: &str, status: &str, progress: &str) {
        self.app_state(name, status, progress);
        let slow = self.take_fault("app-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 1800.0));
        if status != "uploading" {
            let (id, what) = if status == "updating" { ("750.005", "Update") } else { ("750.004", "Apply") };
            let entity = format!("k8s_application={name}");
            self.raise(id, &entity, "warning", &format!("Application {what} In Progress"));
        }
        self.after(OPERATION + slow, Event::AppDone { name: name.into() });
    }

    /// `application-upload`.
    pub fn app_upload(&mut self, package: &Package) -> Result<(), Refusal> {
        if self.apps.iter().any(|a| a.name == package.name) {
            return Err(format!("Application-upload rejected: application {} already exists.", package.name));
        }
        let file = self.apps.first().map_or("fluxcd-manifests".into(), |a| a.manifest_file.clone());
        self.apps.push(App::new(&package.name, &package.version, &file, "uploading"));
        self.app_begins(&package.name, "uploading", "validating and uploading charts");
        Ok(())
    }

    /// `application-apply`.
    pub fn app_apply(&mut self, name: &str) -> Result<(), Refusal> {
        let status = self.app(name)?.status.clone();
        if !matches!(status.as_str(), "uploaded" | "applied" | "apply-failed" | "restore-requested") {
            return Err(format!(
                "Application-apply rejected: operation is not allowed while the current status is {status}."
            ));
        }
        self.app_begins(name, "applying", "applying application manifest");
        Ok(())
    }

    /// `application-update`.
    pub fn app_update(&mut self, package: &Package, reuse_overrides: bool) -> Result<(), Refusal> {
        let kube = self.hosts[0].kube.kubelet.clone();
        let app = self.app(&package.name)?;
        if app.status != "applied" {
            return Err(format!(
                "Application-update rejected: operation is not allowed while the current status is {}.",
                app.status
            ));
        }
        if app.version == package.version {
            return Err(format!(
                "Application-update rejected: the version {} of application {} is already active.",
                package.version, package.name
            ));
        }
        if let Some(least) = package.kube.as_deref()
            && version_number(&kube) < version_number(least)
        {
            return Err(format!(
                "Application-update rejected: the application {} ({}) requires Kubernetes {least}, installed is {kube}.",
                package.name, package.version
            ));
        }
        app.wanted = Some(package.version.clone());
        app.keeps_overrides = reuse_overrides;
        self.app_begins(&package.name, "updating", "updating application manifest");
        Ok(())
    }

    /// `application-abort`.
    pub fn app_abort(&mut self, name: &str) -> Result<(), Refusal> {
        let status = self.app(name)?.status.clone();
        match status.as_str() {
            "applying" | "removing" => {
                self.app_ends(name);
                let to = if status == "applying" { "apply-failed" } else { "remove-failed" };
                self.app_state(name, to, "operation aborted by user");
            }
            "updating" => self.app_recovers(name),
            _ => {
                return Err(format!(
                    "Application-abort rejected: operation is not allowed while the current status is {status}."
                ));
            }
        }
        Ok(())
    }

    /// `application-remove`.
    pub fn app_remove(&mut self, name: &str) -> Result<(), Refusal> {
        let status = self.app(name)?.status.clone();
        if !matches!(status.as_str(), "applied" | "apply-failed" | "remove-failed") {
            return Err(format!(
                "Application-remove rejected: operation is not allowed while the current status is {status}."
            ));
        }
        self.app_begins(name, "removing", "removing application");
        Ok(())
    }

    /// `application-delete`.
    pub fn app_delete(&mut self, name: &str) -> Result<(), Refusal> {
        let status = self.app(name)?.status.clone();
        if !matches!(status.as_str(), "uploaded" | "upload-failed") {
            return Err(format!(
                "Application-delete rejected: operation is not allowed while the current status is {status}."
            ));
        }
        self.apps.retain(|a| a.name != name);
        self.changed(format!("app-deleted {name}"));
        Ok(())
    }

    /// Store the site's overrides of an application.
    pub fn app_override(&mut self, name: &str, values: &[String]) -> Result<(), Refusal> {
        let app = self.app(name)?;
        app.user_overrides.extend(values.iter().cloned());
        self.changed(format!("app-overridden {name}"));
        Ok(())
    }

    fn app_ends(&mut self, name: &str) {
        self.due.retain(|due| !matches!(&due.what, Event::AppDone { name: n } if n == name));
        for id in ["750.004", "750.005"] {
            self.clear(id, &format!("k8s_application={name}"));
        }
    }

    fn app_recovers(&mut self, name: &str) {
        self.app_ends(name);
        self.app_state(name, "recovering", "recovering to the version that ran before");
        self.after(RECOVERY, Event::AppDone { name: name.into() });
    }

    pub(super) fn app_done(&mut self, name: &str) {
        let Ok(app) = self.app(name) else { return };
        let (status, old, wanted) = (app.status.clone(), app.version.clone(), app.wanted.take());
        match status.as_str() {
            "updating" if self.take_app_fault("app-update-fails", name) => {
                if let Ok(app) = self.app(name) {
                    app.wanted = wanted;
                }
                self.app_recovers(name);
            }
            "updating" => {
                let new = wanted.unwrap_or_else(|| old.clone());
                if let Ok(app) = self.app(name) {
                    app.version.clone_from(&new);
                    app.incompatible_kube = None;
                    if !app.keeps_overrides {
                        app.user_overrides.clear();
                    }
                }
                self.app_ends(name);
                let progress = format!("Application update from version {old} to version {new} completed.");
                self.app_state(name, "applied", &progress);
            }
            "recovering" => {
                let progress = format!(
                    "Application update from version {old} to version {} aborted. Application recover to version {old} \
                     completed. Please check logs for details.",
                    wanted.unwrap_or_default()
                );
                self.app_ends(name);
                self.app_state(name, "applied", &progress);
            }
            "applying" => {
                let failed = self.take_app_fault("app-apply-fails", name);
                self.app_ends(name);
                let progress = if failed { "operation aborted, check logs for detail" } else { "completed" };
                self.app_state(name, if failed { "apply-failed" } else { "applied" }, progress);
            }
            "uploading" | "removing" => {
                self.app_ends(name);
                self.app_state(name, "uploaded", "completed");
            }
            _ => {}
        }
    }

    fn take_app_fault(&mut self, fault: &str, name: &str) -> bool {
        let meant = |f: &super::faults::Fault| f.parameters.get("app").is_none_or(|app| app == name);
        self.standing_fault(fault).is_some_and(meant) && self.take_fault(fault).is_some()
    }

    /// A restart of the conductor: what was being applied is left half-way.
    pub(super) fn apps_interrupted(&mut self) {
        let names: Vec<(String, String)> = self.apps.iter().map(|a| (a.name.clone(), a.status.clone())).collect();
        for (name, status) in names {
            let to = match status.as_str() {
                "applying" | "updating" | "recovering" => "apply-failed",
                "removing" => "remove-failed",
                "uploading" => "upload-failed",
                _ => continue,
            };
            self.app_ends(&name);
            self.app_state(&name, to, "operation aborted, check logs for detail");
        }
    }
}

/// `v1.19.13` as numbers that order right.
fn version_number(version: &str) -> Vec<u32> {
    version.trim_start_matches('v').split('.').filter_map(|part| part.parse().ok()).collect()
}
