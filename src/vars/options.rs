//! How template files are read: delimiters, white space, line ends; the `#jinja2:` line.

use std::borrow::Cow;
use std::path::PathBuf;

use minijinja::syntax::SyntaxConfig;

use super::error::{TemplateError, TemplateErrorKind, fail};
use super::jinja::val::Res;
use crate::model::value::Value;

/// How a template file is read; the defaults are those of the `template` module.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// The file's name, for messages and relative includes.
    pub name: String,
    /// Where `include`, `import` and `extends` look, before the control node's search path.
    pub search: Vec<PathBuf>,
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub keep_trailing_newline: bool,
    pub newline_sequence: String,
    pub variable: (String, String),
    pub block: (String, String),
    pub comment: (String, String),
    pub line_statement_prefix: String,
    pub line_comment_prefix: String,
}

impl Default for TextOptions {
    fn default() -> TextOptions {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        TextOptions {
            name: String::new(),
            search: Vec::new(),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            newline_sequence: "\n".into(),
            variable: pair("{{", "}}"),
            block: pair("{%", "%}"),
            comment: pair("{#", "#}"),
            line_statement_prefix: String::new(),
            line_comment_prefix: String::new(),
        }
    }
}

impl TextOptions {
    pub(super) fn syntax(&self) -> Res<SyntaxConfig> {
        let mut b = SyntaxConfig::builder();
        let own = |s: &String| Cow::<'static, str>::Owned(s.clone());
        b.variable_delimiters(own(&self.variable.0), own(&self.variable.1));
        b.block_delimiters(own(&self.block.0), own(&self.block.1));
        b.comment_delimiters(own(&self.comment.0), own(&self.comment.1));
        b.line_statement_prefix(own(&self.line_statement_prefix));
        b.line_comment_prefix(own(&self.line_comment_prefix));
        b.trim_blocks(self.trim_blocks).lstrip_blocks(self.lstrip_blocks);
        b.keep_trailing_newline(self.keep_trailing_newline);
        b.build().map_err(|e| {
            let detail = e.detail().unwrap_or("they are not usable");
            TemplateError::new(TemplateErrorKind::Syntax, format!("the template's delimiters: {detail}"))
        })
    }

    /// Takes a `#jinja2:` first line into account; gives the text behind it.
    pub(super) fn header<'t>(&mut self, text: &'t str) -> Res<&'t str> {
        let Some(rest) = text.strip_prefix("#jinja2:") else { return Ok(text) };
        let wrong = |m: String| Err(TemplateError::new(TemplateErrorKind::Syntax, m));
        let Some((line, text)) = rest.split_once('\n') else {
            return wrong("the #jinja2: line must be followed by a line end".into());
        };
        for pair in line.split(',') {
            let Some((key, value)) = pair.split_once(':') else {
                return wrong(format!("the #jinja2: line needs pairs of name and value, not '{}'", pair.trim()));
            };
            let value = value.trim();
            let quoted = value.strip_prefix(['\'', '"']).and_then(|v| v.strip_suffix(['\'', '"']));
            let value = match (value, quoted) {
                ("True", _) => Value::Bool(true),
                ("False", _) => Value::Bool(false),
                (_, Some(raw)) => match super::jinja::literals::unescape(raw) {
                    Ok(text) => Value::str(text),
                    Err(e) => return wrong(format!("the #jinja2: line: {e}")),
                },
                _ => return wrong(format!("the #jinja2: line: {} must be True, False or a quoted text", key.trim())),
            };
            self.set(key.trim(), &value)?;
        }
        Ok(text)
    }

    /// Sets an option by the name that the `template` module and the `#jinja2:` line give it.
    pub(super) fn set(&mut self, key: &str, value: &Value) -> Res<()> {
        let slot = match key {
            "variable_start_string" => &mut self.variable.0,
            "variable_end_string" => &mut self.variable.1,
            "block_start_string" => &mut self.block.0,
            "block_end_string" => &mut self.block.1,
            "comment_start_string" => &mut self.comment.0,
            "comment_end_string" => &mut self.comment.1,
            "line_statement_prefix" => &mut self.line_statement_prefix,
            "line_comment_prefix" => &mut self.line_comment_prefix,
            "newline_sequence" => &mut self.newline_sequence,
            "trim_blocks" | "lstrip_blocks" | "keep_trailing_newline" => {
                let flag = match key {
                    "trim_blocks" => &mut self.trim_blocks,
                    "lstrip_blocks" => &mut self.lstrip_blocks,
                    _ => &mut self.keep_trailing_newline,
                };
                match value {
                    Value::Bool(b) => *flag = *b,
                    Value::Null => {}
                    _ => return fail(format!("the template option '{key}' must be true or false")),
                }
                return Ok(());
            }
            _ => return fail(format!("unknown template option '{key}'")),
        };
        match value {
            Value::Str(s) => *slot = s.to_string(),
            Value::Null => {}
            _ => return fail(format!("the template option '{key}' must be a text")),
        }
        Ok(())
    }
}
