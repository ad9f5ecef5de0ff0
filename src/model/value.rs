//! The values that playbooks, variables, module arguments and results are made of.
//!
//! A string that the user wrote and that holds Jinja is a [`Value::Template`]; every other string is plain data and is
//! never templated, however many braces a host's output may hold.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::source::Span;
use super::text::Text;

/// A dictionary; it keeps the order in which it was written.
pub type Dict = IndexMap<Key, Value>;

/// A value. Lists and dictionaries are shared, so a clone is cheap.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Plain data: never templated.
    Str(Text),
    /// Text that the user wrote with `{{`, `{%` or `{#` in it, still to be rendered.
    Template(Arc<Template>),
    List(Arc<Vec<Value>>),
    Dict(Arc<Dict>),
}

/// Both mappings, and their own mappings so too; the new one wins.
pub fn merged(before: &Dict, new: &Dict) -> Dict {
    let mut all = before.clone();
    for (key, value) in new {
        let value = match (all.get(key), value) {
            (Some(Value::Dict(old)), Value::Dict(value)) => Value::dict(merged(old, value)),
            _ => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    all
}

/// A string with Jinja in it, and where it was written.
#[derive(Clone, Debug)]
pub struct Template {
    pub text: String,
    pub span: Span,
}

/// A dictionary's key. Keys of other kinds than these do not occur in YAML that Ansible accepts.
#[derive(Clone, Debug)]
pub enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
}

impl Value {
    /// A plain string.
    pub fn str(text: impl AsRef<str>) -> Value {
        Value::Str(text.as_ref().into())
    }

    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(items))
    }

    pub fn dict(dict: Dict) -> Value {
        Value::Dict(Arc::new(dict))
    }

    /// Text that the user wrote: a template where it holds Jinja, else a plain string.
    pub fn written(text: &str, span: &Span) -> Value {
        if has_jinja(text) {
            Value::Template(Arc::new(Template { text: text.to_owned(), span: span.clone() }))
        } else {
            Value::Str(Text::written(text))
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Value::Dict(d) => Some(d),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The member of a dictionary by a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_dict()?.get(key)
    }

    /// Whether any part of it still has to be rendered.
    pub fn has_template(&self) -> bool {
        match self {
            Value::Template(_) => true,
            Value::List(l) => l.iter().any(Value::has_template),
            Value::Dict(d) => d.values().any(Value::has_template),
            _ => false,
        }
    }

    /// Python's name of the kind, for messages that scripts look at.
    pub fn python_type(&self) -> &'static str {
        match self {
            Value::Null => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) | Value::Template(_) => "str",
            Value::List(_) => "list",
            Value::Dict(_) => "dict",
        }
    }

    /// Ansible's name of the kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Template(_) => "a template",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
        }
    }
}

/// Whether a text holds anything that Jinja would act on.
pub fn has_jinja(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// How Python's `str()` prints a value; what a template prints when it is mixed with other text.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Str(s) => f.write_str(s),
            Value::Template(t) => f.write_str(&t.text),
            other => other.repr(f),
        }
    }
}

impl Value {
    /// The same as a text of its own.
    pub fn python_repr(&self) -> String {
        struct Repr<'v>(&'v Value);
        impl fmt::Display for Repr<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.repr(f)
            }
        }
        Repr(self).to_string()
    }

    /// How Python's `repr()` prints it (`None`, `True`, `'text'`).
    fn repr(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("None"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Float(x) => f.write_str(&python_float(*x)),
            Value::Str(s) => repr_str(s, f),
            Value::Template(t) => repr_str(&t.text, f),
            Value::List(l) => {
                f.write_str("[")?;
                for (i, v) in l.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    v.repr(f)?;
                }
                f.write_str("]")
            }
            Value::Dict(d) => {
                f.write_str("{")?;
                for (i, (k, v)) in d.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    k.to_value().repr(f)?;
                    f.write_str(": ")?;
                    v.repr(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A float as Python prints it: `1.0`, `1e+16`, `inf`, `nan`.
pub fn python_float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    if x.fract() == 0.0 { format!("{x:.1}") } else { format!("{x}") }
}

fn repr_str(s: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    write!(f, "{quote}")?;
    for c in s.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "{quote}")
}

/// Python's equality: `1 == 1.0`, `True == 1`; a template equals nothing but the same text.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        use Value::*;
        match (self, other) {
            (Null, Null) => true,
            (Str(a), Str(b)) => a == b,
            (Template(a), Template(b)) => a.text == b.text,
            (List(a), List(b)) => a == b,
            (Dict(a), Dict(b)) => a == b,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (Bool(_) | Int(_) | Float(_), Bool(_) | Int(_) | Float(_)) => self.number() == other.number(),
            _ => false,
        }
    }
}

