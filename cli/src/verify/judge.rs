//! What is wrong with one file: its records against what every copy of its volumes keeps. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sdfs_types::calls::blocks::BlockKept;
use sdfs_types::calls::inspect::RecordListed;
use sdfs_types::{BlockDescriptor, BlockEntry, ServerId, VolumeId};
use serde::Serialize;

/// What the members in sync of each volume keep of one file; each block with whether it is old.
pub(crate) type Copies =
    BTreeMap<VolumeId, BTreeMap<ServerId, BTreeMap<BlockDescriptor, (BlockKept, bool)>>>;

/// One thing that is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct BlockFinding {
    pub(crate) what: BlockFault,
    pub(crate) volume: VolumeId,
    pub(crate) server: ServerId,
    pub(crate) block: BlockDescriptor,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlockFault {
    /// The file has it, this copy does not.
    Missing,
    /// This copy has other bytes.
    Different,
    /// It is no file's and was written long ago.
    Orphan,
}

/// Everything that is wrong with a file, and how many blocks are no file's yet but young enough
/// to become one's.
pub(crate) fn judge(records: &[&RecordListed], copies: &Copies) -> (BTreeSet<BlockFinding>, u64) {
    let mut findings = judge_anonymous(copies);
    let mut expected = BTreeSet::new();
    for record in records {
        for (index, entry) in record.blocks.iter().filter(|(_, entry)| !entry.is_hole()) {
            let block = BlockDescriptor {
                file: record.file,
                block: *index,
                version: entry.version,
            };
            expected.insert((entry.volume, block));
            let members = copies.get(&entry.volume).into_iter().flatten();
            for (server, blocks) in members {
                let fault = match blocks.get(&block) {
                    None => BlockFault::Missing,
                    Some((kept, _)) if !is_same(kept, entry) => BlockFault::Different,
                    Some(_) => continue,
                };
                findings.insert(BlockFinding {
                    what: fault,
                    volume: entry.volume,
                    server: *server,
                    block,
                });
            }
        }
    }
    let mut young = 0;
    for (volume, members) in copies {
        for (server, blocks) in members {
            for (block, (_, is_old)) in blocks {
                if expected.contains(&(*volume, *block)) || block.file.is_anonymous() {
                    continue;
                }
                // A version ahead of the file's is being written; the server judges again.
                let can_become = records
                    .iter()
                    .any(|record| !record.has_replaced(block, *volume));
                if !is_old || can_become {
                    young += 1;
                    continue;
                }
                findings.insert(BlockFinding {
                    what: BlockFault::Orphan,
                    volume: *volume,
                    server: *server,
                    block: *block,
                });
            }
        }
    }
    (findings, young)
}

/// Anonymous blocks have no record: each is what the members in sync have of it, all the same.
fn judge_anonymous(copies: &Copies) -> BTreeSet<BlockFinding> {
    let mut findings = BTreeSet::new();
    for (volume, members) in copies {
        let blocks = members.values().flatten();
        let blocks = blocks.filter(|(block, _)| block.file.is_anonymous());
        let known: BTreeMap<_, _> = blocks.map(|(block, (kept, _))| (*block, *kept)).collect();
        for (block, kept) in known {
            for (server, blocks) in members {
                let what = match blocks.get(&block) {
                    None => BlockFault::Missing,
                    Some((other, _)) if *other != kept => BlockFault::Different,
                    Some(_) => continue,
                };
                findings.insert(BlockFinding {
                    what,
                    volume: *volume,
                    server: *server,
                    block,
                });
            }
        }
    }
    findings
}

