//! Storing and freeing blocks in a space.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sdfs_log::{AppendRefused, LogFailure, Position, Record};
use sdfs_types::{BlockDescriptor, VolumeId};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::block_record::{BlockSums, encode_block, encode_freed};
use crate::block_table::{BlockTable, Identity, Known};
use crate::limits::FREED_BLOCKS_MAX;
use crate::locked::locked;
use crate::space::Space;

/// Why a block was not stored or freed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub(crate) enum StoreFault {
    /// The descriptor stands for other bytes.
    #[error("the descriptor stands for other bytes")]
    Exists,
    /// It was freed for good.
    #[error("the block was freed for good")]
    Gone,
    /// No room beyond the reserve.
    #[error("no room beyond the reserve")]
    NoSpace,
    /// Larger than a block may be.
    #[error("larger than a block may be")]
    TooLarge,
    /// The disk failed and is closed.
    #[error("the disk failed and is closed")]
    Failed,
}

impl From<LogFailure> for StoreFault {
    fn from(_: LogFailure) -> Self {
        StoreFault::Failed
    }
}

/// The bytes of a block, checked.
#[derive(Clone, Debug)]
pub(crate) struct BlockBody {
    pub(crate) sums: BlockSums,
    pub(crate) length_bytes: u32,
    pub(crate) parts: Vec<Bytes>,
}

impl BlockBody {
    /// Computes the checksums; nothing when the block is too large.
    pub(crate) fn new(parts: Vec<Bytes>) -> Option<Self> {
        let length: usize = parts.iter().map(Bytes::len).sum();
        let length_bytes = u32::try_from(length).ok()?;
        let is_allowed = length_bytes <= crate::limits::BLOCK_BYTES_MAX;
        is_allowed.then(|| Self {
            sums: BlockSums::of(&parts),
            length_bytes,
            parts,
        })
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            length_bytes: self.length_bytes,
            crc32c: self.sums.whole,
        }
    }
}

/// What a block is stored for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is new.
    Write,
    /// It is what a member in sync has.
    Sync,
    /// In the place of a damaged one, unless that was freed meanwhile.
    Repair,
}

/// A block that is being stored.
pub(crate) enum Storing {
    /// It was there already.
    Stored,
    /// Told when it is durable.
    Queued(oneshot::Receiver<Result<(), LogFailure>>),
    /// The queue of the disk is full; try again when something was written.
    Full,
}

impl Storing {
    /// Waits until the block is durable.
    pub(crate) async fn durable(self) -> Result<(), StoreFault> {
        match self {
            Storing::Stored => Ok(()),
            Storing::Queued(told) => Ok(told.await.unwrap_or(Err(LogFailure::Closed))?),
            Storing::Full => Err(StoreFault::NoSpace),
        }
    }
}

impl Space {
    /// Queues a block, waiting for room in the queue if need be.
    pub(crate) async fn store(
        &self,
        (volume, block): (VolumeId, BlockDescriptor),
        body: &BlockBody,
        purpose: Purpose,
    ) -> Result<Storing, StoreFault> {
        loop {
            match self.begin_store((volume, block), body, purpose)? {
                // Everything queued is written before the barrier is, so there is room then.
                Storing::Full => self.log.sync().await?,
                storing => return Ok(storing),
            }
        }
    }

