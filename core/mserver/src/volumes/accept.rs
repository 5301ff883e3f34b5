//! Finding dservers for a new file: every member of the picked volume is asked and accepts, or
//! another volume is tried. Silence is never taken for acceptance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use sdfs_server_group::{Deadline, ServerId};
use sdfs_types::calls::blocks::AcceptAsk;
use sdfs_types::{
    BlockSize, FileDescriptor, Refusal, TraceStep, TraceWhat, Volume, VolumeId, VolumeStatus,
};

use super::door::{Servers, labels_of};
use super::lanes::{self, AskFailed, LanesHandle};
use super::limits::{ACCEPT_AGAIN, ACCEPT_SILENCE, ACCEPT_WAIT_MAX};
use super::machine::VolumeWatch;
use super::placement::{self, Shares};

/// A new file that needs volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWanted {
    /// Which file.
    pub descriptor: FileDescriptor,
    /// Its declared size.
    pub size_bytes: u64,
    /// Size of its blocks.
    pub block_size: BlockSize,
    /// When its create began here: the steps count from it.
    pub began: Instant,
}

impl FileWanted {
    /// Room to reserve in each of `volumes`: one block at most, since what is declared and never
    /// written takes none.
    fn reserve_bytes(&self, volumes: usize) -> u64 {
        let share = self.size_bytes.div_ceil(volumes.max(1) as u64);
        share.min(self.block_size.bytes())
    }
}

/// Dservers have accepted a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The volumes for its blocks, used in turn; every member of each has accepted.
    pub volumes: Vec<Volume>,
    /// What happened on the way.
    pub steps: Vec<TraceStep>,
}

impl Accepted {
    /// The plan as file-meta-data keeps it.
    pub fn plan(&self) -> Vec<VolumeId> {
        self.volumes.iter().map(|volume| volume.id).collect()
    }
}

/// Finds volumes for new files. Cheap to clone; all clones share the batches to each dserver.
#[derive(Clone)]
pub struct Acceptor {
    servers: Arc<dyn Servers>,
    lanes: LanesHandle,
    map: VolumeWatch,
    shares: watch::Receiver<Arc<Shares>>,
    /// Deals volumes to files; shared so that no two files get the same number.
    dice: Arc<AtomicU64>,
}

/// What was found so far for one file.
#[derive(Default)]
struct Search {
    found: Vec<Volume>,
    tried: Vec<VolumeId>,
    steps: Vec<TraceStep>,
    why: Option<String>,
}

impl Acceptor {
    /// Runs until the last clone is dropped. Call it on a tokio runtime.
    pub fn start(servers: Arc<dyn Servers>, map: VolumeWatch) -> Acceptor {
        let (lanes, shares) = lanes::start(Arc::clone(&servers), map.clone());
        // Mservers that start together deal differently from the first file on.
        let seed = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Acceptor {
            servers,
            lanes,
            map,
            shares,
            dice: Arc::new(AtomicU64::new(seed)),
        }
    }

    /// Finds volumes whose members all accept the file. While there are none, waits for some a
    /// little: a member that has just failed is soon fenced.
    ///
    /// # Errors
    /// [`Refusal::NoVolume`] when none was found in time, at once [`Refusal::VolumesFull`] when
    /// that is why.
    pub async fn accept(
        &self,
        wanted: FileWanted,
        deadline: Deadline,
    ) -> Result<Accepted, Refusal> {
        let give_up = deadline.earlier(Deadline::after(ACCEPT_WAIT_MAX));
        let volumes = placement::plan_volumes(Some(wanted.size_bytes), wanted.block_size);
        let reserve_bytes = wanted.reserve_bytes(volumes);
        let mut search = Search::default();
        loop {
            let missing = volumes - search.found.len();
            let picked = self.pick((missing, reserve_bytes), None, &mut search.tried);
            if picked.is_empty() {
                if !search.found.is_empty() {
                    break;
                }
                self.wait_for_shares(give_up, None, search.why.take())
                    .await?;
                search.tried.clear();
                continue;
            }
            let tries = picked.into_iter().map(|volume| {
                let until = give_up.earlier(Deadline::after(ACCEPT_SILENCE));
                self.offer(volume, &wanted, reserve_bytes, until)
            });
            for offered in join_all(tries).await {
                search.steps.extend(offered.steps);
                match offered.outcome {
                    Ok(volume) => search.found.push(volume),
                    Err(why) => search.why = Some(why),
                }
            }
            if search.found.len() >= volumes {
                break;
            }
        }
        search.steps.sort_by_key(|step| step.at_us);
        Ok(Accepted {
            volumes: search.found,
            steps: search.steps,
        })
    }

