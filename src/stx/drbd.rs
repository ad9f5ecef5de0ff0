//! `stx_drbd`: the replicated volumes, waited for until the other controller's copy is whole.

use std::time::{Duration, Instant};

use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::platform::{self, No};

crate::arguments! {
    pub struct Args {
        /// The other controller, whose copy it is.
        peer []: String,
        /// Seconds for which everything must have stayed as it should be: a copy that has not begun looks like none that is needed.
        stable []: u64 = 60u64,
        /// Seconds that the copy may take; orchestration allows four hours.
        timeout []: u64 = 14400u64,
        /// Seconds for which the controllers may be without a connection: a peer that boots, not one that is gone.
        apart []: u64 = 900u64,
    }
}

pub struct Drbd;

impl Module for Drbd {
    const NAMES: &'static [&'static str] = &["stx_drbd"];
    const DOC: &'static str = "Waits until every replicated volume is whole on the other controller.\n\
        A controller that comes back is in service before the copy has even begun, and no alarm speaks of it yet. So first the volumes must \
        be connected, then whole on both sides without a copy under way and without alarm 400.* on them, and stay so for a while.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("volumes", "how many"), ("copied", "whether a copy was seen")];
    const EXAMPLE: &'static str = "- name: volumes are whole\n  stx_drbd:\n    peer: controller-1";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        // In a check run nothing was reinstalled, and nothing is to be copied.
        if host.supposed(&format!("stx/running/{}", args.peer)).is_some() {
            return Ok(Outcome::ok().msg("as they are after the copy").with("copied", false));
        }
        if platform::patiently(host, |h| platform::host(h, &args.peer))?.active {
            return Ok(Outcome::ok().msg(format!("{} is active already", args.peer)).with("copied", false));
        }
        let (mut copied, mut whole_since, mut apart_since) = (false, None::<Instant>, None::<Instant>);
        let wait = Wait::new(format!("the volumes whole on {}", args.peer), Duration::from_secs(args.timeout));
        let seen = wait.usual(Duration::from_secs(900)).until(host, |host| {
            let volumes = volumes(host)?;
            copied |= volumes.iter().any(|v| v.copying.is_some());
            if let Some(volume) = volumes.iter().find(|v| v.is_alone()) {
                let since = *apart_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= Duration::from_secs(args.apart) {
                    let Volume { name, connection, .. } = volume;
                    return Ok(Sight::Never(format!(
                        "{name} has no connection to {} for {} s: {connection}",
                        args.peer, args.apart
                    )));
                }
            } else {
                apart_since = None;
            }
            let lagging = lagging(&volumes).or(alarmed(host, &args.peer)?);
            Ok(match lagging {
                Some(seen) => {
                    whole_since = None;
                    Sight::NotYet(seen)
                }
                None => {
                    let since = *whole_since.get_or_insert_with(Instant::now);
                    match since.elapsed() >= Duration::from_secs(args.stable) {
                        true => Sight::Done(volumes.len()),
                        false => Sight::NotYet(format!("whole; looked at for {} s more", args.stable)),
                    }
                }
            })
        });
        match seen {
            Ok(count) => Ok(Outcome::ok()
                .msg(format!("{count} volumes are whole on both controllers"))
                .with("volumes", count)
                .with("copied", copied)),
            Err(error @ WaitError::Host(_)) => Err(error.into()),
            Err(error) => Err(Advice::after(error, |a| {
                a.cause("the copy is slow, or the controllers do not reach each other over the management network")
                    .safe("yes: the active controller serves; the other one cannot take over yet")
                    .next(format!(
                        "`sudo drbd-overview` on the active controller, `system host-show {}` and its console; once both are \
                         connected, `stx-upgrade resume`",
                        args.peer
                    ))
            })),
        }
    }
}

/// A line of `drbd-overview`.
#[derive(Debug, PartialEq)]
struct Volume {
    name: String,
    connection: String,
    disks: String,
    /// How far a copy is, in the words of `drbd-overview`.
    copying: Option<String>,
}

impl Volume {
    /// Whether the other side is not there.
    fn is_alone(&self) -> bool {
        matches!(
            self.connection.as_str(),
            "WFConnection" | "StandAlone" | "Disconnecting" | "Timeout" | "NetworkFailure"
        )
    }
}

fn volumes(host: &mut dyn Look) -> Result<Vec<Volume>, HostError> {
    let output = host.query(&Command::new(["drbd-overview"]).timeout(Duration::from_secs(60)))?;
    Ok(parse(&output.text()))
}

/// `<n>:<volume>  <connection> <roles> <disks> …`, and below a volume that is copied a line with `sync'ed: 12.5%`.
fn parse(text: &str) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for line in text.lines() {
        if let Some((_, progress)) = line.split_once("sync'ed:") {
            if let Some(last) = volumes.last_mut() {
                last.copying = Some(progress.split_whitespace().next().unwrap_or_default().to_owned());
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let Some((number, name)) = words.next().and_then(|w| w.split_once(':')) else { continue };
        if number.parse::<u32>().is_ok() {
            let connection = words.next().unwrap_or_default().to_owned();
            // Without a connection that answers there may be no more words.
            let disks = words.nth(1).unwrap_or_default().to_owned();
            volumes.push(Volume { name: name.to_owned(), connection, disks, copying: None });
        }
    }
    volumes
}

/// The first thing that is not as it should be.
fn lagging(volumes: &[Volume]) -> Option<String> {
    if volumes.is_empty() {
        return Some("drbd-overview names no volume".into());
    }
    let volume = volumes
        .iter()
        .find(|v| v.connection != "Connected" || v.disks != "UpToDate/UpToDate" || v.copying.is_some())?;
    let progress = volume.copying.as_ref().map(|p| format!(", {p} copied")).unwrap_or_default();
    Some(format!("{}: {} {}{progress}", volume.name, volume.connection, volume.disks))
}

/// An alarm of lost redundancy, or of the other controller's services.
fn alarmed(host: &mut dyn Look, peer: &str) -> Result<Option<String>, HostError> {
    match platform::alarms(host) {
        Ok(alarms) => Ok(alarms
            .iter()
            .find(|a| a.id == "400.001" || (a.id == "400.002" && a.entity.contains(peer)))
            .map(ToString::to_string)),
        Err(No::Host(error)) => Err(error),
        Err(no) => Ok(Some(no.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_seen_in_all_its_phases() {
        let whole = " 0:drbd-pgsql/0  Connected Primary/Secondary UpToDate/UpToDate C r-----\n";
        assert_eq!(lagging(&parse(whole)), None);
        let gone = " 0:drbd-pgsql/0  WFConnection Primary/Unknown UpToDate/DUnknown C r-----\n";
        assert_eq!(lagging(&parse(gone)).as_deref(), Some("drbd-pgsql/0: WFConnection UpToDate/DUnknown"));
        let copying = " 0:drbd-pgsql/0  SyncSource Primary/Secondary UpToDate/Inconsistent C r-----\n\
                       \t[===>....] sync'ed: 12.5% (5/8)M\n 1:drbd-etcd/0  PausedSyncS Primary/Secondary UpToDate/Inconsistent C r-----\n";
        let volumes = parse(copying);
        assert_eq!(volumes.len(), 2);
        assert_eq!(lagging(&volumes).as_deref(), Some("drbd-pgsql/0: SyncSource UpToDate/Inconsistent, 12.5% copied"));
        assert!(lagging(&parse("  4:drbd-etcd/0  Unconfigured . .\n")).is_some());
        assert!(lagging(&[]).is_some(), "no volume at all proves nothing");
    }
}
