//! What templates can call without a filter: `range`, `dict`, `namespace`, `lookup`, `now` and their kin; and the
//! variables that are not data (`hostvars`, `vars`, `omit`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use super::eval::Cx;
use super::tree::Math;
use super::val::{Args, Map, Missing, Object, Res, Val};
use crate::model::value::{Dict, Key, Value};
use crate::vars::dates;
use crate::vars::error::fail;
use crate::vars::template::Scope;

/// One of Jinja's or Ansible's functions by name.
pub fn global(name: &str) -> Option<Val> {
    const NAMES: &[&str] =
        &["range", "dict", "lipsum", "cycler", "joiner", "namespace", "now", "undef", "lookup", "query", "q"];
    if name == "omit" {
        return Some(Val::Omit);
    }
    NAMES.iter().find(|n| **n == name).map(|n| Val::object(Function(n)))
}

/// Whether a name is a function, so that a load-time check knows it.
pub fn is_global(name: &str) -> bool {
    global(name).is_some()
}

/// Variables that are views on the play rather than data.
pub fn magic(cx: &mut Cx<'_>, name: &str) -> Option<Val> {
    match name {
        "hostvars" => {
            let hosts = cx.scope.hosts();
            (!hosts.is_empty()).then(|| Val::object(HostVars { hosts, seen: RefCell::default() }))
        }
        "vars" if cx.scope.get("vars").is_none() => Some(Val::object(Vars)),
        _ => None,
    }
}

/// Whether an object is `lookup` or `query`.
pub fn is_lookup(o: &dyn Object) -> bool {
    o.as_any().downcast_ref::<Function>().is_some_and(|f| matches!(f.0, "lookup" | "query" | "q"))
}

