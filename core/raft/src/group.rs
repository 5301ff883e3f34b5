//! One group at this server: what its tasks share.

use crate::applier::CurrentKeyspace;
use crate::forward::Forward;
use crate::group_store::Stage;
use crate::identity::Birth;
use crate::ids::GroupId;
use crate::status::LeaderView;
use crate::types::Raft;
use crate::wire::Wire;
use sdfs_server_group::ServerId;
use sdfs_store::Keyspace;
use std::sync::{Arc, Mutex, Once, OnceLock};
use tokio::sync::{mpsc, oneshot, watch};

/// A group as it was started here.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) voters: Vec<ServerId>,
    pub(crate) learners: Vec<ServerId>,
    pub(crate) preferred: Option<ServerId>,
    pub(crate) wire: Arc<dyn Wire>,
    /// Who leads, as far as known here.
    pub(crate) view: watch::Sender<LeaderView>,
    /// Proposals on their way to the leader.
    pub(crate) forwards: mpsc::Sender<Forward>,
    /// What a member has; `None` at a server that only sends proposals.
    pub(crate) member: Option<Member>,
}

/// This server's membership of a group.
pub(crate) struct Member {
    pub(crate) raft: Raft,
    /// Which beginning of the group this is a member of, from the first call that was taken.
    pub(crate) birth: OnceLock<Birth>,
    /// For saying only once that there is another.
    pub(crate) told_other_birth: Once,
    pub(crate) current: CurrentKeyspace,
    pub(crate) stage: Stage,
    /// Reads that wait for a barrier.
    pub(crate) barriers: mpsc::Sender<oneshot::Sender<()>>,
    /// Reads, here and at other members, that need the leader's index; asked at the leader.
    pub(crate) indexes: mpsc::Sender<oneshot::Sender<u64>>,
    /// The snapshot that is being received. Pieces come one after the other; the lock is held
    /// only to take it out and put it back.
    pub(crate) receiving: Mutex<Option<Receiving>>,
}

/// A snapshot of which the first pieces have come.
pub(crate) struct Receiving {
    pub(crate) transfer: u64,
    /// The piece that must come next.
    pub(crate) next: u32,
    pub(crate) keyspace: Keyspace,
    pub(crate) generation: u32,
}

impl Member {
    /// Whether this is, or from now on is, a member of the group of that birth.
    pub(crate) fn is_of(&self, birth: Birth) -> bool {
        *self.birth.get_or_init(|| birth) == birth
    }
}

impl Group {
    pub(crate) fn me(&self) -> ServerId {
        self.wire.me()
    }

    pub(crate) fn leader(&self) -> Option<ServerId> {
        self.view.borrow().leader
    }

    /// Tells who watches, if anything changed.
    pub(crate) fn set_view(&self, view: LeaderView) {
        self.view.send_if_modified(|former| {
            let is_news = *former != view;
            *former = view;
            is_news
        });
    }
}
