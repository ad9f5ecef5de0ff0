//! Rules of a migration, as data: what the role's `vars/<from>-<to>.yml` holds under `hiera_rules`.
//!
//! Expressions are Jinja without braces, so that they are evaluated where the old values are, not before:
//! `value: static['keystone::endpoint::region']`.

use crate::model::value::{Dict, Value};

/// One rule. `file` is the name without `.yaml`: `static`, `secure_static`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub action: Action,
    /// Expression that must hold for it to apply.
    pub when: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A key gets another name; nothing if it is not there.
    Rename { file: String, key: String, to: String },
    /// A key gets the value of an expression, or as it is written.
    Set { file: String, key: String, value: Source, keep: bool },
    /// A key goes.
    Delete { file: String, key: String },
    /// A key moves to another file with its value.
    Move { key: String, from: String, to: String },
    /// Texts that are the old release, or have it as a part of a path, name the new one; in one key or all of a file.
    Repoint { file: String, key: Option<String> },
    /// A secret is made once and then kept.
    Generate { file: String, key: String, length: usize },
}

/// Where the value of a `set` comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// As written.
    Literal(Value),
    /// An expression over `static`, `secure_static` (as they stand), `old` (before any rule), `facts`, `from_release`
    /// and `to_release`.
    Expression(String),
}

/// The rules of one pair of releases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub rules: Vec<Rule>,
    /// Keys that must be there afterwards: file and key.
    pub required: Vec<(String, String)>,
    /// Keys that the new release does not know: they must be gone afterwards.
    pub obsolete: Vec<String>,
}

impl Rules {
    /// Reads rules: `rules` (a list), `required` (a mapping of file to keys), `obsolete` (a list of keys). All mistakes
    /// are told at once.
    pub fn read(rules: &[Value], required: &Dict, obsolete: &[String]) -> Result<Rules, Vec<String>> {
        let mut out = Rules { obsolete: obsolete.to_vec(), ..Rules::default() };
        let mut mistakes = Vec::new();
        for (i, value) in rules.iter().enumerate() {
            match rule(value) {
                Ok(rule) => out.rules.push(rule),
                Err(why) => mistakes.push(format!("rule {}: {why}", i + 1)),
            }
        }
        for (file, keys) in required {
            match keys.as_list() {
                Some(keys) => out.required.extend(keys.iter().map(|k| (file.to_string(), k.to_string()))),
                None => mistakes.push(format!("required keys of `{file}` must be a list")),
            }
        }
        if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
    }
}

/// The verbs, with what each takes besides `when`.
const VERBS: &[(&str, &[&str])] = &[
    ("rename", &["to", "file"]),
    ("set", &["value", "literal", "file", "keep"]),
    ("delete", &["file"]),
    ("move", &["from", "to"]),
    ("repoint", &["key"]),
    ("generate", &["file", "length"]),
];

fn rule(value: &Value) -> Result<Rule, String> {
    let dict = value.as_dict().ok_or("a rule is a mapping")?;
    let verbs: Vec<_> = VERBS.iter().filter(|(verb, _)| dict.contains_key(*verb)).collect();
    let [(verb, allowed)] = verbs[..] else {
        let all: Vec<&str> = VERBS.iter().map(|(v, _)| *v).collect();
        return Err(format!("a rule has exactly one of {}", all.join(", ")));
    };
    if let Some(unknown) =
        dict.keys().filter_map(|k| k.as_str()).find(|k| k != verb && *k != "when" && !allowed.contains(k))
    {
        return Err(format!("`{verb}` knows no `{unknown}`, only {} and when", allowed.join(", ")));
    }
    let text = |name: &str| dict.get(name).filter(|v| !v.is_null()).map(Value::to_string);
    let need = |name: &str| text(name).filter(|t| !t.is_empty()).ok_or(format!("`{verb}` needs `{name}`"));
    let file = || text("file").unwrap_or_else(|| "static".into());
    let key = need(verb)?;
    let action = match *verb {
        "rename" => Action::Rename { file: file(), key, to: need("to")? },
        "set" => {
            let value = match (text("value"), dict.get("literal")) {
                (Some(expression), None) => Source::Expression(expression),
                (None, Some(literal)) => Source::Literal(literal.clone()),
                _ => return Err("`set` has either `value` (an expression) or `literal`".into()),
            };
            let keep = dict.get("keep").is_some_and(|v| v == &Value::Bool(true));
            Action::Set { file: file(), key, value, keep }
        }
        "delete" => Action::Delete { file: file(), key },
        "move" => Action::Move { key, from: need("from")?, to: need("to")? },
        "repoint" => Action::Repoint { file: key, key: text("key") },
        _ => {
            let length = match text("length") {
                None => 16,
                Some(text) => {
                    text.parse().ok().filter(|l| (8..=128).contains(l)).ok_or("`length` is a number from 8 to 128")?
                }
            };
            Action::Generate { file: text("file").unwrap_or_else(|| "secure_static".into()), key, length }
        }
    };
    Ok(Rule { action, when: text("when") })
}
