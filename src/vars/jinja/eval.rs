//! Runs expressions. Statements are in [`super::stmts`], operators in [`super::ops`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::functions;
use super::places::{locate, place, shorten, with_line_ends};
use super::tree::*;
use super::val::{Args, Missing, Res, Val};
use crate::model::value::{Template, Value};
use crate::vars::error::{Fail, Link, TemplateError, TemplateErrorKind, fail};
use crate::vars::template::{Control, Engine, Scope, TextOptions};

/// Nested templates, macro calls and includes.
const MOST_DEPTH: u32 = 400;

/// Names of one block of a template, and the blocks around it.
pub struct Frame {
    vars: RefCell<Vec<(Arc<str>, Val)>>,
    parent: Option<Rc<Frame>>,
    /// Whether names that no frame holds are looked for in the play's variables (not in a module imported without context).
    sees_scope: bool,
}

impl Frame {
    pub fn root(sees_scope: bool) -> Rc<Frame> {
        Rc::new(Frame { vars: RefCell::default(), parent: None, sees_scope })
    }

    pub fn inside(parent: &Rc<Frame>) -> Rc<Frame> {
        Rc::new(Frame { vars: RefCell::default(), parent: Some(parent.clone()), sees_scope: parent.sees_scope })
    }

    pub fn set(&self, name: &Arc<str>, value: Val) {
        let mut vars = self.vars.borrow_mut();
        match vars.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => vars.push((name.clone(), value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<Val> {
        if let Some((_, v)) = self.vars.borrow().iter().find(|(n, _)| &**n == name) {
            return Some(v.clone());
        }
        self.parent.as_ref()?.get(name)
    }

    /// The names set in this frame itself.
    pub fn own(&self) -> Vec<(Arc<str>, Val)> {
        self.vars.borrow().clone()
    }
}

/// What is being rendered, for loops of variables and for messages.
struct Doing {
    template: Arc<Template>,
    scope: usize,
    name: Option<Arc<str>>,
}

/// ``variable 'url'``, or the template's own text.
fn what(template: &Template, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("variable '{name}'"),
        None => format!("'{}'", shorten(&template.text)),
    }
}

/// One rendering: the variables it sees, what it has already resolved, and its limits.
pub struct Cx<'a> {
    pub engine: &'a Engine,
    pub scope: &'a dyn Scope,
    /// Where `include` and `import` look; none in a playbook's own text.
    pub options: Option<&'a TextOptions>,
    /// Conditions render constants that hold Jinja.
    pub renders_constants: bool,
    pub(super) inherits: Vec<super::stmts::Inherits>,
    resolved: HashMap<Arc<str>, Option<Val>>,
    doing: Vec<Doing>,
    pub(super) steps: u64,
    depth: u32,
}

impl<'a> Cx<'a> {
    pub fn new(engine: &'a Engine, scope: &'a dyn Scope) -> Cx<'a> {
        Cx {
            engine,
            scope,
            options: None,
            renders_constants: false,
            inherits: Vec::new(),
            resolved: HashMap::new(),
            doing: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    /// The control node; an error where templates must not reach it.
    pub fn control(&self, what: &str) -> Res<&'a dyn Control> {
        match self.scope.control() {
            Some(c) => Ok(c),
            None => fail(format!("{what} is not available here")),
        }
    }

    /// Runs with another host's variables, and gives plain data back.
    pub fn with_scope<T>(&mut self, scope: &dyn Scope, f: impl FnOnce(&mut Cx<'_>) -> Res<T>) -> Res<T> {
        let mut other = Cx::new(self.engine, scope);
        other.doing = std::mem::take(&mut self.doing);
        other.steps = self.steps;
        other.depth = self.depth + 1;
        let result = if other.depth > MOST_DEPTH { too_deep() } else { f(&mut other) };
        self.steps = other.steps;
        self.doing = other.doing;
        result
    }

    /// One level deeper: a nested template, a macro, an include.
    pub fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Res<T>) -> Res<T> {
        if self.depth >= MOST_DEPTH {
            return too_deep();
        }
        self.depth += 1;
        let result = stacker::maybe_grow(256 << 10, 2 << 20, || f(self));
        self.depth -= 1;
        result
    }

