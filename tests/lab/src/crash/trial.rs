//! One run with one fault: struck at its moment, then resumed until it has ended.

use super::bed::Bed;
use super::end::End;
use super::fault::{Fault, Kind, Size};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No part of a run takes longer on a fast clock.
const DEADLINE: Duration = Duration::from_secs(180);
/// A run that is not through after so many resumes never will be.
const RESUMES: usize = 8;

/// Milliseconds that a slow disk takes longer for each write.
const SLOW: &str = "50";

/// What a trial came to.
pub struct CameTo {
    pub end: End,
    pub size: Size,
    /// How long the last resume took; nothing if none was needed.
    pub resumed_in: Duration,
}

/// A trial on its bed.
pub struct Trial<'a> {
    bed: &'a Bed,
    fault: Option<&'a Fault>,
    /// What the run without a fault came to; none for that run itself.
    clean: Option<&'a End>,
    parts: usize,
    journal: Option<PathBuf>,
    state: PathBuf,
}

impl<'a> Trial<'a> {
    /// The clean run.
    pub fn clean(bed: &'a Bed) -> Trial<'a> {
        Trial { bed, fault: None, clean: None, parts: 0, journal: None, state: bed.dir.join("state") }
    }

    /// A run with a fault, after one that came to `clean`.
    pub fn broken(bed: &'a Bed, fault: &'a Fault, clean: &'a End) -> Trial<'a> {
        Trial { fault: Some(fault), clean: Some(clean), ..Trial::clean(bed) }
    }

    /// Runs it to its end.
    pub fn run(mut self) -> CameTo {
        self.prepare();
        let mut code = self.part(self.first());
        let mut resumed_in = Duration::ZERO;
        if let Some(fault) = self.fault {
            self.between(fault.kind);
            let mut resumes = 0;
            let most = if fault.kind.all_through() { RESUMES + 4 * fault.at } else { RESUMES };
            while code != self.clean.and_then(|end| end.code) && resumes < most {
                self.clear(fault.kind);
                let begun = Instant::now();
                code = self.part(self.resume());
                resumed_in = begun.elapsed();
                resumes += 1;
            }
        }
        let mut end = End { code, ..End::default() };
        self.observe(&mut end);
        let records = self.journal().and_then(|path| std::fs::read_to_string(path).ok());
        let records = records.unwrap_or_default();
        let calls = records.lines().filter(|line| line.contains("\"started\"")).count();
        // The header is there before anything can happen.
        let records = records.lines().count().saturating_sub(1);
        CameTo { end, size: Size { records, calls }, resumed_in }
    }

    fn journal(&self) -> Option<PathBuf> {
        self.journal.clone().or_else(|| self.bed.journal())
    }

    /// What a fault needs before the run begins.
    fn prepare(&self) {
        if self.fault.is_some_and(|fault| fault.kind == Kind::HostDiskFull) {
            for host in &self.bed.hosts {
                self.bed.on(host, "mount -t tmpfs -o size=512k,mode=755 stx-lab /srv");
            }
        }
    }

    /// The first part, set up for its fault.
    fn first(&self) -> Command {
        let mut play = self.bed.play();
        let Some(fault) = self.fault else { return play };
        let at = fault.at.to_string();
        match fault.kind {
            Kind::Kill | Kind::TwoResumes | Kind::Moved | Kind::JournalReadOnly => {
                play.env("STX_UPGRADE_CRASH_AFTER", at)
            }
            Kind::KillEach => play.env("STX_UPGRADE_CRASH_EACH", self.killed_at()),
            Kind::JournalSlow => play.env("STX_UPGRADE_CRASH_AFTER", at).env("STX_UPGRADE_SLOW_JOURNAL", SLOW),
            Kind::ClockStepped => {
                let step = format!("{at}:-86400");
                play.env("STX_UPGRADE_CRASH_AFTER", (fault.at + 1).to_string()).env("STX_UPGRADE_STEP_CLOCK", step)
            }
            Kind::CutBefore => play.env("STX_UPGRADE_CUT_LINKS", at + ":before"),
            Kind::CutSent => play.env("STX_UPGRADE_CUT_LINKS", at + ":sent"),
            Kind::CutAnswered => play.env("STX_UPGRADE_CUT_LINKS", at + ":answered"),
            _ => play.env("STX_UPGRADE_STOP_AFTER", at),
        };
        play
    }

    fn resume(&self) -> Command {
        let mut words = vec!["resume".to_string(), "--yes".into(), "--output".into(), "json".into()];
        if let Some(ruling) = self.ruling() {
            words.extend(["--in-doubt".into(), ruling]);
        }
        words.extend(self.journal.iter().map(|path| path.display().to_string()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut resume = self.bed.runner(&words);
        resume.env("XDG_STATE_HOME", &self.state);
        if self.fault.is_some_and(|fault| fault.kind == Kind::KillEach) {
            resume.env("STX_UPGRADE_CRASH_EACH", self.killed_at());
        }
        if self.fault.is_some_and(|fault| fault.kind == Kind::JournalSlow) {
            resume.env("STX_UPGRADE_SLOW_JOURNAL", SLOW);
        }
        resume
    }

    /// The operator's answer for a step that only a look at the host can settle: what it appends to /srv/effects is its
    /// name. None if the last part asked nothing.
    fn ruling(&self) -> Option<String> {
        let said = std::fs::read_to_string(self.bed.dir.join(format!("err-{}", self.parts))).ok()?;
        let (_, asked) = said.split_once("a step is in doubt: [")?;
        let (host, asked) = asked.split_once("] `")?;
        let (name, _) = asked.split_once("` (")?;
        let step = format!("{host}: {name}");
        // A handler may have run before, in an earlier flush.
        let mut so_far = End::default();
        self.take_story(&mut so_far);
        let ended = so_far.handlers.get(&step).copied().unwrap_or(0);
        let ran = self.bed.on(host, "cat /srv/effects").lines().filter(|line| *line == name).count() > ended;
        let fails = self.clean.is_some_and(|end| end.failures.contains(&step));
        let word = match ran {
            true if fails => "failed",
            true => "ran",
            false => "run",
        };
        Some(format!("{host}={word}"))
    }

    /// Runs a part to its end and strikes when it stops. The exit code, or none.
    fn part(&mut self, mut command: Command) -> Option<i32> {
        self.parts += 1;
        let file = |name: &str| std::fs::File::create(self.bed.dir.join(format!("{name}-{}", self.parts))).ok();
        let closing = self.parts == 1 && self.fault.is_some_and(|fault| fault.kind == Kind::PipeClosed);
        let out = if closing { Some(Stdio::piped()) } else { file("out").map(Stdio::from) };
        command.stdout(out?).stderr(file("err")?);
        let mut child = command.spawn().ok()?;
        let mut reader = child.stdout.take();
        let pid = Pid::from_raw(child.id() as i32);
        let end = Instant::now() + DEADLINE;
        loop {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Exited(_, code)) => return Some(code),
                Ok(WaitStatus::Signaled(..)) | Err(_) => return None,
                Ok(WaitStatus::Stopped(..)) => {
                    // Whatever was written so far nobody reads.
                    if closing {
                        drop(reader.take());
                    }
                    if let Some(fault) = self.fault {
                        self.strike(fault.kind, pid);
                    }
                    let _ = kill(pid, Signal::SIGCONT);
                }
                Ok(_) => std::thread::sleep(Duration::from_millis(2)),
            }
            if Instant::now() > end {
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, None);
                return None;
            }
        }
    }

    /// Breaks something while the runner stands still.
    fn strike(&self, kind: Kind, runner: Pid) {
        let first = self.bed.hosts.first().cloned().unwrap_or_default();
        match kind {
            Kind::AgentKilled => {
                for host in &self.bed.hosts {
                    self.bed.on(host, "pkill -KILL -f 'stx-upgrade.* agent'");
                }
            }
            Kind::Reboot => {
                let boot = || self.bed.on(&first, "cat /proc/sys/kernel/random/boot_id");
                let (before, end) = (boot(), Instant::now() + DEADLINE);
                let _ = self.bed.lab(&["reboot", &first]);
                // Until it is there again: the runner shall meet the new boot, and so shall those who look afterwards.
                while [String::new(), before.clone()].contains(&boot()) && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Kind::SshdRefuses => {
                let script = "systemctl stop sshd; pkill -f '^sshd: '; setsid sh -c 'sleep 2; systemctl start sshd' \
                              >/dev/null 2>&1 </dev/null &";
                self.bed.on(&first, script);
            }
            Kind::JournalFull => {
                let _ = std::fs::File::create(self.filler())
                    .and_then(|mut file| std::io::copy(&mut std::io::repeat(0), &mut file));
            }
            Kind::HostDiskFull => {
                for host in &self.bed.hosts {
                    self.bed.on(host, "cat /dev/zero > /srv/.filler");
                }
            }
            Kind::Hangup => {
                let _ = kill(runner, Signal::SIGHUP);
            }
            _ => {}
        }
    }

    /// Where the runner notes at which records it was killed.
    fn killed_at(&self) -> PathBuf {
        self.bed.dir.join("killed-at")
    }

    fn filler(&self) -> PathBuf {
        self.bed.dir.join("state/filler")
    }

    /// What a kind does between the end of the first part and its resume.
    fn between(&mut self, kind: Kind) {
        match kind {
            Kind::TwoResumes => {
                let second = self.resume().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                if let Ok(mut second) = second {
                    let code = self.part(self.resume());
                    let _ = second.wait();
                    // One of them drives the run; the other was told so.
                    if !matches!(code, Some(0 | 2 | 14)) {
                        self.parts += 1;
                    }
                }
            }
            Kind::JournalReadOnly => {
                let at = self.bed.dir.join("state");
                let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
                let _ = nix::mount::mount(None::<&str>, &at, None::<&str>, flags, None::<&str>);
                self.part(self.resume());
            }
            Kind::Moved => {
                // Nothing but the journal travels: no key of the seal, no hosts that were got to know.
                let elsewhere = self.bed.dir.join("elsewhere");
                if let Some(journal) = self.bed.journal() {
                    let copy = elsewhere.join("moved.journal");
                    let _ = std::fs::create_dir_all(&elsewhere).and_then(|()| std::fs::copy(&journal, &copy));
                    self.journal = Some(copy);
                    self.state = elsewhere;
                }
            }
            _ => {}
        }
    }

    /// Mends what was broken, before a resume.
    fn clear(&self, kind: Kind) {
        match kind {
            Kind::JournalFull => {
                let _ = std::fs::remove_file(self.filler());
            }
            Kind::JournalReadOnly => {
                let at = self.bed.dir.join("state");
                let flags = nix::mount::MsFlags::MS_REMOUNT;
                let _ = nix::mount::mount(None::<&str>, &at, None::<&str>, flags, None::<&str>);
            }
            Kind::SshdRefuses => {
                // Before its two seconds are over: resumes are fast.
                for host in &self.bed.hosts {
                    self.bed.on(host, "systemctl start sshd");
                }
            }
            Kind::HostDiskFull => {
                for host in &self.bed.hosts {
                    self.bed.on(host, "rm -f /srv/.filler");
                }
            }
            _ => {}
        }
    }

    /// What the journal tells.
    fn take_story(&self, end: &mut End) {
        if let Some(journal) = self.journal() {
            let journal = journal.display().to_string();
            if let Ok(out) = self.bed.runner(&["show", &journal, "--output", "json"]).output() {
                end.take_story(&String::from_utf8_lossy(&out.stdout));
            }
        }
    }

    /// Looks at everything that the run left.
    fn observe(&self, end: &mut End) {
        self.take_story(end);
        end.changes = self.bed.changes();
        for host in &self.bed.hosts {
            for line in self.bed.on(host, "cat /srv/effects 2>/dev/null").lines() {
                *end.effects.entry(format!("{host}: {line}")).or_default() += 1;
            }
            let files = "cd /srv && find . -type f ! -name effects ! -name .filler -exec sha256sum {} +";
            for line in self.bed.on(host, files).lines() {
                if let Some((digest, name)) = line.split_once("  ") {
                    end.files.insert(format!("{host}:{name}"), digest.into());
                }
            }
        }
    }
}
