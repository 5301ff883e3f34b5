//! What strangers say before they have proven anything, and the envelopes of calls. The first byte
//! of the input says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::{Parts, is_kept};
use sdfs_server_group::fuzzing;

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    match input.byte() % 7 {
        0 => is_kept(input.0, fuzzing::hello),
        1 => is_kept(input.0, fuzzing::proof),
        2 => is_kept(input.0, fuzzing::refusal),
        3 => is_kept(input.0, fuzzing::ticket),
        4 => is_kept(input.0, fuzzing::request),
        5 => is_kept(input.0, fuzzing::call_refusal),
        _ => is_kept(input.0, fuzzing::load),
    }
});
