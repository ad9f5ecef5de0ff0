//! What waits to go out to the engine. There is one connection at a time, or none; what is said while there is none is
//! lost, since results are kept elsewhere and the engine asks for them when it is back.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::action::wire::Frame;

/// Bytes that may wait before bulk (files) has to wait, and chatter (progress) is dropped.
const ROOM: usize = 1 << 20;

#[derive(Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Number of the connection that is served; 0 if none.
    connection: u64,
}

/// The connection that something was meant for is gone.
#[derive(Debug)]
pub struct Gone;

impl Outbox {
    /// Serves this connection from now on, and says `first` before anything else can be said to it; what waited for another
    /// one is dropped.
    pub fn connect<T: Serialize>(&self, connection: u64, first: &T) {
        let mut queue = self.queue();
        *queue = Queue { connection, ..Queue::default() };
        if let Ok(frame) = Frame::message(first) {
            queue.push(frame.encode());
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// This connection ended; whether it was the one served.
    pub fn disconnect(&self, connection: u64) -> bool {
        let mut queue = self.queue();
        let was = queue.connection == connection;
        if was {
            *queue = Queue::default();
            self.changed.notify_all();
        }
        was
    }

    pub fn is_connected(&self) -> bool {
        self.queue().connection != 0
    }

    /// A message that the engine must have if it is there. One that is too long for a frame is the caller's mistake.
    pub fn say<T: Serialize>(&self, message: &T) {
        if let Ok(frame) = Frame::message(message) {
            self.put(frame.encode());
        }
    }

    /// As [`Outbox::say`], for a frame encoded before.
    pub fn put(&self, frame: Vec<u8>) {
        self.queue().push(frame);
        self.changed.notify_all();
    }

    /// A message that may be lost: dropped while the link cannot keep up.
    pub fn chat<T: Serialize>(&self, message: &T) {
        let mut queue = self.queue();
        if queue.connection != 0
            && queue.bytes < ROOM
            && let Ok(frame) = Frame::message(message)
        {
            queue.push(frame.encode());
            self.changed.notify_all();
        }
    }

    /// The connection that bulk started now is for.
    pub fn connection(&self) -> u64 {
        self.queue().connection
    }

    /// A part of something large, for this connection alone; waits for room.
    pub fn bulk(&self, connection: u64, frame: Frame) -> Result<(), Gone> {
        let mut queue = self.queue();
        while queue.connection == connection && queue.bytes >= ROOM {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.connection != connection || connection == 0 {
            return Err(Gone);
        }
        queue.push(frame.encode());
        self.changed.notify_all();
        Ok(())
    }

    /// Writes out what comes until the connection is no longer the one served, or breaks.
    pub fn drain(&self, connection: u64, to: &mut impl Write) {
        loop {
            let mut queue = self.queue();
            while queue.connection == connection && queue.frames.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.connection != connection {
                return;
            }
            // All that waits goes out in one write.
            let bytes = Vec::from(std::mem::take(&mut queue.frames)).concat();
            queue.bytes = 0;
            drop(queue);
            self.changed.notify_all();
            if to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
                self.disconnect(connection);
                return;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, frame: Vec<u8>) {
        if self.connection != 0 {
            self.bytes += frame.len();
            self.frames.push_back(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::wire::FromAgent;

    #[test]
    fn only_the_served_connection_is_written_to() {
        let outbox = Outbox::default();
        outbox.say(&FromAgent::NeverSeen { attempt: 1 });
        outbox.connect(1, &FromAgent::NeverSeen { attempt: 7 });
        outbox.say(&FromAgent::NeverSeen { attempt: 2 });
        outbox.connect(2, &FromAgent::NeverSeen { attempt: 3 });
        outbox.say(&FromAgent::NeverSeen { attempt: 4 });
        assert!(outbox.bulk(1, Frame::Bytes(vec![0])).is_err());
        let mut written = Vec::new();
        outbox.drain(1, &mut written);
        assert!(written.is_empty());
        std::thread::scope(|s| {
            let drain = s.spawn(|| {
                let mut written = Vec::new();
                outbox.drain(2, &mut written);
                written
            });
            while !outbox.queue().frames.is_empty() {
                std::thread::yield_now();
            }
            assert!(outbox.disconnect(2));
            let text = drain.join().unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.find("\"attempt\":3") < text.find("\"attempt\":4"), "the greeting comes first: {text}");
        });
    }
}
