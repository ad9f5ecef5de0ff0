//! `git`: a repository brought to a version, by the host's own `git`. The server is asked for its versions first, so that a
//! check run knows what would be there. What an earlier step of one brought is known by the fact `git/DEST`.

mod verify;

use std::path::{Path, PathBuf};

use super::copy::not_written;
use super::digest::Algorithm;
use super::file_content::{make_parents, random_name};
use super::{paths, shell_words};
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::model::outcome::{Diff, Outcome};

arguments! {
    pub struct Args {
        /// The repository: an address, or a path of the host.
        repo ["name"]: String,
        /// Where it goes; needed unless `clone` is off.
        dest []: Option<PathBuf>,
        /// Branch, tag or commit; `HEAD` is what the repository itself has.
        version []: String = "HEAD",
        /// What the server is called here.
        remote []: String = "origin",
        /// More to fetch, as git writes it: `refs/changes/*`.
        refspec []: Option<String>,
        /// So many commits of the history only.
        depth []: Option<u64>,
        /// Bring a repository that is not there.
        clone []: bool = true,
        /// Bring one that is there to the version.
        update []: bool = true,
        /// A repository without files.
        bare []: bool = false,
        /// Give up local changes.
        force []: bool = false,
        /// Bring submodules too.
        recursive []: bool = true,
        /// Bring submodules to the newest of their branches.
        track_submodules []: bool = false,
        /// Bring the history of one branch only.
        single_branch []: bool = false,
        /// Another repository to borrow from.
        reference []: Option<PathBuf>,
        /// Directory for what git keeps, apart from the files.
        separate_git_dir []: Option<PathBuf>,
        /// Options of `ssh`.
        ssh_opts []: Option<String>,
        /// File on the host with the private key for `ssh`.
        key_file []: Option<PathBuf>,
        /// Take the server's key whatever it is.
        accept_hostkey []: bool = false,
        /// Take the server's key if it is not known yet.
        accept_newhostkey []: bool = false,
        /// The git to use.
        executable []: Option<PathBuf>,
        /// The umask of new files, in octal.
        umask []: Option<String>,
        /// Write the version to this archive: `.zip`, `.tar`, `.tar.gz`, `.tgz`.
        archive []: Option<PathBuf>,
        /// What stands before the names in it.
        archive_prefix []: Option<String>,
        /// Fail unless the version is signed, by a key that the user knows.
        verify_commit []: bool = false,
        /// Fingerprints of the keys that may have signed; any that is known if empty.
        gpg_allowlist ["gpg_whitelist"]: Vec<String> = Vec::new(),
    }
    rules [Exclusive(&["accept_hostkey", "accept_newhostkey"])]
}

/// The module `git`.
pub struct Git;

impl Module for Git {
    const NAMES: &'static [&'static str] = &["git", "ansible.builtin.git", "ansible.legacy.git"];
    const DOC: &'static str =
        "Brings a git repository to a version, with the host's own `git`. Signatures of commits are not checked.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("before", "The commit that was there"),
        ("after", "The commit that is there now"),
        ("remote_url_changed", "Whether another server was set"),
    ];
    const EXAMPLE: &'static str =
        "- git:\n    repo: https://github.com/ansible/ansible.git\n    dest: /opt/checkout\n    version: v2.9.0\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if args.archive_prefix.is_some() && args.archive.is_none() {
            return Err(Failure::new("archive_prefix needs `archive`"));
        }
        let dest = match &args.dest {
            Some(dest) => Some(paths::expand(host.as_look(), dest)?),
            None if !args.clone => None,
            None => return Err(Failure::new("the destination directory must be specified unless clone=no")),
        };
        let repo = match args.repo.starts_with('/') || args.repo.starts_with('~') {
            true => paths::expand(host.as_look(), Path::new(&args.repo))?.display().to_string(),
            false => args.repo.clone(),
        };
        let git = Repository { args: &args, repo, dest: dest.unwrap_or_default() };
        let mut outcome = git.settle(host)?;
        let commit = |o: &Outcome, name: &str| o.data.get(name).and_then(|v| v.as_str().map(str::to_owned));
        let (before, after) = (commit(&outcome, "before"), commit(&outcome, "after"));
        if outcome.changed && before != after {
            let line = |sign: &str, c: Option<String>| c.map(|c| format!("{sign}{c}\n")).unwrap_or_default();
            outcome = outcome.diff(Diff::Prepared(format!("{}{}", line("-", before), line("+", after))));
        }
        if args.archive.is_some() && args.dest.is_some() {
            outcome = git.archive(host, outcome)?;
        }
        Ok(outcome)
    }
}

