//! `rpm_key`: keys whose signatures rpm trusts, by the host's own `rpm` and `gpg`.

use std::path::{Path, PathBuf};

use super::file_content::random_name;
use super::{paths, web_args};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, FileKind};
use crate::action::module::{Failure, Module};
use crate::http::credentials::without_password;
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// Whether it shall be there.
        state []: State = State::Present,
        /// The key: an address, a path on the host, or the id of one that is there.
        key []: String,
        /// Fingerprints that the key must have before it is taken.
        fingerprint []: Vec<String> = Vec::new(),
        /// Whether the server of the address must prove who it is.
        validate_certs []: bool = true,
    }
}

/// The module `rpm_key`.
pub struct RpmKey;

impl Module for RpmKey {
    const NAMES: &'static [&'static str] = &["rpm_key", "ansible.builtin.rpm_key", "ansible.legacy.rpm_key"];
    const DOC: &'static str = "Adds keys to those that rpm trusts, or removes them.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "- rpm_key:\n    key: https://example.com/RPM-GPG-KEY\n    fingerprint: EBC6 E12C 62B1 C734 026B  2122 A20E 5214 6B8D 79E6\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let tools = Tools::of(host)?;
        let key = material(&args, host)?;
        let id = match &key {
            Key::Id(id) => id.clone(),
            Key::File(_, bytes) | Key::Fetched(bytes) => {
                let listed = tools.gpg(host, &[], bytes)?;
                listed.iter().find(|f| f[0] == "pub").and_then(|f| f.get(4)).cloned().ok_or_else(unexpected)?
            }
        };
        let id = id.trim().to_uppercase();
        let id = id.strip_prefix("0X").unwrap_or(&id).to_owned();
        let wanted = args.state == State::Present;
        if tools.trusts(host, &id)? == wanted {
            return Ok(Outcome::ok());
        }
        let then = [Effect::Suppose(fact(&id), wanted.into())];
        if !wanted {
            let short = id.get(id.len().saturating_sub(8)..).unwrap_or(&id).to_lowercase();
            tools.rpm(host, &["--erase", "--allmatches", &format!("gpg-pubkey-{short}")], &then)?;
            return Ok(Outcome::changed(true));
        }
        match key {
            Key::Id(_) => return Err(Failure::new("When importing a key, a valid file must be given")),
            Key::File(path, bytes) => {
                tools.demand(host, &args.fingerprint, &bytes)?;
                tools.rpm(host, &["--import", &path.display().to_string()], &then)?;
            }
            Key::Fetched(bytes) => {
                tools.demand(host, &args.fingerprint, &bytes)?;
                let file = host.scratch()?.join(format!("rpm-key-{}", random_name(8)));
                host.write(&file, &mut bytes.as_slice(), Some(0o600))?;
                let done = tools.rpm(host, &["--import", &file.display().to_string()], &then);
                host.remove(&file)?;
                done?;
            }
        }
        Ok(Outcome::changed(true))
    }
}

/// What the argument `key` names.
enum Key {
    Id(String),
    File(PathBuf, Vec<u8>),
    Fetched(Vec<u8>),
}

fn fact(id: &str) -> String {
    format!("rpm_key/{id}")
}

fn unexpected() -> Failure {
    Failure::new("Unexpected gpg output")
}

