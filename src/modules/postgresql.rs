//! `postgresql_db` and `postgresql_user`: databases and roles, by the host's own `psql`, which looks before it acts.
//! What an earlier step of a check run made or dropped is known by the facts `postgresql/db/NAME` and
//! `postgresql/role/NAME`.

use crate::action::command::Command;
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    /// How the server is reached.
    pub struct Login {
        /// The role to log in as.
        login_user ["login"]: Option<String>,
        /// Its password.
        login_password []: Option<Secret>,
        /// The server; its local socket if not given.
        login_host ["host"]: Option<String>,
        /// Directory of the server's local socket.
        login_unix_socket ["unix_socket"]: Option<String>,
        /// The server's port.
        port ["login_port"]: Option<u64>,
    }
}

impl Login {
    /// Runs one statement; what it printed, a row a line.
    pub(super) fn ask(&self, host: &mut dyn Act, db: Option<&str>, sql: &str) -> Result<String, Failure> {
        let output = host.query(&self.command(db, sql))?;
        self.judge(sql, output)
    }

    pub(super) fn act(
        &self,
        host: &mut dyn Act,
        db: Option<&str>,
        sql: &str,
        effects: &[Effect],
    ) -> Result<(), Failure> {
        let output = host.run_expecting(&self.command(db, sql), effects)?;
        self.judge(sql, output).map(drop)
    }

    /// The statement goes in by standard input: a password in it must not be seen in the process list.
    fn command(&self, db: Option<&str>, sql: &str) -> Command {
        let mut argv: Vec<String> =
            ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"].map(String::from).to_vec();
        let mut add = |option: &str, value: String| argv.extend([option.to_owned(), value]);
        add("-d", db.unwrap_or("postgres").to_owned());
        if let Some(user) = &self.login_user {
            add("-U", user.clone());
        }
        if let Some(host) = self.login_host.as_ref().or(self.login_unix_socket.as_ref()).filter(|h| !h.is_empty()) {
            add("-h", host.clone());
        }
        if let Some(port) = self.port {
            add("-p", port.to_string());
        }
        let command = Command::new(argv).stdin(format!("{sql};\n"));
        match &self.login_password {
            Some(password) => command.env("PGPASSWORD", password.reveal()),
            None => command,
        }
    }

    fn judge(&self, sql: &str, output: crate::action::command::Output) -> Result<String, Failure> {
        if output.success() {
            return Ok(output.text().trim_end().to_owned());
        }
        let said = output.error_text();
        let verb = sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Err(Failure::new(format!("psql: {verb}: {}", said.trim())))
    }
}

/// A name as SQL takes it, whatever letters it has.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it.
pub(super) fn text(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

pub(super) fn supposed(host: &dyn Act, key: &str) -> Option<bool> {
    host.supposed(key).and_then(|v| v.as_bool())
}

arguments! {
    pub struct DbArgs {
        /// The database.
        name ["db"]: String,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Its owner.
        owner []: Option<String>,
        /// The database that it is made from.
        template []: Option<String>,
        /// Its encoding.
        encoding []: Option<String>,
        /// Its order of sorting.
        lc_collate []: Option<String>,
        /// Its classes of letters.
        lc_ctype []: Option<String>,
        /// End the connections to it first, to drop it.
        force []: bool = false,
        ..login: Login,
    }
}

/// The module `postgresql_db`.
pub struct Db;

impl Module for Db {
    const NAMES: &'static [&'static str] = &["postgresql_db", "community.postgresql.postgresql_db"];
    const DOC: &'static str =
        "Makes or drops PostgreSQL databases. Dumps and restores are for `pg_dump` and `psql` in a `command`.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("db", "The database"), ("executed_commands", "The statements that were run")];
    const EXAMPLE: &'static str =
        "- postgresql_db:\n    name: acme\n    owner: acme\n  become: true\n  become_user: postgres\n";
    type Args = DbArgs;

    fn run(args: DbArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let key = format!("postgresql/db/{}", args.name);
        let seen = match supposed(host, &key) {
            // Made by an earlier step: with the owner that this one wants, for all that can be told.
            Some(there) => there.then(|| args.owner.clone().unwrap_or_default()),
            None => {
                let sql =
                    format!("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {}", text(&args.name));
                Some(args.login.ask(host, None, &sql)?).filter(|o| !o.is_empty())
            }
        };
        let mut ran = Vec::new();
        let mut act = |host: &mut dyn Act, sql: String, effects: &[Effect]| {
            args.login.act(host, None, &sql, effects)?;
            ran.push(sql);
            Ok::<_, Failure>(())
        };
        let there = |is: bool| [Effect::Suppose(key.clone(), is.into())];
        match (args.state, seen) {
            (State::Absent, None) => {}
            (State::Absent, Some(_)) => {
                if args.force {
                    let sql = format!(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
                        text(&args.name)
                    );
                    act(host, sql, &[])?;
                }
                act(host, format!("DROP DATABASE {}", name(&args.name)), &there(false))?;
            }
            (State::Present, None) => {
                let mut sql = format!("CREATE DATABASE {}", name(&args.name));
                let mut option = |word: &str, value: Option<String>| {
                    if let Some(value) = value {
                        sql += &format!(" {word} {value}");
                    }
                };
                option("OWNER", args.owner.as_deref().map(name));
                option("TEMPLATE", args.template.as_deref().map(name));
                option("ENCODING", args.encoding.as_deref().map(text));
                option("LC_COLLATE", args.lc_collate.as_deref().map(text));
                option("LC_CTYPE", args.lc_ctype.as_deref().map(text));
                act(host, sql, &there(true))?;
            }
            (State::Present, Some(now)) => {
                if let Some(owner) = args.owner.as_ref().filter(|o| **o != now) {
                    act(host, format!("ALTER DATABASE {} OWNER TO {}", name(&args.name), name(owner)), &[])?;
                }
            }
        }
        Ok(Outcome::changed(!ran.is_empty())
            .with("db", args.name.as_str())
            .with("executed_commands", ran.iter().map(String::as_str).collect::<crate::model::value::Value>()))
    }
}

