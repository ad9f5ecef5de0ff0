//! Secrets: a type that never prints itself, and the set of known secret texts that every sink masks.
//!
//! A secret keeps its type from where it enters (vault, prompt, `no_log`, password variables) to the wire. Where a
//! template mixes it into other text the type is lost, so its text is also known to a [`Mask`], which the sinks
//! (events, journal, diffs, logs) apply by value.

use std::fmt;
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroize;

use super::value::{Dict, Key, Value};

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// A text that must not be shown. It prints as [`MASK`]; it can be serialized only on purpose, through [`Secret::reveal`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        Ok(Secret(String::deserialize(d)?))
    }
}

/// Whether a variable of this name is a password, wherever it comes from.
pub fn is_secret_name(name: &str) -> bool {
    ["pass", "secret", "token"].iter().any(|part| name.contains(part))
}

/// The secret texts known so far; shared by everything that writes.
#[derive(Clone, Default)]
pub struct Mask(Arc<RwLock<Vec<Secret>>>);

impl Mask {
    /// Takes a secret in. Texts shorter than four characters are not masked by value: they would censor half of the
    /// output and hide nothing.
    pub fn learn(&self, secret: &Secret) {
        self.is_new(secret);
    }

    /// The same; whether it was not known before.
    pub fn is_new(&self, secret: &Secret) -> bool {
        if secret.reveal().trim().len() < 4 {
            return false;
        }
        let Ok(mut known) = self.0.write() else { return false };
        let new = !known.contains(secret);
        if new {
            known.push(secret.clone());
            // Longest first, so that a secret which holds another is masked whole.
            known.sort_by_key(|s| std::cmp::Reverse(s.reveal().len()));
        }
        new
    }

    /// Takes in every string of a value that is secret as a whole.
    pub fn learn_value(&self, value: &Value) {
        match value {
            Value::Str(s) => self.learn(&Secret::new(s.as_ref())),
            Value::List(l) => l.iter().for_each(|v| self.learn_value(v)),
            Value::Dict(d) => d.values().for_each(|v| self.learn_value(v)),
            _ => {}
        }
    }

    /// Takes in what a step printed that is not to be logged: as a whole and by its lines. Short ones, as `active`, hide nothing
    /// and would censor half of the output.
    pub fn learn_output(&self, data: &Dict) {
        for text in ["stdout", "stderr", "content"].iter().filter_map(|key| data.get(*key)?.as_str()) {
            for part in std::iter::once(text.trim()).chain(text.lines().map(str::trim)).filter(|p| p.len() >= 8) {
                self.learn(&Secret::new(part));
            }
        }
    }

    /// Whether no secret is known, so that sinks need not look.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_ok_and(|known| known.is_empty())
    }

    /// Whether a value holds a known secret, in keys too.
    pub fn hides_in(&self, value: &Value) -> bool {
        match value {
            Value::Str(s) => self.hides(s),
            Value::Template(t) => self.hides(&t.text),
            Value::List(l) => l.iter().any(|v| self.hides_in(v)),
            Value::Dict(d) => d.iter().any(|(k, v)| k.as_str().is_some_and(|k| self.hides(k)) || self.hides_in(v)),
            _ => false,
        }
    }

    /// Whether a text holds a known secret.
    pub fn hides(&self, text: &str) -> bool {
        self.0.read().is_ok_and(|known| known.iter().any(|s| text.contains(s.reveal())))
    }

    /// The text with every known secret masked.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        if let Ok(known) = self.0.read() {
            for s in known.iter().filter(|s| text.contains(s.reveal())) {
                out = out.replace(s.reveal(), MASK);
            }
        }
        out
    }

    /// The value with every known secret masked, in keys too.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::Str(s) if self.hides(s) => Value::str(self.text(s)),
            Value::Template(t) if self.hides(&t.text) => Value::str(self.text(&t.text)),
            Value::List(l) => Value::list(l.iter().map(|v| self.value(v)).collect()),
            Value::Dict(d) => Value::dict(self.dict(d)),
            other => other.clone(),
        }
    }

    /// The dictionary with every known secret masked, in keys too.
    pub fn dict(&self, d: &Dict) -> Dict {
        let key = |k: &Key| k.as_str().filter(|t| self.hides(t)).map(|t| self.text(t).into());
        d.iter().map(|(k, v)| (key(k).unwrap_or_else(|| k.clone()), self.value(v))).collect()
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn never_prints() {
        let s = Secret::new("hunter2");
        assert_eq!(format!("{s} {s:?}"), "******** ********");
    }

    #[test]
    fn masks_by_value_longest_first() {
        let m = Mask::default();
        m.learn(&Secret::new("pass"));
        m.learn(&Secret::new("password1"));
        m.learn(&Secret::new("no"));
        assert_eq!(m.text("password1 pass no"), "******** ******** no");
        let v = m.value(&Value::dict(dict! {"x password1" => Value::list(vec!["a pass".into()])}));
        assert_eq!(v.to_string(), "{'x ********': ['a ********']}");
        m.learn_output(&dict! {"stdout" => "first-line\nlast-line\n", "stderr" => "short\n", "cmd" => "not-output"});
        assert_eq!(m.text("a first-line, a last-line, short, not-output"), "a ********, a ********, short, not-output");
    }
}
