//! `stx_archive` against archives made here: whole, cut, of another system, and made to break out.

#[path = "stx/host.rs"]
mod host;

use std::io::Write;
use std::path::PathBuf;

use flate2::{Compression, write::GzEncoder};
use host::FakeHost;
use stx_upgrade::dict;
use stx_upgrade::model::outcome::Outcome;
use stx_upgrade::model::value::Dict;

const PATH: &str = "/media/usb/upgrade_data_2026-11-21T031402_1.tgz";
const UUID: &str = "5ba0ea33-4f41-4b7a-af68-5d9e195f8e39";

/// An entry: name, kind, link target or content. The name is taken as it is, whatever it says.
struct Entry<'a>(&'a str, tar::EntryType, &'a str);

fn file<'a>(name: &'a str, content: &'a str) -> Entry<'a> {
    Entry(name, tar::EntryType::Regular, content)
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Entry(name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let content = if kind.is_file() { text.as_bytes() } else { &[] };
        if kind.is_symlink() || kind.is_hard_link() {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// What upgrade-start makes, in small.
fn whole() -> Vec<Entry<'static>> {
    vec![
        file(
            "opt/platform/config/21.05/upgrades/metadata",
            r#"{"upgrade": {"from_release": "21.05", "to_release": "21.12"}}"#,
        ),
        file("opt/platform/puppet/21.05/hieradata/static.yaml", "a: b\n"),
        file("opt/platform/puppet/21.05/hieradata/secure_static.yaml", "c: d\n"),
        file("opt/platform-backup/ansible.x1/postgres/postgres.postgreSql.config", "CREATE ROLE postgres;\n"),
        file(
            "opt/platform-backup/ansible.x1/postgres/sysinv.postgreSql.data",
            "INSERT INTO public.i_system VALUES ('5ba0ea33-4f41-4b7a-af68-5d9e195f8e39');\n",
        ),
        file("opt/platform-backup/ansible.x1/etcd-snapshot/etcd-snapshot.db", "snapshot"),
        Entry("etc/localtime", tar::EntryType::Symlink, "../usr/share/zoneinfo/UTC"),
        file("home/sysadmin/notes", "text\n"),
    ]
}

fn examine(bytes: Vec<u8>, more: Dict) -> Outcome {
    let mut host = FakeHost::default();
    host.files.insert(PathBuf::from(PATH), bytes);
    let mut args = dict! { "path" => "/media/usb" };
    args.extend(more);
    let entry = stx_upgrade::stx::ALL.iter().find(|e| e.names[0] == "stx_archive").unwrap();
    (entry.run)(&args, &mut host).unwrap()
}

#[test]
fn a_whole_archive_is_known_by_its_content() {
    let wanted = dict! { "from_release" => "21.05", "to_release" => "21.12", "system_uuid" => UUID };
    let outcome = examine(archive(&whole()), wanted);
    assert!(!outcome.is_failed(), "{}", outcome.msg);
    assert_eq!(outcome.data["entries"], 8i64.into());
    let digest = outcome.data["sha256"].to_string();
    assert!(!examine(archive(&whole()), dict! { "sha256" => digest }).is_failed());
}

#[test]
fn another_release_system_or_copy_is_told() {
    let bytes = archive(&whole());
    let wrong = dict! { "from_release" => "20.06", "to_release" => "22.06", "system_uuid" => "0-0", "sha256" => "00" };
    let outcome = examine(bytes, wrong);
    for part in ["made by 21.05, not 20.06", "made for 21.12, not 22.06", "another system than 0-0", "not the original"]
    {
        assert!(outcome.is_failed() && outcome.msg.contains(part), "{}", outcome.msg);
    }
}

#[test]
fn cut_at_any_place_it_is_damaged() {
    let bytes = archive(&whole());
    for keep in [1, 20, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
        let outcome = examine(bytes[..keep].to_vec(), Dict::new());
        assert!(outcome.is_failed() && outcome.msg.contains("damaged or cut short"), "{keep}: {}", outcome.msg);
    }
    assert!(examine(Vec::new(), Dict::new()).msg.contains("is empty"));
}

#[test]
fn what_would_break_out_is_refused() {
    for (entry, why) in [
        (file("../../etc/shadow", "x"), "climbs out"),
        (file("home/../../etc/shadow", "x"), "climbs out"),
        (file("/etc/shadow", "x"), "absolute path"),
        (Entry("home/up", tar::EntryType::Symlink, "../../../etc"), "climbs out"),
        (Entry("home/hard", tar::EntryType::Link, "../etc/shadow"), "climbs out"),
        (Entry("dev/sda", tar::EntryType::Block, ""), "device or pipe"),
        (Entry("home/pipe", tar::EntryType::Fifo, ""), "device or pipe"),
        (file("etc/localtime/x", "x"), "behind the link"),
    ] {
        let mut entries = whole();
        let name = entry.0;
        entries.push(entry);
        let outcome = examine(archive(&entries), Dict::new());
        assert!(outcome.is_failed() && outcome.msg.contains(why), "{name}: {}", outcome.msg);
    }
}

#[test]
fn what_a_restore_needs_is_looked_for() {
    let mut entries = whole();
    entries.retain(|e| !e.0.ends_with("etcd-snapshot.db") && !e.0.ends_with("/static.yaml"));
    let outcome = examine(archive(&entries), Dict::new());
    for part in ["etcd-snapshot/etcd-snapshot.db", "hieradata/static.yaml"] {
        assert!(outcome.is_failed() && outcome.msg.contains(part), "{}", outcome.msg);
    }
}