impl Value {
    fn number(&self) -> Option<f64> {
        match self {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::Int(i) => Some(*i as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }
}

impl Key {
    /// A text key.
    pub fn str(text: impl AsRef<str>) -> Key {
        Key::Str(Arc::from(text.as_ref()))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Key::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The key as a value.
    pub fn to_value(&self) -> Value {
        match self {
            Key::Null => Value::Null,
            Key::Bool(b) => Value::Bool(*b),
            Key::Int(i) => Value::Int(*i),
            Key::Float(x) => Value::Float(*x),
            Key::Str(s) => Value::Str(s.clone().into()),
        }
    }

    /// A value as a key; lists and dictionaries cannot be keys. A template becomes its text.
    pub fn from_value(value: &Value) -> Option<Key> {
        match value {
            Value::Null => Some(Key::Null),
            Value::Bool(b) => Some(Key::Bool(*b)),
            Value::Int(i) => Some(Key::Int(*i)),
            Value::Float(x) => Some(Key::Float(*x)),
            Value::Str(s) => Some(Key::Str(s.shared().clone())),
            Value::Template(t) => Some(Key::str(&t.text)),
            Value::List(_) | Value::Dict(_) => None,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.to_value() == other.to_value()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Null => 0u8.hash(state),
            // Equal numbers hash alike: 1, 1.0 and true are one key, as in Python.
            Key::Bool(b) => f64::from(u8::from(*b)).to_bits().hash(state),
            Key::Int(i) => (*i as f64).to_bits().hash(state),
            Key::Float(x) => x.to_bits().hash(state),
            Key::Str(s) => s.as_ref().hash(state),
        }
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl From<&str> for Key {
    fn from(s: &str) -> Key {
        Key::str(s)
    }
}

impl From<String> for Key {
    fn from(s: String) -> Key {
        Key::str(s)
    }
}

macro_rules! from {
    ($($t:ty => $e:expr),* $(,)?) => { $(impl From<$t> for Value { fn from(v: $t) -> Value { let f: fn($t) -> Value = $e; f(v) } })* };
}
from! {
    bool => Value::Bool,
    i64 => Value::Int,
    i32 => |v| Value::Int(i64::from(v)),
    u16 => |v| Value::Int(i64::from(v)),
    u32 => |v| Value::Int(i64::from(v)),
    u64 => |v| i64::try_from(v).map_or(Value::Float(v as f64), Value::Int),
    usize => |v| Value::Int(v as i64),
    f64 => Value::Float,
    &str => |v| Value::str(v),
    String => |v| Value::str(v),
    Vec<Value> => Value::list,
    Dict => Value::dict,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Value {
        Value::list(items.into_iter().map(Into::into).collect())
    }
}

/// Builds a dictionary: `dict! { "rc" => 0, "stdout" => text }`.
#[macro_export]
macro_rules! dict {
    ($($key:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut dict = $crate::model::value::Dict::new();
        $(dict.insert($crate::model::value::Key::from($key), $crate::model::value::Value::from($value));)*
        dict
    }};
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => s.serialize_unit(),
            Value::Bool(b) => s.serialize_bool(*b),
            Value::Int(i) => s.serialize_i64(*i),
            Value::Float(x) => s.serialize_f64(*x),
            Value::Str(t) => s.serialize_str(t),
            Value::Template(t) => s.serialize_str(&t.text),
            Value::List(l) => {
                let mut seq = s.serialize_seq(Some(l.len()))?;
                for v in l.iter() {
                    seq.serialize_element(v)?;
                }
                seq.end()
            }
            Value::Dict(d) => {
                let mut map = s.serialize_map(Some(d.len()))?;
                for (k, v) in d.iter() {
                    map.serialize_entry(&k.to_string(), v)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
                Value::deserialize(d)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Bool(b))
            }
            fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
                Ok(Value::Int(i))
            }
            fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
                Ok(Value::from(u))
            }
            fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
                Ok(Value::Float(x))
            }
            fn visit_str<E>(self, s: &str) -> Result<Value, E> {
                Ok(Value::str(s))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
                while let Some(v) = seq.next_element()? {
                    list.push(v);
                }
                Ok(Value::list(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut dict = Dict::new();
                while let Some((k, v)) = map.next_entry::<String, Value>()? {
                    dict.insert(Key::from(k), v);
                }
                Ok(Value::dict(dict))
            }
        }
        d.deserialize_any(V)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Key, D::Error> {
        Ok(Key::from(String::deserialize(d)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_python_does() {
        let v =
            Value::list(vec![Value::Null, true.into(), 1.0.into(), "it's".into(), Value::dict(dict! {"a" => 1i64})]);
        assert_eq!(v.to_string(), r#"[None, True, 1.0, "it's", {'a': 1}]"#);
        assert_eq!(python_float(1e16), "1e+16");
        assert_eq!(python_float(0.00001), "1e-05");
        assert_eq!(python_float(0.1), "0.1");
    }

    #[test]
    fn keys_are_equal_as_in_python() {
        let mut d = Dict::new();
        d.insert(Key::Int(1), "int".into());
        d.insert(Key::Bool(true), "bool".into());
        assert_eq!(d.len(), 1);
        d.insert(Key::str("1"), "text".into());
        assert_eq!(d.get("1").and_then(Value::as_str), Some("text"));
    }

    #[test]
    fn json_there_and_back() {
        let v = Value::dict(dict! {"a" => Value::list(vec![1i64.into(), Value::Null]), "{{ b }}" => "{{ c }}"});
        let back: Value = serde_json::from_str(&serde_json::to_string(&v).unwrap()).unwrap();
        assert_eq!(v, back);
        assert!(!back.has_template(), "what comes over the wire is data");
    }
}
