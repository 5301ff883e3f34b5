//! Numbers the root group counts.

use serde::{Deserialize, Serialize};

use sdfs_types::{FileDescriptor, FileId, FileVersion, Refusal};

/// Everything counted; one key, written once a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// The lowest file id never given out.
    pub(crate) next_file_id: u32,
    /// The next place in the order of tombstones.
    pub(crate) next_tombstone: u64,
    /// No tombstone has an earlier place: where looking for the oldest begins.
    pub(crate) oldest_tombstone: u64,
    /// The next place in the list of files to be removed.
    pub(crate) next_removal: u64,
    /// Tombstones there are.
    pub(crate) tombstones: u64,
    /// Outcomes remembered since ever.
    pub(crate) outcomes: u64,
}

impl Default for Counters {
    fn default() -> Self {
        // Id 0 is the root directory.
        Counters {
            next_file_id: 1,
            next_tombstone: 0,
            oldest_tombstone: 0,
            next_removal: 0,
            tombstones: 0,
            outcomes: 0,
        }
    }
}

impl Counters {
    /// `count` ids nobody had before.
    pub(crate) fn take_ids(&mut self, count: u32) -> Result<FileId, Refusal> {
        let first = self.next_file_id;
        self.next_file_id = first
            .checked_add(count)
            .ok_or_else(|| Refusal::OutOfRange {
                what: "the number of names ever created".to_owned(),
                value: (u64::from(first) + u64::from(count)).to_string(),
                allowed: format!("at most {}", u32::MAX),
            })?;
        Ok(FileId(first))
    }

    /// A descriptor nobody had before.
    pub(crate) fn fresh(&mut self) -> Result<FileDescriptor, Refusal> {
        Ok(FileDescriptor {
            id: self.take_ids(1)?,
            version: FileVersion(1),
        })
    }

    /// The next life of `former`, or a fresh id when it has none left.
    pub(crate) fn life_after(
        &mut self,
        former: Option<FileDescriptor>,
    ) -> Result<FileDescriptor, Refusal> {
        former
            .and_then(FileDescriptor::next_life)
            .map_or_else(|| self.fresh(), Ok)
    }
}
