//! `stx_hiera_migrate`: the hieradata of the old release rewritten for the new one, by the rules of the role.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};

use crate::hiera::file::Hieradata;
use crate::hiera::migrate::{Expressions, Files, Surroundings, migrate};
use crate::hiera::rules::Rules;
use crate::model::outcome::{Diff, Outcome};
use crate::model::source::Span;
use crate::model::value::{Dict, Key, Value};
use crate::vars::template::Templar;

use super::advice::Advice;

crate::arguments! {
    pub struct Args {
        /// The old release.
        from_release []: String,
        /// The new release.
        to_release []: String,
        /// Directory of the old hieradata; by default of `from_release` below /opt/platform/puppet.
        source []: Option<PathBuf>,
        /// Directory of the new hieradata; by default of `to_release` below /opt/platform/puppet.
        dest []: Option<PathBuf>,
        /// Directory of the hieradata that the running configuration was made from: what it has and the old hieradata lacks is
        /// lost, and told.
        applied []: Option<PathBuf>,
        /// The rules, in their order: see the role `hiera`. Expressions are written without braces.
        rules []: Vec<Value>,
        /// Keys that must be there afterwards: a mapping of file to keys.
        required []: Dict = Dict::new(),
        /// Keys that the new release does not know.
        obsolete []: Vec<String> = Vec::new(),
        /// Values for expressions, as `facts`.
        facts []: Dict = Dict::new(),
        /// Passwords of the platform's keyring for expressions, as `facts.keyring`: a mapping of name to `service user`.
        keyring []: Dict = Dict::new(),
    }
}

/// The files that are migrated; the platform makes the others anew from its database.
const FILES: &[&str] = &["static", "secure_static"];

pub struct HieraMigrate;

impl Module for HieraMigrate {
    const NAMES: &'static [&'static str] = &["stx_hiera_migrate"];
    const DOC: &'static str = "Migrates static.yaml and secure_static.yaml of the old release to the new one, by rules.\n\
        Lines that no rule touches stay byte for byte; what is written reads the same to every YAML 1.1 reader. Missing, left-over and \
        duplicate keys are all told before anything is written. Secrets are generated once and kept, and masked in the diff.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("files", "those that were written")];
    const EXAMPLE: &'static str = "- name: migrate the hieradata\n  stx_hiera_migrate:\n    from_release: '21.05'\n    to_release: '21.12'\n    \
        rules:\n      - { repoint: static }\n      - { rename: 'a::b', to: 'a::c' }";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Again
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let rules = Rules::read(&args.rules, &args.required, &args.obsolete)
            .map_err(|wrong| Failure::new(format!("wrong rules: {}", wrong.join("; "))))?;
        let dir = |release: &str| Path::new("/opt/platform/puppet").join(release).join("hieradata");
        let source = args.source.clone().unwrap_or_else(|| dir(&args.from_release));
        let dest = args.dest.clone().unwrap_or_else(|| dir(&args.to_release));
        let (old, modes) = read(host.as_look(), &source, true)?;
        let (kept, _) = read(host.as_look(), &dest, false)?;
        let mut facts = args.facts.clone();
        facts.insert(Key::str("keyring"), Value::dict(keyring(&args.keyring, host.as_look())?));
        let mut secret = |length: usize| generate(length);
        let mut around = Surroundings {
            from: &args.from_release,
            to: &args.to_release,
            facts: &facts,
            kept: &kept,
            expressions: &Jinja::new(),
            secret: &mut secret,
        };
        let lost = match &args.applied {
            Some(dir) => lost(&old, dir, host.as_look())?,
            None => Vec::new(),
        };
        let new = match migrate(&old, &rules, &mut around) {
            Ok(new) if lost.is_empty() => new,
            Ok(_) => return Err(refused(&args, &lost)),
            Err(wrong) => return Err(refused(&args, &[lost, wrong].concat())),
        };
        write(host, &source, &dest, &old, &kept, &new, &modes)
    }
}

/// What keeps the migration from being done, all of it.
fn refused(args: &Args, wrong: &[String]) -> Failure {
    let advice =
        Advice::failed(format!("the hieradata cannot be migrated to {}: {}", args.to_release, first_of(wrong)));
    let advice = wrong.iter().fold(advice, |a, why| a.cause(why.clone()));
    advice
        .safe("yes: nothing was written")
        .next(format!(
            "put the hieradata right, or the rules in roles/hiera/vars/{}-{}.yml, then run again",
            args.from_release, args.to_release
        ))
        .with("mistakes", wrong.iter().map(String::as_str).collect::<Value>())
        .into()
}

/// The first mistakes in a line.
fn first_of(wrong: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = wrong.len().saturating_sub(SHOWN);
    let shown = wrong[..wrong.len().min(SHOWN)].join("; ");
    if more > 0 { format!("{shown}; and {more} more") } else { shown }
}

