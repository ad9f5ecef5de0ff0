//! The lab's command lines against what the real software printed: text, error text and exit code.
//!
//! The recordings (`transcripts/`) were made with the platform's own client and API of release 22.12 and an invented
//! next release 24.03. Identifiers and time stamps are compared by their shape.

use std::collections::BTreeMap;
use std::path::Path;
use stx_lab::server;
use stx_lab::shell::{FileSeen, Invocation, Local};
use stx_lab::system::seed::{self, Wish};
use stx_lab::system::{Effect, System};

/// A recording.
struct Recording {
    argv: Vec<String>,
    rc: i32,
    out: String,
    err: String,
}

fn recording(name: &str) -> Recording {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let (head, rest) = text.split_once("# stdout\n").expect("a part for standard output");
    let (out, err) = rest.split_once("# stderr\n").expect("a part for standard error");
    let mut lines = head.lines();
    let command = lines.next().and_then(|line| line.strip_prefix("$ ")).expect("a command line");
    let rc = lines
        .next()
        .and_then(|line| line.strip_prefix("# exit "))
        .and_then(|rc| rc.parse().ok())
        .expect("an exit code");
    let out = match out.strip_suffix("\n# (no newline at end of stdout)\n") {
        Some(cut) => cut.to_string(),
        None => out.to_string(),
    };
    Recording { argv: command.split(' ').map(str::to_string).collect(), rc, out, err: err.into() }
}

/// Identifiers and stamps by their shape.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let uuid = bytes.len() - at >= 36
            && text.is_char_boundary(at + 36)
            && (0..36).all(|i| match i {
                8 | 13 | 18 | 23 => bytes[at + i] == b'-',
                _ => bytes[at + i].is_ascii_hexdigit(),
            });
        let stamp = !uuid
            && bytes.len() - at >= 26
            && text.is_char_boundary(at + 26)
            && bytes[at..at + 4].iter().all(u8::is_ascii_digit)
            && bytes[at + 4] == b'-'
            && bytes[at + 10] == b'T'
            && bytes[at + 19] == b'.';
        if uuid {
            out.push_str("UUID--------------------------------");
            at += 36;
        } else if stamp {
            out.push_str("STAMP---------------------");
            at += 26;
        } else {
            out.push(bytes[at] as char);
            at += 1;
        }
    }
    out
}

/// A system to put the recorded questions to.
struct Rehearsal {
    system: System,
    width: usize,
}

impl Rehearsal {
    fn new(topology: &str) -> Rehearsal {
        let wish = Wish { from: "22.12".into(), to: "24.03".into(), ..Wish::default() };
        let mut system = seed::system(&wish);
        system.clock.frozen = true;
        system.info.name = "stx-test".into();
        system.info.description = "real sysinv under test".into();
        system.info.timezone = None;
        for (app, version) in system.apps.iter_mut().zip(["1.0-34", "22.12-1", "22.12-0", "22.12-9"]) {
            app.version = version.into();
        }
        let first = &mut system.hosts[0];
        first.mgmt_ip = "192.168.204.3".into();
        first.mgmt_mac = "03:11:22:33:44:10".into();
        first.config_applied = "config_value".into();
        first.config_target = "config_value".into();
        first.task = Some(String::new());
        first.booted_at = 0.0;
        if topology != "simplex" {
            system.info.system_mode = "duplex".into();
            system.info.system_type = "Standard".into();
            system.hosts[0].subfunctions = "controller".into();
            let mut second = system.hosts[0].clone();
            second.id = 2;
            second.hostname = "controller-1".into();
            second.mgmt_ip = "192.168.204.4".into();
            second.mgmt_mac = "03:11:22:33:44:11".into();
            system.hosts.push(second);
        }
        if topology == "worker" {
            let mut third = system.hosts[0].clone();
            third.id = 3;
            third.hostname = "worker-0".into();
            third.personality = "worker".into();
            third.stor_function = false;
            third.kube.control_plane = None;
            system.hosts.push(third);
        }
        Rehearsal { system, width: 200 }
    }

    /// Put the recorded command to the lab, with these answers to its questions.
    #[track_caller]
    fn asked(&mut self, name: &str, answers: &[&str]) {
        let recorded = recording(name);
        let (mut out, mut given) = (String::new(), Vec::new());
        let mut call = self.invocation(&recorded.argv);
        let reply = loop {
            let reply = server::command(&mut self.system, &call, "controller-0");
            let Some(question) = &reply.ask else { break reply };
            out.push_str(question);
            match answers.get(given.len()) {
                Some(answer) => given.push((*answer).to_string()),
                None => call.eof = true,
            }
            call.answers.clone_from(&given);
        };
        out.push_str(&reply.out);
        assert_eq!(masked(&out), masked(&recorded.out), "{name}: standard output");
        assert_eq!(masked(&reply.err), masked(&recorded.err), "{name}: standard error");
        assert_eq!(reply.rc, recorded.rc, "{name}: exit code");
    }

