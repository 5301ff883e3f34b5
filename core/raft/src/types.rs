//! The types openraft is instantiated with. The only place that names them; other files use
//! these names.

use crate::identity::Identity;
use bytes::Bytes;
use openraft::alias;
use sdfs_server_group::ServerId;
use serde::{Deserialize, Serialize};
use std::fmt;

openraft::declare_raft_types!(
    /// Commands and answers are bytes; a node is a server's number and who it is in the
    /// group. It needs no address: the mesh knows it.
    pub(crate) Types:
        D = Command,
        R = Answer,
        NodeId = u64,
        Node = Identity,
        AsyncRuntime = crate::runtime::Runtime,
);

pub(crate) type LogId = alias::LogIdOf<Types>;
pub(crate) type LeaderId = alias::CommittedLeaderIdOf<Types>;
pub(crate) type Vote = alias::VoteOf<Types>;
pub(crate) type Entry = alias::EntryOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Identity>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub(crate) type RaftSnapshot = alias::SnapshotOf<Types, crate::snapshot::SnapshotBody>;
pub(crate) type Raft = openraft::Raft<Types, crate::applier::Applier>;
pub(crate) type RpcError = openraft::errors::RPCError<Types>;
pub(crate) type Payload = openraft::EntryPayload<Command, u64, Identity>;

/// A command of a state machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A state machine's answer. Membership and blank entries have an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Bytes);

/// The number openraft knows a server by.
pub(crate) fn node_of(server: ServerId) -> u64 {
    u64::from(server.0)
}

/// The server openraft means; node numbers are only ever made from servers.
pub(crate) fn server_of(node: u64) -> ServerId {
    ServerId(u16::try_from(node).unwrap_or(u16::MAX))
}
