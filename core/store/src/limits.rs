//! Bounds of the store, each with its unit and reason.

/// Bytes of blocks kept in memory. Hot values live in the state machines' own memory; here are the
/// filters by which new names are found absent, some 10 bits a key.
pub(crate) const BLOCK_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes a keyspace's memtable may hold before it is flushed. Sixteen groups at most share a
/// process; small tables bound memory, and the raft log absorbs bursts anyhow.
pub(crate) const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;

/// Background threads. With more than one the engine keeps its first free for flushes by having it
/// pass compactions on, which goes round and round on a whole core for as long as another compacts.
pub(crate) const WORKER_THREADS: usize = 1;

/// Bytes of a table file. Small, so that a flush does not wait long for a compaction, which
/// rewrites some ten of them.
pub(crate) const TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// Open table files kept. Far below the usual limit of 1,024 descriptors a process.
pub(crate) const OPEN_FILES_MAX: usize = 128;

/// Bytes of journals before keyspaces are forced to flush. The engine's smallest allowed value is
/// 64 MiB; twice that lets one journal be sealed while the next one fills.
pub(crate) const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Bytes of a keyspace name, the engine's own bound.
pub(crate) const KEYSPACE_NAME_BYTES_MAX: usize = 255;

/// Bytes of a key, the engine's own bound (a 16-bit length).
pub(crate) const KEY_BYTES_MAX: usize = 65_535;
