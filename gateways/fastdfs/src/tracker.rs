//! Answers a tracker's commands from a view of the cluster. Pure.

use bytes::{BufMut, BytesMut};

use crate::errno::Errno;
use crate::fields::{Fields, put_text, text_of};
use crate::name::{FileName, Names};
use crate::tracker_records::{
    address_bytes, group_record, put_address, put_group, status_record, storage_record,
    storage_stat, tracker_stat, volume_stat,
};
use crate::view::{Storage, View};
use crate::wire::{
    GROUP_BYTES, NAME_BYTES_END, STORAGE_ID_BYTES, TRACKER_NAME_BYTES_MIN, common, tracker,
};

/// The store path every upload goes to: there is one.
const PATH_INDEX: u8 = 0;

/// Whose turn it is: grows by one with each choice.
pub(crate) type Turn = usize;

type Answer = Result<BytesMut, Errno>;

/// Answers one command.
pub(crate) fn answer(
    (view, names): (&View, &Names),
    command: u8,
    body: &[u8],
    turn: &mut Turn,
) -> Answer {
    match command {
        common::ACTIVE_TEST => empty(body).map(|()| BytesMut::new()),
        tracker::STORE_ONE => empty(body).and_then(|()| store(view, false, turn)),
        tracker::STORE_ALL => empty(body).and_then(|()| store(view, true, turn)),
        tracker::STORE_IN_GROUP_ONE => group(view, body).and_then(|()| store(view, false, turn)),
        tracker::STORE_IN_GROUP_ALL => group(view, body).and_then(|()| store(view, true, turn)),
        tracker::FETCH_ONE => fetch((view, names), body, false, turn),
        tracker::FETCH_ALL => fetch((view, names), body, true, turn),
        tracker::UPDATE => update((view, names), body, turn),
        tracker::ONE_GROUP => group(view, body).map(|()| group_record(view)),
        tracker::ALL_GROUPS => empty(body).map(|()| group_record(view)),
        tracker::STORAGES => storages(view, body),
        tracker::DELETE_STORAGE => delete_storage(view, body),
        tracker::DELETE_GROUP => group(view, body).and(Err(Errno::Busy)),
        tracker::SET_TRUNK_SERVER => group_and_rest(view, body).and(Err(Errno::Unsupported)),
        tracker::LEADER => empty(body).and_then(|()| leader(view)),
        tracker::TRACKER_STAT => exactly(body, 3).map(|()| tracker_stat(view)),
        tracker::STORAGE_STAT => exactly(body, 4).map(|()| storage_stat(view)),
        tracker::VOLUME_STAT => exactly(body, 4).map(|()| volume_stat(view)),
        tracker::STORAGE_STATUS => storage_status(view, body),
        tracker::PARAMETERS => empty(body).map(|()| parameters(view)),
        tracker::STORAGE_IDS => storage_ids(view, body),
        _ => Err(Errno::Invalid),
    }
}

fn empty(body: &[u8]) -> Result<(), Errno> {
    exactly(body, 0)
}

fn exactly(body: &[u8], length: usize) -> Result<(), Errno> {
    if body.len() == length {
        Ok(())
    } else {
        Err(Errno::Invalid)
    }
}

fn group(view: &View, body: &[u8]) -> Result<(), Errno> {
    exactly(body, GROUP_BYTES)?;
    group_and_rest(view, body).map(drop)
}

/// What follows the group, which must be ours.
fn group_and_rest<'a>(view: &View, body: &'a [u8]) -> Result<&'a [u8], Errno> {
    let mut fields = Fields::of(body);
    let asked = fields.bytes(GROUP_BYTES).ok_or(Errno::Invalid)?;
    if view.group.is_meant(asked) {
        Ok(fields.rest())
    } else {
        Err(Errno::NotFound)
    }
}

fn next<'a>(among: &[&'a Storage], turn: &mut Turn) -> Option<&'a Storage> {
    *turn = turn.wrapping_add(1);
    among.get(*turn % among.len().max(1)).copied()
}

fn store(view: &View, is_all: bool, turn: &mut Turn) -> Answer {
    let writable: Vec<&Storage> = view.writable().collect();
    let has_room: Vec<&Storage> = writable
        .iter()
        .filter(|storage| storage.has_room())
        .copied()
        .collect();
    let chosen = next(&has_room, turn).ok_or(if writable.is_empty() {
        Errno::NotFound
    } else {
        Errno::NoSpace
    })?;
    let mut out = put_group(view);
    put_address(&mut out, view, chosen);
    if is_all {
        for other in has_room.iter().filter(|other| other.id != chosen.id) {
            put_address(&mut out, view, other);
        }
    }
    out.put_u8(PATH_INDEX);
    Ok(out)
}

