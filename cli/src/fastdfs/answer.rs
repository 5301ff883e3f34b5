//! An answer that is read piece by piece, as long as it may be.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use sdfs_net_layer::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::connection::{Connection, late};

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// A storage that cannot tell how long its answer gets says that it is at least so long, which no
/// file is, and closes the connection at its end.
const ENDLESS_BYTES_MIN: u64 = 1 << 50;
/// Bytes at the end of such an answer: how many were before them.
const COUNT_BYTES: usize = 8;

/// What is left of an answer. Dropped before its end, the connection is made anew.
pub(crate) struct Answer<'a> {
    connection: &'a mut Connection,
    stream: Option<Stream>,
    /// Bytes of all of it; nothing when they are told at its end.
    bytes: Option<u64>,
    taken: u64,
    /// Read and not taken yet.
    read: BytesMut,
    patience: Duration,
}

impl<'a> Answer<'a> {
    pub(super) fn begin(
        connection: &'a mut Connection,
        stream: Stream,
        (length, first): (u64, &[u8]),
        patience: Duration,
    ) -> Answer<'a> {
        Answer {
            connection,
            stream: Some(stream),
            bytes: (length < ENDLESS_BYTES_MIN).then_some(length),
            taken: 0,
            read: BytesMut::from(first),
            patience,
        }
    }

    /// The next bytes; nothing at its end.
    ///
    /// # Errors
    /// When it ends before it should, or does not go on.
    pub(crate) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        match self.bytes {
            Some(bytes) => self.piece_of(bytes).await,
            None => self.piece_of_endless().await,
        }
    }

    async fn piece_of(&mut self, bytes: u64) -> io::Result<Option<Bytes>> {
        let left = usize::try_from(bytes - self.taken).unwrap_or(usize::MAX);
        if left == 0 {
            // Read whole, the connection takes the next request.
            if let Some(stream) = self.stream.take() {
                self.connection.stream = Some(stream);
            }
            return Ok(None);
        }
        if self.read.is_empty() && self.fill(left).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(self.take(left)))
    }

    /// The count at its end shows that it is whole.
    async fn piece_of_endless(&mut self) -> io::Result<Option<Bytes>> {
        while self.read.len() <= COUNT_BYTES {
            if self.fill(PIECE_BYTES).await? > 0 {
                continue;
            }
            return match self.read[..] == self.taken.to_be_bytes() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let bytes = self.read.len() - COUNT_BYTES;
        Ok(Some(self.take(bytes)))
    }

    /// Takes of what was read, so many bytes at most.
    fn take(&mut self, most: usize) -> Bytes {
        let piece = self.read.split_to(most.min(self.read.len())).freeze();
        self.taken += piece.len() as u64;
        piece
    }

    /// Reads on, so many bytes at most; gives how many.
    async fn fill(&mut self, most: usize) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        let room = most.min(PIECE_BYTES);
        self.read.reserve(room);
        let mut limited = (&mut self.read).limit(room);
        let read = timeout(self.patience, stream.read_buf(&mut limited)).await;
        read.unwrap_or_else(|_| Err(late()))
    }
}
