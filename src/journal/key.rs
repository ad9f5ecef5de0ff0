//! Which step, where and for what: the name under which a result is found again in a replay.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A step on a host, in one visit and for one loop item, as one text: `host|step|path|visit|item`.
///
/// It is made of names and counts alone, never of values, so it holds no secret and is never masked.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKey(Arc<str>);

/// The parts of a [`StepKey`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepPlace {
    /// Empty for what belongs to no host: a play's batches, answers to prompts.
    pub host: String,
    /// The step's stable identity in the plan; empty for the run itself.
    pub step: String,
    /// The includes and outer loops that led to it, outermost first: `4f1c…`, `4f1c…#2` for the item 2 of an include.
    pub path: Vec<String>,
    /// How often the step was met before on this host in the same place: a handler that is flushed twice.
    pub visit: u32,
    /// The loop item's index.
    pub item: Option<u32>,
}

impl StepPlace {
    /// The parts as one key.
    pub fn key(&self) -> StepKey {
        let path: Vec<String> = self.path.iter().map(|p| escaped(p)).collect();
        let item = self.item.map(|i| i.to_string()).unwrap_or_default();
        let (host, step) = (escaped(&self.host), escaped(&self.step));
        StepKey(format!("{host}|{step}|{}|{}|{item}", path.join("/"), self.visit).into())
    }
}

impl StepKey {
    /// The key of what belongs to the whole run: its extra variables, its host list.
    pub fn run() -> StepKey {
        StepPlace::default().key()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts; none for a text that is no key.
    pub fn place(&self) -> Option<StepPlace> {
        let mut parts = self.0.split('|');
        let mut next = || parts.next();
        let place = StepPlace {
            host: plain(next()?)?,
            step: plain(next()?)?,
            path: match next()? {
                "" => Vec::new(),
                path => path.split('/').map(plain).collect::<Option<_>>()?,
            },
            visit: next()?.parse().ok()?,
            item: match next()? {
                "" => None,
                item => Some(item.parse().ok()?),
            },
        };
        next().is_none().then_some(place)
    }
}

/// Percent signs for what separates, and for what would break a line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '/' | '%' => out += &format!("%{:02x}", c as u32),
            c if c.is_control() => out += &format!("%{:02x}", c as u32),
            c => out.push(c),
        }
    }
    out
}

fn plain(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        out.push(char::from(code));
        out.push_str(&part[2..]);
    }
    Some(out)
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StepKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StepKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<StepKey, D::Error> {
        let key = StepKey(String::deserialize(d)?.into());
        if key.place().is_some() { Ok(key) } else { Err(serde::de::Error::custom(format!("`{key}` is no step"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn looks_like_this() {
        let place =
            StepPlace { host: "c-0".into(), step: "4f".into(), path: vec!["a#2".into()], visit: 1, item: Some(3) };
        assert_eq!(place.key().as_str(), "c-0|4f|a#2|1|3");
        assert_eq!(StepKey::run().as_str(), "|||0|");
    }

    proptest! {
        #[test]
        fn parts_come_back(host: String, step: String, path in proptest::collection::vec(".+", 0..3), visit: u32, item: Option<u32>) {
            let place = StepPlace { host, step, path, visit, item };
            prop_assert_eq!(place.key().place(), Some(place));
        }

        #[test]
        fn no_text_panics(text: String) {
            StepKey(text.into()).place();
        }
    }
}
