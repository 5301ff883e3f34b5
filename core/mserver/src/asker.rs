//! Asking one other mserver about names, many at once.

use std::sync::Arc;

use futures::channel::mpsc as votes;
use tokio::sync::{Semaphore, mpsc};

use sdfs_server_group::{Deadline, Mesh, ServerId};
use sdfs_types::calls::negotiation::{Ballot, CanCreate, CanCreateAsk, Release, Vote};
use sdfs_types::{FilePath, Traced};

use crate::core::{ask, together};
use crate::limits::{BATCH_ITEMS_MAX, BATCH_QUEUE_MAX, BATCHES_IN_FLIGHT};
use crate::negotiation::Event;

/// The way to the votes of one mserver.
#[derive(Clone)]
pub(crate) struct Asker {
    to: ServerId,
    items: mpsc::Sender<Item>,
}

enum Item {
    Ask {
        ask: Traced<CanCreateAsk>,
        deadline: Deadline,
        voted: votes::Sender<Event>,
    },
    GiveBack {
        path: FilePath,
        ballot: Ballot,
    },
}

impl Asker {
    /// Starts the task that asks; it ends when the last clone is dropped.
    pub(crate) fn start(mesh: Mesh, to: ServerId) -> Asker {
        let (items, waiting) = mpsc::channel(BATCH_QUEUE_MAX);
        tokio::spawn(send_batches(mesh, to, waiting));
        Asker { to, items }
    }

    /// Asks; the answer comes as an event.
    pub(crate) fn ask(&self, ask: CanCreateAsk, deadline: Deadline, voted: &votes::Sender<Event>) {
        let ballot = ask.ballot;
        let item = Item::Ask {
            ask: Traced::now(ask),
            deadline,
            voted: voted.clone(),
        };
        if self.items.try_send(item).is_err() {
            // One event per voter and round fits into the channel of a negotiation.
            drop(voted.clone().try_send(Event::Lost {
                from: self.to,
                ballot,
            }));
        }
    }

    /// Gives a reservation back. A lost one ends with its lease.
    pub(crate) fn give_back(&self, path: FilePath, ballot: Ballot) {
        drop(self.items.try_send(Item::GiveBack { path, ballot }));
    }
}

async fn send_batches(mesh: Mesh, to: ServerId, mut waiting: mpsc::Receiver<Item>) {
    let slots = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Some(first) = waiting.recv().await else {
            return;
        };
        // Whoever is ready to run now may have something for this batch.
        tokio::task::yield_now().await;
        let mut items = vec![first];
        while items.len() < BATCH_ITEMS_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            items.push(next);
        }
        let mesh = mesh.clone();
        tokio::spawn(async move {
            perform(&mesh, to, items).await;
            drop(slot);
        });
    }
}

async fn perform(mesh: &Mesh, to: ServerId, items: Vec<Item>) {
    let mut asks = Vec::new();
    let mut askers = Vec::new();
    let mut reservations = Vec::new();
    for item in items {
        match item {
            Item::Ask {
                ask,
                deadline,
                voted,
            } => {
                askers.push((ask.ask.ballot, voted));
                asks.push((ask, deadline));
            }
            Item::GiveBack { path, ballot } => reservations.push((path, ballot)),
        }
    }
    // The asks leave first: a reservation is never given back before it is asked for.
    let asking = async {
        if asks.is_empty() {
            return;
        }
        let (asks, deadline) = together(asks);
        let said = ask(mesh, to, &CanCreate { asks }, deadline).await.ok();
        deliver(to, said, askers);
    };
    let giving_back = async {
        if !reservations.is_empty() {
            let release = Release { reservations };
            // What gets lost here ends with its lease.
            drop(ask(mesh, to, &release, Deadline::after_ms(1_000)).await);
        }
    };
    futures::join!(asking, giving_back);
}

fn deliver(from: ServerId, said: Option<Vec<Vote>>, askers: Vec<(Ballot, votes::Sender<Event>)>) {
    let mut said = said.unwrap_or_default().into_iter();
    for (ballot, mut asker) in askers {
        let event = match said.next() {
            Some(vote) => Event::Answered { from, ballot, vote },
            None => Event::Lost { from, ballot },
        };
        // A negotiation that is over listens no more.
        drop(asker.try_send(event));
    }
}
