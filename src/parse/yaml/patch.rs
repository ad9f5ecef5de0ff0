//! What PyYAML reads and YAML 1.2 forbids: the parser gets a text with spaces put in, and places are counted back.

use std::borrow::Cow;

use granit_parser::{ErrorKind, ScanError};

use super::{MAX_DEPTH, fix};

/// How many bytes are read again at most, beside the whole text once, so that a file made of such places ends in an error and not in hours.
const PATIENCE: usize = 4 << 20;

/// The text as the parser gets it: with spaces put in where PyYAML needs none.
pub(super) struct Patched<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where in this text spaces were put in, and how many; in order.
    inserts: Vec<(usize, usize)>,
    /// Bytes of the file before this text.
    skipped: usize,
    /// Bytes that may still be read again.
    patience: usize,
}

impl<'a> Patched<'a> {
    /// The text of a file without its first bytes.
    pub(super) fn new(text: &'a str, skipped: usize) -> Patched<'a> {
        Patched { text: Cow::Borrowed(&text[skipped..]), inserts: Vec::new(), skipped, patience: PATIENCE + text.len() }
    }

    /// Where a byte of this text stands in the file.
    pub(super) fn origin(&self, at: usize) -> usize {
        let before = self.inserts.iter().take_while(|(from, _)| *from < at);
        at - before.map(|(from, count)| (*count).min(at - from)).sum::<usize>() + self.skipped
    }

    fn insert(&mut self, at: usize, count: usize) {
        let place = self.inserts.partition_point(|(from, _)| *from < at);
        self.inserts[place..].iter_mut().for_each(|(from, _)| *from += count);
        self.inserts.insert(place, (at, count));
        self.text.to_mut().insert_str(at, &" ".repeat(count));
    }

    /// What PyYAML reads and YAML 1.2 forbids: lines of a quoted text that are not indented, or by tabs, and a comment
    /// right behind a quote. Spaces there change nothing of the meaning. False if the error is another one.
    pub(super) fn bridge(&mut self, error: &ScanError) -> bool {
        let Some(at) = error.marker().byte_offset().filter(|at| *at < self.patience) else { return false };
        // The text is read from its start again, up to here at least.
        self.patience -= at;
        match error.kind() {
            ErrorKind::CommentNotSeparated => {
                self.insert(at, 1);
                true
            }
            ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation => {
                let Some((_, close)) =
                    fix::quoted(&self.text, at).filter(|(_, close)| (at..self.text.len()).contains(close))
                else {
                    return false;
                };
                // All lines of the text at once, from the last to the first, so that places stay right.
                let lines = self.text[at..close].match_indices('\n').map(|(i, _)| at + i + 1);
                let starts: Vec<usize> = std::iter::once(at).chain(lines).collect();
                starts.into_iter().rev().for_each(|start| self.insert(start, MAX_DEPTH));
                true
            }
            _ => false,
        }
    }
}
