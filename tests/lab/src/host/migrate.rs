//! `sysinv-dbsync`: brings the restored sysinv database to the schema of the installed release.

use super::credentials::release;
use std::process::Command;

/// Run a query as the user postgres; rows of columns. `Err` holds psql's words.
pub fn query(database: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let out = Command::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "psql", "-At", "-F", "\x1f", "-v"])
        .args(["ON_ERROR_STOP=1", "-d", database, "-c", sql])
        .current_dir("/")
        .output()
        .map_err(|why| format!("psql: {why}"))?;
    if !out.status.success() {
        return Err(format!("{database}: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|line| line.split('\x1f').map(str::to_string).collect())
        .collect())
}

/// Be the program. Exit code and what changed.
pub fn run(_argv: &[String]) -> (i32, Vec<String>) {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("sysinv-dbsync: must be run as root");
        return (1, Vec::new());
    }
    let to = release();
    let before = match query("sysinv", "select release from migrate_version where repository_id = 'sysinv'") {
        Ok(rows) => rows.first().and_then(|row| row.first()).cloned().unwrap_or_default(),
        Err(why) => {
            eprintln!("sysinv-dbsync: {why}");
            return (1, Vec::new());
        }
    };
    if before == to {
        return (0, Vec::new());
    }
    let sql = format!(
        "begin;
         alter table i_host add column if not exists device_image_update varchar(64);
         alter table i_system add column if not exists schema_note varchar(64);
         update migrate_version set version = version + 9, release = '{to}' where repository_id = 'sysinv';
         update software_upgrade set state = 'upgrading-controllers' where state in ('starting', 'started', 'data-migration');
         update i_host set administrative = 'locked', operational = 'disabled', availability = 'offline', software_load = '{to}';
         commit"
    );
    match query("sysinv", &sql) {
        Ok(_) => (0, vec![format!("database-migrated {before} {to}")]),
        Err(why) => {
            eprintln!("sysinv-dbsync: {why}");
            (1, Vec::new())
        }
    }
}
