//! The agent's desk: takes messages, runs each call on a thread of its own, and keeps what came of it until the engine
//! has made it durable. Server and worker are this with another way in.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use super::Kit;
use super::blobs::{Blobs, Incoming};
use super::jobs;
use super::outbox::{Gone, Outbox};
use super::worker::{Key, Workers};
use crate::action::host::HostError;
use crate::action::host_call::{CallContext, Cancel, Hosts, Progress};
use crate::action::module::{Become, Call, Job};
use crate::action::wait::human;
use crate::action::wire::{Attempt, Frame, FromAgent, ToAgent, VERSION, Welcome};
use crate::model::event::Wait;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};

/// After its deadline a call is told to end; one that has not ended after this much longer is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Lines of output are passed on at most this often for one call, and cut at this length: they are for eyes.
const LINE_PAUSE: Duration = Duration::from_millis(200);
const LINE_LENGTH: usize = 500;

/// Bytes of a file in one frame.
const CHUNK: usize = 128 << 10;

pub struct Desk<H: Hosts> {
    kit: Kit<H>,
    pub outbox: Outbox,
    pub blobs: Blobs,
    scratch: PathBuf,
    welcome: Welcome,
    attempts: Mutex<HashMap<Attempt, Known>>,
    workers: Workers,
    /// One file at a time goes out: its frames carry no name.
    sending: Mutex<()>,
    /// Held by the one call of a check run that is under way; says where the record of the check run is.
    check: Mutex<LayerAt>,
    layer: Arc<Mutex<H::Layer>>,
}

enum LayerAt {
    Here,
    Worker(Key),
}

enum Known {
    Running {
        cancel: Cancel,
        begun: Instant,
        deadline: Instant,
        /// Nobody waits for its end: it stands on file.
        job: bool,
    },
    /// The encoded [`FromAgent::Done`].
    Done(Vec<u8>),
}

impl<H: Hosts> Desk<H> {
    /// A desk that keeps content and temporary files in `dir`, which exists.
    pub fn open(kit: Kit<H>, dir: &Path, run: &str) -> io::Result<Arc<Desk<H>>> {
        let (blobs, scratch) = (dir.join("blobs"), dir.join("scratch"));
        super::place::own_dir(&blobs, 0o700)?;
        super::place::own_dir(&scratch, 0o700)?;
        Ok(Arc::new(Desk {
            kit,
            outbox: Outbox::default(),
            blobs: Blobs::new(blobs),
            scratch,
            welcome: welcome(),
            attempts: Mutex::default(),
            workers: Workers::new(run),
            sending: Mutex::default(),
            check: Mutex::new(LayerAt::Here),
            layer: Arc::default(),
        }))
    }

    /// Serves this connection from now on: says who is here, and which content calls wait for.
    pub fn greet(&self, connection: u64) {
        self.outbox.connect(connection, &FromAgent::Welcome(self.welcome.clone()));
        for sha256 in self.blobs.wanted() {
            self.outbox.say(&FromAgent::NeedBlob { sha256 });
        }
    }

