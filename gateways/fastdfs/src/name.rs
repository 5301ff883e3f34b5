//! File names: `M00/00/01/` and 27 letters of base64, then seven of digits and extension.
//!
//! The name of an anonymous file says where it is, in the form FastDFS has for files merged into a
//! trunk file: `M` and both folders are the 24 bits of its volume; source, time and 17 of the 23
//! free bits its stamp. The 16 letters that tell the place in a trunk file are a keyed sum, as are
//! the 6 free bits left and the digits: who was not given a name cannot make it up. The name of a
//! file with a record has the plain form, its sum is where the volume would be; the whole of it is
//! looked up.

use std::net::Ipv4Addr;

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
/// Bytes of the sum over all but the extension that become letters of the trunk place.
const STEM_SUM_BYTES: usize = 9;
/// Bytes of the sum over everything that become the rest of them.
const WHOLE_SUM_BYTES: usize = 3;

/// The size is no plain number, or a kind is told.
const MARKED: u64 = 1 << 63;
/// An appender file.
const APPENDER: u64 = 1 << 58;
/// A file merged into a trunk file.
const TRUNK: u64 = 1 << 59;
/// Where the free bits are.
const FREE_SHIFT: u32 = 32;
const FREE_MASK: u64 = (1 << 23) - 1;
/// Bits of the sum among the free ones.
const SUM_BITS: u32 = 23 - STAMP_NUMBER_BITS;
/// In the place of an address, numbers of storages are lower.
const SERVER_NUMBER_END: u32 = 1 << 24;
/// The highest volume a name can tell.
const VOLUME_MAX: u32 = (1 << 24) - 1;

/// What the size field of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file of this size.
    Normal(u64),
    /// A file that grows; its size is asked of the storage.
    Appender,
    /// A file of this size merged into a trunk file: here, an anonymous file.
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
    /// The 23 free bits; zero where the size takes their place.
    free: u32,
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
        let kind = kind_of(size);
        if matches!(kind, FileKind::Trunk(_)) && rest.len() < TRUNK_BYTES {
            return Err(NameFault);
        }
        let free = if size & MARKED == 0 {
            0
        } else {
            size >> FREE_SHIFT & FREE_MASK
        };
        Ok(FileName {
            text,
            place,
            source: [raw[0], raw[1], raw[2], raw[3]],
            second: number(4),
            kind,
            crc32: number(16),
            free: u32::try_from(free).map_err(|_| NameFault)?,
            rest,
        })
    }

    /// Whether it names a file made beside another one, as clients tell it. One with a short
    /// prefix and no extension does not look like it.
    #[must_use]
    pub fn is_slave(&self) -> bool {
        let trunk = if matches!(self.kind, FileKind::Trunk(_)) {
            TRUNK_BYTES
        } else {
            0
        };
        self.text.len() > PLAIN_NAME_BYTES + trunk
    }

    /// Whether the size and the CRC-32 it tells are those of the content: not of a file that grows,
    /// nor of one beside another, which has that one's.
    #[must_use]
    pub fn tells_content(&self) -> bool {
        let before = match self.kind {
            FileKind::Normal(_) => 0,
            FileKind::Trunk(_) => TRUNK_BYTES,
            FileKind::Appender => return false,
        };
        let trailer = &self.rest[before..];
        let digits = trailer.find('.').map_or(trailer, |dot| &trailer[..dot]);
        trailer.len() == TRAILER_BYTES && digits.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The address of the storage that took it, when the name tells an address and no number.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        let is_number = u32::from_le_bytes(self.source) < SERVER_NUMBER_END;
        (!is_number).then(|| Ipv4Addr::from(self.source))
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
        let is_anonymous = matches!(self.kind, FileKind::Trunk(_)) && self.place > 0;
        is_anonymous.then_some(VolumeId(self.place))
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(Stamp {
            second: self.second,
            number: self.free >> SUM_BITS,
            server: self.server()?,
        })
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
    /// Merged into a trunk file for an anonymous file, another one for the others.
    pub kind: FileKind,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Without its dot.
    pub extension: &'a str,
}