/// Storages that have a file and can be reached, and the one that took it. Any of them when the
/// name tells nothing, for each can look up what has a record; and when none is known that has it
/// and can be reached: this mserver may be behind, and each says whether it is missing or away.
fn having<'a>(
    (view, names): (&'a View, &Names),
    body: &[u8],
) -> Result<(Vec<&'a Storage>, Option<&'a Storage>), Errno> {
    let name = group_and_rest(view, body)?;
    if !(TRACKER_NAME_BYTES_MIN..NAME_BYTES_END).contains(&name.len()) {
        return Err(Errno::Invalid);
    }
    let parsed = FileName::parse(name).ok();
    let file = parsed.as_ref().and_then(|name| names.anonymous(name));
    let members = file.and_then(|file| view.in_sync.get(&file.volume));
    let up = |storage: &&Storage| storage.is_up;
    let members = members.into_iter().flatten();
    let members = members.map(|place| &view.storages[*place]);
    let mut having: Vec<&Storage> = members.filter(up).collect();
    if having.is_empty() {
        having.extend(view.storages.iter().filter(up));
    }
    let server = parsed.and_then(|name| name.server());
    let source = having
        .iter()
        .find(|storage| Some(storage.id) == server)
        .copied();
    if having.is_empty() {
        return Err(Errno::NotFound);
    }
    Ok((having, source))
}

fn fetch(from: (&View, &Names), body: &[u8], is_all: bool, turn: &mut Turn) -> Answer {
    let (having, _) = having(from, body)?;
    let chosen = next(&having, turn).ok_or(Errno::NotFound)?;
    let mut out = put_group(from.0);
    put_address(&mut out, from.0, chosen);
    if is_all {
        for other in having.iter().filter(|other| other.id != chosen.id) {
            put_address(&mut out, from.0, other);
        }
    }
    Ok(out)
}

fn update(from: (&View, &Names), body: &[u8], turn: &mut Turn) -> Answer {
    let (having, source) = having(from, body)?;
    let chosen = source
        .or_else(|| next(&having, turn))
        .ok_or(Errno::NotFound)?;
    let mut out = put_group(from.0);
    put_address(&mut out, from.0, chosen);
    Ok(out)
}

/// The storage an id or an address means.
fn meant<'a>(view: &'a View, field: &[u8]) -> Result<&'a Storage, Errno> {
    let text = text_of(field).ok_or(Errno::Invalid)?;
    if text.is_empty() || text.len() >= STORAGE_ID_BYTES {
        return Err(Errno::Invalid);
    }
    let is_it = |storage: &&Storage| {
        storage.id.to_string() == text || crate::view::ip_text(storage.address.ip()) == text
    };
    view.storages.iter().find(is_it).ok_or(Errno::NotFound)
}

fn storages(view: &View, body: &[u8]) -> Answer {
    let id = group_and_rest(view, body)?;
    let mut out = BytesMut::new();
    if id.is_empty() {
        for storage in &view.storages {
            storage_record(&mut out, view, storage);
        }
    } else {
        storage_record(&mut out, view, meant(view, id)?);
    }
    Ok(out)
}

/// A dserver that is up is not taken away by a stranger; one that is not, by `sdfs drain`.
fn delete_storage(view: &View, body: &[u8]) -> Answer {
    let id = group_and_rest(view, body)?;
    meant(view, id).and(Err(Errno::Busy))
}

fn leader(view: &View) -> Answer {
    let leader = view.trackers.iter().find(|tracker| tracker.is_up);
    let leader = leader.ok_or(Errno::NotFound)?;
    Ok(BytesMut::from(leader.address.to_string().as_bytes()))
}

fn storage_status(view: &View, body: &[u8]) -> Answer {
    let id = group_and_rest(view, body)?;
    let storage = if id.is_empty() {
        view.storages.first().ok_or(Errno::NotFound)?
    } else {
        meant(view, id)?
    };
    Ok(status_record(storage))
}

fn parameters(view: &View) -> BytesMut {
    let bytes = address_bytes(view) + 1;
    let text = format!(
        "use_storage_id=1\nid_type_in_filename=id\nstorage_ip_changed_auto_adjust=0\n\
         storage_sync_file_max_delay=0\nstore_path=0\nreserved_storage_space=0\n\
         use_trunk_file=0\nslot_min_size=256\nslot_max_size=16777216\n\
         trunk_file_size=67108864\nip_addr_size={bytes}\n"
    );
    BytesMut::from(text.as_bytes())
}

fn storage_ids(view: &View, body: &[u8]) -> Answer {
    let mut fields = Fields::of(body);
    let start = fields.bytes(4).ok_or(Errno::Invalid)?;
    if fields.rest().len() > 1 {
        return Err(Errno::Invalid);
    }
    let start = u32::from_be_bytes(start.try_into().map_err(|_| Errno::Invalid)?);
    let skipped = usize::try_from(start).map_err(|_| Errno::Invalid)?;
    let group = text_of(view.group.field()).unwrap_or_default();
    let rest = view.storages.get(skipped..).unwrap_or_default();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut out = BytesMut::new();
    out.put_u32(count(view.storages.len()));
    out.put_u32(count(rest.len()));
    for storage in rest {
        let line = format!("{} {group} {}\n", storage.id, storage.address);
        put_text(&mut out, &line, line.len());
    }
    Ok(out)
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tracker_tests;
