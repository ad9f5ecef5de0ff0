//! Places the agent's program on a host, once: `~/.cache/stx-upgrade/SHA256/stx-upgrade`, or where the home is full,
//! absent or mounted `noexec` a private directory below `/var/tmp`, `/tmp` or `/dev/shm`.
//!
//! Attaching is one command that either runs the program, and then speaks frames, or says that it needs it; so where
//! the program is there, nothing is asked first. All that the host must have for this is a POSIX shell with `head`,
//! `sha256sum`, `df` and `tail`, as coreutils and busybox bring.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use super::channel::{Channel, marked_line};
use super::error::LinkError;
use super::ssh::Master;

/// How long placing it may take, at the least; a slow line gets more by the size.
const PATIENCE: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 20 << 10; // bytes a second

/// A shell at the far side before the agent speaks.
const ANSWER: Duration = Duration::from_secs(30);

/// The program that is the agent. It is read when it is first needed.
pub(super) struct Program {
    pub path: PathBuf,
    known: OnceCell<Known>,
    /// Compressed; kept only while somebody sends it.
    packed: tokio::sync::Mutex<Weak<Vec<u8>>>,
}

struct Known {
    sha256: String,
    size: u64,
}

impl Program {
    pub fn at(path: PathBuf) -> Program {
        Program { path, known: OnceCell::new(), packed: Default::default() }
    }

    async fn known(&self) -> io::Result<&Known> {
        let read = || async {
            let path = self.path.clone();
            let digest = move || -> io::Result<Known> {
                let mut digest = Sha256::new();
                let mut buffer = vec![0; 256 << 10];
                let (mut file, mut size) = (File::open(path)?, 0);
                loop {
                    match file.read(&mut buffer)? {
                        0 => return Ok(Known { sha256: hex::encode(digest.finalize()), size }),
                        n => (digest.update(&buffer[..n]), size += n as u64).1,
                    }
                }
            };
            tokio::task::spawn_blocking(digest).await.map_err(io::Error::other)?
        };
        self.known.get_or_try_init(read).await
    }

    async fn packed(&self) -> io::Result<Arc<Vec<u8>>> {
        // Locked while it is packed: many hosts may need it at once.
        let mut packed = self.packed.lock().await;
        if let Some(there) = packed.upgrade() {
            return Ok(there);
        }
        let path = self.path.clone();
        let pack = move || -> io::Result<Vec<u8>> {
            let mut gz = GzEncoder::new(Vec::new(), Compression::new(4));
            io::copy(&mut File::open(path)?, &mut gz)?;
            gz.finish()
        };
        let fresh = Arc::new(tokio::task::spawn_blocking(pack).await.map_err(io::Error::other)??);
        *packed = Arc::downgrade(&fresh);
        Ok(fresh)
    }
}

/// Starts the agent of a run through a connection, placing the program first where it is missing. The channel speaks
/// frames from here on; the first is the welcome.
pub(super) async fn attach(
    master: &Master,
    host: &str,
    program: &Program,
    run: &str,
    idle: Duration,
) -> Result<Channel, LinkError> {
    let known = program.known().await.map_err(|e| failed(host, &program.path, &e))?;
    let mut placed = false;
    loop {
        let mark = mark();
        let mut channel = master.channel(&attach_command(&mark, &known.sha256, run, idle)).await?;
        let said = answer(host, marked_line(&mut channel.stdout, &mark)).await?;
        match said.as_deref() {
            // An empty or foreign file there (a disk that lost what was not synced) ends without a frame: place it anew.
            Some("ready") => match peek(host, &mut channel).await? {
                true => return Ok(channel),
                false if placed => {
                    let said = channel.stderr.ended(Duration::from_secs(1)).await;
                    return Err(upload_error(host, format!("it is there and does not run: {}", said.trim())));
                }
                false => {}
            },
            Some("need") if !placed => {}
            Some(other) => return Err(upload_error(host, format!("after placing it, the host says `{other}`"))),
            None => {
                let said = ended(master, host, channel).await?;
                let said = if said.is_empty() { "it ended without a word" } else { &said };
                let why = format!("the login shell does not run commands: {said}");
                return Err(LinkError::Broken { host: host.to_owned(), why });
            }
        }
        place(master, host, program, known).await?;
        placed = true;
    }
}

/// What a shell said that ended without an answer; an error if it is the connection that ended, which trying again may mend.
async fn ended(master: &Master, host: &str, channel: Channel) -> Result<String, LinkError> {
    drop(channel.stdin);
    let said = channel.stderr.ended(Duration::from_secs(1)).await;
    match master.is_alive().await {
        true => Ok(said.trim().to_owned()),
        false => Err(LinkError::Lost { host: host.to_owned(), why: "the connection ended".into(), sent: false }),
    }
}

/// Whether anything follows.
async fn peek(host: &str, channel: &mut Channel) -> Result<bool, LinkError> {
    use tokio::io::AsyncBufReadExt;
    let there = async { channel.stdout.fill_buf().await.map(|b| !b.is_empty()) };
    answer(host, there).await
}

