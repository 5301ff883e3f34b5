//! What the tests of the log share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdfs_log::{Disk, LogFailure, LogOptions, OpenError, Position, Record, SegmentLog};

/// Longest a test waits for something that is to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const DIR: &str = "/log";

/// A record as replay hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) head: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn small_segments() -> LogOptions {
    LogOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: 0,
        ..LogOptions::named("test")
    }
}

pub(crate) fn try_open(
    disk: &Arc<dyn Disk>,
    options: LogOptions,
    from: Option<Position>,
) -> Result<(SegmentLog, Vec<Seen>), OpenError> {
    let mut seen = Vec::new();
    let mut note = |position, head: &[u8], data: &[u8]| {
        seen.push(Seen {
            position,
            head: head.to_vec(),
            data: data.to_vec(),
        });
    };
    let log = SegmentLog::open(Arc::clone(disk), Path::new(DIR), options, from, &mut note)?;
    Ok((log, seen))
}

pub(crate) fn open(disk: &Arc<dyn Disk>) -> (SegmentLog, Vec<Seen>) {
    try_open(disk, small_segments(), None).unwrap()
}

/// Head and data that can be told from those of every other number.
pub(crate) fn sample(number: u64, data_bytes: usize) -> (Bytes, Bytes) {
    let head = Bytes::from(number.to_le_bytes().to_vec());
    let data: Vec<u8> = (0..data_bytes)
        .map(|i| (number as usize * 31 + i * 7) as u8)
        .collect();
    (head, Bytes::from(data))
}

pub(crate) fn record(number: u64, data_bytes: usize) -> Record {
    let (head, data) = sample(number, data_bytes);
    Record::new(head, data)
}

/// Appends and waits.
pub(crate) fn append(log: &SegmentLog, record: Record) -> Result<Position, LogFailure> {
    let (tell, told) = channel();
    log.append(record, move |result| tell.send(result).unwrap())
        .unwrap();
    told.recv_timeout(PATIENCE).unwrap()
}

/// Appends without waiting.
pub(crate) fn queue(log: &SegmentLog, record: Record) -> Receiver<Result<Position, LogFailure>> {
    let (tell, told) = channel();
    log.append(record, move |result| drop(tell.send(result)))
        .unwrap();
    told
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
