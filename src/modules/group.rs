//! `group`: groups of the host, by its own `groupadd`, `groupmod` and `groupdel`; with `local` by those of libuser.

use super::accounts::{self, Group as Found};
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The group.
        name []: String,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Its number.
        gid []: Option<u64>,
        /// A system group, if it is made.
        system []: bool = false,
        /// Its number may be another's too.
        non_unique []: bool = false,
        /// Delete it even if it is somebody's first group.
        force []: bool = false,
        /// Lowest number that a new group may get.
        gid_min []: Option<u64>,
        /// Highest number that a new group may get.
        gid_max []: Option<u64>,
        /// Only the host's own files, with the programs of libuser: for hosts that know groups from elsewhere too.
        local []: bool = false,
    }
}

/// The module `group`.
pub struct Group;

impl Module for Group {
    const NAMES: &'static [&'static str] = &["group", "ansible.builtin.group", "ansible.legacy.group"];
    const DOC: &'static str = "Makes, changes or removes a group.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("name", "The group"), ("gid", "Its number"), ("state", "As asked"), ("system", "As asked")];
    const EXAMPLE: &'static str = "- group:\n    name: somegroup\n    state: present\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.non_unique && args.gid.is_none() {
            return Err(Failure::new("non_unique is True but all of the following are missing: gid"));
        }
        let name = args.name.as_str();
        let not_local =
            [(args.gid_min.is_some(), "gid_min"), (args.gid_max.is_some(), "gid_max"), (args.non_unique, "non_unique")];
        if let Some((_, word)) = not_local.iter().find(|(given, _)| *given && args.local) {
            return Err(failed(name, format!("'{word}' can not be used with 'local'")));
        }
        let tool = |program: &str| format!("{}{program}", if args.local { "l" } else { "" });
        let found = accounts::local_groups(host.as_look())?.into_iter().find(|g| g.name == name);
        let gid = args
            .gid
            .map(|g| u32::try_from(g).map_err(|_| Failure::new(format!("gid: {g} is too large"))))
            .transpose()?;
        let done = |changed: bool, gid: Option<u32>| {
            let o = Outcome::changed(changed)
                .with("name", name)
                .with("state", args.state.word())
                .with("system", args.system);
            Ok(match gid {
                Some(gid) => o.with("gid", gid),
                None => o,
            })
        };
        let unique = |host: &mut dyn Act, gid: u32| -> Result<(), Failure> {
            let other = accounts::local_groups(host.as_look())?.into_iter().find(|g| g.gid == gid && g.name != name);
            match other {
                Some(other) if !args.non_unique => {
                    Err(failed(name, format!("GID '{gid}' already exists with group '{}'", other.name)))
                }
                _ => Ok(()),
            }
        };
        match (args.state, found) {
            (State::Absent, None) => done(false, None),
            (State::Absent, Some(_)) => {
                let program = tool("groupdel");
                let mut argv = vec![program.as_str()];
                argv.extend((args.force && !args.local).then_some("-f"));
                argv.push(name);
                let effect = file_effect(host, |groups| groups.retain(|g| g.name != name))?;
                run(host, name, &argv, &[effect])?;
                done(true, None)
            }
            (State::Present, None) => {
                let taken = accounts::local_groups(host.as_look())?;
                let new = match gid {
                    Some(gid) => gid,
                    None => {
                        let is_taken = |id: u32| taken.iter().any(|g| g.gid == id);
                        let span = args.gid_min.unwrap_or(1000)..=args.gid_max.unwrap_or(60_000);
                        let limited = args.gid_min.is_some() || args.gid_max.is_some();
                        let mut within = span.filter_map(|id| u32::try_from(id).ok()).filter(|id| !is_taken(*id));
                        limited.then(|| within.next()).flatten().unwrap_or_else(|| free_id(args.system, is_taken))
                    }
                };
                unique(host, new)?;
                let number = new.to_string();
                let program = tool("groupadd");
                let mut argv = vec![program.as_str()];
                if gid.is_some() {
                    argv.extend(["-g", number.as_str()]);
                    argv.extend(args.non_unique.then_some("-o"));
                }
                argv.extend(args.system.then_some("-r"));
                let limits: Vec<String> = [("GID_MIN", args.gid_min), ("GID_MAX", args.gid_max)]
                    .iter()
                    .filter_map(|(name, limit)| Some(format!("{name}={}", (*limit)?)))
                    .collect();
                argv.extend(limits.iter().flat_map(|l| ["-K", l]));
                argv.push(name);
                let group = Found { name: name.into(), gid: new, members: Vec::new() };
                let effect = file_effect(host, |groups| groups.push(group))?;
                run(host, name, &argv, &[effect])?;
                let now = accounts::local_groups(host.as_look())?.into_iter().find(|g| g.name == name);
                done(true, now.map(|g| g.gid))
            }
            (State::Present, Some(now)) => {
                let Some(new) = gid.filter(|g| *g != now.gid) else { return done(false, Some(now.gid)) };
                unique(host, new)?;
                let number = new.to_string();
                let program = tool("groupmod");
                let mut argv = vec![program.as_str(), "-g", number.as_str()];
                argv.extend(args.non_unique.then_some("-o"));
                argv.push(name);
                let effect = file_effect(host, |groups| {
                    groups.iter_mut().filter(|g| g.name == name).for_each(|g| g.gid = new);
                })?;
                run(host, name, &argv, &[effect])?;
                done(true, Some(new))
            }
        }
    }
}

fn failed(name: &str, msg: impl Into<String>) -> Failure {
    Failure::Failed(Box::new(Outcome::failed(msg).with("name", name)))
}

fn run(host: &mut dyn Act, name: &str, argv: &[&str], effects: &[Effect]) -> Result<(), Failure> {
    let output = host.run_expecting(&Command::new(argv.iter().copied()), effects)?;
    if output.success() {
        return Ok(());
    }
    Err(failed(name, output.error_text()))
}

/// The number that a new user or group would get.
pub(super) fn free_id(system: bool, taken: impl Fn(u32) -> bool) -> u32 {
    let free = |id: &u32| !taken(*id);
    let found = if system { (100..1000).rev().find(free) } else { (1000..60_000).find(free) };
    found.unwrap_or(65_000)
}

/// `/etc/group` as it would be.
pub(super) fn file_effect(host: &mut dyn Act, change: impl FnOnce(&mut Vec<Found>)) -> Result<Effect, HostError> {
    let mut groups = accounts::local_groups(host.as_look())?;
    change(&mut groups);
    let lines: String = groups.iter().map(|g| format!("{}:x:{}:{}\n", g.name, g.gid, g.members.join(","))).collect();
    Ok(Effect::File { path: "/etc/group".into(), content: lines.into_bytes(), mode: 0o644 })
}
