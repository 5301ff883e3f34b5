//! Names a voter has reserved for coordinators: a yes is a promise until its lease ends, it is
//! given back, or its request was decided.

use std::collections::{BTreeMap, VecDeque};

use sdfs_types::calls::negotiation::Ballot;
use sdfs_types::limits::RESERVATION_MS;
use sdfs_types::{FilePath, RequestId};

use crate::limits::RESERVATIONS_MAX;
use crate::negotiation::Moment;

/// What became of a wish to reserve a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The name is reserved for the asking ballot.
    Yes,
    /// Another ballot holds it.
    Held {
        /// Which.
        by: Ballot,
    },
    /// Too many names are reserved.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Reservation {
    ballot: Ballot,
    request: RequestId,
    until: Moment,
}

/// The reservations of one voter.
#[derive(Debug, Default)]
pub struct Reservations {
    by_path: BTreeMap<FilePath, Reservation>,
    /// All leases are equally long, so they end in the order they began.
    ends: VecDeque<(Moment, FilePath)>,
}

impl Reservations {
    /// Reserves a name. `is_decided` tells whether a request's name has been decided already:
    /// its reservation has served its purpose.
    pub fn reserve(
        &mut self,
        now: Moment,
        path: &FilePath,
        (request, ballot): (RequestId, Ballot),
        is_decided: impl Fn(RequestId) -> bool,
    ) -> Reserved {
        self.expire(now);
        if let Some(present) = self.by_path.get(path) {
            let is_same = present.ballot.coordinator == ballot.coordinator
                && present.ballot.sequence == ballot.sequence;
            if !is_same && !is_decided(present.request) {
                return Reserved::Held { by: present.ballot };
            }
        } else if self.by_path.len() >= RESERVATIONS_MAX {
            return Reserved::Full;
        }
        let until = Moment(now.0 + RESERVATION_MS * 1_000);
        self.by_path.insert(
            path.clone(),
            Reservation {
                ballot,
                request,
                until,
            },
        );
        self.ends.push_back((until, path.clone()));
        Reserved::Yes
    }

    /// Takes a reservation back, if that ballot still holds it.
    pub fn give_back(&mut self, path: &FilePath, ballot: Ballot) {
        if self
            .by_path
            .get(path)
            .is_some_and(|present| present.ballot == ballot)
        {
            self.by_path.remove(path);
        }
    }

    /// Drops what has ended. Called by every reservation, and once in a while.
    pub fn expire(&mut self, now: Moment) {
        while let Some((until, _)) = self.ends.front()
            && *until <= now
            && let Some((until, path)) = self.ends.pop_front()
        {
            if self
                .by_path
                .get(&path)
                .is_some_and(|present| present.until <= until)
            {
                self.by_path.remove(&path);
            }
        }
    }

    /// How many there are: the load a voter tells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }
}
