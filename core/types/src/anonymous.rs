//! Anonymous files: one block without a name or a record, found by its descriptor alone.
//!
//! What an anonymous file is called for ever is its *stamp*: which dserver took it, in which
//! second, as which of that second. Stamps are leased from the root group (`LeaseStamps`), so none
//! is given out twice, whatever becomes of clocks and disks. A stamp becomes the descriptor of the
//! file's only block; the highest bit of the file version tells it from every block of a named
//! file, whose versions count from 1.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::ids::{BlockDescriptor, BlockIndex, BlockVersion, FileDescriptor, FileId, FileVersion};
use sdfs_server_group::ServerId;

/// The bit of a file version that only anonymous files have.
const ANONYMOUS: u32 = 1 << 31;
/// The version of the block that holds the content.
const CONTENT: BlockVersion = BlockVersion(1);

/// The version of an empty block that says that more is kept for the file elsewhere.
const MARK: BlockVersion = BlockVersion(2);

/// Bits of [`Stamp::number`].
pub const STAMP_NUMBER_BITS: u32 = 17;

/// Names one anonymous file for ever. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When it was taken, seconds since the Unix epoch.
    pub second: u32,
    /// Which of that second at that server: below `1 << STAMP_NUMBER_BITS`.
    pub number: u32,
    /// Who took it.
    pub server: ServerId,
}

impl Stamp {
    /// The descriptor of the block that holds the file.
    #[must_use]
    pub fn block(self) -> BlockDescriptor {
        self.version(CONTENT)
    }

    /// The descriptor of the block that marks the file.
    #[must_use]
    pub fn mark(self) -> BlockDescriptor {
        self.version(MARK)
    }

    fn version(self, version: BlockVersion) -> BlockDescriptor {
        BlockDescriptor {
            file: FileDescriptor {
                id: FileId(self.second),
                version: FileVersion(ANONYMOUS | self.number),
            },
            block: BlockIndex(self.server.0),
            version,
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.second, self.number, self.server)
    }
}

impl FileDescriptor {
    /// Whether it is an anonymous file's: one without a name or a record.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        self.version.0 & ANONYMOUS != 0
    }

    /// The descriptor of the next life, or `None` when versions are used up.
    pub fn next_life(self) -> Option<FileDescriptor> {
        let version = self.version.0.checked_add(1)?;
        (version & ANONYMOUS == 0).then_some(FileDescriptor {
            id: self.id,
            version: FileVersion(version),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp((second, number, server): (u32, u32, u16)) -> Stamp {
        Stamp {
            second,
            number: number % (1 << STAMP_NUMBER_BITS),
            server: ServerId(server),
        }
    }

    #[test]
    fn lives_of_named_files_never_become_anonymous() {
        let last = FileDescriptor {
            id: FileId(1),
            version: FileVersion(ANONYMOUS - 1),
        };
        assert!(!last.is_anonymous());
        assert_eq!(last.next_life(), None);
    }

    proptest! {
        #[test]
        fn stamps_and_their_blocks_are_one_to_one(a: (u32, u32, u16), b: (u32, u32, u16)) {
            let (a, b) = (stamp(a), stamp(b));
            prop_assert_eq!(a == b, a.block() == b.block());
            prop_assert_eq!(a.cmp(&b), a.block().cmp(&b.block()));
            prop_assert!(a.block().file.is_anonymous());
            prop_assert!(a.block().version.is_written());
        }
    }
}
