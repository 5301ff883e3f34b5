//! The negotiation of one name, as its coordinator leads it: steps 2 to 5 of a create.
//!
//! Pure: events in, effects out. A vote admits and places, it never decides who gets the name: the
//! root group's commit does. Still two coordinators never both win here while reservations last,
//! so the commit hardly ever has to choose.

use std::collections::BTreeMap;

use sdfs_types::calls::negotiation::{Ballot, Vote};
use sdfs_types::{FilePath, Refusal, ServerId};

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// A moment on a monotonic clock, microseconds from a start that is the same for all events of
/// one negotiation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// What happens to a negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins; `up` are the other voters that can be asked now.
    Begin {
        /// Who is up.
        up: Vec<ServerId>,
    },
    /// A voter, or this server itself, has answered.
    Answered {
        /// Who.
        from: ServerId,
        /// What it was asked with.
        ballot: Ballot,
        /// What it says.
        vote: Vote,
    },
    /// A voter will not answer: the call was lost.
    Lost {
        /// Who.
        from: ServerId,
        /// What it was asked with.
        ballot: Ballot,
    },
    /// The moment of the last [`Effect::WakeAt`] has come.
    Due,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a voter, perhaps this server itself.
    Ask {
        /// Whom.
        to: ServerId,
        /// With what.
        ballot: Ballot,
    },
    /// Give a reservation back; after the ask of the same ballot, never before it.
    GiveBack {
        /// To whom.
        to: ServerId,
        /// Which.
        ballot: Ballot,
    },
    /// Come back at this moment with [`Event::Due`]; replaces the one before.
    WakeAt(Moment),
    /// A majority has reserved the name: propose it. Nothing follows.
    Won {
        /// Who said yes, with its load; the least loaded first.
        can: Vec<(ServerId, u32)>,
    },
    /// The name cannot be had; nothing was decided. Nothing follows.
    Refused {
        /// Whose answer ended it, if one did.
        by: Option<ServerId>,
        /// Why.
        refusal: Refusal,
    },
}

/// What is known of one voter in this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voter {
    Asked,
    Can { load: u32 },
    Held { by: Ballot },
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asking,
    BackingOff { until: Moment },
    Done,
}

/// One negotiation.
#[derive(Clone, Debug)]
pub struct Negotiation {
    me: ServerId,
    others: Vec<ServerId>,
    ballot: Ballot,
    path: FilePath,
    voters: BTreeMap<ServerId, Voter>,
    up: Vec<ServerId>,
    phase: Phase,
    deadline: Moment,
    ask_again: Option<Moment>,
    waits: u32,
    dice: u64,
}

impl Negotiation {
    /// A negotiation of `path` led by the coordinator of `ballot`. `voters` are all mservers;
    /// `dice` spreads the back-off.
    #[must_use]
    pub fn new(
        path: FilePath,
        ballot: Ballot,
        voters: &[ServerId],
        deadline: Moment,
        dice: u64,
    ) -> Negotiation {
        let me = ballot.coordinator;
        Negotiation {
            me,
            others: voters
                .iter()
                .copied()
                .filter(|voter| *voter != me)
                .collect(),
            ballot,
            path,
            voters: BTreeMap::new(),
            up: Vec::new(),
            phase: Phase::Asking,
            deadline,
            ask_again: None,
            waits: 0,
            dice: dice | 1,
        }
    }

    /// Its ballot in the present round.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Takes one event.
    pub fn on(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        // What a slow voter still reserves for a negotiation that is over was given back behind
        // the ask, or is released by the decision.
        if self.phase == Phase::Done {
            return effects;
        }
        match event {
            Event::Begin { up } => {
                self.up = up;
                self.ask_all(&mut effects);
            }
            Event::Answered { from, ballot, vote } if ballot == self.ballot => match vote {
                Vote::Can { load, .. } => self.learn(from, Voter::Can { load }),
                Vote::Outranked { by } => self.learn(from, Voter::Held { by }),
                Vote::Cannot { refusal } => {
                    self.end(Some(from), refusal, &mut effects);
                    return effects;
                }
            },
            Event::Lost { from, ballot } if ballot == self.ballot => self.learn(from, Voter::Lost),
            // An answer to a round that is over: its reservation was given back behind it.
            Event::Answered { .. } | Event::Lost { .. } => {}
            Event::Due => self.due(now, &mut effects),
        }
        if self.phase == Phase::Asking {
            self.weigh(now, &mut effects);
        }
        effects
    }

    fn learn(&mut self, from: ServerId, voter: Voter) {
        if self.phase == Phase::Asking {
            self.voters.insert(from, voter);
        }
    }

