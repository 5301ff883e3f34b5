//! Deciding names: files and directories.

use std::sync::Arc;

use sdfs_types::{
    BlockSize, EntryKind, FileDescriptor, FileMetaMetaData, FilePath, PathFault, Refusal,
    RequestId, UserName,
};

use super::command::{Begun, Decide, RootAnswer};
use super::machine::Applying;
use super::names::{Walk, may_replace, prefix, walk};
use super::trash::{self, Life};
use super::{contents, quota, tombstones};
use crate::fault::{Applied, Fault};
use crate::life::FileLife;

/// What a new directory is made with.
pub(crate) struct Directory<'a> {
    pub(crate) request: RequestId,
    pub(crate) owner: &'a UserName,
    pub(crate) now_ms: u64,
}

/// Where a name goes: the directories above it that exist, and what it stood for.
pub(crate) struct Place {
    pub(crate) above: Vec<FileDescriptor>,
    pub(crate) former: Option<Arc<FileMetaMetaData>>,
}

/// Decides a name. What was begun for it and is not what it stands for is given up.
pub(crate) fn decide(applying: &mut Applying<'_>, wanted: &Decide) -> Applied<RootAnswer> {
    let answer = match decide_file(applying, wanted) {
        Err(Fault::Store(error)) => return Err(Fault::Store(error)),
        Err(Fault::Refused(refusal)) => Err(refusal),
        Ok(answer) => Ok(answer),
    };
    give_up_begun(applying, wanted, &answer)?;
    Ok(answer?)
}

/// Hands what was begun over to be removed, unless the name stands for it.
pub(crate) fn give_up_begun(
    applying: &mut Applying<'_>,
    wanted: &Decide,
    answer: &Result<RootAnswer, Refusal>,
) -> Applied<()> {
    let Some(descriptor) = wanted.begun.descriptor() else {
        return Ok(());
    };
    let is_kept = matches!(answer, Ok(RootAnswer::Name(name)) if name.descriptor == descriptor);
    // What names share is nobody's alone to give up.
    if !is_kept && !contents::is_content(applying, descriptor)? {
        let life = FileLife {
            descriptor,
            request: wanted.request,
        };
        applying.remove_life(wanted.locate.group, life);
    }
    Ok(())
}

fn decide_file(applying: &mut Applying<'_>, wanted: &Decide) -> Applied<RootAnswer> {
    let path = &wanted.path;
    let Some((_, name)) = path.split_last() else {
        return Err(PathFault::IsRoot.into());
    };
    if let Walk::Found { entry, .. } = walk(applying, path)?
        && entry.kind == EntryKind::File
        && entry.request == wanted.request
    {
        return Ok(RootAnswer::Name((*entry).clone()));
    }
    let place = place(applying, path, wanted.make_parents, wanted.replace)?;
    let former_bytes = place.former.as_ref().map_or(0, |former| former.size_bytes);
    let files = i64::from(place.former.is_none());
    let bytes = signed(wanted.size_bytes) - signed(former_bytes);
    quota::check(applying, path, &place.above, files, bytes)?;
    let descriptor = descriptor_for(applying, wanted, &place, name)?;
    let made = Directory {
        request: wanted.request,
        owner: &wanted.owner,
        now_ms: wanted.now_ms,
    };
    let parent = make_parents(applying, path, &place.above, &made)?;
    quota::charge(applying, &place.above, files, bytes);
    let entry = wanted.name(descriptor).ok_or(PathFault::IsRoot)?;
    applying.take_tombstone(parent, name)?;
    applying.set_entry(parent, name, Some(Arc::new(entry.clone())));
    if let Some(former) = &place.former {
        let life = match former.descriptor.next_life() == Some(descriptor) {
            true => Life::GoesOn,
            false => Life::Ends,
        };
        trash::give_up(applying, Some(path), parent, former, life)?;
    }
    Ok(RootAnswer::Name(entry))
}

/// Where a file's name goes.
pub(crate) fn place(
    applying: &Applying<'_>,
    path: &FilePath,
    make_parents: bool,
    replace: bool,
) -> Applied<Place> {
    match walk(applying, path)? {
        Walk::Blocked { path } => Err(Refusal::NotDirectory { path }.into()),
        Walk::Found { above, entry } => {
            may_replace(&entry, path, replace)?;
            Ok(Place {
                above,
                former: Some(entry),
            })
        }
        Walk::Missing { above } if above.len() < depth(path) && !make_parents => {
            Err(Refusal::NotFound {
                path: prefix(path, above.len()),
            }
            .into())
        }
        Walk::Missing { above } => Ok(Place {
            above,
            former: None,
        }),
    }
}

