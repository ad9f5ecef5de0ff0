//! Every cut, every flipped bit, every edit is reported and nothing misread.

use std::fs;

use stx_upgrade::journal::log::JournalError;
use stx_upgrade::journal::read::{ReadError, verify};

use crate::parts::*;

#[test]
fn every_flipped_bit_is_reported() {
    let folder = Folder::new();
    let whole = sample(&folder);
    let path = folder.journal();
    let (intact, ..) = fold(&path);
    let starts: Vec<usize> =
        std::iter::once(0).chain(whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1)).collect();
    for i in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[i] ^= 1 << (i % 8);
        fs::write(&path, &bytes).unwrap();
        let (recovered, error, torn) = fold(&path);
        let record = starts.partition_point(|s| *s <= i);
        match error {
            None => assert!(torn && i == whole.len() - 1, "byte {i} was not noticed"),
            Some(ReadError::NotAJournal { .. }) => assert!(i < 8),
            Some(ReadError::Damaged { damage, .. }) => {
                assert_eq!((damage.number, damage.offset), (record as u64, starts[record - 1] as u64), "byte {i}");
            }
            Some(e) => panic!("byte {i}: {e}"),
        }
        assert!(recovered.records < intact.records);
    }
}

#[test]
fn every_cut_is_reported_and_what_stands_before_it_is_right() {
    let folder = Folder::new();
    let whole = sample(&folder);
    let path = folder.journal();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (recovered, error, torn) = fold(&path);
        let lines = whole[..length].iter().filter(|b| **b == b'\n').count();
        assert_eq!((recovered.records as usize, error.is_none()), (lines, true), "cut at {length}");
        assert_eq!(torn, length > 0 && whole[length - 1] != b'\n', "cut at {length}");
        match folder.open() {
            Err(JournalError::Empty { .. }) => assert_eq!(lines, 0),
            Err(e) => panic!("cut at {length}: {e}"),
            Ok(opened) => {
                assert_eq!(opened.torn.is_some(), torn);
                drop(opened);
                let after = verify(&path).unwrap();
                assert_eq!((after.records as usize, after.torn, after.damage), (lines + 1, None, None));
            }
        }
    }
    // After a power cut the file may be longer than what was written into it.
    fs::write(&path, [&whole[..], &[0; 4096]].concat()).unwrap();
    assert!(folder.open().unwrap().torn.is_some());
}

#[test]
fn a_line_that_ends_early_is_reported() {
    let folder = Folder::new();
    let whole = sample(&folder);
    let path = folder.journal();
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    for length in ends[0]..ends[1] - 1 {
        fs::write(&path, [&whole[..length], b"\n", &whole[ends[1]..]].concat()).unwrap();
        assert_eq!(verify(&path).unwrap().damage.map(|d| d.number), Some(2), "ended at {length}");
    }
}

#[test]
fn a_record_cut_out_moved_or_edited_breaks_the_chain() {
    let folder = Folder::new();
    let whole = sample(&folder);
    let path = folder.journal();
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let tried = |lines: &[&[u8]]| {
        fs::write(&path, lines.concat()).unwrap();
        verify(&path).unwrap().damage.map(|d| d.number)
    };
    assert_eq!(tried(&lines), None);
    assert_eq!(tried(&[lines[0], lines[2], lines[3]]), Some(2));
    assert_eq!(tried(&[lines[0], lines[2], lines[1]]), Some(2));
    assert_eq!(tried(&[lines[0], lines[1], lines[1]]), Some(3));
    let edited = String::from_utf8(lines[3].to_vec()).unwrap().replace("done", "sure");
    assert_eq!(tried(&[lines[0], lines[1], lines[2], edited.as_bytes(), lines[4]]), Some(4));
    let error = folder.open().err().unwrap().to_string();
    assert!(error.contains("record 4 (byte ") && error.contains("does not match its sum"), "{error}");
}
