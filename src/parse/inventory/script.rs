//! Executable inventories: run with `--list`, and with `--host NAME` where that does not give `_meta.hostvars`.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Builder;
use super::yaml_file::value_of;
use crate::model::mistake::Mistake;
use crate::parse::files::Files;
use crate::parse::yaml::{self, Node};

/// Bytes that are taken from an inventory program: a hundred thousand hosts need less.
const MOST_OUTPUT: u64 = 128 << 20;

/// Whether an executable file is a program: a script with `#!`, or no text. A text file whose execute bits are set by
/// the file system it lies on is no program.
pub(super) fn is_program(files: &dyn Files, path: &Path) -> bool {
    files.read(path).is_ok_and(|bytes| bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF"))
}

/// Runs an executable inventory and reads what it prints.
pub(super) fn read(path: &Path, into: &mut Builder) {
    let shown = into.files.shown(path);
    let Some(root) = run(path, &["--list"], &shown, into) else { return };
    let Some(groups) = root.as_map() else {
        let kind = root.kind_name();
        into.mistakes
            .push(Mistake::at(&root.span, format!("`{shown} --list` must print a JSON object, this is {kind}")));
        return;
    };
    let mut meta: Option<&Node> = None;
    let mut names: Vec<String> = Vec::new();
    for (key, value) in groups {
        let name = key.text().unwrap_or("");
        if name == "_meta" {
            meta = value.as_map().and_then(|m| m.iter().find(|(k, _)| k.text() == Some("hostvars"))).map(|(_, v)| v);
        } else {
            group(name, key, value, &mut names, into);
        }
    }
    if let Some(hostvars) = meta {
        for (host, vars) in hostvars.as_map().unwrap_or_default() {
            let name = host.text().unwrap_or("");
            // Variables of a host that no group names would be lost: Ansible passes them over, too.
            if into.inventory.hosts.contains_key(name) {
                host_vars(name, vars, into);
            }
        }
        return;
    }
    names.dedup();
    for name in names {
        if let Some(vars) = run(path, &["--host", &name], &shown, into) {
            host_vars(&name, &vars, into);
        }
    }
}

fn host_vars(name: &str, vars: &Node, into: &mut Builder) {
    for (key, value) in vars.as_map().unwrap_or_default() {
        let value = value_of(value, into);
        into.host_var(name, key.text().unwrap_or(""), value);
    }
}

fn group(name: &str, key: &Node, node: &Node, names: &mut Vec<String>, into: &mut Builder) {
    into.group(name);
    let mut host = |node: &Node, into: &mut Builder| match node.text() {
        Some(host) => {
            into.host(host, name, None);
            names.push(host.to_owned());
        }
        None => {
            let kind = node.kind_name();
            into.mistakes.push(Mistake::at(&node.span, format!("a host of `{name}` must be a name, this is {kind}")));
        }
    };
    if let Some(hosts) = node.as_seq() {
        hosts.iter().for_each(|n| host(n, into));
        return;
    }
    let Some(parts) = node.as_map() else {
        into.mistakes.push(Mistake::at(&key.span, format!("the group `{name}` must be an object or a list of hosts")));
        return;
    };
    let known = parts.iter().any(|(k, _)| matches!(k.text(), Some("hosts" | "vars" | "children")));
    if !known && !parts.is_empty() {
        // The oldest form: a host as if it were a group, with its variables.
        into.host(name, name, None);
        names.push(name.to_owned());
        for (key, value) in parts {
            let value = value_of(value, into);
            into.group_var(name, key.text().unwrap_or(""), value, &key.span);
        }
        return;
    }
    for (part, content) in parts {
        match part.text().unwrap_or("") {
            "hosts" => content.as_seq().unwrap_or_default().iter().for_each(|n| host(n, into)),
            "children" => {
                for child in content.as_seq().unwrap_or_default() {
                    into.child(name, child.text().unwrap_or(""), &child.span);
                }
            }
            "vars" => {
                for (var, value) in content.as_map().unwrap_or_default() {
                    let value = value_of(value, into);
                    into.group_var(name, var.text().unwrap_or(""), value, &var.span);
                }
            }
            _ => {}
        }
    }
}

/// What a program prints, as [`Command::output`] gives it; none, and the program ended, where it is more than any inventory.
fn output(command: &mut Command) -> io::Result<Option<Output>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let talk = child.stderr.take().map(|mut from| {
        std::thread::spawn(move || {
            let read = (&mut from).take(64 << 10).read_to_end(&mut stderr);
            // The rest is not kept, but taken, so that it does not wait for us.
            let _ = read.and_then(|_| io::copy(&mut from, &mut io::sink()));
            stderr
        })
    });
    if let Some(from) = child.stdout.take() {
        from.take(MOST_OUTPUT + 1).read_to_end(&mut stdout)?;
    }
    if stdout.len() as u64 > MOST_OUTPUT {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    }
    let status = child.wait()?;
    let stderr = talk.and_then(|t| t.join().ok()).unwrap_or_default();
    Ok(Some(Output { status, stdout, stderr }))
}

/// Runs it; what it prints as a tree. None, and a mistake, if it fails or prints no JSON.
fn run(path: &Path, args: &[&str], shown: &str, into: &mut Builder) -> Option<Node> {
    let called = format!("{shown} {}", args.join(" "));
    let program = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let fail = |into: &mut Builder, why: String, talk: &[u8]| {
        let mut mistake = Mistake::plain(format!("the inventory `{called}` {why}"));
        for line in String::from_utf8_lossy(talk).lines().filter(|l| !l.trim().is_empty()).take(10) {
            mistake = mistake.help(format!("it said: {line}"));
        }
        into.mistakes.push(mistake);
        None
    };
    let out = match output(Command::new(program).args(args)) {
        Ok(Some(out)) => out,
        Ok(None) => return fail(into, format!("prints more than {} MB", MOST_OUTPUT >> 20), b""),
        Err(e) => return fail(into, format!("cannot be run: {e}"), b""),
    };
    if !out.status.success() {
        return fail(into, format!("failed ({})", out.status), &out.stderr);
    }
    let Ok(text) = String::from_utf8(out.stdout) else {
        return fail(into, "prints what is not UTF-8 text".into(), &out.stderr);
    };
    // Ansible takes nothing but JSON here.
    if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        if text.trim().is_empty() && args[0] == "--host" {
            return None;
        }
        return fail(into, format!("does not print JSON: {e}"), &out.stderr);
    }
    let source = into.source(called, text);
    match yaml::read(&source, into.mistakes) {
        Ok(root) => root,
        Err(mistake) => {
            into.mistakes.push(mistake);
            None
        }
    }
}
