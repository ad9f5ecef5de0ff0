//! The journal's own thread: takes records from the whole engine, writes what is ready as one commit, and answers each
//! caller once its records are durable.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::crash::Crash;
use super::log::{Journal, JournalError};
use super::record::Body;

/// Hands records to the thread. Clones write into the same journal.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Message>,
    thread: Arc<Mutex<Option<thread::JoinHandle<Journal>>>>,
}

/// Why a commit failed; the same for all that were in it.
pub type WriteError = Arc<JournalError>;

enum Message {
    Commit(Vec<Body>, oneshot::Sender<Result<(), WriteError>>),
    Note(Body),
    Close,
}

impl Writer {
    /// Starts the thread.
    pub fn start(journal: Journal) -> std::io::Result<Writer> {
        let (queue, inbox) = mpsc::channel();
        let thread = thread::Builder::new().name("journal".into()).spawn(move || run(journal, &inbox))?;
        Ok(Writer { queue, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Writes records, all in one commit and in this order after all that came before; done when they are on disk. Queued
    /// at the call, not at the first poll, so the order of calls is the order in the journal.
    pub fn commit(&self, bodies: Vec<Body>) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let (answer, done) = oneshot::channel();
        // What could not be sent is dropped here, and the sender of the answer with it.
        let _ = self.queue.send(Message::Commit(bodies, answer));
        async move { done.await.unwrap_or_else(|_| Err(Arc::new(closed()))) }
    }

    /// Writes a record that nothing waits for. It is on disk with the next commit at the latest; a failure shows there.
    pub fn note(&self, body: Body) {
        let _ = self.queue.send(Message::Note(body));
    }

    /// Writes what is left, syncs it, and gives the journal back; none if another clone closed it before. Blocks until it
    /// is done; call it at the end of the run.
    pub fn close(self) -> Result<Option<Journal>, JournalError> {
        let thread = self.thread.lock().ok().and_then(|mut t| t.take());
        let Some(thread) = thread else { return Ok(None) };
        let _ = self.queue.send(Message::Close);
        let mut journal = thread.join().map_err(|_| closed())?;
        journal.sync()?;
        Ok(Some(journal))
    }
}

fn closed() -> JournalError {
    JournalError::Broken { path: "(closed)".into(), why: "it was closed, as the run is over".into() }
}

/// Until it is closed: waits for one message, takes all others that are there, and commits them together. Notes alone are
/// written but not waited for.
fn run(mut journal: Journal, inbox: &mpsc::Receiver<Message>) -> Journal {
    let mut open = true;
    let mut crash = Crash::wanted();
    let slow = slow();
    while open {
        let Ok(first) = inbox.recv() else { break };
        let (mut bodies, mut waiting) = (Vec::new(), Vec::new());
        for message in std::iter::once(first).chain(inbox.try_iter()) {
            match message {
                Message::Commit(more, answer) => {
                    bodies.extend(more);
                    waiting.push(answer);
                }
                Message::Note(body) => bodies.push(body),
                Message::Close => {
                    open = false;
                    break;
                }
            }
        }
        thread::sleep(slow);
        crash.at(&mut journal, &mut bodies);
        let done = if waiting.is_empty() { journal.write(&bodies) } else { journal.append(&bodies) };
        let done = done.map_err(Arc::new);
        for answer in waiting {
            let _ = answer.send(done.clone());
        }
    }
    journal
}

/// For fault tests: `STX_UPGRADE_SLOW_JOURNAL=MILLISECONDS` is what every write takes longer, as on a disk that others keep busy.
fn slow() -> Duration {
    let set = std::env::var("STX_UPGRADE_SLOW_JOURNAL").ok().and_then(|n| n.parse().ok());
    Duration::from_millis(set.unwrap_or(0))
}