fn material(args: &Args, host: &mut dyn Act) -> Result<Key, Failure> {
    if args.key.contains("://") {
        let shown = without_password(&args.key);
        let failed = |why: &str| Failure::new(format!("failed to fetch key at {shown} , error was: {why}"));
        let bytes = match args.key.strip_prefix("file://") {
            Some(path) => host.read(Path::new(path)).map_err(|e| failed(&e.to_string()))?,
            None => web_args::fetch(&args.key, args.validate_certs, host)?.map_err(|why| failed(&why))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let begins = text.split_once("-----BEGIN PGP PUBLIC KEY BLOCK-----");
        if !begins.is_some_and(|(_, rest)| rest.contains("-----END PGP PUBLIC KEY BLOCK-----")) {
            return Err(Failure::new(format!("Not a public key: {shown}")));
        }
        return Ok(Key::Fetched(bytes));
    }
    let digits = args.key.trim_start_matches("0x").trim_start_matches("0X");
    if digits.len() >= 8 && digits.bytes().take(8).all(|b| b.is_ascii_hexdigit()) {
        return Ok(Key::Id(args.key.clone()));
    }
    let path = paths::expand(host.as_look(), Path::new(&args.key))?;
    match host.stat(&path, true)? {
        Some(stat) if stat.kind == FileKind::File => Ok(Key::File(path.clone(), host.read(&path)?)),
        _ => Err(Failure::new(format!("Not a valid key {}", args.key))),
    }
}

/// Where the host has its programs.
struct Tools {
    rpm: String,
    gpg: String,
}

impl Tools {
    fn of(host: &mut dyn Act) -> Result<Tools, Failure> {
        let mut find = |names: &[&str]| {
            for name in names {
                if let Some(path) = paths::program(host.as_look(), name)? {
                    return Ok(path.display().to_string());
                }
            }
            Err(Failure::new(format!("Failed to find required executable \"{}\" on the host", names.join("\" or \""))))
        };
        Ok(Tools { rpm: find(&["rpm"])?, gpg: find(&["gpg", "gpg2"])? })
    }

    /// What gpg says of keys: each line's fields.
    fn gpg(&self, host: &mut dyn Act, words: &[&str], keys: &[u8]) -> Result<Vec<Vec<String>>, Failure> {
        let argv = [&[self.gpg.as_str(), "--no-tty", "--batch", "--with-colons", "--fixed-list-mode"], words].concat();
        let output = good(host.query(&Command::new(argv).stdin(keys).env("LC_ALL", "C"))?)?;
        Ok(output.text().lines().map(|l| l.trim().split(':').map(str::to_owned).collect()).collect())
    }

    fn trusts(&self, host: &mut dyn Act, id: &str) -> Result<bool, Failure> {
        if let Some(supposed) = host.supposed(&fact(id)) {
            return Ok(supposed == Value::Bool(true));
        }
        let keys = host.query(&Command::new([&self.rpm, "-q", "gpg-pubkey", "--qf", "%{description}"]))?;
        // It fails where there is none.
        if !keys.success() || keys.stdout.is_empty() {
            return Ok(false);
        }
        let listed = self.gpg(host, &[], &keys.stdout)?;
        Ok(listed.iter().any(|fields| fields.get(4).is_some_and(|found| found.contains(id))))
    }

    /// A key must have every fingerprint that is asked for.
    fn demand(&self, host: &mut dyn Act, asked: &[String], key: &[u8]) -> Result<(), Failure> {
        if asked.is_empty() {
            return Ok(());
        }
        let asked: Vec<String> = asked.iter().map(|f| f.replace(' ', "").to_uppercase()).collect();
        let listed = self.gpg(host, &["--import", "--import-options", "show-only", "--dry-run"], key)?;
        let found: Vec<String> =
            listed.into_iter().filter(|f| f[0] == "fpr").filter_map(|f| f.get(9).cloned()).collect();
        if found.is_empty() {
            return Err(unexpected());
        }
        if asked.iter().all(|a| found.contains(a)) {
            return Ok(());
        }
        let (asked, found) = (asked.join(", "), found.join(", "));
        Err(Failure::new(format!(
            "The specified fingerprint, '{asked}', does not match any key fingerprints in '{found}'"
        )))
    }

    fn rpm(&self, host: &mut dyn Act, words: &[&str], then: &[Effect]) -> Result<(), Failure> {
        let argv = [&[self.rpm.as_str()], words].concat();
        good(host.run_expecting(&Command::new(argv).env("LC_ALL", "C"), then)?).map(drop)
    }
}

fn good(output: Output) -> Result<Output, Failure> {
    if output.success() { Ok(output) } else { Err(Failure::new(output.error_text().trim())) }
}