    /// Queues a block. The same bytes under the same descriptor are stored once.
    pub(crate) fn begin_store(
        &self,
        (volume, block): (VolumeId, BlockDescriptor),
        body: &BlockBody,
        purpose: Purpose,
    ) -> Result<Storing, StoreFault> {
        let identity = body.identity();
        let mut table = locked(&self.table);
        let is_freed = match purpose {
            Purpose::Write | Purpose::Sync => table.refuses_copy(volume, &block),
            Purpose::Repair => table.identity_of_damaged(volume, block) != Some(identity),
        };
        if is_freed {
            return Err(StoreFault::Gone);
        }
        // What cannot be read now was stored all the same.
        let damaged = table.identity_of_damaged(volume, block);
        if purpose == Purpose::Write && damaged.is_some_and(|damaged| damaged != identity) {
            return Err(StoreFault::Exists);
        }
        match table.known(volume, &block) {
            Known::Absent => {}
            Known::Stored(stored) => {
                if Identity::of(&stored) != identity {
                    return Err(StoreFault::Exists);
                }
                table.write_again(volume, block);
                return Ok(Storing::Stored);
            }
            Known::Pending(pending) if pending == identity => {
                let (tell, told) = oneshot::channel();
                table.wait(volume, &block, tell);
                table.write_again(volume, block);
                return Ok(Storing::Queued(told));
            }
            Known::Pending(_) => return Err(StoreFault::Exists),
        }
        let record = Record {
            head: encode_block(volume, block, &body.sums),
            data: body.parts.clone(),
            data_crc: Some(body.sums.whole),
            use_reserve: false,
        };
        let shared = Arc::clone(&self.table);
        let done = move |result: Result<Position, LogFailure>| {
            let (waiters, result) = match result {
                Ok(position) => (locked(&shared).finish(volume, block, position), Ok(())),
                Err(failure) => (locked(&shared).abandon(volume, &block), Err(failure)),
            };
            for waiter in waiters {
                // One who waits no more has given the write up; the block is stored all the same.
                drop(waiter.send(result.clone()));
            }
        };
        match self.log.append(record, done) {
            Ok(_) => {
                let (tell, told) = oneshot::channel();
                table.begin(volume, block, identity);
                table.wait(volume, &block, tell);
                Ok(Storing::Queued(told))
            }
            Err(AppendRefused::Full) => Ok(Storing::Full),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Frees blocks and waits until that is durable. Unknown ones are left out.
    pub(crate) async fn free(
        &self,
        volume: VolumeId,
        blocks: &[BlockDescriptor],
    ) -> Result<(), StoreFault> {
        // One that was put aside as damaged lies in the log all the same, to be found at a restart.
        let is_here = |table: &BlockTable, block: &BlockDescriptor| {
            let damaged = table.identity_of_damaged(volume, *block);
            damaged.is_some() || table.is_known(volume, block)
        };
        self.free_meant(volume, blocks, is_here).await
    }

    async fn free_meant(
        &self,
        volume: VolumeId,
        blocks: &[BlockDescriptor],
        is_meant: impl Fn(&BlockTable, &BlockDescriptor) -> bool,
    ) -> Result<(), StoreFault> {
        for portion in blocks.chunks(FREED_BLOCKS_MAX) {
            loop {
                match self.begin_free(volume, portion, &is_meant)? {
                    Storing::Full => self.log.sync().await?,
                    // They may have been freed a moment ago, or on a disk that failed at it.
                    Storing::Stored => break self.log.sync().await?,
                    storing => break storing.durable().await?,
                }
            }
        }
        Ok(())
    }

    /// Those of some blocks of a volume that is being synced that were not written since its epoch
    /// was learnt.
    pub(crate) fn of_before(
        &self,
        volume: VolumeId,
        mut blocks: BTreeSet<BlockDescriptor>,
    ) -> BTreeSet<BlockDescriptor> {
        blocks.retain(|block| locked(&self.table).is_of_before(volume, block));
        blocks
    }

    /// Frees blocks of a volume that is being synced, but for those that were written since its
    /// epoch was learnt: copies of them may be on their way to the other members.
    pub(crate) async fn free_of_before(
        &self,
        volume: VolumeId,
        blocks: &[BlockDescriptor],
    ) -> Result<(), StoreFault> {
        self.free_meant(volume, blocks, |table, block| {
            table.is_of_before(volume, block)
        })
        .await
    }

    /// Frees a block that was put aside as damaged, unless it has been repaired meanwhile.
    pub(crate) async fn free_damaged(
        &self,
        volume: VolumeId,
        block: BlockDescriptor,
    ) -> Result<(), StoreFault> {
        let is_damaged = |table: &BlockTable, block: &BlockDescriptor| {
            table.identity_of_damaged(volume, *block).is_some() && !table.is_known(volume, block)
        };
        self.free_meant(volume, &[block], is_damaged).await
    }

    fn begin_free(
        &self,
        volume: VolumeId,
        blocks: &[BlockDescriptor],
        is_meant: impl Fn(&BlockTable, &BlockDescriptor) -> bool,
    ) -> Result<Storing, StoreFault> {
        let mut table = locked(&self.table);
        let meant = blocks.iter().filter(|block| is_meant(&table, block));
        let here: Vec<BlockDescriptor> = meant.copied().collect();
        if here.is_empty() {
            return Ok(Storing::Stored);
        }
        let (tell, told) = oneshot::channel();
        let record = Record {
            head: encode_freed(volume, &here),
            use_reserve: true,
            ..Record::default()
        };
        let appended = self
            .log
            .append(record, move |result| drop(tell.send(result.map(|_| ()))));
        match appended {
            Ok(_) => {
                for block in &here {
                    table.free(volume, block);
                }
                Ok(Storing::Queued(told))
            }
            Err(AppendRefused::Full) => Ok(Storing::Full),
            Err(refused) => Err(refused.into()),
        }
    }
}

impl From<AppendRefused> for StoreFault {
    fn from(refused: AppendRefused) -> Self {
        match refused {
            AppendRefused::NoSpace | AppendRefused::Full => StoreFault::NoSpace,
            AppendRefused::TooLarge => StoreFault::TooLarge,
            _ => StoreFault::Failed,
        }
    }
}
