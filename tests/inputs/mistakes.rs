//! Wrong playbooks, inventories and YAML: one file each in `wrong/`, its messages beside it in `snapshots/`.
//! `cargo insta review` shows what a change does to them.

use std::path::Path;

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

/// The control: what is right is not called wrong.
#[test]
fn right_files_give_no_mistake() {
    for path in files("tests/inputs/right") {
        let found = mistakes(&path);
        assert!(found.is_empty(), "{}", render(&found, false));
    }
}
