//! The migration itself: old files and rules to new files. Pure but for the secrets it asks for; writes nothing.

use indexmap::IndexMap;

use crate::dict;
use crate::model::value::{Dict, Key, Value};

use super::file::Hieradata;
use super::rules::{Action, Rule, Rules, Source};

/// Evaluates the expressions of rules.
pub trait Expressions {
    /// The value of a Jinja expression (without braces) over these variables. The error says what is wrong with it, and
    /// names what is undefined.
    fn value(&self, expression: &str, vars: &Dict) -> Result<Value, String>;
}

/// Files by their name without `.yaml`, in the order in which they are written.
pub type Files = IndexMap<String, Hieradata>;

/// What a migration needs besides the old files.
pub struct Surroundings<'a> {
    pub from: &'a str,
    pub to: &'a str,
    /// For expressions: `facts`.
    pub facts: &'a Dict,
    /// The new files of an earlier migration: secrets made then are kept.
    pub kept: &'a Files,
    pub expressions: &'a dyn Expressions,
    /// Makes a secret of that many characters.
    pub secret: &'a mut dyn FnMut(usize) -> String,
}

/// Applies the rules in their order. All mistakes and all missing or left-over keys are told at once.
pub fn migrate(old: &Files, rules: &Rules, around: &mut Surroundings) -> Result<Files, Vec<String>> {
    let mut files = old.clone();
    let mut wrong = Vec::new();
    let before: Dict = old.iter().flat_map(|(_, f)| f.to_dict()).collect();
    for rule in &rules.rules {
        let applied = applies(rule, &files, &before, around)
            .and_then(|yes| if yes { apply(&rule.action, &mut files, &before, around) } else { Ok(()) });
        if let Err(why) = applied {
            wrong.push(why);
        }
    }
    for (file, key) in &rules.required {
        let value = files.get(file).and_then(|f| f.get(key));
        if value.is_none_or(|v| v.is_null() || v.as_str() == Some("")) {
            wrong.push(format!("{file}.yaml lacks `{key}`, which {} requires", around.to));
        }
    }
    for (name, file) in &files {
        for key in rules.obsolete.iter().filter(|k| file.get(k).is_some()) {
            wrong.push(format!("{name}.yaml still has `{key}`, which {} does not know", around.to));
        }
    }
    if wrong.is_empty() { Ok(files) } else { Err(wrong) }
}

fn variables(files: &Files, before: &Dict, around: &Surroundings) -> Dict {
    let mut vars = dict! {
        "old" => before.clone(), "facts" => around.facts.clone(), "from_release" => around.from, "to_release" => around.to,
    };
    vars.extend(files.iter().map(|(name, file)| (Key::str(name), Value::dict(file.to_dict()))));
    vars
}

fn applies(rule: &Rule, files: &Files, before: &Dict, around: &Surroundings) -> Result<bool, String> {
    let Some(when) = &rule.when else { return Ok(true) };
    match around.expressions.value(when, &variables(files, before, around)) {
        Ok(Value::Bool(yes)) => Ok(yes),
        Ok(other) => Err(format!("`when: {when}` is {}, not true or false", other.kind())),
        Err(why) => Err(format!("`when: {when}`: {why}")),
    }
}

fn apply(action: &Action, files: &mut Files, before: &Dict, around: &mut Surroundings) -> Result<(), String> {
    match action {
        Action::Rename { file, key, to } => {
            let file = named(files, file)?;
            if file.get(to).is_some() && file.get(key).is_some() {
                return Err(format!("`{key}` cannot become `{to}`: both are there"));
            }
            file.rename(key, to);
            Ok(())
        }
        Action::Set { file, key, value, keep } => {
            if *keep && named(files, file)?.get(key).is_some_and(|v| !v.is_null()) {
                return Ok(());
            }
            let value = match value {
                Source::Literal(value) => value.clone(),
                Source::Expression(expression) => around
                    .expressions
                    .value(expression, &variables(files, before, around))
                    .map_err(|why| format!("the value of `{key}`: {why}"))?,
            };
            named(files, file)?.set(key, &value)
        }
        Action::Delete { file, key } => {
            named(files, file)?.remove(key);
            Ok(())
        }
        Action::Move { key, from, to } => {
            let Some(value) = named(files, from)?.remove(key) else { return Ok(()) };
            named(files, to)?.set(key, &value)
        }
        Action::Repoint { file, key } => {
            let file = named(files, file)?;
            match key {
                None => drop(file.repoint(around.from, around.to)),
                Some(key) => {
                    file.repoint_key(key, around.from, around.to);
                }
            }
            Ok(())
        }
        Action::Generate { file, key, length } => {
            let kept = around.kept.get(file).and_then(|f| f.get(key)).cloned();
            let file = named(files, file)?;
            if file.get(key).is_some_and(|v| !v.is_null()) {
                return Ok(());
            }
            let value = kept.unwrap_or_else(|| Value::str((around.secret)(*length)));
            file.set(key, &value)
        }
    }
}

