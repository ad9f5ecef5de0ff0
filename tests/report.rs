//! One scripted run through every reporter, as snapshots; what is Ansible's own is held by `report_oracle`.

use std::sync::{Arc, Mutex};

use stx_upgrade::dict;
use stx_upgrade::journal::key::{StepKey, StepPlace};
use stx_upgrade::journal::read::{Place as Bytes, Record, Verified};
use stx_upgrade::journal::record::{
    self, Answer, Body, FORMAT, Finished, Header, Input, Part, Ruling, Started, Verdict,
};
use stx_upgrade::journal::recover::recover;
use stx_upgrade::journal::seal::Kept;
use stx_upgrade::model::event::*;
use stx_upgrade::model::outcome::{Diff, Outcome, Status};
use stx_upgrade::model::secret::{Mask, Secret};
use stx_upgrade::model::source::Place;
use stx_upgrade::model::value::Value;
use stx_upgrade::report::Reporter;
use stx_upgrade::report::json::Json;
use stx_upgrade::report::junit::{Junit, Wishes};
use stx_upgrade::report::lines::Options;
use stx_upgrade::report::live::{Live, Room};
use stx_upgrade::report::overview::{self, Row};
use stx_upgrade::report::plain::Plain;
use stx_upgrade::report::story::{Story, concerns};
use stx_upgrade::report::style::Paint;

/// 2026-11-21 03:14 UTC.
const NOW: u64 = 1_795_230_840_000;

fn step(id: &str, name: &str, action: &str, number: u32) -> StepRef {
    let place = Place { file: "upgrade.yml".into(), line: 10 + number, column: 5 };
    StepRef { id: id.into(), name: name.into(), action: action.into(), place, handler: false, number: Some(number) }
}

fn shown(outcome: Outcome) -> Shown {
    Shown {
        outcome,
        ignored: false,
        delegated_to: None,
        censored: false,
        verbose: false,
        replayed: false,
        millis: 1_500,
        attempts: None,
    }
}

fn done(step: &StepRef, outcome: Outcome) -> Event {
    Event::HostDone { step: step.clone(), host: "controller-0".into(), result: shown(outcome) }
}

fn gate() -> Gate {
    Gate {
        title: "controller-0 will be wiped".into(),
        lines: vec![
            ("What happens".into(), "host-upgrade wipes the root disk\nand installs 22.12".into()),
            ("Undo".into(), "reinstall 21.12 and restore".into()),
        ],
        expect: "controller-0".into(),
    }
}

fn wait(elapsed: u64, seen: &str) -> Wait {
    Wait {
        reason: "host-upgrade, install of 22.12".into(),
        elapsed,
        usual: Some(25 * 60_000),
        budget: 60 * 60_000,
        seen: seen.into(),
    }
}

