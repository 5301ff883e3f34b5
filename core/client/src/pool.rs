//! Links to servers: made when first needed, shared by all calls, made anew after a loss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use sdfs_net_layer::Transport;
use sdfs_server_group::{
    ClientCredentials, ClientLink, ConnectError, Deadline, Link, RefusalReason, Ticket, UserKey,
    UserName, connect_client,
};
use sdfs_types::clock::now_ms;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits::{AVOID, DIAL, TICKET_MARGIN_MS};
use crate::nearest::smoothed;
use crate::pause::{pause, random};
use crate::topology::Topology;

/// A link that stands.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The link.
    pub(crate) link: Link,
    /// Bytes of blocks on the way to or from it.
    waiting_bytes: AtomicU64,
}

/// Counts bytes as on the way until it is dropped.
pub(crate) struct OnTheWay {
    peer: Arc<Peer>,
    bytes: u64,
}

impl OnTheWay {
    /// Counts `bytes` as on the way to or from that peer.
    pub(crate) fn begin(peer: &Arc<Peer>, bytes: u64) -> OnTheWay {
        peer.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        OnTheWay {
            peer: Arc::clone(peer),
            bytes,
        }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.peer
            .waiting_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

type Dialed = Result<Arc<Peer>, Arc<ConnectError>>;

#[derive(Clone)]
enum State {
    Up(Arc<Peer>),
    Dialing(Shared<BoxFuture<'static, Dialed>>),
    /// The last dial failed; the next one may not begin before `again_at`.
    Down {
        why: Arc<ConnectError>,
        again_at: Instant,
    },
}

struct Slot {
    state: State,
    failures: u32,
}

/// What is known of the way to a server, whether a link stands or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Smoothed round-trip time.
    pub(crate) rtt: Option<Duration>,
    /// Until when others are better asked.
    avoided_until: Option<Instant>,
}

impl Way {
    /// Whether others are better asked now.
    pub(crate) fn is_avoided(&self) -> bool {
        self.avoided_until
            .is_some_and(|until| Instant::now() < until)
    }
}

/// The links of one client.
pub(crate) struct Pool {
    transport: Arc<dyn Transport>,
    user: UserName,
    key: UserKey,
    ticket: watch::Sender<Option<Ticket>>,
    topology: watch::Sender<Arc<Topology>>,
    // Both tables route calls: every task looks its server up, nobody owns another's entry.
    slots: DashMap<SocketAddr, Slot>,
    ways: DashMap<SocketAddr, Way>,
    connects: AtomicU64,
}

impl Pool {
    /// No links yet.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        user: UserName,
        key: UserKey,
        topology: Topology,
    ) -> Pool {
        Pool {
            transport,
            user,
            key,
            ticket: watch::Sender::new(None),
            topology: watch::Sender::new(Arc::new(topology)),
            slots: DashMap::new(),
            ways: DashMap::new(),
            connects: AtomicU64::new(0),
        }
    }

    /// The servers known.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.borrow())
    }

