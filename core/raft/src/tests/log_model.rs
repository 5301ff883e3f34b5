//! The shared log against a model: whatever a crash loses, each group's log is the one after some
//! operation that was not yet acknowledged, or the last acknowledged one.

use crate::ids::GroupId;
use crate::limits::{LOG_RESERVE_BYTES, SEGMENTS_MAX};
use crate::raft_log::RaftLog;
use crate::record::Life;
use crate::types::{Command, Entry, LeaderId, LogId, Payload, Types, Vote};
use bytes::Bytes;
use openraft::storage::IOFlushed;
use openraft::type_config::TypeConfigExt;
use openraft::vote::{RaftLeaderId, RaftVote};
use proptest::prelude::*;
use sdfs_log::{CrashLoss, MemoryDisk};
use sdfs_server_group::ServerId;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const ME: ServerId = ServerId(1);
const LIFE: Life = Life([1; 16]);
const SEGMENT_BYTES: u32 = 64 << 10;
const GROUPS: [GroupId; 2] = [GroupId(0), GroupId(1)];
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Step {
    /// So many entries of so many bytes; waited for or not.
    Append {
        entries: u64,
        bytes: usize,
        waits: bool,
    },
    /// Keeps so many sixteenths of the entries, then a new term begins.
    Truncate(u64),
    /// Purges so many sixteenths of the entries.
    Purge(u64),
    Vote,
    Release,
    Crash(CrashLoss),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let loss = prop_oneof![
        Just(CrashLoss::Nothing),
        Just(CrashLoss::Everything),
        any::<u64>().prop_map(CrashLoss::Some)
    ];
    let step = prop_oneof![
        8 => (1_u64..20, 1_usize..3_000, any::<bool>())
            .prop_map(|(entries, bytes, waits)| Step::Append { entries, bytes, waits }),
        1 => (0_u64..16).prop_map(Step::Truncate),
        2 => (0_u64..17).prop_map(Step::Purge),
        1 => Just(Step::Vote),
        2 => Just(Step::Release),
        1 => loss.prop_map(Step::Crash),
    ];
    (0..2_usize, step)
}

/// A group as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl Model {
    fn end(&self) -> u64 {
        let purged = self.purged.map_or(0, |purged| purged.index + 1);
        self.entries
            .last()
            .map_or(purged, |last| last.log_id.index + 1)
    }

    fn at(&self, sixteenths: u64) -> Option<LogId> {
        let place = self.entries.len() as u64 * sixteenths / 16;
        let place = usize::try_from(place).unwrap().checked_sub(1)?;
        Some(self.entries[place].log_id)
    }
}

struct Run {
    disk: MemoryDisk,
    log: RaftLog,
    term: u64,
    /// What each group may be after a crash: the last acknowledged state and all since.
    states: [Vec<Model>; 2],
}

impl Run {
    async fn open(disk: MemoryDisk, states: [Vec<Model>; 2], term: u64) -> Self {
        let is_old = term > 1;
        let door = Arc::new(disk.clone());
        let (log, owner) =
            RaftLog::open(door, Path::new("log"), GROUPS.into_iter(), SEGMENT_BYTES).unwrap();
        assert_eq!(owner, is_old.then_some((ME, LIFE)));
        log.write_opened(ME, LIFE).await.unwrap();
        let mut run = Self {
            disk,
            log,
            term,
            states,
        };
        for group in 0..2 {
            let found = run.found(group).await;
            let may_be = &mut run.states[group];
            assert!(may_be.contains(&found), "{found:?} is none of {may_be:?}");
            *may_be = vec![found];
        }
        run
    }

    async fn found(&self, group: usize) -> Model {
        let entries = self
            .log
            .read(GROUPS[group], 0, u64::MAX, usize::MAX)
            .await
            .unwrap();
        self.log.with(GROUPS[group], |log| Model {
            vote: log.state().vote,
            purged: log.state().purged,
            entries,
        })
    }

