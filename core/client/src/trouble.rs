//! What one attempt at a call failed with, before anything is decided about it.

use std::sync::Arc;

use sdfs_server_group::{CallError, ConnectError};
use sdfs_types::Refusal;
use sdfs_types::wire::WireFault;

/// Why one attempt has no answer of use.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The server refused.
    Refused(Refusal),
    /// The call did not come through.
    Call(CallError),
    /// There is no connection with the server.
    Connect(Arc<ConnectError>),
    /// The answer is not what an answer is.
    Answer(Arc<WireFault>),
    /// The bytes that came are not the ones that were stored.
    Corrupt,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        Trouble::Refused(refusal)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Trouble {
        Trouble::Call(error)
    }
}

impl From<WireFault> for Trouble {
    fn from(fault: WireFault) -> Trouble {
        Trouble::Answer(Arc::new(fault))
    }
}
