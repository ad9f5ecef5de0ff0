//! `script`, where it runs: a program that the engine's action sends, run once and removed.

use std::path::PathBuf;

use super::file_content::random_name;
use super::shell_words;
use super::{command, paths};
use crate::action::host::Act;
use crate::action::module::{Failure, Module, Recovery};
use crate::arguments;
use crate::model::outcome::Outcome;

arguments! {
    pub struct Args {
        /// The script on the control node, and its arguments.
        cmd ["_raw_params"]: Option<String>,
        /// Directory to run in.
        chdir []: Option<PathBuf>,
        /// A path or pattern; where it exists, nothing is run.
        creates []: Option<PathBuf>,
        /// A path or pattern; where it does not exist, nothing is run.
        removes []: Option<PathBuf>,
        /// Program to run the script with.
        executable []: Option<String>,
        /// SHA-256 of the script, which the engine sends when it is asked for; set by the action.
        _blob []: Option<String>,
        /// Arguments of the script; set by the action.
        _arguments []: String = "",
        /// Name that the script had; set by the action.
        _name []: String = "script",
    }
}

/// The module `script`.
pub struct Script;

impl Module for Script {
    const NAMES: &'static [&'static str] = &["script", "ansible.builtin.script", "ansible.legacy.script"];
    const DOC: &'static str = "Sends a script of the control node to the host, runs it there, and removes it.\n\
        In a check run it is not run unless `creates` or `removes` decide; what it would do is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("rc", "Its exit code"),
        ("stdout", "What it printed, with `stdout_lines`"),
        ("stderr", "The same of standard error"),
    ];
    const EXAMPLE: &'static str = "- script: /some/local/script.sh --some-argument 1234\n";
    const FREE_FORM: Option<&'static str> = Some("cmd");
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let Some(blob) = &args._blob else {
            return Err(Failure::new("the script was not sent"));
        };
        let call = |argv: Option<Vec<String>>| command::Args {
            cmd: None,
            argv,
            chdir: args.chdir.clone(),
            creates: args.creates.clone(),
            removes: args.removes.clone(),
            executable: None,
            stdin: None,
            stdin_add_newline: true,
            strip_empty_ends: false,
            expand_argument_vars: Some(false),
            warn: false,
            _uses_shell: false,
        };
        let dir = args.chdir.as_deref().map(|d| paths::expand(host.as_look(), d)).transpose()?;
        let why =
            command::not_needed(args.creates.as_deref(), args.removes.as_deref(), dir.as_deref(), host.as_look())?;
        if let Some((_, said)) = why {
            let option = if said.ends_with("does not exist") { "removes" } else { "creates" };
            let said = said.trim_start_matches("skipped, since ");
            return Ok(Outcome::skipped(format!("{said}, matching {option} option")));
        }
        // The last part of the name tells people in `ps` what runs.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name: String = args._name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        let path = host.scratch()?.join(format!("{}-{name}", random_name(8)));
        let mut content = host.blob(blob)?;
        host.write(&path, &mut *content, Some(0o700))?;
        let mut argv = match &args.executable {
            Some(program) => shell_words::split(program).map_err(Failure::new)?,
            None => Vec::new(),
        };
        argv.push(path.display().to_string());
        let words = shell_words::split(&args._arguments).map_err(Failure::new);
        let done = words.and_then(|words| {
            argv.extend(words);
            command::Command::run(call(Some(argv)), host)
        });
        host.remove(&path)?;
        done
    }

    fn recovery(args: &Args) -> Recovery {
        if args.creates.is_some() || args.removes.is_some() { Recovery::Again } else { Recovery::Ask }
    }
}
