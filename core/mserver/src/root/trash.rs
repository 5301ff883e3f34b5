//! The trash: files whose names were taken away or replaced, kept for a while with their
//! meta-data and blocks, so that they can get a name again.
//!
//! **Lives.** Of the lives of one file id only one may be followed by the next: the last one given
//! out. The name or the tombstone that holds it goes on with it when the name is created again. A
//! file in the trash mostly is an earlier life: its name went on without it. When such a file gets
//! a name again it is marked as *followed*, and nothing goes on from it any more: taken away, it
//! leaves no tombstone, and what is created there later goes on from the tombstone of that name
//! when there is one, or is fresh.
//!
//! **Quotas** do not count what is in the trash; what gets a name again must fit into them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use sdfs_store::KeyRange;
use sdfs_types::calls::trash::{TrashEmptied, TrashName, TrashRestored};
use sdfs_types::wire;
use sdfs_types::{
    Access, FileDescriptor, FileMetaMetaData, FilePath, PathFault, Refusal, RequestId, UserName,
};

use super::command::{RootAnswer, RootCommand, ToTrash};
use super::create::{self, signed};
use super::machine::Applying;
use super::{contents, keys, quota, tombstones};
use crate::fault::{Applied, unreadable};
use crate::limits::{TRASH_FILES_MAX, TRASH_LIVES_MAX};

/// A file in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trashed {
    /// The name it had.
    pub path: FilePath,
    /// What it stood for.
    pub entry: FileMetaMetaData,
    /// Who took the name away, when, and until when the file is kept.
    pub by: ToTrash,
    /// The directory it was in.
    pub(crate) parent: FileDescriptor,
    /// Whether the next life of the file's id may follow this one, as nothing else holds it.
    pub(crate) is_last: bool,
}

/// What is counted of the trash; one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashCounters {
    /// Files there are.
    pub files: u64,
    /// Their declared sizes together, bytes.
    pub bytes: u64,
    /// No file is due earlier: where looking for the next begins, as deleted keys cost a scan too.
    pub(crate) due_from_ms: u64,
}

/// What became of the life of a file whose name was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// A tombstone or the next life follows it.
    GoesOn,
    /// It is the last one given out, and nothing else holds it.
    Ends,
}

/// Applies a command of the trash.
pub(crate) fn apply(applying: &mut Applying<'_>, command: &RootCommand) -> Applied<RootAnswer> {
    match command {
        RootCommand::Restore {
            request,
            what,
            to,
            replace,
            by,
            now_ms,
        } => {
            let wanted = Restoring {
                request: *request,
                what,
                to: to.as_ref(),
                replace: *replace,
                by,
                now_ms: *now_ms,
            };
            restore(applying, &wanted)
        }
        RootCommand::EmptyTrash {
            path,
            after,
            before_ms,
            by,
            paths_max,
            ..
        } => {
            let wanted = Emptying {
                path,
                after: after.as_ref(),
                before_ms: *before_ms,
                by,
                paths_max: *paths_max,
            };
            empty(applying, &wanted)
        }
        RootCommand::ExpireTrash { now_ms, files_max } => expire(applying, *now_ms, *files_max),
        // Others are not handed here.
        _ => Ok(RootAnswer::Done),
    }
}

/// Gives a file up whose name was just taken away: to the trash when the command says so, else to
/// be removed.
pub(crate) fn give_up(
    applying: &mut Applying<'_>,
    path: Option<&FilePath>,
    parent: FileDescriptor,
    entry: &FileMetaMetaData,
    life: Life,
) -> Applied<()> {
    match (applying.to_trash.clone(), path) {
        (Some(mut by), Some(path)) => {
            let descriptor = entry.descriptor;
            let names = contents::names_of(applying, descriptor)?;
            if names > 1 {
                contents::let_go(applying, descriptor)?;
                // The only other name may be in the trash: this one takes its place there.
                let before = match names {
                    2 => take(applying, descriptor)?,
                    _ => None,
                };
                let Some(before) = before else {
                    return Ok(());
                };
                by.until_ms = by.until_ms.max(before.by.until_ms);
            }
            let trashed = Trashed {
                path: path.clone(),
                entry: entry.clone(),
                by,
                parent,
                is_last: life == Life::Ends && !applying.is_followed(entry.descriptor)?,
            };
            add(applying, &trashed)
        }
        _ => remove(applying, entry),
    }
}

/// Hands a file over to be removed, unless other names share its content.
pub(crate) fn remove(applying: &mut Applying<'_>, entry: &FileMetaMetaData) -> Applied<()> {
    if contents::let_go(applying, entry.descriptor)? {
        return Ok(());
    }
    match contents::forget(applying, entry.descriptor)? {
        Some(first) => applying.remove_meta_data(&first),
        None => applying.remove_meta_data(entry),
    }
    if applying.is_followed(entry.descriptor)? {
        // Stays in memory: nobody gets this descriptor again, and a reader that still sees the
        // name must see the mark.
        let key = keys::of_descriptor(keys::FOLLOWED, entry.descriptor);
        applying.batch.delete(key);
    }
    Ok(())
}

