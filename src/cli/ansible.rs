//! Called as `ansible-playbook` (through a link), the program is `play`, with Ansible's exit codes: existing scripts and
//! test suites run unchanged.

use std::ffi::OsString;
use std::path::Path;

/// Whether the program was called under that name.
pub fn is_called(words: &[OsString]) -> bool {
    words.first().and_then(|w| Path::new(w).file_name()).is_some_and(|n| n == "ansible-playbook")
}

/// The command line as `stx-upgrade play` takes it.
pub fn words(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|w| w == "--version") {
        return words;
    }
    words.insert(1, "play".into());
    words
}
