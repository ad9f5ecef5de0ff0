//! The lab as an ordinary user: in a user namespace, or a line that says what to enable.
//!
//! Run by root, the tests take the account `nobody`, with subordinate ids that only they see; run by anybody else, they
//! take that account as it is.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NOBODY: u32 = 65534;

/// A directory in the open with a copy of the program, and the lab below it.
struct User {
    dir: PathBuf,
    subordinates: bool,
}

impl User {
    fn new(tag: &str, subordinates: bool) -> User {
        let dir = PathBuf::from(format!("/var/tmp/stxu-{tag}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_stx-lab"), dir.join("stx-lab")).unwrap();
        std::fs::set_permissions(dir.join("stx-lab"), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.join("ids"), if subordinates { "nobody:100000:65536\n" } else { "" }).unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        User { dir, subordinates }
    }

    fn lab(&self, args: &[&str]) -> Output {
        let program = self.dir.join("stx-lab");
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("unshare");
            let script = "mount --bind \"$1\" /etc/subuid && mount --bind \"$1\" /etc/subgid && shift && \
                          exec setpriv --reuid=nobody --regid=nogroup --clear-groups \"$@\"";
            command.args(["--mount", "sh", "-c", script, "sh"]).arg(self.dir.join("ids"));
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args).env("STX_LAB_DIR", self.dir.join("l")).current_dir("/").output().unwrap()
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let out = self.lab(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    #[track_caller]
    fn on(&self, script: &str) -> String {
        self.good(&["exec", "controller-0", "--", "sh", "-c", script])
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.subordinates {
            self.lab(&["down"]);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn skipped(test: &str) -> bool {
    let why = if !Path::new("/usr/bin/newuidmap").exists() {
        "newuidmap is missing; tools/setup installs it"
    } else if !Command::new("unshare").args(["--user", "true"]).status().is_ok_and(|status| status.success()) {
        "no user namespaces here"
    } else {
        return false;
    };
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    true
}

#[test]
fn a_simplex_system_of_an_ordinary_user() {
    if skipped("a_simplex_system_of_an_ordinary_user") {
        return;
    }
    let user = User::new("up", true);
    user.good(&["up", "simplex", "--rate", "3000"]);
    // sudo with its password, the database, etcd, the platform: as in root's lab.
    assert_eq!(user.on("su - sysadmin -c \"echo 'Li69nux*St8' | sudo -S -p '' id -u\""), "0\n");
    assert_eq!(user.on("runuser -u postgres -- psql -At -d sysinv -c 'select hostname from i_host'"), "controller-0\n");
    assert_eq!(user.on("etcdctl get --prefix /registry --keys-only | grep -c registry"), "7\n");
    assert!(user.on(". /etc/platform/openrc; system host-list").contains("available"));
    // The machine's files can be replaced and removed, and its directories begun anew.
    user.on("rm /usr/bin/ssh; touch /usr/bin/own /etc/own; rm -rf /etc/ssl; mkdir /etc/ssl; touch /etc/ssl/own");
    let boot = user.on("cat /proc/sys/kernel/random/boot_id");
    user.good(&["reboot", "controller-0"]);
    let mut again = String::new();
    while again.is_empty() || again == boot {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let out = user.lab(&["exec", "controller-0", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
        again = String::from_utf8(out.stdout).unwrap();
    }
    assert_eq!(
        user.on("ls /usr/bin/own /etc/own /etc/ssl; ls /usr/bin/ssh 2>&1 | wc -l"),
        "/etc/own\n/usr/bin/own\n\n/etc/ssl:\nown\n1\n"
    );
    assert!(Path::new("/usr/bin/ssh").exists() && !Path::new("/etc/own").exists(), "the machine itself is untouched");
    // A wipe takes all of that away.
    user.good(&["wipe", "controller-0", "--release", "21.12"]);
    let mut bare = String::new();
    while !bare.contains("21.12") {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let out = user.lab(&["exec", "controller-0", "--", "grep", "SW_VERSION", "/etc/build.info"]);
        bare = String::from_utf8(out.stdout).unwrap();
    }
    assert_eq!(user.on("ls /etc/own /usr/bin/own /etc/platform/openrc 2>/dev/null; ls /usr/bin/ssh"), "/usr/bin/ssh\n");
    user.good(&["down"]);
    assert!(!user.dir.join("l/lab").exists());
}

#[test]
fn what_to_enable_is_said_in_one_line() {
    if skipped("what_to_enable_is_said_in_one_line") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let user = User::new("no", false);
    let out = user.lab(&["up", "simplex"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(out.stderr).unwrap(),
        "stx-lab: the lab runs as root, or else in a user namespace; to allow that here, as root: \
         usermod --add-subuids 100000-165535 --add-subgids 100000-165535 nobody\n"
    );
    assert!(!user.dir.join("l").exists(), "nothing was made");
}

#[test]
fn a_pair_of_an_ordinary_user() {
    if skipped("a_pair_of_an_ordinary_user") {
        return;
    }
    let user = User::new("pair", true);
    user.good(&["up", "duplex", "--rate", "3000"]);
    let platform = "source /etc/platform/openrc; system";
    user.good(&["exec", "controller-0", "--", "bash", "-c", &format!("{platform} host-swact controller-0")]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let sql = "cd /; runuser -u postgres -- psql -d sysinv -At -c 'select count(*) from site_notes'";
    let notes = loop {
        let out = user.lab(&["exec", "controller-1", "--", "sh", "-c", sql]);
        if out.status.success() {
            break String::from_utf8(out.stdout).unwrap();
        }
        assert!(std::time::Instant::now() < end, "the services did not move: {}", user.good(&["status"]));
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert_eq!(notes, "200\n");
    let list = user.good(&["exec", "controller-1", "--", "bash", "-c", &format!("sleep 0.1; {platform} host-list")]);
    assert_eq!(list.matches(" available ").count(), 2, "{list}");
}
