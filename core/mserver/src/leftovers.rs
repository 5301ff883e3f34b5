//! Taking away what is nobody's: blocks no record has, records no name has. Whoever found them
//! looked while things went on, so everything is looked at once more here, in an order in which no
//! change can come between: first the root group commits that the files never get a name, then it
//! is looked whether they had one, and only then anything is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::try_join_all;

use sdfs_server_group::Deadline;
use sdfs_types::calls::blocks::FreeOldBlocks;
use sdfs_types::calls::inspect::RecordListed;
use sdfs_types::calls::negotiation::{AreNeeded, MainAnswer, MainAsk};
use sdfs_types::{BlockDescriptor, FileDescriptor, MetaGroup, Refusal, RequestId, VolumeId, clock};

use crate::core::{Core, no_group};
use crate::inspect::{asked, named, recorded, records};
use crate::life::FileLife;
use crate::limits::{FREE_ORPHANS_MAX, INSPECT_FILES_MAX, ORPHAN_AGE_S_MIN, UNNAMED_AGE_MS_MIN};
use crate::meta::{MetaCommand, MetaView};
use crate::names::other_answer;
use crate::read::at_member;
use crate::root::{RootCommand, ViewFault};
use crate::voter::unreadable;

/// The records known of files.
type Records = BTreeMap<FileDescriptor, Vec<RecordListed>>;

/// Frees those of the blocks that no record has or ever can have; how many at the member that
/// freed most.
///
/// Files without a record are given up, and what has a name after that keeps its blocks: its
/// record is lost, and they are all that is left of it. Of a file with a record only versions that
/// newer ones have replaced are freed.
pub(crate) async fn free(
    core: &Arc<Core>,
    id: VolumeId,
    blocks: Vec<BlockDescriptor>,
    deadline: Deadline,
) -> Result<u64, Refusal> {
    bounded("the blocks", blocks.len(), FREE_ORPHANS_MAX)?;
    // No record is to have an anonymous block, and it is its owner's all the same.
    let named = blocks.into_iter();
    let named = named.filter(|block| !block.file.is_anonymous());
    let blocks: Vec<BlockDescriptor> = named.collect();
    let files: BTreeSet<FileDescriptor> = blocks.iter().map(|block| block.file).collect();
    let files: Vec<FileDescriptor> = files.into_iter().collect();
    let before = recorded(core, &files, deadline).await?;
    let without = files.iter().filter(|file| !before.contains_key(file));
    let nobodys = given_up(core, without.copied().collect(), deadline).await?;
    // A record that was made meanwhile counts.
    let now = recorded(core, &files, deadline).await?;
    let is_free = |block: &BlockDescriptor| is_nobodys(block, id, &now, &nobodys);
    let blocks: Vec<BlockDescriptor> = blocks.into_iter().filter(is_free).collect();
    let map = core.root.volumes();
    let Some(volume) = map.volumes.get(&id) else {
        return Err(Refusal::NoSuchVolume { volume: id });
    };
    let call = FreeOldBlocks {
        volume: id,
        blocks,
        old_s: ORPHAN_AGE_S_MIN,
    };
    let told = volume
        .acknowledging()
        .map(|member| asked(core, member, &call, deadline));
    let freed = try_join_all(told).await?;
    Ok(freed.into_iter().max().unwrap_or(0))
}

/// Answers `AreNeeded`. Nothing is given up for it: whoever asks knows that the blocks were never
/// acknowledged, or were freed, unless a member in sync has lost them.
pub(crate) async fn are_needed(
    core: &Core,
    call: &AreNeeded,
    deadline: Deadline,
) -> Result<Vec<bool>, Refusal> {
    bounded("the blocks", call.blocks.len(), AreNeeded::BLOCKS_MAX)?;
    let groups = core.layout.groups();
    let asks = groups.map(|(group, _)| {
        let ask = MainAsk::AreNeeded(call.clone());
        async move {
            match at_member(core, group, ask, deadline).await? {
                MainAnswer::Flags(flags) if flags.len() == call.blocks.len() => Ok(flags),
                _ => Err(other_answer()),
            }
        }
    });
    let mut needed = vec![false; call.blocks.len()];
    for flags in try_join_all(asks).await? {
        let both = needed.iter_mut().zip(flags);
        both.for_each(|(needed, flag)| *needed |= flag);
    }
    Ok(needed)
}

/// Answers `MainAsk::AreNeeded` as a member of the group.
pub(crate) async fn are_needed_here(
    core: &Core,
    group: MetaGroup,
    call: &AreNeeded,
    deadline: Deadline,
) -> Result<Vec<bool>, Refusal> {
    core.meta_barrier(group, deadline).await?;
    let view = core.metas.get(&group).ok_or_else(|| no_group(group))?;
    let flags = call.blocks.iter();
    flags
        .map(|block| may_be_needed(view, block, call.volume))
        .collect::<Result<_, _>>()
        .map_err(unreadable)
}

