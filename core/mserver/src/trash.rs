//! The trash as clients see it: listing, restoring, emptying. What is kept and how is in
//! `root::trash`.

use std::sync::Arc;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::Freshness;
use sdfs_types::calls::trash::{
    EmptyTrash, ListTrash, RestoreTrash, TrashEmptied, TrashEntry, TrashPage, TrashRestored,
};
use sdfs_types::limits::LIST_ENTRIES_MAX;
use sdfs_types::{Access, FileMetaMetaData, Refusal, UserName, clock};

use crate::core::Core;
use crate::limits::{SWEEP_STEP_ENTRIES, TRASH_STEP_FILES, TRASH_SWEEP_STEPS};
use crate::list::sizes;
use crate::names::other_answer;
use crate::root::{RootAnswer, RootCommand, ToTrash, Trashed};
use crate::voter::unreadable;

/// The command, with what it takes away going to the trash when the configuration keeps one.
pub(crate) fn trashing(
    core: &Core,
    command: RootCommand,
    user: &UserName,
    now_ms: u64,
) -> RootCommand {
    let trash_s = core.mesh.config().storage.trash_s;
    if trash_s == 0 {
        return command;
    }
    RootCommand::Trashing {
        command: Box::new(command),
        to_trash: ToTrash {
            by: Arc::clone(user),
            deleted_ms: now_ms,
            until_ms: now_ms.saturating_add(trash_s.saturating_mul(1_000)),
        },
    }
}

/// Answers `ListTrash`: one page, in the order of the paths' bytes.
pub(crate) async fn list(
    core: Arc<Core>,
    call: ListTrash,
    user: UserName,
    deadline: Deadline,
) -> Result<TrashPage, Refusal> {
    let core = &core;
    let is_growing = take_apart(core, deadline).await?;
    let limit = call.limit.clamp(1, LIST_ENTRIES_MAX) as usize;
    let (mut found, next) = core
        .root
        .trash(&call.path, call.after.as_ref(), limit)
        .map_err(unreadable)?;
    let users = core.root.users();
    found.retain(|trashed| users.check(&user, Access::Write, &trashed.path).is_ok());
    let entries = listed(core, found, deadline).await?;
    Ok(TrashPage {
        entries,
        next,
        is_growing,
    })
}

/// Sees to it that what was deleted before is in the trash: a directory's files get there as it is
/// swept. Whether a large one still is.
async fn take_apart(core: &Arc<Core>, deadline: Deadline) -> Result<bool, Refusal> {
    core.root_barrier(deadline).await?;
    for _ in 0..TRASH_SWEEP_STEPS {
        if !core.root.is_trash_growing().map_err(unreadable)? {
            return Ok(false);
        }
        let command = RootCommand::Sweep {
            entries_max: SWEEP_STEP_ENTRIES,
        };
        core.propose_root(command, deadline).await?;
        core.root_barrier(deadline).await?;
    }
    core.root.is_trash_growing().map_err(unreadable)
}

async fn listed(
    core: &Arc<Core>,
    found: Vec<Trashed>,
    deadline: Deadline,
) -> Result<Vec<TrashEntry>, Refusal> {
    let names: Vec<FileMetaMetaData> = found.iter().map(|one| one.entry.clone()).collect();
    let sizes = sizes(core, &names, Freshness::Linearizable, deadline).await?;
    let entry = |one: Trashed| {
        let Trashed {
            path, entry, by, ..
        } = one;
        TrashEntry {
            path,
            descriptor: entry.descriptor,
            size_bytes: sizes.of(&entry),
            owner: entry.owner,
            created_ms: entry.created_ms,
            deleted_by: by.by,
            deleted_ms: by.deleted_ms,
            until_ms: by.until_ms,
        }
    };
    Ok(found.into_iter().map(entry).collect())
}

/// Answers `RestoreTrash`. The root group checks the rights, as it alone knows which file is meant.
pub(crate) async fn restore(
    core: Arc<Core>,
    call: RestoreTrash,
    user: UserName,
    deadline: Deadline,
) -> Result<TrashRestored, Refusal> {
    let core = &core;
    let RestoreTrash {
        request,
        what,
        to,
        replace,
    } = call;
    if !core.root.is_decided(request) {
        take_apart(core, deadline).await?;
    }
    let now_ms = clock::now_ms();
    let mut command = RootCommand::Restore {
        request,
        what,
        to,
        replace,
        by: Arc::clone(&user),
        now_ms,
    };
    if replace {
        command = trashing(core, command, &user, now_ms);
    }
    match core.propose_root(command, deadline).await? {
        RootAnswer::Restored(restored) => Ok(restored),
        _ => Err(other_answer()),
    }
}

/// Answers `EmptyTrash`: one step.
pub(crate) async fn empty(
    core: Arc<Core>,
    call: EmptyTrash,
    user: UserName,
    deadline: Deadline,
) -> Result<TrashEmptied, Refusal> {
    let core = &core;
    let EmptyTrash {
        request,
        path,
        older_than_ms,
        after,
    } = call;
    if !core.root.is_decided(request) {
        take_apart(core, deadline).await?;
    }
    let command = RootCommand::EmptyTrash {
        request,
        path,
        after,
        before_ms: clock::now_ms().saturating_sub(older_than_ms),
        by: user,
        paths_max: TRASH_STEP_FILES,
    };
    match core.propose_root(command, deadline).await? {
        RootAnswer::Emptied(emptied) => Ok(emptied),
        _ => Err(other_answer()),
    }
}
