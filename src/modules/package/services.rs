//! `apt`: what Debian's `invoke-rc.d` is answered while packages are worked on. The file that answers is put in place before, and
//! what was there is put back after, whatever came of it.

use std::path::Path;

use crate::action::host::{Act, HostError};

const FILE: &str = "/usr/sbin/policy-rc.d";

/// What was at the place of the file.
pub(super) struct Before(Option<(Vec<u8>, u32)>);

/// Has all services answered with an exit code.
pub(super) fn answer(code: i64, host: &mut dyn Act) -> Result<Before, HostError> {
    let path = Path::new(FILE);
    let before = match host.stat(path, true)? {
        Some(stat) => Some((host.read(path)?, stat.mode)),
        None => None,
    };
    host.write(path, &mut format!("#!/bin/sh\nexit {code}\n").as_bytes(), Some(0o755))?;
    Ok(Before(before))
}

pub(super) fn restore(before: Before, host: &mut dyn Act) -> Result<(), HostError> {
    let path = Path::new(FILE);
    match before.0 {
        Some((bytes, mode)) => host.write(path, &mut bytes.as_slice(), Some(mode)),
        None => host.remove(path),
    }
}
