//! Becoming another user: starts a worker through `sudo` or `su`, answers the one question for a password, and turns
//! every other end into an error that says what to do, within seconds.
//!
//! The password goes to the program's standard input once it has asked, so it is on no command line, in no environment
//! and in no file, and never reaches a program that did not ask for it.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::action::module::Become;
use crate::action::wire::{Frame, FromAgent, VERSION};
use crate::model::secret::Secret;
use crate::modules::shell_words::quote;

/// What `sudo` is told to ask with.
const PROMPT: &str = "stx-upgrade asks for the password:";

/// Silence after which a start is given up. A wrong password makes PAM wait about two seconds; a directory server may
/// take several.
const SILENCE: Duration = Duration::from_secs(15);

/// Silence after a line without an end: a question that we do not know.
pub(crate) const QUESTION: Duration = Duration::from_secs(3);

/// What is kept of standard error.
const KEPT: usize = 16 << 10;

/// A worker that has said its welcome.
pub struct Started {
    pub child: Child,
    pub stdin: ChildStdin,
    pub stdout: BufReader<ChildStdout>,
}

/// Why there is no worker.
#[derive(Debug)]
pub struct Refusal {
    /// For the operator: what happened and what to do.
    pub why: String,
    /// The password was refused: it must not be tried again.
    pub wrong_password: bool,
}

enum Heard {
    Error(Vec<u8>),
    Welcome(Box<FromAgent>, BufReader<ChildStdout>),
    /// Standard output ended without a welcome.
    End,
}

/// Starts `program agent worker RUN` as another user.
pub fn start(become_: &Become, password: Option<&Secret>, program: &str, run: &str) -> Result<Started, Refusal> {
    let argv = command_line(become_, password.is_some(), &[program, "agent", "worker", run]);
    let mut command = Command::new(&argv[0]);
    if let Some(dir) = &become_.chdir {
        std::fs::read_dir(dir).map_err(|e| refusal(format!("`ansible_sudo_chdir`: cd {dir}: {e}")))?;
        command.current_dir(dir);
    }
    let spawned = command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| {
        refusal(match e.kind() {
            std::io::ErrorKind::NotFound => format!(
                "the program `{}` is not on the host: install it, or log in as {} without become",
                argv[0], become_.user
            ),
            _ => format!("{} cannot be started: {e}", argv[0]),
        })
    })?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(refusal("no pipes".to_owned()));
    };
    let (tell, heard) = channel();
    listen(stderr, stdout, tell);
    match converse(become_, password, &mut stdin, &heard) {
        Ok(stdout) => Ok(Started { child, stdin, stdout }),
        Err(refusal) => {
            // It runs as root, so it cannot be killed: the end of its input ends it, whenever it reads on.
            drop(stdin);
            std::thread::spawn(move || child.wait());
            Err(refusal)
        }
    }
}

/// The error names a method that is not supported.
pub(crate) fn supported(become_: &Become) -> Result<(), String> {
    match become_.method.as_str() {
        "sudo" | "su" => Ok(()),
        other => Err(format!("the become method `{other}` is not supported; `sudo` and `su` are")),
    }
}

/// The words of a command line that starts a program as another user.
pub(crate) fn command_line(become_: &Become, password: bool, program: &[&str]) -> Vec<String> {
    let words = |text: &Option<String>| -> Vec<String> {
        text.iter().flat_map(|t| t.split_whitespace()).map(str::to_owned).collect()
    };
    let exe = become_.exe.clone().filter(|e| !e.is_empty()).unwrap_or_else(|| become_.method.clone());
    let mut argv = vec![exe];
    if become_.method == "su" {
        argv.extend(words(&become_.flags));
        let words: Vec<String> = program.iter().map(|word| quote(word)).collect();
        argv.extend([become_.user.clone(), "-c".to_owned(), format!("exec {}", words.join(" "))]);
        return argv;
    }
    // Ansible's default. How the password is given is ours to say, so these flags are taken out.
    let flags = become_.flags.clone().unwrap_or_else(|| "-H".to_owned());
    for flag in words(&Some(flags)) {
        match flag.as_str() {
            "--stdin" | "--non-interactive" => {}
            f if f.starts_with('-') && !f.starts_with("--") && f[1..].bytes().all(|b| b"HSnEkKPi".contains(&b)) => {
                let rest = f.replace(['S', 'n'], "");
                argv.extend((rest != "-").then_some(rest));
            }
            other => argv.push(other.to_owned()),
        }
    }
    if password {
        argv.extend(["-S", "-p", PROMPT].map(str::to_owned));
    } else {
        argv.push("-n".to_owned());
    }
    argv.extend(["-u", &become_.user, "--"].iter().chain(program).map(|word| (*word).to_owned()));
    argv
}

