//! Names a voter has reserved for coordinators: a yes is a promise until its lease ends, it is
//! given back, or its request was decided.

use std::collections::{BTreeMap, VecDeque};

use sdfs_types::calls::negotiation::Ballot;
use sdfs_types::limits::RESERVATION_MS;
use sdfs_types::{FilePath, RequestId};

use crate::limits::{RESERVATIONS_LOOKED_AT_MAX, RESERVATIONS_MAX};
use crate::negotiation::Moment;
use crate::voter::NameReserved;

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

/// How long a lower ballot that was held up goes first when the name is given back: longer than
/// its longest back-off.
const TURN_US: u64 = 300_000;

#[derive(Clone, Copy, Debug)]
struct Reservation {
    /// Who holds the name; none while somebody's turn is waited for.
    holder: Option<(Ballot, RequestId)>,
    /// The lowest ballot that was held up, and until when it goes first. Without it a loser that
    /// asks again at once could hold its own voter whenever the winner asks.
    turn: Option<(Ballot, Moment)>,
    until: Moment,
}

/// The reservations of one voter.
#[derive(Debug, Default)]
pub struct Reservations {
    by_path: BTreeMap<FilePath, Reservation>,
    /// All leases are equally long, so they end in the order they began.
    ends: VecDeque<(Moment, FilePath)>,
}

fn is_same(a: Ballot, b: Ballot) -> bool {
    a.coordinator == b.coordinator && a.sequence == b.sequence
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
        if let Some(present) = self.by_path.get_mut(path) {
            let holder = present.holder.filter(|(_, request)| !is_decided(*request));
            let turn = present.turn.filter(|(_, until)| now < *until);
            if let Some((by, _)) = holder.filter(|(by, _)| !is_same(*by, ballot)) {
                let first = turn.map_or(ballot, |(waiting, _)| waiting.min(ballot));
                present.turn = Some((first, Moment(now.0 + TURN_US)));
                return Reserved::Held { by };
            }
            let goes_first = |(by, _): &(Ballot, Moment)| *by < ballot && !is_same(*by, ballot);
            if holder.is_none()
                && let Some((by, _)) = turn.filter(goes_first)
            {
                return Reserved::Held { by };
            }
        } else if self.by_path.len() >= RESERVATIONS_MAX {
            return Reserved::Full;
        }
        let until = Moment(now.0 + RESERVATION_MS * 1_000);
        let turn = self.by_path.get(path).and_then(|present| present.turn);
        let turn = turn.filter(|(waiting, _)| !is_same(*waiting, ballot));
        let holder = Some((ballot, request));
        let reservation = Reservation {
            holder,
            turn,
            until,
        };
        self.by_path.insert(path.clone(), reservation);
        self.ends.push_back((until, path.clone()));
        Reserved::Yes
    }

    /// Takes a reservation back, if that ballot still holds it, and its turn, if it waits.
    pub fn give_back(&mut self, path: &FilePath, ballot: Ballot) {
        let Some(present) = self.by_path.get_mut(path) else {
            return;
        };
        present.holder = present.holder.filter(|(by, _)| *by != ballot);
        present.turn = present.turn.filter(|(waiting, _)| *waiting != ballot);
        if present.holder.is_none() && present.turn.is_none() {
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

    /// Those that hold somebody up now, by name: the first `limit`, and how many there are.
    pub(crate) fn standing(
        &mut self,
        now: Moment,
        limit: usize,
        is_decided: impl Fn(RequestId) -> bool,
    ) -> (Vec<NameReserved>, usize) {
        self.expire(now);
        let standing = |(path, present): (&FilePath, &Reservation)| {
            let holder = present.holder.filter(|(_, request)| !is_decided(*request));
            let waits = present.turn.is_some_and(|(_, until)| now < until);
            (holder.is_some() || waits).then(|| NameReserved {
                path: path.clone(),
                coordinator: holder.map(|(ballot, _)| ballot.coordinator),
                request: holder.map(|(_, request)| request),
                ends_in_ms: present.until.0.saturating_sub(now.0) / 1_000,
            })
        };
        let looked_at = self.by_path.iter().take(RESERVATIONS_LOOKED_AT_MAX);
        let mut standing: Vec<_> = looked_at.filter_map(standing).collect();
        let count = standing.len();
        standing.truncate(limit);
        (standing, count)
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
