//! Wrong playbooks, inventories and YAML: one file each in `wrong/`, its messages beside it in `snapshots/`, and what
//! ansible-core 2.19 says of the same file in `ansible/`.
//! `cargo insta review` shows what a change does to them.

use std::path::Path;
use std::process::Command;

use stx_upgrade::model::mistake::Mistake;
use stx_upgrade::parse::files::Disk;
use stx_upgrade::parse::vault::Vault;
use stx_upgrade::parse::{inventory, playbook, vars_file};
use stx_upgrade::report::mistake::render;

use crate::words::Table;

/// Reads a file as what its name says it is.
fn mistakes(path: &Path) -> Vec<Mistake> {
    let mut found = Vec::new();
    let vault = Vault::default();
    let name = path.file_name().unwrap().to_str().unwrap();
    match name.split('_').next().unwrap() {
        "inventory" => drop(inventory::load(&[path.to_str().unwrap().to_owned()], &Disk, &vault, &mut found)),
        "vars" => drop(vars_file::load(&Disk, path, &vault, &mut found)),
        _ => drop(playbook::load(&Disk, path, &Table, &vault, &mut found)),
    }
    found
}

fn files(dir: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

#[test]
fn every_wrong_file_is_answered_as_its_snapshot_says() {
    let files = files("tests/inputs/wrong");
    assert!(files.len() > 80);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files {
            let found = mistakes(&path);
            assert!(!found.is_empty(), "{} was taken for right", path.display());
            insta::assert_snapshot!(path.file_name().unwrap().to_str().unwrap(), render(&found, false));
        }
    });
}

/// What ansible-core says about the same file, whose words lie in `ansible/`: where it names a line, ours is named, too.
#[test]
fn no_mistake_is_placed_worse_than_by_ansible() {
    let (mut placed, mut only_here) = (0, Vec::new());
    for path in files("tests/inputs/wrong") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let theirs = std::fs::read_to_string(format!("tests/inputs/ansible/{name}.txt"))
            .unwrap_or_else(|e| panic!("{name}: {e}; `make differential` asks ansible-playbook"));
        let ours = mistakes(&path).iter().filter(|m| m.span.is_some()).count();
        // `Origin: FILE:LINE:COLUMN`; some name the file alone.
        match theirs.contains(&format!("Origin: tests/inputs/wrong/{name}:")) {
            // It is a program: its text is read by nobody but Ansible.
            true if name == "inventory_fails" => continue,
            true => assert!(ours > 0, "{name}: Ansible names a place\n{theirs}"),
            false if ours > 0 => only_here.push(name),
            false => continue,
        }
        placed += 1;
    }
    assert!(placed > 80 && only_here.len() > 10, "{placed} are placed, {} here alone", only_here.len());
}

/// `ANSIBLE_PLAYBOOK` names the one to ask.
#[test]
#[ignore = "records what ansible-playbook says: make differential"]
fn record() {
    let program = std::env::var_os("ANSIBLE_PLAYBOOK").unwrap_or_else(|| "ansible-playbook".into());
    std::fs::create_dir_all("tests/inputs/ansible").unwrap();
    let here = std::env::current_dir().unwrap();
    for path in files("tests/inputs/wrong") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut command = Command::new(&program);
        match name.split('_').next().unwrap() {
            "inventory" => command.args(["tests/inputs/right/all_keywords.yml", "--list-hosts", "-i"]).arg(&path),
            "vars" => command
                .args(["tests/inputs/right/all_keywords.yml", "--list-hosts", "-e"])
                .arg(format!("@{}", path.display())),
            _ => command.args(["--syntax-check", "-i", "localhost,"]).arg(&path),
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        let out = command.env("ANSIBLE_NOCOLOR", "1").env("HOME", "/nonexistent").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).replace(&format!("{}/", here.display()), "");
        // Of a crash of its own the first line is enough.
        let said = said.split("\n\nTraceback").next().unwrap_or_default();
        std::fs::write(format!("tests/inputs/ansible/{name}.txt"), said).unwrap();
    }
}

/// The control: what is right is not called wrong.
#[test]
fn right_files_give_no_mistake() {
    for path in files("tests/inputs/right") {
        let found = mistakes(&path);
        assert!(found.is_empty(), "{}", render(&found, false));
    }
}