    /// Volumes for a file to be written at once, whose dservers are asked by the writes
    /// themselves; within a group if one is named. Asks nobody.
    ///
    /// # Errors
    /// [`Refusal::NoVolume`] when no volume takes blocks now.
    pub fn plan(
        &self,
        size_bytes: Option<u64>,
        block_size: BlockSize,
        within: Option<&Arc<str>>,
    ) -> Result<Vec<Volume>, Refusal> {
        let volumes = placement::plan_volumes(size_bytes, block_size);
        let share = size_bytes.unwrap_or(0).div_ceil(volumes as u64);
        let picked = self.pick((volumes, share), within, &mut Vec::new());
        if picked.is_empty() {
            Err(self.no_volume(within, None))
        } else {
            Ok(picked)
        }
    }

    /// As [`Acceptor::plan`], and waits a little while there are none.
    ///
    /// # Errors
    /// [`Refusal::NoVolume`] when there were none in time, at once [`Refusal::VolumesFull`] when
    /// that is why.
    pub async fn plan_soon(
        &self,
        size_bytes: Option<u64>,
        (block_size, within): (BlockSize, Option<&Arc<str>>),
        deadline: Deadline,
    ) -> Result<Vec<Volume>, Refusal> {
        let give_up = deadline.earlier(Deadline::after(ACCEPT_WAIT_MAX));
        loop {
            match self.plan(size_bytes, block_size, within) {
                Ok(volumes) => return Ok(volumes),
                Err(_) => self.wait_for_shares(give_up, within, None).await?,
            }
        }
    }

    /// Up to `count` different volumes that were not tried, and counts them as tried.
    fn pick(
        &self,
        (count, bytes): (usize, u64),
        within: Option<&Arc<str>>,
        tried: &mut Vec<VolumeId>,
    ) -> Vec<Volume> {
        let shares = Arc::clone(&self.shares.borrow());
        let map = Arc::clone(&self.map.borrow());
        let mut picked = Vec::with_capacity(count);
        while picked.len() < count {
            let dice = self.dice.fetch_add(1, Ordering::Relaxed);
            let Some(id) = shares.pick(bytes, within, tried, dice) else {
                break;
            };
            tried.push(id);
            // The shares may be a moment old: what the map and the mesh say now holds.
            let volume = map.volumes.get(&id).filter(|volume| {
                volume.is_writable() && volume.acknowledging().all(|m| self.servers.is_up(m))
            });
            picked.extend(volume.cloned());
        }
        picked
    }

