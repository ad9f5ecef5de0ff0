//! Content to the host and files from it, beside the calls.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::writer::Out;
use crate::action::wire::{Frame, ToAgent};
use crate::modules::host::part::Part;

/// Bytes in one frame.
const CHUNK: usize = 128 << 10;

/// Where the content lies that modules on the hosts ask for.
pub trait Blobs: Send + Sync + 'static {
    /// Content by its SHA-256 in lower-case hex; none if it was never promised.
    fn find(&self, sha256: &str) -> Option<Content>;
}

/// No content at all, for a run that sends none.
impl Blobs for () {
    fn find(&self, _sha256: &str) -> Option<Content> {
        None
    }
}

#[derive(Clone, Debug)]
pub enum Content {
    Path(PathBuf),
    Bytes(Arc<[u8]>),
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub size: u64,
    pub sha256: String,
    /// Permission bits that it has on the host.
    pub mode: u32,
}

/// What the agent sends of a file.
pub(super) enum FilePart {
    Begin { mode: u32 },
    Bytes(Vec<u8>),
    End { sha256: String },
    Failed(String),
}

/// Takes a file in and puts it in place as a whole. `None`: the link ended first.
pub(super) async fn receive(
    mut coming: mpsc::Receiver<FilePart>,
    path: &str,
    to: &Path,
) -> Result<Option<Fetched>, String> {
    let local = |e: io::Error| format!("{} on this machine: {e}", to.display());
    let part = Part::of(to).map_err(local)?;
    let mut file = tokio::fs::File::from_std(part.file.try_clone().map_err(local)?);
    let mut fetched = Fetched { size: 0, sha256: String::new(), mode: 0o600 };
    let mut digest = Sha256::new();
    loop {
        match coming.recv().await {
            None => return Ok(None),
            Some(FilePart::Begin { mode }) => fetched.mode = mode,
            Some(FilePart::Bytes(bytes)) => {
                digest.update(&bytes);
                fetched.size += bytes.len() as u64;
                file.write_all(&bytes).await.map_err(local)?;
            }
            Some(FilePart::End { sha256 }) => {
                fetched.sha256 = hex::encode(digest.finalize());
                if fetched.sha256 != sha256 {
                    return Err(format!("{path} did not come whole; fetch it again"));
                }
                break;
            }
            Some(FilePart::Failed(why)) => return Err(why),
        }
    }
    file.sync_all().await.map_err(local)?;
    part.put().map_err(local)?;
    Ok(Some(fetched))
}

/// Content as one lot of frames, if it is small enough to go ahead of a call.
pub(super) fn small(sha256: &str, content: &Content) -> Option<Vec<u8>> {
    let Content::Bytes(bytes) = content else { return None };
    if bytes.len() > CHUNK {
        return None;
    }
    let mut lot = Frame::message(&ToAgent::Blob { sha256: sha256.to_owned(), size: bytes.len() as u64 }).ok()?.encode();
    if !bytes.is_empty() {
        lot.extend(Frame::Bytes(bytes.to_vec()).encode());
    }
    Some(lot)
}

/// Sends content; the caller has the turn. An error is the link's end alone: what cannot be read is told to the agent,
/// and fails the calls that wait for it.
pub(super) async fn send(sha256: &str, content: Option<Content>, out: &mpsc::Sender<Out>) -> Result<(), LinkEnded> {
    let say = async |message: &ToAgent| {
        let frame = Frame::message(message).map_err(|_| LinkEnded)?;
        out.send(Out::Frame(frame.encode())).await.map_err(|_| LinkEnded)
    };
    let refuse = async |why: String| say(&ToAgent::NoBlob { sha256: sha256.to_owned(), why }).await;
    match content {
        None => refuse("the control node does not have the content that the module asked for".to_owned()).await,
        Some(Content::Bytes(bytes)) => {
            say(&ToAgent::Blob { sha256: sha256.to_owned(), size: bytes.len() as u64 }).await?;
            for chunk in bytes.chunks(CHUNK) {
                let frame = Frame::Bytes(chunk.to_vec());
                out.send(Out::Frame(frame.encode())).await.map_err(|_| LinkEnded)?;
            }
            Ok(())
        }
        Some(Content::Path(path)) => match opened(&path).await {
            Err(e) => refuse(format!("{} on the control node: {e}", path.display())).await,
            Ok((mut file, size)) => {
                say(&ToAgent::Blob { sha256: sha256.to_owned(), size }).await?;
                let mut left = size;
                let mut buffer = vec![0; CHUNK];
                while left > 0 {
                    let room = CHUNK.min(left as usize);
                    let read = file.read(&mut buffer[..room]).await.unwrap_or(0);
                    if read == 0 {
                        // It was cut short while it was read. Zeros in its place keep the count, and the digest tells.
                        buffer.fill(0);
                    }
                    let sent = if read == 0 { room } else { read };
                    let frame = Frame::Bytes(buffer[..sent].to_vec());
                    out.send(Out::Frame(frame.encode())).await.map_err(|_| LinkEnded)?;
                    left -= sent as u64;
                }
                Ok(())
            }
        },
    }
}

/// The link ended while something was sent.
#[derive(Debug)]
pub(super) struct LinkEnded;

async fn opened(path: &Path) -> io::Result<(tokio::fs::File, u64)> {
    let file = tokio::fs::File::open(path).await?;
    let found = file.metadata().await?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    Ok((file, found.len()))
}
