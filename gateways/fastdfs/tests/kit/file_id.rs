//! What a file name tells whoever takes it apart, read as the protocol says and by nothing else.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Letters that hold the 20 bytes.
const CODED: usize = 27;
/// Letters that tell the place in a trunk file.
const TRUNK: usize = 16;

/// A name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileId {
    /// Store path and folders: `M00/00/1F/`.
    pub path: String,
    /// The number of the storage that took it.
    pub source: u32,
    /// When, seconds since the Unix epoch.
    pub second: u32,
    /// Size and kind.
    pub size: u64,
    pub crc32: u32,
    /// Digits and extension.
    pub trailer: String,
}

impl FileId {
    pub fn of(name: &str) -> FileId {
        let (path, rest) = name.split_at(10);
        let (coded, rest) = rest.split_at(CODED);
        let bytes = decode(coded);
        let part = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap();
        let size = u64::from_be_bytes(bytes[8..16].try_into().unwrap());
        let trailer = match is_trunk(size) {
            true => &rest[TRUNK..],
            false => rest,
        };
        FileId {
            path: path.to_owned(),
            source: u32::from_le_bytes(part(0)),
            second: u32::from_be_bytes(part(4)),
            size,
            crc32: u32::from_be_bytes(part(16)),
            trailer: trailer.to_owned(),
        }
    }

    pub fn has_bit(&self, bit: u32) -> bool {
        self.size >> bit & 1 == 1
    }
}

fn is_trunk(size: u64) -> bool {
    size >> 63 == 1 && size >> 58 & 3 == 2
}

/// The bytes of letters that hold six bits each; bits that fill no byte are left out.
fn decode(coded: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in coded.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter);
        bits = bits << 6 | u32::try_from(value.expect("a letter")).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    assert_eq!(bytes.len(), 20, "{coded}");
    bytes
}
