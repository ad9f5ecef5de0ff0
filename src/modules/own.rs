//! Modules that users bring, where they run: a program takes its arguments in one of Ansible's ways, and its output is read
//! as its result. Finding the program on the control node is the plan's, reading it the action's.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file_content::{random_name, text_diff};
use super::{command, shell_words};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module, Recovery};
use crate::model::outcome::{Diff, Outcome, Status};
use crate::model::value::{Dict, Value};
use crate::{arguments, choices};

choices! {
    /// How a program takes its arguments.
    pub enum Style {
        /// A file with `key=value` words.
        Words = "words",
        /// A file with JSON: programs that are no text, and texts that say `WANT_JSON`.
        Json = "json",
        /// JSON put into its text before it is run.
        Inserted = "inserted",
    }
}

/// What is replaced by JSON in the text of a module.
const MARK: &str = "<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";

/// What a program asks for, by its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    pub style: Style,
    /// The program of its first line and that program's arguments; none for one that is no script.
    pub interpreter: Vec<String>,
    /// Whether it knows of check runs: what does not is not run in one.
    pub checks: bool,
}

/// Finds out how a program takes its arguments; the error says why it cannot be run here.
pub fn kind(content: &[u8]) -> Result<Kind, String> {
    let has = |text: &str| content.windows(text.len()).any(|w| w == text.as_bytes());
    let checks = has("_ansible_check_mode");
    // As Ansible tells them apart: no text has a zero byte.
    if content.contains(&0) {
        return Ok(Kind { style: Style::Json, interpreter: Vec::new(), checks });
    }
    let first = content.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    for import in ["ansible.module_utils", "ansible_collections.", "INCLUDE_ANSIBLE_MODULE_COMMON"] {
        if has(import) && (first.contains("python") || !first.starts_with("#!")) {
            return Err("it is a Python module that imports Ansible's own Python, which is not here; \
                        a program that takes JSON arguments (`WANT_JSON`) runs"
                .into());
        }
    }
    for powershell in ["#Requires -Module", "#AnsibleRequires", "#!powershell"] {
        if has(powershell) {
            return Err("it is a PowerShell module, for Windows hosts".into());
        }
    }
    let style = match (has(MARK), has("WANT_JSON")) {
        (true, _) => Style::Inserted,
        (false, true) => Style::Json,
        (false, false) => Style::Words,
    };
    let interpreter = first.strip_prefix("#!").map(shell_words::split).transpose()?.unwrap_or_default();
    if interpreter.is_empty() {
        return Err("it has no first line that names its interpreter (`#!/bin/sh`)".into());
    }
    Ok(Kind { style, interpreter, checks })
}

arguments! {
    pub struct Args {
        /// The module's name.
        name []: String,
        /// SHA-256 of the program, which the engine sends when it is asked for.
        blob []: String,
        /// How it takes its arguments.
        style []: Style,
        /// The interpreter with its arguments; empty for a program that is none's script.
        interpreter []: Vec<String> = Vec::new(),
        /// Whether the interpreter is one that the user chose for this host.
        chosen []: bool = false,
        /// Whether it may be run in a check run, which it is told.
        checks []: bool,
        /// Whether this is a check run.
        check []: bool,
        /// What it is given.
        args []: Dict,
    }
}

/// The far side of modules that users bring.
pub struct Own;

impl Module for Own {
    const NAMES: &'static [&'static str] = &["_own"];
    const DOC: &'static str = "Runs a program of a `library` folder as a module.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.check && !args.checks {
            let name = &args.name;
            return Err(HostError::NotKnowable(format!(
                "what the module `{name}` would do: its text does not know `_ansible_check_mode`"
            ))
            .into());
        }
        // The agent's own directory: no part of the host that a check run would only record.
        let dir = host.scratch()?.join(format!("module-{}", random_name(8)));
        let failed = |e: std::io::Error| Failure::new(format!("making ready the module `{}`: {e}", args.name));
        std::fs::create_dir(&dir).map_err(failed)?;
        let done = execute(&args, &dir, host);
        std::fs::remove_dir_all(&dir).map_err(failed)?;
        let output = done?;
        Ok(outcome(&output))
    }

    fn recovery(_: &Args) -> Recovery {
        Recovery::Ask
    }
}