/// Two threads hear both outputs; that of standard error lives on, so that the pipe never fills up.
fn listen(mut stderr: ChildStderr, stdout: ChildStdout, tell: Sender<Heard>) {
    let tell_error = tell.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            let _ = tell_error.send(Heard::Error(buffer[..n].to_vec()));
        }
    });
    std::thread::spawn(move || {
        let mut stdout = BufReader::with_capacity(64 << 10, stdout);
        let welcome = Frame::read(&mut stdout).ok().flatten().and_then(|f| f.parse().ok());
        let _ = tell.send(match welcome {
            Some(welcome) => Heard::Welcome(Box::new(welcome), stdout),
            None => Heard::End,
        });
    });
}

fn converse(
    become_: &Become,
    password: Option<&Secret>,
    stdin: &mut ChildStdin,
    heard: &Receiver<Heard>,
) -> Result<BufReader<ChildStdout>, Refusal> {
    let mut said = String::new();
    // Where the part of `said` begins that no answer was given to.
    let mut open = 0;
    let mut answered = false;
    loop {
        let question = said[open..].lines().last().is_some_and(|l| !l.trim().is_empty()) && !said.ends_with('\n');
        match heard.recv_timeout(if question { QUESTION } else { SILENCE }) {
            Ok(Heard::Welcome(welcome, stdout)) => match *welcome {
                FromAgent::Welcome(w) if w.version == VERSION => return Ok(stdout),
                other => return Err(refusal(format!("the agent's process for {} said {other:?}", become_.user))),
            },
            Ok(Heard::End) => {
                // What it said last may still be on its way.
                while let Ok(Heard::Error(bytes)) = heard.recv_timeout(Duration::from_millis(200)) {
                    said += &String::from_utf8_lossy(&bytes);
                }
                return Err(explain(become_, &said, password.is_some(), answered));
            }
            Ok(Heard::Error(bytes)) => {
                said += &String::from_utf8_lossy(&bytes);
                if said.len() > KEPT {
                    return Err(refusal(format!("{} does not stop talking: {}", become_.method, last_lines(&said))));
                }
                if asks(&said[open..]) {
                    let Some(password) = password else { return Err(needs_password(become_)) };
                    if answered {
                        // Asked again: refused, or accepted and to be changed now.
                        return Err(expired(become_, &said).unwrap_or_else(|| wrong_password(become_)));
                    }
                    answered = true;
                    open = said.len();
                    // If it is gone, its end says why.
                    let _ = stdin.write_all(format!("{}\n", password.reveal()).as_bytes()).and_then(|()| stdin.flush());
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(refusal(if question {
                    format!(
                        "{} asks something that cannot be answered here: `{}`; settle it in a login as this user first, \
                         or let sudoers ask for the password alone",
                        become_.method,
                        said[open..].lines().last().unwrap_or_default().trim()
                    )
                } else {
                    format!(
                        "{} to {} said nothing for {} s and was given up; try it in a login as this user{}",
                        become_.method,
                        become_.user,
                        SILENCE.as_secs(),
                        if said.is_empty() {
                            String::new()
                        } else {
                            format!(". Before, it said: {}", last_lines(&said))
                        }
                    )
                }));
            }
        }
    }
}

/// Whether the last words are a question for the password.
pub(crate) fn asks(said: &str) -> bool {
    let line = said.lines().last().unwrap_or_default();
    let word = |line: &str| line.trim_end().ends_with(':') && line.to_lowercase().contains("assword");
    !said.ends_with('\n') && (line.contains(PROMPT) || word(line))
}

/// Why it ended before the program spoke.
pub(crate) fn explain(become_: &Become, said: &str, password: bool, answered: bool) -> Refusal {
    let Become { method, user, .. } = become_;
    let low = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| low.contains(w));
    let quote = last_lines(&said.replace(PROMPT, ""));
    if has(&["must have a tty"]) {
        return refusal(format!(
            "sudoers demands a terminal (requiretty), which an unattended run has not: add `Defaults:{} !requiretty`",
            std::env::var("USER").unwrap_or_else(|_| "USER".to_owned())
        ));
    }
    if let Some(refusal) = expired(become_, said) {
        return refusal;
    }
    if has(&["not in the sudoers", "not allowed to", "may not run sudo"]) {
        return refusal(format!(
            "sudoers does not let this login become {user}: {quote}; grant it, or log in as another user"
        ));
    }
    if has(&["unknown user", "does not exist", "no passwd entry"]) {
        return refusal(format!("there is no user {user} on the host: {quote}"));
    }
    if has(&["incorrect password", "authentication failure", "sorry, try again", "maximum", "permission denied"])
        && answered
    {
        return wrong_password(become_);
    }
    if !password
        && has(&["password is required", "no password was provided", "a terminal is required", "authentication"])
    {
        return needs_password(become_);
    }
    let said = if quote.is_empty() { "it ended without a word".to_owned() } else { quote };
    refusal(format!("{method} to {user} failed: {said}"))
}

