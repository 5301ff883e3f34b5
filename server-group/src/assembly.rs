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

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: usize) -> Bytes {
        Bytes::from(vec![1; bytes])
    }

    #[test]
    fn payload_is_whole_at_its_last_chunk() {
        let mut assemblies = Assemblies::default();
        assert_eq!(assemblies.begin(7, "call", 30), Ok(()));
        assert_eq!(assemblies.grow(7, chunk(20), false), Grown::Partly);
        assert_eq!(assemblies.grow(8, chunk(20), false), Grown::Unknown);
        let Grown::Whole("call", payload) = assemblies.grow(7, chunk(10), true) else {
            unreachable!("30 of 30 bytes came")
        };
        assert_eq!(payload.len(), 30);
        assert_eq!(assemblies.grow(7, chunk(1), true), Grown::Unknown);
        assert_eq!(assemblies.announced_bytes, 0);
    }

    #[test]
    fn liars_are_found_out() {
        for (announced, chunks) in [
            (10, vec![(11, true)]),
            (10, vec![(9, true)]),
            (10, vec![(10, false)]),
            (10, vec![(5, false), (6, false)]),
            (0, vec![(1, true)]),
        ] {
            let mut assemblies = Assemblies::default();
            assert_eq!(assemblies.begin(1, (), announced), Ok(()));
            let last = chunks
                .into_iter()
                .map(|(bytes, is_last)| assemblies.grow(1, chunk(bytes), is_last))
                .last();
            assert_eq!(last, Some(Grown::Wrong));
            assert_eq!(assemblies.announced_bytes, 0);
        }
    }

    #[test]
    fn announced_bytes_are_bounded() {
        let mut assemblies = Assemblies::default();
        let refused = assemblies.begin(0, (), PAYLOAD_BYTES_MAX + 1);
        assert_eq!(refused, Err((AssemblyFault::TooLarge, ())));
        for id in 0..4 {
            assert_eq!(assemblies.begin(id, (), PAYLOAD_BYTES_MAX), Ok(()));
        }
        assert_eq!(assemblies.begin(4, (), 1), Err((AssemblyFault::Full, ())));
        assert!(assemblies.forget(0));
        assert_eq!(assemblies.begin(4, (), 1), Ok(()));
        let mut many = Assemblies::default();
        for id in 0..ASSEMBLIES_MAX as u64 {
            assert_eq!(many.begin(id, (), 0), Ok(()));
        }
        assert_eq!(many.begin(u64::MAX, (), 0), Err((AssemblyFault::Full, ())));
    }
}
