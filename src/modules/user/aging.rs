//! `user`: what the shadow file tells of an account, and how long its password holds. Where the file may not be read, nothing
//! is known, and what is asked for is set.

use super::{Args, run, tool};
use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::Failure;

/// An account's line of the shadow file.
pub(super) struct Shadow(Vec<String>);

impl Shadow {
    pub(super) fn read(host: &mut dyn Act, name: &str) -> Option<Shadow> {
        let shadow = host.read("/etc/shadow".as_ref()).ok()?;
        let text = String::from_utf8_lossy(&shadow);
        let fields = text.lines().map(|l| l.split(':')).find(|l| l.clone().next() == Some(name))?;
        Some(Shadow(fields.map(str::to_owned).collect()))
    }

    pub(super) fn hash(&self) -> &str {
        self.0.get(1).map_or("", String::as_str)
    }

    fn number(&self, field: usize) -> Option<i64> {
        self.0.get(field)?.parse().ok()
    }

    /// Whether an account expires on another day, counted from 1970, than is asked for. Of one without a line nothing is
    /// set yet: it gets one.
    pub(super) fn expires_otherwise(shadow: Option<&Shadow>, day: Option<i64>) -> bool {
        shadow.is_none_or(|line| line.number(7) != day)
    }
}

/// A day as `useradd -e` takes it; empty for never.
pub(super) fn expiry(seconds: f64) -> String {
    if seconds < 0.0 {
        return String::new();
    }
    jiff::Timestamp::from_second(seconds as i64).map_or(String::new(), |t| t.strftime("%Y-%m-%d").to_string())
}

/// The same as `lchage -E` takes it: the day's number.
pub(super) fn expiry_day(seconds: f64) -> i64 {
    if seconds < 0.0 { -1 } else { (seconds / 86_400.0) as i64 }
}

/// Sets the days that a password holds where they are others: whether they were.
pub(super) fn set(args: &Args, host: &mut dyn Act) -> Result<bool, Failure> {
    let now = Shadow::read(host, &args.name);
    let wanted = [
        ("-m", args.password_expire_min, 3),
        ("-M", args.password_expire_max, 4),
        ("-W", args.password_expire_warn, 5),
        ("-I", args.password_expire_account_disable, 6),
    ];
    let mut argv = vec![tool(args, "chage")];
    for (flag, days, field) in wanted {
        let Some(days) = days else { continue };
        // An empty field is what -1 makes of it.
        let has = now.as_ref().map(|s| s.number(field).unwrap_or(-1));
        if has != Some(days) {
            argv.extend([flag.to_owned(), days.to_string()]);
        }
    }
    if argv.len() == 1 {
        return Ok(false);
    }
    argv.push(args.name.clone());
    run(host, &args.name, &Command::new(argv), &[])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_expiry() {
        let line = |text: &str| Shadow(text.split(':').map(str::to_owned).collect());
        let differs = |text: &str, day| Shadow::expires_otherwise(Some(&line(text)), day);
        assert!(!differs("a:!:1:0:9:7:::", None));
        assert!(!differs("a:!:1:0:9:7::18:", Some(18)));
        assert!(differs("a:!:1:0:9:7::18:", None));
        assert!(Shadow::expires_otherwise(None, None));
    }
}
