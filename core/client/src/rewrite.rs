//! Changes blocks of a file that exists: writes new versions of them, then commits all of them
//! or none by compare-and-set on the versions they replace.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::names::{BlockWritten, CommitBlocks};
use sdfs_types::{BlockIndex, BlockVersion, FileMetaData, Refusal};

use crate::error::{CopyCause, Error};
use crate::extent::{Part, Parts};
use crate::fetch::{FetchFault, Wanted};
use crate::limits::{PARTS_IN_FLIGHT_MIN, REFRESHES_MAX, WINDOW_BYTES};
use crate::options::OnConflict;
use crate::pause::{pause, random};
use crate::source::Source;
use crate::target::Target;
use crate::verify::zeros;
use crate::version::VersionChoice;

/// What becomes of one block.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) block: BlockIndex,
    pub(crate) offset_bytes: u32,
    pub(crate) data: Bytes,
    /// Whether what the block holds around `data` stays.
    pub(crate) keeps_rest: bool,
}

/// Cuts one write at the blocks' ends.
pub(crate) fn edits_of(parts: Parts, mut data: Bytes, block_bytes: u64) -> Vec<Edit> {
    let edit = |part: Part| {
        let length = usize::try_from(part.length_bytes)
            .unwrap_or(usize::MAX)
            .min(data.len());
        Edit {
            block: part.block,
            offset_bytes: part.offset_bytes,
            data: data.split_to(length),
            keeps_rest: u64::from(part.length_bytes) < block_bytes,
        }
    };
    parts.map(edit).collect()
}

/// The content of a block with `data` laid over it at `offset`; zeros between its old end and
/// there.
fn laid_over(mut old: Payload, offset: u32, data: Bytes) -> Payload {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut new = old.split_to(offset);
    for piece in zeros((offset - new.len()) as u64).into_pieces() {
        new.push(piece);
    }
    drop(old.split_to(data.len()));
    new.push(data);
    for piece in old.into_pieces() {
        new.push(piece);
    }
    new
}

