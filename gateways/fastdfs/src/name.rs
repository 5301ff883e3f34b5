//! File names: `M00/00/01/` and 27 letters of base64, then seven of digits and extension.
//!
//! The name of an anonymous file says where it is: `M` and both folders are the 24 bits of its
//! volume, source, time and 17 of the 23 free bits its stamp. The 6 free bits left and the digits
//! are a keyed sum over all the rest, so that a name nobody was given finds nothing, whichever
//! letter of it is another. Volume 0 stands for a file with a record: its whole name is looked up.

use sdfs_dserver::AnonymousFile;
use sdfs_types::anonymous::STAMP_NUMBER_BITS;
use sdfs_types::{ServerId, Stamp, VolumeId};
use thiserror::Error;

use crate::base64::{self, CODED_BYTES};
use crate::fields::is_plain;
use crate::wire::{EXTENSION_BYTES, NAME_BYTES_END};

/// Bytes of `M00/00/00/`.
const PATH_BYTES: usize = 10;
/// Bytes of digits and extension.
const TRAILER_BYTES: usize = 7;
/// Bytes of a name that is no slave's and not merged into a trunk file.
const PLAIN_NAME_BYTES: usize = PATH_BYTES + CODED_BYTES + TRAILER_BYTES;
/// Bytes of the place of a file in its trunk file, in letters.
const TRUNK_BYTES: usize = 16;

/// The size is no plain number, or a kind is told.
const MARKED: u64 = 1 << 63;
/// An appender file.
const APPENDER: u64 = 1 << 58;
/// A file merged into a trunk file.
const TRUNK: u64 = 1 << 59;
/// Where the free bits are.
const FREE_SHIFT: u32 = 32;
const FREE_MASK: u64 = (1 << 23) - 1;
/// What no kind uses: bits 55 to 62.
const UNUSED: u64 = 0xff << 55;
/// Bits of the sum among the free ones.
const SUM_BITS: u32 = 23 - STAMP_NUMBER_BITS;
/// The highest volume a name can tell.
const VOLUME_MAX: u32 = (1 << 24) - 1;

/// What the size field of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file of this size.
    Normal(u64),
    /// A file that grows; its size is asked of the storage.
    Appender,
    /// A file of this size merged into a trunk file. Never made here.
    Trunk(u64),
}

/// A name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName<'a> {
    /// The name itself.
    pub text: &'a str,
    /// Store path and both folders, as one number.
    pub place: u32,
    /// The four bytes of the storage that took it.
    pub source: [u8; 4],
    /// When, seconds since the Unix epoch.
    pub second: u32,
    /// Size and kind.
    pub kind: FileKind,
    /// CRC-32 of the content; of an appender file, of the first content.
    pub crc32: u32,
    /// The 23 free bits.
    free: u32,
    /// Bits between kind and free ones that mean nothing: zero in every name made here.
    unused: u64,
    /// What follows: digits and extension, or more for a slave.
    rest: &'a str,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no FastDFS file name")]
pub struct NameFault;

