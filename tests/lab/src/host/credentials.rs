//! `keyring` and `query_license`.

use crate::fabric::contents::keyring_password;
use std::path::Path;

/// The release this host runs, from its build information.
pub fn release() -> String {
    std::fs::read_to_string("/etc/build.info")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("SW_VERSION=").map(|v| v.trim_matches('"').to_string()))
        .unwrap_or_default()
}

/// `keyring get SERVICE USER`: prints the password of the running release's keyring.
pub fn keyring(argv: &[String]) -> (i32, Vec<String>) {
    let [_, get, service, user] = argv else {
        eprintln!("usage: keyring get SERVICE USER");
        return (2, Vec::new());
    };
    if get != "get" {
        eprintln!("keyring: only `get` is simulated");
        return (2, Vec::new());
    }
    let dir = Path::new("/opt/platform/.keyring").join(release());
    match keyring_password(&dir, service, user) {
        Some(password) => {
            println!("{password}");
            (0, Vec::new())
        }
        None => (1, Vec::new()),
    }
}

/// `query_license FILE`.
pub fn query_license(argv: &[String]) -> (i32, Vec<String>) {
    let file = argv.get(1).map_or("/etc/platform/.license", String::as_str);
    match std::fs::read_to_string(file) {
        Ok(text) if text.contains("stx-lab") => {
            println!("License type: evaluation\nExpiry date: 2099-12-31");
            (0, Vec::new())
        }
        Ok(_) => {
            eprintln!("License file {file} is not valid");
            (1, Vec::new())
        }
        Err(_) => {
            eprintln!("License file {file} does not exist");
            (1, Vec::new())
        }
    }
}