async fn place(master: &Master, host: &str, program: &Program, known: &Known) -> Result<(), LinkError> {
    let mark = mark();
    // The script comes first on the input, so that no login shell's quoting gets in its way.
    let mut channel = master.channel("exec /bin/sh -c 'read -r n; s=$(head -c \"$n\"); eval \"$s\"'").await?;
    let script = place_script(&mark, known);
    let script = format!("{}\n{script}", script.len());
    let io_failed = |e: io::Error| LinkError::Lost { host: host.to_owned(), why: e.to_string(), sent: false };
    channel.stdin.write_all(script.as_bytes()).await.map_err(io_failed)?;
    channel.stdin.flush().await.map_err(io_failed)?;

    match answer(host, marked_line(&mut channel.stdout, &mark)).await?.as_deref() {
        Some("send gzip") => {
            let packed = program.packed().await.map_err(|e| failed(host, &program.path, &e))?;
            send(host, &mut channel, packed.len() as u64, &mut packed.as_slice()).await?;
        }
        Some("send plain") => {
            let mut file = tokio::fs::File::open(&program.path).await.map_err(|e| failed(host, &program.path, &e))?;
            send(host, &mut channel, known.size, &mut file).await?;
        }
        Some(why) => return Err(upload_error(host, why.trim_start_matches("no: ").to_owned())),
        None => {
            let said = ended(master, host, channel).await?;
            return Err(upload_error(host, format!("its shell ended: {said}")));
        }
    }
    match answer(host, marked_line(&mut channel.stdout, &mark)).await?.as_deref() {
        Some("done") => Ok(()),
        other => {
            let said = ended(master, host, channel).await?;
            Err(upload_error(host, format!("{}; {said}", other.unwrap_or("its shell ended"))))
        }
    }
}

async fn send(
    host: &str,
    channel: &mut Channel,
    size: u64,
    body: &mut (impl tokio::io::AsyncRead + Unpin),
) -> Result<(), LinkError> {
    let sending = async {
        channel.stdin.write_all(format!("{size}\n").as_bytes()).await?;
        let sent = tokio::io::copy(body, &mut channel.stdin).await?;
        channel.stdin.flush().await?;
        io::Result::Ok(sent)
    };
    let budget = PATIENCE + Duration::from_secs(size / SLOWEST);
    match tokio::time::timeout(budget, sending).await {
        Ok(Ok(_)) => Ok(()),
        // Its shell may have ended for want of space; what it said is read by the caller as "no mark".
        Ok(Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Ok(Err(e)) => Err(LinkError::Lost { host: host.to_owned(), why: e.to_string(), sent: false }),
        Err(_) => Err(LinkError::TimedOut { host: host.to_owned(), what: "sending the agent".into(), after: budget }),
    }
}

/// An answer of the far shell, in time.
async fn answer<T>(host: &str, said: impl Future<Output = io::Result<T>>) -> Result<T, LinkError> {
    match tokio::time::timeout(ANSWER, said).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(e)) => Err(LinkError::Lost { host: host.to_owned(), why: e.to_string(), sent: false }),
        Err(_) => Err(LinkError::TimedOut {
            host: host.to_owned(),
            what: "its login shell did not start the agent".into(),
            after: ANSWER,
        }),
    }
}

/// A word that no login's chatter holds.
fn mark() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    format!("stx-upgrade-{}: ", id.split('-').next().unwrap_or_default())
}

/// One line in single quotes, so that any login shell passes it on as it is.
fn attach_command(mark: &str, sha256: &str, run: &str, idle: Duration) -> String {
    let idle = idle.as_secs();
    let start = format!("echo \"{mark}ready\"; exec \"$b\" agent attach {run} {idle}");
    format!(
        "exec /bin/sh -c 'b=\"${{XDG_CACHE_HOME:-$HOME/.cache}}/stx-upgrade/{sha256}/stx-upgrade\"; \
         if [ -x \"$b\" ]; then {start}; fi; u=$(id -u); \
         for d in /var/tmp /tmp /dev/shm; do d=$d/stx-upgrade-$u; [ -h \"$d\" ] && continue; b=$d/{sha256}/stx-upgrade; \
         if [ -O \"$d\" ] && [ -x \"$b\" ]; then {start}; fi; done; echo \"{mark}need\"'"
    )
}