impl<'a> FileName<'a> {
    /// Takes a name apart.
    ///
    /// # Errors
    /// [`NameFault`] when it has not the form of one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NameFault> {
        if bytes.len() <= PATH_BYTES + CODED_BYTES || bytes.len() >= NAME_BYTES_END {
            return Err(NameFault);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NameFault)?;
        let [b'M', a, b, b'/', c, d, b'/', e, f, b'/', coded @ ..] = bytes else {
            return Err(NameFault);
        };
        let mut place = 0;
        for digit in [a, b, c, d, e, f] {
            place = place << 4 | hex_value(*digit).ok_or(NameFault)?;
        }
        let (coded, rest) = coded.split_at(CODED_BYTES);
        let raw = base64::decode(coded).ok_or(NameFault)?;
        let rest = &text[text.len() - rest.len()..];
        if !is_plain(rest) {
            return Err(NameFault);
        }
        let number =
            |at: usize| u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let size = u64::from(number(8)) << 32 | u64::from(number(12));
        Ok(FileName {
            text,
            place,
            source: [raw[0], raw[1], raw[2], raw[3]],
            second: number(4),
            kind: kind_of(size),
            crc32: number(16),
            free: u32::try_from(size >> FREE_SHIFT & FREE_MASK).map_err(|_| NameFault)?,
            unused: size & UNUSED,
            rest,
        })
    }

    /// Whether it names a file made beside another one.
    #[must_use]
    pub fn is_slave(&self) -> bool {
        let trunk = if matches!(self.kind, FileKind::Trunk(_)) {
            TRUNK_BYTES
        } else {
            0
        };
        self.text.len() > PLAIN_NAME_BYTES + trunk
    }

    /// The number of the dserver that took it, when the name tells a number and no address.
    #[must_use]
    pub fn server(&self) -> Option<ServerId> {
        let number = u32::from_le_bytes(self.source);
        let id = u16::try_from(number).ok().filter(|id| *id > 0)?;
        Some(ServerId(id))
    }

    /// The volume of an anonymous file.
    #[must_use]
    pub fn volume(&self) -> Option<VolumeId> {
        (self.place > 0).then_some(VolumeId(self.place))
    }

    /// The extension and the name before it.
    #[must_use]
    pub fn extension(&self) -> (&'a str, &'a str) {
        let stem = self.text.len() - self.rest.len();
        match self.rest.find('.') {
            Some(dot) => (&self.text[..stem + dot], &self.rest[dot + 1..]),
            None => (self.text, ""),
        }
    }
}

fn kind_of(size: u64) -> FileKind {
    if size & APPENDER != 0 && size & MARKED != 0 {
        FileKind::Appender
    } else if size & MARKED == 0 {
        FileKind::Normal(size)
    } else if size & TRUNK != 0 {
        FileKind::Trunk(size & u64::from(u32::MAX))
    } else {
        FileKind::Normal(size & u64::from(u32::MAX))
    }
}

fn hex_value(digit: u8) -> Option<u32> {
    match digit {
        b'0'..=b'9' => Some(u32::from(digit - b'0')),
        b'A'..=b'F' => Some(u32::from(digit - b'A') + 10),
        _ => None,
    }
}

/// A name to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewName<'a> {
    /// The volume of an anonymous file; nothing for one with a record.
    pub volume: Option<VolumeId>,
    /// What nobody else has.
    pub stamp: Stamp,
    /// Normal or appender.
    pub kind: FileKind,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Without its dot.
    pub extension: &'a str,
}

/// Makes and checks names. The key is the cluster's, so every server makes and takes the same.
#[derive(Clone)]
pub struct Names {
    key: [u8; 32],
}

/// Whether a volume can be told by a name.
pub(crate) fn is_nameable(volume: VolumeId) -> bool {
    (1..=VOLUME_MAX).contains(&volume.0)
}

impl Names {
    /// Names of a cluster.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Makes a name.
    ///
    /// # Errors
    /// [`NameFault`] when the extension is none, or the volume's number too high.
    pub fn make(&self, new: &NewName<'_>) -> Result<String, NameFault> {
        let place = new.volume.map_or(0, |volume| volume.0);
        if new.extension.len() > EXTENSION_BYTES || !is_plain(new.extension) || place > VOLUME_MAX {
            return Err(NameFault);
        }
        let sum = self.sum(place, &new.stamp, (new.kind, new.crc32), new.extension);
        let free = new.stamp.number << SUM_BITS | sum.bits;
        let marked = MARKED | u64::from(free) << FREE_SHIFT;
        let size = match new.kind {
            FileKind::Normal(size) if size <= u64::from(u32::MAX) => marked | size,
            FileKind::Normal(size) => size & !MARKED,
            FileKind::Appender => marked | APPENDER,
            FileKind::Trunk(_) => return Err(NameFault),
        };
        let mut raw = [0; base64::RAW_BYTES];
        raw[..4].copy_from_slice(&source_of(new.stamp.server));
        raw[4..8].copy_from_slice(&new.stamp.second.to_be_bytes());
        raw[8..16].copy_from_slice(&size.to_be_bytes());
        raw[16..].copy_from_slice(&new.crc32.to_be_bytes());
        let coded = base64::encode(raw);
        let coded = std::str::from_utf8(&coded).map_err(|_| NameFault)?;
        let [_, path, upper, lower] = place.to_be_bytes();
        let trailer = sum.trailer(new.extension);
        Ok(format!(
            "M{path:02X}/{upper:02X}/{lower:02X}/{coded}{trailer}"
        ))
    }

