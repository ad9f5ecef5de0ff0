//! `authorized_key`: public keys that may log in as a user, in the file that sshd reads.

use std::path::{Path, PathBuf};

use super::file_args::describe;
use super::file_content::{make_parents, read_existing};
use super::{accounts, paths, python_regex, web_args};
use crate::action::host::{Act, FileKind, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::{Diff, Outcome};
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The user who is logged in as.
        user []: String,
        /// The keys, a line each; an `http` address of them; or `file://` and a path on the host.
        key []: String,
        /// The file; `.ssh/authorized_keys` in the user's home if not given.
        path []: Option<PathBuf>,
        /// Make the file's folder, and give it to the user alone.
        manage_dir []: bool = true,
        /// Whether the keys shall be there.
        state []: State = State::Present,
        /// Options before the keys, instead of their own.
        key_options []: Option<String>,
        /// All other keys go.
        exclusive []: bool = false,
        /// Comment after the keys, instead of their own.
        comment []: Option<String>,
        /// Whether the server of the address must prove who it is.
        validate_certs []: bool = true,
        /// Change what a link points to, instead of the link.
        follow []: bool = false,
    }
}

/// The module `authorized_key`.
pub struct AuthorizedKey;

impl Module for AuthorizedKey {
    const NAMES: &'static [&'static str] = &["authorized_key", "ansible.posix.authorized_key"];
    const DOC: &'static str = "Lets SSH keys log in as a user, or no longer.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("keyfile", "The file"),
        ("key", "The keys as they were given"),
        ("user", "The user"),
        ("exclusive", "Whether all others had to go"),
    ];
    const EXAMPLE: &'static str =
        "- authorized_key:\n    user: charlie\n    key: \"{{ lookup('file', 'charlie.pub') }}\"\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let text = material(&args, host)?;
        let Some(user) = accounts::user(host.as_look(), &args.user)?.filter(|u| u.name == args.user) else {
            return Err(Failure::new(format!(
                "Failed to lookup user {0}: \"getpwnam(): name not found: '{0}'\"",
                args.user
            )));
        };
        let path = match &args.path {
            Some(path) => paths::expand(host.as_look(), path)?,
            None => Path::new(&user.home).join(".ssh/authorized_keys"),
        };
        let before = match host.stat(&path, true)? {
            Some(stat) if stat.kind == FileKind::File => read_existing(host.as_look(), &path)?.unwrap_or_default(),
            _ => Vec::new(),
        };
        let before = python_regex::to_text(&before).replace("\r\n", "\n").replace('\r', "\n");
        let mut keys = Keys::parse(&before);
        let changed = keys.settle(&args, &text)?;
        let mut outcome = Outcome::changed(changed)
            .with("user", args.user.as_str())
            .with("key", args.key.as_str())
            .with("path", args.path.is_some().then(|| path.display().to_string()))
            .with("manage_dir", args.manage_dir)
            .with("state", args.state.word())
            .with("key_options", args.key_options.as_deref())
            .with("exclusive", args.exclusive)
            .with("comment", args.comment.as_deref())
            .with("validate_certs", args.validate_certs)
            .with("follow", args.follow)
            .with("keyfile", path.display().to_string());
        if changed {
            let real = if args.follow { paths::real_path(host.as_look(), &path)? } else { path.clone() };
            let after = keys.written();
            outcome = outcome.diff(Diff::Text {
                before_name: path.display().to_string(),
                after_name: real.display().to_string(),
                before,
                after: after.clone(),
            });
            if args.manage_dir
                && let Some(dir) = path.parent()
            {
                let dir = paths::real_path(host.as_look(), dir)?;
                if host.stat(&dir, true)?.is_none() {
                    host.make_dir(&dir, Some(0o700))
                        .map_err(|e| Failure::new(format!("Failed to create directory {} : {e}", dir.display())))?;
                }
                host.set_owner(&dir, Some(user.uid), Some(user.gid))?;
                host.set_mode(&dir, 0o700)?;
            }
            make_parents(host, &real)?;
            host.write(&real, &mut python_regex::to_bytes(&after).as_slice(), Some(0o600))?;
            // Who may not give the file away leaves it as it is.
            match host.set_owner(&real, Some(user.uid), Some(user.gid)) {
                Ok(()) | Err(HostError::Denied { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // What a path is told to be hides what was asked for, as in Ansible.
        Ok(if args.path.is_some() { describe(host.as_look(), &path, outcome)? } else { outcome })
    }
}

/// The keys that are given: as they are, from a server, or from a file of the host.
fn material(args: &Args, host: &mut dyn Act) -> Result<String, Failure> {
    let text = if args.key.starts_with("http") {
        let fetched = web_args::fetch(&args.key, args.validate_certs, host)?;
        let bytes = fetched.map_err(|why| Failure::new(format!("Error getting key from: {} ({why})", args.key)))?;
        python_regex::to_text(&bytes)
    } else if let Some(rest) = args.key.strip_prefix("file:") {
        // What stands between `//` and the next slash names a host.
        let path = rest.strip_prefix("//").map_or(rest, |r| r.find('/').map_or("", |at| &r[at..]));
        match host.stat(Path::new(path), true)?.map(|s| s.kind) {
            None => return Err(Failure::new(format!("Path to a key file not found: {path}"))),
            Some(FileKind::File) => python_regex::to_text(&host.read(Path::new(path))?),
            Some(_) => {
                return Err(Failure::new(format!("Path to a key is a directory and must be a file: {path}")));
            }
        }
    } else {
        args.key.clone()
    };
    Ok(text)
}

const KINDS: [&str; 23] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-512-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-dss",
    "ssh-dss-cert-v01@openssh.com",
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-xmss-cert-v01@openssh.com",
    "ssh-xmss@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Names with their values, in their order; a name may be there more than once.
type Options = Vec<(String, Option<String>)>;

#[derive(Clone, Debug, PartialEq)]
struct Key {
    /// The key itself, in Base64: what tells one from another.
    text: String,
    kind: String,
    options: Options,
    comment: String,
}

impl Key {
    /// The key of a line; none where it holds none.
    fn parse(line: &str) -> Option<Key> {
        let line = line.replace("\\#", "#");
        let words: Vec<&str> = line.split([' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()).collect();
        if words.first() == Some(&"#") {
            return None;
        }
        let at = words.iter().position(|w| KINDS.contains(w))?;
        Some(Key {
            text: (*words.get(at + 1)?).to_owned(),
            kind: words[at].to_owned(),
            options: options(&words[..at].join(" ")),
            comment: words[at + 2..].join(" "),
        })
    }

    /// Whether nothing differs; the order of different options means nothing.
    fn same(&self, other: &Key) -> bool {
        let sorted = |key: &Key| {
            let mut key = key.clone();
            key.options.sort_by(|a, b| a.0.cmp(&b.0));
            key
        };
        sorted(self) == sorted(other)
    }

    fn line(&self) -> String {
        let option = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let mut options = self.options.iter().map(option).collect::<Vec<_>>().join(",");
        if !options.is_empty() {
            options.push(' ');
        }
        format!("{options}{} {} {}\n", self.kind, self.text, self.comment)
    }
}

/// Options at their commas, but for those in quotes.
fn options(text: &str) -> Options {
    let mut found = Options::new();
    let mut quote = None;
    let parts = text.split(|c: char| {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => return c == ',' && quote.is_none(),
        }
        false
    });
    for part in parts.filter(|p| !p.is_empty()) {
        found.push(match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (part.to_owned(), None),
        });
    }
    found
}

/// A line of the file.
enum Line {
    Key(Key),
    /// What is no key stays as it is; the same line twice is kept once.
    Other(String),
}

impl Line {
    /// What tells it from the others.
    fn id(&self) -> &str {
        match self {
            Line::Key(key) => &key.text,
            Line::Other(line) => line,
        }
    }
}

/// The file's lines, each with its rank: in the order of these it is written.
struct Keys(Vec<(usize, Line)>);

impl Keys {
    fn parse(text: &str) -> Keys {
        let mut keys = Keys(Vec::new());
        for (rank, line) in text.split_inclusive('\n').enumerate() {
            keys.put(
                rank,
                match Key::parse(line) {
                    Some(key) => Line::Key(key),
                    None => Line::Other(line.to_owned()),
                },
            );
        }
        keys
    }

    fn find(&self, id: &str) -> Option<&Line> {
        self.0.iter().map(|(_, line)| line).find(|line| line.id() == id)
    }

    fn put(&mut self, rank: usize, line: Line) {
        match self.0.iter_mut().find(|(_, l)| l.id() == line.id()) {
            Some(there) => *there = (rank, line),
            None => self.0.push((rank, line)),
        }
    }

    fn remove(&mut self, id: &str) {
        self.0.retain(|(_, line)| line.id() != id);
    }

    /// Makes it what the arguments ask for; whether anything had to be done.
    fn settle(&mut self, args: &Args, text: &str) -> Result<bool, Failure> {
        let first = self.0.len();
        let mut changed = false;
        let mut wanted = Vec::new();
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        for (at, line) in lines.enumerate() {
            let mut key = Key::parse(line).ok_or_else(|| Failure::new(format!("invalid key specified: {line}")))?;
            if let Some(given) = &args.key_options {
                key.options = options(given);
            }
            if let Some(comment) = &args.comment {
                key.comment.clone_from(comment);
            }
            wanted.push(key.text.clone());
            let found = self.find(&key.text);
            if args.state == State::Absent {
                changed |= found.is_some();
                self.remove(&key.text);
            } else if !found.is_some_and(|line| matches!(line, Line::Key(k) if k.same(&key))) {
                changed = true;
                self.remove(&key.text);
                self.put(first + at, Line::Key(key));
            }
        }
        if args.state == State::Present && args.exclusive {
            let before = self.0.len();
            self.0.retain(|(_, line)| wanted.iter().any(|w| w == line.id()));
            changed |= self.0.len() != before;
        }
        self.0.sort_by_key(|(rank, _)| *rank);
        Ok(changed)
    }

    fn written(&self) -> String {
        let mut out = String::new();
        for (_, line) in &self.0 {
            // A last line without an end would swallow the key after it.
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            match line {
                Line::Key(key) => out += &key.line(),
                Line::Other(line) => out += line,
            }
        }
        out
    }
}