struct Function(&'static str);

impl Object for Function {
    fn kind(&self) -> &'static str {
        "function"
    }

    fn call(&self, cx: &mut Cx<'_>, args: Args) -> Res {
        // Only these look at undefined values themselves.
        if !matches!(self.0, "undef" | "namespace" | "dict" | "lookup" | "query" | "q")
            && let Some(m) = args.missing()
        {
            return Ok(Val::Missing(m.clone()));
        }
        match self.0 {
            "range" => range(args),
            "dict" => {
                let mut map = match args.pos.first() {
                    Some(d @ (Val::Dict(_) | Val::Object(_))) => cx.map(d)?,
                    Some(pairs) => {
                        let mut map = Map::new();
                        for pair in cx.items(pairs)? {
                            let pair = cx.items(&pair)?;
                            let [k, v] = pair.as_slice() else { return fail("dict() needs pairs of key and value") };
                            map.insert(cx.key(k)?, v.clone());
                        }
                        map
                    }
                    None => Map::new(),
                };
                map.extend(args.named.into_iter().map(|(k, v)| (Key::Str(k), v)));
                Ok(Val::dict(map))
            }
            "namespace" => {
                let mut names = match args.pos.first() {
                    Some(d) => cx.map(d)?,
                    None => Map::new(),
                };
                names.extend(args.named.into_iter().map(|(k, v)| (Key::Str(k), v)));
                Ok(Val::object(Namespace(RefCell::new(names))))
            }
            "cycler" => {
                if args.pos.is_empty() {
                    return fail("at least one item has to be provided");
                }
                Ok(Val::object(Cycler { items: args.pos, at: Cell::new(0) }))
            }
            "joiner" => {
                let bound = args.bind("joiner()", &["sep"])?;
                Ok(Val::object(Joiner { sep: bound.text(cx, 0, ", ")?, used: Cell::new(false) }))
            }
            "now" => {
                let bound = args.bind("now()", &["utc", "fmt"])?;
                let now = dates::now(bound.flag(cx, 0, false)?);
                match bound.some(1) {
                    Some(format) => {
                        let format = cx.text(format)?;
                        now.format(&format).map(Val::from)
                    }
                    None => Ok(Val::object(now)),
                }
            }
            "undef" => {
                let bound = args.bind("undef()", &["hint"])?;
                let hint = bound.text(cx, 0, "")?;
                let message = if hint.is_empty() { "Mandatory variable has not been overridden" } else { &hint };
                Ok(Val::missing(Missing::new("", message)))
            }
            "lipsum" => lipsum(cx, args),
            name => crate::vars::lookups::call(cx, name != "lookup", args),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn range(args: Args) -> Res {
    let mut numbers = Vec::new();
    for a in &args.pos {
        match a.as_int() {
            Some(i) => numbers.push(i),
            None => return fail(format!("'{}' object cannot be interpreted as an integer", a.kind())),
        }
    }
    let (start, stop, step) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [_, _, 0] => return fail("range() arg 3 must not be zero"),
        [start, stop, step] => (*start, *stop, *step),
        _ => return fail("range() takes one to three whole numbers"),
    };
    Ok(Val::object(Range { start, stop, step }))
}

/// Python's range: not a list, so that a large one can be picked from.
pub struct Range {
    start: i64,
    stop: i64,
    step: i64,
}

impl Range {
    fn len(&self) -> usize {
        let (from, to, step) = (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let n = if step > 0 { (to - from + step - 1) / step } else { (from - to - step - 1) / -step };
        usize::try_from(n.max(0)).unwrap_or(usize::MAX)
    }

    /// First, step and how many: for `random`.
    pub fn shape(&self) -> (i64, i64, usize) {
        (self.start, self.step, self.len())
    }
}

impl Object for Range {
    fn kind(&self) -> &'static str {
        "range"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let Some(i) = key.as_int() else { return Ok(None) };
        let len = self.len() as i64;
        let i = if i < 0 { i + len } else { i };
        Ok((0..len).contains(&i).then(|| Val::Int(self.start + i * self.step)))
    }
    fn items(&self, cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        cx.bounded(self.len())?;
        Ok(Some((0..self.len() as i64).map(|i| Val::Int(self.start + i * self.step)).collect()))
    }
    fn truth(&self) -> bool {
        self.len() > 0
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        Ok(if self.step == 1 {
            format!("range({}, {})", self.start, self.stop)
        } else {
            format!("range({}, {}, {})", self.start, self.stop, self.step)
        })
    }
    fn value(&self, _cx: &mut Cx<'_>) -> Res<Value> {
        fail("a 'range' cannot be stored in a variable; add '| list'")
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Namespace(RefCell<Map>);

impl Object for Namespace {
    fn kind(&self) -> &'static str {
        "Namespace"
    }
    fn member(&self, cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let key = cx.key(key)?;
        Ok(self.0.borrow().get(&key).cloned())
    }
    fn set(&self, name: &str, value: Val) -> bool {
        self.0.borrow_mut().insert(name.into(), value);
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Cycler {
    items: Vec<Val>,
    at: Cell<usize>,
}

impl Object for Cycler {
    fn kind(&self) -> &'static str {
        "Cycler"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        Ok((key.as_str() == Some("current")).then(|| self.items[self.at.get()].clone()))
    }
    fn method(&self, _cx: &mut Cx<'_>, name: &str, _args: &Args) -> Res<Option<Val>> {
        match name {
            "next" => {
                let v = self.items[self.at.get()].clone();
                self.at.set((self.at.get() + 1) % self.items.len());
                Ok(Some(v))
            }
            "reset" => {
                self.at.set(0);
                Ok(Some(Val::Null))
            }
            _ => Ok(None),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Joiner {
    sep: String,
    used: Cell<bool>,
}

impl Object for Joiner {
    fn kind(&self) -> &'static str {
        "Joiner"
    }
    fn call(&self, _cx: &mut Cx<'_>, _args: Args) -> Res {
        Ok(if self.used.replace(true) { Val::str(&self.sep) } else { Val::str("") })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A method taken off its value: `d.items` without a call.
pub struct Method {
    pub of: Val,
    pub name: Arc<str>,
}

impl Object for Method {
    fn kind(&self) -> &'static str {
        "method"
    }
    fn call(&self, cx: &mut Cx<'_>, args: Args) -> Res {
        match super::methods::call(cx, &self.of, &self.name, &args)? {
            Some(v) => Ok(v),
            None => fail(format!("'{}' has no method '{}'", self.of.kind(), self.name)),
        }
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        Ok(format!("<built-in method {} of {} object>", self.name, self.of.kind()))
    }
    fn value(&self, _cx: &mut Cx<'_>) -> Res<Value> {
        fail(format!(
            "'.{0}' is a method of '{1}' here: call it, '.{0}()', or write ['{0}'] for the key",
            self.name,
            self.of.kind()
        ))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `hostvars`: another host's variables, looked up only when asked for.
struct HostVars {
    hosts: Vec<Arc<str>>,
    seen: RefCell<Vec<(Arc<str>, Val)>>,
}

impl Object for HostVars {
    fn kind(&self) -> &'static str {
        "dict"
    }
    fn member(&self, cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let Some(name) = key.as_str() else { return Ok(None) };
        if let Some((_, v)) = self.seen.borrow().iter().find(|(n, _)| &**n == name) {
            return Ok(Some(v.clone()));
        }
        let Some(scope) = cx.scope.host(name) else { return Ok(None) };
        let v = Val::Object(Rc::new(OfHost { scope }));
        self.seen.borrow_mut().push((name.into(), v.clone()));
        Ok(Some(v))
    }
    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
        dict_method(self, cx, name, args)
    }
    fn items(&self, _cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        Ok(Some(self.hosts.iter().map(|h| Val::Str(h.clone().into())).collect()))
    }
    fn value(&self, cx: &mut Cx<'_>) -> Res<Value> {
        let mut all = Dict::new();
        for h in &self.hosts {
            if let Some(Val::Object(o)) = self.member(cx, &Val::Str(h.clone().into()))? {
                all.insert(Key::Str(h.clone()), o.clone().value(cx)?);
            }
        }
        Ok(Value::dict(all))
    }
    fn text(&self, cx: &mut Cx<'_>) -> Res<String> {
        Ok(self.value(cx)?.to_string())
    }
    fn is_mapping(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One host's variables, as `hostvars['x']`.
struct OfHost {
    scope: Arc<dyn Scope>,
}

impl Object for OfHost {
    fn kind(&self) -> &'static str {
        "dict"
    }
    fn member(&self, cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        let Val::Str(name) = key else { return Ok(None) };
        enum Found {
            Plain(Value),
            Missing(Rc<Missing>),
        }
        let found = cx.with_scope(&*self.scope, |cx| match cx.variable(name.shared())? {
            None => Ok(None),
            Some(Val::Missing(m)) => Ok(Some(Found::Missing(m))),
            Some(v) => Ok(Some(Found::Plain(cx.value(&v)?))),
        })?;
        Ok(found.map(|f| match f {
            Found::Plain(v) => Val::of(&v),
            Found::Missing(m) => Val::Missing(m),
        }))
    }
    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
        dict_method(self, cx, name, args)
    }
    fn items(&self, _cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        Ok(Some(self.scope.names().iter().map(|n| Val::Str(n.clone().into())).collect()))
    }
    fn value(&self, cx: &mut Cx<'_>) -> Res<Value> {
        let mut all = Dict::new();
        for name in self.scope.names() {
            // A variable that cannot be rendered now does not spoil the others, as in Ansible.
            if let Ok(Some(v)) = self.member(cx, &Val::Str(name.clone().into()))
                && let Ok(v) = cx.value(&v)
            {
                all.insert(Key::Str(name), v);
            }
        }
        Ok(Value::dict(all))
    }
    fn text(&self, cx: &mut Cx<'_>) -> Res<String> {
        Ok(self.value(cx)?.to_string())
    }
    fn is_mapping(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `vars`: the host's own variables by name.
struct Vars;

impl Object for Vars {
    fn kind(&self) -> &'static str {
        "dict"
    }
    fn member(&self, cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        match key {
            Val::Str(name) => cx.variable(name.shared()),
            _ => Ok(None),
        }
    }
    fn method(&self, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
        dict_method(self, cx, name, args)
    }
    fn items(&self, cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        Ok(Some(cx.scope.names().iter().map(|n| Val::Str(n.clone().into())).collect()))
    }
    fn value(&self, cx: &mut Cx<'_>) -> Res<Value> {
        let mut all = Dict::new();
        for name in cx.scope.names() {
            if let Some(v) = cx.variable(&name)? {
                all.insert(Key::Str(name), cx.value(&v)?);
            }
        }
        Ok(Value::dict(all))
    }
    fn is_mapping(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A dictionary's methods, of what behaves as one and is looked up piece by piece.
fn dict_method(of: &dyn Object, cx: &mut Cx<'_>, name: &str, args: &Args) -> Res<Option<Val>> {
    let keys = match name {
        "get" => {
            let key = args.pos.first().cloned().unwrap_or(Val::Null);
            let default = args.pos.get(1).cloned().unwrap_or(Val::Null);
            return Ok(Some(of.member(cx, &key)?.unwrap_or(default)));
        }
        "keys" | "values" | "items" => of.items(cx)?.unwrap_or_default(),
        _ => return Ok(None),
    };
    if name == "keys" {
        return Ok(Some(Val::list(keys)));
    }
    let mut out = Vec::with_capacity(keys.len());
    for key in keys {
        let value = of.member(cx, &key)?.unwrap_or(Val::Null);
        out.push(if name == "values" { value } else { Val::tuple(vec![key, value]) });
    }
    Ok(Some(Val::list(out)))
}

/// The order of two objects of one kind that has one: dates, durations.
pub fn order(a: &dyn Object, b: &dyn Object) -> Option<Ordering> {
    dates::order(a.as_any(), b.as_any())
}

/// Arithmetic of objects: dates and durations.
pub fn math(op: Math, a: &dyn Object, b: &Val) -> Option<Res> {
    dates::math(op, a.as_any(), b)
}

/// Filler text; whoever needs it does not care which words.
fn lipsum(cx: &mut Cx<'_>, args: Args) -> Res {
    const WORDS: &str = "a ac accumsan ad adipiscing aenean aliquam aliquet amet ante aptent arcu at auctor augue bibendum blandit commodo congue";
    let bound = args.bind("lipsum()", &["n", "html", "min", "max"])?;
    let n = bound.int(0, "n")?.unwrap_or(5).clamp(0, 1000);
    let html = bound.flag(cx, 1, true)?;
    let least = bound.int(2, "min")?.unwrap_or(20).clamp(1, 1000) as usize;
    let words: Vec<&str> = WORDS.split(' ').collect();
    let paragraph = || {
        let mut text = words.iter().cycle().take(least).copied().collect::<Vec<_>>().join(" ");
        text[..1].make_ascii_uppercase();
        if html { format!("<p>{text}.</p>") } else { format!("{text}.") }
    };
    let all: Vec<String> = (0..n).map(|_| paragraph()).collect();
    Ok(Val::from(all.join(if html { "\n" } else { "\n\n" })))
}
