//! Values as JSON and back without loss. JSON has no templates, no keys but text and no `inf`; a replay must bring all of
//! them back, or a resumed run would not be the run it goes on with.
//!
//! What JSON can hold is left as it is. A dictionary that is none of plain JSON becomes `{"$dict": [[key, value], …]}`, a
//! template `{"$template": text, "at": place}`, a text that the user wrote `{"$written": text}` (or `$vaulted`), a number
//! that is none `{"$float": "nan"}`.

use std::sync::Arc;

use crate::dict;
use crate::model::outcome::{Consequence, Include, Outcome};
use crate::model::source::Span;
use crate::model::text::{Origin, Text};
use crate::model::value::{Dict, Key, Template, Value};

/// Deeper values are not kept: what reads JSON gives up there.
pub const DEEPEST: usize = 96;

/// A value as plain JSON can hold it; the same value (shared) where it can.
pub fn encode(value: &Value) -> Value {
    match value {
        Value::Template(t) => {
            let at = t.span.source.name.as_str();
            Value::dict(dict! {"$template" => t.text.as_str(), "at" => at})
        }
        Value::Str(t) if t.is_trusted() => Value::dict(match t.origin() {
            Origin::Vaulted => dict! {"$vaulted" => &**t},
            _ => dict! {"$written" => &**t},
        }),
        Value::Float(x) if !x.is_finite() => Value::dict(dict! {"$float" => x.to_string()}),
        Value::List(l) if l.iter().any(needs) => Value::list(l.iter().map(encode).collect()),
        Value::Dict(d) if d.keys().any(odd) => {
            let pairs = d.iter().map(|(k, v)| Value::list(vec![encode(&k.to_value()), encode(v)])).collect();
            Value::dict(dict! {"$dict" => Value::list(pairs)})
        }
        Value::Dict(d) if d.values().any(needs) => Value::dict(encode_dict(d)),
        other => other.clone(),
    }
}

