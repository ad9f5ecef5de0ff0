//! The parsers, held against what the real command lines printed: `tests/transcripts/`, one recorded call a file.

use std::path::Path;

use stx_upgrade::stx::state::{LoadState, UpgradeState};
use stx_upgrade::stx::tables::{List, Object, health};

/// Standard output of the recorded call whose file name starts so.
fn recorded(start: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.file_name().unwrap().to_str().unwrap().starts_with(start));
    assert_eq!(files.len(), 1, "{start}: {files:?}");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let (_, rest) = text.split_once("# stdout\n").unwrap();
    rest.rsplit_once("# stderr").unwrap().0.to_owned()
}

#[test]
fn hosts() {
    let list = List::parse(&recorded("s8-dx-003")).unwrap();
    let names: Vec<_> = list.rows().map(|r| r.get("hostname").unwrap()).collect();
    assert_eq!(names, ["controller-0", "controller-1"]);
    let object = Object::parse(&recorded("s8-dx-004")).unwrap();
    assert_eq!(
        object.get("capabilities").unwrap(),
        "{'stor_function': 'monitor', 'is_max_cpu_configurable': 'not-configurable', 'Personality': 'Controller-Active'}"
    );
    assert_eq!(object.get("task"), None);
    assert_eq!(object.get("vim_progress_status").unwrap(), "services-enabled");
    assert_eq!(Object::parse(&recorded("s8-dx-124")).unwrap().get("task").unwrap(), "Locking");
}

#[test]
fn system_loads_and_upgrade() {
    let show = Object::parse(&recorded("s8-aio-007")).unwrap();
    assert_eq!(
        (show.get("system_type").unwrap(), show.get("system_mode").unwrap()),
        ("All-in-one".into(), "simplex".into())
    );
    let loads = List::parse(&recorded("s8-dx-085")).unwrap();
    let states: Vec<_> = loads.rows().map(|r| LoadState::of(&r.get("state").unwrap())).collect();
    assert_eq!(states, [LoadState::Active, LoadState::Importing]);
    // Text and dots come before the table of an import, prompts without a line break before that of an abort.
    let import = Object::parse(&recorded("s8-dx-084")).unwrap();
    assert_eq!((import.get("state").unwrap(), import.get("required_patches")), ("importing".into(), None));
    for file in ["s8-aio-006", "s8-aio-014"] {
        assert_eq!(Object::parse(&recorded(file)).unwrap().get("state").unwrap(), "aborting", "{file}");
    }
    let upgrade = Object::parse(&recorded("s8-aio-012")).unwrap();
    assert_eq!(UpgradeState::of(&upgrade.get("state").unwrap()), UpgradeState::Started);
    assert!(Object::parse(&recorded("s8-dx-008")).is_err(), "no upgrade in progress is no table");
}

#[test]
fn tables_wrapped_at_80_columns() {
    let list = List::parse(&recorded("s8-wrap-016")).unwrap();
    let worker = list.rows().find(|r| r.get("hostname").as_deref() == Some("worker-0")).unwrap();
    assert_eq!(worker.get("control_plane_version").unwrap(), "N/A");
    assert_eq!(worker.get("kubelet_version").unwrap(), "v1.23.1");
    assert_eq!(worker.get("target_version"), None);
    let list = List::parse(&recorded("s8-wrap-017")).unwrap();
    assert_eq!(list.rows().next().unwrap().get("manifest name").unwrap(), "cert-manager-manifest");
}

#[test]
fn health_line_by_line() {
    let well = health(&recorded("s8-aio-010")).unwrap();
    assert_eq!(well.checks.len(), 12);
    assert!(well.checks.iter().all(|c| c.ok) && well.remarks.is_empty());
    let ill = health(&recorded("s8-dx-099")).unwrap();
    let failed: Vec<_> = ill.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
    assert_eq!(failed.len(), 5, "{failed:?}");
    assert_eq!(ill.checks[2].details, ["Hosts with out of date configurations: controller-1"]);
    // The trap: nothing says [Fail], and yet the system is not fit for an upgrade.
    let trap = health(&recorded("s8-dx-011")).unwrap();
    assert!(trap.checks.iter().all(|c| c.ok));
    assert_eq!(trap.remarks, ["No imported load found. Unable to test further"]);
}
