//! `user`: accounts of the host, by its own `useradd`, `usermod` and `userdel`; with `local` by those of libuser, which leave
//! central databases alone.

mod aging;
mod keys;
mod password;

use std::path::PathBuf;

use aging::{Shadow, expiry};

use super::accounts::{self, User as Found};
use super::group::{file_effect, free_id};
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module, UserOf};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }
choices! {
    /// When the password is set.
    pub enum Update { Always = "always", OnCreate = "on_create" }
}

arguments! {
    pub struct Args {
        /// The account.
        name ["user"]: String,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Its number.
        uid []: Option<u64>,
        /// Its number may be another's too.
        non_unique []: bool = false,
        /// Its full name.
        comment []: Option<String>,
        /// Its first group.
        group []: Option<String>,
        /// Its other groups; an empty list takes it out of all.
        groups []: Option<Vec<String>>,
        /// Add to the groups it has.
        append []: bool = false,
        /// Its shell.
        shell []: Option<String>,
        /// Its home directory.
        home []: Option<String>,
        /// Directory whose content a new home gets.
        skeleton []: Option<String>,
        /// The hash of its password, as `password_hash` gives it.
        password []: Option<Secret>,
        /// Set the password also of an account that exists, or only of a new one.
        update_password []: Update = Update::Always,
        /// Lock or unlock the password.
        password_lock []: Option<bool>,
        /// Make its home directory.
        create_home ["createhome"]: bool = true,
        /// Take the home directory along to a new `home`.
        move_home []: bool = false,
        /// A system account, if it is made.
        system []: bool = false,
        /// Remove it though it is logged in.
        force []: bool = false,
        /// Remove its home directory too.
        remove []: bool = false,
        /// When it expires, in seconds since 1970; negative never.
        expires []: Option<f64>,
        /// Make an SSH key for it.
        generate_ssh_key []: bool = false,
        /// Bits of the key; by its type if not given.
        ssh_key_bits []: Option<u64>,
        /// Type of the key.
        ssh_key_type []: String = "rsa",
        /// File of the key, in its home if relative.
        ssh_key_file []: Option<PathBuf>,
        /// Comment of the key.
        ssh_key_comment []: Option<String>,
        /// Passphrase of the key, if it is made.
        ssh_key_passphrase []: Option<Secret>,
        /// Days that a password holds at most.
        password_expire_max []: Option<i64>,
        /// Days before it may be changed again.
        password_expire_min []: Option<i64>,
        /// Days of warning before it ends.
        password_expire_warn []: Option<i64>,
        /// Days after its end until the account is disabled.
        password_expire_account_disable []: Option<i64>,
        /// Umask that its new home directory is made with.
        umask []: Option<String>,
        /// Lowest number that a new account may get.
        uid_min []: Option<u64>,
        /// Highest number that a new account may get.
        uid_max []: Option<u64>,
        /// Its user of SELinux, as `staff_u`, if it is made.
        seuser []: Option<String>,
        /// Only the host's own files, with the programs of libuser: for hosts that know users from elsewhere too.
        local []: bool = false,
    }
}

/// The module `user`.
pub struct User;

