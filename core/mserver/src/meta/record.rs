//! A file's record and where its block entries are: the first few in the record itself, so that a
//! small file is one look, the others in pages beside it.

use serde::{Deserialize, Serialize};

use sdfs_types::{BlockEntry, FileMetaData, RequestId};

use crate::limits::{PAGE_BLOCKS, RECORD_BLOCKS};

/// What is kept of a file under its descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// What clients see.
    pub file: FileMetaData,
    /// The request that made it.
    pub request: RequestId,
    /// Blocks up to the last one ever written.
    pub blocks: u32,
    /// The first entries.
    pub first: Vec<BlockEntry>,
}

impl FileRecord {
    /// A file nobody has written to.
    pub(crate) fn new(request: RequestId, file: FileMetaData) -> FileRecord {
        FileRecord {
            file,
            request,
            blocks: 0,
            first: Vec::new(),
        }
    }
}

/// Where a block's entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the record.
    Record(usize),
    /// In a page.
    Page { page: u16, at: usize },
}

/// Where the entry of `block` is.
pub(crate) fn place_of(block: u32) -> Place {
    match block.checked_sub(RECORD_BLOCKS) {
        None => Place::Record(block as usize),
        // A block index has 16 bits, so a page has fewer.
        Some(beyond) => Place::Page {
            page: u16::try_from(beyond / PAGE_BLOCKS).unwrap_or(u16::MAX),
            at: (beyond % PAGE_BLOCKS) as usize,
        },
    }
}

/// The first block of a page.
pub(crate) fn first_of(page: u16) -> u32 {
    RECORD_BLOCKS + u32::from(page) * PAGE_BLOCKS
}

/// Sets an entry, filling up with holes before it.
pub(crate) fn set_at(entries: &mut Vec<BlockEntry>, at: usize, entry: BlockEntry) {
    if entries.len() <= at {
        entries.resize(at + 1, BlockEntry::default());
    }
    entries[at] = entry;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_one_place() {
        let mut next = Place::Record(0);
        for block in 0..65_536 {
            assert_eq!(place_of(block), next, "{block}");
            next = match next {
                Place::Record(at) if at + 1 == RECORD_BLOCKS as usize => {
                    Place::Page { page: 0, at: 0 }
                }
                Place::Record(at) => Place::Record(at + 1),
                Place::Page { page, at } if at + 1 == PAGE_BLOCKS as usize => {
                    assert_eq!(first_of(page), block + 1 - PAGE_BLOCKS);
                    Place::Page {
                        page: page + 1,
                        at: 0,
                    }
                }
                Place::Page { page, at } => Place::Page { page, at: at + 1 },
            };
        }
    }
}
