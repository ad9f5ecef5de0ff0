//! What engine and agent say to each other: frames of a length, a kind and a body.
//!
//! A frame is a big-endian `u32` length of what follows, one byte of kind (`J` for a JSON message, `B` for bytes of a
//! blob), and the body. Several calls may be under way at once; each message names its attempt. The first frame each
//! way is [`ToAgent::Hello`] and [`FromAgent::Welcome`]; another version is refused there.

use std::io;

use serde::{Deserialize, Serialize};

use super::module::Call;
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
        attempt: Attempt,
    },
    Cancel {
        attempt: Attempt,
    },
    /// The password for becoming a user, answered to [`FromAgent::NeedPassword`]; none if there is none.
    Password {
        user: String,
        #[serde(serialize_with = "revealed")]
        password: Option<Secret>,
    },
    /// A blob follows in `B` frames until `size` bytes have come.
    Blob {
        sha256: String,
        size: u64,
    },
    /// Sends a file back in `B` frames, announced by [`FromAgent::File`].
    Fetch {
        attempt: Attempt,
        path: String,
        become_: Option<super::module::Become>,
    },
    /// The run has ended: leave, and leave nothing behind.
    Bye,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromAgent {
    Welcome {
        version: u32,
        boot_id: String,
        pid: u32,
        started_at: u64,
        user: String,
    },
    /// Another version, another run, another user: why it will not serve.
    Refused {
        why: String,
    },
    Done {
        attempt: Attempt,
        outcome: Outcome,
        millis: u64,
    },
    /// Known and still at work.
    Running {
        attempt: Attempt,
    },
    NeverSeen {
        attempt: Attempt,
    },
    NeedBlob {
        attempt: Attempt,
        sha256: String,
    },
    HaveBlob {
        sha256: String,
    },
    NeedPassword {
        user: String,
    },
    Waiting {
        attempt: Attempt,
        wait: Wait,
    },
    Output {
        attempt: Attempt,
        line: String,
    },
    /// A file follows in `B` frames until `size` bytes have come.
    File {
        attempt: Attempt,
        size: u64,
        sha256: String,
        mode: u32,
    },
    NoFile {
        attempt: Attempt,
        why: String,
    },
}

/// The one place where a secret is written out: to the agent, through the encrypted link.
fn revealed<S: serde::Serializer>(secret: &Option<Secret>, s: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(s)
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Json(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Frame {
    /// A message as a frame.
    pub fn message<T: Serialize>(message: &T) -> io::Result<Frame> {
        serde_json::to_vec(message).map(Frame::Json).map_err(io::Error::other)
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

    /// The first frame in `buffer` and how many bytes it took; `None` until it is whole. What cannot be a frame is an
    /// error: the other side is not one of ours.
    pub fn decode(buffer: &[u8]) -> io::Result<Option<(Frame, usize)>> {
        let Some((head, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length == 0 || length > FRAME_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = match body[0] {
            b'J' => Frame::Json(body[1..].to_vec()),
            b'B' => Frame::Bytes(body[1..].to_vec()),
            kind => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of kind {kind}"))),
        };
        Ok(Some((frame, length + 4)))
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
    }
}