struct Repository<'a> {
    args: &'a Args,
    repo: String,
    dest: PathBuf,
}

/// What the server has under the version's name.
#[derive(Default)]
struct Remote {
    commit: Option<String>,
    branch: bool,
}

impl Repository<'_> {
    fn command(&self, words: &[&str], inside: bool) -> Command {
        let args = self.args;
        let git = args.executable.as_ref().map_or_else(|| "git".to_owned(), |e| e.display().to_string());
        let mut argv = vec![git];
        if inside {
            argv.extend(["-C".into(), self.dest.display().to_string()]);
        }
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        if let Some(umask) = &args.umask {
            let sh = ["/bin/sh", "-c", "umask \"$0\" && exec \"$@\"", umask.as_str()].map(String::from);
            argv = sh.into_iter().chain(argv).collect();
        }
        let mut ssh = "ssh -o BatchMode=yes".to_owned();
        if args.accept_hostkey {
            ssh += " -o StrictHostKeyChecking=no";
        }
        if args.accept_newhostkey {
            ssh += " -o StrictHostKeyChecking=accept-new";
        }
        if let Some(key) = &args.key_file {
            ssh += &format!(" -o IdentitiesOnly=yes -i {}", shell_words::quote(&key.display().to_string()));
        }
        if let Some(options) = &args.ssh_opts {
            ssh += &format!(" {options}");
        }
        // Nobody is there to be asked.
        Command::new(argv)
            .env("GIT_SSH_COMMAND", ssh)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
    }

    fn ask(&self, host: &mut dyn Act, words: &[&str], inside: bool) -> Result<Output, Failure> {
        host.query(&self.command(words, inside)).map_err(missing)
    }

    /// One line of an answer; none if git says no.
    fn line(&self, host: &mut dyn Act, words: &[&str]) -> Result<Option<String>, Failure> {
        let output = self.ask(host, words, true)?;
        Ok(Some(output.text().trim().to_owned()).filter(|t| output.success() && !t.is_empty()))
    }

    fn fact(&self) -> String {
        format!("git/{}", self.dest.display())
    }

    /// Does something; whether it was really done, and not only recorded.
    fn act(&self, host: &mut dyn Act, words: &[&str], inside: bool, then: Option<&str>) -> Result<bool, Failure> {
        let mut effects = Vec::new();
        if let Some(commit) = then {
            effects.push(Effect::Suppose(self.fact(), commit.into()));
            if host.stat(&self.dest, true)?.is_none() {
                let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
                effects.push(Effect::Dir { path: self.dest.clone(), mode: 0o755, uid, gid });
            }
        }
        let output = host.run_expecting(&self.command(words, inside), &effects).map_err(missing)?;
        if !output.success() {
            let said = output.error_text();
            let verb = words.first().copied().unwrap_or_default();
            let outcome = Outcome::failed(format!("git {verb}: {}", said.trim()));
            return Err(Failure::Failed(Box::new(outcome.with("rc", output.rc).with("stderr", said))));
        }
        Ok(!output.supposed)
    }

    /// What the server has: its default, a branch, or a tag by the version's name.
    fn remote(&self, host: &mut dyn Act, from: &str, inside: bool) -> Result<Remote, Failure> {
        let version = self.args.version.as_str();
        let (branch, tag) = (format!("refs/heads/{version}"), format!("refs/tags/{version}"));
        let peeled = format!("{tag}^{{}}");
        let mut wanted =
            if version == "HEAD" { vec!["HEAD"] } else { vec![branch.as_str(), tag.as_str(), peeled.as_str()] };
        if version.starts_with("refs/") {
            wanted = vec![version];
        }
        let output = self.ask(host, &[&["ls-remote", from], wanted.as_slice()].concat(), inside)?;
        if !output.success() {
            let said = output.error_text();
            let msg = format!("Failed to download remote objects and refs: {}", said.trim());
            return Err(Failure::Failed(Box::new(Outcome::failed(msg).with("rc", output.rc).with("stderr", said))));
        }
        let text = output.text();
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once('\t')).collect();
        let of = |name: &str| lines.iter().find(|(_, n)| *n == name).map(|(c, _)| (*c).to_owned());
        if version == "HEAD" || version.starts_with("refs/") {
            return Ok(Remote { commit: of(version), branch: false });
        }
        let on_branch = of(&branch);
        let branch = on_branch.is_some();
        let hexadecimal = version.len() == 40 && version.bytes().all(|b| b.is_ascii_hexdigit());
        let commit =
            on_branch.or_else(|| of(&peeled)).or_else(|| of(&tag)).or_else(|| hexadecimal.then(|| version.to_owned()));
        Ok(Remote { commit, branch })
    }

    fn settle(&self, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let args = self.args;
        let base = |changed: bool, before: Option<&str>, after: Option<&str>| {
            Outcome::changed(changed).with("before", before).with("after", after).with("remote_url_changed", false)
        };
        if args.dest.is_none() {
            let remote = self.remote(host, &self.repo, false)?;
            return Ok(base(false, None, remote.commit.as_deref()));
        }
        if let Some(known) = host.supposed(&self.fact()) {
            let known = known.to_string();
            let remote = self.remote(host, &self.repo, false)?;
            let after = remote.commit.unwrap_or_else(|| known.clone());
            let changed = args.update && after != known;
            return Ok(base(changed, Some(&known), Some(if changed { &after } else { &known })));
        }
        let marker = if args.bare { self.dest.join("HEAD") } else { self.dest.join(".git") };
        if host.stat(&marker, true)?.is_none() {
            let remote = self.remote(host, &self.repo, false)?;
            if !args.clone {
                return Ok(base(false, None, remote.commit.as_deref()));
            }
            let after = self.clone(host, &remote)?;
            self.verify(host)?;
            return Ok(base(true, None, after.as_deref()));
        }
        let before = self.line(host, &["rev-parse", "--verify", "HEAD"])?;
        if !args.update {
            return Ok(base(false, before.as_deref(), before.as_deref()));
        }
        let mut outcome = base(false, before.as_deref(), before.as_deref());
        let local = match args.bare {
            true => false,
            false => {
                let output = self.ask(host, &["status", "--porcelain", "--untracked-files=no"], true)?;
                !output.text().trim().is_empty()
            }
        };
        if local {
            if !args.force {
                let dest = self.dest.display();
                return Err(Failure::new(format!("Local modifications exist in the destination: {dest} (force=no).")));
            }
            self.act(host, &["reset", "--hard", "HEAD"], true, None)?;
            outcome.changed = true;
            outcome = outcome.msg("Local modifications exist.");
        }
        let url = self.line(host, &["config", "--get", &format!("remote.{}.url", args.remote)])?;
        if url.as_deref() != Some(self.repo.as_str()) {
            let verb = if url.is_some() { "set-url" } else { "add" };
            self.act(host, &["remote", verb, &args.remote, &self.repo], true, None)?;
            outcome = outcome.with("remote_url_changed", url.is_some());
        }
        let remote = self.remote(host, &self.repo, false)?;
        let after = self.update(host, before.as_deref(), &remote)?;
        self.verify(host)?;
        outcome.changed |= after != before;
        if !args.bare && args.recursive {
            outcome.changed |= self.submodules(host)?;
        }
        Ok(outcome.with("after", after))
    }

    fn clone(&self, host: &mut dyn Act, remote: &Remote) -> Result<Option<String>, Failure> {
        let args = self.args;
        let known =
            remote.commit.is_some() || args.refspec.is_some() || args.version.bytes().all(|b| b.is_ascii_hexdigit());
        if !known {
            return Err(Failure::new(format!("Could not determine remote revision for {}", args.version)));
        }
        make_parents(host, &self.dest)?;
        let dest = self.dest.display().to_string();
        let depth = args.depth.map(|d| d.to_string());
        let separate = args.separate_git_dir.as_ref().map(|d| format!("--separate-git-dir={}", d.display()));
        let reference = args.reference.as_ref().map(|r| r.display().to_string());
        let mut words = vec!["clone", "--origin", &args.remote];
        if args.bare {
            words.push("--bare");
        }
        let commit =
            args.version.len() == 40 && remote.commit.as_deref() == Some(args.version.as_str()) && !remote.branch;
        if let Some(depth) = depth.as_deref().filter(|_| !commit && args.refspec.is_none()) {
            words.extend(["--depth", depth]);
            if args.version != "HEAD" {
                words.extend([
                    "--branch",
                    args.version.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/"),
                ]);
            }
            if !args.single_branch {
                words.push("--no-single-branch");
            }
        } else if args.single_branch && remote.branch {
            words.extend(["--branch", &args.version]);
        }
        if args.single_branch {
            words.push("--single-branch");
        }
        words.extend(separate.as_deref());
        if let Some(reference) = &reference {
            words.extend(["--reference", reference]);
        }
        words.extend(["--", &self.repo, &dest]);
        if !self.act(host, &words, false, Some(remote.commit.as_deref().unwrap_or_default()))? {
            return Ok(remote.commit.clone());
        }
        if let Some(refspec) = &args.refspec {
            self.act(host, &["fetch", "--tags", "--force", &args.remote, refspec], true, None)?;
        }
        if !args.bare {
            self.switch(host, remote)?;
            if args.recursive {
                self.submodules(host)?;
            }
        }
        self.line(host, &["rev-parse", "--verify", "HEAD"])
    }

    fn update(&self, host: &mut dyn Act, before: Option<&str>, remote: &Remote) -> Result<Option<String>, Failure> {
        let args = self.args;
        let on_branch = self.line(host, &["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        let there = remote.commit.is_some() && remote.commit.as_deref() == before;
        // At the commit, and on the branch that is asked for: nothing to fetch.
        if there && (!remote.branch || args.bare || on_branch.as_deref() == Some(args.version.as_str())) {
            return Ok(before.map(str::to_owned));
        }
        let depth = args.depth.map(|d| format!("--depth={d}"));
        let mut words = vec!["fetch", "--tags", "--force"];
        words.extend(depth.as_deref());
        words.push(&args.remote);
        if args.bare {
            words.push("+refs/heads/*:refs/heads/*");
        }
        words.extend(args.refspec.as_deref());
        if !self.act(host, &words, true, remote.commit.as_deref())? {
            return Ok(remote.commit.clone().or_else(|| before.map(str::to_owned)));
        }
        if !args.bare {
            self.switch(host, remote)?;
        }
        self.line(host, &["rev-parse", "--verify", "HEAD"])
    }

    /// Brings the files to the version that was fetched.
    fn switch(&self, host: &mut dyn Act, remote: &Remote) -> Result<(), Failure> {
        let (version, name) = (self.args.version.as_str(), self.args.remote.as_str());
        if version == "HEAD" {
            // The branch that the server has as its own.
            let Some(branch) = self.default_branch(host)? else { return Ok(()) };
            let upstream = format!("{name}/{branch}");
            self.act(host, &["checkout", "--force", "-B", &branch, &upstream, "--"], true, None)?;
        } else if remote.branch {
            let upstream = format!("{name}/{version}");
            self.act(host, &["checkout", "--force", "-B", version, &upstream, "--"], true, None)?;
        } else {
            let commit = remote.commit.as_deref().unwrap_or(version);
            let known = self
                .ask(host, &["rev-parse", "--verify", "--quiet", &format!("{version}^{{commit}}")], true)?
                .success();
            self.act(
                host,
                &["checkout", "--force", "--detach", if known { version } else { commit }, "--"],
                true,
                None,
            )?;
        }
        Ok(())
    }

    fn default_branch(&self, host: &mut dyn Act) -> Result<Option<String>, Failure> {
        let output = self.ask(host, &["ls-remote", "--symref", &self.repo, "HEAD"], true)?;
        let text = output.text();
        let named =
            text.lines().find_map(|l| l.strip_prefix("ref: refs/heads/")?.split('\t').next().map(str::to_owned));
        Ok(named)
    }

    /// Brings submodules to where they belong; whether anything changed.
    fn submodules(&self, host: &mut dyn Act) -> Result<bool, Failure> {
        if host.stat(&self.dest.join(".gitmodules"), true)?.is_none() {
            return Ok(false);
        }
        let state =
            |host: &mut dyn Act| self.ask(host, &["submodule", "status", "--recursive"], true).map(|o| o.text());
        let before = state(host)?;
        let settled = !before.lines().any(|l| l.starts_with(['+', '-', 'U']));
        if settled && !self.args.track_submodules {
            return Ok(false);
        }
        self.act(host, &["submodule", "sync", "--recursive"], true, None)?;
        let mut words = vec!["submodule", "update", "--init", "--recursive", "--force"];
        if self.args.track_submodules {
            words.push("--remote");
        }
        if !self.act(host, &words, true, None)? {
            return Ok(!settled);
        }
        Ok(state(host)? != before)
    }

    /// Writes the version to an archive, if that differs from what is there.
    fn archive(&self, host: &mut dyn Act, mut outcome: Outcome) -> Result<Outcome, Failure> {
        let Some(to) = &self.args.archive else { return Ok(outcome) };
        let to = paths::expand(host.as_look(), to)?;
        let shown = to.display().to_string();
        let kinds = [(".tar.gz", "tar.gz"), (".tgz", "tgz"), (".tar", "tar"), (".zip", "zip")];
        let Some((_, kind)) = kinds.iter().find(|(ending, _)| shown.ends_with(ending)) else {
            return Err(Failure::new(format!("Unable to get file extension from archive file name : {shown}")));
        };
        if host.supposed(&self.fact()).is_some() {
            let why = format!("the archive of {}, which is not there yet", self.dest.display());
            return Err(HostError::NotKnowable(why).into());
        }
        let temp = host.scratch()?.join(format!("git-{}", random_name(8)));
        let output = format!("--output={}", temp.display());
        let format = format!("--format={kind}");
        let prefix = self.args.archive_prefix.as_ref().map(|p| format!("--prefix={p}"));
        let mut words = vec!["archive", &format, &output];
        words.extend(prefix.as_deref());
        words.push("HEAD");
        // It writes nothing but the agent's own temporary file.
        let made = self.ask(host, &words, true);
        let done = made.and_then(|made| {
            if !made.success() {
                return Err(Failure::new(format!("git archive: {}", made.error_text().trim())));
            }
            let fresh = Algorithm::Sha1.of_local(&temp);
            let there = match host.stat(&to, true)? {
                Some(_) => Some(Algorithm::Sha1.of_file(host.as_look(), &to)?),
                None => None,
            };
            if fresh != there {
                let mut file =
                    std::fs::File::open(&temp).map_err(|e| HostError::io("reading the archive", &temp, e))?;
                host.write(&to, &mut file, None).map_err(|e| not_written(e, &to))?;
                return Ok(true);
            }
            Ok(false)
        });
        let _ = std::fs::remove_file(&temp);
        outcome.changed |= done?;
        Ok(outcome)
    }
}

fn missing(error: HostError) -> Failure {
    match error {
        HostError::NoProgram(name) => {
            Failure::new(format!("Failed to find required executable \"{name}\" on the host"))
        }
        other => other.into(),
    }
}