    /// Changes what is known of the servers.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Topology)) {
        self.topology.send_if_modified(|topology| {
            let before = Arc::clone(topology);
            change(Arc::make_mut(topology));
            *topology != before
        });
    }

    /// How many links were made.
    pub(crate) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// What is known of the way to that server.
    pub(crate) fn way(&self, address: SocketAddr) -> Way {
        self.ways.get(&address).map(|way| *way).unwrap_or_default()
    }

    /// Others are better asked for a while.
    pub(crate) fn avoid(&self, address: SocketAddr) {
        self.ways.entry(address).or_default().avoided_until = Some(Instant::now() + AVOID);
    }

    /// One more measurement of the way to that server, which answers.
    pub(crate) fn measured(&self, address: SocketAddr, rtt: Duration) {
        let mut way = self.ways.entry(address).or_default();
        way.rtt = Some(smoothed(way.rtt, rtt));
        way.avoided_until = None;
    }

    /// The link with that server if it stands.
    pub(crate) fn standing(&self, address: SocketAddr) -> Option<Arc<Peer>> {
        match &self.slots.get(&address)?.state {
            State::Up(peer) if peer.link.is_up() => Some(Arc::clone(peer)),
            _ => None,
        }
    }

    /// Whether the link with that server was lost or its last dial failed. It is dialed anew in
    /// the background, so that no call has to wait to find out that it is still down.
    pub(crate) fn is_down(self: &Arc<Self>, address: SocketAddr) -> bool {
        let is_down = match self.slots.get(&address).as_deref() {
            None => return false,
            Some(Slot {
                state: State::Up(peer),
                ..
            }) => !peer.link.is_up(),
            Some(Slot { failures, .. }) => *failures > 0,
        };
        if is_down {
            drop(self.state(address));
        }
        is_down
    }

    /// Bytes on the way to or from that server.
    pub(crate) fn waiting_bytes(&self, address: SocketAddr) -> u64 {
        self.slots
            .get(&address)
            .map_or(0, |slot| match &slot.state {
                State::Up(peer) => peer.waiting_bytes.load(Ordering::Relaxed),
                _ => 0,
            })
    }

    /// The link with that server, made if it does not stand. Many may wait for one dial; it goes
    /// on when one of them no longer does.
    ///
    /// # Errors
    /// What the dial failed with; at once while the pause after a failed dial lasts.
    pub(crate) async fn link(
        self: &Arc<Self>,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<Arc<Peer>, Arc<ConnectError>> {
        if let Some(peer) = self.standing(address) {
            return Ok(peer);
        }
        let dialing = match self.state(address) {
            State::Up(peer) => return Ok(peer),
            State::Down { why, .. } => return Err(why),
            State::Dialing(dialing) => dialing,
        };
        match tokio::time::timeout_at(deadline.instant(), dialing).await {
            Ok(dialed) => dialed,
            Err(_) => Err(Arc::new(ConnectError::Deadline(address))),
        }
    }

    /// Where the link with that server is; a dial begins when one is due.
    fn state(self: &Arc<Self>, address: SocketAddr) -> State {
        let mut slot = self.slots.entry(address).or_insert_with(|| Slot {
            state: self.dial(address),
            failures: 0,
        });
        let is_due = match &slot.state {
            State::Up(peer) => !peer.link.is_up(),
            // Whoever dials says how that ended, unless it was ended itself, with its runtime.
            State::Dialing(dialing) => dialing.peek().is_some(),
            State::Down { again_at, .. } => Instant::now() >= *again_at,
        };
        if is_due {
            slot.state = self.dial(address);
        }
        slot.state.clone()
    }

    fn dial(self: &Arc<Self>, address: SocketAddr) -> State {
        let pool = Arc::clone(self);
        // A task of its own: a caller that gives up must not end the dial others wait for.
        let task = tokio::spawn(async move { pool.dialed(address).await });
        let dialing = task.map(move |ended| match ended {
            Ok(dialed) => dialed,
            // The task was ended with its runtime.
            Err(_) => Err(Arc::new(ConnectError::Deadline(address))),
        });
        State::Dialing(dialing.boxed().shared())
    }

    async fn dialed(&self, address: SocketAddr) -> Dialed {
        let deadline = Deadline::after(DIAL);
        let outcome = if self.topology().is_mserver(address) {
            self.prove_user(address, deadline).await
        } else {
            self.prove_ticket(address, deadline).await
        };
        let outcome = outcome
            .map(|made| self.established(address, made))
            .map_err(Arc::new);
        if let Some(mut slot) = self.slots.get_mut(&address) {
            match &outcome {
                Ok(peer) => {
                    slot.state = State::Up(Arc::clone(peer));
                    slot.failures = 0;
                }
                Err(why) => {
                    slot.failures = slot.failures.saturating_add(1);
                    let again_at = Instant::now() + pause(slot.failures, random());
                    slot.state = State::Down {
                        why: Arc::clone(why),
                        again_at,
                    };
                }
            }
        }
        outcome
    }

    fn established(&self, address: SocketAddr, made: ClientLink) -> Arc<Peer> {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.measured(address, made.rtt);
        Arc::new(Peer {
            link: made.link,
            waiting_bytes: AtomicU64::new(0),
        })
    }

    /// Connects with a mserver as the user, and keeps the ticket it gives.
    async fn prove_user(
        &self,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<ClientLink, ConnectError> {
        let user = ClientCredentials::User {
            name: self.user.clone(),
            key: self.key.clone(),
        };
        let mut made = connect_client(&*self.transport, address, &user, deadline).await?;
        if let Some(ticket) = made.ticket.take() {
            self.ticket.send_replace(Some(ticket));
        }
        Ok(made)
    }

    async fn prove_ticket(
        &self,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<ClientLink, ConnectError> {
        let ticket = ClientCredentials::Ticket(self.valid_ticket(address, deadline).await?);
        let made = connect_client(&*self.transport, address, &ticket, deadline).await;
        if let Err(ConnectError::Refused { reason, .. }) = &made
            && matches!(
                reason,
                RefusalReason::TicketExpired | RefusalReason::WrongProof
            )
        {
            // The next dial proves the user anew, which tells a wrong secret from an old ticket.
            self.ticket.send_replace(None);
        }
        made
    }

    async fn valid_ticket(
        &self,
        for_server: SocketAddr,
        deadline: Deadline,
    ) -> Result<Ticket, ConnectError> {
        let kept = self.ticket.borrow().clone();
        if let Some(ticket) = kept.filter(|one| one.expires_ms > now_ms() + TICKET_MARGIN_MS) {
            return Ok(ticket);
        }
        let mut outcome = Err(ConnectError::Deadline(for_server));
        for address in self.topology().mservers.clone() {
            match self.prove_user(address, deadline).await {
                Ok(_) => break,
                Err(error) => outcome = Err(error),
            }
        }
        match self.ticket.borrow().clone() {
            Some(ticket) => Ok(ticket),
            None => outcome,
        }
    }
}
