//! A system of the lab without machines, and the recordings of the real software to hold it against.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::Path;
use stx_lab::server;
use stx_lab::shell::{FileSeen, Invocation, Local, Reply};
use stx_lab::system::seed::{self, Wish};
use stx_lab::system::{Effect, System};

/// A recording.
pub struct Recording {
    pub argv: Vec<String>,
    pub rc: i32,
    out: String,
    err: String,
}

/// Read a recording.
pub fn recording(name: &str) -> Recording {
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
pub struct Rehearsal {
    pub system: System,
    pub width: usize,
}

impl Rehearsal {
    pub fn new(topology: &str) -> Rehearsal {
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

    /// A system as `stx-lab up` makes it, at a standing clock.
    pub fn of(wish: &Wish) -> Rehearsal {
        let mut system = seed::system(wish);
        system.clock.frozen = true;
        Rehearsal { system, width: 200 }
    }

    /// Run a command line on the active controller, with these answers to its questions.
    pub fn command(&mut self, line: &str, answers: &[&str]) -> Reply {
        let argv: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let mut call = self.invocation(&argv);
        if matches!(argv[0].as_str(), "drbd-overview" | "sw-patch") {
            call.uid = 0;
        }
        let host = self.system.active.clone();
        loop {
            let reply = server::command(&mut self.system, &call, &host);
            if reply.ask.is_none() {
                return reply;
            }
            match answers.get(call.answers.len()) {
                Some(answer) => call.answers.push((*answer).to_string()),
                None => call.eof = true,
            }
        }
    }

    /// Put the recorded command to the lab, with these answers to its questions.
    #[track_caller]
    pub fn asked(&mut self, name: &str, answers: &[&str]) {
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
    pub fn same(&mut self, names: &[&str]) {
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
        put("new.iso", &format!("version={}\nfrom={}\n", self.system.to_release, self.system.from_release));
        put("noxml.iso", "nothing of use");
        put("same.iso", "version=22.12\nfrom=21.12\n");
        put("nopath.iso", "version=24.03\nfrom=21.12\n");
        for name in ["platform-integ-apps-1.0-50", "nginx-ingress-controller-1.1-24"] {
            let (app, version) = name.split_at(name.find("-1.").unwrap_or(0));
            put(&format!("{name}.tgz"), &format!("name: {app}\nversion: {}\n", &version[1..]));
        }
        for (name, reboot) in
            [("PLATFORM_KUBE.1.21.3", "N"), ("KUBEADM.1.21.3", "N"), ("KUBELET.1.21.3", "N"), ("21.12_PATCH_0002", "Y")]
        {
            put(&format!("{name}.patch"), &format!("id={name}\nreboot_required={reboot}\n"));
        }
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
                active_units: ["keystone", "sysinv-api", "fm-api", "sm"].map(String::from).to_vec(),
                database: true,
                files,
            },
            answers: vec![],
            eof: false,
        }
    }

    /// Let time pass, in steps, and do what the rules want of the machines.
    pub fn later(&mut self, seconds: f64) {
        let end = self.system.clock.now() + seconds;
        while self.system.clock.now() < end {
            self.system.clock.push(5.0_f64.min(end - self.system.clock.now()));
            self.system.tick();
            self.obey();
        }
    }

    /// Be the machines: everything works at once.
    pub fn obey(&mut self) {
        loop {
            let effects = self.system.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Backup { .. } | Effect::Export { .. } => self.system.backup_done(Ok(())),
                    Effect::Migrate { .. } => self.system.migration_done(Ok(())),
                    Effect::GiveUp { .. } => self.system.given_up(),
                    Effect::MoveActivity { to, .. } => self.system.activity_moved(&to, Ok(())),
                    Effect::Reboot { host, .. } => {
                        self.system.host_down(&host);
                        self.system.host_up(&host, true);
                    }
                    Effect::Reinstall { host, install_ms, .. } => {
                        self.system.host_down(&host);
                        if install_ms < u64::MAX && !self.system.simplex() {
                            self.system.host_up(&host, false);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    pub fn fault(&mut self, name: &str) {
        self.fault_with(name, &[]);
    }

    /// Set a fault with parameters.
    pub fn fault_with(&mut self, name: &str, parameters: &[(&str, &str)]) {
        let fault = stx_lab::system::faults::Fault {
            name: name.into(),
            parameters: parameters.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect(),
            when: None,
            armed: false,
            times: None,
        };
        self.system.add_fault(fault).expect("a fault of the catalogue");
    }
}
