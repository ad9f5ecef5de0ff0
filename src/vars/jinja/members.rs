//! Members of values: attributes, items, and what stands in for those that are missing.

use std::sync::Arc;

use super::eval::Cx;
use super::functions;
use super::tree::At;
use super::val::{Missing, Res, Val};

impl Cx<'_> {
    /// `of.name`: a method of Python's type wins over a key, as in Jinja.
    pub(super) fn attribute(&mut self, of: &Val, name: &Arc<str>, path: impl Fn() -> String, at: At) -> Res {
        let key = Val::Str(name.clone().into());
        if let Some(v) = self.find(of, &key)? {
            if matches!(of, Val::Dict(_)) && super::methods::of_dict(name) {
                return Ok(Val::object(functions::Method { of: of.clone(), name: name.clone() }));
            }
            return Ok(v);
        }
        if super::methods::known(of, name) {
            return Ok(Val::object(functions::Method { of: of.clone(), name: name.clone() }));
        }
        self.absent(of, &key, path, at)
    }

    pub(super) fn subscript(&mut self, of: &Val, key: &Val, path: impl Fn() -> String, at: At) -> Res {
        if let Val::Missing(m) = key {
            return Ok(Val::Missing(m.clone()));
        }
        match self.find(of, key)? {
            Some(v) => Ok(v),
            None => {
                if let Some(name) = key.as_str()
                    && super::methods::known(of, name)
                {
                    return Ok(Val::object(functions::Method { of: of.clone(), name: name.into() }));
                }
                self.absent(of, key, path, at)
            }
        }
    }

    /// A member of a value, undefined if it has none; for filters.
    pub fn member(&mut self, of: &Val, key: &Val) -> Res {
        match self.find(of, key)? {
            Some(v) => Ok(v),
            None => self.absent(of, key, String::new, (0, 0)),
        }
    }

    /// A member of a value, if it has one.
    pub fn find(&mut self, of: &Val, key: &Val) -> Res<Option<Val>> {
        match of {
            Val::Missing(_) => Ok(None),
            Val::Dict(d) => {
                let Ok(key) = self.key(key) else { return Ok(None) };
                let item = d.borrow().get(&key).cloned();
                let Some(item) = item else { return Ok(None) };
                let Val::Later(_) = item else { return Ok(Some(item)) };
                let settled = self.settle(&item)?;
                if let Some(slot) = d.borrow_mut().get_mut(&key) {
                    *slot = settled.clone();
                }
                Ok(Some(settled))
            }
            Val::List(l) => {
                let Some(i) = index(key, l.borrow().len()) else { return Ok(None) };
                let item = l.borrow().get(i).cloned();
                let Some(item) = item else { return Ok(None) };
                let settled = self.settle(&item)?;
                if let Some(slot) = l.borrow_mut().get_mut(i) {
                    *slot = settled.clone();
                }
                Ok(Some(settled))
            }
            Val::Tuple(t) => match index(key, t.len()).and_then(|i| t.get(i)) {
                Some(v) => self.settle(v).map(Some),
                None => Ok(None),
            },
            Val::Str(s) => {
                let Some(_) = key.as_int() else { return Ok(None) };
                let i = index(key, s.chars().count());
                Ok(i.and_then(|i| s.chars().nth(i)).map(|c| Val::str(c.to_string())))
            }
            Val::Object(o) => o.clone().member(self, key),
            Val::Later(_) => {
                let of = self.settle(of)?;
                self.find(&of, key)
            }
            _ => Ok(None),
        }
    }

    /// The undefined value that a missing member is.
    pub(super) fn absent(&mut self, of: &Val, key: &Val, path: impl Fn() -> String, at: At) -> Res {
        if let Val::Missing(m) = of {
            return Ok(Val::Missing(m.clone()));
        }
        let shown = match key {
            Val::Str(s) => format!("'{s}'"),
            other => self.text(other)?,
        };
        let message = format!("object of type '{}' has no attribute {shown}", of.kind());
        let base = path();
        let name = match key {
            _ if base.is_empty() => String::new(),
            Val::Str(s) => format!("{base}.{s}"),
            _ => format!("{base}[{shown}]"),
        };
        let message = if name.is_empty() { message } else { format!("'{name}' is undefined: {message}") };
        let mut missing = Missing { at: (at != (0, 0)).then_some(at), ..Missing::new(name, message) };
        if let Some(Val::Str(why)) = self.find(of, &Val::str("not_knowable"))? {
            missing.message = format!("'{}' cannot be known before the run: {why}", missing.name);
            missing.not_knowable = Some(why.to_string());
        }
        Ok(Val::missing(missing))
    }
}

/// The place in a list that a key means; negative counts from the end.
fn index(key: &Val, len: usize) -> Option<usize> {
    let i = key.as_int()?;
    let i = if i < 0 { i + len as i64 } else { i };
    usize::try_from(i).ok().filter(|i| *i < len)
}
