//! One call on its way over several attempts: counts them, remembers whether one may have been
//! done, and ends as the error the caller gets. Knows no sockets and no clock but the deadline.

use std::net::SocketAddr;
use std::time::Duration;

use sdfs_server_group::ConnectError;
use sdfs_types::{Refusal, RequestId};

use crate::error::{Error, UnknownCause};
use crate::pause::pause;
use crate::retry::{Next, verdict};
use crate::trouble::Trouble;

/// The attempts at one call so far.
#[derive(Debug)]
pub(crate) struct Journey {
    /// Of a change; a question has none.
    request: Option<RequestId>,
    failures: u32,
    maybe_done: bool,
    tried: Vec<SocketAddr>,
}

/// What a failed attempt leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Try again after this long.
    Again(Duration),
    /// It ends here.
    End(Error),
}

/// What there is left to go on with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Time until the deadline.
    pub(crate) remaining: Duration,
    /// Time since the call was made.
    pub(crate) waited: Duration,
    /// How many servers can do it.
    pub(crate) servers: usize,
    /// A random number.
    pub(crate) random: u64,
}

impl Journey {
    /// Of a change with a request id, or of a question.
    pub(crate) fn new(request: Option<RequestId>) -> Journey {
        Journey {
            request,
            failures: 0,
            maybe_done: false,
            tried: Vec::new(),
        }
    }

    /// Whether the call was tried at that server in this round.
    pub(crate) fn has_tried(&self, address: SocketAddr) -> bool {
        self.tried.contains(&address)
    }

    /// Records a failed attempt and says what is next.
    pub(crate) fn failed(&mut self, at: SocketAddr, trouble: Trouble, room: Room) -> Step {
        let verdict = verdict(&trouble);
        self.failures += 1;
        self.maybe_done |= verdict.maybe_done;
        let wait = match verdict.next {
            Next::Here if self.failures == 1 => Duration::ZERO,
            Next::Here | Next::Pause => pause(self.failures, room.random),
            Next::Elsewhere => self.elsewhere(at, room),
            _ => return Step::End(self.end(trouble, room)),
        };
        if wait >= room.remaining {
            return Step::End(self.end(trouble, room));
        }
        Step::Again(wait)
    }

    /// The next server at once while there are others; a new round after a pause.
    fn elsewhere(&mut self, at: SocketAddr, room: Room) -> Duration {
        if !self.has_tried(at) {
            self.tried.push(at);
        }
        if self.tried.len() < room.servers {
            return Duration::ZERO;
        }
        self.tried.clear();
        pause(self.failures, room.random)
    }

    fn end(&self, trouble: Trouble, room: Room) -> Error {
        match self.request.filter(|_| self.maybe_done) {
            Some(request) => unknown(request, trouble),
            None => definite(trouble, room),
        }
    }
}

/// An attempt may have been done. Only an answer about the operation itself settles it.
fn unknown(request: RequestId, trouble: Trouble) -> Error {
    let why = match trouble {
        Trouble::Refused(Refusal::Unknown { why }) => UnknownCause::Server { why },
        Trouble::Refused(last) => match verdict(&Trouble::Refused(last.clone())).next {
            // The file is no more: that says nothing of an attempt made while it was there.
            Next::Pause | Next::Elsewhere | Next::RefreshFile => UnknownCause::Attempt { last },
            _ => return Error::Refused(last),
        },
        Trouble::Call(error) => UnknownCause::Call(error),
        Trouble::Connect(_) | Trouble::Corrupt => UnknownCause::Unreachable,
        Trouble::Answer(fault) => return Error::Answer(fault),
    };
    Error::Unknown { request, why }
}

/// Nothing was done: either it is a question, or no attempt reached a server.
pub(crate) fn definite(trouble: Trouble, room: Room) -> Error {
    match trouble {
        Trouble::Refused(refusal) => Error::Refused(refusal),
        Trouble::Connect(error) => match &*error {
            ConnectError::Refused { address, reason } => Error::Login {
                address: *address,
                reason: reason.clone(),
            },
            ConnectError::NotAccepted { .. } | ConnectError::Randomness(_) => {
                Error::Untrusted(error)
            }
            _ => Error::Unreachable { last: error },
        },
        Trouble::Call(error) => match verdict(&Trouble::Call(error)).next {
            Next::GiveUp => Error::Call(error),
            _ if room.remaining.is_zero() => Error::Deadline {
                waited: room.waited,
            },
            _ => Error::Lost { last: error },
        },
        Trouble::Answer(fault) => Error::Answer(fault),
        Trouble::Corrupt => Error::Refused(Refusal::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::CallError;
    use sdfs_types::FilePath;

    const REQUEST: RequestId = RequestId {
        client: 1,
        sequence: 2,
    };

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn room(remaining_ms: u64) -> Room {
        let waited = Duration::from_millis(5);
        Room {
            remaining: Duration::from_millis(remaining_ms),
            waited,
            servers: 3,
            random: 0,
        }
    }

    fn lost(maybe_done: bool) -> Trouble {
        Trouble::Call(CallError::Lost { maybe_done })
    }

    #[test]
    fn every_server_is_tried_before_a_pause() {
        let mut journey = Journey::new(Some(REQUEST));
        for port in 1..3 {
            let step = journey.failed(at(port), lost(false), room(1_000));
            assert!(matches!(step, Step::Again(Duration::ZERO)));
            assert!(journey.has_tried(at(port)));
        }
        let step = journey.failed(at(3), lost(false), room(1_000));
        assert!(matches!(step, Step::Again(wait) if !wait.is_zero()));
        assert!(!journey.has_tried(at(1)));
    }

    #[test]
    fn a_lost_change_ends_unknown() {
        let mut journey = Journey::new(Some(REQUEST));
        journey.failed(at(1), lost(true), room(1_000));
        journey.failed(at(2), lost(false), room(1_000));
        let busy = Refusal::Busy {
            why: "election".to_owned(),
        };
        let step = journey.failed(at(3), Trouble::Refused(busy), room(0));
        assert!(matches!(
            step,
            Step::End(Error::Unknown {
                request: REQUEST,
                ..
            })
        ));
    }

    #[test]
    fn a_settling_answer_is_definite() {
        let mut journey = Journey::new(Some(REQUEST));
        journey.failed(at(1), lost(true), room(1_000));
        let missing = Refusal::NotFound {
            path: FilePath::root(),
        };
        let step = journey.failed(at(2), Trouble::Refused(missing), room(1_000));
        assert!(matches!(step, Step::End(error) if error.is_not_found()));
    }

    #[test]
    fn a_question_is_never_unknown() {
        let mut journey = Journey::new(None);
        let step = journey.failed(at(1), Trouble::Call(CallError::Deadline), room(0));
        assert!(matches!(step, Step::End(Error::Deadline { .. })));
        let step = journey.failed(at(1), lost(true), room(0));
        assert!(matches!(step, Step::End(Error::Deadline { .. })));
    }

    #[test]
    fn refusals_without_loss_are_definite() {
        let mut journey = Journey::new(Some(REQUEST));
        let alone = || {
            Trouble::Refused(Refusal::NoQuorum {
                heard: 1,
                voters: 3,
            })
        };
        assert!(matches!(
            journey.failed(at(1), alone(), room(1_000)),
            Step::Again(_)
        ));
        let step = journey.failed(at(2), alone(), room(0));
        assert!(matches!(
            step,
            Step::End(Error::Refused(Refusal::NoQuorum { .. }))
        ));
    }
}
