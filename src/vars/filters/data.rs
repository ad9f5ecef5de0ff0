//! Filters that turn data into text and back, or into another kind: JSON, YAML, base64, yes and no.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use crate::model::value::{Value, python_float};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["bool"], params: &[], takes_missing: false, run: boolean, doc: "As yes or no: yes, on, 1, true, t, y are true; no, off, 0, false, f, n are false." },
    Filter { names: &["from_json"], params: &["profile"], takes_missing: false, run: from_json, doc: "JSON read." },
    Filter { names: &["to_json"], params: &["indent", "sort_keys", "ensure_ascii", "separators", "vault_to_text", "preprocess_unsafe", "profile", "skipkeys", "allow_nan", "check_circular", "default"], takes_missing: false, run: |cx, v, b| to_json(cx, v, b, None, false), doc: "As JSON on one line." },
    Filter { names: &["to_nice_json"], params: &["indent", "sort_keys", "ensure_ascii", "separators", "vault_to_text", "preprocess_unsafe", "profile", "skipkeys", "allow_nan", "check_circular", "default"], takes_missing: false, run: |cx, v, b| to_json(cx, v, b, Some(4), true), doc: "As JSON, indented and with sorted keys." },
    Filter { names: &["from_yaml"], params: &[], takes_missing: false, run: from_yaml, doc: "YAML read." },
    Filter { names: &["from_yaml_all"], params: &[], takes_missing: false, run: from_yaml_all, doc: "YAML of several documents read, as a list." },
    Filter { names: &["b64encode"], params: &["encoding", "urlsafe"], takes_missing: false, run: b64_encode, doc: "In base64." },
    Filter { names: &["b64decode"], params: &["encoding", "urlsafe"], takes_missing: false, run: b64_decode, doc: "Out of base64." },
    Filter { names: &["ansible._protomatter.finalize"], params: &[], takes_missing: false, run: |cx, v, _| { let v = cx.value(&v)?; Ok(Val::of(&v)) }, doc: "The value as a task gets it." },
    Filter { names: &["type_debug"], params: &[], takes_missing: true, run: |_, v, _| Ok(v.kind().into()), doc: "Python's name of its type." },
    Filter { names: &["mandatory"], params: &["msg"], takes_missing: true, run: mandatory, doc: "An error where it is undefined, with a message of one's own." },
    Filter { names: &["ternary"], params: &["true_val", "false_val", "none_val"], takes_missing: true, run: ternary, doc: "One value or another, as it is true or not." },
    Filter { names: &["quote"], params: &[], takes_missing: false, run: quote, doc: "As one word for a shell." },
];