fn execute(args: &Args, dir: &Path, host: &mut dyn Act) -> Result<Output, Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("making ready the module `{}`: {e}", args.name));
    let mut given = args.args.clone();
    given.insert("_ansible_tmpdir".into(), dir.display().to_string().into());
    let json = serde_json::to_string(&Value::dict(given.clone())).unwrap_or_default();
    let mut program = Vec::new();
    host.blob(&args.blob)?.read_to_end(&mut program).map_err(failed)?;
    if args.style == Style::Inserted {
        let text = String::from_utf8_lossy(&program).replace(MARK, &json);
        program = text.into_bytes();
    }
    // The last part of the name tells people in `ps` what runs.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = args.name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let path = dir.join(format!("AnsiballZ_{name}"));
    private(&path, 0o700, &program).map_err(failed)?;
    let mut argv = interpreter(args, host)?;
    argv.push(path.display().to_string());
    let text = match args.style {
        Style::Inserted => None,
        Style::Json => Some(json),
        Style::Words => {
            let word =
                |(k, v): (&crate::model::value::Key, &Value)| format!("{k}={} ", shell_words::quote(&v.to_string()));
            Some(given.iter().map(word).collect())
        }
    };
    if let Some(text) = text {
        let file = dir.join("args");
        private(&file, 0o600, text.as_bytes()).map_err(failed)?;
        argv.push(file.display().to_string());
    }
    let command = Command::new(argv);
    let mut tries = 0;
    loop {
        let done = if args.check { host.query(&command) } else { host.run(&command) };
        match done {
            // Another thread's new process may hold the fresh file open for writing for a moment.
            Err(HostError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::ExecutableFileBusy && tries < 50 =>
            {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return Ok(done?),
        }
    }
}

/// A file of this run alone.
fn private(path: &Path, mode: u32, content: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content)
}

/// The interpreter as the host has it. A Python that is not where the script looks for it is taken from where it is.
fn interpreter(args: &Args, host: &mut dyn Act) -> Result<Vec<String>, Failure> {
    let Some(first) = args.interpreter.first() else { return Ok(Vec::new()) };
    let there = |host: &mut dyn Act, path: &str| host.stat(Path::new(path), true).map(|s| s.is_some());
    if !first.starts_with('/') || there(host, first)? {
        return Ok(args.interpreter.clone());
    }
    let name = first.rsplit('/').next().unwrap_or_default();
    if !args.chosen && name.starts_with("python") {
        for python in ["/usr/bin/python3", "/usr/local/bin/python3", "/usr/libexec/platform-python", "/usr/bin/python"]
        {
            if there(host, python)? {
                let mut found = args.interpreter.clone();
                found[0] = python.into();
                return Ok(found);
            }
        }
    }
    let name = &args.name;
    Err(Failure::Failed(Box::new(
        Outcome::failed(format!(
            "The module interpreter '{first}' was not found. The module `{name}` names it in its first line; the variable \
             `ansible_{}_interpreter` can name another",
            PathBuf::from(first).file_name().unwrap_or_default().to_string_lossy()
        ))
        .with("rc", 127),
    )))
}

/// What a program's output says, as Ansible reads it: one JSON object, with what stands around it left out.
fn outcome(output: &Output) -> Outcome {
    let stdout = output.text();
    let mut warnings = Vec::new();
    let parsed = json_part(&stdout, &mut warnings)
        .and_then(|text| serde_json::from_str::<Value>(&text).map_err(|e| e.to_string()));
    let mut data = match parsed {
        Ok(Value::Dict(dict)) => dict.as_ref().clone(),
        Ok(_) => return broken(output, "its output is no JSON object"),
        Err(why) => return broken(output, &why),
    };
    let mut outcome = Outcome::ok();
    let flag = |value: Option<Value>| value.is_some_and(|v| crate::action::args::truth(&v).unwrap_or(!v.is_null()));
    outcome.changed = flag(data.shift_remove("changed"));
    let failed = data.shift_remove("failed");
    let bad_rc = data.get("rc").is_some_and(|rc| !matches!(rc.to_string().as_str(), "0"));
    if flag(failed.clone()) || (failed.is_none() && bad_rc) {
        outcome.status = Status::Failed;
    } else if flag(data.shift_remove("skipped")) {
        outcome.status = Status::Skipped;
    }
    match data.shift_remove("msg") {
        Some(Value::Str(msg)) => outcome.msg = msg.to_string(),
        Some(other) => {
            data.insert("msg".into(), other);
        }
        None => {}
    }
    if let Some(Value::Dict(facts)) = data.shift_remove("ansible_facts") {
        outcome.facts = facts.as_ref().clone();
    }
    if let Some(Value::List(said)) = data.shift_remove("warnings") {
        warnings.extend(said.iter().map(Value::to_string));
    }
    outcome.diff = data.shift_remove("diff").map(|d| differences(&d)).unwrap_or_default();
    data.retain(|k, _| !k.as_str().is_some_and(|k| k.starts_with("_ansible_")));
    for stream in ["stdout", "stderr"] {
        let lines = format!("{stream}_lines");
        if let Some(Value::Str(text)) = data.get(stream)
            && data.get(lines.as_str()).is_none()
        {
            let split = command::split_lines(text);
            data.insert(lines.into(), split);
        }
    }
    outcome.data = data;
    outcome.warnings = warnings;
    outcome
}