    /// A variable of the play, rendered if it is a template; none if there is no such variable.
    pub fn variable(&mut self, name: &Arc<str>) -> Res<Option<Val>> {
        if let Some(v) = self.resolved.get(name) {
            return Ok(v.clone());
        }
        let value = match functions::magic(self, name) {
            Some(v) => Some(v),
            None => match self.scope.get(name) {
                Some(raw) => Some(self.settle_as(&Val::of(&raw), Some(name))?),
                None => None,
            },
        };
        if let Some(Val::Str(text)) = &value {
            self.scope.told(name, text);
        }
        self.resolved.insert(name.clone(), value.clone());
        Ok(value)
    }

    /// Takes one level of untouched data apart; renders it if it is a template. Undefined stays a value.
    pub fn settle(&mut self, v: &Val) -> Res {
        match v {
            Val::Later(_) => self.settle_as(v, None),
            other => Ok(other.clone()),
        }
    }

    fn settle_as(&mut self, v: &Val, name: Option<&Arc<str>>) -> Res {
        let Val::Later(value) = v else { return Ok(v.clone()) };
        match value {
            Value::Template(t) => self.template(t, name),
            Value::List(l) => Ok(Val::list(l.iter().map(Val::of).collect())),
            Value::Dict(d) => Ok(Val::dict(d.iter().map(|(k, v)| (k.clone(), Val::of(v))).collect())),
            other => Ok(Val::of(other)),
        }
    }

    /// Renders a template of a variable. Its errors know their place; undefined becomes a value that knows it.
    pub fn template(&mut self, template: &Arc<Template>, name: Option<&Arc<str>>) -> Res {
        // The scope's address tells hosts apart: the same group variable is rendered for each.
        let scope = (self.scope as *const dyn Scope).cast::<()>() as usize;
        let same = |d: &Doing| Arc::ptr_eq(&d.template, template) && d.scope == scope;
        if let Some(first) = self.doing.iter().position(same) {
            let mut way: Vec<String> =
                self.doing[first..].iter().map(|d| what(&d.template, d.name.as_deref())).collect();
            way.push(what(template, name.map(|n| &**n)));
            let mut error = TemplateError::new(
                TemplateErrorKind::Other,
                format!("recursive loop of templates: {}", way.join(" uses ")),
            );
            error.span = Some(template.span.clone());
            return Err(error.help("give one of them a value that does not need the others"));
        }
        let program = self.engine.template(&template.text).map_err(|mut e| {
            place(&mut e, "", &template.text, Some(&template.span));
            e
        })?;
        self.doing.push(Doing { template: template.clone(), scope, name: name.cloned() });
        let outer = std::mem::take(&mut self.inherits);
        let result = self.deeper(|cx| cx.run(&program, &Frame::root(true)));
        self.inherits = outer;
        self.doing.pop();
        let link = || Link { what: what(template, name.map(|n| &**n)), span: Some(template.span.clone()) };
        match result {
            Ok(Val::Missing(m)) => {
                let mut m = (*m).clone();
                if m.span.is_none() {
                    let (span, expression) = locate(&template.span, &program.text, m.at);
                    m.span = Some(span);
                    m.expression = expression;
                    m.at = None;
                }
                if name.is_some() {
                    m.chain.push(link());
                }
                Ok(Val::missing(m))
            }
            Ok(Val::Str(s)) if template.text.ends_with('\n') => Ok(Val::from(with_line_ends(&template.text, &s, "\n"))),
            Ok(v) => Ok(v),
            Err(mut error) => {
                place(&mut error, &program.name, &program.text, Some(&template.span));
                if name.is_some() {
                    error.chain.push(link());
                }
                as_value(error)
            }
        }
    }