fn script() -> Vec<Stamped> {
    let host = || "controller-0".to_owned();
    let lock = step("s1", "precheck : alarms against the baseline", "stx_alarms", 1);
    let hiera = step("s2", "hiera : migrate static.yaml", "stx_hiera", 2);
    let wipe = step("s3", "wipe : gate", "stx_gate", 3);
    let start = step("s4", "start : upgrade-start, and wait", "stx_upgrade", 4);
    let cause = Value::list(vec![
        Value::list(vec!["Cause".into(), "56-k8s-volume-snapshot.py failed".into()]),
        Value::list(vec!["Safe now".into(), "yes: services run\nnothing to do tonight".into()]),
    ]);
    let failed = Outcome::failed("the upgrade went to activation-failed after 6m12s")
        .with("advice", cause)
        .with("stdout", "long output");
    let diff = Diff::Text {
        before_name: "21.12/static.yaml".into(),
        after_name: "22.12/static.yaml".into(),
        before: "a: 1\nversion: '21.12'\n".into(),
        after: "a: 1\nversion: '22.12'\n".into(),
    };
    let mut loops = shown(Outcome::changed(true));
    loops.delegated_to = Some("controller-1".into());
    let stats = HostStats { host: host(), ok: 2, changed: 2, failed: 1, ..HostStats::default() };
    let coverage = Coverage {
        decided: 64,
        total: 67,
        not_knowable: vec![(lock.place.clone(), "pull registry images".into(), "what the registry holds".into())],
    };
    let place = lock.place.clone();
    let events = vec![
        Event::RunStarted {
            run: "20261121-0314-k7".into(),
            playbooks: vec!["upgrade.yml".into()],
            check: false,
            diff: true,
            part: 1,
            steps: Some(67),
        },
        Event::PlaybookStarted { playbook: "playbooks/upgrade.yml".into() },
        Event::PlayStarted { name: "Simplex upgrade".into(), place, hosts: vec![host()], free: false, check: false },
        Event::TaskStarted { step: lock.clone(), of: Some(67), check: false },
        Event::HostStarted { step: lock.clone(), host: host() },
        done(&lock, Outcome::ok().with("alarms", Value::list(vec![]))),
        Event::TaskStarted { step: hiera.clone(), of: Some(67), check: false },
        done(&hiera, Outcome { warnings: vec!["key x is unknown".into()], ..Outcome::changed(true).diff(diff) }),
        Event::TaskStarted { step: wipe.clone(), of: Some(67), check: false },
        Event::GateOpened { step: wipe.clone(), host: host(), gate: gate() },
        Event::GateAnswered {
            step: wipe.clone(),
            host: host(),
            answer: "controller-0".into(),
            by: "ops@jump1".into(),
            accepted: true,
        },
        Event::ItemDone {
            step: wipe.clone(),
            host: host(),
            item: Item { index: 0, label: "a".into(), var: "item".into() },
            result: loops.clone(),
        },
        Event::HostDone { step: wipe, host: host(), result: loops },
        Event::TaskStarted { step: start.clone(), of: Some(67), check: false },
        Event::Waiting { step: start.clone(), host: host(), wait: wait(0, "Installing") },
        Event::Waiting { step: start.clone(), host: host(), wait: wait(10_000, "Installing") },
        Event::Waiting { step: start.clone(), host: host(), wait: wait(724_000, "no ssh yet") },
        Event::Link { host: host(), up: false, why: "broken pipe".into() },
        Event::Link { host: host(), up: true, why: String::new() },
        done(&start, failed),
        Event::Warning { text: "hunter22 is no good\x1b[2J".into() },
        Event::Stopping { why: "Ctrl-C".into() },
        Event::RunDone {
            run: "20261121-0314-k7".into(),
            end: End::Stopped("Ctrl-C".into()),
            stats: vec![stats],
            custom_stats: vec![("_run".into(), Value::dict(dict! {"a" => 1}))],
            check: Some(coverage),
            next: vec!["Next: stx-upgrade resume".into()],
        },
    ];
    (0..).zip(events).map(|(i, event)| Stamped { at: NOW + i * 1_000, event }).collect()
}

