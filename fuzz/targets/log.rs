//! A log on a disk that others have written to: opening it finds exactly what `docs/DISK.md` says
//! is there, invents nothing, keeps what was valid, and what is appended then is found beside it.
//!
//! The input is changes to two segments that were written by a log: each a byte that says what and
//! in which segment (bit 7), then its numbers.
#![no_main]

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::Parts;
use sdfs_log::{Disk, LogOptions, MemoryDisk, Position, Record, SegmentLog, crc32c};

const SEGMENTS: [&[u8]; 2] = [
    include_bytes!("../../core/log/tests/fixtures/version-1/0000000001.seg"),
    include_bytes!("../../core/log/tests/fixtures/version-1/0000000002.seg"),
];
const FIRST: usize = 4_096;
const HEADER: usize = 40;

type Found = (Position, Vec<u8>, Vec<u8>);

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let mut segments = SEGMENTS.map(<[u8]>::to_vec);
    let from = input.byte();
    while !input.is_over() {
        change(&mut segments, &mut input);
    }
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(64 << 20));
    for (number, bytes) in (1..).zip(&segments) {
        let file = disk.create(&path(number)).expect("an empty disk");
        file.write_at(0, &mut [IoSlice::new(bytes)]).expect("room");
    }
    if from != 0 {
        // A place that no log has given out: nothing is promised but an end.
        let place = Position {
            segment: u32::from(from) % 4,
            offset: u32::from(from) << 5,
            bytes: 0,
        };
        drop(open(&disk, Some(place)));
        return;
    }
    let Some((log, found)) = open(&disk, None) else {
        assert!(
            (0..2).any(|place| is_newer(&segments[place])),
            "only a newer version is refused"
        );
        return;
    };
    let expected: Vec<Found> = (1..).zip(&segments).flat_map(records).collect();
    assert_eq!(found, expected);
    for ((number, bytes), written) in (1..).zip(&segments).zip(SEGMENTS) {
        let is_there = |place: Position| {
            let (start, end) = (place.offset as usize, (place.offset + place.bytes) as usize);
            bytes.get(start..end) == Some(&written[start..end])
        };
        let has_records = records((number, &written.to_vec()))
            .iter()
            .any(|one| is_there(one.0));
        if has_records && is_rotten(number, bytes) {
            assert!(
                disk.open(&path(number)).is_ok(),
                "no record is thrown away with its file"
            );
        }
    }
    let appended = append(&log);
    log.close();
    drop(log);
    let (_, again) = open(&disk, None).expect("it was opened before");
    let expected: Vec<Found> = found.into_iter().chain([appended]).collect();
    assert_eq!(again, expected, "what was found is found again");
});

fn path(number: u32) -> PathBuf {
    PathBuf::from(format!("/log/{number:010}.seg"))
}

fn open(disk: &Arc<dyn Disk>, from: Option<Position>) -> Option<(SegmentLog, Vec<Found>)> {
    let options = LogOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: 0,
        ..LogOptions::named("fuzz")
    };
    let mut found = Vec::new();
    let mut note = |position, head: &[u8], data: &[u8]| {
        found.push((position, head.to_vec(), data.to_vec()));
    };
    let log = SegmentLog::open(
        Arc::clone(disk),
        Path::new("/log"),
        options,
        from,
        &mut note,
    );
    Some((log.ok()?, found))
}

fn append(log: &SegmentLog) -> Found {
    let (tell, told) = channel();
    let record = Record::new(Bytes::from_static(b"new"), Bytes::from_static(b"record"));
    let queued = log.append(record, move |done| drop(tell.send(done)));
    queued.expect("an empty queue");
    let position = told.recv().expect("an answer").expect("a disk that works");
    (position, b"new".to_vec(), b"record".to_vec())
}

