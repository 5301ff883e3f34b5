//! Taking names away. A directory that goes with all its entries loses its name at once; the
//! entries below it cannot be reached any more and are swept afterwards, some at a time. Files go
//! to the trash when the command says so.

use serde::{Deserialize, Serialize};

use sdfs_store::KeyRange;
use sdfs_types::wire;
use sdfs_types::{EntryKind, FileDescriptor, FileMetaMetaData, FilePath, Name, PathFault, Refusal};

use super::command::{RootAnswer, ToTrash};
use super::create::signed;
use super::machine::Applying;
use super::names::{Walk, walk};
use super::trash::{self, Life};
use super::{keys, quota, tombstones};
use crate::fault::{Applied, unreadable};

/// Takes a name away.
pub(crate) fn delete(
    applying: &mut Applying<'_>,
    path: &FilePath,
    recursive: bool,
    now_ms: u64,
) -> Applied<RootAnswer> {
    let (above, entry) = walk(applying, path)?.found(path)?;
    let Some(parent) = above.last().copied() else {
        return Err(PathFault::IsRoot.into());
    };
    match entry.kind {
        EntryKind::File => {
            quota::charge(applying, &above, -1, -signed(entry.size_bytes));
            take_away(applying, parent, &entry, now_ms)?;
            trash::give_up(applying, Some(path), parent, &entry, Life::GoesOn)?;
        }
        EntryKind::Directory => {
            let is_empty = is_empty(applying, entry.descriptor)?;
            if !is_empty && !recursive {
                return Err(Refusal::NotEmpty { path: path.clone() }.into());
            }
            quota::forget(applying, entry.descriptor);
            let holders = quota::holders(applying, &above);
            let kept = applying.to_trash.clone().map(|by| UnlinkedTrash {
                path: path.clone(),
                by,
            });
            unlink(applying, entry.descriptor, &holders, kept);
            take_away(applying, parent, &entry, now_ms)?;
        }
    }
    Ok(RootAnswer::Deleted {
        descriptor: entry.descriptor,
    })
}

/// Takes a decided name back, if it still is what was decided.
pub(crate) fn withdraw(
    applying: &mut Applying<'_>,
    path: &FilePath,
    descriptor: FileDescriptor,
    now_ms: u64,
) -> Applied<RootAnswer> {
    if let Walk::Found { above, entry } = walk(applying, path)?
        && entry.descriptor == descriptor
        && let Some(parent) = above.last().copied()
    {
        quota::charge(applying, &above, -1, -signed(entry.size_bytes));
        take_away(applying, parent, &entry, now_ms)?;
        trash::give_up(applying, None, parent, &entry, Life::GoesOn)?;
        return Ok(RootAnswer::Done);
    }
    // A file without any dservers is of no use in the trash either.
    trash::discard(applying, descriptor)?;
    Ok(RootAnswer::Done)
}

fn take_away(
    applying: &mut Applying<'_>,
    parent: FileDescriptor,
    entry: &FileMetaMetaData,
    now_ms: u64,
) -> Applied<()> {
    applying.set_entry(parent, &entry.name, None);
    if applying.is_followed(entry.descriptor)? {
        // The tombstone of a later life may be there still.
        return Ok(());
    }
    tombstones::leave(applying, parent, &entry.name, entry.descriptor, now_ms)
}

fn is_empty(applying: &Applying<'_>, directory: FileDescriptor) -> Applied<bool> {
    let range = KeyRange::prefix(&keys::of_descriptor(keys::ENTRY, directory));
    Ok(applying.batch.scan(&range, 1)?.is_empty())
}

/// A directory without a name, whose entries are being swept.
#[derive(Serialize, Deserialize)]
struct Unlinked {
    /// The quotas its files count in.
    holders: Vec<FileDescriptor>,
    /// The last name that was swept: the next step begins after it, because keys that were deleted
    /// cost a scan as much as those that are there.
    swept: Option<Name>,
}

