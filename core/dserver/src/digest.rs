//! Digests of blocks, for mservers that compare contents without having the bytes sent.

use blake3::hazmat::{HasherExt, max_subtree_len};
use sdfs_server_group::{Caller, Deadline};
use sdfs_types::Refusal;
use sdfs_types::calls::blocks::ReadBlock;
use sdfs_types::calls::content::{ContentDigest, DigestBlock, DigestHow};

use crate::limits::DIGEST_STEP_BYTES;
use crate::shared::Shared;

impl Shared {
    /// The digest of a range of a block that is kept here, whose checksum fits.
    pub(crate) async fn digest_block(
        &self,
        from: &Caller,
        call: DigestBlock,
        deadline: Deadline,
    ) -> Result<ContentDigest, Refusal> {
        let read = ReadBlock {
            volume: call.volume,
            block: call.block,
            offset_bytes: call.offset_bytes,
            length_bytes: call.length_bytes,
            grant: None,
        };
        // What is read is verified where it is read.
        let (range, payload) = self.read_block(from, read, deadline).await?;
        if range.crc32c != call.crc32c {
            return Err(Refusal::Corrupt);
        }
        let bytes = payload.to_bytes();
        let start = call.offset_bytes.checked_sub(range.offset_bytes);
        let wanted = start.and_then(|start| {
            let end = start.checked_add(call.length_bytes)?;
            bytes.get(start as usize..end as usize)
        });
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        let wanted = wanted.ok_or_else(|| Refusal::OutOfRange {
            what: "the range of the block".to_owned(),
            value: format!("{} bytes at {}", call.length_bytes, call.offset_bytes),
            allowed: format!("within {} bytes", range.block_bytes),
        })?;
        let mut hasher = match call.how {
            DigestHow::Keyed(key) => blake3::Hasher::new_keyed(&key),
            DigestHow::Plain | DigestHow::Subtree(_) => blake3::Hasher::new(),
        };
        if let DigestHow::Subtree(at_bytes) = call.how {
            if !is_subtree(at_bytes, wanted.len() as u64) {
                let why = "no subtree begins there".to_owned();
                return Err(Refusal::Malformed { why });
            }
            hasher.set_input_offset(at_bytes);
        }
        for step in wanted.chunks(DIGEST_STEP_BYTES) {
            hasher.update(step);
            // Other calls are served on this thread.
            tokio::task::yield_now().await;
        }
        Ok(match call.how {
            DigestHow::Subtree(_) => hasher.finalize_non_root(),
            DigestHow::Plain | DigestHow::Keyed(_) => *hasher.finalize().as_bytes(),
        })
    }
}

/// Whether so many bytes may be a subtree of a content that is longer than they are.
fn is_subtree(at_bytes: u64, length_bytes: u64) -> bool {
    at_bytes.is_multiple_of(blake3::CHUNK_LEN as u64)
        && max_subtree_len(at_bytes).is_none_or(|most| length_bytes <= most)
}
