//! One situation a file: what a StarlingX module sees, and what it decides, runs and says (`tests/cases/stx_*/*.yaml`).
//!
//! A case has `module`, `args`, `files` (a path to its text; `/etc/platform/openrc` is there unless `bare: true`),
//! `commands` (words to an answer or a list of answers, the last stays), `supposed`, `check`, and what is expected:
//! `changed`, `failed`, `not_knowable`, `msg` and `advice` (texts that must occur), `runs` (exactly what is run),
//! `then_supposed`, `data`. An answer is a text, or a mapping of `object` (a Property/Value table), `list` (rows as
//! mappings), `text`, `err`, `rc`.

#[path = "stx/host.rs"]
mod host;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use host::FakeHost;
use stx_upgrade::action::command::Output;
use stx_upgrade::model::outcome::Status;
use stx_upgrade::model::value::{Dict, Value};

fn text(value: &Value) -> String {
    value.to_string()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        None => Vec::new(),
        Some(Value::List(l)) => l.iter().map(text).collect(),
        Some(one) => vec![text(one)],
    }
}

/// A prettytable of these rows, the first being the header.
fn table(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap()).collect();
    let rule = format!("+{}+\n", widths.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("+"));
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| format!(" {c:<w$} ")).collect();
        format!("|{}|\n", cells.join("|"))
    };
    format!("{rule}{}{rule}{}{rule}", line(&rows[0]), rows[1..].iter().map(line).collect::<String>())
}

fn answer(value: &Value) -> Output {
    let Value::Dict(said) = value else {
        return Output { stdout: text(value).into_bytes(), ..Output::default() };
    };
    let mut out = said.get("text").map(text).unwrap_or_default();
    if let Some(Value::Dict(object)) = said.get("object") {
        let mut rows = vec![vec!["Property".to_owned(), "Value".to_owned()]];
        rows.extend(object.iter().map(|(k, v)| vec![k.to_string(), text(v)]));
        out += &table(&rows);
    }
    if let Some(Value::List(list)) = said.get("list") {
        let header: Vec<String> = list[0].as_dict().unwrap().keys().map(ToString::to_string).collect();
        let mut rows = vec![header];
        rows.extend(list.iter().map(|r| r.as_dict().unwrap().values().map(text).collect()));
        out += &table(&rows);
    }
    Output {
        rc: said.get("rc").and_then(Value::as_int).unwrap_or(0) as i32,
        stdout: out.into_bytes(),
        stderr: said.get("err").map(text).unwrap_or_default().into_bytes(),
        ..Output::default()
    }
}

fn host_of(case: &Value) -> FakeHost {
    let mut host = FakeHost { free: 1 << 38, ..FakeHost::default() };
    if case.get("bare") != Some(&Value::Bool(true)) {
        host.files.insert("/etc/platform/openrc".into(), Vec::new());
        host.files.insert("/etc/platform/.initial_config_complete".into(), Vec::new());
    }
    let empty = Dict::new();
    let dict = |key: &str| case.get(key).and_then(Value::as_dict).unwrap_or(&empty).clone();
    for (path, content) in dict("files") {
        host.files.insert(path.to_string().into(), text(&content).into_bytes());
    }
    for (words, said) in dict("commands") {
        let answers: VecDeque<Output> = match &said {
            Value::List(list) => list.iter().map(answer).collect(),
            one => [answer(one)].into(),
        };
        host.answers.insert(words.to_string(), answers);
    }
    for (key, value) in dict("supposed") {
        host.supposed.insert(key.to_string(), value);
    }
    host.free = case.get("free").and_then(Value::as_int).map_or(host.free, |f| f as u64);
    host.check = case.get("check") == Some(&Value::Bool(true));
    host
}

/// Every way in which the case does not hold.
fn wrong(case: &Value) -> Vec<String> {
    let module = text(case.get("module").expect("a case names its module"));
    let entry = stx_upgrade::stx::ALL.iter().find(|e| e.names[0] == module).expect("a module of this room");
    let mut host = host_of(case);
    let args = case.get("args").and_then(Value::as_dict).cloned().unwrap_or_default();
    let outcome = match (entry.run)(&args, &mut host) {
        Ok(outcome) => outcome,
        Err(error) => return vec![format!("the host said: {error}")],
    };
    let mut wrong = Vec::new();
    let flag = |key: &str| case.get(key) == Some(&Value::Bool(true));
    let mut same = |what: &str, is: bool| {
        if flag(what) != is {
            wrong.push(format!("{what} is {is}: {}", outcome.msg));
        }
    };
    same("failed", outcome.is_failed());
    same("changed", outcome.changed);
    same("not_knowable", matches!(outcome.status, Status::NotKnowable(_)));
    for part in strings(case.get("msg")) {
        if !outcome.msg.contains(&part) {
            wrong.push(format!("the message is `{}`, without `{part}`", outcome.msg));
        }
    }
    let advice = outcome.data.get("advice").map(text).unwrap_or_default();
    for part in strings(case.get("advice")) {
        if !advice.contains(&part) {
            wrong.push(format!("the advice is `{advice}`, without `{part}`"));
        }
    }
    if strings(case.get("runs")) != host.ran {
        wrong.push(format!("it ran {:?}", host.ran));
    }
    for (key, value) in case.get("then_supposed").and_then(Value::as_dict).into_iter().flatten() {
        let is = host.supposed.get(&key.to_string());
        if is != Some(value) {
            wrong.push(format!("supposed {key} is {is:?}"));
        }
    }
    for (key, value) in case.get("data").and_then(Value::as_dict).into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        let is = outcome.data.get(key).or_else(|| outcome.facts.values().find_map(|fact| fact.get(key)));
        if is != Some(value) {
            wrong.push(format!("`{key}` is {is:?}"));
        }
    }
    wrong
}

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let dirs = std::fs::read_dir(dir).unwrap().map(|d| d.unwrap().path());
    let ours = dirs.filter(|d| d.file_name().unwrap().to_str().unwrap().starts_with("stx_"));
    let mut files: Vec<PathBuf> = ours.flat_map(|d| std::fs::read_dir(d).unwrap().map(|f| f.unwrap().path())).collect();
    files.sort();
    files
}

#[test]
fn every_case_holds() {
    let mut failures = Vec::new();
    let files = cases();
    assert!(files.len() > 30, "the cases are gone: {}", files.len());
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let case: Value = serde_saphyr::from_str(&source).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let wrong = wrong(&case);
        if !wrong.is_empty() {
            failures.push(format!("{}\n    {}", file.display(), wrong.join("\n    ")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The checks above can fail: a case that expects the wrong thing is told in every part.
#[test]
fn a_wrong_case_is_told() {
    let case: Value = serde_saphyr::from_str(
        "{module: stx_licence, files: {/etc/platform/.license: x}, failed: true, changed: true, msg: nothing, runs: [reboot]}",
    )
    .unwrap();
    assert_eq!(wrong(&case).len(), 4);
}
