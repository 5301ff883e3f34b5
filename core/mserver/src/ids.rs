//! File ids leased from the root group in ranges, so that a put knows its descriptor before its
//! name is decided. What is left of a lease when the process ends is never used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sdfs_server_group::Deadline;
use sdfs_types::limits::FILE_ID_LEASE;
use sdfs_types::{FileDescriptor, FileId, FileVersion, Refusal};

use crate::batch::{BatchFault, Batcher};
use crate::core::{RootBatcher, unknown};
use crate::limits::DUTY_STEP_MAX;
use crate::root::{RootAnswer, RootCommand};

/// The lease of this mserver.
pub(crate) struct FileIds {
    /// The next id and the one after the last: 32 bits each, changed together.
    range: Arc<AtomicU64>,
    leases: Batcher<(), FileId, Refusal>,
}

impl FileIds {
    pub(crate) fn start(root: RootBatcher) -> FileIds {
        let range = Arc::new(AtomicU64::new(0));
        let rest = Arc::clone(&range);
        let leases = Batcher::start(move |wanted: Vec<()>| {
            let (root, rest) = (root.clone(), Arc::clone(&rest));
            async move {
                let wanted = u32::try_from(wanted.len()).unwrap_or(FILE_ID_LEASE);
                let (first, count) = lease(&root, wanted.max(FILE_ID_LEASE)).await?;
                rest.store(pack(first + wanted, first + count), Ordering::Relaxed);
                Ok((first..first + wanted).map(FileId).collect())
            }
        });
        FileIds { range, leases }
    }

    /// A descriptor nobody had before.
    pub(crate) async fn fresh(&self, deadline: Deadline) -> Result<FileDescriptor, Refusal> {
        let taken = self
            .range
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |range| {
                let (next, end) = unpack(range);
                (next < end).then(|| pack(next + 1, end))
            });
        let id = match taken {
            Ok(range) => FileId(unpack(range).0),
            Err(_) => self.under_new_lease(deadline).await?,
        };
        Ok(FileDescriptor {
            id,
            version: FileVersion(1),
        })
    }

    async fn under_new_lease(&self, deadline: Deadline) -> Result<FileId, Refusal> {
        match tokio::time::timeout_at(deadline.instant(), self.leases.submit((), 1)).await {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(BatchFault::Failed(refusal))) => Err(refusal),
            Ok(Err(BatchFault::Full | BatchFault::Ended)) | Err(_) => {
                // Nothing of the caller's was done, whatever became of the lease.
                Err(Refusal::Busy {
                    why: "no file ids could be leased".to_owned(),
                })
            }
        }
    }
}

async fn lease(root: &RootBatcher, count: u32) -> Result<(u32, u32), Refusal> {
    let command = RootCommand::LeaseFileIds { count };
    match root
        .submit((command, Deadline::after(DUTY_STEP_MAX)), 16)
        .await
    {
        Ok(Ok(RootAnswer::Leased { first, count })) => Ok((first.0, count)),
        Ok(Ok(_)) => Err(unknown(
            "the lease of file ids was answered with something else",
        )),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::Busy {
            why: "no file ids could be leased".to_owned(),
        }),
    }
}

fn pack(next: u32, end: u32) -> u64 {
    u64::from(next) << 32 | u64::from(end)
}

fn unpack(range: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    (half(range >> 32), half(range))
}
