//! The lab as a whole: brings it up, upgrades it by plain ssh and shell, breaks it, and looks that nothing is left.
//!
//! Needs root and the packages of tools/packages; says so and stops where they are missing.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stx-lab");
const PASSWORD: &str = "Li69nux*St8";

/// Why the lab cannot run here, if it cannot.
fn hindrance() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".into());
    }
    for program in ["/usr/sbin/sshd", "/usr/bin/sudo", "/usr/bin/etcd", "/usr/bin/sshpass", "/usr/bin/psql"] {
        if !Path::new(program).exists() {
            return Some(format!("{program} is missing; tools/setup installs it"));
        }
    }
    let namespaces = Command::new("unshare").args(["-m", "-n", "-p", "true"]).output();
    match namespaces {
        Ok(out) if out.status.success() => None,
        _ => Some("no namespaces here".into()),
    }
}

/// Say on the terminal that a test was skipped, and why: the harness would swallow `eprintln!`.
fn skipped(test: &str) -> bool {
    let Some(why) = hindrance() else { return false };
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    true
}

/// A lab that is taken down again, whatever happens.
struct Lab {
    base: PathBuf,
}

impl Lab {
    fn up(tag: &str, rate: u32) -> Lab {
        let lab = Lab { base: PathBuf::from(format!("/tmp/stxl-{tag}-{}", std::process::id())) };
        let out = lab.lab(&["up", "simplex", "--rate", &rate.to_string()]);
        assert!(out.status.success(), "up: {}", text(&out.stderr));
        lab
    }

