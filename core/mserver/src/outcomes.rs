//! Outcomes of requests a group remembers, so that a repetition gets the first one: a ring of
//! slots in the keyspace and an index of it in memory. What falls out of the ring is forgotten.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;

use sdfs_store::{Batch, KeyRange, Keyspace, StoreError};
use sdfs_types::{Refusal, RequestId};

use crate::cache::FixedHasher;

/// Which requests are remembered, and in which slot. Shared: voters look up whether a
/// reservation's request was decided, without waiting for the task that applies.
pub(crate) type OutcomeIndex = Arc<DashMap<RequestId, u32, FixedHasher>>;

/// The ring. A slot's value is the request's 16 bytes and the outcome.
pub(crate) struct Outcomes {
    prefix: u8,
    slots: u32,
    index: OutcomeIndex,
    order: VecDeque<RequestId>,
}

impl Outcomes {
    /// A ring of `slots` under the keys that begin with `prefix`.
    pub(crate) fn new(prefix: u8, slots: u32) -> Outcomes {
        Outcomes {
            prefix,
            slots,
            index: OutcomeIndex::default(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn index(&self) -> OutcomeIndex {
        Arc::clone(&self.index)
    }

    /// Reads the ring; `next` counts the outcomes remembered since ever.
    pub(crate) fn load(&mut self, keyspace: &Keyspace, next: u64) -> Result<(), StoreError> {
        self.index.clear();
        self.order.clear();
        let mut found = Vec::new();
        for pair in keyspace.pairs(&KeyRange::prefix(&[self.prefix])) {
            let (key, value) = pair?;
            if let (Some(slot), Some(request)) = (slot_of(&key), request_of(&value)) {
                found.push((slot, request));
            }
        }
        let oldest = u32::try_from(next % u64::from(self.slots)).unwrap_or(0);
        found.sort_by_key(|(slot, _)| slot.wrapping_add(self.slots - oldest) % self.slots);
        for (slot, request) in found {
            // What was forgotten keeps its place in the order, and is nobody's outcome.
            if request != RequestId::default() {
                self.index.insert(request, slot);
            }
            self.order.push_back(request);
        }
        Ok(())
    }

    /// The outcome of `request`, when it is remembered.
    pub(crate) fn find(
        &self,
        request: RequestId,
        batch: &Batch,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(slot) = self.index.get(&request).map(|slot| *slot) else {
            return Ok(None);
        };
        let value = batch.get(&self.key(slot))?;
        Ok(value
            .filter(|value| request_of(value) == Some(request))
            .map(|value| value.slice(16..)))
    }

    /// Remembers an outcome; `next` counts on.
    pub(crate) fn remember(
        &mut self,
        request: RequestId,
        outcome: &[u8],
        next: &mut u64,
        batch: &mut Batch,
    ) {
        let mut value = Vec::with_capacity(16 + outcome.len());
        value.extend_from_slice(&request.to_key());
        value.extend_from_slice(outcome);
        if let Some(slot) = self.index.get(&request).map(|slot| *slot) {
            batch.put(self.key(slot), value);
            return;
        }
        if self.order.len() >= self.slots as usize
            && let Some(oldest) = self.order.pop_front()
        {
            self.index.remove(&oldest);
        }
        let slot = u32::try_from(*next % u64::from(self.slots)).unwrap_or(0);
        *next += 1;
        batch.put(self.key(slot), value);
        self.index.insert(request, slot);
        self.order.push_back(request);
    }

    /// Forgets an outcome: the request may be tried again. Its slot is used when its turn comes.
    pub(crate) fn forget(&mut self, request: RequestId, batch: &mut Batch) {
        if let Some((_, slot)) = self.index.remove(&request) {
            // An empty outcome of no request keeps the order of slots as it is.
            if let Some(place) = self.order.iter_mut().rev().find(|other| **other == request) {
                *place = RequestId::default();
            }
            batch.put(self.key(slot), vec![0; 16]);
        }
    }

    fn key(&self, slot: u32) -> Vec<u8> {
        let mut key = vec![self.prefix];
        key.extend_from_slice(&slot.to_be_bytes());
        key
    }
}

/// Refuses a request without a number: it stands for an outcome that was forgotten.
pub(crate) fn named(request: RequestId) -> Result<(), Refusal> {
    if request != RequestId::default() {
        return Ok(());
    }
    Err(Refusal::Malformed {
        why: "the request has no number".to_owned(),
    })
}

fn slot_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

fn request_of(value: &[u8]) -> Option<RequestId> {
    let (client, rest) = value.split_at_checked(8)?;
    Some(RequestId {
        client: u64::from_be_bytes(client.try_into().ok()?),
        sequence: u64::from_be_bytes(rest.get(..8)?.try_into().ok()?),
    })
}
