//! Asking dservers to accept files: one batch on its way to each dserver, what is asked meanwhile
//! goes with the next one. Also knows which dservers keep silent, and weighs volumes by that.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use sdfs_server_group::{CallError, Deadline, ServerId};
use sdfs_types::calls::blocks::{AcceptAsk, AcceptFiles};
use sdfs_types::{Refusal, Traced};

use super::door::{AskFault, Servers, ask, labels_of};
use super::limits::{ASKS_PER_BATCH_MAX, ASKS_QUEUED_MAX, SHARES_EVERY, SILENT_FOR};
use super::machine::VolumeWatch;
use super::placement::{DserverView, Shares};

/// Why a dserver has not accepted a file.
#[derive(Debug)]
pub(crate) enum AskFailed {
    /// It said so.
    Refused(Refusal),
    /// It did not answer in time. It may have accepted; nobody builds on that.
    Silent,
    /// It was not asked, or its answer was no answer.
    NotReached,
}

struct Asked {
    to: ServerId,
    ask: Traced<AcceptAsk>,
    until: Deadline,
    answer: oneshot::Sender<Result<(), AskFailed>>,
}

/// The way to the lanes; they end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct LanesHandle(mpsc::Sender<Asked>);

impl LanesHandle {
    /// Asks one dserver about one file.
    pub(crate) async fn ask(
        &self,
        to: ServerId,
        ask: AcceptAsk,
        until: Deadline,
    ) -> Result<(), AskFailed> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            to,
            ask: Traced::now(ask),
            until,
            answer,
        };
        let asking = async {
            if self.0.send(asked).await.is_err() {
                return Err(AskFailed::NotReached);
            }
            answered.await.unwrap_or(Err(AskFailed::NotReached))
        };
        timeout_at(until.instant(), asking)
            .await
            .unwrap_or(Err(AskFailed::Silent))
    }
}

/// Starts the task that owns the lanes, and gives the weighed volumes as they change.
pub(crate) fn start(
    servers: Arc<dyn Servers>,
    map: VolumeWatch,
) -> (LanesHandle, watch::Receiver<Arc<Shares>>) {
    let (asks, waiting) = mpsc::channel(ASKS_QUEUED_MAX);
    let (shares, weighed) = watch::channel(Arc::default());
    let mut lanes = Lanes {
        servers,
        map,
        shares,
        lanes: BTreeMap::new(),
        under_way: FuturesUnordered::new(),
    };
    lanes.weigh();
    tokio::spawn(lanes.run(waiting));
    (LanesHandle(asks), weighed)
}

/// What goes to one dserver.
#[derive(Default)]
struct Lane {
    waiting: Vec<Asked>,
    /// Files in the batch on its way.
    in_flight: usize,
    /// It let a batch go unanswered: until then no file is planned for it.
    silent_until: Option<Instant>,
}

struct Answered {
    from: ServerId,
    asked: Vec<Asked>,
    answer: Result<Vec<Result<(), Refusal>>, AskFault>,
}

struct Lanes {
    servers: Arc<dyn Servers>,
    map: VolumeWatch,
    shares: watch::Sender<Arc<Shares>>,
    lanes: BTreeMap<ServerId, Lane>,
    under_way: FuturesUnordered<BoxFuture<'static, Answered>>,
}