    /// Takes messages until the stream ends (false) or says Bye (true).
    pub fn listen(self: &Arc<Self>, from: &mut impl Read) -> io::Result<bool> {
        let mut incoming: Option<Incoming> = None;
        while let Some(frame) = Frame::read(from)? {
            if let Frame::Bytes(bytes) = &frame {
                let blob = incoming.as_mut().ok_or_else(|| invalid("bytes without a blob"))?;
                if self.blobs.more(blob, bytes)?
                    && let Some(blob) = incoming.take()
                {
                    self.blobs.end(blob);
                }
                continue;
            }
            match frame.parse()? {
                ToAgent::Hello { .. } => return Err(invalid("a second hello")),
                ToAgent::Call { attempt, call } => self.take(attempt, call),
                ToAgent::Ask { attempt } => self.tell(attempt),
                ToAgent::Acknowledge { attempts } => {
                    let mut known = self.attempts();
                    for attempt in attempts {
                        if matches!(known.get(&attempt), Some(Known::Done(_))) {
                            known.remove(&attempt);
                        }
                    }
                }
                ToAgent::Cancel { attempt } => self.cancel(attempt),
                ToAgent::Password { user, password } => self.workers.password(user, password),
                ToAgent::Blob { sha256, size } => {
                    let blob = self.blobs.begin(sha256, size)?;
                    if size == 0 {
                        self.blobs.end(blob);
                    } else {
                        incoming = Some(blob);
                    }
                }
                ToAgent::NoBlob { sha256, why } => self.blobs.refuse(&sha256, why),
                ToAgent::Fetch { attempt, path, become_ } => {
                    let desk = self.clone();
                    std::thread::spawn(move || desk.fetch(attempt, path, become_));
                }
                ToAgent::Layer { layer: Some(layer) } => {
                    *lock(&self.layer) = serde_json::from_value(layer)?;
                }
                ToAgent::Layer { layer: None } => {
                    let layer = serde_json::to_value(&*lock(&self.layer))?;
                    self.outbox.say(&FromAgent::Layer { layer });
                }
                ToAgent::Bye => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Ends calls whose time is over; whether any is at work. To be called about every second.
    pub fn tick(&self) -> bool {
        let now = Instant::now();
        let mut late = Vec::new();
        let mut busy = false;
        for (attempt, known) in &*self.attempts() {
            if let Known::Running { deadline, cancel, begun, .. } = known {
                busy = true;
                if now >= *deadline {
                    late.push((*attempt, cancel.clone(), now >= *deadline + GRACE, deadline.duration_since(*begun)));
                }
            }
        }
        for (attempt, cancel, give_up, limit) in late {
            self.workers.cancel(attempt);
            cancel.cancel();
            if give_up {
                self.finish(
                    attempt,
                    with_limit(timed_out(limit), limit).msg(format!(
                        "timed out after {} and did not end when told to; it may still be at work on the host",
                        human(limit)
                    )),
                );
            }
        }
        busy
    }

    /// Whether a result waits for the engine to make it durable.
    pub fn owes(&self) -> bool {
        self.attempts().values().any(|k| matches!(k, Known::Done(_)))
    }

    /// Ends all that is at work, and the workers.
    pub fn close(&self) {
        let running: Vec<Cancel> = (self.attempts().values())
            .filter_map(|k| match k {
                Known::Running { cancel, .. } => Some(cancel.clone()),
                Known::Done(_) => None,
            })
            .collect();
        running.iter().for_each(Cancel::cancel);
        self.workers.close();
    }

    /// Takes a call.
    fn take(self: &Arc<Self>, attempt: Attempt, call: Call) {
        match call.job.clone() {
            Some(job) if !job.waits => self.launch(attempt, call, job),
            _ => self.start(attempt, call, false),
        }
    }

    /// Starts a job and answers that it has begun; the job itself is a call behind this one.
    fn launch(self: &Arc<Self>, attempt: Attempt, mut call: Call, mut job: Job) {
        let now = Instant::now();
        {
            let mut attempts = self.attempts();
            if attempts.contains_key(&attempt) {
                drop(attempts);
                return self.tell(attempt);
            }
            let deadline = now + Duration::from_secs(60);
            attempts.insert(attempt, Known::Running { cancel: Cancel::default(), begun: now, deadline, job: false });
        }
        let other = call.become_.as_ref().filter(|b| b.user != self.welcome.user);
        let file = jobs::file(&job, other);
        // Its file is there before anybody asks; that of another user is made by that user's own process.
        let begun = if other.is_none() { jobs::begin(&job, &file) } else { Ok(()) };
        let outcome = match begun {
            Ok(()) => {
                let started = jobs::started(&job, &file);
                job.waits = true;
                job.folder = file.parent().map(|f| f.display().to_string());
                call.job = Some(job);
                self.start(attempt + jobs::AT, call, true);
                started
            }
            Err(why) => Outcome::failed(why),
        };
        self.finish(attempt, outcome);
    }

    /// Starts a call, unless it was started before. `job`: nobody waits for its end.
    fn start(self: &Arc<Self>, attempt: Attempt, call: Call, job: bool) {
        let limit = Duration::from_secs(call.deadline.max(1));
        let begun = Instant::now();
        let cancel = Cancel::default();
        {
            let mut attempts = self.attempts();
            if attempts.contains_key(&attempt) {
                drop(attempts);
                return self.tell(attempt);
            }
            let running = Known::Running { cancel: cancel.clone(), begun, deadline: begun + limit, job };
            attempts.insert(attempt, running);
        }
        let desk = self.clone();
        let progress = Arc::new(Teller { desk: self.clone(), attempt, last: Mutex::new(None) });
        let context = CallContext {
            env: call.env.clone(),
            deadline: begun + limit,
            limit,
            cancel,
            progress,
            blobs: self.blobs.dir.clone(),
            scratch: self.scratch.clone(),
        };
        let started = std::thread::Builder::new().name(format!("call {attempt}")).spawn(move || {
            let outcome = desk.run(attempt, &call, &context);
            desk.finish(attempt, outcome);
        });
        if let Err(e) = started {
            self.finish(attempt, Outcome::failed(format!("the host cannot start another thread: {e}")));
        }
    }

    /// What is known of an attempt.
    fn tell(&self, attempt: Attempt) {
        match self.attempts().get(&attempt) {
            Some(Known::Running { .. }) => self.outbox.say(&FromAgent::Running { attempt }),
            Some(Known::Done(frame)) => self.outbox.put(frame.clone()),
            None => self.outbox.say(&FromAgent::NeverSeen { attempt }),
        }
    }

    fn cancel(&self, attempt: Attempt) {
        let cancel = match self.attempts().get(&attempt) {
            Some(Known::Running { cancel, .. }) => cancel.clone(),
            _ => return,
        };
        self.workers.cancel(attempt);
        cancel.cancel();
    }

    /// A result is there: keep it, and send it if somebody listens. The first one counts.
    fn finish(&self, attempt: Attempt, outcome: Outcome) {
        let mut attempts = self.attempts();
        let Some(Known::Running { begun, job, .. }) = attempts.get(&attempt) else { return };
        if *job {
            attempts.remove(&attempt);
            return;
        }
        let millis = begun.elapsed().as_millis() as u64;
        let frame = Frame::message(&FromAgent::Done { attempt, outcome, millis }).or_else(|e| {
            let outcome = Outcome::failed(format!("it was done, but its result cannot be sent: {e}"));
            Frame::message(&FromAgent::Done { attempt, outcome, millis })
        });
        let Ok(frame) = frame.map(|f| f.encode()) else { return };
        self.outbox.put(frame.clone());
        attempts.insert(attempt, Known::Done(frame));
    }

    fn run(self: &Arc<Self>, attempt: Attempt, call: &Call, context: &CallContext) -> Outcome {
        let key = match Key::of(call.become_.as_ref(), &self.welcome.user) {
            Ok(key) => key,
            Err(why) => return Outcome::failed(why),
        };
        if !call.check
            && let Some(user) = (self.kit.find)(&call.module).and_then(|m| m.vacates?(call.args.as_dict()?))
        {
            self.workers.dismiss(&user);
        }
        let outcome = if call.check {
            let mut at = lock(&self.check);
            if call.fresh {
                *at = LayerAt::Here;
                *lock(&self.layer) = H::Layer::default();
            }
            match self.move_layer(&mut at, key.as_ref()) {
                Ok(()) => self.run_as(key, attempt, call, context),
                Err(why) => Outcome::failed(why),
            }
        } else {
            self.run_as(key, attempt, call, context)
        };
        // A program that was ended with the call may look to its module as one that ended by itself.
        // A job's result says itself that its time was over.
        let late = context.time_left().is_zero() && call.job.is_none();
        match context.cancel.is_cancelled() {
            // Whether the module saw it first or the watch over all calls did.
            cancelled if late && (cancelled || outcome.is_failed()) => {
                with_limit(Outcome { data: outcome.data, ..timed_out(context.limit) }, context.limit)
            }
            true => Outcome { data: outcome.data, ..Outcome::failed("cancelled") },
            false => outcome,
        }
    }

    fn run_as(self: &Arc<Self>, key: Option<Key>, attempt: Attempt, call: &Call, context: &CallContext) -> Outcome {
        match key {
            Some(key) => match self.workers.get(&key, self) {
                Ok(worker) => worker.call(attempt, call, context),
                Err(why) => Outcome::failed(why),
            },
            None => self.run_here(call, context),
        }
    }

    /// Has the check run's record where the next call will be.
    fn move_layer(self: &Arc<Self>, at: &mut LayerAt, to: Option<&Key>) -> Result<(), String> {
        let from = match &*at {
            LayerAt::Here => None,
            LayerAt::Worker(key) => Some(key.clone()),
        };
        // Where the process that held it is gone, the record is too: going on without it would be a lie.
        let holder = from.as_ref().map(|key| self.workers.living(key)).transpose()?;
        if from.as_ref() == to {
            return Ok(());
        }
        if let Some(holder) = holder {
            let layer = holder.take_layer()?;
            let layer = serde_json::from_value(layer).map_err(|e| format!("the record of the check run: {e}"))?;
            *lock(&self.layer) = layer;
            *at = LayerAt::Here;
        }
        if let Some(to) = to {
            let worker = self.workers.get(to, self)?;
            let layer = serde_json::to_value(&*lock(&self.layer)).map_err(|e| e.to_string())?;
            worker.send(&ToAgent::Layer { layer: Some(layer) })?;
            *at = LayerAt::Worker(to.clone());
        }
        Ok(())
    }

    /// Runs a module as this process's user, and keeps the result of a job on file.
    fn run_here(&self, call: &Call, context: &CallContext) -> Outcome {
        let Some(job) = &call.job else { return self.run_module(call, context) };
        let file = jobs::file(job, None);
        if let Err(why) = jobs::begin(job, &file) {
            return Outcome::failed(why);
        }
        let mut outcome = self.run_module(call, context);
        if outcome.is_failed() && context.time_left().is_zero() {
            outcome = jobs::with_output(Outcome { data: outcome.data, ..Outcome::failed("Timeout exceeded") });
        }
        if let Err(why) = jobs::end(&file, &outcome) {
            outcome.warnings.push(format!("the result of the job is not on file: {why}"));
        }
        let begun = jobs::started(job, &file);
        outcome.data.extend(begun.data);
        outcome.with("finished", true)
    }

    fn run_module(&self, call: &Call, context: &CallContext) -> Outcome {
        let Some(entry) = (self.kit.find)(&call.module) else {
            return Outcome::failed(format!("the agent has no module `{}`", call.module));
        };
        let empty = Dict::new();
        let args = call.args.as_dict().unwrap_or(&empty);
        let mut used = Vec::new();
        let outcome = loop {
            let mut host = if call.check {
                self.kit.hosts.preview(context.clone(), self.layer.clone())
            } else {
                self.kit.hosts.real(context.clone())
            };
            // A module that panics is a bug of ours, but must not leave the engine waiting.
            match catch_unwind(AssertUnwindSafe(|| (entry.run)(args, &mut *host))) {
                Ok(Ok(outcome)) => break outcome,
                Ok(Err(HostError::NeedBlob(sha256))) => {
                    let ask = || self.outbox.say(&FromAgent::NeedBlob { sha256: sha256.clone() });
                    let go_on =
                        || context.check("waiting for content from the control node").map_err(|e| e.to_string());
                    if let Err(why) = self.blobs.get(&sha256, ask, go_on) {
                        break Outcome::failed(why);
                    }
                    used.push(sha256);
                }
                Ok(Err(e)) => break Outcome::failed(e.to_string()),
                Err(panic) => {
                    let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                    break Outcome::failed(format!("a bug in the module `{}`: {said}", call.module));
                }
            }
        };
        for sha256 in used {
            self.blobs.done_with(&sha256);
        }
        outcome
    }

    /// Sends a file to the engine that asked for it.
    fn fetch(self: &Arc<Self>, attempt: Attempt, path: String, become_: Option<Become>) {
        let connection = self.outbox.connection();
        let _turn = lock(&self.sending);
        let sent = Key::of(become_.as_ref(), &self.welcome.user).and_then(|key| match key {
            Some(key) => self.workers.get(&key, self)?.fetch(attempt, path, connection),
            None => self.send_file(attempt, &path, connection),
        });
        if let Err(why) = sent {
            self.outbox.say(&FromAgent::NoFile { attempt, why });
        }
    }

    fn send_file(&self, attempt: Attempt, path: &str, connection: u64) -> Result<(), String> {
        let told = |e: io::Error| match HostError::io(format!("reading {path}"), Path::new(path), e) {
            HostError::Io { what, source } => format!("{what}: {source}"),
            other => other.to_string(),
        };
        let gone = |Gone| "the link is gone".to_owned();
        let message = |m: &FromAgent| Frame::message(m).map_err(|e| e.to_string());
        // The kind is looked at first: opening a FIFO would wait for its writer.
        let found = std::fs::metadata(path).map_err(told)?;
        if !found.is_file() {
            return Err(format!("{path} is not a file"));
        }
        let mut file = File::open(path).map_err(told)?;
        let begin = FromAgent::File { attempt, size: found.size(), mode: found.mode() & 0o7777 };
        self.outbox.bulk(connection, message(&begin)?).map_err(gone)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer).map_err(told)? {
                0 => break,
                n => {
                    digest.update(&buffer[..n]);
                    self.outbox.bulk(connection, Frame::Bytes(buffer[..n].to_vec())).map_err(gone)?;
                }
            }
        }
        let end = FromAgent::FileEnd { attempt, sha256: hex::encode(digest.finalize()) };
        self.outbox.bulk(connection, message(&end)?).map_err(gone)
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Attempt, Known>> {
        lock(&self.attempts)
    }
}

/// Passes on what a call tells, as much as eyes can follow.
struct Teller<H: Hosts> {
    desk: Arc<Desk<H>>,
    attempt: Attempt,
    last: Mutex<Option<Instant>>,
}

impl<H: Hosts> Progress for Teller<H> {
    fn waiting(&self, wait: &Wait) {
        self.desk.outbox.chat(&FromAgent::Waiting { attempt: self.attempt, wait: wait.clone() });
    }

    fn output(&self, line: &str) {
        let mut last = lock(&self.last);
        if last.is_some_and(|t| t.elapsed() < LINE_PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let line = line.chars().take(LINE_LENGTH).collect();
        self.desk.outbox.chat(&FromAgent::Output { attempt: self.attempt, line });
    }
}

/// In Ansible's words; `timedout` is what its test of that name looks at.
fn timed_out(limit: Duration) -> Outcome {
    let seconds = limit.as_secs();
    let s = if seconds == 1 { "" } else { "s" };
    Outcome::failed(format!("Timed out after {seconds} second{s}."))
}

fn with_limit(outcome: Outcome, limit: Duration) -> Outcome {
    outcome.with("timedout", Value::dict(crate::dict! {"period" => limit.as_secs() as i64}))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn welcome() -> Welcome {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Welcome {
        version: VERSION,
        boot_id: boot_id(),
        pid: std::process::id(),
        started_at: since_1970.as_millis() as u64,
        user: own_user(),
    }
}

/// The kernel's boot id with the start of process 1 behind it: containers share the former, and a restarted container
/// has a new process 1.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // `pid (name) state ppid …`; the start is field 22, and the name may hold anything.
    let stat = std::fs::read_to_string("/proc/1/stat").unwrap_or_default();
    let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    format!("{}/{}", id.trim(), start.unwrap_or_default())
}

/// The name of this process's user. From the file alone, as a static binary has no NSS; `id` knows the others.
fn own_user() -> String {
    let uid = nix::unistd::geteuid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named
        .or_else(|| {
            let out = std::process::Command::new("id").arg("-un").output().ok()?;
            let name = String::from_utf8(out.stdout).ok()?.trim().to_owned();
            (out.status.success() && !name.is_empty()).then_some(name)
        })
        .unwrap_or(uid)
}