fn expired(become_: &Become, said: &str) -> Option<Refusal> {
    let low = said.to_lowercase();
    let words =
        ["expired", "password change required", "required to change", "reset your password", "change your password"];
    words.iter().any(|w| low.contains(w)).then(|| {
        refusal(format!(
            "the account or its password has expired; log in once and renew it. {}: {}",
            become_.method,
            last_lines(&said.replace(PROMPT, ""))
        ))
    })
}

fn needs_password(become_: &Become) -> Refusal {
    refusal(format!(
        "{} asks for a password to become {}, and none was given: set `ansible_become_password`, or use `-K`",
        become_.method, become_.user
    ))
}

fn wrong_password(become_: &Become) -> Refusal {
    let why = format!(
        "Incorrect {} password for becoming {}: correct `ansible_become_password`, or what you type for `-K`; it is not \
         tried again, so that the account is not locked",
        become_.method, become_.user
    );
    Refusal { why, wrong_password: true }
}

fn refusal(why: String) -> Refusal {
    Refusal { why, wrong_password: false }
}

/// The last lines with anything in them, as one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(flags: Option<&str>) -> Become {
        Become { method: "sudo".into(), user: "root".into(), exe: None, flags: flags.map(str::to_owned), chdir: None }
    }

    #[test]
    fn command_lines() {
        let line = |b: &Become, p| command_line(b, p, &["/x/stx-upgrade", "agent", "worker", "r1"]).join(" ");
        assert_eq!(line(&root(None), false), "sudo -H -n -u root -- /x/stx-upgrade agent worker r1");
        assert_eq!(
            line(&root(Some("-H -S -n -E")), true),
            format!("sudo -H -E -S -p {PROMPT} -u root -- /x/stx-upgrade agent worker r1")
        );
        assert_eq!(line(&root(Some("-HSn --stdin")), false), "sudo -H -n -u root -- /x/stx-upgrade agent worker r1");
        let su = Become {
            method: "su".into(),
            user: "app".into(),
            exe: Some("/bin/su".into()),
            flags: Some("-".into()),
            chdir: None,
        };
        assert_eq!(line(&su, true), "/bin/su - app -c exec /x/stx-upgrade agent worker r1");
    }

    #[test]
    fn what_sudo_said_becomes_what_to_do() {
        let told = |said: &str, password, answered| explain(&root(None), said, password, answered).why;
        assert!(told("sudo: a password is required\n", false, false).contains("ansible_become_password"));
        assert!(told("sudo: sorry, you must have a tty to run sudo\n", true, false).contains("requiretty"));
        assert!(told("joe is not in the sudoers file.\n", true, true).contains("does not let this login"));
        assert!(told("sudo: Account expired, contact your system administrator\n", true, true).contains("expired"));
        assert!(
            told("Sorry, try again.\nsudo: 1 incorrect password attempt\n", true, true)
                .contains("Incorrect sudo password")
        );
        assert!(told("sudo: unknown user nobodyhere\n", false, false).contains("no user root"));
    }
}
