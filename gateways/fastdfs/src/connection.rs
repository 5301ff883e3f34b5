//! One connection: requests in, answers out, in order. Knows headers and lengths, no commands.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use sdfs_net_layer::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::counters::Counted;
use crate::errno::Errno;
use crate::header::{self, Header};
use crate::limits::{
    IDLE_MAX, PATIENCE, READ_BYTES, READ_BYTES_MAX, SMALL_UPLOAD_BYTES, UNREAD_BYTES_MAX,
    UNREAD_WAIT,
};
use crate::pace::Pace;
use crate::wire::HEADER_BYTES;

/// Answers up to this size are copied behind their headers, so that many leave in one write.
const COPIED_BYTES_MAX: usize = 32 << 10;
/// Answers waiting to be sent are sent when there are so many bytes of them.
const OUTBOX_BYTES_MAX: usize = 128 << 10;
/// Room for answers that a connection at rest keeps.
const OUTBOX_BYTES_KEPT: usize = 16 << 10;

/// Why a connection is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has gone between two requests, or said so.
    Clean,
    /// Something to be counted.
    Counted(Counted),
}

/// An open connection.
pub(crate) struct Connection {
    stream: Stream,
    /// Where the client is.
    client: IpAddr,
    inbox: BytesMut,
    /// Whether room was made in it for more than small requests.
    is_roomy: bool,
    /// Bytes of the request that have not been read yet.
    unread: u64,
    outbox: BytesMut,
    has_asked: bool,
    /// How its client brings a request.
    pace: Pace,
    /// How its client takes an answer.
    taking: Pace,
}

impl Connection {
    pub(crate) fn new(stream: Stream, client: IpAddr) -> Self {
        Self {
            stream,
            client,
            inbox: BytesMut::new(),
            is_roomy: false,
            unread: 0,
            outbox: BytesMut::new(),
            has_asked: false,
            pace: Pace::of_small(),
            taking: Pace::of_reader(),
        }
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// The next request's header. Waits long when one was sent before; what was answered is sent
    /// before it waits.
    pub(crate) async fn header(&mut self) -> Result<Header, End> {
        self.pace = Pace::of_small();
        self.taking = Pace::of_reader();
        if std::mem::take(&mut self.is_roomy) {
            // A connection at rest holds little.
            self.inbox = BytesMut::from(&self.inbox[..]);
        }
        while self.inbox.len() < HEADER_BYTES {
            self.send().await?;
            self.inbox.reserve(READ_BYTES);
            if self.has_asked && self.inbox.is_empty() {
                let read = self.stream.read_buf(&mut self.inbox);
                match timeout(IDLE_MAX, read).await {
                    Ok(Ok(count)) if count > 0 => continue,
                    _ => return Err(End::Clean),
                }
            }
            match self.read().await {
                Err(End::Counted(Counted::Gone)) if self.inbox.is_empty() => {
                    return Err(End::Clean);
                }
                read => read?,
            }
        }
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&self.inbox.split_to(HEADER_BYTES));
        self.has_asked = true;
        // A length that begins with a letter is the first word of another protocol.
        let wrong = match bytes[0].is_ascii_alphabetic() {
            true => Counted::OtherProtocol,
            false => Counted::NegativeLength,
        };
        let header = Header::read(bytes).filter(|_| !bytes[0].is_ascii_alphabetic());
        let Some(header) = header else {
            // What came before it was done, and is answered.
            self.send().await?;
            return Err(End::Counted(wrong));
        };
        self.unread = header.body_bytes;
        Ok(header)
    }

    /// The next bytes of a request's body. The caller has bounded their number; room is made as
    /// they arrive.
    pub(crate) async fn body(&mut self, count: usize) -> Result<Bytes, End> {
        if self.inbox.len() < count {
            self.send().await?;
        }
        if count > SMALL_UPLOAD_BYTES {
            self.pace.quicken();
            self.is_roomy = true;
        }
        while self.inbox.len() < count {
            let missing = count - self.inbox.len();
            // Room grows with what has arrived: nothing is believed of a length alone.
            let room = self.inbox.len().clamp(READ_BYTES, READ_BYTES_MAX);
            self.inbox.reserve(missing.min(room));
            self.read().await?;
        }
        Ok(self.take(count))
    }

