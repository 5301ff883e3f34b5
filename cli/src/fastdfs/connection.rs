//! One connection to a FastDFS server, one request at a time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_fastdfs::Errno;
use sdfs_fastdfs::wire::{HEADER_BYTES, RESPONSE};
use sdfs_net_layer::{Stream, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::answer::Answer;

/// Longest an answer may not go on.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer taken as a whole: a download and little more.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Why there is no answer to go on with.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The server says why it does not do it.
    Status {
        /// What was asked.
        command: u8,
        /// A number of Linux's errors.
        status: u8,
    },
    /// It did not answer, or not in this protocol.
    Broken(io::Error),
}

impl AskError {
    /// Whether there is no such file, group or metadata.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, AskError::Status { status, .. } if *status == Errno::NotFound as u8)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Status { command, status } => write!(
                f,
                "command {command} is answered with status {status}: {}",
                io::Error::from_raw_os_error((*status).into())
            ),
            AskError::Broken(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> AskError {
        AskError::Broken(error)
    }
}

impl From<AskError> for io::Error {
    fn from(error: AskError) -> io::Error {
        match error {
            AskError::Broken(error) => error,
            status @ AskError::Status { .. } => io::Error::other(status.to_string()),
        }
    }
}

/// A connection. It is made at the first request, and anew after one that was not answered.
pub(super) struct Connection {
    pub(super) to: SocketAddr,
    transport: Arc<dyn Transport>,
    pub(super) stream: Option<Stream>,
    answer: Vec<u8>,
}

impl Connection {
    pub(super) fn new(transport: &Arc<dyn Transport>, to: SocketAddr) -> Connection {
        Connection {
            to,
            transport: Arc::clone(transport),
            stream: None,
            answer: Vec::new(),
        }
    }

    /// Asks and waits for the answer's body.
    pub(super) async fn ask(&mut self, command: u8, body: &[&[u8]]) -> Result<&[u8], AskError> {
        self.ask_with((command, 0), body).await
    }

    /// Asks with flags in the place of a status.
    pub(super) async fn ask_with(
        &mut self,
        command: (u8, u8),
        body: &[&[u8]],
    ) -> Result<&[u8], AskError> {
        let exchange = timeout(PATIENCE, self.exchange(command, body)).await;
        exchange.unwrap_or_else(|_| Err(late().into()))?;
        Ok(&self.answer[HEADER_BYTES..])
    }

    /// The answer is here whole then.
    async fn exchange(&mut self, command: (u8, u8), body: &[&[u8]]) -> Result<(), AskError> {
        let (mut stream, length) = self.begin(command, body).await?;
        if length > ANSWER_BYTES_MAX {
            return Err(other_protocol().into());
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        read_to(&mut stream, &mut self.answer, HEADER_BYTES + length).await?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Asks for an answer that is read piece by piece, each within `patience`.
    pub(super) async fn ask_for_pieces(
        &mut self,
        command: u8,
        body: &[&[u8]],
        patience: Duration,
    ) -> Result<Answer<'_>, AskError> {
        let begun = timeout(patience, self.begin((command, 0), body)).await;
        let (stream, length) = begun.unwrap_or_else(|_| Err(late().into()))?;
        let first = self.answer.split_off(HEADER_BYTES);
        Ok(Answer::begin(self, stream, (length, &first), patience))
    }

    /// Sends a request and reads the answer's header; what came with it is behind it. The stream
    /// is out of its place until all of the answer is read.
    async fn begin(
        &mut self,
        (command, flags): (u8, u8),
        body: &[&[u8]],
    ) -> Result<(Stream, u64), AskError> {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let mut request = Vec::with_capacity(HEADER_BYTES + length);
        request.extend_from_slice(&(length as u64).to_be_bytes());
        request.extend_from_slice(&[command, flags]);
        body.iter().for_each(|part| request.extend_from_slice(part));
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.transport.connect(self.to).await?,
        };
        stream.write_all(&request).await?;
        stream.flush().await?;
        // Header and body in one read, when they come together.
        self.answer.clear();
        read_to(&mut stream, &mut self.answer, HEADER_BYTES).await?;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.answer[..HEADER_BYTES]);
        let [length @ .., kind, status] = header;
        let length = u64::from_be_bytes(length);
        if kind != RESPONSE {
            return Err(other_protocol().into());
        }
        match status {
            0 => Ok((stream, length)),
            status => {
                // A storage closes the connection after a request it calls wrong.
                if status != Errno::Invalid as u8 && length == 0 {
                    self.stream = Some(stream);
                }
                Err(AskError::Status { command, status })
            }
        }
    }
}

/// An answer did not come, or does not go on.
pub(super) fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer came in time")
}

fn other_protocol() -> io::Error {
    io::Error::other("what answers does not speak FastDFS's protocol")
}

/// Reads until there are so many bytes.
async fn read_to(stream: &mut Stream, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    while bytes.len() < count {
        let missing = count - bytes.len();
        bytes.reserve(missing.max(READ_BYTES));
        if stream.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
