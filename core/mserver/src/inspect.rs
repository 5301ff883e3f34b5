//! Looking behind the names: pages of records and copies to be compared, and taking away what is
//! nobody's. Whatever is taken away is looked at once more here, where no change can come between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::try_join_all;

use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::FreeBlocks;
use sdfs_types::calls::inspect::{Inspect, InspectAnswer, InspectAsk, RecordListed, RecordPage};
use sdfs_types::calls::negotiation::{MainAnswer, MainAsk};
use sdfs_types::{
    Access, BlockDescriptor, FileDescriptor, FilePath, MetaGroup, Refusal, RequestId, ServerId,
    UserName, VolumeId, clock,
};

use crate::core::{AskFailed, Core, no_group, unknown};
use crate::life::FileLife;
use crate::limits::{INSPECT_BLOCKS_MAX, INSPECT_FILES_MAX, UNNAMED_AGE_MS_MIN};
use crate::meta::MetaCommand;
use crate::names::other_answer;
use crate::read::at_member;
use crate::voter::unreadable;

/// Answers `Inspect`.
pub(crate) async fn answer(
    core: Arc<Core>,
    call: Inspect,
    user: UserName,
    deadline: Deadline,
) -> Result<InspectAnswer, Refusal> {
    core.root_barrier(deadline).await?;
    let users = core.root.users();
    users.check(&user, Access::Admin, &FilePath::root())?;
    match call.ask {
        InspectAsk::Records {
            group,
            after,
            limit,
        } => {
            let limit = limit.clamp(1, INSPECT_FILES_MAX);
            let page = records(&core, group, MainAsk::Records { after, limit }, deadline).await?;
            Ok(InspectAnswer::Records(page))
        }
        InspectAsk::Named { files } => Ok(InspectAnswer::Flags(named(&core, files).await?)),
        InspectAsk::Recorded { files } => Ok(InspectAnswer::Flags(
            are_recorded(&core, files, deadline).await?,
        )),
        InspectAsk::Copies { server, list } => {
            if !core.mesh.all(Role::Dserver).contains(&server) {
                return Err(Refusal::NotServed);
            }
            let page = asked(&core, server, &list, deadline).await?;
            Ok(InspectAnswer::Copies(page))
        }
        InspectAsk::FreeOrphans { volume, blocks } => {
            let freed = free_orphans(&core, volume, blocks, deadline).await?;
            tracing::info!(%user, %volume, freed, "blocks that are no file's are freed");
            Ok(InspectAnswer::Done(freed))
        }
        InspectAsk::RemoveRecords { group, files } => {
            let removed = remove_records(&core, group, files, deadline).await?;
            tracing::info!(%user, group = group.0, removed, "records without a name are removed");
            Ok(InspectAnswer::Done(removed))
        }
    }
}

async fn records(
    core: &Core,
    group: MetaGroup,
    ask: MainAsk,
    deadline: Deadline,
) -> Result<RecordPage, Refusal> {
    match at_member(core, group, ask, deadline).await? {
        MainAnswer::Records { page } => Ok(page),
        _ => Err(other_answer()),
    }
}

/// Answers `MainAsk::Records` and `MainAsk::RecordsOf` as a member of the group.
pub(crate) async fn records_here(
    core: &Core,
    group: MetaGroup,
    wanted: Wanted,
    deadline: Deadline,
) -> Result<RecordPage, Refusal> {
    core.meta_barrier(group, deadline).await?;
    let view = core.metas.get(&group).ok_or_else(|| no_group(group))?;
    let is_part = matches!(wanted, Wanted::After(..));
    let (files, more) = match wanted {
        Wanted::After(after, limit) => view.files_after(after, limit as usize),
        Wanted::These(files) => Ok((files, false)),
    }
    .map_err(unreadable)?;
    let mut page = RecordPage {
        files: Vec::with_capacity(files.len()),
        more,
    };
    let mut listed = 0;
    for file in files {
        let Some(record) = view.record(file).map_err(unreadable)? else {
            continue;
        };
        // An answer has a bound; a single file's blocks are well below it.
        listed += record.blocks;
        if listed > INSPECT_BLOCKS_MAX && !page.files.is_empty() {
            if is_part {
                page.more = true;
                break;
            }
            return Err(Refusal::OutOfRange {
                what: "the blocks of the files".to_owned(),
                value: listed.to_string(),
                allowed: format!("at most {INSPECT_BLOCKS_MAX} together"),
            });
        }
        let blocks = view.blocks(&record, 0, record.blocks).map_err(unreadable)?;
        let blocks = (0_u16..=u16::MAX).zip(blocks.entries);
        let written = blocks.filter(|(_, entry)| entry.version.is_written());
        page.files.push(RecordListed {
            file,
            request: record.request,
            created_ms: record.file.created_ms,
            blocks: written
                .map(|(index, entry)| (sdfs_types::BlockIndex(index), entry))
                .collect(),
        });
    }
    Ok(page)
}

/// Which records.
pub(crate) enum Wanted {
    /// Those after a file, so many.
    After(Option<FileDescriptor>, u32),
    /// Those of these files.
    These(Vec<FileDescriptor>),
}

/// Which files have a name, are in the trash, or are on a list of removals.
async fn named(core: &Arc<Core>, files: Vec<FileDescriptor>) -> Result<Vec<bool>, Refusal> {
    let core = Arc::clone(core);
    // All names are gone through: not on the thread everything else runs on.
    let looked = tokio::task::spawn_blocking(move || {
        let wanted: BTreeSet<FileDescriptor> = files.iter().copied().collect();
        let found = core.root.named_among(&wanted)?;
        Ok(files.iter().map(|file| found.contains(file)).collect())
    });
    let looked = looked
        .await
        .map_err(|_| unknown("this server is stopping"))?;
    looked.map_err(unreadable)
}

