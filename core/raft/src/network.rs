//! openraft's calls to another member, over the wire.

use crate::identity::{Address, Identity};
use crate::ids::GroupId;
use crate::limits::{APPEND_WAIT, SNAPSHOT_PIECE_WAIT};
use crate::messages::{
    AskPreVote, AskVote, Call, NotServed, PieceReply, SnapshotPiece, Transfer, decode, encode,
    encode_append,
};
use crate::snapshot::{Pieces, SnapshotBody};
use crate::types::{RaftSnapshot, RpcError, Types, Vote, node_of, server_of};
use crate::wire::{Request, Wire};
use futures::future::{Either, select};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use sdfs_server_group::{CallError, Deadline, Payload, ServerId};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a member that cannot be reached is left alone. Whether it is up is known locally, so
/// asking again is cheap.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes a group's ways to its members.
pub(crate) struct Network {
    pub(crate) group: GroupId,
    pub(crate) wire: Arc<dyn Wire>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, identity: &Identity) -> Way {
        Way {
            address: Address {
                group: self.group,
                to: *identity,
            },
            wire: Arc::clone(&self.wire),
            to: server_of(target),
        }
    }
}

/// The way of one group to one member.
pub(crate) struct Way {
    address: Address,
    wire: Arc<dyn Wire>,
    to: ServerId,
}

/// Why a call to another server has no usable answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("server {0} refused: {1}")]
    NotServed(ServerId, NotServed),
    #[error("the reply of server {0} is malformed")]
    Malformed(ServerId),
}

/// Sends a call and decodes the reply.
pub(crate) async fn ask<C: Call>(
    wire: &dyn Wire,
    to: ServerId,
    call: &C,
    payload: Payload,
    deadline: Deadline,
) -> Result<(C::Reply, Payload), AskError> {
    let request = Request {
        kind: C::KIND,
        head: encode(call),
        payload,
    };
    let reply = wire.call(to, request, deadline).await?;
    match decode::<Result<C::Reply, NotServed>>(&reply.head) {
        Ok(Ok(answer)) => Ok((answer, reply.payload)),
        Ok(Err(refused)) => Err(AskError::NotServed(to, refused)),
        Err(_) => Err(AskError::Malformed(to)),
    }
}

impl Way {
    async fn ask<C: Call>(
        &self,
        action: RPCTypes,
        call: &C,
        payload: Payload,
        wait: Duration,
    ) -> Result<C::Reply, RpcError> {
        let asked = ask(
            self.wire.as_ref(),
            self.to,
            call,
            payload,
            Deadline::after(wait),
        )
        .await;
        asked
            .map(|(reply, _)| reply)
            .map_err(|error| self.rpc_error(action, wait, &error))
    }

    fn rpc_error(&self, action: RPCTypes, timeout: Duration, error: &AskError) -> RpcError {
        let (id, target) = (node_of(self.wire.me()), node_of(self.to));
        match error {
            AskError::Call(CallError::Deadline) => RpcError::Timeout(Timeout {
                action,
                id,
                target,
                timeout,
            }),
            AskError::Call(CallError::Full) => RpcError::Network(NetworkError::new(error)),
            // Asking a member that cannot answer again at once would be a busy loop.
            _ => RpcError::Unreachable(Unreachable::new(error)),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: RaftSnapshot,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let SnapshotBody::Ours(state) = snapshot.snapshot else {
            return Err(unsendable("only this member's own snapshots are sent"));
        };
        let transfer = getrandom::u64().map_err(|_| unsendable("the system has no randomness"))?;
        let mut pieces = Pieces::of(&state);
        let mut number = 0;
        loop {
            let (piece, is_last) = pieces
                .next_piece()
                .map_err(|error| unsendable(&error.to_string()))?;
            let end = is_last.then(|| snapshot.meta.clone());
            let call = SnapshotPiece {
                address: self.address,
                vote,
                transfer,
                number,
                end,
            };
            let wait = SNAPSHOT_PIECE_WAIT;
            match self
                .ask(RPCTypes::InstallSnapshot, &call, piece.into(), wait)
                .await?
            {
                PieceReply::Taken => number += 1,
                PieceReply::Installed(response) => return Ok(response),
                PieceReply::Restart => {
                    return Err(unsendable("the receiver lost an earlier piece"));
                }
            }
        }
    }
}

fn unsendable(why: &str) -> StreamingError<Types> {
    StreamingError::Unreachable(Unreachable::from_string(why))
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = SnapshotBody;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        let (call, run) = encode_append(self.address, &rpc);
        // Without entries it is a heartbeat, and the next one comes soon. Entries have to reach
        // the member's disk: asking again while they do would only write them twice.
        let wait = if call.count == 0 {
            option.soft_ttl()
        } else {
            APPEND_WAIT
        };
        self.ask(RPCTypes::AppendEntries, &call, run.into(), wait)
            .await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let call = AskVote {
            address: self.address,
            request,
        };
        self.ask(RPCTypes::Vote, &call, Payload::new(), option.soft_ttl())
            .await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let call = AskPreVote {
            address: self.address,
            request,
        };
        self.ask(RPCTypes::Vote, &call, Payload::new(), option.soft_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = std::pin::pin!(self.send_snapshot(vote, snapshot));
        match select(sending, std::pin::pin!(cancel)).await {
            Either::Left((sent, _)) => sent,
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        let call = Transfer {
            address: self.address,
            from: *request.from_leader(),
            to: *request.to_node_id(),
            last: request.last_log_id().copied(),
        };
        self.ask(
            RPCTypes::TransferLeader,
            &call,
            Payload::new(),
            option.soft_ttl(),
        )
        .await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}
