//! Agents that lie. What takes an agent's place says changed words of a saved corpus, or floods; and an agent is told
//! changed words itself. Neither side may panic, hang, or believe what was not asked.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use stx_upgrade::action::module::Call;
use stx_upgrade::action::wire::{Frame, FromAgent, VERSION};
use stx_upgrade::connection::{Connector, Kind, LinkError, Target};
use stx_upgrade::dict;
use stx_upgrade::model::value::Value;

use crate::mutate::{Dice, mutated};
use crate::place::Place;

const WORDS: [&str; 10] =
    ["{", "}", "\"", "null", "-1", "1e99", "18446744073709551615", "\\ud800", "done", "\0\0\0\u{2}J"];

fn frames(messages: &str) -> Vec<Vec<u8>> {
    let message = |l: &str| Frame::Json(l.as_bytes().to_vec()).encode();
    let mut frames: Vec<_> = messages.lines().filter(|l| !l.is_empty()).map(message).collect();
    frames.push(Frame::Bytes(b"bytes that nobody asked for".to_vec()).encode());
    frames
}

fn welcome() -> Vec<u8> {
    let text =
        format!(r#"{{"say":"welcome","version":{VERSION},"boot_id":"b/1","pid":7,"started_at":1,"user":"root"}}"#);
    Frame::Json(text.into_bytes()).encode()
}

/// A program that says its welcome, waits for the first word, says this, and then does `last`.
fn liar(place: &Place, said: &[u8], last: &str) -> Connector {
    place.write("welcome", welcome()).write("said", said);
    let script = "#!/bin/sh\ncd \"${0%/*}\"\ncat welcome\nhead -c 5 >/dev/null\ncat said";
    place.program("liar", &format!("{script}\n{last}\n"));
    Connector::with_program("r1", Arc::new(()), place.at("liar"), Duration::from_secs(5))
}

fn ping() -> Call {
    let args = Value::dict(dict! {"data" => "x"});
    Call { module: "ping".into(), args, env: vec![], deadline: 5, check: false, fresh: false, become_: None, job: None }
}

fn here() -> Target {
    Target { kind: Kind::Local, ..Target::new("localhost") }
}

/// Runs an engine's side to its end, which must come.
fn engine<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await });
    ended.expect("it does not wait for ever")
}

fn json(text: &str) -> Vec<u8> {
    Frame::Json(text.as_bytes().to_vec()).encode()
}

#[test]
fn changed_words_of_an_agent() {
    let corpus = frames(include_str!("corpus/from_agent"));
    let place = Place::new();
    let mut dice = Dice::new(1);
    for n in 0..60 {
        let mut said = Vec::new();
        for _ in 0..4 {
            said.extend(changed(&corpus, &mut dice));
        }
        engine(async {
            let link = liar(&place, &said, "").open(&here()).await.unwrap();
            // Whatever comes of it: an outcome of the agent's own host, or a link that is lost.
            match link.call(1, &ping(), None).await {
                Ok(done) => assert!(String::from_utf8_lossy(&said).contains("done"), "{n}: {done:?}"),
                Err(e) => assert!(matches!(e, LinkError::Lost { .. } | LinkError::Broken { .. }), "{n}: {e:?}"),
            }
            link.close().await;
        });
    }
}

/// A frame of the corpus, changed inside its length or with it.
fn changed(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let frame = &corpus[dice.below(corpus.len())];
    match dice.below(3) {
        0 => frame.clone(),
        1 => mutated(frame, corpus, &WORDS, dice),
        _ => Frame::Json(mutated(&frame[5..], corpus, &WORDS, dice)).encode(),
    }
}

