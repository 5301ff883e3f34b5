//! The records a tracker answers with, byte by byte.

use bytes::{BufMut, BytesMut};
use sdfs_server_group::AddressWidth;

use crate::errno::Errno;
use crate::fields::put_text;
use crate::view::{Group, Storage, Tracker, View, ip_text};
use crate::wire::{
    GROUP_BYTES, HOST_PORT_BYTES, IPV4_BYTES, IPV6_BYTES, STORAGE_ID_BYTES, VERSION, VERSION_BYTES,
    status,
};

const MEBI: u64 = 1 << 20;
/// A count that is not kept here.
const UNCOUNTED: u64 = 0;
/// Bytes of the statistics of a storage record.
const STATISTICS_BYTES: usize = 348;
/// What a storage may be used for: reading and writing.
const READ_WRITE: u8 = 6;
/// What one may be used for that cannot be reached.
const NOTHING: u8 = 0;
/// Store paths of a storage.
const PATHS: u64 = 1;
/// Folders of each level.
const FOLDERS: u64 = 256;

/// Bytes of an address in the answer to a query.
pub(crate) fn address_bytes(view: &View) -> usize {
    match view.addresses {
        AddressWidth::IPv4 => IPV4_BYTES - 1,
        AddressWidth::IPv6 => IPV6_BYTES - 1,
    }
}

pub(crate) fn put_group(group: &Group) -> BytesMut {
    let mut out = BytesMut::with_capacity(GROUP_BYTES + 64);
    out.put_slice(group.name.field());
    out
}

/// Address and port, as in the answer to a query.
pub(crate) fn put_address(out: &mut BytesMut, view: &View, storage: &Storage) {
    put_text(out, &ip_text(storage.address.ip()), address_bytes(view));
    out.put_u64(u64::from(storage.address.port()));
}

fn put_long_group(out: &mut BytesMut, group: &Group) {
    out.put_slice(group.name.field());
    out.put_u8(0);
}

fn room(group: &Group) -> (u64, u64) {
    let up = group.storages.iter().filter(|storage| storage.is_up);
    // As FastDFS tells it, where every member holds all of a group: the least bounds it. Where
    // members are more than copies there is more room than that.
    let least = |bytes: fn(&Storage) -> u64| up.clone().map(bytes).min().unwrap_or(0);
    (
        least(|s| s.total_bytes) / MEBI,
        least(|s| s.free_bytes) / MEBI,
    )
}

/// 113 bytes.
pub(crate) fn group_record(out: &mut BytesMut, group: &Group) {
    put_long_group(out, group);
    let (total, free) = room(group);
    let readable = group
        .storages
        .iter()
        .filter(|storage| storage.is_up)
        .count() as u64;
    let port = group
        .storages
        .first()
        .map_or(0, |storage| storage.address.port());
    let numbers = [
        total,
        free,
        0,
        0,
        group.storages.len() as u64,
        u64::from(port),
        readable,
        group.writable().count() as u64,
        0,
        PATHS,
        FOLDERS,
        // No trunk file.
        u64::MAX,
    ];
    numbers.into_iter().for_each(|number| out.put_u64(number));
}

fn status_of(storage: &Storage) -> u8 {
    if storage.is_up {
        status::ACTIVE
    } else {
        status::OFFLINE
    }
}

/// 487 bytes, or 517.
pub(crate) fn storage_record(out: &mut BytesMut, view: &View, storage: &Storage) {
    out.put_u8(status_of(storage));
    out.put_u8(if storage.is_up { READ_WRITE } else { NOTHING });
    put_text(out, &storage.id.to_string(), STORAGE_ID_BYTES);
    put_text(out, &ip_text(storage.address.ip()), address_bytes(view) + 1);
    put_text(out, "", STORAGE_ID_BYTES);
    put_text(out, VERSION, VERSION_BYTES);
    let numbers = [
        u64::from(view.begun_s),
        u64::from(view.begun_s),
        storage.total_bytes / MEBI,
        storage.free_bytes / MEBI,
        0,
        // Upload priority: the usual one.
        10,
        PATHS,
        FOLDERS,
        0,
        u64::from(storage.address.port()),
    ];
    numbers.into_iter().for_each(|number| out.put_u64(number));
    let last_heartbeat = 8;
    out.put_bytes(0, STATISTICS_BYTES - last_heartbeat);
    let heard_s = if storage.is_up {
        u64::from(view.now_s)
    } else {
        UNCOUNTED
    };
    out.put_u64(heard_s);
    out.put_u8(0);
}

