//! What all of a mserver's calls share: the groups and their state, the batches to peers and
//! groups, the parts that keep volumes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

use actix::Addr;
use dashmap::DashMap;
use tokio::sync::watch;
use tokio::time::Instant;

use sdfs_raft::{GroupId, ProposeError, RaftGroups, ReadError};
use sdfs_server_group::{CallError, Deadline, Mesh, Payload, ServerId, Trace, tell, us_since};
use sdfs_types::calls::Call;
use sdfs_types::calls::negotiation::{MetaDataCreated, MetaDataWanted};
use sdfs_types::wire;
use sdfs_types::{
    Access, FASTDFS_FOLDER, FilePath, GrantKey, MetaGroup, Refusal, Traced, UserName,
};

use crate::asker::Asker;
use crate::batch::{BatchFault, Batcher};
use crate::cache::FixedHasher;
use crate::ids::FileIds;
use crate::layout::{Layout, raft_group};
use crate::meta::{MetaAnswer, MetaAnswers, MetaCommand, MetaView};
use crate::root::{RootAnswer, RootAnswers, RootCommand, RootView};
use crate::timelines::Timelines;
use crate::traced::TracedPaths;
use crate::volumes::{Acceptor, Supervisor};
use crate::voter::Voter;
use crate::voters::Loss;

pub(crate) type RootBatcher =
    Batcher<(RootCommand, Deadline), Result<RootAnswer, Refusal>, ProposeError>;
pub(crate) type MetaBatcher =
    Batcher<(MetaCommand, Deadline), Result<MetaAnswer, Refusal>, ProposeError>;
pub(crate) type MainBatcher =
    Batcher<(Traced<MetaDataWanted>, Deadline), Result<MetaDataCreated, Refusal>, AskFailed>;

