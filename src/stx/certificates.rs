//! `stx_certificates`: no certificate of the platform runs out before the upgrade is over.

use std::time::Duration;

use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::platform::{self, No};
use super::tables::List;

crate::arguments! {
    pub struct Args {
        /// Days that each certificate must still be valid: more than the upgrade may take, with its retries.
        days []: u64 = 7u64,
    }
}

pub struct Certificates;

impl Module for Certificates {
    const NAMES: &'static [&'static str] = &["stx_certificates"];
    const DOC: &'static str = "Fails with every platform certificate that expires within `days`, or has expired.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("certificates", "type, uuid, expiry and days left of each")];
    const EXAMPLE: &'static str = "- name: certificates outlive the upgrade\n  stx_certificates:\n    days: 7";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let words = ["certificate-list", "--nowrap"];
        let unreadable = |source| No::Unreadable { command: "system certificate-list".into(), source };
        let list =
            platform::patiently(host.as_look(), |host| List::parse(&platform::ask(host, &words)?).map_err(unreadable))?;
        // The host's own clock is the one that will refuse them.
        let clock = host.query(&Command::new(["date", "-u", "+%s"]).timeout(Duration::from_secs(10)))?.text();
        let now: i64 =
            clock.trim().parse().map_err(|_| Failure::new(format!("the host's clock says `{}`", clock.trim())))?;
        let (mut seen, mut short) = (Vec::new(), Vec::new());
        for row in list.rows() {
            let kind = row.need("certtype").map_err(unreadable)?;
            let uuid = row.get("uuid").unwrap_or_default();
            let expiry = row.get("expiry_date");
            let left = expiry
                .as_deref()
                .map(|e| {
                    seconds(e).map(|at| (at - now).div_euclid(86_400)).ok_or_else(|| {
                        Failure::new(format!("certificate {kind}: its expiry date `{e}` cannot be read"))
                    })
                })
                .transpose()?;
            if let Some(left) = left.filter(|l| *l < args.days as i64) {
                let when = if left < 0 { "has expired".to_owned() } else { format!("expires in {left} days") };
                short.push(format!("{kind} ({uuid}) {when}, on {}", expiry.as_deref().unwrap_or_default()));
            }
            seen.push(Value::dict(dict! { "type" => kind, "uuid" => uuid, "expiry" => expiry, "days_left" => left }));
        }
        if short.is_empty() {
            return Ok(Outcome::ok()
                .msg(format!("{} certificates, all valid for {} days", seen.len(), args.days))
                .with("certificates", Value::list(seen)));
        }
        Err(Advice::failed(format!("certificates run out: {}", short.join("; ")))
            .safe("yes: nothing was changed")
            .next("renew them now (`system certificate-install`, or cert-manager): nothing renews them during the upgrade")
            .with("certificates", Value::list(seen))
            .into())
    }
}

/// Seconds since 1970 of `2027-03-01T12:00:00[.ffff][+00:00|Z]` or `2027-03-01 12:00:00[…]`, taken as UTC where it has no
/// offset. An hour more or less does not matter to a horizon of days.
fn seconds(stamp: &str) -> Option<i64> {
    let (date, time) = stamp.trim().split_once(['T', ' ']).unwrap_or((stamp.trim(), "00:00:00"));
    let mut parts = date.split('-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut clock = time.get(..8).unwrap_or(time).split(':').map(|p| p.parse::<i64>().ok());
    let (hour, minute, second) =
        (clock.next()??, clock.next().flatten().unwrap_or(0), clock.next().flatten().unwrap_or(0));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by the civil calendar, years beginning in March.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn stamps_become_seconds() {
        assert_eq!(seconds("1970-01-01T00:00:00+00:00"), Some(0));
        assert_eq!(seconds("2000-02-29 12:00:01"), Some(951_825_601));
        assert_eq!(seconds("2026-11-21T08:00:00.123456+00:00"), Some(1_795_248_000));
        assert_eq!(seconds("soon"), None);
    }
}
