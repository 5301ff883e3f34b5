//! Answers a tracker's commands from a view of the cluster. Pure.

use std::slice::from_ref;

use bytes::{BufMut, BytesMut};

use crate::errno::Errno;
use crate::fields::{Fields, put_text, text_of};
use crate::name::{FileName, Given};
use crate::tracker_records::{
    address_bytes, group_record, put_address, put_group, status_record, storage_record,
    storage_stat, tracker_stat, volume_stat,
};
use crate::view::{Group, Storage, View};
use crate::wire::{
    GROUP_BYTES, NAME_BYTES_END, STORAGE_ID_BYTES, TRACKER_NAME_BYTES_MIN, common, tracker,
};

/// The store path every upload goes to: there is one.
const PATH_INDEX: u8 = 0;

/// Whose turn it is: grows by one with each choice.
pub(crate) type Turn = usize;

type Answer = Result<BytesMut, Errno>;

/// Answers one command.
pub(crate) fn answer(view: &View, command: u8, body: &[u8], turn: &mut Turn) -> Answer {
    match command {
        common::ACTIVE_TEST => empty(body).map(|()| BytesMut::new()),
        tracker::STORE_ONE => empty(body).and_then(|()| store((view, &view.groups), false, turn)),
        tracker::STORE_ALL => empty(body).and_then(|()| store((view, &view.groups), true, turn)),
        tracker::STORE_IN_GROUP_ONE => store((view, from_ref(group(view, body)?)), false, turn),
        tracker::STORE_IN_GROUP_ALL => store((view, from_ref(group(view, body)?)), true, turn),
        tracker::FETCH_ONE => fetch(view, body, false, turn),
        tracker::FETCH_ALL => fetch(view, body, true, turn),
        tracker::UPDATE => update(view, body, turn),
        tracker::ONE_GROUP => group(view, body).map(|group| group_records([group])),
        tracker::ALL_GROUPS => empty(body).map(|()| group_records(&view.groups)),
        tracker::STORAGES => storages(view, body),
        tracker::DELETE_STORAGE => delete_storage(view, body),
        tracker::DELETE_GROUP => group(view, body).and(Err(Errno::Busy)),
        tracker::SET_TRUNK_SERVER => group_and_rest(view, body).and(Err(Errno::Unsupported)),
        tracker::LEADER => empty(body).and_then(|()| leader(view)),
        tracker::TRACKER_STAT => filter(body).map(|wanted| tracker_stat(view, wanted)),
        tracker::STORAGE_STAT => filter(body).and_then(|wanted| storage_stat(view, wanted)),
        tracker::VOLUME_STAT => filter(body).map(|wanted| volume_stat(view, wanted)),
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

/// Which statistics are asked for: what is looked at, bit by bit, and how each should be.
fn filter<const BYTES: usize>(body: &[u8]) -> Result<[u8; BYTES], Errno> {
    body.try_into().map_err(|_| Errno::Invalid)
}

fn group<'a>(view: &'a View, body: &[u8]) -> Result<&'a Group, Errno> {
    exactly(body, GROUP_BYTES)?;
    group_and_rest(view, body).map(|(group, _)| group)
}

/// The group that is meant, which must be one of ours, and what follows it.
fn group_and_rest<'a, 'b>(view: &'a View, body: &'b [u8]) -> Result<(&'a Group, &'b [u8]), Errno> {
    let mut fields = Fields::of(body);
    let asked = fields.bytes(GROUP_BYTES).ok_or(Errno::Invalid)?;
    let is_it = |group: &&Group| group.name.is_meant(asked);
    let meant = view.groups.iter().find(is_it).ok_or(Errno::NotFound)?;
    Ok((meant, fields.rest()))
}

fn group_records<'a>(groups: impl IntoIterator<Item = &'a Group>) -> BytesMut {
    let mut out = BytesMut::new();
    groups
        .into_iter()
        .for_each(|group| group_record(&mut out, group));
    out
}

/// Whose turn is next among those of these shares.
fn next(turn: &mut Turn, shares: impl IntoIterator<Item = u64>) -> Option<usize> {
    *turn = turn.wrapping_add(1);
    let shares: Vec<u64> = shares.into_iter().collect();
    share_of(*turn, &shares)
}

/// Whose turn it is, each as often as its share says and as evenly as can be, whichever of the
/// turns are asked for: multiples of the golden section lie far from each other on a circle.
fn share_of(turn: Turn, shares: &[u64]) -> Option<usize> {
    const GOLDEN_SECTION: u64 = 0x9e37_79b9_7f4a_7c15;
    let total: u128 = shares.iter().copied().map(u128::from).sum();
    let at = (turn as u64).wrapping_mul(GOLDEN_SECTION);
    let mut left = (u128::from(at) * total) >> u64::BITS;
    shares.iter().position(|share| {
        let share = u128::from(*share);
        let is_it = left < share;
        left = left.saturating_sub(share);
        is_it
    })
}

/// A storage of one of the groups to upload to; with `is_all`, what others of its group there are.
fn store((view, among): (&View, &[Group]), is_all: bool, turn: &mut Turn) -> Answer {
    let takers = among.iter();
    let takers = takers.flat_map(|group| group.with_room().map(move |one| (group, one)));
    let takers: Vec<(&Group, &Storage)> = takers.collect();
    let shares = takers.iter().map(|(_, storage)| storage.upload_share());
    let place = next(turn, shares).ok_or_else(|| {
        let is_full = |group: &Group| {
            let mut storages = group.storages.iter();
            let is_told = group.is_full == Some(true) && storages.any(|one| one.is_up);
            is_told || group.writable().next().is_some()
        };
        match among.iter().any(is_full) {
            true => Errno::NoSpace,
            false => Errno::NotFound,
        }
    })?;
    let (group, chosen) = takers[place];
    let mut out = put_group(group);
    put_address(&mut out, view, chosen);
    if is_all {
        for other in group.with_room().filter(|other| other.id != chosen.id) {
            put_address(&mut out, view, other);
        }
    }
    out.put_u8(PATH_INDEX);
    Ok(out)
}

