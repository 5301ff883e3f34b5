//! The requests of a storage, as far as they are no content. Pure.

use crate::errno::Errno;
use crate::fields::{Fields, is_plain};
use crate::group_name::GroupName;
use crate::wire::{ANY_PATH, EXTENSION_BYTES, GROUP_BYTES, NAME_BYTES_END};

/// Bytes in front of an upload's content.
pub(crate) const UPLOAD_BYTES: u64 = 15;
/// Bytes in front of a download's file name.
const RANGE_BYTES: usize = 16;

/// Bytes a body with a group and a file name may have, and a range in front.
pub(crate) const NAMED_BYTES_MAX: u64 = (RANGE_BYTES + GROUP_BYTES + NAME_BYTES_END) as u64;

/// What is in front of an upload's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) extension: String,
}

impl Upload {
    /// Reads it; `content_bytes` follow.
    pub(crate) fn read(body: &[u8], content_bytes: u64) -> Result<Upload, Errno> {
        let mut fields = Fields::of(body);
        let path = fields.byte().ok_or(Errno::Invalid)?;
        let size = fields.length().ok_or(Errno::Invalid)?;
        let extension = fields.text(EXTENSION_BYTES).ok_or(Errno::Invalid)?;
        let is_good = (path == 0 || path == ANY_PATH) && size == content_bytes;
        if !is_good || !is_plain(extension) {
            return Err(Errno::Invalid);
        }
        Ok(Upload {
            extension: extension.to_owned(),
        })
    }
}

/// The file name behind a group, which must be ours.
pub(crate) fn named<'a>(group: &GroupName, fields: &mut Fields<'a>) -> Result<&'a [u8], Errno> {
    let asked = fields.bytes(GROUP_BYTES).ok_or(Errno::Invalid)?;
    if group.is_meant(asked) {
        Ok(fields.rest())
    } else {
        Err(Errno::Invalid)
    }
}

/// Which bytes of a file are asked for: from where, and how many at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

impl Range {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Range, Errno> {
        let offset = fields.length().ok_or(Errno::Invalid)?;
        let count = fields.length().ok_or(Errno::Invalid)?;
        Ok(Range { offset, count })
    }

    /// Where the range of a file of this size begins and how long it is; a count of 0 means all
    /// that follows.
    pub(crate) fn within(self, size: u64) -> Result<(u64, u64), Errno> {
        if self.offset == 0 && size == 0 {
            return Ok((0, 0));
        }
        let left = size.checked_sub(self.offset).filter(|left| *left > 0);
        let left = left.ok_or(Errno::Invalid)?;
        let length = if self.count == 0 {
            left
        } else {
            self.count.min(left)
        };
        Ok((self.offset, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_say_what_follows() {
        let body = |path: u8, size: i64, extension: &[u8; 6]| {
            [&[path][..], &size.to_be_bytes(), extension].concat()
        };
        let read = |body: &[u8]| Upload::read(body, 10).map(|upload| upload.extension);
        assert_eq!(read(&body(0, 10, b"jpg\0\0\0")), Ok("jpg".to_owned()));
        assert_eq!(read(&body(255, 10, &[0; 6])), Ok(String::new()));
        for wrong in [
            body(1, 10, b"jpg\0\0\0"),
            body(0, 11, b"jpg\0\0\0"),
            body(0, -1, b"jpg\0\0\0"),
            body(0, 10, b"j/g\0\0\0"),
            body(0, 10, b"\xffpg\0\0\0"),
            vec![0; 14],
        ] {
            assert_eq!(read(&wrong), Err(Errno::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn ranges_are_cut_at_the_end() {
        let table = [
            // offset, count, size, range
            (0, 0, 10, Ok((0, 10))),
            (3, 0, 10, Ok((3, 7))),
            (3, 4, 10, Ok((3, 4))),
            (3, 40, 10, Ok((3, 7))),
            (10, 0, 10, Err(Errno::Invalid)),
            (u64::MAX, 1, 10, Err(Errno::Invalid)),
            (0, 0, 0, Ok((0, 0))),
            (0, 5, 0, Ok((0, 0))),
            (1, 0, 0, Err(Errno::Invalid)),
        ];
        for (offset, count, size, expected) in table {
            let found = Range { offset, count }.within(size);
            assert_eq!(found, expected, "{offset} {count} {size}");
        }
    }
}
