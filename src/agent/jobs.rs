//! Jobs: calls that go on while the play does (`async`). The agent starts one and says so at once; what becomes of it stands
//! in a file in the home of the user it runs as, in the shape that `async_status` reads there. A job ends with its own time
//! limit or the host, not with the run.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::action::module::{Become, Job};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::host::part::Part;

/// Jobs are numbered behind the calls of their attempt.
pub const AT: u64 = 1 << 19;

/// Where results lie unless `ANSIBLE_ASYNC_DIR` says otherwise.
const FOLDER: &str = ".ansible_async";

/// The file of a job's result.
pub fn file(job: &Job, become_: Option<&Become>) -> PathBuf {
    let home = home_of(become_.map(|b| b.user.as_str()));
    let folder = match job.folder.as_deref() {
        None => home.join(FOLDER),
        Some(given) => match given.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(given),
        },
    };
    folder.join(&job.id)
}

/// The home of a user, or of this process's own.
fn home_of(user: Option<&str>) -> PathBuf {
    let own = nix::unistd::geteuid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let listed = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let wanted = user.map_or_else(|| fields.get(2) == Some(&own.as_str()), |u| fields.first() == Some(&u));
        fields.get(5).filter(|_| wanted).map(PathBuf::from)
    });
    let own_home = std::env::var_os("HOME").filter(|h| user.is_none() && !h.is_empty()).map(PathBuf::from);
    own_home.or(listed).unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// What the start of a job returns.
pub fn started(job: &Job, file: &Path) -> Outcome {
    Outcome::changed(true)
        .with("started", true)
        .with("finished", false)
        .with("ansible_job_id", job.id.as_str())
        .with("results_file", file.display().to_string())
}

/// Puts on file that a job has begun. The error says why it cannot.
pub fn begin(job: &Job, file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| format!("the folder of jobs {}: {e}", folder.display()))?;
    let begun = dict! {"started" => true, "finished" => false, "ansible_job_id" => job.id.as_str()};
    put(file, &begun)
}

/// Puts a job's result on file.
pub fn end(file: &Path, outcome: &Outcome) -> Result<(), String> {
    put(file, &outcome.registered())
}

/// The output that a job that printed nothing has too.
pub fn with_output(mut outcome: Outcome) -> Outcome {
    for name in ["stdout", "stderr"] {
        outcome.data.entry(name.into()).or_insert_with(|| "".into());
        outcome.data.entry(format!("{name}_lines").into()).or_insert_with(|| Value::list(Vec::new()));
    }
    outcome
}

/// Put in place as a whole: a reader sees all of it or what was before, and another job that ends just then its own.
fn put(file: &Path, data: &Dict) -> Result<(), String> {
    let written = serde_json::to_vec(&Value::dict(data.clone())).map_err(std::io::Error::from).and_then(|text| {
        let mut part = Part::of(file)?;
        part.file.write_all(&text)?;
        part.file.sync_all()?;
        part.put()
    });
    written.map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_a_run_that_end_at_once_do_not_take_each_others_results() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = folder.path().join(format!("j7.{n}"));
                scope.spawn(move || {
                    for _ in 0..50 {
                        put(&file, &dict! {"n" => n}).unwrap();
                    }
                });
            }
        });
        for n in 0..8 {
            let text = std::fs::read_to_string(folder.path().join(format!("j7.{n}"))).unwrap();
            assert_eq!(text, format!("{{\"n\":{n}}}"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
    }
}
