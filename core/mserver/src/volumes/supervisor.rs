//! The actor that keeps volumes healthy: on every mserver it takes reports, at the root group's
//! leader it acts on them. What to do is decided by `member_life`; here it is done.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::stream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use sdfs_raft::LeaderView;
use sdfs_server_group::{CallError, Caller, Deadline, GroupEvent, LostReason, Role, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::maintenance::Maintenance;
use sdfs_types::calls::negotiation::{ReportSync, ReportTrouble};
use sdfs_types::calls::status::GetStatus;
use sdfs_types::{Epoch, Refusal, Volume, VolumeId, VolumeMap};

use super::door::{AskFault, DserverListed, RootGroup, Servers, ask};
use super::limits::{PROPOSE_MAX, PUSH_MAX, TICK};
use super::machine::VolumeWatch;
use super::maintenance::MaintenanceWatch;
use super::member_life::{DserverSeen, Effect, Event, LifeRules, MemberLife, SyncAnswer};
use super::placement::PlaceRules;

/// How many volumes there are and how many copies they have, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRules {
    /// Copies of each volume while there are enough dservers.
    pub copies: u8,
    /// Fewest copies in sync for a write.
    pub copies_min: u8,
    /// Volumes each dserver takes part in.
    pub volumes_per_dserver: u16,
    /// Silence after which a server counts as lost, milliseconds.
    pub silence_ms_max: u64,
    /// A member that is out for so long is replaced by another dserver, seconds.
    pub replace_after_s: u64,
}

/// The way to the supervisor of this server.
#[derive(Clone)]
pub struct Supervisor {
    actor: Addr<Supervising>,
    servers: Arc<dyn Servers>,
}

impl Supervisor {
    /// Starts the actor on the present arbiter; it runs as long as the arbiter does.
    pub fn start(
        rules: VolumeRules,
        servers: Arc<dyn Servers>,
        root: Arc<dyn RootGroup>,
        (map, orders): (VolumeWatch, MaintenanceWatch),
    ) -> Supervisor {
        let actor = Supervising {
            rules,
            servers: Arc::clone(&servers),
            root,
            map,
            orders,
            origin: Instant::now(),
            leads: Leads::Another(None),
            era: 0,
        };
        Supervisor {
            actor: actor.start(),
            servers,
        }
    }

    /// Takes a report of trouble, or passes it on to the root group's leader.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when nobody leads; [`Refusal::StaleEpoch`] when the volume has moved on.
    pub async fn report_trouble(
        &self,
        from: &Caller,
        report: ReportTrouble,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        let news = Report {
            volume: report.volume,
            epoch: report.epoch,
            event: Event::Troubled(report),
        };
        self.report(from, news, report, deadline).await
    }

    /// Takes a report of a finished sync, or passes it on to the root group's leader. The member
    /// repeats it until it is taken.
    ///
    /// # Errors
    /// As [`Supervisor::report_trouble`]; [`Refusal::NotServed`] for another server's sync.
    pub async fn report_sync(
        &self,
        from: &Caller,
        report: ReportSync,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        if from.role == Role::Dserver && from.server != Some(report.member) {
            return Err(Refusal::NotServed);
        }
        let news = Report {
            volume: report.volume,
            epoch: report.epoch,
            event: Event::Synced(report),
        };
        self.report(from, news, report, deadline).await
    }

    async fn report<C: Call<Reply = ()>>(
        &self,
        from: &Caller,
        news: Report,
        call: C,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        let volume = news.volume;
        let taken = self.actor.send(news).await;
        match taken.map_err(|_| busy("the server is stopping"))? {
            Taken::Here => Ok(()),
            Taken::Stale(current) => Err(Refusal::StaleEpoch { current }),
            Taken::Unknown => Err(Refusal::NoSuchVolume { volume }),
            // One that another mserver has passed on goes no further: leaders are being changed.
            Taken::At(Some(leader)) if from.role != Role::Mserver => {
                match ask(&*self.servers, leader, &call, deadline).await {
                    Ok(()) => Ok(()),
                    Err(AskFault::Refused(refusal)) => Err(refusal),
                    Err(_) => Err(busy("the leader of the root group does not answer")),
                }
            }
            Taken::At(_) => Err(busy("nobody leads the root group")),
        }
    }
}

fn busy(why: &str) -> Refusal {
    Refusal::Busy {
        why: why.to_owned(),
    }
}

/// A report of a server about one member of a volume.
#[derive(Message)]
#[rtype(result = "Taken")]
struct Report {
    volume: VolumeId,
    epoch: Epoch,
    event: Event,
}

/// What became of a report.
#[derive(MessageResponse)]
enum Taken {
    Here,
    /// The volume is at another epoch.
    Stale(Box<Volume>),
    Unknown,
    /// It belongs to this server, if anybody leads.
    At(Option<ServerId>),
}

