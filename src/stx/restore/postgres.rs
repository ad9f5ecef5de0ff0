//! `stx_restore_postgres`: the platform's databases, loaded into a fresh cluster of the new release.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::super::archive::{self, Found, Kind};
use super::super::archive_check::advised;
use super::{Source, done_by, is_done, note, pipe};

crate::arguments! {
    pub struct Args {
        /// The data archive.
        archive []: PathBuf,
        /// The release whose cluster it becomes.
        to_release []: String,
        /// Where the clusters of the releases lie.
        base []: PathBuf = "/var/lib/postgresql",
        /// The service.
        service []: String = "postgresql",
        /// Seconds that loading may take.
        timeout []: u64 = 3600u64,
    }
}

pub struct Postgres;

impl Module for Postgres {
    const NAMES: &'static [&'static str] = &["stx_restore_postgres"];
    const DOC: &'static str = "Makes the new release's PostgreSQL cluster and loads the archive's databases into it.\n\
        A cluster that an interrupted restore left half loaded is made anew. The service is running afterwards.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("databases", "whose rows were loaded")];
    const EXAMPLE: &'static str =
        "- name: databases\n  stx_restore_postgres:\n    archive: \"{{ archive.path }}\"\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let source = Source::find(host.as_look(), &args.archive, Kind::Data)?;
        if is_done(host.as_look(), "postgres", &source.identity)? {
            start(&args, host)?;
            return Ok(Outcome::ok().msg("loaded already"));
        }
        let dumps = match &source.found {
            Found::At(path) => dumps(host.as_look(), path)?,
            Found::Supposed(_) => Dumps::default(),
        };
        let data = args.base.join(&args.to_release).display().to_string();
        let short = Duration::from_secs(300);
        let stopped = done_by(
            host,
            "stopping PostgreSQL",
            Command::new(["systemctl", "stop", &args.service]).timeout(short),
            &[],
        )?;
        let fresh =
            "rm -rf \"$1\" && mkdir -p \"$(dirname \"$1\")\" && install -d -m 0700 -o postgres -g postgres \"$1\"";
        done_by(host, "making room for the cluster", pipe(fresh, &[&data], short), &[])?;
        let program = if stopped.supposed { "initdb".to_owned() } else { initdb(host.as_look())? };
        let initdb = [
            "runuser",
            "-u",
            "postgres",
            "--",
            &program,
            "-D",
            &data,
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
        ];
        done_by(host, "initdb", Command::new(initdb).timeout(short), &[])?;
        start(&args, host)?;
        let archive = source.path().display().to_string();
        let timeout = Duration::from_secs(args.timeout);
        // The cluster has the role already, and the dump wants to make it.
        let load = "tar -xzOf \"$1\" \"$2\" | sed -E '/^CREATE ROLE postgres;/d' | \
                    runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d \"$3\" >/dev/null";
        if let Some(schema) = &dumps.schema {
            done_by(host, "loading roles and schemas", pipe(load, &[&archive, schema, "postgres"], timeout), &[])?;
        }
        for (database, member) in &dumps.data {
            // Rows may stand before those they refer to; whole or not at all.
            let rows = "{ echo 'SET session_replication_role = replica;'; tar -xzOf \"$1\" \"$2\"; } | \
                        runuser -u postgres -- psql -X -q -1 -v ON_ERROR_STOP=1 -d \"$3\" >/dev/null";
            done_by(host, &format!("loading {database}"), pipe(rows, &[&archive, member, database], timeout), &[])?;
        }
        note(host, "postgres", &source.identity, false)?;
        Ok(Outcome::changed(true)
            .msg(format!("{} databases loaded into {data}", dumps.data.len()))
            .with("databases", dumps.data.iter().map(|(d, _)| d.as_str()).collect::<Value>()))
    }
}

/// Members of the archive: the schema, and each database's rows.
#[derive(Default)]
struct Dumps {
    schema: Option<String>,
    data: Vec<(String, String)>,
}

fn dumps(host: &mut dyn Look, path: &Path) -> Result<Dumps, Failure> {
    let index = archive::read(host, path, None).map_err(advised)?;
    let mut dumps = Dumps::default();
    for member in &index.members {
        let Some((dir, name)) = member.rsplit_once('/') else { continue };
        if !dir.ends_with("/postgres") {
            continue;
        }
        if name == "postgres.postgreSql.config" {
            dumps.schema = Some(member.clone());
        } else if let Some(database) = name.strip_suffix(".postgreSql.data") {
            // What belongs to PostgreSQL itself is in every cluster.
            if !matches!(database, "postgres" | "template1") {
                dumps.data.push((database.to_owned(), member.clone()));
            }
        }
    }
    if dumps.schema.is_none() || dumps.data.is_empty() {
        return Err(Failure::new(format!("{} holds no database dumps (postgres/*.postgreSql.*)", path.display())));
    }
    Ok(dumps)
}

/// initdb is seldom on the PATH: each major version has its own directory.
fn initdb(host: &mut dyn Look) -> Result<String, Failure> {
    let script = "command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -V | tail -n 1";
    let output = host.query(&Command::shell(script).timeout(Duration::from_secs(10)))?;
    let found = output.text().lines().next().unwrap_or_default().trim().to_owned();
    if found.is_empty() { Err(HostError::NoProgram("initdb".into()).into()) } else { Ok(found) }
}

fn start(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let short = Duration::from_secs(300);
    let started =
        done_by(host, "starting PostgreSQL", Command::new(["systemctl", "start", &args.service]).timeout(short), &[])?;
    if started.supposed {
        return Ok(());
    }
    let ask = ["runuser", "-u", "postgres", "--", "psql", "-X", "-At", "-d", "postgres", "-c", "select 1"];
    let ask = Command::new(ask).timeout(Duration::from_secs(10));
    Wait::new("PostgreSQL answers", Duration::from_secs(120)).until(host.as_look(), |host| {
        let output = host.query(&ask)?;
        Ok(if output.success() { Sight::Done(()) } else { Sight::NotYet(output.error_text().trim().to_owned()) })
    })?;
    Ok(())
}