    #[track_caller]
    fn same(&mut self, names: &[&str]) {
        for name in names {
            self.asked(name, &[]);
        }
    }

    fn invocation(&self, argv: &[String]) -> Invocation {
        let mut files = BTreeMap::new();
        let mut put = |name: &str, text: &str| {
            files.insert(name.to_string(), FileSeen { exists: true, digest: "d1".into(), text: text.into() });
        };
        put("bootimage-24.03.iso", "version=24.03\nfrom=22.12\n");
        put("noxml.iso", "nothing of use");
        put("same.iso", "version=22.12\nfrom=21.12\n");
        put("nopath.iso", "version=24.03\nfrom=21.12\n");
        put("bootimage-24.03.sig", "d1  bootimage-24.03.iso\n");
        let env = [
            ("OS_USERNAME", "admin"),
            ("OS_PASSWORD", "Admin*Pass1&"),
            ("OS_AUTH_URL", "http://192.168.204.1:5000/v3"),
        ];
        Invocation {
            argv: argv.to_vec(),
            user: "sysadmin".into(),
            uid: 42425,
            cwd: "/home/sysadmin".into(),
            env: env.map(|(key, value)| (key.to_string(), value.to_string())).into(),
            width: self.width,
            local: Local {
                active_units: ["keystone", "sysinv-api", "fm-api"].map(String::from).to_vec(),
                database: true,
                files,
            },
            answers: vec![],
            eof: false,
        }
    }

    fn later(&mut self, seconds: f64) {
        self.system.clock.push(seconds);
        self.system.tick();
        let made = |effect: &Effect| matches!(effect, Effect::Backup { .. } | Effect::Export { .. });
        if self.system.take_effects().iter().any(made) {
            self.system.backup_done(Ok(()));
        }
    }

    fn fault(&mut self, name: &str) {
        let fault = stx_lab::system::faults::Fault {
            name: name.into(),
            parameters: BTreeMap::new(),
            when: None,
            armed: false,
            times: None,
        };
        self.system.add_fault(fault).expect("a fault of the catalogue");
    }
}

#[test]
fn simplex_start_and_abort() {
    let mut lab = Rehearsal::new("simplex");
    lab.same(&["s8-aio-007-show", "s8-aio-008-host-list", "s8-aio-009-kube-host-upgrade-list"]);
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    lab.same(&["s8-aio-010-health-query-upgrade", "s8-aio-011-upgrade-start"]);
    lab.later(20.0);
    lab.later(300.0);
    lab.same(&["s8-aio-012-upgrade-show", "s8-aio-013-host-swact-controller-0"]);
    lab.asked("s8-aio-014-upgrade-abort", &["yes"]);
    lab.same(&["s8-aio-015-upgrade-show", "s8-aio-016-upgrade-complete"]);
    lab.later(60.0);
    lab.same(&["s8-aio-017-upgrade-show"]);
}

#[test]
fn reading_a_healthy_system() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-001-version",
        "s8-dx-002-show",
        "s8-dx-003-host-list",
        "s8-dx-004-host-show-controller-0",
        "s8-dx-006-load-list",
        "s8-dx-007-load-show-1",
        "s8-dx-008-upgrade-show",
        "s8-dx-009-host-upgrade-list",
        "s8-dx-010-health-query",
        "s8-dx-011-health-query-upgrade",
        "s8-dx-012-health-query-kube-upgrade",
        "s8-dx-013-kube-version-list",
        "s8-dx-014-kube-version-show-v1.24.4",
        "s8-dx-015-kube-upgrade-show",
        "s8-dx-016-kube-host-upgrade-list",
        "s8-dx-017-application-list",
        "s8-dx-018-application-show-platform-integ-apps",
        "s8-dx-065-host-show-controller-0-column-hostname-column-administrative",
        "s8-dx-066-host-show-controller-0-column-hostname-column-administrative",
        "s8-dx-067-host-show-controller-0-format-yaml",
        "s8-dx-068-host-show-controller-0-format-value-column-availability",
        "s8-dx-070-host-list-column-hostname-column-operational-format-yaml",
    ]);
}