/// Both outputs in the order of writing; what goes to standard error is marked.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<String>>);
struct Pen(Paper, &'static str);

impl std::io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.split_inclusive('\n').for_each(|l| *self.0.0.lock().unwrap() += &format!("{}{l}", self.1));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn plain(options: Options, events: &[Stamped]) -> String {
    let paper = Paper::default();
    let mut reporter = Plain::new(options, Pen(paper.clone(), ""), Pen(paper.clone(), "stderr| "));
    events.iter().for_each(|e| reporter.event(e));
    reporter.finish();
    drop(reporter);
    std::mem::take(&mut *paper.0.lock().unwrap())
}

fn mask() -> Mask {
    let mask = Mask::default();
    mask.learn(&Secret::new("hunter22"));
    mask
}

#[test]
fn plain_lines() {
    insta::assert_snapshot!(plain(Options { mask: mask(), custom_stats: true, ..Options::default() }, &script()));
}

#[test]
fn plain_lines_in_color_and_verbose() {
    let options = Options { color: true, verbosity: 3, columns: 100, mask: mask(), ..Options::default() };
    insta::assert_snapshot!(plain(options, &script()).replace('\x1b', "␛"));
}

#[test]
fn a_resumed_run_shows_only_where_it_goes_on() {
    let two = step("s2", "second", "command", 2);
    let place = two.place.clone();
    let play = |name: &str| Event::PlayStarted {
        name: name.into(),
        place: place.clone(),
        hosts: vec![],
        free: false,
        check: false,
    };
    let lock = step("s1", "lock controller-0", "stx_host_lock", 1);
    let events = [
        Event::Resumed { done: 30, in_doubt: 1, to_go: Some(36) },
        play("done before"),
        play("goes on"),
        Event::InDoubt {
            step: lock,
            host: "controller-0".into(),
            sent_at: NOW,
            verdict: "asked the agent: it had run, rc 0.\nTaken as done; it is not run again.".into(),
        },
        Event::TaskStarted { step: two.clone(), of: Some(67), check: false },
        done(&two, Outcome::changed(true)),
    ];
    let events: Vec<Stamped> = events.into_iter().map(|event| Stamped { at: NOW, event }).collect();
    let text = plain(Options::default(), &events);
    let sent = stx_upgrade::journal::place::local_time(NOW, "%H:%M:%S");
    insta::assert_snapshot!(text.replace(&sent, "SENT"));
}

#[test]
fn no_log_shows_nothing_but_the_state() {
    let s = step("s1", "hidden", "command", 1);
    let mut failed = shown(record::censored(Status::Failed, true));
    failed.censored = true;
    let item = Item { index: 0, label: "hunter".into(), var: "item".into() };
    let events = [
        Event::ItemDone { step: s.clone(), host: "h".into(), item, result: failed.clone() },
        Event::HostDone { step: s.clone(), host: "h".into(), result: Shown { ignored: true, ..failed.clone() } },
        Event::HostDone { step: s, host: "i".into(), result: failed },
    ];
    let events: Vec<Stamped> = events.into_iter().map(|event| Stamped { at: NOW, event }).collect();
    insta::assert_snapshot!(plain(Options { verbosity: 1, ..Options::default() }, &events));
}

#[test]
fn json_lines() {
    let paper = Paper::default();
    let mut reporter = Json::new(Pen(paper.clone(), ""), mask());
    script().iter().for_each(|e| reporter.event(e));
    let text = paper.0.lock().unwrap().clone();
    for (line, event) in text.lines().zip(script()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["at"], event.at);
    }
    assert!(!text.contains("hunter22"));
    insta::assert_snapshot!(text);
}

#[test]
fn a_censored_items_label_is_hidden_from_programs_too() {
    let mut hidden = shown(record::censored(Status::Ok, true));
    hidden.censored = true;
    let item = Item { index: 0, label: "hunter".into(), var: "item".into() };
    let event = Event::ItemDone { step: step("s1", "x", "command", 1), host: "h".into(), item, result: hidden };
    let paper = Paper::default();
    Json::new(Pen(paper.clone(), ""), Mask::default()).event(&Stamped { at: NOW, event });
    let text = paper.0.lock().unwrap().clone();
    assert!(!text.contains("hunter") && text.contains("censored due to no_log"), "{text}");
}

#[test]
fn junit_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |wishes: Wishes| {
        let file = dir.path().join("reports/junit.xml");
        let mut reporter = Junit::new(file.clone(), wishes, mask());
        script().iter().for_each(|e| reporter.event(e));
        reporter.finish();
        std::fs::read_to_string(file).unwrap()
    };
    insta::assert_snapshot!(write(Wishes::default()));
    let strict = write(Wishes { fail_on_change: true, prefix: "precheck".into(), ..Wishes::default() });
    assert!(strict.contains("tests=\"4\" failures=\"3\""), "{strict}");
    let named = Wishes::read(|n| (n == "JUNIT_OUTPUT_DIR").then(|| dir.path().join("out").into()));
    Junit::new("x.xml".into(), named, mask()).finish();
    assert!(dir.path().join("out/x.xml").exists());
}

