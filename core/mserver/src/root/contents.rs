//! Contents that names share: one file, kept once, under as many names as link to it.
//!
//! **Who stands for it.** Names of one content have the same descriptor and the same meta-data. The
//! content goes when the last of them does; a file in the trash is one of them.
//!
//! **Lives.** A shared file is marked as *followed* (see `trash`): nothing goes on from its
//! descriptor, so names that lose it leave no tombstones, and no two can claim its next life.
//!
//! **Trash.** Only the last name goes there. Of a name that is taken away while others stay, the
//! content is still under those.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use sdfs_types::calls::content::{ContentDigest, Sharing};
use sdfs_types::wire;
use sdfs_types::{
    FileDescriptor, FileMetaMetaData, FilePath, PathFault, Refusal, RequestId, UserName,
};

use super::command::RootAnswer;
use super::create::{self, Directory, signed};
use super::machine::Applying;
use super::names::{Walk, walk};
use super::trash::{self, Life};
use super::{keys, quota, tombstones};
use crate::fault::{Applied, unreadable};

/// Which content is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentKey {
    /// Its digest.
    pub digest: ContentDigest,
    /// Whose files share it: what somebody does to his own files is not to reach another's.
    pub owner: UserName,
    /// The group whose dservers keep it: names of different groups do not share.
    pub within: Option<Arc<str>>,
}

/// A content names share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Which one.
    pub key: ContentKey,
    /// What its first name stood for: that request made the record.
    pub name: FileMetaMetaData,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Names that stand for it, one in the trash among them.
    pub names: u64,
}

/// Gives a name to a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The client's request.
    pub request: RequestId,
    /// The name.
    pub path: FilePath,
    /// The content.
    pub key: ContentKey,
    /// The size it must have, bytes.
    pub size_bytes: u64,
    /// Who owns the name.
    pub owner: UserName,
    /// When, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Make missing directories on the way.
    pub make_parents: bool,
    /// Whether a file of that name is replaced.
    pub replace: bool,
}

/// Makes a file's content one that names share; when it is known already, the name stands for that.
pub(crate) fn share(
    applying: &mut Applying<'_>,
    path: &FilePath,
    descriptor: FileDescriptor,
    (key, size_bytes): (&ContentKey, u64),
) -> Applied<RootAnswer> {
    let (above, entry) = walk(applying, path)?.found(path)?;
    let Some(parent) = above.last().copied() else {
        return Err(PathFault::IsRoot.into());
    };
    let known = known(applying, key)?;
    if known.as_ref().map(|content| content.name.descriptor) == Some(entry.descriptor) {
        return Ok(RootAnswer::Name((*entry).clone()));
    }
    if entry.descriptor != descriptor || find(applying, descriptor)?.is_some() {
        return Err(Refusal::Gone { descriptor }.into());
    }
    let Some(content) = known else {
        trash::mark_followed(applying, descriptor);
        let content = Content {
            key: key.clone(),
            name: (*entry).clone(),
            size_bytes,
            names: 0,
        };
        let by_key = keys::of_content(&content.key);
        applying.batch.put(by_key, descriptor.to_key().to_vec());
        count(applying, |sharing| {
            sharing.contents += 1;
            sharing.bytes += size_bytes;
        })?;
        add_name(applying, content)?;
        return Ok(RootAnswer::Name((*entry).clone()));
    };
    let linked = content.under(&entry.name, &entry.owner, entry.created_ms, entry.request);
    // Quotas go on counting what they counted.
    let linked = FileMetaMetaData {
        size_bytes: entry.size_bytes,
        ..linked
    };
    applying.set_entry(parent, &entry.name, Some(Arc::new(linked.clone())));
    add_name(applying, content)?;
    trash::remove(applying, &entry)?;
    Ok(RootAnswer::Name(linked))
}

/// Gives a name to a content.
pub(crate) fn link(applying: &mut Applying<'_>, wanted: &Link) -> Applied<RootAnswer> {
    let path = &wanted.path;
    let Some((_, name)) = path.split_last() else {
        return Err(PathFault::IsRoot.into());
    };
    if let Walk::Found { entry, .. } = walk(applying, path)?
        && entry.request == wanted.request
    {
        return Ok(RootAnswer::Name((*entry).clone()));
    }
    let known = known(applying, &wanted.key)?;
    let content = known
        .filter(|content| content.size_bytes == wanted.size_bytes)
        .ok_or(Refusal::NoSuchContent)?;
    let place = create::place(applying, path, wanted.make_parents, wanted.replace)?;
    let former_bytes = place.former.as_ref().map_or(0, |former| former.size_bytes);
    let files = i64::from(place.former.is_none());
    let bytes = signed(content.size_bytes) - signed(former_bytes);
    quota::check(applying, path, &place.above, files, bytes)?;
    let made = Directory {
        request: wanted.request,
        owner: &wanted.owner,
        now_ms: wanted.now_ms,
    };
    let parent = create::make_parents(applying, path, &place.above, &made)?;
    quota::charge(applying, &place.above, files, bytes);
    let entry = content.under(name, &wanted.owner, wanted.now_ms, wanted.request);
    applying.set_entry(parent, name, Some(Arc::new(entry.clone())));
    // Before the former one is given up, which may be the content's last name.
    add_name(applying, content)?;
    if let Some(former) = &place.former {
        // The name goes on from what it stood for.
        if !applying.is_followed(former.descriptor)? {
            tombstones::leave(applying, parent, name, former.descriptor, wanted.now_ms)?;
        }
        trash::give_up(applying, Some(path), parent, former, Life::GoesOn)?;
    }
    Ok(RootAnswer::Name(entry))
}

