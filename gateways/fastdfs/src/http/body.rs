//! The bodies of answers.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use thiserror::Error;

use crate::errno::Errno;
use crate::source::Source;

/// The body of an answer.
pub(crate) type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, FrameRead>>>;
type FrameRead = Result<Frame<Bytes>, CutOff>;

/// A body that was begun cannot be ended otherwise: its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the file cannot be read to its end")]
pub(crate) struct CutOff;

/// A body in memory.
pub(crate) fn body_of(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// A body of these bytes of a file. The first of them are read already: whatever is wrong with the
/// file as a whole is known before anything is sent.
pub(crate) async fn body_from(source: Source, range: Range<u64>) -> Result<Body, Errno> {
    let bytes = range.end - range.start;
    let mut pieces = source.pieces(range);
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
