//! Workers: agents of one process that act for other users, started by the server through `sudo` or `su` once, kept
//! for the run, and spoken to in the same frames over a pipe. How they are started is `elevate`'s.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::{Desk, lock};
use super::elevate::{self, Started};
use super::place::Lent;
use super::{Kit, place};
use crate::action::host_call::{CallContext, Hosts};
use crate::action::module::{Become, Call};
use crate::action::wire::{Attempt, Frame, FromAgent, ToAgent};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;

/// How long a worker may take to hand over what it has at hand.
const PROMPT: Duration = Duration::from_secs(30);

/// Has a worker leave, if it may. One that is starting stays.
fn leave(slot: &Mutex<Slot>, may: impl Fn(&Worker) -> bool) {
    let worker = slot.try_lock().ok().and_then(|mut s| s.worker.take_if(|worker| may(worker)));
    if let Some(worker) = worker {
        let _ = worker.send(&ToAgent::Bye);
        lock(&worker.stdin).take();
        worker.ended.wait(Duration::from_secs(3));
    }
}

/// Which worker: the user and the way to become it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(pub Become);

impl Key {
    /// The worker that a call needs; none if this process's own user serves. The error names what is not supported.
    pub fn of(become_: Option<&Become>, own: &str) -> Result<Option<Key>, String> {
        let Some(become_) = become_ else { return Ok(None) };
        elevate::supported(become_)?;
        Ok((become_.user != own).then(|| Key(become_.clone())))
    }
}

/// The workers of a server.
pub struct Workers {
    run: String,
    passwords: Mutex<HashMap<String, Secret>>,
    slots: Mutex<HashMap<Key, Arc<Mutex<Slot>>>>,
    lent: Mutex<Option<Lent>>,
}

#[derive(Default)]
struct Slot {
    worker: Option<Arc<Worker>>,
    /// A password that was refused, and the message: it is not tried again, for many systems lock an account after a
    /// few wrong ones.
    refused: Option<(Secret, String)>,
}

impl Workers {
    pub fn new(run: &str) -> Workers {
        Workers { run: run.to_owned(), passwords: Mutex::default(), slots: Mutex::default(), lent: Mutex::default() }
    }

    /// The password for becoming a user, from now on.
    pub fn password(&self, user: String, password: Secret) {
        lock(&self.passwords).insert(user, password);
    }

    /// The worker for a user, started if need be. The error is for the operator.
    pub fn get<H: Hosts>(&self, key: &Key, desk: &Arc<Desk<H>>) -> Result<Arc<Worker>, String> {
        let slot = lock(&self.slots).entry(key.clone()).or_default().clone();
        // Held while it starts: several calls at once start one worker.
        let mut slot = lock(&slot);
        if let Some(worker) = slot.worker.as_ref().filter(|w| w.is_alive()) {
            return Ok(worker.clone());
        }
        let password = lock(&self.passwords).get(&key.0.user).cloned();
        if let Some((refused, why)) = &slot.refused
            && password.as_ref() == Some(refused)
        {
            return Err(why.clone());
        }
        let program = self.program(&key.0.user)?;
        match elevate::start(&key.0, password.as_ref(), &program, &self.run) {
            Ok(started) => {
                let worker = Worker::new(key, started, desk.clone());
                slot.worker = Some(worker.clone());
                Ok(worker)
            }
            Err(refusal) => {
                slot.refused = password.filter(|_| refusal.wrong_password).map(|p| (p, refusal.why.clone()));
                Err(refusal.why)
            }
        }
    }

    /// The worker that was started before; an error if it has ended.
    pub fn living(&self, key: &Key) -> Result<Arc<Worker>, String> {
        let slot = lock(&self.slots).get(key).cloned();
        slot.and_then(|s| lock(&s).worker.clone().filter(|w| w.is_alive())).ok_or_else(|| {
            format!(
                "the agent's process for the user {} ended, and with it what this check run had recorded; start the check again",
                key.0.user
            )
        })
    }

    /// Ends a call wherever it runs.
    pub fn cancel(&self, attempt: Attempt) {
        for slot in lock(&self.slots).values() {
            // A slot that is locked is starting: the call is not there yet, and its own `Cancel` is seen.
            let worker = slot.try_lock().ok().and_then(|s| s.worker.clone());
            if let Some(worker) = worker.filter(|w| lock(&w.pending).contains_key(&attempt)) {
                let _ = worker.send(&ToAgent::Cancel { attempt });
            }
        }
    }

