//! Reading: files, block entries, names, the volume map.

use std::sync::Arc;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::{
    BlocksGot, FileStat, Freshness, GetBlocks, GetFile, GetVolumeMap, Stat,
};
use sdfs_types::calls::negotiation::{AtMain, MainAnswer, MainAsk, MetaDataWanted};
use sdfs_types::limits::BLOCK_PAGE_ENTRIES_MAX;
use sdfs_types::{
    Access, Attributes, BlockEntry, BlockPage, EntryKind, FileDescriptor, FileMetaData,
    FileMetaMetaData, FilePath, GrantRights, MetaGroup, OpenFile, Refusal, UserName, VolumeMap,
    clock,
};

use crate::core::{AskFailed, Core, no_group, unknown};
use crate::create::grant;
use crate::meta_data::{self, by_likelihood, volumes_named};
use crate::root::Walk;
use crate::voter::unreadable;

/// Block entries that come with a file at once: a file of 1 GiB at 4 MiB a block in one answer.
const FIRST_BLOCKS: u32 = 256;

/// What a path leads to, and the meta group whose state here is as fresh.
pub(crate) struct Seen {
    pub(crate) walk: Walk,
    fresh: Option<MetaGroup>,
}

/// Follows a path. The meta group the name is likely in is asked together with the root group, so
/// that the file's record can be read right after.
pub(crate) async fn look(
    core: &Core,
    path: &FilePath,
    freshness: Freshness,
    deadline: Deadline,
) -> Result<Seen, Refusal> {
    let mut fresh = None;
    if freshness == Freshness::Linearizable {
        let guess = match core.root.walk(path).map_err(unreadable)? {
            Walk::Found { entry, .. } => group_of(&entry).map(|group| (group, entry.descriptor)),
            _ => None,
        };
        match guess.filter(|(group, _)| core.metas.contains_key(group)) {
            Some((group, descriptor)) => {
                let both = (
                    core.root_barrier(deadline),
                    core.meta_barrier(group, deadline),
                );
                let (root, meta) = futures::join!(both.0, both.1);
                root?;
                fresh = meta.is_ok().then_some((group, descriptor));
            }
            None => core.root_barrier(deadline).await?,
        }
    }
    let walk = core.root.walk(path).map_err(unreadable)?;
    // Of a file that got the name since then the group's state here may be too old.
    let is_it = |guessed| matches!(&walk, Walk::Found { entry, .. } if entry.descriptor == guessed);
    let fresh = fresh.filter(|(_, guessed)| is_it(*guessed));
    Ok(Seen {
        fresh: fresh.map(|(group, _)| group),
        walk,
    })
}

fn group_of(entry: &FileMetaMetaData) -> Option<MetaGroup> {
    entry.locate.as_ref().map(|locate| locate.group)
}

/// Answers `GetFile`.
pub(crate) async fn get_file(
    core: Arc<Core>,
    call: GetFile,
    user: UserName,
    deadline: Deadline,
) -> Result<OpenFile, Refusal> {
    let core = &core;
    let seen = look(core, &call.path, call.freshness, deadline).await?;
    let (access, rights) = match call.write {
        true => (Access::Write, GrantRights::Write),
        false => (Access::Read, GrantRights::Read),
    };
    core.root.users().check(&user, access, &call.path)?;
    let entry = seen.walk.file(&call.path)?;
    let wanted = Wanted {
        freshness: call.freshness,
        fresh: seen.fresh,
        first: 0,
        count: FIRST_BLOCKS,
    };
    let (mut file, blocks) = record(core, &entry, &wanted, deadline).await?;
    if call.write && file.is_shared() {
        let descriptor = file.descriptor;
        return Err(Refusal::Shared { descriptor });
    }
    // An empty file has no plan, and its first block is to stay in its group.
    if file.plan.is_empty()
        && let Some(within) = core.group_of(&call.path)
        && let Ok(planned) = core.acceptor.plan(None, file.block_size, Some(within))
    {
        file.plan = planned.iter().map(|volume| volume.id).collect();
    }
    Ok(opened(core, (*entry).clone(), (file, blocks), rights))
}

