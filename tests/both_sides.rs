//! Modules that work on both sides: what they take from the control node arrives on the host. Everything runs on this
//! machine (`connection: local`), with folders of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Place {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    /// Plays these tasks on this machine; what it said, which must end with this exit code.
    #[track_caller]
    fn tasks(&self, tasks: &str, more: &[&str], code: i32) -> String {
        let indented: String = tasks.lines().map(|l| format!("    {l}\n")).collect();
        self.write("site.yml", &format!("- hosts: localhost\n  gather_facts: false\n  tasks:\n{indented}"));
        let out = Command::new(env!("CARGO_BIN_EXE_stx-upgrade"))
            .args(["play", "site.yml", "-i", "localhost,", "-c", "local"])
            .args(more)
            .current_dir(self.0.path())
            .env("XDG_STATE_HOME", self.at("state"))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env_remove("ANSIBLE_LIBRARY")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "{text}");
        text
    }
}

#[test]
fn a_script_of_this_machine_runs_there() {
    let place = Place::new();
    place.write("files/say.sh", "#!/bin/sh\necho \"$0\" > where\necho \"$# $2\"\n");
    let tasks = format!(
        "- script: say.sh one 'two words'\n  args: {{chdir: {0}}}\n  register: r\n\
         - assert: {{that: [\"r.stdout_lines == ['2 two words']\", r is changed, r.rc == 0]}}\n\
         - script: say.sh creates={0}/where\n  register: r\n\
         - assert: {{that: [r is not changed]}}\n",
        place.0.path().display()
    );
    place.tasks(&tasks, &[], 0);
    let ran = fs::read_to_string(place.at("where")).unwrap();
    assert!(!std::path::Path::new(ran.trim()).exists(), "the copy is removed: {ran}");
    let said = place.tasks("- script: no-such.sh\n", &[], 2);
    assert!(said.contains("could not find `no-such.sh`"), "{said}");
}

#[test]
fn an_archive_of_this_machine_is_unpacked_there() {
    let place = Place::new();
    place.write("in/a.txt", "text\n");
    fs::create_dir(place.at("out")).unwrap();
    let packed = Command::new("tar").args(["czf", "files.tgz", "in"]).current_dir(place.0.path()).status().unwrap();
    assert!(packed.success());
    let out = place.at("out").display().to_string();
    let tasks = format!(
        "- unarchive: {{src: files.tgz, dest: {out}}}\n  register: r\n- assert: {{that: [r is changed, r.handler == 'TgzArchive']}}\n\
         - unarchive: {{src: files.tgz, dest: {out}}}\n  register: r\n- assert: {{that: [r is not changed]}}\n\
         - unarchive: {{src: gone.tgz, dest: {out}, creates: {out}/in}}\n"
    );
    place.tasks(&tasks, &[], 0);
    assert_eq!(fs::read_to_string(place.at("out/in/a.txt")).unwrap(), "text\n");
}

#[test]
fn fragments_of_this_machine_make_one_file_there() {
    let place = Place::new();
    place.write("files/parts/2", "two\n").write("files/parts/1", "one\n").write("files/parts/.3", "three\n");
    let dest = place.at("whole").display().to_string();
    let task = format!(
        "- assemble: {{src: parts, dest: {dest}, remote_src: false, delimiter: '--', ignore_hidden: true}}\n  register: r\n"
    );
    place.tasks(
        &format!("{task}- assert: {{that: [r is changed]}}\n{task}- assert: {{that: [r is not changed]}}\n"),
        &[],
        0,
    );
    assert_eq!(fs::read_to_string(&dest).unwrap(), "one\n--\ntwo\n");
}

