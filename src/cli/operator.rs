//! The person at the terminal: who it is, and how it is asked.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::engine::run::Asker;
use crate::report::terminal::Screen;

/// Who drives the run: `ops@jump1`.
pub fn name() -> String {
    format!("{}@{}", user(), machine())
}

/// The login name; the number where there is none.
pub fn user() -> String {
    let named = ["SUDO_USER", "LOGNAME", "USER"].iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
    let uid = nix::unistd::getuid().to_string();
    named.or_else(|| listed(&uid)).unwrap_or(uid)
}

/// The name of a user number in /etc/passwd; a static binary has no other way to look it up.
fn listed(uid: &str) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>());
    lines.find(|f| f.get(2) == Some(&uid)).and_then(|f| f.first().map(|n| (*n).to_owned()))
}

pub fn machine() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |n| n.to_string_lossy().into_owned())
}

/// Asks at the terminal. None where standard input is no terminal: nobody can answer then.
/// `screen` has the terminal's live part, to be taken away meanwhile.
pub fn asker(screen: Option<Screen>) -> Option<Box<dyn Asker>> {
    io::stdin().is_terminal().then(|| Box::new(Terminal(screen)) as Box<dyn Asker>)
}

/// Whether standard error shows colours.
pub fn colored_errors() -> bool {
    crate::report::style::wants_color(|name| std::env::var_os(name), io::stderr().is_terminal())
}

struct Terminal(Option<Screen>);

impl Asker for Terminal {
    fn ask(&self, prompt: &str, echo: bool) -> io::Result<Option<String>> {
        match &self.0 {
            Some(screen) => screen.without(|| ask(prompt, echo)),
            None => ask(prompt, echo),
        }
    }
}

fn ask(prompt: &str, echo: bool) -> io::Result<Option<String>> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let _hidden = if echo { None } else { Hidden::new() };
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    if !echo {
        eprintln!();
    }
    Ok((read > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Switches the terminal's echo off, and on again when dropped.
struct Hidden(nix::sys::termios::Termios);

impl Hidden {
    fn new() -> Option<Hidden> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet).ok()?;
        Some(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = nix::sys::termios::tcsetattr(io::stdin(), nix::sys::termios::SetArg::TCSAFLUSH, &self.0);
    }
}
