//! Stores one block on a volume: at a member that is near and idle, elsewhere when that fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::blocks::WriteBlock;
use sdfs_types::{
    BlockDescriptor, BlockEntry, BlockIndex, Epoch, Refusal, ServerId, Volume, VolumeId, wire,
};
use tokio::time::Instant;

use crate::client::{Client, Shared, call_peer};
use crate::counters::count;
use crate::error::Error;
use crate::journey::definite;
use crate::limits::{ATTEMPT_CHANGE, BLOCK_BYTES_PER_S_MIN, REFRESHES_MAX};
use crate::pause::{pause, random};
use crate::pool::OnTheWay;
use crate::ranking::{Member, choose_volume, rank};
use crate::retry::{Next, verdict};
use crate::target::Target;
use crate::trouble::Trouble;
use crate::verify::crc32c;
use crate::version::VersionChoice;

/// Where an attempt goes to.
struct Place {
    volume: VolumeId,
    epoch: Epoch,
    server: ServerId,
    address: SocketAddr,
}

/// The attempts at one block so far.
struct Storing<'a> {
    client: &'a Client,
    target: &'a Target,
    block: BlockIndex,
    choice: VersionChoice,
    /// Volumes that did not take it in this round.
    failed: Vec<VolumeId>,
    /// Members of the present volume that did not answer.
    tried: Vec<ServerId>,
    failures: u32,
    renewals: u32,
    begin: Instant,
}

impl Client {
    /// Stores one block of a file and returns the entry to commit, for as long as the transfer has
    /// patience: whoever waits for this has an eye on that. Nobody sees the block before the
    /// commit, so a failure here is definite.
    pub(crate) async fn store(
        &self,
        target: &Target,
        block: BlockIndex,
        choice: VersionChoice,
        data: Payload,
    ) -> Result<BlockEntry, Error> {
        self.within(self.try_to_store(target, block, choice, data))
            .await
    }

    async fn try_to_store(
        &self,
        target: &Target,
        block: BlockIndex,
        choice: VersionChoice,
        data: Payload,
    ) -> Result<BlockEntry, Error> {
        let allowance = travel(data.len());
        let mut storing = Storing {
            client: self,
            target,
            block,
            choice,
            failed: Vec::new(),
            tried: Vec::new(),
            failures: 0,
            renewals: 0,
            begin: Instant::now(),
        };
        let crc32c = crc32c(&data);
        loop {
            let Some(place) = storing.place() else {
                storing.next_round().await?;
                continue;
            };
            let limit = Deadline::after(ATTEMPT_CHANGE + allowance);
            let call = storing.call(&place, crc32c);
            match self.shared.write(&place, &call, data.clone(), limit).await {
                Ok(()) => {
                    return Ok(BlockEntry {
                        version: storing.choice.proposed(),
                        volume: place.volume,
                        length_bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
                        crc32c,
                    });
                }
                Err(trouble) => storing.failed(&place, trouble).await?,
            }
        }
    }
}

impl Shared {
    async fn write(
        &self,
        place: &Place,
        call: &WriteBlock,
        data: Payload,
        limit: Deadline,
    ) -> Result<(), Trouble> {
        let peer = self
            .pool
            .link(place.address, limit)
            .await
            .map_err(Trouble::Connect)?;
        let head: Bytes = wire::encode(call);
        let counted = OnTheWay::begin(&peer, data.len() as u64);
        let outcome = call_peer::<WriteBlock>(&peer, head, data, limit).await;
        drop(counted);
        outcome.map(|_| ())
    }

    /// The members of a volume, the best to ask first.
    pub(crate) fn ranked(&self, servers: impl Iterator<Item = ServerId>, turn: u64) -> Vec<Member> {
        let topology = self.pool.topology();
        let mut members: Vec<_> = servers
            .map(|server| {
                let Some(address) = topology.place(server).map(|place| place.address) else {
                    return Member {
                        server,
                        rtt: None,
                        waiting_bytes: 0,
                        is_avoided: true,
                    };
                };
                let way = self.pool.way(address);
                Member {
                    server,
                    rtt: way.rtt,
                    waiting_bytes: self.pool.waiting_bytes(address),
                    is_avoided: way.is_avoided() || self.pool.is_down(address),
                }
            })
            .collect();
        rank(&mut members, turn);
        members
    }

    fn is_avoided(&self, server: ServerId) -> bool {
        self.address_of(server)
            .is_none_or(|address| self.pool.way(address).is_avoided() || self.pool.is_down(address))
    }

    /// Others than that server are better asked for a while.
    pub(crate) fn leave_server(&self, server: ServerId) {
        if let Some(address) = self.address_of(server) {
            self.leave(address);
        }
    }
}

/// The time a block may take beyond an empty one's.
pub(crate) fn travel(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1_000 / BLOCK_BYTES_PER_S_MIN)
}