#[test]
fn answers_that_nobody_asked_for_are_not_believed() {
    let place = Place::new();
    let done =
        |attempt: u64| json(&format!(r#"{{"say":"done","attempt":{attempt},"outcome":{{"status":"ok"}},"millis":1}}"#));
    engine(async {
        let said = [done(2), json(r#"{"say":"running","attempt":1}"#), done(0), done(u64::MAX - 1)].concat();
        let link = liar(&place, &said, "").open(&here()).await.unwrap();
        let lost = link.call(1, &ping(), None).await;
        assert!(matches!(lost, Err(LinkError::Lost { sent: true, .. })), "{lost:?}");
        link.close().await;

        // A frame that is no frame, one longer than any, and words that are none of ours end the link.
        let deep = json(&format!("{{\"say\":{}", "[".repeat(100_000)));
        for said in [vec![0, 0, 0, 0, b'J'], vec![0xff; 9], vec![0, 0, 0, 2, b'X', 0], json("{\"say\":\"sudo\"}"), deep]
        {
            let link = liar(&place, &said, "exec sleep 20").open(&here()).await.unwrap();
            let lost = link.call(1, &ping(), None).await;
            assert!(matches!(lost, Err(LinkError::Lost { sent: true, .. })), "{lost:?}");
            link.close().await;
        }
    });
}

#[test]
fn a_file_that_is_not_what_it_says_is_not_put_in_place() {
    let place = Place::new();
    let to = place.at("fetched");
    let begin = json(r#"{"say":"file","attempt":1,"size":4,"mode":420}"#);
    let end = json(&format!(r#"{{"say":"file_end","attempt":1,"sha256":"{}"}}"#, "0".repeat(64)));
    let other = json(&format!(r#"{{"say":"file_end","attempt":2,"sha256":"{}"}}"#, "0".repeat(64)));
    let bytes = Frame::Bytes(b"evil".to_vec()).encode();
    for said in
        [[&*begin, &bytes, &end].concat(), [&*begin, &bytes].concat(), [&*bytes, &other].concat(), begin.clone()]
    {
        engine(async {
            let link = liar(&place, &said, "").open(&here()).await.unwrap();
            assert!(link.fetch(1, "/etc/hostname", None, &to).await.is_err());
            link.close().await;
        });
        assert!(!to.exists());
        let left = |e: std::fs::DirEntry| e.file_name().to_string_lossy().starts_with(".stx");
        assert!(!std::fs::read_dir(place.0.path()).unwrap().flatten().any(left), "parts of it are gone");
    }
}

#[test]
fn a_flood_is_not_kept() {
    let place = Place::new();
    let line = json(r#"{"say":"output","attempt":7,"line":"for nobody"}"#);
    place.write("flood", line.repeat(20_000));
    let before = memory();
    engine(async {
        // A length alone costs nothing; a hundred megabytes of words for nobody, and files that nobody wants, neither.
        let header = [&FRAME_LENGTH.to_be_bytes()[..], b"J{"].concat();
        let link = liar(&place, &header, "").open(&here()).await.unwrap();
        assert!(link.call(1, &ping(), None).await.is_err());
        link.close().await;
        let last =
            "for i in 1 2 3 4 5 6 7 8 9 0; do for j in 1 2 3 4 5 6 7 8 9 0; do cat flood; done; done 2>/dev/null";
        let link = liar(&place, b"", last).open(&here()).await.unwrap();
        assert!(link.call(1, &ping(), None).await.is_err());
        link.close().await;
    });
    assert!(memory() < before + (80 << 10), "{} kB, {before} before", memory());
}

/// The longest frame there may be.
const FRAME_LENGTH: u32 = 64 << 20;

/// The memory of this process, in kB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn changed_words_of_an_engine() {
    let corpus = frames(include_str!("corpus/to_agent"));
    let mut dice = Dice::new(2);
    for n in 0..40 {
        let place = Place::new();
        let mut agent = place.command(&["agent", "worker", "r1"]);
        agent.env("TMPDIR", place.0.path());
        let mut agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = agent.stdin.take().unwrap();
        let mut said = Vec::new();
        for _ in 0..12 {
            said.extend(changed(&corpus, &mut dice));
        }
        // It may end before it has heard all.
        let _ = stdin.write_all(&said);
        drop(stdin);
        let pid = agent.id();
        let out = agent.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code().is_some() && !told.contains("panicked"),
            "{n}: {told} {:?}",
            String::from_utf8_lossy(&said)
        );
        let mut rest = &out.stdout[..];
        while let Some(frame) = Frame::read(&mut rest).unwrap() {
            assert!(matches!(frame, Frame::Bytes(_)) || frame.parse::<FromAgent>().is_ok(), "{n}: {frame:?}");
        }
        for root in ["/var/tmp", "/tmp", "/dev/shm"] {
            let left =
                |e: std::fs::DirEntry| e.file_name().to_string_lossy().contains(&format!("stx-upgrade-pid{pid}-"));
            assert!(!std::fs::read_dir(root).unwrap().flatten().any(left), "{n}: it leaves nothing");
        }
    }
}

/// A server that is being killed takes a connection and says nothing; the next one does.
#[test]
fn a_server_that_is_going_is_followed_by_another() {
    let place = Place::new();
    let dir = place.at("cache/stx-upgrade/run/r1-going");
    std::fs::create_dir_all(&dir).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let going = std::thread::spawn(move || {
        let heard = listener.accept().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        drop((heard, listener));
    });
    let mut agent = place.command(&["agent", "attach", "r1-going", "1"]);
    let mut agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let first = Frame::read(agent.stdout.as_mut().unwrap()).unwrap().map(|f| f.parse().unwrap());
    assert!(matches!(&first, Some(FromAgent::Welcome(_))), "{first:?}");
    drop(agent.stdin.take());
    agent.wait().unwrap();
    going.join().unwrap();
}