arguments! {
    pub struct UserArgs {
        /// The role.
        name ["user"]: String,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Its password.
        password []: Option<Secret>,
        /// Its rights: `CREATEDB,NOSUPERUSER`.
        role_attr_flags []: Option<String>,
        /// Most connections that it may have.
        conn_limit []: Option<i64>,
        /// When its password ends to be valid.
        expires []: Option<String>,
        /// Leave the password of a role that exists as it is.
        no_password_changes []: bool = false,
        /// The database to log in to.
        db ["login_db"]: Option<String>,
        ..login: Login,
    }
}

/// The module `postgresql_user`.
pub struct User;

const FLAGS: &[(&str, &str)] = &[
    ("SUPERUSER", "rolsuper"),
    ("CREATEROLE", "rolcreaterole"),
    ("CREATEDB", "rolcreatedb"),
    ("INHERIT", "rolinherit"),
    ("LOGIN", "rolcanlogin"),
    ("REPLICATION", "rolreplication"),
    ("BYPASSRLS", "rolbypassrls"),
];

impl Module for User {
    const NAMES: &'static [&'static str] = &["postgresql_user", "community.postgresql.postgresql_user"];
    const DOC: &'static str = "Makes, changes or drops PostgreSQL roles. Passwords never stand on a command line.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("user", "The role")];
    const EXAMPLE: &'static str =
        "- postgresql_user:\n    name: django\n    password: ceec4eif7ya\n    role_attr_flags: CREATEDB\n";
    type Args = UserArgs;

    fn run(args: UserArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let flags = flags(args.role_attr_flags.as_deref())?;
        let key = format!("postgresql/role/{}", args.name);
        let columns: Vec<&str> = FLAGS.iter().map(|(_, c)| *c).collect();
        let role = text(&args.name);
        let seen = match supposed(host, &key) {
            Some(true) => {
                // Its rights are what this step would set.
                return Ok(Outcome::changed(args.state == State::Absent).with("user", args.name.as_str()));
            }
            Some(false) => None,
            None => {
                let sql = format!("SELECT {}, rolconnlimit FROM pg_roles WHERE rolname = {role}", columns.join(", "));
                Some(args.login.ask(host, args.db.as_deref(), &sql)?).filter(|r| !r.is_empty())
            }
        };
        let there = |is: bool| [Effect::Suppose(key.clone(), is.into())];
        let mut options: Vec<String> = Vec::new();
        let done = |changed: bool| Ok(Outcome::changed(changed).with("user", args.name.as_str()));
        let Some(row) = seen else {
            if args.state == State::Absent {
                return done(false);
            }
            options.push("LOGIN".into());
            options.extend(flags.iter().map(|(f, on)| format!("{}{f}", if *on { "" } else { "NO" })));
            options.extend(args.conn_limit.map(|l| format!("CONNECTION LIMIT {l}")));
            options.extend(args.expires.as_deref().map(|e| format!("VALID UNTIL {}", text(e))));
            options.extend(args.password.as_ref().map(|p| format!("ENCRYPTED PASSWORD {}", text(p.reveal()))));
            args.login.act(
                host,
                args.db.as_deref(),
                &format!("CREATE ROLE {} WITH {}", name(&args.name), options.join(" ")),
                &there(true),
            )?;
            return done(true);
        };
        if args.state == State::Absent {
            args.login.act(host, args.db.as_deref(), &format!("DROP ROLE {}", name(&args.name)), &there(false))?;
            return done(true);
        }
        let fields: Vec<&str> = row.split('|').collect();
        for (flag, on) in &flags {
            let at = FLAGS.iter().position(|(f, _)| f == flag);
            if at.and_then(|i| fields.get(i)).is_some_and(|now| (*now == "t") != *on) {
                options.push(format!("{}{flag}", if *on { "" } else { "NO" }));
            }
        }
        if let Some(limit) = args.conn_limit.filter(|l| fields.last() != Some(&l.to_string().as_str())) {
            options.push(format!("CONNECTION LIMIT {limit}"));
        }
        if let Some(password) = args.password.as_ref().filter(|_| !args.no_password_changes)
            && !same_password(&args, password, host)?
        {
            options.push(format!("ENCRYPTED PASSWORD {}", text(password.reveal())));
        }
        if !options.is_empty() {
            args.login.act(
                host,
                args.db.as_deref(),
                &format!("ALTER ROLE {} WITH {}", name(&args.name), options.join(" ")),
                &[],
            )?;
        }
        done(!options.is_empty())
    }
}

