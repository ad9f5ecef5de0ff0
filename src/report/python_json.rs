//! Values as Python's `json.dumps` writes them with sorted keys: what follows `=>` in Ansible's lines.

use std::fmt::Write;

use crate::model::value::{Dict, Key, Value, python_float};

/// A dictionary on one line, or over several with this indent.
pub fn dump(dict: &Dict, indent: Option<usize>) -> String {
    let mut out = String::new();
    object(dict, indent, 0, &mut out);
    out
}

/// The same for any value.
pub fn dump_value(v: &Value, indent: Option<usize>) -> String {
    let mut out = String::new();
    value(v, indent, 0, &mut out);
    out
}

fn value(v: &Value, indent: Option<usize>, depth: usize, out: &mut String) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(x) if x.is_nan() => out.push_str("NaN"),
        Value::Float(x) if x.is_infinite() => out.push_str(if *x > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(x) => out.push_str(&python_float(*x)),
        Value::Str(s) => text(s, out),
        Value::Template(t) => text(&t.text, out),
        Value::List(l) if l.is_empty() => out.push_str("[]"),
        Value::List(l) => {
            out.push('[');
            for (i, item) in l.iter().enumerate() {
                separate(i, indent, depth + 1, out);
                value(item, indent, depth + 1, out);
            }
            end(indent, depth, out);
            out.push(']');
        }
        Value::Dict(d) => object(d, indent, depth, out),
    }
}

fn object(dict: &Dict, indent: Option<usize>, depth: usize, out: &mut String) {
    if dict.is_empty() {
        out.push_str("{}");
        return;
    }
    let mut members: Vec<(String, &Value)> = dict.iter().map(|(k, v)| (key(k), v)).collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (i, (name, member)) in members.into_iter().enumerate() {
        separate(i, indent, depth + 1, out);
        text(&name, out);
        out.push_str(": ");
        value(member, indent, depth + 1, out);
    }
    end(indent, depth, out);
    out.push('}');
}

fn key(key: &Key) -> String {
    match key {
        Key::Null => "null".into(),
        Key::Bool(b) => b.to_string(),
        Key::Int(i) => i.to_string(),
        Key::Float(x) => python_float(*x),
        Key::Str(s) => s.to_string(),
    }
}

fn separate(i: usize, indent: Option<usize>, depth: usize, out: &mut String) {
    match indent {
        None if i > 0 => out.push_str(", "),
        None => {}
        Some(width) => {
            out.push_str(if i > 0 { ",\n" } else { "\n" });
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    }
}

fn end(indent: Option<usize>, depth: usize, out: &mut String) {
    if let Some(width) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * depth));
    }
}

fn text(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn as_python_writes_it() {
        let inner = Value::list(vec![1i64.into(), "ü\n\u{1}".into(), 1.5.into(), Value::Null, true.into()]);
        let d = dict! {"b" => inner, "a" => Value::dict(Dict::new()), "c" => Value::list(vec![]), "B" => 1e16};
        assert_eq!(dump(&d, None), r#"{"B": 1e+16, "a": {}, "b": [1, "ü\n\u0001", 1.5, null, true], "c": []}"#);
        let d = dict! {"a" => Value::dict(dict! {"b" => Value::list(vec![1i64.into()])}), "c" => 1i64};
        assert_eq!(
            dump(&d, Some(4)),
            "{\n    \"a\": {\n        \"b\": [\n            1\n        ]\n    },\n    \"c\": 1\n}"
        );
        assert_eq!(dump(&d, Some(1)).replace('\n', ""), r#"{ "a": {  "b": [   1  ] }, "c": 1}"#);
    }
}
