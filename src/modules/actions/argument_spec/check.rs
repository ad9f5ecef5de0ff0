//! Values held against an argument specification, with all that is wrong in Ansible's order and words: roles assert on them.

use super::kinds;
use crate::action::args::truth;
use crate::model::value::{Dict, Key, Value};

/// What is wrong with the given values, a sentence each.
pub(super) fn errors(spec: &Dict, given: Dict) -> Vec<String> {
    let mut check = Check { errors: Vec::new(), unknown: Vec::new(), known: Vec::new(), aliases: Vec::new() };
    check.level(spec, given, &mut Vec::new());
    check.unknown.sort();
    if !check.unknown.is_empty() {
        let (unknown, mut known) = (check.unknown.join(", "), check.known.join(", "));
        if !check.aliases.is_empty() {
            known += &format!(" ({})", check.aliases.join(", "));
        }
        check.errors.push(format!("{unknown}. Supported parameters include: {known}."));
    }
    check.errors
}

struct Check {
    errors: Vec<String>,
    /// Names that no specification has, and those that the last one has.
    unknown: Vec<String>,
    known: Vec<String>,
    aliases: Vec<String>,
}

fn aliases(spec: &Value) -> Vec<String> {
    spec.get("aliases").and_then(Value::as_list).unwrap_or_default().iter().map(Value::to_string).collect()
}

fn text(spec: &Value, key: &str) -> Option<String> {
    spec.get(key).filter(|v| !v.is_null()).map(Value::to_string)
}

impl Check {
    /// The options of one level, and then of those inside them; `inside` names what they are options of.
    fn level(&mut self, spec: &Dict, mut given: Dict, inside: &mut Vec<String>) {
        for (name, option) in spec {
            let alias = aliases(option).into_iter().find_map(|a| given.get(a.as_str()).cloned());
            if let Some(value) = alias {
                given.insert(name.clone(), value);
            }
        }
        self.unknown(spec, &given, inside);
        for (name, option) in spec {
            let default = option.get("default").filter(|d| !d.is_null());
            if let (false, Some(default)) = (given.contains_key(name), default) {
                given.insert(name.clone(), default.clone());
            }
        }
        let mut missing: Vec<String> = spec
            .iter()
            .filter(|(name, option)| option.get("required").and_then(truth) == Some(true) && !given.contains_key(*name))
            .map(|(name, _)| name.to_string())
            .collect();
        missing.sort();
        if !missing.is_empty() {
            self.errors.push(format!("missing required arguments: {}{}", missing.join(", "), found(inside)));
        }
        for (name, option) in spec {
            self.kind(name, option, &mut given, inside);
        }
        for (name, option) in spec {
            self.choices(name, option, &given, inside);
        }
        for (name, option) in spec {
            self.options(name, option, &given, inside);
        }
    }

    fn unknown(&mut self, spec: &Dict, given: &Dict, inside: &[String]) {
        let known = |k: &Key| spec.contains_key(k) || spec.values().any(|o| aliases(o).contains(&k.to_string()));
        for name in given.keys().filter(|k| !known(k)) {
            let path: Vec<String> = inside.iter().cloned().chain([name.to_string()]).collect();
            self.unknown.push(path.join("."));
            self.known = spec.keys().map(ToString::to_string).collect();
            self.known.sort();
            self.aliases = spec.values().flat_map(aliases).collect();
            self.aliases.sort();
        }
    }

    /// The value as the type that the option wants; a wrong one stays as it is.
    fn kind(&mut self, name: &Key, option: &Value, given: &mut Dict, inside: &[String]) {
        let Some(value) = given.get(name).cloned() else { return };
        let required = option.get("required").and_then(truth) == Some(true);
        if value.is_null() && !required && option.get("default").is_none_or(Value::is_null) {
            return;
        }
        let kind = text(option, "type").unwrap_or_else(|| "str".into());
        let place = if inside.is_empty() { String::new() } else { format!(" found in '{}'.", inside.join(" -> ")) };
        let converted = match kinds::convert(&kind, &value) {
            Ok(converted) => converted,
            Err(why) => {
                let is = value.python_type();
                let said = format!("argument '{name}' is of type {is}{place} and we were unable to convert to {kind}");
                return self.errors.push(format!("{said}: {why}"));
            }
        };
        if let (Value::List(items), Some(wanted)) = (&converted, text(option, "elements")) {
            let place = place.trim_end_matches('.');
            for item in items.iter() {
                if let Err(why) = kinds::convert(&wanted, item) {
                    let is = item.python_type();
                    let said = format!("Elements value for option '{name}'{place} is of type {is}");
                    self.errors.push(format!("{said} and we were unable to convert to {wanted}: {why}"));
                }
            }
        }
        given.insert(name.clone(), converted);
    }

