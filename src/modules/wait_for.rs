//! `wait_for`: until a port answers or does not, or a file is there, holds a text, or is gone.

use std::cell::RefCell;
use std::io::Read;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fancy_regex::Regex;

use super::{paths, python_regex};
use crate::action::command::Command;
use crate::action::host::{Act, HostError, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! {
    /// What to wait for.
    pub enum State {
        Absent = "absent",
        Drained = "drained",
        Present = "present",
        Started = "started",
        Stopped = "stopped",
    }
}

arguments! {
    pub struct Args {
        /// Host of the port, seen from this one.
        host []: String = "127.0.0.1",
        /// Seconds until it is given up.
        timeout []: u64 = 300u64,
        /// Seconds for one try to connect.
        connect_timeout []: u64 = 5u64,
        /// Seconds before the first look.
        delay []: u64 = 0u64,
        /// The port.
        port []: Option<u64>,
        /// The file, instead of a port.
        path []: Option<PathBuf>,
        /// Text that the file or what the port sends must hold; `^` and `$` match at every line.
        search_regex []: Option<String>,
        /// `started` or `present`: it is there; `stopped` or `absent`: it is not; `drained`: no connection is left.
        state []: State = State::Started,
        /// Hosts whose connections do not count, for `drained`.
        exclude_hosts []: Option<Vec<String>>,
        /// Connection states that count, for `drained`.
        active_connection_states []: Vec<String> = ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"].map(String::from).to_vec(),
        /// Seconds between looks, at most.
        sleep []: u64 = 1u64,
        /// What to say when it is given up.
        msg []: Option<String>,
    }
    rules [Exclusive(&["port", "path"])]
}

/// The module `wait_for`.
pub struct WaitFor;

impl Module for WaitFor {
    const NAMES: &'static [&'static str] = &["wait_for", "ansible.builtin.wait_for", "ansible.legacy.wait_for"];
    const DOC: &'static str = "Waits until a port or file is there, or gone. Without either it waits for `timeout` seconds.\n\
        In a check run time does not pass: what is not there at once is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("elapsed", "Seconds that it took"),
        ("match_groups", "Groups of `search_regex`"),
        ("match_groupdict", "Named groups of `search_regex`"),
    ];
    const EXAMPLE: &'static str = "- wait_for:\n    port: 8000\n    delay: 10\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let elapsed = |o: Outcome| o.with("elapsed", started.elapsed().as_secs());
        run(&args, host, started).map_err(|failure| match failure {
            Failure::Failed(outcome) => Failure::Failed(Box::new(elapsed(*outcome))),
            other => other,
        })
    }
}

fn run(args: &Args, host: &mut dyn Act, started: Instant) -> Result<Outcome, Failure> {
    let path = args.path.as_deref().map(|p| paths::expand(host.as_look(), p)).transpose()?;
    let shown = path.as_ref().map(|p| p.display().to_string());
    if path.is_some() && matches!(args.state, State::Stopped | State::Drained) {
        let state = args.state.word();
        return Err(Failure::new(format!(
            "state={state} should only be used for checking a port in the wait_for module"
        )));
    }
    if args.exclude_hosts.is_some() && args.state != State::Drained {
        return Err(Failure::new("exclude_hosts should only be with state=drained"));
    }
    let regex =
        args.search_regex.as_deref().map(|r| python_regex::compile(r, "m")).transpose().map_err(Failure::new)?;
    if args.delay > 0 {
        pause(host, args.delay)?;
    }
    let budget = Duration::from_secs(args.timeout).saturating_sub(started.elapsed());
    let goal = Goal { args, path, regex, groups: RefCell::new((Value::list(Vec::new()), Dict::new())) };
    if args.port.is_none() && goal.path.is_none() && args.state != State::Drained {
        pause(host, args.timeout)?;
    } else {
        let wait = Wait::new(goal.reason(), budget).at_most_every(Duration::from_secs(args.sleep.max(1)));
        wait.until(host.as_look(), |host| goal.look(host)).map_err(|e| match e {
            WaitError::TimedOut { .. } => Failure::new(args.msg.clone().unwrap_or_else(|| goal.timed_out())),
            other => other.into(),
        })?;
    }
    let (groups, named) = goal.groups.into_inner();
    Ok(Outcome::ok()
        .with("state", args.state.word())
        .with("port", args.port)
        .with("path", shown)
        .with("search_regex", args.search_regex.clone())
        .with("match_groups", groups)
        .with("match_groupdict", named)
        .with("elapsed", started.elapsed().as_secs()))
}

