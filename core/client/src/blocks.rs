//! The calls by block: metadata of a file and its blocks, and one, a run or any set of blocks
//! read and written.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use sdfs_types::calls::names::{BlockWritten, CreateFile, FileOptions, Resize, ResizeFile};
use sdfs_types::limits::FILE_BLOCKS_MAX;
use sdfs_types::{
    BlockEntry, BlockIndex, BlockSize, FileMetaData, FilePath, OpenFile, Refusal, Trace,
};

use crate::client::Client;
use crate::error::Error;
use crate::extent::Part;
use crate::file::File;
use crate::limits::{PARTS_IN_FLIGHT_MIN, WINDOW_BYTES};
use crate::options::CreateOptions;
use crate::rewrite::{Edit, apply};
use crate::source::Source;

/// A file that was created.
#[derive(Debug)]
pub struct Created {
    /// The file, open for writing.
    pub file: File,
    /// The timeline of the create, when it was asked for.
    pub trace: Option<Trace>,
}

/// What became of blocks that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The file's metadata after it.
    pub file: FileMetaData,
    /// The blocks' new entries.
    pub blocks: Vec<BlockWritten>,
}

impl Client {
    /// Creates a file of a declared size that reads as zeros, by the negotiation between all
    /// mservers. Of several creators at once exactly one succeeds.
    ///
    /// # Errors
    /// `Exists` with the winner's descriptor, `NotFound` for a missing directory, `Denied`,
    /// `Quota`, `NoQuorum` as [`Error::Refused`]; [`Error::Unknown`] when no answer came.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::{BlockIndex, CreateOptions};
    ///
    /// let options = CreateOptions { size_bytes: 10, ..CreateOptions::default() };
    /// let file = client.create_file_meta_data("/sparse", options).await?.file;
    /// client.write_block(&file, BlockIndex(3), "far away").await?;
    /// assert_eq!(client.read_block(&file, BlockIndex(3)).await?, "far away");
    /// assert_eq!(file.size_bytes(), 3 * 4_194_304 + 8);
    /// # Ok(()) }
    /// ```
    pub async fn create_file_meta_data(
        &self,
        path: &str,
        options: CreateOptions,
    ) -> Result<Created, Error> {
        let path = FilePath::parse(path)?;
        let call = CreateFile {
            request: self.request(),
            path: path.clone(),
            size_bytes: options.size_bytes,
            options: FileOptions {
                block_size: options.block_size,
                attributes: options.attributes,
                make_parents: options.make_parents,
            },
            explain: options.explain,
        };
        let client = self.begin();
        let created = client.ask(&call, Some(call.request)).await?;
        client.take_volumes(&created.open.volumes).await;
        let source = Source::of(&client, path, true, created.open);
        Ok(Created {
            file: File::of(source),
            trace: created.trace,
        })
    }

    /// All that is known of a file: names, metadata, its first block entries, their volumes.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, `Denied` as [`Error::Refused`].
    pub async fn get_file_meta_data(&self, path: &str) -> Result<OpenFile, Error> {
        self.get_file(FilePath::parse(path)?, false).await
    }

    /// Makes a file larger; what is added reads as zeros and takes no room.
    ///
    /// # Errors
    /// `OutOfRange` for a smaller size or one beyond the file's block size, `NotFound`,
    /// `Denied`, `Quota` as [`Error::Refused`].
    pub async fn expand_file_size(
        &self,
        path: &str,
        size_bytes: u64,
    ) -> Result<FileMetaData, Error> {
        self.resize(path, size_bytes, Resize::Expand).await
    }

    /// Makes a file smaller; what is cut off is gone.
    ///
    /// # Errors
    /// `OutOfRange` for a larger size, `NotFound`, `Denied` as [`Error::Refused`].
    pub async fn truncate(&self, path: &str, size_bytes: u64) -> Result<FileMetaData, Error> {
        self.resize(path, size_bytes, Resize::Truncate).await
    }

