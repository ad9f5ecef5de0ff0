//! `pip`: Python's packages by the host's own `pip`. The run takes pip's word for what changed; a check run asks it for
//! what is installed.

mod requirement;

use std::path::{Path, PathBuf};

use requirement::Requirement;

use super::command::output_values;
use super::{paths, shell_words};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! {
    pub enum State { Present = "present", Absent = "absent", Latest = "latest", ForceReinstall = "forcereinstall" }
}

arguments! {
    pub struct Args {
        /// What shall be of the packages.
        state []: State = State::Present,
        /// Packages: `name`, `name>1,<2`, a path or an address.
        name []: Option<Vec<String>>,
        /// Version of the one package.
        version []: Option<String>,
        /// File on the host with the packages' names.
        requirements []: Option<String>,
        /// Folder of the virtual environment to install into; made if it is not there.
        virtualenv []: Option<PathBuf>,
        /// Let a new environment see the host's own packages.
        virtualenv_site_packages []: bool = false,
        /// What makes an environment: `virtualenv`, `python3 -m venv`.
        virtualenv_command []: String = "virtualenv",
        /// Python of a new environment; the command's own if not given.
        virtualenv_python []: Option<String>,
        /// More words for pip.
        extra_args []: Option<String>,
        /// Install what `name` says to be worked on where it lies.
        editable []: bool = false,
        /// Folder to run in; `/tmp` if not given.
        chdir []: Option<PathBuf>,
        /// The pip to take; that of the host's `python3` if not given, or `pip3`.
        executable []: Option<PathBuf>,
        /// Permissions to take off what is made, in octal.
        umask []: Option<String>,
        /// Write into a Python that the host's package manager looks after.
        break_system_packages []: bool = false,
    }
    rules [OneOf(&["name", "requirements"]), Exclusive(&["name", "requirements"]), Exclusive(&["executable", "virtualenv"])]
}

/// The module `pip`.
pub struct Pip;

impl Module for Pip {
    const NAMES: &'static [&'static str] = &["pip", "ansible.builtin.pip", "ansible.legacy.pip"];
    const DOC: &'static str = "Installs, updates or removes packages of Python with the host's own pip.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("cmd", "The command line"),
        ("name", "The packages"),
        ("requirements", "The file of their names"),
        ("version", "The version"),
        ("virtualenv", "The virtual environment"),
    ];
    const EXAMPLE: &'static str =
        "- pip:\n    name: bottle>0.10,<0.20\n    virtualenv: /opt/app\n    virtualenv_command: python3 -m venv\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if let Some(umask) = &args.umask
            && u32::from_str_radix(umask.trim().trim_start_matches("0o"), 8).is_err()
        {
            return Err(Failure::new("umask must be an octal integer"));
        }
        if args.state == State::Latest && args.version.is_some() {
            return Err(Failure::new("version is incompatible with state=latest"));
        }
        let names = args.name.clone().unwrap_or_default();
        let mut packages: Vec<Requirement> = requirement::whole(&names).map(|n| Requirement::parse(&n)).collect();
        if let Some(version) = args.version.as_deref().map(str::trim_start).filter(|v| !v.is_empty())
            && let Some(first) = packages.first().cloned()
        {
            if packages.len() > 1 {
                return Err(Failure::new(
                    "'version' argument is ambiguous when installing multiple package distributions. Please specify \
                     version restrictions next to each package in 'name' argument.",
                ));
            }
            if first.has_version() {
                return Err(Failure::new(
                    "The 'version' argument conflicts with any version specifier provided along with a package name. \
                     Please keep the version specifier, but remove the 'version' argument.",
                ));
            }
            let equals = if version.starts_with(|c: char| c.is_ascii_digit()) { "==" } else { " " };
            packages[0] = Requirement::parse(&format!("{first}{equals}{version}"));
        }
        let dir = args.chdir.as_ref().map(|d| paths::expand(host.as_look(), d)).transpose()?;
        let env = match (&args.virtualenv, &dir) {
            (Some(env), Some(dir)) if !env.starts_with("~") => Some(dir.join(env)),
            (Some(env), _) => Some(paths::expand(host.as_look(), env)?),
            (None, _) => None,
        };
        let mut pip = Run { args: &args, dir: dir.unwrap_or_else(|| "/tmp".into()), env, said: Output::default() };
        let made = pip.make_env(host)?;
        if made && pip.said.supposed {
            return Ok(Outcome::changed(true));
        }
        let program = pip.program(host)?;
        if names.is_empty() && args.requirements.is_none() {
            let mut outcome = Outcome::ok();
            outcome.warnings.push("No valid name or requirements file found.".into());
            return Ok(outcome);
        }
        let mut outcome = pip.settle(host, &program, &packages)?;
        outcome.changed |= made;
        Ok(outcome)
    }
}

struct Run<'a> {
    args: &'a Args,
    dir: PathBuf,
    env: Option<PathBuf>,
    /// What was printed so far.
    said: Output,
}

