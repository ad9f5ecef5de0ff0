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
