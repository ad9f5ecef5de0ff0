//! What can go wrong when a template is rendered, with the place where it was written.

use std::fmt;

use crate::model::mistake::Mistake;
use crate::model::source::Span;

/// Why a template could not be rendered.
#[derive(Clone, Debug)]
pub struct TemplateError {
    pub kind: TemplateErrorKind,
    /// What is wrong, in one line: `'foo.bar' is undefined`.
    pub message: String,
    /// Where: as exact as the YAML around the template allows.
    pub span: Option<Span>,
    /// The expression or statement that failed, as written.
    pub expression: String,
    /// What was being rendered on the way, innermost first: ``variable `url` ``.
    pub chain: Vec<Link>,
    /// What to do about it, a line each.
    pub help: Vec<String>,
    /// Byte range in the template's own text, until its template is known.
    pub(super) at: Option<(u32, u32)>,
}

/// A step on the way to the template that failed.
#[derive(Clone, Debug)]
pub struct Link {
    /// ``variable `url` ``, `file x.j2`.
    pub what: String,
    pub span: Option<Span>,
}

/// The kinds that callers treat differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// A variable, or a member of one, that does not exist; its name as far as it is known.
    Undefined(String),
    /// Check run only: the value is a member of a result that cannot be known before the run; the reason.
    NotKnowable(String),
    /// The text is not Jinja.
    Syntax,
    /// The value is `omit`, where a value is needed.
    Omitted,
    Other,
}

/// An error on its way up; boxed, as it is rare and large.
pub type Fail = Box<TemplateError>;

impl TemplateError {
    pub(super) fn new(kind: TemplateErrorKind, message: impl Into<String>) -> Fail {
        Box::new(TemplateError {
            kind,
            message: message.into(),
            span: None,
            expression: String::new(),
            chain: Vec::new(),
            help: Vec::new(),
            at: None,
        })
    }

    /// An error without a template: a keyword whose value cannot be used.
    pub fn plain(message: impl Into<String>) -> Fail {
        TemplateError::new(TemplateErrorKind::Other, message)
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self.kind, TemplateErrorKind::Undefined(_))
    }

    /// Why the value cannot be known before the run, if that is the error.
    pub fn not_knowable(&self) -> Option<&str> {
        match &self.kind {
            TemplateErrorKind::NotKnowable(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn help(mut self: Box<Self>, line: impl Into<String>) -> Fail {
        self.help.push(line.into());
        self
    }

    /// The error as a mistake with its place, for the reporters that draw the line with a caret.
    pub fn to_mistake(&self) -> Mistake {
        let mut mistake = match &self.span {
            Some(span) => Mistake::at(span, &self.message),
            None => Mistake::plain(&self.message),
        };
        for link in &self.chain {
            mistake = mistake.help(link.to_string());
        }
        for line in &self.help {
            mistake = mistake.help(line);
        }
        mistake
    }
}

/// An error that is none of the special kinds.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, Fail> {
    Err(TemplateError::new(TemplateErrorKind::Other, message))
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for link in &self.chain {
            write!(f, "; {link}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "while rendering {}", self.what)?;
        match &self.span {
            Some(span) => write!(f, " ({})", span.place()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}
