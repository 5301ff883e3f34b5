//! The bytes of a file, piece by piece: no more is in memory than the pieces that are on their way.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use sdfs_client::File;
use sdfs_dserver::{AnonymousFile, AnonymousFiles};
use sdfs_server_group::Deadline;
use thiserror::Error;

use crate::errno::Errno;
use crate::limits::{DOWNLOAD_PIECE_BYTES, HTTP_PIECES_AHEAD, HTTP_READ_WAIT};
use crate::recorded::errno_of;

/// The body of an answer.
pub(crate) type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, FrameRead>>>;
type FrameRead = Result<Frame<Bytes>, CutOff>;

/// A body that was begun cannot be ended otherwise: its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the file cannot be read to its end")]
pub(crate) struct CutOff;

/// What the bytes of a file are read from.
#[derive(Clone)]
pub(crate) enum Source {
    /// A small one.
    Anonymous(AnonymousFiles, AnonymousFile),
    /// One with a record, as it was at a revision.
    Recorded(Arc<File>, u64),
}

/// A body in memory.
pub(crate) fn body_of(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

impl Source {
    /// A body of these bytes. The first of them are read already: whatever is wrong with the file
    /// as a whole is known before anything is sent.
    pub(crate) async fn body(self, range: Range<u64>) -> Result<Body, Errno> {
        let bytes = range.end - range.start;
        let mut pieces = self.pieces(range);
        let Some(first) = pieces.next().await else {
            return Ok(body_of(Bytes::new()));
        };
        let first = first?;
        if first.len() as u64 == bytes {
            return Ok(body_of(first));
        }
        let all = stream::iter([Ok(first)]).chain(pieces);
        let frames = all.map_ok(Frame::data).map_err(|_| CutOff);
        Ok(Either::Right(StreamBody::new(frames.boxed())))
    }

    fn pieces(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes, Errno>> + Send + Unpin {
        let starts = range.clone().step_by(DOWNLOAD_PIECE_BYTES as usize);
        let end_of = move |start: u64| range.end.min(start + u64::from(DOWNLOAD_PIECE_BYTES));
        let reading = starts.map(move |start| {
            let source = self.clone();
            let part = start..end_of(start);
            async move { source.read(part).await }
        });
        stream::iter(reading).buffered(HTTP_PIECES_AHEAD).boxed()
    }

    /// All of a range, or nothing of it.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, Errno> {
        let count = range.end - range.start;
        let read = match self {
            Source::Anonymous(files, file) => {
                let within = |number: u64| u32::try_from(number).map_err(|_| Errno::Invalid);
                let part = (within(range.start)?, within(count)?);
                let loaded = files
                    .load(*file, part, Deadline::after(HTTP_READ_WAIT))
                    .await;
                let loaded = loaded.map_err(|refusal| Errno::of(&refusal))?;
                loaded.ok_or(Errno::NotFound)?
            }
            Source::Recorded(file, revision) => {
                let read = file.read_at(range).await;
                let read = read.map_err(|error| errno_of(&error))?;
                // Pieces of before and after a change make a file that never was. One that is
                // kept with others since is none.
                let now = file.meta_data();
                if now.revision != *revision && !now.is_shared() {
                    return Err(Errno::Again);
                }
                read
            }
        };
        match read.len() as u64 == count {
            true => Ok(read),
            false => Err(Errno::Io),
        }
    }
}