fn may_be_needed(
    view: &MetaView,
    block: &BlockDescriptor,
    volume: VolumeId,
) -> Result<bool, ViewFault> {
    let Some(record) = view.record(block.file)? else {
        return Ok(false);
    };
    let page = view.blocks(&record, block.block.0.into(), 1)?;
    let entry = page.entries.first();
    let written = entry.filter(|entry| entry.version.is_written());
    Ok(written.is_none_or(|entry| !entry.has_replaced(block.version, volume)))
}

/// Whether no file has the block, or can ever have it. Pure.
fn is_nobodys(
    block: &BlockDescriptor,
    volume: VolumeId,
    records: &Records,
    given_up: &BTreeSet<FileDescriptor>,
) -> bool {
    match records.get(&block.file) {
        Some(records) => records
            .iter()
            .all(|record| record.has_replaced(block, volume)),
        None => given_up.contains(&block.file),
    }
}

/// Removes those of the records that have no name and never get one; how many.
pub(crate) async fn remove_records(
    core: &Arc<Core>,
    group: MetaGroup,
    files: Vec<(FileDescriptor, RequestId)>,
    deadline: Deadline,
) -> Result<u64, Refusal> {
    bounded("the files", files.len(), INSPECT_FILES_MAX as usize)?;
    let ask = MainAsk::RecordsOf {
        files: files.iter().map(|(file, _)| *file).collect(),
    };
    let page = records(core, group, ask, deadline).await?;
    let before_ms = clock::now_ms().saturating_sub(UNNAMED_AGE_MS_MIN);
    let is_old = |record: &&RecordListed| record.created_ms < before_ms;
    let old: BTreeSet<FileDescriptor> = page
        .files
        .iter()
        .filter(is_old)
        .map(|record| record.file)
        .collect();
    let nobodys = given_up(core, old.into_iter().collect(), deadline).await?;
    let life = |(descriptor, request)| FileLife {
        descriptor,
        request,
    };
    let lives = files.into_iter().filter(|(file, _)| nobodys.contains(file));
    let lives: Vec<FileLife> = lives.map(life).collect();
    if lives.is_empty() {
        return Ok(0);
    }
    let removed = lives.len() as u64;
    let now_ms = clock::now_ms();
    core.propose_meta(group, MetaCommand::Discard { lives, now_ms }, deadline)
        .await?;
    Ok(removed)
}

/// Has the root group give files up, and tells which of them have no name, and so never get one.
async fn given_up(
    core: &Arc<Core>,
    files: Vec<FileDescriptor>,
    deadline: Deadline,
) -> Result<BTreeSet<FileDescriptor>, Refusal> {
    if files.is_empty() {
        return Ok(BTreeSet::new());
    }
    let command = RootCommand::GiveUp {
        files: files.clone(),
    };
    core.propose_root(command, deadline).await?;
    core.root_barrier(deadline).await?;
    let named = named(core, files.clone()).await?;
    let unnamed = files.into_iter().zip(named).filter(|(_, named)| !named);
    Ok(unnamed.map(|(file, _)| file).collect())
}

fn bounded(what: &str, count: usize, most: usize) -> Result<(), Refusal> {
    if count <= most {
        return Ok(());
    }
    Err(Refusal::OutOfRange {
        what: format!("{what} of one repair"),
        value: count.to_string(),
        allowed: format!("at most {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{BlockEntry, BlockIndex, BlockVersion, FileId, FileVersion};

    const VOLUME: VolumeId = VolumeId(1);
    const FILE: FileDescriptor = FileDescriptor {
        id: FileId(5),
        version: FileVersion(1),
    };

    fn block(version: u16) -> BlockDescriptor {
        BlockDescriptor {
            file: FILE,
            block: BlockIndex(0),
            version: BlockVersion(version),
        }
    }

    #[test]
    fn only_what_is_given_up_or_replaced_is_nobodys() {
        let entry = BlockEntry {
            version: BlockVersion(3),
            volume: VOLUME,
            length_bytes: 10,
            crc32c: 9,
        };
        let record = RecordListed {
            file: FILE,
            request: RequestId::default(),
            created_ms: 0,
            blocks: vec![(BlockIndex(0), entry)],
        };
        let cut = RecordListed {
            blocks: vec![(
                BlockIndex(0),
                BlockEntry {
                    length_bytes: 0,
                    ..entry
                },
            )],
            ..record.clone()
        };
        let cut = Records::from([(FILE, vec![cut])]);
        let recorded = Records::from([(FILE, vec![record])]);
        let (none, marked) = (BTreeSet::new(), BTreeSet::from([FILE]));
        let table = [
            // A name whose record is lost, or a record that went away in between.
            (block(1), &Records::new(), &none, false),
            (block(1), &Records::new(), &marked, true),
            // A record made before its file was given up.
            (block(3), &recorded, &marked, false),
            (block(2), &recorded, &none, true),
            (block(4), &recorded, &none, false),
            // Cut off.
            (block(3), &cut, &none, true),
        ];
        for (block, records, given_up, expected) in table {
            let is = is_nobodys(&block, VOLUME, records, given_up);
            assert_eq!(is, expected, "{block:?} {records:?} {given_up:?}");
        }
    }
}