/// Whether this server acts.
enum Leads {
    /// Another one does, if any.
    Another(Option<ServerId>),
    /// This one leads, and makes sure that it knows every change its predecessors committed.
    Confirming,
    /// This one does.
    Me(Box<MemberLife>),
}

struct Supervising {
    rules: VolumeRules,
    servers: Arc<dyn Servers>,
    root: Arc<dyn RootGroup>,
    map: VolumeWatch,
    orders: MaintenanceWatch,
    origin: Instant,
    leads: Leads,
    /// Counts leaderships: answers to what another one has asked are not heard.
    era: u64,
}

struct LeadershipMoved(LeaderView);
struct MapMoved(Arc<VolumeMap>);
struct OrdersMoved(Arc<Maintenance>);
struct GroupMoved(Option<GroupEvent>);

impl Actor for Supervising {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let mut leadership = self.root.leadership();
        leadership.mark_changed();
        context.add_stream(stream::unfold(leadership, |mut views| async move {
            views.changed().await.ok()?;
            let view = *views.borrow_and_update();
            Some((LeadershipMoved(view), views))
        }));
        context.add_stream(stream::unfold(self.map.clone(), |mut maps| async move {
            maps.changed().await.ok()?;
            let map = Arc::clone(&maps.borrow_and_update());
            Some((MapMoved(map), maps))
        }));
        context.add_stream(stream::unfold(
            self.orders.clone(),
            |mut orders| async move {
                orders.changed().await.ok()?;
                let now = Arc::clone(&orders.borrow_and_update());
                Some((OrdersMoved(now), orders))
            },
        ));
        context.add_stream(stream::unfold(self.servers.subscribe(), next_group_event));
        context.run_interval(TICK, |supervising, context| supervising.look(context));
    }
}

async fn next_group_event(
    mut events: broadcast::Receiver<GroupEvent>,
) -> Option<(GroupMoved, broadcast::Receiver<GroupEvent>)> {
    match events.recv().await {
        Ok(event) => Some((GroupMoved(Some(event)), events)),
        // What was missed shows in how the servers are now.
        Err(RecvError::Lagged(_)) => Some((GroupMoved(None), events)),
        Err(RecvError::Closed) => None,
    }
}

