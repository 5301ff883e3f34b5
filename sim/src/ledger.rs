//! Every list of blocks a dserver gave in a run: a name of bytes means the same ones in all of
//! them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sdfs_server_group::ServerId;
use sdfs_types::calls::blocks::BlockKept;
use sdfs_types::{BlockDescriptor, VolumeId};

/// The lists of a run. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Rc<RefCell<Listed>>);

#[derive(Debug, Default)]
struct Listed {
    /// Length and checksum of what a name was first seen to mean, and who said so.
    meant: BTreeMap<(VolumeId, BlockDescriptor), (u32, u32, ServerId)>,
    changed: Vec<String>,
}

impl Ledger {
    /// Notes what a member lists of a volume.
    pub(crate) fn note(&self, member: ServerId, volume: VolumeId, blocks: &[BlockKept]) {
        let Listed { meant, changed } = &mut *self.0.borrow_mut();
        for kept in blocks {
            let now = (kept.length_bytes, kept.crc32c, member);
            let first = *meant.entry((volume, kept.block)).or_insert(now);
            if (first.0, first.1) != (now.0, now.1) {
                let block = kept.block;
                changed.push(format!("{volume} {block}: {first:?}, then {now:?}"));
            }
        }
    }

    /// Names that meant other bytes another time.
    #[must_use]
    pub(crate) fn changed(&self) -> Vec<String> {
        self.0.borrow().changed.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor};

    #[test]
    fn other_bytes_under_a_name_are_found() {
        let kept = |crc32c| BlockKept {
            block: BlockDescriptor {
                file: FileDescriptor::from_key(&[1; 8]).unwrap(),
                block: BlockIndex(0),
                version: BlockVersion(1),
            },
            length_bytes: 3,
            crc32c,
        };
        let ledger = Ledger::default();
        ledger.note(ServerId(4), VolumeId(1), &[kept(7)]);
        ledger.note(ServerId(5), VolumeId(1), &[kept(7)]);
        ledger.note(ServerId(4), VolumeId(2), &[kept(8)]);
        assert!(ledger.changed().is_empty());
        ledger.note(ServerId(5), VolumeId(1), &[kept(8)]);
        assert_eq!(ledger.changed().len(), 1);
    }
}