/// What Ansible's `bool` makes of a value; none where it is neither yes nor no.
pub(in crate::vars) fn truth_of(v: &Val) -> Option<bool> {
    match v {
        Val::Bool(b) => Some(*b),
        Val::Int(1) => Some(true),
        Val::Int(0) => Some(false),
        Val::Float(x) if *x == 1.0 => Some(true),
        Val::Float(x) if *x == 0.0 => Some(false),
        Val::Str(s) => match s.to_lowercase().as_str() {
            "yes" | "on" | "1" | "true" | "t" | "y" => Some(true),
            "no" | "off" | "0" | "false" | "f" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn boolean(_: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    // What is neither becomes false, with a warning in Ansible.
    Ok(Val::Bool(truth_of(&v).unwrap_or(false)))
}

fn from_json(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let Val::Str(text) = &v else {
        let kind = v.described();
        return fail(format!("JSON text is needed, not {kind}; what is a {} already needs no from_json", v.kind()));
    };
    let _ = cx;
    // Python reads NaN and Infinity too; the platform never writes them.
    match serde_json::from_str::<Value>(text) {
        Ok(value) => cx.settle(&Val::of(&value)),
        Err(e) => fail(format!("not valid JSON: {e}")),
    }
}

/// A value as JSON, as Python's `json.dumps` writes it.
pub(in crate::vars) fn json(value: &Value, indent: Option<usize>, ascii: bool) -> String {
    let style =
        Style { indent, item: if indent.is_some() { "," } else { ", " }.into(), key: ": ".into(), ascii, sort: false };
    let mut out = String::new();
    write_json(value, &style, 0, &mut out);
    out
}

struct Style {
    indent: Option<usize>,
    item: String,
    key: String,
    ascii: bool,
    sort: bool,
}

fn write_json(value: &Value, style: &Style, depth: usize, out: &mut String) {
    let newline = |out: &mut String, depth: usize| {
        if let Some(n) = style.indent {
            out.push('\n');
            out.push_str(&" ".repeat(n * depth));
        }
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(x) if x.is_nan() => out.push_str("NaN"),
        Value::Float(x) if x.is_infinite() => out.push_str(if *x > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(x) => out.push_str(&python_float(*x)),
        Value::Str(s) => json_text(s, style.ascii, out),
        Value::Template(t) => json_text(&t.text, style.ascii, out),
        Value::List(l) if l.is_empty() => out.push_str("[]"),
        Value::List(l) => {
            out.push('[');
            for (i, item) in l.iter().enumerate() {
                if i > 0 {
                    out.push_str(&style.item);
                }
                newline(out, depth + 1);
                write_json(item, style, depth + 1, out);
            }
            newline(out, depth);
            out.push(']');
        }
        Value::Dict(d) if d.is_empty() => out.push_str("{}"),
        Value::Dict(d) => {
            out.push('{');
            let mut pairs: Vec<(String, &Value)> = d
                .iter()
                .map(|(k, v)| {
                    // JSON's names of what Python turns into a key.
                    let key = match k.to_value() {
                        Value::Str(s) => s.to_string(),
                        other => {
                            let mut t = String::new();
                            write_json(&other, style, 0, &mut t);
                            t
                        }
                    };
                    (key, v)
                })
                .collect();
            if style.sort {
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
            }
            for (i, (k, v)) in pairs.into_iter().enumerate() {
                if i > 0 {
                    out.push_str(&style.item);
                }
                newline(out, depth + 1);
                json_text(&k, style.ascii, out);
                out.push_str(&style.key);
                write_json(v, style, depth + 1, out);
            }
            newline(out, depth);
            out.push('}');
        }
    }
}

fn json_text(s: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn to_json(cx: &mut Cx<'_>, v: Val, b: Bound, indent: Option<usize>, sort: bool) -> Res {
    let value = cx.value(&v)?;
    let indent = match b.some(0) {
        Some(_) => b.int(0, "indent")?.and_then(|n| usize::try_from(n).ok()).map(|n| n.min(100)),
        None => indent,
    };
    let mut style = Style {
        indent,
        item: if indent.is_some() { "," } else { ", " }.into(),
        key: ": ".into(),
        ascii: b.flag(cx, 2, true)?,
        sort: b.flag(cx, 1, sort)?,
    };
    if let Some(separators) = b.some(3) {
        match cx.items(separators)?.as_slice() {
            [item, key] => (style.item, style.key) = (cx.text(item)?, cx.text(key)?),
            _ => return fail("'separators' needs two texts"),
        }
    }
    let mut out = String::new();
    write_json(&value, &style, 0, &mut out);
    Ok(out.into())
}

fn from_yaml(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let Val::Str(text) = &v else { return if v.is_null() { Ok(Val::Null) } else { Ok(v) } };
    let documents = (cx.engine.yaml)(text);
    match documents.as_deref() {
        Ok([]) => Ok(Val::Null),
        Ok([one]) => cx.settle(&Val::of(one)),
        Ok(_) => fail("the text has several YAML documents; use from_yaml_all"),
        Err(e) => fail(format!("not valid YAML: {e}")),
    }
}

fn from_yaml_all(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let Val::Str(text) = &v else { return if v.is_null() { Ok(Val::list(Vec::new())) } else { Ok(v) } };
    match (cx.engine.yaml)(text) {
        Ok(all) => Ok(Val::list(all.iter().map(Val::of).collect())),
        Err(e) => fail(format!("not valid YAML: {e}")),
    }
}

/// Only UTF-8 is read and written here.
fn utf8_only(cx: &mut Cx<'_>, b: &Bound) -> Res<()> {
    let encoding = b.text(cx, 0, "utf-8")?.to_lowercase();
    match encoding.as_str() {
        "utf-8" | "utf8" | "ascii" | "us-ascii" => Ok(()),
        other => fail(format!("the encoding '{other}' is not supported; only utf-8 is")),
    }
}

fn b64_encode(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let encoding = b.text(cx, 0, "utf-8")?.to_lowercase();
    let text = cx.text(&v)?;
    let bytes: Vec<u8> = match encoding.as_str() {
        "utf-16-le" | "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16-be" | "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => {
            utf8_only(cx, &b)?;
            text.into_bytes()
        }
    };
    Ok(if b.flag(cx, 1, false)? { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }.into())
}

fn b64_decode(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let encoding = b.text(cx, 0, "utf-8")?.to_lowercase();
    let text: String = cx.text(&v)?.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = if b.flag(cx, 1, false)? { URL_SAFE.decode(text.as_bytes()) } else { STANDARD.decode(text.as_bytes()) };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(e) => return fail(format!("not valid base64: {e}")),
    };
    let units = |f: fn([u8; 2]) -> u16| bytes.chunks_exact(2).map(|c| f([c[0], c[1]])).collect::<Vec<_>>();
    let text = match encoding.as_str() {
        "utf-16-le" | "utf-16le" => String::from_utf16(&units(u16::from_le_bytes)).ok(),
        "utf-16-be" | "utf-16be" => String::from_utf16(&units(u16::from_be_bytes)).ok(),
        _ => {
            utf8_only(cx, &b)?;
            String::from_utf8(bytes).ok()
        }
    };
    match text {
        Some(t) => Ok(t.into()),
        None => fail("what is decoded is not text; bytes cannot be held in a variable"),
    }
}

fn mandatory(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Val::Missing(m) = &v else { return Ok(v) };
    let message = match b.some(0) {
        Some(msg) => cx.text(msg)?,
        None if m.name.is_empty() => "Mandatory variable not defined.".to_owned(),
        None => format!("Mandatory variable '{}' not defined.", m.name),
    };
    let mut error = TemplateError::new(TemplateErrorKind::Other, message);
    error.at = m.at;
    error.span = m.span.clone();
    Err(error)
}

fn ternary(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let what = "the filter 'ternary'";
    let (yes, no) = (b.need(0, what, "true_val")?, b.need(1, what, "false_val")?);
    if v.is_null()
        && let Some(none) = b.some(2)
    {
        return Ok(none.clone());
    }
    // Its own reading of yes and no is Python's truth.
    Ok(if cx.truth(&v)? { yes } else { no }.clone())
}

/// A text as one word for a POSIX shell.
pub(in crate::vars) fn shell_word(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
}

fn quote(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let text = if v.is_null() { String::new() } else { cx.text(&v)? };
    Ok(shell_word(&text).into())
}
