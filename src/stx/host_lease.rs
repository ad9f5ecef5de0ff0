//! `stx_host_lease`: one run at a time. Who upgrades a system says so on it, for a while. Whether the run of a lease still lives is
//! `stx_lease`'s to find out, on the control node.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::Outcome;

use super::advice::Advice;

/// On the volume that the controllers share: it goes where the services go.
const LEASE: &str = "/opt/platform/.stx-upgrade/lease";

crate::choices! {
    pub enum State { Held = "held", Released = "released" }
}

crate::arguments! {
    pub struct Args {
        /// Whether the system is to be held, or let go.
        state []: State = State::Held,
        /// Who: the operator, as user@machine.
        owner []: String,
        /// The run that holds it.
        run []: String,
        /// Seconds until it lapses by itself; each time it is held they begin anew.
        seconds []: u64 = 21600u64,
        /// Take it over from another run.
        take_over []: bool = false,
        /// The run's journal on its control node, by which its life is told there; `stx_lease` tells.
        _journal []: String = "",
    }
}

pub struct HostLease;

impl Module for HostLease {
    const NAMES: &'static [&'static str] = &["stx_host_lease"];
    const DOC: &'static str = "Holds a system for one run: no other goes on while the lease lasts.\n\
        Who comes second is told who holds it, since which run and until when. It is bookkeeping of this tool, and never counts as a \
        change.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("owner", "who held it before")];
    const EXAMPLE: &'static str =
        "- name: one operator at a time\n  stx_host_lease:\n    owner: ops@jump1\n    run: 20261121-0314-k7";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let held = read(host)?;
        // A lease without a journal is of an older version, which held systems for operators alone.
        let foreign = held.as_ref().filter(|h| h.run != args.run && (h.owner != args.owner || !h.journal.is_empty()));
        if args.state == State::Released {
            if held.is_some() && foreign.is_none() {
                host.remove(Path::new(LEASE))?;
            }
            return Ok(Outcome::ok().msg("let go"));
        }
        if let Some(other) = foreign.filter(|h| h.until > now && !args.take_over) {
            let next = match other.owner == args.owner {
                true => format!("wait for it (`stx-upgrade show {0} --follow`), or stop it; if it is over", other.run),
                false => format!("ask {}; if that run is over", other.owner),
            };
            return Err(Advice::failed(format!("{} is at work on this system", other.owner))
                .state(format!("run {}, for another {} min at most", other.run, (other.until - now).div_ceil(60)))
                .safe("yes: nothing was changed")
                .next(format!("{next}, go on with `-e take_over=true`"))
                .with("_owner", other.owner.as_str())
                .with("_journal", other.journal.as_str())
                .into());
        }
        let before = held.map(|h| h.owner);
        if let Some(dir) = Path::new(LEASE).parent() {
            super::ensure_dir(host, dir, 0o700)?;
        }
        let text = format!(
            "owner={}\nrun={}\nuntil={}\njournal={}\n",
            args.owner,
            args.run,
            now + args.seconds,
            args._journal
        );
        host.write(Path::new(LEASE), &mut text.as_bytes(), Some(0o600))?;
        let msg = match &before {
            Some(owner) if *owner != args.owner => format!("taken over from {owner}"),
            _ => format!("held for {}", args.owner),
        };
        Ok(Outcome::ok().msg(msg).with("owner", before))
    }
}

struct Held {
    owner: String,
    run: String,
    /// Of the run, on its control node; empty where none is told.
    journal: String,
    /// Seconds since 1970, by the host's clock.
    until: u64,
}

/// The lease that stands; one that cannot be read is none.
fn read(host: &mut dyn Act) -> Result<Option<Held>, HostError> {
    let text = match host.read(Path::new(LEASE)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(HostError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let value =
        |key: &str| text.lines().find_map(|l| l.split_once('=').filter(|(k, _)| *k == key)).map(|(_, v)| v.to_owned());
    Ok(match (value("owner"), value("run"), value("until").and_then(|u| u.parse().ok())) {
        (Some(owner), Some(run), Some(until)) => {
            Some(Held { owner, run, until, journal: value("journal").unwrap_or_default() })
        }
        _ => None,
    })
}
