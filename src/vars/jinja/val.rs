//! The values of a running template: plain data, plus what only lives while it runs (undefined values, tuples,
//! functions, lists under construction).
//!
//! Lists and dictionaries are shared and mutable, as in Python: `{% set _ = names.append(x) %}` is common. A container
//! that comes from a variable is taken apart one level at a time; what is not touched stays [`Val::Later`], so templates
//! in it are rendered only when they are used.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::eval::Cx;
use crate::model::source::Span;
use crate::model::text::Text;
use crate::model::value::{Key, Value};
use crate::vars::error::{Fail, Link, TemplateError, TemplateErrorKind, fail};

pub type Res<T = Val> = Result<T, Fail>;
pub type Map = IndexMap<Key, Val>;

#[derive(Clone)]
pub enum Val {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text),
    List(Rc<RefCell<Vec<Val>>>),
    Tuple(Rc<Vec<Val>>),
    Dict(Rc<RefCell<Map>>),
    /// A list, dictionary or template of a variable that nothing has touched yet.
    Later(Value),
    Missing(Rc<Missing>),
    /// `omit`: whatever holds it drops it.
    Omit,
    Object(Rc<dyn Object>),
}

/// A value that is not there. It may be passed around, and tested with `is defined`; using it is an error that names it.
#[derive(Clone)]
pub struct Missing {
    /// The path as far as it is known, `foo.bar`; empty where it is not one.
    pub name: String,
    pub message: String,
    /// Why it cannot be known before the run, in a check run.
    pub not_knowable: Option<String>,
    /// Where in the running template's text it was asked for.
    pub at: Option<(u32, u32)>,
    pub span: Option<Span>,
    pub expression: String,
    pub chain: Vec<Link>,
}

impl Missing {
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Missing {
        Missing {
            name: name.into(),
            message: message.into(),
            not_knowable: None,
            at: None,
            span: None,
            expression: String::new(),
            chain: Vec::new(),
        }
    }

    /// The error of using it.
    pub fn fail(&self) -> Fail {
        let kind = match &self.not_knowable {
            Some(why) => TemplateErrorKind::NotKnowable(why.clone()),
            None => TemplateErrorKind::Undefined(self.name.clone()),
        };
        let mut error = TemplateError::new(kind, &self.message);
        error.at = self.at;
        error.span = self.span.clone();
        error.expression = self.expression.clone();
        error.chain = self.chain.clone();
        error
    }
}

/// Arguments of a call.
#[derive(Default, Clone)]
pub struct Args {
    pub pos: Vec<Val>,
    pub named: Vec<(Arc<str>, Val)>,
}

impl Args {
    /// The first undefined argument.
    pub fn missing(&self) -> Option<&Rc<Missing>> {
        self.pos.iter().chain(self.named.iter().map(|(_, v)| v)).find_map(|v| match v {
            Val::Missing(m) => Some(m),
            _ => None,
        })
    }

    /// Puts the arguments in the order of `params` (`*x` takes the other positional ones, `**x` the other named ones).
    pub fn bind(self, what: &str, params: &[&'static str]) -> Res<Bound> {
        let plain = params.iter().take_while(|p| !p.starts_with('*')).count();
        let takes_rest = params.iter().any(|p| p.starts_with('*') && !p.starts_with("**"));
        let takes_named = params.iter().any(|p| p.starts_with("**"));
        let mut bound = Bound { slots: vec![None; plain], rest: Vec::new(), named: Vec::new() };
        for (i, v) in self.pos.into_iter().enumerate() {
            if i < plain {
                bound.slots[i] = Some(v);
            } else if takes_rest {
                bound.rest.push(v);
            } else {
                let most = if plain == 1 { "1 argument".to_owned() } else { format!("{plain} arguments") };
                return fail(format!("{what} takes at most {most}"));
            }
        }
        for (name, v) in self.named {
            match params[..plain].iter().position(|p| *p == &*name) {
                Some(i) if bound.slots[i].is_none() => bound.slots[i] = Some(v),
                Some(_) => return fail(format!("{what} got the argument '{name}' twice")),
                None if takes_named => bound.named.push((name, v)),
                None => {
                    let near = crate::model::mistake::nearest(&name, params[..plain].iter().copied());
                    let hint = near.map_or(String::new(), |n| format!("; did you mean '{n}'?"));
                    return fail(format!("{what} has no argument '{name}'{hint}"));
                }
            }
        }
        Ok(bound)
    }
}

/// Arguments in the order of their parameters.
pub struct Bound {
    slots: Vec<Option<Val>>,
    pub rest: Vec<Val>,
    pub named: Vec<(Arc<str>, Val)>,
}

impl Bound {
    /// The argument at a place, if given.
    pub fn get(&self, i: usize) -> Option<&Val> {
        self.slots.get(i).and_then(Option::as_ref)
    }

    /// The argument at a place; null where it was not given.
    pub fn or_null(&self, i: usize) -> Val {
        self.get(i).cloned().unwrap_or(Val::Null)
    }

    /// Given and not null.
    pub fn some(&self, i: usize) -> Option<&Val> {
        self.get(i).filter(|v| !matches!(v, Val::Null))
    }

    /// A text argument.
    pub fn text(&self, cx: &mut Cx<'_>, i: usize, default: &str) -> Res<String> {
        match self.some(i) {
            Some(v) => cx.text(v),
            None => Ok(default.to_owned()),
        }
    }

