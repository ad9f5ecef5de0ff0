//! The options of a template file: the `template` module's parameters as the template room takes them.

use std::path::PathBuf;

use crate::action::args::truth;
use crate::model::value::{Dict, Value};
use crate::vars::template::TextOptions;

/// Options for the file `name`, from the module's parameters.
pub fn options(name: &str, given: &Dict, search: &[PathBuf]) -> TextOptions {
    let text = |key: &str, slot: &mut String| {
        if let Some(value) = given.get(key).filter(|v| !v.is_null()) {
            *slot = value.to_string();
        }
    };
    let flag = |key: &str, slot: &mut bool| {
        if let Some(value) = given.get(key).and_then(truth) {
            *slot = value;
        }
    };
    let mut options = TextOptions { name: name.to_owned(), search: search.to_vec(), ..TextOptions::default() };
    text("variable_start_string", &mut options.variable.0);
    text("variable_end_string", &mut options.variable.1);
    text("block_start_string", &mut options.block.0);
    text("block_end_string", &mut options.block.1);
    text("comment_start_string", &mut options.comment.0);
    text("comment_end_string", &mut options.comment.1);
    text("newline_sequence", &mut options.newline_sequence);
    options.newline_sequence = match given.get("newline_sequence").and_then(Value::as_str) {
        Some("\\n") => "\n".into(),
        Some("\\r\\n") => "\r\n".into(),
        Some("\\r") => "\r".into(),
        _ => options.newline_sequence,
    };
    flag("trim_blocks", &mut options.trim_blocks);
    flag("lstrip_blocks", &mut options.lstrip_blocks);
    options
}
