//! Modules that users bring, on the control node: the program is read, and sent with its arguments to the host.

use crate::action::engine_side::{Action, Content, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::own;

/// The action that stands for all of them. Tasks do not name it: the plan puts the program's own name into `name`.
pub struct Own;

crate::arguments! {
    pub struct Args {
        /// The module's name.
        name []: String,
        /// The program on this machine.
        path []: std::path::PathBuf,
        /// What the task gives it.
        args []: Dict,
    }
}

impl Action for Own {
    const NAMES: &'static [&'static str] = &["_own"];
    const DOC: &'static str = "Runs a program of a `library` folder as a module.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[];
    const EXAMPLE: &'static str = "";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let failed = |why: String| Failure::new(format!("the module {}: {why}", args.path.display()));
        let content = std::fs::read(&args.path).map_err(|e| failed(e.to_string()))?;
        let kind = own::kind(&content).map_err(failed)?;
        let mut given = args.args.clone();
        given.extend(told(&args.name, ctx));
        let (interpreter, chosen) = interpreter(kind.interpreter, ctx)?;
        let call = dict! {
            "name" => args.name.as_str(),
            "blob" => ctx.offer(Content::Bytes(content.into()))?,
            "style" => kind.style.word(),
            "interpreter" => interpreter.iter().map(String::as_str).collect::<Value>(),
            "chosen" => chosen,
            "checks" => kind.checks,
            "check" => ctx.check(),
            "args" => Value::dict(given),
        };
        ctx.call("_own", call).await
    }
}

/// What every module is told of the run, under Ansible's names.
fn told(name: &str, ctx: &dyn Context) -> Dict {
    dict! {
        "_ansible_check_mode" => ctx.check(),
        "_ansible_debug" => false,
        "_ansible_diff" => ctx.diff(),
        "_ansible_keep_remote_files" => false,
        "_ansible_module_name" => name,
        "_ansible_shell_executable" => "/bin/sh",
        "_ansible_syslog_facility" => "LOG_USER",
        "_ansible_verbosity" => i64::from(ctx.verbosity()),
        "_ansible_version" => "2.19.14",
    }
}

/// The interpreter of a script's first line, or the one that `ansible_NAME_interpreter` names for this host instead.
fn interpreter(mut words: Vec<String>, ctx: &dyn Context) -> Result<(Vec<String>, bool), Failure> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let Some(first) = words.first() else { return Ok((words, false)) };
    // `env` looks for the program that follows it.
    let through_env = base(first) == "env" && words.len() > 1;
    let mut name = base(if through_env { &words[1] } else { first });
    if name.starts_with("python") {
        name = "python".into();
    }
    let chosen = match ctx.var(&format!("ansible_{name}_interpreter"))? {
        Some(value) => value.to_string(),
        None => return Ok((words, false)),
    };
    // Ansible's words for looking for a Python are what is done without them.
    if chosen.is_empty() || chosen.starts_with("auto") {
        return Ok((words, false));
    }
    words.drain(..if through_env { 2 } else { 1 });
    let mut all = vec![chosen];
    all.extend(words);
    Ok((all, true))
}
