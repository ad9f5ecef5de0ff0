//! `subversion`: working copies by the host's own `svn`.

use std::path::PathBuf;

use super::command::output_values;
use super::paths;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::model::value::Value;

arguments! {
    pub struct Args {
        /// Where the working copy lies; not needed where nothing shall be checked out, updated or exported.
        dest []: Option<PathBuf>,
        /// Address of the repository.
        repo ["name", "repository"]: String,
        /// The revision.
        revision ["rev", "version"]: String = "HEAD",
        /// Throw changes away that were made in the working copy.
        force []: bool = false,
        /// User at the server.
        username []: Option<String>,
        /// The user's password; older ones than svn 1.10 get it on the command line.
        password []: Option<Secret>,
        /// The program, if it is not `svn`.
        executable []: Option<PathBuf>,
        /// Write the files alone, without a working copy.
        export []: bool = false,
        /// Check out what is not there.
        checkout []: bool = true,
        /// Bring what is there to the revision.
        update []: bool = true,
        /// Let what is there follow another address.
        switch []: bool = true,
        /// Check out over a folder that is no working copy.
        in_place []: bool = false,
        /// Whether the server must prove who it is.
        validate_certs []: bool = false,
    }
}

/// The module `subversion`.
pub struct Subversion;

impl Module for Subversion {
    const NAMES: &'static [&'static str] = &["subversion", "ansible.builtin.subversion", "ansible.legacy.subversion"];
    const DOC: &'static str =
        "Brings a working copy of a Subversion repository to a revision, with the host's own `svn`.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("before", "Revision and address before"), ("after", "Revision and address now")];
    const EXAMPLE: &'static str = "- subversion:\n    repo: svn+ssh://server/path\n    dest: /src/checkout\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let touches = args.export || args.update || args.checkout;
        let dest = match &args.dest {
            Some(dest) => paths::expand(host.as_look(), dest)?,
            None if touches => {
                return Err(Failure::new(
                    "the destination directory must be specified unless checkout=no, update=no, and export=no",
                ));
            }
            None => PathBuf::new(),
        };
        let executable = args.executable.as_ref().map(|e| paths::expand(host.as_look(), e)).transpose()?;
        let program = executable.map_or_else(|| "svn".to_owned(), |e| e.display().to_string());
        let mut svn = Svn { args: &args, program, dest: dest.display().to_string(), by_stdin: true };
        let mut warnings = Vec::new();
        if args.password.is_some() {
            svn.by_stdin = svn.takes_password_by_stdin(host)?;
            if !svn.by_stdin {
                warnings.push(
                    "The authentication provided will be used on the svn command line and is not secure. \
                     To securely pass credentials, upgrade svn to version 1.10.0 or greater."
                        .to_owned(),
                );
            }
        }
        let mut outcome = svn.settle(host, &dest, touches)?;
        outcome.warnings.extend(warnings);
        Ok(outcome)
    }
}

struct Svn<'a> {
    args: &'a Args,
    program: String,
    dest: String,
    by_stdin: bool,
}

/// Lines `Revision: 7` and `URL: …` of what svn knows.
#[derive(Clone, PartialEq)]
struct Place {
    revision: String,
    url: String,
}

impl Place {
    fn value(&self) -> Value {
        [self.revision.as_str(), &self.url].into_iter().collect()
    }
}