    fn lab(&self, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .env("STX_LAB_DIR", &self.base)
            .stdin(Stdio::null())
            .output()
            .expect("stx-lab runs")
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.lab(&["status", "--json"]).stdout).expect("status is JSON")
    }

    fn ssh(&self, known_hosts: &str, extra: &[&str]) -> Command {
        let mut command = Command::new("sshpass");
        command.args(["-p", PASSWORD, "ssh", "-F", "none", "-o"]);
        command.arg(format!("ProxyCommand=env STX_LAB_DIR={} {PROGRAM} connect %h %p", self.base.display()));
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.base.join("lab").join(known_hosts).display()));
        command.args([
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "ServerAliveInterval=3",
        ]);
        command.args([
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "PreferredAuthentications=password",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.args(extra).arg("sysadmin@10.10.10.2").env("STX_LAB_DIR", &self.base);
        command
    }

    /// Run a line on the host as sysadmin; the key of the host is the one known from `up`.
    fn on(&self, line: &str, input: &str) -> Output {
        self.run(self.ssh("known_hosts", &["-o", "StrictHostKeyChecking=yes"]), line, input)
    }

    /// The same on the reinstalled host, whose key is accepted anew.
    fn after_wipe(&self, line: &str, input: &str) -> Output {
        self.run(self.ssh("known_hosts.new", &["-o", "StrictHostKeyChecking=accept-new"]), line, input)
    }

    fn run(&self, mut command: Command, line: &str, input: &str) -> Output {
        let mut child = command
            .arg(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ssh runs");
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("ssh ends")
    }

    /// Wait until a line's output has the text.
    #[track_caller]
    fn until(&self, wiped: bool, line: &str, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let out = if wiped { self.after_wipe(line, "") } else { self.on(line, "") };
            if text(&out.stdout).contains(wanted) {
                return;
            }
            assert!(
                Instant::now() < end,
                "waited in vain for {wanted:?} of {line:?}: {}{}",
                text(&out.stdout),
                text(&out.stderr)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How often a change of that name was recorded.
    fn changes(&self, name: &str) -> usize {
        let log = self.lab(&["log", "--json"]);
        text(&log.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| entry["kind"] == "change")
            .flat_map(|entry| entry["changes"].as_array().cloned().unwrap_or_default())
            .filter(|change| change.as_str().is_some_and(|c| c == name || c.starts_with(&format!("{name} "))))
            .count()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.lab(&["down"]);
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn system(line: &str) -> String {
    format!("source /etc/platform/openrc; system {line}")
}

#[track_caller]
fn good(out: &Output) -> String {
    assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn a_whole_upgrade_by_hand() {
    if skipped("a_whole_upgrade_by_hand") {
        return;
    }
    let lab = Lab::up("all", 3000);
    let uuid = lab.status()["system_uuid"].clone();
    let boot = good(&lab.on("cat /proc/sys/kernel/random/boot_id", ""));
    let (iso, sig) = ("loads/21.12/bootimage.iso", "loads/21.12/bootimage.sig");
    good(&lab.on(&system(&format!("load-import {iso} {sig}")), ""));
    lab.until(false, &system("load-list --nowrap"), "imported");
    assert!(!good(&lab.on(&system("health-query-upgrade"), "")).contains("[Fail]"));
    good(&lab.on(&system("upgrade-start"), ""));
    lab.until(false, &system("upgrade-show"), "| started");
    let archives = good(&lab.on("ls /opt/platform-backup", ""));
    assert_eq!(archives.lines().count(), 2, "{archives}");

    // Refusals on the way, then the wipe.
    let early = lab.on(&system("host-upgrade controller-0"), "yes\n");
    assert!(text(&early.stderr).contains("The host must be locked"), "{}", text(&early.stderr));
    good(&lab.on(&system("host-lock controller-0"), ""));
    lab.until(false, &system("host-list --nowrap"), "locked");
    lab.until(false, &system("host-list --nowrap"), "online");
    let unanswered = lab.on(&system("host-upgrade controller-0"), "");
    assert!(text(&unanswered.stderr).contains("EOF when reading a line"));
    assert_eq!(lab.changes("host-upgrade"), 0);
    good(&lab.on(&system("host-upgrade controller-0"), "yes\n"));
    let end = Instant::now() + Duration::from_secs(60);
    while lab.changes("host-down") == 0 {
        assert!(Instant::now() < end, "the host was not wiped");
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.until(true, "cat /etc/build.info", "21.12");

    // Bare: another host key, nothing of the platform, the archives kept.
    let known = lab.on("true", "");
    assert!(text(&known.stderr).contains("HOST IDENTIFICATION HAS CHANGED"), "{}", text(&known.stderr));
    assert_ne!(good(&lab.after_wipe("cat /proc/sys/kernel/random/boot_id", "")), boot);
    let bare = lab
        .after_wipe("system upgrade-show; ls /etc/platform/openrc /opt/platform/puppet; ls /opt/platform-backup", "");
    assert!(text(&bare.stderr).contains("You must provide a username"), "{}", text(&bare.stderr));
    assert_eq!(text(&bare.stdout), archives);

    // The platform does not come up on nothing.
    let hasty = "sudo -S -p '' /usr/local/bin/puppet-manifest-apply.sh /opt/platform/puppet/21.12/hieradata controller-0 \
                 controller ansible_bootstrap; sudo -S -p '' cat /var/log/puppet/latest/puppet.log";
    assert!(text(&lab.after_wipe(hasty, &format!("{PASSWORD}\n{PASSWORD}\n")).stdout).contains("Error: "));

    good(&lab.after_wipe("cat > /tmp/restore.sh", include_str!("restore.sh")));
    good(&lab.after_wipe("sudo -S -p '' bash /tmp/restore.sh 21.05 21.12", &format!("{PASSWORD}\n")));
    assert!(good(&lab.after_wipe(&system("upgrade-show"), "")).contains("upgrading-controllers"));
    good(&lab.after_wipe(&system("restore-start"), ""));
    lab.until(true, &system("host-list --nowrap"), "online");
    let boot = good(&lab.after_wipe("cat /proc/sys/kernel/random/boot_id", ""));
    good(&lab.after_wipe(&system("host-unlock controller-0"), ""));
    lab.until(true, &system("upgrade-show"), "upgrading-hosts");
    lab.until(true, &system("host-list --nowrap"), "available");
    assert_ne!(good(&lab.after_wipe("cat /proc/sys/kernel/random/boot_id", "")), boot);
    good(&lab.after_wipe(&system("upgrade-activate"), ""));
    lab.until(true, &system("upgrade-show"), "activation-complete");
    good(&lab.after_wipe(&system("upgrade-complete"), ""));
    lab.until(true, &system("upgrade-show"), "No upgrade in progress");
    good(&lab.after_wipe(&system("load-delete 1"), ""));

    let status = lab.status();
    assert_eq!(status["software_version"], "21.12");
    assert_eq!(status["upgrade"], Value::Null);
    assert_eq!(status["system_uuid"], uuid);
    for (name, times) in
        [("host-wiped", 1), ("upgrade-starting", 1), ("database-restored", 1), ("upgrade-completed", 1)]
    {
        assert_eq!(lab.changes(name), times, "{name}");
    }
    let data = "sudo -S -p '' sh -c \"cd /; runuser -u postgres -- psql -d sysinv -At -c 'select count(*) from site_notes'; \
                ETCDCTL_API=3 etcdctl get --prefix --keys-only /registry | grep -c registry; \
                curl -s http://127.0.0.1:9001/v2/docker.io/site/frontend/tags/list; ls -A /etc/platform\"";
    let data = good(&lab.after_wipe(data, &format!("{PASSWORD}\n")));
    assert!(data.starts_with("200\n7\n{\"name\":\"docker.io/site/frontend\",\"tags\":[\"1.4.2\"]}"), "{data}");
    assert!(data.contains(".initial_config_complete") && !data.contains(".restore_in_progress"), "{data}");
}

#[test]
fn power_links_faults_and_what_is_left() {
    if skipped("power_links_faults_and_what_is_left") {
        return;
    }
    let lab = Lab::up("pwr", 3000);
    let inventory: Value = serde_json::from_slice(&lab.lab(&["inventory", "--list"]).stdout).expect("JSON");
    assert_eq!(inventory["_meta"]["hostvars"]["controller-0"]["ansible_host"], "10.10.10.2");

    let boot = good(&lab.on("cat /proc/sys/kernel/random/boot_id; touch /tmp/volatile ~/kept", ""));
    let _ = lab.on("sudo -S -p '' reboot", &format!("{PASSWORD}\n"));
    let end = Instant::now() + Duration::from_secs(60);
    while lab.changes("host-enabled") == 0 {
        assert!(Instant::now() < end, "the host did not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.until(false, &system("host-list --nowrap"), "available");
    let after = good(&lab.on("cat /proc/sys/kernel/random/boot_id; ls /tmp; ls ~", ""));
    assert!(!after.contains(boot.trim()) && !after.contains("volatile") && after.contains("kept"), "{after}");

    assert!(lab.lab(&["power-cut", "controller-0"]).status.success());
    assert!(!lab.on("true", "").status.success());
    assert!(lab.lab(&["power-on", "controller-0"]).status.success());
    lab.until(false, &system("host-list --nowrap"), "available");

    assert!(lab.lab(&["link", "controller-0", "down"]).status.success());
    assert!(!lab.on("true", "").status.success());
    assert!(lab.lab(&["link", "controller-0", "up"]).status.success());
    lab.until(false, "hostname", "controller-0");

    assert!(lab.lab(&["fault", "add", "alarm-new", "id=100.101"]).status.success());
    lab.until(false, "source /etc/platform/openrc; fm alarm-list --nowrap --mgmt_affecting", "100.101");
    assert!(lab.lab(&["fault", "clear", "all"]).status.success());
    assert_eq!(good(&lab.on("source /etc/platform/openrc; fm alarm-list", "")), "\n");
    assert!(lab.lab(&["fault", "add", "disk-full", "mount=/opt/platform-backup"]).status.success());
    lab.until(false, "df --output=pcent /opt/platform-backup", "100%");
    let unknown = lab.lab(&["fault", "add", "no-such-fault"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("fault list"));

    let dir = lab.base.join("lab").display().to_string();
    assert!(lab.lab(&["down"]).status.success());
    assert!(!Path::new(&dir).exists());
    let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
    assert!(!mounts.contains(&dir), "{mounts}");
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!text(&line).contains(&dir), "{} is left", text(&line));
    }
}
