//! Changes to one keyspace that become visible together, readable before they do.

use crate::error::StoreError;
use crate::limits::KEY_BYTES_MAX;
use crate::range::KeyRange;
use crate::store::{Keyspace, Pair};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Changes to one keyspace, committed all or none. Reads through the batch see its own changes
/// over the committed state, so a command may depend on the one before it in the same batch.
pub struct Batch {
    keyspace: Keyspace,
    changes: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
    fault: Option<StoreError>,
}

impl Batch {
    pub(crate) fn new(keyspace: Keyspace) -> Self {
        Self {
            keyspace,
            changes: BTreeMap::new(),
            bytes: 0,
            fault: None,
        }
    }

    /// Sets `key` to `value`. A key of a length the store cannot hold makes the commit fail.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.change(key.into(), Some(value.into()));
    }

    /// Removes `key`; an absent key is no error.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.change(key.into(), None);
    }

    /// Removes every key of `range` that exists now, seen through this batch. Each key is one
    /// change: meant for small ranges.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn delete_range(&mut self, range: &KeyRange) -> Result<(), StoreError> {
        for (key, _) in self.scan(range, usize::MAX)? {
            self.change(key, None);
        }
        Ok(())
    }

    /// The value of `key`, seen through this batch.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.keyspace.get(key),
        }
    }

    /// At most `limit` pairs of `range` in key order, seen through this batch.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Pair>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut stored = self.keyspace.pairs(range);
        let mut changed = self.changes.range::<[u8], _>(range.bounds()).peekable();
        let mut next_stored = stored.next().transpose()?;
        let mut found = Vec::new();
        while found.len() < limit {
            let order = match (&next_stored, changed.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some((changed_key, _))) => key.cmp(changed_key),
            };
            let pair = if order.is_lt() {
                next_stored.take()
            } else {
                changed
                    .next()
                    .and_then(|(key, value)| Some((key.clone(), value.clone()?)))
            };
            if order.is_le() {
                next_stored = stored.next().transpose()?;
            }
            found.extend(pair);
        }
        Ok(found)
    }

    /// Number of keys changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values put into this batch, superseded ones included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes all changes visible at once. They survive the death of this process; the loss of
    /// power only after [`crate::Store::persist`].
    ///
    /// # Errors
    /// [`StoreError::KeyLength`] for a key the store cannot hold; otherwise whatever the disk
    /// says. On error nothing is changed.
    pub fn commit(self) -> Result<(), StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        self.keyspace.commit(self.changes)
    }

    fn change(&mut self, key: Bytes, value: Option<Bytes>) {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            self.fault
                .get_or_insert(StoreError::KeyLength { bytes: key.len() });
            return;
        }
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.changes.insert(key, value);
    }
}