impl Module for User {
    const NAMES: &'static [&'static str] = &["user", "ansible.builtin.user", "ansible.legacy.user"];
    const DOC: &'static str = "Makes, changes or removes a user account.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("name", "The account"),
        ("uid", "Its number"),
        ("group", "Number of its first group"),
        ("home", "Its home directory"),
        ("shell", "Its shell"),
        ("comment", "Its full name"),
        ("ssh_public_key", "The public key, if one was asked for"),
    ];
    const EXAMPLE: &'static str = "- user:\n    name: johnd\n    comment: John Doe\n    uid: 1040\n    group: admin\n";
    const VACATES: Option<UserOf<Args>> = Some(|args| (args.state == State::Absent).then(|| args.name.clone()));
    type Args = Args;

    fn run(mut args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        for path in [&mut args.shell, &mut args.home].into_iter().flatten() {
            *path = super::paths::expand_text(host.as_look(), path)?;
        }
        let given_groups = args.groups.as_ref().map(|groups| groups.join(","));
        for group in args.groups.iter_mut().flatten().filter(|g| g.parse::<u32>().is_ok()) {
            // The files name members by groups' names.
            if let Some(found) = accounts::group(host.as_look(), group)? {
                *group = found.name;
            }
        }
        let not_local = [
            (args.umask.is_some(), "umask"),
            (args.uid_min.is_some(), "uid_min"),
            (args.uid_max.is_some(), "uid_max"),
            (args.non_unique, "non_unique"),
            (args.seuser.is_some(), "seuser"),
        ];
        if let Some((_, word)) = not_local.iter().find(|(given, _)| *given && args.local) {
            return Err(failed(&args.name, format!("'{word}' can not be used with 'local'")));
        }
        let found = local(host, &args.name)?;
        let mut created = false;
        let mut changed = match (args.state, found) {
            (State::Absent, None) => false,
            (State::Absent, Some(now)) => {
                remove(&args, &now, host)?;
                true
            }
            (State::Present, None) => {
                create(&args, host)?;
                created = true;
                true
            }
            (State::Present, Some(now)) => modify(&args, &now, host)?,
        };
        let mut outcome = Outcome::ok().with("name", args.name.as_str()).with("state", args.state.word());
        if args.state == State::Absent {
            outcome.changed = changed;
            return Ok(outcome.with("force", args.force).with("remove", args.remove));
        }
        changed |= aging::set(&args, host)?;
        if let Some(now) = local(host, &args.name)? {
            outcome = outcome
                .with("uid", now.uid)
                .with("group", now.gid)
                .with("comment", now.comment.as_str())
                .with("home", now.home.as_str())
                .with("shell", now.shell.as_str());
            if args.generate_ssh_key {
                let (made, key, file) = keys::ssh_key(&args, &now, host)?;
                changed |= made;
                outcome = outcome.with("ssh_key_file", file).with("ssh_public_key", key);
            }
        }
        match given_groups {
            Some(groups) => outcome = outcome.with("groups", groups),
            None if args.append => outcome.warnings.push(APPENDED_TO_NOTHING.to_owned()),
            None => {}
        }
        if let Some(password) = &args.password {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
            outcome.warnings.extend(password::warning(password.reveal()).map(str::to_owned));
        }
        outcome.changed = changed;
        Ok(match created {
            true => outcome.with("create_home", args.create_home).with("system", args.system),
            false => outcome.with("append", args.append).with("move_home", args.move_home),
        })
    }
}

/// Said in Ansible's words.
const APPENDED_TO_NOTHING: &str =
    "'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups.";

fn local(host: &mut dyn Act, name: &str) -> Result<Option<Found>, HostError> {
    Ok(accounts::local_users(host.as_look())?.into_iter().find(|u| u.name == name))
}

/// The program for it: that of libuser for local accounts.
fn tool(args: &Args, program: &str) -> String {
    format!("{}{program}", if args.local { "l" } else { "" })
}

fn failed(name: &str, msg: impl Into<String>) -> Failure {
    Failure::Failed(Box::new(Outcome::failed(msg).with("name", name)))
}

fn run(host: &mut dyn Act, name: &str, command: &Command, effects: &[Effect]) -> Result<(), Failure> {
    let output = host.run_expecting(command, effects)?;
    if output.success() {
        return Ok(());
    }
    let mut outcome = Outcome::failed(output.error_text()).with("name", name).with("rc", output.rc);
    if outcome.msg.is_empty() {
        outcome.msg = format!("`{}` failed", command.argv[0]);
    }
    Err(Failure::Failed(Box::new(outcome)))
}

