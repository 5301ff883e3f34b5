//! The raft log's records and what its members send each other. The first byte of the input says
//! what it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::{Parts, is_kept};
use sdfs_log::{DamagedRange, SegmentId};
use sdfs_raft::fuzzing;

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    match input.byte() % 7 {
        0 => is_kept(input.0, fuzzing::record_head),
        1 => {
            let count = u32::from(input.short());
            is_kept(input.0, |run| fuzzing::entries(run, count));
        }
        2 => {
            let kind = input.byte() % fuzzing::MESSAGES;
            is_kept(input.0, |head| fuzzing::message(kind, head));
        }
        3 => {
            let head = input.part();
            if let Some((head, run)) = fuzzing::append(head, input.0) {
                assert_eq!(fuzzing::append(&head, &run), Some((head, run)));
            }
        }
        4 => {
            let count = u32::from(input.short()) | u32::from(input.byte()) << 24;
            is_kept(input.0, |run| fuzzing::commands(run, count));
        }
        5 => {
            let count = input.short();
            is_kept(input.0, |run| fuzzing::outcomes(run, count));
        }
        _ => log(input),
    }
});

/// Records of a log, and now and then a stretch without one: the server starts or says why not.
fn log(mut input: Parts<'_>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    while !input.is_over() {
        let head = input.part();
        if head.is_empty() {
            damaged.push(DamagedRange {
                segment: SegmentId(1),
                offset: 4_096 + 64 * u32::try_from(records.len()).expect("few records"),
                bytes: 64,
                was_synced: input.byte() & 1 != 0,
            });
        } else {
            records.push((head, input.part()));
        }
    }
    fuzzing::starts_with(&records, &damaged);
}
