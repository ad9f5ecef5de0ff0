//! What can be said about a template without running it: for load time, before any host.

use super::error::{Fail, TemplateError, TemplateErrorKind};
use super::jinja::places::place;
use super::jinja::tree::{Arg, Body, Expr, ExprKind, Program};
use super::jinja::{functions, walk};
use crate::model::mistake::{Mistake, nearest};
use crate::model::source::Span;
use crate::model::value::Value;

fn visit<'p>(program: &'p Program, f: &mut dyn FnMut(&'p Expr)) {
    match &program.body {
        Body::Expression(e) => walk::expr(e, f),
        Body::Template(body) => walk::exprs(body, f),
    }
    for block in program.blocks.values() {
        walk::exprs(block, f);
    }
}

/// What is wrong in a program that can be read.
pub fn mistakes(program: &Program, text: &str, span: &Span) -> Vec<Mistake> {
    let mut found: Vec<(Fail, bool)> = Vec::new();
    visit(program, &mut |e| {
        let mut add = |message: String, near: Option<&str>, warning: bool| {
            let mut error = TemplateError::new(TemplateErrorKind::Syntax, message);
            error.at = Some(e.at);
            error = match near {
                Some(near) => error.help(format!("did you mean '{near}'?")),
                None => error,
            };
            found.push((error, warning));
        };
        match &*e.kind {
            ExprKind::Bad(message) => add(message.clone(), None, true),
            ExprKind::Filter { filter: None, name, .. } => {
                add(format!("there is no filter '{name}'"), nearest(name, super::filters::names()), false);
            }
            ExprKind::Test { test: None, name, .. } => {
                add(format!("there is no test '{name}'"), nearest(name, super::tests::names()), false);
            }
            ExprKind::Filter { filter: Some(filter), name, args, .. } => {
                if let Some((wrong, near)) = unknown_argument(filter.params, args) {
                    add(format!("the filter '{name}' has no argument '{wrong}'"), near, false);
                }
            }
            ExprKind::Test { test: Some(test), name, args, .. } => {
                if let Some((wrong, near)) = unknown_argument(test.params, args) {
                    add(format!("the test '{name}' has no argument '{wrong}'"), near, false);
                }
            }
            ExprKind::Call(callee, args) => {
                if let (ExprKind::Var(function), Some(Arg::Pos(first))) = (&*callee.kind, args.first())
                    && matches!(&**function, "lookup" | "query" | "q")
                    && let ExprKind::Const(Value::Str(name)) = &*first.kind
                    && super::lookups::find(name).is_none()
                {
                    add(format!("there is no lookup '{name}'"), nearest(name, super::lookups::names()), false);
                }
            }
            _ => {}
        }
    });
    found
        .into_iter()
        .map(|(mut e, warning)| {
            place(&mut e, &program.name, text, Some(span));
            Mistake { warning, ..e.to_mistake() }
        })
        .collect()
}

fn unknown_argument<'a>(params: &[&'static str], args: &'a [Arg]) -> Option<(&'a str, Option<&'static str>)> {
    if params.iter().any(|p| p.starts_with("**")) {
        return None;
    }
    args.iter().find_map(|a| match a {
        Arg::Named(n, _) if !params.contains(&&**n) => Some((&**n, nearest(n, params.iter().copied()))),
        _ => None,
    })
}

/// The variables of the play that a program uses, in the order of their first use.
pub fn names(program: &Program) -> Vec<String> {
    let mut own: Vec<&str> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    if let Body::Template(body) = &program.body {
        walk::assigned(body, &mut |n| own.push(n));
    }
    visit(program, &mut |e| {
        if let ExprKind::Var(n) = &*e.kind
            && !own.contains(&&**n)
            && !functions::is_global(n)
            && !names.iter().any(|k| **k == **n)
        {
            names.push(n.to_string());
        }
    });
    names
}
