//! Changing files: size, blocks, attributes.

use std::sync::Arc;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::{CommitBlocks, Freshness, Resize, ResizeFile, SetAttributes};
use sdfs_types::{
    Access, EntryKind, FileDescriptor, FileMetaData, FileMetaMetaData, FilePath, GrantRights,
    MetaGroup, Refusal, UserName, clock,
};

use crate::core::{Core, unknown};
use crate::meta::{MetaAnswer, MetaCommand};
use crate::read::{look, make, meta_data_of};
use crate::root::RootCommand;

/// Answers `ResizeFile`.
pub(crate) async fn resize(
    core: Arc<Core>,
    call: ResizeFile,
    user: UserName,
    deadline: Deadline,
) -> Result<FileMetaData, Refusal> {
    let core = &core;
    let target = target(core, (&call.path, call.descriptor), &user, deadline).await?;
    let (descriptor, size_bytes) = (call.descriptor, call.size_bytes);
    let is_counted = core.root.any_quota(&target.above);
    let redeclare = RootCommand::Redeclare {
        path: call.path,
        descriptor,
        size_bytes,
    };
    // What grows is counted before it grows, what shrinks after.
    if is_counted && call.resize == Resize::Expand {
        if target.entry.size_bytes > size_bytes
            || size_bytes > target.entry.block_size.file_bytes_max()
        {
            return Err(out_of_range(&target.entry, size_bytes));
        }
        if meta_data_of(core, &target.entry, deadline)
            .await?
            .is_shared()
        {
            return Err(Refusal::Shared { descriptor });
        }
        core.propose_root(redeclare.clone(), deadline).await?;
    }
    let command = MetaCommand::Resize {
        request: call.request,
        descriptor,
        size_bytes,
        resize: call.resize,
        revision: call.revision,
        now_ms: clock::now_ms(),
    };
    let file = change(core, &target, command, deadline).await?;
    if is_counted && call.resize == Resize::Truncate {
        // The file is cut already; a count that stays too high is set right by the next resize.
        if let Err(refusal) = core.propose_root(redeclare, deadline).await {
            tracing::warn!(%descriptor, %refusal, "a quota still counts what was cut off");
        }
    }
    Ok(file)
}

fn out_of_range(entry: &FileMetaMetaData, size_bytes: u64) -> Refusal {
    Refusal::OutOfRange {
        what: "the new size".to_owned(),
        value: format!("{size_bytes} bytes"),
        allowed: format!(
            "{} to {} bytes",
            entry.size_bytes,
            entry.block_size.file_bytes_max()
        ),
    }
}

/// Answers `SetAttributes`.
pub(crate) async fn set_attributes(
    core: Arc<Core>,
    call: SetAttributes,
    user: UserName,
    deadline: Deadline,
) -> Result<FileMetaData, Refusal> {
    let core = &core;
    let target = target(core, (&call.path, call.descriptor), &user, deadline).await?;
    let command = MetaCommand::SetAttributes {
        request: call.request,
        descriptor: call.descriptor,
        set: call.set,
        remove: call.remove,
        now_ms: clock::now_ms(),
    };
    change(core, &target, command, deadline).await
}

/// Answers `CommitBlocks`: the grant was given with the file's meta-data, so no name is looked up.
pub(crate) async fn commit(
    core: &Arc<Core>,
    call: CommitBlocks,
    deadline: Deadline,
) -> Result<FileMetaData, Refusal> {
    let now_ms = clock::now_ms();
    if !core
        .grants
        .allows(&call.grant, call.descriptor, GrantRights::Write, now_ms)
    {
        return Err(Refusal::NotGranted);
    }
    let command = MetaCommand::Commit {
        request: call.request,
        descriptor: call.descriptor,
        written: call.written,
        size_bytes_at_least: call.size_bytes_at_least,
        revision: call.revision,
        now_ms,
    };
    let answer = core.propose_meta(call.group, command, deadline).await?;
    file_of(answer)
}

struct Target {
    above: Vec<FileDescriptor>,
    entry: Arc<FileMetaMetaData>,
    group: MetaGroup,
}

/// What a name stands for, which must be the file its caller has seen there.
async fn target(
    core: &Arc<Core>,
    (path, descriptor): (&FilePath, FileDescriptor),
    user: &UserName,
    deadline: Deadline,
) -> Result<Target, Refusal> {
    let seen = look(core, path, Freshness::Linearizable, deadline).await?;
    core.root.users().check(user, Access::Write, path)?;
    let (above, entry) = seen.walk.found(path)?;
    match (&entry.kind, &entry.locate) {
        (EntryKind::File, Some(_)) if entry.descriptor != descriptor => {
            Err(Refusal::Gone { descriptor })
        }
        (EntryKind::File, Some(locate)) => {
            let group = locate.group;
            Ok(Target {
                above,
                entry,
                group,
            })
        }
        _ => Err(Refusal::IsDirectory { path: path.clone() }),
    }
}

/// Changes a named file; a record nobody has made yet is made first.
async fn change(
    core: &Arc<Core>,
    target: &Target,
    command: MetaCommand,
    deadline: Deadline,
) -> Result<FileMetaData, Refusal> {
    match core
        .propose_meta(target.group, command.clone(), deadline)
        .await
    {
        Err(Refusal::Gone { .. }) => {
            make(core, &target.entry, deadline).await?;
            file_of(core.propose_meta(target.group, command, deadline).await?)
        }
        other => file_of(other?),
    }
}

pub(crate) fn file_of(answer: MetaAnswer) -> Result<FileMetaData, Refusal> {
    match answer {
        MetaAnswer::File(file) => Ok(file),
        MetaAnswer::Done => Err(unknown("the commit was answered with something else")),
    }
}
