//! `user`: accounts of the host, by its own `useradd`, `usermod` and `userdel`.

use std::path::PathBuf;

use super::accounts::{self, User as Found};
use super::group::{file_effect, free_id};
use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
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
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
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
        if let Some(now) = local(host, &args.name)? {
            outcome = outcome
                .with("uid", now.uid)
                .with("group", now.gid)
                .with("comment", now.comment.as_str())
                .with("home", now.home.as_str())
                .with("shell", now.shell.as_str());
            if args.generate_ssh_key {
                let (made, key, file) = ssh_key(&args, &now, host)?;
                changed |= made;
                outcome = outcome.with("ssh_key_file", file).with("ssh_public_key", key);
            }
        }
        if let Some(groups) = &args.groups {
            outcome = outcome.with("groups", groups.join(","));
        }
        if args.password.is_some() {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
        }
        outcome.changed = changed;
        Ok(match created {
            true => outcome.with("create_home", args.create_home).with("system", args.system),
            false => outcome.with("append", args.append).with("move_home", args.move_home),
        })
    }
}

fn local(host: &mut dyn Act, name: &str) -> Result<Option<Found>, HostError> {
    Ok(accounts::local_users(host.as_look())?.into_iter().find(|u| u.name == name))
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

/// A day as `useradd -e` takes it; empty for never.
fn expiry(seconds: f64) -> String {
    if seconds < 0.0 {
        return String::new();
    }
    jiff::Timestamp::from_second(seconds as i64).map_or(String::new(), |t| t.strftime("%Y-%m-%d").to_string())
}

fn create(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let name = args.name.as_str();
    let users = accounts::local_users(host.as_look())?;
    let uid = uid_of(args)?;
    let mut argv = vec!["useradd".to_owned()];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|w| (*w).to_owned()));
    if let Some(uid) = uid {
        add(&["-u", &uid.to_string()]);
        if args.non_unique {
            add(&["-o"]);
        }
    }
    let new_uid = uid.unwrap_or_else(|| free_id(args.system, |id| users.iter().any(|u| u.uid == id)));
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
            add(&["-N"]);
            100
        }
        None => new_uid,
    };
    let others = args.groups.clone().unwrap_or_default();
    for group in &others {
        group_id(host, args, group)?;
    }
    if !others.is_empty() {
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
    if let Some(seconds) = args.expires {
        add(&["-e", &expiry(seconds)]);
    }
    if args.create_home {
        add(&["-m"]);
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
    if let Some(password) = &args.password {
        set_password(host, name, password)?;
    }
    if args.password_lock == Some(true) {
        run(host, name, &Command::new(["usermod", "-L", name]), &[])?;
    }
    Ok(())
}

/// Through standard input: an argument could be seen in the process list.
fn set_password(host: &mut dyn Act, name: &str, hash: &Secret) -> Result<(), Failure> {
    if hash.reveal().contains(['\n', ':']) {
        return Err(failed(name, "password: it is the hash that is needed, as `password_hash('sha512')` gives it"));
    }
    let command = Command::new(["chpasswd", "-e"]).stdin(format!("{name}:{}\n", hash.reveal()));
    run(host, name, &command, &[])
}

/// The password field of the shadow file; none where it may not be read.
fn shadow(host: &mut dyn Act, name: &str) -> Option<String> {
    let shadow = host.read("/etc/shadow".as_ref()).ok()?;
    let text = String::from_utf8_lossy(&shadow).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').next().map(str::to_owned)
}

fn modify(args: &Args, now: &Found, host: &mut dyn Act) -> Result<bool, Failure> {
    let name = args.name.as_str();
    let mut argv = vec!["usermod".to_owned()];
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
            if args.append {
                add(&["-a"]);
            }
            add(&["-G", &wanted.join(",")]);
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
    if let Some(seconds) = args.expires {
        let day = if seconds < 0.0 { None } else { Some((seconds / 86_400.0) as i64) };
        if expires_on(host, name) != day {
            add(&["-e", &expiry(seconds)]);
        }
    }
    let hash = shadow(host, name);
    let locked = hash.as_ref().is_some_and(|h| h.starts_with('!'));
    if let Some(lock) = args.password_lock.filter(|l| *l != locked) {
        add(&[if lock { "-L" } else { "-U" }]);
    }
    let mut changed = false;
    if argv.len() > 1 {
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
        run(host, name, &Command::new(argv), &effects)?;
        changed = true;
    }
    if let Some(password) = args.password.as_ref().filter(|_| args.update_password == Update::Always)
        && hash.as_deref().is_none_or(|h| h.trim_start_matches('!') != password.reveal().trim_start_matches('!'))
    {
        set_password(host, name, password)?;
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

/// The day on which an account expires, counted from 1970.
fn expires_on(host: &mut dyn Act, name: &str) -> Option<i64> {
    let shadow = host.read("/etc/shadow".as_ref()).ok()?;
    let text = String::from_utf8_lossy(&shadow).into_owned();
    let line = text.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split(':').nth(7)?.parse().ok()
}

fn remove(args: &Args, now: &Found, host: &mut dyn Act) -> Result<(), Failure> {
    let name = args.name.as_str();
    let mut argv = vec!["userdel"];
    argv.extend(args.force.then_some("-f"));
    argv.extend(args.remove.then_some("-r"));
    argv.push(name);
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

/// Makes an SSH key if there is none: whether it was made, the public key, its file.
fn ssh_key(args: &Args, now: &Found, host: &mut dyn Act) -> Result<(bool, String, String), Failure> {
    let default = PathBuf::from(format!(".ssh/id_{}", args.ssh_key_type));
    let file = PathBuf::from(&now.home).join(args.ssh_key_file.as_ref().unwrap_or(&default));
    let public = super::paths::with_suffix(&file, ".pub");
    let mut made = false;
    if host.stat(&file, true)?.is_none() {
        if let Some(dir) = file.parent()
            && host.stat(dir, true)?.is_none()
        {
            host.make_dir(dir, Some(0o700))?;
            host.set_owner(dir, Some(now.uid), Some(now.gid))?;
        }
        let shown = file.display().to_string();
        let comment =
            args.ssh_key_comment.clone().unwrap_or_else(|| format!("ansible-generated on {}", hostname(host)));
        let mut command =
            Command::new(["ssh-keygen", "-q", "-t", &args.ssh_key_type, "-N", "", "-C", &comment, "-f", &shown]);
        if let Some(bits) = args.ssh_key_bits {
            command.argv.extend(["-b".to_owned(), bits.to_string()]);
        }
        // A key that does not exist yet cannot be told in a check run.
        let output = host.run(&command)?;
        if !output.success() {
            return Err(failed(&args.name, output.error_text()));
        }
        host.set_owner(&file, Some(now.uid), Some(now.gid))?;
        host.set_owner(&public, Some(now.uid), Some(now.gid))?;
        made = true;
    }
    let key = host.read(&public).map(|k| String::from_utf8_lossy(&k).trim_end().to_owned()).unwrap_or_default();
    Ok((made, key, file.display().to_string()))
}

fn hostname(host: &mut dyn Act) -> String {
    let name = host.read("/proc/sys/kernel/hostname".as_ref()).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}
