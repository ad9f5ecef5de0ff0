//! One sshd on the loopback for all tests of the link, with its own keys, and as root its own users: it runs in a mount
//! namespace with a copy of `/etc`, so that nothing stays on the machine.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io};

use stx_upgrade::action::module::{Become, Call};
use stx_upgrade::connection::{Blobs, Connector, Link, Target};
use stx_upgrade::model::value::{Dict, Value};

/// Users of the lab, each with [`PASSWORD`]: one may become anybody with its password, one with none, one nobody; of
/// one the sudoers demand a terminal; the password of one has expired; one has a home that it cannot write to;
/// one's `.bashrc` chatters; the shell of one is no shell of Unix's, as csh and fish; one has none.
pub const OPS: &str = "linkops";
pub const FREE: &str = "linkfree";
pub const PLAIN: &str = "linkplain";
pub const TTY: &str = "linktty";
pub const OLD: &str = "linkold";
pub const BARE: &str = "linkbare";
pub const LOUD: &str = "linkloud";
pub const ODD: &str = "linkodd";
pub const SHUT: &str = "linkshut";
const USERS: [&str; 9] = [OPS, FREE, PLAIN, TTY, OLD, BARE, LOUD, ODD, SHUT];
/// Knows no substitution and no second command outside single quotes, and in them no backslash and no `!`.
const ODD_SHELL: &str = r#"#!/bin/sh
[ "$1" = -c ] || exit 1
case $2 in *\\*|*!*) echo 'odd: what is this?'; exit 1;; esac
case $(printf %s "$2" | sed "s/'[^']*'//g") in *[\$\`\(\)\{\}\;\&\|]*) echo 'odd: what is that?'; exit 1;; esac
exec /bin/sh -c "$2"
"#;
/// With the characters that shells and prompts trip over.
pub const PASSWORD: &str = "p&ss'w$rd \"x\\";

pub struct Lab {
    pub dir: PathBuf,
    pub port: u16,
    sshd: Mutex<Option<Child>>,
    runs: AtomicU32,
}

impl Lab {
    pub fn start() -> io::Result<&'static Lab> {
        let dir = tempfile::Builder::new().prefix("stxlink-").tempdir()?.keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let key = |name: &str| {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(name)).status();
            made.and_then(|s| if s.success() { Ok(()) } else { Err(io::Error::other("ssh-keygen")) })
        };
        for name in ["host", "user", "stranger"] {
            key(name)?;
        }
        fs::copy(dir.join("user.pub"), dir.join("authorized"))?;
        fs::create_dir(dir.join("cache"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let d = dir.display();
        let own_cache = if is_root() { String::new() } else { format!("SetEnv XDG_CACHE_HOME={d}/cache\n") };
        fs::write(
            dir.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile none\nAuthorizedKeysFile {d}/authorized\n\
                 StrictModes no\nUsePAM {}\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin yes\nMaxStartups 100\nMaxSessions 10\nLogLevel ERROR\nPrintMotd no\n{own_cache}",
                if is_root() { "yes" } else { "no" }
            ),
        )?;
        let host_key = fs::read_to_string(dir.join("host.pub"))?;
        fs::write(dir.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}"))?;
        let mut sshd = if is_root() {
            fs::write(dir.join("up.sh"), users_script(&dir))?;
            fs::write(dir.join("odd-shell"), ODD_SHELL)?;
            fs::set_permissions(dir.join("odd-shell"), fs::Permissions::from_mode(0o755))?;
            let mut c = Command::new("unshare");
            c.args(["--mount", "--propagation", "private", "/bin/sh", "-eu"]).arg(dir.join("up.sh"));
            c
        } else {
            let mut c = Command::new("/usr/sbin/sshd");
            c.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
            c
        };
        let log = fs::File::create(dir.join("log"))?;
        let child = sshd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let lab = Lab { dir, port, sshd: Mutex::new(Some(child)), runs: AtomicU32::new(0) };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                let log = fs::read_to_string(lab.dir.join("log"))?;
                lab.stop();
                return Err(io::Error::other(format!("sshd does not listen: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Box::leak(Box::new(lab)))
    }

    pub fn stop(&self) {
        if let Some(mut sshd) = self.sshd.lock().unwrap().take() {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }

    pub fn has_users(&self) -> bool {
        is_root()
    }

    /// A name of a run that no other test has.
    pub fn run(&self) -> String {
        format!("t{}-{}", std::process::id(), self.runs.fetch_add(1, Ordering::Relaxed))
    }

    pub fn connector(&self, run: &str) -> Connector {
        self.connector_with(run, Arc::new(()), Duration::from_secs(60))
    }

    pub fn connector_with(&self, run: &str, blobs: Arc<dyn Blobs>, idle: Duration) -> Connector {
        Connector::with_program(run, blobs, std::env::current_exe().unwrap(), idle)
    }

    /// The host as the user of most tests, by key.
    pub fn target(&self) -> Target {
        let user = if is_root() { OPS.to_owned() } else { std::env::var("USER").unwrap() };
        self.target_as(&user)
    }

    pub fn target_as(&self, user: &str) -> Target {
        let known = format!("UserKnownHostsFile={}", self.dir.join("known_hosts").display());
        Target {
            address: "127.0.0.1".into(),
            port: Some(self.port),
            user: Some(user.into()),
            key_file: Some(self.dir.join("user")),
            // Its own key exchange: the default one costs a tenth of a second of CPU.
            ssh_args: ["-F", "none", "-o", &known, "-o", "IdentitiesOnly=yes", "-o", "KexAlgorithms=curve25519-sha256"]
                .map(str::to_owned)
                .to_vec(),
            ..Target::new(HOST)
        }
    }

    /// The same with a word that only this ssh has on its command line.
    pub fn marked_target(&self) -> (Target, String) {
        let mark = self.dir.join(format!("known-{}-marked", self.run()));
        fs::copy(self.dir.join("known_hosts"), &mark).unwrap();
        let mut target = self.target();
        let mark = mark.display().to_string();
        target.ssh_args[3] = format!("UserKnownHostsFile={mark}");
        (target, mark)
    }

    /// A link of a run of its own.
    pub async fn link(&self) -> Link {
        self.connector(&self.run()).open(&self.target()).await.unwrap()
    }

    /// Where the program is cached on the host.
    pub fn cache(&self) -> PathBuf {
        if is_root() {
            self.dir.join("home").join(OPS).join(".cache/stx-upgrade")
        } else {
            self.dir.join("cache/stx-upgrade")
        }
    }

    pub fn run_dir(&self, run: &str) -> PathBuf {
        self.cache().join("run").join(agent(run))
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn users_script(dir: &Path) -> String {
    let d = dir.display();
    let mut script = format!(
        "cp -a /etc {d}/etc\nmount --bind {d}/etc /etc\nmkdir -p {d}/home /run/sshd\nmount -t tmpfs none /etc/sudoers.d\n\
         rm -f /etc/nologin /run/nologin\n"
    );
    for (n, user) in USERS.into_iter().enumerate() {
        let uid = 64100 + n;
        let shell = match user {
            LOUD => "/bin/bash".to_owned(),
            ODD => format!("{d}/odd-shell"),
            SHUT => "/usr/sbin/nologin".to_owned(),
            _ => "/bin/sh".to_owned(),
        };
        script += &format!(
            "echo '{user}:x:{uid}:{uid}::{d}/home/{user}:{shell}' >>/etc/passwd\necho '{user}:x:{uid}:' >>/etc/group\n\
             echo '{user}:*:19000:0:99999:7:::' >>/etc/shadow\nmkdir {d}/home/{user}\nchown {uid}:{uid} {d}/home/{user}\n\
             chmod 700 {d}/home/{user}\n"
        );
    }
    script += &format!("chpasswd <<'EOF'\n{}EOF\n", USERS.map(|u| format!("{u}:{PASSWORD}\n")).concat());
    script += &format!(
        "chown 0:0 {d}/home/{BARE}\nchmod 555 {d}/home/{BARE}\n\
         echo 'echo welcome; printf unended; echo noise >&2' >{d}/home/{LOUD}/.bashrc\n\
         sed -i 's/^{OLD}:\\([^:]*\\):[0-9]*:0:99999:/{OLD}:\\1:10000:0:30:/' /etc/shadow\n\
         cat >/etc/sudoers <<'EOF'\nDefaults timestamp_timeout=0, lecture=never, passwd_tries=3\nDefaults:{TTY} requiretty\nroot ALL=(ALL) ALL\n\
         {OPS} ALL=(ALL) ALL\n{FREE} ALL=(ALL) NOPASSWD: ALL\n{TTY} ALL=(ALL) NOPASSWD: ALL\n{OLD} ALL=(ALL) ALL\nEOF\n\
         exec /usr/sbin/sshd -D -e -f {d}/sshd_config\n"
    );
    script
}

/// A call of a module with these arguments.
pub fn call(module: &str, args: Dict) -> Call {
    let args = Value::dict(args);
    Call {
        module: module.into(),
        args,
        env: vec![],
        deadline: 60,
        check: false,
        fresh: false,
        become_: None,
        job: None,
    }
}

/// A line of shell.
pub fn sh(line: &str) -> Call {
    call("sh", stx_upgrade::dict! {"line" => line})
}

pub fn becoming(call: Call, user: &str) -> Call {
    Call { become_: Some(sudo(user)), ..call }
}

pub fn sudo(user: &str) -> Become {
    Become { method: "sudo".into(), user: user.into(), exe: None, flags: None, chdir: None }
}

/// The host's name in an inventory.
const HOST: &str = "c0";

/// What a run's agent is called on that host: each name of the inventory has an agent of its own.
pub fn agent(run: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("{run}-{}", hex::encode(&Sha256::digest(HOST)[..4]))
}

/// Processes whose command line holds all of these words.
pub fn processes(words: &[&str]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if words.iter().all(|w| line.contains(w)) {
            found.push(pid);
        }
    }
    found
}

/// The agent's processes of a run, in all roles.
pub fn of_run(run: &str) -> Vec<u32> {
    processes(&[" agent ", &format!(" {} ", agent(run))])
}

pub fn kill(pid: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
}

pub fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits for what must come soon.
pub async fn soon(what: &str, mut seen: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !seen() {
        assert!(Instant::now() < end, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
