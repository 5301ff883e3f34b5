//! What the block index costs, by its own account and by the system's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sdfs_dserver::{BlockIndex, StoredBlock};
use sdfs_types::{
    BlockDescriptor, BlockIndex as Index, BlockVersion, FileDescriptor, FileId, FileVersion,
};

const BYTES_AN_ENTRY_MAX: usize = 48;

fn block(n: u64) -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId((n >> 16) as u32),
            version: FileVersion(1),
        },
        block: Index(n as u16),
        version: BlockVersion(1),
    }
}

fn resident_bytes() -> usize {
    let line = std::fs::read_to_string("/proc/self/statm").unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
}

/// Numbers below `count` in a scattered order.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    // Steps of a prime that does not divide any count used here reach every number once.
    (0..count).map(move |n| n * 7_368_787 % count)
}

fn check(name: &str, count: u64, keys: impl Iterator<Item = u64>) {
    let before = resident_bytes();
    let mut index = BlockIndex::default();
    for n in keys {
        let offset = n as u32;
        let stored = StoredBlock {
            segment: 1,
            offset,
            length_bytes: 4096,
            crc32c: 7,
        };
        index.insert(block(n), stored);
    }
    assert_eq!(index.len() as u64, count);
    let by_account = index.memory_bytes() / index.len();
    assert!(
        by_account <= BYTES_AN_ENTRY_MAX,
        "{name} {count}: {by_account} bytes an entry"
    );
    let resident = resident_bytes().saturating_sub(before) / index.len();
    assert!(
        resident <= BYTES_AN_ENTRY_MAX,
        "{name} {count}: {resident} resident bytes an entry"
    );
}

#[test]
fn entry_costs_at_most_48_bytes() {
    // The largest first, so that memory freed by one is not what the next is measured by.
    check("scattered", 1_000_000, scattered(1_000_000));
    check("in order", 1_000_000, 0..1_000_000);
    check("scattered", 700_001, scattered(700_001));
    check("backwards", 300_007, (0..300_007).rev());
}