#[test]
fn refusals_without_an_upgrade() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-019-upgrade-start",
        "s8-dx-020-upgrade-activate",
        "s8-dx-021-upgrade-complete",
        "s8-dx-022-host-upgrade-controller-1",
        "s8-dx-023-host-downgrade-controller-1",
        "s8-dx-024-kube-upgrade-download-images",
        "s8-dx-025-kube-upgrade-networking",
        "s8-dx-026-kube-upgrade-complete",
        "s8-dx-027-kube-upgrade-delete",
        "s8-dx-028-kube-upgrade-failed",
        "s8-dx-029-kube-host-upgrade-controller-0-control-plane",
        "s8-dx-030-kube-host-upgrade-controller-0-kubelet",
    ]);
    lab.asked("s8-dx-031-upgrade-abort", &["yes"]);
    lab.asked("s8-dx-032-upgrade-abort", &[]);
    lab.asked("s8-dx-033-upgrade-abort", &["no"]);
    lab.same(&[
        "s8-dx-034-host-lock-controller-0",
        "s8-dx-035-host-unlock-controller-1",
        "s8-dx-036-host-lock-nosuch",
        "s8-dx-037-host-show-nosuch",
        "s8-dx-038-host-show-99",
        "s8-dx-039-host-upgrade-nosuch",
        "s8-dx-040-kube-host-upgrade-controller-0-nothing",
        "s8-dx-041-kube-upgrade-start-v9.9.9",
        "s8-dx-042-kube-upgrade-start-v1.21.8",
        "s8-dx-043-kube-upgrade-start",
        "s8-dx-046-load-import-nofile.iso-nofile.sig",
        "s8-dx-047-load-show-7",
        "s8-dx-048-load-delete-1",
        "s8-dx-049-host-list-format-json",
        "s8-dx-051-host-list-f-json",
        "s8-dx-053-host-list-json",
        "s8-dx-054-upgrade-show-json",
    ]);
}

