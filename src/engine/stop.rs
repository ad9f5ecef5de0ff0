//! How a run is asked to stop: first no new steps, then no more waiting.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// The wish to stop; shared by all that runs.
#[derive(Debug, Default)]
pub struct Stop {
    level: AtomicU8,
    changed: Notify,
}

impl Stop {
    /// Whether new steps may begin.
    pub fn may_start(&self) -> bool {
        self.level.load(Ordering::SeqCst) == 0
    }

    /// Whether waiting is over, too.
    pub fn is_now(&self) -> bool {
        self.level.load(Ordering::SeqCst) >= 2
    }

    /// One step further: running -> no new steps -> now. The new level.
    pub fn press(&self) -> u8 {
        let level = self.level.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |l| Some((l + 1).min(2)));
        self.changed.notify_waiters();
        level.map_or(2, |l| (l + 1).min(2))
    }

    /// Returns when no new steps may begin.
    pub async fn asked(&self) {
        self.reached(1).await;
    }

    /// Returns when waiting is over.
    pub async fn now(&self) {
        self.reached(2).await;
    }

    async fn reached(&self, level: u8) {
        loop {
            let changed = self.changed.notified();
            if self.level.load(Ordering::SeqCst) >= level {
                return;
            }
            changed.await;
        }
    }

    /// Turns SIGINT, SIGTERM and SIGHUP into presses; `tell` is called with the level and what came. A lost terminal
    /// (SIGHUP) stops at the next safe point, as Ctrl-C does.
    pub async fn listen(&self, tell: impl Fn(u8, &str)) {
        let open = |kind, name| signal(kind).inspect_err(|e| tracing::warn!("cannot listen for {name}: {e}")).ok();
        let mut interrupt = open(SignalKind::interrupt(), "SIGINT");
        let mut terminate = open(SignalKind::terminate(), "SIGTERM");
        let mut hangup = open(SignalKind::hangup(), "SIGHUP");
        loop {
            let name = tokio::select! {
                () = next(&mut interrupt) => "Ctrl-C",
                () = next(&mut terminate) => "SIGTERM",
                () = next(&mut hangup) => "SIGHUP",
            };
            tell(self.press(), name);
        }
    }
}

/// The next signal of a stream; never, without one.
async fn next(stream: &mut Option<Signal>) {
    match stream {
        Some(stream) => {
            stream.recv().await;
        }
        None => std::future::pending().await,
    }
}