/// A file whose name is known, as a client gets it.
pub(crate) async fn open(
    core: &Arc<Core>,
    name: FileMetaMetaData,
    rights: GrantRights,
    deadline: Deadline,
) -> Result<OpenFile, Refusal> {
    let freshness = Freshness::Linearizable;
    let wanted = Wanted {
        freshness,
        fresh: None,
        first: 0,
        count: FIRST_BLOCKS,
    };
    let record = record(core, &name, &wanted, deadline).await?;
    Ok(opened(core, name, record, rights))
}

fn opened(
    core: &Core,
    name: FileMetaMetaData,
    (file, blocks): (FileMetaData, BlockPage),
    rights: GrantRights,
) -> OpenFile {
    let named = file.plan.iter().copied().chain(volumes_in(&blocks));
    let volumes = volumes_named(core, named);
    let grant = grant(core, name.descriptor, rights);
    OpenFile {
        name,
        file,
        blocks,
        volumes,
        grant,
    }
}

fn volumes_in(page: &BlockPage) -> impl Iterator<Item = sdfs_types::VolumeId> {
    page.entries
        .iter()
        .filter(|entry| !entry.is_hole())
        .map(|entry| entry.volume)
}

/// Which part of a file's record is wanted, and how fresh.
pub(crate) struct Wanted {
    freshness: Freshness,
    /// The meta group whose state here is fresh already.
    fresh: Option<MetaGroup>,
    first: u32,
    count: u32,
}

/// The record of a named file. When nobody has made it yet, because a coordinator died on the
/// way, it is made now.
async fn record(
    core: &Arc<Core>,
    name: &FileMetaMetaData,
    wanted: &Wanted,
    deadline: Deadline,
) -> Result<(FileMetaData, BlockPage), Refusal> {
    let Some(group) = group_of(name) else {
        return Err(Refusal::Malformed {
            why: "a directory has no file-meta-data".to_owned(),
        });
    };
    if let Some(found) = find(core, group, name.descriptor, wanted, deadline).await? {
        return Ok(found);
    }
    if wanted.freshness == Freshness::Local {
        let why = "this mserver does not have the file's meta-data yet".to_owned();
        return Err(Refusal::Busy { why });
    }
    make(core, name, deadline).await?;
    let again = Wanted {
        fresh: None,
        ..*wanted
    };
    let found = find(core, group, name.descriptor, &again, deadline).await?;
    found.ok_or(Refusal::Gone {
        descriptor: name.descriptor,
    })
}

/// Makes the record of a named file that has none.
pub(crate) async fn make(
    core: &Arc<Core>,
    name: &FileMetaMetaData,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let attributes = Attributes::new();
    let wanted = MetaDataWanted {
        name: name.clone(),
        attributes,
        plan: Vec::new(),
    };
    meta_data::at_main(core, wanted, deadline).await.map(|_| ())
}

/// The record of a named file as of now.
pub(crate) async fn meta_data_of(
    core: &Arc<Core>,
    name: &FileMetaMetaData,
    deadline: Deadline,
) -> Result<FileMetaData, Refusal> {
    let wanted = Wanted {
        freshness: Freshness::Linearizable,
        fresh: None,
        first: 0,
        count: 0,
    };
    record(core, name, &wanted, deadline)
        .await
        .map(|(file, _)| file)
}

/// The record of a named file as of now, and all of its block entries.
pub(crate) async fn whole_record(
    core: &Arc<Core>,
    name: &FileMetaMetaData,
    deadline: Deadline,
) -> Result<(FileMetaData, Vec<BlockEntry>), Refusal> {
    let mut wanted = Wanted {
        freshness: Freshness::Linearizable,
        fresh: None,
        first: 0,
        count: BLOCK_PAGE_ENTRIES_MAX,
    };
    let (file, page) = record(core, name, &wanted, deadline).await?;
    let mut entries = page.entries;
    while entries.len() == (wanted.first + wanted.count) as usize {
        wanted.first += wanted.count;
        let (later, page) = record(core, name, &wanted, deadline).await?;
        if later.revision != file.revision {
            let revision = later.revision;
            return Err(Refusal::Changed { revision });
        }
        entries.extend(page.entries);
    }
    Ok((file, entries))
}