fn add(applying: &mut Applying<'_>, trashed: &Trashed) -> Applied<()> {
    let descriptor = trashed.entry.descriptor;
    let until_ms = trashed.by.until_ms;
    let key = keys::of_descriptor(keys::TRASH, descriptor);
    applying.batch.put(key, wire::encode(trashed));
    applying
        .batch
        .put(keys::of_due(until_ms, descriptor), Vec::new());
    let mut lives = lives_of(applying, &trashed.path)?;
    lives.push(descriptor);
    let oldest = (lives.len() > TRASH_LIVES_MAX).then(|| lives[0]);
    set_lives(applying, &trashed.path, &lives);
    let trash = &mut applying.trash;
    trash.files += 1;
    trash.bytes += trashed.entry.size_bytes;
    trash.due_from_ms = match trash.files {
        1 => until_ms,
        _ => trash.due_from_ms.min(until_ms),
    };
    if let Some(oldest) = oldest {
        discard(applying, oldest)?;
    }
    if applying.trash.files > TRASH_FILES_MAX {
        discard_due(applying, u64::MAX, 1)?;
    }
    Ok(())
}

/// The files of this path in the trash, the one that was deleted last at the end.
fn lives_of(applying: &Applying<'_>, path: &FilePath) -> Applied<Vec<FileDescriptor>> {
    let lives = applying.batch.get(&keys::of_trash_path(path))?;
    let lives = lives.map(|value| wire::decode(&value));
    Ok(lives.transpose().map_err(unreadable)?.unwrap_or_default())
}

fn set_lives(applying: &mut Applying<'_>, path: &FilePath, lives: &Vec<FileDescriptor>) {
    let key = keys::of_trash_path(path);
    match lives.is_empty() {
        true => applying.batch.delete(key),
        false => applying.batch.put(key, wire::encode(lives)),
    }
}

fn find(applying: &Applying<'_>, descriptor: FileDescriptor) -> Applied<Option<Trashed>> {
    let key = keys::of_descriptor(keys::TRASH, descriptor);
    let found = applying.batch.get(&key)?;
    let found = found.map(|value| wire::decode(&value));
    Ok(found.transpose().map_err(unreadable)?)
}

/// Takes a file out of the trash; what becomes of it is the caller's.
fn take(applying: &mut Applying<'_>, descriptor: FileDescriptor) -> Applied<Option<Trashed>> {
    let Some(trashed) = find(applying, descriptor)? else {
        return Ok(None);
    };
    let key = keys::of_descriptor(keys::TRASH, descriptor);
    applying.batch.delete(key);
    let due = keys::of_due(trashed.by.until_ms, descriptor);
    applying.batch.delete(due);
    let mut lives = lives_of(applying, &trashed.path)?;
    lives.retain(|life| *life != descriptor);
    set_lives(applying, &trashed.path, &lives);
    let trash = &mut applying.trash;
    trash.files = trash.files.saturating_sub(1);
    trash.bytes = trash.bytes.saturating_sub(trashed.entry.size_bytes);
    Ok(Some(trashed))
}

/// Takes a file out of the trash for good.
pub(crate) fn discard(applying: &mut Applying<'_>, descriptor: FileDescriptor) -> Applied<()> {
    if let Some(trashed) = take(applying, descriptor)? {
        remove(applying, &trashed.entry)?;
    }
    Ok(())
}

/// Takes files away for good whose time is over; the answer says whether there may be more.
fn expire(applying: &mut Applying<'_>, now_ms: u64, files_max: u32) -> Applied<RootAnswer> {
    let more = discard_due(applying, now_ms, files_max as usize)?;
    Ok(RootAnswer::Swept { more })
}

fn discard_due(applying: &mut Applying<'_>, now_ms: u64, limit: usize) -> Applied<bool> {
    let from = keys::of_due(applying.trash.due_from_ms, FileDescriptor::default());
    let end = [keys::TRASH_DUE + 1];
    let pairs = applying
        .batch
        .scan(&KeyRange::between(&from, &end), limit)?;
    for (key, _) in &pairs {
        let Some((until_ms, descriptor)) = keys::due_of(key) else {
            applying.batch.delete(key.clone());
            continue;
        };
        if until_ms > now_ms {
            return Ok(false);
        }
        applying.trash.due_from_ms = until_ms;
        discard(applying, descriptor)?;
    }
    Ok(pairs.len() == limit)
}

/// One step of emptying: at most so many paths at or below `path`, those the user may write.
struct Emptying<'a> {
    path: &'a FilePath,
    after: Option<&'a FilePath>,
    /// What was deleted later stays.
    before_ms: u64,
    by: &'a UserName,
    paths_max: u32,
}

