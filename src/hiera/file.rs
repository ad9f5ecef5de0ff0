//! One file of hieradata. Every line is kept as it was written; only entries that are changed are written anew.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::model::secret::MASK;
use crate::model::value::{Dict, Key, Value};

use super::yaml11;

/// Why a text is no hieradata.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unreadable {
    #[error("{file}:{line}: {why}")]
    Yaml { file: String, line: usize, why: String },
    /// Puppet would take the last one and say nothing.
    #[error("{file}: the key `{key}` stands twice, on lines {first} and {second}")]
    Twice { file: String, key: String, first: usize, second: usize },
}

/// A file, as pieces that join to its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hieradata {
    name: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    /// Comments, blank lines, the mark `---`.
    Other(String),
    Entry(Entry),
}

/// One key with its value, and the lines it stands on.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    key: String,
    value: Value,
    raw: String,
    /// Where the value stands in `raw`, if it is a scalar on one line.
    at: Option<Range<usize>>,
    /// Whether the value is a plain scalar: unquoted.
    plain: bool,
}

/// A key with its value as the parser found them.
struct Found {
    key: String,
    line: usize,
    value: Value,
    /// Characters of the value in the text, if it is a scalar; and whether it is unquoted.
    scalar: Option<(Range<usize>, bool)>,
}

impl Hieradata {
    /// Reads a file; `name` is for messages. Refuses duplicate keys, and what hieradata never holds (anchors, several
    /// documents), since it could not be migrated safely.
    pub fn parse(name: &str, text: &str) -> Result<Hieradata, Unreadable> {
        let found = entries(name, text)?;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &found {
            if let Some(first) = seen.insert(&entry.key, entry.line) {
                return Err(Unreadable::Twice { file: name.into(), key: entry.key.clone(), first, second: entry.line });
            }
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut pieces = Vec::new();
        let mut next = 0;
        for (i, entry) in found.iter().enumerate() {
            let start = entry.line - 1;
            other(&mut pieces, &lines[next..start.max(next)]);
            let mut end = found.get(i + 1).map_or(lines.len(), |n| n.line - 1);
            // Comments and blank lines below a value belong to nobody; an indented comment may be part of the value.
            while end > start + 1 && is_other(lines[end - 1]) {
                end -= 1;
            }
            pieces.push(Piece::Entry(Entry::read(name, &lines[start..end].concat(), entry.line)?));
            next = end;
        }
        other(&mut pieces, &lines[next.min(lines.len())..]);
        Ok(Hieradata { name: name.into(), pieces })
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces
            .iter()
            .map(|p| match p {
                Piece::Other(text) => text.as_str(),
                Piece::Entry(entry) => entry.raw.as_str(),
            })
            .collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().filter_map(|p| if let Piece::Entry(e) = p { Some(e) } else { None })
    }

    /// Keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|e| e.key.as_str())
    }

