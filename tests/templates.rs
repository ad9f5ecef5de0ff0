//! Every case in `cases/templates` gives what ansible-core gives (`ask-ansible.py` there wrote the answers).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stx_upgrade::model::source::{Span, Spanned};
use stx_upgrade::model::value::{Dict, Value};
use stx_upgrade::vars::template::{Control, Scope, Templar};

/// Variables of a case, and this machine as the control node.
struct Here(Dict);

impl Scope for Here {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().map(|k| Arc::from(k.to_string())).collect()
    }
    fn control(&self) -> Option<&dyn Control> {
        Some(self)
    }
}

impl Control for Here {
    fn search(&self) -> Vec<PathBuf> {
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/templates")]
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|e| e.to_string())
    }
    fn run(&self, command: &str) -> Result<(i32, Vec<u8>, Vec<u8>), String> {
        let out = std::process::Command::new("sh").args(["-c", command]).output().map_err(|e| e.to_string())?;
        Ok((out.status.code().unwrap_or(-1), out.stdout, out.stderr))
    }
    fn matching(&self, _pattern: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    fn setting(&self, _name: &str) -> Option<Value> {
        None
    }
}

/// Marks the strings of a value as what a user wrote.
fn written(value: &Value) -> Value {
    match value {
        Value::Str(s) => Value::written(s, &Span::of_text("vars", s)),
        Value::List(l) => Value::list(l.iter().map(written).collect()),
        Value::Dict(d) => Value::dict(d.iter().map(|(k, v)| (k.clone(), written(v))).collect()),
        other => other.clone(),
    }
}

fn yaml(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple::<Value>(text).map_err(|e| e.to_string())
}

fn run(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a case file");
    let groups = yaml(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let templar = Arc::new(Templar::new(yaml));
    let mut wrong = Vec::new();
    for group in groups[0].as_list().expect("a list of groups") {
        let vars = group.get("vars").map(written).unwrap_or_default();
        let vars = Here(vars.as_dict().cloned().unwrap_or_default());
        for case in group.get("cases").and_then(Value::as_list).expect("cases") {
            let text = |kind: &str| case.get(kind).map(Value::to_string);
            let (shown, result) = if let Some(t) = text("condition") {
                let span = Span::of_text("when", &t);
                let value = Value::written(&t, &span);
                (t, templar.condition(&Spanned::new(value, span), &vars).map(Value::Bool))
            } else if let Some(t) = text("expression") {
                let span = Span::of_text("expression", &t);
                let result = templar.expression(&t, &span, &vars);
                (t, result)
            } else {
                let t = text("template").expect("a template");
                let value = Value::written(&t, &Span::of_text("template", &t));
                (t, templar.render(&value, &vars))
            };
            let ours = case.get("ours").is_some_and(|o| o.as_dict().is_some());
            let expected = if ours { case.get("ours").expect("ours") } else { case };
            let (got, right) = match (&result, expected.get("fails")) {
                (Ok(v), None) => (format!("{v:?}"), expected.get("gives").is_some_and(|g| same(v, g))),
                (Ok(v), Some(_)) => (format!("{v:?}"), false),
                (Err(e), fails) => {
                    let kind = if e.is_undefined() { "undefined" } else { "error" };
                    let says = expected.get("says").is_none_or(|s| e.to_string().contains(&s.to_string()));
                    (format!("{kind}: {e}"), says && fails.is_some_and(|f| f.to_string() == kind))
                }
            };
            if !right {
                let expected = match (expected.get("gives"), expected.get("fails")) {
                    (Some(g), _) => format!("{g:?}"),
                    (_, Some(f)) => format!("{f} {:?}", expected.get("says")),
                    _ => "no expectation".into(),
                };
                wrong.push(format!("{}: {shown}\n    expected {expected}\n    got      {got}", file.display()));
            }
        }
    }
    wrong
}

/// Equal, and of the same kind: `1` is not `1.0` here, nor `true`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len()
                && a.iter().zip(b.iter()).all(|((k, v), (l, w))| k.to_string() == l.to_string() && same(v, w))
        }
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= a.abs() * 1e-12,
        _ => a.kind() == b.kind() && a == b,
    }
}

#[test]
fn cases_give_what_ansible_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/templates");
    let only = std::env::var("CASES").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the cases").flatten().map(|f| f.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yml") && f.to_string_lossy().contains(&only));
    files.sort();
    assert!(!files.is_empty());
    let wrong: Vec<String> = files.iter().flat_map(|f| run(f)).collect();
    assert!(wrong.is_empty(), "{} case(s) differ:\n{}", wrong.len(), wrong.join("\n"));
}