impl Storing<'_> {
    fn call(&self, place: &Place, crc32c: u32) -> WriteBlock {
        WriteBlock {
            volume: place.volume,
            epoch: place.epoch,
            block: BlockDescriptor {
                file: self.target.descriptor,
                block: self.block,
                version: self.choice.proposed(),
            },
            crc32c,
            durability: self.client.durability(),
            grant: Some(self.target.grant()),
        }
    }

    /// The next place to try: the planned volumes in turn, then any other.
    fn place(&mut self) -> Option<Place> {
        let shared = &self.client.shared;
        loop {
            let volume = self.volume()?;
            // Small files have one block each: their ids spread them over the members.
            let in_plan = u64::from(self.block.0) / self.target.plan.len().max(1) as u64;
            let turn = u64::from(self.target.descriptor.id.0) + in_plan;
            let member = shared
                .ranked(volume.readable(), turn)
                .into_iter()
                .filter(|member| !self.tried.contains(&member.server))
                .find_map(|member| Some((member.server, shared.address_of(member.server)?)));
            if let Some((server, address)) = member {
                let (volume, epoch) = (volume.id, volume.epoch);
                return Some(Place {
                    volume,
                    epoch,
                    server,
                    address,
                });
            }
            self.give_up_volume(volume.id);
        }
    }

    fn volume(&self) -> Option<Arc<Volume>> {
        let shared = &self.client.shared;
        let plan = &self.target.plan;
        let begin = usize::from(self.block.0) % plan.len().max(1);
        let planned: Vec<_> = plan[begin..]
            .iter()
            .chain(&plan[..begin])
            .filter_map(|id| shared.volume(*id))
            .collect();
        let planned = planned.iter().map(|volume| &**volume);
        let is_avoided = |server| shared.is_avoided(server);
        let chosen = choose_volume(planned, &self.failed, is_avoided).or_else(|| {
            let mut all: Vec<_> = shared
                .volumes
                .iter()
                .map(|entry| Arc::clone(&entry))
                .collect();
            all.sort_by_key(|volume| volume.id);
            let begin = usize::from(self.block.0) % all.len().max(1);
            all.rotate_left(begin);
            choose_volume(all.iter().map(|volume| &**volume), &self.failed, is_avoided)
        });
        shared.volume(chosen?)
    }

    fn give_up_volume(&mut self, volume: VolumeId) {
        self.failed.push(volume);
        self.tried.clear();
    }

    /// No volume took it: looks at the map again after a pause.
    async fn next_round(&mut self) -> Result<(), Error> {
        self.failed.clear();
        self.tried.clear();
        self.failures += 1;
        let wait = pause(self.failures, random());
        if wait >= self.deadline().remaining() {
            let why = "no volume took the block in time".to_owned();
            return Err(Error::Refused(Refusal::NoVolume { why }));
        }
        tokio::time::sleep(wait).await;
        self.client.refresh_volumes(self.deadline()).await
    }

    /// Ends the attempts, unless other blocks of the transfer get on meanwhile.
    fn deadline(&self) -> Deadline {
        self.target.patience.deadline()
    }

    async fn failed(&mut self, place: &Place, trouble: Trouble) -> Result<(), Error> {
        let shared = &self.client.shared;
        let verdict = verdict(&trouble);
        tracing::debug!(server = %place.server, block = %self.block, ?trouble, "block not stored");
        count(&shared.counting.retries);
        if verdict.is_server_at_fault {
            shared.leave(place.address);
        }
        if self.deadline().is_over() {
            return Err(self.end(trouble));
        }
        match verdict.next {
            Next::Elsewhere => self.tried.push(place.server),
            Next::Here | Next::Pause => self.wait(trouble).await?,
            Next::OtherVolume => self.other_volume(place, trouble).await?,
            Next::SkipVersion if self.choice.taken() => {}
            Next::SkipVersion => return Err(Error::NoVersion { block: self.block }),
            Next::RefreshGrant if self.renewals < REFRESHES_MAX => {
                self.renewals += 1;
                self.target.renew(self.client, self.deadline()).await?;
            }
            Next::RefreshGrant | Next::RefreshFile | Next::GiveUp => return Err(self.end(trouble)),
        }
        Ok(())
    }

    async fn other_volume(&mut self, place: &Place, trouble: Trouble) -> Result<(), Error> {
        let shared = &self.client.shared;
        match &trouble {
            Trouble::Refused(Refusal::StaleEpoch { current }) => {
                shared.learn_volume(current);
                if current.epoch <= place.epoch {
                    // The member has yet to hear of the epoch the map has.
                    return self.wait(trouble).await;
                }
                self.tried.clear();
            }
            Trouble::Refused(Refusal::CopyFailed { server, .. }) => {
                shared.leave_server(*server);
                self.give_up_volume(place.volume);
            }
            _ => self.give_up_volume(place.volume),
        }
        Ok(())
    }

    async fn wait(&mut self, trouble: Trouble) -> Result<(), Error> {
        self.failures += 1;
        let wait = pause(self.failures, random());
        if wait >= self.deadline().remaining() {
            return Err(self.end(trouble));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn end(&self, trouble: Trouble) -> Error {
        definite(
            trouble,
            self.client.shared.room(self.begin, self.deadline()),
        )
    }
}
