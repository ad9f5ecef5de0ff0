//! Renders recorded events and compares byte for byte with what ansible-playbook printed in the same run.
//!
//! A case in `tests/reports` is three files: `NAME.events` (what happened, one event a line), `NAME.txt` (standard output
//! of ansible-core 2.19.14 for a play in `tests/reports/plays`) and `NAME.v` (its verbosity). The events were written by a
//! callback plugin that translates what the default one is told, in the very same run.

use std::fs;
use std::path::Path;

use stx_upgrade::model::event::Stamped;
use stx_upgrade::report::Reporter;
use stx_upgrade::report::lines::Options;
use stx_upgrade::report::plain::Plain;

#[test]
fn lines_are_ansibles_to_the_letter() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir("tests/reports").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "events") {
            continue;
        }
        cases += 1;
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        let verbosity = fs::read_to_string(path.with_extension("v")).unwrap().trim().parse().unwrap();
        let printed = render(&path, verbosity);
        if printed != expected {
            let differing = expected.lines().zip(printed.lines()).position(|(a, b)| a != b).unwrap_or(0);
            let (a, b) = (expected.lines().nth(differing), printed.lines().nth(differing));
            wrong.push(format!("{}:{}:\n  ansible: {a:?}\n  ours:    {b:?}", path.display(), differing + 1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 0);
}

fn render(events: &Path, verbosity: u8) -> String {
    let (mut out, mut aside) = (Vec::new(), Vec::new());
    // The plays ran in a folder called /plays.
    let source = |name: &str| fs::read_to_string(name.replace("/plays/", "tests/reports/plays/")).ok();
    let color = events.to_string_lossy().contains(".color.");
    let options = Options { verbosity, color, custom_stats: true, source, ..Options::default() };
    let mut plain = Plain::new(options, &mut out, &mut aside);
    for line in fs::read_to_string(events).unwrap().lines() {
        let stamped: Stamped = serde_json::from_str(line).unwrap();
        plain.event(&stamped);
    }
    plain.finish();
    drop(plain);
    String::from_utf8(out).unwrap()
}