/// A record and a run of its block entries, read here or at a member of its group.
async fn find(
    core: &Core,
    group: MetaGroup,
    descriptor: FileDescriptor,
    wanted: &Wanted,
    deadline: Deadline,
) -> Result<Option<(FileMetaData, BlockPage)>, Refusal> {
    if core.metas.contains_key(&group) {
        let is_fresh = wanted.freshness == Freshness::Local || wanted.fresh == Some(group);
        if !is_fresh {
            core.meta_barrier(group, deadline).await?;
        }
        return find_here(core, group, descriptor, (wanted.first, wanted.count));
    }
    let ask = MainAsk::Get {
        name: None,
        descriptor,
        first: wanted.first,
        count: wanted.count,
        linearizable: wanted.freshness == Freshness::Linearizable,
    };
    match at_member(core, group, ask, deadline).await {
        Ok(MainAnswer::File { file, page }) => Ok(Some((file, page))),
        Ok(_) => Err(Refusal::Busy {
            why: "a mserver answered something else".to_owned(),
        }),
        Err(Refusal::Gone { .. }) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// A record and a run of its block entries, as this member has them.
pub(crate) fn find_here(
    core: &Core,
    group: MetaGroup,
    descriptor: FileDescriptor,
    (first, count): (u32, u32),
) -> Result<Option<(FileMetaData, BlockPage)>, Refusal> {
    let Some(view) = core.metas.get(&group) else {
        return Err(no_group(group));
    };
    let Some(record) = view.record(descriptor).map_err(unreadable)? else {
        return Ok(None);
    };
    let count = count.min(BLOCK_PAGE_ENTRIES_MAX);
    let page = view.blocks(&record, first, count).map_err(unreadable)?;
    Ok(Some((record.file.clone(), page)))
}

/// Asks the members of a group one after another.
pub(crate) async fn at_member(
    core: &Core,
    group: MetaGroup,
    ask: MainAsk,
    deadline: Deadline,
) -> Result<MainAnswer, Refusal> {
    let call = AtMain { group, ask };
    let mut last = Refusal::Busy {
        why: format!("no member of meta group {} is up", group.0),
    };
    for member in by_likelihood(core, group) {
        match core.ask(member, &call, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(AskFailed::Refused(Refusal::Busy { why })) => last = Refusal::Busy { why },
            Err(AskFailed::Refused(refusal)) => return Err(refusal),
            Err(fault) if fault.is_maybe_done() => last = unknown(&fault.to_string()),
            Err(fault) => {
                last = Refusal::Busy {
                    why: fault.to_string(),
                }
            }
        }
    }
    Err(last)
}

/// Answers `GetBlocks`.
pub(crate) async fn get_blocks(
    core: &Arc<Core>,
    call: GetBlocks,
    deadline: Deadline,
) -> Result<BlocksGot, Refusal> {
    let descriptor = call.descriptor;
    if !core
        .grants
        .allows(&call.grant, descriptor, GrantRights::Read, clock::now_ms())
    {
        return Err(Refusal::NotGranted);
    }
    let wanted = Wanted {
        freshness: call.freshness,
        fresh: None,
        first: call.first,
        count: call.count,
    };
    match find(core, call.group, descriptor, &wanted, deadline).await? {
        Some((file, page)) => {
            let volumes = volumes_named(core, file.plan.iter().copied().chain(volumes_in(&page)));
            Ok(BlocksGot {
                file,
                page,
                volumes,
            })
        }
        None => Err(Refusal::Gone { descriptor }),
    }
}

/// Answers `Stat`.
pub(crate) async fn stat(
    core: Arc<Core>,
    call: Stat,
    user: UserName,
    deadline: Deadline,
) -> Result<FileStat, Refusal> {
    let core = &core;
    let seen = look(core, &call.path, call.freshness, deadline).await?;
    core.root.users().check(&user, Access::Read, &call.path)?;
    let (_, entry) = seen.walk.found(&call.path)?;
    if entry.kind == EntryKind::Directory {
        let quota = core.root.quota(entry.descriptor);
        return Ok(FileStat {
            name: (*entry).clone(),
            file: None,
            quota,
        });
    }
    let wanted = Wanted {
        freshness: call.freshness,
        fresh: seen.fresh,
        first: 0,
        count: 0,
    };
    let (file, _) = record(core, &entry, &wanted, deadline).await?;
    Ok(FileStat {
        name: (*entry).clone(),
        file: Some(file),
        quota: None,
    })
}

/// Answers `GetVolumeMap`.
pub(crate) fn volume_map(core: &Core, call: GetVolumeMap) -> Option<VolumeMap> {
    let map = core.root.volumes();
    (map.version != call.known_version).then(|| (*map).clone())
}
