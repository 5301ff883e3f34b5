//! Tombstones: which descriptor a name had last, so that it comes back as its next life.
//!
//! Kept for 30 days and up to a million of them; the oldest go first. A name whose tombstone is
//! gone comes back under a fresh id, which nobody ever had either.

use serde::{Deserialize, Serialize};

use sdfs_store::KeyRange;
use sdfs_types::FileDescriptor;
use sdfs_types::wire;

use super::keys;
use super::machine::Applying;
use crate::fault::{Applied, unreadable};
use crate::limits::{TOMBSTONE_MS, TOMBSTONES_EXPIRED_AT_ONCE, TOMBSTONES_MAX};

/// What is left of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    /// What it stood for last.
    pub(crate) descriptor: FileDescriptor,
    /// Its place in the order.
    sequence: u64,
}

/// A place in the order: when the tombstone was made, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    deleted_ms: u64,
    key: Vec<u8>,
}

/// Leaves a tombstone and lets the oldest go that are too old or too many.
pub(crate) fn leave(
    applying: &mut Applying<'_>,
    parent: FileDescriptor,
    name: &str,
    descriptor: FileDescriptor,
    now_ms: u64,
) -> Applied<()> {
    let key = keys::of_name(keys::TOMBSTONE, parent, name);
    let sequence = applying.counters.next_tombstone;
    let place = Place {
        deleted_ms: now_ms,
        key: key.clone(),
    };
    applying.batch.put(
        key,
        wire::encode(&Tombstone {
            descriptor,
            sequence,
        }),
    );
    applying
        .batch
        .put(keys::of_order(sequence), wire::encode(&place));
    applying.counters.next_tombstone += 1;
    applying.counters.tombstones += 1;
    expire(applying, now_ms)
}

/// Uses the tombstone of a name up.
pub(crate) fn take(
    applying: &mut Applying<'_>,
    parent: FileDescriptor,
    name: &str,
) -> Applied<Option<FileDescriptor>> {
    if applying.counters.tombstones == 0 {
        return Ok(None);
    }
    let key = keys::of_name(keys::TOMBSTONE, parent, name);
    let Some(value) = applying.batch.get(&key)? else {
        return Ok(None);
    };
    let tombstone: Tombstone = wire::decode(&value).map_err(unreadable)?;
    drop_one(applying, key, tombstone.sequence);
    Ok(Some(tombstone.descriptor))
}

/// What the tombstone of a name holds, left as it is.
pub(crate) fn look(
    applying: &Applying<'_>,
    parent: FileDescriptor,
    name: &str,
) -> Applied<Option<FileDescriptor>> {
    if applying.counters.tombstones == 0 {
        return Ok(None);
    }
    let value = applying
        .batch
        .get(&keys::of_name(keys::TOMBSTONE, parent, name))?;
    let tombstone: Option<Tombstone> = value
        .map(|value| wire::decode(&value))
        .transpose()
        .map_err(unreadable)?;
    Ok(tombstone.map(|tombstone| tombstone.descriptor))
}

/// Drops some tombstones below a directory that is being swept; whether all are gone.
pub(crate) fn sweep(
    applying: &mut Applying<'_>,
    directory: FileDescriptor,
    limit: usize,
) -> Applied<bool> {
    let range = KeyRange::prefix(&keys::of_descriptor(keys::TOMBSTONE, directory));
    let pairs = applying.batch.scan(&range, limit)?;
    for (key, value) in &pairs {
        let tombstone: Tombstone = wire::decode(value).map_err(unreadable)?;
        drop_one(applying, key.to_vec(), tombstone.sequence);
    }
    Ok(pairs.len() < limit)
}

fn expire(applying: &mut Applying<'_>, now_ms: u64) -> Applied<()> {
    let limit = TOMBSTONES_EXPIRED_AT_ONCE;
    // The oldest place is looked at once in a while: a scan costs more than all the rest.
    let is_due = applying
        .counters
        .next_tombstone
        .is_multiple_of(limit as u64);
    if !is_due {
        return Ok(());
    }
    let oldest = keys::of_order(applying.counters.oldest_tombstone);
    let range = KeyRange::between(&oldest, &keys::of_order(u64::MAX));
    for (order, value) in applying.batch.scan(&range, 2 * limit)? {
        let place: Place = wire::decode(&value).map_err(unreadable)?;
        if let Some(sequence) = order.get(1..).and_then(|sequence| sequence.try_into().ok()) {
            applying.counters.oldest_tombstone = u64::from_be_bytes(sequence);
        }
        let is_old = place.deleted_ms.saturating_add(TOMBSTONE_MS) < now_ms;
        if !is_old && applying.counters.tombstones <= TOMBSTONES_MAX {
            break;
        }
        applying.batch.delete(order);
        applying.batch.delete(place.key);
        applying.counters.tombstones = applying.counters.tombstones.saturating_sub(1);
    }
    Ok(())
}

fn drop_one(applying: &mut Applying<'_>, key: Vec<u8>, sequence: u64) {
    applying.batch.delete(key);
    applying.batch.delete(keys::of_order(sequence));
    applying.counters.tombstones = applying.counters.tombstones.saturating_sub(1);
}