impl Svn<'_> {
    fn takes_password_by_stdin(&self, host: &mut dyn Act) -> Result<bool, Failure> {
        let output = self.good(host.query(&Command::new([&self.program, "--version", "--quiet"]))?)?;
        let text = output.text();
        let mut numbers = text.trim().split('.').map(|n| n.parse::<u32>().unwrap_or_default());
        Ok((numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (1, 10))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut argv = vec![self.program.as_str(), "--non-interactive", "--no-auth-cache"];
        if !self.args.validate_certs {
            argv.push("--trust-server-cert");
        }
        if let Some(user) = &self.args.username {
            argv.extend(["--username", user]);
        }
        let password = self.args.password.as_ref().map(Secret::reveal);
        match password {
            Some(_) if self.by_stdin => argv.push("--password-from-stdin"),
            Some(password) => argv.extend(["--password", password]),
            None => {}
        }
        argv.extend(words);
        let command = Command::new(argv).env("LC_ALL", "C.UTF-8").env("LANGUAGE", "C");
        match password {
            Some(password) if self.by_stdin => command.stdin(password),
            _ => command,
        }
    }

    fn good(&self, output: Output) -> Result<Output, Failure> {
        if output.success() {
            return Ok(output);
        }
        let said = output.error_text();
        let outcome = Outcome::failed(said.trim());
        Err(Failure::Failed(Box::new(output_values(outcome, output.rc, output.text(), said))))
    }

    fn ask(&self, host: &mut dyn Act, words: &[&str]) -> Result<Output, Failure> {
        self.good(host.query(&self.command(words))?)
    }

    fn act(&self, host: &mut dyn Act, words: &[&str], then: &[Effect]) -> Result<Output, Failure> {
        self.good(host.run_expecting(&self.command(words), then)?)
    }

    fn place(&self, host: &mut dyn Act, words: &[&str]) -> Result<Place, Failure> {
        let output = self.ask(host, words)?;
        let text = output.text();
        let line = |name: &str| text.lines().find(|l| l.starts_with(name)).map(str::to_owned);
        Ok(Place {
            revision: line("Revision:").unwrap_or_else(|| "Unable to get revision".into()),
            url: line("URL:").unwrap_or_else(|| "Unable to get URL".into()),
        })
    }

    /// Whether files under version control were changed here.
    fn modified(&self, host: &mut dyn Act) -> Result<bool, Failure> {
        let output = self.ask(host, &["status", "--quiet", "--ignore-externals", &self.dest])?;
        Ok(output.text().lines().any(|l| !l.is_empty() && !l.starts_with(['?', 'X'])))
    }

    fn settle(&self, host: &mut dyn Act, dest: &std::path::Path, touches: bool) -> Result<Outcome, Failure> {
        let (args, at) = (self.args, self.dest.as_str());
        let revision = args.revision.as_str();
        if !touches {
            let there = self.place(host, &["info", &args.repo])?.revision;
            return Ok(Outcome::ok().with("after", there));
        }
        let fact = format!("subversion/{at}");
        let exists = host.stat(dest, true)?.is_some();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let made = Effect::Dir { path: dest.to_owned(), mode: 0o755, uid, gid };
        let settled = Effect::Suppose(fact.clone(), format!("{}@{revision}", args.repo).into());
        if args.export {
            let force: &[&str] = if args.force { &["--force"] } else { &[] };
            let words = [&["export"], force, &["-r", revision, &args.repo, at]].concat();
            self.act(host, &words, &if exists { vec![] } else { vec![made] })?;
            return Ok(Outcome::changed(true));
        }
        if !exists {
            if !args.checkout {
                return Ok(Outcome::ok());
            }
            let output = self.act(host, &["checkout", "-r", revision, &args.repo, at], &[made, settled])?;
            return self.fresh(host, output.supposed);
        }
        // An earlier step of a check run would have made it.
        if let Some(supposed) = host.supposed(&fact) {
            return Ok(Outcome::changed(supposed != format!("{}@{revision}", args.repo).into()));
        }
        if !host.query(&self.command(&["info", at]))?.success() {
            if !args.in_place {
                return Err(Failure::new(format!(
                    "ERROR: {at} folder already exists, but its not a subversion repository."
                )));
            }
            let words = ["checkout", "--force", "-r", revision, &args.repo, at];
            let supposed = self.act(host, &words, &[settled])?.supposed;
            if !supposed && args.force && self.modified(host)? {
                self.act(host, &["revert", "-R", at], &[])?;
            }
            return self.fresh(host, supposed);
        }
        if !args.update {
            return Ok(Outcome::ok());
        }
        let before = self.place(host, &["info", at])?;
        let modified = self.modified(host)?;
        if modified && !args.force {
            return Err(Failure::new("ERROR: modified files exist in the repository."));
        }
        let told = |changed: bool, after: &Place| {
            Outcome::changed(changed).with("before", before.value()).with("after", after.value())
        };
        let mut files = false;
        if args.switch {
            let output = self.act(host, &["switch", "--revision", revision, &args.repo, at], &[])?;
            if output.supposed {
                let mut after = before.clone();
                after.revision = self.place(host, &["info", "-r", revision, &args.repo])?.revision;
                after.url = format!("URL: {}", args.repo.trim_end_matches('/'));
                return Ok(told(modified || after != before, &after));
            }
            files |= changes(&output);
        }
        if modified {
            self.act(host, &["revert", "-R", at], &[])?;
        }
        let output = self.act(host, &["update", "-r", revision, at], &[])?;
        let mut after = before.clone();
        if output.supposed {
            after.revision = self.place(host, &["info", "-r", revision, at])?.revision;
            return Ok(told(modified || after != before, &after));
        }
        after = self.place(host, &["info", at])?;
        Ok(told(files || changes(&output) || modified, &after))
    }

    /// What is said of a working copy that was not there.
    fn fresh(&self, host: &mut dyn Act, supposed: bool) -> Result<Outcome, Failure> {
        let outcome = Outcome::changed(true).with("before", None::<&str>);
        if supposed { Ok(outcome) } else { Ok(outcome.with("after", self.place(host, &["info", &self.dest])?.value())) }
    }
}

/// Whether svn names a file that it changed.
fn changes(output: &Output) -> bool {
    output.text().lines().any(|l| {
        let mut letters = l.chars();
        letters.next().is_some_and(|c| "ABDUCGE".contains(c)) && letters.next().is_some_and(char::is_whitespace)
    })
}