    /// Has a user's leave, if they have nothing to do: the next call for that user starts one anew.
    pub fn dismiss(&self, user: &str) {
        for (_, slot) in lock(&self.slots).iter().filter(|(key, _)| key.0.user == user) {
            leave(slot, |worker| lock(&worker.pending).is_empty());
        }
    }

    /// Has all of them leave.
    pub fn close(&self) {
        lock(&self.slots).values().for_each(|slot| leave(slot, |_| true));
        lock(&self.lent).take();
    }

    /// The path under which a user can run this binary: our own for root, a copy for others.
    fn program(&self, user: &str) -> Result<String, String> {
        let text = |p: &Path| p.to_str().map(str::to_owned).ok_or_else(|| "a path that is no UTF-8".to_owned());
        if user == "root"
            && let Ok(own) = std::fs::read_link("/proc/self/exe")
            // Not there under its name: removed or replaced since we started.
            && own.exists()
        {
            return text(&own);
        }
        let mut lent = lock(&self.lent);
        if lent.as_ref().is_none_or(|l| !l.path.exists()) {
            *lent = Some(Lent::make().map_err(|e| {
                format!("user {user} cannot run the agent: no directory of this host can hold a copy of it ({e})")
            })?);
        }
        lent.as_ref().map_or(Err(String::new()), |l| text(&l.path))
    }
}

/// A file on its way from a worker to the engine.
struct Sending {
    /// The engine's connection that it is for.
    connection: u64,
    end: Sender<Result<(), String>>,
}

/// One worker.
pub struct Worker {
    user: String,
    stdin: Mutex<Option<ChildStdin>>,
    /// Calls at work there, and where their results go.
    pending: Mutex<HashMap<Attempt, Sender<Outcome>>>,
    /// The file that it is sending.
    file: Mutex<Option<Sending>>,
    layer: Mutex<Option<Sender<serde_json::Value>>>,
    /// Set when it has ended.
    ended: crate::action::host_call::Cancel,
}