/// How the files of a directory without a name get into the trash.
#[derive(Clone, Serialize, Deserialize)]
struct UnlinkedTrash {
    /// The name the directory had.
    path: FilePath,
    /// Who deleted it, when, and until when its files are kept.
    by: ToTrash,
}

/// Hands a directory without a name over to be swept; `holders` are the quotas its files count in.
fn unlink(
    applying: &mut Applying<'_>,
    directory: FileDescriptor,
    holders: &[FileDescriptor],
    kept: Option<UnlinkedTrash>,
) {
    if let Some(kept) = kept {
        let key = keys::of_descriptor(keys::UNLINKED_TRASH, directory);
        applying.batch.put(key, wire::encode(&kept));
    }
    let unlinked = Unlinked {
        holders: holders.to_vec(),
        swept: None,
    };
    let key = keys::of_descriptor(keys::UNLINKED, directory);
    applying.batch.put(key, wire::encode(&unlinked));
    applying.dirty.unlinked = true;
}

/// Removes some entries of directories that have no name any more.
pub(crate) fn sweep(applying: &mut Applying<'_>, entries_max: u32) -> Applied<RootAnswer> {
    let mut left = entries_max as usize;
    while left > 0 {
        let range = KeyRange::prefix(&[keys::UNLINKED]);
        let Some((key, value)) = applying.batch.scan(&range, 1)?.pop() else {
            return Ok(RootAnswer::Swept { more: false });
        };
        let Some(directory) = FileDescriptor::from_key(&key[1..]) else {
            applying.batch.delete(key);
            continue;
        };
        let mut unlinked: Unlinked = wire::decode(&value).map_err(unreadable)?;
        let swept = sweep_directory(applying, directory, &mut unlinked, left)?;
        if swept < left && tombstones::sweep(applying, directory, left)? {
            applying.batch.delete(key);
            let kept = keys::of_descriptor(keys::UNLINKED_TRASH, directory);
            applying.batch.delete(kept);
        } else {
            applying.batch.put(key, wire::encode(&unlinked));
        }
        left = left.saturating_sub(swept.max(1));
    }
    Ok(RootAnswer::Swept { more: true })
}

fn sweep_directory(
    applying: &mut Applying<'_>,
    directory: FileDescriptor,
    unlinked: &mut Unlinked,
    limit: usize,
) -> Applied<usize> {
    let mut range = KeyRange::prefix(&keys::of_descriptor(keys::ENTRY, directory));
    if let Some(name) = &unlinked.swept {
        range = range.after(&keys::of_name(keys::ENTRY, directory, name));
    }
    let kept = applying
        .batch
        .get(&keys::of_descriptor(keys::UNLINKED_TRASH, directory))?;
    let kept = kept.map(|value| wire::decode::<UnlinkedTrash>(&value));
    let kept = kept.transpose().map_err(unreadable)?;
    applying.to_trash = kept.as_ref().map(|kept| kept.by.clone());
    let pairs = applying.batch.scan(&range, limit)?;
    for (key, value) in &pairs {
        let entry: FileMetaMetaData = wire::decode(value).map_err(unreadable)?;
        // A path that had become too long could not be named any more: nor could it be in the
        // trash.
        let path = kept
            .as_ref()
            .and_then(|kept| kept.path.join(&entry.name).ok());
        match entry.kind {
            EntryKind::File => {
                quota::charge(applying, &unlinked.holders, -1, -signed(entry.size_bytes));
                trash::give_up(applying, path.as_ref(), directory, &entry, Life::Ends)?;
            }
            EntryKind::Directory => {
                quota::forget(applying, entry.descriptor);
                let by = applying.to_trash.clone();
                let kept = path.zip(by).map(|(path, by)| UnlinkedTrash { path, by });
                unlink(applying, entry.descriptor, &unlinked.holders, kept);
            }
        }
        // No path leads here any more, so nobody looks it up.
        applying.batch.delete(key.clone());
        unlinked.swept = Some(entry.name);
    }
    Ok(pairs.len())
}
