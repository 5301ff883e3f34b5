//! Quotas: how many files, and how many declared bytes, may lie below a directory. Counted up the
//! directories above a file that have one. What a file grows by commits alone is not declared,
//! hence not counted.

use std::sync::Arc;

use sdfs_store::KeyRange;
use sdfs_types::calls::names::Quota;
use sdfs_types::wire;
use sdfs_types::{EntryKind, FileDescriptor, FileMetaMetaData, FilePath, Refusal};

use super::command::RootAnswer;
use super::create::signed;
use super::keys;
use super::machine::Applying;
use super::names::{prefix, walk};
use crate::fault::{Applied, unreadable};
use crate::limits::QUOTA_COUNT_MAX;

/// What lies below a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Refuses what would go beyond a quota of a directory in `above`, which are those on the way to
/// `path`, the root first.
pub(crate) fn check(
    applying: &Applying<'_>,
    path: &FilePath,
    above: &[FileDescriptor],
    files: i64,
    bytes: i64,
) -> Applied<()> {
    if applying.view.quotas.is_empty() {
        return Ok(());
    }
    for (names, directory) in above.iter().enumerate() {
        let Some(quota) = applying.view.quota(*directory) else {
            continue;
        };
        let amounts = [
            (files, quota.files_used, quota.files_max, "files"),
            (bytes, quota.bytes_used, quota.bytes_max, "bytes"),
        ];
        for (more, used, limit, unit) in amounts {
            if let Some(limit) = limit
                && more > 0
                && used.saturating_add_signed(more) > limit
            {
                let (path, unit) = (prefix(path, names), unit.to_owned());
                return Err(Refusal::Quota {
                    path,
                    used,
                    limit,
                    unit,
                }
                .into());
            }
        }
    }
    Ok(())
}

/// Counts what came or went below the directories in `above` that have a quota.
pub(crate) fn charge(
    applying: &mut Applying<'_>,
    above: &[FileDescriptor],
    files: i64,
    bytes: i64,
) {
    if applying.view.quotas.is_empty() {
        return;
    }
    for directory in above {
        if let Some(mut quota) = applying.view.quota(*directory) {
            quota.files_used = quota.files_used.saturating_add_signed(files);
            quota.bytes_used = quota.bytes_used.saturating_add_signed(bytes);
            store(applying, *directory, Some(quota));
        }
    }
}

/// The directories in `above` that have a quota.
pub(crate) fn holders(applying: &Applying<'_>, above: &[FileDescriptor]) -> Vec<FileDescriptor> {
    if applying.view.quotas.is_empty() {
        return Vec::new();
    }
    let quotas = &applying.view.quotas;
    above
        .iter()
        .filter(|directory| quotas.contains_key(directory))
        .copied()
        .collect()
}

/// Forgets the quota of a directory that is gone.
pub(crate) fn forget(applying: &mut Applying<'_>, directory: FileDescriptor) {
    if applying.view.quotas.contains_key(&directory) {
        store(applying, directory, None);
    }
}

/// What an entry weighs in the quotas above it.
pub(crate) fn usage_of(
    applying: &Applying<'_>,
    path: &FilePath,
    entry: &FileMetaMetaData,
) -> Applied<Usage> {
    match entry.kind {
        EntryKind::File => Ok(Usage {
            files: 1,
            bytes: entry.size_bytes,
        }),
        EntryKind::Directory => usage_below(applying, path, entry.descriptor),
    }
}

fn usage_below(
    applying: &Applying<'_>,
    path: &FilePath,
    directory: FileDescriptor,
) -> Applied<Usage> {
    let mut usage = Usage::default();
    let mut left = QUOTA_COUNT_MAX;
    let mut open = vec![directory];
    while let Some(directory) = open.pop() {
        if let Some(quota) = applying.view.quota(directory) {
            usage.files += quota.files_used;
            usage.bytes += quota.bytes_used;
            continue;
        }
        let range = KeyRange::prefix(&keys::of_descriptor(keys::ENTRY, directory));
        let pairs = applying.batch.scan(&range, left + 1)?;
        left = left
            .checked_sub(pairs.len())
            .ok_or_else(|| Refusal::OutOfRange {
                what: format!("the number of entries below {path}"),
                value: format!("more than {QUOTA_COUNT_MAX}"),
                allowed: format!("at most {QUOTA_COUNT_MAX} where a quota has to be counted"),
            })?;
        for (_, value) in pairs {
            let entry: FileMetaMetaData = wire::decode(&value).map_err(unreadable)?;
            match entry.kind {
                EntryKind::Directory => open.push(entry.descriptor),
                EntryKind::File => {
                    usage.files += 1;
                    usage.bytes += entry.size_bytes;
                }
            }
        }
    }
    Ok(usage)
}

/// Sets or lifts the quota of a directory.
pub(crate) fn set(
    applying: &mut Applying<'_>,
    path: &FilePath,
    files_max: Option<u64>,
    bytes_max: Option<u64>,
) -> Applied<RootAnswer> {
    let directory = walk(applying, path)?.directory(path)?.descriptor;
    let usage = usage_below(applying, path, directory)?;
    let quota = Quota {
        files_max,
        bytes_max,
        files_used: usage.files,
        bytes_used: usage.bytes,
    };
    let is_lifted = files_max.is_none() && bytes_max.is_none();
    store(applying, directory, (!is_lifted).then_some(quota));
    Ok(RootAnswer::Quota(quota))
}

/// Changes the declared size of a file.
pub(crate) fn redeclare(
    applying: &mut Applying<'_>,
    path: &FilePath,
    descriptor: FileDescriptor,
    size_bytes: u64,
) -> Applied<RootAnswer> {
    let (above, entry) = walk(applying, path)?.found(path)?;
    if entry.descriptor != descriptor || entry.kind != EntryKind::File {
        return Err(Refusal::Gone { descriptor }.into());
    }
    let more = signed(size_bytes) - signed(entry.size_bytes);
    check(applying, path, &above, 0, more)?;
    charge(applying, &above, 0, more);
    let entry = FileMetaMetaData {
        size_bytes,
        ..(*entry).clone()
    };
    let name = Arc::clone(&entry.name);
    applying.set_entry(above[above.len() - 1], &name, Some(Arc::new(entry.clone())));
    Ok(RootAnswer::Name(entry))
}

fn store(applying: &mut Applying<'_>, directory: FileDescriptor, quota: Option<Quota>) {
    let key = keys::of_descriptor(keys::QUOTA, directory);
    match quota {
        Some(quota) => {
            applying.batch.put(key, wire::encode(&quota));
            applying.view.quotas.insert(directory, quota);
        }
        None => {
            applying.batch.delete(key);
            applying.view.quotas.remove(&directory);
        }
    }
}
