//! The journal as a file: written, cut, edited, locked, resumed.

mod damage;
mod fuzz;
#[path = "../hostile/mutate.rs"]
mod mutate;
mod parts;
mod properties;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use stx_upgrade::dict;
use stx_upgrade::journal::key::StepKey;
use stx_upgrade::journal::log::{Journal, JournalError, is_driven};
use stx_upgrade::journal::read::{ReadError, Reader, verify};
use stx_upgrade::journal::record::*;
use stx_upgrade::journal::writer::Writer;
use stx_upgrade::model::event;
use stx_upgrade::model::outcome::{Consequence, Outcome, Status};
use stx_upgrade::model::secret::Secret;
use stx_upgrade::model::source::Span;
use stx_upgrade::model::value::Value;

use crate::parts::*;

#[test]
fn a_killed_run_is_found_as_it_stood() {
    let folder = Folder::new();
    let mut journal = folder.create();
    journal.append(&[started("a", 1), warning("careful"), started("b", 2)]).unwrap();
    journal.append(&[finished("a", 1, answer("done")), started("c", 3)]).unwrap();
    drop(journal);

    let opened = folder.open().unwrap();
    let r = &opened.recovered;
    assert_eq!(r.header, Some(header()));
    assert_eq!(r.parts.iter().map(|p| (p.number, p.at)).collect::<Vec<_>>(), [(1, 1_000), (2, 9_000)]);
    assert_eq!(r.in_doubt.keys().cloned().collect::<Vec<_>>(), [key("b"), key("c")]);
    assert_eq!(r.ended, None);
    let done = r.done(&key("a")).unwrap();
    assert_eq!((&done.status, done.changed, &*done.fingerprint), (&Status::Ok, true, "f00d"));
    assert_eq!(opened.answers.answer(done).unwrap(), answer("done"));
    assert_eq!(opened.torn, None);
}

