//! Whose blocks are written, where to, by which right, and for how long that is tried.

use std::time::Duration;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::{BeginPut, Freshness, GetFile, PutBegun, RenewGrant};
use sdfs_types::clock::now_ms;
use sdfs_types::limits::GRANT_MS;
use sdfs_types::{FileDescriptor, FilePath, Grant, OpenFile, Refusal, VolumeId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::patience::Patience;

/// The file that blocks are written to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) descriptor: FileDescriptor,
    pub(crate) plan: Vec<VolumeId>,
    pub(crate) patience: Patience,
    granted: watch::Sender<Granted>,
    origin: Origin,
}

/// A right and when it is to be renewed, before anybody refuses it.
#[derive(Clone, Copy, Debug)]
struct Granted {
    grant: Grant,
    half_at: Instant,
}

impl Granted {
    fn now(grant: Grant) -> Granted {
        // What other clocks say counts for little: no grant lasts longer than this.
        let left_ms = grant.expires_ms.saturating_sub(now_ms()).min(GRANT_MS);
        Granted {
            grant,
            half_at: Instant::now() + Duration::from_millis(left_ms / 2),
        }
    }
}

/// Where a new grant comes from.
#[derive(Debug)]
enum Origin {
    Put(Box<RenewGrant>),
    Open(FilePath),
}

impl Target {
    /// A file to be.
    pub(crate) fn of_put(client: &Client, begin: &BeginPut, begun: &PutBegun) -> Target {
        let renew = RenewGrant {
            request: begin.request,
            path: begin.path.clone(),
            descriptor: begun.descriptor,
            proof: begun.proof,
        };
        Target {
            descriptor: begun.descriptor,
            plan: begun.plan.iter().map(|volume| volume.id).collect(),
            patience: client.patience(begun.block_size),
            granted: watch::Sender::new(Granted::now(begun.grant)),
            origin: Origin::Put(Box::new(renew)),
        }
    }

    /// A file that is.
    pub(crate) fn of_open(client: &Client, path: FilePath, open: &OpenFile) -> Target {
        Target {
            descriptor: open.file.descriptor,
            plan: open.file.plan.clone(),
            patience: client.patience(open.file.block_size),
            granted: watch::Sender::new(Granted::now(open.grant)),
            origin: Origin::Open(path),
        }
    }

    /// The right to write.
    pub(crate) fn grant(&self) -> Grant {
        self.granted.borrow().grant
    }

    /// When half of the grant's life is over.
    pub(crate) fn half_at(&self) -> Instant {
        self.granted.borrow().half_at
    }

    /// Gets a new grant for the same file.
    pub(crate) async fn renew(&self, client: &Client, deadline: Deadline) -> Result<(), Error> {
        let grant = match &self.origin {
            Origin::Put(renew) => client.ask_by(&**renew, None, deadline).await?,
            Origin::Open(path) => {
                let freshness = Freshness::Linearizable;
                let get = GetFile {
                    path: path.clone(),
                    write: true,
                    freshness,
                };
                client.ask_by(&get, None, deadline).await?.grant
            }
        };
        if grant.descriptor != self.descriptor {
            return Err(Error::Refused(Refusal::Gone {
                descriptor: self.descriptor,
            }));
        }
        self.granted.send_replace(Granted::now(grant));
        Ok(())
    }
}