/// The lines from the first that begins with a brace to the last that ends with one.
fn json_part(text: &str, warnings: &mut Vec<String>) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|l| l.starts_with('{')).ok_or("No start of json char found")?;
    let end = lines.iter().rposition(|l| l.trim_end().ends_with('}')).filter(|end| *end >= start);
    let end = end.ok_or("No end of json char found")?;
    let rest: Vec<&str> = lines[end + 1..].iter().copied().filter(|l| !l.trim().is_empty()).collect();
    if !rest.is_empty() {
        warnings.push(format!("Module invocation had junk after the JSON data: {}", rest.join("\n")));
    }
    Ok(lines[start..=end].join("\n"))
}

fn broken(output: &Output, why: &str) -> Outcome {
    Outcome::failed(format!("MODULE FAILURE: {why}; see module_stdout and module_stderr for what it printed"))
        .with("module_stdout", output.text())
        .with("module_stderr", output.error_text())
        .with("rc", output.rc)
}

/// Differences as modules give them: texts before and after, or ready text; one or a list of them.
fn differences(value: &Value) -> Vec<Diff> {
    let one = |value: &Value| {
        let text = |name: &str| match value.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::Str(text)) => text.to_string(),
            Some(other) => format!("{}\n", serde_json::to_string_pretty(other).unwrap_or_default()),
        };
        if let Some(Value::Str(prepared)) = value.get("prepared") {
            return Diff::Prepared(prepared.to_string());
        }
        let header = |name: &str| value.get(name).map_or_else(String::new, Value::to_string);
        let (before, after) = (text("before"), text("after"));
        text_diff(&header("before_header"), &header("after_header"), before.as_bytes(), after.as_bytes())
    };
    match value {
        Value::List(list) => list.iter().filter(|v| v.as_dict().is_some()).map(one).collect(),
        Value::Dict(_) => vec![one(value)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_its_arguments() {
        let style = |text: &str| kind(text.as_bytes()).map(|k| k.style);
        assert_eq!(style("#!/bin/sh\necho {}"), Ok(Style::Words));
        assert_eq!(style("#!/usr/bin/perl -w\n# WANT_JSON"), Ok(Style::Json));
        assert_eq!(style("#!/usr/bin/python\nargs = '''<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'''"), Ok(Style::Inserted));
        assert_eq!(kind(b"\x7fELF\0\0").unwrap().interpreter, Vec::<String>::new());
        assert_eq!(kind(b"#!/usr/bin/env ruby\n").unwrap().interpreter, ["/usr/bin/env", "ruby"]);
        assert!(
            style("#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule")
                .unwrap_err()
                .contains("Python")
        );
        assert!(style("echo no interpreter").unwrap_err().contains("first line"));
    }

    fn said(text: &str) -> Outcome {
        outcome(&Output { stdout: text.into(), ..Output::default() })
    }

    #[test]
    fn what_its_output_says() {
        let o = said("a banner\n{\"changed\": true, \"x\": 1, \"ansible_facts\": {\"f\": 2}}\njunk\n");
        assert!(o.changed && o.data.get("x") == Some(&Value::Int(1)) && o.facts.get("f") == Some(&Value::Int(2)));
        assert_eq!(o.warnings, ["Module invocation had junk after the JSON data: junk"]);
        assert!(said("{\"rc\": 3}").is_failed());
        assert!(!said("{\"rc\": 3, \"failed\": false}").is_failed());
        let o = said("nothing");
        assert!(o.is_failed() && o.msg.contains("No start of json char found"), "{o:?}");
    }
}
