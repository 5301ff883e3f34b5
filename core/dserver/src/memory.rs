//! Resident memory of this process.

/// Bytes, by Linux's own account; 0 where it gives none.
pub(crate) fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm");
    let pages = pages
        .ok()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.map_or(0, |pages| pages * PAGE_BYTES)
}
