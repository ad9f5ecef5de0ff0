//! Colours and the terminal's abilities. They mean what they mean in Ansible: green ok, yellow changed, red failed, cyan
//! skipped. Decides nothing about what is shown.

use std::ffi::OsString;

/// SGR parameters of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style(&'static str);

impl Style {
    // Of mistakes.
    pub const ERROR: Style = Style("1;31");
    pub const WARNING: Style = Style("1;33");
    pub const FRAME: Style = Style("1;34");
    pub const BOLD: Style = Style("1");
    // Ansible's defaults.
    pub const OK: Style = Style("0;32");
    pub const CHANGED: Style = Style("0;33");
    pub const SKIP: Style = Style("0;36");
    pub const FAILED: Style = Style("0;31");
    pub const UNREACHABLE: Style = Style("1;31");
    pub const WARN: Style = Style("1;35");
    pub const DEPRECATED: Style = Style("0;35");
    pub const DEBUG: Style = Style("1;30");
    pub const ADDED: Style = Style("0;32");
    pub const REMOVED: Style = Style("0;31");
    pub const HUNK: Style = Style("0;36");
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    color: bool,
}

impl Paint {
    pub fn new(color: bool) -> Paint {
        Paint { color }
    }

    /// The text in this style; each line by itself, so that a pager which shows a part of it keeps its colour.
    pub fn on(self, style: Style, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let line = |l: &str| if l.is_empty() { String::new() } else { format!("\x1b[{}m{l}\x1b[0m", style.0) };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Whether to paint: `NO_COLOR` (not empty) wins, then `CLICOLOR_FORCE` (not 0) and Ansible's own two, then whether the
/// output is a terminal that can. `env` looks a variable up.
pub fn wants_color(env: impl Fn(&str) -> Option<OsString>, terminal: bool) -> bool {
    let set = |name: &str| env(name).is_some_and(|v| !v.is_empty());
    let on = |name: &str| env(name).is_some_and(|v| !matches!(v.to_str(), Some("" | "0" | "no" | "false" | "False")));
    if set("NO_COLOR") || on("ANSIBLE_NOCOLOR") {
        false
    } else if on("CLICOLOR_FORCE") || on("ANSIBLE_FORCE_COLOR") {
        true
    } else {
        terminal && !dumb(env)
    }
}

/// Whether the terminal cannot move its cursor, so that nothing may be drawn in place.
pub fn dumb(env: impl Fn(&str) -> Option<OsString>) -> bool {
    env("TERM").is_none_or(|t| t.is_empty() || t == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_about_color() {
        let wants = |set: &[(&str, &str)], terminal| {
            let set: Vec<(String, String)> = set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            wants_color(|n| set.iter().find(|(m, _)| m == n).map(|(_, v)| v.into()), terminal)
        };
        assert!(wants(&[("TERM", "xterm")], true));
        assert!(!wants(&[("TERM", "dumb")], true));
        assert!(!wants(&[("TERM", "xterm")], false));
        assert!(wants(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!wants(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
        assert!(wants(&[("TERM", "xterm"), ("NO_COLOR", "")], true));
    }

    #[test]
    fn each_line_by_itself() {
        assert_eq!(Paint::new(true).on(Style::OK, "a\n\nb"), "\x1b[0;32ma\x1b[0m\n\n\x1b[0;32mb\x1b[0m");
        assert_eq!(Paint::new(false).on(Style::OK, "a"), "a");
    }
}
