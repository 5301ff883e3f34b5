//! What a tracker's lists of groups and storages say. Pure.

use std::net::{IpAddr, SocketAddr};

use sdfs_fastdfs::wire::{IPV4_BYTES, IPV6_BYTES, STORAGE_ID_BYTES, VERSION_BYTES, status};

/// Bytes of a group's record, and of one before FastDFS 6.13.
const GROUP_RECORD_BYTES: [usize; 2] = [113, 105];
/// Bytes of the group's name in it.
const GROUP_NAME_BYTES: usize = 17;
/// Storages' records: as they are now with each width of addresses, and as they were before 6.13,
/// with and without counts of connections.
const STORAGE_FORMS: [StorageForm; 4] = [
    now(487, IPV4_BYTES),
    now(517, IPV6_BYTES),
    before(612),
    before(600),
];

/// Where in a storage's record what is.
struct StorageForm {
    bytes: usize,
    /// Status, mode and id are in front of the address.
    ip_at: usize,
    ip_bytes: usize,
    /// Numbers of eight bytes each.
    numbers_at: usize,
    paths: usize,
    port: usize,
}

const fn now(bytes: usize, ip_bytes: usize) -> StorageForm {
    let ip_at = 2 + STORAGE_ID_BYTES;
    StorageForm {
        bytes,
        ip_at,
        ip_bytes,
        numbers_at: ip_at + ip_bytes + STORAGE_ID_BYTES + VERSION_BYTES,
        paths: 6,
        port: 9,
    }
}

/// No mode, a host's name of 128 bytes, a version of 6, no reserved space.
const fn before(bytes: usize) -> StorageForm {
    let ip_at = 1 + STORAGE_ID_BYTES;
    StorageForm {
        bytes,
        ip_at,
        ip_bytes: IPV4_BYTES,
        numbers_at: ip_at + IPV4_BYTES + 128 + STORAGE_ID_BYTES + 6,
        paths: 5,
        port: 8,
    }
}

/// A storage, as far as who reads from it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StorageRecord {
    pub(crate) address: SocketAddr,
    /// Whether it serves.
    pub(crate) is_active: bool,
    /// Whether it was taken out of its group.
    pub(crate) is_deleted: bool,
    /// How many store paths it has.
    pub(crate) paths: u8,
}

/// The names of groups in a list of all; nothing when it has none of the known forms.
pub(super) fn groups(body: &[u8]) -> Option<Vec<String>> {
    let is_form = |bytes: &usize| body.len().is_multiple_of(*bytes);
    let bytes = GROUP_RECORD_BYTES.into_iter().find(is_form)?;
    let name = |record: &[u8]| text(record.get(..GROUP_NAME_BYTES)?);
    body.chunks_exact(bytes).map(name).collect()
}

/// The storages in a list of a group's; nothing when it has none of the known forms.
pub(super) fn storages(body: &[u8]) -> Option<Vec<StorageRecord>> {
    let is_form = |form: &StorageForm| body.len().is_multiple_of(form.bytes);
    let form = STORAGE_FORMS.into_iter().find(is_form)?;
    let storage = |record: &[u8]| {
        let number = |place: usize| {
            let field = record.get(form.numbers_at + 8 * place..)?;
            field.first_chunk().map(|field| u64::from_be_bytes(*field))
        };
        let ip = text(record.get(form.ip_at..form.ip_at + form.ip_bytes)?)?;
        let port = u16::try_from(number(form.port)?).ok()?;
        Some(StorageRecord {
            address: SocketAddr::new(ip.parse::<IpAddr>().ok()?, port),
            is_active: record.first() == Some(&status::ACTIVE),
            is_deleted: record.first() == Some(&status::DELETED),
            paths: u8::try_from(number(form.paths)?).ok()?,
        })
    };
    body.chunks_exact(form.bytes).map(storage).collect()
}

/// The text before the first zero.
pub(super) fn text(field: &[u8]) -> Option<String> {
    let text = field.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str, width: usize) -> Vec<u8> {
        let mut field = text.as_bytes().to_vec();
        field.resize(width, 0);
        field
    }

    #[test]
    fn lists_of_groups_are_read_in_both_forms() {
        for bytes in GROUP_RECORD_BYTES {
            let body = [field("group1", bytes), field("images", bytes)].concat();
            let names = groups(&body);
            assert_eq!(names, Some(vec!["group1".into(), "images".into()]));
        }
        assert_eq!(groups(&[]), Some(vec![]));
        assert_eq!(groups(&[0; 112]), None);
    }

    /// A record of now, or of before 6.13.
    fn record((bytes, ip_bytes): (usize, usize), status: u8, ip: &str) -> Vec<u8> {
        let numbers = |numbers: &[u64]| {
            let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
            bytes.collect::<Vec<u8>>()
        };
        let (id, ip) = (field("100001", 16), field(ip, ip_bytes));
        let parts = match bytes > 517 {
            true => [
                [vec![status], id, ip, field("", 128 + 16)].concat(),
                field("5.11", 6),
                numbers(&[1, 2, 3, 4, 10, 3, 256, 0, 23_000, 8_888]),
            ],
            false => [
                [vec![status, 6], id, ip, field("", 16)].concat(),
                field("6.13", 8),
                numbers(&[1, 2, 3, 4, 5, 10, 3, 256, 0, 23_000]),
            ],
        };
        let mut record = parts.concat();
        record.resize(bytes, 0);
        record
    }

    #[test]
    fn lists_of_storages_are_read_in_all_forms() {
        for form in [(487, 16), (517, 46), (612, 16), (600, 16)] {
            let body = [record(form, 7, "10.0.0.1"), record(form, 5, "10.0.0.2")].concat();
            let found = storages(&body).expect("two records");
            let first = StorageRecord {
                address: ([10, 0, 0, 1], 23_000).into(),
                is_active: true,
                is_deleted: false,
                paths: 3,
            };
            assert_eq!(found[0], first, "{form:?}");
            assert!(!found[1].is_active);
            assert_eq!(storages(&body[1..]), None);
        }
        assert_eq!(storages(&[0; 487]), None, "no address");
    }
}
