//! Every list of blocks a dserver gave in a run, and every record of a file: a name of bytes means
//! the same ones in all of them.
//!
//! Of files that several write to in place it does so in records only: who loses against another
//! writer leaves the copies he has made under a name that the other one may have been given too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sdfs_server_group::ServerId;
use sdfs_types::calls::blocks::BlockKept;
use sdfs_types::{BlockDescriptor, BlockEntry, FileDescriptor, VolumeId};

/// The lists of a run. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Rc<RefCell<Listed>>);

#[derive(Debug, Default)]
struct Listed {
    /// Length and checksum of what a name was first seen to mean, and who said so.
    meant: BTreeMap<(VolumeId, BlockDescriptor), (u32, u32, ServerId)>,
    /// Length and checksum a record gave for a name first.
    recorded: BTreeMap<BlockDescriptor, (u32, u32)>,
    /// Files that several write to.
    shared: BTreeSet<FileDescriptor>,
    /// In lists, by file, and in records.
    changed_lists: Vec<(FileDescriptor, String)>,
    changed_records: Vec<String>,
}

impl Ledger {
    /// Notes what a member lists of a volume.
    pub(crate) fn note(&self, member: ServerId, volume: VolumeId, blocks: &[BlockKept]) {
        let listed = &mut *self.0.borrow_mut();
        for kept in blocks {
            let now = (kept.length_bytes, kept.crc32c, member);
            let first = *listed.meant.entry((volume, kept.block)).or_insert(now);
            if (first.0, first.1) != (now.0, now.1) {
                let block = kept.block;
                let what = format!("{volume} {block}: {first:?}, then {now:?}");
                listed.changed_lists.push((block.file, what));
            }
        }
    }

    /// Notes what a file's record says of a block.
    pub(crate) fn note_record(&self, block: BlockDescriptor, entry: &BlockEntry) {
        let listed = &mut *self.0.borrow_mut();
        let now = (entry.length_bytes, entry.crc32c);
        let first = *listed.recorded.entry(block).or_insert(now);
        if first != now {
            let what = format!("the record of {block}: {first:?}, then {now:?}");
            listed.changed_records.push(what);
        }
    }

    /// Notes that several write to a file.
    pub(crate) fn note_shared(&self, file: FileDescriptor) {
        self.0.borrow_mut().shared.insert(file);
    }

    /// Names that meant other bytes another time.
    #[must_use]
    pub(crate) fn changed(&self) -> Vec<String> {
        let listed = self.0.borrow();
        let lists = listed.changed_lists.iter();
        let alone = lists.filter(|(file, _)| !listed.shared.contains(file));
        let alone = alone.map(|(_, what)| what.clone());
        alone
            .chain(listed.changed_records.iter().cloned())
            .collect()
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
        ledger.note_shared(kept(8).block.file);
        assert!(ledger.changed().is_empty());
        let record = |crc32c| BlockEntry {
            volume: VolumeId(1),
            version: BlockVersion(1),
            length_bytes: 3,
            crc32c,
        };
        ledger.note_record(kept(7).block, &record(7));
        ledger.note_record(kept(7).block, &record(7));
        assert!(ledger.changed().is_empty());
        ledger.note_record(kept(7).block, &record(8));
        assert_eq!(ledger.changed().len(), 1);
    }
}