/// Where a file can be had.
struct Having<'a> {
    group: &'a Group,
    storages: Vec<&'a Storage>,
    /// The one that took it, when it is one of them.
    source: Option<&'a Storage>,
}

impl<'a> Having<'a> {
    /// Whose turn it is among them.
    fn next(&self, turn: &mut Turn) -> Option<&'a Storage> {
        let shares = self.storages.iter().map(|storage| storage.reader_share());
        next(turn, shares).map(|place| self.storages[place])
    }
}

/// Storages of the group that have a file and can be reached. Any of them when the name tells
/// nothing, for each can look up what has a record; and when none is known that has it and can be
/// reached: this mserver may be behind, and each says whether it is missing or away.
fn having<'a>(view: &'a View, body: &[u8]) -> Result<Having<'a>, Errno> {
    let (group, name) = group_and_rest(view, body)?;
    if !(TRACKER_NAME_BYTES_MIN..NAME_BYTES_END).contains(&name.len()) {
        return Err(Errno::Invalid);
    }
    let parsed = FileName::parse(name).ok();
    // What the name of another FastDFS's file tells is of no volume and no server here.
    let given = parsed.and_then(|name| Some((name, group.names.given(&name)?)));
    let members = match given {
        Some((_, Given::Anonymous(file, _))) => view.in_sync.get(&file.volume),
        _ => None,
    };
    let up = |storage: &&Storage| storage.is_up;
    let members = members.into_iter().flatten();
    let members = members.filter_map(|id| group.storage(*id));
    let mut storages: Vec<&Storage> = members.filter(up).collect();
    if storages.is_empty() {
        storages.extend(group.storages.iter().filter(up));
    }
    let server = given.and_then(|(name, _)| name.server());
    let source = storages
        .iter()
        .find(|storage| Some(storage.id) == server)
        .copied();
    Ok(Having {
        group,
        storages,
        source,
    })
}

fn fetch(view: &View, body: &[u8], is_all: bool, turn: &mut Turn) -> Answer {
    let having = having(view, body)?;
    let chosen = having.next(turn).ok_or(Errno::NotFound)?;
    let mut out = put_group(having.group);
    put_address(&mut out, view, chosen);
    if is_all {
        let others = having.storages.iter();
        for other in others.filter(|other| other.id != chosen.id) {
            put_address(&mut out, view, other);
        }
    }
    Ok(out)
}

fn update(view: &View, body: &[u8], turn: &mut Turn) -> Answer {
    let having = having(view, body)?;
    let chosen = having
        .source
        .or_else(|| having.next(turn))
        .ok_or(Errno::NotFound)?;
    let mut out = put_group(having.group);
    put_address(&mut out, view, chosen);
    Ok(out)
}

/// The storage an id or an address means.
fn meant<'a>(group: &'a Group, field: &[u8]) -> Result<&'a Storage, Errno> {
    let text = text_of(field).ok_or(Errno::Invalid)?;
    if text.is_empty() || text.len() >= STORAGE_ID_BYTES {
        return Err(Errno::Invalid);
    }
    let is_it = |storage: &&Storage| {
        storage.id.to_string() == text || crate::view::ip_text(storage.address.ip()) == text
    };
    group.storages.iter().find(is_it).ok_or(Errno::NotFound)
}

fn storages(view: &View, body: &[u8]) -> Answer {
    let (group, id) = group_and_rest(view, body)?;
    let mut out = BytesMut::new();
    if id.is_empty() {
        for storage in &group.storages {
            storage_record(&mut out, view, storage);
        }
    } else {
        storage_record(&mut out, view, meant(group, id)?);
    }
    Ok(out)
}

/// A dserver that is up is not taken away by a stranger; one that is not, by `sdfs drain`.
fn delete_storage(view: &View, body: &[u8]) -> Answer {
    let (group, id) = group_and_rest(view, body)?;
    meant(group, id).and(Err(Errno::Busy))
}

fn leader(view: &View) -> Answer {
    let leader = view.trackers.iter().find(|tracker| tracker.is_up);
    let leader = leader.ok_or(Errno::NotFound)?;
    Ok(BytesMut::from(leader.address.to_string().as_bytes()))
}

fn storage_status(view: &View, body: &[u8]) -> Answer {
    let (group, id) = group_and_rest(view, body)?;
    let storage = if id.is_empty() {
        group.storages.first().ok_or(Errno::NotFound)?
    } else {
        meant(group, id)?
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
    let named = view.groups.iter().flat_map(|group| {
        let name = text_of(group.name.field()).unwrap_or_default();
        group.storages.iter().map(move |storage| (name, storage))
    });
    let rest: Vec<(&str, &Storage)> = named.skip(skipped).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut out = BytesMut::new();
    out.put_u32(count(view.storages().count()));
    out.put_u32(count(rest.len()));
    for (group, storage) in rest {
        let line = format!("{} {group} {}\n", storage.id, storage.address);
        put_text(&mut out, &line, line.len());
    }
    Ok(out)
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tracker_tests;

#[cfg(test)]
#[path = "tracker_group_tests.rs"]
mod tracker_group_tests;