impl Lanes {
    async fn run(mut self, mut waiting: mpsc::Receiver<Asked>) {
        let mut weighing = interval(SHARES_EVERY);
        weighing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut map = self.map.clone();
        let mut gathered = Vec::with_capacity(ASKS_PER_BATCH_MAX);
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut gathered, ASKS_PER_BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(&mut gathered);
                }
                Some(answered) = self.under_way.next() => self.deliver(answered),
                moved = map.changed() => {
                    if moved.is_err() {
                        return;
                    }
                    self.weigh();
                }
                _ = weighing.tick() => self.weigh(),
            }
        }
    }

    fn gather(&mut self, gathered: &mut Vec<Asked>) {
        for asked in gathered.drain(..) {
            self.lanes.entry(asked.to).or_default().waiting.push(asked);
        }
        let idle: Vec<ServerId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.in_flight == 0 && !lane.waiting.is_empty())
            .map(|(server, _)| *server)
            .collect();
        for server in idle {
            self.send_batch(server);
        }
    }

    fn send_batch(&mut self, to: ServerId) {
        let Some(lane) = self.lanes.get_mut(&to) else {
            return;
        };
        // Whoever waited too long has turned to another volume.
        lane.waiting.retain(|asked| !asked.answer.is_closed());
        let rest = lane
            .waiting
            .split_off(lane.waiting.len().min(ASKS_PER_BATCH_MAX));
        let asked = std::mem::replace(&mut lane.waiting, rest);
        let Some(until) = asked.iter().map(|asked| asked.until).max() else {
            return;
        };
        lane.in_flight = asked.len();
        let call = AcceptFiles {
            asks: asked.iter().map(|asked| asked.ask).collect(),
        };
        let servers = Arc::clone(&self.servers);
        self.under_way.push(Box::pin(async move {
            let answer = ask(&*servers, to, &call, until).await;
            Answered {
                from: to,
                asked,
                answer,
            }
        }));
    }

    fn deliver(&mut self, answered: Answered) {
        let Answered {
            from,
            asked,
            answer,
        } = answered;
        let lane = self.lanes.entry(from).or_default();
        lane.in_flight = 0;
        let was_silent = lane.silent_until.is_some();
        lane.silent_until = matches!(answer, Err(AskFault::Call(CallError::Deadline)))
            .then(|| Instant::now() + SILENT_FOR);
        let is_news = was_silent != lane.silent_until.is_some();
        // A dserver that answers for fewer files than it was asked about has accepted none.
        let answer = answer.map(|answers| {
            if answers.len() == asked.len() {
                answers
            } else {
                vec![]
            }
        });
        match answer {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for asked in asked {
                    let answer = match answers.next() {
                        Some(answer) => answer.map_err(AskFailed::Refused),
                        None => Err(AskFailed::NotReached),
                    };
                    // Who has stopped waiting has turned to another volume.
                    drop(asked.answer.send(answer));
                }
            }
            Err(fault) => {
                for asked in asked {
                    drop(asked.answer.send(Err(failed(&fault))));
                }
            }
        }
        self.send_batch(from);
        if is_news {
            self.weigh();
        }
    }

    /// Weighs the volumes anew; silence long enough ago is forgiven.
    fn weigh(&mut self) {
        let now = Instant::now();
        for lane in self.lanes.values_mut() {
            lane.silent_until = lane.silent_until.filter(|until| now < *until);
        }
        let view = |server: ServerId| {
            let lane = self.lanes.get(&server);
            let waiting = lane.map_or(0, |lane| lane.waiting.len() + lane.in_flight);
            let is_silent = lane.is_some_and(|lane| lane.silent_until.is_some());
            let load = self
                .servers
                .load(server)
                .filter(|load| load.total_bytes > 0);
            let told = load.map_or(0, |load| load.queue);
            DserverView {
                is_up: self.servers.is_up(server) && !is_silent,
                free_bytes: load.map(|load| load.free_bytes),
                queue: told.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX)),
            }
        };
        let map = Arc::clone(&self.map.borrow());
        let labels = labels_of(&*self.servers);
        self.shares
            .send_replace(Arc::new(Shares::weigh(&map, &labels, view)));
    }
}

fn failed(fault: &AskFault) -> AskFailed {
    match fault {
        AskFault::Refused(refusal) => AskFailed::Refused(refusal.clone()),
        AskFault::Call(CallError::Deadline) => AskFailed::Silent,
        AskFault::Call(_) | AskFault::Wire(_) => AskFailed::NotReached,
    }
}
