//! The handle to all groups of a process.

use crate::answer::answer;
use crate::barrier;
use crate::ending::Ending;
use crate::errors::{MemberError, ProposeError, ReadError, SnapshotError, StartError, StopReason};
use crate::forward::{Forward, Stopped, propose_here};
use crate::group::{Group, Member};
use crate::group_store::GroupStores;
use crate::ids::GroupId;
use crate::limits::{COMMAND_BYTES_MAX, RETRY_FIRST, RETRY_LAST, SHUTDOWN_WAIT, SNAPSHOT_AGAIN};
use crate::members;
use crate::messages::Outcome;
use crate::options::RaftOptions;
use crate::raft_log::RaftLog;
use crate::record::Life;
use crate::snapshot::persist;
use crate::start::{Parts, start};
use crate::status::{LeaderView, RaftStatus};
use crate::tend::transfer;
use crate::types::{Raft, Types};
use crate::wire::Wire;
use bytes::Bytes;
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::WaitError;
use sdfs_server_group::{Deadline, IncomingCall, ServerId};
use sdfs_store::Keyspace;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

/// All raft groups of this process. Cheap to clone; all clones are the same groups.
#[derive(Clone)]
pub struct RaftGroups(Arc<Shared>);

/// What the tasks of all groups share.
pub(crate) struct Shared {
    pub(crate) wire: Arc<dyn Wire>,
    /// The life of this server's log.
    pub(crate) life: Life,
    /// The other servers named for any group.
    pub(crate) others: BTreeSet<ServerId>,
    /// Told when somebody calls this server by another life.
    pub(crate) doubt: Notify,
    pub(crate) groups: BTreeMap<GroupId, Arc<Group>>,
    pub(crate) log: RaftLog,
    pub(crate) stores: GroupStores,
    pub(crate) ending: Ending,
    /// For ending them; touched at start and stop.
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn me(&self) -> ServerId {
        self.wire.me()
    }

    /// The groups this server is a member of.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Group, &Member)> {
        let groups = self.groups.values();
        groups.filter_map(|group| Some((group.as_ref(), group.member.as_ref()?)))
    }

    /// The groups of which this server has anything.
    pub(crate) fn existing_groups(&self) -> Vec<GroupId> {
        let is_begun = |one: &(&Group, &Member)| !self.log.with(one.0.id, |log| log.is_blank());
        let begun = self.members().filter(is_begun);
        begun.map(|(group, _)| group.id).collect()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
    }
}

impl RaftGroups {
    /// Opens the log and the groups and returns at once; each group then finds its members by
    /// itself. Raft calls that arrive before this returns are to be dropped unanswered: members
    /// ask again. Must be called on a tokio runtime, where all tasks of the groups then run.
    ///
    /// # Errors
    /// See [`StartError`]: each variant says what an operator can do.
    pub async fn start(options: RaftOptions) -> Result<Self, StartError> {
        let RaftOptions {
            mesh,
            disk,
            dir,
            store,
            timers,
            kept,
            groups,
        } = options;
        Self::start_on(
            Arc::new(mesh),
            Parts {
                disk,
                dir,
                store,
                timers,
                kept,
                groups,
            },
        )
        .await
    }

    pub(crate) async fn start_on(wire: Arc<dyn Wire>, parts: Parts) -> Result<Self, StartError> {
        Ok(Self(start(wire, parts).await?))
    }