#[test]
fn a_closed_pipe_stops_nothing() {
    struct Closed(u32);
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            assert_eq!(self.0, 1, "it is not written to again");
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut reporter = Plain::new(Options::default(), Closed(0), Closed(0));
    script().iter().for_each(|e| reporter.event(e));
    reporter.finish();
}

#[test]
fn the_live_part() {
    let mut live = Live::default();
    let upgrade = step("s4", "start : upgrade-start", "stx_upgrade", 31);
    let started =
        |host: &str, at| Stamped { at, event: Event::HostStarted { step: upgrade.clone(), host: host.into() } };
    assert!(live.lines(NOW, Room { columns: 100, rows: 40 }, Paint::new(false)).is_empty());
    live.take(&script()[0]);
    live.take(&Stamped { at: NOW, event: Event::TaskStarted { step: upgrade.clone(), of: Some(67), check: false } });
    live.take(&started("controller-0", NOW));
    live.take(&started("compute-1", NOW + 2_000));
    let seen = "reinstalling (host answers ping, no ssh yet)";
    let waiting = Event::Waiting { step: upgrade.clone(), host: "controller-0".into(), wait: wait(720_000, seen) };
    live.take(&Stamped { at: NOW + 720_000, event: waiting });
    let line = Event::Output { step: upgrade.clone(), host: "compute-1".into(), line: "Get:1 http://…".into() };
    live.take(&Stamped { at: NOW + 720_000, event: line });
    let at = |columns, rows| live.lines(NOW + 724_000, Room { columns, rows }, Paint::new(false)).join("\n") + "\n";
    insta::assert_snapshot!(format!("{}\n{}\n{}", at(110, 40), at(80, 40), at(40, 4)));

    // Nothing is ever as wide as the terminal, whatever is told.
    use unicode_width::UnicodeWidthStr;
    for columns in 21..130 {
        for line in live.lines(NOW + 724_000, Room { columns, rows: 40 }, Paint::new(false)) {
            assert!(line.width() < columns, "{columns}: {line:?}");
        }
    }
    live.take(&Stamped {
        at: NOW,
        event: Event::GateOpened { step: upgrade, host: "controller-0".into(), gate: gate() },
    });
    assert!(
        live.lines(NOW, Room { columns: 100, rows: 40 }, Paint::new(false)).is_empty(),
        "the question has the terminal"
    );
}

fn part(number: u32, at: u64) -> Part {
    Part {
        number,
        at,
        user: "ops".into(),
        host: "jump1".into(),
        pid: 4121,
        cwd: "/home/ops".into(),
        argv: vec!["stx-upgrade".into()],
        version: "0.1.0".into(),
    }
}

fn key(id: &str, item: Option<u32>) -> StepKey {
    StepPlace { host: "controller-0".into(), step: id.into(), item, ..StepPlace::default() }.key()
}

/// The script as its journal would hold it.
fn records() -> Vec<Record> {
    let header = Header {
        format: FORMAT,
        run: "20261121-0314-k7".into(),
        playbooks: vec![Input { name: "playbooks/upgrade.yml".into(), path: None, sha256: String::new() }],
        inventory: Vec::new(),
        options: dict! {},
        part: part(1, NOW),
    };
    let mut bodies = vec![Body::Header(Box::new(header))];
    for e in script() {
        match &e.event {
            Event::HostDone { step, result, .. } => {
                let answer = Answer { outcome: result.outcome.clone(), ..Answer::default() };
                let marks = record::Shown { millis: result.millis, ..record::Shown::default() };
                let f = Finished::new(key(&step.id, None), None, "f", e.at, answer).shown(marks);
                bodies.push(Body::Finished(Box::new(f)));
            }
            Event::GateOpened { step, host, gate } => bodies.push(Body::Gate(Box::new(record::Gate {
                key: key(&step.id, None),
                host: host.clone(),
                step: step.clone(),
                gate: gate.clone(),
                answer: "controller-0".into(),
                by: "ops@jump1".into(),
                accepted: true,
                at: e.at,
            }))),
            Event::RunDone { .. } => {}
            event if record::worth_keeping(event) => bodies.push(Body::Event(Box::new(e))),
            _ => {}
        }
    }
    bodies.push(Body::Started(Box::new(Started {
        key: key("s1", Some(1)),
        attempt: 7,
        host: "controller-0".into(),
        step: step("s1", "lock controller-0", "stx_host_lock", 1),
        fingerprint: "f".into(),
        recovery: stx_upgrade::action::module::Recovery::Observe,
        boot_id: None,
        at: NOW + 60_000,
    })));
    (1..).zip(bodies).map(|(number, body)| Record { number, place: Bytes::default(), body }).collect()
}

