//! What a member keeps after a sync that no source it could go through has: which of it is
//! nobody's any more.

use std::collections::BTreeSet;

use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::negotiation::AreNeeded;
use sdfs_types::{BlockDescriptor, Refusal, VolumeId};
use tokio::time::{Instant, sleep};

use crate::limits::{NEEDED_ASKED_FOR, NEEDED_PAUSE, NEEDED_WAIT};
use crate::peers::{AskFault, Peers, ask};

/// The blocks of these that can be dropped.
///
/// What no member in sync has was never acknowledged, or was freed. A member that keeps it all the
/// same gives it to the next one that syncs, and so it would be back for good. When every source
/// was heard nobody has it. While one was silent it may have been that one's alone, so mservers
/// are asked: a block that a file may need is kept. When none of them can say for a while all are
/// kept, for a copy more is worth more than what they take. An anonymous block has no record, and
/// is dropped.
pub(crate) async fn droppable(
    peers: &dyn Peers,
    volume: VolumeId,
    surplus: BTreeSet<BlockDescriptor>,
    has_heard_all: bool,
) -> Vec<BlockDescriptor> {
    if has_heard_all {
        return surplus.into_iter().collect();
    }
    let (mut dropped, named): (Vec<_>, Vec<_>) = surplus
        .into_iter()
        .partition(|block| block.file.is_anonymous());
    for blocks in named.chunks(AreNeeded::BLOCKS_MAX) {
        let Some(needed) = are_needed(peers, volume, blocks).await else {
            tracing::warn!(%volume, "nobody says whose blocks are, so they are kept");
            break;
        };
        let nobodys = blocks.iter().zip(needed).filter(|(_, needed)| !needed);
        dropped.extend(nobodys.map(|(block, _)| *block));
    }
    dropped
}

/// Asks one mserver after the other until one can say.
async fn are_needed(
    peers: &dyn Peers,
    volume: VolumeId,
    blocks: &[BlockDescriptor],
) -> Option<Vec<bool>> {
    let call = AreNeeded {
        volume,
        blocks: blocks.to_vec(),
    };
    let until = Instant::now() + NEEDED_ASKED_FOR;
    while Instant::now() < until {
        for mserver in peers.mservers() {
            let asked = (&call, Payload::default());
            match ask(peers, mserver, asked, Deadline::after(NEEDED_WAIT)).await {
                Ok((needed, _)) if needed.len() == blocks.len() => return Some(needed),
                // One of an earlier version; another one may be of this.
                Err(AskFault::Refused(Refusal::NotServed)) => {}
                answer => tracing::debug!(%mserver, %volume, ?answer, "not told what is needed"),
            }
        }
        sleep(NEEDED_PAUSE).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use sdfs_server_group::{CallError, Load, ReplyBody, ServerId};
    use sdfs_types::{BlockIndex, BlockVersion, FileDescriptor, FileId, FileVersion, wire};

    use super::*;

    type Answer = Result<Vec<bool>, Refusal>;

    /// Mservers that give these answers in turn, and the last one again and again.
    struct Mservers(Mutex<Vec<Answer>>);

    impl Peers for Mservers {
        fn me(&self) -> ServerId {
            ServerId(9)
        }

        fn call(
            &self,
            _: ServerId,
            _: u16,
            _: (Bytes, Payload),
            _: Deadline,
        ) -> BoxFuture<'static, Result<ReplyBody, CallError>> {
            let mut answers = self.0.lock().unwrap();
            let answer = match answers.len() {
                1 => answers[0].clone(),
                _ => answers.remove(0),
            };
            let head = wire::encode_answer(&answer);
            let payload = Payload::default();
            let is_told = false;
            let body = ReplyBody {
                head,
                payload,
                is_told,
            };
            async move { Ok(body) }.boxed()
        }

        fn mservers(&self) -> Vec<ServerId> {
            vec![ServerId(1), ServerId(2)]
        }

        fn dservers(&self) -> Vec<ServerId> {
            Vec::new()
        }

        fn set_load(&self, _: Load) {}

        fn load(&self, _: ServerId) -> Option<Load> {
            None
        }
    }

    fn block(file: u32) -> BlockDescriptor {
        BlockDescriptor {
            file: FileDescriptor {
                id: FileId(file),
                version: FileVersion(1),
            },
            block: BlockIndex(0),
            version: BlockVersion(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_needs_is_dropped() {
        let busy = || {
            Err(Refusal::Busy {
                why: "no majority".to_owned(),
            })
        };
        let (older, told) = (|| Err(Refusal::NotServed), || Ok(vec![true, false]));
        let all = vec![block(1), block(2)];
        let table: [(Vec<Answer>, bool, Vec<BlockDescriptor>); 7] = [
            (vec![busy()], true, all),
            (vec![told()], false, vec![block(2)]),
            (vec![busy(), told()], false, vec![block(2)]),
            (vec![older(), busy(), busy(), told()], false, vec![block(2)]),
            (vec![Ok(vec![false]), told()], false, vec![block(2)]),
            // Nobody can say.
            (vec![busy()], false, vec![]),
            (vec![older()], false, vec![]),
        ];
        for (answers, has_heard_all, dropped) in table {
            let peers = Mservers(Mutex::new(answers.clone()));
            let surplus = [block(1), block(2)].into();
            let told = droppable(&peers, VolumeId(1), surplus, has_heard_all).await;
            assert_eq!(told, dropped, "{answers:?}");
        }
    }
}
