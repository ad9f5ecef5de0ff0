//! A play full of secrets over ssh and sudo, told as fully as can be, failing, resumed and told again: none of them may be
//! in any output, in the journal, on any command line, in any environment, or left on either machine.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use libtest_mimic::Trial;

use crate::lab::{Lab, OPS, PASSWORD};
use crate::with_users;

pub fn trials(lab: &'static Lab) -> Vec<Trial> {
    vec![with_users("a play full of secrets tells none of them", lab, told_to_nobody)]
}

/// Each is found by a piece that nothing else holds, however it is quoted.
const LOGIN: &str = "w$rd";
const VAULT_KEY: &str = "VaultKey-7f3a";
const VAULTED: &str = "Vaulted-91bc";
const IN_A_FILE: &str = "InAFile-55aa";
const VARIABLE: &str = "Variable-c0de";
const PROMPTED: &str = "Prompted-1d2e";
const ENVIRONMENT: &str = "Environ-88fe";
/// Made on the host, so that it stands nowhere before.
const UNLOGGED: &str = "unlogged-4711-made";

const SECRETS: [&str; 8] = [LOGIN, VAULT_KEY, VAULTED, IN_A_FILE, VARIABLE, PROMPTED, ENVIRONMENT, UNLOGGED];

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  become: true
  vars_files: [secret.yml, plain.yml]
  vars_prompt: [{name: prompted, private: true}]
  vars:
    dsn: "postgres://u:{{ db_password }}@h/{{ vaulted }}?{{ prompted }}"
  tasks:
    - file: {path: "{{ root }}", state: directory, mode: "0700"}
    - shell: "printf 'unlogged-%s-made' 4711; printf 'error unlogged-%s-made' 4711 >&2"
      no_log: true
      register: unlogged
    - command: cat
      args: {stdin: "{{ dsn }} {{ in_a_file }}"}
      register: said
    - debug: {var: said}
    - debug: {var: hostvars}
    - debug: {msg: "{{ unlogged.stdout }} {{ said.stdout | b64encode }} {{ dsn }}"}
      no_log: true
    - debug: {msg: "dsn {{ dsn }}"}
    - debug: {msg: "{{ item }}"}
      loop: ["{{ vaulted }}", "a {{ prompted }} b", {k: "{{ in_a_file }}"}]
    - set_fact: {kept: "{{ dsn }}", from_no_log: "{{ unlogged.stdout }}"}
      no_log: true
    - copy: {content: "{{ dsn }}\nin a file: {{ in_a_file }}\n", dest: "{{ root }}/conf", mode: "0600"}
    - lineinfile: {path: "{{ root }}/conf", line: "more {{ vaulted }}"}
    - template: {src: t.j2, dest: "{{ root }}/templated", mode: "0600"}
    - slurp: {src: "{{ root }}/conf"}
      no_log: true
    # Not `command`, which puts the variable's value into its own arguments.
    - shell: test -n "$TOKEN" && echo right
      environment: {TOKEN: "{{ api_token }}"}
      register: token
    - assert: {that: [token.stdout == 'right'], success_msg: "{{ api_token }}"}
    - command: sh -c 'cat; cat >&2; exit 3'
      args: {stdin: "{{ dsn }}"}
      ignore_errors: true
    - assert: {that: ["dsn == 'x'"], fail_msg: "it is {{ dsn }}"}
      ignore_errors: true
    - copy: {content: "{{ dsn }}", dest: "/nowhere/{{ vaulted }}/x"}
      ignore_errors: true
    - command: "{{ vaulted }}/no-such-program"
      ignore_errors: true
    - fail: {msg: "{{ dsn }} {{ in_a_file }} {{ prompted }}"}
      when: not (here ~ '/needed') is exists
    - debug: {msg: "again {{ said.stdout }} {{ kept }} {{ prompted }}"}
"#;

/// The program in a folder of its own, with a state folder there.
fn program(here: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"));
    command.args(args).current_dir(here).env("XDG_STATE_HOME", here.join("state")).stdin(Stdio::null());
    command
}

/// What a program prints, both ways, with a terminal on its standard input that answers the question.
fn answered(mut command: Command, answer: &str) -> (Option<i32>, String) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let out = tempfile::tempfile().unwrap();
    let (mut read, mut terminal) = (out.try_clone().unwrap(), File::from(pty.master));
    command.stdin(pty.slave).stdout(out.try_clone().unwrap()).stderr(out);
    let mut child = command.spawn().unwrap();
    drop(command);
    let said = |read: &mut File| {
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut read.try_clone().unwrap()).unwrap();
        read.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut asked = false;
    let status = loop {
        if !asked && said(&mut read).contains("prompted: ") {
            // It clears the line before it hides it; what came before that would be lost.
            thread::sleep(std::time::Duration::from_millis(200));
            terminal.write_all(answer.as_bytes()).unwrap();
            asked = true;
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(asked, "{}", said(&mut read));
    (status.code(), said(&mut read))
}

/// Looks into the command lines and environments of all processes until it is told to stop; what it has seen of secrets.
fn watch(stop: &AtomicBool) -> Vec<String> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = fs::read(entry.path().join(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                // A task's own `environment` is there for its own command.
                let wanted = |s: &str| file == "cmdline" || s != ENVIRONMENT;
                let found = SECRETS.iter().filter(|s| wanted(s) && text.contains(**s));
                seen.extend(found.map(|s| format!("{s} in {file}: {text}")));
            }
        }
    }
    seen
}