#[test]
fn the_story_of_a_journal() {
    let mut records = records();
    let mut sealed = Finished::new(key("s2", None), None, "f", NOW, Answer::default());
    sealed.answer = Kept::LeftOut("it was not kept".into());
    sealed.changed = true;
    let verdict = Verdict {
        key: key("s1", Some(1)),
        attempt: 7,
        ruling: Ruling::Ran,
        by: "the agent".into(),
        text: "asked the agent: it had run, rc 0".into(),
        at: NOW,
    };
    for body in [Body::Finished(Box::new(sealed)), Body::Verdict(Box::new(verdict))] {
        records.push(Record { number: records.len() as u64 + 1, place: Bytes::default(), body });
    }
    let mut story = Story::default();
    let events: Vec<Stamped> = records.iter().flat_map(|r| story.tell(r)).collect();
    let sent = stx_upgrade::journal::place::local_time(NOW + 60_000, "%H:%M:%S");
    insta::assert_snapshot!(
        plain(Options { verbosity: 1, mask: mask(), ..Options::default() }, &events).replace(&sent, "SENT")
    );

    let about: Vec<&Stamped> = events.iter().filter(|e| concerns(&e.event, "hiera")).collect();
    assert_eq!(about.len(), 3, "its beginning and both results");
}

#[test]
fn runs_in_short() {
    let killed = recover(records());
    let mut parts = records();
    let end = record::End {
        end: End::Completed,
        at: NOW + 7_000_000,
        stats: vec![HostStats { host: "controller-0".into(), ok: 67, ..HostStats::default() }],
        tasks: 67,
    };
    for body in [Body::Part(Box::new(part(2, NOW + 280_000))), Body::End(Box::new(end))] {
        parts.push(Record { number: 0, place: Bytes::default(), body });
    }
    let completed = recover(parts);
    let rows = [
        Row { run: "20261121-0314-k7", stand: Ok(&completed), driven: false },
        Row { run: "20261121-0400-xx", stand: Ok(&killed), driven: false },
        Row { run: "20261121-0401-yy", stand: Ok(&killed), driven: true },
        Row { run: "20261121-0402-zz", stand: Err("record 2 is damaged".into()), driven: false },
    ];
    let verified = Verified { records: 214, bytes: 4096, torn: None, damage: None };
    let texts = [
        overview::runs(&rows),
        overview::status(&killed, false),
        overview::status(&killed, true),
        overview::status(&completed, false),
        overview::verified(&verified, &completed),
    ];
    // Times are local; the test is not.
    let mut text = texts.join("\n");
    for (at, format) in [(NOW, "%Y-%m-%d %H:%M"), (NOW + 60_000, "%Y-%m-%d %H:%M:%S"), (NOW + 60_000, "%H:%M:%S")] {
        let local = stx_upgrade::journal::place::local_time(at, format);
        let utc = chrono::DateTime::from_timestamp_millis(at as i64).unwrap().format(format).to_string();
        text = text.replace(&local, &utc);
    }
    let ended = stx_upgrade::journal::place::local_time(NOW + 7_000_000, "%Y-%m-%d %H:%M:%S");
    insta::assert_snapshot!(text.replace(&ended, "ENDED"));
}