/// Sleeps; where time does not pass, there is nothing to wait for.
fn pause(host: &mut dyn Act, seconds: u64) -> Result<(), HostError> {
    match host.sleep(Duration::from_secs(seconds)) {
        Err(HostError::NotKnowable(_)) => Ok(()),
        done => done,
    }
}

struct Goal<'a> {
    args: &'a Args,
    path: Option<PathBuf>,
    regex: Option<Regex>,
    groups: RefCell<(Value, Dict)>,
}

impl Goal<'_> {
    fn place(&self) -> String {
        match (&self.path, self.args.port) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(port)) => format!("{}:{port}", self.args.host),
            (None, None) => self.args.host.clone(),
        }
    }

    fn reason(&self) -> String {
        format!("{} {}", self.place(), self.args.state.word())
    }

    fn timed_out(&self) -> String {
        let place = self.place();
        let what = self.args.search_regex.as_deref();
        match (self.args.state, what, self.path.is_some()) {
            (State::Absent | State::Stopped, _, true) => format!("Timeout when waiting for {place} to be absent."),
            (State::Absent | State::Stopped, _, false) => format!("Timeout when waiting for {place} to stop."),
            (State::Drained, ..) => format!("Timeout when waiting for {place} to drain"),
            (_, Some(regex), _) => format!("Timeout when waiting for search string {regex} in {place}"),
            (_, None, true) => format!("Timeout when waiting for file {place}"),
            (_, None, false) => format!("Timeout when waiting for {place}"),
        }
    }

    fn look(&self, host: &mut dyn Look) -> Result<Sight<()>, HostError> {
        let gone = matches!(self.args.state, State::Absent | State::Stopped);
        if self.args.state == State::Drained {
            let left = connections(host, self.args)?;
            return Ok(if left == 0 { Sight::Done(()) } else { Sight::NotYet(format!("{left} connections")) });
        }
        let seen = match (&self.path, self.args.port) {
            (Some(path), _) => self.file(host, path)?,
            (None, port) => self.port(host, port.unwrap_or_default())?,
        };
        Ok(match (seen, gone) {
            (Ok(()), false) | (Err(_), true) => Sight::Done(()),
            (Ok(()), true) => Sight::NotYet("it is there".into()),
            (Err(why), false) => Sight::NotYet(why),
        })
    }

    /// Whether the file is there and holds the text; if not, what was seen instead.
    fn file(&self, host: &mut dyn Look, path: &std::path::Path) -> Result<Result<(), String>, HostError> {
        if host.stat(path, true)?.is_none() {
            return Ok(Err("no such file".into()));
        }
        let gone = self.args.state == State::Absent;
        let Some(regex) = self.regex.as_ref().filter(|_| !gone) else { return Ok(Ok(())) };
        let content = match host.read(path) {
            Ok(content) => content,
            Err(e @ (HostError::Cancelled | HostError::Deadline { .. })) => return Err(e),
            Err(e) => return Ok(Err(e.to_string())),
        };
        Ok(if self.find(regex, &content) { Ok(()) } else { Err("the text is not in it".into()) })
    }

    fn find(&self, regex: &Regex, content: &[u8]) -> bool {
        let text = python_regex::to_text(content);
        let Ok(Some(found)) = regex.captures(text.as_str()) else { return false };
        let value = |m: Option<fancy_regex::Match<'_>>| m.map_or(Value::Null, |m| Value::str(m.as_str()));
        let groups = (1..found.len()).map(|i| value(found.get(i))).collect();
        let names = regex.capture_names().flatten();
        let named = names.map(|n| (Key::from(n), value(found.name(n)))).collect();
        *self.groups.borrow_mut() = (groups, named);
        true
    }

    /// Whether the port answers and sends the text; if not, why.
    fn port(&self, host: &mut dyn Look, port: u64) -> Result<Result<(), String>, HostError> {
        let Ok(port) = u16::try_from(port) else { return Ok(Err(format!("{port} is no port"))) };
        let limit = Duration::from_secs(self.args.connect_timeout.max(1)).min(host.time_left());
        let mut stream = match connect(host, &self.args.host, port, limit)? {
            Ok(stream) => stream,
            Err(why) => return Ok(Err(why)),
        };
        let gone = matches!(self.args.state, State::Absent | State::Stopped);
        let Some(regex) = self.regex.as_ref().filter(|_| !gone) else {
            let _ = stream.shutdown(Shutdown::Both);
            return Ok(Ok(()));
        };
        let end = Instant::now() + limit;
        let mut content = Vec::new();
        let mut buffer = [0u8; 4096];
        let _ = stream.set_read_timeout(Some(Duration::from_millis(250)));
        while Instant::now() < end && content.len() < 1 << 20 {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => content.extend_from_slice(&buffer[..n]),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            if self.find(regex, &content) {
                return Ok(Ok(()));
            }
        }
        Ok(Err("it answers, but the text did not come".into()))
    }
}