fn flags(written: Option<&str>) -> Result<Vec<(&'static str, bool)>, Failure> {
    let mut flags = Vec::new();
    for word in written.unwrap_or_default().split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let upper = word.to_uppercase();
        let known = FLAGS.iter().find_map(|(f, _)| {
            if *f == upper {
                return Some((*f, true));
            }
            (upper.strip_prefix("NO") == Some(f)).then_some((*f, false))
        });
        flags.push(known.ok_or_else(|| Failure::new(format!("Invalid role_attr_flags specified: {word}")))?);
    }
    Ok(flags)
}

/// Whether the role has this password already, as far as the stored form tells.
fn same_password(args: &UserArgs, password: &Secret, host: &mut dyn Act) -> Result<bool, Failure> {
    use md5::Digest;
    let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = {}", text(&args.name));
    let stored = match args.login.ask(host, args.db.as_deref(), &sql) {
        Ok(stored) => stored,
        // Only a superuser may look: then it is set.
        Err(Failure::Failed(_)) => return Ok(false),
        Err(e) => return Err(e),
    };
    let given = password.reveal();
    if stored == given {
        return Ok(true);
    }
    if stored.starts_with("md5") {
        return Ok(stored == format!("md5{}", hex::encode(md5::Md5::digest(format!("{given}{}", args.name)))));
    }
    Ok(scram_matches(&stored, given))
}

/// Whether `SCRAM-SHA-256$iterations:salt$stored:server` was made of a password (RFC 5803).
fn scram_matches(stored: &str, password: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256};
    let parts: Vec<&str> = stored.split(['$', ':']).collect();
    let ["SCRAM-SHA-256", iterations, salt, stored_key, _] = parts.as_slice() else { return false };
    let (Ok(iterations), Ok(salt)) = (iterations.parse::<u32>(), STANDARD.decode(salt)) else { return false };
    let mac = |key: &[u8], data: &[u8]| -> Vec<u8> {
        // A key of this kind may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
        mac.update(data);
        mac.finalize().into_bytes().to_vec()
    };
    let first: Vec<u8> = salt.iter().copied().chain([0, 0, 0, 1]).collect();
    let mut round = mac(password.as_bytes(), &first);
    let mut salted = round.clone();
    for _ in 1..iterations.min(1_000_000) {
        round = mac(password.as_bytes(), &round);
        salted.iter_mut().zip(&round).for_each(|(s, r)| *s ^= r);
    }
    let key = Sha256::digest(mac(&salted, b"Client Key"));
    STANDARD.encode(key) == *stored_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("a\\b"), "E'a\\\\b'");
    }

    #[test]
    fn rights() {
        assert_eq!(flags(Some("CREATEDB,nosuperuser")).unwrap(), [("CREATEDB", true), ("SUPERUSER", false)]);
        assert!(flags(Some("FLY")).is_err());
    }
}
