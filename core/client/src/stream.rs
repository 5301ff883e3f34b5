//! Bytes of a file in order, several parts on the way at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{FuturesOrdered, Stream};
use sdfs_server_group::Payload;

use crate::error::Error;
use crate::extent::Parts;
use crate::read_ahead::ReadAhead;
use crate::source::Source;

/// `Sync`, so that an open file may be shared between tasks.
type OnePart = Pin<Box<dyn Future<Output = (u64, Result<Payload, Error>)> + Send + Sync>>;

/// The bytes of a range of a file as a [`Stream`]: pieces of any length, in order, every one
/// verified. Ends after the first error.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
/// # let config = cluster.config().clone();
/// # let client = sdfs_client::Client::connect_admin(config).await?;
/// use futures::TryStreamExt;
///
/// # client.put("/a.mkv", "many bytes", Default::default()).await?;
/// let mut bytes = client.get_stream("/a.mkv").await?;
/// let mut total = 0;
/// while let Some(piece) = bytes.try_next().await? {
///     total += piece.len();
/// }
/// assert_eq!(total, "many bytes".len());
/// # Ok(()) }
/// ```
pub struct ByteStream {
    source: Arc<Source>,
    parts: Parts,
    ahead: ReadAhead,
    in_flight: FuturesOrdered<OnePart>,
    in_flight_bytes: u64,
    /// Pieces of the part that is being handed over, the next one last.
    pieces: Vec<Bytes>,
    has_failed: bool,
}

impl ByteStream {
    pub(crate) fn new(source: Arc<Source>, parts: Parts, ahead: ReadAhead) -> ByteStream {
        ByteStream {
            source,
            parts,
            ahead,
            in_flight: FuturesOrdered::new(),
            in_flight_bytes: 0,
            pieces: Vec::new(),
            has_failed: false,
        }
    }

    /// Size of the whole file, bytes.
    pub fn file_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    /// Asks for parts as far as there is room.
    fn ask(&mut self) {
        while self
            .ahead
            .has_room(self.in_flight.len(), self.in_flight_bytes)
        {
            let Some(part) = self.parts.next_within(self.ahead.part_bytes_max()) else {
                return;
            };
            let source = Arc::clone(&self.source);
            let bytes = u64::from(part.length_bytes);
            self.in_flight_bytes += bytes;
            self.in_flight
                .push_back(Box::pin(async move { (bytes, source.read(part).await) }));
        }
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.pieces.pop() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.has_failed {
                return Poll::Ready(None);
            }
            self.ask();
            match Pin::new(&mut self.in_flight).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some((bytes, outcome))) => {
                    self.in_flight_bytes -= bytes;
                    match outcome {
                        Ok(payload) => {
                            self.ahead.taken();
                            self.pieces = payload.into_pieces();
                            self.pieces.reverse();
                        }
                        Err(error) => {
                            self.has_failed = true;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            }
        }
    }
}