    /// Runs a program: its value if it is an expression or a single one, else text.
    pub fn run(&mut self, program: &Arc<Program>, frame: &Rc<Frame>) -> Res {
        match &program.body {
            Body::Expression(e) => self.expr(e, frame),
            Body::Template(_) => {
                let mut out = Vec::new();
                self.program(program, frame, &mut out)?;
                self.join(out)
            }
        }
    }

    pub fn expr(&mut self, e: &Expr, frame: &Rc<Frame>) -> Res {
        self.step()?;
        // A chain of a thousand operators is as deep; see `depth`.
        stacker::maybe_grow(256 << 10, 4 << 20, || self.evaluate(e, frame)).map_err(|mut error| {
            if error.at.is_none() && error.span.is_none() {
                error.at = Some(e.at);
            }
            error
        })
    }

    fn evaluate(&mut self, e: &Expr, frame: &Rc<Frame>) -> Res {
        match &*e.kind {
            ExprKind::Const(v) => Ok(Val::of(v)),
            ExprKind::Bad(message) => Err(TemplateError::new(TemplateErrorKind::Syntax, message)),
            ExprKind::Embedded(t) if self.renders_constants => self.template(t, None),
            ExprKind::Embedded(t) => Ok(Val::str(&t.text)),
            ExprKind::Var(name) => self.name(name, e.at, frame),
            ExprKind::List(items) => Ok(Val::list(self.exprs(items, frame)?)),
            ExprKind::Tuple(items) => Ok(Val::tuple(self.exprs(items, frame)?)),
            ExprKind::Dict(pairs) => {
                let mut map = super::val::Map::with_capacity(pairs.len());
                for (k, v) in pairs {
                    let k = self.expr(k, frame)?;
                    let v = self.expr(v, frame)?;
                    map.insert(self.key(&k)?, v);
                }
                Ok(Val::dict(map))
            }
            ExprKind::Not(of) => {
                let v = self.expr(of, frame)?;
                Ok(Val::Bool(!self.truth(&v)?))
            }
            ExprKind::Neg(of) => {
                let v = self.expr(of, frame)?;
                self.negate(&v)
            }
            ExprKind::And(a, b) => {
                let a = self.expr(a, frame)?;
                if self.truth(&a)? { self.expr(b, frame) } else { Ok(a) }
            }
            ExprKind::Or(a, b) => {
                let a = self.expr(a, frame)?;
                if self.truth(&a)? { Ok(a) } else { self.expr(b, frame) }
            }
            ExprKind::Math(op, a, b) => {
                let a = self.expr(a, frame)?;
                let b = self.expr(b, frame)?;
                self.math(*op, &a, &b)
            }
            ExprKind::Concat(parts) => {
                let mut text = String::new();
                for p in parts {
                    let v = self.expr(p, frame)?;
                    text.push_str(&self.text(&v)?);
                }
                self.bounded_text(text.len())?;
                Ok(Val::from(text))
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.expr(first, frame)?;
                for (op, right) in rest {
                    let right = self.expr(right, frame)?;
                    if !self.compare(*op, &left, &right)? {
                        return Ok(Val::Bool(false));
                    }
                    left = right;
                }
                Ok(Val::Bool(true))
            }
            ExprKind::If { test, then, otherwise } => {
                let test = self.expr(test, frame)?;
                match (self.truth(&test)?, otherwise) {
                    (true, _) => self.expr(then, frame),
                    (false, Some(otherwise)) => self.expr(otherwise, frame),
                    (false, None) => {
                        let message = "the inline if is false and has no else";
                        Ok(Val::missing(Missing { at: Some(e.at), ..Missing::new("", message) }))
                    }
                }
            }
            ExprKind::Attr(of, name) => {
                let of_value = self.expr(of, frame)?;
                self.attribute(&of_value, name, || path(of), e.at)
            }
            ExprKind::Item(of, key) => {
                let of_value = self.expr(of, frame)?;
                let key = self.expr(key, frame)?;
                self.subscript(&of_value, &key, || path(of), e.at)
            }
            ExprKind::Slice { of, start, stop, step } => {
                let of = self.expr(of, frame)?;
                let mut bound = |e: &Option<Expr>| match e {
                    Some(e) => self.expr(e, frame),
                    None => Ok(Val::Null),
                };
                let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?);
                super::slices::slice(self, &of, &start, &stop, &step)
            }
            ExprKind::Filter { filter, name, of, args } => {
                let Some(of) = of else { return fail("a filter needs a value") };
                let value = self.expr(of, frame)?;
                let args = self.args(args, frame)?;
                let Some(filter) = filter else { return Err(unknown("filter", name)) };
                self.filter(filter, name, value, args)
            }
            ExprKind::Test { test, name, of, args } => {
                let value = self.expr(of, frame)?;
                let args = self.args(args, frame)?;
                let Some(test) = test else { return Err(unknown("test", name)) };
                self.test(test, name, value, args)
            }
            ExprKind::Call(callee, args) => {
                let callee_value = self.expr(callee, frame)?;
                if let (Val::Object(o), Some(Arg::Pos(_))) = (&callee_value, args.first())
                    && functions::is_lookup(o.as_ref())
                {
                    // Only here, terms may be constants that hold Jinja.
                    let outer = std::mem::replace(&mut self.renders_constants, true);
                    let args = self.args(args, frame);
                    self.renders_constants = outer;
                    return self.call(&callee_value, args?);
                }
                let args = self.args(args, frame)?;
                self.call(&callee_value, args)
            }
            ExprKind::Method(of, name, args) => {
                let of_value = self.expr(of, frame)?;
                let args = self.args(args, frame)?;
                self.method(&of_value, name, args, || path(of), e.at)
            }
        }
    }