/// One change of a segment's bytes.
fn change(segments: &mut [Vec<u8>; 2], input: &mut Parts<'_>) {
    let what = input.byte();
    let segment = &mut segments[usize::from(what >> 7)];
    let at = usize::from(input.short());
    match what & 7 {
        0 | 1 => {
            let bytes = input.part();
            let room = segment.len().saturating_sub(at).min(bytes.len());
            if room > 0 {
                segment[at..at + room].copy_from_slice(&bytes[..room]);
            }
        }
        2 => segment.truncate(at),
        3 => segment.resize(segment.len().max(at), what >> 3),
        4 => seal(segment, at / 64 * 64),
        5 => {
            let (from, count) = (usize::from(input.short()), usize::from(input.short()));
            let bytes = segment.get(from..).unwrap_or_default();
            let bytes = bytes[..count.min(bytes.len())].to_vec();
            let room = segment.len().saturating_sub(at).min(bytes.len());
            if room > 0 {
                segment[at..at + room].copy_from_slice(&bytes[..room]);
            }
        }
        6 => {
            if let Some(byte) = segment.get_mut(at) {
                *byte ^= 1 << (input.byte() & 7);
            }
        }
        _ => {
            if let Some(header) = segment.get_mut(..28) {
                let crc = crc32c(&header[..24]);
                header[24..].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
}

/// Puts the checksums of what stands at a record's place right.
fn seal(segment: &mut [u8], at: usize) {
    let Some((head_bytes, data_bytes)) = lengths(segment, at) else {
        return;
    };
    let data = at + HEADER + head_bytes;
    let crc = crc32c(&segment[data..data + data_bytes]);
    segment[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
    let crc = head_crc(segment, at, head_bytes);
    segment[at + 36..at + 40].copy_from_slice(&crc.to_le_bytes());
}

fn head_crc(segment: &[u8], at: usize, head_bytes: usize) -> u32 {
    let head = &segment[at + HEADER..at + HEADER + head_bytes];
    crc32c(&[&segment[at..at + 36], head].concat())
}

/// Lengths of head and data at a record's place, when the file holds so much.
fn lengths(segment: &[u8], at: usize) -> Option<(usize, usize)> {
    let header = segment.get(at..at + HEADER)?;
    let (head_bytes, data_bytes) = (number(header, 20)? as usize, number(header, 24)? as usize);
    let end = at + HEADER + head_bytes + data_bytes;
    (head_bytes <= 64 << 10 && end <= segment.len()).then_some((head_bytes, data_bytes))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

/// A whole header that says so.
fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= 28
        && bytes[..8] == *b"SDFSSEG1"
        && number(bytes, 24) == Some(crc32c(&bytes[..24]))
}

fn is_newer(bytes: &[u8]) -> bool {
    is_header(bytes) && u16::from_le_bytes([bytes[8], bytes[9]]) > 1
}

/// Whether the header is neither right nor the one of an earlier use of the file.
fn is_rotten(segment: u32, bytes: &[u8]) -> bool {
    !is_header(bytes) || number(bytes, 12) == Some(segment)
}

/// The records of a segment by `docs/DISK.md`.
fn records((segment, bytes): (u32, &Vec<u8>)) -> Vec<Found> {
    let mut found = Vec::new();
    if !is_header(bytes) || number(bytes, 12) != Some(segment) {
        return found;
    }
    let mut at = FIRST;
    while at + HEADER <= bytes.len() {
        let Some((kind, head_bytes, data_bytes)) = record(bytes, at) else {
            at += 64;
            continue;
        };
        if kind == 2 {
            break;
        }
        let (head, end) = (at + HEADER, at + HEADER + head_bytes + data_bytes);
        let position = Position {
            segment,
            offset: at as u32,
            bytes: (end - at) as u32,
        };
        let data = bytes[head + head_bytes..end].to_vec();
        found.push((position, bytes[head..head + head_bytes].to_vec(), data));
        at = end.next_multiple_of(64);
    }
    found
}

fn record(bytes: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let (head_bytes, data_bytes) = lengths(bytes, at)?;
    let header = &bytes[at..at + HEADER];
    let data = &bytes[at + HEADER + head_bytes..][..data_bytes];
    let is_valid = header[..4] == *b"SDCR"
        && matches!(header[4], 1 | 2)
        && header[5..8] == [0; 3]
        && header[8..16] == bytes[16..24]
        && header[16..20] == bytes[12..16]
        && number(header, 28) == Some(crc32c(data))
        && number(header, 36) == Some(head_crc(bytes, at, head_bytes));
    is_valid.then_some((header[4], head_bytes, data_bytes))
}
