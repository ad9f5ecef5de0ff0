//! The playbooks that come with the lab: one construct of the language each.

use anyhow::Result;
use std::path::PathBuf;

const FILES: &[(&str, &str)] = &[
    ("ansible.cfg", include_str!("../../suite/ansible.cfg")),
    ("async.yml", include_str!("../../suite/async.yml")),
    ("batches.yml", include_str!("../../suite/batches.yml")),
    ("blocks.yml", include_str!("../../suite/blocks.yml")),
    ("delegation.yml", include_str!("../../suite/delegation.yml")),
    ("facts.yml", include_str!("../../suite/facts.yml")),
    ("files.yml", include_str!("../../suite/files.yml")),
    ("free.yml", include_str!("../../suite/free.yml")),
    ("handlers.yml", include_str!("../../suite/handlers.yml")),
    ("included.tasks.yml", include_str!("../../suite/included.tasks.yml")),
    ("includes.yml", include_str!("../../suite/includes.yml")),
    ("loops.yml", include_str!("../../suite/loops.yml")),
    ("secrets.yml", include_str!("../../suite/secrets.yml")),
    ("settings.j2", include_str!("../../suite/settings.j2")),
    ("vault-password", include_str!("../../suite/vault-password")),
];

/// The suite as files, gone with the value.
pub struct Unpacked(PathBuf);

impl Unpacked {
    /// Unpacks it if it is wanted.
    pub fn new(wanted: bool) -> Result<Unpacked> {
        let dir = PathBuf::from(format!("/var/tmp/stxc-{}-suite", std::process::id()));
        if wanted {
            std::fs::create_dir_all(&dir)?;
            for (name, text) in FILES {
                std::fs::write(dir.join(name), text)?;
            }
        }
        Ok(Unpacked(dir))
    }

    /// Paths of those that are playbooks.
    pub fn playbooks(&self) -> Vec<PathBuf> {
        let playbook = |name: &str| name.ends_with(".yml") && !name.ends_with(".tasks.yml");
        FILES.iter().filter(|(name, _)| playbook(name)).map(|(name, _)| self.0.join(name)).collect()
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
