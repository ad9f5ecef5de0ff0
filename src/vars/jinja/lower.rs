//! From minijinja's syntax tree to ours. This file alone knows minijinja: it reads the language, we give it Python's
//! meaning, as minijinja's own operators differ from Ansible's silently (undefined, None, comparison of kinds, escapes).

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::ast;
use minijinja::machinery::{self, Span};
use minijinja::syntax::SyntaxConfig;

use super::depth;
use super::literals::{Guarded, guard, unescape};
use super::tree::*;
use crate::model::value::{Template, Value, has_jinja};
use crate::vars::error::{Fail, TemplateError, TemplateErrorKind};

/// How a text is to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// An expression without delimiters, as a condition.
    pub expression: bool,
    /// Backslashes in constants inside `{{ }}` are kept, as Ansible does for text in a playbook (not for template files).
    pub keep_backslashes: bool,
    pub syntax: SyntaxConfig,
    pub newline: Option<Arc<str>>,
}

/// Stack that one link of a chain may take while it is read, without optimization.
const LINK: usize = 16 << 10;

/// Reads a text.
pub fn compile(text: &str, name: &str, reading: &Reading) -> Result<Program, Fail> {
    let guarded = guard(text, &reading.syntax, reading.expression);
    let lower = Lower { guarded: &guarded, text, keep: reading.keep_backslashes, blocks: BTreeMap::new() };
    match depth::of(&guarded.text, reading.expression, &reading.syntax) {
        Ok(depth) => {
            let room = (256 << 10) + depth * LINK;
            stacker::maybe_grow(room, room, || read(lower, name, reading))
        }
        Err(span) => Err(lower
            .wrong(lower.at(span), format!("the expression is too long: more than {} words in one chain", depth::MOST))
            .help("give parts of it names, with `set` or as variables")),
    }
}

fn read(mut lower: Lower<'_>, name: &str, reading: &Reading) -> Result<Program, Fail> {
    let (guarded, text) = (lower.guarded, lower.text);
    let body = if reading.expression {
        let expr = machinery::parse_expr(&guarded.text).map_err(|e| lower.syntax(&e))?;
        Body::Expression(lower.expr(&expr)?)
    } else {
        let tree = machinery::parse(&guarded.text, "", reading.syntax.clone()).map_err(|e| lower.syntax(&e))?;
        match tree {
            ast::Stmt::Template(t) => Body::Template(lower.stmts(&t.children)?),
            other => Body::Template(vec![lower.stmt(&other)?]),
        }
    };
    let blocks = lower.blocks;
    Ok(Program { text: text.into(), name: name.to_owned(), body, blocks, newline: reading.newline.clone() })
}

struct Lower<'g> {
    guarded: &'g Guarded,
    text: &'g str,
    keep: bool,
    blocks: BTreeMap<Arc<str>, Arc<Vec<Stmt>>>,
}

type Low<T> = Result<T, Fail>;

