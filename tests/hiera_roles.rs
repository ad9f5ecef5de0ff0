//! The rules in `roles/hiera/vars/`, applied to hieradata as a system has it, and every key read back by Puppet itself.

#[path = "stx/host.rs"]
mod host;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::FakeHost;
use stx_upgrade::action::command::Output;
use stx_upgrade::dict;
use stx_upgrade::hiera::file::Hieradata;
use stx_upgrade::model::outcome::{Diff, Outcome};
use stx_upgrade::model::value::{Dict, Key, Value};

const PAIRS: &[(&str, &str)] = &[("20.06", "21.05"), ("21.05", "21.12"), ("22.12", "23.09")];

/// Strings that YAML writers are known to spoil for a YAML 1.1 reader; PCI addresses are the real victims.
const CORPUS: &[&str] = &[
    "0000:18:00.0",
    "0669:00.0",
    "0000:11:09.0",
    "0000:af:00.1",
    "yes",
    "no",
    "on",
    "off",
    "Yes",
    "NO",
    "On",
    "y",
    "n",
    "Y",
    "N",
    "true",
    "false",
    "True",
    "null",
    "~",
    "",
    " ",
    "12:30:45",
    "1:30",
    "190:20:30.15",
    "1_000",
    "0755",
    "0o755",
    "0x1F",
    "0b101",
    "1e3",
    "1.5e+3",
    ".5",
    "5.",
    "+1",
    "-1",
    "685_230.15",
    ".inf",
    "-.inf",
    ".nan",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "=",
    "<<",
    "21.05",
    "20.10",
    "1.10",
    "- a",
    "a: b",
    "a #b",
    "#a",
    "*a",
    "&a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'",
    "\"",
    "it's",
    "{a}",
    "[a]",
    "key:",
    ":sym",
    "a\nb",
    "a\tb",
    "trailing ",
    "ü",
    "08",
    "0e12345",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Hieradata of a system on a release, with secrets, PCI addresses, comments and paths.
fn old(from: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    ["static", "secure_static"]
        .map(|name| {
            let text = std::fs::read_to_string(root().join("tests/hieradata").join(format!("{name}.yaml"))).unwrap();
            let path = format!("/opt/platform/puppet/{from}/hieradata/{name}.yaml");
            (path.into(), text.replace("@RELEASE@", from).into_bytes())
        })
        .into()
}

/// The module's arguments, as the role gives them.
fn args(from: &str, to: &str, more: Vec<Value>) -> Dict {
    let file = root().join(format!("roles/hiera/vars/{from}-{to}.yml"));
    let vars: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let var = |name: &str| vars.get(name).unwrap_or_else(|| panic!("{} has no {name}", file.display())).clone();
    let mut rules = var("hiera_rules").as_list().unwrap().to_vec();
    rules.extend(more);
    dict! {
        "from_release" => from, "to_release" => to, "rules" => Value::list(rules), "required" => var("hiera_required"),
        "obsolete" => var("hiera_obsolete"), "keyring" => var("hiera_keyring"),
    }
}

fn migrate(host: &mut FakeHost, args: &Dict) -> Outcome {
    let entry = stx_upgrade::stx::ALL.iter().find(|e| e.names[0] == "stx_hiera_migrate").unwrap();
    (entry.run)(args, host).unwrap()
}

/// A host with the old hieradata and a keyring that knows `sysinv`.
fn host_on(from: &str) -> FakeHost {
    let mut host = FakeHost { files: old(from), ..FakeHost::default() };
    let said = |rc: i32, text: &str| [Output { rc, stdout: text.into(), ..Output::default() }].into();
    host.answers.insert("keyring get sysinv services".into(), said(0, "sysinv-keyring-Ti0*\n"));
    host.answers.insert("keyring get dcmanager services".into(), said(1, ""));
    host
}

fn new_text(host: &FakeHost, to: &str, name: &str) -> String {
    let path = PathBuf::from(format!("/opt/platform/puppet/{to}/hieradata/{name}.yaml"));
    String::from_utf8(host.files[&path].clone()).unwrap()
}

#[test]
fn every_pair_migrates_once_and_then_changes_nothing() {
    for (from, to) in PAIRS {
        let mut host = host_on(from);
        let args = args(from, to, Vec::new());
        let outcome = migrate(&mut host, &args);
        assert!(
            outcome.changed && !outcome.is_failed(),
            "{from} -> {to}: {} {:?}",
            outcome.msg,
            outcome.data.get("mistakes")
        );
        let (fixed, secure) = (new_text(&host, to, "static"), new_text(&host, to, "secure_static"));
        let before = old(from);
        // Every line that does not speak of the release is there, byte for byte.
        for (path, text) in &before {
            let new = if path.ends_with("static.yaml") { &fixed } else { &secure };
            for line in String::from_utf8_lossy(text).lines().filter(|l| !l.contains(from)) {
                assert!(
                    new.lines().any(|n| n == line),
                    "{from} -> {to}: the line `{line}` is gone from {}",
                    path.display()
                );
            }
        }
        assert!(fixed.contains(&format!("platform::params::software_version: '{to}'")));
        assert!(!fixed.contains(&format!("/{from}")), "a path still names {from}:\n{fixed}");
        let again = migrate(&mut host, &args);
        assert!(
            !again.changed && again.diff.is_empty(),
            "{from} -> {to}: the second run changed something: {}",
            again.msg
        );
        assert_eq!(secure, new_text(&host, to, "secure_static"), "secrets are made once");
        for (path, text) in before {
            assert_eq!(host.files[&path], text, "the old release's file stays");
        }
    }
}

#[test]
fn secrets_are_not_in_the_diff() {
    let mut host = host_on("21.05");
    let outcome = migrate(&mut host, &args("21.05", "21.12", Vec::new()));
    let shown = format!("{:?} {:?}", outcome.diff, outcome.data);
    for secret in ["sysinv-keyring-Ti0*", "9f4d3c52b0e84f0aa3de1f0b1c6f7e10", "sysinv-db"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
    assert!(outcome.diff.iter().any(|d| matches!(d, Diff::Text { after, .. } if after.contains("certalarm"))));
}

#[test]
fn all_missing_and_left_over_keys_are_told_before_anything_is_written() {
    let mut host = host_on("21.05");
    for text in host.files.values_mut() {
        let kept: Vec<&str> = std::str::from_utf8(text)
            .unwrap()
            .lines()
            .filter(|l| !l.contains("postgresql::password") && !l.contains("system_mode"))
            .collect();
        *text = kept.join("\n").into_bytes();
    }
    let outcome = migrate(&mut host, &args("21.05", "21.12", Vec::new()));
    assert!(outcome.is_failed());
    let told = outcome.data["mistakes"].to_string();
    assert!(
        told.contains("platform::db::postgresql::password") && told.contains("platform::params::system_mode"),
        "{told}"
    );
    assert_eq!(host.files.len(), 2, "something was written");
}

#[test]
fn a_duplicate_key_is_refused_by_its_lines() {
    let mut host = host_on("21.05");
    let path = PathBuf::from("/opt/platform/puppet/21.05/hieradata/static.yaml");
    host.files.get_mut(&path).unwrap().extend_from_slice(b"platform::params::system_mode: duplex\n");
    let outcome = migrate(&mut host, &args("21.05", "21.12", Vec::new()));
    assert!(
        outcome.is_failed() && outcome.msg.contains("`platform::params::system_mode` stands twice"),
        "{}",
        outcome.msg
    );
}

/// Puppet's own reading of all keys of the files in a directory; none if Puppet is not installed.
fn puppet_reads(dir: &Path, keys: &[String]) -> Option<Dict> {
    let puppet = ["/usr/bin/puppet", "/opt/puppetlabs/bin/puppet"].into_iter().find(|p| Path::new(p).exists())?;
    let hiera = format!(
        "---\nversion: 5\nhierarchy:\n- name: yaml\n  datadir: {}\n  data_hash: yaml_data\n  paths: [secure_static.yaml, static.yaml]\n",
        dir.display()
    );
    std::fs::write(dir.join("hiera.yaml"), hiera).unwrap();
    let list: Vec<String> = keys.iter().map(|k| format!("'{k}'")).collect();
    let manifest = format!(
        "$values = [{}].reduce({{}}) |$all, $key| {{ $all + {{ $key => lookup($key) }} }}\n\
         notice(inline_template('<%= require \"json\"; JSON.dump(@values) %>'))\n",
        list.join(", ")
    );
    std::fs::write(dir.join("keys.pp"), manifest).unwrap();
    let mut command = Command::new(puppet);
    command.args(["apply", "--noop", "--color", "false", "--hiera_config"]).arg(dir.join("hiera.yaml"));
    for own in ["confdir", "codedir", "vardir", "ssldir", "logdir", "rundir", "publicdir"] {
        command.arg(format!("--{own}")).arg(dir.join("puppet").join(own));
    }
    let output = command.arg(dir.join("keys.pp")).env("LC_ALL", "C.UTF-8").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = said.lines().find_map(|l| l.strip_prefix("Notice: Scope(Class[main]): "));
    let json = json.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    match serde_json::from_str(json).unwrap() {
        Value::Dict(read) => Some(read.as_ref().clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn puppet_reads_every_key_back() {
    let dir = tempfile::tempdir().unwrap();
    // What the rules write, whatever it is: the whole corpus as literals.
    let more = CORPUS
        .iter()
        .enumerate()
        .map(|(i, text)| Value::dict(dict! { "set" => format!("corpus::k{i}"), "literal" => *text }));
    let mut host = host_on("21.05");
    let outcome = migrate(&mut host, &args("21.05", "21.12", more.collect()));
    assert!(!outcome.is_failed(), "{}", outcome.msg);
    let mut wanted = Dict::new();
    for name in ["secure_static", "static"] {
        let text = new_text(&host, "21.12", name);
        std::fs::write(dir.path().join(format!("{name}.yaml")), &text).unwrap();
        wanted.extend(Hieradata::parse(name, &text).unwrap().to_dict());
    }
    for (i, text) in CORPUS.iter().enumerate() {
        wanted.insert(Key::from(format!("corpus::k{i}")), Value::str(text));
    }
    let keys: Vec<String> = wanted.keys().map(ToString::to_string).collect();
    let Some(read) = puppet_reads(dir.path(), &keys) else {
        eprintln!("skipped: puppet is not installed (tools/packages names puppet-agent)");
        return;
    };
    for (key, value) in &wanted {
        let is = &read[key];
        let same = std::mem::discriminant(is) == std::mem::discriminant(value) && is == value;
        assert!(same, "{key}: Puppet reads {is:?}, meant is {value:?}");
    }
}
