//! The variables that a template file can read about itself.

use std::path::Path;
use std::time::SystemTime;

use crate::dict;
use crate::model::value::{Dict, Value};

/// What `ansible_managed` is where no variable of that name says otherwise.
pub const MANAGED: &str = "Ansible managed";

/// What the template at `path` can read about itself; `destination` is where the result goes, if to a file.
pub fn of(path: &Path, destination: Option<&str>) -> Dict {
    let shown = path.display().to_string();
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let mut vars = dict! {
        "template_host" => this_machine(),
        "template_path" => shown.as_str(),
        "template_fullpath" => shown.as_str(),
        "template_run_date" => moment(SystemTime::now()),
        "template_mtime" => modified.map(moment),
        "template_uid" => this_user(),
    };
    if let Some(destination) = destination {
        vars.insert("template_destpath".into(), Value::str(destination));
    }
    vars
}

/// As Python writes it.
fn moment(at: SystemTime) -> String {
    chrono::DateTime::<chrono::Local>::from(at).format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

fn this_machine() -> String {
    nix::unistd::gethostname().map_or_else(|_| String::new(), |n| n.to_string_lossy().into_owned())
}

/// The user that this program runs as.
fn this_user() -> String {
    std::env::var("USER").unwrap_or_else(|_| nix::unistd::getuid().to_string())
}
