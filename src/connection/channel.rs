//! Standard input and output of a command at the far side, whatever carries them.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader};

use crate::action::wire::Frame;

pub(super) type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A command at the far side. Dropping it closes its input and output.
pub(super) struct Channel {
    pub stdin: Writer,
    pub stdout: Reader,
    pub stderr: Tail,
    /// Closes the channel when dropped.
    pub keep: Box<dyn Any + Send>,
}

impl Channel {
    pub fn new(
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        stderr: Tail,
        keep: impl Any + Send,
    ) -> Channel {
        Channel {
            stdin: Box::new(stdin),
            stdout: BufReader::with_capacity(8 << 10, Box::new(stdout)),
            stderr,
            keep: Box::new(keep),
        }
    }
}

/// The next line that begins with `mark`, without it. What comes before is a login's chatter; a stream that ends, or
/// chatters on, is `None`.
pub(super) async fn marked_line(from: &mut Reader, mark: &str) -> io::Result<Option<String>> {
    let mut chatter = 0;
    while chatter < 256 << 10 {
        let mut line = Vec::new();
        let read = (&mut *from).take(64 << 10).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(None);
        }
        chatter += read;
        let line = String::from_utf8_lossy(&line);
        // A banner without a line's end may stand before it.
        if let Some((_, rest)) = line.split_once(mark) {
            return Ok(Some(rest.trim().to_owned()));
        }
    }
    Ok(None)
}

/// Reads one frame; `None` at the end of the stream.
pub(super) async fn read_frame(from: &mut Reader) -> io::Result<Option<Frame>> {
    if from.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    let mut head = [0; 4];
    from.read_exact(&mut head).await?;
    let length = Frame::length(head)?;
    let kind = from.read_u8().await?;
    // Grows as bytes come: a length alone must not cost memory.
    let mut body = Vec::with_capacity((length - 1).min(64 << 10));
    (&mut *from).take(length as u64 - 1).read_to_end(&mut body).await?;
    if body.len() + 1 < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Frame::of(kind, body).map(Some)
}

/// The end of what a program says on standard error, read as it comes so that it never blocks.
#[derive(Clone)]
pub(super) struct Tail {
    text: Arc<Mutex<String>>,
    ended: tokio::sync::watch::Receiver<bool>,
}

impl Tail {
    pub fn of(mut from: impl AsyncRead + Send + Unpin + 'static) -> Tail {
        let text = Arc::new(Mutex::new(String::new()));
        let (end, ended) = tokio::sync::watch::channel(false);
        let kept = text.clone();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(1024);
            while let Ok(1..) = from.read_buf(&mut buffer).await {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&buffer));
                buffer.clear();
                if text.len() > 32 << 10 {
                    let cut = (text.len() - (16 << 10)..).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
                    text.drain(..cut);
                }
            }
            let _ = end.send(true);
        });
        Tail { text, ended }
    }

    /// What was said until its end, or until `patience` is over.
    pub async fn ended(mut self, patience: Duration) -> String {
        let _ = tokio::time::timeout(patience, self.ended.wait_for(|e| *e)).await;
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
