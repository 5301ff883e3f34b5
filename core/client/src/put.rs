//! Whole files out of memory, readers and streams.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use sdfs_server_group::Payload;
use sdfs_types::{FileMetaMetaData, FilePath};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::client::Client;
use crate::error::Error;
use crate::options::PutOptions;
use crate::upload::{Beginning, Upload};

impl Client {
    /// Stores a whole file. Nobody sees any of it before all of it is durable; then everybody
    /// sees all of it.
    ///
    /// # Errors
    /// `NotFound` for a missing directory, `Exists` without [`PutOptions::replace`], `Denied`,
    /// `Quota` as [`Error::Refused`]; [`Error::Unknown`] when the last answer did not come.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::PutOptions;
    ///
    /// let new = PutOptions { replace: false, ..PutOptions::default() };
    /// client.put("/notes", "one", new.clone()).await?;
    /// assert!(client.put("/notes", "two", new).await.is_err_and(|error| error.is_exists()));
    /// # Ok(()) }
    /// ```
    pub async fn put(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<FileMetaMetaData, Error> {
        let data: Bytes = data.into();
        let size_bytes = Some(data.len() as u64);
        let options = PutOptions {
            size_bytes,
            ..options
        };
        let mut upload = match Upload::begin(self, FilePath::parse(path)?, &options).await? {
            Beginning::Begun(upload) => upload,
            Beginning::Finished(name) => return Ok(name),
        };
        let filled = fill(&mut upload, data).await;
        upload.end(filled).await
    }

    /// Stores all that a reader gives as a whole file; its size need not be known.
    ///
    /// # Errors
    /// As [`Client::put`], and [`Error::Source`] when the reader fails.
    pub async fn put_from<R>(
        &self,
        path: &str,
        reader: &mut R,
        options: PutOptions,
    ) -> Result<FileMetaMetaData, Error>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        let expected_bytes = options.size_bytes;
        let mut upload = match Upload::begin(self, FilePath::parse(path)?, &options).await? {
            Beginning::Begun(upload) => upload,
            Beginning::Finished(name) => return Ok(name),
        };
        let filled = fill_from(&mut upload, reader, expected_bytes).await;
        upload.end(filled).await
    }

    /// Stores all that a stream gives as a whole file; its size need not be known.
    ///
    /// # Errors
    /// As [`Client::put`], and [`Error::Source`] when the stream fails.
    pub async fn put_stream<S>(
        &self,
        path: &str,
        stream: &mut S,
        options: PutOptions,
    ) -> Result<FileMetaMetaData, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + ?Sized,
    {
        let mut upload = match Upload::begin(self, FilePath::parse(path)?, &options).await? {
            Beginning::Begun(upload) => upload,
            Beginning::Finished(name) => return Ok(name),
        };
        let filled = fill_by_stream(&mut upload, stream).await;
        upload.end(filled).await
    }
}

async fn fill(upload: &mut Upload, mut data: Bytes) -> Result<(), Error> {
    let block_bytes = upload.block_bytes();
    if !data.is_empty() && data.len() <= block_bytes {
        return upload.only_block(data.into()).await;
    }
    while !data.is_empty() {
        make_room(upload).await?;
        let block = data.split_to(block_bytes.min(data.len()));
        upload.add(block.into())?;
    }
    Ok(())
}

async fn fill_from<R>(
    upload: &mut Upload,
    reader: &mut R,
    expected_bytes: Option<u64>,
) -> Result<(), Error>
where
    R: AsyncRead + Unpin + ?Sized,
{
    let block_bytes = upload.block_bytes();
    // One byte more than expected, so that the end is seen without growing.
    let expected = expected_bytes.and_then(|bytes| usize::try_from(bytes + 1).ok());
    let capacity = expected.map_or(block_bytes, |bytes| bytes.min(block_bytes));
    let mut block = BytesMut::with_capacity(capacity);
    loop {
        let left = block_bytes - block.len();
        let mut room = (&mut block).limit(left);
        tokio::select! {
            read = reader.read_buf(&mut room), if upload.has_room() => {
                if read.map_err(Error::Source)? == 0 {
                    break;
                }
            }
            stored = upload.stored() => stored?,
        }
        if block.len() == block_bytes {
            upload.add(block.split().freeze().into())?;
            block.reserve(capacity);
        }
    }
    if !block.is_empty() {
        upload.add(block.freeze().into())?;
    }
    Ok(())
}

async fn fill_by_stream<S>(upload: &mut Upload, stream: &mut S) -> Result<(), Error>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin + ?Sized,
{
    let block_bytes = upload.block_bytes();
    let mut block = Payload::new();
    loop {
        tokio::select! {
            piece = stream.next(), if upload.has_room() => match piece {
                Some(piece) => block.push(piece.map_err(Error::Source)?),
                None => break,
            },
            stored = upload.stored() => stored?,
        }
        while block.len() >= block_bytes {
            upload.add(block.split_to(block_bytes))?;
        }
    }
    if !block.is_empty() {
        upload.add(block)?;
    }
    Ok(())
}

async fn make_room(upload: &mut Upload) -> Result<(), Error> {
    while !upload.has_room() {
        upload.stored().await?;
    }
    Ok(())
}
