//! How a running lab is reached: its inventory, and the way to a host's port.

use crate::fabric::Places;
use crate::server::control::{self, Request};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{Read, Write};

/// Print Ansible's inventory of what is up, or one host's variables.
pub fn inventory(places: &Places, name: &str, host: Option<&str>) -> Result<i32> {
    let status = control::ask(places, &Request::Status)?;
    let program = std::env::current_exe()?.display().to_string();
    let base = places.dir.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    let proxy = format!(
        "-o ProxyCommand=\"env STX_LAB_DIR={base} {program} --name {name} connect %h %p\" -o UserKnownHostsFile={} \
         -o GlobalKnownHostsFile=/dev/null",
        places.known_hosts().display()
    );
    let mut groups: std::collections::BTreeMap<String, Vec<Value>> = std::collections::BTreeMap::new();
    let mut vars = serde_json::Map::new();
    let mut add = |group: &str, name: &Value, address: &Value| {
        groups.entry(group.into()).or_default().push(name.clone());
        vars.insert(
            name.as_str().unwrap_or_default().into(),
            json!({
                "ansible_host": address, "ansible_user": "sysadmin",
                "ansible_ssh_pass": status["sysadmin_password"], "ansible_become_pass": status["sysadmin_password"],
                "ansible_ssh_common_args": proxy, "admin_password": status["admin_password"],
            }),
        );
    };
    let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
    // What the platform is driven through: the floating address, or a simplex system's only one.
    match hosts.as_slice() {
        _ if status["topology"] == "plain" => {}
        [only] => add("system", &only["name"], &only["address"]),
        _ => add("system", &json!("oamcontroller"), &json!(crate::fabric::net::OAM_FLOATING)),
    }
    for h in &hosts {
        let group = match h["personality"].as_str() {
            Some("controller") => "controllers",
            Some("storage") => "storage",
            _ => "workers",
        };
        add(group, &h["name"], &h["address"]);
    }
    if let Some(host) = host {
        println!("{}", vars.get(host).cloned().unwrap_or_else(|| json!({})));
        return Ok(0);
    }
    let mut out = serde_json::Map::new();
    out.insert("_meta".into(), json!({ "hostvars": vars }));
    out.insert("all".into(), json!({ "children": groups.keys().collect::<Vec<_>>() }));
    for (group, hosts) in groups {
        out.insert(group, json!({ "hosts": hosts }));
    }
    println!("{}", serde_json::to_string_pretty(&out)?);
    Ok(0)
}

/// Join standard input and output to a port of a host.
pub fn connect(places: &Places, host: String, port: u16) -> Result<i32> {
    use std::os::unix::net::UnixStream;
    let stream =
        UnixStream::connect(places.control()).context("no lab is up here; start one with `stx-lab up simplex`")?;
    writeln!(&stream, "{}", serde_json::to_string(&Request::Connect { host, port })?)?;
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    while (&stream).read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let answer: Value = serde_json::from_slice(&line).context("the lab went away")?;
    if let Some(why) = answer["error"].as_str() {
        bail!("{why}");
    }
    let mut up = stream.try_clone()?;
    std::thread::spawn(move || {
        let _ = pour(&mut std::io::stdin().lock(), &mut up);
        let _ = up.shutdown(std::net::Shutdown::Write);
    });
    let mut from = stream;
    let _ = pour(&mut from, &mut std::io::stdout().lock());
    Ok(0)
}

/// Copy and flush piece by piece: standard output is buffered by lines, and ssh waits for what is held back.
fn pour(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..n])?;
        to.flush()?;
    }
}