    fn choices(&mut self, name: &Key, option: &Value, given: &Dict, inside: &[String]) {
        let (Some(choices), Some(value)) = (option.get("choices").and_then(Value::as_list), given.get(name)) else {
            return;
        };
        let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
        let list = choices.join(", ");
        if let Value::List(items) = value {
            let odd: Vec<String> = items.iter().map(Value::to_string).filter(|i| !choices.contains(i)).collect();
            if !odd.is_empty() {
                let odd = odd.join(", ");
                let said = format!("value of {name} must be one or more of: {list}. Got no match for: {odd}");
                self.errors.push(said + &found(inside));
            }
        } else if !value.is_null() && !choices.contains(&value.to_string()) {
            self.errors.push(format!("value of {name} must be one of: {list}, got: {value}{}", found(inside)));
        }
    }

    fn options(&mut self, name: &Key, option: &Value, given: &Dict, inside: &mut Vec<String>) {
        let Some(spec) = option.get("options").and_then(Value::as_dict) else { return };
        let nests = match text(option, "type").as_deref() {
            Some("dict") => true,
            Some("list") => text(option, "elements").as_deref() == Some("dict"),
            _ => false,
        };
        let fills = option.get("apply_defaults").and_then(truth) == Some(true);
        let value = match given.get(name).filter(|v| !v.is_null()) {
            Some(value) if nests => value.clone(),
            None if nests && fills => Value::dict(Dict::new()),
            _ => return,
        };
        inside.push(name.to_string());
        for inner in value.as_list().unwrap_or(std::slice::from_ref(&value)) {
            match inner {
                Value::Dict(inner) => self.level(spec, inner.as_ref().clone(), inside),
                _ => self.errors.push(format!("value of '{name}' must be of type dict or list of dicts")),
            }
        }
        inside.pop();
    }
}

fn found(inside: &[String]) -> String {
    if inside.is_empty() { String::new() } else { format!(" found in {}", inside.join(" -> ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(spec: &str, given: &str) -> Vec<String> {
        let read = |t: &str| serde_saphyr::from_str::<Value>(t).unwrap().as_dict().cloned().unwrap();
        errors(&read(spec), read(given))
    }

    /// What ansible-core 2.19 says to the same.
    #[test]
    fn what_is_wrong_is_told_in_ansibles_words() {
        let spec = "{n: {type: int, required: true}, l: {type: list, required: true}, c: {choices: [a, b]}}";
        assert_eq!(
            wrong(spec, "{n: null, l: null, c: x}"),
            [
                "argument 'n' is of type NoneType and we were unable to convert to int: \"None\" cannot be converted to an int",
                "argument 'l' is of type NoneType and we were unable to convert to list: <class 'NoneType'> cannot be converted to a list",
                "value of c must be one of: a, b, got: x",
            ]
        );
        assert_eq!(wrong(spec, "{n: '5', l: 'a,b', c: a}"), Vec::<String>::new());
        let nested = "{m: {type: dict, options: {s: {type: dict, options: {t: {type: int, required: true}}}}}}";
        assert_eq!(
            wrong(nested, "{m: {s: {u: 1}}}"),
            ["missing required arguments: t found in m -> s", "m.s.u. Supported parameters include: t.",]
        );
        let found = "argument 't' is of type str found in 'm -> s'. and we were unable to convert to int";
        assert_eq!(wrong(nested, "{m: {s: {t: x}}}"), [format!("{found}: \"'x'\" cannot be converted to an int")]);
    }
}
