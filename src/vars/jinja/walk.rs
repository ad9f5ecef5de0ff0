//! Visits every part of a compiled template: for load-time checks and for the names it uses.

use super::tree::*;

/// Calls `f` for every expression, outermost first.
pub fn exprs<'t>(stmts: &'t [Stmt], f: &mut dyn FnMut(&'t Expr)) {
    for s in stmts {
        let mut each = |e: &'t Expr| expr(e, f);
        match &s.kind {
            StmtKind::Text(_) | StmtKind::Block(_) | StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Emit(e) | StmtKind::Extends(e) | StmtKind::Do(e) => each(e),
            StmtKind::Set { value, .. } => each(value),
            StmtKind::Include { name, .. } | StmtKind::Import { name, .. } | StmtKind::From { name, .. } => each(name),
            StmtKind::If { test, then, otherwise } => {
                each(test);
                exprs(then, f);
                exprs(otherwise, f);
            }
            StmtKind::For(l) => {
                each(&l.iter);
                l.filter.iter().for_each(&mut each);
                exprs(&l.body, f);
                exprs(&l.otherwise, f);
            }
            StmtKind::SetBlock { filter, body, .. } => {
                filter.iter().for_each(each);
                exprs(body, f);
            }
            StmtKind::With { set, body } => {
                set.iter().for_each(|(_, e)| each(e));
                exprs(body, f);
            }
            StmtKind::FilterBlock { filter, body } => {
                each(filter);
                exprs(body, f);
            }
            StmtKind::Group(body) => exprs(body, f),
            StmtKind::Macro(m) => macro_(m, f),
            StmtKind::CallBlock { callee, args, body } => {
                each(callee);
                arguments(args, f);
                macro_(body, f);
            }
        }
    }
}

fn macro_<'t>(m: &'t Macro, f: &mut dyn FnMut(&'t Expr)) {
    m.params.iter().filter_map(|(_, d)| d.as_ref()).for_each(|d| expr(d, f));
    exprs(&m.body, f);
}

fn arguments<'t>(args: &'t [Arg], f: &mut dyn FnMut(&'t Expr)) {
    for a in args {
        match a {
            Arg::Pos(e) | Arg::Named(_, e) | Arg::Rest(e) | Arg::RestNamed(e) => expr(e, f),
        }
    }
}

/// Calls `f` for an expression and every part of it.
pub fn expr<'t>(e: &'t Expr, f: &mut dyn FnMut(&'t Expr)) {
    f(e);
    let mut each = |e: &'t Expr| expr(e, f);
    match &*e.kind {
        ExprKind::Const(_) | ExprKind::Bad(_) | ExprKind::Embedded(_) | ExprKind::Var(_) => {}
        ExprKind::List(items) | ExprKind::Tuple(items) | ExprKind::Concat(items) => items.iter().for_each(each),
        ExprKind::Dict(pairs) => pairs.iter().for_each(|(k, v)| {
            each(k);
            each(v);
        }),
        ExprKind::Not(a) | ExprKind::Neg(a) | ExprKind::Attr(a, _) => each(a),
        ExprKind::And(a, b) | ExprKind::Or(a, b) | ExprKind::Math(_, a, b) | ExprKind::Item(a, b) => {
            each(a);
            each(b);
        }
        ExprKind::Compare(a, rest) => {
            each(a);
            rest.iter().for_each(|(_, e)| each(e));
        }
        ExprKind::If { test, then, otherwise } => {
            each(test);
            each(then);
            otherwise.iter().for_each(each);
        }
        ExprKind::Slice { of, start, stop, step } => {
            each(of);
            [start, stop, step].into_iter().flatten().for_each(each);
        }
        ExprKind::Filter { of, args, .. } => {
            of.iter().for_each(each);
            arguments(args, f);
        }
        ExprKind::Test { of, args, .. } | ExprKind::Call(of, args) | ExprKind::Method(of, _, args) => {
            each(of);
            arguments(args, f);
        }
    }
}

/// Calls `f` for every variable name used, with its place. Names that the template itself sets are among them.
pub fn names<'t>(stmts: &'t [Stmt], f: &mut dyn FnMut(&'t str, At)) {
    exprs(stmts, &mut |e| {
        if let ExprKind::Var(name) = &*e.kind {
            f(name, e.at);
        }
    });
}

/// Names that statements set: loop variables, `set`, macros, imports.
pub fn assigned<'t>(stmts: &'t [Stmt], f: &mut dyn FnMut(&'t str)) {
    fn target<'t>(t: &'t Target, f: &mut dyn FnMut(&'t str)) {
        match t {
            Target::Name(n) => f(n),
            Target::Member(..) => {}
            Target::Tuple(all) => all.iter().for_each(|t| target(t, f)),
        }
    }
    for s in stmts {
        match &s.kind {
            StmtKind::If { then, otherwise, .. } => {
                assigned(then, f);
                assigned(otherwise, f);
            }
            StmtKind::For(l) => {
                f("loop");
                target(&l.target, f);
                assigned(&l.body, f);
                assigned(&l.otherwise, f);
            }
            StmtKind::Set { target: t, .. } => target(t, f),
            StmtKind::SetBlock { target: t, body, .. } => {
                target(t, f);
                assigned(body, f);
            }
            StmtKind::With { set, body } => {
                set.iter().for_each(|(t, _)| target(t, f));
                assigned(body, f);
            }
            StmtKind::FilterBlock { body, .. } | StmtKind::Group(body) => assigned(body, f),
            StmtKind::Macro(m) => {
                f(&m.name);
                in_macro(m, f);
            }
            StmtKind::CallBlock { body, .. } => in_macro(body, f),
            StmtKind::Import { alias, .. } => f(alias),
            StmtKind::From { names, .. } => names.iter().for_each(|(_, alias)| f(alias)),
            StmtKind::Text(_)
            | StmtKind::Emit(_)
            | StmtKind::Include { .. }
            | StmtKind::Extends(_)
            | StmtKind::Block(_)
            | StmtKind::Do(_)
            | StmtKind::Break
            | StmtKind::Continue => {}
        }
    }
    fn in_macro<'t>(m: &'t Macro, f: &mut dyn FnMut(&'t str)) {
        ["caller", "varargs", "kwargs"].into_iter().for_each(&mut *f);
        m.params.iter().for_each(|(n, _)| f(n));
        assigned(&m.body, f);
    }
}
