//! What holds for any records and any bytes.

use std::path::Path;

use proptest::prelude::*;
use stx_upgrade::journal::read::{Place as Bytes, Reader, Record};
use stx_upgrade::journal::record::*;
use stx_upgrade::journal::recover::recover;
use stx_upgrade::journal::seal::Kept;
use stx_upgrade::model::event;

use crate::parts::*;

fn any_body() -> impl Strategy<Value = Body> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        Just(Body::Header(Box::new(header()))),
        (0u64..9).prop_map(|at| Body::Part(Box::new(part(at)))),
        (id.clone(), any::<u64>()).prop_map(|(id, n)| started(id, n % 100)),
        (id.clone(), any::<u64>()).prop_map(|(id, n)| finished(id, n % 100, answer("x"))),
        (id, prop_oneof![Just(Ruling::Ran), Just(Ruling::NeverRan), Just(Ruling::Again), Just(Ruling::TakenAsDone)])
            .prop_map(|(id, ruling)| Body::Verdict(Box::new(Verdict {
                key: key(id),
                attempt: 1,
                ruling,
                by: "x".into(),
                text: String::new(),
                at: 1
            }))),
        Just(warning("w")),
        Just(Body::End(Box::new(End { end: event::End::Completed, at: 1, stats: Vec::new(), tasks: 1 }))),
        Just(Body::Decided(Box::new(Decided { key: key("a"), what: "x".into(), value: Kept::Clear(1.into()) }))),
        Just(Body::Unknown),
    ]
}

proptest! {
    #[test]
    fn any_records_fold_and_a_prefix_goes_on_to_the_whole(bodies in proptest::collection::vec(any_body(), 0..40), cut: usize) {
        let records: Vec<Record> = bodies.into_iter().enumerate()
            .map(|(i, body)| Record { number: i as u64 + 1, place: Bytes::default(), body })
            .collect();
        let cut = cut % (records.len() + 1);
        let whole = recover(records.clone());
        let mut resumed = recover(records[..cut].to_vec());
        for record in records[cut..].iter().cloned() {
            resumed.take(record);
        }
        prop_assert_eq!(&resumed, &whole);
        for key in whole.in_doubt.keys() {
            prop_assert!(!whole.finished.contains_key(key), "{} is both done and in doubt", key);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in 0usize..6) {
        let folder = Folder::new();
        let whole = sample(&folder);
        let mut file: Vec<u8> = whole.split_inclusive(|b| *b == b'\n').take(lines).flatten().copied().collect();
        file.extend_from_slice(&bytes);
        let reader = Reader::new(&file[..], Path::new("x"));
        prop_assert!(reader.filter(Result::is_ok).count() <= lines);
    }
}
