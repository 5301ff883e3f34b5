//! Giving a file or directory another name. A directory takes what is below it along without a
//! look at it: entries hang on its descriptor, not on its path.

use std::sync::Arc;

use sdfs_types::{EntryKind, FileDescriptor, FileMetaMetaData, FilePath, PathFault, Refusal};

use super::command::RootAnswer;
use super::create::signed;
use super::machine::Applying;
use super::names::{Walk, may_replace, prefix, walk};
use super::quota::{self, Usage};
use super::trash::{self, Life};
use crate::fault::Applied;

/// Moves a name. The former name leaves no tombstone: its id moves along, and a file that is
/// created there later gets a fresh one.
pub(crate) fn rename(
    applying: &mut Applying<'_>,
    from: &FilePath,
    to: &FilePath,
    replace: bool,
) -> Applied<RootAnswer> {
    let (from_above, entry) = walk(applying, from)?.found(from)?;
    let Some(from_parent) = from_above.last().copied() else {
        return Err(PathFault::IsRoot.into());
    };
    if from == to {
        return Ok(RootAnswer::Name((*entry).clone()));
    }
    if entry.kind == EntryKind::Directory && to.is_within(from) {
        return Err(Refusal::IntoItself { path: from.clone() }.into());
    }
    let (to_above, replaced) = target(walk(applying, to)?, to, entry.kind, replace)?;
    let Some((_, name)) = to.split_last() else {
        return Err(PathFault::IsRoot.into());
    };
    let to_parent = to_above[to_above.len() - 1];
    charge_move(
        applying,
        (from, &from_above),
        (to, &to_above),
        &entry,
        replaced.as_deref(),
    )?;
    applying.take_tombstone(to_parent, name)?;
    applying.set_entry(from_parent, &entry.name, None);
    let moved = FileMetaMetaData {
        name: name.into(),
        ..(*entry).clone()
    };
    applying.set_entry(to_parent, name, Some(Arc::new(moved.clone())));
    if let Some(replaced) = &replaced {
        trash::give_up(applying, Some(to), to_parent, replaced, Life::Ends)?;
    }
    Ok(RootAnswer::Name(moved))
}

type Target = (Vec<FileDescriptor>, Option<Arc<FileMetaMetaData>>);

/// Where the name goes and which file it replaces.
fn target(walked: Walk, to: &FilePath, kind: EntryKind, replace: bool) -> Applied<Target> {
    match walked {
        Walk::Blocked { path } => Err(Refusal::NotDirectory { path }.into()),
        Walk::Missing { above } if above.len() < to.names().count() => Err(Refusal::NotFound {
            path: prefix(to, above.len()),
        }
        .into()),
        Walk::Missing { above } => Ok((above, None)),
        Walk::Found { above, entry } => {
            may_replace(&entry, to, replace)?;
            if kind == EntryKind::Directory {
                return Err(Refusal::NotDirectory { path: to.clone() }.into());
            }
            Ok((above, Some(entry)))
        }
    }
}

/// Moves what the entry weighs from the quotas above its former name to those above its new one.
fn charge_move(
    applying: &mut Applying<'_>,
    (from, from_above): (&FilePath, &[FileDescriptor]),
    (to, to_above): (&FilePath, &[FileDescriptor]),
    entry: &FileMetaMetaData,
    replaced: Option<&FileMetaMetaData>,
) -> Applied<()> {
    let leaves = quota::holders(applying, from_above);
    let enters = quota::holders(applying, to_above);
    let usage = if leaves == enters {
        Usage::default()
    } else {
        quota::usage_of(applying, from, entry)?
    };
    let (files, bytes) = (signed(usage.files), signed(usage.bytes));
    let gone = replaced.map_or(0, |replaced| signed(replaced.size_bytes));
    let gone_files = i64::from(replaced.is_some());
    // Only what comes from outside a quota counts against it.
    let new_above: Vec<FileDescriptor> = to_above
        .iter()
        .map(|directory| {
            if leaves.contains(directory) {
                NOWHERE
            } else {
                *directory
            }
        })
        .collect();
    quota::check(applying, to, &new_above, files - gone_files, bytes - gone)?;
    quota::charge(applying, from_above, -files, -bytes);
    quota::charge(applying, to_above, files - gone_files, bytes - gone);
    Ok(())
}

/// A descriptor no directory has: stands for one whose quota does not change.
const NOWHERE: FileDescriptor = FileDescriptor {
    id: sdfs_types::FileId(0),
    version: sdfs_types::FileVersion(u32::MAX),
};