/// Writes the edits, one a block, and commits them together. Returns what the file is then. With a
/// revision all is refused as changed when the file is at another one: while blocks are looked up
/// the view may be refreshed, so what it says is not what the caller has seen.
pub(crate) async fn apply(
    source: &Source,
    edits: &[Edit],
    revision: Option<u64>,
) -> Result<(FileMetaData, Vec<BlockWritten>), Error> {
    let client = &source.client;
    let mut request = client.request();
    let target = Target::of_open(client, source.path.clone(), &source.view().open);
    let mut written: BTreeMap<BlockIndex, BlockWritten> = BTreeMap::new();
    let mut failures = 0;
    loop {
        target.patience.progressed();
        let writing = write_all(source, &target, edits, &mut written);
        target.patience.guard(writing).await?;
        let view = source.view();
        let call = CommitBlocks {
            request,
            descriptor: target.descriptor,
            group: view.group(),
            grant: target.grant(),
            written: written.values().copied().collect(),
            size_bytes_at_least: end_of(&view.open.file, edits),
            revision,
        };
        failures += 1;
        match client.ask(&call, Some(request)).await {
            Ok(file) => {
                // The answer may be the first outcome of the same id, with other versions.
                let written = client
                    .options
                    .request
                    .is_none()
                    .then_some(&call.written[..]);
                source.written(&file, written);
                return Ok((file, call.written));
            }
            Err(Error::Refused(Refusal::NotGranted)) if failures <= REFRESHES_MAX => {
                target.renew(client, client.deadline()).await?;
            }
            Err(Error::Refused(Refusal::Conflict { block, current })) => {
                let is_over = client.options.on_conflict == OnConflict::Fail;
                if is_over || failures > REFRESHES_MAX * REFRESHES_MAX {
                    return Err(Error::Refused(Refusal::Conflict { block, current }));
                }
                request = client.next_request();
                tokio::time::sleep(pause(failures.min(4), random())).await;
                source.refresh(&view, client.deadline()).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Where the file ends at least once the edits are in.
fn end_of(file: &FileMetaData, edits: &[Edit]) -> u64 {
    let end = |edit: &Edit| {
        let begin = u64::from(edit.block.0) * file.block_size.bytes();
        begin + u64::from(edit.offset_bytes) + edit.data.len() as u64
    };
    edits.iter().map(end).max().unwrap_or(0)
}

/// Writes every edit whose block is not written yet, or was changed by somebody else since.
async fn write_all(
    source: &Source,
    target: &Target,
    edits: &[Edit],
    written: &mut BTreeMap<BlockIndex, BlockWritten>,
) -> Result<(), Error> {
    let block_bytes = source.view().open.file.block_size.bytes();
    let at_once = usize::try_from(WINDOW_BYTES / block_bytes).unwrap_or(1);
    let done = &*written;
    let writes = edits.iter().cloned().map(|edit| async move {
        let kept = done.get(&edit.block).copied();
        write_one(source, target, &edit, kept).await
    });
    let all: Vec<BlockWritten> = stream::iter(writes)
        .buffer_unordered(at_once.max(PARTS_IN_FLIGHT_MIN))
        .try_collect()
        .await?;
    written.extend(all.into_iter().map(|one| (one.block, one)));
    Ok(())
}

async fn write_one(
    source: &Source,
    target: &Target,
    edit: &Edit,
    kept: Option<BlockWritten>,
) -> Result<BlockWritten, Error> {
    let (previous, data) = loop {
        let deadline = target.patience.deadline();
        let (view, entry) = source.entry(edit.block, deadline).await?;
        if let Some(kept) = kept.filter(|kept| kept.previous == entry.version) {
            return Ok(kept);
        }
        if !edit.keeps_rest {
            break (entry.version, Payload::from(edit.data.clone()));
        }
        let part = Part {
            block: edit.block,
            offset_bytes: 0,
            length_bytes: entry.length_bytes,
        };
        let file = view.open.file.descriptor;
        let wanted = Wanted {
            file,
            grant: target.grant(),
            entry,
            part,
        };
        match source.client.fetch(&wanted, &target.patience).await {
            Ok(old) => {
                break (
                    entry.version,
                    laid_over(old, edit.offset_bytes, edit.data.clone()),
                );
            }
            Err(FetchFault::Failed(error)) => return Err(error),
            Err(FetchFault::NoCopy(last)) => {
                let path = source.path.clone();
                return Err(Error::NoCopy {
                    path,
                    block: edit.block,
                    last,
                });
            }
            Err(FetchFault::NotGranted) => target.renew(&source.client, deadline).await?,
            Err(FetchFault::Stale) => stale(source, edit.block, entry.version, deadline).await?,
        }
    };
    let choice = VersionChoice::after(previous);
    let entry = source
        .client
        .store(target, edit.block, choice, data)
        .await?;
    target.patience.progressed();
    Ok(BlockWritten {
        block: edit.block,
        previous,
        entry,
    })
}

/// No copy has that version: it was replaced meanwhile, or it is lost.
async fn stale(
    source: &Source,
    block: BlockIndex,
    seen: BlockVersion,
    deadline: Deadline,
) -> Result<(), Error> {
    let view: Arc<_> = source.view();
    source.refresh(&view, deadline).await?;
    let (_, entry) = source.entry(block, deadline).await?;
    if entry.version == seen {
        let path = source.path.clone();
        return Err(Error::NoCopy {
            path,
            block,
            last: CopyCause::Missing,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sdfs_types::BlockSize;

    #[test]
    fn only_partial_blocks_keep_their_rest() {
        let size = BlockSize::from_bytes(65_536).expect("a block size");
        let data = Bytes::from(vec![7; 65_537]);
        let edits = edits_of(Parts::of(65_535, 65_538, size), data, 65_536);
        let seen: Vec<_> = edits
            .iter()
            .map(|edit| {
                (
                    edit.block.0,
                    edit.offset_bytes,
                    edit.data.len(),
                    edit.keeps_rest,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [(0, 65_535, 1, true), (1, 0, 65_536, false), (2, 0, 0, true)]
        );
    }

    proptest! {
        #[test]
        fn laying_over_is_copying_over(
            old in prop::collection::vec(any::<u8>(), 0..200),
            offset in 0u32..300,
            data in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let begin = offset as usize;
            let mut expected = old.clone();
            expected.resize(old.len().max(begin + data.len()), 0);
            expected[begin..begin + data.len()].copy_from_slice(&data);
            let found = laid_over(Payload::from(old), offset, data.into()).to_bytes();
            prop_assert_eq!(found, expected);
        }
    }
}
