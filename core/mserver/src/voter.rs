//! The actor that votes: it owns this mserver's reservations and answers `CanCreate`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::prelude::*;
use tokio::time::Instant;

use sdfs_server_group::ServerId;
use sdfs_types::calls::negotiation::{Ballot, CanCreateAsk, Vote};
use sdfs_types::{Access, EntryKind, FilePath, PathFault, Refusal, RequestId};

use crate::negotiation::Moment;
use crate::reservations::{Reservations, Reserved};
use crate::root::{RootView, ViewFault, Walk, prefix};

/// Votes of a mailbox that is full are not given: the asker treats them as lost.
const MAILBOX_MAX: usize = 4_096;

/// Votes about names.
pub(crate) struct Voter {
    root: Arc<RootView>,
    reservations: Reservations,
    /// Creates this mserver leads now: the load it tells.
    creating: Arc<AtomicU32>,
    started: Instant,
}

/// Asks about names.
#[derive(Message)]
#[rtype(result = "Vec<Vote>")]
pub(crate) struct Ask(pub(crate) Vec<CanCreateAsk>);

/// Gives reservations back.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct GiveBack(pub(crate) Vec<(FilePath, Ballot)>);

/// Asks which names are reserved: the first so many, and how many there are.
#[derive(Message)]
#[rtype(result = "(Vec<NameReserved>, usize)")]
pub(crate) struct AskReserved(pub(crate) usize);

/// A name that is reserved at this mserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameReserved {
    /// The name.
    pub path: FilePath,
    /// Who coordinates the request that holds it; none while somebody's turn is waited for.
    pub coordinator: Option<ServerId>,
    /// The request that holds it.
    pub request: Option<RequestId>,
    /// Milliseconds until it ends by itself.
    pub ends_in_ms: u64,
}

impl Voter {
    pub(crate) fn new(root: Arc<RootView>, creating: Arc<AtomicU32>) -> Voter {
        let reservations = Reservations::default();
        Voter {
            root,
            reservations,
            creating,
            started: Instant::now(),
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn vote(&mut self, ask: &CanCreateAsk) -> Vote {
        if let Err(refusal) = check_name(&self.root, ask) {
            return Vote::Cannot { refusal };
        }
        let can = Vote::Can {
            load: self.creating.load(Ordering::Relaxed),
            free_bytes: 0,
        };
        // A replacement takes the name from nobody, so nobody has to wait for it.
        if ask.replace {
            return can;
        }
        let root = Arc::clone(&self.root);
        let wanted = (ask.request, ask.ballot);
        let is_decided = |request| root.is_decided(request);
        match self
            .reservations
            .reserve(self.now(), &ask.path, wanted, is_decided)
        {
            Reserved::Yes => can,
            Reserved::Held { by } => Vote::Outranked { by },
            Reserved::Full => Vote::Cannot {
                refusal: Refusal::Busy {
                    why: "too many names are being created".to_owned(),
                },
            },
        }
    }
}

/// What speaks against a name, as far as this mserver knows: right, existing name, missing
/// directory, quota.
pub(crate) fn check_name(root: &RootView, ask: &CanCreateAsk) -> Result<(), Refusal> {
    root.users().check(&ask.owner, Access::Write, &ask.path)?;
    if ask.path.is_root() {
        return Err(PathFault::IsRoot.into());
    }
    let (above, former) = match root.walk(&ask.path).map_err(unreadable)? {
        Walk::Blocked { path } => return Err(Refusal::NotDirectory { path }),
        Walk::Found { entry, .. } if entry.kind == EntryKind::Directory => {
            return Err(Refusal::IsDirectory {
                path: ask.path.clone(),
            });
        }
        Walk::Found { entry, .. } if !ask.replace => {
            let descriptor = entry.descriptor;
            return Err(Refusal::Exists {
                path: ask.path.clone(),
                descriptor,
            });
        }
        Walk::Found { above, entry } => (above, Some(entry)),
        Walk::Missing { above } => (above, None),
    };
    for (names, directory) in above.into_iter().enumerate() {
        let Some(quota) = root.quota(directory) else {
            continue;
        };
        let more_files = u64::from(former.is_none());
        let former_bytes = former.as_ref().map_or(0, |former| former.size_bytes);
        let more_bytes = ask.size_bytes.saturating_sub(former_bytes);
        let amounts = [
            (more_files, quota.files_used, quota.files_max, "files"),
            (more_bytes, quota.bytes_used, quota.bytes_max, "bytes"),
        ];
        for (more, used, limit, unit) in amounts {
            if let Some(limit) = limit
                && more > 0
                && used.saturating_add(more) > limit
            {
                let (path, unit) = (prefix(&ask.path, names), unit.to_owned());
                return Err(Refusal::Quota {
                    path,
                    used,
                    limit,
                    unit,
                });
            }
        }
    }
    Ok(())
}

/// A store that cannot be read right now: another mserver may.
pub(crate) fn unreadable(fault: ViewFault) -> Refusal {
    Refusal::Busy {
        why: fault.to_string(),
    }
}

impl Actor for Voter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
        context.run_interval(crate::limits::DUTY_EVERY, |voter, _| {
            let now = voter.now();
            voter.reservations.expire(now);
        });
    }
}

impl Handler<Ask> for Voter {
    type Result = MessageResult<Ask>;

    fn handle(&mut self, Ask(asks): Ask, _: &mut Self::Context) -> Self::Result {
        MessageResult(asks.iter().map(|ask| self.vote(ask)).collect())
    }
}

impl Handler<AskReserved> for Voter {
    type Result = MessageResult<AskReserved>;

    fn handle(&mut self, AskReserved(limit): AskReserved, _: &mut Self::Context) -> Self::Result {
        let root = Arc::clone(&self.root);
        let is_decided = |request| root.is_decided(request);
        let now = self.now();
        MessageResult(self.reservations.standing(now, limit, is_decided))
    }
}

impl Handler<GiveBack> for Voter {
    type Result = ();

    fn handle(&mut self, GiveBack(reservations): GiveBack, _: &mut Self::Context) {
        for (path, ballot) in reservations {
            self.reservations.give_back(&path, ballot);
        }
    }
}