    /// A value as a YAML 1.1 reader takes it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries().find(|e| e.key == key).map(|e| &e.value)
    }

    /// All of it, for expressions.
    pub fn to_dict(&self) -> Dict {
        self.entries().map(|e| (Key::str(&e.key), e.value.clone())).collect()
    }

    /// Values that some reader takes for another type than was meant: unquoted numbers with a colon or a dot.
    pub fn suspicious(&self) -> Vec<String> {
        let odd = |e: &&Entry| {
            e.plain
                && matches!(e.value, Value::Float(_) | Value::Int(_))
                && e.at.clone().is_some_and(|at| e.raw[at].contains(':'))
        };
        let told = |e: &Entry| {
            format!("{}: `{}` is unquoted and reads as the number {}", self.name, e.raw.trim_end(), e.value)
        };
        self.entries().filter(odd).map(told).collect()
    }

    /// The text with every value masked, for a diff of secrets: what changed against `old` says so, and shows nothing.
    pub fn masked(&self, old: Option<&Hieradata>) -> String {
        let piece = |p: &Piece| match p {
            Piece::Other(text) => text.clone(),
            Piece::Entry(entry) => {
                let changed = old.is_some_and(|o| o.get(&entry.key).is_some_and(|v| !same(v, &entry.value)));
                format!("{}: {MASK}{}\n", entry.key, if changed { " (changed)" } else { "" })
            }
        };
        self.pieces.iter().map(piece).collect()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.pieces.iter().position(|p| matches!(p, Piece::Entry(e) if e.key == key))
    }

    /// Gives a key another name; its value's bytes stay. `false` if it is not there.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        let Some(Piece::Entry(entry)) = self.position(old).map(|at| &mut self.pieces[at]) else { return false };
        let written =
            if entry.raw.starts_with(old) { old.len() } else { entry.raw.find(old).map_or(0, |at| at + old.len() + 1) };
        let written_new = new.to_owned();
        if let Some(at) = &mut entry.at {
            let shift = written_new.len() as isize - written as isize;
            *at = at.start.saturating_add_signed(shift)..at.end.saturating_add_signed(shift);
        }
        entry.raw.replace_range(..written, &written_new);
        entry.key = new.to_owned();
        true
    }

    /// Takes a key out with its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.position(key)?;
        match self.pieces.remove(at) {
            Piece::Entry(entry) => Some(entry.value),
            Piece::Other(_) => None,
        }
    }

    /// Gives a key a value: in place, or at its alphabetical place if the keys are sorted, else at the end. Nothing changes
    /// if it has that value already. The error says which value cannot be written.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        if self.get(key).is_some_and(|old| same(old, value)) {
            return Ok(());
        }
        if let Some(Piece::Entry(entry)) = self.position(key).map(|at| &mut self.pieces[at])
            && let (Some(at), Some(text)) = (entry.at.clone(), yaml11::scalar(value))
        {
            entry.raw.replace_range(at.clone(), &text);
            entry.at = Some(at.start..at.start + text.len());
            entry.value = value.clone();
            entry.plain = false;
            return Ok(());
        }
        let raw = written(key, value)?;
        let entry = Entry::read(&self.name, &raw, 1).map_err(|e| e.to_string())?;
        match self.position(key) {
            Some(at) => self.pieces[at] = Piece::Entry(entry),
            None => self.insert(entry),
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        let keys: Vec<&str> = self.keys().collect();
        let at = if keys.is_sorted() {
            let after = keys.iter().find(|k| **k > entry.key.as_str()).map(|k| k.to_string());
            after.and_then(|k| self.position(&k)).unwrap_or(self.pieces.len())
        } else {
            self.pieces.len()
        };
        if at == self.pieces.len() {
            let last = match self.pieces.last_mut() {
                Some(Piece::Other(text)) => text,
                Some(Piece::Entry(last)) => &mut last.raw,
                None => {
                    self.pieces.push(Piece::Entry(entry));
                    return;
                }
            };
            if !last.ends_with('\n') {
                last.push('\n');
            }
        }
        self.pieces.insert(at, Piece::Entry(entry));
    }

    /// Points every value that names release `from`, as a whole or as part of a path, to release `to`. Other texts that
    /// merely look like it (`1.21.05`, `21.05-3`) stay. Returns the keys that changed.
    pub fn repoint(&mut self, from: &str, to: &str) -> Vec<String> {
        let keys: Vec<String> = self.keys().map(str::to_owned).collect();
        keys.into_iter().filter(|key| self.repoint_key(key, from, to)).collect()
    }

    /// The same for one key; `false` if nothing changed.
    pub fn repoint_key(&mut self, key: &str, from: &str, to: &str) -> bool {
        let Some(Piece::Entry(entry)) = self.position(key).map(|at| &mut self.pieces[at]) else { return false };
        // A release that stands unquoted is a number to every reader.
        let number = entry.plain && !matches!(entry.value, Value::Str(_));
        let raw = match entry.at.clone() {
            Some(at) if number && &entry.raw[at.clone()] == from => {
                format!("{}{}{}", &entry.raw[..at.start], yaml11::quoted(to), &entry.raw[at.end..])
            }
            at => {
                let value = at.map_or(entry.key.len(), |at| at.start);
                match replaced(&entry.raw[value..], from, to) {
                    Some(new) => format!("{}{new}", &entry.raw[..value]),
                    None => return false,
                }
            }
        };
        match Entry::read(&self.name, &raw, 1) {
            Ok(read) => *entry = read,
            Err(_) => return false,
        }
        true
    }
}

/// `text` with `from` replaced where it stands between delimiters; `None` if it does not.
fn replaced(text: &str, from: &str, to: &str) -> Option<String> {
    let delimiter = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "/'\"=,[]{}".contains(c));
    let mut out = String::new();
    let mut rest = 0;
    for (at, _) in text.match_indices(from) {
        let (before, after) = (text[..at].chars().next_back(), text[at + from.len()..].chars().next());
        if delimiter(before) && delimiter(after) {
            out += &text[rest..at];
            out += to;
            rest = at + from.len();
        }
    }
    (rest > 0).then(|| out + &text[rest..])
}

/// Whether two values are the same to a reader that knows types: `1` is not `'1'`, and `true` not 1.
fn same(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a == b
}