    fn exprs(&mut self, items: &[Expr], frame: &Rc<Frame>) -> Res<Vec<Val>> {
        items.iter().map(|i| self.expr(i, frame)).collect()
    }

    pub fn args(&mut self, args: &[Arg], frame: &Rc<Frame>) -> Res<Args> {
        let mut out = Args::default();
        for a in args {
            match a {
                Arg::Pos(e) => out.pos.push(self.expr(e, frame)?),
                Arg::Named(n, e) => out.named.push((n.clone(), self.expr(e, frame)?)),
                Arg::Rest(e) => {
                    let list = self.expr(e, frame)?;
                    out.pos.extend(self.items(&list)?);
                }
                Arg::RestNamed(e) => {
                    let dict = self.expr(e, frame)?;
                    for (k, v) in self.pairs(&dict)? {
                        out.named.push((k.to_string().into(), v));
                    }
                }
            }
        }
        Ok(out)
    }

    /// A name: of the template, then of the play, then one of Jinja's functions.
    fn name(&mut self, name: &Arc<str>, at: At, frame: &Rc<Frame>) -> Res {
        if let Some(v) = frame.get(name) {
            return match v {
                Val::Later(_) => self.settle(&v),
                v => Ok(v),
            };
        }
        if frame.sees_scope
            && let Some(v) = self.variable(name)?
        {
            return Ok(match v {
                Val::Missing(m) if m.span.is_none() && m.at.is_none() => {
                    Val::missing(Missing { at: Some(at), ..(*m).clone() })
                }
                v => v,
            });
        }
        if let Some(v) = functions::global(name) {
            return Ok(v);
        }
        let missing = Missing { at: Some(at), ..Missing::new(&**name, format!("'{name}' is undefined")) };
        Ok(Val::missing(missing))
    }

    /// Applies a filter; undefined arguments pass through to the result, unless the filter looks at them itself.
    pub fn filter(&mut self, filter: &'static Filter, name: &str, value: Val, args: Args) -> Res {
        if !filter.takes_missing {
            if let Val::Missing(_) = value {
                return Ok(value);
            }
            if let Some(m) = args.missing() {
                return Ok(Val::Missing(m.clone()));
            }
        }
        let what = format!("the filter '{name}'");
        let result = args.bind(&what, filter.params).and_then(|bound| (filter.run)(self, value, bound));
        match result {
            Err(error) => as_value(error).map_err(|mut error| {
                if error.span.is_none()
                    && error.kind == TemplateErrorKind::Other
                    && !error.message.starts_with("the filter")
                {
                    error.message = format!("{what} failed: {}", error.message);
                }
                error
            }),
            ok => ok,
        }
    }

