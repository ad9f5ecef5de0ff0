//! `getent`: entries of the host's databases.

use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};

arguments! {
    pub struct Args {
        /// The database: `passwd`, `group`, `hosts`, `services`, …
        database []: String,
        /// The entry; all of them if not given, where the database can list.
        key []: String = "",
        /// Service of the database to ask, as `files`.
        service []: Option<String>,
        /// What separates the fields; by the database if not given.
        split []: Option<String>,
        /// Fail if there is no such entry.
        fail_key []: bool = true,
    }
}

/// The module `getent`.
pub struct Getent;

impl Module for Getent {
    const NAMES: &'static [&'static str] = &["getent", "ansible.builtin.getent", "ansible.legacy.getent"];
    const DOC: &'static str = "Asks the host's databases with its own `getent`. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("ansible_facts", "`getent_DATABASE`: the entries by their key, each a list of its other fields")];
    const EXAMPLE: &'static str =
        "- getent:\n    database: passwd\n    key: root\n- debug:\n    var: ansible_facts.getent_passwd\n";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut argv = vec!["getent".to_owned()];
        if let Some(service) = &args.service {
            argv.extend(["-s".to_owned(), service.clone()]);
        }
        // What begins with a dash would be an option.
        argv.extend(["--".to_owned(), args.database.clone()]);
        argv.extend((!args.key.is_empty()).then(|| args.key.clone()));
        let output = host.query(&Command::new(argv)).map_err(|e| match e {
            HostError::NoProgram(_) => Failure::new("the host has no `getent`"),
            other => other.into(),
        })?;
        let colon = matches!(args.database.as_str(), "passwd" | "shadow" | "group" | "gshadow");
        let split = args.split.clone().or_else(|| colon.then(|| ":".to_owned()));
        let fact = format!("getent_{}", args.database);
        let mut results = Dict::new();
        let msg = match output.rc {
            0 => {
                for line in output.text().lines() {
                    let mut fields: Vec<Value> = match &split {
                        Some(s) => line.split(s.as_str()).map(Value::str).collect(),
                        None => line.split_whitespace().map(Value::str).collect(),
                    };
                    if fields.is_empty() {
                        continue;
                    }
                    let key = Key::from(fields.remove(0).to_string());
                    match results.get_mut(&key) {
                        // A name that comes again has a list of entries.
                        Some(Value::List(seen)) => {
                            let mut seen = seen.to_vec();
                            if !matches!(seen.first(), Some(Value::List(_))) {
                                seen = vec![Value::list(seen)];
                            }
                            seen.push(Value::list(fields));
                            results.insert(key, Value::list(seen));
                        }
                        _ => {
                            results.insert(key, Value::list(fields));
                        }
                    }
                }
                None
            }
            2 if !args.fail_key => {
                results.insert(Key::from(args.key.as_str()), Value::Null);
                return Ok(Outcome { facts: crate::dict! {fact => results}, ..Outcome::ok() }
                    .msg("One or more supplied key could not be found in the database."));
            }
            1 => Some("Missing arguments, or database unknown."),
            2 => Some("One or more supplied key could not be found in the database."),
            3 => Some("Enumeration not supported on this database."),
            _ => Some("Unexpected failure!"),
        };
        match msg {
            Some(msg) => Err(Failure::new(msg)),
            None => Ok(Outcome { facts: crate::dict! {fact => results}, ..Outcome::ok() }),
        }
    }
}
