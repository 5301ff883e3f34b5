//! Looking behind the names: pages of records and copies to be compared. Nothing is changed by it;
//! what is found to be nobody's is taken away in `leftovers`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::try_join_all;

use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::Call;
use sdfs_types::calls::inspect::{Inspect, InspectAnswer, InspectAsk, RecordListed, RecordPage};
use sdfs_types::calls::negotiation::{MainAnswer, MainAsk};
use sdfs_types::{Access, FileDescriptor, FilePath, MetaGroup, Refusal, ServerId, UserName};

use crate::core::{AskFailed, Core, no_group, unknown};
use crate::leftovers;
use crate::limits::{INSPECT_BLOCKS_MAX, INSPECT_FILES_MAX};
use crate::names::other_answer;
use crate::read::at_member;
use crate::root::Walk;
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
            let freed = leftovers::free(&core, volume, blocks, deadline).await?;
            tracing::info!(%user, %volume, freed, "blocks that are no file's are freed");
            Ok(InspectAnswer::Done(freed))
        }
        InspectAsk::RemoveRecords { group, files } => {
            let removed = leftovers::remove_records(&core, group, files, deadline).await?;
            tracing::info!(%user, group = group.0, removed, "records without a name are removed");
            Ok(InspectAnswer::Done(removed))
        }
        InspectAsk::Entry { path } => {
            let found = match core.root.walk(&path).map_err(unreadable)? {
                Walk::Found { entry, .. } => Some((*entry).clone()),
                Walk::Missing { .. } | Walk::Blocked { .. } => None,
            };
            Ok(InspectAnswer::Entry(found))
        }
    }
}

pub(crate) async fn records(
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
pub(crate) async fn named(
    core: &Arc<Core>,
    files: Vec<FileDescriptor>,
) -> Result<Vec<bool>, Refusal> {
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
pub(crate) async fn recorded(
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

pub(crate) async fn asked<C: Call>(
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