/// Finds a directory that is ours, has space, and lets programs run; says `send`, reads a count and that many bytes,
/// checks the digest, puts the program in place at once, and removes those of other versions.
fn place_script(mark: &str, known: &Known) -> String {
    let Known { sha256, size } = known;
    let arch = std::env::consts::ARCH;
    let kilobytes = size / 1024 + 1024;
    format!(
        r#"umask 077
say() {{ echo "{mark}$1"; }}
m=$(uname -m)
if [ "$m" != {arch} ]; then say "no: the host is $m, and this program is built for {arch}"; exit 0; fi
u=$(id -u); why=; dir=
for r in "${{XDG_CACHE_HOME:-$HOME/.cache}}/stx-upgrade" "/var/tmp/stx-upgrade-$u" "/tmp/stx-upgrade-$u" "/dev/shm/stx-upgrade-$u"; do
  d="$r/{sha256}"
  if [ -h "$r" ] || ! mkdir -p "$r" 2>/dev/null || [ -h "$r" ] || [ ! -O "$r" ] || ! mkdir -p "$d" 2>/dev/null || [ ! -O "$d" ]; then why="$why; $r cannot be made or is not ours"; continue; fi
  chmod 711 "$r"; chmod 700 "$d"; p="$d/probe.$$"
  if ! {{ printf '#!/bin/sh\n' >"$p"; }} 2>/dev/null; then why="$why; $r is full"; rm -f "$p"; rmdir "$d" "$r" 2>/dev/null; continue; fi
  chmod 700 "$p"
  if ! "$p" 2>/dev/null; then why="$why; $r is mounted noexec"; rm -f "$p"; rmdir "$d" "$r" 2>/dev/null; continue; fi
  rm -f "$p"
  set -- $(df -Pk "$d" | tail -n 1)
  if [ "$4" -lt {kilobytes} ] 2>/dev/null; then why="$why; $r has $4 kB free and {kilobytes} are needed"; rmdir "$d" "$r" 2>/dev/null; continue; fi
  dir=$d; break
done
if [ -z "$dir" ]; then say "no: no directory can hold it${{why}}"; exit 0; fi
for o in "$dir"/new.*; do kill -0 "${{o##*.}}" 2>/dev/null || rm -f "$o"; done
t="$dir/new.$$"
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP PIPE TERM
if command -v gzip >/dev/null 2>&1; then say "send gzip"; read -r n; head -c "$n" | gzip -dc >"$t"
else say "send plain"; read -r n; head -c "$n" >"$t"; fi
s=$(sha256sum <"$t")
if [ "${{s%% *}}" != {sha256} ]; then say "what came is not what was sent"; exit 0; fi
chmod 700 "$t" && mv -f "$t" "$dir/stx-upgrade" || {{ say "it cannot be put in place"; exit 0; }}
for o in "$r"/*; do
  n=${{o##*/}}
  if [ ${{#n}} -eq 64 ] && [ "$n" != {sha256} ]; then rm -rf "$o"; fi
done
say done
"#
    )
}

fn upload_error(host: &str, why: String) -> LinkError {
    LinkError::Upload { host: host.to_owned(), why }
}

fn failed(host: &str, path: &Path, e: &io::Error) -> LinkError {
    upload_error(host, format!("{} cannot be read on this machine: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_command_survives_any_login_shell() {
        let command = attach_command("mark: ", &"a".repeat(64), "r1", Duration::from_secs(900));
        assert_eq!(command.matches('\'').count(), 2);
        assert!(!command.contains(['\n', '!', '\\']), "{command}");
        let home = tempfile::tempdir().unwrap();
        let out = Command::new("/bin/sh")
            .arg("-c")
            .arg(&command)
            .env("HOME", home.path())
            .env_remove("XDG_CACHE_HOME")
            .output();
        assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), "mark: need\n");
    }

    /// Runs the script as a host would, with `body` as the program that is sent.
    fn placed(home: &Path, sha256: &str, body: &[u8]) -> String {
        placed_as(home, &Known { sha256: sha256.to_owned(), size: body.len() as u64 }, body)
    }

    fn placed_as(home: &Path, known: &Known, body: &[u8]) -> String {
        let script = place_script("mark: ", known);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(body).unwrap();
        let packed = gz.finish().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", &script])
            .env("HOME", home)
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended already, with a word that says why.
        let _ = stdin.write_all(format!("{}\n", packed.len()).as_bytes()).and_then(|()| stdin.write_all(&packed));
        drop(stdin);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn placing_checks_and_clears_out() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join(".cache/stx-upgrade");
        let older = root.join("b".repeat(64));
        std::fs::create_dir_all(&older).unwrap();
        std::fs::create_dir_all(root.join("run")).unwrap();
        let body = b"#!/bin/sh\n";
        let sha256 = hex::encode(Sha256::digest(body));

        assert_eq!(
            placed(home.path(), &sha256, b"something else"),
            "mark: send gzip\nmark: what came is not what was sent\n"
        );
        assert!(!root.join(&sha256).join("stx-upgrade").exists());
        assert!(older.exists());

        assert_eq!(placed(home.path(), &sha256, body), "mark: send gzip\nmark: done\n");
        assert_eq!(std::fs::read(root.join(&sha256).join("stx-upgrade")).unwrap(), body);
        assert!(!older.exists() && root.join("run").exists());
    }

    #[test]
    fn nothing_is_left_where_it_cannot_be() {
        let home = tempfile::tempdir().unwrap();
        let said = placed_as(home.path(), &Known { sha256: "a".repeat(64), size: 1 << 60 }, b"");
        assert!(said.starts_with("mark: no: no directory can hold it; "), "{said}");
        assert!(!home.path().join(".cache/stx-upgrade").exists());
    }
}