    /// A yes-or-no argument, by Python's truth.
    pub fn flag(&self, cx: &mut Cx<'_>, i: usize, default: bool) -> Res<bool> {
        match self.get(i) {
            Some(v) => cx.truth(v),
            None => Ok(default),
        }
    }

    /// A whole number.
    pub fn int(&self, i: usize, name: &str) -> Res<Option<i64>> {
        match self.some(i) {
            None => Ok(None),
            Some(v) => match v.as_int() {
                Some(n) => Ok(Some(n)),
                None => fail(format!("'{name}' must be a whole number, not {}", v.described())),
            },
        }
    }

    /// An argument without which the call makes no sense.
    pub fn need(&self, i: usize, what: &str, name: &str) -> Res<&Val> {
        match self.get(i) {
            Some(v) => Ok(v),
            None => fail(format!("{what} needs the argument '{name}'")),
        }
    }
}

/// What templates can hold that is not data: functions, macros, `loop`, dates, `hostvars`.
pub trait Object {
    /// What `type_debug` prints.
    fn kind(&self) -> &'static str;
    /// A member by name or key.
    fn member(&self, _cx: &mut Cx<'_>, _key: &Val) -> Res<Option<Val>> {
        Ok(None)
    }
    fn call(&self, _cx: &mut Cx<'_>, _args: Args) -> Res {
        fail(format!("'{}' object is not callable", self.kind()))
    }
    /// A method; none if there is no such method.
    fn method(&self, _cx: &mut Cx<'_>, _name: &str, _args: &Args) -> Res<Option<Val>> {
        Ok(None)
    }
    fn items(&self, _cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        Ok(None)
    }
    fn set(&self, _name: &str, _value: Val) -> bool {
        false
    }
    fn truth(&self) -> bool {
        true
    }
    fn text(&self, _cx: &mut Cx<'_>) -> Res<String> {
        Ok(format!("<{}>", self.kind()))
    }
    /// As plain data; what cannot be stored in a variable is an error.
    fn value(&self, _cx: &mut Cx<'_>) -> Res<Value> {
        fail(format!("a '{}' cannot be stored in a variable", self.kind()))
    }
    /// Whether it behaves as a dictionary (`is mapping`).
    fn is_mapping(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn std::any::Any;
}

impl Val {
    pub fn str(text: impl AsRef<str>) -> Val {
        Val::Str(text.as_ref().into())
    }

    pub fn list(items: Vec<Val>) -> Val {
        Val::List(Rc::new(RefCell::new(items)))
    }

    pub fn tuple(items: Vec<Val>) -> Val {
        Val::Tuple(Rc::new(items))
    }

    pub fn dict(map: Map) -> Val {
        Val::Dict(Rc::new(RefCell::new(map)))
    }

    pub fn object(object: impl Object + 'static) -> Val {
        Val::Object(Rc::new(object))
    }

    pub fn missing(missing: Missing) -> Val {
        Val::Missing(Rc::new(missing))
    }

    pub fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Val {
        Val::list(items.into_iter().map(Val::str).collect())
    }

    /// Plain data as it stands in a variable; containers and templates stay untouched.
    pub fn of(value: &Value) -> Val {
        match value {
            Value::Null => Val::Null,
            Value::Bool(b) => Val::Bool(*b),
            Value::Int(i) => Val::Int(*i),
            Value::Float(x) => Val::Float(*x),
            Value::Str(s) => Val::Str(s.clone()),
            other => Val::Later(other.clone()),
        }
    }

    pub fn of_key(key: &Key) -> Val {
        Val::of(&key.to_value())
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Val::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A whole number; booleans count, as in Python.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Val::Int(i) => Some(*i),
            Val::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Val::Float(x) => Some(*x),
            other => other.as_int().map(|i| i as f64),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Val::Null)
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, Val::Missing(_))
    }

    /// Python's name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Null => "NoneType",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Float(_) => "float",
            Val::Str(_) => "str",
            Val::List(_) | Val::Later(Value::List(_)) => "list",
            Val::Tuple(_) => "tuple",
            Val::Dict(_) | Val::Later(Value::Dict(_)) => "dict",
            Val::Later(_) => "str",
            Val::Missing(_) => "UndefinedMarker",
            Val::Omit => "Omit",
            Val::Object(o) => o.kind(),
        }
    }

    /// The kind in words, for messages.
    pub fn described(&self) -> String {
        match self {
            Val::Null => "null".into(),
            Val::Bool(_) => "a boolean".into(),
            Val::Int(_) => "an integer".into(),
            Val::Float(_) => "a number".into(),
            Val::Str(_) => "a string".into(),
            Val::List(_) | Val::Tuple(_) => "a list".into(),
            Val::Dict(_) => "a dictionary".into(),
            other => format!("'{}'", other.kind()),
        }
    }
}

macro_rules! from {
    ($($t:ty => $e:expr),* $(,)?) => { $(impl From<$t> for Val { fn from(v: $t) -> Val { let f: fn($t) -> Val = $e; f(v) } })* };
}
from! {
    bool => Val::Bool,
    i64 => Val::Int,
    usize => |v| Val::Int(v as i64),
    f64 => Val::Float,
    &str => |v| Val::str(v),
    String => |v| Val::Str(v.into()),
    &String => |v| Val::str(v),
    Vec<Val> => Val::list,
    Map => Val::dict,
}
