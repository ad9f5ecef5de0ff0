//! The link to one host's agent: calls and their answers by attempt, over a channel that may be lost and brought back.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::Connector;
use super::channel::{Channel, read_frame};
use super::cut::{CUT, Cut};
use super::error::LinkError;
use super::open::attach;
use super::ssh::Master;
use super::target::Target;
use super::transfer::{self, Fetched, FilePart};
use super::writer::{Out, write};
use crate::action::module::{Become, Call};
use crate::action::wire::{Attempt, Frame, FromAgent, ToAgent, Welcome};
use crate::model::event::Wait;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;

/// How long the agent may take to leave.
const LEAVING: Duration = Duration::from_secs(5);

/// A link. Clones share it.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

/// A way through a connection that stands.
pub struct Ssh {
    pub program: String,
    pub arguments: Vec<String>,
    /// Its control socket.
    pub socket: std::path::PathBuf,
    pub address: String,
}

struct Inner {
    connector: Connector,
    target: Target,
    state: Mutex<State>,
    /// Held while the link is opened or closed; has the ssh connection, which may outlive a channel.
    master: tokio::sync::Mutex<Option<Master>>,
    /// One blob at a time goes out: its frames carry no name.
    sending: tokio::sync::Mutex<()>,
}

struct State {
    /// Number of the channel; a late word of an older one is not heard.
    channel: u64,
    up: Option<Up>,
    /// Why it is down.
    down: String,
    welcome: Welcome,
    waiting: HashMap<Attempt, Waiter>,
    /// Files that were asked for; the agent sends one after the other.
    fetching: HashMap<Attempt, mpsc::Sender<FilePart>>,
    /// The one that bytes are of.
    arriving: Option<Attempt>,
    passwords: HashMap<String, Secret>,
    /// Results that are durable here and that the agent may forget.
    durable: Vec<Attempt>,
    /// Content that is being sent; asked for again meanwhile, it is not sent twice.
    providing: HashSet<String>,
}

/// The ways to the task that writes.
struct Up {
    /// Messages, in order.
    urgent: mpsc::UnboundedSender<Out>,
    /// What waits for room, behind messages.
    bulk: mpsc::Sender<Out>,
    /// Ended with the channel.
    tasks: [tokio::task::AbortHandle; 2],
}

impl Drop for Up {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

struct Waiter {
    answer: oneshot::Sender<Known>,
    progress: Option<mpsc::UnboundedSender<Tidings>>,
    /// Whether "running" and "never seen" are answers too.
    any: bool,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub outcome: Outcome,
    /// How long it took on the host, in milliseconds.
    pub millis: u64,
}

/// What the agent knows of an attempt.
#[derive(Clone, Debug, PartialEq)]
// One at a time, moved and not kept: a box would only cost an allocation per call.
#[allow(clippy::large_enum_variant)]
pub enum Known {
    Done(Done),
    /// At work; [`Link::follow`] waits for its end.
    Running,
    /// The agent never got it, or has been told that its result is durable.
    NeverSeen,
}

/// What a call tells while it is at work.
#[derive(Clone, Debug, PartialEq)]
pub enum Tidings {
    Waiting(Wait),
    /// A line that a command printed.
    Output(String),
}

/// Who answered when a lost link came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reattached {
    /// The same agent: it knows every attempt.
    SameAgent,
    /// The host did not reboot, but the agent was ended: what was at work in it is in doubt.
    NewAgent,
    /// The host rebooted.
    NewBoot,
}

impl Link {
    pub(super) async fn open(connector: Connector, target: Target) -> Result<Link, LinkError> {
        let run = &connector.0.run;
        // It becomes a word of a command line and the name of a directory.
        if !crate::agent::place::is_run_name(run) {
            return Err(LinkError::Broken { host: target.host, why: format!("`{run}` cannot name a run") });
        }
        let mut master = None;
        let (channel, welcome) = attach(&connector, &target, &mut master).await?;
        let state = State {
            channel: 0,
            up: None,
            down: String::new(),
            welcome: welcome.clone(),
            waiting: HashMap::new(),
            fetching: HashMap::new(),
            arriving: None,
            passwords: HashMap::new(),
            durable: Vec::new(),
            providing: HashSet::new(),
        };
        let link = Link(Arc::new(Inner {
            connector,
            target,
            state: Mutex::new(state),
            master: tokio::sync::Mutex::new(master),
            sending: tokio::sync::Mutex::default(),
        }));
        link.take_up(channel, welcome);
        Ok(link)
    }

    /// How another program's `ssh` goes through this connection; none for this machine itself.
    pub async fn ssh(&self) -> Option<Ssh> {
        let target = &self.0.target;
        let master = self.0.master.lock().await;
        master.as_ref().map(|m| Ssh {
            program: target.ssh_program.clone(),
            arguments: target.ssh_arguments().into_iter().map(|a| a.to_string_lossy().into_owned()).collect(),
            socket: m.socket().to_owned(),
            address: target.address.clone(),
        })
    }

