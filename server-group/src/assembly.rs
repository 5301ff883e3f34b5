//! Payloads that arrive in chunks, put together within bounds. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::limits::{ASSEMBLIES_MAX, ASSEMBLY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::payload::Payload;

/// Why a payload is not assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AssemblyFault {
    /// More bytes are announced than a call may have.
    TooLarge,
    /// The link assembles too much already.
    Full,
}

/// What a chunk did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Grown<T> {
    /// More is to come.
    Partly,
    /// The payload is whole.
    Whole(T, Payload),
    /// No payload of this id is being assembled: it was refused, cancelled or late.
    Unknown,
    /// More came than was announced, or less: the other end does not keep to the protocol.
    Wrong,
}

/// The payloads of one direction of one link. `T` is what waits for the payload.
#[derive(Debug)]
pub(crate) struct Assemblies<T> {
    by_id: BTreeMap<u64, Assembly<T>>,
    announced_bytes: usize,
}

#[derive(Debug)]
struct Assembly<T> {
    waiting: T,
    payload: Payload,
    announced_bytes: usize,
}

impl<T> Default for Assemblies<T> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            announced_bytes: 0,
        }
    }
}

impl<T> Assemblies<T> {
    /// Expects `announced_bytes` in chunks. Gives `waiting` back when it will not.
    pub(crate) fn begin(
        &mut self,
        id: u64,
        waiting: T,
        announced_bytes: usize,
    ) -> Result<(), (AssemblyFault, T)> {
        if announced_bytes > PAYLOAD_BYTES_MAX {
            return Err((AssemblyFault::TooLarge, waiting));
        }
        if self.announced_bytes + announced_bytes > ASSEMBLY_BYTES_MAX
            || self.by_id.len() >= ASSEMBLIES_MAX
        {
            return Err((AssemblyFault::Full, waiting));
        }
        self.forget(id);
        self.announced_bytes += announced_bytes;
        self.by_id.insert(
            id,
            Assembly {
                waiting,
                payload: Payload::new(),
                announced_bytes,
            },
        );
        Ok(())
    }

    /// Adds a chunk; the last one says that no more follow.
    pub(crate) fn grow(&mut self, id: u64, chunk: Bytes, is_last: bool) -> Grown<T> {
        let Some(assembly) = self.by_id.get_mut(&id) else {
            return Grown::Unknown;
        };
        assembly.payload.push(chunk);
        let (came, announced) = (assembly.payload.len(), assembly.announced_bytes);
        if came > announced || is_last != (came == announced) {
            self.forget(id);
            return Grown::Wrong;
        }
        if !is_last {
            return Grown::Partly;
        }
        match self.by_id.remove(&id) {
            Some(assembly) => {
                self.announced_bytes -= assembly.announced_bytes;
                Grown::Whole(assembly.waiting, assembly.payload)
            }
            None => Grown::Unknown,
        }
    }

    /// Drops what came for an id; whether there was any.
    pub(crate) fn forget(&mut self, id: u64) -> bool {
        match self.by_id.remove(&id) {
            Some(assembly) => {
                self.announced_bytes -= assembly.announced_bytes;
                true
            }
            None => false,
        }
    }
}