    pub fn test(&mut self, test: &'static Test, name: &str, value: Val, args: Args) -> Res {
        if !test.takes_missing {
            if let Val::Missing(_) = value {
                return Ok(value);
            }
            if let Some(m) = args.missing() {
                return Ok(Val::Missing(m.clone()));
            }
        }
        let what = format!("the test '{name}'");
        let result = args.bind(&what, test.params).and_then(|bound| (test.run)(self, value, bound));
        match result {
            Ok(b) => Ok(Val::Bool(b)),
            Err(error) => as_value(error).map_err(|mut error| {
                if error.span.is_none()
                    && error.kind == TemplateErrorKind::Other
                    && !error.message.starts_with("the test")
                {
                    error.message = format!("{what} failed: {}", error.message);
                }
                error
            }),
        }
    }

    pub fn call(&mut self, callee: &Val, args: Args) -> Res {
        match callee {
            Val::Missing(_) => Ok(callee.clone()),
            Val::Object(o) => match o.clone().call(self, args) {
                Err(error) => as_value(error),
                ok => ok,
            },
            other => fail(format!("'{}' object is not callable", other.kind())),
        }
    }

    fn method(&mut self, of: &Val, name: &Arc<str>, args: Args, path: impl Fn() -> String, at: At) -> Res {
        if let Val::Missing(_) = of {
            return Ok(of.clone());
        }
        if let Some(m) = args.missing()
            && !matches!(of, Val::Object(_))
            && !matches!(&**name, "append" | "extend" | "insert" | "update" | "setdefault" | "get")
        {
            return Ok(Val::Missing(m.clone()));
        }
        if let Some(result) = super::methods::call(self, of, name, &args)? {
            return Ok(result);
        }
        match self.find(of, &Val::Str(name.clone().into()))? {
            Some(callee) => self.call(&callee, args),
            None => self.absent(of, &Val::Str(name.clone().into()), path, at),
        }
    }
}

/// The path that an expression spells, for messages; empty where it is not one.
fn path(e: &Expr) -> String {
    match &*e.kind {
        ExprKind::Var(name) => name.to_string(),
        ExprKind::Attr(of, name) => match path(of) {
            p if p.is_empty() => p,
            p => format!("{p}.{name}"),
        },
        ExprKind::Item(of, key) => match (path(of), &*key.kind) {
            (p, ExprKind::Const(Value::Str(s))) if !p.is_empty() => format!("{p}.{s}"),
            (p, ExprKind::Const(v)) if !p.is_empty() => format!("{p}[{v}]"),
            (p, ExprKind::Var(v)) if !p.is_empty() => format!("{p}[{v}]"),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn too_deep<T>() -> Res<T> {
    fail(format!("templates nest more than {MOST_DEPTH} levels deep; is one using itself?"))
}

fn unknown(what: &str, name: &str) -> Fail {
    let known: Vec<&str> = match what {
        "filter" => crate::vars::filters::names().collect(),
        _ => crate::vars::tests::names().collect(),
    };
    let error = TemplateError::new(TemplateErrorKind::Syntax, format!("there is no {what} '{name}'"));
    match crate::model::mistake::nearest(name, known) {
        Some(near) => error.help(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// Undefined as a value, other errors as they are.
fn as_value(error: Fail) -> Res {
    let not_knowable = match &error.kind {
        TemplateErrorKind::Undefined(_) => None,
        TemplateErrorKind::NotKnowable(why) => Some(why.clone()),
        _ => return Err(error),
    };
    let name = match error.kind {
        TemplateErrorKind::Undefined(name) => name,
        _ => String::new(),
    };
    Ok(Val::missing(Missing {
        name,
        message: error.message,
        not_knowable,
        at: error.at,
        span: error.span,
        expression: error.expression,
        chain: error.chain,
    }))
}
