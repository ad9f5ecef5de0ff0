//! `acl`: access control lists of files, by the host's own `getfacl` and `setfacl`.

use std::path::PathBuf;

use super::paths;
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Absent = "absent", Present = "present", Query = "query" } }
choices! { pub enum Type { Group = "group", Mask = "mask", Other = "other", User = "user" } }
choices! { pub enum Mask { Default = "default", Mask = "mask", NoMask = "no_mask" } }

arguments! {
    pub struct Args {
        /// The file or directory.
        path ["name"]: PathBuf,
        /// Whether the entry shall be there; `query` only looks.
        state []: State = State::Query,
        /// Whom the entry is about; empty for the owner or the file's group.
        entity []: String = "",
        /// What the entry is about.
        etype []: Option<Type>,
        /// What is allowed: `rwx`, `r`, `rX`.
        permissions []: Option<String>,
        /// The entry as `setfacl` writes it, instead of these: `user:joe:rw`.
        entry []: Option<String>,
        /// The entry is for what is made in the directory.
        default []: bool = false,
        /// Go into the directory.
        recursive []: bool = false,
        /// Follow a link.
        follow []: bool = true,
        /// Whether the mask is worked out anew.
        recalculate_mask []: Mask = Mask::Default,
    }
    rules [Exclusive(&["entry", "etype"]), Exclusive(&["entry", "permissions"])]
}

/// The module `acl`.
pub struct Acl;

impl Module for Acl {
    const NAMES: &'static [&'static str] = &["acl", "ansible.posix.acl"];
    const DOC: &'static str = "Looks at access control lists, and sets or removes their entries.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("acl", "The entries that are there now")];
    const EXAMPLE: &'static str =
        "- acl:\n    path: /etc/foo.conf\n    entity: joe\n    etype: user\n    permissions: r\n    state: present\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        if host.stat(&path, args.follow)?.is_none() {
            return Err(Failure::new("Path not found or not accessible."));
        }
        let shown = path.display().to_string();
        if args.state != State::Query {
            let entry = entry(&args)?;
            let mut words = vec!["setfacl".to_owned()];
            words.extend(args.recursive.then(|| "--recursive".to_owned()));
            match args.recalculate_mask {
                Mask::Default => {}
                Mask::Mask => words.push("--mask".into()),
                Mask::NoMask => words.push("--no-mask".into()),
            }
            words.extend((!args.follow).then(|| "--physical".to_owned()));
            let verb = if args.state == State::Present { "-m" } else { "-x" };
            words.extend([verb.to_owned(), entry.clone(), shown.clone()]);
            // `--test` says what would be, an entry that is there already by a star.
            let mut trial = words.clone();
            trial.insert(1, "--test".into());
            let output = host.query(&Command::new(trial)).map_err(missing)?;
            if !output.success() {
                return Err(Failure::new(format!("setfacl {verb} {entry}: {}", output.error_text().trim())));
            }
            let fact = format!("acl/{shown}/{verb} {entry}");
            let settled = output.text().lines().filter(|l| !l.is_empty()).all(|l| l.ends_with("*,*"));
            if !settled && host.supposed(&fact).is_none() {
                let output = host.run_expecting(&Command::new(words), &[Effect::Suppose(fact, true.into())])?;
                if !output.success() {
                    return Err(Failure::new(format!("setfacl {verb} {entry}: {}", output.error_text().trim())));
                }
                return Ok(Outcome::changed(true)
                    .msg(format!("{entry} is {}", args.state.word()))
                    .with("acl", list(&args, host, &shown)?));
            }
        }
        Ok(Outcome::ok()
            .msg(if args.state == State::Query { "current acl" } else { "" })
            .with("acl", list(&args, host, &shown)?))
    }
}

fn missing(error: HostError) -> Failure {
    match error {
        HostError::NoProgram(name) => Failure::new(format!("the host has no `{name}`: install its package `acl`")),
        other => other.into(),
    }
}

/// The entry as `setfacl` takes it.
fn entry(args: &Args) -> Result<String, Failure> {
    let entry = match (&args.entry, args.etype) {
        (Some(entry), _) => entry.trim_start_matches("default:").trim_start_matches("d:").to_owned(),
        (None, Some(kind)) => match (&args.permissions, args.state) {
            (Some(allowed), State::Present) => format!("{}:{}:{allowed}", kind.word(), args.entity),
            (None, State::Present) => return Err(Failure::new("`permissions` is required to set an entry")),
            _ => format!("{}:{}", kind.word(), args.entity),
        },
        (None, None) => {
            return Err(Failure::new("'state=present' and 'state=absent' need `entry`, or `etype` and `entity`"));
        }
    };
    let default = args.default || args.entry.as_ref().is_some_and(|e| e.starts_with("default:") || e.starts_with("d:"));
    Ok(if default { format!("default:{entry}") } else { entry })
}

fn list(args: &Args, host: &mut dyn Act, path: &str) -> Result<Value, Failure> {
    let mut words = vec!["getfacl", "--absolute-names", "--omit-header"];
    words.extend((!args.follow).then_some("--physical"));
    words.push(path);
    let output = host.query(&Command::new(words)).map_err(missing)?;
    if !output.success() {
        return Err(Failure::new(format!("getfacl: {}", output.error_text().trim())));
    }
    Ok(output.text().lines().map(str::trim).filter(|l| !l.is_empty()).collect())
}
