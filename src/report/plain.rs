//! Ansible's lines and nothing else on standard output; warnings and what is ours alone on standard error. No carriage
//! returns, no colours unless asked for.

use std::io::Write;

use super::Reporter;
use super::lines::{Line, Lines, Options};
use crate::model::event::Stamped;

/// Writes lines as they come.
pub struct Plain<O, E> {
    lines: Lines,
    out: Sink<O>,
    aside: Sink<E>,
}

impl Plain<std::io::Stdout, std::io::Stderr> {
    /// To this process's outputs.
    pub fn standard(options: Options) -> Self {
        Plain::new(options, std::io::stdout(), std::io::stderr())
    }
}

impl<O: Write, E: Write> Plain<O, E> {
    pub fn new(options: Options, out: O, aside: E) -> Plain<O, E> {
        Plain { lines: Lines::new(options), out: Sink(Some(out)), aside: Sink(Some(aside)) }
    }

    fn write(&mut self, lines: &[Line]) {
        for line in lines {
            if line.aside { self.aside.write(&line.text) } else { self.out.write(&line.text) }
        }
        self.out.flush();
    }
}

impl<O: Write + Send, E: Write + Send> Reporter for Plain<O, E> {
    fn event(&mut self, e: &Stamped) {
        let lines = self.lines.of(e);
        self.write(&lines);
    }

    fn finish(&mut self) {
        self.out.flush();
        self.aside.flush();
    }
}

/// An output that may be gone: a closed pipe ends the writing, not the run.
pub struct Sink<W>(pub Option<W>);

impl<W: Write> Sink<W> {
    pub fn write(&mut self, text: &str) {
        if self.0.as_mut().is_some_and(|w| w.write_all(text.as_bytes()).is_err()) {
            self.0 = None;
        }
    }

    pub fn flush(&mut self) {
        if self.0.as_mut().is_some_and(|w| w.flush().is_err()) {
            self.0 = None;
        }
    }
}
