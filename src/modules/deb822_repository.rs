//! `deb822_repository`: apt's sources in their newer form, a file each, and the keys that sign them.

use std::path::{Path, PathBuf};

use super::file_args::{Mode, describe};
use super::file_content::read_existing;
use super::web_args;
use crate::action::args::plain_name;
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }
choices! { pub enum Kind { Deb = "deb", DebSrc = "deb-src" } }

/// How a value stands in a file of sources.
trait Field {
    fn field(&self) -> String;
}

impl Field for String {
    fn field(&self) -> String {
        self.clone()
    }
}

impl Field for bool {
    fn field(&self) -> String {
        if *self { "yes".into() } else { "no".into() }
    }
}

impl Field for i64 {
    fn field(&self) -> String {
        self.to_string()
    }
}

impl Field for Vec<String> {
    fn field(&self) -> String {
        self.join(" ")
    }
}

/// The arguments that are fields of the source.
macro_rules! fields {
    ($($(#[doc = $doc:literal])* $field:ident: $ty:ty,)*) => {
        arguments! {
            /// What a source may say.
            pub struct Fields { $($(#[doc = $doc])* $field []: Option<$ty>,)* }
        }

        impl Fields {
            fn given(&self) -> Vec<(&'static str, String)> {
                let all = [$((plain_name(stringify!($field)), self.$field.as_ref().map(Field::field))),*];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }
    };
}

fields! {
    /// Let packages that were signed be replaced by some that are not.
    allow_downgrade_to_insecure: bool,
    /// Take it although it is not signed.
    allow_insecure: bool,
    /// Take it although its signature is weak.
    allow_weak: bool,
    /// Architectures to take from it.
    architectures: Vec<String>,
    /// Whether indexes are asked for by their digest.
    by_hash: bool,
    /// Whether the host's clock is believed.
    check_date: bool,
    /// Whether it may be out of date.
    check_valid_until: bool,
    /// Its components, as `main`.
    components: Vec<String>,
    /// Seconds that it may be from the future.
    date_max_future: i64,
    /// Whether it is used.
    enabled: bool,
    /// Path of its `InRelease`.
    inrelease_path: String,
    /// Languages of descriptions to take.
    languages: Vec<String>,
    /// Whether indexes are updated by differences.
    pdiffs: bool,
    /// Its key: an address, a path on the host, fingerprints, or the key itself.
    signed_by: String,
    /// Its suites, as `bookworm`.
    suites: Vec<String>,
    /// What to fetch of it.
    targets: Vec<String>,
    /// Take it as trusted without a signature.
    trusted: bool,
    /// Its addresses.
    uris: Vec<String>,
}

arguments! {
    pub struct Args {
        /// Its name: of the source and, in small letters, of its file and its key's.
        name []: String,
        /// What to take from it.
        types []: Vec<Kind> = vec![Kind::Deb],
        /// Permissions of the file.
        mode []: Mode = Mode::Bits(0o644),
        /// Whether it shall be there.
        state []: State = State::Present,
        ..fields: Fields,
    }
}

/// The module `deb822_repository`.
pub struct Deb822Repository;

const SOURCES: &str = "/etc/apt/sources.list.d";
const KEYRINGS: &str = "/etc/apt/keyrings";

impl Module for Deb822Repository {
    const NAMES: &'static [&'static str] =
        &["deb822_repository", "ansible.builtin.deb822_repository", "ansible.legacy.deb822_repository"];
    const DOC: &'static str =
        "Adds sources to apt's in their newer form, and removes them. apt's lists are not read again: `apt` does that.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("repo", "The source's text"), ("dest", "Its file"), ("key_filename", "The file of its key")];
    const EXAMPLE: &'static str = "- deb822_repository:\n    name: debian\n    uris: http://deb.debian.org/debian\n    suites: bookworm\n    components: [main, contrib]\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let slug = slug(&args.name);
        let dest = Path::new(SOURCES).join(format!("{slug}.sources"));
        let key_file = |kind: &str| Path::new(KEYRINGS).join(format!("{slug}.{kind}"));
        let mut outcome = Outcome::ok().with("dest", dest.display().to_string());
        if args.state == State::Absent {
            for path in [&dest, &key_file("asc"), &key_file("gpg")] {
                if host.stat(path, false)?.is_some() {
                    host.remove(path)?;
                    outcome.changed = true;
                }
            }
            outcome = outcome.with("repo", None::<&str>).with("key_filename", key_file("gpg").display().to_string());
            return Ok(describe(host.as_look(), &dest, outcome)?);
        }
        let mut fields = args.fields.given();
        fields.push(("name", args.name.clone()));
        fields.push(("types", args.types.iter().map(|k| k.word()).collect::<Vec<_>>().join(" ")));
        fields.sort();
        let mut key_path: Option<PathBuf> = None;
        if let Some((_, value)) = fields.iter_mut().find(|(name, _)| *name == "signed_by") {
            key_path = if is_address(value) {
                let key = fetch(value, host)?;
                let armored = String::from_utf8_lossy(&key).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----");
                let path = key_file(if armored { "asc" } else { "gpg" });
                outcome.changed |= put_key(host, &path, &key)?;
                Some(path)
            } else {
                // A path, fingerprints or the key itself: they stand as they are given.
                let path = Some(PathBuf::from(value.as_str())).filter(|p| p.is_absolute());
                let stat = path.as_ref().map(|p| host.stat(p, true)).transpose()?.flatten();
                path.filter(|_| stat.is_some_and(|s| s.kind == FileKind::File))
            };
            if let Some(path) = &key_path {
                *value = path.display().to_string();
            }
        }
        let repo: String = fields.iter().map(|(name, value)| line(name, value)).collect();
        outcome.changed |= put(host, &dest, repo.as_bytes(), &args.mode)?;
        outcome = outcome.with("repo", repo).with("key_filename", key_path.map(|p| p.display().to_string()));
        Ok(describe(host.as_look(), &dest, outcome)?)
    }
}

/// The name as files are called.
fn slug(name: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in name.to_lowercase().chars() {
        let blank = c == '_' || c.is_whitespace();
        if blank && !gap {
            out.push('-');
        }
        gap = blank;
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' {
            out.push(c);
        }
    }
    out
}

fn is_address(key: &str) -> bool {
    let scheme = key.split_once(':').map_or("", |(s, _)| s);
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits)
}

fn fetch(url: &str, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
    let failed = |why: &str| Failure::new(format!("Could not fetch signed_by key: {why}"));
    if let Some(path) = url.strip_prefix("file://") {
        return host.read(Path::new(path)).map_err(|e| failed(&e.to_string()));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(failed(&format!("`{url}` is no address of http, https or file")));
    }
    let key = web_args::fetch(url, true, host)?.map_err(|why| failed(&why))?;
    if key.is_empty() { Err(failed(&format!("`{url}` is empty"))) } else { Ok(key) }
}

/// A field's line, or lines.
fn line(name: &str, value: &str) -> String {
    let name = match name {
        "name" => "X-Repolib-Name".to_owned(),
        "uris" => "URIs".to_owned(),
        other => {
            let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
            other.split('_').map(capital).collect::<Vec<_>>().join("-")
        }
    };
    if value.is_empty() {
        return format!("{name}:\n");
    }
    if !value.contains('\n') {
        return format!("{name}: {value}\n");
    }
    let lines = value.trim().lines().map(str::trim);
    let lines: String = lines.map(|l| format!("    {}\n", if l.is_empty() { "." } else { l })).collect();
    format!("{name}:\n{lines}")
}

fn put_key(host: &mut dyn Act, path: &Path, key: &[u8]) -> Result<bool, Failure> {
    let dir = Path::new(KEYRINGS);
    match host.stat(dir, true)? {
        None => host.make_dir(dir, Some(0o755))?,
        // apt reads its keys as a user of its own.
        Some(stat) if stat.mode != 0o755 => host.set_mode(dir, 0o755)?,
        Some(_) => {}
    }
    put(host, path, key, &Mode::Bits(0o644))
}

/// Puts a file in place, with these permissions; whether anything differed.
fn put(host: &mut dyn Act, path: &Path, content: &[u8], mode: &Mode) -> Result<bool, Failure> {
    let mut changed = false;
    if read_existing(host.as_look(), path)?.as_deref() != Some(content) {
        host.write(path, &mut &*content, None)?;
        changed = true;
    }
    let now = host.stat(path, true)?.map_or(0o644, |s| s.mode);
    let wanted = mode.over(now, false);
    if now != wanted {
        host.set_mode(path, wanted)?;
        changed = true;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::action::args::Arguments;
    use crate::action::host::Look;
    use crate::dict;
    use crate::model::value::Value;
    use crate::modules::host::layer::Layer;
    use crate::modules::host::preview::Preview;
    use crate::modules::host::real::tests::context;

    /// Its files lie where apt looks: they are written to a preview of this host, as in a check run.
    #[test]
    fn added_again_and_removed() {
        let mut host = Preview::new(context(), Arc::new(Mutex::new(Layer::default())));
        for dir in ["/etc/apt", SOURCES] {
            if host.stat(Path::new(dir), true).unwrap().is_none() {
                host.make_dir(Path::new(dir), None).unwrap();
            }
        }
        // Longer than a file's name can be.
        let body = "mDME".repeat(80);
        let key = format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n  {body}\n-----END PGP PUBLIC KEY BLOCK-----\n");
        let given = dict! {
            "name" => "My Repo_1!", "types" => "deb,deb-src", "uris" => "http://a", "suites" => "s", "components" => "main,b",
            "enabled" => true, "check_valid_until" => false, "date_max_future" => 9i64, "signed_by" => key.as_str(),
        };
        let mut run = |more: &[(&str, &str)]| {
            let mut given = given.clone();
            given.extend(more.iter().map(|(k, v)| ((*k).into(), Value::str(*v))));
            let outcome = Deb822Repository::run(Args::from_dict(&given).unwrap(), &mut host).unwrap();
            let path = Path::new(SOURCES).join("my-repo-1.sources");
            let there = host.stat(&path, true).unwrap().map(|s| s.mode);
            (outcome, there, read_existing(&mut host, &path).unwrap())
        };
        let text = format!(
            "Check-Valid-Until: no\nComponents: main b\nDate-Max-Future: 9\nEnabled: yes\nX-Repolib-Name: My Repo_1!\n\
            Signed-By:\n    -----BEGIN PGP PUBLIC KEY BLOCK-----\n    .\n    {body}\n    -----END PGP PUBLIC KEY BLOCK-----\n\
            Suites: s\nTypes: deb deb-src\nURIs: http://a\n"
        );
        let (outcome, mode, content) = run(&[]);
        assert!(outcome.changed);
        assert_eq!(outcome.data["repo"], text.as_str().into());
        assert_eq!(outcome.data["key_filename"], Value::Null);
        assert_eq!((mode, content.as_deref()), (Some(0o644), Some(text.as_bytes())));
        assert!(!run(&[]).0.changed);
        let (outcome, mode, _) = run(&[("mode", "0600")]);
        assert!(outcome.changed && mode == Some(0o600));
        let (outcome, mode, _) = run(&[("state", "absent")]);
        assert!(outcome.changed && mode.is_none());
        assert_eq!(outcome.data["key_filename"], "/etc/apt/keyrings/my-repo-1.gpg".into());
        assert!(!run(&[("state", "absent")]).0.changed);
    }

    /// A key that an address names gets a file of its own.
    #[test]
    fn a_key_from_an_address() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&temp, "raw key").unwrap();
        let mut host = Preview::new(context(), Arc::new(Mutex::new(Layer::default())));
        for dir in ["/etc/apt", SOURCES] {
            if host.stat(Path::new(dir), true).unwrap().is_none() {
                host.make_dir(Path::new(dir), None).unwrap();
            }
        }
        let given = dict! {"name" => "stx-keyed", "uris" => "http://a", "signed_by" => format!("file://{}", temp.path().display())};
        let mut run = || Deb822Repository::run(Args::from_dict(&given).unwrap(), &mut host).unwrap();
        let outcome = run();
        assert!(outcome.changed && !run().changed);
        assert_eq!(outcome.data["key_filename"], "/etc/apt/keyrings/stx-keyed.gpg".into());
        assert!(outcome.data["repo"].to_string().contains("Signed-By: /etc/apt/keyrings/stx-keyed.gpg\n"));
        assert_eq!(host.read(Path::new("/etc/apt/keyrings/stx-keyed.gpg")).unwrap(), b"raw key");
    }
}
