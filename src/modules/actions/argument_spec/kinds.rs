//! The types of an argument specification: what counts as one, and what it becomes.

use crate::action::args::{FromArg, truth};
use crate::model::value::{Dict, Value};

/// The value as this type; the error is Ansible's sentence.
pub(super) fn convert(kind: &str, value: &Value) -> Result<Value, String> {
    let refused = |as_what: &str| Err(format!("<class '{}'> cannot be converted to {as_what}", value.python_type()));
    match kind {
        "str" | "path" if value.is_null() => Ok("".into()),
        "str" | "path" => Ok(value.to_string().into()),
        "list" => match value {
            Value::List(_) => Ok(value.clone()),
            Value::Str(s) => Ok(s.split(',').collect()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => Ok(Value::list(vec![value.to_string().into()])),
            _ => refused("a list"),
        },
        "dict" => match value {
            Value::Dict(_) => Ok(value.clone()),
            Value::Str(s) => dictionary(s).map(Value::dict),
            _ => refused("a dict"),
        },
        "bool" => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::Str(_) | Value::Int(_) | Value::Float(_) => truth(value).map(Value::Bool).ok_or_else(|| {
                format!(
                    "The value '{value}' is not a valid boolean. Valid booleans include: yes, no, on, off, true, false, \
                     y, n, t, f, 1, 0"
                )
            }),
            _ => refused("a bool"),
        },
        "int" => match value {
            Value::Bool(_) => Ok(value.clone()),
            _ => match i64::from_arg(value) {
                Ok(i) => Ok(Value::Int(i)),
                Err(_) => Err(format!("\"{}\" cannot be converted to an int", value.python_repr())),
            },
        },
        "float" => match (value, f64::from_arg(value)) {
            (Value::Bool(b), _) => Ok(Value::Float(f64::from(u8::from(*b)))),
            (_, Ok(x)) => Ok(Value::Float(x)),
            _ => refused("a float"),
        },
        "json" | "jsonarg" => match value {
            Value::Str(s) => Ok(s.trim().into()),
            Value::List(_) | Value::Dict(_) => Ok(serde_json::to_string(value).unwrap_or_default().into()),
            _ => refused("a json string"),
        },
        "bytes" => crate::vars::bytes_of(&value.to_string(), false).map(Value::Int).or_else(|_| refused("a Byte value")),
        "bits" => crate::vars::bytes_of(&value.to_string(), true).map(Value::Int).or_else(|_| refused("a Bit value")),
        _ => Ok(value.clone()),
    }
}

/// A dictionary written as JSON, or as `k=v` pairs between commas or blanks.
fn dictionary(text: &str) -> Result<Dict, String> {
    if text.starts_with('{') {
        return Dict::from_arg(&text.into()).map_err(|_| "unable to evaluate string as dictionary".into());
    }
    if !text.contains('=') {
        return Err("dictionary requested, could not parse JSON or key=value".into());
    }
    let (mut fields, mut field, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') => field.extend(chars.next()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ',' | ' ') => fields.push(std::mem::take(&mut field)),
            (_, c) => field.push(c),
        }
    }
    fields.push(field);
    let pair = |f: String| f.split_once('=').map(|(k, v)| (k.into(), v.into()));
    let pairs: Option<Dict> = fields.into_iter().filter(|f| !f.is_empty()).map(pair).collect();
    pairs.ok_or_else(|| "unable to evaluate string in the \"key=value\" format as dictionary".into())
}
