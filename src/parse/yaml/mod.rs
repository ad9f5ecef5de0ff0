//! YAML as PyYAML reads it for Ansible (version 1.1 of the language), with a position for every node.
//!
//! `read` makes the tree from the events of `granit-parser` (`patch` bridges what that refuses and PyYAML reads), `scalar`
//! knows what a plain scalar means, `value` turns nodes into values, `fix` words the errors. Writing is `model::yaml`'s.

mod fix;
mod patch;
mod read;
pub mod scalar;
mod value;

use crate::model::source::Span;

pub use crate::model::yaml::Style;
pub use read::{read, read_all, read_hidden};
pub use value::{Reader, string_of};

/// How deep nodes may lie in one another; deeper is refused, so that no reader runs out of stack.
pub const MAX_DEPTH: usize = 200;
/// How many nodes aliases may add to a document; more is an alias bomb.
pub const MAX_ALIASED: usize = 1_000_000;
/// How many nodes a file may have; more would take gigabytes of memory.
pub const MAX_NODES: usize = 4_000_000;

/// A node of the tree, and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// A scalar with its quotes; of a block scalar its lines; of a list or mapping from its first child to its last.
    pub span: Span,
    /// The tag as Ansible names it: `!vault`, `!unsafe`, `tag:yaml.org,2002:str`.
    pub tag: Option<Box<str>>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Scalar {
        text: Box<str>,
        style: Style,
    },
    Seq(Vec<Node>),
    /// In the order written; merge keys are resolved, and of a key that stands twice only the last is left.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar, whatever it means.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The span of a scalar's content, without quotes. [`Span::decoded_part`] leads from an offset in the text to the
    /// place in it: exact where nothing was decoded, else right to the line.
    pub fn content_span(&self) -> Span {
        match self.kind {
            Kind::Scalar { style: Style::Single | Style::Double, .. } if self.span.end - self.span.start >= 2 => {
                Span::new(&self.span.source, self.span.start + 1, self.span.end - 1)
            }
            _ => self.span.clone(),
        }
    }

    /// Whether it is an empty or `null` plain scalar.
    pub fn is_null(&self) -> bool {
        self.tag.is_none() && matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if scalar::is_null(text))
    }

    /// Whether it is text: a string of its own, not a number or boolean.
    pub fn is_string(&self) -> bool {
        match (&self.kind, self.tag.as_deref()) {
            (Kind::Scalar { text, style: Style::Plain }, None) => scalar::is_string(text),
            (Kind::Scalar { .. }, None | Some("!" | "tag:yaml.org,2002:str")) => true,
            _ => false,
        }
    }

    /// The children of a mapping.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// What kind of thing it is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar { text, style: Style::Plain } if self.tag.is_none() => scalar::resolve(text).kind_name(),
            Kind::Scalar { .. } => "a string",
        }
    }
}