#[test]
fn modules_of_the_users_own_run_there() {
    let place = Place::new();
    let at = place.0.path().display().to_string();
    place
        .write(
            "library/words",
            "#!/bin/sh\n. \"$1\"\necho junk\nprintf '{\"changed\": true, \"got\": \"%s\"}\\n' \"$text\"\n",
        )
        .write(
            "library/wants.sh",
            "#!/bin/sh\n# WANT_JSON\nprintf '{\"ansible_facts\": {\"mine\": %s}}\\n' \"$(cat \"$1\")\"\n",
        )
        .write("library/inserted", "#!/bin/sh\ncat <<'END'\n{\"given\": <<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>}\nEND\n")
        .write("library/odd", "#!/no/such/interpreter\n")
        .write("library/fails", "#!/bin/sh\necho '{\"failed\": true, \"msg\": \"on purpose\"}'\nexit 1\n");
    let tasks = "\
- words: text='two words'
  register: r
- assert: {that: [r is changed, \"r.got == 'two words'\"]}
- wants: {list: [1, {a: b}], flag: true}
- assert: {that: [\"mine.list == [1, {'a': 'b'}]\", mine.flag, not mine._ansible_check_mode]}
- inserted: {x: y}
  register: r
- assert: {that: [\"r.given.x == 'y'\", r is not changed]}
- odd:
  vars: {ansible_interpreter_interpreter: /bin/true}
  ignore_errors: true
- fails:
  register: r
  ignore_errors: true
- assert: {that: [r is failed, \"r.msg == 'on purpose'\"]}
- odd:
";
    let said = place.tasks(tasks, &[], 2);
    assert!(said.contains("The module interpreter '/no/such/interpreter' was not found"), "{said}");
    let left: Vec<_> = fs::read_dir(place.0.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().contains("module-")), "{at}: {left:?}");
}

#[test]
fn own_modules_in_a_check_run() {
    let place = Place::new();
    place
        .write("library/knows", "#!/bin/sh\n# WANT_JSON\ngrep -q '\"_ansible_check_mode\": *true' \"$1\" && echo '{\"changed\": true, \"checked\": true}'\n")
        .write("library/does", "#!/bin/sh\ntouch done\necho '{}'\n");
    let tasks = "- knows:\n  register: r\n- assert: {that: [r is changed, r.checked]}\n- does:\n  register: r\n- assert: {that: [r is skipped]}\n";
    place.tasks(tasks, &["--check"], 0);
    assert!(!place.at("done").exists());
}

#[test]
fn own_modules_are_found_in_order_or_refused_by_name() {
    let place = Place::new();
    place
        .write("library/ping", "#!/bin/sh\necho '{\"ping\": \"mine\"}'\n")
        .write("roles/r/library/of_role", "#!/bin/sh\necho '{\"from\": \"role\"}'\n")
        .write("roles/r/tasks/main.yml", "- of_role:\n  register: r\n- assert: {that: [\"r['from'] == 'role'\"]}\n")
        .write("library/python_one.py", "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n");
    let tasks = "\
- ping:
  register: r
- assert: {that: [\"r.ping == 'mine'\"]}
- ansible.builtin.ping:
  register: r
- assert: {that: [\"r.ping == 'pong'\"]}
- import_role: {name: r}
- of_role:
";
    place.tasks(tasks, &[], 0);
    let said = place.tasks("- python_one:\n", &[], 4);
    assert!(
        said.contains(
            "library/python_one.py cannot be run here: it is a Python module that imports Ansible's own Python"
        ),
        "{said}"
    );
}

/// A web server with these answers, one after another; what it was asked.
fn server(answers: &[(&str, &str, &str)]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<String> = answers
        .iter()
        .map(|(status, head, body)| {
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n{body}", body.len())
        })
        .collect();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|r| r.lines().next().unwrap().parse().unwrap());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            asked.push(format!("{head}{}", String::from_utf8_lossy(&body)));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (at, asked)
}

#[test]
fn a_file_from_a_server() {
    let place = Place::new();
    let ok = ("200 OK", "", "content\n");
    let (at, asked) = server(&[ok, ("304 Not Modified", "", ""), ("404 Not Found", "", ""), ok]);
    let dest = place.at("got").display().to_string();
    // SHA-256 of the content.
    let sum = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";
    let tasks = format!(
        "- get_url: {{url: {at}/f, dest: {dest}, mode: '0600', checksum: 'sha256:{sum}'}}\n  register: r\n\
         - assert: {{that: [r is changed, r.status_code == 200, \"r.mode == '0600'\", \"r.msg == 'OK (8 bytes)'\"]}}\n\
         - get_url: {{url: {at}/f, dest: {dest}}}\n  register: r\n- assert: {{that: [r is not changed, r.status_code == 304]}}\n\
         - get_url: {{url: {at}/f, dest: {dest}, checksum: 'sha256:{sum}'}}\n  register: r\n\
         - assert: {{that: [r is not changed, \"r.msg == 'file already exists'\"]}}\n\
         - get_url: {{url: {at}/f, dest: {dest}, force: true}}\n  register: r\n  ignore_errors: true\n\
         - assert: {{that: [r is failed, \"r.msg == 'Request failed'\", \"r.response == 'HTTP Error 404: Not Found'\"]}}\n\
         - get_url: {{url: {at}/f, dest: {dest}, checksum: 'sha256:00'}}\n  register: r\n  ignore_errors: true\n\
         - assert: {{that: [r is failed, \"'did not match 00; it was {sum}' in r.msg\"]}}\n"
    );
    place.tasks(&tasks, &[], 0);
    assert!(asked.join().unwrap()[1].to_lowercase().contains("if-modified-since: "));
    assert_eq!(fs::read_to_string(dest).unwrap(), "content\n");
}

#[test]
fn a_server_is_asked() {
    let place = Place::new();
    place.write("files/up.txt", "sent");
    let json =
        ("200 OK", "Content-Type: application/json\r\nX-My-Head: yes\r\nSet-Cookie: a=b; path=/\r\n", "{\"x\": [1]}");
    let (at, asked) = server(&[
        json,
        ("201 Created", "", ""),
        ("200 OK", "", ""),
        ("200 OK", "", ""),
        ("500 Broken", "", "oh"),
        ("200 OK", "", "one\ntwo\n"),
    ]);
    let tasks = format!(
        "- uri: {{url: {at}/j, return_content: true, headers: {{X-Token: t}}}}\n  register: r\n\
         - assert: {{that: [r is not changed, r.status == 200, 'r.json.x == [1]', \"r.x_my_head == 'yes'\", \"r.cookies == {{'a': 'b'}}\"]}}\n\
         - uri: {{url: {at}/p, method: POST, body: {{k: [v]}}, body_format: json, status_code: [200, 201]}}\n\
         - uri: {{url: {at}/m, method: PUT, body: {{f: {{filename: up.txt, multipart_encoding: 7or8bit}}}}, body_format: form-multipart}}\n\
         - uri: {{url: {at}/s, method: PUT, src: up.txt}}\n\
         - uri: {{url: {at}/e}}\n  register: r\n  ignore_errors: true\n\
         - assert: {{that: [r is failed, \"r.msg.startswith('Status code was 500 and not [200]: HTTP Error 500')\"]}}\n\
         - assert: {{that: [\"lookup('url', '{at}/l', wantlist=true) == ['one', 'two']\"]}}\n"
    );
    place.tasks(&tasks, &[], 0);
    let asked = asked.join().unwrap();
    assert!(asked[0].starts_with("GET /j ") && asked[0].to_lowercase().contains("x-token: t"), "{asked:?}");
    assert!(
        asked[1].ends_with("{\"k\":[\"v\"]}") && asked[1].to_lowercase().contains("content-type: application/json"),
        "{asked:?}"
    );
    assert!(asked[2].contains("filename=\"up.txt\"") && asked[2].contains("\r\n\r\nsent\r\n"), "{asked:?}");
    assert!(asked[3].ends_with("\r\n\r\nsent"), "{asked:?}");
    let said = place.tasks("- uri: {url: 'http://127.0.0.1:9/', method: DELETE}\n", &["--check"], 0);
    assert!(said.contains("not knowable") || said.contains("skipping"), "{said}");
}

#[test]
fn trees_are_synchronized() {
    if Command::new("rsync").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED trees_are_synchronized: there is no rsync");
        return;
    }
    let place = Place::new();
    place.write("files/tree/a", "one\n").write("files/tree/sub/b", "two\n").write("out/tree/old", "x");
    let out = place.at("out").display().to_string();
    let task = format!(
        "- synchronize: {{src: tree, dest: {out}, delete: true, rsync_opts: ['--exclude=sub']}}\n  register: r\n"
    );
    let tasks = format!(
        "{task}- assert: {{that: [r is changed, r.rc == 0, \"'tree/a' in r.msg\"]}}\n{task}- assert: {{that: [r is not changed]}}\n\
         - synchronize: {{src: {out}/tree/, dest: {out}/copy/, mode: pull}}\n  delegate_to: localhost\n"
    );
    place.tasks(&format!("{task}- assert: {{that: [r is changed]}}\n"), &["--check"], 0);
    assert!(place.at("out/tree/old").exists() && !place.at("out/tree/a").exists(), "a check run changes nothing");
    place.tasks(&tasks, &[], 0);
    assert!(!place.at("out/tree/old").exists() && !place.at("out/tree/sub").exists());
    assert_eq!(fs::read_to_string(place.at("out/copy/a")).unwrap(), "one\n");
}
