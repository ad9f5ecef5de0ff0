//! The client side of the simulated command lines: gathers what the real client would see, asks the state server,
//! plays its answer.

use crate::fabric::STATE_SOCKET;
use crate::fabric::init::{self, Ask};
use crate::shell::{FileSeen, Invocation, Local, Reply};
use crate::system::restore::Restored;
use crate::system::stamp;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What a host says to the state server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Run a platform command.
    Command(Box<Invocation>),
    /// A command that the host answered itself: for the audit log.
    Note { argv: Vec<String>, user: String, rc: i32, changes: Vec<String> },
    /// A request of the Kubernetes API.
    Kube { method: String, path: String, query: String, table: bool, body: String },
    /// The API came up on this database.
    Restored(Restored),
}

/// What the state server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    Reply(Reply),
    Refused(String),
    Http { status: u16, body: String },
    Done,
}

/// Say something to the state server and hear its answer.
pub fn tell(message: &Message) -> Result<Said> {
    let stream = UnixStream::connect(STATE_SOCKET).context("the lab's state server does not answer")?;
    writeln!(&stream, "{}", serde_json::to_string(message)?)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    serde_json::from_str(&line).context("the lab's state server went away")
}

/// Put a command into the audit log; a lab that is going down is no reason to fail it.
pub fn note(argv: &[String], rc: i32, changes: Vec<String>) {
    let _ = tell(&Message::Note { argv: argv.to_vec(), user: user(), rc, changes });
}

/// Run one platform command. Returns its exit code.
pub fn run(argv: &[String]) -> i32 {
    let mut call = invocation(argv);
    loop {
        let reply = match tell(&Message::Command(Box::new(call.clone()))) {
            Ok(Said::Reply(reply)) => reply,
            Ok(other) => {
                eprintln!("stx-lab: unexpected answer: {other:?}");
                return 1;
            }
            Err(why) => {
                eprintln!("stx-lab: {why:#}");
                return 1;
            }
        };
        if let Some(question) = &reply.ask {
            print!("{question}");
            let _ = std::io::stdout().flush();
            let mut line = String::new();
            match std::io::stdin().lock().read_line(&mut line) {
                Ok(0) | Err(_) => call.eof = true,
                Ok(_) => call.answers.push(line.trim_end_matches(['\n', '\r']).to_string()),
            }
            continue;
        }
        if reply.hang_ms > 0 {
            std::thread::sleep(Duration::from_millis(reply.hang_ms));
        }
        // The real client ends with 0 when its reader has gone away.
        let _ = std::io::stdout().write_all(reply.out.as_bytes()).and_then(|()| std::io::stdout().flush());
        let _ = std::io::stderr().write_all(reply.err.as_bytes());
        if reply.rc == 0 && call.argv[0] == "sw-patch" && call.argv.get(1).is_some_and(|a| a == "install-local") {
            node_is_patched();
        }
        return reply.rc;
    }
}

fn invocation(argv: &[String]) -> Invocation {
    let mut argv = argv.to_vec();
    argv[0] = argv[0].rsplit('/').next().unwrap_or("").to_string();
    let mut local = Local {
        active_units: init::ask(&Ask::Running).map(|answer| answer.running).unwrap_or_default(),
        database: UnixStream::connect("/var/run/postgresql/.s.PGSQL.5432").is_ok(),
        ..Local::default()
    };
    let reads = ["load-import", "upload", "application-upload", "application-update"];
    if argv.iter().any(|a| reads.contains(&a.as_str())) {
        for path in argv[1..].iter().filter(|a| !a.starts_with('-')) {
            if let Ok(bytes) = std::fs::read(path) {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
                local.files.insert(path.clone(), FileSeen { exists: true, digest: stamp::digest(&bytes), text });
            }
        }
    }
    Invocation {
        argv,
        user: user(),
        uid: nix::unistd::geteuid().as_raw(),
        cwd: std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
        env: std::env::vars().filter(|(key, _)| key.starts_with("OS_") || key == "CLI_CONFIRMATIONS").collect(),
        width: width(),
        local,
        answers: Vec::new(),
        eof: false,
    }
}

fn user() -> String {
    std::env::var("SUDO_USER")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| crate::fabric::layers::user_name(nix::unistd::getuid().as_raw()).unwrap_or_default())
}

/// Columns as the real client finds them: any of the standard streams, the controlling terminal, `COLUMNS`, 80.
fn width() -> usize {
    let of = |fd: std::os::fd::BorrowedFd<'_>| {
        rustix::termios::tcgetwinsize(fd).ok().map(|size| usize::from(size.ws_col)).filter(|cols| *cols > 0)
    };
    use std::os::fd::AsFd;
    of(std::io::stdin().as_fd())
        .or_else(|| of(std::io::stdout().as_fd()))
        .or_else(|| of(std::io::stderr().as_fd()))
        .or_else(|| std::fs::File::open("/dev/tty").ok().and_then(|tty| of(tty.as_fd())))
        .or_else(|| std::env::var("COLUMNS").ok().and_then(|cols| cols.parse().ok()))
        .unwrap_or(80)
}

/// Leave the patch agent's flag if a patch in the repository takes hold of this node.
fn node_is_patched() {
    let patches = std::fs::read_dir("/opt/patching/metadata/applied").into_iter().flatten().flatten();
    let texts = patches.filter_map(|patch| std::fs::read_to_string(patch.path()).ok());
    if texts.into_iter().any(|text| text.contains("<reboot_required>Y<")) {
        let _ = std::fs::write("/var/run/node_is_patched", "");
    }
}
