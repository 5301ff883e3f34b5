//! A door for the fuzzer alone: requests as far as they are read before anything is done.

use crate::change_request::{
    APPEND_BYTES, MODIFY_BYTES, SLAVE_BYTES, SetMetadata, Slave, append, modify, truncate,
};
use crate::errno::Errno;
use crate::fields::Fields;
use crate::group_name::GroupName;
use crate::header::Header;
use crate::metadata::{self, SetHow};
use crate::name::{FileName, Names};
use crate::storage_request::{Range, UPLOAD_BYTES, Upload, named};
use crate::tracker;
use crate::view::{Group, Storage, Tracker, View};
use crate::wire::{HEADER_BYTES, storage};
use sdfs_server_group::AddressWidth;
use sdfs_types::{ServerId, VolumeId};

/// What a tracker of three storages, one of them away, answers; `None` when it refuses.
#[must_use]
pub fn tracker_answer(names: &Names, command: u8, body: &[u8]) -> Option<Vec<u8>> {
    let storage = |id: u16| Storage {
        id: ServerId(id),
        address: ([10, 0, 0, 1], 23_000 + id).into(),
        is_up: id != 5,
        is_writable: true,
        total_bytes: 100 << 20,
        free_bytes: 50 << 20,
        queue: 0,
    };
    let in_sync = |(volume, members): (u32, Vec<u16>)| {
        let members = members.into_iter().map(ServerId).collect();
        (VolumeId(volume), members)
    };
    let group = |name: &str, storages: &[u16]| Group {
        name: GroupName::of(name),
        names: names.clone(),
        storages: storages.iter().copied().map(storage).collect(),
        is_full: None,
    };
    let view = View {
        addresses: AddressWidth::IPv4,
        groups: vec![group("group1", &[4, 5, 6]), group("group2", &[7])],
        trackers: vec![Tracker {
            address: ([10, 0, 0, 9], 22_122).into(),
            is_up: true,
        }],
        in_sync: [(1, vec![4, 5]), (2, vec![5])].map(in_sync).into(),
        begun_s: 1_000,
        now_s: 2_000,
    };
    let answer = tracker::answer(&view, command, body, &mut 0);
    answer.ok().map(Into::into)
}

/// Whether a storage understands what is in front of a request's content.
#[must_use]
pub fn storage_understands(header: [u8; HEADER_BYTES], body: &[u8]) -> bool {
    let Some(header) = Header::read(header) else {
        return false;
    };
    understood(header, body).is_ok()
}

fn understood(header: Header, body: &[u8]) -> Result<(), Errno> {
    let group = GroupName::of("group1");
    let mut fields = Fields::of(body);
    let fixed_bytes = match header.command {
        storage::UPLOAD | storage::UPLOAD_APPENDER => UPLOAD_BYTES,
        storage::UPLOAD_SLAVE => SLAVE_BYTES,
        storage::APPEND => APPEND_BYTES,
        storage::MODIFY => MODIFY_BYTES,
        storage::TRUNCATE => return truncate(body).map(drop),
        storage::SET_METADATA => {
            let set = SetMetadata::read(&mut fields)?;
            let name = named(&group, &mut fields)?;
            let name = name.get(..set.name_bytes).ok_or(Errno::Invalid)?;
            return parsed(name);
        }
        storage::DOWNLOAD => {
            let range = Range::read(&mut fields)?;
            range.within(header.body_bytes)?;
            return named(&group, &mut fields).and_then(parsed);
        }
        _ => return named(&group, &mut fields).and_then(parsed),
    };
    let left = header.body_bytes.checked_sub(fixed_bytes);
    let left = left.ok_or(Errno::Invalid)?;
    let fixed = fields.bytes(fixed_bytes as usize).ok_or(Errno::Invalid)?;
    match header.command {
        storage::APPEND => append(fixed, left).map(drop),
        storage::MODIFY => modify(fixed, left).map(drop),
        storage::UPLOAD_SLAVE => Slave::read(fixed, left).map(drop),
        _ => Upload::read(fixed, left).map(drop),
    }
}

fn parsed(name: &[u8]) -> Result<(), Errno> {
    FileName::parse(name).map(drop).map_err(|_| Errno::Invalid)
}

/// What is kept when metadata is set over other metadata; `None` when it is refused.
#[must_use]
pub fn metadata(is_merge: bool, old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let how = if is_merge {
        SetHow::Merge
    } else {
        SetHow::Overwrite
    };
    metadata::set(how, old, new).ok()
}