    /// The agent's first words: boot id, process, start, user.
    pub fn welcome(&self) -> Welcome {
        self.state().welcome.clone()
    }

    pub fn target(&self) -> &Target {
        &self.0.target
    }

    pub fn is_up(&self) -> bool {
        self.state().up.is_some()
    }

    /// Runs a call, one message each way, and waits for its result. `progress` gets what it tells meanwhile. Many calls
    /// may be under way at once. If the link is lost first, [`LinkError::Lost`] says whether the call was sent; if so,
    /// it goes on, and [`Link::ask`] tells what became of it.
    pub async fn call(
        &self,
        attempt: Attempt,
        call: &Call,
        progress: Option<mpsc::UnboundedSender<Tidings>>,
    ) -> Result<Done, LinkError> {
        let message = ToAgent::Call { attempt, call: call.clone() };
        let cut = Cut::of_this_call();
        if cut == Some(Cut::Before) {
            self.cut();
        }
        if cut == Some(Cut::Sent) {
            let (link, channel) = (self.clone(), self.state().channel);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                link.sever(channel, CUT.into());
            });
        }
        match self.request(attempt, &message, progress, false).await? {
            Known::Done(done) => {
                if cut == Some(Cut::Answered) {
                    self.cut();
                }
                Ok(done)
            }
            // Not sent on by `hear` to one who waits for the end alone.
            Known::Running | Known::NeverSeen => Err(self.broken("an answer without a result".into())),
        }
    }

    fn cut(&self) {
        let channel = self.state().channel;
        self.sever(channel, CUT.into());
    }

    fn sever(&self, channel: u64, why: String) {
        if let Some(up) = &self.state().up {
            up.tasks.iter().for_each(tokio::task::AbortHandle::abort);
        }
        self.went_down(channel, why);
    }

    /// What the agent knows of an attempt.
    pub async fn ask(&self, attempt: Attempt) -> Result<Known, LinkError> {
        self.request(attempt, &ToAgent::Ask { attempt }, None, true).await
    }

    /// Waits for the end of an attempt that is [`Known::Running`].
    pub async fn follow(
        &self,
        attempt: Attempt,
        progress: Option<mpsc::UnboundedSender<Tidings>>,
    ) -> Result<Done, LinkError> {
        match self.request(attempt, &ToAgent::Ask { attempt }, progress, false).await? {
            Known::Done(done) => Ok(done),
            Known::Running | Known::NeverSeen => Err(self.broken("an attempt that the agent does not know".into())),
        }
    }

    /// The attempt's result is durable; the agent may forget it. Costs no message of its own while there is traffic.
    pub fn acknowledge(&self, attempt: Attempt) {
        let mut state = self.state();
        state.durable.push(attempt);
        if let Some(up) = &state.up {
            let _ = up.urgent.send(Out::Lazy);
        }
    }

    /// Has a call ended, with all its processes; its result comes as of any call.
    pub fn cancel(&self, attempt: Attempt) {
        let _ = self.send(&self.state(), &ToAgent::Cancel { attempt });
    }

    /// The password for becoming `user` on this host. To be told before the first call that may need it, and again
    /// after [`Reattached::NewAgent`] or [`Reattached::NewBoot`]; telling the same again costs nothing.
    pub fn password(&self, user: &str, password: &Secret) {
        let mut state = self.state();
        if state.passwords.get(user) != Some(password)
            && self.send(&state, &ToAgent::Password { user: user.to_owned(), password: password.clone() }).is_ok()
        {
            state.passwords.insert(user.to_owned(), password.clone());
        }
    }

    /// Sends small content ahead of a call that is sure to need it, which saves a round trip. What is larger, or a file,
    /// is sent when it is asked for.
    pub fn send_ahead(&self, sha256: &str) {
        let lot = self.0.connector.0.blobs.find(sha256).and_then(|c| transfer::small(sha256, &c));
        // Not between the frames of another one.
        if let (Some(lot), Ok(_turn)) = (lot, self.0.sending.try_lock())
            && let Some(up) = &self.state().up
        {
            let _ = up.urgent.send(Out::Frame(lot));
        }
    }

    /// Fetches a file from the host to `to`, as `become_` says; what comes is put in place as a whole, checked by its
    /// digest, readable by this user alone.
    pub async fn fetch(
        &self,
        attempt: Attempt,
        path: &str,
        become_: Option<&Become>,
        to: &Path,
    ) -> Result<Fetched, LinkError> {
        let (parts, coming) = mpsc::channel(4);
        {
            let mut state = self.state();
            let message = ToAgent::Fetch { attempt, path: path.to_owned(), become_: become_.cloned() };
            self.send(&state, &message)?;
            state.fetching.insert(attempt, parts);
        }
        match transfer::receive(coming, path, to).await {
            Ok(Some(fetched)) => Ok(fetched),
            Ok(None) => Err(self.lost(true)),
            Err(why) => Err(LinkError::File { host: self.host(), why }),
        }
    }

    /// Brings a lost link back, trying until `patience` is over: the host may reboot meanwhile. Errors that trying again
    /// does not mend, as a changed host key, end it at once.
    pub async fn reattach(&self, patience: Duration) -> Result<Reattached, LinkError> {
        let end = Instant::now() + patience;
        let mut pause = Duration::from_millis(250);
        // Two that bring it back at once do it once.
        let mut master = self.0.master.lock().await;
        if self.is_up() {
            return Ok(Reattached::SameAgent);
        }
        let before = self.welcome();
        loop {
            if let Some(m) = master.take()
                && m.is_alive().await
            {
                *master = Some(m);
            }
            match attach(&self.0.connector, &self.0.target, &mut master).await {
                Ok((channel, welcome)) => {
                    let found = if welcome.boot_id != before.boot_id {
                        Reattached::NewBoot
                    } else if (welcome.pid, welcome.started_at) != (before.pid, before.started_at) {
                        Reattached::NewAgent
                    } else {
                        Reattached::SameAgent
                    };
                    self.take_up(channel, welcome);
                    return Ok(found);
                }
                Err(e) if e.is_passing() && Instant::now() + pause < end => {
                    // A connection that gave no channel is no use.
                    *master = None;
                    tracing::debug!(host = self.0.target.host, "not back yet: {e}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(Duration::from_secs(5));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Ends the run on this host: the agent leaves, and leaves nothing behind; the connection is closed. Results that
    /// were acknowledged are told first.
    pub async fn bye(&self) {
        let ended = {
            let mut state = self.state();
            let (tell, ended) = oneshot::channel();
            let waiter = Waiter { answer: tell, progress: None, any: false };
            // Attempts of the journal start at 1; this one stands for the end of the stream.
            state.waiting.insert(Attempt::MAX, waiter);
            self.send(&state, &ToAgent::Bye).is_ok().then_some(ended)
        };
        if let Some(ended) = ended {
            let _ = tokio::time::timeout(LEAVING, ended).await;
        }
        self.close().await;
    }

    /// Closes the connection and leaves the agent, with all that is at work in it, to a later [`Connector::open`].
    pub async fn close(&self) {
        let channel = self.state().channel;
        self.went_down(channel, "it was closed".to_owned());
        if let Some(master) = self.0.master.lock().await.take() {
            master.close().await;
        }
    }

    /// Sends a message and waits for what answers it.
    async fn request(
        &self,
        attempt: Attempt,
        message: &ToAgent,
        progress: Option<mpsc::UnboundedSender<Tidings>>,
        any: bool,
    ) -> Result<Known, LinkError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state();
            self.send(&state, message)?;
            state.waiting.insert(attempt, Waiter { answer, progress, any });
        }
        answered.await.map_err(|_| self.lost(true))
    }

    fn send(&self, state: &State, message: &ToAgent) -> Result<(), LinkError> {
        let frame = Frame::message(message).map_err(|e| self.broken(format!("it cannot be sent: {e}")))?;
        let down = || LinkError::Lost { host: self.host(), why: state.down.clone(), sent: false };
        let up = state.up.as_ref().ok_or_else(down)?;
        up.urgent.send(Out::Frame(frame.encode())).map_err(|_| down())
    }

    /// Serves a fresh channel from here on.
    fn take_up(&self, channel: Channel, welcome: Welcome) {
        let Channel { stdin, mut stdout, stderr, keep } = channel;
        let (urgent, urgents) = mpsc::unbounded_channel();
        let (bulk, bulks) = mpsc::channel(4);
        let mut state = self.state();
        state.channel += 1;
        let number = state.channel;
        // The tasks do not keep the link alive: dropping its last clone ends them, and the channel.
        let weak = Arc::downgrade(&self.0);
        let durable = weak.clone();
        let durable = move || durable.upgrade().map(|link| std::mem::take(&mut Link(link).state().durable));
        let writer = tokio::spawn(write(durable, stdin, urgents, bulks));
        let reader = tokio::spawn(async move {
            let _keep = keep;
            let why = loop {
                match read_frame(&mut stdout).await {
                    Ok(Some(frame)) => {
                        let Some(link) = weak.upgrade().map(Link) else { return };
                        if let Err(why) = link.hear(frame).await {
                            break why;
                        }
                    }
                    Ok(None) => {
                        let said = stderr.ended(Duration::from_millis(200)).await;
                        let said = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default();
                        break if said.is_empty() { "the connection ended".to_owned() } else { said.trim().to_owned() };
                    }
                    Err(e) => break e.to_string(),
                }
            };
            if let Some(link) = weak.upgrade().map(Link) {
                link.went_down(number, why);
            }
        });
        state.welcome = welcome;
        state.passwords.clear();
        state.providing.clear();
        state.up = Some(Up { urgent, bulk, tasks: [writer.abort_handle(), reader.abort_handle()] });
    }

    /// Everybody who waits learns that the link is gone.
    fn went_down(&self, channel: u64, why: String) {
        let mut state = self.state();
        if state.channel != channel {
            return;
        }
        if state.up.take().is_some() {
            state.down = why;
        }
        state.waiting.clear();
        state.fetching.clear();
    }

    /// Takes a frame from the agent; the error ends the channel.
    async fn hear(&self, frame: Frame) -> Result<(), String> {
        if let Frame::Bytes(bytes) = frame {
            return self.file(None, FilePart::Bytes(bytes)).await;
        }
        let message = frame.parse().map_err(|e| format!("the agent said what cannot be understood: {e}"))?;
        match message {
            FromAgent::Done { attempt, outcome, millis } => self.answer(attempt, Known::Done(Done { outcome, millis })),
            FromAgent::Running { attempt } => self.answer(attempt, Known::Running),
            FromAgent::NeverSeen { attempt } => self.answer(attempt, Known::NeverSeen),
            FromAgent::Waiting { attempt, wait } => self.progress(attempt, Tidings::Waiting(wait)),
            FromAgent::Output { attempt, line } => self.progress(attempt, Tidings::Output(line)),
            FromAgent::NeedBlob { sha256 } => self.provide(sha256),
            // The size may change while it is sent; what comes is counted.
            FromAgent::File { attempt, mode, size: _ } => {
                return self.file(Some(attempt), FilePart::Begin { mode }).await;
            }
            FromAgent::FileEnd { attempt, sha256 } => {
                return self.file(Some(attempt), FilePart::End { sha256 }).await;
            }
            FromAgent::NoFile { attempt, why } => {
                return self.file(Some(attempt), FilePart::Failed(why)).await;
            }
            FromAgent::Welcome(_) | FromAgent::Layer { .. } => {}
            FromAgent::Refused { why } => return Err(why),
        }
        Ok(())
    }

    fn answer(&self, attempt: Attempt, known: Known) {
        let mut state = self.state();
        let wanted = match &known {
            // Once never seen it will never end: nobody may wait on.
            Known::Done(_) | Known::NeverSeen => true,
            Known::Running => state.waiting.get(&attempt).is_some_and(|w| w.any),
        };
        if wanted && let Some(waiter) = state.waiting.remove(&attempt) {
            let _ = waiter.answer.send(known);
        }
    }

    fn progress(&self, attempt: Attempt, tidings: Tidings) {
        if let Some(progress) = self.state().waiting.get(&attempt).and_then(|w| w.progress.as_ref()) {
            let _ = progress.send(tidings);
        }
    }

    /// Hands on a part of a file. There is one under way at a time; bytes are for the one that began last.
    async fn file(&self, attempt: Option<Attempt>, part: FilePart) -> Result<(), String> {
        let ends = matches!(part, FilePart::End { .. } | FilePart::Failed(_));
        let parts = {
            let mut state = self.state();
            if matches!(part, FilePart::Begin { .. }) {
                state.arriving = attempt;
            }
            let attempt = attempt.or(state.arriving);
            match attempt {
                Some(attempt) if ends => state.fetching.remove(&attempt),
                Some(attempt) => state.fetching.get(&attempt).cloned(),
                None => None,
            }
        };
        if let Some(parts) = parts {
            // One that gave up meanwhile is not served.
            let _ = parts.send(part).await;
        }
        Ok(())
    }

    /// Sends content that a call waits for.
    fn provide(&self, sha256: String) {
        let bulk = {
            let mut state = self.state();
            let Some(bulk) = state.up.as_ref().map(|up| up.bulk.clone()) else { return };
            if !state.providing.insert(sha256.clone()) {
                return;
            }
            bulk
        };
        let link = self.clone();
        tokio::spawn(async move {
            let _turn = link.0.sending.lock().await;
            let content = link.0.connector.0.blobs.find(&sha256);
            // If the link ended, whoever waits for the call has been told.
            let _ = transfer::send(&sha256, content, &bulk).await;
            link.state().providing.remove(&sha256);
        });
    }

    fn lost(&self, sent: bool) -> LinkError {
        LinkError::Lost { host: self.host(), why: self.state().down.clone(), sent }
    }

    fn broken(&self, why: String) -> LinkError {
        LinkError::Broken { host: self.host(), why }
    }

    fn host(&self) -> String {
        self.0.target.host.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