impl Lower<'_> {
    fn at(&self, span: Span) -> At {
        (self.guarded.original(span.start_offset), self.guarded.original(span.end_offset))
    }

    fn snippet(&self, at: At) -> &str {
        self.text.get(at.0 as usize..at.1 as usize).unwrap_or("")
    }

    fn wrong(&self, at: At, message: impl Into<String>) -> Fail {
        let mut error = TemplateError::new(TemplateErrorKind::Syntax, message);
        error.at = Some(at);
        error
    }

    /// minijinja's complaint in our words, with its place.
    fn syntax(&self, error: &minijinja::Error) -> Fail {
        let detail = error.detail().unwrap_or("not valid Jinja");
        let range = error.range();
        let end = self.text.len() as u32;
        let at =
            range.map_or((end, end), |r| (self.guarded.original(r.start as u32), self.guarded.original(r.end as u32)));
        let mut message = format!("syntax error in template: {detail}");
        let mut help = None;
        if detail.starts_with("unexpected end of input") {
            message = match detail.rsplit("expected ").next() {
                Some(what) if what != detail => format!("syntax error in template: it ends where {what} is expected"),
                _ => message,
            };
            help = Some("a `{{`, `{%`, bracket or block is not closed");
        } else if let Some(tag) = detail.strip_prefix("unknown statement ") {
            message = format!("syntax error in template: there is no statement '{tag}' here");
            if tag.starts_with("end") || tag == "else" || tag == "elif" {
                help = Some("the block that it belongs to is not open at this place");
            }
        }
        let error = self.wrong(at, message);
        match help {
            Some(line) => error.help(line),
            None => error,
        }
    }

    fn stmts(&mut self, stmts: &[ast::Stmt<'_>]) -> Low<Vec<Stmt>> {
        stmts.iter().map(|s| self.stmt(s)).collect()
    }

    fn stmt(&mut self, stmt: &ast::Stmt<'_>) -> Low<Stmt> {
        let (kind, span) = match stmt {
            ast::Stmt::Template(s) => (StmtKind::Group(self.stmts(&s.children)?), s.span()),
            ast::Stmt::EmitRaw(s) => (StmtKind::Text(s.raw.into()), s.span()),
            ast::Stmt::EmitExpr(s) => (StmtKind::Emit(self.expr(&s.expr)?), s.span()),
            ast::Stmt::IfCond(s) => {
                let test = self.in_block(|l| l.expr(&s.expr))?;
                let (then, otherwise) = (self.stmts(&s.true_body)?, self.stmts(&s.false_body)?);
                (StmtKind::If { test, then, otherwise }, s.span())
            }
            ast::Stmt::ForLoop(s) => {
                let target = self.target(&s.target)?;
                let (iter, filter) =
                    self.in_block(|l| Ok((l.expr(&s.iter)?, s.filter_expr.as_ref().map(|e| l.expr(e)).transpose()?)))?;
                let (body, otherwise) = (self.stmts(&s.body)?, self.stmts(&s.else_body)?);
                let for_ = For { target, iter, filter, recursive: s.recursive, body, otherwise };
                (StmtKind::For(Arc::new(for_)), s.span())
            }
            ast::Stmt::WithBlock(s) => {
                let set = self.in_block(|l| {
                    s.assignments.iter().map(|(t, e)| Ok((l.target(t)?, l.expr(e)?))).collect::<Low<Vec<_>>>()
                })?;
                (StmtKind::With { set, body: self.stmts(&s.body)? }, s.span())
            }
            ast::Stmt::Set(s) => {
                let target = self.target(&s.target)?;
                (StmtKind::Set { target, value: self.in_block(|l| l.expr(&s.expr))? }, s.span())
            }
            ast::Stmt::SetBlock(s) => {
                let target = self.target(&s.target)?;
                let filter = self.in_block(|l| s.filter.as_ref().map(|f| l.expr(f)).transpose())?;
                (StmtKind::SetBlock { target, filter, body: self.stmts(&s.body)? }, s.span())
            }
            ast::Stmt::AutoEscape(s) => (StmtKind::Group(self.stmts(&s.body)?), s.span()),
            ast::Stmt::FilterBlock(s) => {
                let filter = self.in_block(|l| l.expr(&s.filter))?;
                (StmtKind::FilterBlock { filter, body: self.stmts(&s.body)? }, s.span())
            }
            ast::Stmt::Block(s) => {
                let name: Arc<str> = s.name.into();
                let body = Arc::new(self.stmts(&s.body)?);
                self.blocks.insert(name.clone(), body);
                (StmtKind::Block(name), s.span())
            }
            ast::Stmt::Extends(s) => (StmtKind::Extends(self.in_block(|l| l.expr(&s.name))?), s.span()),
            ast::Stmt::Include(s) => {
                let name = self.in_block(|l| l.expr(&s.name))?;
                let with_context = !self.says(s.span(), "without context");
                (StmtKind::Include { name, ignore_missing: s.ignore_missing, with_context }, s.span())
            }
            ast::Stmt::Import(s) => {
                let name = self.in_block(|l| l.expr(&s.expr))?;
                let alias = self.name(&s.name)?;
                let with_context = self.says(s.span(), "with context");
                (StmtKind::Import { name, alias, with_context }, s.span())
            }
            ast::Stmt::FromImport(s) => {
                let name = self.in_block(|l| l.expr(&s.expr))?;
                let with_context = self.says(s.span(), "with context");
                let names = s.names.iter().map(|(n, alias)| {
                    let n = self.name(n)?;
                    let alias = alias.as_ref().map_or_else(|| Ok(n.clone()), |a| self.name(a))?;
                    Ok((n, alias))
                });
                let names = names.collect::<Low<Vec<_>>>()?;
                (StmtKind::From { name, names, with_context }, s.span())
            }
            ast::Stmt::Macro(s) => (StmtKind::Macro(Arc::new(self.macro_(s)?)), s.span()),
            ast::Stmt::CallBlock(s) => {
                let (callee, args) = self.in_block(|l| Ok((l.expr(&s.call.expr)?, l.args(&s.call.args)?)))?;
                let body = Arc::new(self.macro_(&s.macro_decl)?);
                (StmtKind::CallBlock { callee, args, body }, s.span())
            }
            ast::Stmt::Continue(s) => (StmtKind::Continue, s.span()),
            ast::Stmt::Break(s) => (StmtKind::Break, s.span()),
            ast::Stmt::Do(s) => {
                let at = self.at(s.call.span());
                let call = self.in_block(|l| l.call(&s.call, at))?;
                (StmtKind::Do(call), s.span())
            }
        };
        Ok(Stmt { kind, at: self.at(span) })
    }

    /// Constants in a statement are always unescaped.
    fn in_block<T>(&mut self, f: impl FnOnce(&mut Self) -> Low<T>) -> Low<T> {
        let keep = std::mem::replace(&mut self.keep, false);
        let result = f(self);
        self.keep = keep;
        result
    }

    /// Whether a statement ends with these words; the reader drops them.
    fn says(&self, span: Span, words: &str) -> bool {
        let at = self.at(span);
        let normal = self.snippet(at).split_whitespace().collect::<Vec<_>>().join(" ");
        normal.contains(words)
    }

    fn name(&self, expr: &ast::Expr<'_>) -> Low<Arc<str>> {
        match expr {
            ast::Expr::Var(v) => Ok(v.id.into()),
            other => Err(self.wrong(self.at(other.span()), "syntax error in template: a name is expected here")),
        }
    }

    fn target(&self, expr: &ast::Expr<'_>) -> Low<Target> {
        match expr {
            ast::Expr::Var(v) => Ok(Target::Name(v.id.into())),
            ast::Expr::GetAttr(a) => Ok(Target::Member(self.name(&a.expr)?, a.name.into())),
            ast::Expr::List(l) => Ok(Target::Tuple(l.items.iter().map(|i| self.target(i)).collect::<Low<_>>()?)),
            other => Err(self.wrong(self.at(other.span()), "syntax error in template: cannot assign to this")),
        }
    }

    fn macro_(&mut self, m: &ast::Macro<'_>) -> Low<Macro> {
        let mut params = Vec::new();
        // Defaults belong to the last parameters.
        let first = m.args.len() - m.defaults.len();
        for (i, arg) in m.args.iter().enumerate() {
            let default = i.checked_sub(first).map(|i| &m.defaults[i]);
            let default = self.in_block(|l| default.map(|d| l.expr(d)).transpose())?;
            params.push((self.name(arg)?, default));
        }
        let body = self.stmts(&m.body)?;
        let mut uses = Uses::default();
        super::walk::names(&body, &mut |name, _| match name {
            "caller" => uses.caller = true,
            "varargs" => uses.varargs = true,
            "kwargs" => uses.kwargs = true,
            _ => {}
        });
        Ok(Macro { name: m.name.into(), params, body, uses })
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) -> Low<Vec<Arg>> {
        args.iter()
            .map(|a| {
                Ok(match a {
                    ast::CallArg::Pos(e) => Arg::Pos(self.expr(e)?),
                    ast::CallArg::Kwarg(n, e) => Arg::Named((*n).into(), self.expr(e)?),
                    ast::CallArg::PosSplat(e) => Arg::Rest(self.expr(e)?),
                    ast::CallArg::KwargSplat(e) => Arg::RestNamed(self.expr(e)?),
                })
            })
            .collect()
    }

    fn exprs(&mut self, items: &[ast::Expr<'_>]) -> Low<Vec<Expr>> {
        items.iter().map(|i| self.expr(i)).collect()
    }

    fn maybe(&mut self, e: &Option<ast::Expr<'_>>) -> Low<Option<Expr>> {
        e.as_ref().map(|e| self.expr(e)).transpose()
    }

    fn call(&mut self, c: &ast::Call<'_>, at: At) -> Low<Expr> {
        let args = self.args(&c.args)?;
        let kind = match &c.expr {
            ast::Expr::GetAttr(a) => {
                let of = self.expr(&a.expr)?;
                ExprKind::Method(of, a.name.into(), args)
            }
            other => ExprKind::Call(self.expr(other)?, args),
        };
        Ok(Expr { kind: Box::new(kind), at })
    }

    fn expr(&mut self, expr: &ast::Expr<'_>) -> Low<Expr> {
        let mut at = self.at(expr.span());
        let kind = match expr {
            ast::Expr::Var(v) => ExprKind::Var(v.id.into()),
            ast::Expr::Const(c) => self.constant(&c.value, at)?,
            ast::Expr::List(l) => ExprKind::List(self.exprs(&l.items)?),
            ast::Expr::Tuple(t) => ExprKind::Tuple(self.exprs(&t.items)?),
            ast::Expr::Map(m) => {
                let pairs = m.keys.iter().zip(&m.values).map(|(k, v)| Ok((self.expr(k)?, self.expr(v)?)));
                ExprKind::Dict(pairs.collect::<Low<_>>()?)
            }
            ast::Expr::UnaryOp(u) => {
                let of = self.expr(&u.expr)?;
                match u.op {
                    ast::UnaryOpKind::Not => ExprKind::Not(of),
                    ast::UnaryOpKind::Neg => ExprKind::Neg(of),
                }
            }
            ast::Expr::BinOp(b) => {
                let (left, right) = (self.expr(&b.left)?, self.expr(&b.right)?);
                at.0 = left.at.0;
                binary(b.op, left, right)
            }
            ast::Expr::Compare(c) => {
                let first = self.expr(&c.expr)?;
                at.0 = first.at.0;
                let rest = c.ops.iter().map(|o| Ok((comparison(o.op), self.expr(&o.expr)?)));
                ExprKind::Compare(first, rest.collect::<Low<_>>()?)
            }
            ast::Expr::IfExpr(i) => {
                let then = self.expr(&i.true_expr)?;
                at.0 = then.at.0;
                let (test, otherwise) = (self.expr(&i.test_expr)?, self.maybe(&i.false_expr)?);
                ExprKind::If { test, then, otherwise }
            }
            ast::Expr::GetAttr(a) => {
                let of = self.expr(&a.expr)?;
                at.0 = of.at.0;
                ExprKind::Attr(of, a.name.into())
            }
            ast::Expr::GetItem(i) => {
                let of = self.expr(&i.expr)?;
                at.0 = of.at.0;
                ExprKind::Item(of, self.expr(&i.subscript_expr)?)
            }
            ast::Expr::Slice(s) => {
                let of = self.expr(&s.expr)?;
                at.0 = of.at.0;
                let (start, stop, step) = (self.maybe(&s.start)?, self.maybe(&s.stop)?, self.maybe(&s.step)?);
                ExprKind::Slice { of, start, stop, step }
            }
            ast::Expr::Filter(f) => {
                let of = self.maybe(&f.expr)?;
                let name: String = f.name.split_whitespace().collect();
                let args = self.args(&f.args)?;
                ExprKind::Filter { filter: crate::vars::filters::find(&name), name: name.into(), of, args }
            }
            ast::Expr::Test(t) => {
                let of = self.expr(&t.expr)?;
                at.0 = of.at.0;
                let name: String = t.name.split_whitespace().collect();
                let args = self.args(&t.args)?;
                ExprKind::Test { test: crate::vars::tests::find(&name), name: name.into(), of, args }
            }
            ast::Expr::Call(c) => return self.call(c, at),
        };
        Ok(Expr { kind: Box::new(kind), at })
    }

    fn constant(&self, value: &minijinja::Value, at: At) -> Low<ExprKind> {
        if let Some(raw) = value.as_str() {
            let text = if self.keep {
                raw.to_owned()
            } else {
                unescape(raw).map_err(|e| self.wrong(at, format!("syntax error in template: {e}")))?
            };
            if has_jinja(&text) {
                let span = crate::model::source::Span::of_text("<template>", &text);
                return Ok(ExprKind::Embedded(Arc::new(Template { text, span })));
            }
            return Ok(ExprKind::Const(Value::str(text)));
        }
        if value.is_none() {
            return Ok(ExprKind::Const(Value::Null));
        }
        if value.kind() == minijinja::value::ValueKind::Bool {
            return Ok(ExprKind::Const(Value::Bool(value.is_true())));
        }
        if value.is_integer() {
            let written = self.snippet(at);
            let digits = written.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            if digits.len() > 1
                && digits.starts_with('0')
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.trim_matches('0').is_empty()
            {
                let octal = digits.trim_start_matches('0');
                return Ok(ExprKind::Bad(format!(
                    "syntax error in template: '{digits}' is not a number in Jinja; write '{digits}' as text or 0o{octal} for octal"
                )));
            }
            return match value.as_i64() {
                Some(i) => Ok(ExprKind::Const(Value::Int(i))),
                None => Err(self.wrong(at, "whole numbers beyond 64 bits are not supported")),
            };
        }
        match f64::try_from(value.clone()) {
            Ok(x) => Ok(ExprKind::Const(Value::Float(x))),
            Err(_) => Err(self.wrong(at, "syntax error in template: unknown constant")),
        }
    }
}

fn binary(op: ast::BinOpKind, left: Expr, right: Expr) -> ExprKind {
    use ast::BinOpKind as B;
    let math = |m, left, right| ExprKind::Math(m, left, right);
    let compare = |c, left, right| ExprKind::Compare(left, vec![(c, right)]);
    match op {
        B::ScAnd => ExprKind::And(left, right),
        B::ScOr => ExprKind::Or(left, right),
        B::Add => math(Math::Add, left, right),
        B::Sub => math(Math::Sub, left, right),
        B::Mul => math(Math::Mul, left, right),
        B::Div => math(Math::Div, left, right),
        B::FloorDiv => math(Math::FloorDiv, left, right),
        B::Rem => math(Math::Rem, left, right),
        B::Pow => math(Math::Pow, left, right),
        B::Concat => ExprKind::Concat(vec![left, right]),
        B::Eq => compare(Compare::Eq, left, right),
        B::Ne => compare(Compare::Ne, left, right),
        B::Lt => compare(Compare::Lt, left, right),
        B::Lte => compare(Compare::Le, left, right),
        B::Gt => compare(Compare::Gt, left, right),
        B::Gte => compare(Compare::Ge, left, right),
        B::In => compare(Compare::In, left, right),
    }
}

fn comparison(op: ast::CompareOpKind) -> Compare {
    use ast::CompareOpKind as C;
    match op {
        C::Eq => Compare::Eq,
        C::Ne => Compare::Ne,
        C::Lt => Compare::Lt,
        C::Lte => Compare::Le,
        C::Gt => Compare::Gt,
        C::Gte => Compare::Ge,
        C::In => Compare::In,
        C::NotIn => Compare::NotIn,
    }
}