impl StreamHandler<LeadershipMoved> for Supervising {
    fn handle(&mut self, moved: LeadershipMoved, context: &mut Self::Context) {
        match (moved.0.is_me, &self.leads) {
            (true, Leads::Another(_)) => self.confirm(context),
            (true, Leads::Confirming | Leads::Me(_)) => {}
            (false, _) => {
                self.era += 1;
                self.leads = Leads::Another(moved.0.leader);
            }
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<MapMoved> for Supervising {
    fn handle(&mut self, moved: MapMoved, context: &mut Self::Context) {
        self.step(context, Event::MapMoved(moved.0));
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<OrdersMoved> for Supervising {
    fn handle(&mut self, moved: OrdersMoved, context: &mut Self::Context) {
        self.step(context, Event::OrdersMoved(moved.0));
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<GroupMoved> for Supervising {
    fn handle(&mut self, moved: GroupMoved, context: &mut Self::Context) {
        if let Some(GroupEvent::Lost(server, reason)) = moved.0
            && !self.servers.is_up(server)
        {
            let is_surely_gone = matches!(reason, LostReason::Silent | LostReason::Goodbye);
            self.step(
                context,
                Event::Lost {
                    server,
                    is_surely_gone,
                },
            );
        }
        self.look(context);
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Report> for Supervising {
    type Result = Taken;

    fn handle(&mut self, report: Report, context: &mut Self::Context) -> Taken {
        let life = match &self.leads {
            Leads::Me(life) => life,
            Leads::Confirming => return Taken::At(None),
            Leads::Another(leader) => return Taken::At(*leader),
        };
        match life.volume(report.volume) {
            None => Taken::Unknown,
            Some(volume) if volume.epoch != report.epoch => Taken::Stale(Box::new(volume.clone())),
            Some(_) => {
                self.step(context, report.event);
                Taken::Here
            }
        }
    }
}

impl Supervising {
    /// Waits until the map here holds all that was ever committed, then acts.
    fn confirm(&mut self, context: &mut Context<Self>) {
        self.era += 1;
        let era = self.era;
        self.leads = Leads::Confirming;
        let barrier = self.root.read_barrier(Deadline::after(PROPOSE_MAX));
        let confirmed = barrier
            .into_actor(self)
            .map(move |confirmed, supervising, context| {
                if supervising.era != era {
                    return;
                }
                match confirmed {
                    Ok(()) => supervising.lead(context),
                    Err(fault) => {
                        tracing::debug!(%fault, "not yet sure of the volume map");
                        context.run_later(TICK, move |supervising, context| {
                            if supervising.era == era {
                                supervising.confirm(context);
                            }
                        });
                    }
                }
            });
        context.spawn(confirmed);
    }

    fn lead(&mut self, context: &mut Context<Self>) {
        let rules = LifeRules {
            copies_min: self.rules.copies_min,
            place: PlaceRules {
                copies: self.rules.copies,
                volumes_per_dserver: self.rules.volumes_per_dserver,
            },
            replace_after: Duration::from_secs(self.rules.replace_after_s),
        };
        let map = Arc::clone(&self.map.borrow());
        tracing::info!(
            map_version = map.version,
            "this server now looks after the volumes"
        );
        self.leads = Leads::Me(Box::new(MemberLife::new(self.now(), rules, map)));
        let orders = Arc::clone(&self.orders.borrow());
        self.step(context, Event::OrdersMoved(orders));
        self.look(context);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Shows the life how every dserver is now.
    fn look(&mut self, context: &mut Context<Self>) {
        if !matches!(self.leads, Leads::Me(_)) {
            return;
        }
        let seen = |listed: DserverListed| DserverSeen {
            server: listed.server,
            zone: listed.zone,
            group: listed.group,
            connection: self.servers.connection(listed.server),
            // Before it has looked at its disks a dserver tells zeros.
            free_bytes: self
                .servers
                .load(listed.server)
                .filter(|load| load.total_bytes > 0)
                .map(|load| load.free_bytes),
        };
        let seen = self.servers.dservers().into_iter().map(seen).collect();
        self.step(context, Event::Seen(seen));
    }

    fn step(&mut self, context: &mut Context<Self>, event: Event) {
        let now = self.now();
        let Leads::Me(life) = &mut self.leads else {
            return;
        };
        for effect in life.step(now, event) {
            self.perform(context, effect);
        }
    }

    fn perform(&self, context: &mut Context<Self>, effect: Effect) {
        let Some(done) = self.under_way(effect) else {
            return;
        };
        let era = self.era;
        context.spawn(
            done.into_actor(self)
                .map(move |event, supervising, context| {
                    if supervising.era == era {
                        supervising.step(context, event);
                    }
                }),
        );
    }

    /// Begins an effect; the future ends in the event that tells of it.
    fn under_way(&self, effect: Effect) -> Option<futures::future::BoxFuture<'static, Event>> {
        let servers = Arc::clone(&self.servers);
        let silence = Duration::from_millis(self.rules.silence_ms_max);
        Some(match effect {
            Effect::Propose { volume, command } => {
                tracing::info!(?command, "changing volumes");
                let proposal = self.root.propose(command, Deadline::after(PROPOSE_MAX));
                Box::pin(async move {
                    Event::Proposed {
                        volume,
                        answer: proposal.await.ok(),
                    }
                })
            }
            Effect::Push {
                server,
                connection,
                push,
            } => Box::pin(async move {
                let map_version = push.map_version;
                match ask(&*servers, server, &push, Deadline::after(PUSH_MAX)).await {
                    Ok(kept) => Event::PushAnswered {
                        server,
                        connection,
                        map_version,
                        lost: kept.lost,
                    },
                    Err(fault) => {
                        tracing::debug!(%server, %fault, "volumes were not taken");
                        Event::PushFailed { server, connection }
                    }
                }
            }),
            Effect::SetRate {
                server,
                connection,
                version,
                rate,
            } => Box::pin(async move {
                let told = ask(&*servers, server, &rate, Deadline::after(PUSH_MAX)).await;
                Event::RateTold {
                    server,
                    connection,
                    version: told.is_ok().then_some(version),
                }
            }),
            Effect::Probe { server, connection } => Box::pin(async move {
                // Half the time in which it would be lost anyway: shorter is a slow answer.
                let deadline = Deadline::after(silence / 2);
                let answer = ask(&*servers, server, &GetStatus {}, deadline).await;
                let is_silent = matches!(answer, Err(AskFault::Call(CallError::Deadline)));
                Event::Probed {
                    server,
                    connection,
                    has_answered: !is_silent,
                }
            }),
            Effect::StartSync { member, sync } => Box::pin(async move {
                let (volume, epoch) = (sync.volume.id, sync.volume.epoch);
                let answered = ask(&*servers, member, &sync, Deadline::after(PUSH_MAX)).await;
                Event::SyncAnswered {
                    volume,
                    epoch,
                    member,
                    answer: sync_answer(answered),
                }
            }),
            Effect::LastCopyLost { volume, member } => {
                tracing::error!(
                    %volume,
                    server = %member,
                    "the last copy in sync is gone; put the disk back that held it"
                );
                return None;
            }
        })
    }
}

fn sync_answer(answered: Result<(), AskFault>) -> SyncAnswer {
    match answered {
        Ok(()) => SyncAnswer::Begun,
        Err(AskFault::Refused(Refusal::DiskFailed { .. } | Refusal::NoSpace { .. })) => {
            SyncAnswer::Unable
        }
        Err(fault) => {
            tracing::debug!(%fault, "a sync was not begun");
            SyncAnswer::Failed
        }
    }
}
