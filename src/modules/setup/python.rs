//! The Python that is on the host, for playbooks that run it themselves or name packages by it. Nothing here needs it.

use std::path::Path;

use super::{Args, Facts};
use crate::action::command::Command;
use crate::action::host::{HostError, Look};
use crate::dict;
use crate::model::value::Value;

/// Where Ansible looks, best first.
const PLACES: &[&str] = &["/usr/bin/python3", "/usr/local/bin/python3", "/usr/libexec/platform-python"];

pub(super) fn collect(host: &mut dyn Look, args: &Args, facts: &mut Facts) -> Result<(), HostError> {
    for place in PLACES.iter().copied() {
        let Some(_) = host.stat(Path::new(place), true)? else { continue };
        // Its version, without starting the interpreter proper.
        let Ok(said) = host.query(&args.asking(Command::new([place, "-V"]))) else { continue };
        let Some((text, numbers)) = version(&said.text()) else { continue };
        let kind = if said.text().contains("PyPy") { "pypy" } else { "cpython" };
        let [major, minor, micro] = numbers;
        let (level, serial) = release(&text);
        facts.put("python_version", text);
        facts.put(
            "python",
            dict! {
                "executable" => place,
                "has_sslcontext" => true,
                "type" => kind,
                "version" => dict! {
                    "major" => major, "minor" => minor, "micro" => micro, "releaselevel" => level, "serial" => serial,
                },
                "version_info" => Value::list(vec![major.into(), minor.into(), micro.into(), level.into(), serial.into()]),
            },
        );
        return Ok(());
    }
    Ok(())
}

/// `3.11.2` and its numbers, of `Python 3.11.2`.
fn version(said: &str) -> Option<(String, [i64; 3])> {
    let text = said.strip_prefix("Python ")?.split_whitespace().next()?.to_owned();
    let mut numbers = text.split('.').map(|n| {
        let digits = n.find(|c: char| !c.is_ascii_digit()).unwrap_or(n.len());
        n[..digits].parse::<i64>().ok()
    });
    let numbers = [numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)];
    Some((text, numbers))
}

/// `final`, or how far from it: `3.14.0rc1`.
fn release(version: &str) -> (&'static str, i64) {
    let Some(at) = version.find(|c: char| c.is_ascii_alphabetic()) else { return ("final", 0) };
    let letters = version[at..].trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    let level = match letters {
        "a" => "alpha",
        "b" => "beta",
        "rc" => "candidate",
        _ => return ("final", 0),
    };
    (level, version[at + letters.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("Python 3.11.2\n"), Some(("3.11.2".into(), [3, 11, 2])));
        assert_eq!(version("Python 3.14.0rc1"), Some(("3.14.0rc1".into(), [3, 14, 0])));
        assert_eq!(version("sh: not found"), None);
        assert_eq!((release("3.11.2"), release("3.14.0rc1")), (("final", 0), ("candidate", 1)));
    }
}