    async fn wait_for_shares(
        &self,
        until: Deadline,
        within: Option<&Arc<str>>,
        why: Option<String>,
    ) -> Result<(), Refusal> {
        // Room comes back when somebody deletes, which no creator waits for.
        if let Some(full) = self.all_full(within) {
            return Err(full);
        }
        if until.is_over() {
            return Err(self.no_volume(within, why));
        }
        let again = until.earlier(Deadline::after(ACCEPT_AGAIN));
        let mut shares = self.shares.clone();
        // A clone has seen what the original has, which never looks for changes: without this
        // it would find the first one ever again and wait for nothing.
        shares.mark_unchanged();
        match timeout_at(again.instant(), shares.changed()).await {
            // Nobody weighs volumes any more: the server is about to end.
            Ok(Err(_)) => Err(self.no_volume(within, why)),
            // Whether they changed or the time was up, the next look tells.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// All volumes, or those within a group.
    fn volumes(&self, within: Option<&Arc<str>>) -> Vec<Volume> {
        let labels = labels_of(&*self.servers);
        let map = self.map.borrow();
        let is_within = |volume: &&Volume| within.is_none() || labels.home_of(volume) == within;
        map.volumes.values().filter(is_within).cloned().collect()
    }

    fn no_volume(&self, within: Option<&Arc<str>>, why: Option<String>) -> Refusal {
        let volumes = self.volumes(within);
        let writable = volumes.iter().filter(|volume| volume.is_writable()).count();
        let why = why.unwrap_or_else(|| {
            if volumes.is_empty() {
                "there are no volumes yet; they are made once enough dservers are up".to_owned()
            } else if writable == 0 {
                format!("none of {} volumes takes blocks", volumes.len())
            } else if self.shares.borrow().is_empty() {
                format!("a dserver of each of {writable} writable volumes does not answer")
            } else {
                "no volume has room enough".to_owned()
            }
        });
        Refusal::NoVolume { why }
    }

    /// When every volume is full: says so, with the member that has the least room.
    fn all_full(&self, within: Option<&Arc<str>>) -> Option<Refusal> {
        let volumes = self.volumes(within);
        let is_full = |volume: &Volume| volume.status == VolumeStatus::Full;
        if !volumes.iter().all(is_full) {
            return None;
        }
        let members = volumes.iter().flat_map(Volume::acknowledging);
        let told = members.filter_map(|member| {
            let load = self.servers.load(member)?;
            Some((load.free_bytes, member))
        });
        let (free_bytes, server) = told.min()?;
        Some(Refusal::VolumesFull {
            volumes: u32::try_from(volumes.len()).unwrap_or(u32::MAX),
            server,
            free_bytes,
        })
    }

    /// Asks every member of one volume at the same time. The first that does not accept ends it.
    async fn offer(
        &self,
        volume: Volume,
        wanted: &FileWanted,
        reserve_bytes: u64,
        until: Deadline,
    ) -> Offered {
        let ask = AcceptAsk {
            descriptor: wanted.descriptor,
            volume: volume.id,
            epoch: volume.epoch,
            reserve_bytes,
        };
        let id = volume.id;
        let mut steps = Steps {
            from: wanted.began,
            steps: Vec::new(),
        };
        let mut answers: FuturesUnordered<_> = volume
            .acknowledging()
            .map(|member| {
                steps.add(member, TraceWhat::Offered { volume: id });
                async move { (member, self.lanes.ask(member, ask, until).await) }
            })
            .collect();
        while let Some((member, answer)) = answers.next().await {
            if let Err(failed) = answer {
                let reason = reason(member, &failed);
                steps.add(
                    member,
                    TraceWhat::NotAccepted {
                        volume: id,
                        reason: reason.clone(),
                    },
                );
                return Offered {
                    outcome: Err(reason),
                    steps: steps.steps,
                };
            }
            steps.add(member, TraceWhat::Accepted { volume: id });
        }
        drop(answers);
        Offered {
            outcome: Ok(volume),
            steps: steps.steps,
        }
    }
}

/// What became of one offer.
struct Offered {
    outcome: Result<Volume, String>,
    steps: Vec<TraceStep>,
}

struct Steps {
    from: Instant,
    steps: Vec<TraceStep>,
}

impl Steps {
    fn add(&mut self, server: ServerId, what: TraceWhat) {
        let at_us = u64::try_from(self.from.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.steps.push(TraceStep {
            at_us,
            server,
            what,
        });
    }
}

fn reason(member: ServerId, failed: &AskFailed) -> String {
    match failed {
        AskFailed::Refused(refusal) => format!("server {member}: {refusal}"),
        AskFailed::Silent => format!("server {member} did not answer in time"),
        AskFailed::NotReached => format!("server {member} could not be reached"),
    }
}
