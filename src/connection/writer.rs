//! The writing half of a link: messages in their order, bulk behind them, acknowledgements with whatever goes.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::channel::Writer;
use crate::action::wire::{Attempt, Frame, ToAgent};

/// Acknowledgements wait this long for a message that they can travel with.
const LAZY: Duration = Duration::from_millis(500);

/// What the writing task is told.
pub(super) enum Out {
    Frame(Vec<u8>),
    /// There are acknowledgements.
    Lazy,
}

/// Writes what comes, messages first; all that waits goes out in one write, acknowledgements with it. `durable` takes
/// the attempts to acknowledge, and ends this with `None`.
pub(super) async fn write(
    durable: impl Fn() -> Option<Vec<Attempt>>,
    mut stdin: Writer,
    mut urgents: mpsc::UnboundedReceiver<Out>,
    mut bulks: mpsc::Receiver<Out>,
) {
    let mut lazy: Option<tokio::time::Instant> = None;
    loop {
        let patience = tokio::time::sleep_until(lazy.unwrap_or_else(tokio::time::Instant::now));
        let first = tokio::select! {
            biased;
            Some(out) = urgents.recv() => out,
            Some(out) = bulks.recv() => out,
            () = patience, if lazy.is_some() => Out::Frame(Vec::new()),
            else => return,
        };
        let Out::Frame(frame) = first else {
            lazy.get_or_insert_with(|| tokio::time::Instant::now() + LAZY);
            continue;
        };
        let Some(attempts) = durable() else { return };
        lazy = None;
        let mut lot = Vec::new();
        if !attempts.is_empty()
            && let Ok(acknowledge) = Frame::message(&ToAgent::Acknowledge { attempts })
        {
            lot = acknowledge.encode();
        }
        lot.extend(frame);
        while let Ok(out) = urgents.try_recv() {
            match out {
                Out::Frame(frame) => lot.extend(frame),
                Out::Lazy => lazy = Some(tokio::time::Instant::now() + LAZY),
            }
        }
        // A link that takes nothing is noticed by the reader.
        if stdin.write_all(&lot).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}
