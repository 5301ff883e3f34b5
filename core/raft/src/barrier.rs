//! Linearizable reads at any member (ReadIndex, Ongaro 6.4): one round for all that wait.

use crate::errors::ReadError;
use crate::group::{Group, Member};
use crate::limits::{RETRY_FIRST, RETRY_LAST, TRY_WAIT};
use crate::messages::ReadIndex;
use crate::network::ask;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use sdfs_server_group::{Deadline, Payload};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout, timeout_at};

/// Waits until this member has applied everything that had been answered anywhere before.
pub(crate) async fn pass(member: &Member, deadline: Deadline) -> Result<(), ReadError> {
    let (told, passed) = oneshot::channel();
    let waited = timeout_at(deadline.instant(), async {
        let asked = member.barriers.send(told).await;
        asked.map_err(|_| ReadError::Stopped)?;
        passed.await.map_err(|_| ReadError::Stopped)
    });
    waited.await.unwrap_or(Err(ReadError::Deadline))
}

/// Serves barriers: while a round is on its way the next callers gather for the next one. Ends,
/// and with it every wait, when the group stops or its last handle is gone.
pub(crate) async fn serve_barriers(
    group: Arc<Group>,
    mut waiting: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let Some(member) = &group.member else { return };
    while let Some(mut callers) = gather(&mut waiting).await {
        let mut wait = RETRY_FIRST;
        while !callers.is_empty() {
            let index = timeout(TRY_WAIT, read_index(&group, member)).await;
            if let Ok(Some(index)) = index
                && has_applied(member, index, &mut callers).await
            {
                for caller in callers.drain(..) {
                    tell(caller, ());
                }
                break;
            }
            if member
                .raft
                .metrics()
                .borrow_watched()
                .running_state
                .is_err()
            {
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
            callers.retain(|caller| !caller.is_closed());
        }
    }
}

/// The leader's index, confirmed by a majority after all gathered callers had come. `None` when
/// there is no leader to be had now.
async fn read_index(group: &Group, member: &Member) -> Option<u64> {
    if member.raft.is_leader() {
        index_here(member).await
    } else {
        let leader = group.leader().filter(|leader| *leader != group.me())?;
        let call = ReadIndex {
            group: group.id,
            birth: *member.birth.get()?,
        };
        let deadline = Deadline::after(TRY_WAIT);
        match ask(group.wire.as_ref(), leader, &call, Payload::new(), deadline).await {
            Ok((index, _)) => index,
            Err(error) => {
                tracing::debug!(group = %group.id, %leader, %error, "no read index");
                None
            }
        }
    }
}

/// Whether this member has applied an index, which is waited for as long as anybody does: a member
/// that lags would never catch up with an index that is asked for anew.
async fn has_applied(member: &Member, index: u64, callers: &mut Vec<oneshot::Sender<()>>) -> bool {
    let mut applied = member.raft.watch_apply_progress();
    loop {
        let reached = applied.wait_until(|applied| {
            let applied = applied.as_ref();
            applied.is_some_and(|applied| applied.index >= index)
        });
        if let Ok(reached) = timeout(TRY_WAIT, reached).await {
            return reached.is_ok();
        }
        callers.retain(|caller| !caller.is_closed());
        if callers.is_empty() {
            return false;
        }
    }
}

/// The index from this server's own raft, which should lead.
pub(crate) async fn index_here(member: &Member) -> Option<u64> {
    let (told, index) = oneshot::channel();
    member.indexes.send(told).await.ok()?;
    index.await.ok()
}

/// Serves indexes at the leader: a round of heartbeats serves this server's own reads and those
/// of all others that came before it began.
pub(crate) async fn serve_indexes(
    group: Arc<Group>,
    mut waiting: mpsc::Receiver<oneshot::Sender<u64>>,
) {
    let Some(member) = &group.member else { return };
    while let Some(callers) = gather(&mut waiting).await {
        // Dropped unanswered, the callers ask again, here or at the next leader.
        match member.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => {
                for caller in callers {
                    tell(caller, read.index());
                }
            }
            Err(error) => tracing::debug!(group = %group.id, %error, "no read index"),
        }
    }
}

/// Waits for a caller and takes all others that are there.
async fn gather<T>(waiting: &mut mpsc::Receiver<T>) -> Option<Vec<T>> {
    let mut callers = vec![waiting.recv().await?];
    while let Ok(next) = waiting.try_recv() {
        callers.push(next);
    }
    Some(callers)
}

fn tell<T>(caller: oneshot::Sender<T>, news: T) {
    if caller.send(news).is_err() {
        tracing::trace!("a reader gave up before its barrier");
    }
}
