//! An open file: read in order or anywhere, written block by block.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::Stream;
use sdfs_types::{FileMetaData, FilePath, OpenFile};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf, SeekFrom};

use crate::client::Client;
use crate::error::Error;
use crate::extent::Parts;
use crate::get::{read_all, stream};
use crate::read_ahead::ReadAhead;
use crate::rewrite::{apply, edits_of};
use crate::source::Source;
use crate::stream::ByteStream;

/// An open file. Reads as [`AsyncRead`] and [`AsyncSeek`], reading ahead while it is read in
/// order; [`File::read_at`] and [`File::write_at`] work anywhere at any time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
/// # let config = cluster.config().clone();
/// # let client = sdfs_client::Client::connect_admin(config).await?;
/// use sdfs_client::PutOptions;
/// use std::io::SeekFrom;
/// use tokio::io::{AsyncReadExt, AsyncSeekExt};
///
/// client.put("/letters", "abcdefgh", PutOptions::default()).await?;
/// let mut file = client.open("/letters").await?;
/// file.seek(SeekFrom::End(-3)).await?;
/// let mut end = String::new();
/// file.read_to_string(&mut end).await?;
/// assert_eq!(end, "fgh");
/// assert_eq!(file.read_at(1..3).await?, "bc");
/// # Ok(()) }
/// ```
pub struct File {
    pub(crate) source: Arc<Source>,
    position: u64,
    /// Reads ahead from `position` on.
    ahead: Option<ByteStream>,
    /// What was read ahead and not taken yet.
    piece: Bytes,
    /// Which look at the file both are from.
    generation: u64,
}

impl Client {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, `Denied` as [`Error::Refused`].
    pub async fn open(&self, path: &str) -> Result<File, Error> {
        Ok(File::of(
            Source::open(self, FilePath::parse(path)?, false).await?,
        ))
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub async fn open_for_write(&self, path: &str) -> Result<File, Error> {
        Ok(File::of(
            Source::open(self, FilePath::parse(path)?, true).await?,
        ))
    }
}

impl File {
    pub(crate) fn of(source: Source) -> File {
        File {
            source: Arc::new(source),
            position: 0,
            ahead: None,
            piece: Bytes::new(),
            generation: 0,
        }
    }

    /// Its path, as it was opened.
    pub fn path(&self) -> &FilePath {
        &self.source.path
    }

    /// Its size as last seen, bytes.
    pub fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    /// Its metadata as last seen.
    pub fn meta_data(&self) -> FileMetaData {
        self.source.view().open.file.clone()
    }

    /// All that was told of it when it was opened, with what this handle has written since.
    pub fn record(&self) -> OpenFile {
        self.source.view().open.clone()
    }

    /// Looks at the metadata again: others may have written.
    ///
    /// # Errors
    /// [`Error::Replaced`] when the name stands for another file now.
    pub async fn refresh(&self) -> Result<(), Error> {
        let deadline = self.source.client.deadline();
        self.source.refresh(&self.source.view(), deadline).await
    }

    /// A range, cut at the file's end, in memory. Leaves the reading position where it is.
    ///
    /// # Errors
    /// [`Error::NoCopy`] when no copy of a block is right, [`Error::Replaced`] when the file is
    /// no more.
    pub async fn read_at(&self, range: Range<u64>) -> Result<Bytes, Error> {
        read_all(Arc::clone(&self.source), range).await
    }

    /// A range, cut at the file's end, as a stream.
    pub fn stream(&self, range: Range<u64>) -> ByteStream {
        stream(Arc::clone(&self.source), range)
    }

    /// Writes anywhere, beyond the end as well: what lies between reads as zeros. All of it is
    /// seen at once or nothing is; blocks written in part are read, laid over and written anew.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the largest size of this file; `Conflict` as
    /// [`Error::Refused`] with [`crate::OnConflict::Fail`].
    pub async fn write_at(
        &self,
        offset: u64,
        data: impl Into<Bytes>,
    ) -> Result<FileMetaData, Error> {
        self.write(offset, data.into(), None).await
    }

    /// As [`File::write_at`], but only while nothing of the file has changed since it was `seen`:
    /// content, size and attributes.
    ///
    /// # Errors
    /// As [`File::write_at`]; `Changed` as [`Error::Refused`].
    pub async fn write_at_if(
        &self,
        seen: &FileMetaData,
        offset: u64,
        data: impl Into<Bytes>,
    ) -> Result<FileMetaData, Error> {
        self.write(offset, data.into(), Some(seen.revision)).await
    }

    async fn write(
        &self,
        offset: u64,
        data: Bytes,
        revision: Option<u64>,
    ) -> Result<FileMetaData, Error> {
        let block_size = self.source.view().open.file.block_size;
        let end = offset.saturating_add(data.len() as u64);
        if end > block_size.file_bytes_max() {
            return Err(Error::OutOfRange {
                what: "the end of the write",
                value: end,
                max: block_size.file_bytes_max(),
            });
        }
        if data.is_empty() {
            return Ok(self.meta_data());
        }
        let parts = Parts::of(offset, data.len() as u64, block_size);
        let edits = edits_of(parts, data, block_size.bytes());
        Ok(apply(&self.source, &edits, revision).await?.0)
    }

    /// Forgets what was read ahead of an older look at the file.
    fn forget_stale(&mut self) {
        let now = self.source.view().generation;
        if self.generation != now {
            self.generation = now;
            self.piece.clear();
            self.ahead = None;
        }
    }

    /// Takes what there is of the piece at the position.
    fn take(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..length]);
        self.piece.advance(length);
        self.position += length as u64;
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", self.path())
            .field("size_bytes", &self.size_bytes())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.forget_stale();
        while this.piece.is_empty() && buffer.remaining() > 0 {
            let (source, position) = (&this.source, this.position);
            let ahead = this.ahead.get_or_insert_with(|| {
                let left = source.size_bytes().saturating_sub(position);
                let parts = Parts::of(position, left, source.view().open.file.block_size);
                ByteStream::new(Arc::clone(source), parts, ReadAhead::cautious())
            });
            match ready!(Pin::new(ahead).poll_next(cx)) {
                Some(Ok(piece)) => this.piece = piece,
                Some(Err(error)) => {
                    this.ahead = None;
                    return Poll::Ready(Err(error.into()));
                }
                None => {
                    // The next read looks again: the file may have grown until then.
                    this.ahead = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        this.take(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size_bytes().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        let skipped = position
            .checked_sub(self.position)
            .and_then(|by| usize::try_from(by).ok());
        match skipped {
            Some(by) if by < self.piece.len() => self.piece.advance(by),
            Some(0) => {}
            _ => {
                self.piece.clear();
                self.ahead = None;
            }
        }
        self.position = position;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}