    async fn step(mut self, group: usize, step: Step) -> Self {
        let id = GROUPS[group];
        let mut now = self.states[group].last().unwrap().clone();
        match step {
            Step::Append {
                entries,
                bytes,
                waits,
            } => {
                let leader = LeaderId::new(self.term, 1);
                let new: Vec<Entry> = (now.end()..now.end() + entries)
                    .map(|index| {
                        let command = Command(Bytes::from(vec![index as u8; bytes]));
                        let log_id = LogId::new(leader, index);
                        Entry {
                            log_id,
                            payload: Payload::Normal(command),
                        }
                    })
                    .collect();
                now.entries.extend(new.clone());
                let (told, flushed) = Types::oneshot();
                self.log
                    .append(id, new.into_iter(), IOFlushed::signal(told))
                    .await
                    .unwrap();
                self.states[group].push(now);
                if waits {
                    flushed.await.unwrap().unwrap();
                    self.acknowledge(group);
                }
                return self;
            }
            Step::Truncate(sixteenths) => {
                let after = now.at(sixteenths).or(now.purged);
                now.entries.retain(|entry| Some(entry.log_id) <= after);
                self.term += 1;
                self.log
                    .truncate(id, after.map(|after| after.index))
                    .await
                    .unwrap();
            }
            Step::Purge(sixteenths) => {
                let Some(upto) = now.at(sixteenths) else {
                    return self;
                };
                now.entries.retain(|entry| entry.log_id > upto);
                now.purged = Some(upto);
                self.log.purge(id, upto).await.unwrap();
            }
            Step::Vote => {
                self.term += 1;
                let vote = Vote::from_leader_id(LeaderId::new(self.term, 1), true);
                now.vote = Some(vote);
                self.log
                    .write_state(id, |state| state.vote = Some(vote))
                    .await
                    .unwrap();
            }
            Step::Release => {
                self.log.release_segments().await.unwrap();
                return self;
            }
            Step::Crash(loss) => {
                let Self {
                    disk,
                    log,
                    term,
                    states,
                } = self;
                let after = disk.crash(loss);
                drop(log);
                return Self::open(after, states, term + 1).await;
            }
        }
        self.states[group].push(now);
        self.acknowledge(group);
        self
    }

    /// The group's last state is durable.
    fn acknowledge(&mut self, group: usize) {
        let states = &mut self.states[group];
        states.drain(..states.len() - 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn crashes_lose_nothing_acknowledged(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let blank = || vec![Model::default()];
            let mut run = Run::open(MemoryDisk::new(1 << 30), [blank(), blank()], 1).await;
            for (group, step) in steps {
                run = run.step(group, step).await;
                for group in 0..2 {
                    assert_eq!(run.found(group).await, *run.states[group].last().unwrap());
                }
            }
        });
    }
}

#[test]
fn idle_groups_move_out_of_old_segments() {
    // Few entries at once; many when they are little of what is there.
    check_idle_group(3, 100, SEGMENTS_MAX + 1);
    check_idle_group(5_000, 400, 60);
}

fn check_idle_group(entries: u64, rounds: u32, segments_max: usize) {
    run_alone(async {
        let blank = || vec![Model::default()];
        let mut run = Run::open(MemoryDisk::new(1 << 30), [blank(), blank()], 1).await;
        run = run.step(1, Step::Vote).await;
        run = run
            .step(
                1,
                Step::Append {
                    entries,
                    bytes: 10,
                    waits: true,
                },
            )
            .await;
        for _ in 0..rounds {
            run = run
                .step(
                    0,
                    Step::Append {
                        entries: 9,
                        bytes: 2_000,
                        waits: true,
                    },
                )
                .await;
            run = run.step(0, Step::Purge(16)).await;
            run = run.step(0, Step::Release).await;
        }
        // A segment is gone once another thread has made its removal durable.
        let deadline = Instant::now() + PATIENCE;
        while run.log.stats().1 > segments_max {
            assert!(Instant::now() < deadline, "{} segments", run.log.stats().1);
            run = run.step(0, Step::Release).await;
            sleep(Duration::from_millis(2)).await;
        }
        run = run.step(0, Step::Crash(CrashLoss::Everything)).await;
        assert_eq!(run.found(1).await.entries.len() as u64, entries);
    });
}

/// What is on its way when room becomes scarce goes on, and waits when nothing is left for it.
#[test]
fn what_is_on_its_way_has_the_reserve() {
    run_alone(async {
        let blank = || vec![Model::default()];
        let disk = MemoryDisk::new(1 << 30);
        let mut run = Run::open(disk.clone(), [blank(), blank()], 1).await;
        let append = || Step::Append {
            entries: 1,
            bytes: 100,
            waits: true,
        };
        disk.set_capacity(LOG_RESERVE_BYTES);
        run.log.look_for_room();
        assert!(run.log.is_without_room());
        run = run.step(0, append()).await;
        disk.set_capacity(0);
        run.log.look_for_room();
        let mut appended = std::pin::pin!(run.step(0, append()));
        let early = timeout(Duration::from_millis(300), appended.as_mut()).await;
        assert!(early.is_err(), "there is no room");
        disk.set_capacity(1 << 30);
        let run = timeout(PATIENCE, appended).await.unwrap();
        assert_eq!(run.found(0).await.entries.len(), 2);
        run.log.look_for_room();
        assert!(!run.log.is_without_room());
    });
}

fn run_alone(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}
