//! Files as a FastDFS has them: names, contents, metadata, and where they lie in a store path.

use std::path::Path;

use crc_fast::{CrcAlgorithm, checksum};

use crate::common::bytes;

/// The size field's marks.
const MARKED: u64 = 1 << 63 | 0x1234 << 32;
const APPENDER: u64 = 1 << 58;
const TRUNK: u64 = 1 << 59;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Larger than a block of the test's cluster.
pub(crate) const LARGE_BYTES: usize = 200_000;

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct OldFile {
    /// Without the group.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    /// Empty when it has none.
    pub(crate) metadata: Vec<u8>,
    /// What an info tells as the address of the source.
    pub(crate) source: &'static str,
}

pub(crate) fn crc32(content: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32IsoHdlc, content) as u32
}

fn base64(raw: &[u8]) -> String {
    let bit = |at: usize| {
        raw.get(at / 8)
            .is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
    };
    let letter = |at| (at..at + 6).fold(0, |value, at| value << 1 | usize::from(bit(at)));
    let letters = (0..raw.len() * 8).step_by(6).map(letter);
    letters.map(|value| char::from(ALPHABET[value])).collect()
}

/// The name of a file of the storage 10.1.2.3.
pub(crate) fn name(folder: &str, size: u64, crc32: u32, rest: &str) -> String {
    name_of([10, 1, 2, 3], folder, (size, crc32), rest)
}

fn name_of(source: [u8; 4], folder: &str, (size, crc32): (u64, u32), rest: &str) -> String {
    let mut raw = source.to_vec();
    raw.extend(1_700_000_000_u32.to_be_bytes());
    raw.extend(size.to_be_bytes());
    raw.extend(crc32.to_be_bytes());
    format!("{folder}/{}{rest}", base64(&raw))
}

fn normal(folder: &str, content: Vec<u8>, rest: &str) -> OldFile {
    OldFile {
        name: name(folder, MARKED | content.len() as u64, crc32(&content), rest),
        content,
        metadata: Vec::new(),
        source: "10.1.2.3",
    }
}

fn beside(master: &OldFile, extension: &str, rest: &str, content: Vec<u8>) -> OldFile {
    let stem = master.name.strip_suffix(extension).expect("its extension");
    OldFile {
        name: format!("{stem}{rest}"),
        content,
        metadata: Vec::new(),
        source: master.source,
    }
}

/// The master of two slaves.
pub(crate) const MASTER: usize = 0;
pub(crate) const SLAVE: usize = 1;
pub(crate) const APPENDER_FILE: usize = 4;

/// A file of each kind that lies in a store path as it is.
pub(crate) fn files() -> Vec<OldFile> {
    let mut master = normal("M00/00/00", bytes(5_000), "805.bin");
    master.metadata = b"author\x02ann\x01width\x02160".to_vec();
    let mut slave = beside(&master, ".bin", "_150x150.jpg", bytes(700));
    slave.metadata = b"of\x02master".to_vec();
    let short_slave = beside(&master, ".bin", "_s", bytes(70));
    let no_extension = normal("M00/00/01", bytes(300), "5561570");
    // It has grown: the name tells the checksum of what it began with.
    let appender = OldFile {
        name: name("M01/0A/FF", MARKED | APPENDER, crc32(b"begun"), "805.log"),
        ..normal("M01/0A/FF", bytes(2_000), "805.log")
    };
    let empty = normal("M00/00/00", Vec::new(), "123.txt");
    let large = normal("M01/00/02", bytes(LARGE_BYTES), ".tar.gz");
    let content = bytes(900);
    let told = (MARKED | content.len() as u64, crc32(&content));
    let of_a_number = OldFile {
        name: name_of([0xa1, 0x86, 1, 0], "M00/12/34", told, "77.html"),
        content,
        metadata: Vec::new(),
        source: "",
    };
    vec![
        master,
        slave,
        short_slave,
        no_extension,
        appender,
        empty,
        large,
        of_a_number,
    ]
}

/// One that is merged into a trunk file, with the 60 letters such a file has.
pub(crate) fn in_trunk() -> OldFile {
    let content = bytes(1_234);
    let size = MARKED | TRUNK | content.len() as u64;
    let place = base64(&[0, 0, 0, 1, 0, 0, 64, 0, 0, 0, 8, 0]);
    OldFile {
        name: name(
            "M00/00/05",
            size,
            crc32(&content),
            &format!("{place}12345.a"),
        ),
        content,
        metadata: b"in\x02trunk".to_vec(),
        source: "10.1.2.3",
    }
}

/// One whose bytes are not those of its name.
pub(crate) fn damaged() -> OldFile {
    let mut file = normal("M00/00/00", bytes(600), "999.bin");
    file.content[300] ^= 1;
    file
}

/// Small files, all different.
pub(crate) fn many(count: usize) -> Vec<OldFile> {
    let file = |number: usize| {
        let content = format!("{number:0length$}", length = 100 + number).into_bytes();
        let mut file = normal("M00/01/00", content, "805.bin");
        if number.is_multiple_of(3) {
            file.metadata = format!("number\u{2}{number}").into_bytes();
        }
        file
    };
    (0..count).map(file).collect()
}

/// Lays a file out below a folder with the store paths `M00`, `M01`, ..
pub(crate) fn lay_out(folder: &Path, file: &OldFile) {
    let (path, below) = file.name.split_once('/').expect("a store path");
    let path = folder.join(path).join("data").join(below);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, &file.content).expect("written");
    if !file.metadata.is_empty() {
        let beside = format!("{}-m", path.display());
        std::fs::write(beside, &file.metadata).expect("written");
    }
}
