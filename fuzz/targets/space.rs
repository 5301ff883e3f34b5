//! A dserver's files: index checkpoint, space, heads of its log's records. The first byte of the
//! input says which, and whether the file's checksum is put right (bit 7).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_dserver::fuzzing;
use sdfs_fuzz::{Parts, is_kept};

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let what = input.byte();
    let mut file = input.0.to_vec();
    if what & 0x80 != 0 && file.len() >= 12 {
        let crc = sdfs_log::crc32c(&file[12..]);
        file[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    match what % 3 {
        0 => is_kept(&file, fuzzing::checkpoint),
        1 => is_kept(&file, fuzzing::space_file),
        _ => is_kept(input.0, fuzzing::record_head),
    }
});
