//! `known_hosts`: keys of other hosts in an SSH client's file.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::file_args::describe;
use super::file_content::{read_existing, text_diff};
use super::{paths, python_regex};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The host, as the line of its key begins: `example.com`, `[example.com]:2222`.
        name ["host"]: String,
        /// The line with its key: name, type and key.
        key []: Option<String>,
        /// The file.
        path []: PathBuf = "~/.ssh/known_hosts",
        /// Write the name hashed.
        hash_host []: bool = false,
        /// Whether the key shall be there; `absent` without a key means all keys of the host.
        state []: State = State::Present,
    }
}

/// The module `known_hosts`.
pub struct KnownHosts;

impl Module for KnownHosts {
    const NAMES: &'static [&'static str] =
        &["known_hosts", "ansible.builtin.known_hosts", "ansible.legacy.known_hosts"];
    const DOC: &'static str = "Adds a host's key to the known ones, or removes it.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("path", "The file"), ("name", "The host")];
    const EXAMPLE: &'static str =
        "- known_hosts:\n    name: foo.example.com\n    key: \"{{ lookup('file', 'foo.pub') }}\"\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        if args.name.contains(',') {
            return Err(Failure::new(
                "Comma separated list of names is not supported. Please pass a single name to lookup in the known_hosts file.",
            ));
        }
        let name = args.name.to_lowercase();
        let wanted = args.key.as_deref().map(|k| Key::wanted(k, &name)).transpose()?;
        if args.state == State::Present && wanted.is_none() {
            return Err(Failure::new("No key specified when adding a host"));
        }
        let before = read_existing(host.as_look(), &path)?;
        let text = python_regex::to_text(before.as_deref().unwrap_or_default());
        let mut kept = Vec::new();
        let mut there = false;
        for line in text.lines() {
            let Some(found) = Key::parse(line).filter(|k| k.is_for(&name)) else {
                kept.push(line.to_owned());
                continue;
            };
            let keep = match (&wanted, args.state) {
                (None, _) => false,
                (Some(w), State::Absent) => !(w.marker == found.marker && w.kind == found.kind && w.key == found.key),
                // Another key of this type is an old one, but for keys of authorities and revoked ones, of which there may
                // be several; a line that differs in form only is written anew.
                (Some(w), State::Present) => {
                    let same_kind = w.marker == found.marker && w.kind == found.kind;
                    let same = same_kind && w.key == found.key && found.names.starts_with("|1|") == args.hash_host;
                    there |= same;
                    same || w.kind != found.kind || found.marker.is_some() && !(same_kind && w.key == found.key)
                }
            };
            if keep {
                kept.push(line.to_owned());
            } else if let Some(rest) = found.without(&name) {
                // A line for several hosts loses this one only.
                kept.push(rest);
            }
        }
        if let (State::Present, Some(key), false) = (args.state, &wanted, there) {
            kept.push(key.line(&name, args.hash_host));
        }
        let mut after: String = kept.iter().map(|l| format!("{l}\n")).collect();
        let changed = kept.iter().map(String::as_str).ne(text.lines());
        if !changed {
            after.clone_from(&text);
        }
        let after = python_regex::to_bytes(&after);
        let shown = path.display().to_string();
        let first = if before.is_some() { shown.as_str() } else { "/dev/null" };
        let diff = text_diff(first, &shown, before.as_deref().unwrap_or_default(), &after);
        // Told without `--diff` too, as with Ansible.
        let outcome = Outcome::changed(changed).diff(diff);
        let told = outcome.diff_value();
        let outcome = outcome
            .with("diff", told)
            .with("name", args.name.as_str())
            .with("path", path.display().to_string())
            .with("state", args.state.word())
            .with("hash_host", args.hash_host)
            .with("key", args.key.as_deref());
        if changed {
            if let Some(dir) = path.parent()
                && host.stat(dir, true)?.is_none()
            {
                host.make_dir(dir, Some(0o700))?;
            }
            let real = paths::real_path(host.as_look(), &path)?;
            host.write(&real, &mut after.as_slice(), None)?;
        }
        Ok(describe(host.as_look(), &path, outcome)?)
    }
}

/// A line of a known-hosts file.
struct Key {
    /// `@cert-authority` or `@revoked`.
    marker: Option<String>,
    names: String,
    kind: String,
    key: String,
    comment: String,
}

impl Key {
    fn parse(line: &str) -> Option<Key> {
        let mut words = line.split_whitespace();
        let first = words.next().filter(|w| !w.starts_with('#'))?;
        let (marker, names) =
            if first.starts_with('@') { (Some(first.to_owned()), words.next()?) } else { (None, first) };
        let (kind, key) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Key { marker, names: names.into(), kind, key, comment: words.collect::<Vec<_>>().join(" ") })
    }

    fn wanted(text: &str, name: &str) -> Result<Key, Failure> {
        let key = Key::parse(text.trim()).filter(|k| STANDARD.decode(&k.key).is_ok());
        let key =
            key.ok_or_else(|| Failure::new("`key` is no line of a known-hosts file: a name, a type, a key in Base64"))?;
        if !key.is_for(name) {
            return Err(Failure::new("Host parameter does not match hashed host field in supplied key"));
        }
        Ok(key)
    }

    fn is_for(&self, name: &str) -> bool {
        if let Some((salt, hash)) = self.names.strip_prefix("|1|").and_then(|h| h.split_once('|')) {
            return STANDARD.decode(salt).is_ok_and(|salt| hashed(&salt, name) == hash);
        }
        self.names.split(',').any(|n| n.to_lowercase() == name)
    }

    /// The line for its other hosts, if there are some.
    fn without(&self, name: &str) -> Option<String> {
        let others: Vec<&str> = self.names.split(',').filter(|n| n.to_lowercase() != name).collect();
        (!self.names.starts_with("|1|") && !others.is_empty()).then(|| self.with_names(&others.join(",")))
    }

    fn with_names(&self, names: &str) -> String {
        let words = [self.marker.as_deref().unwrap_or(""), names, &self.kind, &self.key, &self.comment];
        words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn line(&self, name: &str, hash: bool) -> String {
        match (hash, self.names.starts_with("|1|")) {
            (true, false) => {
                let salt = super::file_content::random_name(20);
                self.with_names(&format!("|1|{}|{}", STANDARD.encode(&salt), hashed(salt.as_bytes(), name)))
            }
            _ => self.with_names(&self.names),
        }
    }
}

/// A host's name as OpenSSH hashes it.
fn hashed(salt: &[u8], name: &str) -> String {
    // A key of this kind may have any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return String::new() };
    mac.update(name.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