/// The keys that the running configuration was made from and the old hieradata has no more.
fn lost(old: &Files, applied: &Path, host: &mut dyn Look) -> Result<Vec<String>, Failure> {
    let mut lost = Vec::new();
    for (name, file) in old {
        let path = applied.join(format!("{name}.yaml"));
        let text = match host.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(HostError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        // A damaged copy proves nothing.
        let Ok(copy) = Hieradata::parse(name, &text) else { continue };
        let gone = copy.keys().filter(|key| file.get(key).is_none());
        lost.extend(gone.map(|key| format!("{name}.yaml lacks `{key}`, which {} has", path.display())));
    }
    Ok(lost)
}

/// The files of a directory with their modes. The old ones must all be there and readable, each mistake told.
fn read(host: &mut dyn Look, dir: &Path, needed: bool) -> Result<(Files, Vec<u32>), Failure> {
    let (mut files, mut modes, mut wrong) = (Files::new(), Vec::new(), Vec::new());
    for name in FILES {
        let path = dir.join(format!("{name}.yaml"));
        let shown = path.display().to_string();
        let bytes = match host.read(&path) {
            Ok(bytes) => bytes,
            Err(HostError::NotFound(_)) if !needed => continue,
            Err(HostError::NotFound(_)) => {
                wrong.push(format!("{shown} does not exist"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        modes.push(host.stat(&path, true)?.map_or(0o600, |s| s.mode & 0o777));
        let text = String::from_utf8(bytes)
            .map_err(|e| format!("{shown} is not UTF-8 at byte {}", e.utf8_error().valid_up_to()));
        match text.and_then(|text| Hieradata::parse(&shown, &text).map_err(|e| e.to_string())) {
            Ok(file) => drop(files.insert((*name).to_owned(), file)),
            // An earlier migration's file that is damaged is written anew; secrets in it are lost then, and said.
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() {
        return Ok((files, modes));
    }
    Err(Advice::failed(format!("the hieradata in {} cannot be read: {}", dir.display(), wrong.join("; ")))
        .safe("yes: nothing was written")
        .next("put the files right (or restore them from the archive), then run again")
        .into())
}

fn write(
    host: &mut dyn Act,
    source: &Path,
    dest: &Path,
    old: &Files,
    kept: &Files,
    new: &Files,
    modes: &[u32],
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::ok();
    let mut written = Vec::new();
    for ((name, file), mode) in new.iter().zip(modes) {
        outcome.warnings.extend(file.suspicious());
        let text = file.text();
        if kept.get(name).is_some_and(|k| k.text() == text) {
            continue;
        }
        let file_name = format!("{name}.yaml");
        let secret = name.starts_with("secure");
        let before = old.get(name).map(|f| if secret { f.masked(None) } else { f.text() }).unwrap_or_default();
        outcome.diff.push(Diff::Text {
            before_name: source.join(&file_name).display().to_string(),
            after_name: dest.join(&file_name).display().to_string(),
            before,
            after: if secret { file.masked(old.get(name)) } else { text.clone() },
        });
        super::ensure_dir(host, dest, 0o755)?;
        host.write(&dest.join(&file_name), &mut text.as_bytes(), Some(*mode))?;
        written.push(file_name);
    }
    outcome.changed = !written.is_empty();
    outcome.msg = match written.len() {
        0 => "migrated already".into(),
        _ => format!("{} written to {}", written.join(" and "), dest.display()),
    };
    Ok(outcome.with("files", written.iter().map(String::as_str).collect::<Value>()))
}

/// What the platform's keyring holds under these names; what it does not hold is left out, and undefined in expressions.
fn keyring(wanted: &Dict, host: &mut dyn Look) -> Result<Dict, Failure> {
    let mut found = Dict::new();
    for (name, entry) in wanted {
        let entry = entry.to_string();
        let Some((service, user)) = entry.split_once(' ') else {
            return Err(Failure::new(format!("the keyring entry `{name}` must be `service user`, not `{entry}`")));
        };
        let command = Command::new(["keyring", "get", service, user]).timeout(Duration::from_secs(30));
        match host.query(&command) {
            Ok(output) if output.success() => {
                drop(found.insert(name.clone(), Value::str(output.text().trim_end_matches(['\r', '\n']))));
            }
            Ok(_) | Err(HostError::NoProgram(_)) => {}
            // A check run after the reinstall: the password will be there, and is masked wherever it shows.
            Err(HostError::NotKnowable(_)) => drop(found.insert(name.clone(), Value::str("(of the keyring)"))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// A password as the platform makes them: letters and digits, and an end that satisfies its rules.
fn generate(length: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let end = "Ti0*";
    let mut random = vec![0u8; length.saturating_sub(end.len()) * 4];
    if std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random)).is_err() {
        // Without randomness no secret is made: an empty one is refused as a required key.
        return String::new();
    }
    // What does not divide evenly is passed over, so that every letter is as likely.
    let fair = 256 - 256 % LETTERS.len();
    let letters =
        random.iter().filter(|b| usize::from(**b) < fair).map(|b| LETTERS[usize::from(*b) % LETTERS.len()] as char);
    letters.take(length.saturating_sub(end.len())).collect::<String>() + end
}

/// Expressions of rules, as conditions and templates of plays mean them. They are evaluated where the old values are: on
/// the host, without the control node's lookups.
struct Jinja(Templar);

impl Jinja {
    fn new() -> Jinja {
        Jinja(Templar::new(|_| Err("rules read no YAML".into())))
    }
}

impl Expressions for Jinja {
    fn value(&self, expression: &str, vars: &Dict) -> Result<Value, String> {
        self.0.expression(expression, &Span::of_text("rule", expression), vars).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn expressions_see_keys_with_colons_and_name_what_is_undefined() {
        let vars = dict! {"old" => Value::dict(dict! {"a::b" => "x"}), "facts" => Value::dict(Dict::new())};
        assert_eq!(Jinja::new().value("old['a::b'] ~ '/y'", &vars).unwrap().as_str(), Some("x/y"));
        assert_eq!(Jinja::new().value("'a::b' in old and 'c' not in old", &vars).unwrap(), Value::Bool(true));
        assert!(Jinja::new().value("facts.missing", &vars).is_err());
        assert!(Jinja::new().value("old[", &vars).is_err());
    }

    #[test]
    fn secrets_are_long_enough_and_differ() {
        let (a, b) = (generate(16), generate(16));
        assert_eq!(a.len(), 16);
        assert_ne!(a, b);
        assert!(a.ends_with("Ti0*"));
    }
}
