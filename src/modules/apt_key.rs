//! `apt_key`: keys that apt trusts, by the host's own `apt-key` and `gpg`. Both this module and that program are on their
//! way out; a file named by `signed-by` in the source's line is today's way.

use std::path::PathBuf;

use super::{paths, web_args};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::http::credentials;
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The key's id, in hexadecimal.
        id []: Option<String>,
        /// The key itself.
        data []: Option<String>,
        /// File on the host with the key.
        file []: Option<PathBuf>,
        /// Address of the key.
        url []: Option<String>,
        /// Server of keys to ask for `id`.
        keyserver []: Option<String>,
        /// The keyring to work on.
        keyring []: Option<PathBuf>,
        /// Whether the server of `url` must prove who it is.
        validate_certs []: bool = true,
        /// Whether it shall be there.
        state []: State = State::Present,
    }
    rules [Exclusive(&["data", "file", "keyserver", "url"])]
}

/// The module `apt_key`.
pub struct AptKey;

impl Module for AptKey {
    const NAMES: &'static [&'static str] = &["apt_key", "ansible.builtin.apt_key", "ansible.legacy.apt_key"];
    const DOC: &'static str =
        "Adds keys to those that apt trusts, with the host's own `apt-key`, which newer systems do not have.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("key_id", "The key"), ("before", "Ids of the keys before"), ("after", "Ids of the keys now")];
    const EXAMPLE: &'static str =
        "- apt_key:\n    url: https://example.com/key.asc\n    id: 9FED2BCBDCD29CDF762678CBAED4B06F473041FA\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let id = args.id.as_deref().map(hexadecimal).transpose()?;
        let before = keys(&args, host)?;
        let held = |ids: &[String], id: &str| ids.iter().any(|k| k.ends_with(id) || id.ends_with(k.as_str()));
        let listed = |ids: &[String]| ids.iter().map(String::as_str).collect::<Value>();
        let done = |changed: bool, id: &str, after: &[String]| {
            Outcome::changed(changed).with("key_id", id).with("before", listed(&before)).with("after", listed(after))
        };
        if args.state == State::Absent {
            let Some(id) = &id else { return Err(Failure::new("key_id is required to remove a key")) };
            if !held(&before, id) {
                return Ok(done(false, id, &before));
            }
            act(&args, host, &["del", id], None, &before)?;
            let left: Vec<String> = before.iter().filter(|k| !k.ends_with(id.as_str())).cloned().collect();
            return Ok(done(true, id, &left));
        }
        if let Some(id) = &id
            && held(&before, id)
        {
            return Ok(done(false, id, &before));
        }
        if let Some(server) = &args.keyserver {
            let Some(id) = &id else { return Err(Failure::new("missing key_id, required with keyserver.")) };
            act(&args, host, &["adv", "--no-tty", "--keyserver", server, "--recv", id], None, &before)?;
            return Ok(done(true, id, &before));
        }
        let key = material(&args, host)?;
        let ids = ids_of(&key, host)?;
        let Some(first) = ids.first().cloned() else { return Err(Failure::new("there is no key in what was given")) };
        if let Some(id) = &id
            && !held(&ids, id)
        {
            return Err(Failure::new(format!("the key that was given is {first}, and not {id}")));
        }
        if held(&before, &first) {
            return Ok(done(false, &first, &before));
        }
        act(&args, host, &["add", "-"], Some(key), &before)?;
        let after: Vec<String> = before.iter().cloned().chain(ids).collect();
        Ok(done(true, &first, &after))
    }
}

fn hexadecimal(id: &str) -> Result<String, Failure> {
    let plain: String =
        id.trim().trim_start_matches("0x").trim_start_matches("0X").chars().filter(|c| *c != ' ').collect();
    if plain.len() < 8 || !plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::new(format!("Invalid key_id: `{id}` is no hexadecimal id of at least 8 digits")));
    }
    Ok(plain.to_uppercase())
}

fn command(args: &Args, words: &[&str]) -> Command {
    let mut argv = vec!["apt-key".to_owned()];
    if let Some(ring) = &args.keyring {
        argv.extend(["--keyring".into(), ring.display().to_string()]);
    }
    argv.extend(words.iter().map(|w| (*w).to_owned()));
    Command::new(argv).env("LC_ALL", "C").env("APT_KEY_DONT_WARN_ON_DANGEROUS_USAGE", "1")
}

fn missing(error: HostError) -> Failure {
    match error {
        HostError::NoProgram(name) => Failure::new(format!(
            "the host has no `{name}`; put the key into a file that the source's line names with `signed-by`"
        )),
        other => other.into(),
    }
}

fn good(output: Output, doing: &str) -> Result<Output, Failure> {
    if output.success() {
        return Ok(output);
    }
    Err(Failure::new(format!("{doing}: {}", output.error_text().trim())))
}

fn fact(args: &Args) -> String {
    format!("apt_key/{}", args.keyring.as_deref().map_or_else(String::new, |k| k.display().to_string()))
}

/// Fingerprints of all keys, and of what belongs to them.
fn keys(args: &Args, host: &mut dyn Act) -> Result<Vec<String>, Failure> {
    if let Some(Value::List(known)) = host.supposed(&fact(args)) {
        return Ok(known.iter().map(Value::to_string).collect());
    }
    let words = ["adv", "--list-public-keys", "--with-colons", "--with-fingerprint", "--with-fingerprint"];
    let output = host.query(&command(args, &words)).map_err(missing)?;
    Ok(fingerprints(&good(output, "Unable to list public keys")?.text()))
}

fn fingerprints(colons: &str) -> Vec<String> {
    let fields = colons.lines().map(|l| l.split(':').collect::<Vec<_>>());
    fields.filter(|f| f.first() == Some(&"fpr")).filter_map(|f| f.get(9).map(|id| (*id).to_owned())).collect()
}

fn ids_of(key: &[u8], host: &mut dyn Act) -> Result<Vec<String>, Failure> {
    let words = ["gpg", "--no-tty", "--batch", "--with-colons", "--import-options", "show-only", "--import"];
    let output = host.query(&Command::new(words).stdin(key)).map_err(missing)?;
    Ok(fingerprints(&good(output, "the key cannot be read")?.text()))
}

fn act(
    args: &Args,
    host: &mut dyn Act,
    words: &[&str],
    input: Option<Vec<u8>>,
    before: &[String],
) -> Result<(), Failure> {
    let mut then: Vec<String> = before.to_vec();
    match words {
        ["del", id] => then.retain(|k| !k.ends_with(id)),
        _ => then.extend(args.id.as_deref().map(hexadecimal).transpose()?),
    }
    let effect = Effect::Suppose(fact(args), then.iter().map(String::as_str).collect());
    let mut call = command(args, words);
    call.stdin = input;
    let output = host.run_expecting(&call, &[effect]).map_err(missing)?;
    good(output, &format!("apt-key {}", words[0])).map(drop)
}

fn material(args: &Args, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
    if let Some(data) = &args.data {
        return Ok(data.clone().into_bytes());
    }
    if let Some(file) = &args.file {
        let path = paths::expand(host.as_look(), file)?;
        return Ok(host.read(&path)?);
    }
    let Some(url) = &args.url else {
        return Err(Failure::new(
            "one of `data`, `file`, `url` and `keyserver` is required for a key that is not there",
        ));
    };
    web_args::fetch(url, args.validate_certs, host)?
        .map_err(|why| Failure::new(format!("Failed to download key at {}: {why}", credentials::without_password(url))))
}