fn hides(what: &str, text: &str) {
    for secret in SECRETS {
        let at = text.find(secret);
        let near = at.map(|at| text[..at].lines().last().unwrap_or_default());
        assert!(at.is_none(), "{secret} is in {what}, behind: {near:?}");
    }
}

/// Everything in a folder, but for the files that a task was told to write.
fn searched(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => searched(&path),
            Ok(kind) if kind.is_file() => {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                // The program itself, which has the words of this test in it.
                if name != "stx-upgrade" {
                    hides(&path.display().to_string(), &String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
}

async fn told_to_nobody(lab: &'static Lab) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
    let encrypted = |text: &str| {
        let mut vault = program(here, &["vault", "--vault-password-file", "key", "encrypt-string"]);
        let mut child = vault.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    write("key", VAULT_KEY);
    let token = encrypted(ENVIRONMENT);
    write("plain.yml", &format!("db_password: {VARIABLE}\nvaulted: {}\napi_token: {token}\n", encrypted(VAULTED)));
    write("secret.yml", &format!("in_a_file: {IN_A_FILE}\n"));
    let made = program(here, &["vault", "--vault-password-file", "key", "encrypt", "secret.yml"]).status().unwrap();
    assert!(made.success());
    write("t.j2", "{{ dsn }} {{ in_a_file }}\n");
    write("site.yml", PLAY);
    let root = lab.dir.join(format!("secrets-{}", lab.run()));
    let login = serde_json::json!({
        "ansible_host": "127.0.0.1", "ansible_port": lab.port, "ansible_user": OPS,
        "ansible_password": PASSWORD, "ansible_become_password": PASSWORD,
        "ansible_ssh_common_args": format!(
            "-F none -o UserKnownHostsFile={} -o PubkeyAuthentication=no", lab.dir.join("known_hosts").display()
        ),
        "root": root, "here": here,
    });
    write("hosts.yml", &serde_json::json!({"all": {"hosts": {"c0": login}}}).to_string());

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let watcher = thread::spawn(move || watch(&stopped));
    let mut args = vec!["play", "site.yml", "-i", "hosts.yml", "-vvvv", "--diff", "--vault-password-file", "key"];
    args.extend(["--output", "plain", "--output", "json", "--output", "junit=report.xml"]);
    let (code, played) = answered(program(here, &args), &format!("{PROMPTED}\n"));
    hides("the output", &played);
    assert_eq!(code, Some(2), "{played}");
    assert!(played.contains("********") && played.contains("+++ after") && played.contains("it is "), "{played}");
    assert_eq!(played.matches("...ignoring").count(), 4, "{played}");

    write("needed", "");
    let rest = ["-vvvv", "--vault-password-file", "key", "--output", "plain", "--output", "json"];
    let resumed = program(here, &[&["resume"], &rest[..]].concat()).output().unwrap();
    let shown = program(here, &["show", "-vvvv"]).output().unwrap();
    let told = program(here, &["show", "--output", "json"]).output().unwrap();
    for (what, out) in [("the resumed output", &resumed), ("the story", &shown), ("the story as JSON", &told)] {
        let text = String::from_utf8_lossy(&[&out.stdout[..], &out.stderr].concat()).into_owned();
        hides(what, &text);
        assert_eq!(out.status.code(), Some(0), "{text}");
    }
    assert!(String::from_utf8_lossy(&resumed.stdout).contains("again postgres://u:****"));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(watcher.join().unwrap(), Vec::<String>::new());

    // The control: what the play was told to write is there, so the secrets did go through.
    let conf = fs::read_to_string(root.join("conf")).unwrap();
    for secret in [VARIABLE, VAULTED, PROMPTED, IN_A_FILE] {
        assert!(conf.contains(secret), "{conf}");
    }
    fs::remove_dir_all(&root).unwrap();
    hides("report.xml", &fs::read_to_string(here.join("report.xml")).unwrap());
    searched(&here.join("state"));
    searched(&lab.dir.join("home").join(OPS));
    for shared in ["/tmp", "/var/tmp", "/dev/shm"] {
        let ours = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with("stx-upgrade");
        fs::read_dir(shared).unwrap().flatten().filter(ours).for_each(|e| searched(&e.path()));
    }
}
