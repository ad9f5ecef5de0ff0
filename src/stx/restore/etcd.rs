//! `stx_restore_etcd`: the cluster's keys, restored from the archive's snapshot.

use std::path::PathBuf;
use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait};
use crate::model::outcome::Outcome;

use super::super::archive::{self, Found, Kind};
use super::super::archive_check::advised;
use super::{Source, done_by, is_done, note, pipe};

crate::arguments! {
    pub struct Args {
        /// The data archive.
        archive []: PathBuf,
        /// The release whose directory it becomes.
        to_release []: String,
        /// Where the directories of the releases lie.
        base []: PathBuf = "/opt/etcd",
        /// The service.
        service []: String = "etcd",
        /// Name of the one member.
        member []: String = "controller",
        /// Where members of the cluster would find it.
        peer_url []: String = "http://127.0.0.1:2380",
        /// Where it answers.
        endpoint []: String = "http://127.0.0.1:2379",
    }
}

pub struct Etcd;

impl Module for Etcd {
    const NAMES: &'static [&'static str] = &["stx_restore_etcd"];
    const DOC: &'static str = "Restores etcd from the snapshot in the archive and starts it.\n\
        etcd is stopped first; a directory that an interrupted restore left is made anew.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("data_dir", "the restored directory")];
    const EXAMPLE: &'static str =
        "- name: etcd\n  stx_restore_etcd:\n    archive: \"{{ archive.path }}\"\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let source = Source::find(host.as_look(), &args.archive, Kind::Data)?;
        let base = args.base.join(&args.to_release);
        let data = base.join("controller.etcd").display().to_string();
        if is_done(host.as_look(), "etcd", &source.identity)? {
            start(&args, host)?;
            return Ok(Outcome::ok().msg("restored already").with("data_dir", data));
        }
        let member = match &source.found {
            Found::At(path) => {
                let index = archive::read(host.as_look(), path, None).map_err(advised)?;
                let found = index.members.iter().find(|m| m.ends_with("etcd-snapshot/etcd-snapshot.db"));
                found.cloned().ok_or_else(|| Failure::new(format!("{} holds no etcd snapshot", path.display())))?
            }
            Found::Supposed(_) => String::new(),
        };
        let timeout = Duration::from_secs(600);
        done_by(host, "stopping etcd", Command::new(["systemctl", "stop", &args.service]).timeout(timeout), &[])?;
        let snapshot = base.join("snapshot.db").display().to_string();
        let unpack = "rm -rf \"$4\" && mkdir -p \"$(dirname \"$3\")\" && tar -xzOf \"$1\" \"$2\" > \"$3\"";
        let archive = source.path().display().to_string();
        done_by(
            host,
            "unpacking the etcd snapshot",
            pipe(unpack, &[&archive, &member, &snapshot, &data], timeout),
            &[],
        )?;
        let cluster = format!("{}={}", args.member, args.peer_url);
        let words = [
            "etcdctl",
            "snapshot",
            "restore",
            &snapshot,
            "--name",
            &args.member,
            "--data-dir",
            &data,
            "--initial-cluster",
            &cluster,
            "--initial-advertise-peer-urls",
            &args.peer_url,
        ];
        done_by(host, "etcdctl snapshot restore", Command::new(words).env("ETCDCTL_API", "3").timeout(timeout), &[])?;
        host.remove(snapshot.as_ref())
            .or_else(|e| if matches!(e, crate::action::host::HostError::NotFound(_)) { Ok(()) } else { Err(e) })?;
        start(&args, host)?;
        note(host, "etcd", &source.identity, false)?;
        Ok(Outcome::changed(true).msg(format!("restored into {data}")).with("data_dir", data))
    }
}

fn start(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let timeout = Duration::from_secs(120);
    let started =
        done_by(host, "starting etcd", Command::new(["systemctl", "start", &args.service]).timeout(timeout), &[])?;
    if started.supposed {
        return Ok(());
    }
    // A second etcd on the same directory would wait for its lock for ever: health has a deadline.
    let ask = Command::new(["etcdctl", "--endpoints", &args.endpoint, "endpoint", "health"]).env("ETCDCTL_API", "3");
    let ask = ask.timeout(Duration::from_secs(10));
    Wait::new("etcd healthy", timeout).until(host.as_look(), |host| {
        let output = host.query(&ask)?;
        Ok(if output.success() { Sight::Done(()) } else { Sight::NotYet(output.error_text().trim().to_owned()) })
    })?;
    Ok(())
}
