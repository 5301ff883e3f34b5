//! Whole files and ranges of them: into memory, into a writer, as a stream.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use sdfs_types::{FilePath, OpenFile};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::client::Client;
use crate::error::Error;
use crate::extent::Parts;
use crate::fetch::{FetchFault, Wanted};
use crate::limits::REFRESHES_MAX;
use crate::read_ahead::ReadAhead;
use crate::source::Source;
use crate::stream::ByteStream;

impl Client {
    /// A whole file, verified, in memory.
    ///
    /// # Errors
    /// [`sdfs_types::Refusal::NotFound`] and `Denied` as [`Error::Refused`]; [`Error::NoCopy`]
    /// when no copy of a block is right.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::PutOptions;
    ///
    /// client.put("/greeting", "hello", PutOptions::default()).await?;
    /// assert_eq!(client.get("/greeting").await?, "hello");
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.get_range(path, 0..u64::MAX).await
    }

    /// A range of a file, cut at the file's end, verified, in memory.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let path = FilePath::parse(path)?;
        let client = self.begin();
        let mut replaced = 0;
        loop {
            let open = client.get_file(path.clone(), false).await?;
            match client.read_open(&path, open, range.clone()).await {
                // Nothing was handed over yet, so the file it is now is as good.
                Err(Error::Replaced { .. }) if replaced < REFRESHES_MAX => replaced += 1,
                outcome => return outcome,
            }
        }
    }

    /// A whole file as a stream; see [`ByteStream`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_stream(&self, path: &str) -> Result<ByteStream, Error> {
        self.get_range_stream(path, 0..u64::MAX).await
    }

    /// A range of a file, cut at the file's end, as a stream.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_range_stream(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<ByteStream, Error> {
        let source = Source::open(self, FilePath::parse(path)?, false).await?;
        Ok(stream(Arc::new(source), range))
    }

    /// A whole file into a writer, which is flushed at the end. Returns how many bytes it was.
    ///
    /// # Errors
    /// As [`Client::get`], and [`Error::Destination`] when the writer fails.
    pub async fn get_to<W>(&self, path: &str, writer: &mut W) -> Result<u64, Error>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut bytes = self.get_stream(path).await?;
        let mut written = 0;
        while let Some(piece) = bytes.try_next().await? {
            writer.write_all(&piece).await.map_err(Error::Destination)?;
            written += piece.len() as u64;
        }
        writer.flush().await.map_err(Error::Destination)?;
        Ok(written)
    }

    async fn read_open(
        &self,
        path: &FilePath,
        open: OpenFile,
        range: Range<u64>,
    ) -> Result<Bytes, Error> {
        if let Some(wanted) = only_part(&open, &range) {
            let patience = self.patience(open.file.block_size);
            patience.begin();
            let fetching = async { Ok(self.fetch(&wanted, &patience).await) };
            match patience.guard(fetching).await? {
                Ok(payload) => return Ok(payload.to_bytes()),
                // What was tried until the end is not tried once more.
                Err(FetchFault::NoCopy(last)) => {
                    let (path, block) = (path.clone(), wanted.part.block);
                    return Err(Error::NoCopy { path, block, last });
                }
                Err(FetchFault::Failed(error)) => return Err(error),
                Err(FetchFault::Stale | FetchFault::NotGranted) => {}
            }
        }
        let source = Source::of(self, path.clone(), false, open);
        read_all(Arc::new(source), range).await
    }
}

/// The only part of a range within one block whose entry is known: the commonest read, which
/// needs none of what larger ones do.
fn only_part(open: &OpenFile, range: &Range<u64>) -> Option<Wanted> {
    let mut parts = parts(open, range);
    let part = parts.next()?;
    if parts.next().is_some() || open.blocks.first != 0 {
        return None;
    }
    let entry = *open.blocks.entries.get(usize::from(part.block.0))?;
    Some(Wanted {
        file: open.file.descriptor,
        grant: open.grant,
        entry,
        part,
    })
}

fn parts(open: &OpenFile, range: &Range<u64>) -> Parts {
    let end = range.end.min(open.file.size_bytes);
    Parts::of(
        range.start,
        end.saturating_sub(range.start),
        open.file.block_size,
    )
}

/// All of a range as a stream.
pub(crate) fn stream(source: Arc<Source>, range: Range<u64>) -> ByteStream {
    let parts = parts(&source.view().open, &range);
    ByteStream::new(source, parts, ReadAhead::whole())
}

/// All of a range in one piece.
pub(crate) async fn read_all(source: Arc<Source>, range: Range<u64>) -> Result<Bytes, Error> {
    let end = range.end.min(source.size_bytes());
    let length = end.saturating_sub(range.start);
    let mut all: Vec<u8> = Vec::new();
    let too_large = || Error::OutOfRange {
        what: "the length of a range read into memory",
        value: length,
        max: u64::try_from(isize::MAX).unwrap_or(u64::MAX),
    };
    let capacity = usize::try_from(length).map_err(|_| too_large())?;
    all.try_reserve_exact(capacity).map_err(|_| too_large())?;
    let mut bytes = stream(source, range);
    while let Some(piece) = bytes.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}
