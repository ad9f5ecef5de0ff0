//! The tree of a compiled template, free of its text and of the reader that made it. It can be shared between threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::val::{Args, Res};
use super::{eval::Cx, val::Bound, val::Val};
use crate::model::value::Value;

/// A byte range in the template's text.
pub type At = (u32, u32);

/// A template or expression, ready to run.
#[derive(Debug)]
pub struct Program {
    /// What was compiled; positions count in it.
    pub text: Arc<str>,
    /// The file it came from; empty for text in a playbook.
    pub name: String,
    pub body: Body,
    pub blocks: BTreeMap<Arc<str>, Arc<Vec<Stmt>>>,
    /// The line end that replaces every line feed of its own text, where it is another one.
    pub newline: Option<Arc<str>>,
}

#[derive(Debug)]
pub enum Body {
    Expression(Expr),
    Template(Vec<Stmt>),
}

#[derive(Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub at: At,
}

#[derive(Debug)]
pub enum StmtKind {
    Text(Arc<str>),
    Emit(Expr),
    If {
        test: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    For(Arc<For>),
    Set {
        target: Target,
        value: Expr,
    },
    SetBlock {
        target: Target,
        filter: Option<Expr>,
        body: Vec<Stmt>,
    },
    With {
        set: Vec<(Target, Expr)>,
        body: Vec<Stmt>,
    },
    FilterBlock {
        filter: Expr,
        body: Vec<Stmt>,
    },
    /// `autoescape`: only its body counts, as Ansible escapes nothing.
    Group(Vec<Stmt>),
    Macro(Arc<Macro>),
    CallBlock {
        callee: Expr,
        args: Vec<Arg>,
        body: Arc<Macro>,
    },
    Include {
        name: Expr,
        ignore_missing: bool,
        with_context: bool,
    },
    Import {
        name: Expr,
        alias: Arc<str>,
        with_context: bool,
    },
    From {
        name: Expr,
        names: Vec<(Arc<str>, Arc<str>)>,
        with_context: bool,
    },
    Extends(Expr),
    Block(Arc<str>),
    Do(Expr),
    Break,
    Continue,
}

#[derive(Debug)]
pub struct For {
    pub target: Target,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    /// `ns.attr` of a namespace.
    Member(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    pub params: Vec<(Arc<str>, Option<Expr>)>,
    pub body: Vec<Stmt>,
    /// Which of `caller`, `varargs` and `kwargs` its body uses: only then does it take what they hold.
    pub uses: Uses,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Uses {
    pub caller: bool,
    pub varargs: bool,
    pub kwargs: bool,
}

#[derive(Debug)]
pub struct Expr {
    pub kind: Box<ExprKind>,
    pub at: At,
}

#[derive(Debug)]
pub enum ExprKind {
    Const(Value),
    /// A text constant that itself holds Jinja; only lookups and conditions render it.
    Embedded(Arc<crate::model::value::Template>),
    /// A constant that Jinja does not read (`0644`): an error only where it is used, a warning when it is loaded.
    Bad(String),
    Var(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Expr),
    Neg(Expr),
    And(Expr, Expr),
    Or(Expr, Expr),
    Math(Math, Expr, Expr),
    Concat(Vec<Expr>),
    Compare(Expr, Vec<(Compare, Expr)>),
    If {
        test: Expr,
        then: Expr,
        otherwise: Option<Expr>,
    },
    Attr(Expr, Arc<str>),
    Item(Expr, Expr),
    Slice {
        of: Expr,
        start: Option<Expr>,
        stop: Option<Expr>,
        step: Option<Expr>,
    },
    Filter {
        filter: Option<&'static Filter>,
        name: Arc<str>,
        of: Option<Expr>,
        args: Vec<Arg>,
    },
    Test {
        test: Option<&'static Test>,
        name: Arc<str>,
        of: Expr,
        args: Vec<Arg>,
    },
    Call(Expr, Vec<Arg>),
    Method(Expr, Arc<str>, Vec<Arg>),
}

#[derive(Debug)]
pub enum Arg {
    Pos(Expr),
    Named(Arc<str>, Expr),
    /// `*list`
    Rest(Expr),
    /// `**dict`
    RestNamed(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Math {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// One line of the table of filters.
pub struct Filter {
    /// Its names, the best known first; a bare name of ansible.builtin also answers to its full one.
    pub names: &'static [&'static str],
    /// Its parameters beyond the value; `*x` takes more positional ones, `**x` more named ones.
    pub params: &'static [&'static str],
    /// Whether it looks at undefined values itself; others are not called with one.
    pub takes_missing: bool,
    pub run: fn(&mut Cx<'_>, Val, Bound) -> Res,
    pub doc: &'static str,
}

/// One line of the table of tests.
pub struct Test {
    pub names: &'static [&'static str],
    pub params: &'static [&'static str],
    pub takes_missing: bool,
    pub run: fn(&mut Cx<'_>, Val, Bound) -> Res<bool>,
    pub doc: &'static str,
}

/// One line of the table of lookups.
pub struct Lookup {
    pub names: &'static [&'static str],
    /// Its options, beside `wantlist` and `errors`.
    pub options: &'static [&'static str],
    pub run: fn(&mut Cx<'_>, Vec<Val>, Args) -> Res<Vec<Val>>,
    pub doc: &'static str,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
}
