//! FastDFS's requests and names. The first byte of the input says what it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_fastdfs::{FileName, Given, Names, NewName, fuzzing};
use sdfs_fuzz::Parts;
use sdfs_types::{ServerId, Stamp, VolumeId};

const KEY: [u8; 32] = [1; 32];

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    match input.byte() % 5 {
        0 => tracker(input),
        1 => {
            let mut header = [0; 10];
            let told = input.bytes(10);
            header[..told.len()].copy_from_slice(told);
            fuzzing::storage_understands(header, input.0);
        }
        2 => name(input.0),
        3 => made(input),
        _ => metadata(input),
    }
});

fn tracker(mut input: Parts<'_>) {
    let command = input.byte();
    let answer = fuzzing::tracker_answer(&Names::new(KEY), command, input.0);
    assert!(answer.is_none_or(|answer| answer.len() < 16 << 10));
}

/// Nobody makes up a name: one that is not taken apart, or was not given, finds nothing.
fn name(text: &[u8]) {
    let Ok(name) = FileName::parse(text) else {
        return;
    };
    assert_eq!(name.text.as_bytes(), text);
    let (_, _) = (name.server(), name.address());
    assert!(!(name.tells_content() && name.is_slave()));
    if let Some(given) = Names::new(KEY).given(&name) {
        assert!(matches!(
            given,
            Given::Anonymous(..) | Given::Recorded | Given::Beside
        ));
    }
}

/// What is made is found again, and not with another key.
fn made(mut input: Parts<'_>) {
    let mut number = || u32::from(input.short()) << 16 | u32::from(input.short());
    let (volume, second, crc32, size) = (number(), number(), number(), number());
    let stamp = Stamp {
        second,
        number: number() % (1 << 17),
        server: ServerId((number() as u16).max(1)),
    };
    let kind = sdfs_fastdfs::FileKind::Trunk(size.into());
    let Ok(extension) = std::str::from_utf8(input.0) else {
        return;
    };
    let new = NewName {
        volume: Some(VolumeId(volume)),
        stamp,
        kind,
        crc32,
        extension,
    };
    let Ok(text) = Names::new(KEY).make(&new) else {
        return;
    };
    let name = FileName::parse(text.as_bytes()).expect("a name that was made");
    match Names::new(KEY).given(&name) {
        Some(Given::Anonymous(file, told)) => {
            assert_eq!(
                (file.volume, file.stamp, told),
                (VolumeId(volume), stamp, size.into())
            );
        }
        other => unreachable!("{text} was given: {other:?}"),
    }
    assert_eq!(Names::new([2; 32]).given(&name), None);
}

/// What is kept can be set anew and is then kept as it is.
fn metadata(mut input: Parts<'_>) {
    let is_merge = input.byte() & 1 != 0;
    let old = input.long_part();
    if let Some(kept) = fuzzing::metadata(is_merge, old, input.0) {
        assert_eq!(fuzzing::metadata(false, b"", &kept).as_ref(), Some(&kept));
        if is_merge {
            assert_eq!(
                fuzzing::metadata(true, &kept, input.0).as_ref(),
                Some(&kept)
            );
        }
    }
}
