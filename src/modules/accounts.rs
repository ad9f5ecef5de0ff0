//! Users and groups of a host. A static program cannot load the host's name services, so `/etc/passwd` and
//! `/etc/group` are read, and the host's own `getent` is asked for what is not in them.

use std::path::Path;

use crate::action::command::Command;
use crate::action::host::{HostError, Look};

/// A line of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    pub uid: u32,
    pub gid: u32,
    pub comment: String,
    pub home: String,
    pub shell: String,
}

/// A line of the group database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
}

impl User {
    fn parse(line: &str) -> Option<User> {
        let f: Vec<&str> = line.split(':').collect();
        let [name, password, uid, gid, comment, home, shell] = f.as_slice() else { return None };
        Some(User {
            name: (*name).into(),
            password: (*password).into(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            comment: (*comment).into(),
            home: (*home).into(),
            shell: (*shell).into(),
        })
    }
}

impl Group {
    fn parse(line: &str) -> Option<Group> {
        let f: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = f.as_slice() else { return None };
        let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        Some(Group { name: (*name).into(), gid: gid.parse().ok()?, members })
    }
}

/// The user of a name or, if none has that name, of a number.
pub fn user(host: &mut dyn Look, name: &str) -> Result<Option<User>, HostError> {
    lookup(host, "passwd", name, User::parse, |u| u.name == name, |u, id| u.uid == id)
}

/// The group of a name or, if none has that name, of a number.
pub fn group(host: &mut dyn Look, name: &str) -> Result<Option<Group>, HostError> {
    lookup(host, "group", name, Group::parse, |g| g.name == name, |g, id| g.gid == id)
}

/// The name of a user's number; the number itself where nobody has it.
pub fn user_name(host: &mut dyn Look, uid: u32) -> Result<String, HostError> {
    let number = uid.to_string();
    Ok(user(host, &number)?.map_or(number, |u| u.name))
}

/// The name of a group's number; the number itself where none has it.
pub fn group_name(host: &mut dyn Look, gid: u32) -> Result<String, HostError> {
    let number = gid.to_string();
    Ok(group(host, &number)?.map_or(number, |g| g.name))
}

/// All users that the host's own files name.
pub fn local_users(host: &mut dyn Look) -> Result<Vec<User>, HostError> {
    Ok(lines(host, "passwd")?.iter().filter_map(|l| User::parse(l)).collect())
}

/// All groups that the host's own files name.
pub fn local_groups(host: &mut dyn Look) -> Result<Vec<Group>, HostError> {
    Ok(lines(host, "group")?.iter().filter_map(|l| Group::parse(l)).collect())
}

fn lines(host: &mut dyn Look, database: &str) -> Result<Vec<String>, HostError> {
    let bytes = match host.read(&Path::new("/etc").join(database)) {
        Ok(bytes) => bytes,
        Err(HostError::NotFound(_)) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

fn lookup<T>(
    host: &mut dyn Look,
    database: &str,
    name: &str,
    parse: fn(&str) -> Option<T>,
    named: impl Fn(&T) -> bool,
    numbered: impl Fn(&T, u32) -> bool,
) -> Result<Option<T>, HostError> {
    let number: Option<u32> = name.parse().ok();
    let all: Vec<T> = lines(host, database)?.iter().filter_map(|l| parse(l)).collect();
    let mut found = None;
    for entry in all {
        if named(&entry) {
            return Ok(Some(entry));
        }
        if found.is_none() && number.is_some_and(|n| numbered(&entry, n)) {
            found = Some(entry);
        }
    }
    // A name that starts with a dash would be an option of `getent`; none can.
    if found.is_some() || name.is_empty() || name.starts_with('-') {
        return Ok(found);
    }
    match host.query(&Command::new(["getent", database, name])) {
        Ok(output) if output.success() => Ok(output.text().lines().find_map(parse)),
        Ok(_) | Err(HostError::NoProgram(_)) => Ok(None),
        Err(e) => Err(e),
    }
}
