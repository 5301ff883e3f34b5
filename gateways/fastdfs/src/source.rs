//! The bytes of a file, piece by piece: no more is in memory than the pieces that are on their way.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use sdfs_client::File;
use sdfs_dserver::{AnonymousFile, AnonymousFiles};
use sdfs_server_group::{Deadline, Trace};
use tokio::task::JoinSet;

use crate::errno::Errno;
use crate::limits::{DOWNLOAD_PIECE_BYTES, PIECES_AHEAD, READ_WAIT};
use crate::recorded::errno_of;

/// What the bytes of a file are read from.
#[derive(Clone)]
pub(crate) enum Source {
    /// A small one.
    Anonymous(AnonymousFiles, AnonymousFile),
    /// One with a record, whatever becomes of it meanwhile.
    Recorded(Arc<File>),
    /// One with a record, as it was at a revision.
    RecordedAt(Arc<File>, u64),
}

impl Source {
    /// All of a range, in order.
    pub(crate) fn pieces(
        self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Errno>> + Send + Unpin {
        let starts = range.clone().step_by(DOWNLOAD_PIECE_BYTES as usize);
        let end_of = move |start: u64| range.end.min(start + u64::from(DOWNLOAD_PIECE_BYTES));
        let reading = starts.map(move |start| {
            let source = self.clone();
            let part = start..end_of(start);
            // On its own: while a slow reader is waited for, nobody looks at what is read ahead,
            // and its time would run out.
            async move {
                let mut reading = JoinSet::new();
                reading.spawn(Trace::current().scope(async move { source.read(part).await }));
                match reading.join_next().await {
                    Some(Ok(read)) => read,
                    _ => Err(Errno::Io),
                }
            }
        });
        stream::iter(reading).buffered(PIECES_AHEAD).boxed()
    }

    /// All of a range, or nothing of it.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, Errno> {
        let count = range.end - range.start;
        let read = match self {
            Source::Anonymous(files, file) => {
                let within = |number: u64| u32::try_from(number).map_err(|_| Errno::Invalid);
                let part = (within(range.start)?, within(count)?);
                let loaded = files.load(*file, part, Deadline::after(READ_WAIT)).await;
                let loaded = loaded.map_err(|refusal| Errno::of(&refusal))?;
                loaded.ok_or(Errno::NotFound)?
            }
            Source::Recorded(file) => read_of(file, range).await?,
            Source::RecordedAt(file, revision) => {
                let read = read_of(file, range).await?;
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

async fn read_of(file: &File, range: Range<u64>) -> Result<Bytes, Errno> {
    let read = file.read_at(range).await;
    read.map_err(|error| errno_of(&error))
}
