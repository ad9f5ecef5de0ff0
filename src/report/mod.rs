//! Events in, text out: terminal, plain lines, JSON lines, JUnit; mistakes with their caret.

pub mod mistake;
mod style;
