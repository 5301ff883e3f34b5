//! How a log is opened.

/// Options of a log; `LogOptions::named` gives the defaults.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Name of the log in threads and messages.
    pub name: String,
    /// Size of a full-grown segment in bytes.
    pub segment_bytes: u32,
    /// Bytes that may wait for the disk; an append beyond it is refused as `Full`.
    pub queue_bytes_max: u64,
    /// Removed segments kept for use again (beyond them files are deleted).
    pub spare_segments: u32,
    /// Free bytes of the disk below which an append is refused as `NoSpace`.
    pub reserve_bytes: u64,
}

impl LogOptions {
    /// 64 MiB segments, a queue of 64 MiB, 2 spare segments, 256 MiB in reserve.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            segment_bytes: 64 << 20,
            queue_bytes_max: 64 << 20,
            spare_segments: 2,
            reserve_bytes: 256 << 20,
        }
    }
}
