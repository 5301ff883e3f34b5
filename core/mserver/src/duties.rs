//! What leaders do by themselves: remove the meta-data of files that are gone, sweep directories
//! without a name, take out of the trash what is due, found the first administrator. Each step is a
//! proposal that may be repeated, so a new leader goes on where the former one stopped.

use std::sync::Arc;

use tokio::sync::watch;

use sdfs_raft::GroupId;
use sdfs_server_group::{Deadline, UserKey};
use sdfs_types::{MetaGroup, Refusal, UserName, clock};

use crate::core::Core;
use crate::layout::raft_group;
use crate::limits::{
    DUTY_EVERY, DUTY_STEP_MAX, FOUND_EVERY, REMOVE_STEP_FILES, SWEEP_STEP_ENTRIES, TRASH_STEP_FILES,
};
use crate::meta::MetaCommand;
use crate::root::{RootAnswer, RootCommand};
use crate::voter::unreadable;

/// Removes the meta-data of files whose names are gone, for one meta group while this mserver
/// leads it.
pub(crate) async fn remove_files(core: Arc<Core>, group: MetaGroup) {
    let mut changes = core.root.removals.subscribe();
    let mut done = None;
    loop {
        if core.groups.is_leader(raft_group(group)) {
            while matches!(remove_some(&core, group, &mut done).await, Ok(true)) {}
        } else {
            // Another leader may have stopped before what was done here.
            done = None;
        }
        if !wait(&mut changes).await {
            return;
        }
    }
}

/// Whether there may be more. `done` is the place in the list up to which all is removed.
async fn remove_some(
    core: &Core,
    group: MetaGroup,
    done: &mut Option<u64>,
) -> Result<bool, Refusal> {
    let listed = core
        .root
        .removals(group, *done, REMOVE_STEP_FILES)
        .map_err(unreadable)?;
    let Some((last, _)) = listed.last().copied() else {
        return Ok(false);
    };
    let is_full = listed.len() == REMOVE_STEP_FILES;
    let (sequences, lives) = listed.into_iter().unzip();
    let deadline = Deadline::after(DUTY_STEP_MAX);
    let command = MetaCommand::Remove {
        lives,
        now_ms: clock::now_ms(),
    };
    core.propose_meta(group, command, deadline).await?;
    // Only now: a record that is still there must stay on the list.
    core.propose_root(RootCommand::Removed { group, sequences }, deadline)
        .await?;
    *done = Some(last);
    Ok(is_full)
}

/// Sweeps directories without a name while this mserver leads the root group.
pub(crate) async fn sweep_directories(core: Arc<Core>) {
    let mut changes = core.root.unlinked.subscribe();
    loop {
        if core.groups.is_leader(GroupId::ROOT) {
            while matches!(sweep_some(&core).await, Ok(true)) {}
        }
        if !wait(&mut changes).await {
            return;
        }
    }
}

async fn sweep_some(core: &Core) -> Result<bool, Refusal> {
    if !core.root.has_unlinked().map_err(unreadable)? {
        return Ok(false);
    }
    let command = RootCommand::Sweep {
        entries_max: SWEEP_STEP_ENTRIES,
    };
    let answer = core
        .propose_root(command, Deadline::after(DUTY_STEP_MAX))
        .await?;
    Ok(answer == RootAnswer::Swept { more: true })
}

/// Takes files out of the trash whose time is over while this mserver leads the root group.
pub(crate) async fn expire_trash(core: Arc<Core>) {
    loop {
        if core.groups.is_leader(GroupId::ROOT) {
            while matches!(expire_some(&core).await, Ok(true)) {}
        }
        tokio::time::sleep(DUTY_EVERY).await;
    }
}

async fn expire_some(core: &Core) -> Result<bool, Refusal> {
    let now_ms = clock::now_ms();
    if !core.root.has_due_trash(now_ms).map_err(unreadable)? {
        return Ok(false);
    }
    let command = RootCommand::ExpireTrash {
        now_ms,
        files_max: TRASH_STEP_FILES,
    };
    let answer = core
        .propose_root(command, Deadline::after(DUTY_STEP_MAX))
        .await?;
    Ok(answer == RootAnswer::Swept { more: true })
}

/// Adds the administrator of the configuration to a cluster that has no users yet.
pub(crate) async fn found_admin(core: Arc<Core>, name: UserName, key: UserKey) {
    while core.root.users().is_empty() {
        if core.groups.is_leader(GroupId::ROOT) {
            let command = RootCommand::FoundAdmin {
                name: Arc::clone(&name),
                key: key.0,
            };
            if let Err(refusal) = core
                .propose_root(command, Deadline::after(DUTY_STEP_MAX))
                .await
            {
                tracing::debug!(%refusal, "the first administrator is not there yet");
            }
        }
        tokio::time::sleep(FOUND_EVERY).await;
    }
}

/// Waits for a change, or for a while; `false` when the state is gone.
async fn wait(changes: &mut watch::Receiver<u64>) -> bool {
    match tokio::time::timeout(DUTY_EVERY, changes.changed()).await {
        Ok(changed) => changed.is_ok(),
        Err(_) => true,
    }
}
