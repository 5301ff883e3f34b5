//! The console's lines: no bytes break a session's reading, and cuts make no difference. The first
//! byte of the input says where it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_console::fuzzing;
use sdfs_fuzz::Parts;

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let cut = usize::from(input.byte());
    let (begin, end) = input.0.split_at(cut.min(input.0.len()));
    let told = fuzzing::lines(&[begin, end]);
    for (line, fault) in &told.0 {
        assert!(!line.contains('\n'));
        // One answer is one line, however long the line it answers.
        assert!(
            fault.as_ref().is_none_or(|fault| !fault.contains('\n')),
            "{fault:?}"
        );
        assert!(
            fault.as_ref().is_none_or(|fault| fault.len() < 1024),
            "{fault:?}"
        );
    }
    if told.1 {
        assert_eq!(fuzzing::lines(&[input.0]), told);
    }
});