/// Why another server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskFailed {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer could not be read: {0}")]
    Answer(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AskFailed {
    /// Whether the other side may have done what it was asked.
    pub(crate) fn is_maybe_done(&self) -> bool {
        matches!(
            self,
            AskFailed::Call(CallError::Deadline | CallError::Lost { maybe_done: true })
                | AskFailed::Answer(_)
        )
    }
}

/// Shared by all calls.
pub(crate) struct Core {
    pub(crate) mesh: Mesh,
    pub(crate) groups: RaftGroups,
    pub(crate) layout: Layout,
    pub(crate) root: Arc<RootView>,
    /// The meta groups this mserver is a member of.
    pub(crate) metas: BTreeMap<MetaGroup, Arc<MetaView>>,
    pub(crate) voter: Addr<Voter>,
    pub(crate) askers: BTreeMap<ServerId, Asker>,
    pub(crate) root_batches: RootBatcher,
    pub(crate) meta_batches: BTreeMap<MetaGroup, MetaBatcher>,
    pub(crate) main_batches: BTreeMap<ServerId, MainBatcher>,
    pub(crate) acceptor: Acceptor,
    pub(crate) supervisor: Supervisor,
    pub(crate) grants: GrantKey,
    /// How long a grant is good for, milliseconds.
    pub(crate) grant_ms: u64,
    pub(crate) ids: FileIds,
    /// Creates this mserver leads now.
    pub(crate) creating: Arc<AtomicU32>,
    /// Load the mservers told with their last vote; a shared table, because each call is a task of
    /// its own.
    pub(crate) loads: DashMap<ServerId, u32, FixedHasher>,
    /// Counts the creates this mserver has led.
    pub(crate) sequence: AtomicU64,
    /// Lost mservers that no group here names any more; a status on another task reads it.
    pub(crate) forgotten: watch::Sender<Vec<Loss>>,
    /// Paths whose operations are told.
    pub(crate) traced: TracedPaths,
    /// How the names decided of late came to be.
    pub(crate) timelines: Timelines,
    /// Calls being served.
    pub(crate) calls: AtomicUsize,
}

impl Core {
    pub(crate) fn me(&self) -> ServerId {
        self.mesh.me()
    }

    /// The group whose dservers are to keep a file of that path: FastDFS files are kept so.
    pub(crate) fn group_of(&self, path: &FilePath) -> Option<&Arc<str>> {
        let mut names = path.names();
        let is_fastdfs = names.next() == Some(FASTDFS_FOLDER);
        let named = names.next().filter(|_| is_fastdfs)?;
        let groups = self.mesh.config().groups.names();
        groups.into_iter().find(|group| ***group == *named)
    }

    /// Commits a command of the root group.
    pub(crate) async fn propose_root(
        &self,
        command: RootCommand,
        deadline: Deadline,
    ) -> Result<RootAnswer, Refusal> {
        let bytes = weight(&command);
        let step = Trace::step();
        let answer = self.root_batches.submit((command, deadline), bytes);
        let answer = match tokio::time::timeout_at(deadline.instant(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => Err(propose_refusal(fault)),
            Err(_) => Err(unknown("the deadline passed before the decision was known")),
        };
        tell_committed(step, GroupId::ROOT, &answer);
        answer
    }

    /// Commits a command of a meta group.
    pub(crate) async fn propose_meta(
        &self,
        group: MetaGroup,
        command: MetaCommand,
        deadline: Deadline,
    ) -> Result<MetaAnswer, Refusal> {
        let Some(batches) = self.meta_batches.get(&group) else {
            return Err(no_group(group));
        };
        let bytes = weight(&command);
        let step = Trace::step();
        let answer = batches.submit((command, deadline), bytes);
        let answer = match tokio::time::timeout_at(deadline.instant(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => Err(propose_refusal(fault)),
            Err(_) => Err(unknown("the deadline passed before the commit was known")),
        };
        tell_committed(step, raft_group(group), &answer);
        answer
    }

    /// After this the root group's state here holds everything answered before, anywhere.
    pub(crate) async fn root_barrier(&self, deadline: Deadline) -> Result<(), Refusal> {
        let done = self.groups.read_barrier(GroupId::ROOT, deadline).await;
        done.map_err(|fault| self.read_refusal(&fault))
    }

    /// That a user has a right at a path. One who has not, as far as is known here, may have got
    /// it since: nobody is refused what he was told he may do.
    pub(crate) async fn check_right(
        &self,
        user: &UserName,
        access: Access,
        path: &FilePath,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        match self.root.users().check(user, access, path) {
            Err(Refusal::Denied { .. }) => {
                self.root_barrier(deadline).await?;
                self.root.users().check(user, access, path)
            }
            checked => checked,
        }
    }

    /// As [`Core::root_barrier`], for a meta group this mserver is a member of.
    pub(crate) async fn meta_barrier(
        &self,
        group: MetaGroup,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        let done = self.groups.read_barrier(raft_group(group), deadline).await;
        done.map_err(|fault| self.read_refusal(&fault))
    }

    /// Asks another server, or this one.
    pub(crate) async fn ask<C: Call>(
        &self,
        to: ServerId,
        call: &C,
        deadline: Deadline,
    ) -> Result<C::Reply, AskFailed> {
        ask(&self.mesh, to, call, deadline).await
    }

    fn read_refusal(&self, fault: &ReadError) -> Refusal {
        match fault {
            ReadError::Deadline => {
                let voters = self.layout.mservers();
                let heard = voters.iter().filter(|id| self.mesh.is_up(**id)).count();
                let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                Refusal::NoQuorum {
                    heard: count(heard),
                    voters: count(voters.len()),
                }
            }
            other => Refusal::Busy {
                why: other.to_string(),
            },
        }
    }
}

/// The line about a command that is durable with a majority and applied here, or what else became
/// of it.
fn tell_committed<T>(step: Option<(Trace, Instant)>, group: GroupId, answer: &Result<T, Refusal>) {
    if let Some((trace, begun)) = step {
        let (us, outcome) = (us_since(begun), Refusal::outcome(answer));
        match answer {
            Ok(_) => tell!(trace, group = group.0, us, "committed"),
            Err(_) => tell!(trace, group = group.0, us, outcome, "not committed"),
        }
    }
}

/// Asks a server and decodes its answer.
pub(crate) async fn ask<C: Call>(
    mesh: &Mesh,
    to: ServerId,
    call: &C,
    deadline: Deadline,
) -> Result<C::Reply, AskFailed> {
    let kind = C::KIND.to_wire();
    let reply = mesh
        .call(to, kind, wire::encode(call), Payload::default(), deadline)
        .await?;
    match wire::decode_answer(&reply.head) {
        Ok(answer) => Ok(answer?),
        Err(fault) => Err(AskFailed::Answer(fault.to_string())),
    }
}

/// The batches of commands to the root group.
pub(crate) fn root_batches(groups: &RaftGroups) -> RootBatcher {
    let groups = groups.clone();
    Batcher::start(move |items: Vec<(RootCommand, Deadline)>| {
        let groups = groups.clone();
        async move {
            let (commands, deadline) = together(items);
            let command = wire::encode(&commands);
            let answer = groups.propose(GroupId::ROOT, command, deadline).await?;
            wire::decode::<RootAnswers>(&answer).map_err(|_| ProposeError::Unknown)
        }
    })
}

/// The batches of commands to a meta group.
pub(crate) fn meta_batches(groups: &RaftGroups, group: MetaGroup) -> MetaBatcher {
    let groups = groups.clone();
    Batcher::start(move |items: Vec<(MetaCommand, Deadline)>| {
        let groups = groups.clone();
        async move {
            let (commands, deadline) = together(items);
            let command = wire::encode(&commands);
            let answer = groups.propose(raft_group(group), command, deadline).await?;
            wire::decode::<MetaAnswers>(&answer).map_err(|_| ProposeError::Unknown)
        }
    })
}

/// The items of a batch and its deadline: that of the most patient, each waits only for its own.
pub(crate) fn together<T>(items: Vec<(T, Deadline)>) -> (Vec<T>, Deadline) {
    let mut latest = None;
    let items = items
        .into_iter()
        .map(|(item, deadline)| {
            latest = latest.max(Some(deadline));
            item
        })
        .collect();
    (items, latest.unwrap_or_else(|| Deadline::after_ms(0)))
}

/// Bytes a command takes in an entry of the log.
fn weight<T: serde::Serialize>(command: &T) -> usize {
    // A command that does not encode is refused where it is encoded.
    postcard::serialize_with_flavor(command, postcard::ser_flavors::Size::default()).unwrap_or(0)
}

pub(crate) fn unknown(why: &str) -> Refusal {
    Refusal::Unknown {
        why: why.to_owned(),
    }
}

pub(crate) fn no_group(group: MetaGroup) -> Refusal {
    Refusal::Malformed {
        why: format!("there is no meta group {}", group.0),
    }
}

fn propose_refusal(fault: BatchFault<ProposeError>) -> Refusal {
    match fault {
        BatchFault::Full => Refusal::Busy {
            why: "too many proposals are waiting".to_owned(),
        },
        BatchFault::Ended => unknown("this server is stopping"),
        BatchFault::Failed(ProposeError::Unknown) => {
            unknown("the proposal was not answered in time")
        }
        BatchFault::Failed(other) => Refusal::Busy {
            why: other.to_string(),
        },
    }
}
