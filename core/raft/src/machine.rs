//! What a group's commands mean.

use bytes::Bytes;
use sdfs_store::{Batch, Keyspace, StoreError};

/// Why a member cannot apply a committed command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// It is not of a form this program reads: a newer one has proposed it.
    #[error("the command cannot be read: {0}")]
    NotUnderstood(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The state machine of one group at one member. All its calls come from one task, in order.
///
/// Everything it decides must follow from the commands and its keyspace alone: no clock, no
/// randomness, no order of a hash map. Members that disagree are silent corruption.
///
/// Keys that begin with the byte 0 belong to this crate (the applied position lives there, so
/// that it moves in the same batch as the state).
pub trait StateMachine: Send + 'static {
    /// The keyspace with the whole state: at start, and again after a snapshot replaced it (then
    /// it is another keyspace, and the former is gone). Whatever the machine holds in memory is
    /// rebuilt here.
    ///
    /// # Errors
    /// An error stops the group at this member for good.
    fn open(&mut self, keyspace: &Keyspace) -> Result<(), StoreError>;

    /// Applies the committed command at `index` and gives the answer its proposer gets. Changes
    /// go to `batch`; reads through `batch` see the changes of the commands before this one,
    /// which may still be in the same batch and not in the keyspace.
    ///
    /// The batch is committed, with the applied position, before any answer is sent and before
    /// [`StateMachine::committed`]. It is not synced: after the loss of power the commands since
    /// the last sync are applied again, to the same state as the first time.
    ///
    /// A command that asks for what is not allowed is answered, not failed. One that cannot be
    /// read is never answered: members that can read it apply it.
    ///
    /// # Errors
    /// An error stops the group at this member for good, before anything that follows is applied.
    fn apply(&mut self, index: u64, command: &[u8], batch: &mut Batch)
    -> Result<Bytes, ApplyError>;

    /// Everything up to `index` is now visible in the keyspace. For telling watchers; answers to
    /// proposers follow right after.
    fn committed(&mut self, index: u64);
}