/// `/etc/passwd` as it would be.
fn passwd(host: &mut dyn Act, change: impl FnOnce(&mut Vec<Found>)) -> Result<Effect, HostError> {
    let mut users = accounts::local_users(host.as_look())?;
    change(&mut users);
    let line =
        |u: &Found| format!("{}:{}:{}:{}:{}:{}:{}\n", u.name, u.password, u.uid, u.gid, u.comment, u.home, u.shell);
    let content = users.iter().map(line).collect::<String>().into_bytes();
    Ok(Effect::File { path: "/etc/passwd".into(), content, mode: 0o644 })
}

fn uid_of(args: &Args) -> Result<Option<u32>, Failure> {
    args.uid.map(|u| u32::try_from(u).map_err(|_| Failure::new(format!("uid: {u} is too large")))).transpose()
}

/// The number of a group that must exist.
fn group_id(host: &mut dyn Act, args: &Args, group: &str) -> Result<u32, Failure> {
    let found = accounts::group(host.as_look(), group)?;
    found.map(|g| g.gid).ok_or_else(|| failed(&args.name, format!("Group {group} does not exist")))
}

fn create(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let name = args.name.as_str();
    let users = accounts::local_users(host.as_look())?;
    let uid = uid_of(args)?;
    let mut argv = vec![tool(args, "useradd")];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|w| (*w).to_owned()));
    if let Some(uid) = uid {
        add(&["-u", &uid.to_string()]);
        if args.non_unique {
            add(&["-o"]);
        }
    }
    let taken = |id: u32| users.iter().any(|u| u.uid == id);
    let limited = match (args.uid_min, args.uid_max) {
        (None, None) => None,
        (min, max) => {
            let (min, max) = (min.unwrap_or(1000), max.unwrap_or(60_000));
            (min..=max).filter_map(|id| u32::try_from(id).ok()).find(|id| !taken(*id))
        }
    };
    let new_uid = uid.or(limited).unwrap_or_else(|| free_id(args.system, taken));
    let mut effects = Vec::new();
    let own_group = accounts::local_groups(host.as_look())?.iter().any(|g| g.name == name);
    let gid = match &args.group {
        Some(group) => {
            let gid = group_id(host, args, group)?;
            add(&["-g", group]);
            gid
        }
        None if own_group => {
            // Its group is there already: useradd must not try to make it.
            add(&[if args.local { "-n" } else { "-N" }]);
            100
        }
        None => new_uid,
    };
    let others = args.groups.clone().unwrap_or_default();
    for group in &others {
        group_id(host, args, group)?;
    }
    if !others.is_empty() && !args.local {
        add(&["-G", &others.join(",")]);
    }
    effects.push(file_effect(host, |groups| {
        if args.group.is_none() && !own_group {
            groups.push(accounts::Group { name: name.into(), gid, members: Vec::new() });
        }
        for group in groups.iter_mut().filter(|g| others.contains(&g.name)) {
            group.members.push(name.into());
        }
    })?);
    if let Some(comment) = &args.comment {
        add(&["-c", comment]);
    }
    if let Some(home) = &args.home {
        add(&["-d", home]);
    }
    if let Some(shell) = &args.shell {
        add(&["-s", shell]);
    }
    if let Some(seconds) = args.expires.filter(|_| !args.local) {
        add(&["-e", &expiry(seconds)]);
    }
    if let Some(seuser) = &args.seuser {
        add(&["-Z", seuser]);
    }
    for (name, limit) in [("UID_MIN", args.uid_min), ("UID_MAX", args.uid_max)] {
        if let Some(limit) = limit {
            add(&["-K", &format!("{name}={limit}")]);
        }
    }
    if args.create_home {
        if !args.local {
            add(&["-m"]);
        }
        if let Some(umask) = &args.umask {
            add(&["-K", &format!("UMASK={umask}")]);
        }
        if let Some(skeleton) = &args.skeleton {
            add(&["-k", skeleton]);
        }
    } else {
        add(&["-M"]);
    }
    if args.system {
        add(&["-r"]);
    }
    add(&[name]);
    let home = args.home.clone().unwrap_or_else(|| format!("/home/{name}"));
    if args.create_home {
        effects.push(Effect::Dir { path: home.clone().into(), mode: 0o755, uid: new_uid, gid });
    }
    let user = Found {
        name: name.into(),
        password: "x".into(),
        uid: new_uid,
        gid,
        comment: args.comment.clone().unwrap_or_default(),
        home,
        shell: args.shell.clone().unwrap_or_else(|| "/bin/sh".into()),
    };
    effects.push(passwd(host, |users| users.push(user))?);
    run(host, name, &Command::new(argv), &effects)?;
    if args.local {
        if let Some(seconds) = args.expires {
            expire_locally(args, seconds, host)?;
        }
        for group in &others {
            run(host, name, &Command::new(["lgroupmod", "-M", name, group]), &[])?;
        }
    }
    if let Some(password) = &args.password {
        set_password(args, password, host)?;
    } else if args.password_lock == Some(true) {
        run(host, name, &Command::new([&tool(args, "usermod"), "-L", name]), &[])?;
    }
    Ok(())
}

