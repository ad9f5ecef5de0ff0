//! Facts that outlive a run: a file of JSON for each host, as with Ansible's `jsonfile` cache. What goes in are facts that
//! modules found and those that `set_fact` marks as cacheable; which they are is the store's to know.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::value::{Dict, Value};
use crate::modules::host::part::Part;

#[derive(Clone, Debug)]
pub struct FactCache {
    dir: PathBuf,
    /// Begins the names of the files.
    prefix: String,
    /// How long facts hold; none is for ever.
    holds: Option<Duration>,
    /// What earlier runs kept is thrown away when a host is first met.
    flush: bool,
}

impl FactCache {
    /// The error says why nothing can be kept there.
    pub fn open(dir: PathBuf, prefix: &str, holds: Option<Duration>, flush: bool) -> Result<FactCache, String> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| format!("the fact cache {} cannot be made: {e}", dir.display()))?;
        nix::unistd::access(&dir, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)
            .map_err(|e| format!("the fact cache {} cannot be written: {e}", dir.display()))?;
        Ok(FactCache { dir, prefix: prefix.to_owned(), holds, flush })
    }

    /// A host's name may be any text, and must not lead out of the folder.
    fn file(&self, host: &str) -> PathBuf {
        self.dir.join(format!("{}{}", self.prefix, host).replace('/', "%2F"))
    }

    /// What is kept of a host; nothing where that is too old or cannot be read.
    pub fn load(&self, host: &str) -> Dict {
        let file = self.file(host);
        if self.flush {
            self.forget(host);
            return Dict::new();
        }
        let old = |holds: Duration| {
            let changed = file.metadata().and_then(|m| m.modified()).ok();
            changed.and_then(|c| c.elapsed().ok()).is_some_and(|age| age > holds)
        };
        if self.holds.is_some_and(old) {
            return Dict::new();
        }
        let Ok(bytes) = fs::read(&file) else { return Dict::new() };
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Dict(facts)) => facts.as_ref().clone(),
            _ => {
                tracing::warn!("{} holds no facts that can be read; they are gathered anew", file.display());
                Dict::new()
            }
        }
    }

    /// Put in place as a whole: another run may read at any moment. Facts may hold what others must not see.
    pub fn save(&self, host: &str, facts: &Dict) {
        let file = self.file(host);
        let written = serde_json::to_vec(&Value::dict(facts.clone())).map_err(std::io::Error::from).and_then(|text| {
            let mut part = Part::of(&file)?;
            part.file.write_all(&text)?;
            part.put()
        });
        if let Err(e) = written {
            tracing::warn!("the facts of {host} cannot be kept in {}: {e}", file.display());
        }
    }

    pub fn forget(&self, host: &str) {
        let file = self.file(host);
        if let Err(e) = fs::remove_file(&file)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("{} cannot be removed: {e}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn facts_come_back_until_they_are_old_or_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("facts");
        let open = |holds, flush| FactCache::open(place.clone(), "p_", holds, flush).unwrap();
        let facts = dict! {"ansible_a" => "{{ not run }}", "n" => 1};
        open(None, false).save("h", &facts);
        open(None, false).save("../h", &facts);
        assert_eq!(open(None, false).load("h"), facts);
        assert_eq!(open(Some(Duration::from_secs(60)), false).load("../h"), facts);
        let mut names: Vec<_> = fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["p_..%2Fh", "p_h"]);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(open(Some(Duration::from_millis(1)), false).load("h"), Dict::new());
        assert_eq!(open(None, true).load("h"), Dict::new());
        assert_eq!(open(None, false).load("h"), Dict::new());
        fs::write(place.join("p_h"), "no facts").unwrap();
        assert_eq!(open(None, false).load("h"), Dict::new());
    }
}