/// Connects to a name or address. Names are looked up by the host's `getent`: a static program has no other way than
/// its own resolver, which knows no name services.
fn connect(
    host: &mut dyn Look,
    name: &str,
    port: u16,
    limit: Duration,
) -> Result<Result<TcpStream, String>, HostError> {
    let mut addresses: Vec<std::net::SocketAddr> = Vec::new();
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        addresses.push((address, port).into());
    } else {
        match host.query(&Command::new(["getent", "ahosts", name])) {
            Ok(found) => {
                let text = found.text();
                let ips = text.lines().filter_map(|l| l.split_whitespace().next()?.parse::<std::net::IpAddr>().ok());
                addresses.extend(ips.map(|ip| std::net::SocketAddr::from((ip, port))));
                addresses.dedup();
            }
            Err(HostError::NoProgram(_)) => addresses.extend((name, port).to_socket_addrs().into_iter().flatten()),
            Err(e) => return Err(e),
        }
    }
    let mut why = format!("the name {name} is not known");
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit.max(Duration::from_millis(10))) {
            Ok(stream) => return Ok(Ok(stream)),
            Err(e) => why = e.to_string(),
        }
    }
    Ok(Err(why))
}

/// How many connections to the port are in one of the states that count.
fn connections(host: &mut dyn Look, args: &Args) -> Result<usize, HostError> {
    const STATES: [&str; 11] = [
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    let wanted: Vec<usize> = args
        .active_connection_states
        .iter()
        .filter_map(|s| STATES.iter().position(|k| k == s).map(|i| i + 1))
        .collect();
    let any = matches!(args.host.as_str(), "0.0.0.0" | "::" | "");
    let mut count = 0;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(table) = host.read(table.as_ref()) else { continue };
        for line in String::from_utf8_lossy(&table).lines().skip(1) {
            let f: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, state, ..] = f.as_slice() else { continue };
            let (Some(local), Some(remote)) = (endpoint(local), endpoint(remote)) else { continue };
            let state = usize::from_str_radix(state, 16).unwrap_or(0);
            let ours = any || local.0.to_string() == args.host;
            let excluded = args.exclude_hosts.as_ref().is_some_and(|e| e.contains(&remote.0.to_string()));
            if ours && !excluded && wanted.contains(&state) && args.port.is_none_or(|p| p == u64::from(local.1)) {
                count += 1;
            }
        }
    }
    Ok(count)
}

/// `0100007F:1F90` of the kernel's tables; an IPv4 address in IPv6's form is the IPv4 address.
fn endpoint(text: &str) -> Option<(std::net::IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("0100007F:1F90").unwrap(), ([127, 0, 0, 1].into(), 8080));
        let mapped = "0000000000000000FFFF00000100007F:0016";
        assert_eq!(endpoint(mapped).unwrap(), ([127, 0, 0, 1].into(), 22));
    }
}