    /// Commits `command` in `group` and gives its answer once the leader has applied it.
    ///
    /// Works at any server that knows the group: elsewhere than at the leader the command is sent
    /// to it, many together. While there is no leader, or the leader changes, it is sent again
    /// until the deadline. **A command may therefore be applied more than once**: it must carry a
    /// request id (or be idempotent by itself), and its machine must answer a repetition as it
    /// answered the first.
    ///
    /// At other members than the leader the command is not necessarily applied yet when this
    /// returns: read after [`RaftGroups::read_barrier`].
    ///
    /// # Errors
    /// [`ProposeError::Unknown`] when the deadline passed and it may have been applied;
    /// every other error means it surely was not.
    pub async fn propose(
        &self,
        group: GroupId,
        command: Bytes,
        deadline: Deadline,
    ) -> Result<Bytes, ProposeError> {
        let group = self
            .0
            .groups
            .get(&group)
            .ok_or(ProposeError::UnknownGroup(group))?;
        let (bytes, limit) = (command.len(), COMMAND_BYTES_MAX);
        if bytes > limit {
            return Err(ProposeError::TooLarge { bytes, limit });
        }
        let mut view = group.view.subscribe();
        let mut may_be_done = false;
        let mut wait = RETRY_FIRST;
        loop {
            // Also before the first try: this process may have been stopped on the way here.
            if deadline.is_over() {
                return Err(if may_be_done {
                    ProposeError::Unknown
                } else {
                    ProposeError::NotSent
                });
            }
            view.mark_unchanged();
            let tried = try_propose(&self.0, group, command.clone());
            match timeout_at(deadline.instant(), tried).await {
                Err(_) => return Err(ProposeError::Unknown),
                Ok(Ok(Outcome::Done(answer))) => return Ok(answer),
                // What was tried before may still be applied.
                Ok(Err(_)) if may_be_done => return Err(ProposeError::Unknown),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Outcome::Unknown)) => may_be_done = true,
                Ok(Ok(Outcome::NotDone)) => {}
            }
            // A new leader is worth trying at once; without one, tries become rarer.
            tokio::select! {
                () = sleep(wait.min(deadline.remaining())) => {}
                _ = view.changed() => {}
            }
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// After this returns, the local state machine holds every command that had been answered
    /// anywhere before the call: a linearizable read, at any member, learners too. One round to
    /// the leader and its majority serves all callers that wait for it (ReadIndex, Ongaro 6.4).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_barrier(&self, group: GroupId, deadline: Deadline) -> Result<(), ReadError> {
        let member = self.member(group).ok_or(ReadError::NotMember(group))?;
        barrier::pass(member, deadline).await
    }

    /// The group's leader, as far as known here.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<ServerId> {
        self.0.groups.get(&group)?.leader()
    }

    /// Whether this server leads the group, as far as known here.
    #[must_use]
    pub fn is_leader(&self, group: GroupId) -> bool {
        self.member(group)
            .is_some_and(|member| member.raft.is_leader())
    }

    /// Who leads, and every change of it from now on; `None` for an unknown group.
    #[must_use]
    pub fn watch(&self, group: GroupId) -> Option<watch::Receiver<LeaderView>> {
        Some(self.0.groups.get(&group)?.view.subscribe())
    }

    /// The keyspace of the group's state machine as it is now; `None` where there is no state. A
    /// snapshot from the leader replaces it: ask again for each read.
    #[must_use]
    pub fn keyspace(&self, group: GroupId) -> Option<Keyspace> {
        Some(self.member(group)?.current.get())
    }

    /// All groups as they are now.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        crate::status::status_of(&self.0)
    }

    /// Asks `to` to lead the group from now on. Works at the leader only; whether it happened is
    /// seen through [`RaftGroups::watch`].
    ///
    /// # Errors
    /// [`MemberError::NotLeader`] elsewhere.
    pub async fn transfer_leader(&self, group: GroupId, to: ServerId) -> Result<(), MemberError> {
        let member = self.leading(group)?;
        transfer(&member.raft, to).await;
        Ok(())
    }

    /// Brings the state of every group this server is a member of to disk now, up to what is
    /// applied; the log before it may then be shortened. Gives the last entry each one holds.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn snapshot(&self, deadline: Deadline) -> Vec<(GroupId, Result<u64, SnapshotError>)> {
        let mut made = Vec::new();
        for (group, member) in self.0.members() {
            made.push((group.id, snapshot_of(&member.raft, deadline).await));
        }
        made
    }

    /// Adds a member in the life it is in now: as a learner first, and once it has caught up as a
    /// voter if `is_voter`. Works at the leader only; one change of members at a time.
    ///
    /// # Errors
    /// See [`MemberError`]. After [`MemberError::Deadline`] the change may still happen, or half
    /// of it: [`crate::MemberStatus::is_voter`] tells when it is whole, and asking again makes it
    /// so.
    pub async fn add_member(
        &self,
        group: GroupId,
        server: ServerId,
        is_voter: bool,
        deadline: Deadline,
    ) -> Result<(), MemberError> {
        let member = self.leading(group)?;
        let added = members::add(&self.0, member, server, is_voter);
        timeout_at(deadline.instant(), added)
            .await
            .unwrap_or(Err(MemberError::Deadline))
    }

    /// Removes a member altogether; one that comes back with another disk is added like a new one,
    /// under the same number. Works at the leader only. A server that a leader's
    /// [`crate::GroupSpec`] lists as a learner is added again as such when it is up.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn remove_member(
        &self,
        group: GroupId,
        server: ServerId,
        deadline: Deadline,
    ) -> Result<(), MemberError> {
        let member = self.leading(group)?;
        let removed = members::remove(&member.raft, server);
        timeout_at(deadline.instant(), removed)
            .await
            .unwrap_or(Err(MemberError::Deadline))
    }

    /// Whether `server` is a member of any group this one is a member of, by what is committed
    /// here or on its way.
    #[must_use]
    pub fn is_member(&self, server: ServerId) -> bool {
        let mut members = self.0.members();
        members.any(|(_, member)| members::names(&member.raft.metrics().borrow_watched(), server))
    }

    /// Answers one call of [`crate::CALL_KINDS`]. Never blocks: it runs in a task of its own.
    pub fn serve(&self, call: IncomingCall) {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let (head, payload) = answer(&shared, call.kind, call.head, call.payload).await;
            call.reply.send(head, payload);
        });
    }

    /// Waits until raft has stopped for good. A server in that state must end: what it holds can
    /// no longer be trusted to be complete.
    pub async fn stopped(&self) -> StopReason {
        self.0.ending.reason().await
    }

    /// Stops all groups, writes what is queued and persists the store.
    pub async fn stop(&self) {
        self.0.ending.with(StopReason::Asked);
        let mut tasks = std::mem::take(&mut *self.tasks());
        for task in tasks.drain(..) {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "a task of raft has panicked");
            }
        }
        for group in self.0.groups.values() {
            let Some(member) = &group.member else {
                continue;
            };
            // One that waits for the disk ends when the log is closed.
            match timeout(SHUTDOWN_WAIT, member.raft.shutdown()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(group = %group.id, %error, "the group did not end cleanly");
                }
                Err(_) => tracing::warn!(group = %group.id, "the group waits for the disk"),
            }
        }
        let log = self.0.log.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
            tracing::warn!(%error, "the raft log did not close cleanly");
        }
        if let Err(error) = persist(self.0.stores.store()).await {
            tracing::error!(%error, "the store could not be made durable");
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member(&self, group: GroupId) -> Option<&Member> {
        self.0.groups.get(&group)?.member.as_ref()
    }

    fn leading(&self, id: GroupId) -> Result<&Member, MemberError> {
        let group = self
            .0
            .groups
            .get(&id)
            .ok_or(MemberError::UnknownGroup(id))?;
        match &group.member {
            Some(member) if member.raft.is_leader() => Ok(member),
            _ => Err(MemberError::NotLeader(group.leader())),
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

async fn snapshot_of(raft: &Raft, deadline: Deadline) -> Result<u64, SnapshotError> {
    let applied = raft.metrics().borrow_watched().last_applied;
    let applied = applied.ok_or(SnapshotError::Empty)?.index;
    let holds_it = |metrics: &RaftMetrics<Types>| {
        let held = metrics.snapshot.as_ref();
        held.is_some_and(|held| held.index >= applied)
    };
    while deadline.remaining_ms() > 0 {
        let asked = raft.trigger().snapshot().await;
        asked.map_err(|_| SnapshotError::Stopped)?;
        // One that was under way already may end below, and the request for another is lost then.
        let waiting = raft.wait(Some(SNAPSHOT_AGAIN));
        match waiting.metrics(holds_it, "a snapshot").await {
            Ok(_) => return Ok(applied),
            Err(WaitError::ShuttingDown) => return Err(SnapshotError::Stopped),
            Err(WaitError::Timeout(..)) => {}
        }
    }
    Err(SnapshotError::Deadline)
}

/// One try: here if this server leads, else through the queue to the leader.
async fn try_propose(
    shared: &Shared,
    group: &Group,
    command: Bytes,
) -> Result<Outcome, ProposeError> {
    if let Some(member) = group
        .member
        .as_ref()
        .filter(|member| member.raft.is_leader())
    {
        if shared.log.is_without_room() {
            return Ok(Outcome::NotDone);
        }
        let proposed = propose_here(&member.raft, command).await;
        // It may have reached the log before the group stopped.
        return proposed.map_err(|Stopped| ProposeError::Unknown);
    }
    let (told, outcome) = oneshot::channel();
    match group.forwards.try_send(Forward { command, told }) {
        Ok(()) => Ok(outcome.await.unwrap_or(Outcome::Unknown)),
        Err(TrySendError::Full(_)) => Err(ProposeError::Full),
        Err(TrySendError::Closed(_)) => Err(ProposeError::Stopped),
    }
}