impl Entry {
    fn read(name: &str, raw: &str, line: usize) -> Result<Entry, Unreadable> {
        let mut found = entries(name, raw).map_err(|e| match e {
            Unreadable::Yaml { file, line: at, why } => Unreadable::Yaml { file, line: at + line - 1, why },
            other => other,
        })?;
        let (Some(one), true) = (found.pop(), found.is_empty()) else {
            return Err(Unreadable::Yaml { file: name.into(), line, why: "this is not one key with its value".into() });
        };
        let byte = |chars: usize| raw.char_indices().nth(chars).map_or(raw.len(), |(at, _)| at);
        let (at, plain) = match one.scalar {
            Some((range, plain)) => {
                let at = byte(range.start)..byte(range.end);
                // Several lines: a block or folded scalar, whose text is not what stands between the markers.
                (Some(at).filter(|at| !raw[at.clone()].trim_end().contains('\n') && !raw[at.clone()].is_empty()), plain)
            }
            None => (None, false),
        };
        Ok(Entry { key: one.key, value: one.value, raw: raw.to_owned(), at, plain })
    }
}

fn is_other(line: &str) -> bool {
    let line = line.trim_end();
    line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
}

fn other(pieces: &mut Vec<Piece>, lines: &[&str]) {
    if !lines.is_empty() {
        pieces.push(Piece::Other(lines.concat()));
    }
}

/// An entry in block style.
fn written(key: &str, value: &Value) -> Result<String, String> {
    let key = yaml11::quoted(key);
    if let Some(text) = yaml11::scalar(value) {
        return Ok(format!("{key}: {text}\n"));
    }
    let nested = |v: &Value| yaml11::scalar(v).ok_or_else(|| format!("{key}: a nested collection cannot be written"));
    match value {
        Value::List(list) if list.is_empty() => Ok(format!("{key}: []\n")),
        Value::Dict(dict) if dict.is_empty() => Ok(format!("{key}: {{}}\n")),
        Value::List(list) => {
            let items = list.iter().map(|v| Ok(format!("- {}\n", nested(v)?))).collect::<Result<String, String>>()?;
            Ok(format!("{key}:\n{items}"))
        }
        Value::Dict(dict) => {
            let items = dict.iter().map(|(k, v)| Ok(format!("  {}: {}\n", yaml11::quoted(&k.to_string()), nested(v)?)));
            Ok(format!("{key}:\n{}", items.collect::<Result<String, String>>()?))
        }
        _ => Err(format!("{key}: this value cannot be written")),
    }
}