fn expire_locally(args: &Args, seconds: f64, host: &mut dyn Act) -> Result<(), Failure> {
    let day = aging::expiry_day(seconds).to_string();
    run(host, &args.name, &Command::new(["lchage", "-E", &day, &args.name]), &[])
}

/// Through standard input: an argument could be seen in the process list.
fn set_password(args: &Args, hash: &Secret, host: &mut dyn Act) -> Result<(), Failure> {
    let name = args.name.as_str();
    if hash.reveal().contains(['\n', ':']) {
        return Err(failed(name, "password: it is the hash that is needed, as `password_hash('sha512')` gives it"));
    }
    // Locked and set at once: a new hash alone would unlock the account.
    let lock = if args.password_lock == Some(true) && !hash.reveal().starts_with('!') { "!" } else { "" };
    let command = Command::new(["chpasswd", "-e"]).stdin(format!("{name}:{lock}{}\n", hash.reveal()));
    run(host, name, &command, &[])
}

fn modify(args: &Args, now: &Found, host: &mut dyn Act) -> Result<bool, Failure> {
    let name = args.name.as_str();
    let mut argv = vec![tool(args, "usermod")];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|w| (*w).to_owned()));
    let mut new = now.clone();
    if let Some(uid) = uid_of(args)?.filter(|u| *u != now.uid) {
        add(&["-u", &uid.to_string()]);
        if args.non_unique {
            add(&["-o"]);
        }
        new.uid = uid;
    }
    if let Some(group) = &args.group {
        let gid = group_id(host, args, group)?;
        if gid != now.gid {
            add(&["-g", &gid.to_string()]);
            new.gid = gid;
        }
    }
    let mut groups = None;
    let mut by_group = Vec::new();
    if let Some(wanted) = &args.groups {
        for group in wanted {
            group_id(host, args, group)?;
        }
        let have: Vec<String> = accounts::local_groups(host.as_look())?
            .into_iter()
            .filter(|g| g.members.iter().any(|m| m == name))
            .map(|g| g.name)
            .collect();
        let lacks = wanted.iter().any(|g| !have.contains(g));
        let extra = have.iter().any(|g| !wanted.contains(g));
        if lacks || extra && !args.append {
            if args.local {
                let lacking = wanted.iter().filter(|g| !have.contains(g)).map(|g| ("-M", g.clone()));
                let left = have.iter().filter(|g| !args.append && !wanted.contains(g)).map(|g| ("-m", g.clone()));
                by_group = lacking.chain(left).collect();
            } else {
                add(if args.append { &["-a", "-G"] } else { &["-G"] });
                add(&[&wanted.join(",")]);
            }
            groups = Some(if args.append { [have, wanted.clone()].concat() } else { wanted.clone() });
        }
    }
    if let Some(comment) = args.comment.as_ref().filter(|c| **c != now.comment) {
        add(&["-c", comment]);
        new.comment.clone_from(comment);
    }
    let mut moved = None;
    if let Some(home) = args.home.as_ref().filter(|h| **h != now.home) {
        add(&["-d", home]);
        if args.move_home {
            add(&["-m"]);
            moved = Some(Effect::Dir { path: home.into(), mode: 0o755, uid: new.uid, gid: new.gid });
        }
        new.home.clone_from(home);
    }
    if let Some(shell) = args.shell.as_ref().filter(|s| **s != now.shell) {
        add(&["-s", shell]);
        new.shell.clone_from(shell);
    }
    let shadow = Shadow::read(host, name);
    let mut expire = None;
    if let Some(seconds) = args.expires {
        let day = if seconds < 0.0 { None } else { Some((seconds / 86_400.0) as i64) };
        if Shadow::expires_otherwise(shadow.as_ref(), day) {
            match args.local {
                true => expire = Some(seconds),
                false => add(&["-e", &expiry(seconds)]),
            }
        }
    }
    let hash = shadow.as_ref().map(Shadow::hash);
    let password = args.password.as_ref().filter(|p| {
        let bare = |h: &str| h.trim_start_matches('!').to_owned();
        args.update_password == Update::Always && hash.is_none_or(|h| bare(h) != bare(p.reveal()))
    });
    let locked = hash.is_some_and(|h| h.starts_with('!'));
    if let Some(lock) = args.password_lock.filter(|l| *l != locked && password.is_none()) {
        add(&[if lock { "-L" } else { "-U" }]);
    }
    let mut changed = false;
    if let Some(seconds) = expire {
        expire_locally(args, seconds, host)?;
        changed = true;
    }
    if argv.len() > 1 || !by_group.is_empty() {
        argv.push(name.to_owned());
        let mut effects: Vec<Effect> = moved.into_iter().collect();
        if let Some(groups) = groups {
            effects.push(file_effect(host, |all| {
                for group in all {
                    group.members.retain(|m| m != name);
                    if groups.contains(&group.name) {
                        group.members.push(name.into());
                    }
                }
            })?);
        }
        effects.push(passwd(host, |users| users.iter_mut().filter(|u| u.name == name).for_each(|u| *u = new.clone()))?);
        let mut commands: Vec<Command> = (argv.len() > 2).then(|| Command::new(argv)).into_iter().collect();
        commands.extend(by_group.iter().map(|(flag, group)| Command::new(["lgroupmod", *flag, name, group])));
        for command in commands {
            run(host, name, &command, &effects)?;
        }
        changed = true;
    }
    if let Some(password) = password {
        set_password(args, password, host)?;
        changed = true;
    }
    let home = PathBuf::from(&new.home);
    if args.create_home && host.stat(&home, true)?.is_none() {
        host.make_dir(&home, Some(0o755))?;
        host.set_owner(&home, Some(new.uid), Some(new.gid))?;
        changed = true;
    }
    Ok(changed)
}

fn remove(args: &Args, now: &Found, host: &mut dyn Act) -> Result<(), Failure> {
    let name = args.name.as_str();
    let mut argv = vec![tool(args, "userdel")];
    // libuser's has no such flag.
    argv.extend((args.force && !args.local).then(|| "-f".to_owned()));
    argv.extend(args.remove.then(|| "-r".to_owned()));
    argv.push(name.to_owned());
    let mut effects = vec![
        passwd(host, |users| users.retain(|u| u.name != name))?,
        file_effect(host, |groups| {
            groups.retain(|g| g.name != name || g.gid != now.gid || !g.members.is_empty());
            groups.iter_mut().for_each(|g| g.members.retain(|m| m != name));
        })?,
    ];
    if args.remove {
        effects.push(Effect::Gone(now.home.clone().into()));
    }
    run(host, name, &Command::new(argv), &effects)
}