async fn are_recorded(
    core: &Core,
    descriptors: Vec<FileDescriptor>,
    deadline: Deadline,
) -> Result<Vec<bool>, Refusal> {
    let mut flags = vec![false; descriptors.len()];
    for (group, _) in core.layout.groups() {
        let ask = MainAsk::Sizes {
            descriptors: descriptors.clone(),
        };
        match at_member(core, group, ask, deadline).await? {
            MainAnswer::Sizes { sizes_bytes } => {
                let known = flags.iter_mut().zip(sizes_bytes);
                known.for_each(|(flag, size)| *flag |= size.is_some());
            }
            _ => return Err(other_answer()),
        }
    }
    Ok(flags)
}

/// The records of these files in whatever group, as of now.
async fn recorded(
    core: &Core,
    files: &[FileDescriptor],
    deadline: Deadline,
) -> Result<BTreeMap<FileDescriptor, Vec<RecordListed>>, Refusal> {
    let asks = core.layout.groups().map(|(group, _)| {
        let ask = MainAsk::RecordsOf {
            files: files.to_vec(),
        };
        records(core, group, ask, deadline)
    });
    let mut known = BTreeMap::<FileDescriptor, Vec<RecordListed>>::new();
    for page in try_join_all(asks).await? {
        for record in page.files {
            known.entry(record.file).or_default().push(record);
        }
    }
    Ok(known)
}

/// Frees those of the blocks that no record has or ever can have.
///
/// First every group notes that it must make no record of these files: a put under way then ends
/// refused. What has a record by now keeps it, and of its blocks only versions that newer ones
/// have replaced are freed.
async fn free_orphans(
    core: &Core,
    id: VolumeId,
    blocks: Vec<BlockDescriptor>,
    deadline: Deadline,
) -> Result<u64, Refusal> {
    let files: BTreeSet<FileDescriptor> = blocks.iter().map(|block| block.file).collect();
    if files.len() > INSPECT_FILES_MAX as usize {
        return Err(Refusal::OutOfRange {
            what: "the files of the blocks".to_owned(),
            value: files.len().to_string(),
            allowed: format!("at most {INSPECT_FILES_MAX}"),
        });
    }
    let files: Vec<FileDescriptor> = files.into_iter().collect();
    let lives = |file: &FileDescriptor| FileLife {
        descriptor: *file,
        // Nobody's request: a record that is there is another's, and stays.
        request: RequestId::default(),
    };
    let marks = core.layout.groups().map(|(group, _)| {
        let command = MetaCommand::Remove {
            lives: files.iter().map(lives).collect(),
            now_ms: clock::now_ms(),
        };
        core.propose_meta(group, command, deadline)
    });
    try_join_all(marks).await?;
    let known = recorded(core, &files, deadline).await?;
    let is_free = |block: &BlockDescriptor| {
        let records = known.get(&block.file).map_or(&[][..], Vec::as_slice);
        records.iter().all(|record| record.has_replaced(block, id))
    };
    let free: Vec<BlockDescriptor> = blocks.into_iter().filter(is_free).collect();
    let map = core.root.volumes();
    let Some(volume) = map.volumes.get(&id) else {
        return Err(Refusal::NoSuchVolume { volume: id });
    };
    let call = FreeBlocks {
        volume: id,
        blocks: free,
    };
    let told = volume
        .acknowledging()
        .map(|member| asked(core, member, &call, deadline));
    try_join_all(told).await?;
    Ok(call.blocks.len() as u64)
}

async fn asked<C: Call>(
    core: &Core,
    server: ServerId,
    call: &C,
    deadline: Deadline,
) -> Result<C::Reply, Refusal> {
    core.ask(server, call, deadline)
        .await
        .map_err(|failed| match failed {
            AskFailed::Refused(refusal) => refusal,
            fault => Refusal::Busy {
                why: format!("server {server}: {fault}"),
            },
        })
}

async fn remove_records(
    core: &Arc<Core>,
    group: MetaGroup,
    files: Vec<(FileDescriptor, RequestId)>,
    deadline: Deadline,
) -> Result<u64, Refusal> {
    if files.len() > INSPECT_FILES_MAX as usize {
        return Err(other_answer());
    }
    let wanted: Vec<FileDescriptor> = files.iter().map(|(file, _)| *file).collect();
    let ask = MainAsk::RecordsOf {
        files: wanted.clone(),
    };
    let page = records(core, group, ask, deadline).await?;
    let before_ms = clock::now_ms().saturating_sub(UNNAMED_AGE_MS_MIN);
    let old: BTreeSet<FileDescriptor> = page
        .files
        .iter()
        .filter(|record| record.created_ms < before_ms)
        .map(|record| record.file)
        .collect();
    core.root_barrier(deadline).await?;
    let named = named(core, wanted).await?;
    let unnamed = files
        .into_iter()
        .zip(named)
        .filter(|(_, is_named)| !is_named);
    let lives: Vec<FileLife> = unnamed
        .filter(|((file, _), _)| old.contains(file))
        .map(|((descriptor, request), _)| FileLife {
            descriptor,
            request,
        })
        .collect();
    let removed = lives.len() as u64;
    let now_ms = clock::now_ms();
    core.propose_meta(group, MetaCommand::Remove { lives, now_ms }, deadline)
        .await?;
    Ok(removed)
}