fn named<'f>(files: &'f mut Files, name: &str) -> Result<&'f mut Hieradata, String> {
    let known: Vec<String> = files.keys().cloned().collect();
    files.get_mut(name).ok_or_else(|| format!("there is no file `{name}`, only {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows `a['b']` and the names of variables: enough to test what rules do with values.
    struct Lookup;

    impl Expressions for Lookup {
        fn value(&self, expression: &str, vars: &Dict) -> Result<Value, String> {
            let (name, key) = expression.trim_end_matches("']").split_once("['").unwrap_or((expression, ""));
            match expression {
                "true" => return Ok(Value::Bool(true)),
                "false" => return Ok(Value::Bool(false)),
                _ => {}
            }
            let found = vars.get(name).and_then(|v| if key.is_empty() { Some(v) } else { v.get(key) });
            found.cloned().ok_or_else(|| format!("`{expression}` is undefined"))
        }
    }

    fn files(fixed: &str, secure: &str) -> Files {
        [("static", fixed), ("secure_static", secure)]
            .map(|(n, t)| (n.to_owned(), Hieradata::parse(&format!("{n}.yaml"), t).unwrap()))
            .into()
    }

    fn rules(json: &str, required: &str) -> Rules {
        let list: Value = serde_json::from_str(json).unwrap();
        let required: Value = serde_json::from_str(required).unwrap();
        Rules::read(list.as_list().unwrap(), required.as_dict().unwrap(), &["z::gone".into()]).unwrap()
    }

    fn run(old: &Files, kept: &Files, rules: &Rules) -> Result<Files, Vec<String>> {
        let facts = dict! {"admin_password" => "Li69nux*"};
        let mut n = 0;
        let mut secret = |length: usize| {
            n += 1;
            format!("secret{n}").repeat(length).chars().take(length).collect()
        };
        let mut around =
            Surroundings { from: "21.05", to: "21.12", facts: &facts, kept, expressions: &Lookup, secret: &mut secret };
        migrate(old, rules, &mut around)
    }

    #[test]
    fn every_verb_and_a_second_run_that_changes_nothing() {
        let old =
            files("a::path: /x/21.05\nb::old: keep me   # as is\nd::x: 1\nm::v: '0755'\nz::gone: 1\n", "s::p: q\n");
        let rules = rules(
            r#"[{"repoint": "static"}, {"rename": "b::old", "to": "b::new"}, {"delete": "z::gone"},
                {"set": "e::admin", "file": "secure_static", "value": "facts['admin_password']"},
                {"set": "e::copy", "value": "old['d::x']"}, {"set": "d::x", "literal": "21.12", "keep": true},
                {"move": "m::v", "from": "static", "to": "secure_static"}, {"generate": "g::secret", "length": 8},
                {"set": "never::there", "literal": 1, "when": "false"}]"#,
            r#"{"static": ["a::path", "b::new"], "secure_static": ["g::secret"]}"#,
        );
        let new = run(&old, &Files::new(), &rules).unwrap();
        assert_eq!(new["static"].text(), "a::path: /x/21.12\nb::new: keep me   # as is\nd::x: 1\ne::copy: 1\n");
        let generated = new["secure_static"].get("g::secret").unwrap().clone();
        assert_eq!(new["secure_static"].get("m::v").unwrap().as_str(), Some("0755"));
        let again = run(&old, &new, &rules).unwrap();
        assert_eq!(again["secure_static"].get("g::secret"), Some(&generated), "made once, then kept");
        assert_eq!(again, new);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let old = files("a::a: 1\nz::gone: 1\n", "");
        let rules = rules(
            r#"[{"set": "x::y", "value": "nothing"}]"#,
            r#"{"static": ["a::missing"], "secure_static": ["s::missing"]}"#,
        );
        let wrong = run(&old, &Files::new(), &rules).unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong[0].contains("`nothing` is undefined"));
        assert!(wrong[3].contains("still has `z::gone`"));
    }

    #[test]
    fn rules_are_checked() {
        let list: Value =
            serde_json::from_str(r#"[{"rename": "a"}, {"set": "a"}, {"rename": "a", "to": "b", "oops": 1}, {"x": 1}]"#)
                .unwrap();
        let wrong = Rules::read(list.as_list().unwrap(), &Dict::new(), &[]).unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
    }
}