fn empty(applying: &mut Applying<'_>, wanted: &Emptying<'_>) -> Applied<RootAnswer> {
    let limit = wanted.paths_max as usize;
    let mut emptied = TrashEmptied {
        files: 0,
        bytes: 0,
        next: None,
    };
    let mut left = limit;
    for range in keys::trash_ranges(wanted.path, wanted.after) {
        let pairs = applying.batch.scan(&range, left)?;
        left -= pairs.len();
        for (key, value) in &pairs {
            let Some(path) = keys::trash_path_of(key) else {
                continue;
            };
            let may = applying
                .view
                .users
                .check(wanted.by, Access::Write, &path)
                .is_ok();
            let lives: Vec<FileDescriptor> = wire::decode(value).map_err(unreadable)?;
            for life in lives.into_iter().filter(|_| may) {
                if let Some(trashed) = find(applying, life)?
                    && trashed.by.deleted_ms <= wanted.before_ms
                {
                    emptied.files += 1;
                    emptied.bytes += trashed.entry.size_bytes;
                    discard(applying, life)?;
                }
            }
            emptied.next = Some(path);
        }
        if left == 0 {
            return Ok(RootAnswer::Emptied(emptied));
        }
    }
    emptied.next = None;
    Ok(RootAnswer::Emptied(emptied))
}

/// A file that is to get a name again.
struct Restoring<'a> {
    request: RequestId,
    what: &'a TrashName,
    to: Option<&'a FilePath>,
    replace: bool,
    by: &'a UserName,
    now_ms: u64,
}

/// Gives a file of the trash a name again.
fn restore(applying: &mut Applying<'_>, wanted: &Restoring<'_>) -> Applied<RootAnswer> {
    let trashed = wanted_file(applying, wanted)?;
    let to = wanted.to.unwrap_or(&trashed.path);
    applying.view.users.check(wanted.by, Access::Write, to)?;
    let Some((_, name)) = to.split_last() else {
        return Err(PathFault::IsRoot.into());
    };
    let create::Place {
        above,
        former: replaced,
    } = create::place(applying, to, true, wanted.replace)?;
    let entry = &trashed.entry;
    let gone_bytes = replaced.as_ref().map_or(0, |former| former.size_bytes);
    let files = i64::from(replaced.is_none());
    let bytes = signed(entry.size_bytes) - signed(gone_bytes);
    quota::check(applying, to, &above, files, bytes)?;
    let directory = create::Directory {
        request: wanted.request,
        owner: wanted.by,
        now_ms: wanted.now_ms,
    };
    let parent = create::make_parents(applying, to, &above, &directory)?;
    quota::charge(applying, &above, files, bytes);
    take(applying, entry.descriptor)?;
    let life = take_life(applying, &trashed)?;
    match life {
        Life::Ends => drop(applying.take_tombstone(parent, name)?),
        Life::GoesOn => mark_followed(applying, entry.descriptor),
    }
    let restored = FileMetaMetaData {
        name: name.into(),
        ..entry.clone()
    };
    applying.set_entry(parent, name, Some(Arc::new(restored.clone())));
    if let Some(replaced) = &replaced {
        // The name goes on from what it stood for, when nothing goes on from what it gets.
        if life == Life::GoesOn && !applying.is_followed(replaced.descriptor)? {
            tombstones::leave(applying, parent, name, replaced.descriptor, wanted.now_ms)?;
        }
        give_up(applying, Some(to), parent, replaced, life)?;
    }
    Ok(RootAnswer::Restored(TrashRestored {
        path: to.clone(),
        name: restored,
    }))
}

/// Whether the file is the last life of its id given out, which its name may hold again then.
fn take_life(applying: &mut Applying<'_>, trashed: &Trashed) -> Applied<Life> {
    let (parent, name) = (trashed.parent, &trashed.entry.name);
    if tombstones::look(applying, parent, name)? == Some(trashed.entry.descriptor) {
        tombstones::take(applying, parent, name)?;
        return Ok(Life::Ends);
    }
    Ok(match trashed.is_last {
        true => Life::Ends,
        false => Life::GoesOn,
    })
}

/// The file that is meant; one the user may not write is none.
fn wanted_file(applying: &Applying<'_>, wanted: &Restoring<'_>) -> Applied<Trashed> {
    let descriptor = match wanted.what {
        TrashName::Descriptor(descriptor) => Some(*descriptor),
        TrashName::Path(path) => lives_of(applying, path)?.last().copied(),
    };
    let found = match descriptor {
        Some(descriptor) => find(applying, descriptor)?,
        None => None,
    };
    let users = &applying.view.users;
    let may = |one: &Trashed| users.check(wanted.by, Access::Write, &one.path).is_ok();
    let what = wanted.what.clone();
    Ok(found.filter(may).ok_or(Refusal::NotInTrash { what })?)
}

/// Notes that nothing goes on from the file: a later life of its id was given out, or names share
/// it.
pub(crate) fn mark_followed(applying: &mut Applying<'_>, descriptor: FileDescriptor) {
    // Before the entry: whoever sees the name must see that nothing follows its file.
    applying.view.followed.insert(descriptor, ());
    let key = keys::of_descriptor(keys::FOLLOWED, descriptor);
    applying.batch.put(key, Vec::new());
}
