//! A door for the fuzzer alone: what bytes of a disk are read as, written again. `None` for bytes
//! that are refused.

use crate::block_record::{self, BlockSums, Head};
use crate::{checkpoint, space_file};

/// The file `checkpoint`.
#[must_use]
pub fn checkpoint(file: &[u8]) -> Option<Vec<u8>> {
    let checkpoint = checkpoint::decode(file)?;
    Some(checkpoint::encode(
        checkpoint.replay_from,
        &checkpoint.table.into(),
    ))
}

/// The file `space`.
#[must_use]
pub fn space_file(file: &[u8]) -> Option<Vec<u8>> {
    Some(space_file::encode(&space_file::decode(file).ok()?))
}

/// The head of a record of the log.
#[must_use]
pub fn record_head(head: &[u8]) -> Option<Vec<u8>> {
    Some(match block_record::decode(head)? {
        Head::Block {
            volume,
            block,
            crc32c,
        } => {
            let sums = BlockSums {
                whole: crc32c,
                pieces: block_record::piece_sums(head),
            };
            block_record::encode_block(volume, block, &sums).into()
        }
        Head::Freed { volume, blocks } => block_record::encode_freed(volume, &blocks).into(),
    })
}
