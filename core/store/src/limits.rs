//! Bounds of the store, each with its unit and reason.

/// Bytes of decoded blocks kept in memory. Hot lookups live in the state machines' own memory, so
/// the cache only smooths scans; an idle server must stay under 60 MiB in all.
pub(crate) const BLOCK_CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes a keyspace's memtable may hold before it is flushed. Sixteen groups at most share a
/// process; small tables bound memory, and the raft log absorbs bursts anyhow.
pub(crate) const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;

/// Background threads. Two, so that one flush never waits behind a long compaction.
pub(crate) const WORKER_THREADS: usize = 2;

/// Open table files kept. Far below the usual limit of 1,024 descriptors a process.
pub(crate) const OPEN_FILES_MAX: usize = 128;

/// Bytes of journals before keyspaces are forced to flush. The engine's smallest allowed value is
/// 64 MiB; twice that lets one journal be sealed while the next one fills.
pub(crate) const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Bytes of a keyspace name, the engine's own bound.
pub(crate) const KEYSPACE_NAME_BYTES_MAX: usize = 255;

/// Bytes of a key, the engine's own bound (a 16-bit length).
pub(crate) const KEY_BYTES_MAX: usize = 65_535;