/// A block that was cut within itself is kept whole.
fn is_same(kept: &BlockKept, entry: &BlockEntry) -> bool {
    kept.crc32c == entry.crc32c && kept.length_bytes >= entry.length_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor, FileId, FileVersion, RequestId};

    const V: VolumeId = VolumeId(1);
    const FILE: FileDescriptor = FileDescriptor {
        id: FileId(5),
        version: FileVersion(1),
    };

    fn block(index: u16, version: u16) -> BlockDescriptor {
        BlockDescriptor {
            file: FILE,
            block: BlockIndex(index),
            version: BlockVersion(version),
        }
    }

    fn record(blocks: &[(u16, u16, u32)]) -> RecordListed {
        let entry = |(index, version, crc32c): &(u16, u16, u32)| {
            let entry = BlockEntry {
                version: BlockVersion(*version),
                volume: V,
                length_bytes: 10,
                crc32c: *crc32c,
            };
            (BlockIndex(*index), entry)
        };
        RecordListed {
            file: FILE,
            request: RequestId::default(),
            created_ms: 0,
            blocks: blocks.iter().map(entry).collect(),
        }
    }

    /// A block, its checksum, and whether it is old.
    type Block = (BlockDescriptor, u32, bool);

    fn copies(of: &[(u16, &[Block])]) -> Copies {
        let members = of.iter().map(|(server, blocks)| {
            let kept = blocks.iter().map(|(block, crc32c, is_old)| {
                let kept = BlockKept {
                    block: *block,
                    length_bytes: 10,
                    crc32c: *crc32c,
                };
                (*block, (kept, *is_old))
            });
            (ServerId(*server), kept.collect())
        });
        [(V, members.collect())].into()
    }

    fn told(records: &[RecordListed], copies: &Copies) -> Vec<(BlockFault, u16, u16, u16)> {
        let of = |finding: &BlockFinding| {
            let block = finding.block;
            (
                finding.what,
                finding.server.0,
                block.block.0,
                block.version.0,
            )
        };
        let records: Vec<&RecordListed> = records.iter().collect();
        judge(&records, copies).0.iter().map(of).collect()
    }

    #[test]
    fn equal_copies_are_no_finding() {
        let kept = [(block(0, 1), 7, true), (block(1, 2), 8, false)];
        let all = copies(&[(1, &kept), (2, &kept)]);
        assert_eq!(told(&[record(&[(0, 1, 7), (1, 2, 8)])], &all), []);
    }

    #[test]
    fn each_fault_is_told_of_its_copy() {
        let all = copies(&[
            (1, &[(block(0, 1), 7, true)]),
            (2, &[(block(0, 1), 9, true), (block(1, 1), 8, true)]),
        ]);
        let found = told(&[record(&[(0, 1, 7), (1, 1, 8)])], &all);
        let expected = [
            (BlockFault::Missing, 1, 1, 1),
            (BlockFault::Different, 2, 0, 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_being_written_is_no_orphan() {
        let young = copies(&[(1, &[(block(0, 1), 7, false)])]);
        assert_eq!(judge(&[], &young), (BTreeSet::new(), 1));
        let old = copies(&[(1, &[(block(0, 1), 7, true)])]);
        assert_eq!(told(&[], &old), [(BlockFault::Orphan, 1, 0, 1)]);
        // A newer version than the file's, however old, and a block behind its end.
        let ahead = [
            (block(0, 2), 7, true),
            (block(0, 1), 7, true),
            (block(4, 1), 7, true),
        ];
        let all = copies(&[(1, &ahead)]);
        assert_eq!(judge(&[&record(&[(0, 1, 7)])], &all), (BTreeSet::new(), 2));
    }

    #[test]
    fn anonymous_blocks_are_no_orphans() {
        let stamp = sdfs_types::Stamp {
            second: 100,
            number: 3,
            server: ServerId(2),
        };
        let kept = [(stamp.block(), 7, true)];
        assert_eq!(judge(&[], &copies(&[(1, &kept), (2, &kept)])).0, [].into());
        let other = [(stamp.block(), 8, true)];
        let found = told(&[], &copies(&[(1, &kept), (2, &other), (3, &[])]));
        let expected = [
            (BlockFault::Missing, 3, 2, 1),
            (BlockFault::Different, 1, 2, 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn replaced_versions_are_orphans() {
        let kept = [(block(0, 1), 7, true), (block(0, 3), 8, true)];
        let all = copies(&[(1, &kept)]);
        let found = told(&[record(&[(0, 3, 8)])], &all);
        assert_eq!(found, [(BlockFault::Orphan, 1, 0, 1)]);
    }
}