    fn ask_all(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Asking;
        self.voters.insert(self.me, Voter::Asked);
        effects.push(Effect::Ask {
            to: self.me,
            ballot: self.ballot,
        });
        for to in &self.others {
            let voter = if self.up.contains(to) {
                effects.push(Effect::Ask {
                    to: *to,
                    ballot: self.ballot,
                });
                Voter::Asked
            } else {
                Voter::Lost
            };
            self.voters.insert(*to, voter);
        }
    }

    fn majority(&self) -> usize {
        let voters = self.others.len() + 1;
        voters / 2 + 1
    }

    fn count(&self, is_counted: impl Fn(&Voter) -> bool) -> usize {
        self.voters
            .values()
            .filter(|voter| is_counted(voter))
            .count()
    }

    /// Looks whether what is known is enough.
    fn weigh(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let majority = self.majority();
        let can = self.count(|voter| matches!(voter, Voter::Can { .. }));
        let asked = self.count(|voter| *voter == Voter::Asked);
        let held = self.count(|voter| matches!(voter, Voter::Held { .. }));
        if can >= majority {
            let mut can: Vec<(ServerId, u32)> = self
                .voters
                .iter()
                .filter_map(|(voter, said)| match said {
                    Voter::Can { load } => Some((*voter, *load)),
                    _ => None,
                })
                .collect();
            can.sort_by_key(|(_, load)| *load);
            self.phase = Phase::Done;
            effects.push(Effect::Won { can });
        } else if can + asked + held < majority {
            let refusal = self.no_quorum(can + held);
            self.end(None, refusal, effects);
        } else if can + asked < majority {
            let ballot = self.ballot;
            let must_yield = self
                .voters
                .values()
                .any(|voter| matches!(voter, Voter::Held { by } if *by < ballot));
            if must_yield {
                self.back_off(now, effects);
            } else if self.ask_again.is_none() {
                let at = Moment(now.0 + self.wait_us());
                self.ask_again = Some(at);
                self.wake(effects);
            }
        } else {
            self.wake(effects);
        }
    }

    /// The next moment something is due: the deadline at the latest.
    fn wake(&self, effects: &mut Vec<Effect>) {
        let next = match self.phase {
            Phase::BackingOff { until } => until,
            _ => self.ask_again.unwrap_or(self.deadline),
        };
        effects.retain(|effect| !matches!(effect, Effect::WakeAt(_)));
        effects.push(Effect::WakeAt(next.min(self.deadline)));
    }

    fn due(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if now >= self.deadline {
            let heard = self.count(|voter| matches!(voter, Voter::Can { .. } | Voter::Held { .. }));
            let refusal = if heard >= self.majority() {
                Refusal::Busy {
                    why: format!("{} is being created by somebody else", self.path),
                }
            } else {
                self.no_quorum(heard)
            };
            self.end(None, refusal, effects);
            return;
        }
        match self.phase {
            Phase::BackingOff { until } if now >= until => {
                self.ballot.round += 1;
                self.ask_all(effects);
            }
            Phase::Asking if self.ask_again.is_some_and(|at| now >= at) => {
                self.ask_again = None;
                for (to, voter) in &mut self.voters {
                    if matches!(voter, Voter::Held { .. }) {
                        *voter = Voter::Asked;
                        effects.push(Effect::Ask {
                            to: *to,
                            ballot: self.ballot,
                        });
                    }
                }
            }
            _ => self.wake(effects),
        }
    }

    /// Somebody with a lower ballot goes first: gives everything back and waits.
    fn back_off(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.give_back_all(effects);
        self.ask_again = None;
        self.phase = Phase::BackingOff {
            until: Moment(now.0 + self.wait_us()),
        };
        self.wake(effects);
    }

    fn end(&mut self, by: Option<ServerId>, refusal: Refusal, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Asking {
            self.give_back_all(effects);
        }
        self.phase = Phase::Done;
        effects.push(Effect::Refused { by, refusal });
    }

    /// Gives back what is reserved or may be, and the turn where this one waits for its own.
    fn give_back_all(&mut self, effects: &mut Vec<Effect>) {
        for (to, voter) in &self.voters {
            if *voter != Voter::Lost {
                effects.push(Effect::GiveBack {
                    to: *to,
                    ballot: self.ballot,
                });
            }
        }
    }

    fn no_quorum(&self, heard: usize) -> Refusal {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Refusal::NoQuorum {
            heard: count(heard.max(1)),
            voters: count(self.others.len() + 1),
        }
    }

    /// Doubled each time, and spread over half of it so that two do not keep in step.
    fn wait_us(&mut self) -> u64 {
        let first = u64::try_from(BACKOFF_FIRST.as_micros()).unwrap_or(u64::MAX);
        let longest = u64::try_from(BACKOFF_LONGEST.as_micros()).unwrap_or(u64::MAX);
        let wait = first.saturating_mul(1 << self.waits.min(16)).min(longest);
        self.waits += 1;
        // xorshift64 (Marsaglia 2003): any spread will do.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        wait / 2 + self.dice % (wait / 2 + 1)
    }
}
