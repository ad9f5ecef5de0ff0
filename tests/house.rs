//! Imports point down only: prints any that points up.

use std::path::{Path, PathBuf};

/// The floors, from the ground; rooms of one floor may use one another only as noted.
const FLOORS: &[(&str, u32)] = &[
    ("model", 1),
    ("http", 1),
    ("action", 2),
    ("parse", 2),
    ("vars", 2),
    ("journal", 2),
    ("report", 2),
    ("modules", 3),
    ("stx", 3),
    ("hiera", 3),
    ("plan", 4),
    ("connection", 4),
    ("agent", 4),
    ("engine", 5),
    ("cli", 6),
];

/// Within a floor: everyone may use the contracts; reports tell journals again; StarlingX migrates hieradata; the modules'
/// shared pieces serve StarlingX's; a link starts agents.
const BESIDE: &[(&str, &str)] = &[
    ("http", "model"),
    ("journal", "action"),
    ("vars", "action"),
    ("parse", "action"),
    ("report", "action"),
    ("report", "journal"),
    ("stx", "hiera"),
    ("stx", "modules"),
    ("connection", "agent"),
];

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(r, _)| *r == room).map(|(_, f)| *f)
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Rooms that a text uses by `crate::ROOM` and `use crate::{ROOM, …}`.
fn used(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + 7..];
        let list = rest.strip_prefix('{').and_then(|r| r.split_once('}')).map(|(l, _)| l);
        for part in list.unwrap_or(rest).split(',').take(if list.is_some() { 50 } else { 1 }) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.push(name);
        }
    }
    rooms
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    let mut wrong = Vec::new();
    for path in all {
        let relative = path.strip_prefix(&src).unwrap();
        let room = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let Some(own) = floor(&room) else { continue };
        for other in used(&std::fs::read_to_string(&path).unwrap()) {
            let Some(theirs) = floor(&other) else { continue };
            let beside = BESIDE.contains(&(room.as_str(), other.as_str()));
            if other != room && (theirs > own || (theirs == own && !beside)) {
                wrong.push(format!("{}: floor {own} uses {other} on floor {theirs}", relative.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_can_fail() {
    assert_eq!(used("use crate::engine::run; use crate::{model, cli::args};"), ["engine", "model", "cli"]);
}
