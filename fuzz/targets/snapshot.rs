//! A snapshot that another member sends, in pieces: what is gathered is sent on and gathered as the
//! same. The input is pieces, each with its length of two bytes before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::Parts;
use sdfs_raft::fuzzing;

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let mut pieces = Vec::new();
    while !input.is_over() {
        pieces.push(input.long_part());
    }
    let Some(sent) = fuzzing::snapshot(&pieces) else {
        return;
    };
    let pieces: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    assert_eq!(fuzzing::snapshot(&pieces).as_ref(), Some(&sent));
});