/// The value that was encoded; what was not encoded comes back as it is.
pub fn decode(value: &Value) -> Value {
    match value {
        Value::List(l) if l.iter().any(decodable) => Value::list(l.iter().map(decode).collect()),
        Value::Dict(d) => match decode_marked(d) {
            Some(value) => value,
            None if d.values().any(decodable) => Value::dict(d.iter().map(|(k, v)| (k.clone(), decode(v))).collect()),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// How deep a value goes; a scalar is 0.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::List(l) => 1 + l.iter().map(depth).max().unwrap_or(0),
        Value::Dict(d) => 1 + d.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn odd(key: &Key) -> bool {
    key.as_str().is_none_or(|k| k.starts_with('$'))
}

fn needs(value: &Value) -> bool {
    match value {
        Value::Template(_) => true,
        Value::Str(t) => t.is_trusted(),
        Value::Float(x) => !x.is_finite(),
        Value::List(l) => l.iter().any(needs),
        Value::Dict(d) => d.iter().any(|(k, v)| odd(k) || needs(v)),
        _ => false,
    }
}

fn decodable(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Dict(_))
}

fn decode_marked(d: &Dict) -> Option<Value> {
    let (key, value) = d.first()?;
    match (key.as_str()?, value) {
        ("$template", Value::Str(text)) => {
            let name = d.get("at").and_then(Value::as_str).unwrap_or("<journal>");
            let span = Span::of_text(name, text);
            Some(Value::Template(Arc::new(Template { text: text.to_string(), span })))
        }
        ("$written", Value::Str(text)) => Some(Value::Str(Text::written(&**text))),
        ("$vaulted", Value::Str(text)) => Some(Value::Str(Text::vaulted(&**text))),
        ("$float", Value::Str(text)) => text.parse().ok().map(Value::Float),
        ("$dict", Value::List(pairs)) => {
            let pair = |p: &Value| match p.as_list()? {
                [k, v] => Some((Key::from_value(&decode(k))?, decode(v))),
                _ => None,
            };
            pairs.iter().map(pair).collect::<Option<Dict>>().map(Value::dict)
        }
        _ => None,
    }
}

/// A dictionary whose keys are texts by its nature: variables, return values.
fn encode_dict(d: &Dict) -> Dict {
    d.iter().map(|(k, v)| (k.clone(), encode(v))).collect()
}

fn decode_dict(d: &Dict) -> Dict {
    d.iter().map(|(k, v)| (k.clone(), decode(v))).collect()
}

/// An outcome with every value passed through [`encode`] or [`decode`].
pub fn outcome(o: &Outcome, encoding: bool) -> Outcome {
    let over = if encoding { encode_dict } else { decode_dict };
    Outcome { data: over(&o.data), facts: over(&o.facts), ..o.clone() }
}

/// A consequence with every value passed through [`encode`] or [`decode`].
pub fn consequence(c: &Consequence, encoding: bool) -> Consequence {
    let over = if encoding { encode_dict } else { decode_dict };
    match c {
        Consequence::SetFacts { facts, cacheable } => {
            Consequence::SetFacts { facts: over(facts), cacheable: *cacheable }
        }
        Consequence::IncludeVars { vars } => Consequence::IncludeVars { vars: over(vars) },
        Consequence::AddHost { name, groups, vars } => {
            Consequence::AddHost { name: name.clone(), groups: groups.clone(), vars: over(vars) }
        }
        Consequence::Stats { data, per_host, aggregate } => {
            Consequence::Stats { data: over(data), per_host: *per_host, aggregate: *aggregate }
        }
        Consequence::Include { includes } => Consequence::Include {
            includes: includes
                .iter()
                .map(|i| Include { target: i.target.clone(), item: i.item.clone(), vars: over(&i.vars) })
                .collect(),
        },
        Consequence::GroupBy { .. } | Consequence::Flow { .. } | Consequence::Reborn { .. } => c.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(value: &Value) -> Value {
        let text = serde_json::to_string(&encode(value)).unwrap();
        decode(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn templates_stay_templates_and_data_stays_data() {
        let t = Value::written("{{ a }}", &Span::of_text("vars.yml", "{{ a }}"));
        let v = Value::list(vec![t, "{{ a }}".into(), Value::Str(Text::written("a")), Value::Str(Text::vaulted("a"))]);
        let Value::List(back) = there_and_back(&v) else { panic!() };
        assert!(matches!(&back[0], Value::Template(t) if t.text == "{{ a }}" && t.span.source.name == "vars.yml"));
        let origin = |v: &Value| match v {
            Value::Str(text) => Some(text.origin()),
            _ => None,
        };
        assert_eq!(
            back[1..].iter().map(origin).collect::<Vec<_>>(),
            [Origin::Data, Origin::Written, Origin::Vaulted].map(Some)
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("nan equals nothing", |x| !x.is_nan()).prop_map(Value::Float),
            ".*".prop_map(Value::str),
            "\\$(dict|template|float|written|vaulted)".prop_map(Value::str),
            ".*".prop_map(|t| Value::Str(Text::written(t))),
        ];
        let key = prop_oneof![
            any::<i64>().prop_map(Key::Int),
            any::<bool>().prop_map(Key::Bool),
            Just(Key::Null),
            "\\$(dict|template|float)".prop_map(|k| Key::str(&k)),
            "[a-z]*".prop_map(|k| Key::str(&k)),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
                proptest::collection::vec((key.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::dict(pairs.into_iter().collect())),
            ]
        })
    }

    /// Equal, and of the same kinds: to Python 1 and 1.0 and true are equal.
    fn alike(a: &Value, b: &Value) -> bool {
        format!("{a:?}") == format!("{b:?}")
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in any_value()) {
            let back = there_and_back(&value);
            prop_assert!(alike(&value, &back), "{:?} came back as {:?}", value, back);
        }
    }
}