/// 67 bytes.
pub(crate) fn status_record(storage: &Storage) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(status_of(storage));
    out.put_u32(u32::from(storage.address.port()));
    put_text(&mut out, &storage.id.to_string(), STORAGE_ID_BYTES);
    put_text(&mut out, &ip_text(storage.address.ip()), IPV6_BYTES);
    out
}

/// Whether something is as it is wanted, where a filter looks at it.
fn is_as_wanted(is_looked_at: bool, wanted: u8, is_so: bool) -> bool {
    !is_looked_at || (wanted != 0) == is_so
}

/// A byte and 90 for each that is active and leads as wanted.
pub(crate) fn tracker_stat(view: &View, [by, active, leading]: [u8; 3]) -> BytesMut {
    let first_up = view.trackers.iter().position(|tracker| tracker.is_up);
    let all = view.trackers.iter().enumerate();
    let all = all.map(|(place, tracker)| (tracker, first_up == Some(place)));
    let wanted = all.filter(|(tracker, is_leader)| {
        is_as_wanted(by & 1 != 0, active, tracker.is_up)
            && is_as_wanted(by & 2 != 0, leading, *is_leader)
    });
    let wanted: Vec<(&Tracker, bool)> = wanted.take(usize::from(u8::MAX)).collect();
    let mut out = BytesMut::new();
    out.put_u8(u8::try_from(wanted.len()).unwrap_or(u8::MAX));
    for (tracker, is_leader) in wanted {
        put_text(&mut out, &tracker.address.to_string(), HOST_PORT_BYTES);
        out.put_u8(u8::from(is_leader));
        out.put_u8(u8::from(tracker.is_up));
        put_vitals(&mut out, view, tracker.is_up);
    }
    out
}

/// Connections, version, start and last sign of life.
fn put_vitals(out: &mut BytesMut, view: &View, is_up: bool) {
    out.put_bytes(0, 3 * 4);
    put_text(out, VERSION, VERSION_BYTES);
    out.put_u64(u64::from(view.begun_s));
    out.put_u64(if is_up {
        u64::from(view.now_s)
    } else {
        UNCOUNTED
    });
}

/// Six bytes and 106 for each whose status is, or is not, the wanted one; none of them is a trunk
/// server.
pub(crate) fn storage_stat(
    view: &View,
    [by, how, status, trunk]: [u8; 4],
) -> Result<BytesMut, Errno> {
    let is_equal_wanted = match how {
        b'=' => true,
        b'!' => false,
        _ if by & 1 == 0 => true,
        _ => return Err(Errno::Invalid),
    };
    let wanted = view.storages().filter(|storage| {
        is_as_wanted(
            by & 1 != 0,
            is_equal_wanted.into(),
            status_of(storage) == status,
        ) && is_as_wanted(by & 2 != 0, trunk, false)
    });
    let wanted: Vec<&Storage> = wanted.collect();
    let mut out = BytesMut::new();
    let uses_storage_ids = 1;
    let uses_trunk_files = 0;
    out.put_u8(uses_storage_ids);
    out.put_u8(uses_trunk_files);
    out.put_u32(u32::try_from(wanted.len()).unwrap_or(u32::MAX));
    for storage in wanted {
        put_text(&mut out, &storage.id.to_string(), STORAGE_ID_BYTES);
        put_text(&mut out, &storage.address.to_string(), HOST_PORT_BYTES);
        out.put_u8(0);
        out.put_u8(status_of(storage));
        put_vitals(&mut out, view, storage.is_up);
    }
    Ok(out)
}

/// Five bytes and 59 for each group that takes files, on disks and in trunk files, as wanted: none
/// does in trunk files.
pub(crate) fn volume_stat(view: &View, [by, any, disk, trunk]: [u8; 4]) -> BytesMut {
    let takes_files = |group: &Group| group.writable().next().is_some();
    let wanted = view.groups.iter().filter(|group| {
        is_as_wanted(by & 1 != 0, any, takes_files(group))
            && is_as_wanted(by & 2 != 0, disk, takes_files(group))
            && is_as_wanted(by & 4 != 0, trunk, false)
    });
    let wanted: Vec<&Group> = wanted.collect();
    let mut out = BytesMut::new();
    let uses_trunk_files = 0;
    out.put_u8(uses_trunk_files);
    out.put_u32(u32::try_from(wanted.len()).unwrap_or(u32::MAX));
    for group in wanted {
        put_long_group(&mut out, group);
        let (total, free) = room(group);
        for number in [total, free, 0, free, 0] {
            out.put_u64(number);
        }
        out.put_u8(u8::from(takes_files(group)));
        out.put_u8(0);
    }
    out
}