/// One name less for a file: whether others stand for its content, so that it stays.
pub(crate) fn let_go(applying: &mut Applying<'_>, descriptor: FileDescriptor) -> Applied<bool> {
    match find(applying, descriptor)? {
        Some(content) if content.names > 1 => {
            let content = Content {
                names: content.names - 1,
                ..content
            };
            let size_bytes = content.size_bytes;
            set(applying, &content);
            count(applying, |sharing| {
                sharing.names = sharing.names.saturating_sub(1);
                sharing.saved_bytes = sharing.saved_bytes.saturating_sub(size_bytes);
            })?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether names share a file's content.
pub(crate) fn is_content(applying: &Applying<'_>, descriptor: FileDescriptor) -> Applied<bool> {
    Ok(find(applying, descriptor)?.is_some())
}

/// How many names stand for a file, one in the trash among them.
pub(crate) fn names_of(applying: &Applying<'_>, descriptor: FileDescriptor) -> Applied<u64> {
    Ok(find(applying, descriptor)?.map_or(1, |content| content.names))
}

/// Forgets a content whose last name is gone; what its first name stood for.
pub(crate) fn forget(
    applying: &mut Applying<'_>,
    descriptor: FileDescriptor,
) -> Applied<Option<FileMetaMetaData>> {
    let Some(content) = find(applying, descriptor)? else {
        return Ok(None);
    };
    let by_key = keys::of_content(&content.key);
    applying.batch.delete(by_key);
    let key = keys::of_descriptor(keys::CONTENT, descriptor);
    applying.batch.delete(key);
    count(applying, |sharing| {
        sharing.contents = sharing.contents.saturating_sub(1);
        sharing.names = sharing.names.saturating_sub(1);
        sharing.bytes = sharing.bytes.saturating_sub(content.size_bytes);
    })?;
    Ok(Some(content.name))
}

impl Content {
    /// What another name stands for.
    fn under(
        &self,
        name: &str,
        owner: &UserName,
        created_ms: u64,
        request: RequestId,
    ) -> FileMetaMetaData {
        FileMetaMetaData {
            name: name.into(),
            request,
            size_bytes: self.size_bytes,
            owner: Arc::clone(owner),
            created_ms,
            ..self.name.clone()
        }
    }
}

/// One name more; counted as saved unless it is the first.
fn add_name(applying: &mut Applying<'_>, content: Content) -> Applied<()> {
    let saved_bytes = match content.names {
        0 => 0,
        _ => content.size_bytes,
    };
    let content = Content {
        names: content.names + 1,
        ..content
    };
    set(applying, &content);
    count(applying, |sharing| {
        sharing.names += 1;
        sharing.saved_bytes += saved_bytes;
    })
}

fn set(applying: &mut Applying<'_>, content: &Content) {
    let key = keys::of_descriptor(keys::CONTENT, content.name.descriptor);
    applying.batch.put(key, wire::encode(content));
}

/// The content a file is, if names share it. Most files are surely none.
fn find(applying: &Applying<'_>, descriptor: FileDescriptor) -> Applied<Option<Content>> {
    if !applying.view.is_followed(descriptor) {
        return Ok(None);
    }
    let key = keys::of_descriptor(keys::CONTENT, descriptor);
    let found = applying.batch.get(&key)?;
    let found = found.map(|value| wire::decode(&value));
    Ok(found.transpose().map_err(unreadable)?)
}

fn known(applying: &Applying<'_>, key: &ContentKey) -> Applied<Option<Content>> {
    let descriptor = applying.batch.get(&keys::of_content(key))?;
    let descriptor = descriptor.and_then(|value| FileDescriptor::from_key(&value));
    match descriptor {
        Some(descriptor) => find(applying, descriptor),
        None => Ok(None),
    }
}

fn count(applying: &mut Applying<'_>, change: impl FnOnce(&mut Sharing)) -> Applied<()> {
    let stored = applying.batch.get(&[keys::SHARING])?;
    let stored = stored.map(|value| wire::decode(&value));
    let mut sharing: Sharing = stored.transpose().map_err(unreadable)?.unwrap_or_default();
    change(&mut sharing);
    applying
        .batch
        .put(vec![keys::SHARING], wire::encode(&sharing));
    Ok(())
}