    /// The anonymous file of a name; nothing when nobody was given that name.
    #[must_use]
    pub fn anonymous(&self, name: &FileName<'_>) -> Option<AnonymousFile> {
        let volume = name.volume()?;
        let stamp = Stamp {
            second: name.second,
            number: name.free >> SUM_BITS,
            server: name.server()?,
        };
        let (_, extension) = name.extension();
        let kind = Some(name.kind).filter(|kind| matches!(kind, FileKind::Normal(_)))?;
        let sum = self.sum(volume.0, &stamp, (kind, name.crc32), extension);
        let is_given = name.unused == 0
            && name.free & ((1 << SUM_BITS) - 1) == sum.bits
            && extension.len() <= EXTENSION_BYTES
            && name.rest == sum.trailer(extension);
        is_given.then_some(AnonymousFile { volume, stamp })
    }

    fn sum(
        &self,
        place: u32,
        stamp: &Stamp,
        (kind, crc32): (FileKind, u32),
        extension: &str,
    ) -> Sum {
        let (kind, size) = match kind {
            FileKind::Normal(size) => (0, size),
            FileKind::Appender => (1, 0),
            FileKind::Trunk(size) => (2, size),
        };
        let mut told = [0; 40];
        told[..4].copy_from_slice(&place.to_le_bytes());
        told[4..8].copy_from_slice(&stamp.second.to_le_bytes());
        told[8..12].copy_from_slice(&stamp.number.to_le_bytes());
        told[12..14].copy_from_slice(&stamp.server.0.to_le_bytes());
        told[14] = kind;
        told[15..23].copy_from_slice(&size.to_le_bytes());
        told[23..27].copy_from_slice(&crc32.to_le_bytes());
        let length = extension.len().min(EXTENSION_BYTES);
        told[27..27 + length].copy_from_slice(&extension.as_bytes()[..length]);
        let hash = blake3::keyed_hash(&self.key, &told);
        let [a, b, c, d, e, ..] = *hash.as_bytes();
        Sum {
            bits: u32::from(e) & ((1 << SUM_BITS) - 1),
            number: u32::from_le_bytes([a, b, c, d]),
        }
    }
}

/// The keyed sum of a name.
struct Sum {
    bits: u32,
    number: u32,
}

impl Sum {
    /// Seven bytes: as many digits as the extension leaves room for.
    fn trailer(&self, extension: &str) -> String {
        let dotted = match extension.len() {
            0 => 0,
            length => length + 1,
        };
        let digits = TRAILER_BYTES.saturating_sub(dotted);
        let modulus = 10_u32.pow(u32::try_from(digits).unwrap_or(0));
        let number = self.number % modulus;
        match (digits, dotted) {
            (0, _) => format!(".{extension}"),
            (_, 0) => format!("{number:0digits$}"),
            _ => format!("{number:0digits$}.{extension}"),
        }
    }
}

/// A server's number as FastDFS writes ids of storages: the other way round than addresses.
fn source_of(server: ServerId) -> [u8; 4] {
    u32::from(server.0).to_le_bytes()
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod name_tests;