#[test]
fn the_file_is_private_and_stands_where_it_was_wanted() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (journal, warnings) = Journal::create(&folder.journal(), header(), folder.guard()).unwrap();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(journal.path()), 0o600);
    assert_eq!(mode(journal.path().parent().unwrap()), 0o700);
    assert!(warnings.is_empty());
    let again = Journal::create(&folder.journal(), header(), folder.guard());
    assert!(matches!(again.err(), Some(JournalError::Exists { .. })));

    drop(journal);
    // As on a stick: its filesystem says that everyone may read.
    fs::set_permissions(folder.journal(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(folder.open().unwrap().warnings[0].contains("can be read by others"));
}

#[test]
fn a_second_runner_is_told_of_the_first() {
    let folder = Folder::new();
    let journal = folder.create();
    let error = folder.open().err().unwrap();
    assert!(matches!(&error, JournalError::Locked { holder: Some(p), .. } if p.pid == 4121));
    assert!(error.to_string().contains("driven by pid 4121 on jump1 (ops) since "), "{error}");
    drop(journal);
    assert!(folder.open().is_ok());
}

#[test]
fn rulings_and_ends() {
    let folder = Folder::new();
    let mut journal = folder.create();
    journal.append(&[started("a", 1), started("b", 2), started("c", 3)]).unwrap();
    let verdict = |id: &str, attempt, ruling| {
        let text = "asked the agent".into();
        Body::Verdict(Box::new(Verdict { key: key(id), attempt, ruling, by: "the agent".into(), text, at: 5 }))
    };
    journal.append(&[verdict("a", 1, Ruling::NeverRan), verdict("b", 2, Ruling::Again)]).unwrap();
    journal.append(&[verdict("c", 3, Ruling::Ran)]).unwrap();
    let end = End { end: event::End::Stopped("Ctrl-C".into()), at: 7, stats: Vec::new(), tasks: 3 };
    journal.append(&[Body::End(Box::new(end.clone()))]).unwrap();
    drop(journal);

    let (r, ..) = fold(&folder.journal());
    assert_eq!(r.ended, Some(end));
    assert_eq!(r.in_doubt.keys().cloned().collect::<Vec<_>>(), [key("c")], "its result was not written yet");
    assert!(r.counts_as_changed(&key("b")) && !r.counts_as_changed(&key("a")));

    let mut opened = folder.open().unwrap();
    opened.journal.append(&[finished("c", 3, answer("x")), started("b", 4), finished("b", 4, answer("y"))]).unwrap();
    let (r, ..) = fold(&folder.journal());
    assert_eq!((r.ended, r.in_doubt.len(), r.finished.len(), r.ruled.len()), (None, 0, 2, 1));
}

#[test]
fn a_step_run_again_forgets_its_first_answer() {
    let folder = Folder::new();
    let mut journal = folder.create();
    journal.append(&[started("a", 1), finished("a", 1, answer("old")), started("a", 2)]).unwrap();
    let (r, ..) = fold(&folder.journal());
    assert!(r.done(&key("a")).is_none());
    assert_eq!(r.in_doubt[&key("a")].attempt, 2);
    journal.append(&[finished("a", 2, answer("new"))]).unwrap();
    let (r, ..) = fold(&folder.journal());
    assert_eq!(folder.answers().answer(r.done(&key("a")).unwrap()).unwrap(), answer("new"));
}

#[test]
fn values_come_back_as_they_were() {
    let folder = Folder::new();
    let mut journal = folder.create();
    let mut odd = dict! {"f" => f64::INFINITY, "x" => 0.1 + 0.2};
    odd.insert(stx_upgrade::model::value::Key::Int(1), "one".into());
    let lazy = Value::written("{{ b }}", &Span::of_text("vars.yml", "{{ b }}"));
    let given = Answer {
        outcome: Outcome::ok().with("odd", Value::dict(odd.clone())),
        consequences: vec![Consequence::IncludeVars { vars: dict! {"a" => lazy} }],
        notified: vec!["restart".into()],
    };
    let decided = Decided::new(StepKey::run(), "items", Value::dict(odd.clone()));
    journal.append(&[finished("a", 1, given.clone()), Body::Decided(Box::new(decided))]).unwrap();
    let (r, ..) = fold(&folder.journal());
    let back = folder.answers().answer(r.done(&key("a")).unwrap()).unwrap();
    assert_eq!(format!("{back:?}"), format!("{given:?}"));
    let Consequence::IncludeVars { vars } = &back.consequences[0] else { panic!() };
    assert!(vars["a"].has_template());
    let back = folder.answers().decided(&r.decided[&(StepKey::run(), "items".into())]).unwrap();
    assert_eq!(format!("{back:?}"), format!("{:?}", Value::dict(odd)));
}

#[test]
fn secrets_are_sealed_or_masked_and_come_back() {
    let folder = Folder::new();
    let guard = folder.guard();
    guard.mask.learn(&Secret::new("hunter\"2"));
    let (mut journal, _) = Journal::create(&folder.journal(), header(), guard).unwrap();
    let known = answer("the password is hunter\"2");
    let unknown = answer("tell nobody");
    let no_log = Finished::new(key("b"), Some(2), "f00d", 1, unknown.clone()).shown(Shown {
        censored: true,
        item: Some(event::Item { index: 0, label: "nobody".into(), var: "item".into() }),
        ..Shown::default()
    });
    let typed = Decided::secret(StepKey::run(), "prompt:pin", "123".into());
    journal
        .append(&[
            finished("a", 1, known.clone()),
            Body::Finished(Box::new(no_log)),
            Body::Decided(Box::new(typed)),
            warning("hunter\"2 is wrong"),
        ])
        .unwrap();

    let text = fs::read_to_string(folder.journal()).unwrap();
    assert!(!text.contains("hunter") && !text.contains("nobody") && !text.contains("\"123\""), "{text}");
    assert!(text.contains("******** is wrong"));
    let (r, ..) = fold(&folder.journal());
    assert_eq!(folder.answers().answer(r.done(&key("a")).unwrap()).unwrap(), known);
    assert_eq!(folder.answers().answer(r.done(&key("b")).unwrap()).unwrap(), unknown);
    let pin = folder.answers().decided(&r.decided[&(StepKey::run(), "prompt:pin".into())]).unwrap();
    assert_eq!(pin.as_str(), Some("123"));

    fs::remove_file(folder.guard().key).unwrap();
    let error = folder.answers().answer(r.done(&key("a")).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the key that opens it is not on this machine"), "{error}");
}

#[test]
fn too_deep_a_value_is_left_out_not_lost_with_the_journal() {
    let folder = Folder::new();
    let mut journal = folder.create();
    let deep = (0..500).fold(Value::Null, |v, _| Value::list(vec![v]));
    let given = Answer { outcome: Outcome::ok().with("deep", deep), ..Answer::default() };
    journal.append(&[finished("a", 1, given)]).unwrap();
    let (r, error, _) = fold(&folder.journal());
    assert!(error.is_none());
    assert!(folder.answers().answer(r.done(&key("a")).unwrap()).unwrap_err().to_string().contains("levels deep"));
}

#[test]
fn a_newer_format_is_shown_and_not_resumed() {
    let folder = Folder::new();
    let (journal, _) =
        Journal::create(&folder.journal(), Header { format: FORMAT + 1, ..header() }, folder.guard()).unwrap();
    drop(journal);
    let mut bytes = fs::read(folder.journal()).unwrap();
    // A record of a kind that this program does not know, rightly chained.
    use sha2::{Digest, Sha256};
    let sum = hex::decode(&bytes[8..72]).unwrap();
    let body = br#"{"dreamt":{"of":"sheep"}}"#;
    let next = hex::encode(Sha256::new().chain_update(sum).chain_update(body).finalize());
    bytes.extend_from_slice(format!("{{\"sum\":\"{next}\",\"body\":").as_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"}\n");
    fs::write(folder.journal(), bytes).unwrap();
    let (r, error, _) = fold(&folder.journal());
    assert_eq!((r.records, error.is_none()), (2, true));
    assert!(matches!(folder.open().err(), Some(JournalError::Newer { format, .. }) if format == FORMAT + 1));
}

#[test]
fn a_run_is_followed_while_it_writes() {
    let folder = Folder::new();
    let whole = sample(&folder);
    let path = folder.journal();
    let half = whole.len() - 30;
    fs::write(&path, &whole[..half]).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    let before = reader.by_ref().map(Result::unwrap).count();
    assert!(reader.torn().is_some());
    reader.look_again();
    assert_eq!(reader.by_ref().count(), 0);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[half..]).unwrap();
    reader.look_again();
    assert_eq!((before, reader.by_ref().map(Result::unwrap).count(), reader.torn()), (4, 1, None));
}

#[test]
fn whether_a_run_is_driven() {
    let folder = Folder::new();
    let journal = folder.create();
    assert!(is_driven(&folder.journal()));
    drop(journal);
    assert!(!is_driven(&folder.journal()));
}

#[test]
fn what_is_no_journal_is_said_to_be_none() {
    let folder = Folder::new();
    fs::create_dir_all(folder.journal().parent().unwrap()).unwrap();
    for text in ["hello\n", "{\"a\": 1}\n", "\u{7f}ELF"] {
        fs::write(folder.journal(), text).unwrap();
        assert!(matches!(verify(&folder.journal()), Err(ReadError::NotAJournal { .. })), "{text:?}");
    }
    fs::remove_file(folder.journal()).unwrap();
    assert!(folder.open().is_err());
}

#[test]
fn a_journal_that_was_removed_stops_the_run() {
    let folder = Folder::new();
    let mut journal = folder.create();
    fs::remove_file(folder.journal()).unwrap();
    assert!(matches!(journal.append(&[started("a", 1)]), Err(JournalError::Gone { .. })));
    assert!(matches!(journal.append(&[started("a", 1)]), Err(JournalError::Broken { .. })));
    assert!(matches!(journal.sync(), Err(JournalError::Broken { .. })), "a later sync proves nothing");
}

/// The size limit of a process stands in for a disk that holds nothing more, so this test runs itself in one of its own.
#[test]
fn a_full_disk_has_its_own_error() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    const INSIDE: &str = "STX_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let run = again.args(["a_full_disk_has_its_own_error", "--exact"]).env(INSIDE, "1").output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block().unwrap();
    let folder = Folder::new();
    let mut journal = folder.create();
    journal.append(&[started("a", 1)]).unwrap();
    let length = fs::metadata(folder.journal()).unwrap().len();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, length + 100, hard).unwrap();
    let error = journal.append(&[finished("a", 1, answer("x"))]).unwrap_err();
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    assert_eq!(fs::metadata(folder.journal()).unwrap().len(), length, "no half record is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_groups_and_answers_each() {
    let folder = Folder::new();
    let writer = Writer::start(folder.create()).unwrap();
    let tasks: Vec<_> = (0..50u64)
        .map(|i| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let id = format!("s{i}");
                writer.note(warning("a note"));
                writer.commit(vec![started(&id, i)]).await.unwrap();
                writer.commit(vec![finished(&id, i, answer("x"))]).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let late = writer.clone();
    drop(writer.close().unwrap().unwrap());
    assert!(matches!(&*late.commit(vec![started("z", 99)]).await.unwrap_err(), JournalError::Broken { .. }));
    let (r, error, _) = fold(&folder.journal());
    assert_eq!((r.finished.len(), r.in_doubt.len(), r.records, error.is_none()), (50, 0, 151, true));
}

#[tokio::test]
async fn a_failed_commit_reaches_all_who_wait() {
    let folder = Folder::new();
    let writer = Writer::start(folder.create()).unwrap();
    fs::remove_file(folder.journal()).unwrap();
    let both = [writer.commit(vec![started("a", 1)]), writer.commit(vec![started("b", 2)])];
    for commit in both {
        let error: Arc<JournalError> = commit.await.unwrap_err();
        assert!(matches!(&*error, JournalError::Gone { .. } | JournalError::Broken { .. }));
    }
}

/// Names have the minute only, by local time.
#[test]
fn the_last_run_is_the_one_that_began_last() {
    let dir = tempfile::tempdir().unwrap();
    let state = stx_upgrade::journal::place::StateDir::at(dir.path());
    for (run, at) in [("20261121-0314-zz", 1_000), ("20261121-0314-bb", 2_000)] {
        let header = Header { run: run.into(), part: part(at), ..header() };
        let guard = stx_upgrade::journal::log::Guard { mask: Default::default(), key: state.key() };
        Journal::create(&state.journal(run), header, guard).unwrap();
    }
    assert_eq!(state.run(None).unwrap().id, "20261121-0314-bb");
}