/// Whose name it is. But for the last, nobody can make up one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// An anonymous file's, of this size.
    Anonymous(AnonymousFile, u64),
    /// One of a file with a record.
    Recorded,
    /// It begins like the name of one of them: a slave's, if anybody's.
    Beside,
    /// Another FastDFS's, if anybody's. [`Names`] never say so: it is no name of this cluster, and
    /// a storage looks for it when its group has imports.
    Imported,
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
    /// [`NameFault`] when the extension is none, the volume's number too high, or the kind not one
    /// of such a file.
    pub fn make(&self, new: &NewName<'_>) -> Result<String, NameFault> {
        let is_anonymous = matches!(new.kind, FileKind::Trunk(_));
        if new.extension.len() > EXTENSION_BYTES
            || !is_plain(new.extension)
            || is_anonymous != new.volume.is_some_and(is_nameable)
        {
            return Err(NameFault);
        }
        let mut name = self.stem(new)?;
        let sum = self.sum(new, Some(new.extension));
        if is_anonymous {
            name.push_str(&base64::encode(&sum[..WHOLE_SUM_BYTES]));
        }
        let [.., a, b, c, d] = sum;
        name.push_str(&trailer(u32::from_le_bytes([a, b, c, d]), new.extension));
        Ok(name)
    }

    /// The beginning of a name and of those of its slaves.
    fn stem(&self, new: &NewName<'_>) -> Result<String, NameFault> {
        let sum = self.sum(new, None);
        let [a, b, c, d, e, f, g, h, ..] = sum;
        let bits = u32::from(sum[STEM_SUM_BYTES]) & ((1 << SUM_BITS) - 1);
        let marked = MARKED | u64::from(new.stamp.number << SUM_BITS | bits) << FREE_SHIFT;
        let size = match new.kind {
            FileKind::Normal(size) if size <= u64::from(u32::MAX) => marked | size,
            FileKind::Normal(size) if size < MARKED => size,
            // The size is asked of the storage.
            FileKind::Appender => marked | APPENDER | u64::from(u32::from_le_bytes([e, f, g, h])),
            FileKind::Trunk(size) if size <= u64::from(u32::MAX) => marked | TRUNK | size,
            FileKind::Normal(_) | FileKind::Trunk(_) => return Err(NameFault),
        };
        let place = new
            .volume
            .map_or(u32::from_le_bytes([a, b, c, d]) & VOLUME_MAX, |volume| {
                volume.0
            });
        let mut raw = [0; base64::RAW_BYTES];
        raw[..4].copy_from_slice(&source_of(new.stamp.server));
        raw[4..8].copy_from_slice(&new.stamp.second.to_be_bytes());
        raw[8..16].copy_from_slice(&size.to_be_bytes());
        raw[16..].copy_from_slice(&new.crc32.to_be_bytes());
        let [_, path, upper, lower] = place.to_be_bytes();
        let coded = base64::encode(&raw);
        let mut stem = format!("M{path:02X}/{upper:02X}/{lower:02X}/{coded}");
        if new.volume.is_some() {
            stem.push_str(&base64::encode(&sum[..STEM_SUM_BYTES]));
        }
        Ok(stem)
    }

    /// Whose name it is; nothing when nobody was given that name.
    #[must_use]
    pub fn given(&self, name: &FileName<'_>) -> Option<Given> {
        let new = NewName {
            volume: name.volume(),
            stamp: name.stamp()?,
            kind: name.kind,
            crc32: name.crc32,
            extension: name.extension().1,
        };
        // Made anew and compared: so there is one name for each file, to the letter.
        if self.make(&new).is_ok_and(|made| made == name.text) {
            return Some(match (new.volume, new.kind) {
                (Some(volume), FileKind::Trunk(size)) => {
                    let stamp = new.stamp;
                    Given::Anonymous(AnonymousFile { volume, stamp }, size)
                }
                _ => Given::Recorded,
            });
        }
        let stem = self.stem(&new).ok()?;
        name.text.starts_with(&stem).then_some(Given::Beside)
    }

    /// The keyed sum of what a name says: without its extension, or with it.
    fn sum(&self, new: &NewName<'_>, extension: Option<&str>) -> [u8; 32] {
        let (kind, size, number) = match new.kind {
            // A large size leaves no room for the number.
            FileKind::Normal(size) if size > u64::from(u32::MAX) => (0, size, 0),
            FileKind::Normal(size) => (0, size, new.stamp.number),
            FileKind::Appender => (1, 0, new.stamp.number),
            FileKind::Trunk(size) => (2, size, new.stamp.number),
        };
        let volume = new.volume.map_or(0, |volume| volume.0);
        let mut told = Vec::with_capacity(40);
        told.extend_from_slice(&volume.to_le_bytes());
        told.extend_from_slice(&new.stamp.second.to_le_bytes());
        told.extend_from_slice(&number.to_le_bytes());
        told.extend_from_slice(&new.stamp.server.0.to_le_bytes());
        told.push(kind);
        told.extend_from_slice(&size.to_le_bytes());
        told.extend_from_slice(&new.crc32.to_le_bytes());
        if let Some(extension) = extension {
            told.push(b'.');
            told.extend_from_slice(extension.as_bytes());
        }
        *blake3::keyed_hash(&self.key, &told).as_bytes()
    }
}

/// Seven bytes: as many digits as the extension leaves room for.
fn trailer(number: u32, extension: &str) -> String {
    let dotted = match extension.len() {
        0 => 0,
        length => length + 1,
    };
    let digits = TRAILER_BYTES.saturating_sub(dotted);
    let modulus = 10_u32.pow(u32::try_from(digits).unwrap_or(0));
    let number = number % modulus;
    match (digits, dotted) {
        (0, _) => format!(".{extension}"),
        (_, 0) => format!("{number:0digits$}"),
        _ => format!("{number:0digits$}.{extension}"),
    }
}

/// A server's number as FastDFS writes ids of storages: the other way round than addresses.
fn source_of(server: ServerId) -> [u8; 4] {
    u32::from(server.0).to_le_bytes()
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod name_tests;
