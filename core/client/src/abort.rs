//! A put that does not become a file: what was written for it is freed.

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use sdfs_server_group::Deadline;
use sdfs_types::calls::names::AbortPut;
use sdfs_types::{BlockEntry, BlockIndex};
use tokio::time::timeout;

use crate::client::Client;
use crate::error::Error;
use crate::limits::{ABORT_WITHIN, STORED_WITHIN};

/// A block on its way: its length in bytes, and its entry once it is stored.
pub(crate) type OneBlock = BoxFuture<'static, (BlockIndex, u64, Result<BlockEntry, Error>)>;

/// A put that its caller has left.
pub(crate) struct Abort {
    pub(crate) client: Client,
    pub(crate) in_flight: FuturesUnordered<OneBlock>,
    /// With the blocks that are stored.
    pub(crate) call: AbortPut,
}

impl Abort {
    /// Has the blocks freed. What this cannot do in time is left to `verify`.
    pub(crate) async fn run(mut self) {
        // A block that is not stored yet may be a moment later, and then nobody knows of it.
        // Beyond that time those are worth more that are.
        drop(timeout(STORED_WITHIN, self.stored()).await);
        self.in_flight.clear();
        if self.call.blocks.iter().all(BlockEntry::is_hole) {
            return;
        }
        let deadline = Deadline::after(ABORT_WITHIN);
        if let Err(error) = self.client.ask_by(&self.call, None, deadline).await {
            tracing::warn!(path = %self.call.path, %error, "blocks of a put are left behind");
        }
    }

    async fn stored(&mut self) {
        while let Some((block, _, outcome)) = self.in_flight.next().await {
            if let Ok(entry) = outcome {
                set_entry(&mut self.call.blocks, block, entry);
            }
        }
    }
}

/// Sets the entry of a block that is stored.
pub(crate) fn set_entry(entries: &mut [BlockEntry], block: BlockIndex, entry: BlockEntry) {
    if let Some(kept) = entries.get_mut(usize::from(block.0)) {
        *kept = entry;
    }
}

/// Whether an error tells that the cluster does not answer.
pub(crate) fn is_silent(error: &Error) -> bool {
    matches!(
        error,
        Error::Stalled { .. }
            | Error::Deadline { .. }
            | Error::Unreachable { .. }
            | Error::Lost { .. }
            | Error::Login { .. }
            | Error::Unknown { .. }
    )
}
