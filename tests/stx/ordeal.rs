//! One upgrade that meets one trouble after the other.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::process::Output;

use super::lab::{Lab, text};

/// One upgrade that meets one trouble after the other.
pub struct Ordeal {
    pub lab: Lab,
    extra: Vec<String>,
    begun: bool,
}

impl Ordeal {
    pub fn new(lab: Lab, extra: &[&str]) -> Ordeal {
        Ordeal { lab, extra: extra.iter().map(|e| (*e).to_owned()).collect(), begun: false }
    }

    /// Sets a fault: its name and parameters as `stx-lab fault add` takes them.
    pub fn set(&self, fault: &str) {
        let out = self.lab.lab(&[&["fault", "add"][..], &fault.split(' ').collect::<Vec<_>>()].concat());
        assert!(out.status.success(), "{fault}: {}", text(&out));
    }

    pub fn clear(&self) {
        let out = self.lab.lab(&["fault", "clear", "all"]);
        assert!(out.status.success(), "{}", text(&out));
    }

    /// A command on the host, as root.
    pub fn host(&self, line: &str) -> String {
        let out = self.lab.lab(&["exec", "controller-0", "bash", "-c", line]);
        assert!(out.status.success(), "{line}: {}", text(&out));
        text(&out)
    }

    /// Applies an application by hand, until it is in this state.
    pub fn applies(&self, app: &str, state: &str) {
        self.host(&format!(
            "source /etc/platform/openrc && system application-apply {app} && \
             until system application-list | grep -q '{app} .* {state} '; do sleep 0.1; done"
        ));
    }

    /// Plays, or goes on.
    pub fn go(&mut self) -> Output {
        if std::mem::replace(&mut self.begun, true) {
            return self.lab.upgrade(&["resume", "--yes"]).output().unwrap();
        }
        self.play(&[])
    }

    pub fn play(&mut self, more: &[&str]) -> Output {
        self.begun = true;
        let extra: Vec<&str> = self.extra.iter().flat_map(|e| ["-e", e]).chain(more.iter().copied()).collect();
        self.lab.play(&[&["--yes"][..], &extra].concat())
    }

    /// It ends with failed hosts, and says all of this.
    pub fn fails(&mut self, says: &[&str]) {
        let out = self.go();
        told(&out, says);
    }

    pub fn ends(&mut self) {
        let out = self.go();
        assert!(out.status.success(), "{}", text(&out));
        self.lab.assert_upgraded();
    }

    /// What was done by the platform so far.
    pub fn done(&self, change: &str) -> usize {
        self.lab.changes().iter().find(|(name, _)| name == change).map_or(0, |(_, count)| *count)
    }
}

/// It ended with failed hosts, and said all of this.
pub fn told(out: &Output, says: &[&str]) {
    let all = text(out);
    assert_eq!(out.status.code(), Some(2), "{all}");
    for part in says {
        assert!(all.contains(part), "nothing of `{part}` in:\n{all}");
    }
}
