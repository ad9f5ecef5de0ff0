//! What engine and agent say to each other: frames of a length, a kind and a body.
//!
//! A frame is a big-endian `u32` length of what follows, one byte of kind (`J` for a JSON message, `B` for bytes of a
//! blob), and the body. Several calls may be under way at once; each message names its attempt. The first frame each
//! way is [`ToAgent::Hello`] and [`FromAgent::Welcome`]; another version is refused there. Bytes of one blob or file
//! follow its announcement; there is never more than one under way in a direction.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::module::{Become, Call};
use crate::model::event::Wait;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;

/// The version both sides must share; raised with every change of the messages.
pub const VERSION: u32 = 1;

/// No frame is longer; a longer one ends the connection.
pub const FRAME_LIMIT: usize = 64 << 20;

/// An attempt at a step: unique in a run; the journal knows it.
pub type Attempt = u64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ToAgent {
    Hello {
        version: u32,
        run: String,
    },
    /// Starts a call; an attempt that the agent knows already is not started again but answered with what is known.
    Call {
        attempt: Attempt,
        call: Call,
    },
    /// What became of an attempt?
    Ask {
        attempt: Attempt,
    },
    /// Its result is durable; the agent may forget it.
    Acknowledge {
        attempts: Vec<Attempt>,
    },
    Cancel {
        attempt: Attempt,
    },
    /// The password for becoming a user; sent ahead of the first call that may need it, and kept in memory alone.
    Password {
        user: String,
        #[serde(serialize_with = "revealed")]
        password: Secret,
    },
    /// A blob follows in `B` frames until `size` bytes have come.
    Blob {
        sha256: String,
        size: u64,
    },
    /// The control node does not have it, or cannot read it.
    NoBlob {
        sha256: String,
        why: String,
    },
    /// Sends a file back, announced by [`FromAgent::File`].
    Fetch {
        attempt: Attempt,
        path: String,
        become_: Option<Become>,
    },
    /// The check run's record of this host moves between an agent and its workers, which act for other users: asked
    /// for with `None`, brought with `Some`.
    Layer {
        layer: Option<serde_json::Value>,
    },
    /// The run has ended: take no more calls, and leave nothing behind once those under way are done.
    Bye,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromAgent {
    Welcome(Welcome),
    /// Another version, another run, another user: why it will not serve.
    Refused {
        why: String,
    },
    Done {
        attempt: Attempt,
        outcome: Outcome,
        /// How long the call took.
        millis: u64,
    },
    /// Known and still at work; its [`FromAgent::Done`] will come.
    Running {
        attempt: Attempt,
    },
    NeverSeen {
        attempt: Attempt,
    },
    /// A call waits for this content.
    NeedBlob {
        sha256: String,
    },
    Waiting {
        attempt: Attempt,
        wait: Wait,
    },
    Output {
        attempt: Attempt,
        line: String,
    },
    /// A file follows in `B` frames, ended by [`FromAgent::FileEnd`]; the size is what it had at the start.
    File {
        attempt: Attempt,
        size: u64,
        mode: u32,
    },
    /// All of the file has come; the digest of what was sent.
    FileEnd {
        attempt: Attempt,
        sha256: String,
    },
    /// The file cannot be read, or not to its end.
    NoFile {
        attempt: Attempt,
        why: String,
    },
    /// The answer to [`ToAgent::Layer`].
    Layer {
        layer: serde_json::Value,
    },
}

/// Who answers at the far end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u32,
    /// Differs after every boot of the host, of a container too.
    pub boot_id: String,
    pub pid: u32,
    /// When the agent started, in milliseconds since 1970 by the host's clock.
    pub started_at: u64,
    /// The user it works as.
    pub user: String,
}

/// The one place where a secret is written out: to the agent, through the encrypted link.
fn revealed<S: serde::Serializer>(secret: &Secret, s: S) -> Result<S::Ok, S::Error> {
    secret.reveal().serialize(s)
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Json(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Frame {
    /// A message as a frame; an error if it is too long for one.
    pub fn message<T: Serialize>(message: &T) -> io::Result<Frame> {
        let body = serde_json::to_vec(message).map_err(io::Error::other)?;
        if body.len() >= FRAME_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} MB are too much for one message; at most {} MB", body.len() >> 20, FRAME_LIMIT >> 20),
            ));
        }
        Ok(Frame::Json(body))
    }

    /// The frame as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Frame::Json(body) => (b'J', body),
            Frame::Bytes(body) => (b'B', body),
        };
        let mut out = Vec::with_capacity(body.len() + 5);
        out.extend_from_slice(&(body.len() as u32 + 1).to_be_bytes());
        out.push(kind);
        out.extend_from_slice(body);
        out
    }

    /// Reads one frame; `None` where the stream ends between two.
    pub fn read(from: &mut impl io::Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        match from.read(&mut head)? {
            0 => return Ok(None),
            n => from.read_exact(&mut head[n..])?,
        }
        let [length @ .., kind] = head;
        let length = Frame::length(length)? - 1;
        // Grows as bytes come: a length alone must not cost memory.
        let mut body = Vec::with_capacity(length.min(64 << 10));
        from.by_ref().take(length as u64).read_to_end(&mut body)?;
        if body.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Frame::of(kind, body).map(Some)
    }

    /// How many bytes follow a frame's length: the kind and the body.
    pub fn length(head: [u8; 4]) -> io::Result<usize> {
        match u32::from_be_bytes(head) as usize {
            length if length == 0 || length > FRAME_LIMIT => Err(not_a_frame(format!("a frame of {length} bytes"))),
            length => Ok(length),
        }
    }

    /// A frame from its kind and its body.
    pub fn of(kind: u8, body: Vec<u8>) -> io::Result<Frame> {
        match kind {
            b'J' => Ok(Frame::Json(body)),
            b'B' => Ok(Frame::Bytes(body)),
            kind => Err(not_a_frame(format!("a frame of kind {kind}"))),
        }
    }

    /// The first frame in `buffer` and how many bytes it took; `None` until it is whole. What cannot be a frame is an
    /// error: the other side is not one of ours.
    pub fn decode(buffer: &[u8]) -> io::Result<Option<(Frame, usize)>> {
        let Some((head, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = Frame::length(*head)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        Ok(Some((Frame::of(body[0], body[1..].to_vec())?, length + 4)))
    }

    /// The message in a JSON frame.
    pub fn parse<T: for<'a> Deserialize<'a>>(&self) -> io::Result<T> {
        match self {
            Frame::Json(body) => {
                serde_json::from_slice(body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
            }
            Frame::Bytes(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes where a message was due")),
        }
    }
}

/// The other side is not one of ours.
fn not_a_frame(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole() {
        let bytes = Frame::message(&ToAgent::Ask { attempt: 7 }).unwrap().encode();
        assert_eq!(Frame::decode(&bytes[..bytes.len() - 1]).unwrap(), None);
        let (frame, used) = Frame::decode(&bytes).unwrap().unwrap();
        assert_eq!(used, bytes.len());
        assert!(matches!(frame.parse().unwrap(), ToAgent::Ask { attempt: 7 }));
        assert!(Frame::decode(&[0xff, 0xff, 0xff, 0xff, b'J']).is_err());

        let mut stream = bytes.as_slice();
        assert_eq!(Frame::read(&mut stream).unwrap(), Some(frame));
        assert_eq!(Frame::read(&mut stream).unwrap(), None);
        assert!(Frame::read(&mut &bytes[..bytes.len() - 1]).is_err());
    }
}
