//! Changed journals whose sums are right: who can write the file can compute the chain anew, so it stops nobody. What such a
//! journal says is nonsense, and still nothing may panic, or be taken for more than it says.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use stx_upgrade::journal::key::StepKey;
use stx_upgrade::journal::read::{Answers, Reader};
use stx_upgrade::journal::record::*;
use stx_upgrade::journal::recover::Recovered;
use stx_upgrade::journal::seal::Kept;
use stx_upgrade::model::event;
use stx_upgrade::report::story::Story;

use crate::mutate::{fuzz, mutated};
use crate::parts::*;

/// Bodies as lines of a journal, each bound to those before it.
fn chained(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut sum = [0u8; 32];
    let mut out = Vec::new();
    for body in bodies {
        sum = Sha256::new().chain_update(sum).chain_update(body).finalize().into();
        out.extend(format!("{{\"sum\":\"{}\",\"body\":", hex::encode(sum)).as_bytes());
        out.extend(body);
        out.extend(b"}\n");
    }
    out
}

/// The bodies of a journal that has one of each kind of record.
fn bodies(folder: &Folder) -> Vec<Vec<u8>> {
    let mut journal = folder.create();
    let end = End { end: event::End::Completed, at: 1, stats: Vec::new(), tasks: 1 };
    let text = "asked the agent".into();
    let verdict = Verdict { key: key("b"), attempt: 2, ruling: Ruling::Again, by: "the agent".into(), text, at: 5 };
    journal
        .append(&[
            started("a", 1),
            warning("careful"),
            finished("a", 1, answer("done")),
            started("b", 2),
            Body::Verdict(Box::new(verdict)),
            Body::Decided(Box::new(Decided { key: StepKey::run(), what: "x".into(), value: Kept::Clear(1.into()) })),
            Body::Decided(Box::new(Decided::secret(StepKey::run(), "prompt:pin", "123".into()))),
            Body::End(Box::new(end)),
        ])
        .unwrap();
    let text = fs::read(folder.journal()).unwrap();
    let body = |line: &[u8]| line[81..line.len() - 1].to_vec();
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(body).collect()
}

/// Reads, folds, tells and opens a journal as a resume and a `show` do.
fn taken(bytes: &[u8], answers: &Answers) -> Recovered {
    let mut recovered = Recovered::default();
    let mut story = Story::default();
    for record in Reader::new(bytes, Path::new("x")).map_while(Result::ok) {
        story.tell(&record);
        match &record.body {
            Body::Finished(f) => drop(answers.opened((**f).clone())),
            Body::Decided(d) => drop(answers.decided(d)),
            _ => {}
        }
        recovered.take(record);
    }
    recovered
}

#[test]
fn changed_records_with_right_sums() {
    let folder = Folder::new();
    let corpus = bodies(&folder);
    let answers = folder.answers();
    let taken = |bytes: &[u8]| taken(bytes, &answers);
    let whole = taken(&chained(&corpus));
    assert_eq!((whole.records as usize, whole.header.is_some()), (corpus.len(), true), "the chain is right");
    let words =
        ["{", "}", "[", "]", "\"", ":", ",", "null", "-1", "1e99", "18446744073709551616", "\\ud800", "\\n", "|", "%"];
    let header = corpus[0].clone();
    fuzz("journal", 3000, &corpus, &words, |bytes| {
        taken(&chained(&[header.clone(), bytes.to_vec(), corpus[2].clone()]));
        taken(&chained(&[bytes.to_vec(), corpus[1].clone()]));
    });
    // Without right sums nothing of what was changed is taken in.
    let mut dice = crate::mutate::Dice::new(7);
    let whole = chained(&corpus);
    for _ in 0..500 {
        let bytes = mutated(&whole, &corpus, &words, &mut dice);
        let same = whole.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
        let lines = whole[..same].iter().filter(|b| **b == b'\n').count();
        assert!(taken(&bytes).records as usize <= lines + 1, "{:?}", String::from_utf8_lossy(&bytes));
    }
}
