//! Python's operators on values: truth, equality, order, arithmetic, membership, text.

use std::cmp::Ordering;
use std::rc::Rc;

use super::eval::Cx;
use super::tree::{Compare, Math};
use super::val::{Map, Res, Val};
use crate::model::value::{Dict, Key, Value, python_float};
use crate::vars::error::{TemplateError, TemplateErrorKind, fail};

impl Cx<'_> {
    /// Python's truth of a value.
    pub fn truth(&mut self, v: &Val) -> Res<bool> {
        Ok(match v {
            Val::Null => false,
            Val::Bool(b) => *b,
            Val::Int(i) => *i != 0,
            Val::Float(x) => *x != 0.0,
            Val::Str(s) => !s.is_empty(),
            Val::List(l) => !l.borrow().is_empty(),
            Val::Tuple(t) => !t.is_empty(),
            Val::Dict(d) => !d.borrow().is_empty(),
            Val::Missing(m) => return Err(m.fail()),
            Val::Omit => true,
            Val::Object(o) => o.truth(),
            Val::Later(_) => {
                let v = self.settle(v)?;
                return self.truth(&v);
            }
        })
    }

    /// The items that iterating gives: of a list, the keys of a dictionary, the characters of a text.
    pub fn items(&mut self, v: &Val) -> Res<Vec<Val>> {
        match v {
            Val::List(l) => {
                let n = l.borrow().len();
                // Small lists that stand in one another many times over are a bomb, too.
                self.spend(1 + n / 16)?;
                let mut out = Vec::with_capacity(n);
                for i in 0..n {
                    let item = l.borrow().get(i).cloned();
                    let Some(item) = item else { break };
                    let Val::Later(_) = item else {
                        out.push(item);
                        continue;
                    };
                    let settled = self.settle(&item)?;
                    if let Some(slot) = l.borrow_mut().get_mut(i) {
                        *slot = settled.clone();
                    }
                    out.push(settled);
                }
                Ok(out)
            }
            Val::Tuple(t) => {
                self.spend(t.len() / 16)?;
                t.iter().map(|i| self.settle(i)).collect()
            }
            Val::Dict(d) => Ok(d.borrow().keys().map(Val::of_key).collect()),
            Val::Str(s) => Ok(s.chars().map(|c| Val::str(c.to_string())).collect()),
            Val::Missing(m) => Err(m.fail()),
            Val::Later(_) => {
                let v = self.settle(v)?;
                self.items(&v)
            }
            Val::Object(o) => match o.clone().items(self)? {
                Some(items) => Ok(items),
                None => fail(format!("'{}' object is not iterable", o.kind())),
            },
            other => fail(format!("'{}' object is not iterable", other.kind())),
        }
    }

    /// The pairs of a dictionary.
    pub fn pairs(&mut self, v: &Val) -> Res<Vec<(Key, Val)>> {
        match v {
            Val::Dict(d) => {
                let keys: Vec<Key> = d.borrow().keys().cloned().collect();
                self.spend(1 + keys.len() / 16)?;
                let mut out = Vec::with_capacity(keys.len());
                for k in keys {
                    let item = d.borrow().get(&k).cloned();
                    let Some(item) = item else { continue };
                    let item = if let Val::Later(_) = item {
                        let settled = self.settle(&item)?;
                        if let Some(slot) = d.borrow_mut().get_mut(&k) {
                            *slot = settled.clone();
                        }
                        settled
                    } else {
                        item
                    };
                    out.push((k, item));
                }
                Ok(out)
            }
            Val::Missing(m) => Err(m.fail()),
            Val::Later(_) => {
                let v = self.settle(v)?;
                self.pairs(&v)
            }
            Val::Object(o) if o.is_mapping() => {
                let keys = self.items(v)?;
                let mut out = Vec::new();
                for k in keys {
                    let item = self.member(v, &k)?;
                    out.push((self.key(&k)?, item));
                }
                Ok(out)
            }
            other => fail(format!("a dictionary is needed here, not {}", other.described())),
        }
    }

    /// A value as the key of a dictionary.
    pub fn key(&mut self, v: &Val) -> Res<Key> {
        match v {
            Val::Missing(m) => Err(m.fail()),
            Val::Later(_) => {
                let v = self.settle(v)?;
                self.key(&v)
            }
            Val::Tuple(_) => fail("a tuple as the key of a dictionary is not supported"),
            Val::Null => Ok(Key::Null),
            Val::Bool(b) => Ok(Key::Bool(*b)),
            Val::Int(i) => Ok(Key::Int(*i)),
            Val::Float(x) => Ok(Key::Float(*x)),
            Val::Str(s) => Ok(Key::Str(s.shared().clone())),
            other => fail(format!("unhashable type: '{}'", other.kind())),
        }
    }

    /// How many items, characters or keys.
    pub fn length(&mut self, v: &Val) -> Res<usize> {
        Ok(match v {
            Val::Str(s) => s.chars().count(),
            Val::List(l) => l.borrow().len(),
            Val::Tuple(t) => t.len(),
            Val::Dict(d) => d.borrow().len(),
            Val::Object(_) => self.items(v)?.len(),
            Val::Missing(m) => return Err(m.fail()),
            Val::Later(_) => {
                let v = self.settle(v)?;
                return self.length(&v);
            }
            other => return fail(format!("object of type '{}' has no len()", other.kind())),
        })
    }

    /// Python's `==`.
    pub fn equal(&mut self, a: &Val, b: &Val) -> Res<bool> {
        Ok(match (a, b) {
            (Val::Missing(m), _) | (_, Val::Missing(m)) => return Err(m.fail()),
            (Val::Later(_), _) => {
                let a = self.settle(a)?;
                return self.equal(&a, b);
            }
            (_, Val::Later(_)) => {
                let b = self.settle(b)?;
                return self.equal(a, &b);
            }
            (Val::Null, Val::Null) | (Val::Omit, Val::Omit) => true,
            (Val::Str(a), Val::Str(b)) => a == b,
            (Val::Int(a), Val::Int(b)) => a == b,
            (Val::List(x), Val::List(y)) if Rc::ptr_eq(x, y) => true,
            (Val::List(_), Val::List(_)) | (Val::Tuple(_), Val::Tuple(_)) => {
                if self.length(a)? != self.length(b)? {
                    return Ok(false);
                }
                let (a, b) = (self.items(a)?, self.items(b)?);
                return self.deeper(|cx| {
                    for (a, b) in a.iter().zip(&b) {
                        if !cx.equal(a, b)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                });
            }
            (Val::Dict(x), Val::Dict(y)) => {
                if x.borrow().len() != y.borrow().len() {
                    return Ok(false);
                }
                let pairs = self.pairs(a)?;
                return self.deeper(|cx| {
                    for (k, v) in pairs {
                        let other = y.borrow().get(&k).cloned();
                        match other {
                            Some(o) if cx.equal(&v, &o)? => {}
                            _ => return Ok(false),
                        }
                    }
                    Ok(true)
                });
            }
            (Val::Object(x), Val::Object(y)) => {
                if Rc::ptr_eq(x, y) {
                    return Ok(true);
                }
                match super::functions::order(x.as_ref(), y.as_ref()) {
                    Some(order) => order == Ordering::Equal,
                    None => false,
                }
            }
            _ => match (a.as_number(), b.as_number()) {
                (Some(x), Some(y)) => x == y,
                _ => false,
            },
        })
    }

    /// Python's `<` and its kin; kinds that have no order are an error.
    pub fn order(&mut self, a: &Val, b: &Val, sign: &str) -> Res<Option<Ordering>> {
        match (a, b) {
            (Val::Missing(m), _) | (_, Val::Missing(m)) => Err(m.fail()),
            (Val::Later(_), _) => {
                let a = self.settle(a)?;
                self.order(&a, b, sign)
            }
            (_, Val::Later(_)) => {
                let b = self.settle(b)?;
                self.order(a, &b, sign)
            }
            (Val::Str(a), Val::Str(b)) => Ok(Some(a.cmp(b))),
            (Val::Int(a), Val::Int(b)) => Ok(Some(a.cmp(b))),
            (Val::List(_), Val::List(_)) | (Val::Tuple(_), Val::Tuple(_)) => {
                let (a, b) = (self.items(a)?, self.items(b)?);
                for (x, y) in a.iter().zip(&b) {
                    if !self.equal(x, y)? {
                        return self.order(x, y, sign);
                    }
                }
                Ok(Some(a.len().cmp(&b.len())))
            }
            _ => {
                if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
                    return Ok(x.partial_cmp(&y));
                }
                if let (Val::Object(x), Val::Object(y)) = (a, b)
                    && let Some(order) = super::functions::order(x.as_ref(), y.as_ref())
                {
                    return Ok(Some(order));
                }
                let (a, b) = (a.kind(), b.kind());
                Err(TemplateError::new(
                    TemplateErrorKind::Other,
                    format!("'{sign}' not supported between instances of '{a}' and '{b}'"),
                )
                .help("convert one of them first: `| int`, `| float` or `| string`"))
            }
        }
    }

    pub fn compare(&mut self, op: Compare, a: &Val, b: &Val) -> Res<bool> {
        Ok(match op {
            Compare::Eq => self.equal(a, b)?,
            Compare::Ne => !self.equal(a, b)?,
            Compare::Lt => self.order(a, b, "<")? == Some(Ordering::Less),
            Compare::Gt => self.order(a, b, ">")? == Some(Ordering::Greater),
            Compare::Le => self.order(a, b, "<=")?.is_some_and(Ordering::is_le),
            Compare::Ge => self.order(a, b, ">=")?.is_some_and(Ordering::is_ge),
            Compare::In => self.contains(b, a)?,
            Compare::NotIn => !self.contains(b, a)?,
        })
    }

    /// Python's `item in container`.
    pub fn contains(&mut self, container: &Val, item: &Val) -> Res<bool> {
        match (container, item) {
            (Val::Missing(m), _) | (_, Val::Missing(m)) => Err(m.fail()),
            (Val::Later(_), _) => {
                let c = self.settle(container)?;
                self.contains(&c, item)
            }
            (_, Val::Later(_)) => {
                let i = self.settle(item)?;
                self.contains(container, &i)
            }
            (Val::Str(s), Val::Str(part)) => Ok(s.contains(&**part)),
            (Val::Str(_), other) => {
                fail(format!("'in <string>' requires string as left operand, not {}", other.kind()))
            }
            (Val::Dict(d), _) => {
                let key = self.key(item)?;
                Ok(d.borrow().contains_key(&key))
            }
            (Val::List(_) | Val::Tuple(_) | Val::Object(_), _) => {
                for v in self.items(container)? {
                    if self.equal(&v, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (other, _) => fail(format!("argument of type '{}' is not iterable", other.kind())),
        }
    }

    /// Arithmetic.
    pub fn math(&mut self, op: Math, a: &Val, b: &Val) -> Res {
        if let Val::Missing(m) = a {
            return Err(m.fail());
        }
        if let Val::Missing(m) = b {
            return Err(m.fail());
        }
        if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
            return integers(op, x, y);
        }
        if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
            return floats(op, x, y);
        }
        match (op, a, b) {
            (Math::Add, Val::Str(x), Val::Str(y)) => {
                self.bounded_text(x.len() + y.len())?;
                Ok(Val::str([&**x, &**y].concat()))
            }
            (Math::Add, Val::List(_), Val::List(_)) => {
                let mut all = self.items(a)?;
                all.extend(self.items(b)?);
                self.bounded(all.len())?;
                Ok(Val::list(all))
            }
            (Math::Add, Val::Tuple(x), Val::Tuple(y)) => {
                self.bounded(x.len() + y.len())?;
                Ok(Val::tuple(x.iter().chain(y.iter()).cloned().collect()))
            }
            (Math::Add, Val::Str(_) | Val::List(_) | Val::Tuple(_), other) => {
                let kind = a.kind();
                let error = TemplateError::new(
                    TemplateErrorKind::Other,
                    format!("can only concatenate {kind} (not \"{}\") to {kind}", other.kind()),
                );
                Err(if kind == "str" { error.help("use `~` to join values as text") } else { error })
            }
            (Math::Mul, Val::Str(s), n) | (Math::Mul, n, Val::Str(s)) if n.as_int().is_some() => {
                let n = usize::try_from(n.as_int().unwrap_or(0)).unwrap_or(0);
                self.bounded_text(s.len().saturating_mul(n))?;
                Ok(Val::from(s.repeat(n)))
            }
            (Math::Mul, l @ (Val::List(_) | Val::Tuple(_)), n) | (Math::Mul, n, l @ (Val::List(_) | Val::Tuple(_)))
                if n.as_int().is_some() =>
            {
                let items = self.items(l)?;
                let n = usize::try_from(n.as_int().unwrap_or(0)).unwrap_or(0);
                self.bounded(items.len().saturating_mul(n))?;
                let all = items.iter().cycle().take(items.len() * n).cloned().collect();
                Ok(if matches!(l, Val::Tuple(_)) { Val::tuple(all) } else { Val::list(all) })
            }
            (Math::Rem, Val::Str(s), _) => super::format::percent(self, s, b).map(Val::from),
            (_, Val::Object(x), Val::Object(_)) | (_, Val::Object(x), _) => {
                match super::functions::math(op, x.as_ref(), b) {
                    Some(result) => result,
                    None => unsupported(op, a, b),
                }
            }
            _ => unsupported(op, a, b),
        }
    }

    pub fn negate(&mut self, v: &Val) -> Res {
        match v {
            Val::Missing(m) => Err(m.fail()),
            Val::Float(x) => Ok(Val::Float(-x)),
            _ => match v.as_int() {
                Some(i) => i.checked_neg().map(Val::Int).map_or_else(too_large, Ok),
                None => fail(format!("bad operand type for unary -: '{}'", v.kind())),
            },
        }
    }

    /// Python's `str()`.
    pub fn text(&mut self, v: &Val) -> Res<String> {
        match v {
            Val::Str(s) => Ok(s.to_string()),
            Val::Null => Ok("None".into()),
            _ => {
                let mut out = String::new();
                self.write(v, &mut out)?;
                Ok(out)
            }
        }
    }

    /// Python's `repr()`, appended.
    fn write(&mut self, v: &Val, out: &mut String) -> Res<()> {
        self.fits_text(out.len())?;
        match v {
            Val::Null => out.push_str("None"),
            Val::Bool(true) => out.push_str("True"),
            Val::Bool(false) => out.push_str("False"),
            Val::Int(i) => out.push_str(&i.to_string()),
            Val::Float(x) => out.push_str(&python_float(*x)),
            Val::Str(s) => out.push_str(&quoted(s)),
            Val::Missing(m) => return Err(m.fail()),
            Val::Omit => out.push_str("<<Omit>>"),
            Val::Object(o) => {
                let text = o.clone().text(self)?;
                out.push_str(&text);
            }
            Val::Later(_) => {
                let v = self.settle(v)?;
                self.write(&v, out)?;
            }
            Val::List(_) | Val::Tuple(_) => {
                let (open, close) = if matches!(v, Val::List(_)) { ('[', ']') } else { ('(', ')') };
                out.push(open);
                let items = self.items(v)?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    self.deeper(|cx| cx.write(item, out))?;
                }
                if items.len() == 1 && close == ')' {
                    out.push(',');
                }
                out.push(close);
            }
            Val::Dict(_) => {
                out.push('{');
                for (i, (k, item)) in self.pairs(v)?.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    self.write(&Val::of_key(k), out)?;
                    out.push_str(": ");
                    self.deeper(|cx| cx.write(item, out))?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// Plain data: everything in it rendered, `omit` dropped, tuples as lists.
    pub fn value(&mut self, v: &Val) -> Res<Value> {
        Ok(match v {
            Val::Null => Value::Null,
            Val::Bool(b) => Value::Bool(*b),
            Val::Int(i) => Value::Int(*i),
            Val::Float(x) => Value::Float(*x),
            Val::Str(s) => Value::Str(s.clone()),
            Val::Missing(m) => return Err(m.fail()),
            Val::Omit => return Err(TemplateError::new(TemplateErrorKind::Omitted, "the value is omitted")),
            Val::Object(o) => return o.clone().value(self),
            Val::Later(value) => {
                if !value.has_template() {
                    return Ok(value.clone());
                }
                let v = self.settle(v)?;
                return self.value(&v);
            }
            Val::List(_) | Val::Tuple(_) => {
                let mut out = Vec::new();
                for item in self.items(v)? {
                    if !matches!(item, Val::Omit) {
                        out.push(self.deeper(|cx| cx.value(&item))?);
                    }
                }
                Value::list(out)
            }
            Val::Dict(_) => {
                let mut out = Dict::new();
                for (k, item) in self.pairs(v)? {
                    if !matches!(item, Val::Omit) {
                        out.insert(k, self.deeper(|cx| cx.value(&item))?);
                    }
                }
                Value::dict(out)
            }
        })
    }

    /// A dictionary's pairs as a new map.
    pub fn map(&mut self, v: &Val) -> Res<Map> {
        Ok(self.pairs(v)?.into_iter().collect())
    }
}

/// A text as Python's `repr()` prints it.
pub fn quoted(s: &str) -> String {
    let list = Value::list(vec![Value::str(s)]).to_string();
    list[1..list.len() - 1].to_owned()
}

fn too_large() -> Res {
    fail("the result is beyond 64-bit whole numbers, which are not supported")
}

fn sign(op: Math) -> &'static str {
    match op {
        Math::Add => "+",
        Math::Sub => "-",
        Math::Mul => "*",
        Math::Div => "/",
        Math::FloorDiv => "//",
        Math::Rem => "%",
        Math::Pow => "** or pow()",
    }
}

fn unsupported(op: Math, a: &Val, b: &Val) -> Res {
    fail(format!("unsupported operand type(s) for {}: '{}' and '{}'", sign(op), a.kind(), b.kind()))
}

fn integers(op: Math, x: i64, y: i64) -> Res {
    let result = match op {
        Math::Add => x.checked_add(y),
        Math::Sub => x.checked_sub(y),
        Math::Mul => x.checked_mul(y),
        Math::Div | Math::FloorDiv | Math::Rem if y == 0 => return fail("division by zero"),
        Math::Div => return Ok(Val::Float(x as f64 / y as f64)),
        // Python rounds towards minus infinity.
        Math::FloorDiv => x.checked_div_euclid(y).map(|q| if y < 0 && x.rem_euclid(y) != 0 { q - 1 } else { q }),
        Math::Rem => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
        Math::Pow if y < 0 && x == 0 => return fail("0.0 cannot be raised to a negative power"),
        Math::Pow if y < 0 => return Ok(Val::Float((x as f64).powf(y as f64))),
        Math::Pow => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
    };
    result.map(Val::Int).map_or_else(too_large, Ok)
}

fn floats(op: Math, x: f64, y: f64) -> Res {
    Ok(Val::Float(match op {
        Math::Add => x + y,
        Math::Sub => x - y,
        Math::Mul => x * y,
        Math::Div | Math::FloorDiv | Math::Rem if y == 0.0 => return fail("float division by zero"),
        Math::Div => x / y,
        Math::FloorDiv => (x / y).floor(),
        Math::Rem => {
            let r = x % y;
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
        Math::Pow => x.powf(y),
    }))
}
