//! Why a command was not applied: refused, or the store failed.

use sdfs_store::StoreError;
use sdfs_types::wire::WireFault;
use sdfs_types::{PathFault, Refusal};

/// A refusal is an answer; a failure of the store ends this member.
#[derive(Debug)]
pub(crate) enum Fault {
    /// An answer to the proposer; nothing was changed.
    Refused(Refusal),
    /// The store failed.
    Store(StoreError),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refused(refusal)
    }
}

impl From<PathFault> for Fault {
    fn from(fault: PathFault) -> Fault {
        Fault::Refused(fault.into())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

/// What the applying functions give.
pub(crate) type Applied<T> = Result<T, Fault>;

/// A stored record that does not decode: the files do not hold what was written.
pub(crate) fn unreadable(fault: WireFault) -> StoreError {
    StoreError::Files(std::io::Error::new(std::io::ErrorKind::InvalidData, fault))
}
