//! Listing directories, and the present sizes of the files in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::{DirectoryEntry, DirectoryPage, Freshness, ListDirectory};
use sdfs_types::calls::negotiation::{MainAnswer, MainAsk};
use sdfs_types::limits::LIST_ENTRIES_MAX;
use sdfs_types::{Access, FileDescriptor, FileMetaMetaData, MetaGroup, Refusal, UserName};

use crate::core::{Core, no_group};
use crate::read::{at_member, look};
use crate::voter::unreadable;

/// Answers `ListDirectory`: one page, as of one moment, in the order of the names' bytes.
pub(crate) async fn list(
    core: Arc<Core>,
    call: ListDirectory,
    user: UserName,
    deadline: Deadline,
) -> Result<DirectoryPage, Refusal> {
    let core = &core;
    let seen = look(core, &call.path, call.freshness, deadline).await?;
    core.root.users().check(&user, Access::Read, &call.path)?;
    let directory = seen.walk.directory(&call.path)?.descriptor;
    let limit = call.limit.clamp(1, LIST_ENTRIES_MAX) as usize;
    let found = core
        .root
        .list(directory, call.after.as_ref(), limit + 1)
        .map_err(unreadable)?;
    let more = found.len() > limit;
    let mut entries: Vec<FileMetaMetaData> = found;
    entries.truncate(limit);
    let sizes = sizes(core, &entries, call.freshness, deadline).await?;
    let entries = entries
        .into_iter()
        .map(|entry| DirectoryEntry {
            size_bytes: sizes.of(&entry),
            name: entry.name,
            descriptor: entry.descriptor,
            kind: entry.kind,
            created_ms: entry.created_ms,
        })
        .collect();
    Ok(DirectoryPage { entries, more })
}

/// Present sizes, where they are known.
pub(crate) struct Sizes(BTreeMap<FileDescriptor, u64>);

impl Sizes {
    /// A file nobody has written to has its declared size.
    pub(crate) fn of(&self, entry: &FileMetaMetaData) -> u64 {
        let known = self.0.get(&entry.descriptor);
        known.copied().unwrap_or(entry.size_bytes)
    }
}

/// Asks the groups of files for their sizes.
pub(crate) async fn sizes(
    core: &Arc<Core>,
    entries: &[FileMetaMetaData],
    freshness: Freshness,
    deadline: Deadline,
) -> Result<Sizes, Refusal> {
    let mut by_group: BTreeMap<MetaGroup, Vec<FileDescriptor>> = BTreeMap::new();
    for entry in entries {
        if let Some(locate) = &entry.locate {
            by_group
                .entry(locate.group)
                .or_default()
                .push(entry.descriptor);
        }
    }
    let of_groups = by_group.into_iter().map(|(group, descriptors)| async move {
        if !core.metas.contains_key(&group) {
            let ask = MainAsk::Sizes {
                descriptors: descriptors.clone(),
            };
            return match at_member(core, group, ask, deadline).await? {
                MainAnswer::Sizes { sizes_bytes } => Ok((descriptors, sizes_bytes)),
                _ => Err(Refusal::Busy {
                    why: "a mserver answered something else".to_owned(),
                }),
            };
        }
        if freshness == Freshness::Linearizable {
            core.meta_barrier(group, deadline).await?;
        }
        let sizes = sizes_here(core, group, &descriptors)?;
        Ok((descriptors, sizes))
    });
    let mut all = BTreeMap::new();
    for (descriptors, sizes) in futures::future::try_join_all(of_groups).await? {
        let known = descriptors.into_iter().zip(sizes);
        all.extend(known.filter_map(|(descriptor, size)| Some((descriptor, size?))));
    }
    Ok(Sizes(all))
}

/// The sizes this member of the group knows.
pub(crate) fn sizes_here(
    core: &Core,
    group: MetaGroup,
    descriptors: &[FileDescriptor],
) -> Result<Vec<Option<u64>>, Refusal> {
    let Some(view) = core.metas.get(&group) else {
        return Err(no_group(group));
    };
    let size = |descriptor: &FileDescriptor| view.size_bytes(*descriptor).map_err(unreadable);
    descriptors.iter().map(size).collect()
}
