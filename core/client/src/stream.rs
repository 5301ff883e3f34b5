//! Bytes of a file in order, several parts on the way at once.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{FuturesOrdered, Stream};
use sdfs_server_group::Payload;

use crate::error::Error;
use crate::extent::Parts;
use crate::patience::Patience;
use crate::read_ahead::ReadAhead;
use crate::source::Source;

/// `Sync`, so that an open file may be shared between tasks.
type OnePart = Pin<Box<dyn Future<Output = (u64, Result<Payload, Error>)> + Send + Sync>>;
type Over = Pin<Box<dyn Future<Output = Error> + Send + Sync>>;

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
    patience: Arc<Patience>,
    /// Waits for the end of the patience, once there is something to wait for.
    over: Option<Over>,
    /// Whether the reader had what it asked for, and the wait begins when it asks again.
    is_served: bool,
    /// Pieces of the part that is being handed over, the next one last.
    pieces: Vec<Bytes>,
    has_failed: bool,
}

impl ByteStream {
    pub(crate) fn new(source: Arc<Source>, parts: Parts, ahead: ReadAhead) -> ByteStream {
        let patience = Arc::new(source.patience());
        ByteStream {
            source,
            parts,
            ahead,
            in_flight: FuturesOrdered::new(),
            in_flight_bytes: 0,
            patience,
            over: None,
            is_served: true,
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
            let (source, patience) = (Arc::clone(&self.source), Arc::clone(&self.patience));
            let bytes = u64::from(part.length_bytes);
            self.in_flight_bytes += bytes;
            let reading = async move { (bytes, source.read(part, &patience).await) };
            self.in_flight.push_back(Box::pin(reading));
        }
    }
}

impl ByteStream {
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patience = &self.patience;
        let over = self.over.get_or_insert_with(|| {
            let patience = Arc::clone(patience);
            Box::pin(async move { patience.over().await })
        });
        over.as_mut().poll(cx)
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
            if mem::take(&mut self.is_served) {
                self.patience.progressed();
            }
            self.ask();
            match Pin::new(&mut self.in_flight).poll_next(cx) {
                Poll::Pending => {
                    let error = ready!(self.poll_over(cx));
                    self.has_failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some((bytes, outcome))) => {
                    self.in_flight_bytes -= bytes;
                    self.is_served = true;
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
