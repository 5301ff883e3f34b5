//! What a new key costs beside many: `cargo run --release -p sdfs-store --example many_keys`.
//!
//! Puts keys that come in no order, 32 a batch, after looking each up, and prints how fast that
//! goes as they become many, and the longest single batch.

// A program for people to read prints, and ends where it cannot go on.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use sdfs_store::Store;
use std::time::{Duration, Instant};

const KEYS: u64 = 2_000_000;
const BATCH: u64 = 32;
const LINE: u64 = 200_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let keyspace = store.keyspace("names").unwrap();
    let value = [7_u8; 100];
    let (mut line, mut longest) = (Instant::now(), Duration::ZERO);
    for first in (0..KEYS).step_by(BATCH as usize) {
        let begun = Instant::now();
        let mut batch = keyspace.batch();
        for number in first..first + BATCH {
            // Fibonacci hashing: every key once, in no order.
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let key = format!("a folder with a name/{key:016x}");
            assert!(batch.get(key.as_bytes()).unwrap().is_none());
            batch.put(key, value.to_vec());
        }
        batch.commit().unwrap();
        longest = longest.max(begun.elapsed());
        let keys = first + BATCH;
        if keys.is_multiple_of(LINE) {
            let rate = LINE as f64 / line.elapsed().as_secs_f64();
            println!("{keys:>9} keys  {rate:>9.0} keys/s  longest batch {longest:.1?}");
            (line, longest) = (Instant::now(), Duration::ZERO);
        }
    }
}