    /// Cuts a file or makes it larger, but only while nothing of it has changed since it was
    /// `seen`: content, size and attributes.
    ///
    /// # Errors
    /// As [`Client::expand_file_size`] and [`Client::truncate`]; `Changed` as [`Error::Refused`].
    pub async fn resize_if(
        &self,
        path: &str,
        seen: &FileMetaData,
        size_bytes: u64,
    ) -> Result<FileMetaData, Error> {
        let resize = if size_bytes < seen.size_bytes {
            Resize::Truncate
        } else {
            Resize::Expand
        };
        let call = ResizeFile {
            request: self.request(),
            path: FilePath::parse(path)?,
            descriptor: seen.descriptor,
            size_bytes,
            resize,
            revision: Some(seen.revision),
        };
        match self.ask(&call, Some(call.request)).await {
            // Another file has the name.
            Err(Error::Refused(Refusal::Gone { .. })) => {
                let revision = seen.revision;
                Err(Error::Refused(Refusal::Changed { revision }))
            }
            resized => resized,
        }
    }

    /// The entries of blocks `[range.start, range.end)`: which version is where. Blocks that
    /// were never written are holes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond 65,536 blocks; [`Error::Replaced`] when the file is no more.
    pub async fn get_block_metadata(
        &self,
        file: &File,
        range: Range<u32>,
    ) -> Result<Vec<BlockEntry>, Error> {
        let mut entries = Vec::new();
        for index in range {
            let deadline = file.source.client.deadline();
            let (_, entry) = file.source.entry(block_index(index)?, deadline).await?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Replaces one block: `data` and, if it is shorter than a block, zeros after it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for data longer than a block; `Conflict` as [`Error::Refused`] with
    /// [`crate::OnConflict::Fail`].
    pub async fn write_block(
        &self,
        file: &File,
        block: BlockIndex,
        data: impl Into<Bytes>,
    ) -> Result<Committed, Error> {
        self.write_blocks(file, vec![(block, data.into())]).await
    }

    /// What one block holds, cut at the file's end.
    ///
    /// # Errors
    /// [`Error::NoCopy`] when no copy is right, [`Error::Replaced`] when the file is no more.
    pub async fn read_block(&self, file: &File, block: BlockIndex) -> Result<Bytes, Error> {
        let open = &file.source.view().open.file;
        match whole_block(block, open.block_size, open.size_bytes) {
            Some(part) => Ok(file.source.read_alone(part).await?.to_bytes()),
            None => Ok(Bytes::new()),
        }
    }

    /// Replaces a run of blocks, all of them or none.
    ///
    /// # Errors
    /// As [`Client::write_block`].
    pub async fn write_block_array(
        &self,
        file: &File,
        first: BlockIndex,
        data: Vec<Bytes>,
    ) -> Result<Committed, Error> {
        let mut blocks = Vec::with_capacity(data.len());
        for (index, data) in (u32::from(first.0)..).zip(data) {
            blocks.push((block_index(index)?, data));
        }
        self.write_blocks(file, blocks).await
    }

    /// What a run of blocks holds, in order, cut at the file's end.
    ///
    /// # Errors
    /// As [`Client::read_block`].
    pub async fn read_block_array(
        &self,
        file: &File,
        first: BlockIndex,
        count: u32,
    ) -> Result<Vec<Bytes>, Error> {
        let begin = u32::from(first.0);
        let mut blocks = Vec::new();
        for index in begin..begin.saturating_add(count) {
            blocks.push(block_index(index)?);
        }
        self.read_blocks(file, &blocks).await
    }

    /// Replaces any blocks, all of them or none. Of a block named twice the last data counts.
    ///
    /// # Errors
    /// As [`Client::write_block`].
    pub async fn write_blocks(
        &self,
        file: &File,
        blocks: Vec<(BlockIndex, Bytes)>,
    ) -> Result<Committed, Error> {
        let max = file.source.view().open.file.block_size.bytes();
        let mut edits = std::collections::BTreeMap::new();
        for (block, data) in blocks {
            let value = data.len() as u64;
            if value > max {
                return Err(Error::OutOfRange {
                    what: "the length of a block",
                    value,
                    max,
                });
            }
            edits.insert(
                block,
                Edit {
                    block,
                    offset_bytes: 0,
                    data,
                    keeps_rest: false,
                },
            );
        }
        let edits: Vec<_> = edits.into_values().collect();
        if edits.is_empty() {
            return Ok(Committed {
                file: file.meta_data(),
                blocks: Vec::new(),
            });
        }
        let source = self.as_mine(&file.source);
        let (meta_data, blocks) = apply(&source, &edits, None).await?;
        if !std::ptr::eq(&*source, &*file.source) {
            let written = self.options.request.is_none().then_some(&blocks[..]);
            file.source.written(&meta_data, written);
        }
        Ok(Committed {
            file: meta_data,
            blocks,
        })
    }

    /// What any blocks hold, in the order asked for, cut at the file's end.
    ///
    /// # Errors
    /// As [`Client::read_block`].
    pub async fn read_blocks(
        &self,
        file: &File,
        blocks: &[BlockIndex],
    ) -> Result<Vec<Bytes>, Error> {
        let block_bytes = file.source.view().open.file.block_size.bytes();
        let at_once = usize::try_from(WINDOW_BYTES / block_bytes).unwrap_or(1);
        stream::iter(
            blocks
                .iter()
                .copied()
                .map(|block| self.read_block(file, block)),
        )
        .buffered(at_once.max(PARTS_IN_FLIGHT_MIN))
        .try_collect()
        .await
    }

    /// The file with this client's options, which may differ from the ones it was opened with.
    fn as_mine(&self, source: &Arc<Source>) -> Arc<Source> {
        let has_own = self.options.request.is_some() || self.options.timeout.is_some();
        let is_other = has_own || self.options.on_conflict != source.client.options.on_conflict;
        if is_other {
            Arc::new(source.with_client(self))
        } else {
            Arc::clone(source)
        }
    }

    async fn resize(
        &self,
        path: &str,
        size_bytes: u64,
        resize: Resize,
    ) -> Result<FileMetaData, Error> {
        let file_path = FilePath::parse(path)?;
        let change = |request, descriptor| ResizeFile {
            request,
            path: file_path.clone(),
            descriptor,
            size_bytes,
            resize,
            revision: None,
        };
        self.change_file(path, change).await
    }
}

fn block_index(index: u32) -> Result<BlockIndex, Error> {
    u16::try_from(index)
        .map(BlockIndex)
        .map_err(|_| Error::OutOfRange {
            what: "the block",
            value: index.into(),
            max: u64::from(FILE_BLOCKS_MAX) - 1,
        })
}

/// The part of a file that is one block; `None` beyond its end.
fn whole_block(block: BlockIndex, block_size: BlockSize, size_bytes: u64) -> Option<Part> {
    let begin = u64::from(block.0) * block_size.bytes();
    let length = size_bytes.checked_sub(begin)?.min(block_size.bytes());
    let length_bytes = u32::try_from(length).ok().filter(|length| *length > 0)?;
    Some(Part {
        block,
        offset_bytes: 0,
        length_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_block_ends_with_the_file() {
        let size = BlockSize::from_bytes(65_536).expect("a block size");
        let length = |block: u16, size_bytes| {
            whole_block(BlockIndex(block), size, size_bytes).map(|part| part.length_bytes)
        };
        let table = [
            (0, 0, None),
            (0, 1, Some(1)),
            (0, 65_536, Some(65_536)),
            (1, 65_536, None),
            (1, 65_537, Some(1)),
            (0, 1 << 40, Some(65_536)),
        ];
        for (block, size_bytes, expected) in table {
            assert_eq!(
                length(block, size_bytes),
                expected,
                "block {block} of {size_bytes}"
            );
        }
    }
}