/// The top-level keys with their values.
fn entries(name: &str, text: &str) -> Result<Vec<Found>, Unreadable> {
    let bad = |line: usize, why: &str| Unreadable::Yaml { file: name.into(), line, why: why.into() };
    let mut found: Vec<Found> = Vec::new();
    // Open collections below the top; the key waiting for its value.
    let mut stack: Vec<(Value, Option<Key>)> = Vec::new();
    let mut key: Option<(String, usize)> = None;
    let (mut depth, mut documents) = (0, 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| bad(e.marker().line(), &e.to_string()))?;
        let line = span.start.line();
        let done = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(bad(line, "hieradata is one document"));
                }
                None
            }
            Event::Alias(_) => return Err(bad(line, "hieradata with anchors and aliases is not migrated")),
            Event::MappingStart(..) if depth == 0 => {
                depth = 1;
                None
            }
            Event::SequenceStart(..) if depth == 0 => {
                return Err(bad(line, "hieradata is a mapping of keys, not a list"));
            }
            Event::MappingStart(..) => {
                depth += 1;
                stack.push((Value::dict(Dict::new()), None));
                None
            }
            Event::SequenceStart(..) => {
                depth += 1;
                stack.push((Value::list(Vec::new()), None));
                None
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                stack.pop().map(|(value, _)| (value, None))
            }
            Event::Scalar(text, ..) if depth == 0 => {
                if !text.is_empty() {
                    return Err(bad(line, "hieradata is a mapping of keys"));
                }
                None
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                if depth == 1 && key.is_none() {
                    if span.start.col() != 0 {
                        return Err(bad(line, "hieradata is block style, its keys at the line's begin"));
                    }
                    key = Some((text.into_owned(), line));
                    None
                } else {
                    let value = if plain { yaml11::plain(&text) } else { Value::str(&*text) };
                    Some((value, Some((span.start.index()..span.end.index(), plain))))
                }
            }
            _ => None,
        };
        let Some((value, scalar)) = done else { continue };
        match stack.last_mut() {
            None => {
                let Some((key, line)) = key.take() else { continue };
                found.push(Found { key, line, value, scalar });
            }
            Some((Value::List(list), _)) => std::sync::Arc::make_mut(list).push(value),
            Some((Value::Dict(dict), waiting)) => match waiting.take() {
                None => *waiting = Key::from_value(&value),
                Some(key) => drop(std::sync::Arc::make_mut(dict).insert(key, value)),
            },
            Some(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# head
---
platform::params::software_version: '21.05'   # the release
platform::config::params::config_path: /opt/platform/config/21.05
platform::docker::params::package_versions: '18.09'

# a list
platform::x::features:
- proxy
# in between
- 'on'
# tail
a::pci: 0000:11:09.0
b::block: |
  line 21.05
  # no comment
c::last: 1";

    fn file() -> Hieradata {
        Hieradata::parse("static.yaml", TEXT).unwrap()
    }

    #[test]
    fn untouched_text_comes_back_byte_for_byte() {
        assert_eq!(file().text(), TEXT);
        assert_eq!(Hieradata::parse("x", "").unwrap().text(), "");
        assert_eq!(Hieradata::parse("x", "# only\n\n").unwrap().text(), "# only\n\n");
    }

    #[test]
    fn values_are_typed_as_yaml_1_1() {
        let f = file();
        assert_eq!(f.get("platform::x::features").unwrap().to_string(), "['proxy', 'on']");
        assert_eq!(f.get("a::pci"), Some(&Value::Float(669.0)));
        assert_eq!(f.get("b::block").unwrap().as_str(), Some("line 21.05\n# no comment\n"));
        assert_eq!(f.suspicious().len(), 1);
    }

    #[test]
    fn one_changed_line_is_one_changed_line() {
        let mut f = file();
        f.set("platform::params::software_version", &Value::str("21.12")).unwrap();
        assert_eq!(f.text(), TEXT.replace("'21.05'   #", "'21.12'   #"));
        f.rename("c::last", "c::renamed");
        f.remove("a::pci");
        assert_eq!(
            f.text(),
            TEXT.replace("'21.05'   #", "'21.12'   #")
                .replace("c::last", "c::renamed")
                .replace("a::pci: 0000:11:09.0\n", "")
        );
        f.set("c::renamed", &Value::str("0755")).unwrap();
        assert!(f.text().ends_with("c::renamed: '0755'"));
        f.set("d::new", &Value::list(vec!["yes".into(), Value::Bool(true)])).unwrap();
        assert!(f.text().ends_with("c::renamed: '0755'\nd::new:\n- 'yes'\n- true\n"));
        assert_eq!(Hieradata::parse("x", &f.text()).unwrap().text(), f.text());
    }

    #[test]
    fn releases_and_paths_are_repointed() {
        let mut f = file();
        let keys = f.repoint("21.05", "21.12");
        assert_eq!(keys, ["platform::params::software_version", "platform::config::params::config_path", "b::block"]);
        assert_eq!(f.text(), TEXT.replace("21.05", "21.12"));
        let mut f = Hieradata::parse("x", "a::v: 21.05\nb::v: 1.21.05\nc::v: x-21.05\nd::v: /a/21.05.1/b\n").unwrap();
        f.repoint("21.05", "21.12");
        assert_eq!(f.text(), "a::v: '21.12'\nb::v: 1.21.05\nc::v: x-21.05\nd::v: /a/21.05.1/b\n");
    }

    #[test]
    fn new_keys_keep_a_sorted_file_sorted() {
        let mut f = Hieradata::parse("x", "a::a: 1\nc::c: 2\n").unwrap();
        f.set("b::b", &Value::str("x")).unwrap();
        assert_eq!(f.text(), "a::a: 1\nb::b: x\nc::c: 2\n");
    }

    #[test]
    fn what_cannot_be_migrated_safely_is_refused() {
        let e = Hieradata::parse("static.yaml", "a::a: 1\nb::b: 2\na::a: 3\n").unwrap_err();
        assert_eq!(e.to_string(), "static.yaml: the key `a::a` stands twice, on lines 1 and 3");
        for (text, why) in [
            ("- a\n", "not a list"),
            ("a: &x 1\nb: *x\n", "anchors"),
            ("a: 1\n---\nb: 2\n", "one document"),
            ("{a: 1}", "block style"),
        ] {
            assert!(Hieradata::parse("x", text).unwrap_err().to_string().contains(why), "{text}");
        }
        assert!(Hieradata::parse("x", "a: 'open\n").is_err());
    }
}