impl Run<'_> {
    /// Makes the environment if it is not there.
    fn make_env(&mut self, host: &mut dyn Act) -> Result<bool, Failure> {
        let Some(env) = self.env.clone() else { return Ok(false) };
        if host.stat(&env.join("bin/activate"), true)?.is_some() {
            return Ok(false);
        }
        let args = self.args;
        let line = paths::variables(host.as_look(), &args.virtualenv_command);
        let mut argv = shell_words::split(&line).map_err(|e| Failure::new(format!("virtualenv_command: {e}")))?;
        let Some(first) = argv.first_mut() else { return Err(Failure::new("virtualenv_command: names no program")) };
        let venv = first == "pyvenv" || line.contains("-m venv") || line.contains("-mvenv");
        if first.starts_with('~') {
            *first = paths::expand(host.as_look(), Path::new(first.as_str()))?.display().to_string();
        } else if !first.contains('/') {
            let found = paths::program(host.as_look(), first)?;
            let missing = || Failure::new(format!("Failed to find required executable \"{first}\""));
            *first = found.ok_or_else(missing)?.display().to_string();
        }
        if args.virtualenv_site_packages {
            argv.push("--system-site-packages".into());
        } else {
            // Old ones show the host's packages unless they are told not to.
            let help = host.query(&self.command(vec![argv[0].clone(), "--help".into()]))?;
            if !help.success() {
                let said = help.text() + &help.error_text();
                return Err(Failure::new(format!("Could not get output from {} --help: {said}", argv[0])));
            }
            if help.text().split_whitespace().any(|w| w == "--no-site-packages") {
                argv.push("--no-site-packages".into());
            }
        }
        match (&args.virtualenv_python, venv) {
            (Some(_), true) => {
                return Err(Failure::new(
                    "virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command",
                ));
            }
            (Some(python), false) => argv.push(format!("-p{python}")),
            (None, _) => {}
        }
        argv.push(env.display().to_string());
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let there = Effect::Dir { path: env, mode: 0o755, uid, gid };
        let output = host.run_expecting(&self.command(argv.clone()), &[there])?;
        let rc = output.rc;
        self.hear(output);
        if rc == 0 { Ok(true) } else { Err(self.failed(&argv)) }
    }

    fn hear(&mut self, output: Output) {
        self.said.stdout.extend(&output.stdout);
        self.said.stderr.extend(&output.stderr);
        self.said.supposed = output.supposed;
    }

    fn failed(&self, argv: &[String]) -> Failure {
        let mut msg = String::new();
        if !self.said.stdout.is_empty() {
            msg += &format!("stdout: {}", self.said.text());
        }
        if !self.said.stderr.is_empty() {
            msg += &format!("\n:stderr: {}", self.said.error_text());
        }
        let cmd = argv.iter().map(String::as_str).collect::<Value>();
        Failure::Failed(Box::new(Outcome::failed(msg).with("cmd", cmd)))
    }

    /// The words that start pip.
    fn program(&self, host: &mut dyn Act) -> Result<Vec<String>, Failure> {
        let one = |path: &Path| Ok(vec![path.display().to_string()]);
        if let Some(env) = &self.env {
            for name in ["pip3", "pip"] {
                let path = env.join("bin").join(name);
                if host.stat(&path, true)?.is_some_and(|s| s.mode & 0o111 != 0) {
                    return one(&path);
                }
            }
            return Err(Failure::new(format!(
                "Unable to find pip in the virtualenv, {}, under any of these names: pip3, pip. Make sure pip is present in the virtualenv.",
                env.display()
            )));
        }
        let name = match &self.args.executable {
            Some(path) => {
                let written = paths::variables(host.as_look(), &path.display().to_string());
                if written.starts_with(['/', '~']) {
                    return one(&paths::expand(host.as_look(), Path::new(&written))?);
                }
                written
            }
            None => {
                if let Some(python) = paths::program(host.as_look(), "python3")? {
                    let words = vec![python.display().to_string(), "-m".into(), "pip".into()];
                    let asked = words.iter().cloned().chain(["--version".into()]).collect();
                    if host.query(&self.command(asked))?.success() {
                        return Ok(words);
                    }
                }
                "pip3".into()
            }
        };
        match paths::program(host.as_look(), &name)? {
            Some(path) => one(&path),
            None => Err(Failure::new(format!("Unable to find any of {name} to use.  pip needs to be installed."))),
        }
    }

    fn command(&self, argv: Vec<String>) -> Command {
        let mut words = argv;
        if let Some(umask) = &self.args.umask {
            let octal = umask.trim().trim_start_matches("0o");
            let sh = ["/bin/sh", "-c", "umask \"$0\" && exec \"$@\"", octal].map(String::from);
            words = sh.into_iter().chain(words).collect();
        }
        let mut command = Command::new(words);
        command.dir = Some(self.dir.clone());
        if self.args.break_system_packages {
            command = command.env("PIP_BREAK_SYSTEM_PACKAGES", "1");
        }
        command
    }

    /// What pip says is installed, with the command line that asked.
    fn installed(&self, host: &mut dyn Act, program: &[String]) -> Result<(String, Output), Failure> {
        let mut failed = Output::default();
        // Old ones know `freeze` only.
        for words in [&["list", "--format=freeze"][..], &["freeze"]] {
            let argv: Vec<String> = program.iter().cloned().chain(words.iter().map(|w| (*w).to_owned())).collect();
            let output = host.query(&self.command(argv.clone()).env("LC_ALL", "C.UTF-8"))?;
            if output.success() {
                return Ok((argv.join(" "), output));
            }
            failed = output;
        }
        let argv: Vec<String> = program.iter().cloned().chain(["freeze".into()]).collect();
        Err(Run { args: self.args, dir: PathBuf::new(), env: None, said: failed }.failed(&argv))
    }

    fn settle(&mut self, host: &mut dyn Act, program: &[String], packages: &[Requirement]) -> Result<Outcome, Failure> {
        let args = self.args;
        let words: &[&str] = match args.state {
            State::Present => &["install"],
            State::Absent => &["uninstall", "-y"],
            State::Latest => &["install", "-U"],
            State::ForceReinstall => &["install", "-U", "--force-reinstall"],
        };
        let mut argv: Vec<String> = program.iter().cloned().chain(words.iter().map(|w| (*w).to_owned())).collect();
        let mut extra = args.extra_args.clone().unwrap_or_default();
        if args.editable && !extra.split(' ').any(|w| w == "-e") {
            extra = format!("{extra} -e");
        }
        argv.extend(shell_words::split(&extra).map_err(|e| Failure::new(format!("extra_args: {e}")))?);
        argv.extend(packages.iter().map(Requirement::to_string));
        if let Some(file) = &args.requirements {
            argv.extend(["-r".into(), file.clone()]);
        }
        // Of these pip does not say whether it changed anything.
        let compare = args.requirements.is_some() || packages.iter().any(Requirement::is_repository);
        let before = if compare { Some(self.installed(host, program)?.1.stdout) } else { None };
        let mut command = self.command(argv.clone());
        if let Some(env) = &self.env {
            let path = host.env("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
            command = command.env("PATH", format!("{}/bin:{path}", env.display()));
        }
        let fact = |package: &Requirement| format!("pip/{}/{}", program.join(" "), package.name());
        let then = args.state != State::Absent;
        let effects: Vec<Effect> = packages.iter().map(|p| Effect::Suppose(fact(p), then.into())).collect();
        // What is known of earlier steps of a check run is asked for before this one adds to it.
        let known: Vec<Option<bool>> =
            packages.iter().map(|p| host.supposed(&fact(p)).map(|v| v == Value::Bool(true))).collect();
        let output = host.run_expecting(&command, &effects)?;
        if output.supposed {
            return self.foreseen(host, program, packages, &known, !extra.is_empty());
        }
        let (rc, text, error) = (output.rc, output.text(), output.error_text());
        self.hear(output);
        let not_there = rc == 1 && !then && (text.contains("not installed") || error.contains("not installed"));
        if rc != 0 && !not_there {
            return Err(self.failed(&argv));
        }
        let changed = match before {
            _ if !then => text.contains("Successfully uninstalled"),
            None => text.contains("Successfully installed"),
            Some(before) => self.installed(host, program)?.1.stdout != before,
        };
        let mut outcome = Outcome::changed(changed)
            .with("cmd", argv.iter().map(String::as_str).collect::<Value>())
            .with("name", args.name.as_ref().map(|n| n.iter().map(String::as_str).collect::<Value>()))
            .with("version", args.version.as_deref())
            .with("state", args.state.word())
            .with("requirements", args.requirements.as_deref())
            .with("virtualenv", self.env.as_ref().map(|e| e.display().to_string()));
        outcome = output_values(outcome, rc, self.said.text(), self.said.error_text());
        outcome.data.shift_remove("rc");
        Ok(outcome)
    }

    /// A check run: what pip would do, as far as its list tells.
    fn foreseen(
        &self,
        host: &mut dyn Act,
        program: &[String],
        packages: &[Requirement],
        known: &[Option<bool>],
        extra: bool,
    ) -> Result<Outcome, Failure> {
        let state = self.args.state;
        if extra || packages.is_empty() || matches!(state, State::Latest | State::ForceReinstall) {
            return Ok(Outcome::changed(true));
        }
        let (cmd, list) = self.installed(host, program)?;
        let text = list.text();
        let there = |p: &Requirement| text.lines().filter_map(|l| l.split_once("==")).any(|(n, v)| p.is_met_by(n, v));
        let present = |(p, known): (&Requirement, &Option<bool>)| known.unwrap_or_else(|| there(p));
        let changed = packages.iter().zip(known).any(|p| present(p) == (state == State::Absent));
        let mut outcome = output_values(Outcome::changed(changed), 0, text.clone(), list.error_text()).with("cmd", cmd);
        outcome.data.shift_remove("rc");
        Ok(outcome)
    }
}
