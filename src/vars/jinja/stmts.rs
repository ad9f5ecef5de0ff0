//! Runs statements: text, loops, macros, inheritance, includes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::eval::{Cx, Frame};
use super::places::place;
use super::tree::*;
use super::val::{Args, Map, Missing, Object, Res, Val};
use crate::vars::error::{Link, TemplateError, TemplateErrorKind, fail};

/// How a list of statements ended.
#[derive(PartialEq)]
pub enum Flow {
    On,
    Break,
    Continue,
}

/// A block as one template of a family defines it.
type Defined = (Arc<Program>, Arc<Vec<Stmt>>);

/// A running template and the templates it extends: each block's definitions, the most derived first.
#[derive(Default, Clone)]
pub struct Inherits {
    blocks: BTreeMap<Arc<str>, Vec<Defined>>,
    parent: Option<Arc<Program>>,
}

impl Inherits {
    fn add(&mut self, program: &Arc<Program>) {
        for (name, body) in &program.blocks {
            self.blocks.entry(name.clone()).or_default().push((program.clone(), body.clone()));
        }
    }
}

impl Cx<'_> {
    /// Runs a template with what it extends; the pieces it prints go to `out`.
    pub fn program(&mut self, program: &Arc<Program>, frame: &Rc<Frame>, out: &mut Vec<Val>) -> Res<()> {
        let mut inherits = Inherits::default();
        inherits.add(program);
        self.inherits.push(inherits);
        let mut program = program.clone();
        let result = loop {
            let Body::Template(body) = &program.body else { break Ok(()) };
            if let Err(e) = self.stmts(&program, body, frame, out) {
                break Err(e);
            }
            // What a child prints outside its blocks is dropped with the switch to its parent.
            match self.inherits.last_mut().and_then(|i| i.parent.take()) {
                Some(parent) => {
                    out.clear();
                    program = parent;
                }
                None => break Ok(()),
            }
        };
        self.inherits.pop();
        result.map_err(|mut e| {
            if !program.name.is_empty() {
                place(&mut e, &program.name, &program.text, None);
            }
            e
        })
    }

    /// What printed pieces come to: one piece is the value itself, several are text; None prints nothing.
    pub fn join(&mut self, mut pieces: Vec<Val>) -> Res {
        pieces.retain(|p| !p.is_null());
        if pieces.len() <= 1 {
            return Ok(pieces.pop().unwrap_or(Val::Null));
        }
        if let Some(m) = pieces.iter().find(|p| p.is_missing()) {
            return Ok(m.clone());
        }
        let mut text = String::new();
        for p in &pieces {
            match p {
                Val::Str(s) => text.push_str(s),
                Val::Omit => {}
                Val::Tuple(_) | Val::List(_) | Val::Dict(_) => text.push_str(&self.value(p)?.to_string()),
                other => text.push_str(&self.text(other)?),
            }
            self.fits_text(text.len())?;
        }
        self.bounded_text(text.len())?;
        Ok(Val::from(text))
    }

    pub fn stmts(&mut self, p: &Arc<Program>, stmts: &[Stmt], frame: &Rc<Frame>, out: &mut Vec<Val>) -> Res<Flow> {
        for s in stmts {
            self.step()?;
            let flow = self.stmt(p, s, frame, out).map_err(|mut e| {
                if e.at.is_none() && e.span.is_none() {
                    e.at = Some(s.at);
                }
                e
            })?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn stmt(&mut self, p: &Arc<Program>, s: &Stmt, frame: &Rc<Frame>, out: &mut Vec<Val>) -> Res<Flow> {
        match &s.kind {
            StmtKind::Text(t) => match &p.newline {
                Some(end) => out.push(Val::from(t.replace('\n', end))),
                None => out.push(Val::Str(t.clone().into())),
            },
            StmtKind::Emit(e) => {
                let v = self.expr(e, frame)?;
                self.print(v, out)?;
            }
            StmtKind::If { test, then, otherwise } => {
                let test = self.expr(test, frame)?;
                let body = if self.truth(&test)? { then } else { otherwise };
                return self.stmts(p, body, frame, out);
            }
            StmtKind::For(f) => self.for_loop(p, f, None, frame, 0, out)?,
            StmtKind::Set { target, value } => {
                let v = self.expr(value, frame)?;
                self.assign(target, v, frame)?;
            }
            StmtKind::SetBlock { target, filter, body } => {
                let v = self.captured(p, body, &Frame::inside(frame))?;
                let v = match filter {
                    Some(f) => self.chain(f, v, frame)?,
                    None => v,
                };
                self.assign(target, v, frame)?;
            }
            StmtKind::With { set, body } => {
                let inner = Frame::inside(frame);
                for (target, e) in set {
                    let v = self.expr(e, frame)?;
                    self.assign(target, v, &inner)?;
                }
                return self.stmts(p, body, &inner, out);
            }
            StmtKind::FilterBlock { filter, body } => {
                let v = self.captured(p, body, &Frame::inside(frame))?;
                let v = if v.is_null() { Val::str("") } else { v };
                let v = self.chain(filter, v, frame)?;
                self.print(v, out)?;
            }
            StmtKind::Group(body) => return self.stmts(p, body, frame, out),
            StmtKind::Macro(m) => {
                let value = MacroObject { program: p.clone(), decl: m.clone(), frame: frame.clone() };
                frame.set(&m.name, Val::object(value));
            }
            StmtKind::CallBlock { callee, args, body } => {
                let callee = self.expr(callee, frame)?;
                let mut args = self.args(args, frame)?;
                let caller = MacroObject { program: p.clone(), decl: body.clone(), frame: frame.clone() };
                args.named.push(("caller".into(), Val::object(caller)));
                let v = self.call(&callee, args)?;
                self.print(v, out)?;
            }
            StmtKind::Include { name, ignore_missing, with_context } => {
                let name = self.expr(name, frame)?;
                let Some((program, file)) = self.load(&name, *ignore_missing)? else { return Ok(Flow::On) };
                let frame = if *with_context { Frame::inside(frame) } else { Frame::root(false) };
                let mut inner = Vec::new();
                self.deeper(|cx| cx.program(&program, &frame, &mut inner)).map_err(|mut e| {
                    e.chain.push(Link { what: format!("the included file '{file}'"), span: None });
                    e
                })?;
                out.append(&mut inner);
            }
            StmtKind::Import { name, alias, with_context } => {
                let module = self.module(name, *with_context, frame)?;
                frame.set(alias, module);
            }
            StmtKind::From { name, names, with_context } => {
                let module = self.module(name, *with_context, frame)?;
                for (name, alias) in names {
                    let v = match self.find(&module, &Val::Str(name.clone().into()))? {
                        Some(v) => v,
                        None => Val::missing(Missing::new(&**name, format!("the imported template has no '{name}'"))),
                    };
                    frame.set(alias, v);
                }
            }
            StmtKind::Extends(name) => {
                let name = self.expr(name, frame)?;
                if let Some((program, _)) = self.load(&name, false)?
                    && let Some(inherits) = self.inherits.last_mut()
                {
                    if inherits.parent.is_some() {
                        return fail("a template can extend one other template only");
                    }
                    if inherits.blocks.values().map(Vec::len).max().unwrap_or(0) > 100 {
                        return fail("templates extend each other in a circle");
                    }
                    inherits.add(&program);
                    inherits.parent = Some(program);
                }
            }
            StmtKind::Block(name) => {
                let found = self.inherits.last().filter(|i| i.parent.is_none()).and_then(|i| i.blocks.get(name));
                let Some(chain) = found.cloned() else { return Ok(Flow::On) };
                self.block(&chain, 0, frame, out)?;
            }
            StmtKind::Do(e) => {
                let v = self.expr(e, frame)?;
                if let Val::Missing(m) = v {
                    return Err(m.fail());
                }
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, v: Val, out: &mut Vec<Val>) -> Res<()> {
        match v {
            // An imported module prints what its file printed.
            Val::Object(o) if o.as_any().is::<Module>() => {
                let text = o.clone().text(self)?;
                out.push(Val::from(text));
            }
            v => out.push(v),
        }
        Ok(())
    }

    /// What statements print, as one value.
    fn captured(&mut self, p: &Arc<Program>, body: &[Stmt], frame: &Rc<Frame>) -> Res {
        let mut out = Vec::new();
        self.stmts(p, body, frame, &mut out)?;
        self.join(out)
    }

    /// Applies a chain of filters that was written without its value.
    fn chain(&mut self, e: &Expr, value: Val, frame: &Rc<Frame>) -> Res {
        let ExprKind::Filter { filter, name, of, args } = &*e.kind else { return fail("a filter is needed here") };
        let value = match of {
            Some(of) => self.chain(of, value, frame)?,
            None => value,
        };
        let args = self.args(args, frame)?;
        match filter {
            Some(filter) => self.filter(filter, name, value, args),
            None => fail(format!("there is no filter '{name}'")),
        }
    }

    fn assign(&mut self, target: &Target, v: Val, frame: &Rc<Frame>) -> Res<()> {
        match target {
            Target::Name(n) => frame.set(n, v),
            Target::Member(n, attr) => match frame.get(n) {
                Some(Val::Object(o)) if o.set(attr, v) => {}
                _ => return fail(format!("cannot assign to '{n}.{attr}': '{n}' is not a namespace")),
            },
            Target::Tuple(targets) => {
                let items = self.items(&v)?;
                if items.len() != targets.len() {
                    return fail(format!("cannot unpack {} values into {} names", items.len(), targets.len()));
                }
                for (t, v) in targets.iter().zip(items) {
                    self.assign(t, v, frame)?;
                }
            }
        }
        Ok(())
    }

    fn for_loop(
        &mut self,
        p: &Arc<Program>,
        f: &Arc<For>,
        over: Option<Val>,
        frame: &Rc<Frame>,
        depth: i64,
        out: &mut Vec<Val>,
    ) -> Res<()> {
        let iter = match over {
            Some(v) => v,
            None => self.expr(&f.iter, frame)?,
        };
        let mut items = self.items(&iter)?;
        if let Some(filter) = &f.filter {
            let mut kept = Vec::new();
            for item in items {
                let inner = Frame::inside(frame);
                self.assign(&f.target, item.clone(), &inner)?;
                let keep = self.expr(filter, &inner)?;
                if self.truth(&keep)? {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            self.stmts(p, &f.otherwise, &Frame::inside(frame), out)?;
            return Ok(());
        }
        let state = Rc::new(Loop {
            items,
            at: Cell::new(0),
            depth,
            changed: RefCell::new(None),
            recursive: f.recursive.then(|| (p.clone(), f.clone(), frame.clone())),
        });
        for (i, item) in state.items.iter().enumerate() {
            self.step()?;
            state.at.set(i);
            let inner = Frame::inside(frame);
            inner.set(&"loop".into(), Val::Object(state.clone()));
            self.assign(&f.target, item.clone(), &inner)?;
            if self.stmts(p, &f.body, &inner, out)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn block(&mut self, chain: &[Defined], level: usize, frame: &Rc<Frame>, out: &mut Vec<Val>) -> Res<()> {
        let Some((program, body)) = chain.get(level) else { return fail("there is no parent block to call") };
        let inner = Frame::inside(frame);
        if chain.len() > level + 1 {
            let super_ = Super { chain: chain.to_vec(), level: level + 1, frame: frame.clone() };
            inner.set(&"super".into(), Val::object(super_));
        }
        self.deeper(|cx| cx.stmts(program, body, &inner, out)).map(|_| ())
    }

    /// A template file by name, or the first that exists of several names.
    fn load(&mut self, name: &Val, ignore_missing: bool) -> Res<Option<(Arc<Program>, String)>> {
        let names = match name {
            Val::Str(s) => vec![s.to_string()],
            Val::List(_) | Val::Tuple(_) => {
                let mut names = Vec::new();
                for n in self.items(name)? {
                    names.push(self.text(&n)?);
                }
                names
            }
            Val::Missing(m) => return Err(m.fail()),
            other => return fail(format!("the name of a template must be a string, not {}", other.described())),
        };
        for name in &names {
            if let Some(program) = self.engine.file(name, self.options, self.scope)? {
                return Ok(Some((program, name.clone())));
            }
        }
        if ignore_missing {
            return Ok(None);
        }
        let places = self.options.map_or(String::new(), |o| {
            let dirs: Vec<String> = o.search.iter().map(|d| d.display().to_string()).collect();
            if dirs.is_empty() { String::new() } else { format!("; looked in {}", dirs.join(", ")) }
        });
        Err(TemplateError::new(
            TemplateErrorKind::Other,
            format!("template '{}' not found{places}", names.join("' or '")),
        ))
    }

    fn module(&mut self, name: &Expr, with_context: bool, frame: &Rc<Frame>) -> Res {
        let name = self.expr(name, frame)?;
        let Some((program, _)) = self.load(&name, false)? else { return fail("no template") };
        let inner = if with_context { Frame::inside(frame) } else { Frame::root(false) };
        let mut out = Vec::new();
        self.deeper(|cx| cx.program(&program, &inner, &mut out))?;
        let printed = self.join(out)?;
        let printed = if printed.is_null() { String::new() } else { self.text(&printed)? };
        Ok(Val::object(Module { names: inner.own(), printed }))
    }
}

/// An imported template: its macros and what it set.
struct Module {
    names: Vec<(Arc<str>, Val)>,
    printed: String,
}

impl Object for Module {
    fn kind(&self) -> &'static str {
        "TemplateModule"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        Ok(self.names.iter().find(|(n, _)| key.as_str() == Some(n)).map(|(_, v)| v.clone()))
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        Ok(self.printed.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The parent's body of a block, as `super`.
struct Super {
    chain: Vec<Defined>,
    level: usize,
    frame: Rc<Frame>,
}

impl Object for Super {
    fn kind(&self) -> &'static str {
        "BlockReference"
    }
    fn call(&self, cx: &mut Cx<'_>, _args: Args) -> Res {
        let mut out = Vec::new();
        cx.block(&self.chain, self.level, &self.frame, &mut out)?;
        cx.join(out)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A macro, or the body of a `call` block, with the names around it.
struct MacroObject {
    program: Arc<Program>,
    decl: Arc<Macro>,
    frame: Rc<Frame>,
}

impl Object for MacroObject {
    fn kind(&self) -> &'static str {
        "Macro"
    }

    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let names = || Val::tuple(self.decl.params.iter().map(|(n, _)| Val::Str(n.clone().into())).collect());
        Ok(match key.as_str() {
            Some("name") => Some(Val::Str(self.decl.name.clone().into())),
            Some("arguments") => Some(names()),
            Some("catch_kwargs") => Some(self.decl.uses.kwargs.into()),
            Some("catch_varargs") => Some(self.decl.uses.varargs.into()),
            Some("caller") => Some(self.decl.uses.caller.into()),
            _ => None,
        })
    }

    fn call(&self, cx: &mut Cx<'_>, args: Args) -> Res {
        let decl = &self.decl;
        let inner = Frame::inside(&self.frame);
        let mut rest = Vec::new();
        let mut named = Map::new();
        let mut given: Vec<Option<Val>> = vec![None; decl.params.len()];
        for (i, v) in args.pos.into_iter().enumerate() {
            match given.get_mut(i) {
                Some(slot) => *slot = Some(v),
                None => rest.push(v),
            }
        }
        let mut caller = None;
        for (name, v) in args.named {
            match decl.params.iter().position(|(n, _)| *n == name) {
                Some(i) if given[i].is_none() => given[i] = Some(v),
                Some(_) => return fail(format!("the macro '{}' got the argument '{name}' twice", decl.name)),
                None if &*name == "caller" => caller = Some(v),
                None if decl.uses.kwargs => {
                    named.insert(name.to_string().into(), v);
                }
                None => return fail(format!("the macro '{}' takes no argument '{name}'", decl.name)),
            }
        }
        if !rest.is_empty() && !decl.uses.varargs {
            return fail(format!("the macro '{}' takes not more than {} argument(s)", decl.name, decl.params.len()));
        }
        for ((name, default), v) in decl.params.iter().zip(given) {
            let v = match (v, default) {
                (Some(v), _) => v,
                (None, Some(e)) => cx.expr(e, &inner)?,
                (None, None) => Val::missing(Missing::new(&**name, format!("parameter '{name}' was not provided"))),
            };
            inner.set(name, v);
        }
        if decl.uses.varargs {
            inner.set(&"varargs".into(), Val::tuple(rest));
        }
        if decl.uses.kwargs {
            inner.set(&"kwargs".into(), Val::dict(named));
        }
        match caller {
            Some(_) if !decl.uses.caller => {
                return fail(format!(
                    "the macro '{}' was called with a call block, but does not use 'caller'",
                    decl.name
                ));
            }
            Some(c) => inner.set(&"caller".into(), c),
            None if decl.uses.caller => {
                let missing = Missing::new("caller", "no caller defined");
                inner.set(&"caller".into(), Val::missing(missing));
            }
            None => {}
        }
        let result = cx.deeper(|cx| cx.captured(&self.program, &decl.body, &inner));
        result.map(|v| if v.is_null() { Val::str("") } else { v }).map_err(|mut e| {
            if !self.program.name.is_empty() {
                place(&mut e, &self.program.name, &self.program.text, None);
            }
            e
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `loop`.
struct Loop {
    items: Vec<Val>,
    at: Cell<usize>,
    depth: i64,
    changed: RefCell<Option<Vec<Val>>>,
    recursive: Option<(Arc<Program>, Arc<For>, Rc<Frame>)>,
}

impl Object for Loop {
    fn kind(&self) -> &'static str {
        "LoopContext"
    }

    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let (at, len) = (self.at.get(), self.items.len());
        let near = |i: Option<usize>, what: &str| match i.and_then(|i| self.items.get(i)) {
            Some(v) => v.clone(),
            None => Val::missing(Missing::new(format!("loop.{what}"), format!("there is no {what} here"))),
        };
        Ok(Some(match key.as_str() {
            Some("index") => Val::from(at + 1),
            Some("index0") => Val::from(at),
            Some("revindex") => Val::from(len - at),
            Some("revindex0") => Val::from(len - at - 1),
            Some("first") => Val::Bool(at == 0),
            Some("last") => Val::Bool(at + 1 == len),
            Some("length") => Val::from(len),
            Some("depth") => Val::Int(self.depth + 1),
            Some("depth0") => Val::Int(self.depth),
            Some("previtem") => near(at.checked_sub(1), "previous item"),
            Some("nextitem") => near(Some(at + 1), "next item"),
            _ => return Ok(None),
        }))
    }

    fn call(&self, cx: &mut Cx<'_>, mut args: Args) -> Res {
        let Some((program, f, frame)) = &self.recursive else {
            return fail("the loop must have the word 'recursive' to be called");
        };
        let Some(over) = args.pos.pop() else { return fail("loop() needs what to loop over") };
        let mut out = Vec::new();
        cx.deeper(|cx| cx.for_loop(program, f, Some(over), frame, self.depth + 1, &mut out))?;
        cx.join(out)
    }

    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
        match name {
            "cycle" => {
                if args.pos.is_empty() {
                    return fail("no items for cycling given");
                }
                Ok(args.pos.get(self.at.get() % args.pos.len()).cloned())
            }
            "changed" => {
                let before = self.changed.borrow().clone();
                let same = match before {
                    Some(b) => cx.equal(&Val::list(b), &Val::list(args.pos.clone()))?,
                    None => false,
                };
                *self.changed.borrow_mut() = Some(args.pos.clone());
                Ok(Some(Val::Bool(!same)))
            }
            _ => Ok(None),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