impl Worker {
    fn new<H: Hosts>(key: &Key, started: Started, desk: Arc<Desk<H>>) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            user: key.0.user.clone(),
            stdin: Mutex::new(Some(started.stdin)),
            pending: Mutex::default(),
            file: Mutex::default(),
            layer: Mutex::default(),
            ended: Default::default(),
        });
        let reader = worker.clone();
        let (mut child, mut stdout) = (started.child, started.stdout);
        std::thread::spawn(move || {
            while let Ok(Some(frame)) = Frame::read(&mut stdout) {
                if reader.hear(frame, &desk).is_err() {
                    break;
                }
            }
            // Everybody who waits for it learns that it is gone.
            lock(&reader.stdin).take();
            reader.ended.cancel();
            lock(&reader.pending).clear();
            lock(&reader.file).take();
            lock(&reader.layer).take();
            let _ = child.wait();
        });
        worker
    }

    fn is_alive(&self) -> bool {
        !self.ended.is_cancelled()
    }

    pub fn send(&self, message: &ToAgent) -> Result<(), String> {
        let frame = Frame::message(message).map_err(|e| e.to_string())?;
        let mut stdin = lock(&self.stdin);
        match stdin.as_mut().map(|s| s.write_all(&frame.encode()).and_then(|()| s.flush())) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(self.gone()),
        }
    }

    fn gone(&self) -> String {
        format!("the agent's process for the user {} has ended", self.user)
    }

    /// Runs a call there and waits for its result.
    pub fn call(&self, attempt: Attempt, call: &Call, context: &CallContext) -> Outcome {
        let left = context.time_left();
        let (result, results) = channel();
        lock(&self.pending).insert(attempt, result);
        if !self.is_alive() {
            lock(&self.pending).remove(&attempt);
            return Outcome::failed(self.gone());
        }
        let call = Call { become_: None, deadline: left.as_secs_f64().ceil() as u64, ..call.clone() };
        let sent = self.send(&ToAgent::Call { attempt, call });
        if context.cancel.is_cancelled() {
            let _ = self.send(&ToAgent::Cancel { attempt });
        }
        let outcome = match sent {
            // The worker keeps the deadline, and the server's own watch stands behind both.
            Ok(()) => results.recv().unwrap_or_else(|_| {
                Outcome::failed(format!("{} while the call was at work; what it did is not known", self.gone()))
            }),
            Err(why) => Outcome::failed(why),
        };
        lock(&self.pending).remove(&attempt);
        outcome
    }

    /// Has a file sent to the engine, which `connection` names; the caller has the turn.
    pub fn fetch(&self, attempt: Attempt, path: String, connection: u64) -> Result<(), String> {
        let (end, ended) = channel();
        *lock(&self.file) = Some(Sending { connection, end });
        self.send(&ToAgent::Fetch { attempt, path, become_: None })?;
        ended.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// The check run's record, which this worker has.
    pub fn take_layer(&self) -> Result<serde_json::Value, String> {
        let (layer, layers) = channel();
        *lock(&self.layer) = Some(layer);
        self.send(&ToAgent::Layer { layer: None })?;
        layers.recv_timeout(PROMPT).map_err(|_| self.gone())
    }

    /// Takes a frame from the worker.
    fn hear<H: Hosts>(self: &Arc<Self>, frame: Frame, desk: &Arc<Desk<H>>) -> io::Result<()> {
        let Frame::Json(_) = &frame else {
            self.pass_on(frame, desk);
            return Ok(());
        };
        match frame.parse()? {
            FromAgent::Done { attempt, outcome, .. } => {
                if let Some(result) = lock(&self.pending).remove(&attempt) {
                    let _ = result.send(outcome);
                }
                let _ = self.send(&ToAgent::Acknowledge { attempts: vec![attempt] });
            }
            FromAgent::NeedBlob { sha256 } => {
                let (worker, desk) = (self.clone(), desk.clone());
                std::thread::spawn(move || worker.provide(&sha256, &desk));
            }
            progress @ (FromAgent::Waiting { .. } | FromAgent::Output { .. }) => desk.outbox.chat(&progress),
            FromAgent::File { .. } => self.pass_on(frame, desk),
            FromAgent::FileEnd { .. } => {
                self.pass_on(frame, desk);
                self.file_done(Ok(()));
            }
            FromAgent::NoFile { why, .. } => self.file_done(Err(why)),
            FromAgent::Layer { layer } => {
                if let Some(waiting) = lock(&self.layer).take() {
                    let _ = waiting.send(layer);
                }
            }
            FromAgent::Welcome(_) | FromAgent::Refused { .. } => {}
            FromAgent::Running { .. } | FromAgent::NeverSeen { .. } => {}
        }
        Ok(())
    }

    /// A part of a file, on its way to the engine; dropped if that is gone.
    fn pass_on<H: Hosts>(&self, frame: Frame, desk: &Desk<H>) {
        let connection = lock(&self.file).as_ref().map(|s| s.connection);
        if let Some(connection) = connection
            && desk.outbox.bulk(connection, frame).is_err()
        {
            self.file_done(Err("the link is gone".to_owned()));
        }
    }

    fn file_done(&self, end: Result<(), String>) {
        if let Some(sending) = lock(&self.file).take() {
            let _ = sending.end.send(end);
        }
    }

    /// Gives the worker content, which the engine may have to send first.
    fn provide<H: Hosts>(&self, sha256: &str, desk: &Desk<H>) {
        let ask = || desk.outbox.say(&FromAgent::NeedBlob { sha256: sha256.to_owned() });
        let go_on = || if self.is_alive() { Ok(()) } else { Err(self.gone()) };
        let given = desk.blobs.get(sha256, ask, go_on).and_then(|path| {
            self.give(sha256, &path).map_err(|e| {
                // Cut short: what follows would be taken for the rest of it.
                lock(&self.stdin).take();
                format!("handing content to the user {}: {e}", self.user)
            })
        });
        match given {
            Ok(()) => desk.blobs.done_with(sha256),
            Err(why) => drop(self.send(&ToAgent::NoBlob { sha256: sha256.to_owned(), why })),
        }
    }

    fn give(&self, sha256: &str, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        // Locked to its end: bytes of two blobs must not mix.
        let mut stdin = lock(&self.stdin);
        let stdin = stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(&Frame::message(&ToAgent::Blob { sha256: sha256.to_owned(), size })?.encode())?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return stdin.flush(),
                n => stdin.write_all(&Frame::Bytes(buffer[..n].to_vec()).encode())?,
            }
        }
    }
}

/// The role `agent worker`: a desk at the end of a pipe. It ends with the pipe, and what is at work with it.
pub fn serve<H: Hosts>(run: &str, kit: Kit<H>) -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    let dir = place::temporary(["/var/tmp", "/tmp", "/dev/shm"].map(PathBuf::from))?;
    let desk = Desk::open(kit, dir.path(), run)?;
    desk.greet(1);
    let writer = desk.clone();
    std::thread::spawn(move || {
        let mut out = io::stdout();
        writer.outbox.drain(1, &mut out);
    });
    let clock = desk.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            clock.tick();
        }
    });
    let ended = desk.listen(&mut BufReader::with_capacity(64 << 10, io::stdin().lock()));
    desk.close();
    ended.map(drop)
}