    /// The next bytes of a body, as many as there are and at most so many.
    pub(crate) async fn some(&mut self, most: usize) -> Result<Bytes, End> {
        self.pace.quicken();
        self.is_roomy = true;
        if self.inbox.is_empty() {
            self.send().await?;
            self.inbox.reserve(most.min(READ_BYTES_MAX));
            self.read().await?;
        }
        Ok(self.take(most.min(self.inbox.len())))
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.unread = self.unread.saturating_sub(count as u64);
        self.inbox.split_to(count).freeze()
    }

    /// Reads what is left of a request that was refused, if that is little: whether the next one
    /// can be read then.
    pub(crate) async fn skip(&mut self) -> Result<bool, End> {
        let is_little = self.unread <= UNREAD_BYTES_MAX as u64;
        while is_little && self.unread > 0 {
            self.some(READ_BYTES.min(self.unread as usize)).await?;
        }
        Ok(is_little)
    }

    async fn read(&mut self) -> Result<(), End> {
        loop {
            let begun = Instant::now();
            let reading = self.stream.read_buf(&mut self.inbox);
            let count = match timeout(self.pace.left(), reading).await {
                Ok(Ok(0) | Err(_)) => return Err(End::Counted(Counted::Gone)),
                Ok(Ok(count)) => count,
                Err(_) => 0,
            };
            note(&mut self.pace, begun, count)?;
            if count > 0 {
                return Ok(());
            }
        }
    }

    /// Answers with success.
    pub(crate) async fn answer(&mut self, body: &[u8]) -> Result<(), End> {
        let header = header::answer(body.len() as u64);
        self.outbox.extend_from_slice(&header);
        self.piece(body).await
    }

    /// Begins an answer whose pieces follow.
    pub(crate) fn begin(&mut self, body_bytes: u64) {
        self.outbox.extend_from_slice(&header::answer(body_bytes));
    }

    /// A piece of an answer.
    pub(crate) async fn piece(&mut self, piece: &[u8]) -> Result<(), End> {
        if piece.len() > COPIED_BYTES_MAX {
            self.send().await?;
            return self.write(piece).await;
        }
        self.outbox.extend_from_slice(piece);
        if self.outbox.len() >= OUTBOX_BYTES_MAX {
            self.send().await?;
        }
        Ok(())
    }

    /// Answers that nothing was done.
    pub(crate) fn refuse(&mut self, errno: Errno) {
        self.outbox.extend_from_slice(&header::refusal(errno));
    }

    /// Sends all that was answered and ends the connection. A client that still sends its request
    /// reads the answer all the same: closed at once, the connection would be reset under it.
    pub(crate) async fn close(&mut self) -> Result<(), End> {
        self.send().await?;
        let ended = async {
            self.stream.shutdown().await?;
            let mut left = UNREAD_BYTES_MAX;
            while left > 0 {
                self.inbox.clear();
                self.inbox.reserve(READ_BYTES);
                let count = self.stream.read_buf(&mut self.inbox).await?;
                if count == 0 {
                    break;
                }
                left = left.saturating_sub(count);
            }
            std::io::Result::Ok(())
        };
        // It is over either way.
        drop(timeout(UNREAD_WAIT, ended).await);
        Ok(())
    }

    /// Sends all that was answered.
    pub(crate) async fn send(&mut self) -> Result<(), End> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let outbox = std::mem::take(&mut self.outbox);
        self.write(&outbox).await?;
        // The room is used again.
        if outbox.capacity() <= OUTBOX_BYTES_KEPT {
            self.outbox = outbox;
            self.outbox.clear();
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let begun = Instant::now();
            let count = match timeout(self.taking.left(), self.stream.write(bytes)).await {
                Ok(Ok(0) | Err(_)) => return Err(End::Counted(Counted::Gone)),
                Ok(Ok(count)) => count,
                Err(_) => 0,
            };
            note(&mut self.taking, begun, count)?;
            bytes = &bytes[count..];
        }
        // Under TLS what was written may not be on its way yet.
        match timeout(PATIENCE, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Counted(Counted::Gone)),
            Err(_) => Err(End::Counted(Counted::TooSlow)),
        }
    }
}

/// Notes so many bytes, which took since `begun`; none when the time was over.
fn note(pace: &mut Pace, begun: Instant, count: usize) -> Result<(), End> {
    // A timer may be early by a little.
    let waited = match count {
        0 => pace.left(),
        _ => begun.elapsed(),
    };
    if pace.note(waited, count) {
        Ok(())
    } else {
        Err(End::Counted(Counted::TooSlow))
    }
}
