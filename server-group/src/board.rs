//! The table of peers that their actors write and every thread reads: where calls go.
//!
//! A concurrent map, because callers on other threads must not wait for an actor to route a call.

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use tokio::sync::broadcast;

use crate::config::ServerConfig;
use crate::ids::ServerId;
use crate::limits::EVENTS_KEPT;
use crate::link::Link;
use crate::observed::{GroupEvent, PeerState};

/// Hashes a server's number by itself: the same at every run, and there are few.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NumberHasher(u64);

impl std::hash::Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_u16(&mut self, number: u16) {
        // Spread over the high bits, by which the map picks its shard.
        self.0 = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// One peer.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) state: PeerState,
    pub(crate) epoch: u64,
    pub(crate) link: Option<Link>,
}

/// All peers, and the events of the group.
#[derive(Debug)]
pub(crate) struct Board {
    rows: DashMap<ServerId, Row, BuildHasherDefault<NumberHasher>>,
    events: broadcast::Sender<GroupEvent>,
    are_all_established: AtomicBool,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            rows: DashMap::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            are_all_established: AtomicBool::new(false),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<GroupEvent> {
        self.events.subscribe()
    }

    /// Adds a peer, or takes over its new address.
    pub(crate) fn add(&self, server: Arc<ServerConfig>) {
        let row = Row {
            state: PeerState::Waiting,
            epoch: 0,
            link: None,
            server,
        };
        self.rows.insert(row.server.id, row);
        self.are_all_established.store(false, Ordering::Relaxed);
    }

    /// Takes over what is said of a peer; its connection stays.
    pub(crate) fn describe(&self, server: &ServerConfig) {
        if let Some(mut row) = self.rows.get_mut(&server.id)
            && *row.server != *server
        {
            row.server = Arc::new(server.clone());
        }
    }

    pub(crate) fn remove(&self, id: ServerId) {
        self.rows.remove(&id);
        self.tell_if_all_established();
    }

    pub(crate) fn set_state(&self, id: ServerId, state: PeerState) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.state = state;
        }
    }

    /// The peer has a connection from here.
    pub(crate) fn establish(&self, id: ServerId, link: Link, epoch: u64) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.link = Some(link);
            row.epoch = epoch;
            row.state = PeerState::Up;
        }
        self.tell(GroupEvent::Established(id));
        self.tell_if_all_established();
    }

    /// The peer has no connection from here.
    pub(crate) fn lose(&self, id: ServerId, event: GroupEvent) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.link = None;
            row.state = PeerState::Waiting;
        }
        self.are_all_established.store(false, Ordering::Relaxed);
        self.tell(event);
    }

    fn tell(&self, event: GroupEvent) {
        // An error only says that nobody listens.
        self.events.send(event).unwrap_or_default();
    }

    fn tell_if_all_established(&self) {
        if self.rows.iter().all(|row| row.link.is_some())
            && !self.are_all_established.swap(true, Ordering::Relaxed)
        {
            self.tell(GroupEvent::AllEstablished);
        }
    }

    pub(crate) fn link(&self, id: ServerId) -> Option<Link> {
        self.rows.get(&id)?.link.clone()
    }

    pub(crate) fn row(&self, id: ServerId) -> Option<Row> {
        self.rows.get(&id).map(|row| row.value().clone())
    }

    /// What `choose` makes of each row, by number.
    pub(crate) fn collect<T>(&self, choose: impl Fn(&Row) -> Option<T>) -> Vec<T> {
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| choose(row.value()).map(|chosen| (*row.key(), chosen)))
            .collect();
        rows.sort_by_key(|(id, _)| *id);
        rows.into_iter().map(|(_, chosen)| chosen).collect()
    }
}