/// The descriptor a name gets: that of the put's blocks; for a create the next life of what the
/// name stood for, or a leased or fresh one.
fn descriptor_for(
    applying: &mut Applying<'_>,
    wanted: &Decide,
    place: &Place,
    name: &str,
) -> Applied<FileDescriptor> {
    let is_leased = |begun: FileDescriptor, next_file_id: u32| {
        begun.version.0 != 0 && begun.id.0 != 0 && begun.id.0 < next_file_id
    };
    let next_file_id = applying.counters.next_file_id;
    match wanted.begun {
        Begun::Blocks(begun) if is_leased(begun, next_file_id) => {
            applying.not_given_up(begun)?;
            if contents::is_content(applying, begun)? {
                return Err(Refusal::NotGranted.into());
            }
            return Ok(begun);
        }
        Begun::Blocks(_) => return Err(Refusal::NotGranted.into()),
        Begun::Refused => {
            let why = "nothing speaks against the name any more".to_owned();
            return Err(Refusal::Busy { why }.into());
        }
        Begun::Record(_) | Begun::Nothing => {}
    }
    let former = match &place.former {
        Some(former) if !applying.is_followed(former.descriptor)? => Some(former.descriptor),
        None if place.above.len() < depth(&wanted.path) => None,
        _ => tombstones::look(applying, place.above[place.above.len() - 1], name)?,
    };
    match (wanted.begun, former.and_then(FileDescriptor::next_life)) {
        (Begun::Record(begun), None)
            if is_leased(begun, next_file_id) && !applying.view.is_given_up(begun) =>
        {
            Ok(begun)
        }
        _ => Ok(applying.counters.life_after(former)?),
    }
}

/// Makes a directory.
pub(crate) fn make_directory(
    applying: &mut Applying<'_>,
    path: &FilePath,
    parents: bool,
    wanted: &Directory<'_>,
) -> Applied<RootAnswer> {
    let above = match walk(applying, path)? {
        Walk::Blocked { path } => return Err(Refusal::NotDirectory { path }.into()),
        Walk::Found { entry, .. } if entry.kind == EntryKind::Directory && parents => {
            return Ok(RootAnswer::Name((*entry).clone()));
        }
        Walk::Found { entry, .. } => {
            let descriptor = entry.descriptor;
            return Err(Refusal::Exists {
                path: path.clone(),
                descriptor,
            }
            .into());
        }
        Walk::Missing { above } if above.len() < depth(path) && !parents => {
            return Err(Refusal::NotFound {
                path: prefix(path, above.len()),
            }
            .into());
        }
        Walk::Missing { above } => above,
    };
    let parent = make_parents(applying, path, &above, wanted)?;
    let Some((_, name)) = path.split_last() else {
        return Err(PathFault::IsRoot.into());
    };
    let entry = add_directory(applying, parent, name, wanted)?;
    Ok(RootAnswer::Name((*entry).clone()))
}

/// Makes the directories above the last name of `path` that are missing; the last one of them.
pub(crate) fn make_parents(
    applying: &mut Applying<'_>,
    path: &FilePath,
    above: &[FileDescriptor],
    wanted: &Directory<'_>,
) -> Applied<FileDescriptor> {
    let mut parent = above[above.len() - 1];
    let missing = (depth(path) - above.len()).min(depth(path));
    for name in path.names().skip(above.len() - 1).take(missing) {
        parent = add_directory(applying, parent, name, wanted)?.descriptor;
    }
    Ok(parent)
}

fn add_directory(
    applying: &mut Applying<'_>,
    parent: FileDescriptor,
    name: &str,
    wanted: &Directory<'_>,
) -> Applied<Arc<FileMetaMetaData>> {
    let former = applying.take_tombstone(parent, name)?;
    let entry = Arc::new(FileMetaMetaData {
        name: name.into(),
        descriptor: applying.counters.life_after(former)?,
        kind: EntryKind::Directory,
        request: wanted.request,
        locate: None,
        size_bytes: 0,
        block_size: BlockSize::default(),
        owner: Arc::clone(wanted.owner),
        created_ms: wanted.now_ms,
    });
    applying.set_entry(parent, name, Some(Arc::clone(&entry)));
    Ok(entry)
}

impl Decide {
    /// What the name stands for when it gets this descriptor; the root directory has no name.
    pub(crate) fn name(&self, descriptor: FileDescriptor) -> Option<FileMetaMetaData> {
        let (_, name) = self.path.split_last()?;
        Some(FileMetaMetaData {
            name: name.into(),
            descriptor,
            kind: EntryKind::File,
            request: self.request,
            locate: Some(self.locate.clone()),
            size_bytes: self.size_bytes,
            block_size: self.block_size,
            owner: Arc::clone(&self.owner),
            created_ms: self.now_ms,
        })
    }
}

fn depth(path: &FilePath) -> usize {
    path.names().count()
}

/// Sizes are below 2^42, so they fit.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