#[test]
fn importing_a_load() {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&[
        "s8-dx-071-load-import-noxml.iso-bootimage-24.03.sig",
        "s8-dx-072-load-import-same.iso-bootimage-24.03.sig",
        "s8-dx-073-load-import-nopath.iso-bootimage-24.03.sig",
    ]);
    lab.fault("load-signature-bad");
    lab.same(&["s8-dx-074-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.fault("load-import-fails");
    lab.same(&[
        "s8-dx-075-load-import-bootimage-24.03.iso-bootimage-24.03.sig",
        "s8-dx-076-load-list",
        "s8-dx-077-health-query-upgrade",
        "s8-dx-078-upgrade-start",
        "s8-dx-079-load-delete-2",
    ]);
    lab.later(400.0);
    lab.same(&["s8-dx-080-load-list", "s8-dx-081-upgrade-start", "s8-dx-082-load-delete-2"]);
    lab.later(60.0);
    lab.same(&["s8-dx-083-load-list"]);
    lab.system.next_load_id = 2; // the recorded system gave the number again
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig", "s8-dx-085-load-list"]);
    lab.later(400.0);
    lab.same(&[
        "s8-dx-086-load-list",
        "s8-dx-087-load-show-2",
        "s8-dx-088-load-import-bootimage-24.03.iso-bootimage-24.03.sig",
        "s8-dx-089-health-query-upgrade",
    ]);
}

fn imported() -> Rehearsal {
    let mut lab = Rehearsal::new("duplex");
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    lab
}

#[test]
fn health_that_fails() {
    let mut lab = imported();
    lab.system.raise("400.001", "service_domain=controller", "major", "Service group failure");
    lab.same(&[
        "s8-dx-090-health-query",
        "s8-dx-091-health-query-upgrade",
        "s8-dx-092-upgrade-start",
        "s8-dx-093-upgrade-start-force",
        "s8-dx-094-kube-upgrade-start-v1.24.4",
    ]);
    lab.system.alarms.clear();
    lab.system.raise("100.114", "host=controller-0", "minor", "NTP");
    lab.same(&["s8-dx-095-health-query-upgrade", "s8-dx-096-upgrade-start", "s8-dx-097-kube-upgrade-start-v1.24.4"]);
    lab.system.alarms.clear();
    lab.system.hosts[1].config_target = "another".into();
    lab.system.hosts[1].patch_current = false;
    lab.system.unhealthy.insert("nodes".into(), "controller-1".into());
    lab.system.unhealthy.insert("pods".into(), "kube-apiserver-controller-1".into());
    lab.system.unhealthy.insert("license".into(), String::new());
    lab.same(&["s8-dx-098-health-query", "s8-dx-099-health-query-upgrade", "s8-dx-100-health-query-kube-upgrade"]);

    let mut lab = imported();
    lab.system.apps[3].status = "apply-failed".into();
    lab.same(&["s8-dx-101-health-query-upgrade", "s8-dx-102-application-list"]);
    lab.system.apps[3].status = "applied".into();
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-103-upgrade-start", "s8-dx-104-health-query-upgrade"]);
}

#[test]
fn starting_and_locking() {
    let mut lab = imported();
    lab.fault("start-fails-silently");
    lab.same(&["s8-dx-105-upgrade-start"]);
    lab.later(300.0);
    lab.same(&["s8-dx-106-upgrade-show", "s8-dx-107-upgrade-start", "s8-dx-108-upgrade-show"]);
    lab.same(&[
        "s8-dx-109-host-lock-controller-1",
        "s8-dx-110-host-upgrade-controller-1",
        "s8-dx-111-upgrade-activate",
    ]);
    lab.later(20.0);
    lab.later(300.0);
    lab.same(&[
        "s8-dx-112-upgrade-show",
        "s8-dx-113-upgrade-start",
        "s8-dx-114-kube-upgrade-start-v1.24.4",
        "s8-dx-115-health-query",
        "s8-dx-116-upgrade-activate",
        "s8-dx-117-upgrade-complete",
        "s8-dx-119-host-upgrade-controller-1",
        "s8-dx-121-load-delete-2",
        "s8-dx-122-host-lock-controller-1",
        "s8-dx-123-host-list",
        "s8-dx-124-host-lock-controller-1",
        "s8-dx-125-host-upgrade-controller-1",
        "s8-dx-126-host-unlock-controller-1",
    ]);
    lab.later(35.0);
    lab.same(&["s8-dx-127-host-show-controller-1"]);
    lab.later(60.0);
    lab.same(&["s8-dx-128-host-list", "s8-dx-129-host-show-controller-1", "s8-dx-130-host-lock-controller-1"]);
    lab.system.hosts[1].availability = "offline".into();
    lab.same(&["s8-dx-133-host-upgrade-controller-1"]);
    lab.system.hosts[1].availability = "online".into();
    lab.same(&["s8-dx-134-host-upgrade-controller-1"]);
}

#[test]
fn activation_and_completion() {
    let mut lab = imported();
    assert_eq!(lab.system.upgrade_start(false), Ok(()));
    lab.later(20.0);
    lab.later(300.0);
    lab.system.upgrade.as_mut().expect("an upgrade").state = "upgrading-hosts".into();
    for host in &mut lab.system.hosts {
        host.running_release = "24.03".into();
        host.target_release = "24.03".into();
    }
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-194-upgrade-complete"]);
    lab.system.active = "controller-0".into();
    lab.fault("activation-fails-once");
    lab.same(&["s8-dx-195-upgrade-activate"]);
    lab.later(400.0);
    lab.same(&[
        "s8-dx-196-upgrade-show",
        "s8-dx-197-load-list",
        "s8-dx-198-upgrade-activate",
        "s8-dx-199-upgrade-activate",
    ]);
    lab.later(20.0);
    lab.same(&["s8-dx-201-upgrade-show", "s8-dx-202-upgrade-activate"]);
    lab.later(200.0);
    lab.later(100.0);
    lab.same(&["s8-dx-203-upgrade-show", "s8-dx-204-upgrade-activate", "s8-dx-205-load-list"]);
    lab.system.active = "controller-1".into();
    lab.same(&["s8-dx-207-upgrade-complete"]);
    lab.system.active = "controller-0".into();
    lab.same(&["s8-dx-211-upgrade-complete", "s8-dx-212-upgrade-complete", "s8-dx-213-upgrade-show"]);
    lab.later(60.0);
    lab.same(&[
        "s8-dx-214-upgrade-show",
        "s8-dx-215-host-upgrade-list",
        "s8-dx-216-load-list",
        "s8-dx-217-upgrade-complete",
        "s8-dx-218-load-delete-1",
    ]);
    lab.later(60.0);
    lab.same(&["s8-dx-219-load-list", "s8-dx-220-health-query"]);
}

#[test]
fn wrapping_at_every_recorded_width() {
    let mut lab = Rehearsal::new("worker");
    lab.same(&["s8-dx-084-load-import-bootimage-24.03.iso-bootimage-24.03.sig"]);
    lab.later(400.0);
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut names: Vec<String> = std::fs::read_dir(recordings)
        .expect("the recordings")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".txt").to_string())
        .filter(|name| name.starts_with("s8-wrap-"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 38);
    for name in names {
        lab.width = match name[8..11].parse().expect("a number") {
            1..=7 => 200,
            8..=14 => 100,
            15..=21 => 80,
            22..=28 => 60,
            29..=35 => 40,
            _ => 80,
        };
        lab.same(&[&name]);
    }
}
