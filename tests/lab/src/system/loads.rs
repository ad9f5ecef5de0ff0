//! Importing and deleting loads.

use super::time::Event;
use super::{Load, Refusal, System};

/// Product seconds from the acceptance of an import until the load is usable.
const IMPORT: f64 = 300.0;
/// Product seconds of a deletion.
const DELETE: f64 = 30.0;

/// What is known of an image at its import.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Name of the signature file as typed.
    pub signature_name: String,
    /// Digest of the image file.
    pub digest: String,
    /// Content of the signature file.
    pub signature: String,
    /// Head of the image, where the lab writes `version=` and `from=` lines (a real load has a `metadata.xml`).
    pub metadata: String,
}

impl Image {
    fn value(&self, key: &str) -> Option<&str> {
        self.metadata.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl System {
    /// The client's own check before it sends anything.
    pub fn load_import_client_check(&self) -> Result<(), Refusal> {
        if self.loads.len() >= 2 {
            return Err(
                "Max number of loads (2) reached. Please remove the old or unused load before importing a new one."
                    .into(),
            );
        }
        Ok(())
    }

    /// Import a load; it is usable some product minutes later.
    pub fn load_import(&mut self, image: &Image) -> Result<u32, Refusal> {
        if self.active != "controller-0" {
            return Err("A load can only be imported when controller-0 is active.".into());
        }
        if self.loads.iter().any(|l| l.state == "error") {
            return Err("Please remove the load in error state before importing a new one.".into());
        }
        if self.loads.iter().any(|l| l.state == "deleting") {
            return Err("Please wait for the current load delete to complete before importing a new one.".into());
        }
        let claimed = image.signature.split_whitespace().next().unwrap_or("");
        if claimed != image.digest || self.take_fault("load-signature-bad").is_some() {
            let name = image.signature_name.rsplit('/').next().unwrap_or("");
            return Err(format!("Signature /scratch/tmp_load/{name} could not be verified"));
        }
        let Some(version) = image.value("version").map(str::to_string) else {
            return Err("Unable to read metadata file".into());
        };
        if version == self.info.software_version {
            return Err(format!("Active version and import version match ({version})"));
        }
        let paths = image.value("from").unwrap_or("").to_string();
        if !paths.split(',').any(|from| from.trim() == self.info.software_version) {
            return Err("No valid upgrade path found".into());
        }
        if self.loads.iter().any(|l| l.version == version) {
            return Err("Imported load exists.".into());
        }
        let id = self.next_load_id;
        self.next_load_id += 1;
        self.loads.push(Load {
            id,
            state: "importing".into(),
            version,
            compatible: self.info.software_version.clone(),
            required_patches: image
                .value("required_patches")
                .map(|ids| ids.split(',').filter(|id| !id.is_empty()).map(str::to_string).collect())
                .unwrap_or_default(),
        });
        self.changed("load-importing");
        if self.take_fault("load-import-hangs").is_none() {
            self.after(IMPORT, Event::LoadImported { id });
        }
        Ok(id)
    }

    pub(super) fn load_imported(&mut self, id: u32) {
        let failed = self.take_fault("load-import-fails").is_some();
        if let Some(load) = self.loads.iter_mut().find(|l| l.id == id) {
            load.state = if failed { "error" } else { "imported" }.into();
            let state = load.state.clone();
            self.changed(format!("load-{state}"));
        }
    }

    /// An import that hung goes on.
    pub(super) fn load_import_freed(&mut self) {
        for id in self.loads.iter().filter(|l| l.state == "importing").map(|l| l.id).collect::<Vec<_>>() {
            if !self.due.iter().any(|due| matches!(due.what, Event::LoadImported { id: other } if other == id)) {
                self.after(IMPORT, Event::LoadImported { id });
            }
        }
    }

    /// Start deleting a load.
    pub fn load_delete(&mut self, id: u32) -> Result<(), Refusal> {
        let at = self.loads.iter().position(|l| l.id == id).ok_or(format!("Load {id} could not be found."))?;
        let (version, state) = (self.loads[at].version.clone(), self.loads[at].state.clone());
        if let Some(host) = self.hosts.iter().find(|h| h.running_release == version) {
            return Err(format!("Unable to delete load, load in use by host (id: {})", host.id));
        }
        if let Some(upgrade) = &self.upgrade
            && (upgrade.to_release == version || upgrade.from_release == version)
        {
            return Err("Unable to delete load, load in use by upgrade".into());
        }
        if !matches!(state.as_str(), "imported" | "imported-metadata" | "error" | "deleting") {
            return Err("Only a load in an imported or error state can be deleted".into());
        }
        self.loads[at].state = "deleting".into();
        self.changed("load-deleting");
        self.after(DELETE, Event::LoadDeleted { id });
        Ok(())
    }

    pub(super) fn load_deleted(&mut self, id: u32) {
        self.loads.retain(|l| l.id != id);
        self.changed("load-deleted");
    }
}
